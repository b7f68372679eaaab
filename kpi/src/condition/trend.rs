//! Robust trend of a signal: slope by Theil and Sen, significance by Mann and Kendall.
//!
//! Readings are averaged in buckets of one width as they come, in any order; the newest [`MAX_BUCKETS`] are kept, so memory is constant
//! and a reading
//! costs `O(log n)`. The slope is the median of the slopes of all pairs of buckets, its interval that of Sen (1968). Signals remember: the
//! variance of Mann-Kendall is widened by the first autocorrelation of the detrended values, `(1 + r) / (1 - r)` (Yue and Wang 2004, for
//! long series).
//!
//! Invariant: the same readings give the same trend in whatever order they come, unless one is older than everything kept in a full window.

use std::collections::BTreeMap;

use protocol::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, HOUR_US};
use crate::reliability::solve::{normal_cdf, two_sided_z};

/// Buckets kept.
pub const MAX_BUCKETS: usize = 240;
/// Buckets that a trend needs.
pub const MIN_BUCKETS: usize = 8;

/// Readings of one signal on their way to a trend. It can be stored and read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendWindow {
    bucket_us: i64,
    /// Sum and count by bucket number.
    buckets: BTreeMap<i64, (f64, u64)>,
}

/// Slope of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trend {
    pub slope_per_day: f64,
    pub lower_per_day: f64,
    pub upper_per_day: f64,
    /// How likely a signal without trend would look as much like one (two-sided).
    pub p_value: f64,
    /// Of the line through the medians, at the end of the window.
    pub level: f64,
    /// Median distance of the values from the line, scaled to a standard deviation.
    pub spread: f64,
    pub buckets: usize,
    pub span_h: f64,
}

impl Trend {
    pub fn is_significant(&self, significance: f64) -> bool {
        self.p_value < significance
    }
}

impl TrendWindow {
    /// # Errors
    /// A bucket shorter than a second or longer than a year.
    pub fn new(bucket_s: f64) -> Result<Self, FieldError> {
        if !(1.0..=3.2e7).contains(&bucket_s) {
            return Err(FieldError::new("bucket_s", "must be 1 second to a year"));
        }
        Ok(Self { bucket_us: (bucket_s * 1e6) as i64, buckets: BTreeMap::new() })
    }

    /// Takes a reading; false if it is no number (beyond 1e12) or older than all that a full window keeps.
    pub fn push(&mut self, at: Timestamp, value: f64) -> bool {
        if value.is_nan() || value.abs() > 1e12 {
            return false;
        }
        let number = at.as_micros().div_euclid(self.bucket_us);
        let full = self.buckets.len() >= MAX_BUCKETS && !self.buckets.contains_key(&number);
        if full && self.buckets.first_key_value().is_some_and(|(oldest, _)| number < *oldest) {
            return false;
        }
        let (sum, count) = self.buckets.entry(number).or_insert((0.0, 0));
        *sum += value;
        *count += 1;
        if self.buckets.len() > MAX_BUCKETS {
            self.buckets.pop_first();
        }
        true
    }

    /// The trend of what was pushed; `None` with fewer than [`MIN_BUCKETS`] buckets.
    pub fn trend(&self) -> Option<Trend> {
        let n = self.buckets.len();
        if n < MIN_BUCKETS {
            return None;
        }
        let first = *self.buckets.first_key_value()?.0;
        // Days since the first bucket.
        let day = 24.0 * HOUR_US / self.bucket_us as f64;
        let points: Vec<(f64, f64)> =
            self.buckets.iter().map(|(number, (sum, count))| ((number - first) as f64 / day, sum / *count as f64)).collect();
        let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
        let mut s = 0_i64;
        for (i, (t, y)) in points.iter().enumerate() {
            for (u, z) in &points[i + 1..] {
                slopes.push((z - y) / (u - t));
                s += i64::from(z > y) - i64::from(z < y);
            }
        }
        slopes.sort_by(f64::total_cmp);
        let slope = median(&slopes);
        let mut offsets: Vec<f64> = points.iter().map(|(t, y)| y - slope * t).collect();
        let residuals = offsets.clone();
        offsets.sort_by(f64::total_cmp);
        let intercept = median(&offsets);
        let mut distances: Vec<f64> = residuals.iter().map(|r| (r - intercept).abs()).collect();
        distances.sort_by(f64::total_cmp);
        let variance = variance_of_s(&points) * memory(&residuals);
        let z = if variance > 0.0 { ((s.abs() - 1).max(0) as f64 / variance.sqrt()).min(38.0) } else { 0.0 };
        let reach = two_sided_z(0.9) * variance.sqrt();
        let rank = |x: f64| slopes[(x.max(0.0) as usize).min(slopes.len() - 1)];
        let count = slopes.len() as f64;
        let end = points.last()?.0;
        Some(Trend {
            slope_per_day: slope,
            lower_per_day: rank(((count - reach) / 2.0).floor()).min(slope),
            upper_per_day: rank(((count + reach) / 2.0).ceil()).max(slope),
            p_value: (2.0 * normal_cdf(-z)).min(1.0),
            level: intercept + slope * end,
            spread: 1.4826 * median(&distances),
            buckets: n,
            span_h: end * 24.0,
        })
    }
}

fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n == 0 { 0.0 } else { 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]) }
}

/// Variance of Mann-Kendall's S with ties.
fn variance_of_s(points: &[(f64, f64)]) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|p| p.1).collect();
    values.sort_by(f64::total_cmp);
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let ties: f64 = values.chunk_by(|a, b| a == b).map(|same| term(same.len() as f64)).sum();
    (term(values.len() as f64) - ties) / 18.0
}

/// By how much memory widens the variance.
fn memory(residuals: &[f64]) -> f64 {
    let n = residuals.len() as f64;
    let mean = residuals.iter().sum::<f64>() / n;
    let square: f64 = residuals.iter().map(|r| (r - mean).powi(2)).sum();
    let lagged: f64 = residuals.windows(2).map(|w| (w[0] - mean) * (w[1] - mean)).sum();
    if square <= 0.0 {
        return 1.0;
    }
    let r = (lagged / square).clamp(0.0, 0.95);
    (1.0 + r) / (1.0 - r)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(values: &[f64]) -> TrendWindow {
        let mut window = TrendWindow::new(3_600.0).unwrap();
        for (i, value) in values.iter().enumerate() {
            assert!(window.push(Timestamp::from_micros(i as i64 * 3_600_000_000), *value));
        }
        window
    }

    #[test]
    fn outliers_do_not_bend_the_slope() {
        let mut values: Vec<f64> = (0..48).map(|i| 2.0 + 0.5 * f64::from(i) / 24.0 + 0.001 * f64::from(i % 3)).collect();
        values[10] = 900.0;
        values[40] = -900.0;
        let trend = window(&values).trend().unwrap();
        assert!((trend.slope_per_day - 0.5).abs() < 0.02, "{trend:?}");
        assert!(trend.is_significant(0.001) && trend.lower_per_day <= 0.5 && trend.upper_per_day >= 0.5);
        assert!((trend.level - 2.98).abs() < 0.02);
    }

    #[test]
    fn a_constant_signal_has_no_trend() {
        let trend = window(&[3.0; 30]).trend().unwrap();
        assert_eq!((trend.slope_per_day, trend.p_value, trend.spread), (0.0, 1.0, 0.0));
    }

    #[test]
    fn a_wave_is_no_trend() {
        let values: Vec<f64> = (0..100).map(|i| (f64::from(i) * 0.5).sin()).collect();
        assert!(!window(&values).trend().unwrap().is_significant(0.05));
    }

    #[test]
    fn few_buckets_say_nothing_and_bad_values_are_refused() {
        let mut window = window(&[1.0; 7]);
        assert_eq!(window.trend(), None);
        assert!(!window.push(Timestamp(0), f64::NAN) && !window.push(Timestamp(0), 1e300));
        assert_eq!(TrendWindow::new(0.0).unwrap_err().field, "bucket_s");
    }

    #[test]
    fn the_newest_buckets_are_kept() {
        let values: Vec<f64> = (0..MAX_BUCKETS + 50).map(|i| i as f64).collect();
        let mut window = window(&values);
        assert_eq!(window.trend().unwrap().buckets, MAX_BUCKETS);
        assert!(!window.push(Timestamp(0), 1.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn order_does_not_matter_and_scale_scales(values in prop::collection::vec(-100_i32..100, 8..40)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let one = window(&values).trend().unwrap();
            let mut back = TrendWindow::new(3_600.0).unwrap();
            for (i, value) in values.iter().enumerate().rev() {
                back.push(Timestamp::from_micros(i as i64 * 3_600_000_000), *value);
            }
            prop_assert_eq!(one, back.trend().unwrap());
            let doubled = window(&values.iter().map(|v| 2.0 * v).collect::<Vec<_>>()).trend().unwrap();
            prop_assert!((doubled.slope_per_day - 2.0 * one.slope_per_day).abs() < 1e-9 && (doubled.p_value - one.p_value).abs() < 1e-12);
            prop_assert!(one.lower_per_day <= one.slope_per_day && one.slope_per_day <= one.upper_per_day);
        }
    }
}
