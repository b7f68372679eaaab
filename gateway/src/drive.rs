//! The pipeline's thread: the one owner of [`Pipeline`]. Feeds it samples and time, and hands what it makes to the commit thread.
//!
//! ```text
//! lanes --take a slice of each--> Pipeline --Commit (one under way)--> commit thread --> spool
//! ```
//! When a commit is slow or refused, sampling goes on: records wait here, at most `limits.max_pending_records` of them; beyond that the
//! oldest are dropped and booked as lost.
//!
//! Invariant: this thread waits for nothing but its inbox; every sample is given to the pipeline once; a commit that failed is tried again
//! before any newer one.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use protocol::{AssetPath, Loss, LossReason, Record, SignalName, Timestamp};

use crate::{
    clock::{self, Now},
    commit::{Committer, Outcome, Reason},
    config::{Config, SourceId},
    decode::modbus::Role,
    inbox::Inbox,
    pipeline::{Commit, Pipeline},
    source::{Event, Feed, Sample},
    status::Board,
};

/// Samples taken from each lane in one turn.
const SLICE: usize = 256;
const TICK: Duration = Duration::from_millis(100);
/// Commits that are wanted early (there are records) keep this distance, so that they are grouped.
const GROUPING: Duration = Duration::from_millis(200);
/// After a commit was refused.
const RETRY: Duration = Duration::from_secs(1);
/// A clean end gives the disk this long.
const LAST_COMMIT: Duration = Duration::from_secs(20);

/// Something that another part has dropped and that is to be booked.
#[derive(Debug, Clone)]
pub enum Dropped {
    Loss(Loss),
    Records(Vec<Record>, LossReason),
}

/// The running thread.
pub struct Drive {
    thread: JoinHandle<bool>,
}

/// What the thread is made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub pipeline: Pipeline,
    pub inbox: Inbox<Sample>,
    pub feeds: Vec<Feed>,
    pub committer: Committer,
    /// Losses from the uploader.
    pub dropped: mpsc::Receiver<Dropped>,
    pub board: Arc<Board>,
}

impl Drive {
    /// Starts the thread; it ends when the inbox is closed and empty.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(parts: Parts) -> std::io::Result<Self> {
        let driver = Driver {
            parts,
            unsaved: None,
            under_way: None,
            last_commit: clock::now().mono_us,
            retry_at: 0,
            changed: false,
            last_tick: 0,
            complained: false,
        };
        Ok(Self { thread: std::thread::Builder::new().name("pipeline".into()).spawn(move || driver.run())? })
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end. True if the last commit, with the mark of a clean end, became durable.
    pub fn join(self) -> bool {
        self.thread.join().unwrap_or(false)
    }
}

struct Driver {
    parts: Parts,
    /// A commit that came back; goes before anything newer.
    unsaved: Option<Commit>,
    /// Records in the commit under way.
    under_way: Option<usize>,
    last_commit: u64,
    /// Not before this moment (monotonic) after a refusal.
    retry_at: u64,
    /// Something came in since the last commit was made.
    changed: bool,
    last_tick: u64,
    complained: bool,
}

impl Driver {
    fn run(mut self) -> bool {
        let mut samples = Vec::new();
        loop {
            self.parts.inbox.take(SLICE, TICK, &mut samples);
            let idle = samples.is_empty();
            for sample in samples.drain(..) {
                self.take_in(sample);
            }
            let now = clock::now();
            if now.mono_us.saturating_sub(self.last_tick) >= micros(TICK) {
                self.last_tick = now.mono_us;
                self.tick(now);
            }
            while let Some(outcome) = self.parts.committer.outcome() {
                self.settle(now, outcome);
            }
            self.commit_if_due(now);
            if idle && self.parts.inbox.is_closed() && self.parts.inbox.is_empty() {
                return self.finish();
            }
        }
    }

    fn take_in(&mut self, Sample { source, event }: Sample) {
        self.changed = true;
        match event {
            Event::Message(message) => {
                let topic = String::from_utf8_lossy(&message.topic);
                self.parts.pipeline.message(message.received, source, &topic, &message.payload);
            }
            Event::Poll { device, result, received } => self.parts.pipeline.poll(received, device, &result),
            Event::Overrun { messages, received } => {
                tracing::error!(messages, "the broker overran its segments: acknowledged messages were lost");
                let detail = format!("{messages} acknowledged messages were overwritten in the broker before they were read");
                // Senders with a sequence of their own show by it what is missing, and that is booked, in readings and by signal.
                let told_by_sequence = self.parts.config.topics.iter().all(|topic| topic.fields.sequence.is_some());
                self.book(received, LossReason::BrokerOverrun, if told_by_sequence { 0 } else { messages }, detail);
            }
            Event::TooLarge { bytes, received } => {
                tracing::warn!(bytes, "a message over the size limit was refused and its sender disconnected");
                self.book(received, LossReason::TooLarge, 1, format!("a packet of {bytes} bytes"));
            }
            Event::NotAdmitted => {
                if let Some(feed) = self.parts.feeds.iter().find(|feed| feed.source == source) {
                    let attempts = feed.health.count_not_admitted();
                    tracing::warn!(attempts, "an MQTT client with a wrong name or password was refused");
                }
            }
        }
    }

    fn book(&mut self, now: Now, reason: LossReason, count: u64, detail: String) {
        self.parts
            .pipeline
            .loss(now, Loss { asset: None, signal: None, reason, count, from: now.wall, to: now.wall.plus_micros(1), detail });
    }

    fn tick(&mut self, now: Now) {
        let mut refused = Vec::new();
        for feed in &self.parts.feeds {
            match feed.health.take_refused() {
                0 => {}
                events => refused.push((feed.source, events)),
            }
        }
        for (source, events) in refused {
            self.refused(now, source, events);
        }
        while let Ok(dropped) = self.parts.dropped.try_recv() {
            self.changed = true;
            match dropped {
                Dropped::Loss(loss) => self.parts.pipeline.loss(now, loss),
                Dropped::Records(records, reason) => self.parts.pipeline.lost_records(now, &records, reason),
            }
        }
        self.parts.pipeline.tick(now);
        self.shed(now);
        let waiting = self.under_way.unwrap_or(0) + self.unsaved.as_ref().map_or(0, |commit| commit.records.len());
        self.parts.board.pipeline(
            now,
            self.parts.pipeline.stats(),
            waiting,
            self.changed || self.under_way.is_some() || self.unsaved.is_some(),
        );
    }

    /// Events of a source that found no room in its lane.
    fn refused(&mut self, now: Now, source: SourceId, events: u64) {
        self.changed = true;
        let detail = "the lane from the source was full";
        let mut devices = self.parts.config.devices.iter().enumerate();
        let device = devices.find(|(index, _)| self.parts.config.device_source(*index) == source);
        // A device with a sequence of its own shows by it what is missing.
        let told_by_sequence = device.is_some_and(|(_, device)| device.points.iter().any(|point| point.role == Role::Sequence));
        let count = if told_by_sequence { 0 } else { events };
        let losses: Vec<(Option<AssetPath>, Option<SignalName>)> = match device {
            Some((_, device)) => device.signals.iter().map(|s| (Some(device.asset.clone()), Some(s.name.clone()))).collect(),
            None => vec![(None, None)],
        };
        for (asset, signal) in losses {
            let to: Timestamp = now.wall.plus_micros(1);
            let loss = Loss { asset, signal, reason: LossReason::QueueFull, count, from: now.wall, to, detail: detail.into() };
            self.parts.pipeline.loss(now, loss);
        }
    }

    /// Keeps what waits for the disk within its limit: the oldest records go, and are booked.
    fn shed(&mut self, now: Now) {
        let limit = self.parts.config.limits.max_pending_records;
        let Some(unsaved) = &mut self.unsaved else { return };
        let waiting = unsaved.records.len() + self.parts.pipeline.pending_records();
        let surplus = waiting.saturating_sub(limit).min(unsaved.records.len());
        if surplus > 0 {
            let oldest: Vec<Record> = unsaved.records.drain(..surplus).collect();
            self.parts.pipeline.lost_records(now, &oldest, LossReason::SpoolFull);
        }
    }

    fn commit_if_due(&mut self, now: Now) {
        if self.under_way.is_some() || now.mono_us < self.retry_at {
            return;
        }
        let since = now.mono_us.saturating_sub(self.last_commit);
        let interval = micros(self.parts.config.durability.commit_interval());
        let wanted = self.parts.pipeline.pending_records() > 0 && since >= micros(GROUPING).min(interval);
        let due = self.changed && since >= interval;
        if wanted || due || self.unsaved.is_some() {
            self.commit(now, false);
        }
    }

    fn commit(&mut self, now: Now, clean: bool) {
        self.last_commit = now.mono_us;
        self.changed = false;
        let fresh = self.parts.pipeline.commit(now, clean);
        let commit = match self.unsaved.take() {
            None => fresh,
            Some(mut older) => {
                older.records.extend(fresh.records);
                Commit { records: older.records, checkpoint: fresh.checkpoint }
            }
        };
        let records = commit.records.len();
        match self.parts.committer.submit(commit) {
            Ok(()) => self.under_way = Some(records),
            Err(commit) => self.unsaved = Some(commit),
        }
    }

    fn settle(&mut self, now: Now, outcome: Outcome) {
        self.under_way = None;
        match outcome {
            Outcome::Durable { unencodable, .. } => {
                if std::mem::take(&mut self.complained) {
                    tracing::info!("the spool takes records again");
                }
                self.parts.board.commit_succeeded(now);
                if !unencodable.is_empty() {
                    self.parts.pipeline.lost_records(now, &unencodable, LossReason::Rejected);
                }
            }
            Outcome::Failed { commit, reason } => {
                self.unsaved = Some(commit);
                self.retry_at = now.mono_us + micros(RETRY);
                self.parts.board.commit_failed(&reason.to_string());
                if !std::mem::replace(&mut self.complained, true) {
                    let hint = match reason {
                        Reason::Full(_) => "records wait in memory; raise spool.max_bytes or let the collector take the backlog",
                        Reason::Broken(_) | Reason::Closed => "records wait in memory; check the disk",
                    };
                    tracing::error!(%reason, hint, "records can't be made durable");
                }
            }
        }
    }

    /// The last commit, marked clean; open windows stay in its checkpoint.
    fn finish(mut self) -> bool {
        let deadline = clock::now().after(LAST_COMMIT).mono_us;
        let mut clean_sent = false;
        loop {
            let now = clock::now();
            let patience = Duration::from_micros(deadline.saturating_sub(now.mono_us));
            if self.under_way.is_some() {
                let Some(outcome) = self.parts.committer.wait(patience) else { return false };
                let durable = matches!(outcome, Outcome::Durable { .. });
                self.settle(now, outcome);
                if clean_sent && durable {
                    self.parts.board.pipeline(now, self.parts.pipeline.stats(), 0, false);
                    return true;
                }
            }
            if patience.is_zero() || !self.parts.committer.is_alive() {
                return false;
            }
            if now.mono_us < self.retry_at {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            self.tick(now);
            self.commit(clock::now(), true);
            clean_sent = true;
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
