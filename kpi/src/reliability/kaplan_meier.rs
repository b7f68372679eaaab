//! Survival without a law: Kaplan-Meier, with Greenwood's variance.
//!
//! `S(t) = product of (1 - d/n)` over the ages with failures up to `t`; `Var S = S^2 sum d / (n (n - d))`. Bounds: plain `S -+ z se`, cut
//! to
//! 0..=1, or on `ln(-ln S)`, which keeps them inside and is better for few units. Units censored at an age with failures count as at risk
//! there. Median: the first age with `S <= 0.5`; its bounds are where those of `S` cross 0.5 (Brookmeyer and Crowley).
//!
//! Invariants: `S` never rises, is in 0..=1, and lies within its bounds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{finite, sample::Sample, solve::two_sided_z};

/// On which scale the bounds are normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SurvivalBounds {
    #[default]
    LogLog,
    Plain,
}

/// `survival` stands from this age to the next step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Step {
    pub age_h: f64,
    pub at_risk: usize,
    pub failures: usize,
    pub censored: usize,
    pub survival: f64,
    /// Greenwood. `None` once all have failed.
    pub standard_error: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct KaplanMeier {
    pub bounds: SurvivalBounds,
    pub confidence: f64,
    /// One for each distinct age; before the first the survival is 1.
    pub steps: Vec<Step>,
    /// `None` if fewer than half have failed.
    pub median_h: Option<f64>,
    pub median_lower_h: Option<f64>,
    pub median_upper_h: Option<f64>,
    /// Mean life up to the greatest age (the area under the curve).
    pub restricted_mean_h: f64,
}

pub fn kaplan_meier(sample: &Sample, confidence: f64, bounds: SurvivalBounds) -> KaplanMeier {
    let ordered = sample.in_order();
    let z = two_sided_z(confidence);
    let (mut steps, mut survival, mut greenwood, mut area, mut since) = (Vec::new(), 1.0, 0.0, 0.0, 0.0);
    let mut passed = 0;
    for group in ordered.chunk_by(|a, b| a.0 == b.0) {
        let (age_h, at_risk) = (group[0].0, ordered.len() - passed);
        let failures = group.iter().filter(|(_, failed)| *failed).count();
        passed += group.len();
        area += survival * (age_h - since);
        since = age_h;
        let (n, d) = (at_risk as f64, failures as f64);
        survival *= (n - d) / n;
        if failures > 0 {
            greenwood += d / (n * (n - d));
        }
        let standard_error = finite(survival * f64::sqrt(greenwood));
        let (lower, upper) = interval(survival, greenwood, z, bounds);
        steps.push(Step { age_h, at_risk, failures, censored: group.len() - failures, survival, standard_error, lower, upper });
    }
    let first = |f: fn(&Step) -> Option<f64>| steps.iter().find(|s| f(s).is_some_and(|v| v <= 0.5 + 1e-12)).map(|s| s.age_h);
    KaplanMeier {
        bounds,
        confidence,
        median_h: first(|s| Some(s.survival)),
        median_lower_h: first(|s| s.lower),
        median_upper_h: first(|s| s.upper),
        steps,
        restricted_mean_h: area,
    }
}

fn interval(survival: f64, greenwood: f64, z: f64, bounds: SurvivalBounds) -> (Option<f64>, Option<f64>) {
    if survival >= 1.0 {
        return (Some(1.0), Some(1.0));
    }
    if survival <= 0.0 || !greenwood.is_finite() {
        return (None, None);
    }
    let (lower, upper) = match bounds {
        SurvivalBounds::Plain => {
            let half = z * survival * greenwood.sqrt();
            (survival - half, survival + half)
        }
        SurvivalBounds::LogLog => {
            let theta = z * greenwood.sqrt() / survival.ln();
            (survival.powf((-theta).exp()), survival.powf(theta.exp()))
        }
    };
    (finite(lower.clamp(0.0, 1.0)), finite(upper.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests;
