//! The losses as a tree that adds up to the microsecond.
//!
//! Stands behind the tally, before explanation and comparison. Planned busy time = availability losses + performance losses + quality losses + fully
//! productive time; each loss is divided further by its causes and their reasons. Where minor stops reduce availability they stand there, else
//! with the performance losses: so each branch is what its factor loses.
//!
//! Invariant: the children of every node sum to it exactly, in microseconds. What can't be divided, since no ideal cycle is known, stands under
//! `undivided`.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    cause::Cause,
    figures::{Quantities, ratio},
    input::{MinorStopsReduce, Rules},
    tally::Tally,
};

/// A loss, and what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LossNode {
    /// `availability_losses`, `breakdowns`, a cause, or a reason.
    pub key: String,
    /// In microseconds, which add up; `seconds` says the same.
    pub micros: i64,
    pub seconds: f64,
    /// Of the planned busy time.
    pub share: Option<f64>,
    /// Parts that would have been made at the ideal cycle.
    pub parts: Option<f64>,
    /// Of stops: how many began.
    pub stops: Option<u64>,
    #[schema(no_recursion)]
    pub children: Vec<LossNode>,
}

impl LossNode {
    /// The node of that key, wherever it is.
    pub fn find(&self, key: &str) -> Option<&Self> {
        if self.key == key { Some(self) } else { self.children.iter().find_map(|child| child.find(key)) }
    }
}

impl Tally {
    /// The time that a part should take, on average; `ideal_cycle_s` where no parts were made.
    pub(super) fn mean_cycle_s(&self, ideal_cycle_s: Option<f64>) -> Option<f64> {
        let made = Quantities::of(self, false);
        made.ideal_s.and_then(|ideal| ratio(ideal, made.produced)).or(ideal_cycle_s).filter(|s| *s > 0.0)
    }

    /// The planned busy time and what became of it.
    pub fn loss_tree(&self, rules: &Rules, ideal_cycle_s: Option<f64>) -> LossNode {
        let quantities = Quantities::of(self, ideal_cycle_s.is_some());
        let tree = Tree { tally: self, cycle_s: self.mean_cycle_s(ideal_cycle_s), busy_s: quantities.planned_busy_s() };
        let to_micros = |seconds: f64| (seconds * 1e6).round() as i64;

        let breakdowns = [Cause::UnplannedStop, Cause::Idle, Cause::Offline].map(|cause| tree.of_cause(cause, cause.as_str()));
        let mut availability = vec![tree.sum("breakdowns", breakdowns.into()), tree.of_cause(Cause::Setup, "setup_and_adjustments")];
        let mut performance = Vec::new();
        let minor = tree.of_cause(Cause::MinorStop, "minor_stops");
        match rules.minor_stops_reduce {
            MinorStopsReduce::Availability => availability.push(minor),
            MinorStopsReduce::Performance => performance.push(minor),
        }
        let ran = self.micros(Cause::Producing).saturating_add(self.micros(Cause::ReducedSpeed));
        let mut branches = vec![tree.sum("availability_losses", availability)];
        if let (Some(ideal), Some(productive), Some((_, startup))) =
            (quantities.ideal_s, quantities.fully_productive_s(rules), quantities.quality_losses(rules))
        {
            let (ideal, productive, startup) = (to_micros(ideal), to_micros(productive), to_micros(startup));
            performance.push(tree.leaf("reduced_speed", ran - ideal));
            let quality = vec![tree.leaf("process_defects", ideal - productive - startup), tree.leaf("startup_rejects", startup)];
            branches.push(tree.sum("performance_losses", performance));
            branches.push(tree.sum("quality_losses", quality));
            branches.push(tree.leaf("fully_productive_time", productive));
        } else {
            branches.push(tree.sum("performance_losses", performance));
            branches.push(tree.leaf("undivided", ran));
        }
        tree.sum("planned_busy_time", branches)
    }
}

struct Tree<'a> {
    tally: &'a Tally,
    cycle_s: Option<f64>,
    busy_s: f64,
}

impl Tree<'_> {
    fn leaf(&self, key: &str, micros: i64) -> LossNode {
        let seconds = micros as f64 / 1e6;
        LossNode {
            key: key.to_owned(),
            micros,
            seconds,
            share: ratio(seconds, self.busy_s),
            parts: self.cycle_s.and_then(|cycle| ratio(seconds, cycle)),
            stops: None,
            children: Vec::new(),
        }
    }

    fn sum(&self, key: &str, children: Vec<LossNode>) -> LossNode {
        let micros = children.iter().map(|child| child.micros).sum();
        let stops = children.iter().filter_map(|child| child.stops).reduce(|a, b| a + b);
        LossNode { stops, children, ..self.leaf(key, micros) }
    }

    fn of_cause(&self, cause: Cause, key: &str) -> LossNode {
        let reasons = self.tally.reasons.range((cause, None)..).take_while(|((of, _), _)| *of == cause);
        let children = reasons.map(|((_, reason), sum)| LossNode {
            stops: Some(sum.stops),
            ..self.leaf(reason.as_deref().unwrap_or("unassigned"), sum.micros)
        });
        let children: Vec<_> = children.collect();
        let stops = Some(children.iter().filter_map(|child| child.stops).sum());
        LossNode { stops, children, ..self.leaf(key, self.tally.micros(cause)) }
    }
}
