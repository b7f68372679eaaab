//! OEE and its relatives, by interval algebra.
//!
//! States (each stands until the next) are cut to a window and laid over the plan; every instant of the window gets exactly one [`Cause`]. The
//! lengths and the part counts make a [`Tally`]; a tally makes an [`Oee`]. Tallies of neighbouring windows, or of several machines, add up:
//! a roll-up sums times and counts and never averages ratios.
//!
//! Invariants: the causes of a tally sum to the window, to the microsecond. `availability * performance * quality = oee` wherever all are defined,
//! and the fully productive time plus the six losses is the planned busy time. A ratio without a meaning is `None` with a [`Flag`], never NaN.
//!
//! Order of precedence of the causes: not planned, no data, planned stop, then what the machine says of itself. Time without data is no loss and no
//! production: it is taken out of every denominator, and [`Oee::coverage`] says how much of the planned time is left.

use std::ops::AddAssign;

use protocol::{MachineState, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// Why an instant was, or was not, productive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Outside the shifts.
    NotPlanned,
    /// Within a shift, but nothing is known.
    NoData,
    PlannedStop,
    UnplannedStop,
    Setup,
    Idle,
    /// The machine was off, or said so itself.
    Offline,
    Producing,
}

/// Number of causes.
const CAUSES: usize = 8;

impl From<MachineState> for Cause {
    fn from(state: MachineState) -> Self {
        match state {
            MachineState::Producing => Self::Producing,
            MachineState::Idle => Self::Idle,
            MachineState::Setup => Self::Setup,
            MachineState::PlannedStop => Self::PlannedStop,
            MachineState::UnplannedStop => Self::UnplannedStop,
            MachineState::Offline => Self::Offline,
        }
    }
}

/// The machine entered `state` at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePoint {
    pub at: Timestamp,
    pub state: MachineState,
}

/// A stretch of a window in one state; `None`: not known. `point` is the index of the [`StatePoint`] that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSpan {
    pub range: TimeRange,
    pub state: Option<MachineState>,
    pub point: Option<usize>,
}

/// Cuts `states` (in order of time, beginning with the one that stands before the window if there is one) to `window`. Nothing is known before the
/// first state, nor from `known_until` on.
pub fn state_spans(window: TimeRange, states: &[StatePoint], known_until: Timestamp) -> Vec<StateSpan> {
    let mut spans: Vec<StateSpan> = Vec::with_capacity(states.len() + 2);
    let end_of_data = known_until.clamp(window.from, window.to.max(window.from));
    let mut push = |from: Timestamp, to: Timestamp, state, point| {
        if from < to {
            spans.push(StateSpan { range: TimeRange { from, to }, state, point });
        }
    };
    let mut at = window.from;
    for (i, point) in states.iter().enumerate() {
        let from = point.at.clamp(at, end_of_data);
        let to = states.get(i + 1).map_or(end_of_data, |next| next.at.clamp(from, end_of_data));
        push(at, from, None, None);
        push(from, to, Some(point.state), Some(i));
        at = at.max(to);
    }
    push(at, window.to, None, None);
    spans
}

/// How many parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartTally {
    pub produced: u64,
    pub rejected: u64,
    pub reworked: u64,
    /// Of the rejected, those made before the process was stable.
    pub startup_rejected: u64,
}

impl AddAssign for PartTally {
    fn add_assign(&mut self, other: Self) {
        self.produced = self.produced.saturating_add(other.produced);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.reworked = self.reworked.saturating_add(other.reworked);
        self.startup_rejected = self.startup_rejected.saturating_add(other.startup_rejected);
    }
}

/// What OEE is made of: times by cause, counts, and the time that the parts should have taken. Adds up.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    micros: [i64; CAUSES],
    parts: PartTally,
    /// Sum of ideal cycle times parts, in seconds; `None` if parts were made of which no ideal cycle is known.
    ideal_s: Option<f64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { micros: [0; CAUSES], parts: PartTally::default(), ideal_s: Some(0.0) }
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        for (a, b) in self.micros.iter_mut().zip(other.micros) {
            *a = a.saturating_add(b);
        }
        self.parts += other.parts;
        self.ideal_s = self.ideal_s.zip(other.ideal_s).map(|(a, b)| a + b);
    }
}

impl Tally {
    /// The times of `window`. `planned`: the planned operation time (shifts), in order, not overlapping; `None`: all of it.
    pub fn of_states(window: TimeRange, planned: Option<&[TimeRange]>, states: &[StatePoint], known_until: Timestamp) -> Self {
        let mut tally = Self::default();
        for span in state_spans(window, states, known_until) {
            let length = span.range.to.micros_since(span.range.from);
            let in_plan = planned.map_or(length, |p| p.iter().map(|p| shared_micros(span.range, *p)).sum());
            tally.add_time(span.state.map_or(Cause::NoData, Cause::from), in_plan);
            tally.add_time(Cause::NotPlanned, length - in_plan);
        }
        tally
    }

    pub fn add_time(&mut self, cause: Cause, micros: i64) {
        let slot = &mut self.micros[cause as usize];
        *slot = slot.saturating_add(micros.max(0));
    }

    /// Adds parts that should have taken `ideal_cycle_s` each.
    pub fn add_parts(&mut self, parts: PartTally, ideal_cycle_s: Option<f64>) {
        self.parts += parts;
        if let Some(ideal) = ideal_cycle_s.filter(|s| s.is_finite() && *s > 0.0) {
            self.ideal_s = self.ideal_s.map(|sum| sum + ideal * parts.produced as f64);
        } else if parts.produced > 0 {
            self.ideal_s = None;
        }
    }

    pub fn micros(&self, cause: Cause) -> i64 {
        self.micros[cause as usize]
    }

    pub fn total_micros(&self) -> i64 {
        self.micros.iter().sum()
    }

    pub fn parts(&self) -> PartTally {
        self.parts
    }

    /// The key figures. `ideal_cycle_s`: that of the machine; it is shown, and it says that performance is known when there are no parts.
    pub fn oee(&self, ideal_cycle_s: Option<f64>) -> Oee {
        let times = self.times();
        let parts = self.parts;
        let good = parts.produced.saturating_sub(parts.rejected).saturating_sub(parts.reworked);
        let ideal_s = self.ideal_s.filter(|_| ideal_cycle_s.is_some() || parts.produced > 0);
        let mut flags = Vec::new();

        let availability = ratio(times.production_s, times.planned_busy_s);
        let performance = ideal_s.and_then(|ideal| ratio(ideal, times.production_s));
        let quality = ratio(good as f64, parts.produced as f64);
        // Without parts nothing was wasted on bad ones: the product is 0 by its other factors, though quality has no meaning.
        let fully_productive_s = ideal_s.map(|ideal| ideal * quality.unwrap_or(0.0));
        let stray_parts = times.production_s == 0.0 && parts.produced > 0;
        let oee = match (availability, performance, quality) {
            (Some(a), Some(p), Some(q)) => Some(a * p * q),
            (Some(_), _, _) if parts.produced == 0 && ideal_s.is_some() => Some(0.0),
            _ => None,
        };
        let over = |denominator: f64| oee.and(fully_productive_s).and_then(|s| ratio(s, denominator));
        let nee = match (performance, quality, oee) {
            (Some(p), Some(q), _) => ratio(times.production_s + times.setup_s, times.planned_busy_s).map(|a| a * p * q),
            (_, _, oee) => oee,
        };

        if times.planned_operation_s - times.planned_stop_s == 0.0 {
            flags.push(Flag::NothingPlanned);
        } else if times.planned_busy_s == 0.0 && times.no_data_s > 0.0 {
            flags.push(Flag::NoData);
        } else if times.no_data_s > 0.0 {
            flags.push(Flag::PartlyNoData);
        }
        if ideal_s.is_none() {
            flags.push(Flag::NoIdealCycle);
        }
        if times.planned_busy_s > 0.0 && times.production_s == 0.0 {
            flags.push(Flag::NoProduction);
        }
        if parts.produced == 0 {
            flags.push(Flag::NoParts);
        }
        if stray_parts {
            flags.push(Flag::PartsWithoutProduction);
        }
        if performance.is_some_and(|p| p > 1.0) {
            flags.push(Flag::PerformanceAboveOne);
        }
        if parts.rejected.saturating_add(parts.reworked) > parts.produced {
            flags.push(Flag::RejectsAboveProduced);
        }

        let bad = parts.produced - good.min(parts.produced);
        let of_bad = |share: u64| ideal_s.map(|ideal| if parts.produced == 0 { 0.0 } else { ideal * share as f64 / parts.produced as f64 });
        let startup = parts.startup_rejected.min(bad);
        Oee {
            availability,
            performance,
            quality,
            oee,
            ooe: over(times.planned_operation_s - times.no_data_s),
            teep: over(times.all_s - times.no_data_s),
            nee,
            losses: Losses {
                breakdowns: times.unplanned_stop_s + times.offline_s,
                setup_and_adjustments: times.setup_s,
                minor_stops: times.idle_s,
                reduced_speed: ideal_s.map(|ideal| times.production_s - ideal),
                process_defects: of_bad(bad - startup),
                startup_rejects: of_bad(startup),
            },
            coverage: coverage(&times),
            counts: Counts { produced: parts.produced, good, rejected: parts.rejected, reworked: parts.reworked },
            ideal_cycle_time_s: ideal_cycle_s,
            times,
            flags,
        }
    }

    fn times(&self) -> Times {
        let s = |causes: &[Cause]| causes.iter().map(|&c| self.micros(c)).sum::<i64>() as f64 / 1e6;
        use Cause::{Idle, NoData, NotPlanned, Offline, PlannedStop, Producing, Setup, UnplannedStop};
        Times {
            all_s: self.total_micros() as f64 / 1e6,
            not_planned_s: s(&[NotPlanned]),
            planned_operation_s: s(&[NoData, PlannedStop, UnplannedStop, Setup, Idle, Offline, Producing]),
            planned_stop_s: s(&[PlannedStop]),
            no_data_s: s(&[NoData]),
            planned_busy_s: s(&[UnplannedStop, Setup, Idle, Offline, Producing]),
            production_s: s(&[Producing]),
            down_s: s(&[UnplannedStop, Setup, Idle, Offline]),
            unplanned_stop_s: s(&[UnplannedStop]),
            setup_s: s(&[Setup]),
            idle_s: s(&[Idle]),
            offline_s: s(&[Offline]),
        }
    }
}

/// The key figures of one period. Ratios are fractions; `null` where they have no meaning, with a flag that says why.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Oee {
    /// Production time / planned busy time.
    pub availability: Option<f64>,
    /// Ideal cycle time x parts / production time. Above 1 the ideal cycle time is wrong: shown as it is, and flagged.
    pub performance: Option<f64>,
    /// Good parts / parts. Rework counts as not good.
    pub quality: Option<f64>,
    /// availability x performance x quality.
    pub oee: Option<f64>,
    /// As OEE, but of the planned operation time (planned stops included).
    pub ooe: Option<f64>,
    /// As OEE, but of all time.
    pub teep: Option<f64>,
    /// Net equipment effectiveness: as OEE, but set-up counts as available.
    pub nee: Option<f64>,
    pub times: Times,
    pub counts: Counts,
    /// Of the machine, if it has one.
    pub ideal_cycle_time_s: Option<f64>,
    pub losses: Losses,
    /// Share of the planned time for which there was data; all ratios speak of that share only.
    pub coverage: Option<f64>,
    pub flags: Vec<Flag>,
}

/// Seconds. all = not planned + planned operation; planned operation = planned stop + no data + planned busy; planned busy = production + down;
/// down = unplanned stop + setup + idle + offline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Times {
    pub all_s: f64,
    pub not_planned_s: f64,
    pub planned_operation_s: f64,
    pub planned_stop_s: f64,
    pub no_data_s: f64,
    pub planned_busy_s: f64,
    pub production_s: f64,
    pub down_s: f64,
    pub unplanned_stop_s: f64,
    pub setup_s: f64,
    pub idle_s: f64,
    pub offline_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    pub produced: u64,
    pub good: u64,
    pub rejected: u64,
    pub reworked: u64,
}

/// The six big losses in seconds. With the fully productive time (`oee` x planned busy time) they add up to the planned busy time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Losses {
    /// Unplanned stops, and planned time in which the machine was off.
    pub breakdowns: f64,
    pub setup_and_adjustments: f64,
    /// Idle time: not stopped, not producing.
    pub minor_stops: f64,
    /// What is left of the production time; negative if performance is above one.
    pub reduced_speed: Option<f64>,
    pub process_defects: Option<f64>,
    pub startup_rejects: Option<f64>,
}

/// What to know before believing the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// No planned busy time: no shift, or planned stops only.
    NothingPlanned,
    /// Nothing is known of all of the planned time.
    NoData,
    /// Nothing is known of some of it: see `coverage`.
    PartlyNoData,
    NoIdealCycle,
    /// Planned, but the machine never produced.
    NoProduction,
    NoParts,
    /// Parts were counted, but no production time: the states are wrong or late.
    PartsWithoutProduction,
    PerformanceAboveOne,
    RejectsAboveProduced,
    /// Planned time outside the window was given; it counts as stopped.
    PlannedBeyondWindow,
    /// The state before the window is not held any more; see history.
    Truncated,
}

fn coverage(times: &Times) -> Option<f64> {
    ratio(times.planned_operation_s - times.no_data_s, times.planned_operation_s)
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator).filter(|r| r.is_finite())
}

/// Microseconds that two intervals share.
fn shared_micros(a: TimeRange, b: TimeRange) -> i64 {
    a.to.min(b.to).micros_since(a.from.max(b.from)).max(0)
}

#[cfg(test)]
mod tests;
