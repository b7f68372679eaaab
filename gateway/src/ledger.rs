//! The ledger of losses: every drop is booked here, told at most once a second for each (asset, signal, reason), and ever more rarely while the
//! same goes on: a device that is off for a day is some hundred lines, not a hundred thousand.
//!
//! Stands beside the whole way of a reading. Invariant: the counts told plus the counts still held equal the counts booked; the number of
//! lines is bounded, and beyond it only the attribution is given up, never the count.

use std::collections::BTreeMap;

use protocol::{AssetPath, Loss, LossReason, Record, SignalName, Timestamp};
use serde::{Deserialize, Serialize};

/// Lines held at a time.
pub const MAX_LINES: usize = 4_096;
/// Lines are told this often.
pub const TELL_INTERVAL_US: u64 = 1_000_000;
/// What goes on is told at least this often.
pub const LONGEST_INTERVAL_US: u64 = 60_000_000;
/// Longest detail.
pub const MAX_DETAIL_BYTES: usize = 200;

type Key = (Option<AssetPath>, Option<SignalName>, LossReason);

/// Losses by what and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    lines: BTreeMap<Key, Line>,
    #[serde(skip)]
    told_us: u64,
    /// What was told lately.
    #[serde(skip)]
    told: BTreeMap<Key, Told>,
    /// Since the start of the process.
    #[serde(skip)]
    totals: BTreeMap<LossReason, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    count: u64,
    from: Timestamp,
    to: Timestamp,
    detail: String,
}

impl Line {
    fn loss(self, (asset, signal, reason): Key) -> Loss {
        let Self { count, from, to, detail } = self;
        Loss { asset, signal, reason, count, from, to, detail }
    }
}

/// When a line was told, and how long the next like it waits after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    at_us: u64,
    wait_us: u64,
}

impl Told {
    fn is_over(self, now_us: u64) -> bool {
        now_us.saturating_sub(self.at_us) >= self.wait_us
    }

    /// After a line that was told at `now_us`: it went on, or it is another time.
    fn next(before: Option<Self>, now_us: u64) -> Self {
        let went_on = before.filter(|before| now_us.saturating_sub(before.at_us) < 2 * before.wait_us + TELL_INTERVAL_US);
        let wait_us = went_on.map_or(TELL_INTERVAL_US, |before| (2 * before.wait_us).min(LONGEST_INTERVAL_US));
        Self { at_us: now_us, wait_us }
    }
}

impl Ledger {
    /// Books a loss.
    pub fn book(&mut self, loss: Loss) {
        self.count(&loss);
        self.hold(loss);
    }

    /// Adds a loss that is told otherwise to the totals.
    pub fn count(&mut self, loss: &Loss) {
        let total = self.totals.entry(loss.reason).or_default();
        *total = total.saturating_add(loss.count);
    }

    /// Takes back a loss that was told but can't be delivered; it is in the totals already.
    pub fn hold(&mut self, loss: Loss) {
        let mut key = (loss.asset, loss.signal, loss.reason);
        if self.lines.len() >= MAX_LINES && !self.lines.contains_key(&key) {
            key = (None, None, loss.reason);
        }
        match self.lines.get_mut(&key) {
            Some(line) => {
                line.count = line.count.saturating_add(loss.count);
                line.from = line.from.min(loss.from);
                line.to = line.to.max(loss.to);
            }
            None => {
                let detail = clip(&loss.detail);
                self.lines.insert(key, Line { count: loss.count, from: loss.from, to: loss.to, detail });
            }
        }
    }

    /// The lines that are due, at most `room` of them, if a second has passed since all of them were told last.
    pub fn tell(&mut self, now_us: u64, room: usize) -> Vec<Loss> {
        if self.lines.is_empty() || now_us.saturating_sub(self.told_us) < TELL_INTERVAL_US {
            return Vec::new();
        }
        let is_due = |key: &Key| self.told.get(key).is_none_or(|told| told.is_over(now_us));
        let due: Vec<Key> = self.lines.keys().filter(|key| is_due(key)).take(room).cloned().collect();
        if due.len() < room {
            self.told_us = now_us;
        }
        if self.told.len() + due.len() > MAX_LINES {
            self.told.retain(|_, told| !told.is_over(now_us));
        }
        due.into_iter()
            .filter_map(|key| {
                let line = self.lines.remove(&key)?;
                if self.told.len() < MAX_LINES {
                    let told = Told::next(self.told.get(&key).copied(), now_us);
                    self.told.insert(key.clone(), told);
                }
                Some(line.loss(key))
            })
            .collect()
    }

    /// The lines, at most `room` of them.
    pub fn tell_now(&mut self, now_us: u64, room: usize) -> Vec<Loss> {
        let mut told = Vec::with_capacity(self.lines.len().min(room));
        while told.len() < room
            && let Some((key, line)) = self.lines.pop_first()
        {
            told.push(line.loss(key));
        }
        if self.lines.is_empty() {
            self.told_us = now_us;
        }
        told
    }

    /// All lines at once, whenever they were told last.
    pub fn drain(&mut self) -> Vec<Loss> {
        let told = self.tell_now(0, usize::MAX);
        self.told.clear();
        told
    }

    /// Lines not yet told.
    pub fn held(&self) -> usize {
        self.lines.len()
    }

    /// Of these, those that hold a count. What a silent device is told of goes on for as long as it is silent, and holds none.
    pub fn counted(&self) -> usize {
        self.lines.values().filter(|line| line.count > 0).count()
    }

    /// Counts by reason since the start.
    pub fn totals(&self) -> Vec<(LossReason, u64)> {
        self.totals.iter().map(|(reason, count)| (*reason, *count)).collect()
    }
}

/// The loss that stands for a record that can't be kept: of its readings, if it has any. A loss stands for itself.
pub fn loss_of(record: &Record, reason: LossReason) -> Loss {
    let at = |asset: &AssetPath, signal: Option<&SignalName>, count, (from, to), detail: String| Loss {
        asset: Some(asset.clone()),
        signal: signal.cloned(),
        reason,
        count,
        from,
        to,
        detail,
    };
    match record {
        Record::Loss(loss) => loss.clone(),
        Record::Window(w) => at(&w.asset, Some(&w.signal), w.count, (w.start, w.end), "window summary".into()),
        Record::Anomaly(a) => at(&a.asset, Some(&a.signal), 0, (a.event_time, a.event_time), "anomaly".into()),
        Record::State(s) => at(&s.asset, None, 0, (s.event_time, s.event_time), format!("change to {}", s.state)),
        Record::Parts(p) => at(&p.asset, None, 0, (p.from, p.to), format!("{} parts", p.produced)),
    }
}

/// At most [`MAX_DETAIL_BYTES`] of a text that may be anything, without control characters.
pub fn clip(text: &str) -> String {
    let mut clipped = String::with_capacity(text.len().min(MAX_DETAIL_BYTES));
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if clipped.len() + c.len_utf8() > MAX_DETAIL_BYTES {
            break;
        }
        clipped.push(c);
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(signal: Option<&str>, reason: LossReason, count: u64, at: i64) -> Loss {
        let at = Timestamp::from_micros(at);
        Loss {
            asset: None,
            signal: signal.map(|s| SignalName::new(s).unwrap()),
            reason,
            count,
            from: at,
            to: at,
            detail: format!("at {at:?}"),
        }
    }

    #[test]
    fn losses_are_told_once_a_second_with_their_sum_and_range() {
        let mut ledger = Ledger::default();
        for at in 0..1_000 {
            ledger.book(loss(Some("x"), LossReason::NotFinite, 2, at));
        }
        assert!(ledger.tell(TELL_INTERVAL_US - 1, 9).is_empty());
        let told = ledger.tell(TELL_INTERVAL_US, 9);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].count, told[0].from.as_micros(), told[0].to.as_micros()), (2_000, 0, 999));
        assert!(ledger.tell(10 * TELL_INTERVAL_US, 9).is_empty());
        ledger.hold(told[0].clone());
        assert_eq!((ledger.totals(), ledger.held()), (vec![(LossReason::NotFinite, 2_000)], 1), "held again, not booked again");
    }

    #[test]
    fn what_goes_on_is_told_ever_more_rarely_and_what_begins_anew_at_once() {
        let mut ledger = Ledger::default();
        let (mut told, mut count) = (Vec::new(), 0);
        let mut pass = |ledger: &mut Ledger, seconds: std::ops::Range<u64>, goes_on: bool| {
            let mut told = Vec::new();
            for second in seconds {
                if goes_on {
                    ledger.book(loss(Some("x"), LossReason::DeviceError, 1, second as i64));
                }
                for loss in ledger.tell(second * 1_000_000, 9) {
                    count += loss.count;
                    told.push(second);
                }
            }
            told
        };
        told.extend(pass(&mut ledger, 1..86_400, true));
        assert_eq!(told[..6], [1, 2, 4, 8, 16, 32]);
        assert!((1_440..1_460).contains(&told.len()), "{} lines in a day", told.len());
        pass(&mut ledger, 86_400..90_000, false);
        assert_eq!(pass(&mut ledger, 90_000..90_001, true), [90_000], "an hour later it is news again");
        assert_eq!(count, 86_400);
    }

    #[test]
    fn beyond_the_limit_of_lines_the_count_stays() {
        let mut ledger = Ledger::default();
        for i in 0..10_000 {
            ledger.book(loss(Some(&format!("s{i}")), LossReason::Cardinality, 1, i));
        }
        assert!(ledger.held() <= MAX_LINES + 1);
        let first = ledger.tell(u64::MAX, 100);
        assert_eq!(first.len(), 100, "as many as there is room for");
        let rest = ledger.tell(u64::MAX, usize::MAX);
        assert_eq!(first.iter().chain(&rest).map(|l| l.count).sum::<u64>(), 10_000);
    }

    #[test]
    fn details_are_cut_and_cleaned() {
        assert_eq!(clip("a\nb\u{0}c"), "a b c");
        assert!(clip(&"ß".repeat(1_000)).len() <= MAX_DETAIL_BYTES);
    }
}
