//! Faults that are injected on purpose, with the truth of when each began and ended.
//!
//! Invariant: a fault acts within `[from, to)` only; after that the machine or the sensor counts as repaired.

use std::time::Duration;

use serde::Serialize;

use super::Signal;
use crate::moment::Moment;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Vibration climbs steadily by `magnitude` mm/s over the fault's time; friction warms the spindle a little.
    BearingWear,
    /// The spindle is `magnitude` degrees too hot.
    TemperatureSpike,
    /// The sensor repeats its last value: a flat line.
    StuckSensor,
    /// The sensor's noise grows by `magnitude` (standard deviation, in the signal's unit).
    Noise,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::BearingWear, Self::TemperatureSpike, Self::StuckSensor, Self::Noise];

    /// The name in JSON and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BearingWear => "bearing_wear",
            Self::TemperatureSpike => "temperature_spike",
            Self::StuckSensor => "stuck_sensor",
            Self::Noise => "noise",
        }
    }

    /// The only signal that the fault can show on; `None`: the configuration must say which.
    #[must_use]
    pub const fn own_signal(self) -> Option<Signal> {
        match self {
            Self::BearingWear => Some(Signal::VibrationVelocity),
            Self::TemperatureSpike => Some(Signal::SpindleTemperature),
            Self::StuckSensor | Self::Noise => None,
        }
    }
}

/// A fault to inject, with times relative to the machine's start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultSpec {
    pub kind: FaultKind,
    pub signal: Signal,
    pub after: Duration,
    pub lasts: Duration,
    pub magnitude: f64,
}

/// The same with moments, once the machine has started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    pub kind: FaultKind,
    pub signal: Signal,
    pub from: Moment,
    pub to: Moment,
    pub magnitude: f64,
}

impl Fault {
    /// Fixes `spec` in time.
    #[must_use]
    pub fn starting(spec: &FaultSpec, start: Moment) -> Self {
        let from = start.plus(spec.after);
        Self { kind: spec.kind, signal: spec.signal, from, to: from.plus(spec.lasts), magnitude: spec.magnitude }
    }

    /// Whether it acts at `now`.
    #[must_use]
    pub fn active(&self, now: Moment) -> bool {
        self.from <= now && now < self.to
    }

    /// How far the fault has come at `now`, 0 to 1; 0 while it does not act.
    #[must_use]
    pub fn progress(&self, now: Moment) -> f64 {
        if !self.active(now) {
            return 0.0;
        }
        now.since(self.from).as_secs_f64() / self.to.since(self.from).as_secs_f64()
    }
}
