//! How fast something goes, as a mean that forgets: each event counts less the longer it is ago.
//!
//! Pure.

/// After so long an event counts for 1/e.
const MEMORY_US: f64 = 30e6;

/// Events a second.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    sum: f64,
    at_us: u64,
    since_us: Option<u64>,
}

impl Rate {
    pub(super) fn add(&mut self, now_us: u64, events: u64) {
        self.sum = self.faded(now_us) + events as f64;
        self.at_us = now_us;
        self.since_us.get_or_insert(now_us);
    }

    pub(super) fn per_second(&self, now_us: u64) -> f64 {
        let Some(since) = self.since_us else { return 0.0 };
        let age = now_us.saturating_sub(since) as f64;
        // At the beginning there is less to remember; a second at least, so that the first event is no infinite rate.
        let span = (MEMORY_US * (1.0 - (-age / MEMORY_US).exp())).max(1e6);
        self.faded(now_us) / span * 1e6
    }

    fn faded(&self, now_us: u64) -> f64 {
        self.sum * (-(now_us.saturating_sub(self.at_us) as f64) / MEMORY_US).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_found_soon_and_forgotten_when_it_ends() {
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(5), 0.0);
        for second in 0..20_u64 {
            rate.add(second * 1_000_000, 100);
        }
        let now = 20_000_000;
        assert!((rate.per_second(now) - 100.0).abs() < 10.0, "{}", rate.per_second(now));
        assert!(rate.per_second(now + 300_000_000) < 1.0);
    }
}
