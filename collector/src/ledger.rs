//! What of a batch is new: the one place that decides fresh, duplicate or gap.
//!
//! Stands between the decoded batch and the journal, and belongs to the journal's thread alone. Pure: no clock, no I/O.
//!
//! Invariant: for each (gateway, stream) it knows the high-water mark, below which nothing is missing that the gateway could still send.
//! Every sequence is let through at most once, and none above a hole that the gateway can still fill.

use std::collections::HashMap;

use protocol::{GatewayId, SeqRange, StreamId};

/// High-water marks of all streams.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    marks: HashMap<(GatewayId, StreamId), u64>,
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Store what lies above `after`; then the mark is `through`. `hole` can't be had any more and is to be booked as a loss.
    Fresh { after: u64, through: u64, hole: Option<SeqRange> },
    /// All of it is here; nothing is missing through `through`.
    Duplicate { through: u64 },
    /// Something before it is missing, which the gateway still holds from `expected` on.
    Gap { expected: u64, through: Option<u64> },
    /// No records.
    Heartbeat { through: Option<u64> },
}

impl Ledger {
    /// The highest sequence of a stream with nothing missing below it; `None` if the stream is unknown.
    pub fn through(&self, gateway: &GatewayId, stream: StreamId) -> Option<u64> {
        // The tuple is built to look it up: an `Arc` is counted up and down, nothing is copied.
        self.marks.get(&(gateway.clone(), stream)).copied()
    }

    /// Decides about entries `range` of a stream, of which the gateway holds nothing below `floor_seq`. Changes nothing.
    pub fn decide(&self, gateway: &GatewayId, stream: StreamId, range: Option<SeqRange>, floor_seq: u64) -> Decision {
        let known = self.through(gateway, stream);
        let Some(range) = range else { return Decision::Heartbeat { through: known } };
        let mark = known.unwrap_or(0);
        if range.last <= mark {
            return Decision::Duplicate { through: mark };
        }
        if range.first <= mark.saturating_add(1) {
            return Decision::Fresh { after: mark, through: range.last, hole: None };
        }
        if floor_seq < range.first {
            return Decision::Gap { expected: floor_seq.max(mark + 1), through: known };
        }
        let hole = SeqRange { first: mark + 1, last: range.first - 1 };
        Decision::Fresh { after: range.first - 1, through: range.last, hole: Some(hole) }
    }

    /// A stream has come through `through`. Never moves a mark back.
    pub fn advance(&mut self, gateway: &GatewayId, stream: StreamId, through: u64) {
        let mark = self.marks.entry((gateway.clone(), stream)).or_default();
        *mark = (*mark).max(through);
    }

    /// Takes marks back to what they were: the journal did not take what they stood for.
    pub fn restore(&mut self, gateway: &GatewayId, stream: StreamId, through: Option<u64>) {
        let key = (gateway.clone(), stream);
        match through {
            Some(through) => _ = self.marks.insert(key, through),
            None => _ = self.marks.remove(&key),
        }
    }

    pub fn streams(&self) -> usize {
        self.marks.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const STREAM: StreamId = StreamId(7);

    fn gateway() -> GatewayId {
        GatewayId::new("gw").expect("valid")
    }

    fn range(first: u64, last: u64) -> Option<SeqRange> {
        Some(SeqRange { first, last })
    }

    fn ledger(through: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.advance(&gateway(), STREAM, through);
        ledger
    }

    #[test]
    fn the_next_entries_are_fresh_and_the_same_again_are_a_duplicate() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.decide(&gateway(), STREAM, range(1, 5), 1), Decision::Fresh { after: 0, through: 5, hole: None });
        ledger.advance(&gateway(), STREAM, 5);
        assert_eq!(ledger.decide(&gateway(), STREAM, range(1, 5), 1), Decision::Duplicate { through: 5 });
        assert_eq!(ledger.decide(&gateway(), STREAM, range(6, 9), 6), Decision::Fresh { after: 5, through: 9, hole: None });
    }

    #[test]
    fn an_overlap_lets_only_the_new_part_through() {
        assert_eq!(ledger(5).decide(&gateway(), STREAM, range(3, 9), 3), Decision::Fresh { after: 5, through: 9, hole: None });
    }

    #[test]
    fn a_hole_that_the_gateway_can_fill_is_asked_for() {
        assert_eq!(ledger(5).decide(&gateway(), STREAM, range(8, 9), 6), Decision::Gap { expected: 6, through: Some(5) });
        assert_eq!(ledger(5).decide(&gateway(), STREAM, range(8, 9), 1), Decision::Gap { expected: 6, through: Some(5) });
        assert_eq!(ledger(5).decide(&gateway(), STREAM, range(9, 9), 7), Decision::Gap { expected: 7, through: Some(5) });
        assert_eq!(Ledger::default().decide(&gateway(), STREAM, range(8, 9), 1), Decision::Gap { expected: 1, through: None });
    }

    #[test]
    fn a_hole_that_nobody_can_fill_is_booked_and_passed() {
        let hole = Some(SeqRange { first: 6, last: 7 });
        assert_eq!(ledger(5).decide(&gateway(), STREAM, range(8, 9), 8), Decision::Fresh { after: 7, through: 9, hole });
        let hole = Some(SeqRange { first: 1, last: 7 });
        assert_eq!(Ledger::default().decide(&gateway(), STREAM, range(8, 9), 8), Decision::Fresh { after: 7, through: 9, hole });
    }

    #[test]
    fn streams_and_gateways_do_not_mix() {
        let ledger = ledger(5);
        let other = GatewayId::new("other").expect("valid");
        assert!(matches!(ledger.decide(&other, STREAM, range(1, 5), 1), Decision::Fresh { .. }));
        assert!(matches!(ledger.decide(&gateway(), StreamId(8), range(1, 5), 1), Decision::Fresh { .. }));
        assert_eq!(ledger.decide(&gateway(), STREAM, None, 6), Decision::Heartbeat { through: Some(5) });
    }

    /// What may happen between a gateway and the collector.
    #[derive(Debug, Clone)]
    enum Event {
        /// Sends entries from `back` before the last acknowledged one on, `len` of them; the answer comes or is lost.
        Send { back: u64, len: u64, answer_lost: bool },
        /// A delayed copy of the n-th batch that was ever sent arrives.
        Replay { n: usize },
        /// Skips ahead, as a gateway that lost its place would.
        Ahead { by: u64, len: u64 },
        /// The gateway's spool loses what is not acknowledged yet, up to `n` entries.
        Lost { n: u64 },
        /// The collector starts again with what it had made durable.
        Restart,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0u64..6, 1u64..8, any::<bool>()).prop_map(|(back, len, answer_lost)| Event::Send { back, len, answer_lost }),
            2 => (0usize..64).prop_map(|n| Event::Replay { n }),
            1 => (1u64..5, 1u64..4).prop_map(|(by, len)| Event::Ahead { by, len }),
            1 => (1u64..4).prop_map(|n| Event::Lost { n }),
            1 => Just(Event::Restart),
        ]
    }

    /// A gateway, the ledger, and the rows that the ledger let through.
    #[derive(Default)]
    struct World {
        ledger: Ledger,
        stored: BTreeMap<u64, u32>,
        booked: BTreeSet<u64>,
        /// Entries that the gateway's spool lost.
        lost: BTreeSet<u64>,
        acked: u64,
        /// Lowest sequence that the gateway holds.
        floor: u64,
        sent: Vec<(SeqRange, u64)>,
    }

    impl World {
        fn deliver(&mut self, range: SeqRange, floor: u64, answer_lost: bool) {
            match self.ledger.decide(&gateway(), STREAM, Some(range), floor) {
                Decision::Fresh { after, through, hole } => {
                    for seq in range.first..=range.last {
                        if seq > after {
                            *self.stored.entry(seq).or_default() += 1;
                        }
                    }
                    if let Some(hole) = hole {
                        self.booked.extend(hole.first..=hole.last);
                    }
                    self.ledger.advance(&gateway(), STREAM, through);
                    self.acknowledge(through, answer_lost);
                }
                Decision::Duplicate { through } => self.acknowledge(through, answer_lost),
                Decision::Gap { expected, .. } => {
                    assert!(expected < range.first, "it asks for something before the batch");
                    assert!(expected >= floor, "it asks for what the gateway said it holds");
                }
                Decision::Heartbeat { .. } => unreachable!("there was a range"),
            }
        }

        fn acknowledge(&mut self, through: u64, answer_lost: bool) {
            if !answer_lost {
                self.acked = self.acked.max(through);
                self.floor = self.floor.max(self.acked + 1);
            }
        }

        fn apply(&mut self, event: Event) {
            match event {
                Event::Send { back, len, answer_lost } => {
                    let first = (self.acked + 1).saturating_sub(back).max(self.floor).max(1);
                    self.send(SeqRange { first, last: first + len - 1 }, answer_lost);
                }
                Event::Ahead { by, len } => {
                    let first = self.floor.max(self.acked + 1) + by;
                    self.send(SeqRange { first, last: first + len - 1 }, false);
                }
                Event::Replay { n } => {
                    if let Some((range, floor)) = self.sent.get(n).copied() {
                        self.deliver(range, floor, true);
                    }
                }
                Event::Lost { n } => {
                    let from = self.floor.max(self.acked + 1);
                    self.lost.extend(from..from + n);
                    self.floor = from + n;
                }
                Event::Restart => {
                    let through = self.ledger.through(&gateway(), STREAM);
                    self.ledger = Ledger::default();
                    if let Some(through) = through {
                        self.ledger.advance(&gateway(), STREAM, through);
                    }
                }
            }
        }

        fn send(&mut self, range: SeqRange, answer_lost: bool) {
            let floor = self.floor.max(1);
            self.sent.push((range, floor));
            self.deliver(range, floor, answer_lost);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_retried_reordered_or_lost_each_sequence_is_stored_once_or_booked(events in proptest::collection::vec(event(), 0..80)) {
            let mut world = World::default();
            for event in events {
                world.apply(event);
                let mark = world.ledger.through(&gateway(), STREAM).unwrap_or(0);
                prop_assert!(world.acked <= mark, "acknowledged {} beyond the mark {mark}", world.acked);
                for seq in 1..=mark {
                    let stored = world.stored.get(&seq).copied().unwrap_or(0);
                    let booked = world.booked.contains(&seq);
                    prop_assert!(stored <= 1, "{seq} was stored {stored} times");
                    prop_assert!((stored == 1) != booked, "{seq}: stored {stored} times, booked as lost: {booked}");
                    prop_assert!(!booked || world.lost.contains(&seq), "{seq} was booked as lost, but the gateway had it");
                }
                prop_assert!(world.stored.keys().all(|seq| *seq <= mark), "nothing is stored above the mark");
            }
        }
    }
}
