//! What is known of each machine and gateway right now.
//!
//! Fed by the pipeline in the order of the journal. Invariant: it holds nothing that can't be rebuilt from the lake.

use lake::Latest;
use protocol::{GatewayId, GatewayStatus, StampedRecord, Timestamp};

use crate::config::Config;

/// The live state, shared.
#[derive(Debug, Default)]
pub struct Twin {}

impl Twin {
    pub fn new(_config: &Config) -> Self {
        Self::default()
    }

    /// Takes in what the lake knows, at start.
    pub fn restore(&self, _latest: Latest) {}

    /// Takes in records of one batch, in order.
    pub fn apply(&self, _gateway: &GatewayId, _received_at: Timestamp, _records: &[StampedRecord]) {}

    /// Takes in how a gateway is. `received_at` − `sent_at` is its skew, the way of the batch included.
    pub fn apply_status(&self, _gateway: &GatewayId, _received_at: Timestamp, _sent_at: Timestamp, _status: &GatewayStatus) {}
}
