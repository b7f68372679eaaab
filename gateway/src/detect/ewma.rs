//! Distance from the exponentially weighted mean, in exponentially weighted standard deviations.
//!
//! What lies outside moves the mean only as far as a value at the threshold would: a spike leaves no mark, and a new level is learnt after
//! a while.

use protocol::AnomalyKind;
use serde::{Deserialize, Serialize};

use super::{Finding, Look};

pub(super) struct Settings {
    pub(super) alpha: f64,
    pub(super) threshold: f64,
    pub(super) warm_up: u32,
    pub(super) min_stddev: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    seen: u32,
    mean: f64,
    variance: f64,
}

impl Memory {
    pub(super) fn look(&mut self, settings: &Settings, value: f64) -> Look {
        let warm = self.seen >= settings.warm_up;
        // Below a billionth of the mean a deviation is rounding.
        let floor = settings.min_stddev.max(self.mean.abs() * 1e-9).max(f64::MIN_POSITIVE.sqrt());
        let stddev = self.variance.max(0.0).sqrt().max(floor);
        let expected = self.mean;
        let z = (value - expected) / stddev;
        let taken = if warm && z.abs() > settings.threshold { expected + stddev * settings.threshold * z.signum() } else { value };
        self.learn(settings.alpha, taken);
        if !warm {
            return Look::Normal;
        }
        if z.abs() > settings.threshold {
            return Look::Out(Finding { kind: AnomalyKind::Ewma, threshold: settings.threshold, score: z.abs(), expected: Some(expected) });
        }
        if z.abs() > 0.75 * settings.threshold { Look::Between } else { Look::Normal }
    }

    fn learn(&mut self, alpha: f64, value: f64) {
        self.seen = self.seen.saturating_add(1);
        // The first readings count alike, so that the first of all has no more weight than the others.
        let weight = alpha.max(1.0 / f64::from(self.seen));
        let delta = value - self.mean;
        let mean = self.mean + weight * delta;
        let variance = (1.0 - weight) * (self.variance + weight * delta * delta);
        if mean.is_finite() && variance.is_finite() {
            (self.mean, self.variance) = (mean, variance);
        }
    }
}
