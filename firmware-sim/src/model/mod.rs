//! What a machine is and does, without any wire: states, parts, heat, vibration, power, wear and faults.
//!
//! Pure: it is given the time and a seed, and does no I/O. [`machine::Machine`] owns one machine; [`schedule`] says when its state changes
//! next, [`physics`] how it warms and shakes, [`fault`] what is wrong with it and from when to when.
//!
//! Invariant: states and parts depend on seed and start alone, not on how often or in what steps the machine is asked.

pub mod fault;
pub mod machine;
pub mod physics;
pub mod schedule;

use serde::Serialize;

pub use fault::{FaultKind, FaultSpec};
pub use machine::{Counters, Machine, MachineSpec, Step};
pub use physics::Physical;

/// What a machine is doing; stands until the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    Producing,
    Idle,
    Setup,
    PlannedStop,
    UnplannedStop,
}

impl MachineState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Producing, Self::Idle, Self::Setup, Self::PlannedStop, Self::UnplannedStop];

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Producing => "producing",
            Self::Idle => "idle",
            Self::Setup => "setup",
            Self::PlannedStop => "planned_stop",
            Self::UnplannedStop => "unplanned_stop",
        }
    }

    /// The code in the Modbus register (0 is `offline`, which a machine that answers never is).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Producing => 1,
            Self::Idle => 2,
            Self::Setup => 3,
            Self::PlannedStop => 4,
            Self::UnplannedStop => 5,
        }
    }
}

/// What is measured at a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    SpindleTemperature,
    VibrationVelocity,
    ActivePower,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 3] = [Self::SpindleTemperature, Self::VibrationVelocity, Self::ActivePower];

    /// The name in JSON and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SpindleTemperature => "spindle_temperature",
            Self::VibrationVelocity => "vibration_velocity",
            Self::ActivePower => "active_power",
        }
    }
}
