//! The losses by their size.
//!
//! Stands behind the tally, before the API. Invariant: the rows sum to the planned busy time less the fully productive time, where an ideal cycle is
//! known.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Catalogue, Rules,
    cause::{Cause, LossCategory},
    figures::{Quantities, ratio},
    tally::Tally,
};

/// What the rows of a Pareto are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParetoBy {
    Reason,
    /// The topmost reason of the catalogue's tree.
    TopReason,
    Category,
}

/// Losses by their size.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Pareto {
    pub rows: Vec<ParetoRow>,
    /// Planned busy time less fully productive time.
    pub total_s: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ParetoRow {
    /// A reason, a cause (where none was registered), or a category.
    pub key: String,
    pub name: String,
    pub category: LossCategory,
    /// False: a stop that nobody gave a reason for.
    pub has_reason: bool,
    /// Negative for reduced speed if performance is above one.
    pub seconds: f64,
    pub share: Option<f64>,
    pub cumulative: Option<f64>,
    /// Parts that would have been made in that time at the ideal cycle.
    pub parts: Option<f64>,
    /// How many stops began.
    pub stops: u64,
    /// Mean length of a stop: the mean time to repair, if it is a failure.
    pub mean_s: Option<f64>,
    /// Mean production time between two: the mean time between failures, if it is one.
    pub every_s: Option<f64>,
}

/// A loss, before it is put in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LossSum {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) category: LossCategory,
    pub(super) has_reason: bool,
    pub(super) seconds: f64,
    pub(super) stops: u64,
}

impl Tally {
    /// The losses of planned busy time; those of speed and quality only where an ideal cycle is known.
    pub(super) fn loss_sums(&self, by: ParetoBy, rules: &Rules, catalogue: &Catalogue, ideal_cycle_s: Option<f64>) -> Vec<LossSum> {
        let mut sums: Vec<LossSum> = Vec::new();
        let mut put = |sum: LossSum| match sums.iter_mut().find(|s| s.key == sum.key && s.category == sum.category) {
            Some(same) => {
                same.seconds += sum.seconds;
                same.stops += sum.stops;
            }
            None => sums.push(sum),
        };
        for ((cause, reason), sum) in &self.reasons {
            let Some(category) = cause.loss().filter(|_| !matches!(cause, Cause::PlannedStop | Cause::ReducedSpeed)) else { continue };
            let code = match (by, reason.as_deref()) {
                (ParetoBy::Category, _) => category.as_str(),
                (_, None) => cause.as_str(),
                (ParetoBy::Reason, Some(code)) => code,
                (ParetoBy::TopReason, Some(code)) => catalogue.path(code).first().copied().unwrap_or(code),
            };
            let name = catalogue.get(code).map_or_else(|| code.replace('_', " "), |r| r.name.clone());
            put(LossSum {
                key: code.to_owned(),
                name,
                category,
                has_reason: reason.is_some(),
                seconds: sum.micros as f64 / 1e6,
                stops: sum.stops,
            });
        }
        let losses = Quantities::of(self, ideal_cycle_s.is_some()).losses(rules);
        let of_parts = [
            (LossCategory::ReducedSpeed, losses.reduced_speed),
            (LossCategory::ProcessDefects, losses.process_defects),
            (LossCategory::StartupRejects, losses.startup_rejects),
        ];
        for (category, seconds) in of_parts {
            if let Some(seconds) = seconds {
                let key = category.as_str();
                put(LossSum { key: key.to_owned(), name: key.replace('_', " "), category, has_reason: true, seconds, stops: 0 });
            }
        }
        sums
    }

    /// Losses by their size, the greatest first.
    pub fn pareto(&self, by: ParetoBy, rules: &Rules, catalogue: &Catalogue, ideal_cycle_s: Option<f64>) -> Pareto {
        let mut sums = self.loss_sums(by, rules, catalogue, ideal_cycle_s);
        sums.retain(|sum| sum.seconds != 0.0 || sum.stops > 0);
        sums.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.key.cmp(&b.key)));
        let total_s: f64 = sums.iter().map(|sum| sum.seconds).sum();
        let cycle_s = self.mean_cycle_s(ideal_cycle_s);
        let production_s = Quantities::of(self, false).production_s(rules);
        let mut so_far = 0.0;
        let rows = sums.into_iter().map(|sum| {
            so_far += sum.seconds;
            ParetoRow {
                share: ratio(sum.seconds, total_s),
                cumulative: ratio(so_far, total_s),
                parts: cycle_s.and_then(|cycle| ratio(sum.seconds, cycle)),
                stops: sum.stops,
                mean_s: ratio(sum.seconds, sum.stops as f64),
                every_s: ratio(production_s, sum.stops as f64),
                key: sum.key,
                name: sum.name,
                category: sum.category,
                has_reason: sum.has_reason,
                seconds: sum.seconds,
            }
        });
        Pareto { rows: rows.collect(), total_s }
    }
}
