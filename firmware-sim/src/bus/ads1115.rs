//! ADS1115: four analogue inputs, 16 bits, programmable gain.
//!
//! Registers, 16 bits big endian: 0 conversion, 1 configuration (bit 15 written: start a single conversion; read: none is running; bits
//! 14-12 input, 11-9 gain, 8 single-shot, 7-5 rate), 2 and 3 thresholds of the comparator (kept, not acted upon).

use super::{Chip, register};

const RESET_CONFIGURATION: u16 = 0x8583;
const RATES: [u64; 8] = [8, 16, 32, 64, 128, 250, 475, 860];

#[derive(Debug)]
pub struct Ads1115Model {
    /// Volts at A0 to A3.
    pub inputs: [f64; 4],
    pointer: u8,
    configuration: u16,
    thresholds: [u16; 2],
    conversion: i16,
    ready_at_ns: Option<u64>,
}

impl Ads1115Model {
    #[must_use]
    pub fn new() -> Self {
        Self {
            inputs: [0.0; 4],
            pointer: 0,
            configuration: RESET_CONFIGURATION & 0x7FFF,
            thresholds: [0x8000, 0x7FFF],
            conversion: 0,
            ready_at_ns: None,
        }
    }

    fn volts(&self) -> f64 {
        let [a0, a1, a2, a3] = self.inputs;
        match (self.configuration >> 12) & 0x07 {
            0 => a0 - a1,
            1 => a0 - a3,
            2 => a1 - a3,
            3 => a2 - a3,
            4 => a0,
            5 => a1,
            6 => a2,
            _ => a3,
        }
    }

    fn full_scale(&self) -> f64 {
        match (self.configuration >> 9) & 0x07 {
            0 => 6.144,
            1 => 4.096,
            2 => 2.048,
            3 => 1.024,
            4 => 0.512,
            _ => 0.256,
        }
    }

    fn conversion_ns(&self) -> u64 {
        1_000_000_000 / RATES[usize::from((self.configuration >> 5) & 0x07)]
    }

    fn convert(&mut self, now_ns: u64) {
        let continuous = self.configuration & 0x0100 == 0;
        let finished = self.ready_at_ns.is_some_and(|ready| now_ns >= ready);
        if finished {
            self.ready_at_ns = None;
        }
        if finished || continuous {
            self.conversion = register(self.volts() / self.full_scale() * 32_768.0);
        }
    }
}

impl Default for Ads1115Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Chip for Ads1115Model {
    fn write(&mut self, now_ns: u64, bytes: &[u8]) -> bool {
        self.convert(now_ns);
        let &[pointer, ref value @ ..] = bytes else { return true };
        if pointer > 3 {
            return false;
        }
        self.pointer = pointer;
        if let &[high, low] = value {
            let value = u16::from_be_bytes([high, low]);
            match pointer {
                1 => {
                    self.configuration = value & 0x7FFF;
                    if value & 0x8000 != 0 {
                        self.ready_at_ns = Some(now_ns + self.conversion_ns());
                    }
                }
                2 | 3 => self.thresholds[usize::from(pointer - 2)] = value,
                _ => {}
            }
        }
        true
    }

    fn read(&mut self, now_ns: u64, buffer: &mut [u8]) {
        self.convert(now_ns);
        let word = match self.pointer {
            0 => self.conversion.cast_unsigned(),
            1 => self.configuration | (u16::from(self.ready_at_ns.is_none()) << 15),
            other => self.thresholds[usize::from(other - 2)],
        };
        for (byte, value) in buffer.iter_mut().zip(word.to_be_bytes().into_iter().cycle()) {
            *byte = value;
        }
    }
}
