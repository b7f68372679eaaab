//! Interval algebra: layers of labelled intervals that do not overlap, and a cursor that walks one of them in order.
//!
//! Stands below [`super::timeline`]. Invariant: the pieces of a [`Layer`] are in order and share no instant; where what was entered overlaps, the
//! entry of the higher rank stands, whole, and the others keep what is left of them.

use std::collections::BTreeMap;

use protocol::{TimeRange, Timestamp};

/// What is left of the entry `index` in one stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: TimeRange,
    /// Of the entry, before anything was cut from it.
    pub(super) origin: Timestamp,
    pub(super) index: usize,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pieces: Vec<Piece>,
    /// Entries shared time.
    pub(super) overlapping: bool,
    /// Entries ended before they began; they are left out.
    pub(super) backward: bool,
}

impl Layer {
    /// `ranked`: entries with their index, the highest rank first. Empty entries are nothing.
    pub(super) fn of(ranked: impl IntoIterator<Item = (usize, TimeRange)>) -> Self {
        let mut layer = Self::default();
        // By `from`: what is taken already.
        let mut taken: BTreeMap<Timestamp, Piece> = BTreeMap::new();
        for (index, range) in ranked {
            layer.backward |= range.from > range.to;
            let mut free = Vec::new();
            let mut at = range.from;
            let first = taken.range(..=range.from).next_back().map_or(range.from, |(from, _)| *from);
            for piece in taken.range(first..).map(|(_, p)| *p).take_while(|p| p.range.from < range.to) {
                if piece.range.to <= range.from {
                    continue;
                }
                layer.overlapping |= range.from < range.to;
                if at < piece.range.from {
                    free.push(TimeRange { from: at, to: piece.range.from });
                }
                at = at.max(piece.range.to);
            }
            if at < range.to {
                free.push(TimeRange { from: at, to: range.to });
            }
            for range_free in free {
                taken.insert(range_free.from, Piece { range: range_free, origin: range.from, index });
            }
        }
        layer.pieces = taken.into_values().collect();
        layer
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// A cursor that stands at `from`.
    pub(super) fn cursor(&self, from: Timestamp) -> Cursor<'_> {
        let first = self.pieces.partition_point(|p| p.range.to <= from);
        Cursor { pieces: self.pieces.get(first..).unwrap_or_default() }
    }

    /// The piece at `at`.
    pub(super) fn at(&self, at: Timestamp) -> Option<&Piece> {
        self.cursor(at).pieces.first().filter(|p| p.range.from <= at)
    }
}

/// Walks the pieces of a layer forward.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pieces: &'a [Piece],
}

impl<'a> Cursor<'a> {
    /// The piece at `at`, and when that changes. `at` never goes back.
    pub(super) fn step(&mut self, at: Timestamp) -> (Option<&'a Piece>, Timestamp) {
        while let [first, rest @ ..] = self.pieces {
            if first.range.to > at {
                return if first.range.from <= at { (Some(first), first.range.to) } else { (None, first.range.from) };
            }
            self.pieces = rest;
        }
        (None, Timestamp(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange { from: Timestamp(from), to: Timestamp(to) }
    }

    #[test]
    fn the_higher_rank_stands_whole_and_the_lower_keeps_what_is_left() {
        let layer = Layer::of([(0, range(10, 20)), (1, range(5, 30)), (2, range(30, 30)), (3, range(40, 35))]);
        let pieces: Vec<_> = layer.pieces().iter().map(|p| (p.range.from.0, p.range.to.0, p.origin.0, p.index)).collect();
        assert_eq!(pieces, [(5, 10, 5, 1), (10, 20, 10, 0), (20, 30, 5, 1)]);
        assert!(layer.overlapping && layer.backward);
        assert!(!Layer::of([(0, range(10, 20)), (1, range(20, 30))]).overlapping);
    }

    proptest! {
        #[test]
        fn every_instant_belongs_to_the_first_entry_that_covers_it(entries in prop::collection::vec((0_i64..60, 0_i64..60), 0..12)) {
            let entries: Vec<_> = entries.into_iter().map(|(a, b)| range(a, b)).collect();
            let layer = Layer::of(entries.iter().copied().enumerate());
            let mut cursor = layer.cursor(Timestamp(0));
            for at in (0..60).map(Timestamp) {
                let wanted = entries.iter().position(|e| e.from <= at && at < e.to);
                prop_assert_eq!(layer.at(at).map(|p| p.index), wanted);
                prop_assert_eq!(cursor.step(at).0.map(|p| p.index), wanted);
            }
        }
    }
}
