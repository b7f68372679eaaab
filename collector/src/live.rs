//! The live way: what ingest has just made durable goes from here to every open WebSocket.
//!
//! Stands behind the journal (ingest publishes only what is durable) and before `api::ws`. Each subscriber reads from one bounded ring.
//!
//! Invariant: publishing never waits. Who reads too slowly loses the oldest events, is told how many, and nobody else notices.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use protocol::{GatewayId, StampedRecord};
use tokio::sync::broadcast;

use crate::twin::{AlarmView, AssetView, GatewayView};

/// Events that a subscriber may lag behind before it loses the oldest.
pub const QUEUE_EVENTS: usize = 256;

/// Records in one event; of more (a gateway that catches up) only the newest go out live. With [`QUEUE_EVENTS`] this bounds the memory of the ring.
pub const MAX_RECORDS: usize = 5_000;

/// What happened, in the order in which it became durable.
#[derive(Debug)]
pub enum LiveEvent {
    /// Fresh records of one gateway (duplicates have been taken out).
    Records { gateway: GatewayId, records: Vec<StampedRecord> },
    /// The twins that changed since the last such event, at most once a second each.
    Assets(Vec<AssetView>),
    /// All gateways, every two seconds.
    Gateways(Vec<GatewayView>),
    /// Alarms of gateways that were raised or cleared.
    Alarms(Vec<AlarmView>),
    /// So many records were too many to go out live; they are in the history.
    Skipped(u64),
}

/// What a subscriber gets next.
#[derive(Debug)]
pub enum Next {
    Event(Arc<LiveEvent>),
    /// So many events were lost, because this subscriber was too slow.
    Lagged(u64),
    /// The collector stops.
    Closed,
}

/// The sending side; clones share one ring.
#[derive(Debug, Clone)]
pub struct Live {
    sender: broadcast::Sender<Arc<LiveEvent>>,
    admitted: Arc<AtomicUsize>,
}

/// Leave to listen; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    admitted: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admitted.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Live {
    pub fn new() -> Self {
        Self::with_capacity(QUEUE_EVENTS)
    }

    /// A ring of `events` (rounded up to a power of two).
    pub fn with_capacity(events: usize) -> Self {
        Self { sender: broadcast::Sender::new(events.max(1)), admitted: Arc::default() }
    }

    /// Hands `event` to all subscribers; returns at once, also if there are none or if they are slow.
    pub fn publish(&self, mut event: LiveEvent) {
        if let LiveEvent::Records { records, .. } = &mut event
            && records.len() > MAX_RECORDS
        {
            let skipped = records.len() - MAX_RECORDS;
            records.drain(..skipped);
            self.send(LiveEvent::Skipped(skipped as u64));
        }
        self.send(event);
    }

    fn send(&self, event: LiveEvent) {
        // An error only says that nobody listens.
        let _ = self.sender.send(Arc::new(event));
    }

    /// A place among at most `max` listeners; `None` if all are taken.
    pub fn admit(&self, max: usize) -> Option<Place> {
        let next = |n: usize| (n < max).then_some(n + 1);
        self.admitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(Place { admitted: Arc::clone(&self.admitted) })
    }

    /// Everything that is published from now on.
    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe() }
    }

    pub fn subscribers(&self) -> usize {
        self.sender.receiver_count()
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

/// The receiving side of one client.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<LiveEvent>>,
}

impl Subscription {
    /// Waits for the next event; may be cancelled without losing one.
    pub async fn next(&mut self) -> Next {
        match self.receiver.recv().await {
            Ok(event) => Next::Event(event),
            Err(broadcast::error::RecvError::Lagged(dropped)) => Next::Lagged(dropped),
            Err(broadcast::error::RecvError::Closed) => Next::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> LiveEvent {
        LiveEvent::Gateways(Vec::new())
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_much_it_lost_and_goes_on() {
        let live = Live::with_capacity(4);
        let mut slow = live.subscribe();
        for _ in 0..10 {
            live.publish(event());
        }
        assert!(matches!(slow.next().await, Next::Lagged(6)));
        for _ in 0..4 {
            assert!(matches!(slow.next().await, Next::Event(_)));
        }
        drop(live);
        assert!(matches!(slow.next().await, Next::Closed));
    }

    #[tokio::test]
    async fn of_a_flood_only_the_newest_go_out_and_the_rest_is_counted() {
        let live = Live::new();
        let mut subscription = live.subscribe();
        let loss = protocol::Loss {
            asset: None,
            signal: None,
            reason: protocol::LossReason::Unmatched,
            count: 1,
            from: protocol::Timestamp(0),
            to: protocol::Timestamp(0),
            detail: String::new(),
        };
        let records = (1..=MAX_RECORDS as u64 + 7).map(|seq| StampedRecord { seq, record: protocol::Record::Loss(loss.clone()) }).collect();
        live.publish(LiveEvent::Records { gateway: GatewayId::new("g").unwrap(), records });
        let Next::Event(skipped) = subscription.next().await else { panic!("an event") };
        assert!(matches!(*skipped, LiveEvent::Skipped(7)));
        let Next::Event(rest) = subscription.next().await else { panic!("an event") };
        let LiveEvent::Records { records, .. } = &*rest else { panic!("records") };
        assert_eq!((records.len(), records[0].seq), (MAX_RECORDS, 8));
    }

    #[test]
    fn there_are_as_many_places_as_allowed_and_they_come_back() {
        let live = Live::new();
        let first = live.admit(1);
        assert!(first.is_some() && live.admit(1).is_none());
        drop(first);
        assert!(live.admit(1).is_some());
    }

    #[tokio::test]
    async fn publishing_without_subscribers_is_no_error() {
        let live = Live::new();
        live.publish(event());
        assert_eq!(live.subscribers(), 0);
    }
}
