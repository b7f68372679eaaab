//! The OEE that really was, from the machine's own intervals and parts.
//!
//! Deliberately shares nothing with the collector's computation, which it is held against: planned busy time is all time but planned stops,
//! production time is producing; availability x performance x quality = OEE, and what is undefined stays undefined.
//!
//! Invariant: the intervals partition `[from, to)`.

use std::time::Duration;

use serde::Serialize;

use crate::{model::MachineState, moment::Moment};

/// Books of one machine, opened at its start.
#[derive(Debug, Clone)]
pub struct Account {
    from: Moment,
    since: Moment,
    state: MachineState,
    spent: [Duration; MachineState::ALL.len()],
    good: u64,
    rejected: u64,
}

/// What the books say about `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Balance {
    pub from: Moment,
    pub to: Moment,
    pub planned_busy_s: f64,
    pub production_s: f64,
    pub produced: u64,
    pub rejected: u64,
    pub ideal_cycle_time_s: f64,
    pub oee: Option<f64>,
    pub availability: Option<f64>,
    pub performance: Option<f64>,
    pub quality: Option<f64>,
}

impl Account {
    /// Opens the books at `from`, in `state`.
    #[must_use]
    pub fn open(from: Moment, state: MachineState) -> Self {
        Self { from, since: from, state, spent: Default::default(), good: 0, rejected: 0 }
    }

    /// The machine entered `state` at `at`.
    pub fn state(&mut self, at: Moment, state: MachineState) {
        self.spent[self.state as usize] += at.since(self.since);
        (self.since, self.state) = (at, state);
    }

    /// A part was made.
    pub fn part(&mut self, good: bool) {
        if good {
            self.good += 1;
        } else {
            self.rejected += 1;
        }
    }

    /// Closes the books at `to`.
    #[must_use]
    pub fn close(mut self, to: Moment, ideal_cycle: Duration) -> Balance {
        self.state(to, self.state);
        let total: Duration = self.spent.iter().sum();
        let planned_busy_s = (total - self.spent[MachineState::PlannedStop as usize]).as_secs_f64();
        let production_s = self.spent[MachineState::Producing as usize].as_secs_f64();
        let produced = self.good + self.rejected;
        let ideal_cycle_time_s = ideal_cycle.as_secs_f64();
        let availability = ratio(production_s, planned_busy_s);
        let performance = ratio(ideal_cycle_time_s * produced as f64, production_s);
        let quality = ratio(self.good as f64, produced as f64);
        let oee =
            availability.zip(performance).zip(quality).map(|((availability, performance), quality)| availability * performance * quality);
        Balance {
            from: self.from,
            to,
            planned_busy_s,
            production_s,
            produced,
            rejected: self.rejected,
            ideal_cycle_time_s,
            oee,
            availability,
            performance,
            quality,
        }
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Moment {
        Moment(second * 1_000_000)
    }

    #[test]
    fn the_factors_follow_from_intervals_and_parts() {
        let mut books = Account::open(at(0), MachineState::Producing);
        books.state(at(60), MachineState::UnplannedStop);
        books.state(at(70), MachineState::PlannedStop);
        books.state(at(90), MachineState::Setup);
        books.state(at(100), MachineState::Producing);
        for part in 0..40 {
            books.part(part % 10 != 0);
        }
        let balance = books.close(at(120), Duration::from_millis(1_600));
        assert_eq!((balance.planned_busy_s, balance.production_s), (100.0, 80.0));
        assert_eq!((balance.produced, balance.rejected), (40, 4));
        assert_eq!((balance.availability, balance.performance, balance.quality), (Some(0.8), Some(0.8), Some(0.9)));
        assert!((balance.oee.unwrap() - 0.576).abs() < 1e-12);
    }

    #[test]
    fn what_is_undefined_stays_so() {
        let stopped = Account::open(at(0), MachineState::PlannedStop).close(at(60), Duration::from_secs(1));
        assert_eq!((stopped.availability, stopped.oee), (None, None));
        let barren = Account::open(at(0), MachineState::Producing).close(at(60), Duration::from_secs(1));
        assert_eq!((barren.availability, barren.performance, barren.quality, barren.oee), (Some(1.0), Some(0.0), None, None));
    }
}
