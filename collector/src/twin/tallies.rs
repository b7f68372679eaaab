//! Sums of closed days, shifts and hours of machines, kept in memory: what makes the second question about a month quick.
//!
//! Stands between `api::history` and the lake. A tally is a sum, so a month is the sum of its days; a day that is over changes only by late rows, by
//! what people say of it later, and by other rules. Each of these takes the tallies that it may touch away.
//!
//! Invariants: a tally is kept only if nothing that came since its rows were read speaks of its time (a [`Reading`] sees what comes while it reads),
//! and only if the machine was known well beyond its end, since a stop at the edge is judged by its whole length. Their number is bounded.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kpi::oee::Tally;
use parking_lot::Mutex;
use protocol::{AssetPath, Record, StampedRecord, TimeRange, Timestamp};

/// Tallies that are kept: two years of days of 1,000 machines are not, three months of them are. One takes about a kilobyte.
const MAX_TALLIES: usize = 100_000;

/// The kept tallies, shared.
#[derive(Debug, Clone, Default)]
pub struct Tallies {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    machines: HashMap<AssetPath, Kept>,
    count: usize,
    /// Of readings.
    last: u64,
}

#[derive(Debug, Default)]
struct Kept {
    /// By (end, beginning), so that all that ends after a point is one range.
    tallies: BTreeMap<(Timestamp, Timestamp), Arc<Tally>>,
    /// Readings under way, and the earliest time that was touched since they began.
    readings: Vec<(u64, Timestamp)>,
}

/// A look into the lake that is under way. Give it to [`Tallies::keep`]; if it is dropped instead, its place is freed.
#[derive(Debug)]
pub struct Reading {
    tallies: Tallies,
    asset: AssetPath,
    id: u64,
}

impl Tallies {
    /// The kept tally of that machine and period.
    pub fn get(&self, asset: &AssetPath, range: TimeRange) -> Option<Arc<Tally>> {
        self.inner.lock().machines.get(asset)?.tallies.get(&(range.to, range.from)).cloned()
    }

    /// Call it before the rows are read that will make tallies.
    pub fn reading(&self, asset: &AssetPath) -> Reading {
        let mut inner = self.inner.lock();
        inner.last += 1;
        let id = inner.last;
        inner.machines.entry(asset.clone()).or_default().readings.push((id, Timestamp(i64::MAX)));
        Reading { tallies: self.clone(), asset: asset.clone(), id }
    }

    /// Keeps those that end `margin_us` before anything that came since, and before `known_until`.
    pub fn keep(&self, reading: &Reading, made: Vec<(TimeRange, Arc<Tally>)>, known_until: Timestamp, margin_us: i64) {
        let mut inner = self.inner.lock();
        let Inner { machines, count, .. } = &mut *inner;
        let Some(kept) = machines.get_mut(&reading.asset) else { return };
        let Some((_, touched)) = kept.readings.iter().find(|(id, _)| *id == reading.id) else { return };
        let through = (*touched).min(known_until).plus_micros(-margin_us);
        for (range, tally) in made {
            if range.to <= through && kept.tallies.insert((range.to, range.from), tally).is_none() {
                *count += 1;
            }
        }
        if *count > MAX_TALLIES {
            metrics::counter!("millrace_collector_tallies_forgotten_total").increment(*count as u64);
            machines.values_mut().for_each(|kept| kept.tallies.clear());
            *count = 0;
        }
    }

    /// Fresh rows: call it when a query can see them.
    pub fn rows(&self, rows: &[StampedRecord], margin_us: i64) {
        for row in rows {
            match &row.record {
                Record::State(state) => self.record(&state.asset, &row.record, margin_us),
                Record::Parts(parts) => self.record(&parts.asset, &row.record, margin_us),
                Record::Window(_) | Record::Anomaly(_) | Record::Loss(_) => {}
            }
        }
    }

    /// A fresh row, as one of `asset`.
    pub fn record(&self, asset: &AssetPath, record: &Record, margin_us: i64) {
        match record {
            Record::State(state) => self.touch(asset, state.event_time, margin_us),
            Record::Parts(parts) => self.touch(asset, parts.from.min(parts.to), margin_us),
            Record::Window(_) | Record::Anomaly(_) | Record::Loss(_) => {}
        }
    }

    /// Something is said of the machine from `at` on.
    pub fn touch(&self, asset: &AssetPath, at: Timestamp, margin_us: i64) {
        let mut inner = self.inner.lock();
        let Inner { machines, count, .. } = &mut *inner;
        let Some(kept) = machines.get_mut(asset) else { return };
        for (_, touched) in &mut kept.readings {
            *touched = (*touched).min(at);
        }
        let gone = kept.tallies.split_off(&(at.plus_micros(-margin_us), Timestamp(i64::MAX)));
        *count -= gone.len();
    }

    /// The rules or the relations of these machines have changed: nothing of them holds any more.
    pub fn forget(&self, of: impl Fn(&AssetPath) -> bool) {
        let mut inner = self.inner.lock();
        let Inner { machines, count, .. } = &mut *inner;
        for (_, kept) in machines.iter_mut().filter(|(path, _)| of(path)) {
            *count -= kept.tallies.len();
            kept.tallies.clear();
            for (_, touched) in &mut kept.readings {
                *touched = Timestamp(i64::MIN / 2);
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(kept) = self.tallies.inner.lock().machines.get_mut(&self.asset) {
            kept.readings.retain(|(id, _)| *id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: i64 = 10;

    fn press() -> AssetPath {
        AssetPath::new("plant1/shop/line1/press-1").unwrap()
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange { from: Timestamp(from), to: Timestamp(to) }
    }

    fn keep(tallies: &Tallies, reading: &Reading, ranges: &[TimeRange], known_until: i64) {
        let made = ranges.iter().map(|range| (*range, Arc::default())).collect();
        tallies.keep(reading, made, Timestamp(known_until), MARGIN);
    }

    #[test]
    fn what_ends_well_before_what_is_known_is_kept() {
        let tallies = Tallies::default();
        let reading = tallies.reading(&press());
        keep(&tallies, &reading, &[range(0, 100), range(100, 195), range(195, 200)], 205);
        assert!(tallies.get(&press(), range(0, 100)).is_some());
        assert!(tallies.get(&press(), range(100, 195)).is_some());
        assert!(tallies.get(&press(), range(195, 200)).is_none(), "a stop at its end may still grow");
        assert!(tallies.get(&press(), range(0, 99)).is_none());
    }

    #[test]
    fn a_late_row_takes_all_away_that_it_may_touch() {
        let tallies = Tallies::default();
        let reading = tallies.reading(&press());
        keep(&tallies, &reading, &[range(0, 100), range(100, 200), range(200, 300)], 1_000);
        tallies.touch(&press(), Timestamp(120), MARGIN);
        assert!(tallies.get(&press(), range(0, 100)).is_some());
        assert!(tallies.get(&press(), range(100, 200)).is_none());
        assert!(tallies.get(&press(), range(200, 300)).is_none(), "the late state may stand through it");
        tallies.touch(&press(), Timestamp(105), MARGIN);
        assert!(tallies.get(&press(), range(0, 100)).is_none(), "a stop across its end may have another length now");
    }

    #[test]
    fn a_row_that_came_while_the_lake_was_read_is_not_forgotten() {
        let tallies = Tallies::default();
        let reading = tallies.reading(&press());
        tallies.touch(&press(), Timestamp(150), MARGIN);
        keep(&tallies, &reading, &[range(0, 100), range(100, 200)], 1_000);
        assert!(tallies.get(&press(), range(0, 100)).is_some());
        assert!(tallies.get(&press(), range(100, 200)).is_none());
        let (other, ranges) = (tallies.reading(&press()), [range(0, 100)]);
        tallies.forget(|_| true);
        keep(&tallies, &other, &ranges, 1_000);
        assert!(tallies.get(&press(), ranges[0]).is_none(), "read by the rules of before");
    }
}
