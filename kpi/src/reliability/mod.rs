//! Reliability of machines and components: from failures and work orders to the figures that decide when to maintain.
//!
//! Stands between the stored maintenance events (or numbers that a caller brings) and the API. Order of the data:
//! [`events`] (failures, repairs, work orders) -> operating ages and [`summary`] (MTBF, MTTR, MTTF, availability) -> [`sample::Sample`]
//! (ages at failure, ages still running) -> [`mle`] and [`rank`] (Weibull), [`kaplan_meier`], [`growth`], [`trend`] ->
//! [`replacement`] (the age to replace at). [`fit`] is all that can be said of one sample, as a request and its answer.
//!
//! Invariants: ages are operating hours, finite and positive; the order of the input does not matter; an answer never holds NaN or an
//! infinity: what does not exist is `None`, and a [`Flag`] or a [`FitError`] says why. Times multiplied by a factor give the same
//! shape, and times multiplied by that factor.

pub mod events;
pub mod fit;
pub mod gof;
pub mod growth;
pub mod kaplan_meier;
pub mod mle;
pub mod mtbf;
pub mod rank;
pub mod replacement;
pub mod sample;
pub(crate) mod solve;
pub mod summary;
pub mod trend;
pub mod weibull;

pub use crate::field::FieldError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why there is no fit for a sample that is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FitError {
    #[error("no unit has failed: only a lower bound of the MTBF exists")]
    NoFailures,
    #[error("a line needs at least two failures")]
    OneFailure,
    #[error("all failures are at the same age and none survived it: the shape is not determined, more failures are needed")]
    NoSpread,
    #[error("the fit did not converge: the shape is outside 0.001..=1000, check the unit of the times")]
    NotConverged,
}

/// What a reader of the figures must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Every unit still runs: lower bounds only.
    NoFailures,
    /// One failure: the shape rests on a single point.
    OneFailure,
    /// Fewer than five failures: the bounds are wide and only approximate.
    FewFailures,
    /// Two failures at the same age: rounded times, or one failure reported twice.
    TiedFailures,
    /// Units of age zero say nothing, and were left out.
    ZeroCensoredIgnored,
    /// The Weibull fit does not exist or did not converge; `weibull_error` says why.
    WeibullNotFitted,
    /// Rank regression does not exist; `rank_regression_error` says why.
    RankRegressionNotFitted,
    /// A bound lies beyond what can be searched (a factor of e^50), and is left out.
    BoundNotFound,
    /// The sample does not look like a Weibull sample (Anderson-Darling below 5 %).
    PoorFit,
    /// Beta below 1: failures get rarer with age (early failures); replacing by age does harm.
    EarlyFailures,
    /// More failures than exact median ranks are computed for; Benard's approximation was taken.
    BenardRanks,
}

/// An estimate with its bounds. A bound that does not exist is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    pub value: f64,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

impl Estimate {
    /// `lower` and `upper` are dropped if they are not finite.
    pub(crate) fn new(value: f64, lower: f64, upper: f64) -> Self {
        Self { value, lower: finite(lower), upper: finite(upper) }
    }
}

/// The number, if it is one.
pub(crate) fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// Checks a confidence level.
///
/// # Errors
/// Not in 0.5..=0.9999.
pub fn check_confidence(confidence: f64) -> Result<f64, FieldError> {
    if (0.5..=0.9999).contains(&confidence) {
        Ok(confidence)
    } else {
        Err(FieldError::new("confidence", "must be a fraction in 0.5..=0.9999, e.g. 0.9"))
    }
}
