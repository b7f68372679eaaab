//! The bounded hand-off from all sources to the pipeline's thread: one lane a source, emptied in turn.
//!
//! Stands between `source/*` and `drive`. Each lane has its own bounds (items and bytes), so that a burst or a flood in one source
//! neither delays nor displaces what another one has measured: the consumer takes a slice of each lane in turn.
//!
//! Invariant: an item that a `push` has accepted is taken exactly once, in order within its lane; an item that is refused is handed back.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How much memory an item keeps alive, so that a lane can be bounded in bytes as well.
pub trait Weight {
    fn weight(&self) -> usize;
}

/// What a lane holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLimits {
    pub items: usize,
    pub bytes: usize,
}

/// Why an item was handed back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    Full(T),
    /// The consumer is gone: nothing will ever be taken again.
    Closed(T),
}

/// The consumer's end. Cloning it gives another handle to the same hand-off.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
}

/// A source's end.
pub struct Lane<T> {
    shared: Arc<Shared<T>>,
    index: usize,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    not_empty: Condvar,
    not_full: Condvar,
}

struct State<T> {
    lanes: Vec<Queue<T>>,
    /// Set by [`Inbox::wake`]: the consumer has something to look at that is not in a lane.
    woken: bool,
    closed: bool,
}

struct Queue<T> {
    limits: LaneLimits,
    items: VecDeque<T>,
    bytes: usize,
}

impl<T: Weight> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Weight> Inbox<T> {
    pub fn new() -> Self {
        let state = State { lanes: Vec::new(), woken: false, closed: false };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), not_empty: Condvar::new(), not_full: Condvar::new() }) }
    }

    /// Adds a source's lane.
    pub fn lane(&self, limits: LaneLimits) -> Lane<T> {
        let mut state = self.shared.lock();
        state.lanes.push(Queue { limits, items: VecDeque::new(), bytes: 0 });
        Lane { shared: Arc::clone(&self.shared), index: state.lanes.len() - 1 }
    }

    /// Moves up to `slice` items of each lane to the end of `out`, waiting at most `patience` for the first one. Returns early, perhaps
    /// with nothing, when [`Inbox::wake`] is called.
    pub fn take(&self, slice: usize, patience: Duration, out: &mut Vec<T>) {
        let state = self.shared.lock();
        let idle = |s: &mut State<T>| !s.woken && s.lanes.iter().all(|lane| lane.items.is_empty());
        let (mut state, _) = self.shared.not_empty.wait_timeout_while(state, patience, idle).unwrap_or_else(PoisonError::into_inner);
        state.woken = false;
        let mut taken = false;
        for lane in &mut state.lanes {
            let n = lane.items.len().min(slice);
            taken |= n > 0;
            for item in lane.items.drain(..n) {
                lane.bytes = lane.bytes.saturating_sub(item.weight());
                out.push(item);
            }
            // A burst's buffer is given back once it is over.
            if lane.items.is_empty() && lane.items.capacity() > 4096 {
                lane.items.shrink_to(256);
            }
        }
        drop(state);
        if taken {
            self.shared.not_full.notify_all();
        }
    }

    /// Makes a waiting [`Inbox::take`] return.
    pub fn wake(&self) {
        self.shared.lock().woken = true;
        self.shared.not_empty.notify_one();
    }

    /// Items that wait in all lanes.
    pub fn len(&self) -> usize {
        self.shared.lock().lanes.iter().map(|lane| lane.items.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// No more items are accepted; blocked sources are released. What waits can still be taken.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.not_full.notify_all();
        self.shared.not_empty.notify_all();
    }
}

impl<T: Weight> Lane<T> {
    /// Hands `item` over without waiting.
    ///
    /// # Errors
    /// [`Refused`] holds the item if the lane is full or the hand-off closed.
    pub fn try_push(&self, item: T) -> Result<(), Refused<T>> {
        self.push_locked(self.shared.lock(), item)
    }

    /// Hands `item` over, waiting for room: for threads whose own source holds back meanwhile.
    ///
    /// # Errors
    /// [`Refused::Closed`] holds the item if the hand-off is closed.
    pub fn push(&self, item: T) -> Result<(), Refused<T>> {
        let weight = item.weight();
        let state = self.shared.lock();
        let full = |s: &mut State<T>| !s.closed && !s.lanes[self.index].has_room(weight);
        let state = self.shared.not_full.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        self.push_locked(state, item)
    }

    fn push_locked(&self, mut state: MutexGuard<'_, State<T>>, item: T) -> Result<(), Refused<T>> {
        if state.closed {
            return Err(Refused::Closed(item));
        }
        let weight = item.weight();
        let lane = &mut state.lanes[self.index];
        if !lane.has_room(weight) {
            return Err(Refused::Full(item));
        }
        lane.bytes += weight;
        lane.items.push_back(item);
        drop(state);
        self.shared.not_empty.notify_one();
        Ok(())
    }

    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl<T> Clone for Lane<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), index: self.index }
    }
}

impl<T> Queue<T> {
    /// An item that alone is over the byte bound still passes when the lane is empty: it must not block its source for ever.
    fn has_room(&self, weight: usize) -> bool {
        self.items.is_empty() || (self.items.len() < self.limits.items && self.bytes + weight <= self.limits.bytes)
    }
}

impl<T> Shared<T> {
    /// A panic elsewhere leaves the queues consistent (every change is one push or drain), so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for u32 {
        fn weight(&self) -> usize {
            100
        }
    }

    const SMALL: LaneLimits = LaneLimits { items: 3, bytes: 10_000 };

    fn taken(inbox: &Inbox<u32>, slice: usize) -> Vec<u32> {
        let mut out = Vec::new();
        inbox.take(slice, Duration::ZERO, &mut out);
        out
    }

    #[test]
    fn a_full_lane_hands_the_item_back_and_leaves_the_others_open() {
        let inbox = Inbox::new();
        let (flood, calm) = (inbox.lane(SMALL), inbox.lane(SMALL));
        for i in 0..3 {
            flood.try_push(i).unwrap();
        }
        assert_eq!(flood.try_push(3), Err(Refused::Full(3)));
        calm.try_push(70).unwrap();
        assert_eq!(taken(&inbox, 2), [0, 1, 70], "each lane gets its slice");
        assert_eq!(taken(&inbox, 2), [2]);
    }

    #[test]
    fn bytes_bound_a_lane_but_never_block_a_lone_item() {
        let inbox = Inbox::new();
        let lane = inbox.lane(LaneLimits { items: 100, bytes: 50 });
        lane.try_push(1).unwrap();
        assert_eq!(lane.try_push(2), Err(Refused::Full(2)));
        assert_eq!(taken(&inbox, 10), [1]);
        lane.try_push(2).unwrap();
    }

    #[test]
    fn a_blocked_source_goes_on_when_room_is_made_and_loses_nothing() {
        let inbox = Inbox::new();
        let lane = inbox.lane(SMALL);
        let source = std::thread::spawn(move || (0..1000u32).for_each(|i| assert!(lane.push(i).is_ok())));
        let mut all = Vec::new();
        while all.len() < 1000 {
            inbox.take(2, Duration::from_secs(10), &mut all);
        }
        source.join().unwrap();
        assert!(all.iter().copied().eq(0..1000));
    }

    #[test]
    fn closing_releases_a_blocked_source_with_its_item() {
        let inbox = Inbox::new();
        let lane = inbox.lane(SMALL);
        (0..3).for_each(|i| assert!(lane.try_push(i).is_ok()));
        let source = std::thread::spawn(move || lane.push(9));
        inbox.close();
        assert_eq!(source.join().unwrap(), Err(Refused::Closed(9)));
        assert_eq!(taken(&inbox, 10), [0, 1, 2], "what waits can still be taken");
    }

    #[test]
    fn a_wake_returns_an_idle_consumer_with_nothing() {
        let inbox: Inbox<u32> = Inbox::new();
        inbox.wake();
        let mut out = Vec::new();
        inbox.take(1, Duration::from_secs(600), &mut out);
        assert!(out.is_empty());
    }
}
