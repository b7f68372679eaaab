//! How long to wait before the next try: decorrelated jitter, so that a fleet that lost its collector does not come back as one.
//!
//! Pure: random numbers and, where it counts, the time are given.

use std::time::Duration;

/// With [`Backoff::failed`] and [`Backoff::succeeded`], waits begin anew only after so long without a failure.
pub const STABLE_US: u64 = 60_000_000;

/// Waits grow from `base` towards `cap`, each drawn between `base` and three times the one before.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    last: Duration,
    /// Since when there was no failure (monotonic).
    well_since: Option<u64>,
}

impl Backoff {
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, last: base, well_since: None }
    }

    /// The next wait; `random` is uniform in `0.0..1.0`.
    pub fn next(&mut self, random: f64) -> Duration {
        let span = (self.last * 3).saturating_sub(self.base);
        self.last = (self.base + span.mul_f64(random.clamp(0.0, 1.0))).min(self.cap);
        self.last
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.last = self.base;
    }

    /// The next wait after a failure. Successes count only if they lasted: a peer that answers every other request is not well.
    pub fn failed(&mut self, now_us: u64, random: f64) -> Duration {
        if self.well_since.take().is_some_and(|since| now_us.saturating_sub(since) >= STABLE_US) {
            self.reset();
        }
        self.next(random)
    }

    pub fn succeeded(&mut self, now_us: u64) {
        self.well_since.get_or_insert(now_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_base_and_cap_and_grow_when_luck_is_bad() {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(60));
        let mut backoff = Backoff::new(base, cap);
        assert_eq!(backoff.next(0.0), base);
        for _ in 0..20 {
            let wait = backoff.next(1.0);
            assert!(wait >= base && wait <= cap);
        }
        assert_eq!(backoff.next(1.0), cap);
        backoff.reset();
        assert!(backoff.next(1.0) <= base * 3);
    }

    #[test]
    fn only_a_good_minute_makes_the_waits_short_again() {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(60));
        let mut backoff = Backoff::new(base, cap);
        for _ in 0..20 {
            backoff.failed(0, 1.0);
        }
        backoff.succeeded(1);
        backoff.succeeded(STABLE_US);
        assert_eq!(backoff.failed(STABLE_US, 1.0), cap);
        backoff.succeeded(STABLE_US + 1);
        assert!(backoff.failed(2 * STABLE_US + 1, 1.0) <= base * 3);
    }
}
