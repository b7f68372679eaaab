//! The age at which to replace a component before it fails.
//!
//! Replaced at failure or at the age `T`, whichever comes first, a component costs per operating hour
//! `C(T) = (c_pm R(T) + c_cm (1 - R(T))) / integral_0^T R` (Barlow and Proschan). The optimum solves
//! `h(T) integral_0^T R - (1 - R(T)) = c_pm / (c_cm - c_pm)`; its left side rises from 0 without end if `beta > 1`, so there is exactly
//! one. With `beta <= 1`,
//! or a planned replacement that costs no less than a failure, there is none: run to failure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, finite, solve::root_from, weibull::Weibull};

/// Points of the cost curve.
const CURVE: usize = 60;

/// Cost of one replacement, in any one currency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplacementCosts {
    /// Planned, before a failure.
    pub preventive: f64,
    /// After a failure, with what the failure costs.
    pub corrective: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Replace at the optimal age.
    ReplaceAtAge,
    /// An optimum exists, but saves less than 1 %: it is not worth the planning.
    SavingNegligible,
    /// `beta <= 1`: a new component is no better than an old one.
    RunToFailureNoWearOut,
    /// A planned replacement costs no less than a failure.
    RunToFailureNoCostAdvantage,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct CostPoint {
    pub age_h: f64,
    pub cost_per_hour: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OptimalReplacement {
    pub finding: Finding,
    /// `None`: run to failure.
    pub age_h: Option<f64>,
    pub cost_per_hour: Option<f64>,
    pub run_to_failure_cost_per_hour: Option<f64>,
    /// Against running to failure, as a fraction.
    pub saving: Option<f64>,
    /// Probability that a component fails before the optimal age all the same.
    pub failure_before_replacement: Option<f64>,
    /// Ages from 2 % of the optimum (or of eta) on, evenly on a logarithmic scale.
    pub curve: Vec<CostPoint>,
}

/// Cost per operating hour when replaced at this age.
pub fn cost_per_hour(law: Weibull, costs: ReplacementCosts, age_h: f64) -> Option<f64> {
    let survival = law.reliability(age_h);
    let failed = -(-law.cumulative_hazard(age_h)).exp_m1();
    finite((costs.preventive * survival + costs.corrective * failed) / law.integral_h(age_h)?)
}

/// # Errors
/// A cost that is not a number above 0 (and up to 1e15).
pub fn optimal_replacement(law: Weibull, costs: ReplacementCosts) -> Result<OptimalReplacement, FieldError> {
    for (field, cost) in [("costs.preventive", costs.preventive), ("costs.corrective", costs.corrective)] {
        if !(cost > 0.0 && cost <= 1e15) {
            return Err(FieldError::new(field, "must be a cost above 0"));
        }
    }
    let run_to_failure = law.mean_h().and_then(|mean| finite(costs.corrective / mean));
    let age_h = if law.beta > 1.0 && costs.corrective > costs.preventive { optimum(law, costs) } else { None };
    let cost = age_h.and_then(|age| cost_per_hour(law, costs, age));
    let saving = cost.zip(run_to_failure).and_then(|(c, all)| finite(1.0 - c / all));
    let finding = if costs.corrective <= costs.preventive {
        Finding::RunToFailureNoCostAdvantage
    } else if law.beta <= 1.0 {
        Finding::RunToFailureNoWearOut
    } else if saving.is_some_and(|s| s >= 0.01) {
        Finding::ReplaceAtAge
    } else {
        Finding::SavingNegligible
    };
    let centre = age_h.filter(|age| *age < 10.0 * law.eta_h).unwrap_or(law.eta_h);
    let curve = (0..CURVE)
        .filter_map(|i| {
            let age_h = centre * 0.02 * (200.0_f64.ln() * i as f64 / (CURVE - 1) as f64).exp();
            Some(CostPoint { age_h, cost_per_hour: cost_per_hour(law, costs, age_h)? })
        })
        .collect();
    Ok(OptimalReplacement {
        finding,
        age_h,
        cost_per_hour: cost,
        run_to_failure_cost_per_hour: run_to_failure,
        saving,
        failure_before_replacement: age_h.map(|age| 1.0 - law.reliability(age)),
        curve,
    })
}

/// In `ln(T / eta)`, where the condition rises.
fn optimum(law: Weibull, costs: ReplacementCosts) -> Option<f64> {
    let unit = Weibull { beta: law.beta, eta_h: 1.0 };
    let wanted = costs.preventive / (costs.corrective - costs.preventive);
    let condition = |ln_age: f64| {
        let age = ln_age.exp();
        let x = unit.cumulative_hazard(age);
        let lived = unit.integral_h(age).unwrap_or(f64::NAN);
        law.beta * (x / age) * lived + (-x).exp_m1() - wanted
    };
    let step = if condition(0.0) < 0.0 { 0.1 } else { -0.1 };
    finite(law.eta_h * root_from(condition, 0.0, step, 60.0)?.exp())
}

#[cfg(test)]
mod tests;
