//! A signal that does not move: a broken sensor or a frozen gateway in between.

use std::time::Duration;

use protocol::{AnomalyKind, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Finding, Look};

/// Since when, and at which value, the signal stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    stands: Option<(Timestamp, f64)>,
}

impl Memory {
    pub(super) fn since(&mut self) -> Option<&mut Timestamp> {
        self.stands.as_mut().map(|(since, _)| since)
    }

    pub(super) fn look(&mut self, duration: Duration, tolerance: f64, at: Timestamp, value: f64) -> Look {
        let Some((since, level)) = self.stands.filter(|(since, level)| *since <= at && (value - level).abs() <= tolerance) else {
            self.stands = Some((at, value));
            return Look::Normal;
        };
        let seconds = at.micros_since(since) as f64 / 1e6;
        if seconds < duration.as_secs_f64() {
            return Look::Between;
        }
        Look::Out(Finding { kind: AnomalyKind::FlatLine, threshold: duration.as_secs_f64(), score: seconds, expected: Some(level) })
    }
}
