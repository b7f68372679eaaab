//! OEE and its relatives (ISO 22400-2), by interval algebra: right, and able to say why.
//!
//! The way of the data: [`MachineRecord`] (lists, as stored) -> [`Prepared`] (in order) -> timeline (one cause an instant) -> [`Tally`] (sums that add
//! up) -> [`Oee`]. Beside it: [`Prepared::intervals`] and [`Pareto`] explain, [`Comparison`] says what changed, [`what_if`] what would be,
//! [`ShiftRecord`] how a figure was restated, [`LiveMachine`] keeps the running shift. [`request`] takes numbers and event logs that a caller brings.
//!
//! Invariants: live and historical answers are one function of the record, and do not depend on the order of arrival. Roll-ups add tallies; a ratio is
//! formed last and never averaged.

mod catalogue;
mod cause;
mod compare;
mod explain;
mod figures;
mod input;
mod layers;
mod live;
mod pareto;
mod parts;
mod prepared;
pub mod request;
mod restate;
mod roll_up;
mod tally;
mod timeline;
mod tree;
mod what_if;

pub use catalogue::{Catalogue, StopReason};
pub use cause::{Cause, Flag, Flags, LossCategory};
pub use compare::{Comparison, FactorChange, LossChange};
pub use explain::{Evidence, Interval, IntervalParts, RunFigures};
pub use figures::{Counts, Losses, Oee, Ratios, Times, rolled_throughput_yield};
pub use input::{
    Changeover, DowntimeKind, MachineRecord, MinorStopsReduce, PartInterval, PartsOutsidePlan, PlannedDowntime, ProductRun, QualityWeight,
    ReasonAssignment, Rules, StatePoint,
};
pub use live::LiveMachine;
pub use pareto::{Pareto, ParetoBy, ParetoRow};
pub use prepared::Prepared;
pub use restate::{FigureChange, Restatement, ShiftRecord, Why};
pub use roll_up::{Level, RollUp};
pub use tally::{IdealCycle, PartTally, ReasonKey, ReasonSum, Tally};
pub use timeline::Rule;
pub use tree::LossNode;
pub use what_if::{Change, Stop, WhatIf, what_if};

#[cfg(test)]
mod tests;
