//! The firmware of a sensor node: four chips on one I2C bus, read through unmodified driver crates.
//!
//! Written against `embedded-hal` alone, without heap, threads or `std`, so that the same source runs on a microcontroller (with
//! `embedded_hal_bus::i2c::RefCellDevice` as bus handle) and here on [`crate::bus::SimI2c`].
//!
//! | chip | address | measures | becomes |
//! |---|---|---|---|
//! | BME280 | 0x76 | air in the cabinet | cold junction of the thermocouple |
//! | ADS1115 | 0x48, A0 | thermocouple amplifier, 5 mV/K above the cold junction | `spindle_temperature` |
//! | LIS2DH12 | 0x18 | acceleration of the housing | `vibration_velocity` |
//! | INA219 | 0x40 | current of the power transducer at 24 V, 1:1000 | `active_power` |
//!
//! Invariant: a chip that fails costs its own signal and nothing else.

use core::f32::consts::TAU;

use ads1x1x::{Ads1x1x, TargetAddr, channel, ic, mode};
use bme280::i2c::BME280;
use embedded_hal::{delay::DelayNs, i2c::I2c};
use ina219::{SyncIna219, address::Address, calibration::UnCalibrated};
use lis2dh12::{FifoMode, FullScale, Lis2dh12, Mode, Odr, RawAccelerometer, SlaveAddr};

/// Where the chips are.
pub const BME280_ADDRESS: u8 = 0x76;
pub const ADS1115_ADDRESS: u8 = 0x48;
pub const LIS2DH12_ADDRESS: u8 = 0x18;
pub const INA219_ADDRESS: u8 = 0x40;

/// Output of the thermocouple amplifier.
pub const VOLTS_PER_KELVIN: f32 = 0.005;
/// What a watt at the transducer's output stands for.
pub const TRANSDUCER_RATIO: f32 = 1_000.0;
/// The shunt of the INA219.
pub const SHUNT_OHMS: f32 = 0.1;
/// The shaft turns at 3000 a minute: vibration is taken as a sine of this frequency.
pub const SHAFT_HERTZ: f32 = 50.0;

/// Volts of one count at the gain used, ±2.048 V.
const VOLTS_PER_COUNT: f32 = 2.048 / 32_768.0;
/// A FIFO's worth: four turns of the shaft at 400 samples a second.
const SAMPLES: usize = 32;
const SAMPLING_MS: u32 = 82;
const STANDARD_GRAVITY_MM_S2: f32 = 9_806.65;
/// Polls of a conversion that takes 8 ms, a millisecond apart.
const CONVERSION_POLLS: u32 = 50;

/// Why a signal could not be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SensorError {
    /// The chip did not answer at start or answers as another one.
    Absent(&'static str),
    /// A transfer failed, or the chip gave no result in time.
    Failed(&'static str),
    /// The value is outside of what the chip can measure.
    OutOfRange(&'static str),
}

impl core::fmt::Display for SensorError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Absent(chip) => write!(f, "{chip} does not answer"),
            Self::Failed(chip) => write!(f, "{chip} failed"),
            Self::OutOfRange(chip) => write!(f, "{chip} is out of range"),
        }
    }
}

impl core::error::Error for SensorError {}

/// One measurement of everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// °C
    pub cabinet_temperature: Result<f32, SensorError>,
    /// °C
    pub spindle_temperature: Result<f32, SensorError>,
    /// mm/s RMS
    pub vibration_velocity: Result<f32, SensorError>,
    /// kW
    pub active_power: Result<f32, SensorError>,
}

/// The node, generic over its bus and its delay.
pub struct SensorNode<B: I2c, D: DelayNs> {
    air: Result<BME280<B>, SensorError>,
    thermocouple: Ads1x1x<B, ic::Ads1115, ic::Resolution16Bit, mode::OneShot>,
    vibration: Result<Lis2dh12<B>, SensorError>,
    power: Result<SyncIna219<B, UnCalibrated>, SensorError>,
    delay: D,
}

impl<B: I2c, D: DelayNs> SensorNode<B, D> {
    /// Initialises the chips. `handle` gives a handle on the bus for each of them.
    pub fn start(mut handle: impl FnMut() -> B, mut delay: D) -> Self {
        Self {
            air: start_air(handle(), &mut delay),
            thermocouple: Ads1x1x::new_ads1115(handle(), TargetAddr::Gnd),
            vibration: start_vibration(handle()),
            power: start_power(handle()),
            delay,
        }
    }

    /// Measures everything once.
    pub fn sample(&mut self) -> Sample {
        let cabinet_temperature = self.cabinet_temperature();
        Sample {
            cabinet_temperature,
            spindle_temperature: cabinet_temperature.and_then(|cold_junction| Ok(cold_junction + self.thermocouple_kelvin()?)),
            vibration_velocity: self.vibration_velocity(),
            active_power: self.active_power(),
        }
    }

    fn cabinet_temperature(&mut self) -> Result<f32, SensorError> {
        let air = self.air.as_mut().map_err(|error| *error)?;
        air.measure(&mut self.delay).map(|air| air.temperature).map_err(|_| SensorError::Failed("bme280"))
    }

    fn thermocouple_kelvin(&mut self) -> Result<f32, SensorError> {
        for _ in 0..CONVERSION_POLLS {
            match self.thermocouple.read(channel::SingleA0) {
                Ok(i16::MAX) => return Err(SensorError::OutOfRange("ads1115")),
                Ok(counts) => return Ok(f32::from(counts) * VOLTS_PER_COUNT / VOLTS_PER_KELVIN),
                Err(nb::Error::WouldBlock) => self.delay.delay_ms(1),
                Err(nb::Error::Other(_)) => return Err(SensorError::Failed("ads1115")),
            }
        }
        Err(SensorError::Failed("ads1115"))
    }

    /// RMS of the alternating part along x, integrated to velocity at the shaft's frequency: v = a / (2 pi f).
    fn vibration_velocity(&mut self) -> Result<f32, SensorError> {
        const FAILED: SensorError = SensorError::Failed("lis2dh12");
        let chip = self.vibration.as_mut().map_err(|error| *error)?;
        chip.set_fm(FifoMode::Bypass).map_err(|_| FAILED)?;
        chip.set_fm(FifoMode::Stream).map_err(|_| FAILED)?;
        self.delay.delay_ms(SAMPLING_MS);
        let (mut sum, mut squares) = (0_i64, 0_i64);
        for _ in 0..SAMPLES {
            let digits = i64::from(chip.accel_raw().map_err(|_| FAILED)?.x >> 4);
            if digits.abs() >= 2_047 {
                return Err(SensorError::OutOfRange("lis2dh12"));
            }
            sum += digits;
            squares += digits * digits;
        }
        let count = SAMPLES as i64;
        // Variance times count squared, in whole numbers: no square root of floats without a maths library.
        let spread = (squares * count - sum * sum).unsigned_abs();
        let rms_digits = (spread << 16).isqrt() as f32 / 256.0 / SAMPLES as f32;
        // At ±4 g a digit is 2 mg.
        Ok(rms_digits * 0.002 * STANDARD_GRAVITY_MM_S2 / (TAU * SHAFT_HERTZ))
    }

    fn active_power(&mut self) -> Result<f32, SensorError> {
        let chip = self.power.as_mut().map_err(|error| *error)?;
        // One conversion of both voltages.
        self.delay.delay_us(1_100);
        let measured = chip.next_measurement().map_err(|_| SensorError::Failed("ina219"))?.ok_or(SensorError::Failed("ina219"))?;
        let amperes = f32::from(measured.shunt_voltage.shunt_voltage_10uv()) * 1e-5 / SHUNT_OHMS;
        let watts = f32::from(measured.bus_voltage.voltage_mv()) * 1e-3 * amperes;
        Ok(watts * TRANSDUCER_RATIO / 1_000.0)
    }
}

fn start_air<B: I2c>(bus: B, delay: &mut impl DelayNs) -> Result<BME280<B>, SensorError> {
    let mut chip = BME280::new(bus, BME280_ADDRESS);
    chip.init_with_config(delay, bme280::Configuration::default()).map_err(|_| SensorError::Absent("bme280"))?;
    Ok(chip)
}

fn start_vibration<B: I2c>(bus: B) -> Result<Lis2dh12<B>, SensorError> {
    const ABSENT: SensorError = SensorError::Absent("lis2dh12");
    let mut chip = Lis2dh12::new(bus, SlaveAddr::Default).map_err(|_| ABSENT)?;
    chip.set_mode(Mode::HighResolution).map_err(|_| ABSENT)?;
    chip.set_fs(FullScale::G4).map_err(|_| ABSENT)?;
    chip.enable_axis((true, true, true)).map_err(|_| ABSENT)?;
    chip.set_odr(Odr::Hz400).map_err(|_| ABSENT)?;
    chip.enable_fifo(true).map_err(|_| ABSENT)?;
    Ok(chip)
}

fn start_power<B: I2c>(bus: B) -> Result<SyncIna219<B, UnCalibrated>, SensorError> {
    let address = Address::from_byte(INA219_ADDRESS).map_err(|_| SensorError::Absent("ina219"))?;
    SyncIna219::new(bus, address).map_err(|_| SensorError::Absent("ina219"))
}
