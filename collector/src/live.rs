//! The live way: what ingest has just made durable, for every open WebSocket.
//!
//! Invariant: publishing never waits.

use std::sync::Arc;

use protocol::{GatewayId, StampedRecord};
use tokio::sync::broadcast;

/// What happened, in the order in which it became durable.
#[derive(Debug)]
pub enum LiveEvent {
    /// Fresh records of one gateway (duplicates have been taken out).
    Records { gateway: GatewayId, records: Vec<StampedRecord> },
}

/// The sending side; clones share one ring.
#[derive(Debug, Clone)]
pub struct Live {
    sender: broadcast::Sender<Arc<LiveEvent>>,
}

impl Live {
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(1_024) }
    }

    pub fn publish(&self, event: LiveEvent) {
        // An error only says that nobody listens.
        let _ = self.sender.send(Arc::new(event));
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}
