//! A machine's instruments: the chips on its bus feel what the machine is, and the node's firmware reads them.
//!
//! Stands between [`crate::model`] and the links. Everything that an MQTT machine publishes has gone through register-level models and
//! unmodified driver crates.

use crate::{
    bus::{Ads1115Model, Attached, Bme280Model, Ina219Model, Lis2dh12Model, SimDelay, SimI2c, bme280::Air, lis2dh12::Shaking},
    device::{self, Sample, SensorNode},
    model::{Physical, physics::CABINET_CELSIUS},
};

const TRANSDUCER_VOLTS: f64 = 24.0;
const STANDARD_GRAVITY_MM_S2: f64 = 9_806.65;

/// The bus of one machine with its chips, and the node that reads it.
pub struct Instruments {
    thermocouple: Attached<Ads1115Model>,
    vibration: Attached<Lis2dh12Model>,
    power: Attached<Ina219Model>,
    bus: SimI2c,
    node: SensorNode<SimI2c, SimDelay>,
}

impl Instruments {
    /// Wires everything up and starts the node.
    #[must_use]
    pub fn new() -> Self {
        let bus = SimI2c::new();
        bus.attach(device::BME280_ADDRESS, Bme280Model::new(Air { celsius: CABINET_CELSIUS, pascal: 101_325.0, relative_humidity: 40.0 }));
        let thermocouple = bus.attach(device::ADS1115_ADDRESS, Ads1115Model::new());
        let vibration = bus.attach(device::LIS2DH12_ADDRESS, Lis2dh12Model::new());
        let power = bus.attach(device::INA219_ADDRESS, Ina219Model::new(f64::from(device::SHUNT_OHMS)));
        let node = SensorNode::start(|| bus.clone(), bus.delay());
        Self { thermocouple, vibration, power, bus, node }
    }

    /// Lets the chips feel `physical`, and measures.
    pub fn measure(&mut self, physical: &Physical) -> Sample {
        let rise = physical.spindle_temperature - CABINET_CELSIUS;
        self.thermocouple.lock().inputs[0] = rise * f64::from(device::VOLTS_PER_KELVIN);
        let hertz = f64::from(device::SHAFT_HERTZ);
        let rms_g = physical.vibration_velocity * std::f64::consts::TAU * hertz / STANDARD_GRAVITY_MM_S2;
        self.vibration.lock().shaking = Shaking { rms_g, hertz };
        let watts = physical.active_power * 1_000.0 / f64::from(device::TRANSDUCER_RATIO);
        {
            let mut power = self.power.lock();
            (power.volts, power.amperes) = (TRANSDUCER_VOLTS, watts / TRANSDUCER_VOLTS);
        }
        self.node.sample()
    }

    /// The wires, to break them on purpose.
    #[must_use]
    pub fn bus(&self) -> &SimI2c {
        &self.bus
    }
}

impl Default for Instruments {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn physical(spindle_temperature: f64, vibration_velocity: f64, active_power: f64) -> Physical {
        Physical { spindle_temperature, vibration_velocity, active_power }
    }

    #[test]
    fn what_the_machine_is_comes_out_of_the_drivers_within_the_resolution_of_the_chips() {
        let mut instruments = Instruments::new();
        for (celsius, mm_s, kw) in [(24.0, 0.0, 0.0), (31.3, 0.2, 0.35), (58.72, 1.83, 4.41), (95.0, 8.5, 12.0), (240.0, 25.0, 60.0)] {
            let sample = instruments.measure(&physical(celsius, mm_s, kw));
            let spindle = f64::from(sample.spindle_temperature.unwrap());
            // BME280 0.01 K and a count of the ADC, 0.0125 K.
            assert!((spindle - celsius).abs() < 0.025, "{spindle} for {celsius}");
            let vibration = f64::from(sample.vibration_velocity.unwrap());
            // A digit of 2 mg is 0.0624 mm/s at 50 Hz.
            assert!((vibration - mm_s).abs() < 0.0625, "{vibration} for {mm_s}");
            let power = f64::from(sample.active_power.unwrap());
            // 10 uV across the shunt is 2.4 W after the transducer, 4 mV of 24 V is 0.02 %.
            assert!((power - kw).abs() < 0.0025 + kw * 2e-4, "{power} for {kw}");
        }
    }

    #[test]
    fn a_silent_chip_costs_its_own_signal_and_comes_back() {
        let mut instruments = Instruments::new();
        instruments.bus().set_silent(device::LIS2DH12_ADDRESS, true);
        let sample = instruments.measure(&physical(50.0, 2.0, 4.0));
        assert_eq!(sample.vibration_velocity, Err(device::SensorError::Failed("lis2dh12")));
        assert!(sample.spindle_temperature.is_ok() && sample.active_power.is_ok());
        instruments.bus().set_silent(device::LIS2DH12_ADDRESS, false);
        assert!(instruments.measure(&physical(50.0, 2.0, 4.0)).vibration_velocity.is_ok());
    }

    #[test]
    fn a_bus_that_is_held_low_fails_every_signal_and_recovers() {
        let mut instruments = Instruments::new();
        instruments.bus().set_stuck(true);
        let sample = instruments.measure(&physical(50.0, 2.0, 4.0));
        assert!(sample.spindle_temperature.is_err() && sample.vibration_velocity.is_err() && sample.active_power.is_err());
        instruments.bus().set_stuck(false);
        assert!(instruments.measure(&physical(50.0, 2.0, 4.0)).spindle_temperature.is_ok());
    }
}
