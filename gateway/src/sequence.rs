//! Sequences of senders: what is new, what was there already, what is missing.
//!
//! Stands between decoding and the windows: a message passes once. Invariant: each number of a session is taken once, is counted missing
//! once, or both if it turns up only after its gap was told. A gap is held back for [`REORDER_GRACE_US`], because a publisher that reconnects
//! may send an older message after a newer one.

use protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a gap may still be filled.
pub const REORDER_GRACE_US: u64 = 2_000_000;
/// Gaps that are held back at a time; then the oldest is told.
const MAX_HELD: usize = 16;
/// Sessions that are remembered, for senders that share a topic.
const MAX_SESSIONS: usize = 4;
/// A greater jump is no count of lost messages but a number that means something else.
const MAX_GAP: u64 = 100_000_000;
/// Without a session, a number this much lower than the last is a restart.
const RESTART_DROP: u64 = 1_000;

/// A number for a session's text (FNV-1a): the same in every run, which a checkpoint needs.
pub fn text_id(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What a sequence number says of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// In order; `missing` messages before it never came. `new_session`: the sender began anew.
    Fresh { missing: u64, new_session: bool },
    /// One of those that were missing.
    Recovered,
    /// Taken in before.
    Duplicate,
}

/// Messages `first..=last` that have not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    session: usize,
    first: u64,
    last: u64,
    /// Event time of the message before and of the one after.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Signals of the message that showed the gap.
    pub signals: Vec<u32>,
    /// It began in another run of the process.
    pub inherited: bool,
    noted_us: u64,
}

impl Gap {
    /// Messages missing.
    pub fn messages(&self) -> u64 {
        let count = self.last - self.first + 1;
        if count > MAX_GAP { 0 } else { count }
    }

    /// For people.
    pub fn detail(&self) -> String {
        if self.first == self.last { format!("message {}", self.first) } else { format!("messages {} to {}", self.first, self.last) }
    }
}

/// Memory of one sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    sessions: Vec<Session>,
    current: usize,
    held: Vec<Gap>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    id: Option<u64>,
    /// Highest number, unwrapped.
    last: u64,
    used: u64,
}

impl Tracker {
    /// Looks at number `seq` of `session`; `bits` is the width at which the sender's numbers wrap (64: never).
    pub fn observe(&mut self, session: Option<u64>, seq: u64, bits: u32) -> Verdict {
        let Some(found) = self.sessions.iter().position(|s| s.id == session) else {
            let first_contact = self.sessions.is_empty();
            self.enter(session, seq);
            let missing = if first_contact { 0 } else { seq.saturating_sub(1) };
            return Verdict::Fresh { missing: missing.min(MAX_GAP + 1), new_session: !first_contact };
        };
        self.touch(found);
        let last = self.sessions[found].last;
        let (number, forward) = unwrap(last, seq, bits);
        if !forward && number != last && session.is_none() && restarted(last, seq) {
            self.sessions[found].last = seq;
            self.held.retain(|gap| gap.session != found);
            return Verdict::Fresh { missing: 0, new_session: true };
        }
        if !forward {
            return if self.fill(found, number) { Verdict::Recovered } else { Verdict::Duplicate };
        }
        self.sessions[found].last = number;
        Verdict::Fresh { missing: number - last - 1, new_session: false }
    }

    /// Holds the gap of `missing` messages before the one just observed. What has to be told at once for want of room is returned.
    pub fn hold(&mut self, missing: u64, range: (Timestamp, Timestamp), signals: Vec<u32>, inherited: bool, now_us: u64) -> Option<Gap> {
        let after = self.sessions.get(self.current)?.last;
        let gap = Gap {
            session: self.current,
            first: after.saturating_sub(missing),
            last: after.saturating_sub(1),
            from: range.0,
            to: range.1,
            signals,
            inherited,
            noted_us: now_us,
        };
        self.held.push(gap);
        (self.held.len() > MAX_HELD).then(|| self.held.remove(0))
    }

    /// Takes the gaps that were held long enough.
    pub fn due(&mut self, now_us: u64) -> Vec<Gap> {
        if self.held.is_empty() {
            return Vec::new();
        }
        self.held.extract_if(.., |gap| now_us.saturating_sub(gap.noted_us) >= REORDER_GRACE_US).collect()
    }

    /// Moves what is remembered to another timeline.
    pub fn shift(&mut self, moment: &dyn Fn(Timestamp) -> Timestamp) {
        for gap in &mut self.held {
            (gap.from, gap.to) = (moment(gap.from), moment(gap.to));
        }
    }

    /// Gaps held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes all gaps, due or not.
    pub fn close(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.held)
    }

    /// The same memory with the signals of its gaps under other numbers; `None` if one has no other.
    #[must_use]
    pub fn renumbered(&self, number: impl Fn(u32) -> Option<u32>) -> Option<Self> {
        let mut tracker = self.clone();
        for gap in &mut tracker.held {
            gap.signals = gap.signals.iter().map(|signal| number(*signal)).collect::<Option<_>>()?;
        }
        Some(tracker)
    }

    /// True if what was read back can be worked with.
    pub fn is_sound(&self) -> bool {
        let gap_ok = |gap: &Gap| gap.first <= gap.last && gap.session < self.sessions.len();
        (self.sessions.is_empty() || self.current < self.sessions.len()) && self.held.iter().all(gap_ok)
    }

    fn enter(&mut self, session: Option<u64>, seq: u64) {
        let entry = Session { id: session, last: seq, used: 0 };
        if self.sessions.len() < MAX_SESSIONS {
            self.sessions.push(entry);
            self.touch(self.sessions.len() - 1);
        } else if let Some(oldest) = (0..self.sessions.len()).min_by_key(|i| self.sessions[*i].used) {
            self.sessions[oldest] = entry;
            // Its gaps can no longer be filled; they are told when due.
            for gap in self.held.iter_mut().filter(|gap| gap.session == oldest) {
                gap.noted_us = 0;
            }
            self.touch(oldest);
        }
    }

    fn touch(&mut self, index: usize) {
        if self.current == index && self.sessions[index].used > 0 {
            return;
        }
        let newest = self.sessions.iter().map(|s| s.used).max().unwrap_or_default();
        self.sessions[index].used = newest + 1;
        self.current = index;
    }

    /// Takes `number` out of a held gap; false if none holds it.
    fn fill(&mut self, session: usize, number: u64) -> bool {
        let holds = |gap: &Gap| gap.session == session && gap.noted_us > 0 && (gap.first..=gap.last).contains(&number);
        let Some(index) = self.held.iter().position(holds) else { return false };
        let gap = self.held.remove(index);
        if number < gap.last {
            self.held.insert(index, Gap { first: number + 1, ..gap.clone() });
        }
        if gap.first < number {
            self.held.insert(index, Gap { last: number - 1, ..gap });
        }
        true
    }
}

/// `seq` on the endless scale of `last`, and whether it is ahead of it.
fn unwrap(last: u64, seq: u64, bits: u32) -> (u64, bool) {
    if bits >= 64 {
        return (seq, seq > last);
    }
    let modulus = 1_u64 << bits;
    let ahead = seq.wrapping_sub(last) & (modulus - 1);
    if ahead == 0 {
        (last, false)
    } else if ahead < modulus / 2 {
        (last.saturating_add(ahead), true)
    } else {
        (last.saturating_sub(modulus - ahead), false)
    }
}

fn restarted(last: u64, seq: u64) -> bool {
    let drop = last.saturating_sub(seq);
    drop > RESTART_DROP || (seq <= 1 && drop > 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: (Timestamp, Timestamp) = (Timestamp::from_micros(1), Timestamp::from_micros(2));

    fn fresh(missing: u64) -> Verdict {
        Verdict::Fresh { missing, new_session: false }
    }

    #[test]
    fn first_contact_is_no_gap_and_a_later_session_must_begin_with_one() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.observe(Some(7), 500, 64), fresh(0));
        assert_eq!(tracker.observe(Some(7), 501, 64), fresh(0));
        assert_eq!(tracker.observe(Some(7), 501, 64), Verdict::Duplicate);
        assert_eq!(tracker.observe(Some(7), 505, 64), fresh(3));
        assert_eq!(tracker.observe(Some(8), 4, 64), Verdict::Fresh { missing: 3, new_session: true });
        assert_eq!(tracker.observe(Some(8), 3, 64), Verdict::Duplicate);
        assert_eq!(tracker.observe(Some(7), 505, 64), Verdict::Duplicate, "the older session is remembered");
        assert_eq!(tracker.observe(Some(7), 506, 64), fresh(0));
    }

    #[test]
    fn a_message_that_comes_late_fills_its_gap_once() {
        let mut tracker = Tracker::default();
        tracker.observe(None, 1, 64);
        assert_eq!(tracker.observe(None, 5, 64), fresh(3));
        assert_eq!(tracker.hold(3, AT, vec![0], false, 100), None);
        assert_eq!(tracker.observe(None, 3, 64), Verdict::Recovered);
        assert_eq!(tracker.observe(None, 3, 64), Verdict::Duplicate);
        assert!(tracker.due(100 + REORDER_GRACE_US - 1).is_empty());
        let told = tracker.due(100 + REORDER_GRACE_US);
        assert_eq!(
            told.iter().map(|g| (g.messages(), g.detail())).collect::<Vec<_>>(),
            [(1, "message 2".to_owned()), (1, "message 4".to_owned())]
        );
        assert_eq!(tracker.observe(None, 2, 64), Verdict::Duplicate, "told as lost: it stays lost");
        assert_eq!(tracker.held(), 0);
    }

    #[test]
    fn numbers_that_wrap_go_on_counting() {
        let mut tracker = Tracker::default();
        tracker.observe(Some(1), 65_534, 16);
        assert_eq!(tracker.observe(Some(1), 65_535, 16), fresh(0));
        assert_eq!(tracker.observe(Some(1), 2, 16), fresh(2));
        assert_eq!(tracker.observe(Some(1), 65_535, 16), Verdict::Duplicate);
        assert_eq!(tracker.observe(Some(1), 3, 16), fresh(0));
    }

    #[test]
    fn without_a_session_a_great_drop_is_a_restart() {
        let mut tracker = Tracker::default();
        tracker.observe(None, 5_000, 64);
        assert_eq!(tracker.observe(None, 4_990, 64), Verdict::Duplicate);
        assert_eq!(tracker.observe(None, 1, 64), Verdict::Fresh { missing: 0, new_session: true });
        assert_eq!(tracker.observe(None, 2, 64), fresh(0));
    }

    #[test]
    fn an_absurd_jump_is_told_without_a_number() {
        let mut tracker = Tracker::default();
        tracker.observe(None, 1, 64);
        assert_eq!(tracker.observe(None, u64::MAX, 64), fresh(u64::MAX - 2));
        tracker.hold(u64::MAX - 2, AT, vec![], false, 0);
        assert_eq!(tracker.due(REORDER_GRACE_US)[0].messages(), 0);
        assert_eq!(tracker.observe(None, 1, 64), Verdict::Fresh { missing: 0, new_session: true });
    }

    #[test]
    fn room_for_gaps_and_sessions_is_bounded() {
        let mut tracker = Tracker::default();
        let mut told = 0;
        for i in 0..1_000_u64 {
            if let Verdict::Fresh { missing, .. } = tracker.observe(Some(i % 7), i * 10, 64)
                && missing > 0
            {
                told += usize::from(tracker.hold(missing, AT, vec![], false, i).is_some());
            }
            assert!(tracker.is_sound());
        }
        assert!(tracker.held() <= MAX_HELD && tracker.sessions.len() <= MAX_SESSIONS && told > 900);
    }
}
