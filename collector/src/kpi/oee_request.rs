//! `oee/calculate` for numbers that the caller brings: totals, several runs, or a log of events.
//!
//! Stands between the API and `kpi::oee`. Pure. Invariant: what can't be a time, a count or a period is refused with its place in the request;
//! accepted input never makes NaN.

use protocol::{MachineState, TimeRange, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    counters::{CounterPoint, increase},
    oee::{Cause, Flag, Oee, PartTally, StatePoint, Tally},
};
use crate::utc::{Period, Utc};

/// A hundred years: longer times are slips of the unit.
const MAX_SECONDS: f64 = 3.2e9;
/// Events, intervals or runs in one request.
const MAX_ITEMS: usize = 200_000;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `states[3].state`
    pub field: String,
    pub detail: String,
}

fn wrong(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.into() }
}

/// Explicit numbers: times of one period, and either one run (the three counts and the cycle time) or several.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"planned_busy_time_s": 25200, "downtime_s": 2820, "ideal_cycle_time_s": 1.0, "total_count": 19271, "reject_count": 423, "all_time_s": 28800}))]
pub struct ExplicitRequest {
    /// Planned operation time without planned stops.
    pub planned_busy_time_s: f64,
    /// Part of the planned busy time in which nothing was produced; set-up and idle time included.
    pub downtime_s: f64,
    /// Part of the downtime: for NEE and the losses.
    #[serde(default)]
    pub setup_time_s: f64,
    /// Part of the downtime: minor stops.
    #[serde(default)]
    pub idle_time_s: f64,
    /// For OOE; it holds the planned busy time.
    pub planned_operation_time_s: Option<f64>,
    /// For TEEP; it holds the planned operation time.
    pub all_time_s: Option<f64>,
    pub ideal_cycle_time_s: Option<f64>,
    pub total_count: Option<u64>,
    pub reject_count: Option<u64>,
    pub rework_count: Option<u64>,
    /// Part of the rejects.
    pub startup_reject_count: Option<u64>,
    /// In place of the counts and the cycle time.
    pub runs: Option<Vec<Run>>,
}

/// Parts made at one ideal cycle time.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub ideal_cycle_time_s: Option<f64>,
    pub total_count: u64,
    #[serde(default)]
    pub reject_count: u64,
    #[serde(default)]
    pub rework_count: u64,
    #[serde(default)]
    pub startup_reject_count: u64,
}

impl ExplicitRequest {
    /// # Errors
    /// Every field that can't be.
    pub fn calculate(&self) -> Result<Oee, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut micros = |field: &str, seconds: f64| -> i64 {
            if !(0.0..=MAX_SECONDS).contains(&seconds) {
                errors.push(wrong(field, "must be a time in seconds, 0 or more"));
                return 0;
            }
            (seconds * 1e6).round() as i64
        };
        let busy = micros("planned_busy_time_s", self.planned_busy_time_s);
        let down = micros("downtime_s", self.downtime_s);
        let setup = micros("setup_time_s", self.setup_time_s);
        let idle = micros("idle_time_s", self.idle_time_s);
        let operation = self.planned_operation_time_s.map(|s| micros("planned_operation_time_s", s));
        let all = self.all_time_s.map(|s| micros("all_time_s", s));
        if down > busy {
            errors.push(wrong("downtime_s", "is more than planned_busy_time_s"));
        }
        if setup + idle > down {
            errors.push(wrong("setup_time_s", "set-up and idle time are part of the downtime, and are more than it"));
        }
        if operation.is_some_and(|o| o < busy) {
            errors.push(wrong("planned_operation_time_s", "is less than planned_busy_time_s"));
        }
        let planned = operation.unwrap_or(busy);
        if all.is_some_and(|a| a < planned) {
            errors.push(wrong("all_time_s", "is less than the planned time"));
        }
        let runs = self.runs(&mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut tally = Tally::default();
        tally.add_time(Cause::Producing, busy - down);
        tally.add_time(Cause::Setup, setup);
        tally.add_time(Cause::Idle, idle);
        tally.add_time(Cause::UnplannedStop, down - setup - idle);
        tally.add_time(Cause::PlannedStop, planned - busy);
        tally.add_time(Cause::NotPlanned, all.map_or(0, |a| a - planned));
        for run in &runs {
            tally.add_parts(run.parts(), run.ideal_cycle_time_s);
        }
        let one = if let [run] = runs.as_slice() { run.ideal_cycle_time_s } else { None };
        let mut oee = tally.oee(one);
        if operation.is_none() {
            oee.ooe = None;
        }
        if all.is_none() {
            oee.teep = None;
        }
        Ok(oee)
    }

    fn runs(&self, errors: &mut Vec<FieldError>) -> Vec<Run> {
        let counts = [self.total_count, self.reject_count, self.rework_count, self.startup_reject_count];
        let runs = match &self.runs {
            Some(_) if self.ideal_cycle_time_s.is_some() || counts.iter().any(Option::is_some) => {
                errors.push(wrong("runs", "stands in place of ideal_cycle_time_s and the counts: give one or the other"));
                Vec::new()
            }
            Some(runs) if runs.len() > MAX_ITEMS => {
                errors.push(wrong("runs", format!("more than {MAX_ITEMS}")));
                Vec::new()
            }
            Some(runs) => runs.clone(),
            None => match self.total_count {
                Some(total_count) => vec![Run {
                    ideal_cycle_time_s: self.ideal_cycle_time_s,
                    total_count,
                    reject_count: self.reject_count.unwrap_or(0),
                    rework_count: self.rework_count.unwrap_or(0),
                    startup_reject_count: self.startup_reject_count.unwrap_or(0),
                }],
                None => {
                    errors.push(wrong("total_count", "is missing (or give runs)"));
                    Vec::new()
                }
            },
        };
        for (i, run) in runs.iter().enumerate() {
            let field = |name: &str| if self.runs.is_some() { format!("runs[{i}].{name}") } else { name.to_owned() };
            check_cycle(run.ideal_cycle_time_s, &field("ideal_cycle_time_s"), errors);
            if run.reject_count.saturating_add(run.rework_count) > run.total_count {
                errors.push(wrong(field("reject_count"), "rejects and rework are more than total_count"));
            }
            if run.startup_reject_count > run.reject_count {
                errors.push(wrong(field("startup_reject_count"), "is more than reject_count"));
            }
        }
        runs
    }
}

impl Run {
    fn parts(&self) -> PartTally {
        PartTally {
            produced: self.total_count,
            rejected: self.reject_count,
            reworked: self.rework_count,
            startup_rejected: self.startup_reject_count,
        }
    }
}

/// A log of events: states (each stands until the next), and cumulative counters (wraps and resets are seen).
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventLogRequest {
    pub window: Period,
    /// Planned operation time; without it all of the window. What lies outside the window counts as stopped.
    pub planned: Option<Vec<Period>>,
    pub ideal_cycle_time_s: Option<f64>,
    pub states: Vec<StateEvent>,
    #[serde(default)]
    pub total_counter: Vec<CounterEvent>,
    #[serde(default)]
    pub reject_counter: Vec<CounterEvent>,
    #[serde(default)]
    pub rework_counter: Vec<CounterEvent>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateEvent {
    pub at: Utc,
    /// `producing` (or `running`), `idle`, `setup`, `planned_stop`, `unplanned_stop` (or `stopped`), `offline`.
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CounterEvent {
    pub at: Utc,
    pub value: u64,
}

impl EventLogRequest {
    /// # Errors
    /// Every field that can't be.
    pub fn calculate(&self) -> Result<Oee, Vec<FieldError>> {
        let mut errors = Vec::new();
        let window = self.window.range();
        if window.from >= window.to {
            errors.push(wrong("window", "from must be before to"));
        }
        check_cycle(self.ideal_cycle_time_s, "ideal_cycle_time_s", &mut errors);
        let lists = [self.states.len(), self.total_counter.len(), self.reject_counter.len(), self.rework_counter.len()];
        if lists.iter().any(|&n| n > MAX_ITEMS) || self.planned.as_ref().is_some_and(|p| p.len() > 1_000) {
            errors.push(wrong("states", format!("a list is longer than {MAX_ITEMS} (planned: 1000)")));
        }
        let mut states = Vec::with_capacity(self.states.len());
        for (i, event) in self.states.iter().enumerate() {
            match state_named(&event.state) {
                Some(state) => states.push(StatePoint { at: event.at.0, state }),
                None => errors.push(wrong(format!("states[{i}].state"), format!("{:?} is no state", event.state))),
            }
        }
        states.sort_by_key(|s| s.at);
        for (i, period) in self.planned.iter().flatten().enumerate() {
            if period.from > period.to {
                errors.push(wrong(format!("planned[{i}]"), "from must not be after to"));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let planned = self.planned.as_ref().map(|p| merged(p.iter().map(|p| p.range()).collect()));
        let mut tally = Tally::of_states(window, planned.as_deref(), &states, window.to);
        let outside = planned.as_ref().map_or(0, |p| outside_micros(p, window));
        tally.add_time(Cause::UnplannedStop, outside);
        let parts = PartTally {
            produced: counted(&self.total_counter, window),
            rejected: counted(&self.reject_counter, window),
            reworked: counted(&self.rework_counter, window),
            startup_rejected: 0,
        };
        tally.add_parts(parts, self.ideal_cycle_time_s);
        let mut oee = tally.oee(self.ideal_cycle_time_s);
        if outside > 0 {
            oee.flags.push(Flag::PlannedBeyondWindow);
        }
        Ok(oee)
    }
}

fn state_named(name: &str) -> Option<MachineState> {
    match name {
        "running" => Some(MachineState::Producing),
        "stopped" => Some(MachineState::UnplannedStop),
        name => MachineState::from_name(name),
    }
}

fn check_cycle(ideal: Option<f64>, field: &str, errors: &mut Vec<FieldError>) {
    if ideal.is_some_and(|s| !(s > 0.0 && s <= MAX_SECONDS)) {
        errors.push(wrong(field, "must be a time in seconds above 0"));
    }
}

fn counted(events: &[CounterEvent], window: TimeRange) -> u64 {
    let mut points: Vec<_> = events.iter().map(|e| CounterPoint { at: e.at.0, value: e.value }).collect();
    points.sort_by_key(|p| p.at);
    increase(&points, window)
}

/// In order, and what overlaps or meets made one.
fn merged(mut periods: Vec<TimeRange>) -> Vec<TimeRange> {
    periods.retain(|p| p.from < p.to);
    periods.sort_by_key(|p| p.from);
    let mut out: Vec<TimeRange> = Vec::with_capacity(periods.len());
    for period in periods {
        match out.last_mut().filter(|last| period.from <= last.to) {
            Some(last) => last.to = last.to.max(period.to),
            None => out.push(period),
        }
    }
    out
}

fn outside_micros(periods: &[TimeRange], window: TimeRange) -> i64 {
    let length = |from: Timestamp, to: Timestamp| to.micros_since(from).max(0);
    periods.iter().map(|p| length(p.from, p.to.min(window.from)) + length(p.from.max(window.to), p.to)).sum()
}
