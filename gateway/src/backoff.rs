//! How long to wait before the next try: decorrelated jitter, so that a fleet that lost its collector does not come back as one.
//!
//! Pure but for the random number, which is given.

use std::time::Duration;

/// Waits grow from `base` towards `cap`, each drawn between `base` and three times the one before.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    last: Duration,
}

impl Backoff {
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, last: base }
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
}
