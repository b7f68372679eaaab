//! The sums of a period, and the ratios made of them.
//!
//! Stands between `energy::profile` and the answer; roll-ups over machines and periods add these. Pure.
//!
//! Invariants: the energy of the states, that of no known state included, is the energy of the whole. Sums of neighbouring periods, or of several
//! machines, add up; ratios are made of sums and never averaged.
//!
//! Energy per part is E / PQ (ISO 22400-2), over the parts that were metered: each count is weighted by the share of its time for which there is power,
//! so that a hole does not make parts look cheap.

use std::ops::AddAssign;

use protocol::MachineState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::profile::Used;

/// Energy, and the time for which it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct EnergyTime {
    pub kwh: f64,
    /// Time with power, interpolated included.
    pub known_s: f64,
    pub total_s: f64,
}

impl From<Used> for EnergyTime {
    fn from(used: Used) -> Self {
        Self { kwh: used.kwh, known_s: used.known_us() as f64 / 1e6, total_s: used.total_us as f64 / 1e6 }
    }
}

impl AddAssign for EnergyTime {
    fn add_assign(&mut self, other: Self) {
        self.kwh += other.kwh;
        self.known_s += other.known_s;
        self.total_s += other.total_s;
    }
}

/// Energy by what the machine did.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct StateEnergy {
    pub producing: EnergyTime,
    pub idle: EnergyTime,
    pub setup: EnergyTime,
    pub planned_stop: EnergyTime,
    pub unplanned_stop: EnergyTime,
    pub offline: EnergyTime,
    /// No state is known.
    pub unknown: EnergyTime,
}

impl StateEnergy {
    pub fn of(&self, state: Option<MachineState>) -> &EnergyTime {
        match state {
            Some(MachineState::Producing) => &self.producing,
            Some(MachineState::Idle) => &self.idle,
            Some(MachineState::Setup) => &self.setup,
            Some(MachineState::PlannedStop) => &self.planned_stop,
            Some(MachineState::UnplannedStop) => &self.unplanned_stop,
            Some(MachineState::Offline) => &self.offline,
            None => &self.unknown,
        }
    }

    pub(super) fn of_mut(&mut self, state: Option<MachineState>) -> &mut EnergyTime {
        match state {
            Some(MachineState::Producing) => &mut self.producing,
            Some(MachineState::Idle) => &mut self.idle,
            Some(MachineState::Setup) => &mut self.setup,
            Some(MachineState::PlannedStop) => &mut self.planned_stop,
            Some(MachineState::UnplannedStop) => &mut self.unplanned_stop,
            Some(MachineState::Offline) => &mut self.offline,
            None => &mut self.unknown,
        }
    }

    /// Of all states but the unknown one.
    fn known_kwh(&self) -> f64 {
        MachineState::ALL.iter().map(|s| self.of(Some(*s)).kwh).sum()
    }
}

impl AddAssign for StateEnergy {
    fn add_assign(&mut self, other: Self) {
        for state in MachineState::ALL.iter().copied().map(Some).chain([None]) {
            *self.of_mut(state) += *other.of(state);
        }
    }
}

/// Everything of a period that adds up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct EnergyTotals {
    /// Energy that is known in time: measured and interpolated.
    pub kwh: f64,
    /// Part of `kwh`.
    pub interpolated_kwh: f64,
    /// On top of `kwh`: what a counter went on by over a hole. In no state, shift, demand or cost.
    pub undated_kwh: f64,
    pub measured_s: f64,
    pub interpolated_s: f64,
    pub period_s: f64,
    pub by_state: StateEnergy,
    /// Parts whose count ended in the period.
    pub produced: u64,
    /// Without rejected and reworked ones.
    pub good: u64,
    /// `produced`, weighted by the share of their time for which there is power.
    pub produced_metered: f64,
    pub good_metered: f64,
}

impl EnergyTotals {
    pub(super) fn used(used: Used) -> Self {
        Self {
            kwh: used.kwh,
            interpolated_kwh: used.interpolated_kwh,
            undated_kwh: used.undated_kwh,
            measured_s: used.measured_us as f64 / 1e6,
            interpolated_s: used.interpolated_us as f64 / 1e6,
            period_s: used.total_us as f64 / 1e6,
            ..Self::default()
        }
    }

    pub fn ratios(&self) -> EnergyRatios {
        let known_kwh = self.by_state.known_kwh();
        let known_s = self.measured_s + self.interpolated_s;
        EnergyRatios {
            per_part_kwh: ratio(self.kwh, self.produced_metered),
            per_good_part_kwh: ratio(self.kwh, self.good_metered),
            non_producing_share: ratio(known_kwh - self.by_state.producing.kwh, known_kwh),
            mean_kw: ratio(self.kwh, known_s / 3_600.0),
            coverage: ratio(known_s, self.period_s).unwrap_or(0.0),
            measured_share: ratio(self.measured_s, self.period_s).unwrap_or(0.0),
        }
    }
}

impl AddAssign for EnergyTotals {
    fn add_assign(&mut self, other: Self) {
        self.kwh += other.kwh;
        self.interpolated_kwh += other.interpolated_kwh;
        self.undated_kwh += other.undated_kwh;
        self.measured_s += other.measured_s;
        self.interpolated_s += other.interpolated_s;
        self.period_s += other.period_s;
        self.by_state += other.by_state;
        self.produced = self.produced.saturating_add(other.produced);
        self.good = self.good.saturating_add(other.good);
        self.produced_metered += other.produced_metered;
        self.good_metered += other.good_metered;
    }
}

/// Ratios of the sums; `None` where the divisor is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnergyRatios {
    pub per_part_kwh: Option<f64>,
    pub per_good_part_kwh: Option<f64>,
    /// Of the energy in known states, the share in all but `producing`.
    pub non_producing_share: Option<f64>,
    pub mean_kw: Option<f64>,
    /// Share of the period for which there is power, interpolated included.
    pub coverage: f64,
    pub measured_share: f64,
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b).filter(|r| r.is_finite())
}
