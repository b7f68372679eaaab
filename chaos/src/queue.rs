//! What is to happen, by virtual time.
//!
//! Invariant: events come out in order of time; which of several at the same moment comes first is drawn when they are put in, so that no order
//! of the program's own making is relied on. Nothing here depends on addresses or hashes.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Virtual time in microseconds since the beginning of the run.
pub type Micros = u64;

pub const MILLISECOND: Micros = 1_000;
pub const SECOND: Micros = 1_000_000;
pub const MINUTE: Micros = 60 * SECOND;
pub const HOUR: Micros = 60 * MINUTE;

#[derive(Debug)]
struct Item<E> {
    at: Micros,
    tie: u64,
    serial: u64,
    event: E,
}

impl<E> Item<E> {
    fn key(&self) -> (Micros, u64, u64) {
        (self.at, self.tie, self.serial)
    }
}

impl<E> PartialEq for Item<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Item<E> {}

impl<E> PartialOrd for Item<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Item<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Events to come.
#[derive(Debug)]
pub struct Queue<E> {
    items: BinaryHeap<Reverse<Item<E>>>,
    serial: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { items: BinaryHeap::new(), serial: 0 }
    }
}

impl<E> Queue<E> {
    /// Adds an event; `tie` decides among those of the same moment.
    pub fn put(&mut self, at: Micros, tie: u64, event: E) {
        self.serial += 1;
        self.items.push(Reverse(Item { at, tie, serial: self.serial, event }));
    }

    /// The next event and its time.
    pub fn take(&mut self) -> Option<(Micros, E)> {
        self.items.pop().map(|Reverse(item)| (item.at, item.event))
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_lot() {
        let mut queue = Queue::default();
        for (at, tie, event) in [(5, 1, "late"), (1, 9, "second"), (1, 2, "first"), (1, 9, "third")] {
            queue.put(at, tie, event);
        }
        assert_eq!(queue.len(), 4);
        let order: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, [(1, "first"), (1, "second"), (1, "third"), (5, "late")]);
        assert!(queue.is_empty());
    }
}
