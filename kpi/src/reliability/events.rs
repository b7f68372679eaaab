//! From what happened to a machine (failures, repairs, work orders, replaced components) to operating ages.
//!
//! Words of ISO 14224: a *failure* ends the ability to do what is required; a *repair* is active work; *corrective* work follows a failure,
//! *preventive* work does not. The machine is *down* from a failure to the end of its repair (or the component's replacement, if no
//! repair is
//! recorded); *repair time* is the active part of that, from the first start of a repair.
//!
//! Rules
//! - Events are taken by time, whatever their order; at one instant: ends of work, replacement, failure, starts of work. Equal events
//!   count once.
//! - A failure while the machine is down belongs to that breakdown: flagged, not counted for the machine, but it ends its component's life.
//! - Operating time is the given intervals of production, or (calendar) all time in which the machine is not down.
//! - A component's life ends as a failure when it fails, and as censored when it is replaced before, or at the end of the period. A
//!   failed component
//!   that is repaired and not replaced starts a new life at the same operating age: taken as good as new, and flagged.
//! - A life of which only the part from the start of the period is seen begins with the age given for it, or with zero, flagged.
//!
//! Invariants: operating time, ages and down time are never negative; the machine's own ages add up to its operating time.

mod ages;
mod down;

pub use ages::{ComponentAges, History, history};

use protocol::{TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Events of one machine in one question.
pub const MAX_EVENTS: usize = 100_000;
/// Intervals of production in one question.
pub const MAX_INTERVALS: usize = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkOrderKind {
    Corrective,
    Preventive,
}

/// What happened. The order of the variants is the order at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MaintenanceEventKind {
    /// Active repair work ends and the machine can run again.
    RepairEnd,
    WorkOrderEnd {
        kind: WorkOrderKind,
    },
    /// A new component was put in; what was there before left with it.
    ComponentReplaced,
    Failure,
    /// Active repair work begins.
    RepairStart,
    WorkOrderStart {
        kind: WorkOrderKind,
    },
}

/// One entry of a machine's maintenance history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct MaintenanceEvent {
    /// Microseconds since 1970.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    #[serde(flatten)]
    pub kind: MaintenanceEventKind,
    /// Of a failure or replacement: which part (`spindle_bearing`). `None`: the machine as a whole.
    #[serde(default)]
    pub component: Option<String>,
    /// Joins the start and the end of a work order.
    #[serde(default)]
    pub work_order: Option<String>,
}

/// A component that was in the machine when the period began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstalledComponent {
    pub component: String,
    /// Operating hours it had then.
    pub age_h: f64,
}

/// What counts as operating time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatingTime {
    /// All time in which the machine is not down.
    Calendar,
    /// These intervals, in any order; overlaps count once.
    Intervals(Vec<TimeRange>),
}

/// What a reader of the history must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryFlag {
    /// A failure was reported while the machine was down already.
    FailureWhileDown,
    /// A repair ended that belongs to no failure in the period.
    RepairWithoutFailure,
    /// The last failure is not repaired yet; its time to repair is not in the mean.
    StillDown,
    /// A repair without a start: the time to repair holds the waiting.
    RepairStartMissing,
    /// A work order without an end (or a start) is counted up to the end (or from the start) of the period.
    WorkOrderOpen,
    /// A work order ends before it starts: left out.
    WorkOrderNegative,
    /// The given intervals show production while the machine was down.
    ProducedWhileDown,
    /// Events outside of the period were left out.
    EventsOutsidePeriod,
    /// A component was repaired and not replaced: taken as good as new.
    RepairTakenAsNew,
    /// A component's age at the start of the period is not known: taken as zero, so its life is longer than told.
    AgeAtStartUnknown,
    /// Failures without operating time in between: left out of the ages, not of the counts.
    ZeroAgesIgnored,
    /// No operating time in the period.
    NoOperatingTime,
}

#[cfg(test)]
mod tests;
