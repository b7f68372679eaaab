//! What of a batch is new: the one place that decides fresh, duplicate or gap, and what can't be had any more.
//!
//! Stands between the decoded batch and the journal, and belongs to the journal's thread alone. Pure: no clock, no I/O. A decision is made once
//! ([`Ledger::decide`]) and stands in the journal from then on; [`Ledger::apply`] is what both the first taking and a replay do with it.
//!
//! A gateway's spool is a row of generations, each with lanes; (generation, lane) is a stream, and within a stream entries come in order. So what
//! is here of a stream is one number, the *mark*, and beside it the readings in all entries through it. Generations name the one they go on from
//! ([`Parent`]), which shows when a gateway was restored from a backup (`branches`, decision 10).
//!
//! Invariants:
//! - Every (stream, sequence) is let through at most once, and none above a hole that the gateway can still fill.
//! - What is passed over is booked once, with its count if that can be known. Nothing is both let through and booked.
//! - Of two runs that go on from one checkpoint only the first to come is believed in what it tells of that checkpoint.
//! - It is bounded: see [`Ledger::forget`].

mod branches;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use protocol::{Batch, EntryInfo, GatewayId, Parent, SeqRange, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use branches::Branches;
pub use branches::{Forgotten, KEEP_STREAMS, KEEP_US, Split};
#[cfg(test)]
pub(crate) use tests::test_batch;

/// How far a stream is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Nothing is missing at or below that the gateway could still send.
    pub through: u64,
    /// Readings in all entries through here; `None` if only the lake told the mark.
    pub readings: Option<u64>,
    /// Of these, readings that were not stored because another run had told them ([`Fresh::forked`]).
    pub skipped: u64,
}

impl Mark {
    /// Of a stream of which nothing is here.
    pub const NONE: Self = Self { through: 0, readings: Some(0), skipped: 0 };
}

/// What is known of a generation when its first entries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub parent: Option<Parent>,
    /// The run before it had gone on after the checkpoint that it began with.
    pub forked: bool,
    pub since: Timestamp,
}

/// Entries that can't be had any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    pub stream: StreamId,
    pub range: SeqRange,
    /// Readings in them, if that can be known.
    pub readings: Option<u64>,
    /// The gateway says that they were acknowledged: by this collector before it was restored, or by another one on the same lake.
    pub acknowledged: bool,
}

/// What to store of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Entries at or below are here.
    pub after: u64,
    /// Readings that were here of the stream before this batch, if they are known.
    pub here: Option<u64>,
    /// The stream's mark with this batch.
    pub mark: Mark,
    pub link: Link,
    /// Links of generations that it goes on from and that only the gateway's status has told so far, the oldest first.
    pub ancestors: Vec<(u64, Link)>,
    /// Before the batch, in its own stream.
    pub hole: Option<Hole>,
    /// Entries above come from a run whose successor has told their readings: they are booked, not stored.
    pub stray_after: Option<u64>,
    /// Losses and parts from before this that a run found in the checkpoint of the run before are booked, not stored: a run in between had gone on
    /// from a backup, and passed on what it found there.
    pub tainted_before: Option<Timestamp>,
    /// What is missing at the end of generations before this one, with the mark that stands when it has been booked.
    pub gone: Vec<(Hole, Mark)>,
}

/// What to do with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Fresh(Box<Fresh>),
    /// All of it is here; nothing is missing through `through`.
    Duplicate {
        through: u64,
    },
    /// Something before it is missing, which the gateway still holds from `expected` on.
    Gap {
        expected: u64,
        through: Option<u64>,
    },
    /// Something before it is missing that was acknowledged, and it may be on its way to the lake from another collector: later.
    Wait {
        through: Option<u64>,
    },
    /// No records.
    Heartbeat {
        through: Option<u64>,
    },
}

/// What has been decided of one batch, as far as the ledger is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub stream: StreamId,
    pub mark: Mark,
    pub link: Link,
    /// See [`Fresh::ancestors`].
    pub ancestors: Vec<(u64, Link)>,
    pub gone: Vec<(StreamId, Mark)>,
}

impl Step {
    /// Links that it makes known, the oldest first.
    pub fn links(&self) -> impl Iterator<Item = (u64, Link)> + '_ {
        self.ancestors.iter().copied().chain([(self.stream.generation(), self.link)])
    }
}

/// Takes a [`Step`] back.
#[derive(Debug)]
pub struct Undo {
    gateway: GatewayId,
    marks: Vec<(StreamId, Option<Mark>)>,
    new_generations: Vec<u64>,
}

/// Marks and branches of all gateways.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    gateways: HashMap<GatewayId, Branches>,
    /// How long to wait for another collector's rows before what it may have acknowledged is given up.
    patience_us: i64,
    /// All that had been in the lake by then is known here.
    lake_known_at: Timestamp,
}

impl Ledger {
    /// A ledger that gives what was acknowledged elsewhere up only when the lake, asked `patience_us` later, does not hold it either.
    pub fn with_patience(patience_us: i64) -> Self {
        Self { patience_us, ..Self::default() }
    }

    /// The highest sequence of a stream with nothing missing below it; `None` if the stream is unknown.
    pub fn through(&self, gateway: &GatewayId, stream: StreamId) -> Option<u64> {
        self.mark(gateway, stream).map(|mark| mark.through)
    }

    pub fn mark(&self, gateway: &GatewayId, stream: StreamId) -> Option<Mark> {
        self.gateways.get(gateway)?.mark(stream)
    }

    /// The branches of one gateway.
    pub(crate) fn branches(&self, gateway: &GatewayId) -> Option<&Branches> {
        self.gateways.get(gateway)
    }

    /// Decides about a batch. Remembers only what helps to decide later; what is to be stored is in the answer, for [`Ledger::apply`].
    pub fn decide(&mut self, batch: &Batch, now: Timestamp) -> Decision {
        let (patience_us, lake_known_at) = (self.patience_us, self.lake_known_at);
        let branches = self.gateways.entry(batch.gateway.clone()).or_default();
        branches.heard(&batch.status.streams, &batch.status.descents, now);
        let known = branches.mark(batch.stream);
        let mark = known.unwrap_or(Mark::NONE);
        let through = known.map(|mark| mark.through);
        let Some(range) = batch.range else { return Decision::Heartbeat { through } };
        if range.last <= mark.through {
            return Decision::Duplicate { through: mark.through };
        }
        let is_hole = range.first > mark.through.saturating_add(1);
        if is_hole && batch.floor_seq < range.first {
            return Decision::Gap { expected: batch.floor_seq.max(mark.through + 1), through };
        }
        let hole = is_hole.then(|| Hole {
            stream: batch.stream,
            range: SeqRange { first: mark.through + 1, last: range.first - 1 },
            readings: mark.readings.zip(batch.entries.first()).map(|(here, entry)| entry.readings_before.saturating_sub(here)),
            acknowledged: branches.acknowledged(batch.stream) > mark.through,
        });
        if hole.is_some_and(|hole| hole.acknowledged) && !branches.has_waited(batch.stream, now, patience_us, lake_known_at) {
            return Decision::Wait { through };
        }
        let generation = batch.stream.generation();
        let ancestors = if branches.link(generation).is_some() { Vec::new() } else { branches.ancestors(batch.parent.as_ref(), now) };
        ancestors.iter().for_each(|(generation, link)| branches.set_link(*generation, *link));
        let link = branches.link(generation).unwrap_or_else(|| Link {
            parent: batch.parent,
            forked: branches.is_fork(generation, batch.parent.as_ref()),
            since: now,
        });
        let gone = branches
            .gone(&link)
            .into_iter()
            .filter(|(hole, _)| branches.has_waited(hole.stream, now, patience_us, lake_known_at))
            .collect();
        let (after, here) = (mark.through.max(range.first - 1), mark.readings);
        let stray_after = branches.limit(batch.stream).filter(|limit| *limit < range.last);
        let skipped = if link.forked { inherited_readings(batch, range, after) } else { 0 };
        let readings = batch.entries.last().map(|entry| entry.readings_before.saturating_add(entry.readings)).or(mark.readings);
        let mark = Mark { through: range.last, readings, skipped: mark.skipped.saturating_add(skipped) };
        let tainted_before = if link.forked { None } else { branches.tainted_before(link.parent.as_ref()) };
        // Nothing is known for good before it is applied.
        ancestors.iter().for_each(|(generation, _)| branches.remove_link(*generation));
        Decision::Fresh(Box::new(Fresh { after, here, mark, link, ancestors, hole, stray_after, tainted_before, gone }))
    }

    /// What was decided holds from now on. Never moves a mark back.
    pub fn apply(&mut self, gateway: &GatewayId, step: &Step) -> Undo {
        let branches = self.gateways.entry(gateway.clone()).or_default();
        let mut undo = Undo { gateway: gateway.clone(), marks: Vec::with_capacity(1 + step.gone.len()), new_generations: Vec::new() };
        for (generation, link) in step.links() {
            if branches.link(generation).is_none() {
                undo.new_generations.push(generation);
                branches.set_link(generation, link);
            }
        }
        for (stream, mark) in std::iter::once(&(step.stream, step.mark)).chain(&step.gone) {
            undo.marks.push((*stream, branches.mark(*stream)));
            branches.raise(*stream, *mark);
        }
        undo
    }

    /// Takes steps back, the last first: the journal did not take what they stood for.
    pub fn undo(&mut self, undo: Undo) {
        let Some(branches) = self.gateways.get_mut(&undo.gateway) else { return };
        for (stream, mark) in undo.marks.into_iter().rev() {
            branches.put_back(stream, mark);
        }
        undo.new_generations.into_iter().for_each(|generation| branches.remove_link(generation));
    }

    /// Takes in a mark that was written down before this start.
    pub fn restore_mark(&mut self, gateway: &GatewayId, stream: StreamId, mark: Mark) {
        self.gateways.entry(gateway.clone()).or_default().raise(stream, mark);
    }

    /// Takes in what was written down of a generation before this start.
    pub fn restore_link(&mut self, gateway: &GatewayId, generation: u64, link: Link) {
        let branches = self.gateways.entry(gateway.clone()).or_default();
        if branches.link(generation).is_none() {
            branches.set_link(generation, link);
        }
    }

    /// Takes in what was written down of a gateway as a whole before this start.
    pub fn restore_gateway(&mut self, gateway: &GatewayId, missed: bool, forgotten: u64) {
        self.gateways.entry(gateway.clone()).or_default().restore(missed, forgotten);
    }

    /// What the lake holds, as it was asked at `asked_at`: another collector may have put it there.
    pub fn learn(&mut self, marks: impl IntoIterator<Item = (GatewayId, StreamId, u64)>, asked_at: Timestamp) {
        for (gateway, stream, through) in marks {
            let branches = self.gateways.entry(gateway).or_default();
            // Readings of a mark that was known before stay known.
            if branches.mark(stream).is_none_or(|mark| mark.through < through) {
                branches.raise(stream, Mark { through, readings: None, skipped: branches.mark(stream).map_or(0, |mark| mark.skipped) });
            }
        }
        self.lake_known_at = self.lake_known_at.max(asked_at);
    }

    /// Whether something waits for a look at the lake.
    pub fn wants_the_lake(&self) -> bool {
        self.gateways.values().any(Branches::is_waiting)
    }

    /// What the gateway holds that is not here although it was acknowledged; as many as an answer holds.
    pub fn wants(&self, batch: &Batch) -> Vec<protocol::Want> {
        self.gateways.get(&batch.gateway).map_or_else(Vec::new, |branches| branches.wants(&batch.status.streams))
    }

    /// Whether the gateway once held something acknowledged that was not here.
    pub fn missed(&self, gateway: &GatewayId) -> bool {
        self.gateways.get(gateway).is_some_and(Branches::missed)
    }

    /// Lets go of streams that nobody will ask for: of generations that others have followed, that the gateway no longer holds, and that were
    /// last heard of long ago or are too many. What was let go is to be deleted from the database too.
    pub fn forget(&mut self, now: Timestamp) -> Vec<(GatewayId, Forgotten)> {
        let forgotten = self.gateways.iter_mut().map(|(gateway, branches)| (gateway.clone(), branches.forget(now)));
        forgotten.filter(|(_, forgotten)| !forgotten.generations.is_empty()).collect()
    }

    /// Streams of all gateways.
    pub fn streams(&self) -> usize {
        self.gateways.values().map(Branches::streams).sum()
    }
}

fn inherited_readings(batch: &Batch, range: SeqRange, after: u64) -> u64 {
    let fresh = (range.first..=range.last).zip(&batch.entries).filter(|(seq, entry)| *seq > after && is_inherited(entry));
    fresh.fold(0, |sum, (_, entry)| sum.saturating_add(entry.readings))
}

/// Whether an entry tells what its run found in the checkpoint of the run before.
pub fn is_inherited(entry: &EntryInfo) -> bool {
    entry.stamp.is_some_and(|stamp| stamp.inherited)
}
