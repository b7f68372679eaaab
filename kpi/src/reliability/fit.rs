//! All that can be said of one sample of ages: the request and the answer of `reliability/fit`.
//!
//! Order: the fields are checked ([`FieldError`], all at once); then every part is computed on its own, so that a sample too small for
//! one (a Weibull
//! law) still gets the others (the lower bound of the MTBF, Kaplan-Meier), with a flag and the reason.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Estimate, FieldError, FitError, Flag, check_confidence,
    gof::{GoodnessOfFit, goodness_of_fit},
    kaplan_meier::{KaplanMeier, SurvivalBounds, kaplan_meier},
    mle::{self, Bounds, MleFit},
    mtbf::{Divisor, Mtbf, Termination, mtbf},
    rank::{self, RankRegression, Ranks},
    replacement::{OptimalReplacement, ReplacementCosts, optimal_replacement},
    sample::{MAX_HOURS, Sample},
    weibull::Weibull,
};

/// Ages at which the reliability is asked for.
const MAX_ASKED: usize = 50;
/// Points of the survival curve.
const CURVE: usize = 41;
/// Units up to which likelihood-ratio bounds are computed; with more of them the methods agree.
pub const MAX_LIKELIHOOD_RATIO: usize = 5_000;

/// Ages in operating hours. Only `failures` or `censored` is needed.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"failures": [16, 34, 53, 75, 93, 120], "censored": []}))]
pub struct FitRequest {
    /// Ages at failure.
    #[serde(default)]
    pub failures: Vec<f64>,
    /// Ages of units that still run, or were taken out before they failed.
    #[serde(default)]
    pub censored: Vec<f64>,
    /// Of all bounds, two-sided; 0.5 to 0.9999.
    #[serde(default = "ninety_percent")]
    pub confidence: f64,
    /// How the bounds of the Weibull law are made.
    #[serde(default)]
    pub bounds: Bounds,
    /// Plotting positions of the rank regression.
    #[serde(default)]
    pub ranks: Ranks,
    #[serde(default)]
    pub survival_bounds: SurvivalBounds,
    /// By what the MTBF is divided.
    #[serde(default)]
    pub divisor: Divisor,
    /// How the observation ended; it decides the lower bound of the MTBF. Without it: by time if any unit is censored or none failed,
    /// else by failure.
    pub termination: Option<Termination>,
    /// Ages at which the reliability is wanted, up to 50.
    #[serde(default)]
    pub reliability_at: Vec<f64>,
    /// Age of a running unit: its failure probability and what is left.
    pub age_h: Option<f64>,
    /// For the failure probability within the next hours.
    pub horizon_h: Option<f64>,
    /// For the optimal replacement age.
    pub costs: Option<ReplacementCosts>,
}

fn ninety_percent() -> f64 {
    0.9
}

impl Default for FitRequest {
    fn default() -> Self {
        Self {
            failures: Vec::new(),
            censored: Vec::new(),
            confidence: ninety_percent(),
            bounds: Bounds::default(),
            ranks: Ranks::default(),
            survival_bounds: SurvivalBounds::default(),
            divisor: Divisor::default(),
            termination: None,
            reliability_at: Vec::new(),
            age_h: None,
            horizon_h: None,
            costs: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FitAnswer {
    pub units: usize,
    pub failures: usize,
    pub confidence: f64,
    pub weibull: Option<WeibullAnswer>,
    pub weibull_error: Option<FitError>,
    pub rank_regression: Option<RankRegression>,
    pub rank_regression_error: Option<FitError>,
    pub mtbf: Mtbf,
    pub kaplan_meier: KaplanMeier,
    /// If costs were given and the Weibull law was fitted.
    pub replacement: Option<OptimalReplacement>,
    /// If an age was given and the Weibull law was fitted.
    pub unit: Option<UnitOutlook>,
    pub flags: Vec<Flag>,
    /// For people: what the flags and errors mean for this sample.
    pub notes: Vec<String>,
}

/// The Weibull law by maximum likelihood.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WeibullAnswer {
    pub beta: Estimate,
    pub eta_h: Estimate,
    /// Age by which 10 % have failed.
    pub b10_h: Option<Estimate>,
    pub mean_life_h: Option<f64>,
    /// How the bounds were made; those of `curve` are by Fisher information in any case.
    pub bounds: Bounds,
    pub reliability_at: Vec<ReliabilityAt>,
    /// From 0 to the age that 2 % reach.
    pub curve: Vec<ReliabilityAt>,
    pub goodness_of_fit: GoodnessOfFit,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReliabilityAt {
    pub age_h: f64,
    pub reliability: Estimate,
}

/// What a unit of a given age has to expect.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct UnitOutlook {
    pub age_h: f64,
    pub mean_residual_life_h: Option<f64>,
    pub median_residual_life_h: Option<f64>,
    pub horizon_h: Option<f64>,
    /// Within the horizon, given the age.
    pub failure_probability: Option<f64>,
}

impl UnitOutlook {
    pub fn new(law: Weibull, age_h: f64, horizon_h: Option<f64>) -> Self {
        Self {
            age_h,
            mean_residual_life_h: law.mean_residual_life_h(age_h),
            median_residual_life_h: law.residual_life(age_h, 0.5),
            horizon_h,
            failure_probability: horizon_h.map(|h| law.failure_within(age_h, h)),
        }
    }
}

impl FitRequest {
    /// # Errors
    /// Every field that can't be, by its name.
    pub fn fit(&self) -> Result<FitAnswer, Vec<FieldError>> {
        let sample = self.check()?;
        let mut flags = sample.flags();
        let (weibull, weibull_error) = split(mle::fit(&sample));
        let (rank_regression, rank_regression_error) = split(rank::fit(&sample, self.ranks));
        let answer = weibull.as_ref().map(|fit| self.weibull(&sample, fit, &mut flags));
        let law = weibull.as_ref().map(MleFit::weibull);
        if weibull_error.is_some() {
            flags.push(Flag::WeibullNotFitted);
        }
        if rank_regression_error.is_some() {
            flags.push(Flag::RankRegressionNotFitted);
        }
        if rank_regression.as_ref().is_some_and(|r| r.ranks != self.ranks) {
            flags.push(Flag::BenardRanks);
        }
        let ends_with_failure = sample.censored().is_empty() && !sample.failures().is_empty();
        let termination = self.termination.unwrap_or(if ends_with_failure { Termination::Failure } else { Termination::Time });
        let mtbf = mtbf(sample.total_time(), sample.failures().len() as u64, self.confidence, termination, self.divisor)
            .map_err(|error| vec![error])?;
        let replacement = match (law, self.costs) {
            (Some(law), Some(costs)) => Some(optimal_replacement(law, costs).map_err(|error| vec![error])?),
            _ => None,
        };
        flags.sort_unstable();
        flags.dedup();
        Ok(FitAnswer {
            units: sample.len(),
            failures: sample.failures().len(),
            confidence: self.confidence,
            notes: notes(&flags, weibull_error, rank_regression_error),
            weibull: answer,
            weibull_error,
            rank_regression,
            rank_regression_error,
            mtbf,
            kaplan_meier: kaplan_meier(&sample, self.confidence, self.survival_bounds),
            replacement,
            unit: law.zip(self.age_h).map(|(law, age)| UnitOutlook::new(law, age, self.horizon_h)),
            flags,
        })
    }

    fn check(&self) -> Result<Sample, Vec<FieldError>> {
        let sample = Sample::new(&self.failures, &self.censored);
        let mut errors = Vec::new();
        if let Err(error) = check_confidence(self.confidence) {
            errors.push(error);
        }
        if self.reliability_at.len() > MAX_ASKED {
            errors.push(FieldError::new("reliability_at", format!("holds more than {MAX_ASKED} ages")));
        }
        for (i, age) in self.reliability_at.iter().enumerate().take(MAX_ASKED) {
            if !(0.0..=MAX_HOURS).contains(age) {
                errors.push(FieldError::new(format!("reliability_at[{i}]"), "must be an age in hours, 0 or more"));
            }
        }
        for (field, value) in [("age_h", self.age_h), ("horizon_h", self.horizon_h)] {
            if value.is_some_and(|h| !(0.0..=MAX_HOURS).contains(&h)) {
                errors.push(FieldError::new(field, "must be a time in hours, 0 or more"));
            }
        }
        if self.horizon_h.is_some() && self.age_h.is_none() {
            errors.push(FieldError::new("age_h", "is missing: the failure probability within horizon_h depends on the unit's age"));
        }
        if let Some(costs) = self.costs {
            for (field, cost) in [("costs.preventive", costs.preventive), ("costs.corrective", costs.corrective)] {
                if !(cost > 0.0 && cost <= 1e15) {
                    errors.push(FieldError::new(field, "must be a cost above 0"));
                }
            }
        }
        match sample {
            Ok(sample) if errors.is_empty() => Ok(sample),
            Ok(_) => Err(errors),
            Err(mut first) => {
                first.append(&mut errors);
                Err(first)
            }
        }
    }

    fn weibull(&self, sample: &Sample, fit: &MleFit, flags: &mut Vec<Flag>) -> WeibullAnswer {
        let bounds = if sample.len() > MAX_LIKELIHOOD_RATIO { Bounds::Fisher } else { self.bounds };
        let goodness_of_fit = goodness_of_fit(sample, fit);
        if goodness_of_fit.anderson_darling_p.is_some_and(|p| p < 0.05) {
            flags.push(Flag::PoorFit);
        }
        let law = fit.weibull();
        let beta = fit.beta(self.confidence, bounds, flags);
        if beta.upper.is_some_and(|upper| upper < 1.0) {
            flags.push(Flag::EarlyFailures);
        }
        let end = law.life(0.98).unwrap_or(law.eta_h);
        let at = |age_h: f64, bounds: Bounds, flags: &mut Vec<Flag>| ReliabilityAt {
            age_h,
            reliability: fit.reliability(age_h, self.confidence, bounds, flags),
        };
        WeibullAnswer {
            curve: (0..CURVE).map(|i| at(end * i as f64 / (CURVE - 1) as f64, Bounds::Fisher, flags)).collect(),
            reliability_at: self.reliability_at.iter().map(|&age| at(age, bounds, flags)).collect(),
            eta_h: fit.eta_h(self.confidence, bounds, flags),
            b10_h: fit.life_h(0.1, self.confidence, bounds, flags),
            beta,
            mean_life_h: law.mean_h(),
            bounds,
            goodness_of_fit,
        }
    }
}

fn split<T, E>(result: Result<T, E>) -> (Option<T>, Option<E>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}

fn notes(flags: &[Flag], weibull: Option<FitError>, ranks: Option<FitError>) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    if let Some(error) = weibull {
        notes.push(format!("no Weibull law by maximum likelihood: {error}"));
    }
    if let Some(error) = ranks {
        notes.push(format!("no rank regression: {error}"));
    }
    for flag in flags {
        let text = match flag {
            Flag::NoFailures => "no unit has failed: the MTBF has a lower bound only",
            Flag::OneFailure => "one failure: the shape rests on a single point",
            Flag::FewFailures => "fewer than five failures: the bounds are approximate",
            Flag::TiedFailures => "several failures at the same age: rounded times, or one failure reported twice",
            Flag::ZeroCensoredIgnored => "units of age zero were left out",
            Flag::BoundNotFound => "a bound is beyond a factor of e^50 and was left out",
            Flag::PoorFit => "the ages do not look like one Weibull law: look for several failure modes",
            Flag::EarlyFailures => "failures get rarer with age: replacing by age does harm",
            Flag::BenardRanks => "many failures: median ranks by Benard's approximation",
            Flag::WeibullNotFitted | Flag::RankRegressionNotFitted => continue,
        };
        notes.push(text.to_owned());
    }
    notes
}

#[cfg(test)]
mod tests;
