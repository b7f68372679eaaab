//! How a machine warms, shakes and draws power: first-order lags towards what its state asks for.
//!
//! The lags are integrated exactly (targets are constant between two events), so that the result does not depend on the step.
//!
//! Invariant: values are finite and within what the sensors can measure.

use std::time::Duration;

use super::{MachineState, Signal};

/// Temperature of the air in the control cabinet.
pub const CABINET_CELSIUS: f64 = 24.0;

/// True physical values at a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Physical {
    /// °C
    pub spindle_temperature: f64,
    /// mm/s RMS
    pub vibration_velocity: f64,
    /// kW
    pub active_power: f64,
}

impl Physical {
    /// The value of one signal.
    #[must_use]
    pub fn get(&self, signal: Signal) -> f64 {
        match signal {
            Signal::SpindleTemperature => self.spindle_temperature,
            Signal::VibrationVelocity => self.vibration_velocity,
            Signal::ActivePower => self.active_power,
        }
    }

    /// The place of one signal's value.
    pub fn get_mut(&mut self, signal: Signal) -> &mut f64 {
        match signal {
            Signal::SpindleTemperature => &mut self.spindle_temperature,
            Signal::VibrationVelocity => &mut self.vibration_velocity,
            Signal::ActivePower => &mut self.active_power,
        }
    }

    /// Keeps every value within what the sensors can measure.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            spindle_temperature: self.spindle_temperature.clamp(-20.0, 250.0),
            vibration_velocity: self.vibration_velocity.clamp(0.0, 40.0),
            active_power: self.active_power.clamp(0.0, 60.0),
        }
    }
}

/// What differs between machines of a kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Character {
    /// Spindle temperature that long production settles at, °C.
    pub warm_celsius: f64,
    /// Vibration of a sound machine that produces, mm/s RMS.
    pub vibration_mm_s: f64,
    /// Power at full load, kW.
    pub power_kw: f64,
    /// Growth of vibration by slow wear, mm/s an hour of production.
    pub wear_mm_s_per_hour: f64,
    /// Time constant of the spindle's warming.
    pub thermal_lag: Duration,
}

const VIBRATION_LAG_S: f64 = 0.8;
const POWER_LAG_S: f64 = 0.5;

/// The machine's slowly changing body.
#[derive(Debug, Clone)]
pub struct Body {
    character: Character,
    now: Physical,
    produced: Duration,
}

impl Body {
    /// A body at rest.
    #[must_use]
    pub fn new(character: Character) -> Self {
        let mut body = Self {
            character,
            now: Physical { spindle_temperature: CABINET_CELSIUS, vibration_velocity: 0.0, active_power: 0.0 },
            produced: Duration::ZERO,
        };
        body.now = body.target(MachineState::PlannedStop, 1.0);
        body
    }

    /// Lets `span` pass in `state`, under `load` (1 is nominal).
    pub fn pass(&mut self, span: Duration, state: MachineState, load: f64) {
        let target = self.target(state, load);
        let dt = span.as_secs_f64();
        let thermal = self.character.thermal_lag.as_secs_f64();
        for (signal, lag) in
            [(Signal::SpindleTemperature, thermal), (Signal::VibrationVelocity, VIBRATION_LAG_S), (Signal::ActivePower, POWER_LAG_S)]
        {
            let value = self.now.get_mut(signal);
            *value += (target.get(signal) - *value) * (1.0 - (-dt / lag).exp());
        }
        if state == MachineState::Producing {
            self.produced += span;
        }
    }

    /// The values now, without noise and faults.
    #[must_use]
    pub fn now(&self) -> Physical {
        self.now
    }

    fn target(&self, state: MachineState, load: f64) -> Physical {
        let Character { warm_celsius, vibration_mm_s, power_kw, wear_mm_s_per_hour, .. } = self.character;
        let wear = wear_mm_s_per_hour * self.produced.as_secs_f64() / 3600.0;
        let rise = warm_celsius - CABINET_CELSIUS;
        let (heat, shake, draw) = match state {
            MachineState::Producing => (1.0, 1.0, load),
            MachineState::Setup => (0.55, 0.45, 0.4),
            MachineState::Idle => (0.5, 0.3, 0.28),
            MachineState::UnplannedStop => (0.35, 0.15, 0.15),
            MachineState::PlannedStop => (0.3, 0.12, 0.08),
        };
        Physical {
            spindle_temperature: CABINET_CELSIUS + rise * heat,
            vibration_velocity: (vibration_mm_s + wear) * shake,
            active_power: power_kw * draw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn character() -> Character {
        Character { warm_celsius: 60.0, vibration_mm_s: 1.8, power_kw: 4.5, wear_mm_s_per_hour: 0.0, thermal_lag: Duration::from_secs(25) }
    }

    #[test]
    fn the_spindle_lags_behind_and_settles_where_it_should() {
        let mut body = Body::new(character());
        let cold = body.now().spindle_temperature;
        body.pass(Duration::from_secs(25), MachineState::Producing, 1.0);
        let after_one_lag = (body.now().spindle_temperature - cold) / (60.0 - cold);
        assert!((after_one_lag - 0.632).abs() < 0.001, "{after_one_lag}");
        body.pass(Duration::from_secs(1_000), MachineState::Producing, 1.0);
        assert!((body.now().spindle_temperature - 60.0).abs() < 1e-6);
    }

    #[test]
    fn the_result_does_not_depend_on_the_step() {
        let (mut coarse, mut fine) = (Body::new(character()), Body::new(character()));
        coarse.pass(Duration::from_secs(10), MachineState::Producing, 1.1);
        for _ in 0..1_000 {
            fine.pass(Duration::from_millis(10), MachineState::Producing, 1.1);
        }
        for signal in Signal::ALL {
            assert!((coarse.now().get(signal) - fine.now().get(signal)).abs() < 1e-9);
        }
    }

    #[test]
    fn wear_shows_only_after_production() {
        let mut body = Body::new(Character { wear_mm_s_per_hour: 1.0, ..character() });
        body.pass(Duration::from_secs(3_600), MachineState::Idle, 1.0);
        body.pass(Duration::from_secs(3_600), MachineState::Producing, 1.0);
        body.pass(Duration::from_secs(60), MachineState::Producing, 1.0);
        let vibration = body.now().vibration_velocity;
        assert!((vibration - 2.8).abs() < 0.02, "{vibration}");
    }
}
