//! Change a second between readings that lie far enough apart.

use std::time::Duration;

use protocol::{AnomalyKind, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Finding, Look};

/// The reading that the next one is compared with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    before: Option<(Timestamp, f64)>,
}

impl Memory {
    pub(super) fn since(&mut self) -> Option<&mut Timestamp> {
        self.before.as_mut().map(|(at, _)| at)
    }

    pub(super) fn look(&mut self, max_per_second: f64, min_interval: Duration, at: Timestamp, value: f64) -> Look {
        let Some((before_at, before)) = self.before else {
            self.before = Some((at, value));
            return Look::Normal;
        };
        let elapsed_us = at.micros_since(before_at);
        if elapsed_us < 0 {
            // Out of order, or a clock set back: start from here.
            self.before = Some((at, value));
            return Look::Between;
        }
        let seconds = elapsed_us as f64 / 1e6;
        if elapsed_us == 0 || seconds < min_interval.as_secs_f64() {
            return Look::Between;
        }
        self.before = Some((at, value));
        let rate = (value - before) / seconds;
        if rate.abs() > max_per_second {
            return Look::Out(Finding {
                kind: AnomalyKind::RateOfChange,
                threshold: max_per_second,
                score: rate.abs(),
                expected: Some(before),
            });
        }
        // A rate that hangs at the limit is one excursion.
        if rate.abs() > 0.8 * max_per_second { Look::Between } else { Look::Normal }
    }
}
