//! What was predicted against what happened.
//!
//! A stored prediction is scored when its machine fails, or when it is replaced before (censored: it lived *at least* so long). Error:
//! predicted minus true
//! hours; positive is late. PHM 2008 score: `exp(-d / 13) - 1` if early, `exp(d / 10) - 1` if late, `d` in units of
//! [`ScoreSettings::phm_unit_h`]; late
//! costs more, and one exponent is capped at [`PHM_CAP`] with a flag. A censored truth has an error only where it is certain: a life
//! predicted shorter
//! than what was survived was too early by at least that much.
//!
//! Invariant: nothing here is averaged over means; a summary holds counts, so summaries add.

use std::collections::BTreeMap;

use protocol::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, HOUR_US};

/// The highest score of one prediction: `e^20`.
pub const PHM_CAP: f64 = 485_165_195.0;
/// Predictions scored in one call.
pub const MAX_PREDICTIONS: usize = 1_000_000;
const MAX_RUL_H: f64 = 1e9;

/// A prediction as it was stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoredPrediction {
    /// Microseconds since 1970.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    pub rul_h: f64,
    pub lower_h: Option<f64>,
    /// `None`: no upper end.
    pub upper_h: Option<f64>,
    /// Of the learned model, or the method's name (`degradation`).
    pub model_version: String,
}

/// How the life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum Truth {
    Failed {
        #[schema(value_type = i64)]
        at: Timestamp,
    },
    /// Replaced before it failed, or still running.
    Censored {
        #[schema(value_type = i64)]
        at: Timestamp,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreSettings {
    /// Hours of one unit of the PHM score (a cycle there).
    pub phm_unit_h: f64,
}

impl Default for ScoreSettings {
    fn default() -> Self {
        Self { phm_unit_h: 24.0 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Score {
    pub model_version: String,
    /// True hours left; for a censored truth at least these.
    pub true_rul_h: f64,
    pub censored: bool,
    /// Predicted minus true. `None` if censored and not certain.
    pub error_h: Option<f64>,
    /// `None` if it can't be known: no interval, or censored within it.
    pub in_interval: Option<bool>,
    pub phm_score: Option<f64>,
    /// The score was cut at its cap.
    pub capped: bool,
}

/// PHM 2008 score of an error `d`, predicted minus true; never above [`PHM_CAP`]. `None` for what is no number.
pub fn phm_score(d: f64) -> Option<f64> {
    (!d.is_nan()).then(|| if d < 0.0 { (-d / 13.0).exp_m1() } else { (d / 10.0).exp_m1() }.min(PHM_CAP))
}

/// # Errors
/// A prediction that can't be, or a truth before it.
pub fn score(prediction: &StoredPrediction, truth: Truth, settings: ScoreSettings) -> Result<Score, FieldError> {
    if !(1e-3..=1e6).contains(&settings.phm_unit_h) {
        return Err(FieldError::new("phm_unit_h", "must be hours above 0, up to 1e6"));
    }
    for (field, value) in [("rul_h", Some(prediction.rul_h)), ("lower_h", prediction.lower_h), ("upper_h", prediction.upper_h)] {
        if value.is_some_and(|h| !(0.0..=MAX_RUL_H).contains(&h)) {
            return Err(FieldError::new(field, "must be hours, 0 or more"));
        }
    }
    if prediction.lower_h.zip(prediction.upper_h).is_some_and(|(lower, upper)| lower > upper) {
        return Err(FieldError::new("lower_h", "is above upper_h"));
    }
    let (at, censored) = match truth {
        Truth::Failed { at } => (at, false),
        Truth::Censored { at } => (at, true),
    };
    if at < prediction.at {
        return Err(FieldError::new("truth.at", "is before the prediction: score only predictions made during that life"));
    }
    let true_rul_h = at.micros_since(prediction.at) as f64 / HOUR_US;
    let error = prediction.rul_h - true_rul_h;
    let error_h = (!censored || error < 0.0).then_some(error);
    let below = prediction.lower_h.is_some_and(|lower| true_rul_h < lower);
    let above = prediction.upper_h.is_some_and(|upper| true_rul_h > upper);
    let in_interval = match (censored, prediction.lower_h.is_some()) {
        (_, false) => None,
        (false, true) => Some(!below && !above),
        // It lived longer than the interval: out of it, whenever it would have failed.
        (true, true) => above.then_some(false),
    };
    let phm = error_h.and_then(|e| phm_score(e / settings.phm_unit_h));
    Ok(Score {
        model_version: prediction.model_version.clone(),
        true_rul_h,
        censored,
        error_h,
        in_interval,
        phm_score: phm,
        capped: phm.is_some_and(|s| s >= PHM_CAP),
    })
}

/// Scores of one model version.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ScoreSummary {
    pub predictions: u64,
    /// Whose truth is a failure; errors are of these alone.
    pub failed: u64,
    pub censored: u64,
    /// Censored ones that were certainly too early.
    pub censored_too_early: u64,
    pub mean_absolute_error_h: Option<f64>,
    pub rmse_h: Option<f64>,
    /// Mean error; above 0 it predicts too late.
    pub bias_h: Option<f64>,
    /// Share of failures within their interval.
    pub coverage: Option<f64>,
    /// Failures that had an interval.
    pub with_interval: u64,
    /// Sum over failures.
    pub phm_score: f64,
    pub capped: u64,
}

/// By model version.
///
/// # Errors
/// More than [`MAX_PREDICTIONS`] scores.
pub fn summarise(scores: &[Score]) -> Result<BTreeMap<String, ScoreSummary>, FieldError> {
    if scores.len() > MAX_PREDICTIONS {
        return Err(FieldError::new("scores", format!("holds more than {MAX_PREDICTIONS}: ask for a shorter period")));
    }
    let mut by_version: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
    for score in scores {
        by_version.entry(&score.model_version).or_default().push(score);
    }
    Ok(by_version.into_iter().map(|(version, scores)| (version.to_owned(), summary(&scores))).collect())
}

fn summary(scores: &[&Score]) -> ScoreSummary {
    let failed: Vec<&&Score> = scores.iter().filter(|s| !s.censored).collect();
    let mut errors: Vec<f64> = failed.iter().filter_map(|s| s.error_h).collect();
    // Sorted, so that sums do not depend on the order.
    errors.sort_by(f64::total_cmp);
    let mut phm: Vec<f64> = failed.iter().filter_map(|s| s.phm_score).collect();
    phm.sort_by(f64::total_cmp);
    let n = errors.len() as f64;
    let mean = |f: fn(f64) -> f64| (n > 0.0).then(|| errors.iter().map(|e| f(*e)).sum::<f64>() / n);
    let with_interval = failed.iter().filter(|s| s.in_interval.is_some()).count() as u64;
    let inside = failed.iter().filter(|s| s.in_interval == Some(true)).count() as f64;
    ScoreSummary {
        predictions: scores.len() as u64,
        failed: failed.len() as u64,
        censored: (scores.len() - failed.len()) as u64,
        censored_too_early: scores.iter().filter(|s| s.censored && s.error_h.is_some()).count() as u64,
        mean_absolute_error_h: mean(f64::abs),
        rmse_h: mean(|e| e * e).map(f64::sqrt),
        bias_h: mean(|e| e),
        coverage: (with_interval > 0).then(|| inside / with_interval as f64),
        with_interval,
        phm_score: phm.iter().sum(),
        capped: scores.iter().filter(|s| s.capped).count() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_micros(hours * 3_600_000_000)
    }

    fn predicted(rul_h: f64, version: &str) -> StoredPrediction {
        StoredPrediction { at: at(0), rul_h, lower_h: Some(0.8 * rul_h), upper_h: Some(1.2 * rul_h), model_version: version.into() }
    }

    fn of(rul_h: f64, truth: Truth) -> Score {
        score(&predicted(rul_h, "v1"), truth, ScoreSettings { phm_unit_h: 1.0 }).unwrap()
    }

    /// Saxena et al. 2008: thirteen early or ten late cost e - 1.
    #[test]
    fn late_costs_more_than_early() {
        let e = std::f64::consts::E - 1.0;
        assert!((phm_score(-13.0).unwrap() - e).abs() < 1e-12 && (phm_score(10.0).unwrap() - e).abs() < 1e-12);
        assert_eq!((phm_score(0.0), phm_score(1e300), phm_score(f64::NAN)), (Some(0.0), Some(PHM_CAP), None));
    }

    #[test]
    fn a_failure_tells_error_interval_and_score() {
        let s = of(110.0, Truth::Failed { at: at(100) });
        assert_eq!((s.error_h, s.in_interval, s.censored), (Some(10.0), Some(true), false));
        assert!((s.phm_score.unwrap() - (std::f64::consts::E - 1.0)).abs() < 1e-9);
        assert_eq!(of(50.0, Truth::Failed { at: at(100) }).in_interval, Some(false));
    }

    #[test]
    fn a_preventive_replacement_tells_only_what_is_certain() {
        let survived_less = of(110.0, Truth::Censored { at: at(50) });
        assert_eq!((survived_less.error_h, survived_less.in_interval, survived_less.phm_score), (None, None, None));
        let survived_more = of(50.0, Truth::Censored { at: at(100) });
        assert_eq!((survived_more.error_h, survived_more.in_interval), (Some(-50.0), Some(false)));
        assert_eq!(of(95.0, Truth::Censored { at: at(100) }).in_interval, None);
    }

    #[test]
    fn without_an_interval_nothing_is_in_it() {
        let plain = StoredPrediction { lower_h: None, upper_h: None, ..predicted(10.0, "v1") };
        assert_eq!(score(&plain, Truth::Failed { at: at(10) }, ScoreSettings::default()).unwrap().in_interval, None);
        let open = StoredPrediction { upper_h: None, ..predicted(10.0, "v1") };
        assert_eq!(score(&open, Truth::Failed { at: at(1_000) }, ScoreSettings::default()).unwrap().in_interval, Some(true));
    }

    #[test]
    fn versions_are_summarised_apart_and_order_does_not_matter() {
        let mut scores: Vec<Score> = [(110.0, "v1"), (80.0, "v1"), (300.0, "v2")]
            .into_iter()
            .map(|(rul, v)| score(&predicted(rul, v), Truth::Failed { at: at(100) }, ScoreSettings { phm_unit_h: 1.0 }).unwrap())
            .collect();
        scores.push(of(50.0, Truth::Censored { at: at(100) }));
        let all = summarise(&scores).unwrap();
        let v1 = &all["v1"];
        assert_eq!((v1.predictions, v1.failed, v1.censored, v1.censored_too_early), (3, 2, 1, 1));
        assert_eq!((v1.mean_absolute_error_h, v1.bias_h, v1.rmse_h), (Some(15.0), Some(-5.0), Some(250.0_f64.sqrt())));
        assert_eq!((v1.coverage, all["v2"].coverage, all["v2"].capped), (Some(0.5), Some(0.0), 0));
        scores.reverse();
        assert_eq!(all, summarise(&scores).unwrap());
        assert!(summarise(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_score_beyond_all_bounds_is_capped_and_flagged() {
        let s = of(8e8, Truth::Failed { at: at(0) });
        assert_eq!((s.phm_score, s.capped), (Some(PHM_CAP), true));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let field = |p: StoredPrediction, truth, unit| score(&p, truth, ScoreSettings { phm_unit_h: unit }).unwrap_err().field;
        let failed = Truth::Failed { at: at(1) };
        assert_eq!(field(predicted(f64::NAN, "v"), failed, 1.0), "rul_h");
        assert_eq!(field(predicted(-1.0, "v"), failed, 1.0), "rul_h");
        assert_eq!(field(StoredPrediction { lower_h: Some(9.0), upper_h: Some(1.0), ..predicted(5.0, "v") }, failed, 1.0), "lower_h");
        assert_eq!(field(predicted(1.0, "v"), Truth::Failed { at: at(-1) }, 1.0), "truth.at");
        assert_eq!(field(predicted(1.0, "v"), failed, 0.0), "phm_unit_h");
    }
}
