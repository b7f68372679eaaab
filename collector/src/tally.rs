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
    /// The collector's clock minus the gateway's, the way of the batch included.
    pub skew: Skew,
    /// The run that now writes goes on from a checkpoint that another run had gone on from, since then.
    pub forked_since: Option<Timestamp>,
    /// Generations that the ledger knows.
    pub generations: usize,
}

/// Batches that a skew is the median of: one that was long on its way is none of the clock's.
const SKEWS: usize = 7;

/// The last few differences of two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skew {
    last: [i64; SKEWS],
    heard: usize,
}

impl Skew {
    pub fn heard(&mut self, skew_us: i64) {
        self.last[self.heard % SKEWS] = skew_us;
        // Where the next one goes, and whether all are filled, is all that is asked of it.
        self.heard = if self.heard + 1 >= 2 * SKEWS { SKEWS } else { self.heard + 1 };
    }

    /// The median, in microseconds; `None` before the first batch.
    pub fn median_us(&self) -> Option<i64> {
        let mut known = self.last[..self.heard.min(SKEWS)].to_vec();
        known.sort_unstable();
        known.get(known.len() / 2).copied()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skew_is_the_median_of_the_last_few_so_that_one_slow_batch_is_none() {
        let mut skew = Skew::default();
        assert_eq!(skew.median_us(), None);
        for _ in 0..50 {
            skew.heard(20);
        }
        skew.heard(9_000_000);
        assert_eq!(skew.median_us(), Some(20));
        for _ in 0..SKEWS {
            skew.heard(7_000_000);
        }
        assert_eq!(skew.median_us(), Some(7_000_000), "a clock that jumped is seen after a few");
    }
}
