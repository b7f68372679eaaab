//! Reliability growth of a repaired machine: Crow-AMSAA (power law process) and Duane.
//!
//! Times are cumulative operating hours of the failures of one machine. Expected failures up to `t`: `lambda t^beta`; `beta < 1` improves,
//! `beta > 1` wears out. With `n` failures up to `T`: `beta = n / sum ln(T / t_i)`, `lambda = n / T^beta` (MIL-HDBK-189C, IEC 61164; the
//! unbiased `beta` has `n - 1` in place of `n` for time, `n - 2` for failure termination). Bounds of `beta`: `2 n beta / beta_hat` is
//! chi-square with `2n` (time) or `2(n - 1)` (failure) degrees of freedom. Bounds of the cumulative MTBF: exact Poisson. Bounds of the
//! instantaneous
//! MTBF: Fisher, `ln` has the variance `2 / n`.
//! Cramer-von Mises: `C2 = 1/(12 M) + sum ((t_i / T)^b - (2i - 1)/(2M))^2` with the unbiased `b`, `M = n` (time) or `n - 1` (failure),
//! against
//! the critical values of MIL-HDBK-189C.
//! Duane: least squares of `ln(t_i / i)` on `ln t_i`; cumulative MTBF `t^alpha / a`, instantaneous `1 / (1 - alpha)` times that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Estimate, FieldError, check_confidence, finite,
    mtbf::Termination,
    sample::{MAX_HOURS, MAX_UNITS, MIN_HOURS},
    solve::{chi_square_quantile, two_sided_z},
};

/// Cumulative failure times of one machine, ascending, and the end of the observation.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureTimes {
    times: Vec<f64>,
    end_h: f64,
    termination: Termination,
}

impl FailureTimes {
    /// `end_h` of `None`: the observation ended with the last failure.
    ///
    /// # Errors
    /// No times, times that can't be, or an end before the last failure.
    pub fn new(times_h: &[f64], end_h: Option<f64>) -> Result<Self, FieldError> {
        if times_h.is_empty() || times_h.len() > MAX_UNITS {
            return Err(FieldError::new("failure_times", format!("must hold 1 to {MAX_UNITS} cumulative operating times")));
        }
        if let Some(i) = times_h.iter().position(|t| !(MIN_HOURS..=MAX_HOURS).contains(t)) {
            return Err(FieldError::new(format!("failure_times[{i}]"), "must be a cumulative operating time in hours above 0"));
        }
        let mut times = times_h.to_vec();
        times.sort_by(f64::total_cmp);
        let last = times.last().copied().unwrap_or_default();
        match end_h {
            Some(end) if !(last..=MAX_HOURS).contains(&end) => {
                Err(FieldError::new("end_h", format!("must be the end of the observation, not before the last failure at {last} h")))
            }
            Some(end_h) => Ok(Self { times, end_h, termination: Termination::Time }),
            None => Ok(Self { times, end_h: last, termination: Termination::Failure }),
        }
    }

    pub fn times(&self) -> &[f64] {
        &self.times
    }

    pub fn end_h(&self) -> f64 {
        self.end_h
    }

    pub fn termination(&self) -> Termination {
        self.termination
    }

    /// `sum ln(T / t_i)`, and how many of the times are random.
    pub(super) fn log_sum(&self) -> (f64, usize) {
        let sum = self.times.iter().map(|t| (self.end_h / t).ln()).sum();
        let random = match self.termination {
            Termination::Time => self.times.len(),
            Termination::Failure => self.times.len() - 1,
        };
        (sum, random)
    }
}

/// Why growth can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum GrowthError {
    #[error("at least two failures are needed, three if the observation ended with the last one")]
    TooFewFailures,
    #[error("all failures are at the same time")]
    NoSpread,
    #[error("the confidence must be in 0.5..=0.9999, the significance in 0.0001..=0.5")]
    OutOfRange,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The bounds of beta lie below 1.
    Improving,
    /// 1 is within the bounds.
    NoEvidence,
    /// The bounds of beta lie above 1.
    Deteriorating,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CrowAmsaa {
    pub beta: Estimate,
    pub beta_unbiased: Option<f64>,
    /// Of `lambda t^beta` with `t` in hours.
    pub lambda: f64,
    /// `1 - beta`.
    pub growth_rate: f64,
    pub direction: Direction,
    /// Operating time by failures, at the end of the observation.
    pub cumulative_mtbf_h: Estimate,
    /// What the machine has now, if nothing is changed further.
    pub instantaneous_mtbf_h: Estimate,
    pub cramer_von_mises: Option<f64>,
    /// At 10 % significance; above it the power law does not hold.
    pub cramer_von_mises_critical: Option<f64>,
    pub power_law_holds: Option<bool>,
    pub termination: Termination,
    pub confidence: f64,
}

impl CrowAmsaa {
    /// Expected failures in `(from, to]`.
    pub fn expected_failures(&self, from_h: f64, to_h: f64) -> Option<f64> {
        let up_to = |t: f64| self.lambda * t.max(0.0).powf(self.beta.value);
        finite(up_to(to_h) - up_to(from_h))
    }

    /// When the cumulative MTBF reaches the target. `None` if it does not grow, or not within 1e12 h.
    pub fn time_to_cumulative_mtbf_h(&self, target_h: f64) -> Option<f64> {
        (self.growth_rate > 0.0 && target_h > 0.0)
            .then(|| (target_h * self.lambda).powf(1.0 / self.growth_rate))
            .and_then(finite)
            .filter(|t| *t <= 1e12)
    }
}

/// # Errors
/// Too few failures, all at one time, or a confidence outside 0.5..=0.9999.
pub fn crow_amsaa(failures: &FailureTimes, confidence: f64) -> Result<CrowAmsaa, GrowthError> {
    let confidence = check_confidence(confidence).map_err(|_| GrowthError::OutOfRange)?;
    let n = failures.times.len() as f64;
    let (log_sum, random) = failures.log_sum();
    if random < 1 || failures.times.len() < 2 {
        return Err(GrowthError::TooFewFailures);
    }
    if log_sum <= 1e-9 {
        return Err(GrowthError::NoSpread);
    }
    let beta = n / log_sum;
    let lambda = (n.ln() - beta * failures.end_h.ln()).exp();
    let tail = 0.5 * (1.0 - confidence);
    let m = random as f64;
    let quantile = |p: f64, df: f64| chi_square_quantile(p, df).unwrap_or(f64::NAN);
    let beta_bounds = Estimate::new(beta, beta * quantile(tail, 2.0 * m) / (2.0 * n), beta * quantile(1.0 - tail, 2.0 * m) / (2.0 * n));
    let direction = match (beta_bounds.lower, beta_bounds.upper) {
        (_, Some(upper)) if upper < 1.0 => Direction::Improving,
        (Some(lower), _) if lower > 1.0 => Direction::Deteriorating,
        _ => Direction::NoEvidence,
    };
    let unbiased_count = match failures.termination {
        Termination::Time => n - 1.0,
        Termination::Failure => n - 2.0,
    };
    let beta_unbiased = (unbiased_count > 0.0).then_some(beta * unbiased_count / n);
    let upper_df = match failures.termination {
        Termination::Time => 2.0 * n + 2.0,
        Termination::Failure => 2.0 * n,
    };
    let cumulative = failures.end_h / n;
    let instantaneous = cumulative / beta;
    let factor = (two_sided_z(confidence) * (2.0 / n).sqrt()).exp();
    let statistic = beta_unbiased.map(|b| cramer_von_mises(failures, b, random));
    let critical = statistic.and(critical_value(random));
    Ok(CrowAmsaa {
        beta: beta_bounds,
        beta_unbiased,
        lambda,
        growth_rate: 1.0 - beta,
        direction,
        cumulative_mtbf_h: Estimate::new(
            cumulative,
            2.0 * failures.end_h / quantile(1.0 - tail, upper_df),
            2.0 * failures.end_h / quantile(tail, 2.0 * n),
        ),
        instantaneous_mtbf_h: Estimate::new(instantaneous, instantaneous / factor, instantaneous * factor),
        cramer_von_mises: statistic,
        cramer_von_mises_critical: critical,
        power_law_holds: statistic.zip(critical).map(|(c, limit)| c <= limit),
        termination: failures.termination,
        confidence,
    })
}

fn cramer_von_mises(failures: &FailureTimes, beta: f64, m: usize) -> f64 {
    let count = m as f64;
    let sum: f64 = failures.times[..m]
        .iter()
        .enumerate()
        .map(|(i, t)| ((t / failures.end_h).powf(beta) - (2 * i + 1) as f64 / (2.0 * count)).powi(2))
        .sum();
    1.0 / (12.0 * count) + sum
}

/// MIL-HDBK-189C, critical values of the Cramer-von Mises test, 10 % significance; between rows the nearer smaller `m`.
fn critical_value(m: usize) -> Option<f64> {
    const TABLE: [(usize, f64); 17] = [
        (2, 0.162),
        (3, 0.154),
        (4, 0.155),
        (5, 0.160),
        (6, 0.162),
        (7, 0.165),
        (8, 0.165),
        (9, 0.167),
        (10, 0.167),
        (11, 0.169),
        (12, 0.169),
        (15, 0.169),
        (16, 0.171),
        (20, 0.172),
        (30, 0.172),
        (60, 0.173),
        (100, 0.173),
    ];
    TABLE.iter().rev().find(|(from, _)| m >= *from).map(|(_, value)| *value)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Duane {
    /// Slope; above 0 the MTBF grows.
    pub alpha: f64,
    /// Cumulative MTBF is `t^alpha / a`.
    pub a: f64,
    pub cumulative_mtbf_h: f64,
    /// `None` if alpha is 1 or more.
    pub instantaneous_mtbf_h: Option<f64>,
    /// Of the line.
    pub r_squared: f64,
}

impl Duane {
    /// When the cumulative MTBF reaches the target. `None` if it does not grow, or not within 1e12 h.
    pub fn time_to_cumulative_mtbf_h(&self, target_h: f64) -> Option<f64> {
        (self.alpha > 0.0 && target_h > 0.0).then(|| (target_h * self.a).powf(1.0 / self.alpha)).and_then(finite).filter(|t| *t <= 1e12)
    }
}

/// # Errors
/// Fewer than two failures, or all at one time.
pub fn duane(failures: &FailureTimes) -> Result<Duane, GrowthError> {
    if failures.times.len() < 2 {
        return Err(GrowthError::TooFewFailures);
    }
    let n = failures.times.len() as f64;
    let xy = || failures.times.iter().enumerate().map(|(i, t)| (t.ln(), (t / (i + 1) as f64).ln()));
    let (mx, my) = xy().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let (sxx, syy, sxy) =
        xy().fold((0.0, 0.0, 0.0), |(a, b, c), (x, y)| (a + (x - mx) * (x - mx), b + (y - my) * (y - my), c + (x - mx) * (y - my)));
    if sxx <= 1e-18 * n {
        return Err(GrowthError::NoSpread);
    }
    let alpha = sxy / sxx;
    let a = (alpha * mx - my).exp();
    let cumulative = (alpha * failures.end_h.ln()).exp() / a;
    let (Some(a), Some(cumulative_mtbf_h)) = (finite(a), finite(cumulative)) else { return Err(GrowthError::NoSpread) };
    Ok(Duane {
        alpha,
        a,
        cumulative_mtbf_h,
        instantaneous_mtbf_h: (alpha < 1.0).then_some(cumulative_mtbf_h / (1.0 - alpha)),
        r_squared: if syy > 0.0 { (sxy * sxy / (sxx * syy)).min(1.0) } else { 1.0 },
    })
}

#[cfg(test)]
pub(super) mod tests;
