//! Whether there is any use in asking the collector: a circuit breaker, and how long to wait before the next try.
//!
//! ```text
//!            5 failures in a row                       the wait is over
//! closed ---------------------------> open(until) ---------------------------> half open: one heartbeat
//!    ^                                  ^                                          |
//!    |                                  +-------------- it failed -----------------+
//!    +------------------------------------------------- it was answered -----------+
//! ```
//! Open, nothing but the probe is sent: a collector that comes back is met with a few hundred bytes of each gateway, not with a batch.
//!
//! Pure: time and random numbers are given. Invariant: no wait is longer than [`LONGEST_WAIT`] and a bit.

use std::time::Duration;

use crate::backoff::Backoff;

/// So many failures in a row open the breaker.
pub const FAILURES: u32 = 5;
/// No wait is longer, whatever the collector asks for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);
const BASE_WAIT: Duration = Duration::from_millis(500);
const USUAL_CAP: Duration = Duration::from_secs(60);

/// How the collector is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    Closed,
    /// Nothing is sent.
    Open,
    /// A heartbeat is under way, or is the next to be.
    HalfOpen,
}

impl Breaker {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The breaker and its waits.
#[derive(Debug)]
pub(super) struct Gate {
    failures: u32,
    backoff: Backoff,
    /// Nothing is sent before (monotonic).
    not_before: u64,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { failures: 0, backoff: Backoff::new(BASE_WAIT, USUAL_CAP), not_before: 0 }
    }

    pub(super) fn state(&self, now_us: u64) -> Breaker {
        match self.failures {
            0..FAILURES => Breaker::Closed,
            _ if now_us < self.not_before => Breaker::Open,
            _ => Breaker::HalfOpen,
        }
    }

    /// How long nothing is to be sent.
    pub(super) fn wait(&self, now_us: u64) -> Option<Duration> {
        (now_us < self.not_before).then(|| Duration::from_micros(self.not_before - now_us))
    }

    /// The collector answered, whatever it thinks of what was sent.
    pub(super) fn answered(&mut self, now_us: u64) {
        self.failures = 0;
        self.backoff.succeeded(now_us);
    }

    /// It did not, or not of any use. Waits at least `at_least`.
    pub(super) fn failed(&mut self, now_us: u64, at_least: Duration, random: f64) {
        self.failures = self.failures.saturating_add(1);
        let wait = self.backoff.failed(now_us, random);
        // Not all gateways at once.
        let floor = at_least + at_least.mul_f64(0.5 * random.clamp(0.0, 1.0));
        self.hold(now_us, wait.max(floor));
    }

    /// It asked for a wait: not sooner, and not all gateways at once. That it asks shows that it works.
    pub(super) fn asked(&mut self, now_us: u64, after: Duration, random: f64) {
        let after = after.min(LONGEST_WAIT);
        let wait = after + after.mul_f64(0.1 * random.clamp(0.0, 1.0));
        let wait = if wait.is_zero() { self.backoff.failed(now_us, random) } else { wait };
        self.hold(now_us, wait);
    }

    /// Sends nothing for so long.
    pub(super) fn hold(&mut self, now_us: u64, wait: Duration) {
        self.not_before = after(now_us, wait.min(LONGEST_WAIT.mul_f64(1.5)));
    }

    /// The reason for waiting may be gone.
    pub(super) fn try_now(&mut self) {
        self.not_before = 0;
    }
}

/// `wait` after a moment of the monotonic clock.
pub(super) fn after(now_us: u64, wait: Duration) -> u64 {
    now_us.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_open_it_and_an_answer_to_the_probe_closes_it() {
        let mut gate = Gate::new();
        let mut now = 1;
        for _ in 0..FAILURES {
            assert_eq!(gate.state(now), Breaker::Closed);
            gate.failed(now, Duration::ZERO, 1.0);
            now = after(now, gate.wait(now).unwrap());
        }
        assert_eq!((gate.state(now - 1), gate.state(now)), (Breaker::Open, Breaker::HalfOpen));
        gate.failed(now, Duration::ZERO, 1.0);
        assert_eq!(gate.state(now), Breaker::Open);
        gate.answered(now);
        assert_eq!(gate.state(now), Breaker::Closed);
    }

    #[test]
    fn a_wait_that_was_asked_for_is_never_cut_short_and_never_endless() {
        for random in [0.0, 0.5, 1.0] {
            let mut gate = Gate::new();
            gate.asked(0, Duration::from_secs(7), random);
            let wait = gate.wait(0).unwrap();
            assert!(wait >= Duration::from_secs(7) && wait <= Duration::from_millis(7700), "{wait:?}");
            gate.asked(0, Duration::from_secs(1 << 40), random);
            assert!(gate.wait(0).unwrap() <= LONGEST_WAIT.mul_f64(1.5));
            gate.asked(0, Duration::ZERO, random);
            assert!(gate.wait(0).unwrap() >= BASE_WAIT, "a wait of nothing is no invitation to a loop");
        }
    }

    #[test]
    fn one_good_answer_between_bad_ones_does_not_make_the_waits_short_again() {
        let mut gate = Gate::new();
        let mut now = 0;
        for _ in 0..20 {
            gate.failed(now, Duration::ZERO, 1.0);
            now = after(now, gate.wait(now).unwrap());
            gate.answered(now);
        }
        gate.failed(now, Duration::ZERO, 1.0);
        assert_eq!(gate.wait(now), Some(USUAL_CAP));
        gate.answered(now);
        now = after(now, Duration::from_secs(61));
        gate.failed(now, Duration::ZERO, 1.0);
        assert!(gate.wait(now).unwrap() <= 3 * BASE_WAIT, "a good minute does");
    }
}
