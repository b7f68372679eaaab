//! Limits with hysteresis.

use protocol::AnomalyKind;
use serde::{Deserialize, Serialize};

use super::{Finding, Look};

/// The side on which the signal is outside (true: high).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    outside: Option<bool>,
}

impl Memory {
    pub(super) fn look(&mut self, low: Option<f64>, high: Option<f64>, hysteresis: f64, value: f64) -> Look {
        let out = |kind, threshold| Finding { kind, threshold, score: value, expected: None };
        if let Some(high) = high.filter(|high| value > *high) {
            self.outside = Some(true);
            return Look::Out(out(AnomalyKind::LimitHigh, high));
        }
        if let Some(low) = low.filter(|low| value < *low) {
            self.outside = Some(false);
            return Look::Out(out(AnomalyKind::LimitLow, low));
        }
        let back = match self.outside {
            Some(true) => high.is_none_or(|high| value <= high - hysteresis),
            Some(false) => low.is_none_or(|low| value >= low + hysteresis),
            None => true,
        };
        if back {
            self.outside = None;
            Look::Normal
        } else {
            Look::Between
        }
    }
}
