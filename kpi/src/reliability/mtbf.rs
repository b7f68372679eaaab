//! MTBF with confidence bounds by chi-square, for failures at a constant rate (homogeneous Poisson process).
//!
//! With `r` failures in the operating time `T`: estimate `T / r`; bounds `2T / chi2(1 - a/2; df)` and `2T / chi2(a/2; 2r)`, where `df` is
//! `2r + 2` if the observation ended at a given time (time terminated) and `2r` if it ended with the last failure (MIL-HDBK-338B, 8.3.2.5;
//! IEC 60605-4). Without failures only a lower bound exists: `2T / chi2(c; 2)` with all of the risk on that side, `2T / chi2(1 - a/2; 2)`
//! as
//! the lower end of a two-sided interval.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, Flag, check_confidence, finite, sample::MAX_HOURS, solve::chi_square_quantile};

/// How the observation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Termination {
    /// At a time that was given (also: now).
    #[default]
    Time,
    /// With the last failure.
    Failure,
}

/// By what a sum of times is divided. ISO 22400-2 has texts with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Divisor {
    /// By the number of events.
    #[default]
    Events,
    /// By the number of events plus one.
    EventsPlusOne,
}

impl Divisor {
    /// The mean, if there is something to divide by.
    pub fn mean(self, sum: f64, events: u64) -> Option<f64> {
        let divisor = match self {
            Self::Events => events as f64,
            Self::EventsPlusOne => events as f64 + 1.0,
        };
        (divisor > 0.0).then(|| sum / divisor).and_then(finite)
    }
}

/// Mean operating time between failures.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Mtbf {
    /// `None` without failures, unless divided by events + 1.
    pub mtbf_h: Option<f64>,
    /// Two-sided interval. It is that of the failure rate's inverse, whatever the divisor.
    pub lower_h: Option<f64>,
    /// `None` without failures.
    pub upper_h: Option<f64>,
    /// With this confidence the MTBF is not less (one-sided).
    pub one_sided_lower_h: Option<f64>,
    pub confidence: f64,
    pub termination: Termination,
    pub divisor: Divisor,
    pub failures: u64,
    pub operating_time_h: f64,
    pub flags: Vec<Flag>,
}

/// MTBF of `failures` in `operating_time_h`.
///
/// # Errors
/// A time that is negative or no number, a confidence outside 0.5..=0.9999, or a count so large that it can't be one.
pub fn mtbf(operating_time_h: f64, failures: u64, confidence: f64, termination: Termination, divisor: Divisor) -> Result<Mtbf, FieldError> {
    check_confidence(confidence)?;
    if !(0.0..=MAX_HOURS * 1e6).contains(&operating_time_h) {
        return Err(FieldError::new("operating_time_h", "must be a time in hours, 0 or more"));
    }
    if failures > 1_000_000_000 {
        return Err(FieldError::new("failures", "is more than 1e9: give the number of failure events"));
    }
    if failures > 0 && operating_time_h == 0.0 {
        return Err(FieldError::new("operating_time_h", "is 0, but there are failures: give the time in which the machine ran"));
    }
    let r = failures as f64;
    let lower_df = match termination {
        Termination::Failure if failures > 0 => 2.0 * r,
        _ => 2.0 * r + 2.0,
    };
    let tail = 0.5 * (1.0 - confidence);
    let bound = |p: f64, df: f64| chi_square_quantile(p, df).filter(|q| *q > 0.0).and_then(|q| finite(2.0 * operating_time_h / q));
    let mut flags = Vec::new();
    match failures {
        0 => flags.push(Flag::NoFailures),
        1 => flags.push(Flag::OneFailure),
        2..5 => flags.push(Flag::FewFailures),
        _ => {}
    }
    let ran = operating_time_h > 0.0;
    Ok(Mtbf {
        mtbf_h: divisor.mean(operating_time_h, failures).filter(|_| ran),
        lower_h: bound(1.0 - tail, lower_df).filter(|_| ran),
        upper_h: if failures > 0 { bound(tail, 2.0 * r) } else { None },
        one_sided_lower_h: bound(confidence, lower_df).filter(|_| ran),
        confidence,
        termination,
        divisor,
        failures,
        operating_time_h,
        flags,
    })
}

#[cfg(test)]
mod tests;
