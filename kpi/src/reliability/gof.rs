//! Does the sample look like a Weibull sample, and is it more than an exponential one.
//!
//! - Anderson-Darling for complete samples, with the parameters estimated: `A* = (1 + 0.2 / sqrt n) A2`, significance
//!   `1 / (1 + exp(-0.1 + 1.24 ln A* + 4.48 A*))` (MIL-HDBK-17-1F, 8.3.4.1). With censored units it does not apply, and is `None`.
//! - Likelihood ratio of the Weibull against the exponential law (beta = 1): chi-square with 1 degree of freedom; also with censored units.
//! - AIC and AICc, to compare laws fitted to the same sample.

use serde::Serialize;
use utoipa::ToSchema;

use super::{finite, mle::MleFit, sample::Sample, solve::chi_square_cdf};

/// Goodness of fit of a Weibull law by maximum likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct GoodnessOfFit {
    pub log_likelihood: f64,
    pub aic: f64,
    /// Corrected for few units; needs at least 4.
    pub aicc: Option<f64>,
    /// `A2`, for complete samples of at least 2.
    pub anderson_darling: Option<f64>,
    /// How likely a Weibull sample is at least as far off. Below 0.05: look for several failure modes, or another law.
    pub anderson_darling_p: Option<f64>,
    /// How likely failures at a constant rate would look as much like wear-out or early failures as these.
    pub exponential_p: Option<f64>,
}

pub fn goodness_of_fit(sample: &Sample, fit: &MleFit) -> GoodnessOfFit {
    let (n, l) = (sample.len() as f64, fit.log_likelihood());
    let r = sample.failures().len() as f64;
    let exponential = r * (r / sample.total_time()).ln() - r;
    let anderson_darling = anderson_darling(sample, fit);
    GoodnessOfFit {
        log_likelihood: l,
        aic: 4.0 - 2.0 * l,
        aicc: (n > 3.0).then(|| 4.0 - 2.0 * l + 12.0 / (n - 3.0)),
        anderson_darling,
        anderson_darling_p: anderson_darling.map(|a2| {
            let a = (1.0 + 0.2 / n.sqrt()) * a2;
            1.0 / (1.0 + (-0.1 + 1.24 * a.ln() + 4.48 * a).exp())
        }),
        exponential_p: chi_square_cdf((2.0 * (l - exponential)).max(0.0), 1.0).map(|p| 1.0 - p),
    }
}

fn anderson_darling(sample: &Sample, fit: &MleFit) -> Option<f64> {
    let ages = sample.failures();
    if !sample.censored().is_empty() || ages.len() < 2 {
        return None;
    }
    let (law, n) = (fit.weibull(), ages.len());
    let sum: f64 = (0..n)
        .map(|i| {
            let failed = -(-law.cumulative_hazard(ages[i])).exp_m1();
            let survives = -law.cumulative_hazard(ages[n - 1 - i]);
            (2 * i + 1) as f64 * (failed.ln() + survives)
        })
        .sum();
    finite(-(n as f64) - sum / n as f64).filter(|a| *a > 0.0)
}

#[cfg(test)]
mod tests;
