//! LIS2DH12: three-axis accelerometer, here on a housing that shakes as a sine along x, with gravity along z.
//!
//! Registers as in the datasheet; bit 7 of the sub-address asks for auto-increment. The output is left-justified: 12 bits in high
//! resolution, 10 in normal, 8 in low-power mode. With the FIFO in stream mode, the last 32 samples wait, exactly one period of the data
//! rate apart, and each read of the six output bytes takes the oldest.

use std::collections::VecDeque;

use super::Chip;

const WHO_AM_I: u8 = 0x33;
const FIFO_DEPTH: usize = 32;
const OUT_X_L: u8 = 0x28;
const OUT_Z_H: u8 = 0x2D;

/// What the chip feels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shaking {
    /// g, RMS
    pub rms_g: f64,
    pub hertz: f64,
}

#[derive(Debug)]
pub struct Lis2dh12Model {
    pub shaking: Shaking,
    pointer: u8,
    increment: bool,
    registers: [u8; 0x40],
    fifo: VecDeque<[i16; 3]>,
    /// Samples taken since the bus came up.
    taken: u64,
    output: [i16; 3],
}

impl Lis2dh12Model {
    #[must_use]
    pub fn new() -> Self {
        let mut registers = [0; 0x40];
        registers[0x0F] = WHO_AM_I;
        registers[0x1E] = 0x10;
        registers[0x20] = 0x07;
        Self {
            shaking: Shaking { rms_g: 0.0, hertz: 50.0 },
            pointer: 0,
            increment: false,
            registers,
            fifo: VecDeque::with_capacity(FIFO_DEPTH),
            taken: 0,
            output: [0; 3],
        }
    }

    fn rate_hz(&self) -> Option<f64> {
        let low_power = self.registers[0x20] & 0x08 != 0;
        match self.registers[0x20] >> 4 {
            1 => Some(1.0),
            2 => Some(10.0),
            3 => Some(25.0),
            4 => Some(50.0),
            5 => Some(100.0),
            6 => Some(200.0),
            7 => Some(400.0),
            8 => Some(1_620.0),
            9 => Some(if low_power { 5_376.0 } else { 1_344.0 }),
            _ => None,
        }
    }

    /// Stream mode is the only one that holds samples back here.
    fn streaming(&self) -> bool {
        self.registers[0x24] & 0x40 != 0 && self.registers[0x2E] >> 6 == 0b10
    }

    /// Takes the samples that fell due.
    fn sample(&mut self, now_ns: u64) {
        let Some(rate) = self.rate_hz() else { return };
        let due = (now_ns as f64 * rate / 1e9) as u64;
        if due <= self.taken {
            return;
        }
        let from = (self.taken + 1).max(due.saturating_sub(FIFO_DEPTH as u64 - 1));
        for index in from..=due {
            let sample = self.feel(index as f64 / rate);
            if self.fifo.len() == FIFO_DEPTH {
                self.fifo.pop_front();
            }
            if self.streaming() {
                self.fifo.push_back(sample);
            } else {
                self.output = sample;
            }
        }
        self.taken = due;
    }

    fn feel(&self, at_s: f64) -> [i16; 3] {
        let enabled = self.registers[0x20];
        let x = self.shaking.rms_g * std::f64::consts::SQRT_2 * (std::f64::consts::TAU * self.shaking.hertz * at_s).sin();
        [(0x01, x), (0x02, 0.0), (0x04, 1.0)].map(|(bit, g)| if enabled & bit == 0 { 0 } else { self.digits(g) })
    }

    fn digits(&self, g: f64) -> i16 {
        let bits = if self.registers[0x20] & 0x08 != 0 {
            8
        } else if self.registers[0x23] & 0x08 != 0 {
            12
        } else {
            10
        };
        let per_digit = match (self.registers[0x23] >> 4) & 0x03 {
            0 => 0.001,
            1 => 0.002,
            2 => 0.004,
            _ => 0.012,
        };
        let twelve = (g / per_digit).round().clamp(-2_048.0, 2_047.0) as i16;
        (twelve << 4) & (-1_i16 << (16 - bits))
    }

    fn get(&mut self, register: u8) -> u8 {
        match register {
            0x27 => 0x08 | 0x07,
            OUT_X_L..=OUT_Z_H => {
                if register == OUT_X_L
                    && let Some(oldest) = self.fifo.pop_front()
                {
                    self.output = oldest;
                }
                let offset = usize::from(register - OUT_X_L);
                self.output[offset / 2].to_le_bytes()[offset % 2]
            }
            // Five bits cannot say 32: then the overrun bit says it.
            0x2F if self.fifo.len() == FIFO_DEPTH => 0x40 | 0x1F,
            0x2F => (self.fifo.len() as u8) | (u8::from(self.fifo.is_empty()) << 5),
            _ => self.registers[usize::from(register & 0x3F)],
        }
    }

    fn set(&mut self, register: u8, value: u8) {
        if let 0x1E..=0x26 | 0x2E | 0x30 | 0x32..=0x34 | 0x36..=0x38 | 0x3A..=0x3F = register {
            self.registers[usize::from(register)] = value;
        }
        // Bypass empties the FIFO.
        if register == 0x2E && value >> 6 == 0 {
            self.fifo.clear();
        }
    }

    fn advance_pointer(&mut self) {
        if !self.increment {
            return;
        }
        // Within the output registers the address rolls over, so that a long read yields sample after sample.
        self.pointer = if self.pointer == OUT_Z_H && self.streaming() { OUT_X_L } else { (self.pointer + 1) & 0x3F };
    }
}

impl Default for Lis2dh12Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Chip for Lis2dh12Model {
    fn write(&mut self, now_ns: u64, bytes: &[u8]) -> bool {
        self.sample(now_ns);
        let &[address, ref values @ ..] = bytes else { return true };
        (self.pointer, self.increment) = (address & 0x3F, address & 0x80 != 0);
        for &value in values {
            self.set(self.pointer, value);
            self.advance_pointer();
        }
        true
    }

    fn read(&mut self, now_ns: u64, buffer: &mut [u8]) {
        self.sample(now_ns);
        for byte in buffer {
            *byte = self.get(self.pointer);
            self.advance_pointer();
        }
    }
}
