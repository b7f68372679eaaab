//! Do the failures of a machine get denser: Laplace and MIL-HDBK-189, both against a constant rate.
//!
//! Laplace: `u = (mean t - T/2) / (T sqrt(1 / (12 m)))`, standard normal; `u > 0`: failures get denser. MIL-HDBK-189: `2 sum ln(T / t_i)`,
//! chi-square with `2m` degrees of freedom; large values: failures get rarer. `m = n` for time termination; for failure termination the
//! last
//! failure sets `T` and `m = n - 1` (Rausand and Hoyland, System Reliability Theory, 7.4). Without a trend, lifetimes may be fitted by a
//! Weibull law;
//! with one, by [`super::growth`].

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    growth::{Direction, FailureTimes, GrowthError},
    mtbf::Termination,
    solve::{chi_square_cdf, normal_cdf},
};

/// One test: its statistic, and how likely a constant rate shows at least as much of a trend (two-sided).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct TrendTest {
    pub statistic: f64,
    pub p_value: f64,
    /// At the significance asked for.
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct TrendTests {
    pub laplace: TrendTest,
    pub mil_hdbk_189: TrendTest,
    pub termination: Termination,
    pub significance: f64,
}

/// Both tests at a significance such as 0.05.
///
/// # Errors
/// No failure whose time is random, or a significance outside 0.0001..=0.5.
pub fn trend_tests(failures: &FailureTimes, significance: f64) -> Result<TrendTests, GrowthError> {
    if !(1e-4..=0.5).contains(&significance) {
        return Err(GrowthError::OutOfRange);
    }
    let (log_sum, random) = failures.log_sum();
    if random < 1 {
        return Err(GrowthError::TooFewFailures);
    }
    let m = random as f64;
    let mean = failures.times()[..random].iter().map(|t| t / failures.end_h()).sum::<f64>() / m;
    let u = (mean - 0.5) * (12.0 * m).sqrt();
    let verdict = |statistic: f64, p_value: f64, denser: bool| TrendTest {
        statistic,
        p_value,
        direction: match (p_value < significance, denser) {
            (false, _) => Direction::NoEvidence,
            (true, true) => Direction::Deteriorating,
            (true, false) => Direction::Improving,
        },
    };
    let chi = 2.0 * log_sum;
    let below = chi_square_cdf(chi, 2.0 * m).ok_or(GrowthError::NoSpread)?;
    Ok(TrendTests {
        laplace: verdict(u, (2.0 * normal_cdf(-u.abs())).min(1.0), u > 0.0),
        mil_hdbk_189: verdict(chi, (2.0 * below.min(1.0 - below)).clamp(0.0, 1.0), below < 0.5),
        termination: failures.termination(),
        significance,
    })
}

#[cfg(test)]
mod tests;
