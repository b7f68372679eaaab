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
mod restore;
mod time;

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use protocol::{Books, DATA, Loss, LossReason, Record, Timestamp};

pub use checkpoint::{HEAD, OVERFLOW, Relieved, RestoreError, committed_at};

use crate::{
    budget,
    clock::Now,
    config::{Config, Limits, Overflow, SourceId, Topic},
    detect::Detector,
    entry,
    ledger::{self, loss_of},
    window::Lengths,
};

use checkpoint::{ASSETS, DIRECTORY, Head};
use intake::Sample;
use message::Routes;
use outbox::Outbox;
use poll::Polled;
use registry::{News, Registry, Sender, Tally, Written};

/// What is to be made durable in one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// Anomalies, state changes and losses, in order.
    pub urgent: Vec<Record>,
    /// Window summaries and part counts, in order.
    pub data: Vec<Record>,
    /// What tells of the run before: records of both kinds.
    pub inherited: Vec<Record>,
    /// Parts of the checkpoint after these records: set, or (`None`) removed.
    pub parts: Vec<(u32, Option<Vec<u8>>)>,
    /// The head for the case that only the urgent records find room; the others stay in memory.
    pub reduced_head: Option<Vec<u8>>,
    /// What may be done for room.
    pub overflow: Overflow,
}

impl Commit {
    /// Records in it.
    pub fn records(&self) -> usize {
        self.urgent.len() + self.data.len() + self.inherited.len()
    }

    /// Readings in its summaries.
    pub fn readings(&self) -> u64 {
        entry::readings(&self.data) + entry::readings(&self.inherited)
    }
}

/// How a commit is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// With the parts of all assets that changed, not only of those that made records.
    pub full: bool,
    /// The last one of an orderly shutdown.
    pub clean: bool,
    /// Nothing has come in for a while; the next one is made when something does, or to say so again.
    pub idle: bool,
    /// How long after this one the next full one will be made, at the latest, if something comes in.
    pub interval_us: i64,
    /// The disk is full: say what is lost if only the urgent records find room.
    pub reduced: bool,
    pub budget: budget::Account,
}

/// How the pipeline is; totals count since this process started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    pub readings_total: u64,
    pub messages_total: u64,
    /// Sum of the counts of all losses.
    pub dropped_total: u64,
    /// The account of readings since the gateway was set up; `held` is not known here.
    pub books: Books,
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
    boot_id: u64,
    overflow: Overflow,
    /// Of the detectors.
    fingerprints: Vec<u64>,
    registry: Registry,
    polled: Vec<Polled>,
    routes: Routes,
    out: Outbox,
    totals: Totals,
    sources: Vec<SourceStats>,
    /// Room for the sample at hand, kept from message to message.
    sample: Sample,
    /// The last durable commit that held all that had changed.
    full_at: Timestamp,
    /// Of assets whose parts were lost.
    departed: Tally,
    /// Readings that overflow took, as far as that is durable.
    relieved: u64,
    /// As it was found in the checkpoint.
    budget: budget::Account,
    /// Window lengths of the run before, while it is taken over.
    inherited_lengths: BTreeMap<u32, i64>,
    /// Parts of the run before; those that are not written anew are to go.
    stale: Vec<u32>,
    /// Assets in the directory part.
    listed: usize,
    flight: Option<Flight>,
}

/// A commit that is under way.
#[derive(Debug)]
struct Flight {
    assets: Vec<u32>,
    listed: usize,
    stale: Vec<u32>,
    full_at: Timestamp,
    readings: u64,
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
    /// A pipeline that goes on from `restored` (the checkpoint's parts as of the last commit; none at the first start). Parts that can't be
    /// read, or a last run that did not end in order, are told as `PowerCut` losses; they never stop the start.
    pub fn new(config: &Config, restored: &[(u32, Vec<u8>)], now: Now, boot_id: u64) -> Self {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let sources = 1 + config.clients.len() + config.devices.len();
        let mut pipeline = Self {
            topics: config.topics.clone(),
            detectors: config.detectors.clone(),
            limits: config.limits,
            lengths: config.window.into(),
            max_future_us: micros(config.window.max_future),
            boot_id,
            overflow: config.spool.overflow,
            fingerprints: config.detectors.iter().map(Detector::fingerprint).collect(),
            registry: Registry::default(),
            polled: Vec::new(),
            routes: Routes::default(),
            out: Outbox::new(config.limits.max_pending_records, config.spool.overflow),
            totals: Totals::default(),
            sources: vec![SourceStats::default(); sources],
            sample: Sample::default(),
            full_at: now.wall,
            departed: Tally::default(),
            relieved: 0,
            budget: budget::Account::default(),
            inherited_lengths: BTreeMap::new(),
            stale: Vec::new(),
            listed: 0,
            flight: None,
        };
        if !restored.is_empty() {
            pipeline.restore(restored, now);
        }
        pipeline.register_devices(config);
        pipeline
    }

    /// Books something that was dropped outside (queue full, broker overrun, too large, refused by the collector).
    pub fn loss(&mut self, now: Now, loss: Loss) {
        match loss.reason {
            LossReason::SpoolFull | LossReason::SpoolCorrupt | LossReason::Rejected | LossReason::StreamGap | LossReason::PowerCut => {
                self.out.book_after(loss);
            }
            _ => self.out.book(loss),
        }
        self.out.tell_losses(now.mono_us);
    }

    /// Books records that were made but can't be kept: their readings are lost. Losses among them are told again later.
    pub fn lost_records(&mut self, now: Now, records: &[Record], reason: LossReason) {
        for record in records {
            self.out.lose(record, reason);
        }
        self.out.tell_losses(now.mono_us);
    }

    /// Notes what overflow took; it is told and in the checkpoint already.
    pub fn relieved(&mut self, readings: u64, losses: &[Loss]) {
        self.relieved = self.relieved.saturating_add(readings);
        for loss in losses {
            self.out.ledger.count(loss);
        }
    }

    /// Notes readings that are lost and of which the collector has been told otherwise.
    pub fn told(&mut self, losses: &[Loss]) {
        for loss in losses {
            self.out.lost_after = self.out.lost_after.saturating_add(loss.count);
            self.out.ledger.count(loss);
        }
    }

    /// Lets time pass: closes idle windows, releases what is held back. Call it about four times a second.
    pub fn tick(&mut self, now: Now) {
        self.each_series(|lengths, series, closed| series.close_due(lengths, now.mono_us, closed));
        for asset in 0..u32::try_from(self.registry.assets.len()).unwrap_or(u32::MAX) {
            self.tell_parts(asset, now.mono_us, false);
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
        self.out.len()
    }

    /// What the process had written on the day of the last commit.
    pub fn budget(&self) -> budget::Account {
        self.budget
    }

    /// Takes all records made so far and the state after them; all must become durable together. [`Pipeline::settled`] must follow
    /// before the next one.
    pub fn commit(&mut self, now: Now, manner: Manner) -> Commit {
        let out = &mut self.out;
        let urgent: Vec<Record> = std::mem::take(&mut out.urgent).into();
        let data: Vec<Record> = std::mem::take(&mut out.data).into();
        let inherited: Vec<Record> = std::mem::take(&mut out.inherited).into();
        let assets = &self.registry.assets;
        let wanted = |news: News| news == News::Due || (manner.full && news == News::Changed);
        let chosen: Vec<u32> = (0..).zip(assets).filter(|(_, asset)| wanted(asset.news)).map(|(id, _)| id).collect();
        let mut parts = Vec::with_capacity(chosen.len() + 2);
        for id in &chosen {
            parts.push((ASSETS + id, Some(self.asset_part(*id, now.wall))));
            let open = self.registry.open_readings(&self.registry.assets[*id as usize]);
            let asset = &mut self.registry.assets[*id as usize];
            asset.written = Written { tally: asset.tally, open };
            asset.news = News::None;
        }
        let flight = Flight {
            listed: self.listed,
            stale: std::mem::take(&mut self.stale),
            full_at: self.full_at,
            readings: entry::readings(&data) + entry::readings(&inherited),
            assets: chosen,
        };
        let known = ASSETS + u32::try_from(self.registry.assets.len()).unwrap_or(u32::MAX - ASSETS);
        parts.extend(flight.stale.iter().filter(|id| **id >= known).map(|id| (*id, None)));
        if self.listed != self.registry.assets.len() || !flight.stale.is_empty() {
            self.listed = self.registry.assets.len();
            parts.push((DIRECTORY, Some(self.directory_part())));
        }
        if self.registry.assets.iter().all(|asset| asset.news == News::None) {
            self.full_at = now.wall;
        }
        let reduced_head = manner.reduced.then(|| {
            let mut unsaved = ledger::Ledger::default();
            for record in data.iter().chain(inherited.iter().filter(|record| entry::lane(record) == DATA)) {
                unsaved.hold(loss_of(record, LossReason::SpoolFull));
            }
            self.head_part(now, manner, &unsaved.drain())
        });
        parts.push((HEAD, Some(self.head_part(now, manner, &[]))));
        self.flight = Some(flight);
        Commit { urgent, data, inherited, parts, reduced_head, overflow: self.overflow }
    }

    fn head_part(&self, now: Now, manner: Manner, unsaved: &[Loss]) -> Vec<u8> {
        let written = self.registry.assets.iter().map(|asset| asset.written);
        let (tally, open) = written.fold((Tally::default(), 0), |(tally, open), w| (tally.plus(w.tally), open + w.open));
        let head = Head {
            committed_at: now.wall,
            full_at: self.full_at,
            boot_id: self.boot_id,
            clean: manner.clean,
            idle: manner.idle,
            interval_us: manner.interval_us,
            ledger: Cow::Borrowed(&self.out.ledger),
            lost_after: self.out.lost_after,
            lost_before: self.out.lost_before,
            departed: self.departed,
            tally,
            open,
            unsaved: Cow::Borrowed(unsaved),
            budget: manner.budget,
        };
        checkpoint::write(&head, 256)
    }

    /// What became of the commit: its checkpoint is durable or not, and of its records these are not.
    pub fn settled(&mut self, now: Now, durable: bool, back: Commit, reason: LossReason) {
        let Some(flight) = self.flight.take() else { return };
        if !durable {
            for asset in &flight.assets {
                self.registry.note(*asset, News::Due);
            }
            self.listed = flight.listed;
            self.stale = flight.stale;
            self.full_at = flight.full_at;
        }
        for (queue, records) in
            [(&mut self.out.urgent, back.urgent), (&mut self.out.data, back.data), (&mut self.out.inherited, back.inherited)]
        {
            for record in records.into_iter().rev() {
                queue.push_front(record);
            }
        }
        self.out.reason = reason;
        self.out.shed();
        self.out.tell_losses(now.mono_us);
    }

    /// The account of readings; `held` is for the spool to say.
    pub fn books(&self) -> Books {
        let assets = &self.registry.assets;
        let Tally { taken, duplicates, late } = assets.iter().fold(self.departed, |sum, asset| sum.plus(asset.tally));
        let open: u64 = self.registry.signals.iter().map(|signal| signal.series.open_readings()).sum();
        Books {
            taken,
            lost_after: self.out.lost_after.saturating_add(self.relieved),
            lost_before: self.out.lost_before,
            duplicates,
            late,
            open: open + self.out.readings() + self.flight.as_ref().map_or(0, |flight| flight.readings),
            held: 0,
        }
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
            books: self.books(),
            duplicates_total: self.totals.duplicates,
            late_total: self.totals.late,
            anomalies_total: self.totals.anomalies,
            open_windows: signals.iter().map(|s| s.series.open()).sum(),
            held_back: waiting_parts + gaps + self.out.ledger.counted(),
            pending_records: self.out.len(),
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
