//! Weibull by maximum likelihood, with right censoring and confidence bounds.
//!
//! The shape is the root of `sum t^b ln t / sum t^b - 1/b - mean(ln t of failures)`, which rises in `b`, so there is one at most; the
//! scale is
//! `(sum t^b / r)^(1/b)` (sums over all units, `r` failures). A root exists if some unit outlived the geometric mean of the failures.
//!
//! Bounds, two-sided, by one of two methods ([`Bounds`]):
//! - *Fisher*: the observed information in `(ln beta, ln eta)`; normal bounds of `ln beta`, `ln eta`, `ln t_p`, and of `ln H(t)` for
//!   `R(t)`, so
//!   that they stay in range (Nelson, Applied Life Data Analysis, ch. 8). The usual ones of other tools; too narrow for a handful of
//!   failures.
//! - *Likelihood ratio*: all values whose profile likelihood is within `chi2(c; 1) / 2` of the maximum (Meeker and Escobar, Statistical
//!   Methods for
//!   Reliability Data, ch. 8). For `eta`, `t_p` and `R(t)` the law is written by its cumulative hazard `k` at the age `x`,
//!   `H(t) = k (t/x)^b`; the likelihood is concave in `b` for given `k` and `x`, so the profile is exact.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Estimate, FitError, Flag,
    sample::Sample,
    solve::{chi_square_quantile, root, root_from, two_sided_z},
    weibull::Weibull,
};

const BETA_MIN: f64 = 1e-3;
const BETA_MAX: f64 = 1e3;
/// How far a likelihood-ratio bound is searched, as the logarithm of a factor.
const REACH: f64 = 50.0;

/// How the bounds were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bounds {
    /// Normal approximation on the logarithms, from the observed information.
    #[default]
    Fisher,
    /// Profile likelihood: better for few failures, slower.
    LikelihoodRatio,
}

/// A Weibull law fitted by maximum likelihood.
#[derive(Debug, Clone)]
pub struct MleFit {
    weibull: Weibull,
    log_likelihood: f64,
    sums: Scaled,
    /// Of `ln beta`, `ln eta`, and their covariance.
    variance: [f64; 3],
}

/// Ages divided by the greatest, so that no power overflows.
#[derive(Debug, Clone)]
struct Scaled {
    all: Vec<f64>,
    /// Sum of `ln` over the failures.
    ln_failures: f64,
    failures: f64,
    unit: f64,
}

impl Scaled {
    fn new(sample: &Sample) -> Self {
        let unit = sample.max();
        Self {
            all: sample.failures().iter().chain(sample.censored()).map(|t| t / unit).collect(),
            ln_failures: sample.failures().iter().map(|t| (t / unit).ln()).sum(),
            failures: sample.failures().len() as f64,
            unit,
        }
    }

    /// `(sum t^b, sum t^b ln t)`
    fn powers(&self, b: f64) -> (f64, f64) {
        self.all.iter().fold((0.0, 0.0), |(sum, with_ln), &t| {
            let (power, ln) = (t.powf(b), t.ln());
            (sum + power, with_ln + power * ln)
        })
    }

    fn score(&self, b: f64) -> f64 {
        let (sum, with_ln) = self.powers(b);
        with_ln / sum - 1.0 / b - self.ln_failures / self.failures
    }

    /// Log-likelihood (in hours) of `H(t) = exp(ln_k) (t / exp(ln_x))^b`, ages in `unit`s.
    fn log_likelihood(&self, b: f64, ln_k: f64, ln_x: f64) -> f64 {
        let hazard: f64 = self.all.iter().map(|t| (ln_k + b * (t.ln() - ln_x)).exp()).sum();
        self.failures * (b.ln() + ln_k - b * ln_x - self.unit.ln()) + (b - 1.0) * self.ln_failures - hazard
    }

    /// Its maximum over the shape.
    fn profile(&self, ln_k: f64, ln_x: f64) -> Option<f64> {
        let slope = |ln_b: f64| {
            let b = ln_b.exp();
            let pull: f64 = self
                .all
                .iter()
                .map(|t| {
                    let w = t.ln() - ln_x;
                    // Held below overflow: only the sign matters there.
                    (ln_k + b * w).min(600.0).exp() * w
                })
                .sum();
            self.failures / b - self.failures * ln_x + self.ln_failures - pull
        };
        let ln_b = root(slope, 1e-9_f64.ln(), 1e5_f64.ln())?;
        Some(self.log_likelihood(ln_b.exp(), ln_k, ln_x))
    }
}

/// Fits by maximum likelihood.
///
/// # Errors
/// No failures; no spread; no root in the range of shapes.
pub fn fit(sample: &Sample) -> Result<MleFit, FitError> {
    if sample.failures().is_empty() {
        return Err(FitError::NoFailures);
    }
    let sums = Scaled::new(sample);
    // ln of the greatest age is 0 here: the limit of the score for large shapes.
    if -sums.ln_failures / sums.failures <= 1e-12 {
        return Err(FitError::NoSpread);
    }
    let beta = root(|ln_b| sums.score(f64::exp(ln_b)), BETA_MIN.ln(), BETA_MAX.ln()).ok_or(FitError::NotConverged)?.exp();
    let eta = (sums.powers(beta).0 / sums.failures).powf(1.0 / beta);
    let weibull = Weibull::new(beta, eta * sums.unit).map_err(|_| FitError::NotConverged)?;
    let log_likelihood = sums.log_likelihood(beta, 0.0, eta.ln());
    let (mut first, mut second) = (0.0, 0.0);
    for t in &sums.all {
        let bw = beta * (t / eta).ln();
        let z = bw.exp();
        first += z * bw;
        second += z * bw * bw;
    }
    // Information in (ln beta, ln eta) is [[r + second, -beta first], [., beta^2 r]].
    let determinant = beta * beta * ((sums.failures + second) * sums.failures - first * first);
    let variance = [beta * beta * sums.failures / determinant, (sums.failures + second) / determinant, beta * first / determinant];
    if !log_likelihood.is_finite() || determinant <= 0.0 || variance.iter().any(|v| !v.is_finite()) {
        return Err(FitError::NotConverged);
    }
    Ok(MleFit { weibull, log_likelihood, sums, variance })
}

impl MleFit {
    pub fn weibull(&self) -> Weibull {
        self.weibull
    }

    /// At the optimum, of densities in 1/h.
    pub fn log_likelihood(&self) -> f64 {
        self.log_likelihood
    }

    /// The log-likelihood of another law for the same sample.
    pub fn log_likelihood_of(&self, other: Weibull) -> f64 {
        self.sums.log_likelihood(other.beta, 0.0, (other.eta_h / self.sums.unit).ln())
    }

    pub fn beta(&self, confidence: f64, bounds: Bounds, flags: &mut Vec<Flag>) -> Estimate {
        let ln = self.weibull.beta.ln();
        let interval = match bounds {
            Bounds::Fisher => self.normal(ln, self.variance[0], confidence),
            Bounds::LikelihoodRatio => self.within(ln, confidence, |ln_b| {
                let b = ln_b.exp();
                let ln_eta = (self.sums.powers(b).0 / self.sums.failures).ln() / b;
                Some(self.sums.log_likelihood(b, 0.0, ln_eta))
            }),
        };
        estimate(self.weibull.beta, interval.map(|end| end.map(f64::exp)), flags)
    }

    pub fn eta_h(&self, confidence: f64, bounds: Bounds, flags: &mut Vec<Flag>) -> Estimate {
        self.at_hazard(0.0, confidence, bounds, flags)
    }

    /// The age by which the fraction `p` has failed. `None` unless `0 < p < 1`.
    pub fn life_h(&self, p: f64, confidence: f64, bounds: Bounds, flags: &mut Vec<Flag>) -> Option<Estimate> {
        (p > 0.0 && p < 1.0).then(|| self.at_hazard((-(-p).ln_1p()).ln(), confidence, bounds, flags))
    }

    /// The age at which the cumulative hazard is `exp(ln_k)`.
    fn at_hazard(&self, ln_k: f64, confidence: f64, bounds: Bounds, flags: &mut Vec<Flag>) -> Estimate {
        let c = ln_k / self.weibull.beta;
        let ln_unit = self.sums.unit.ln();
        let ln_x = self.weibull.eta_h.ln() - ln_unit + c;
        let interval = match bounds {
            Bounds::Fisher => {
                let [bb, ee, be] = self.variance;
                self.normal(ln_x, c * c * bb + ee - 2.0 * c * be, confidence)
            }
            Bounds::LikelihoodRatio => self.within(ln_x, confidence, |x| self.sums.profile(ln_k, x)),
        };
        estimate((ln_x + ln_unit).exp(), interval.map(|end| end.map(|x| (x + ln_unit).exp())), flags)
    }

    /// Probability to reach the age `t_h`.
    pub fn reliability(&self, t_h: f64, confidence: f64, bounds: Bounds, flags: &mut Vec<Flag>) -> Estimate {
        if t_h <= 0.0 {
            return Estimate { value: 1.0, lower: Some(1.0), upper: Some(1.0) };
        }
        let ln_x = (t_h / self.sums.unit).ln();
        let w = (t_h / self.weibull.eta_h).ln();
        let ln_k = self.weibull.beta * w;
        let interval = match bounds {
            Bounds::Fisher => {
                let [bb, ee, be] = self.variance;
                let b = self.weibull.beta;
                self.normal(ln_k, b * b * (w * w * bb + ee - 2.0 * w * be), confidence)
            }
            Bounds::LikelihoodRatio => self.within(ln_k, confidence, |k| self.sums.profile(k, ln_x)),
        };
        let survival = |ln_k: f64| (-ln_k.exp()).exp();
        let [low, high] = interval.map(|end| end.map(survival));
        estimate(survival(ln_k), [high, low], flags)
    }

    fn normal(&self, at: f64, variance: f64, confidence: f64) -> [Option<f64>; 2] {
        let half = two_sided_z(confidence) * variance.max(0.0).sqrt();
        [Some(at - half), Some(at + half)]
    }

    /// Where the profile falls below the maximum by half a chi-square quantile, to both sides.
    fn within(&self, at: f64, confidence: f64, profile: impl Fn(f64) -> Option<f64>) -> [Option<f64>; 2] {
        let Some(quantile) = chi_square_quantile(confidence, 1.0) else { return [None, None] };
        let least = self.log_likelihood - 0.5 * quantile;
        let above = |x: f64| profile(x).map_or(f64::NAN, |l| l - least);
        [root_from(above, at, -0.05, REACH), root_from(above, at, 0.05, REACH)]
    }
}

fn estimate(value: f64, [lower, upper]: [Option<f64>; 2], flags: &mut Vec<Flag>) -> Estimate {
    let estimate = Estimate::new(value, lower.unwrap_or(f64::NAN), upper.unwrap_or(f64::NAN));
    if (estimate.lower.is_none() || estimate.upper.is_none()) && !flags.contains(&Flag::BoundNotFound) {
        flags.push(Flag::BoundNotFound);
    }
    estimate
}

#[cfg(test)]
mod tests;
