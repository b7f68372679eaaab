//! How good predictions of remaining life are: root mean squared error, and the score of the PHM 2008 challenge, which punishes a late
//! warning
//! more than an early one.
//!
//! d = predicted - true; score = sum of exp(-d/13) - 1 where d < 0 (too early), exp(d/10) - 1 otherwise (too late).
//! Source: Saxena, Goebel, Simon, Eklund: Damage propagation modeling for aircraft engine run-to-failure simulation (PHM 2008).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Error over (predicted, true) pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// How many predictions.
    pub predictions: usize,
    pub rmse: f64,
    /// The sum of the PHM score.
    pub phm: f64,
}

/// The PHM score of one prediction. Grows exponentially with the error, so it is bounded at 1e12 to stay a number.
pub fn phm(predicted: f64, truth: f64) -> f64 {
    let d = predicted - truth;
    let score = if d < 0.0 { (-d / 13.0).exp_m1() } else { (d / 10.0).exp_m1() };
    score.min(1e12)
}

/// RMSE and PHM score; `None` without pairs, or where one of them is no finite number.
pub fn score(pairs: &[(f64, f64)]) -> Option<Score> {
    if pairs.is_empty() || pairs.iter().any(|(p, t)| !p.is_finite() || !t.is_finite()) {
        return None;
    }
    let squares: f64 = pairs.iter().map(|(p, t)| (p - t).powi(2)).sum();
    Some(Score { predictions: pairs.len(), rmse: (squares / pairs.len() as f64).sqrt(), phm: pairs.iter().map(|&(p, t)| phm(p, t)).sum() })
}
