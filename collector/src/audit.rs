//! Whether the books balance: what a gateway says that it took against what is here of it.
//!
//! Beside the intake. The two sides are reckoned independently: the gateway counts readings as it takes them in and keeps its [`Books`] through
//! restarts; here the counts of stored rows and of losses are added up. `taken = stored + lost after it was taken + open + held`, where the
//! last two are still at the gateway. They can be compared at the moments at which both sides agree how far the streams are; in between the last
//! comparison stands.
//!
//! Pure: the time is given. Invariant: nothing here decides what is stored; it only says what it sees.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use protocol::{Books, GatewayId, LossReason, Record, Timestamp};

use crate::ledger::Split;

/// A difference that stays the same for so long is none of messages on their way.
const SETTLED_US: i64 = 30_000_000;

/// What is here of a gateway, added up from rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Readings in stored summaries.
    pub stored: u64,
    /// What stored losses count.
    pub lost: u64,
    /// Of these, what had been taken in before.
    pub lost_after: u64,
    /// Losses that don't know how many.
    pub lost_unknown: u64,
}

impl Counts {
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut counts = Self::default();
        for record in records {
            match record {
                Record::Window(summary) => counts.stored = counts.stored.saturating_add(summary.count),
                Record::Loss(loss) => counts.lose(loss.reason, loss.count, u64::from(loss.count == 0)),
                Record::Anomaly(_) | Record::State(_) | Record::Parts(_) => {}
            }
        }
        counts
    }

    /// Adds losses of one reason: what they count, and how many don't know.
    pub fn lose(&mut self, reason: LossReason, count: u64, unknown: u64) {
        self.lost = self.lost.saturating_add(count);
        if is_after(reason) {
            self.lost_after = self.lost_after.saturating_add(count);
        }
        // What another run has told is not unknown, nor is what a device did not answer: without a count its own sequence tells how much that was.
        if !matches!(reason, LossReason::Restored | LossReason::DeviceError) {
            self.lost_unknown = self.lost_unknown.saturating_add(unknown);
        }
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            stored: self.stored.saturating_add(other.stored),
            lost: self.lost.saturating_add(other.lost),
            lost_after: self.lost_after.saturating_add(other.lost_after),
            lost_unknown: self.lost_unknown.saturating_add(other.lost_unknown),
        }
    }

    pub fn minus(self, other: Self) -> Self {
        Self {
            stored: self.stored.saturating_sub(other.stored),
            lost: self.lost.saturating_sub(other.lost),
            lost_after: self.lost_after.saturating_sub(other.lost_after),
            lost_unknown: self.lost_unknown.saturating_sub(other.lost_unknown),
        }
    }
}

/// Whether losses of that reason are of readings that the gateway had counted as taken.
pub const fn is_after(reason: LossReason) -> bool {
    use LossReason::{Rejected, Restored, SpoolCorrupt, SpoolFull, StreamGap};
    matches!(reason, SpoolFull | SpoolCorrupt | StreamGap | Rejected | Restored)
}

/// How the books stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// They balance.
    Balanced,
    /// They can't be compared right now: answers or entries are on their way.
    InFlight,
    /// They do not balance, and have not for a while.
    Unaccounted,
    /// The gateway has not told its books, or what is here can't be added up.
    Unknown,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::InFlight => "in_flight",
            Self::Unaccounted => "unaccounted",
            Self::Unknown => "unknown",
        }
    }
}

/// What can be said of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Readings that the gateway has taken in, ever.
    pub taken: u64,
    pub counts: Counts,
    /// Readings stored more than once.
    pub twice: u64,
    pub late: u64,
    /// Readings that are still at the gateway.
    pub in_flight: u64,
    /// Taken, but neither here nor there nor lost for a reason; negative if more is here than was taken.
    pub unaccounted: i64,
    /// Since when the difference is what it is.
    pub since: Option<Timestamp>,
    pub verdict: Verdict,
}

/// One gateway's account.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    counts: Counts,
    twice: u64,
    books: Option<Books>,
    comparable: bool,
    unknown: bool,
    unaccounted: i64,
    since: Option<Timestamp>,
}

/// All accounts; clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Auditor {
    accounts: Arc<Mutex<HashMap<GatewayId, Account>>>,
}

impl Auditor {
    /// Rows of a gateway are stored.
    pub fn count(&self, gateway: &GatewayId, counts: Counts) {
        self.change(gateway, |account| account.counts = account.counts.plus(counts));
    }

    /// They were not stored after all.
    pub fn uncount(&self, gateway: &GatewayId, counts: Counts) {
        self.change(gateway, |account| account.counts = account.counts.minus(counts));
    }

    /// What the lake holds, added up anew.
    pub fn recount(&self, gateway: &GatewayId, counts: Counts) {
        self.change(gateway, |account| account.counts = counts);
    }

    /// So many readings were found more than once.
    pub fn found_twice(&self, twice: &BTreeMap<GatewayId, u64>) {
        let mut accounts = self.accounts.lock();
        for (gateway, account) in accounts.iter_mut() {
            account.twice = twice.get(gateway).copied().unwrap_or(0);
        }
        for (gateway, twice) in twice {
            accounts.entry(gateway.clone()).or_default().twice = *twice;
        }
    }

    /// A gateway tells its books. `split` is where its branches part from them, `None` if the two sides do not agree how far the streams are.
    /// Call it before the batch that brought them is counted.
    pub fn heard(&self, gateway: &GatewayId, books: Books, split: Option<Split>, now: Timestamp) {
        self.change(gateway, |account| account.heard(books, split, now));
    }

    /// Every gateway's audit as of `now`.
    pub fn audits(&self, now: Timestamp) -> BTreeMap<GatewayId, Audit> {
        self.accounts.lock().iter().map(|(gateway, account)| (gateway.clone(), account.audit(now))).collect()
    }

    pub fn audit(&self, gateway: &GatewayId, now: Timestamp) -> Option<Audit> {
        self.accounts.lock().get(gateway).map(|account| account.audit(now))
    }

    fn change(&self, gateway: &GatewayId, change: impl FnOnce(&mut Account)) {
        change(self.accounts.lock().entry(gateway.clone()).or_default());
    }
}

impl Account {
    fn heard(&mut self, books: Books, split: Option<Split>, now: Timestamp) {
        self.books = Some(books);
        self.comparable = split.is_some();
        let Some(split) = split else { return };
        self.unknown = split.unknown;
        let here =
            i128::from(self.counts.stored) + i128::from(self.counts.lost_after) - i128::from(split.foreign) + i128::from(split.skipped);
        let there = i128::from(books.open) + i128::from(books.held);
        let left = i128::from(books.taken) - here - there;
        let left = i64::try_from(left).unwrap_or(if left < 0 { i64::MIN } else { i64::MAX });
        if self.since.is_none() || left != self.unaccounted {
            (self.unaccounted, self.since) = (left, Some(now));
        }
    }

    fn audit(&self, now: Timestamp) -> Audit {
        let books = self.books.unwrap_or_default();
        let settled = self.since.is_some_and(|since| now.micros_since(since) >= SETTLED_US);
        let verdict = match (self.books, self.since) {
            _ if books == Books::default() || self.unknown => Verdict::Unknown,
            (None, _) => Verdict::Unknown,
            (_, None) => Verdict::InFlight,
            // Losses that don't know how many may be what is missing.
            _ if self.unaccounted > 0 && self.counts.lost_unknown > 0 && settled => Verdict::Unknown,
            _ if self.unaccounted != 0 && settled => Verdict::Unaccounted,
            _ if self.unaccounted != 0 || !self.comparable => Verdict::InFlight,
            _ => Verdict::Balanced,
        };
        Audit {
            taken: books.taken,
            counts: self.counts,
            twice: self.twice,
            late: books.late,
            in_flight: books.open.saturating_add(books.held),
            unaccounted: if verdict == Verdict::Unknown && self.since.is_none() { 0 } else { self.unaccounted },
            since: self.since,
            verdict,
        }
    }
}

impl Audit {
    /// The one line that says it all.
    pub fn text(&self) -> String {
        let mut text = format!("{} stored, {} lost, {} twice, {} late", self.counts.stored, self.counts.lost, self.twice, self.late);
        if self.counts.lost_unknown > 0 {
            text.push_str(&format!(", {} losses of unknown size", self.counts.lost_unknown));
        }
        if self.verdict == Verdict::Unaccounted {
            text.push_str(&format!(", {} unaccounted", self.unaccounted));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn gateway() -> GatewayId {
        GatewayId::new("gw").expect("valid")
    }

    fn later(seconds: i64) -> Timestamp {
        NOW.plus_micros(seconds * 1_000_000)
    }

    fn stored(stored: u64) -> Counts {
        Counts { stored, ..Counts::default() }
    }

    fn books(taken: u64, open: u64, held: u64) -> Books {
        Books { taken, open, held, late: 3, ..Books::default() }
    }

    fn audit(auditor: &Auditor, now: Timestamp) -> Audit {
        auditor.audit(&gateway(), now).expect("known")
    }

    #[test]
    fn what_was_taken_is_stored_lost_open_or_held() {
        let auditor = Auditor::default();
        let mut counts = stored(100);
        counts.lose(LossReason::SpoolFull, 20, 0);
        // It was never taken in: it is no part of the balance.
        counts.lose(LossReason::SequenceGap, 7, 0);
        auditor.count(&gateway(), counts);
        auditor.heard(&gateway(), books(130, 4, 6), Some(Split::default()), NOW);
        let audit = audit(&auditor, NOW);
        assert_eq!((audit.verdict, audit.unaccounted, audit.in_flight), (Verdict::Balanced, 0, 10));
        assert_eq!(audit.text(), "100 stored, 27 lost, 0 twice, 3 late");
    }

    #[test]
    fn a_difference_is_on_its_way_at_first_and_unaccounted_when_it_stays() {
        let auditor = Auditor::default();
        auditor.count(&gateway(), stored(90));
        auditor.heard(&gateway(), books(100, 0, 0), Some(Split::default()), NOW);
        assert_eq!(audit(&auditor, later(5)).verdict, Verdict::InFlight);
        let found = audit(&auditor, later(31));
        assert_eq!((found.verdict, found.unaccounted, found.since), (Verdict::Unaccounted, 10, Some(NOW)));
        assert_eq!(found.text(), "90 stored, 0 lost, 0 twice, 3 late, 10 unaccounted");
        auditor.count(&gateway(), stored(10));
        auditor.heard(&gateway(), books(100, 0, 0), Some(Split::default()), later(40));
        assert_eq!(audit(&auditor, later(40)).verdict, Verdict::Balanced);
    }

    #[test]
    fn more_here_than_was_taken_is_told_too() {
        let auditor = Auditor::default();
        auditor.count(&gateway(), stored(110));
        auditor.heard(&gateway(), books(100, 0, 0), Some(Split::default()), NOW);
        assert_eq!((audit(&auditor, later(60)).verdict, audit(&auditor, later(60)).unaccounted), (Verdict::Unaccounted, -10));
    }

    #[test]
    fn while_an_answer_is_on_its_way_the_last_comparison_stands() {
        let auditor = Auditor::default();
        auditor.count(&gateway(), stored(100));
        auditor.heard(&gateway(), books(110, 0, 10), Some(Split::default()), NOW);
        auditor.count(&gateway(), stored(10));
        auditor.heard(&gateway(), books(120, 10, 10), None, later(60));
        assert_eq!((audit(&auditor, later(60)).verdict, audit(&auditor, later(60)).unaccounted), (Verdict::InFlight, 0));
    }

    #[test]
    fn a_restored_gateway_is_judged_without_the_run_that_its_books_do_not_know() {
        let auditor = Auditor::default();
        // 100 of the run that it knows, 30 of the one that it does not; of its own 5 were told by that one already.
        auditor.count(&gateway(), stored(130));
        auditor.heard(&gateway(), books(105, 0, 0), Some(Split { foreign: 30, skipped: 5, unknown: false }), NOW);
        assert_eq!(audit(&auditor, later(60)).verdict, Verdict::Balanced);
    }

    #[test]
    fn nothing_is_claimed_of_a_gateway_that_tells_no_books_or_of_losses_of_unknown_size() {
        let auditor = Auditor::default();
        auditor.count(&gateway(), stored(5));
        assert_eq!(audit(&auditor, NOW).verdict, Verdict::Unknown);
        auditor.heard(&gateway(), Books::default(), Some(Split::default()), NOW);
        assert_eq!(audit(&auditor, later(60)).verdict, Verdict::Unknown);
        let mut counts = Counts::default();
        counts.lose(LossReason::StreamGap, 0, 1);
        auditor.count(&gateway(), counts);
        auditor.heard(&gateway(), books(50, 0, 0), Some(Split::default()), later(61));
        assert_eq!(audit(&auditor, later(100)).verdict, Verdict::Unknown);
        auditor.uncount(&gateway(), counts);
        assert_eq!(audit(&auditor, later(100)).verdict, Verdict::Unaccounted);
    }
}
