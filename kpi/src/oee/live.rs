//! The running shift of one machine, kept up to date event by event.
//!
//! Owned by the collector's twin. It holds the states of the shift and a tally of all that can't change any more by what comes in order: everything
//! before the state that stands. To ask it costs the stretch since then; only a late state, a registered reason or a hole makes it reckon the shift
//! anew. Where parts belong does not depend on states, unless their interval crosses an edge of the plan or of a product run (or start-up rejects are
//! told by time): those few are kept.
//!
//! Invariant: [`LiveMachine::tally`] equals [`Prepared::tally`] of the same record, to the last bit, whatever the order of arrival: it is the same
//! sweep, over a part of the window.

use std::sync::Arc;

use protocol::{TimeRange, Timestamp};

use super::{
    Catalogue, Rules,
    cause::Flag,
    input::{MachineRecord, PartInterval, ReasonAssignment, StatePoint},
    parts::Stretch,
    prepared::Prepared,
    tally::{PartTally, Tally},
};

/// States that are kept, if nothing else is said. Of more those that repeat the one before leave; then all that are settled, and what comes late for
/// their time is flagged.
const MAX_STATES: usize = 50_000;
/// Intervals of parts that wait for the time to reach them, or depend on states; more are not taken, and flagged.
const MAX_KEPT_PARTS: usize = 50_000;

/// One machine in one window.
#[derive(Debug, Clone)]
pub struct LiveMachine {
    window: TimeRange,
    /// With the states as they came, in order; without parts.
    record: MachineRecord,
    prepared: Prepared,
    stretches: Vec<Stretch>,
    /// Times up to `begin`, of which the states are not kept any more. Mostly nothing, and the window's beginning.
    frozen: Tally,
    begin: Timestamp,
    /// Times of the window up to `settled_to`.
    settled: Tally,
    settled_to: Timestamp,
    /// What is known has to reach this far for that to hold.
    settled_by: Timestamp,
    /// States before it are not kept any more.
    kept_from: Timestamp,
    /// Parts that no state can move, through `counted_to`.
    counted: Tally,
    counted_to: Timestamp,
    /// Not counted yet.
    waiting: Vec<PartInterval>,
    /// Counted anew each time, since states decide.
    by_state: Vec<PartInterval>,
    max_states: usize,
    /// Something came that `prepared` does not hold: a backlog is put in order once, at the next question.
    stale: bool,
    truncated: bool,
}

impl LiveMachine {
    /// Of what is known already (at start, from the store), to go on from there.
    pub fn new(window: TimeRange, mut record: MachineRecord, catalogue: Arc<Catalogue>, rules: Rules) -> Self {
        let parts = std::mem::take(&mut record.parts);
        record.states.sort_unstable();
        let prepared = Prepared::new(record.clone(), catalogue, rules);
        let mut live = Self {
            window,
            stretches: prepared.stretches(window),
            frozen: Tally::default(),
            begin: window.from,
            settled: Tally::default(),
            settled_to: window.from,
            settled_by: Timestamp(i64::MIN),
            kept_from: Timestamp(i64::MIN),
            counted: Tally::default(),
            counted_to: Timestamp(i64::MIN),
            waiting: Vec::new(),
            by_state: Vec::new(),
            max_states: MAX_STATES,
            stale: false,
            truncated: false,
            record,
            prepared,
        };
        for count in parts {
            live.count(count);
        }
        live
    }

    /// Keeps no more states than this (at least 2).
    #[must_use]
    pub fn with_max_states(self, max_states: usize) -> Self {
        Self { max_states: max_states.max(2), ..self }
    }

    pub fn window(&self) -> TimeRange {
        self.window
    }

    /// The state that stands.
    pub fn standing(&self) -> Option<&StatePoint> {
        self.record.states.last()
    }

    /// The machine entered a state. In order it is free; a late one makes the next question reckon the shift anew.
    pub fn state(&mut self, point: StatePoint) {
        if self.record.states.len() >= self.max_states {
            self.record.states.dedup_by(|next, before| (next.state, &next.reason) == (before.state, &before.reason));
        }
        if self.record.states.len() >= self.max_states {
            self.freeze();
        }
        let late = point.at < self.kept_from || (self.begin > self.window.from && point.at < self.begin);
        if late || self.record.states.len() >= self.max_states {
            self.truncated = true;
            return;
        }
        match self.record.states.last() {
            Some(last) if last.at >= point.at => {
                let place = self.record.states.partition_point(|known| *known <= point);
                self.record.states.insert(place, point);
                self.stale = true;
            }
            _ => {
                if !self.stale {
                    self.prepared.push_state(&point);
                }
                self.record.states.push(point);
            }
        }
    }

    /// Parts were made.
    pub fn count(&mut self, count: PartInterval) {
        if count.from > count.to {
            self.record.flags.set(Flag::BackwardInterval);
            self.prepared.flags.set(Flag::BackwardInterval);
        } else if count.to > self.window.from && count.from <= self.window.to {
            if self.waiting.len() + self.by_state.len() >= MAX_KEPT_PARTS {
                self.truncated = true;
            } else {
                self.waiting.push(count);
            }
        }
    }

    /// A person registered a stop reason.
    pub fn register(&mut self, reason: ReasonAssignment) {
        self.truncated |= self.begin > self.window.from && reason.range.from < self.begin;
        self.record.reasons.push(reason);
        self.stale = true;
    }

    /// Nothing is known of `range`, though a state stands.
    pub fn hole(&mut self, range: TimeRange) {
        self.truncated |= self.begin > self.window.from && range.from < self.begin;
        self.record.holes.push(range);
        self.stale = true;
    }

    /// The sums of the window so far. `known_until` is at least the end of the newest parts that were asked for before: what was counted is known.
    pub fn tally(&mut self, known_until: Timestamp) -> Tally {
        self.tally_to(self.window.to, known_until)
    }

    /// As [`LiveMachine::tally`], of the window up to `to`, which is not before `known_until`: the shift so far.
    pub fn tally_to(&mut self, to: Timestamp, known_until: Timestamp) -> Tally {
        self.refresh();
        let known_until = known_until.max(self.counted_to);
        let known_until = if self.begin > self.window.from { known_until.max(self.begin) } else { known_until };
        if known_until < self.settled_by {
            self.unsettle();
        }
        self.settle(known_until);
        self.take_parts(known_until);
        let mut tally = self.settled.clone();
        let rest = TimeRange { from: self.settled_to, to: to.min(self.window.to).max(self.settled_to) };
        tally += &self.prepared.times(rest, known_until);
        self.prepared.add_orders(self.window, known_until, &mut tally);
        tally += &self.counted;
        for count in &self.by_state {
            self.prepared.share_out(count, &self.stretches, &mut tally);
        }
        tally.flags.set_if(!self.waiting.is_empty(), Flag::FutureData);
        tally.flags.set_if(self.truncated, Flag::Truncated);
        tally
    }

    /// Moves what can't change any more into the settled tally: all before the stretch that stood last at `known_until`.
    fn settle(&mut self, known_until: Timestamp) {
        let standing = self.prepared.state_at(known_until.plus_micros(-1)).and_then(|i| self.prepared.states.get(i));
        let Some(stood_from) = standing.map(|run| run.stood_from) else { return };
        let to = stood_from.min(self.window.to);
        if to > self.settled_to {
            // The end of data lies after `to`, and every stretch before it has ended: so nothing here depends on it.
            self.settled += &self.prepared.span_times(TimeRange { from: self.settled_to, to }, known_until);
            self.settled_to = to;
            self.settled_by = stood_from;
        }
    }

    fn take_parts(&mut self, known_until: Timestamp) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|count| {
            if count.to > known_until {
                return true;
            }
            self.counted_to = self.counted_to.max(count.to);
            if self.prepared.depends_on_states(count, &self.stretches) {
                self.truncated |= self.looks_back_too_far(count);
                self.by_state.push(*count);
            } else {
                self.prepared.share_out(count, &self.stretches, &mut self.counted);
            }
            false
        });
        self.waiting = waiting;
    }

    fn refresh(&mut self) {
        if self.stale {
            let catalogue = Arc::clone(&self.prepared.catalogue);
            self.prepared = Prepared::new(self.record.clone(), catalogue, self.prepared.rules);
            self.unsettle();
            self.stale = false;
        }
    }

    fn unsettle(&mut self) {
        self.settled = self.frozen.clone();
        self.settled_to = self.begin;
        self.settled_by = Timestamp(i64::MIN);
    }

    /// Lets the states go that are settled.
    fn freeze(&mut self) {
        self.refresh();
        let Some(newest) = self.record.states.last().map(|s| s.at) else { return };
        self.settle(newest.plus_micros(1));
        self.frozen = self.settled.clone();
        self.begin = self.settled_to;
        // What stands at `begin` stays, from its beginning on: its length decides what it is.
        let standing = self.prepared.state_at(self.begin).and_then(|i| self.prepared.states.get(i));
        self.kept_from = standing.map_or(self.begin, |run| run.stood_from);
        let by_state = std::mem::take(&mut self.by_state);
        for count in by_state {
            if count.to <= self.begin {
                self.prepared.share_out(&count, &self.stretches, &mut self.counted);
            } else {
                self.truncated |= self.looks_back_too_far(&count);
                self.by_state.push(count);
            }
        }
        let settled = self.record.states.partition_point(|s| s.at < self.kept_from);
        self.record.states.drain(..settled);
        self.stale = true;
        self.refresh();
    }

    /// Where its parts belong, or what they are, depends on states that are not kept any more.
    fn looks_back_too_far(&self, count: &PartInterval) -> bool {
        count.from.plus_micros(-self.prepared.startup_us) < self.kept_from
    }

    /// Parts so far, of those that are counted.
    pub fn parts(&mut self, known_until: Timestamp) -> PartTally {
        self.tally(known_until).parts()
    }
}
