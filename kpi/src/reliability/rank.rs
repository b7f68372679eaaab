//! Weibull by median-rank regression.
//!
//! The failure with adjusted rank `j` among `n` units gets the plotting position `F`: the median of Beta(j, n - j + 1) (exact), or
//! `(j - 0.3) / (n + 0.4)` (Benard). Censored units shift the ranks that follow them:
//! `j_i = j_(i-1) + (n + 1 - j_(i-1)) / (1 + units not yet passed)`
//! (Johnson). Then a line through `x = ln t`, `y = ln(-ln(1 - F))`: regression *on Y* minimises vertical, *on X* horizontal distances.
//! Failures at the same age keep ranks of their own.

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;
use utoipa::ToSchema;

use super::{FitError, finite, sample::Sample, solve::root, weibull::Weibull};

/// Failures up to which exact median ranks are computed: above, Benard's differ by less than 1e-5.
pub const MAX_EXACT: usize = 1_000;

/// Plotting positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ranks {
    #[default]
    Exact,
    Benard,
}

/// A failure on Weibull paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct RankPoint {
    pub age_h: f64,
    pub adjusted_rank: f64,
    /// Estimated fraction failed.
    pub median_rank: f64,
}

/// A line on Weibull paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct RankFit {
    pub beta: f64,
    pub eta_h: f64,
    /// Of `ln t` and `ln(-ln(1 - F))`; 1 is a perfect line.
    pub correlation: f64,
}

/// Both regressions and the points they went through.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RankRegression {
    /// The ranks that were used.
    pub ranks: Ranks,
    /// Horizontal distances; advised for few failures (its shape is less biased).
    pub on_x: RankFit,
    /// Vertical distances.
    pub on_y: RankFit,
    pub points: Vec<RankPoint>,
}

/// The median rank of the (adjusted) rank `j` among `n`. `None` if `j` is not in `(0, n]`.
pub fn median_rank(j: f64, n: usize, ranks: Ranks) -> Option<f64> {
    let n = n as f64;
    if !(j > 0.0 && j <= n) {
        return None;
    }
    let benard = (j - 0.3) / (n + 0.4);
    match ranks {
        Ranks::Benard => Some(benard),
        Ranks::Exact => root(|f| beta_reg(j, n - j + 1.0, f) - 0.5, 1e-12, 1.0 - 1e-12),
    }
}

/// The failures with Johnson's adjusted ranks and their median ranks, ascending.
pub fn points(sample: &Sample, ranks: Ranks) -> Vec<RankPoint> {
    let ordered = sample.in_order();
    let n = ordered.len();
    let mut rank = 0.0;
    let mut points = Vec::with_capacity(sample.failures().len());
    for (passed, &(age_h, failed)) in ordered.iter().enumerate() {
        if failed {
            rank += (n as f64 + 1.0 - rank) / (1.0 + (n - passed) as f64);
            if let Some(median_rank) = median_rank(rank, n, ranks) {
                points.push(RankPoint { age_h, adjusted_rank: rank, median_rank });
            }
        }
    }
    points
}

/// Both regressions. More failures than [`MAX_EXACT`] get Benard's ranks.
///
/// # Errors
/// Fewer than two failures; all at one age; a slope that is no shape.
pub fn fit(sample: &Sample, ranks: Ranks) -> Result<RankRegression, FitError> {
    match sample.failures().len() {
        0 => return Err(FitError::NoFailures),
        1 => return Err(FitError::OneFailure),
        _ => {}
    }
    let ranks = if sample.failures().len() > MAX_EXACT { Ranks::Benard } else { ranks };
    let points = points(sample, ranks);
    let xy: Vec<(f64, f64)> = points.iter().map(|p| (p.age_h.ln(), (-(-p.median_rank).ln_1p()).ln())).collect();
    let n = xy.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| xy.iter().map(f).sum::<f64>() / n;
    let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
    let (mut sxx, mut syy, mut sxy) = (0.0, 0.0, 0.0);
    for (x, y) in &xy {
        sxx += (x - mx) * (x - mx);
        syy += (y - my) * (y - my);
        sxy += (x - mx) * (y - my);
    }
    if sxx <= 1e-18 * n {
        return Err(FitError::NoSpread);
    }
    let correlation = finite(sxy / (sxx * syy).sqrt()).ok_or(FitError::NotConverged)?.clamp(-1.0, 1.0);
    let line = |beta: f64| {
        let law = Weibull::new(beta, (mx - my / beta).exp()).map_err(|_| FitError::NotConverged)?;
        Ok(RankFit { beta: law.beta, eta_h: law.eta_h, correlation })
    };
    Ok(RankRegression { ranks, on_x: line(syy / sxy)?, on_y: line(sxy / sxx)?, points })
}

#[cfg(test)]
mod tests;
