//! What is to be sent, in which order.
//!
//! ```text
//! 1  URGENT, of all generations, the newest first
//! 2  DATA of the current generation: live
//! 3  DATA of the others: the backlog, in the configured order of generations
//! ```
//! Within a stream (a lane of a generation) order is always that of the sequence, so that the collector's ledger is one number per stream.
//!
//! Pure. Invariant: every stream that holds something that is not acknowledged is in the queue once.

use std::cmp::Reverse;

use protocol::{DATA, Descent, HeldStream, LANES, Parent, StreamId, URGENT, batch::MAX_ENTRIES};
use spool::{GenerationView, LaneView};

use crate::config::CatchUp;

/// What kind of a stream it is: decides when it may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Urgent,
    Live,
    /// May be held back by the collector.
    Backlog,
}

/// A stream with something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Names the generation to the spool.
    pub(super) ordinal: u64,
    pub(super) lane: usize,
    pub(super) stream: StreamId,
    pub(super) parent: Option<Parent>,
    pub(super) class: Class,
    pub(super) touched: bool,
    pub(super) opened_us: u64,
    pub(super) held: LaneView,
}

impl Candidate {
    /// The sequence to go on with.
    pub(super) fn from(&self) -> u64 {
        self.held.first.max(self.held.acked.saturating_add(1))
    }

    pub(super) fn unsent(&self) -> u64 {
        unsent(&self.held)
    }
}

/// Entries of a lane that are not acknowledged.
pub(crate) fn unsent(lane: &LaneView) -> u64 {
    lane.next.saturating_sub(lane.first.max(lane.acked.saturating_add(1)))
}

/// All streams with something to send, the most important first.
pub(super) fn queue(view: &[GenerationView], order: CatchUp) -> Vec<Candidate> {
    let mut queue: Vec<Candidate> = view.iter().flat_map(|generation| (0..LANES).map(move |lane| candidate(generation, lane))).collect();
    queue.retain(|candidate| candidate.unsent() > 0);
    queue.sort_by_key(|candidate| {
        let age = match (candidate.class, order) {
            (Class::Backlog, CatchUp::OldestFirst) => Ok(candidate.ordinal),
            _ => Err(Reverse(candidate.ordinal)),
        };
        (candidate.class, age)
    });
    queue
}

pub(super) fn candidate(generation: &GenerationView, lane: usize) -> Candidate {
    let class = match lane {
        URGENT => Class::Urgent,
        _ if generation.current => Class::Live,
        _ => Class::Backlog,
    };
    Candidate {
        ordinal: generation.ordinal,
        lane,
        stream: StreamId::of(generation.id, lane),
        parent: parent(generation),
        class,
        touched: generation.touched,
        opened_us: generation.opened_at.0,
        held: generation.lanes[lane],
    }
}

/// The generation before, in the words of the wire.
pub(super) fn parent(generation: &GenerationView) -> Option<Parent> {
    let of = |all: [u64; spool::LANES]| [all[URGENT], all[DATA]];
    generation.parent.map(|parent| Parent { generation: parent.generation, through: of(parent.through), readings: of(parent.units) })
}

/// All streams of which something is held, the newest first.
pub(super) fn held(view: &[GenerationView]) -> Vec<HeldStream> {
    let mut newest_first: Vec<&GenerationView> = view.iter().collect();
    newest_first.sort_by_key(|generation| Reverse(generation.ordinal));
    let lanes = newest_first.into_iter().flat_map(|generation| (0..LANES).map(move |lane| (generation, lane)));
    let held = lanes.filter(|(generation, lane)| generation.lanes[*lane].first < generation.lanes[*lane].next);
    held.take(MAX_ENTRIES)
        .map(|(generation, lane)| {
            let LaneView { first, next, acked, .. } = generation.lanes[lane];
            HeldStream { stream: StreamId::of(generation.id, lane), first, acked, next }
        })
        .collect()
}

/// What the generations go on from of which nothing was acknowledged, the newest first.
pub(super) fn descents(view: &[GenerationView]) -> Vec<Descent> {
    let unheard = view.iter().filter(|generation| (0..LANES).all(|lane| generation.lanes[lane].acked == 0));
    let mut newest_first: Vec<&GenerationView> = unheard.collect();
    newest_first.sort_by_key(|generation| Reverse(generation.ordinal));
    let told = newest_first.into_iter().filter_map(|generation| Some(Descent { generation: generation.id, parent: parent(generation)? }));
    told.take(MAX_ENTRIES).collect()
}

/// Readings in entries that are not acknowledged.
pub(super) fn readings_held(view: &[GenerationView]) -> u64 {
    view.iter().flat_map(|generation| &generation.lanes).fold(0, |sum, lane| sum + lane.units.saturating_sub(lane.acked_units))
}

#[cfg(test)]
mod tests {
    use spool::SpoolTime;

    use super::*;

    fn generation(ordinal: u64, current: bool, unsent: [u64; 2]) -> GenerationView {
        let mut lanes = [LaneView::default(); spool::LANES];
        for (lane, unsent) in unsent.into_iter().enumerate() {
            lanes[lane] = LaneView { first: 1, next: 11 + unsent, acked: 10, units: 0, acked_units: 0 };
        }
        GenerationView { ordinal, id: ordinal << 8, parent: None, current, touched: false, opened_at: SpoolTime(0), bytes: 0, lanes }
    }

    fn ordered(order: CatchUp) -> Vec<(u64, usize)> {
        let view = [generation(1, false, [1, 1]), generation(2, false, [0, 5]), generation(3, false, [2, 1]), generation(4, true, [0, 9])];
        queue(&view, order).iter().map(|candidate| (candidate.ordinal, candidate.lane)).collect()
    }

    #[test]
    fn urgent_comes_before_live_and_live_before_the_backlog_in_its_order() {
        assert_eq!(ordered(CatchUp::NewestFirst), [(3, URGENT), (1, URGENT), (4, DATA), (3, DATA), (2, DATA), (1, DATA)]);
        assert_eq!(ordered(CatchUp::OldestFirst), [(3, URGENT), (1, URGENT), (4, DATA), (1, DATA), (2, DATA), (3, DATA)]);
    }

    #[test]
    fn what_is_held_is_told_also_if_it_is_acknowledged() {
        let told = held(&[generation(1, false, [0, 0]), generation(2, true, [0, 3])]);
        assert_eq!(told.len(), 4);
        assert_eq!(told[1], HeldStream { stream: StreamId::of(2 << 8, DATA), first: 1, acked: 10, next: 14 });
    }

    #[test]
    fn a_stream_whose_beginning_is_gone_goes_on_with_what_is_held() {
        let lane = LaneView { first: 7, next: 9, acked: 2, units: 0, acked_units: 0 };
        assert_eq!(unsent(&lane), 2);
        assert_eq!(unsent(&LaneView { first: 9, next: 9, acked: 2, units: 0, acked_units: 0 }), 0);
    }
}
