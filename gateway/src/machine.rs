//! What a machine does and makes: states and part counts out of what its messages say.
//!
//! Stands beside the windows: facts of a message in, [`StateChange`] and [`PartCount`] out. Invariants: each change of state is told, in order of time
//! but for what an overtaken message tells; the parts told add up to the growth of the counters, wraps included, each part once. An old message that
//! comes again or late is no restart of a counter.

pub mod counter;

use protocol::{AssetPath, MachineState, PartCount, StateChange, TimeQuality, Timestamp};
use serde::{Deserialize, Serialize};

use counter::Counter;

/// Part counts of a machine are told at most this often.
pub const PARTS_INTERVAL_US: u64 = 1_000_000;
/// How much an entry time reckoned from "elapsed" may waver: the poll's own delay.
const ELAPSED_JITTER_US: i64 = 500_000;
/// A message that is older than the last one by at most this came out of order; by more, the clock was set back.
const REORDER_US: i64 = 60_000_000;
/// A sender without sequence numbers whose messages go on being that old has had its clock set back; before, they are old messages.
const BELIEVED_US: u64 = 300_000_000;
/// Longest stop reason that is kept.
const MAX_REASON_BYTES: usize = 200;

/// When a state was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The machine's own stamp.
    At(Timestamp),
    /// Reckoned back from the time of the poll.
    Elapsed(Timestamp),
    /// Not told: the message's own time.
    Unknown,
}

/// Cumulative counters of one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: Option<u64>,
    pub reject: Option<u64>,
    pub rework: Option<u64>,
}

/// What one message says of its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    pub at: Timestamp,
    /// When it came, on the monotonic clock.
    pub mono_us: u64,
    /// It was surely made after the message before: by its sequence, or because its time is that of its arrival.
    pub is_next: bool,
    pub time_quality: TimeQuality,
    pub state: Option<MachineState>,
    pub since: Since,
    pub reason: &'a str,
    pub counts: Counts,
    /// Widths of the counters: total, reject, rework.
    pub bits: [u32; 3],
    /// The sender began anew since its last message.
    pub new_session: bool,
}

/// What is remembered of one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    state: Option<Entered>,
    state_seen_at: Option<Timestamp>,
    counted_at: Option<Timestamp>,
    counters: [Counter; 3],
    pending: Option<Pending>,
    #[serde(skip)]
    told_us: u64,
    /// Since when (monotonic) messages come that are much older than one before, by their stamps.
    #[serde(skip)]
    behind_since: Option<u64>,
    /// Found in the checkpoint, and no state was seen since: it is told again.
    #[serde(skip)]
    retell: bool,
    /// Found in the checkpoint, and nothing was counted since: the first parts were made across the restart.
    #[serde(skip)]
    spans_restart: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entered {
    state: MachineState,
    since: Timestamp,
    reason: String,
}

/// Parts that wait to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pending {
    from: Timestamp,
    to: Timestamp,
    parts: [u64; 3],
    time_quality: TimeQuality,
    /// They span a restart.
    inherited: bool,
}

impl Machine {
    /// Takes the facts of a message in order; gives a change of state if there is one. Parts wait for [`Machine::parts`].
    pub fn take(&mut self, asset: &AssetPath, facts: &Facts<'_>) -> Option<StateChange> {
        let is_old = self.is_old(facts);
        if !is_old {
            self.count(facts);
        }
        let state = facts.state?;
        if is_old || self.state_seen_at.is_some_and(|seen| is_older(facts.at, seen)) {
            return self.overtaken(asset, facts);
        }
        self.state_seen_at = Some(facts.at);
        let reason = clip(facts.reason);
        let before = self.state.as_ref();
        let (since, jitter) = match facts.since {
            Since::At(since) => (since.min(facts.at), 0),
            Since::Elapsed(since) => (since.min(facts.at), ELAPSED_JITTER_US),
            Since::Unknown => (facts.at, i64::MAX),
        };
        let entered_again = |b: &Entered| since.micros_since(b.since) > jitter;
        let retell = std::mem::take(&mut self.retell);
        let at = match before {
            Some(b) if retell && b.state == state && !entered_again(b) && b.reason == reason => {
                // Another run may have told something else meanwhile, if this one was restored from a backup. When it was entered is known
                // only if the machine says so.
                let at = if facts.since == Since::Unknown { facts.at } else { b.since };
                let time_quality = facts.time_quality;
                return Some(StateChange { asset: asset.clone(), event_time: at, state, reason: reason.to_owned(), time_quality });
            }
            Some(b) if b.state == state && !entered_again(b) && b.reason == reason => return None,
            // The same stop, told its reason later: from here on.
            Some(b) if b.state == state && !entered_again(b) => facts.at,
            _ => since,
        };
        // Nothing is told before what was told last, unless the clock was set back.
        let at = match before {
            Some(b) if at <= b.since && !is_reset(at, b.since) => b.since.plus_micros(1),
            _ => at,
        };
        self.state = Some(Entered { state, since: at, reason: reason.to_owned() });
        Some(StateChange { asset: asset.clone(), event_time: at, state, reason: reason.to_owned(), time_quality: facts.time_quality })
    }

    /// The facts of a message that newer ones have overtaken: the state that it tells was entered before the one that stands, if the machine itself
    /// says when. Its counters have nothing to add to newer ones.
    pub fn overtaken(&self, asset: &AssetPath, facts: &Facts<'_>) -> Option<StateChange> {
        let (Some(state), Since::At(since)) = (facts.state, facts.since) else { return None };
        let is_earlier = self.state.as_ref().is_some_and(|standing| since < standing.since);
        is_earlier.then(|| StateChange {
            asset: asset.clone(),
            event_time: since,
            state,
            reason: clip(facts.reason).to_owned(),
            time_quality: facts.time_quality,
        })
    }

    /// Whether a message is an old one. By its stamp alone it could also be the first after the sender's clock was set back: then more of the kind
    /// follow, and no others.
    fn is_old(&mut self, facts: &Facts<'_>) -> bool {
        let newest = self.state_seen_at.max(self.counted_at);
        if facts.is_next || newest.is_none_or(|newest| !is_reset(facts.at, newest)) {
            self.behind_since = None;
            return false;
        }
        let since = *self.behind_since.get_or_insert(facts.mono_us);
        facts.mono_us.saturating_sub(since) < BELIEVED_US
    }

    /// The parts that wait, if their time has come or `force` is set; and whether they were made across a restart.
    pub fn parts(&mut self, asset: &AssetPath, now_us: u64, force: bool) -> Option<(PartCount, bool)> {
        if !force && !self.spans_restart() && now_us.saturating_sub(self.told_us) < PARTS_INTERVAL_US {
            return None;
        }
        let Pending { from, to, parts: [produced, rejected, reworked], time_quality, inherited } = self.pending.take()?;
        self.told_us = now_us;
        Some((PartCount { asset: asset.clone(), from, to, produced, rejected, reworked, time_quality }, inherited))
    }

    /// True if parts wait that span a restart: they are told by themselves.
    pub fn spans_restart(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.inherited)
    }

    /// True if parts wait to be told.
    pub fn holds_back(&self) -> bool {
        self.pending.is_some()
    }

    /// Goes on in another process, whose clock reads `now_us`.
    pub fn resume(&mut self, now_us: u64) {
        self.told_us = now_us;
        self.behind_since = None;
        self.retell = self.state.is_some();
        self.spans_restart = self.counted_at.is_some();
    }

    /// Moves what is remembered to another timeline.
    pub fn shift(&mut self, moment: &dyn Fn(Timestamp) -> Timestamp) {
        let Self { state, state_seen_at, counted_at, pending, .. } = self;
        for at in [state_seen_at, counted_at].into_iter().flatten().chain(state.as_mut().map(|entered| &mut entered.since)) {
            *at = moment(*at);
        }
        if let Some(Pending { from, to, .. }) = pending {
            (*from, *to) = (moment(*from), moment(*to));
        }
    }

    fn count(&mut self, facts: &Facts<'_>) {
        let values = [facts.counts.total, facts.counts.reject, facts.counts.rework];
        if values == [None; 3] || self.counted_at.is_some_and(|counted| is_older(facts.at, counted)) {
            return;
        }
        let from = self.counted_at.unwrap_or(facts.at).min(facts.at);
        let elapsed_us = facts.at.micros_since(from);
        let mut parts = [0; 3];
        for (i, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                parts[i] = self.counters[i].take(value, facts.bits[i], facts.new_session, elapsed_us);
            }
        }
        self.counted_at = Some(facts.at);
        let inherited = std::mem::take(&mut self.spans_restart);
        if parts == [0; 3] {
            return;
        }
        let time_quality = facts.time_quality;
        let pending = self.pending.get_or_insert(Pending { from, to: facts.at, parts: [0; 3], time_quality, inherited });
        pending.from = pending.from.min(from);
        pending.to = pending.to.max(facts.at);
        pending.time_quality = pending.time_quality.max(facts.time_quality);
        for (sum, part) in pending.parts.iter_mut().zip(parts) {
            *sum = sum.saturating_add(part);
        }
    }
}

fn is_older(at: Timestamp, than: Timestamp) -> bool {
    at < than && !is_reset(at, than)
}

fn is_reset(at: Timestamp, before: Timestamp) -> bool {
    before.micros_since(at) > REORDER_US
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(MAX_REASON_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
