//! The one owner of the gateway's state: takes messages, polls and ticks, gives records and checkpoints.
//!
//! Stands between the sources (which hand it raw samples) and the commit loop (which makes its records durable). Everything that is held
//! back here - open windows, pending losses, part counts of the running second - is in the checkpoint, so that records and checkpoint
//! written together lose and double nothing.
//!
//! Invariant: every reading that came in is in exactly one summary's count, in a loss, or a counted duplicate. Pure: no clock, no I/O.

mod checkpoint;
mod intake;
mod message;
mod outbox;
mod poll;
mod registry;

use std::time::Duration;

use protocol::{Loss, LossReason, Record, Timestamp};

pub use checkpoint::RestoreError;

use crate::{
    clock::Now,
    config::{Config, Limits, SourceId, Topic},
    detect::Detector,
    ledger,
    window::Lengths,
};

use intake::Sample;
use message::Routes;
use outbox::Outbox;
use poll::Polled;
use registry::{Registry, Sender};

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
#[derive(Debug)]
pub struct Pipeline {
    topics: Vec<Topic>,
    detectors: Vec<Detector>,
    limits: Limits,
    lengths: Lengths,
    max_future_us: i64,
    interval_us: i64,
    boot_id: u64,
    registry: Registry,
    polled: Vec<Polled>,
    routes: Routes,
    out: Outbox,
    totals: Totals,
    sources: Vec<SourceStats>,
    /// Room for the sample at hand, kept from message to message.
    sample: Sample,
}

#[derive(Debug, Default)]
struct Totals {
    readings: u64,
    messages: u64,
    duplicates: u64,
    late: u64,
    anomalies: u64,
}

impl Pipeline {
    /// A pipeline that goes on from `restored` (the checkpoint of the last commit). A checkpoint that can't be read, or a last run that
    /// did not end in order, is told as a `PowerCut` loss; it never stops the start.
    pub fn new(config: &Config, restored: Option<&[u8]>, now: Now, boot_id: u64) -> Self {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let sources = 1 + config.clients.len() + config.devices.len();
        let mut pipeline = Self {
            topics: config.topics.clone(),
            detectors: config.detectors.clone(),
            limits: config.limits,
            lengths: config.window.into(),
            max_future_us: micros(config.window.max_future),
            interval_us: micros(config.durability.interval),
            boot_id,
            registry: Registry::default(),
            polled: Vec::new(),
            routes: Routes::default(),
            out: Outbox::new(config.limits.max_pending_records),
            totals: Totals::default(),
            sources: vec![SourceStats::default(); sources],
            sample: Sample::default(),
        };
        if let Some(bytes) = restored {
            pipeline.restore(bytes, now);
        }
        pipeline.register_devices(config);
        pipeline
    }

    /// Books something that was dropped outside (queue full, broker overrun, too large, refused by the collector).
    pub fn loss(&mut self, now: Now, loss: Loss) {
        self.out.ledger.book(loss);
        self.out.tell_losses(now.mono_us);
    }

    /// Books records that were made but can't be kept: their readings are lost. Losses among them are told again later.
    pub fn lost_records(&mut self, now: Now, records: &[Record], reason: LossReason) {
        for record in records {
            self.out.lose(record, reason);
        }
        self.out.tell_losses(now.mono_us);
    }

    /// Lets time pass: closes idle windows, releases what is held back. Call it about four times a second.
    pub fn tick(&mut self, now: Now) {
        self.close_due(now.mono_us);
        for asset in &mut self.registry.assets {
            if let Some(parts) = asset.machine.parts(&asset.path, now.mono_us, false) {
                self.out.emit(parts);
            }
        }
        for sender in 0..self.registry.senders.len() {
            let Sender { asset, tracker, .. } = &mut self.registry.senders[sender];
            let asset = *asset;
            for gap in tracker.due(now.mono_us) {
                self.book_gap(asset, &gap);
            }
        }
        self.out.tell_losses(now.mono_us);
    }

    /// Records made since the last commit; a reason to commit soon.
    pub fn pending_records(&self) -> usize {
        self.out.records.len()
    }

    /// Takes all records made so far and the state after them; both must become durable together. `clean`: this is the last commit
    /// of an orderly shutdown.
    pub fn commit(&mut self, now: Now, clean: bool) -> Commit {
        let records = std::mem::take(&mut self.out.records);
        Commit { records, checkpoint: self.write_checkpoint(now, clean) }
    }

    pub fn stats(&self) -> Stats {
        let Registry { assets, signals, senders, .. } = &self.registry;
        let losses = self.out.ledger.totals();
        let waiting_parts = assets.iter().filter(|a| a.machine.holds_back()).count();
        let gaps: usize = senders.iter().map(|s| s.tracker.held()).sum();
        Stats {
            readings_total: self.totals.readings,
            messages_total: self.totals.messages,
            dropped_total: losses.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count)),
            duplicates_total: self.totals.duplicates,
            late_total: self.totals.late,
            anomalies_total: self.totals.anomalies,
            open_windows: signals.iter().map(|s| s.series.open()).sum(),
            held_back: waiting_parts + gaps + self.out.ledger.held(),
            pending_records: self.out.records.len(),
            assets: assets.len(),
            signals: signals.len(),
            losses,
            sources: self.sources.clone(),
        }
    }

    fn source_data(&mut self, source: SourceId, now: Now, readings: u64) {
        if let Some(stats) = self.sources.get_mut(usize::from(source.0)) {
            stats.messages_total += 1;
            stats.readings_total += readings;
            stats.last_data_at = Some(now.wall);
            stats.last_error.clear();
        }
    }

    fn source_error(&mut self, source: SourceId, error: &str) {
        if let Some(stats) = self.sources.get_mut(usize::from(source.0)) {
            stats.messages_total += 1;
            stats.last_error = ledger::clip(error);
        }
    }
}

#[cfg(test)]
mod tests;
