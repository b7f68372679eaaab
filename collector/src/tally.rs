//! What became of each gateway's batches since this process started.
//!
//! Written by the ingest, read by the API. Invariant: it holds only gateways that were let in, so it is bounded by their number.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use protocol::{GatewayId, Timestamp};

/// One gateway's counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatewayTally {
    /// Batches with records that were stored, at least in part.
    pub batches: u64,
    /// Batches of which everything was here already.
    pub duplicate_batches: u64,
    /// Batches sent back because one before is missing.
    pub gap_batches: u64,
    /// Batches that could not be decoded.
    pub rejected_batches: u64,
    /// Readings in the summaries that were stored (the sum of their counts).
    pub readings_stored: u64,
    /// Last batch or heartbeat.
    pub last_seen: Option<Timestamp>,
    /// The collector's clock minus the gateway's at the last batch, the way of the batch included.
    pub skew_us: Option<i64>,
}

/// Shared by the ingest and the API; clones are the same tally.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    gateways: Arc<RwLock<HashMap<GatewayId, GatewayTally>>>,
}

impl Tally {
    /// The counts of one gateway; zero if it has sent nothing.
    pub fn of(&self, gateway: &GatewayId) -> GatewayTally {
        self.gateways.read().get(gateway).copied().unwrap_or_default()
    }

    /// All gateways that sent something.
    pub fn all(&self) -> Vec<(GatewayId, GatewayTally)> {
        self.gateways.read().iter().map(|(gateway, tally)| (gateway.clone(), *tally)).collect()
    }

    /// Changes the counts of one gateway.
    pub fn note(&self, gateway: &GatewayId, change: impl FnOnce(&mut GatewayTally)) {
        change(self.gateways.write().entry(gateway.clone()).or_default());
    }
}
