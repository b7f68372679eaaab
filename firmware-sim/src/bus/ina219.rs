//! INA219: bus voltage, and current as the voltage across a shunt; with calibration it computes current and power itself.
//!
//! Registers, 16 bits big endian: 0 configuration (bit 15 resets, and clears itself), 1 shunt voltage (10 µV), 2 bus voltage (4 mV in bits
//! 3.., conversion ready in bit 1, overflow in bit 0), 3 power, 4 current, 5 calibration (bit 0 is always 0). Reading the power register
//! clears "conversion ready".

use super::{Chip, register};

const RESET_CONFIGURATION: u16 = 0x399F;
/// Both conversions at 12 bits.
const CONVERSION_NS: u64 = 1_064_000;

#[derive(Debug)]
pub struct Ina219Model {
    pub volts: f64,
    pub amperes: f64,
    /// The shunt that is soldered in.
    pub shunt_ohms: f64,
    pointer: u8,
    configuration: u16,
    calibration: u16,
    ready_at_ns: u64,
}

impl Ina219Model {
    #[must_use]
    pub fn new(shunt_ohms: f64) -> Self {
        Self { volts: 0.0, amperes: 0.0, shunt_ohms, pointer: 0, configuration: RESET_CONFIGURATION, calibration: 0, ready_at_ns: 0 }
    }

    /// In units of 10 µV, saturating at the range of the programmable gain: 40 mV doubled up to 320 mV.
    fn shunt(&self) -> i16 {
        let range = f64::from(4_000_u16 << ((self.configuration >> 11) & 0x03));
        register((self.amperes * self.shunt_ohms * 1e5).clamp(-range, range))
    }

    /// In units of 4 mV.
    fn bus(&self) -> u16 {
        let range = if self.configuration & 0x2000 == 0 { 16.0 } else { 32.0 };
        (self.volts.clamp(0.0, range) * 250.0).round() as u16
    }

    fn current(&self) -> i32 {
        i32::from(self.shunt()) * i32::from(self.calibration) / 4_096
    }

    fn power(&self) -> i32 {
        self.current().abs() * i32::from(self.bus()) / 5_000
    }

    fn get(&self, now_ns: u64) -> u16 {
        let overflow = self.current().abs() > i32::from(i16::MAX) || self.power() > i32::from(u16::MAX);
        match self.pointer {
            0 => self.configuration,
            1 => self.shunt().cast_unsigned(),
            2 => (self.bus() << 3) | (u16::from(now_ns >= self.ready_at_ns) << 1) | u16::from(overflow),
            3 => self.power() as u16,
            4 => (self.current() as i16).cast_unsigned(),
            5 => self.calibration,
            _ => 0,
        }
    }
}

impl Chip for Ina219Model {
    fn write(&mut self, now_ns: u64, bytes: &[u8]) -> bool {
        let &[pointer, ref value @ ..] = bytes else { return true };
        if pointer > 5 {
            return false;
        }
        self.pointer = pointer;
        if let &[high, low] = value {
            let value = u16::from_be_bytes([high, low]);
            match pointer {
                0 if value & 0x8000 != 0 => (self.configuration, self.calibration) = (RESET_CONFIGURATION, 0),
                0 => self.configuration = value,
                5 => self.calibration = value & !1,
                _ => {}
            }
            if pointer == 0 {
                self.ready_at_ns = now_ns + CONVERSION_NS;
            }
        }
        true
    }

    fn read(&mut self, now_ns: u64, buffer: &mut [u8]) {
        let word = self.get(now_ns).to_be_bytes();
        for (byte, value) in buffer.iter_mut().zip(word.into_iter().cycle()) {
            *byte = value;
        }
        if self.pointer == 3 && now_ns >= self.ready_at_ns {
            self.ready_at_ns = now_ns + CONVERSION_NS;
        }
    }
}
