//! The register map of a machine on Modbus: input registers, unit 1 by default, words most significant first (ABCD).
//!
//! | address | type | what |
//! |---|---|---|
//! | 0-1 | u32 | reads served: counts each read that includes address 0; the first answer carries 1 |
//! | 2 | u16 | session, random at each start |
//! | 3 | u16 | state: 0 offline, 1 producing, 2 idle, 3 setup, 4 planned stop, 5 unplanned stop |
//! | 4-5 | u32 | milliseconds since the state was entered |
//! | 6 | u16 | parts made, wraps at 65536 |
//! | 7 | u16 | parts rejected, wraps at 65536 |
//! | 8-9 | f32 | spindle temperature, Cel |
//! | 10-11 | f32 | vibration velocity, mm/s |
//! | 12 | i16 | active power, 0.01 kW |
//! | 13 | | reserved, 0 |
//!
//! Invariant: one read is one moment: all registers of an answer belong together.

use crate::model::{Machine, Physical};

/// Registers that exist.
pub const COUNT: usize = 14;
/// Readings in one full read: the three signals.
pub const READINGS: u64 = 3;

/// The registers of `machine` at its own present. `served` is the number of this read.
#[must_use]
pub fn image(machine: &Machine, felt: &Physical, session: u16, served: u32) -> [u16; COUNT] {
    let mut registers = [0; COUNT];
    let counters = machine.counters();
    let elapsed_ms = u32::try_from(machine.now().since(machine.state_since()).as_millis()).unwrap_or(u32::MAX);
    put_u32(&mut registers, 0, served);
    registers[2] = session;
    registers[3] = machine.state().code();
    put_u32(&mut registers, 4, elapsed_ms);
    // Sixteen bits are what such a counter has: the reader must cope with the wrap.
    registers[6] = counters.total as u16;
    registers[7] = counters.reject as u16;
    put_u32(&mut registers, 8, (felt.spindle_temperature as f32).to_bits());
    put_u32(&mut registers, 10, (felt.vibration_velocity as f32).to_bits());
    registers[12] = ((felt.active_power * 100.0).round().clamp(-32_768.0, 32_767.0) as i16).cast_unsigned();
    registers
}

fn put_u32(registers: &mut [u16; COUNT], address: usize, value: u32) {
    registers[address] = (value >> 16) as u16;
    registers[address + 1] = value as u16;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        model::{MachineSpec, physics::Character},
        moment::Moment,
    };

    const FELT: Physical = Physical { spindle_temperature: 61.25, vibration_velocity: 1.9, active_power: -4.417 };

    fn machine() -> Machine {
        let spec = MachineSpec {
            pace: 1.0,
            ideal_cycle: Duration::from_millis(100),
            reject_ratio: 0.5,
            jitter: 0.0,
            slow_ratio: 0.0,
            character: Character {
                warm_celsius: 60.0,
                vibration_mm_s: 2.0,
                power_kw: 4.0,
                wear_mm_s_per_hour: 0.0,
                thermal_lag: Duration::from_secs(20),
            },
            faults: Vec::new(),
        };
        Machine::new(spec, 1, Moment(0))
    }

    #[test]
    fn the_map_is_as_agreed() {
        let mut machine = machine();
        machine.step(Moment(70_000_500_000));
        let registers = image(&machine, &FELT, 0xBEEF, 0x0001_0002);
        assert_eq!(registers[0..4], [0x0001, 0x0002, 0xBEEF, 4]);
        assert_eq!((u32::from(registers[4]) << 16) | u32::from(registers[5]), 70_000_500);
        assert_eq!(f32::from_bits((u32::from(registers[8]) << 16) | u32::from(registers[9])), 61.25);
        assert_eq!(f32::from_bits((u32::from(registers[10]) << 16) | u32::from(registers[11])), 1.9);
        assert_eq!(registers[12].cast_signed(), -442);
        assert_eq!(registers[13], 0);
    }

    #[test]
    fn counters_wrap_at_65536() {
        let mut machine = machine();
        machine.start(Moment(0));
        let mut now = Moment(0);
        while machine.counters().total < 65_540 {
            now = now.plus(Duration::from_secs(1));
            while machine.step(now).is_some() {}
        }
        let counters = machine.counters();
        let registers = image(&machine, &FELT, 1, 1);
        assert!(counters.total > 65_535);
        assert_eq!(u32::from(registers[6]), counters.total - 65_536);
        assert_eq!(u32::from(registers[7]), counters.reject);
    }
}
