//! Yields: first pass, rolled throughput, scrap, rework, defects per million opportunities and the sigma level.
//!
//! Stands between counts and the API. Pure.
//!
//! First pass yield = GP / IP; rolled throughput yield = the product over the steps of a routing (ISO 22400-2). A part that needed rework is not good
//! at first pass. Scrap ratio = SQ / PQ, rework ratio = RQ / PQ. DPMO = 10^6 * defects / (units * opportunities); sigma level = z(1 - DPMO / 10^6) + 1.5,
//! the customary shift of 1.5 included (Harry, *The Nature of Six Sigma Quality*): 3.4 are 6 sigma.
//!
//! Invariants: nothing inspected makes `None`, not 0 or 1. A roll-up adds counts of one step; it multiplies only over steps.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};
use utoipa::ToSchema;

use crate::field::{Faults, FieldError};

const MAX_STEPS: usize = 1_000;

/// Counts of one step of a routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepCounts {
    pub name: String,
    /// Parts that went into the step.
    pub produced: u64,
    #[serde(default)]
    pub scrap: u64,
    #[serde(default)]
    pub rework: u64,
    /// For DPMO; a part may have several.
    #[serde(default)]
    pub defects: u64,
    /// What can go wrong with one part; 0: not counted.
    #[serde(default)]
    pub opportunities: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct YieldRequest {
    /// The steps of the routing; rows of one name are added.
    pub steps: Vec<StepCounts>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepYield {
    pub name: String,
    pub produced: u64,
    pub good_first_pass: u64,
    pub first_pass_yield: Option<f64>,
    pub scrap_ratio: Option<f64>,
    pub rework_ratio: Option<f64>,
    pub dpmo: Option<f64>,
    /// `None` with no defects at all, or nothing but defects: then it has no end.
    pub sigma_level: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct YieldAnswer {
    pub steps: Vec<StepYield>,
    /// `None` if a step has no parts.
    pub rolled_throughput_yield: Option<f64>,
    /// The mean yield of a step: the root of the rolled yield.
    pub normalized_yield: Option<f64>,
    pub dpmo: Option<f64>,
    pub sigma_level: Option<f64>,
    /// Steps without parts, by name.
    pub without_parts: Vec<String>,
}

/// Yields over a routing.
///
/// # Errors
/// Every row whose counts can't be.
pub fn yields(request: &YieldRequest) -> Result<YieldAnswer, Vec<FieldError>> {
    let mut faults = Faults::default();
    faults.at_most("steps", request.steps.len(), MAX_STEPS);
    if request.steps.is_empty() {
        faults.add("steps", "is empty: give the counts of at least one step");
    }
    for (i, s) in request.steps.iter().enumerate() {
        if s.scrap.saturating_add(s.rework) > s.produced {
            faults.add(
                format!("steps[{i}].scrap"),
                "scrap and rework are more than produced: a part that was reworked and scrapped is scrap",
            );
        }
        if s.opportunities > 0 && u128::from(s.defects) > u128::from(s.produced) * u128::from(s.opportunities) {
            faults.add(format!("steps[{i}].defects"), "are more than produced parts have opportunities");
        }
        if s.opportunities == 0 && s.defects > 0 {
            faults.add(format!("steps[{i}].opportunities"), "are needed to make DPMO of defects");
        }
        if let Some(other) = request.steps[..i].iter().find(|o| o.name == s.name && o.opportunities != s.opportunities) {
            faults.add(format!("steps[{i}].opportunities"), format!("step {:?} has {} in another row", s.name, other.opportunities));
        }
    }
    let mut order: Vec<StepCounts> = Vec::new();
    for s in &request.steps {
        match order.iter_mut().find(|o| o.name == s.name) {
            Some(o) => {
                o.produced = o.produced.saturating_add(s.produced);
                o.scrap = o.scrap.saturating_add(s.scrap);
                o.rework = o.rework.saturating_add(s.rework);
                o.defects = o.defects.saturating_add(s.defects);
            }
            None => order.push(s.clone()),
        }
    }
    faults.or(())?;
    let steps: Vec<StepYield> = order.iter().map(step).collect();
    let rolled = steps.iter().map(|s| s.first_pass_yield).product::<Option<f64>>();
    let chances = order.iter().map(|s| s.produced as f64 * s.opportunities as f64).sum::<f64>();
    let defects: f64 = order.iter().map(|s| s.defects as f64).sum();
    let dpmo = ratio(defects * 1e6, chances);
    Ok(YieldAnswer {
        rolled_throughput_yield: rolled,
        normalized_yield: rolled.map(|r| r.powf(1.0 / steps.len() as f64)),
        dpmo,
        sigma_level: dpmo.and_then(sigma_level),
        without_parts: steps.iter().filter(|s| s.produced == 0).map(|s| s.name.clone()).collect(),
        steps,
    })
}

/// The sigma level of a rate of defects, with the shift of 1.5; `None` at 0 and at a million.
pub fn sigma_level(dpmo: f64) -> Option<f64> {
    (dpmo > 0.0 && dpmo < 1e6).then(|| 1.5 - Normal::standard().inverse_cdf(dpmo / 1e6)).filter(|s| s.is_finite())
}

fn step(s: &StepCounts) -> StepYield {
    let produced = s.produced as f64;
    let good = s.produced.saturating_sub(s.scrap).saturating_sub(s.rework);
    let dpmo = ratio(s.defects as f64 * 1e6, produced * s.opportunities as f64);
    StepYield {
        name: s.name.clone(),
        produced: s.produced,
        good_first_pass: good,
        first_pass_yield: ratio(good as f64, produced),
        scrap_ratio: ratio(s.scrap as f64, produced),
        rework_ratio: ratio(s.rework as f64, produced),
        dpmo,
        sigma_level: dpmo.and_then(sigma_level),
    }
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(name: &str, produced: u64, scrap: u64, rework: u64) -> StepCounts {
        StepCounts { name: name.into(), produced, scrap, rework, defects: 0, opportunities: 0 }
    }

    /// By hand: 100 in, 5 scrap, 5 rework: .90; 95, 5 and 0: 90/95; 90, 0 and 9: .90. Product .9 * .947368 * .9 = .767368.
    #[test]
    fn rolled_yield_is_the_product_of_first_pass_yields_and_rework_is_not_good() {
        let steps = vec![counts("saw", 100, 5, 5), counts("mill", 95, 5, 0), counts("drill", 60, 0, 6), counts("drill", 30, 0, 3)];
        let answer = yields(&YieldRequest { steps }).unwrap();
        assert!((answer.rolled_throughput_yield.unwrap() - 0.767_368_421).abs() < 1e-9);
        assert!((answer.normalized_yield.unwrap().powi(3) - 0.767_368_421).abs() < 1e-9);
        assert_eq!(answer.steps[2].rework_ratio, Some(0.1));
        assert_eq!(answer.steps[0].scrap_ratio, Some(0.05));
    }

    /// The customary table of six sigma: 3.4, 233, 6,210, 66,807, 308,538 and 691,462 DPMO are 6 to 1 sigma.
    #[test]
    fn sigma_levels_are_those_of_the_published_table() {
        for (dpmo, level) in [(3.4, 6.0), (233.0, 5.0), (6_210.0, 4.0), (66_807.0, 3.0), (308_538.0, 2.0), (691_462.0, 1.0)] {
            assert!((sigma_level(dpmo).unwrap() - level).abs() < 1e-3, "{dpmo}");
        }
        assert_eq!((sigma_level(0.0), sigma_level(1e6)), (None, None));
    }

    #[test]
    fn a_step_without_parts_makes_no_yield_and_is_named() {
        let answer = yields(&YieldRequest { steps: vec![counts("saw", 10, 0, 0), counts("mill", 0, 0, 0)] }).unwrap();
        assert_eq!((answer.rolled_throughput_yield, answer.without_parts), (None, vec!["mill".to_owned()]));
    }

    #[test]
    fn counts_that_cannot_be_are_refused_by_name() {
        let mut step = counts("saw", 10, 8, 3);
        step.defects = 4;
        let fields: Vec<String> = yields(&YieldRequest { steps: vec![step] }).unwrap_err().into_iter().map(|f| f.field).collect();
        assert_eq!(fields, ["steps[0].scrap", "steps[0].opportunities"]);
        assert_eq!(yields(&YieldRequest { steps: Vec::new() }).unwrap_err()[0].field, "steps");
    }
}
