//! What is known of one machine, as plain lists, and the rules by which it is reckoned.
//!
//! Stands at the beginning of `oee`: the reader of the store fills a [`MachineRecord`]; [`super::Prepared`] is made from it. Lists may come in any
//! order. Nothing here is checked: what can't be is left out and flagged when it is prepared.

use std::sync::Arc;

use protocol::{MachineState, PartCount, StateChange, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    cause::{Flag, Flags},
    tally::PartTally,
};
use crate::{
    calendar::Plan,
    field::{FieldError, wrong},
};

/// The machine entered `state` at `at`. Of several at one instant the last in the order of this type counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatePoint {
    pub at: Timestamp,
    pub state: MachineState,
    /// The machine's own stop reason: a code of the catalogue, or any text.
    pub reason: Option<Arc<str>>,
}

impl StatePoint {
    pub fn new(at: Timestamp, state: MachineState) -> Self {
        Self { at, state, reason: None }
    }
}

impl From<&StateChange> for StatePoint {
    fn from(change: &StateChange) -> Self {
        let reason = (!change.reason.is_empty()).then(|| Arc::from(change.reason.as_str()));
        Self { at: change.event_time, state: change.state, reason }
    }
}

/// Parts made in `(from, to]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartInterval {
    pub from: Timestamp,
    pub to: Timestamp,
    pub parts: PartTally,
}

impl Default for PartInterval {
    fn default() -> Self {
        Self { from: Timestamp(0), to: Timestamp(0), parts: PartTally::default() }
    }
}

impl From<&PartCount> for PartInterval {
    fn from(count: &PartCount) -> Self {
        let parts = PartTally { produced: count.produced, rejected: count.rejected, reworked: count.reworked, ..PartTally::default() };
        Self { from: count.from, to: count.to, parts }
    }
}

/// Downtime that the plan holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDowntime {
    pub range: TimeRange,
    pub kind: DowntimeKind,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DowntimeKind {
    Maintenance,
    Break,
    Other,
}

/// A person says why the machine stood, later. A later one counts over an earlier one, wherever they share time: so a stop is split by registering
/// another reason for a part of it, and nothing is ever deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonAssignment {
    /// Of the event.
    pub id: String,
    pub range: TimeRange,
    /// A code of the catalogue; `None` takes what was registered before away.
    pub reason: Option<String>,
    pub by: String,
    /// When it was registered.
    pub at: Timestamp,
    pub comment: String,
}

impl ReasonAssignment {
    /// What to check before one is registered, at `now`.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn check(&self, catalogue: &super::Catalogue, now: Timestamp) -> Result<(), Vec<FieldError>> {
        const MAX_COMMENT: usize = 2_000;
        let mut errors = Vec::new();
        if self.range.from >= self.range.to {
            errors.push(wrong("from", "must be before to"));
        }
        if self.range.to > now {
            errors.push(wrong("to", "lies in the future"));
        }
        if let Some(code) = &self.reason {
            match catalogue.category(code) {
                None => errors.push(wrong("reason", format!("{code:?} is not in the catalogue"))),
                Some(category) if category.cause().is_none() => {
                    errors.push(wrong("reason", format!("{code:?} is a reason of rejects: a stop makes no parts")));
                }
                Some(_) if catalogue.get(code).is_some_and(|r| r.retired) => errors.push(wrong("reason", format!("{code:?} is retired"))),
                Some(_) => {}
            }
        }
        if self.by.is_empty() {
            errors.push(wrong("by", "is missing"));
        }
        if self.comment.len() > MAX_COMMENT {
            errors.push(wrong("comment", format!("is longer than {MAX_COMMENT} bytes")));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// From one product to the next. What the machine does not produce in it is set-up, unless a person registered another reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changeover {
    pub range: TimeRange,
    pub from_product: String,
    pub to_product: String,
}

/// The machine was to make `product`: each has its own ideal cycle. Where runs share time, the one that began later counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ProductRun {
    pub range: TimeRange,
    pub product: String,
    pub order: String,
    /// That of the machine if it is not given.
    pub ideal_cycle_s: Option<f64>,
}

/// All that is known of one machine. States and parts may reach beyond any window that is asked for; the state that stands at its beginning must be
/// there.
#[derive(Debug, Clone, Default)]
pub struct MachineRecord {
    /// Planned operation time; `None`: all time.
    pub operation: Option<Vec<TimeRange>>,
    pub downtime: Vec<PlannedDowntime>,
    pub states: Vec<StatePoint>,
    /// Where nothing is known, though states stand.
    pub holes: Vec<TimeRange>,
    pub reasons: Vec<ReasonAssignment>,
    pub changeovers: Vec<Changeover>,
    pub runs: Vec<ProductRun>,
    pub parts: Vec<PartInterval>,
    /// Of the machine, where no run has its own.
    pub ideal_cycle_s: Option<f64>,
    /// What was seen before: of counters, of the plan.
    pub flags: Flags,
}

impl MachineRecord {
    /// With the planned time of a calendar.
    #[must_use]
    pub fn with_plan(mut self, plan: Plan) -> Self {
        self.flags.set_if(plan.overlapping, Flag::OverlappingPlan);
        self.operation = Some(plan.operation);
        self.downtime = plan.downtime;
        self
    }
}

/// How time and parts are reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Unplanned stops and idle time shorter than this, from their beginning to their end, are minor stops; 0: none is by its length.
    pub minor_stop_below_s: f64,
    /// Which factor minor stops reduce; OEE is the same.
    pub minor_stops_reduce: MinorStopsReduce,
    pub quality_weight: QualityWeight,
    pub parts_outside_plan: PartsOutsidePlan,
    /// Rejects made during set-up, and no longer than this after it, are start-up rejects; 0: only those that were counted as such.
    pub startup_after_setup_s: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            minor_stop_below_s: 300.0,
            minor_stops_reduce: MinorStopsReduce::Availability,
            quality_weight: QualityWeight::Counts,
            parts_outside_plan: PartsOutsidePlan::Counted,
            startup_after_setup_s: 0.0,
        }
    }
}

impl Rules {
    /// # Errors
    /// Every field that can't be.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let fields = [("minor_stop_below_s", self.minor_stop_below_s), ("startup_after_setup_s", self.startup_after_setup_s)];
        let wrong_ones = fields.into_iter().filter(|(_, s)| !(0.0..=86_400.0).contains(s));
        let errors: Vec<_> = wrong_ones.map(|(field, _)| wrong(field, "must be a time in seconds, from 0 to a day")).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MinorStopsReduce {
    /// ISO 22400: every delay is outside the actual production time.
    Availability,
    /// TPM: minor stops are slow running.
    Performance,
}

/// Of parts with different ideal cycles: what a reject weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QualityWeight {
    /// ISO 22400: each part as one; quality = good / produced.
    Counts,
    /// Its ideal cycle: quality = ideal time of the good / ideal time of all, so that the losses of a line are the sum of its machines'.
    IdealTime,
}

/// Of parts that were made outside the planned time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartsOutsidePlan {
    /// They count, and are flagged: performance may come out above one.
    Counted,
    /// They are told in `counts.outside_plan` alone.
    LeftOut,
}
