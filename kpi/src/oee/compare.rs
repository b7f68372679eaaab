//! What changed against another period.
//!
//! Stands behind two tallies. The change of OEE is told twice, and adds up to the same number of points both times:
//! - by factor, as the mean over all orders in which A, P and Q could have changed one after the other (Shapley's share), so that no factor is
//!   favoured: of A, `dA (P0 Q0 + P1 Q1) / 3 + dA (P0 Q1 + P1 Q0) / 6`;
//! - by loss: OEE = 1 - sum of losses / planned busy time, so each loss moved it by the change of its share of planned busy time.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Catalogue, Ratios, Rules,
    cause::LossCategory,
    figures::{Quantities, ratio},
    pareto::{LossSum, ParetoBy},
    tally::Tally,
};

/// Two periods beside each other. Points are hundredths of a ratio.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Comparison {
    pub before: Ratios,
    pub after: Ratios,
    /// `None` if one of the two has no OEE.
    pub oee_points: Option<f64>,
    /// Their `oee_points` add up to the change of OEE. Empty if a factor is not known.
    pub factors: Vec<FactorChange>,
    /// What moved OEE most first. Their `points` add up to the change of OEE. Empty if one of the two has no OEE.
    pub losses: Vec<LossChange>,
    pub planned_busy_s: f64,
    pub planned_busy_before_s: f64,
    pub good_parts: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FactorChange {
    /// `availability`, `performance` or `quality`.
    pub factor: String,
    /// How far the factor itself moved.
    pub points: f64,
    /// How far it moved OEE.
    pub oee_points: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LossChange {
    pub key: String,
    pub name: String,
    pub category: LossCategory,
    pub before_s: f64,
    pub after_s: f64,
    /// How far it moved OEE: negative if it grew.
    pub points: f64,
    /// Parts lost more than before, at the ideal cycle of each period.
    pub parts: Option<f64>,
    pub stops_before: u64,
    pub stops_after: u64,
}

impl Comparison {
    /// `by`: what the losses are told by.
    pub fn of(before: &Tally, after: &Tally, by: ParetoBy, rules: &Rules, catalogue: &Catalogue, ideal_cycle_s: Option<f64>) -> Self {
        let quantities = [before, after].map(|tally| Quantities::of(tally, ideal_cycle_s.is_some()));
        let [a, b] = quantities.map(|q| q.ratios(rules));
        let [busy_before, busy_after] = quantities.map(|q| q.planned_busy_s());
        let cycles = [before, after].map(|tally| tally.mean_cycle_s(ideal_cycle_s));
        let mut losses = Vec::new();
        if a.oee.is_some() && b.oee.is_some() {
            let sums = [before, after].map(|tally| tally.loss_sums(by, rules, catalogue, ideal_cycle_s));
            losses = changes(sums, [busy_before, busy_after], cycles);
        }
        let signed = |tally: &Tally| i64::try_from(tally.parts.good()).unwrap_or(i64::MAX);
        Self {
            oee_points: a.oee.zip(b.oee).map(|(a, b)| (b - a) * 100.0),
            factors: factors(&a, &b).unwrap_or_default(),
            losses,
            planned_busy_s: busy_after,
            planned_busy_before_s: busy_before,
            good_parts: signed(after).saturating_sub(signed(before)),
            before: a,
            after: b,
        }
    }
}

fn factors(before: &Ratios, after: &Ratios) -> Option<Vec<FactorChange>> {
    let of = |r: &Ratios| Some([r.availability?, r.performance?, r.quality?]);
    let (x, y) = (of(before)?, of(after)?);
    let names = ["availability", "performance", "quality"];
    let change = |i: usize| {
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        let weight = (x[j] * x[k] + y[j] * y[k]) / 3.0 + (x[j] * y[k] + y[j] * x[k]) / 6.0;
        let points = (y[i] - x[i]) * 100.0;
        FactorChange { factor: names[i].to_owned(), points, oee_points: points * weight }
    };
    Some([0, 1, 2].map(change).into())
}

fn changes([before, after]: [Vec<LossSum>; 2], busy: [f64; 2], cycles: [Option<f64>; 2]) -> Vec<LossChange> {
    let key = |sum: &LossSum| (sum.key.clone(), sum.category);
    let mut pairs: std::collections::BTreeMap<_, [Option<LossSum>; 2]> = std::collections::BTreeMap::new();
    for (i, sums) in [before, after].into_iter().enumerate() {
        for sum in sums {
            let slot = pairs.entry(key(&sum)).or_default();
            slot[i] = Some(sum);
        }
    }
    let changes = pairs.into_values().filter_map(|pair| {
        let shown = pair.iter().flatten().next()?.clone();
        let [before, after] = pair;
        let of = |sum: &Option<LossSum>| sum.as_ref().map_or((0.0, 0), |s| (s.seconds, s.stops));
        let ((before_s, stops_before), (after_s, stops_after)) = (of(&before), of(&after));
        let parts = |seconds: f64, cycle: Option<f64>| cycle.and_then(|cycle| ratio(seconds, cycle));
        let [share_before, share_after] = [(before_s, busy[0]), (after_s, busy[1])].map(|(s, busy)| ratio(s, busy).unwrap_or(0.0));
        Some(LossChange {
            points: (share_before - share_after) * 100.0,
            parts: parts(after_s, cycles[1]).zip(parts(before_s, cycles[0])).map(|(a, b)| a - b),
            key: shown.key,
            name: shown.name,
            category: shown.category,
            before_s,
            after_s,
            stops_before,
            stops_after,
        })
    });
    let mut changes: Vec<_> = changes.filter(|c| c.before_s != 0.0 || c.after_s != 0.0).collect();
    changes.sort_by(|a, b| b.points.abs().total_cmp(&a.points.abs()).then_with(|| a.key.cmp(&b.key)));
    changes
}
