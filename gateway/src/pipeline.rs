//! The one owner of the gateway's state: takes messages, polls and ticks, gives records and checkpoints.
//!
//! Stands between the sources (which hand it raw samples) and the commit loop (which makes its records durable). Everything that is held
//! back here - open windows, pending losses, part counts of the running second - is in the checkpoint, so that records and checkpoint
//! written together lose and double nothing.
//!
//! Invariant: every reading that came in is in exactly one summary's count, in a loss, or a counted duplicate. Pure: no clock, no I/O.

use protocol::{Loss, LossReason, Record, Timestamp};

use crate::{
    clock::Now,
    config::{Config, SourceId},
    decode::modbus::PollResult,
};

/// What is to be made durable in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// In order; may be empty.
    pub records: Vec<Record>,
    /// The state after these records.
    pub checkpoint: Vec<u8>,
}

/// How the pipeline is; totals count since this process started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    pub readings_total: u64,
    pub messages_total: u64,
    /// Sum of the counts of all losses.
    pub dropped_total: u64,
    /// Readings of messages that had been taken in already.
    pub duplicates_total: u64,
    /// Readings that came after their window had been closed (they are in correction summaries).
    pub late_total: u64,
    pub anomalies_total: u64,
    pub open_windows: usize,
    /// Facts that will become records soon: losses, gaps and part counts of the running second. Add it to the uncommitted records.
    pub held_back: usize,
    /// Records made and not yet taken by a commit.
    pub pending_records: usize,
    pub assets: usize,
    pub signals: usize,
    /// Sum of counts by reason; only reasons that occurred.
    pub losses: Vec<(LossReason, u64)>,
    /// By [`SourceId`].
    pub sources: Vec<SourceStats>,
}

/// What came from one source.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourceStats {
    pub messages_total: u64,
    pub readings_total: u64,
    /// Gateway's wall time of the last message or poll that gave data.
    pub last_data_at: Option<Timestamp>,
    /// The last thing wrong with its data; empty after the next good one.
    pub last_error: String,
}

/// See the module.
pub struct Pipeline {}

#[expect(unused_variables, clippy::todo, reason = "signatures first")]
impl Pipeline {
    /// A pipeline that goes on from `restored` (the checkpoint of the last commit). A checkpoint that can't be read, or a last run that
    /// did not end in order, is told as a `PowerCut` loss; it never stops the start.
    pub fn new(config: &Config, restored: Option<&[u8]>, now: Now, boot_id: u64) -> Self {
        todo!()
    }

    /// Takes an MQTT message in.
    pub fn message(&mut self, now: Now, source: SourceId, topic: &str, payload: &[u8]) {
        todo!()
    }

    /// Takes the outcome of one poll of `config.devices[device]` in.
    pub fn poll(&mut self, now: Now, device: usize, result: &PollResult) {
        todo!()
    }

    /// Books something that was dropped outside (queue full, broker overrun, too large, refused by the collector).
    pub fn loss(&mut self, now: Now, loss: Loss) {
        todo!()
    }

    /// Books records that were made but can't be kept: their readings are lost.
    pub fn lost_records(&mut self, now: Now, records: &[Record], reason: LossReason) {
        todo!()
    }

    /// Lets time pass: closes idle windows, releases what is held back. Call it about four times a second.
    pub fn tick(&mut self, now: Now) {
        todo!()
    }

    /// Records made since the last commit; a reason to commit soon.
    pub fn pending_records(&self) -> usize {
        todo!()
    }

    /// Takes all records made so far and the state after them; both must become durable together. `clean`: this is the last commit
    /// of an orderly shutdown.
    pub fn commit(&mut self, now: Now, clean: bool) -> Commit {
        todo!()
    }

    pub fn stats(&self) -> Stats {
        todo!()
    }
}
