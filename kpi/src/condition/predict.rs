//! One answer on a machine's future, from all that is known: the body of `industry40/maintenance/predict`.
//!
//! Up to three estimates of the hours left, each a distribution: *degradation* (its first-passage curve), *age* (the Weibull law, given
//! the operating age),
//! *learned* (median and interval of a model, as a split log-normal). They are joined by a linear opinion pool: the mixture of their
//! distributions, weighted by
//! precision on the logarithmic scale (`1 / width^2`, width of the interval). A mixture is never narrower than what it is made of, and
//! where
//! estimates disagree it gets wide instead of pretending a middle; the failure probability and the interval are of the same distribution.
//!
//! Order of precedence: a limit that is passed means 0 hours, whatever else is said; then the pool; with no estimate there is no
//! prediction, and the
//! explanation says what is missing. Health is told beside it, and never changes the hours.
//!
//! Operating hours and hours of the calendar differ: [`AgeEvidence::utilisation`] turns the first into the second.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    FieldError,
    degradation::{DegradationRul, Outcome},
    health::{Driver, DriverKind, Health},
};
use crate::reliability::{
    solve::{normal_cdf, two_sided_z},
    weibull::Weibull,
};

/// No interval is believed to be narrower than this, on the logarithmic scale.
const MIN_WIDTH: f64 = 0.05;
const MAX_H: f64 = 1e9;

/// A machine's age and the law of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgeEvidence {
    /// What has that age (`spindle_bearing`), or `machine`.
    pub component: String,
    /// Operating hours.
    pub age_h: f64,
    pub weibull: Weibull,
    /// Failures the law was fitted to.
    pub failures: u64,
    /// Operating hours per calendar hour, 0 to 1.
    pub utilisation: f64,
}

/// What a learned model says, as numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LearnedPrediction {
    pub rul_h: f64,
    pub lower_h: f64,
    pub upper_h: f64,
    /// Of the interval.
    pub confidence: f64,
    pub model_version: String,
    /// Root mean square error on machines that were held back.
    pub held_back_rmse_h: Option<f64>,
    /// Share of held-back truths within their intervals.
    pub held_back_coverage: Option<f64>,
    /// What moved this prediction, with its share.
    #[serde(default)]
    pub drivers: Vec<ModelDriver>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelDriver {
    pub name: String,
    /// Of all that moved the prediction, 0 to 1.
    pub share: f64,
    pub detail: String,
}

/// All that is known. Every part may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    pub device_id: String,
    pub health: Option<Health>,
    pub degradation: Option<Outcome>,
    /// The component nearest its end; others are the caller's to choose from.
    pub age: Option<AgeEvidence>,
    pub learned: Option<LearnedPrediction>,
    /// For the failure probability.
    pub horizon_h: f64,
    /// Of the interval.
    pub confidence: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Degradation,
    Age,
    Learned,
}

/// One of the estimates that were joined. Calendar hours.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RulEstimate {
    pub method: Method,
    pub rul_h: f64,
    pub lower_h: f64,
    pub upper_h: Option<f64>,
    /// In the pool; weights add up to 1.
    pub weight: f64,
    pub failure_probability: f64,
    pub model_version: Option<String>,
    pub held_back_rmse_h: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PredictFlag {
    /// Nothing to predict from.
    NoPrediction,
    NoHealth,
    /// The degradation has reached its limit.
    LimitPassed,
    /// The signals show no degradation; the prediction rests on the rest.
    NoTrend,
    /// Intervals of two estimates do not meet.
    EstimatesDisagree,
    /// The law of the age rests on fewer than five failures.
    FewFailures,
    /// Less than 75 % of held-back truths were within the learned model's intervals.
    PoorlyCalibratedModel,
    /// The learned model comes without an error on held-back machines.
    ModelNotHeldBack,
}

/// Hours left, of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct RulAnswer {
    /// Median.
    pub hours: f64,
    pub lower_h: f64,
    /// `None`: no upper end can be told.
    pub upper_h: Option<f64>,
    pub confidence: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MaintenancePrediction {
    pub device_id: String,
    /// 0 failed, 1 healthy.
    pub health: Option<f64>,
    pub rul: Option<RulAnswer>,
    /// Within `horizon_h`.
    pub failure_probability: Option<f64>,
    pub horizon_h: f64,
    /// What each method says, the heaviest first.
    pub estimates: Vec<RulEstimate>,
    /// What pulls the machine down. Shares add up to 1 within health, and within the model.
    pub drivers: Vec<Driver>,
    pub flags: Vec<PredictFlag>,
    /// For people, in sentences.
    pub explanation: Vec<String>,
}

/// Distribution of the calendar hours left.
enum Law<'a> {
    Degradation(&'a DegradationRul),
    Age(&'a AgeEvidence),
    Learned { median: f64, below: f64, above: f64 },
}

impl Law<'_> {
    fn by(&self, hours: f64) -> f64 {
        match self {
            Self::Degradation(rul) => rul.failure_within(hours),
            Self::Age(age) => age.weibull.failure_within(age.age_h, hours * age.utilisation),
            Self::Learned { median, below, above } => {
                if hours <= 0.0 {
                    return 0.0;
                }
                let off = (hours / median).ln();
                normal_cdf(off / if off < 0.0 { below } else { above })
            }
        }
    }

    /// By bisection on the logarithm. `None` if it is not reached within 1e9 h.
    fn quantile(by: impl Fn(f64) -> f64, p: f64) -> Option<f64> {
        if by(MAX_H) < p {
            return None;
        }
        let (mut low, mut high) = (1e-6_f64.ln(), MAX_H.ln());
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if by(middle.exp()) < p { low = middle } else { high = middle }
        }
        Some(high.exp())
    }
}

/// Joins what is known of a machine into one answer.
///
/// # Errors
/// Every number that can't be, by its field.
pub fn predict(parts: &Parts) -> Result<MaintenancePrediction, Vec<FieldError>> {
    check(parts)?;
    let mut flags = Vec::new();
    let mut explanation = Vec::new();
    let mut laws: Vec<(Method, Law<'_>)> = Vec::new();
    degradation(parts, &mut laws, &mut flags, &mut explanation);
    if let Some(age) = &parts.age {
        if age.failures < 5 {
            flags.push(PredictFlag::FewFailures);
        }
        laws.push((Method::Age, Law::Age(age)));
    }
    if let Some(learned) = &parts.learned {
        match (learned.held_back_rmse_h, learned.held_back_coverage) {
            (None, _) => flags.push(PredictFlag::ModelNotHeldBack),
            (_, Some(coverage)) if coverage < 0.75 => flags.push(PredictFlag::PoorlyCalibratedModel),
            _ => {}
        }
        laws.push((Method::Learned, law_of(learned)));
    }

    let tail = 0.5 * (1.0 - parts.confidence);
    let mut estimates = Vec::with_capacity(laws.len());
    for (method, law) in &laws {
        let at = |p: f64| Law::quantile(|h| law.by(h), p);
        let (Some(rul_h), Some(lower_h)) = (at(0.5), at(tail)) else { continue };
        let upper_h = at(1.0 - tail);
        let width = ((upper_h.unwrap_or(MAX_H) / lower_h).ln() / (2.0 * two_sided_z(parts.confidence))).max(MIN_WIDTH);
        let learned = parts.learned.as_ref().filter(|_| *method == Method::Learned);
        let estimate = RulEstimate {
            method: *method,
            rul_h,
            lower_h,
            upper_h,
            weight: 1.0 / (width * width),
            failure_probability: law.by(parts.horizon_h).clamp(0.0, 1.0),
            model_version: learned.map(|l| l.model_version.clone()),
            held_back_rmse_h: learned.and_then(|l| l.held_back_rmse_h),
        };
        estimates.push((estimate, law));
    }
    let total: f64 = estimates.iter().map(|(e, _)| e.weight).sum();
    for (estimate, _) in &mut estimates {
        estimate.weight /= total;
    }
    estimates.sort_by(|a, b| b.0.weight.total_cmp(&a.0.weight).then(a.0.method.cmp(&b.0.method)));

    let passed = matches!(parts.degradation, Some(Outcome::LimitPassed { .. }));
    let pool = |hours: f64| estimates.iter().map(|(e, law)| e.weight * law.by(hours)).sum::<f64>();
    let (rul, failure_probability) = if passed {
        (Some(RulAnswer { hours: 0.0, lower_h: 0.0, upper_h: Some(0.0), confidence: parts.confidence }), Some(1.0))
    } else if estimates.is_empty() {
        flags.push(PredictFlag::NoPrediction);
        explanation.push("No prediction: there is neither a degradation trend, nor an age with a fitted law, nor a learned model.".into());
        (None, None)
    } else {
        let rul = Law::quantile(pool, 0.5).zip(Law::quantile(pool, tail)).map(|(hours, lower_h)| RulAnswer {
            hours,
            lower_h,
            upper_h: Law::quantile(pool, 1.0 - tail),
            confidence: parts.confidence,
        });
        (rul, Some(pool(parts.horizon_h).clamp(0.0, 1.0)))
    };
    let apart = |a: &RulEstimate, b: &RulEstimate| a.upper_h.is_some_and(|upper| upper < b.lower_h);
    if estimates.iter().any(|(a, _)| estimates.iter().any(|(b, _)| apart(a, b))) {
        flags.push(PredictFlag::EstimatesDisagree);
        explanation.push("The estimates disagree: their intervals do not meet, so the joint interval is wide.".into());
    }
    let estimates: Vec<RulEstimate> = estimates.into_iter().map(|(e, _)| e).collect();
    explanation.extend(estimates.iter().map(|e| told(e, parts)));
    let health = parts.health.as_ref().and_then(|h| h.index);
    if health.is_none() {
        flags.push(PredictFlag::NoHealth);
    }
    flags.sort_unstable();
    flags.dedup();
    Ok(MaintenancePrediction {
        device_id: parts.device_id.clone(),
        health,
        rul,
        failure_probability,
        horizon_h: parts.horizon_h,
        drivers: drivers(parts),
        estimates,
        flags,
        explanation,
    })
}

fn degradation<'a>(parts: &'a Parts, laws: &mut Vec<(Method, Law<'a>)>, flags: &mut Vec<PredictFlag>, explanation: &mut Vec<String>) {
    match &parts.degradation {
        Some(Outcome::Prediction(rul)) => laws.push((Method::Degradation, Law::Degradation(rul))),
        Some(Outcome::LimitPassed { value }) => {
            flags.push(PredictFlag::LimitPassed);
            explanation.push(format!("The degradation has reached its limit (value {value:.4}): no life is left."));
        }
        Some(Outcome::NoTrend { trend_probability }) => {
            flags.push(PredictFlag::NoTrend);
            let percent = trend_probability * 100.0;
            explanation.push(format!("No degradation trend can be told (probability {percent:.0} %), so none is extrapolated."));
        }
        Some(Outcome::BeyondHorizon { at_least_h, .. }) => {
            explanation.push(format!("The degradation is so slow that at least {at_least_h:.0} h are left by it."));
        }
        Some(Outcome::TooFewObservations { observations, needed }) => {
            explanation.push(format!("{observations} observations of the degradation; a trend needs {needed}."));
        }
        None => {}
    }
}

/// Split log-normal through the interval, not narrower than the error on held-back machines.
fn law_of(learned: &LearnedPrediction) -> Law<'static> {
    let median = learned.rul_h.max(1e-3);
    let z = two_sided_z(learned.confidence);
    let measured = learned.held_back_rmse_h.map_or(0.0, |rmse| (rmse / median).ln_1p());
    let width = |ratio: f64| (ratio.ln() / z).max(MIN_WIDTH);
    let below = width(median / learned.lower_h.max(1e-3).min(median));
    let above = width(learned.upper_h.max(median) / median);
    // The held-back error counts for half of each side at least: an interval far narrower than what was measured is not believed.
    Law::Learned { median, below: below.max(0.5 * measured), above: above.max(0.5 * measured) }
}

fn told(estimate: &RulEstimate, parts: &Parts) -> String {
    let RulEstimate { rul_h, lower_h, .. } = estimate;
    let upper = estimate.upper_h.map_or("without an upper end".to_owned(), |u| format!("to {u:.0} h"));
    let weight = estimate.weight * 100.0;
    let by = match (estimate.method, &parts.age, &parts.learned) {
        (Method::Degradation, ..) => "By the degradation trend".to_owned(),
        (Method::Age, Some(age), _) => {
            format!("By age ({} at {:.0} operating hours, beta {:.2})", age.component, age.age_h, age.weibull.beta)
        }
        (Method::Learned, _, Some(learned)) => match learned.held_back_rmse_h {
            Some(rmse) => format!("By the learned model {} (held-back error {rmse:.0} h)", learned.model_version),
            None => format!("By the learned model {}", learned.model_version),
        },
        (method, ..) => format!("By {method:?}"),
    };
    format!("{by}: {rul_h:.0} h left ({lower_h:.0} h {upper}), weight {weight:.0} %.")
}

fn drivers(parts: &Parts) -> Vec<Driver> {
    let mut drivers = parts.health.as_ref().map_or_else(Vec::new, |h| h.drivers.clone());
    if let Some(age) = &parts.age {
        let probability = age.weibull.failure_within(age.age_h, parts.horizon_h * age.utilisation);
        // Worn: what of the risk is due to age, against a new component.
        let new = age.weibull.failure_within(0.0, parts.horizon_h * age.utilisation);
        if probability > new {
            drivers.push(Driver {
                kind: DriverKind::Age,
                name: age.component.clone(),
                share: if probability > 0.0 { (probability - new) / probability } else { 0.0 },
                lost: 0.0,
                detail: format!(
                    "{:.0} operating hours: fails within {:.0} h with {:.1} %, a new one with {:.1} %",
                    age.age_h,
                    parts.horizon_h,
                    probability * 100.0,
                    new * 100.0
                ),
            });
        }
    }
    if let Some(learned) = &parts.learned {
        drivers.extend(learned.drivers.iter().map(|d| Driver {
            kind: DriverKind::Model,
            name: d.name.clone(),
            share: d.share,
            lost: 0.0,
            detail: d.detail.clone(),
        }));
    }
    drivers
}

fn check(parts: &Parts) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut need = |good: bool, field: &str, detail: &str| {
        if !good {
            errors.push(FieldError::new(field, detail));
        }
    };
    need((1e-3..=1e6).contains(&parts.horizon_h), "horizon_h", "must be hours above 0, up to 1e6");
    need((0.5..=0.999).contains(&parts.confidence), "confidence", "must be a fraction in 0.5..=0.999, e.g. 0.9");
    if let Some(age) = &parts.age {
        need((0.0..=MAX_H).contains(&age.age_h), "age.age_h", "must be operating hours, 0 or more");
        need((1e-6..=1.0).contains(&age.utilisation), "age.utilisation", "must be a fraction above 0, up to 1");
        need(Weibull::new(age.weibull.beta, age.weibull.eta_h).is_ok(), "age.weibull", "must have a shape and a scale above 0");
    }
    if let Some(learned) = &parts.learned {
        let hours = [learned.lower_h, learned.rul_h, learned.upper_h];
        need(hours.iter().all(|h| (0.0..=MAX_H).contains(h)), "learned.rul_h", "and its interval must be hours, 0 or more");
        need(
            !(learned.lower_h > learned.rul_h || learned.rul_h > learned.upper_h),
            "learned.lower_h",
            "must be below rul_h, upper_h above it",
        );
        need((0.5..=0.999).contains(&learned.confidence), "learned.confidence", "must be a fraction in 0.5..=0.999");
        need(learned.held_back_rmse_h.is_none_or(|h| (0.0..=MAX_H).contains(&h)), "learned.held_back_rmse_h", "must be hours, 0 or more");
        need(learned.held_back_coverage.is_none_or(|c| (0.0..=1.0).contains(&c)), "learned.held_back_coverage", "must be a fraction");
        need(learned.drivers.len() <= 1_000, "learned.drivers", "must be 1000 at most");
        need(learned.drivers.iter().all(|d| d.share.is_finite()), "learned.drivers", "must have shares that are numbers");
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

#[cfg(test)]
mod tests;
