//! A log of events: states (each stands until the next), and cumulative counters (wraps and resets are seen).

use std::sync::Arc;

use protocol::{MachineState, TimeRange, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{MAX_ITEMS, check_cycle};
use crate::{
    calendar::merged,
    counters::{Counted, CounterNotes, CounterPoint, Width, differences},
    field::{FieldError, wrong},
    oee::{Catalogue, Cause, DowntimeKind, Flag, MachineRecord, Oee, PlannedDowntime, Prepared, ProductRun, Rules, StatePoint, Tally},
    utc::{Period, Utc},
};

/// Intervals of the plan, or runs.
const MAX_INTERVALS: usize = 1_000;

/// A log of events, in any order.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventLogRequest {
    pub window: Period,
    /// Planned operation time; without it all of the window. What lies outside the window counts as stopped.
    pub planned: Option<Vec<Period>>,
    /// Breaks and maintenance: they beat everything.
    #[serde(default)]
    pub planned_downtime: Vec<PlannedDowntimeEvent>,
    pub ideal_cycle_time_s: Option<f64>,
    /// Products with their own ideal cycle.
    #[serde(default)]
    pub runs: Vec<RunEvent>,
    pub states: Vec<StateEvent>,
    #[serde(default)]
    pub total_counter: Vec<CounterEvent>,
    #[serde(default)]
    pub reject_counter: Vec<CounterEvent>,
    #[serde(default)]
    pub rework_counter: Vec<CounterEvent>,
    /// Of all counters: `16`, `32`, or `auto`.
    #[serde(default)]
    pub counter_bits: Width,
    /// In place of the plant's.
    pub rules: Option<Rules>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedDowntimeEvent {
    pub from: Utc,
    pub to: Utc,
    #[serde(default)]
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunEvent {
    pub from: Utc,
    pub to: Utc,
    #[serde(default)]
    pub product: String,
    pub ideal_cycle_time_s: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateEvent {
    pub at: Utc,
    /// `producing` (or `running`), `idle`, `setup`, `planned_stop`, `unplanned_stop` (or `stopped`), `offline`, or `no_data` (or `disconnected`):
    /// from here on nothing is known.
    pub state: String,
    /// The machine's own reason of a stop.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CounterEvent {
    pub at: Utc,
    pub value: u64,
}

impl EventLogRequest {
    /// The key figures. `now`: what is told of a later time is left out and flagged.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn calculate(&self, now: Timestamp, rules: &Rules) -> Result<Oee, Vec<FieldError>> {
        let rules = self.rules.as_ref().unwrap_or(rules);
        Ok(self.tally(now, rules)?.oee(rules, self.ideal_cycle_time_s))
    }

    /// The sums, to be added to others.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn tally(&self, now: Timestamp, rules: &Rules) -> Result<Tally, Vec<FieldError>> {
        let window = self.window.range();
        let record = self.record(rules)?;
        let outside = record.operation.as_ref().map_or(0, |p| outside_micros(&merged(p.clone()), window));
        let newest = record.states.iter().map(|s| s.at).chain(record.parts.iter().map(|p| p.to)).max();
        let known_until = newest.unwrap_or(window.to).max(window.to).min(now);
        let mut tally = Prepared::new(record, Arc::new(Catalogue::default()), *rules).tally(window, known_until);
        if outside > 0 {
            tally.add_time(Cause::UnplannedStop, outside);
            tally.set_flag(Flag::PlannedBeyondWindow);
        }
        Ok(tally)
    }

    /// The log as a machine's record, to be explained like one.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn record(&self, rules: &Rules) -> Result<MachineRecord, Vec<FieldError>> {
        let mut errors = Vec::new();
        if self.window.from >= self.window.to {
            errors.push(wrong("window", "from must be before to"));
        }
        check_cycle(self.ideal_cycle_time_s, "ideal_cycle_time_s", &mut errors);
        let events = [
            ("states", self.states.len()),
            ("total_counter", self.total_counter.len()),
            ("reject_counter", self.reject_counter.len()),
            ("rework_counter", self.rework_counter.len()),
        ];
        let intervals = [
            ("planned", self.planned.as_ref().map_or(0, Vec::len)),
            ("planned_downtime", self.planned_downtime.len()),
            ("runs", self.runs.len()),
        ];
        let limits =
            events.map(|(field, n)| (field, n, MAX_ITEMS)).into_iter().chain(intervals.map(|(field, n)| (field, n, MAX_INTERVALS)));
        errors.extend(limits.filter(|(_, n, max)| n > max).map(|(field, _, max)| wrong(field, format!("is longer than {max}"))));
        let ordered = |field: String, from: Utc, to: Utc, errors: &mut Vec<FieldError>| {
            if from > to {
                errors.push(wrong(field, "from must not be after to"));
            }
            TimeRange { from: from.0, to: to.0 }
        };
        let planned = self.planned.iter().flatten().enumerate();
        let planned: Vec<_> = planned.map(|(i, p)| ordered(format!("planned[{i}]"), p.from, p.to, &mut errors)).collect();
        let mut downtime = Vec::with_capacity(self.planned_downtime.len());
        for (i, d) in self.planned_downtime.iter().enumerate() {
            let range = ordered(format!("planned_downtime[{i}]"), d.from, d.to, &mut errors);
            downtime.push(PlannedDowntime { range, kind: DowntimeKind::Other, name: d.name.clone() });
        }
        let mut runs = Vec::with_capacity(self.runs.len());
        for (i, run) in self.runs.iter().enumerate() {
            check_cycle(run.ideal_cycle_time_s, &format!("runs[{i}].ideal_cycle_time_s"), &mut errors);
            let range = ordered(format!("runs[{i}]"), run.from, run.to, &mut errors);
            runs.push(ProductRun { range, product: run.product.clone(), order: String::new(), ideal_cycle_s: run.ideal_cycle_time_s });
        }
        let (states, holes) = self.states(&mut errors);
        errors.extend(rules.check().err().into_iter().flatten().map(|e| wrong(format!("rules.{}", e.field), e.detail)));
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut record = MachineRecord {
            operation: self.planned.as_ref().map(|_| planned),
            downtime,
            states,
            holes,
            runs,
            ideal_cycle_s: self.ideal_cycle_time_s,
            ..MachineRecord::default()
        };
        let counters = [
            (&self.total_counter, Counted::Produced),
            (&self.reject_counter, Counted::Rejected),
            (&self.rework_counter, Counted::Reworked),
        ];
        for (events, counted) in counters {
            let points: Vec<_> = events.iter().map(|e| CounterPoint { at: e.at.0, value: e.value }).collect();
            let (parts, notes): (_, CounterNotes) = differences(&points, self.counter_bits, counted);
            record.parts.extend(parts);
            record.flags.set_if(notes.backwards > 0, Flag::CounterRanBackwards);
        }
        Ok(record)
    }

    fn states(&self, errors: &mut Vec<FieldError>) -> (Vec<StatePoint>, Vec<TimeRange>) {
        let mut events: Vec<(Timestamp, Option<StatePoint>)> = Vec::with_capacity(self.states.len());
        for (i, event) in self.states.iter().enumerate() {
            let at = event.at.0;
            match state_named(&event.state) {
                Some(state) => {
                    let state = state.map(|state| StatePoint { at, state, reason: event.reason.as_deref().map(Arc::from) });
                    events.push((at, state));
                }
                None => errors.push(wrong(format!("states[{i}].state"), format!("{:?} is no state", event.state))),
            }
        }
        events.sort();
        let ends = events.iter().skip(1).map(|(at, _)| *at).chain([Timestamp(i64::MAX)]);
        let unknown = events.iter().zip(ends).filter(|((_, state), _)| state.is_none());
        let holes = unknown.map(|((from, _), to)| TimeRange { from: *from, to }).collect();
        (events.into_iter().filter_map(|(_, state)| state).collect(), holes)
    }
}

/// `Some(None)`: no state is known.
fn state_named(name: &str) -> Option<Option<MachineState>> {
    match name {
        "running" => Some(Some(MachineState::Producing)),
        "stopped" => Some(Some(MachineState::UnplannedStop)),
        "no_data" | "disconnected" => Some(None),
        name => MachineState::from_name(name).map(Some),
    }
}

fn outside_micros(periods: &[TimeRange], window: TimeRange) -> i64 {
    let length = |from: Timestamp, to: Timestamp| to.micros_since(from).max(0);
    periods.iter().map(|p| length(p.from, p.to.min(window.from)) + length(p.from.max(window.to), p.to)).sum()
}
