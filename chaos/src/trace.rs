//! What happened in a run: a hash over all of it, the last events for people, and how often each kind of thing was.
//!
//! Invariant: two runs with the same hash took the same steps at the same virtual times.

use std::collections::{BTreeMap, VecDeque};

use crate::queue::{Micros, SECOND};

/// Events that a violation shows.
pub const SHOWN: usize = 40;

/// One step. The numbers mean what the kind says; cheap to note, made into text only to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: Micros,
    pub who: &'static str,
    pub what: &'static str,
    pub numbers: [u64; 3],
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>10}.{:06}  {:<10} {:<32}", self.at / SECOND, self.at % SECOND, self.who, self.what)?;
        let used = self.numbers.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
        self.numbers[..used].iter().try_for_each(|n| write!(f, " {n}"))
    }
}

/// The trace of a run.
#[derive(Debug, Clone)]
pub struct Trace {
    last: VecDeque<Event>,
    hash: u64,
    events: u64,
    counts: BTreeMap<(&'static str, &'static str), u64>,
    print: bool,
}

impl Trace {
    /// With `print` every event goes to standard output as well.
    pub fn new(print: bool) -> Self {
        Self { last: VecDeque::with_capacity(SHOWN), hash: 0xcbf2_9ce4_8422_2325, events: 0, counts: BTreeMap::new(), print }
    }

    pub fn note(&mut self, at: Micros, who: &'static str, what: &'static str, numbers: [u64; 3]) {
        let texts = who.bytes().chain(what.bytes()).fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        for number in [at, texts, numbers[0], numbers[1], numbers[2]] {
            self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        self.events += 1;
        *self.counts.entry((who, what)).or_default() += 1;
        let event = Event { at, who, what, numbers };
        if self.print {
            println!("{event}");
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    /// Events go to standard output.
    pub fn prints(&self) -> bool {
        self.print
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    /// How often something was.
    pub fn count(&self, who: &'static str, what: &'static str) -> u64 {
        self.counts.get(&(who, what)).copied().unwrap_or(0)
    }

    /// The last events.
    pub fn last(&self) -> impl Iterator<Item = &Event> {
        self.last.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_any_difference_and_the_ring_stays_short() {
        let run = |last: u64| {
            let mut trace = Trace::new(false);
            (0..100).for_each(|i| trace.note(i, "gateway", "tick", [i, 0, 0]));
            trace.note(100, "gateway", "tick", [last, 0, 0]);
            trace
        };
        assert_eq!(run(1).hash(), run(1).hash());
        assert_ne!(run(1).hash(), run(2).hash());
        assert_eq!((run(1).last().count(), run(1).events(), run(1).count("gateway", "tick")), (SHOWN, 101, 101));
        assert!(run(1).last().last().unwrap().to_string().contains("tick"));
    }
}
