//! What the process writes to its disk in a day, and how much slower it commits so that a flash card lives.
//!
//! Stands beside `core`, which asks how far intervals are to be stretched. Pure: it is told how much was written and what time it is.
//!
//! Invariant: what is counted for a day is at least what this process wrote on it; the stretch is between 1 and [`MAX_STRETCH`].

use protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::Now;

/// Intervals become at most so many times as long.
pub const MAX_STRETCH: f64 = 10.0;
const DAY_US: i64 = 86_400_000_000;
/// Rates are taken over this long; the first while after a start says nothing.
const LOOK_US: u64 = 60_000_000;
const SETTLING_US: u64 = 600_000_000;

/// What goes from run to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Days since 1970, UTC.
    pub day: i64,
    /// Bytes written on it.
    pub written: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Budget {
    per_day: u64,
    account: Account,
    /// What the process had written in all when it was looked at last.
    seen: Option<u64>,
    started_us: u64,
    /// When the rate was reckoned last, and what had been written then.
    looked: Option<(u64, u64)>,
    /// Bytes a second, smoothed.
    rate: f64,
    stretch: f64,
}

impl Budget {
    pub fn new(per_day: u64, account: Account, now: Now) -> Self {
        Self { per_day, account, seen: None, started_us: now.mono_us, looked: None, rate: 0.0, stretch: 1.0 }
    }

    /// Takes note that the process has written `bytes` since it started.
    pub fn observe(&mut self, now: Now, bytes: u64) {
        let day = day_of(now.wall);
        // A clock that was set back within a day or two does not give the budget anew.
        if day > self.account.day || day + 2 < self.account.day {
            self.account = Account { day, written: 0 };
        }
        let fresh = bytes.saturating_sub(self.seen.replace(bytes).unwrap_or(0));
        self.account.written = self.account.written.saturating_add(fresh);
        let (since, before) = *self.looked.get_or_insert((now.mono_us, bytes));
        let elapsed = now.mono_us.saturating_sub(since);
        if elapsed < LOOK_US {
            return;
        }
        let rate = bytes.saturating_sub(before) as f64 / (elapsed as f64 / 1e6);
        self.rate = if self.rate == 0.0 { rate } else { 0.7 * self.rate + 0.3 * rate };
        self.looked = Some((now.mono_us, bytes));
        if now.mono_us.saturating_sub(self.started_us) >= SETTLING_US {
            self.stretch = self.wanted(now.wall);
        }
    }

    /// Bytes written today.
    pub fn written_today(&self) -> u64 {
        self.account.written
    }

    /// What the day will come to if things go on as they do.
    pub fn projection(&self, wall: Timestamp) -> u64 {
        self.account.written.saturating_add((self.rate * seconds_left(wall)) as u64)
    }

    /// True if the day's budget will not do.
    pub fn is_exceeded(&self, wall: Timestamp) -> bool {
        self.projection(wall) > self.per_day
    }

    /// How many times as long intervals are to be.
    pub fn stretch(&self) -> f64 {
        self.stretch
    }

    pub fn per_day(&self) -> u64 {
        self.per_day
    }

    pub fn account(&self) -> Account {
        self.account
    }

    /// What is written is about inverse to the intervals, so the unstretched rate is known from the rate of now.
    fn wanted(&self, wall: Timestamp) -> f64 {
        let left = self.per_day.saturating_sub(self.account.written) as f64;
        let allowed = left / seconds_left(wall);
        if allowed <= 0.0 {
            return MAX_STRETCH;
        }
        (self.rate * self.stretch / allowed).clamp(1.0, MAX_STRETCH)
    }
}

fn day_of(wall: Timestamp) -> i64 {
    wall.as_micros().div_euclid(DAY_US)
}

fn seconds_left(wall: Timestamp) -> f64 {
    (DAY_US - wall.as_micros().rem_euclid(DAY_US)) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MIDNIGHT: i64 = 20_000 * DAY_US;

    fn at(seconds: u64) -> Now {
        Now::synced(Timestamp::from_micros(MIDNIGHT), 0).after(Duration::from_secs(seconds))
    }

    /// A process that writes `rate` bytes a second at a stretch of 1, and less when stretched.
    fn run(budget: &mut Budget, from: u64, until: u64, rate: f64) -> u64 {
        let mut written = budget.seen.unwrap_or(0) as f64;
        for second in from..until {
            written += rate / budget.stretch();
            budget.observe(at(second), written as u64);
        }
        budget.written_today()
    }

    #[test]
    fn a_process_that_writes_too_much_is_slowed_until_the_day_is_within_its_budget() {
        let mut budget = Budget::new(1_000_000_000, Account::default(), at(0));
        let written = run(&mut budget, 0, 86_400, 30_000.0);
        assert!(budget.stretch() > 2.0 && budget.stretch() < 4.0, "{}", budget.stretch());
        assert!(written <= 1_010_000_000, "{written}");
        assert!(written > 900_000_000, "and no more than needed: {written}");
    }

    #[test]
    fn a_process_within_its_budget_is_left_alone_and_a_hopeless_one_stretched_no_further_than_ten_times() {
        let mut calm = Budget::new(1_000_000_000, Account::default(), at(0));
        run(&mut calm, 0, 40_000, 5_000.0);
        assert_eq!((calm.stretch(), calm.is_exceeded(at(40_000).wall)), (1.0, false));
        let mut wild = Budget::new(1_000_000, Account::default(), at(0));
        run(&mut wild, 0, 40_000, 1e6);
        assert_eq!((wild.stretch(), wild.is_exceeded(at(40_000).wall)), (MAX_STRETCH, true));
    }

    #[test]
    fn the_count_goes_on_across_a_restart_and_begins_anew_at_midnight() {
        let mut first = Budget::new(1 << 30, Account::default(), at(0));
        first.observe(at(1), 700);
        let mut second = Budget::new(1 << 30, first.account(), at(10));
        second.observe(at(11), 50);
        assert_eq!(second.written_today(), 750);
        second.observe(at(86_401), 60);
        assert_eq!(second.written_today(), 10);
        second.observe(at(80_000), 70);
        assert_eq!(second.written_today(), 20, "a clock that was set back gives no new budget");
    }
}
