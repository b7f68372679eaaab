//! Parts from a cumulative counter: sums of differences, with wraps and resets.
//!
//! Stands before `kpi::oee` for event logs that a client sends; a gateway's `PartCount`s are differences already. Pure.

use protocol::{TimeRange, Timestamp};

/// The counter showed `value` at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterPoint {
    pub at: Timestamp,
    pub value: u64,
}

/// Parts counted in `(window.from, window.to]`. The value that stands at the beginning of the window is the base; without one, the first within it is.
/// `points` in order of time.
pub fn increase(points: &[CounterPoint], window: TimeRange) -> u64 {
    let mut base: Option<u64> = None;
    let mut sum = 0_u64;
    for point in points {
        if point.at > window.to {
            break;
        }
        if let Some(base) = base.filter(|_| point.at > window.from) {
            sum = sum.saturating_add(step(base, point.value));
        }
        base = Some(point.value);
    }
    sum
}

/// The parts between two neighbouring values. A lower value is a wrap if the counter was in the last tenth of 16 or 32 bits and is in the first
/// tenth now; else the counter began anew (power-up), and what it shows has been made since.
fn step(before: u64, now: u64) -> u64 {
    if now >= before {
        return now - before;
    }
    for modulus in [1_u64 << 16, 1 << 32] {
        if before < modulus && before >= modulus - modulus / 10 && now < modulus / 10 {
            return modulus - before + now;
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(i64, u64)]) -> Vec<CounterPoint> {
        values.iter().map(|&(at, value)| CounterPoint { at: Timestamp(at), value }).collect()
    }

    const WINDOW: TimeRange = TimeRange { from: Timestamp(10), to: Timestamp(20) };

    #[test]
    fn counts_from_the_value_standing_before_the_window_through_its_end() {
        assert_eq!(increase(&points(&[(5, 100), (10, 102), (15, 110), (20, 111), (21, 500)]), WINDOW), 9);
        assert_eq!(increase(&points(&[(12, 1_000), (18, 1_010)]), WINDOW), 10);
        assert_eq!(increase(&[], WINDOW), 0);
    }

    #[test]
    fn a_wrap_continues_and_a_reset_starts_from_zero() {
        assert_eq!(increase(&points(&[(9, 65_530), (12, 4)]), WINDOW), 10);
        assert_eq!(increase(&points(&[(9, u64::from(u32::MAX)), (12, 4)]), WINDOW), 5);
        assert_eq!(increase(&points(&[(9, 5_000), (12, 7)]), WINDOW), 7);
    }
}
