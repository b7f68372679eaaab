//! Which shifts of which machines are to be stated, or reckoned again: pure, asked with the time.
//!
//! Stands between what changes figures (late data, what people register, the end of a shift) and `restate`, which reckons and stores.
//!
//! Invariants: a shift is stated when its end has passed the data's watermark, or after a while without data; whatever comes for it later makes it
//! due again; a shift that is due is due once, for all reasons together; the list is bounded, and what does not fit is counted.

use std::collections::{BTreeMap, HashMap};

use kpi::{
    calendar::{Calendar, Shift, clipped},
    oee::Why,
    utc::{Period, Utc},
};
use protocol::{AssetPath, TimeRange, Timestamp};

const SECOND: i64 = 1_000_000;
/// So long after its end a shift is stated at the earliest, if the machine's data have passed the end.
pub const STATED_AFTER_US: i64 = 60 * SECOND;
/// So long after its end a shift is stated without the last of its data.
pub const PATIENCE_US: i64 = 15 * 60 * SECOND;
/// A machine of which no shift is stated yet is stated so far back; after a start the same.
pub const BACK_US: i64 = 3 * 86_400 * SECOND;
/// Late data wait for more of them: so long after the last, and at most so long after the first.
pub const DEBOUNCE_US: i64 = 5 * SECOND;
const DEBOUNCE_MAX_US: i64 = 60 * SECOND;
/// What failed is tried again after that.
const RETRY_US: i64 = 60 * SECOND;
const MAX_RETRIES: u32 = 10;
/// Shifts that wait; of more the newest are not taken, and counted.
pub const MAX_JOBS: usize = 50_000;
/// Shifts that one record or registration makes due, the newest.
const MAX_TOUCHED: usize = 200;
/// Reasons that one restatement tells.
const MAX_WHY: usize = 20;

/// A shift of a machine, to be reckoned.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub asset: AssetPath,
    pub shift: Shift,
    /// Nothing: it is stated for the first time.
    pub why: Vec<Why>,
    attempts: u32,
}

impl Job {
    pub fn new(asset: AssetPath, shift: Shift, why: Vec<Why>) -> Self {
        Self { asset, shift, why, attempts: 0 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Stated {
    /// Shifts through here have been looked at.
    to: Timestamp,
    /// Newest data that the last of them was stated with: if they end before it, what comes next moves its end.
    known: Timestamp,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    first: Timestamp,
    ready: Timestamp,
}

/// A record that came, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub asset: &'a AssetPath,
    /// Of a state an instant.
    pub range: TimeRange,
    /// States and parts; what else comes tells only how new the data are.
    pub counts: bool,
}

/// What is due, and what has been stated.
#[derive(Debug, Default)]
pub struct Due {
    stated: HashMap<AssetPath, Stated>,
    waiting: BTreeMap<(AssetPath, Timestamp), Waiting>,
    dropped: u64,
}

impl Due {
    /// What was stated before this start.
    pub fn restore(&mut self, asset: AssetPath, to: Timestamp, known: Timestamp) {
        self.stated.insert(asset, Stated { to, known });
    }

    /// Shifts of a machine that have ended and are to be stated now, in order; each is given out once. `newest`: its newest data.
    pub fn ended(
        &mut self,
        asset: &AssetPath,
        newest: Timestamp,
        (started_at, now): (Timestamp, Timestamp),
        shifts: &mut impl FnMut(TimeRange) -> Vec<Shift>,
    ) -> Vec<Job> {
        let back = now.plus_micros(-BACK_US);
        let from = self.stated.get(asset).map_or(back, |stated| stated.to.max(back));
        if now.micros_since(from) < STATED_AFTER_US {
            return Vec::new();
        }
        let mut jobs = Vec::new();
        for shift in shifts(TimeRange { from, to: now }) {
            let end = shift.range.to;
            if shift.range.from < from {
                continue;
            }
            let complete = newest >= end && now.micros_since(end) >= STATED_AFTER_US;
            if !complete && now.micros_since(end.max(started_at)) < PATIENCE_US {
                break;
            }
            self.stated.insert(asset.clone(), Stated { to: end, known: newest });
            jobs.push(Job::new(asset.clone(), shift, Vec::new()));
        }
        jobs
    }

    /// The end of the newest shift of a machine that was stated.
    pub fn stated_to(&self, asset: &AssetPath) -> Option<Timestamp> {
        self.stated.get(asset).map(|stated| stated.to)
    }

    /// Something came. `margin_us`: a state so long after a stop tells whether it was a minor stop.
    pub fn saw(&mut self, seen: Seen<'_>, calendar: &Calendar, margin_us: i64, now: Timestamp) {
        let Some(stated) = self.stated.get_mut(seen.asset) else { return };
        let (from, end) = (seen.range.from, seen.range.to);
        let mut touched = None;
        if end > stated.known && stated.known < stated.to {
            // Where the data had ended they go on: what stood there stood longer.
            touched = Some(TimeRange { from: stated.known, to: end.min(stated.to) });
        }
        if seen.counts && from < stated.to {
            let own = TimeRange { from: from.plus_micros(-margin_us), to: end.min(stated.to).max(from.plus_micros(1)) };
            touched = Some(touched.map_or(own, |t| TimeRange { from: t.from.min(own.from), to: t.to.max(own.to) }));
        }
        stated.known = stated.known.max(end);
        if let Some(touched) = touched {
            let spoken_of = Period { from: Utc(from), to: Utc(end) };
            self.touch_late(seen.asset, touched, spoken_of, calendar, now);
        }
    }

    fn touch_late(&mut self, asset: &AssetPath, touched: TimeRange, period: Period, calendar: &Calendar, now: Timestamp) {
        let why = Why::LateData { period };
        // Mostly a shift that waits already: then the calendar need not be asked.
        let known = self.waiting.range_mut(..=(asset.clone(), touched.from)).next_back();
        if let Some((_, waiting)) = known.filter(|((of, _), w)| of == asset && w.job.shift.range.to >= touched.to) {
            waiting.again(&why, now);
            return;
        }
        for shift in self.stated_shifts(asset, touched, calendar) {
            self.put(Job::new(asset.clone(), shift, vec![why.clone()]), now, now.plus_micros(DEBOUNCE_US));
        }
    }

    /// Shifts that share time with `range` and have been stated, in order; the newest if there are too many.
    pub fn stated_shifts(&self, asset: &AssetPath, range: TimeRange, calendar: &Calendar) -> Vec<Shift> {
        let Some(to) = self.stated_to(asset) else { return Vec::new() };
        // What was registered without an end, or ages ago, is not looked through day by day.
        let oldest = to.plus_micros(-(MAX_TOUCHED as i64) * 86_400 * SECOND);
        let Some(range) = clipped(range, TimeRange { from: oldest, to }) else { return Vec::new() };
        let mut shifts = calendar.shifts(range);
        shifts.retain(|shift| shift.range.to <= to);
        let surplus = shifts.len().saturating_sub(MAX_TOUCHED);
        shifts.drain(..surplus);
        shifts
    }

    /// Makes a shift due now.
    pub fn add(&mut self, job: Job, now: Timestamp) {
        self.put(job, now, now);
    }

    /// A job that could not be done comes again, some times.
    pub fn failed(&mut self, mut job: Job, now: Timestamp) {
        job.attempts += 1;
        if job.attempts > MAX_RETRIES {
            self.dropped += 1;
        } else {
            self.put(job, now, now.plus_micros(RETRY_US));
        }
    }

    fn put(&mut self, job: Job, now: Timestamp, ready: Timestamp) {
        let key = (job.asset.clone(), job.shift.range.from);
        if let Some(waiting) = self.waiting.get_mut(&key) {
            for why in &job.why {
                waiting.merge(why);
            }
            waiting.ready = waiting.ready.min(ready);
            waiting.job.attempts = waiting.job.attempts.max(job.attempts);
        } else if self.waiting.len() >= MAX_JOBS {
            self.dropped += 1;
        } else {
            self.waiting.insert(key, Waiting { job, first: now, ready });
        }
    }

    /// What is to be reckoned now, at most so many.
    pub fn take(&mut self, now: Timestamp, limit: usize) -> Vec<Job> {
        let ready: Vec<_> = self.waiting.iter().filter(|(_, w)| w.ready <= now).take(limit).map(|(key, _)| key.clone()).collect();
        ready.iter().filter_map(|key| self.waiting.remove(key)).map(|waiting| waiting.job).collect()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Shifts that were not reckoned again though something changed, since the last question.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

impl Waiting {
    /// More late data of the same shift.
    fn again(&mut self, why: &Why, now: Timestamp) {
        self.merge(why);
        self.ready = now.plus_micros(DEBOUNCE_US).min(self.first.plus_micros(DEBOUNCE_MAX_US));
    }

    fn merge(&mut self, why: &Why) {
        if let Why::LateData { period } = why {
            let known = self.job.why.iter_mut().find_map(|known| if let Why::LateData { period } = known { Some(period) } else { None });
            if let Some(known) = known {
                known.from = known.from.min(period.from);
                known.to = known.to.max(period.to);
                return;
            }
        }
        if self.job.why.len() < MAX_WHY && !self.job.why.contains(why) {
            self.job.why.push(why.clone());
        }
    }
}

#[cfg(test)]
mod tests;
