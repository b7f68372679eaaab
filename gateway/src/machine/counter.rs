//! A device's cumulative counter: wraps at its width, starts anew at power-up.
//!
//! Invariant: the differences add up to the parts made since first contact, as long as no more than half a turn is missed at a time.

use serde::{Deserialize, Serialize};

/// More parts a second than any machine makes: a drop of the counter that would need more was a restart, not a wrap.
const MAX_PARTS_PER_SECOND: i64 = 100;
/// Allowed beyond that, for messages that came late.
const SLACK: u64 = 1_000;

/// The last value seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    last: Option<u64>,
}

impl Counter {
    /// Parts made since the last value, which was `elapsed_us` ago. The first value of all is where counting begins.
    pub fn take(&mut self, value: u64, bits: u32, new_session: bool, elapsed_us: i64) -> u64 {
        let mask = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
        let value = value & mask;
        let Some(last) = self.last.replace(value) else { return 0 };
        if value >= last {
            return value - last;
        }
        let wrapped = value.wrapping_sub(last) & mask;
        let plausible = SLACK.saturating_add(u64::try_from(elapsed_us / 1_000_000 * MAX_PARTS_PER_SECOND).unwrap_or_default());
        if !new_session && wrapped <= plausible && wrapped <= mask / 2 {
            wrapped
        } else {
            // Power-up: it counts from 0 again, and what it shows was made since.
            value
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn sum(bits: u32, values: &[(u64, bool)]) -> u64 {
        let mut counter = Counter::default();
        values.iter().map(|(value, new)| counter.take(*value, bits, *new, SECOND)).sum()
    }

    #[test]
    fn the_first_value_is_where_counting_begins() {
        assert_eq!(sum(32, &[(500, false), (503, false), (503, false), (510, false)]), 10);
    }

    #[test]
    fn a_wrap_goes_on_and_a_restart_begins_at_zero() {
        assert_eq!(sum(16, &[(65_530, false), (65_535, false), (4, false)]), 10);
        assert_eq!(sum(16, &[(65_000, false), (3, true)]), 3, "a new session is a power-up");
        assert_eq!(sum(16, &[(30_000, false), (3, false)]), 3, "35,539 parts in a second are none");
        assert_eq!(sum(32, &[(u64::from(u32::MAX), false), (1, false)]), 2);
        assert_eq!(sum(32, &[(1_000, false), (1_004, true)]), 4, "a counter that outlives the session goes on");
        assert_eq!(sum(64, &[(u64::MAX, false), (0, false)]), 1);
    }

    proptest! {
        #[test]
        fn wraps_never_lose_or_double_a_part(bits in prop_oneof![Just(16_u32), Just(32)], start in any::<u32>(), steps in prop::collection::vec(0_u64..1_000, 0..400)) {
            let mask = (1_u64 << bits) - 1;
            let mut truth = u64::from(start);
            let mut counter = Counter::default();
            counter.take(truth & mask, bits, false, 0);
            let mut counted = 0;
            for step in &steps {
                truth += step;
                counted += counter.take(truth & mask, bits, false, SECOND);
            }
            prop_assert_eq!(counted, steps.iter().sum::<u64>());
        }
    }
}
