//! BME280: air temperature, pressure and humidity, as raw ADC counts behind factory calibration.
//!
//! The model inverts the datasheet's compensation: it looks for the counts from which a driver computes the value that is felt. Registers:
//! 0xD0 id, 0xE0 reset, 0x88.. and 0xE1.. calibration, 0xF2 ctrl_hum, 0xF3 status, 0xF4 ctrl_meas, 0xF5 config, 0xF7.. data.

use super::Chip;

const ID: u8 = 0x60;
const RESET: u8 = 0xB6;
/// Longest conversion with all oversampling at 1, datasheet 9.1.
const CONVERSION_NS: u64 = 9_300_000;

/// Factory calibration, the datasheet's own example.
const T: [f64; 3] = [27_504.0, 26_435.0, -1_000.0];
const P: [f64; 9] = [36_477.0, -10_685.0, 3_024.0, 2_855.0, 140.0, -7.0, 15_500.0, -14_600.0, 6_000.0];
const H: [f64; 6] = [75.0, 361.0, 0.0, 313.0, 50.0, 30.0];

/// What the chip feels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Air {
    pub celsius: f64,
    pub pascal: f64,
    pub relative_humidity: f64,
}

#[derive(Debug)]
pub struct Bme280Model {
    pub air: Air,
    pointer: u8,
    control_humidity: u8,
    control_measure: u8,
    config: u8,
    data: [u8; 8],
    ready_ns: Option<u64>,
}

impl Bme280Model {
    #[must_use]
    pub fn new(air: Air) -> Self {
        Self { air, pointer: 0, control_humidity: 0, control_measure: 0, config: 0, data: RESET_DATA, ready_ns: None }
    }

    fn reset(&mut self) {
        *self = Self::new(self.air);
    }

    fn set(&mut self, register: u8, value: u8, now_ns: u64) {
        match register {
            0xE0 if value == RESET => self.reset(),
            0xF2 => self.control_humidity = value & 0x07,
            0xF4 => {
                self.control_measure = value;
                if value & 0x03 != 0 {
                    self.ready_ns = Some(now_ns + CONVERSION_NS);
                }
            }
            0xF5 => self.config = value,
            _ => {}
        }
    }

    fn get(&self, register: u8) -> u8 {
        match register {
            0x88..=0xA1 => temperature_and_pressure_calibration()[usize::from(register - 0x88)],
            0xD0 => ID,
            0xE1..=0xE7 => humidity_calibration()[usize::from(register - 0xE1)],
            0xF2 => self.control_humidity,
            0xF3 => u8::from(self.ready_ns.is_some()) << 3,
            0xF4 => self.control_measure,
            0xF5 => self.config,
            0xF7..=0xFE => self.data[usize::from(register - 0xF7)],
            _ => 0,
        }
    }

    /// Finishes a conversion whose time has come; a forced measurement ends in sleep.
    fn convert(&mut self, now_ns: u64) {
        if self.ready_ns.is_none_or(|ready| now_ns < ready) {
            return;
        }
        self.ready_ns = None;
        if self.control_measure & 0x03 != 0x03 {
            self.control_measure &= !0x03;
        }
        let temperature = search(1 << 20, true, |raw| fine_temperature(raw) / 5_120.0, self.air.celsius);
        let fine = fine_temperature(f64::from(temperature)).trunc();
        let pressure = search(1 << 20, false, |raw| pascal(raw, fine), self.air.pascal);
        let humidity = search(1 << 16, true, |raw| relative_humidity(raw, fine), self.air.relative_humidity);
        let twenty_bits = |raw: u32| [(raw >> 12) as u8, (raw >> 4) as u8, ((raw & 0x0F) << 4) as u8];
        self.data[0..3].copy_from_slice(&twenty_bits(pressure));
        self.data[3..6].copy_from_slice(&twenty_bits(temperature));
        self.data[6..8].copy_from_slice(&(humidity as u16).to_be_bytes());
    }
}

/// What the data registers hold before the first conversion.
const RESET_DATA: [u8; 8] = [0x80, 0, 0, 0x80, 0, 0, 0x80, 0];

impl Chip for Bme280Model {
    /// A pointer alone, or pairs of register and value.
    fn write(&mut self, now_ns: u64, bytes: &[u8]) -> bool {
        self.convert(now_ns);
        match bytes {
            [] => {}
            [pointer] => self.pointer = *pointer,
            pairs => {
                for pair in pairs.chunks_exact(2) {
                    self.set(pair[0], pair[1], now_ns);
                }
            }
        }
        true
    }

    fn read(&mut self, now_ns: u64, buffer: &mut [u8]) {
        self.convert(now_ns);
        for byte in buffer {
            *byte = self.get(self.pointer);
            self.pointer = self.pointer.wrapping_add(1);
        }
    }
}

fn temperature_and_pressure_calibration() -> [u8; 26] {
    let mut bytes = [0; 26];
    for (index, word) in T.iter().chain(&P).enumerate() {
        let raw = if *word > f64::from(i16::MAX) { *word as u16 } else { (*word as i16).cast_unsigned() };
        bytes[2 * index..2 * index + 2].copy_from_slice(&raw.to_le_bytes());
    }
    bytes[25] = H[0] as u8;
    bytes
}

/// H4 and H5 are twelve bits each and share the byte 0xE5.
fn humidity_calibration() -> [u8; 7] {
    let (h2, h4, h5) = (H[1] as i16, H[3] as i16, H[4] as i16);
    let [low, high] = h2.to_le_bytes();
    let shared = ((h4 & 0x0F) | ((h5 & 0x0F) << 4)) as u8;
    [low, high, H[2] as u8, (h4 >> 4) as u8, shared, (h5 >> 4) as u8, H[5] as u8]
}

fn fine_temperature(raw: f64) -> f64 {
    let first = (raw / 16_384.0 - T[0] / 1_024.0) * T[1];
    let second = (raw / 131_072.0 - T[0] / 8_192.0).powi(2) * T[2];
    first + second
}

fn pascal(raw: f64, fine: f64) -> f64 {
    let offset = fine / 2.0 - 64_000.0;
    let low = (offset * offset * P[5] / 32_768.0 + offset * P[4] * 2.0) / 4.0 + P[3] * 65_536.0;
    let gain = (P[2] * offset * offset / 524_288.0 + P[1] * offset) / 524_288.0;
    let gain = (1.0 + gain / 32_768.0) * P[0];
    let value = (1_048_576.0 - raw - low / 4_096.0) * 6_250.0 / gain;
    value + (P[8] * value * value / 2_147_483_648.0 + value * P[7] / 32_768.0 + P[6]) / 16.0
}

fn relative_humidity(raw: f64, fine: f64) -> f64 {
    let offset = fine - 76_800.0;
    let base = raw - (H[3] * 64.0 + H[4] / 16_384.0 * offset);
    let slope = 1.0 + H[2] / 67_108_864.0 * offset;
    let value = base * (H[1] / 65_536.0 * (slope * (1.0 + H[5] / 67_108_864.0 * offset * slope)));
    value * (1.0 - H[0] * value / 524_288.0)
}

/// The counts in `0..end` whose compensated value comes nearest to `wanted`, by bisection.
fn search(end: u32, rising: bool, compensate: impl Fn(f64) -> f64, wanted: f64) -> u32 {
    let below = |raw: u32| (compensate(f64::from(raw)) < wanted) == rising;
    let (mut low, mut high) = (0, end - 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let error = |raw: u32| (compensate(f64::from(raw)) - wanted).abs();
    if low > 0 && error(low - 1) < error(low) { low - 1 } else { low }
}
