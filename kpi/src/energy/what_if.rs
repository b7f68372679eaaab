//! What would have been saved if a machine were switched off in standing times longer than a limit.
//!
//! Stands between states, `energy::profile` and the answer. Pure.
//!
//! A standing time is a stretch of neighbouring intervals in the given states, also where it began before the period. From `after_s` after its
//! beginning, to its end, power falls to `standby_kw`; each time costs `restart_kwh`, when it ends. Saved is what was used less what would have
//! been: it may be negative where a restart costs more than standing. Only the part of it in the period counts, and only time for which there is
//! power, so the savings of neighbouring periods add up.

use protocol::{MachineState, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{StateInterval, profile::Profile};
use crate::field::Faults;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchOff {
    pub after_s: f64,
    /// `None`: idle alone.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, example = json!(["idle"]))]
    pub states: Option<Vec<MachineState>>,
    #[serde(default)]
    pub standby_kw: f64,
    #[serde(default)]
    pub restart_kwh: f64,
}

impl SwitchOff {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.within("switch_off.after_s", self.after_s, 0.0, 31.0 * 86_400.0);
        faults.within("switch_off.standby_kw", self.standby_kw, 0.0, 1e6);
        faults.within("switch_off.restart_kwh", self.restart_kwh, 0.0, 1e6);
        if self.states.as_ref().is_some_and(|s| s.contains(&MachineState::Producing)) {
            faults.add("switch_off.states", "holds producing: a machine that produces can't be switched off");
        }
    }

    /// The stretches in which the machine would have been off, whole. `states` in order.
    pub(super) fn stretches(&self, states: &[StateInterval]) -> Vec<TimeRange> {
        let chosen = |s: MachineState| self.states.as_ref().map_or(s == MachineState::Idle, |list| list.contains(&s));
        let mut standing: Vec<TimeRange> = Vec::new();
        for s in states.iter().filter(|s| chosen(s.state)) {
            match standing.last_mut().filter(|last| last.to == s.from.0) {
                Some(last) => last.to = s.to.0,
                None => standing.push(TimeRange { from: s.from.0, to: s.to.0 }),
            }
        }
        let after = (self.after_s * 1e6) as i64;
        standing.into_iter().map(|s| TimeRange { from: s.from.plus_micros(after), to: s.to }).filter(|s| s.from < s.to).collect()
    }

    /// What one stretch, cut to the period, would have saved.
    pub(super) fn saved_kwh(&self, profile: &Profile, cut: TimeRange, restarts: bool) -> f64 {
        let used = profile.used(cut);
        let standby = self.standby_kw * used.known_us() as f64 / super::profile::HOUR_US;
        used.kwh - standby - if restarts { self.restart_kwh } else { 0.0 }
    }
}

/// What it would have saved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SwitchOffSaving {
    pub saved_kwh: f64,
    /// `saved_kwh` by 7 days over the metered time; `None` if that is less than a day.
    pub saved_kwh_per_week: Option<f64>,
    pub off_s: f64,
    /// Standing times that would have ended with a restart in the period.
    pub times: u64,
    /// At the prices of those times; `None` without a tariff. Demand is not counted.
    pub saved_cost: Option<f64>,
    pub saved_co2_kg: Option<f64>,
}
