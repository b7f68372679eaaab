//! The gateway without its threads: samples and time in, commits out.
//!
//! Stands between the sources and the commit thread. Owns the [`Pipeline`] and decides when what it made is to become durable:
//!
//! | what | when |
//! |---|---|
//! | that the run has begun, and what it found | at once, before samples are taken |
//! | records, with the state of their assets | [`GROUPING`] after the last commit |
//! | the state of all assets that changed | half of the durability interval after the last such commit |
//! | that nothing comes in | after [`IDLE`], then each [`IDLE_AGAIN`]; not before half of the durability interval |
//! | what came back from a disk that is full or failed | each [`RETRY`], with what was made meanwhile |
//!
//! Under a write budget that will not do, what goes by intervals is stretched (`budget`). Pure: the simulation drives it as the program does.
//!
//! Invariants: one commit is under way at a time; records that came back go before newer ones; each sample is taken in once.

use std::time::Duration;

use protocol::{AssetPath, Books, Loss, LossReason, Record, SignalName};

use crate::{
    budget::Budget,
    clock::Now,
    commit::{Outcome, Reason, Relief},
    config::{Config, DurabilityMode, SourceId},
    decode::modbus::Role,
    pipeline::{Manner, Pipeline, Stats},
    source::{Event, Sample},
    timeline::Shift,
};

pub use crate::pipeline::Commit;

/// Commits that are wanted early (there are records) keep this distance, so that they are grouped.
pub const GROUPING: Duration = Duration::from_millis(200);
/// Without anything new for so long (or half the durability interval), one more commit says so.
pub const IDLE: Duration = Duration::from_secs(2);
/// Then it is said this often: what a power cut may have taken came in after the last commit, and 144 small writes a day are little.
pub const IDLE_AGAIN: Duration = Duration::from_secs(600);
/// After a commit was refused.
pub const RETRY: Duration = Duration::from_secs(1);

/// Something that another part has dropped and that is to be booked.
#[derive(Debug, Clone)]
pub enum Dropped {
    Loss(Loss),
    Records(Vec<Record>, LossReason),
    /// Entries of the spool that can't be delivered: the collector has been told these losses in their place, so that they are only to be counted.
    Told(Vec<Loss>),
}

/// How the core is.
#[derive(Debug, Clone, Default)]
pub struct CoreView {
    pub stats: Stats,
    /// Records in the commit under way.
    pub uncommitted: usize,
    /// A commit is under way: what is in the spool and what in the core is not known just now.
    pub committing: bool,
    /// Something came in that no durable checkpoint covers.
    pub changed: bool,
    /// Since when (monotonic) commits fail, and why.
    pub failing: Option<(u64, String)>,
    pub writes: Writes,
}

/// What is written to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Writes {
    pub today: u64,
    pub budget: u64,
    /// What the day will come to.
    pub projection: u64,
    /// How many times as long intervals are because of it.
    pub stretch: f64,
    /// Bytes of new entries a second; 0 if that is not known yet.
    pub entries_per_second: f64,
}

/// See the module.
pub struct Core {
    pipeline: Pipeline,
    devices: Vec<Device>,
    /// All topics carry sequences: what is missing shows by them.
    topics_have_sequences: bool,
    mode: DurabilityMode,
    interval_us: u64,
    budget: Budget,
    last_commit: u64,
    last_full: u64,
    /// Not before this moment (monotonic) after a refusal.
    retry_at: u64,
    /// Something came in since the last full commit was made.
    changed: bool,
    under_way: Option<UnderWay>,
    /// The first commit was made.
    begun: bool,
    /// The last full commit says that nothing comes in.
    idle: bool,
    failing: Option<Failing>,
    /// For the records of the commit under way, should they come back: they are on the timeline of before.
    shift: Option<Shift>,
    appended: Appended,
}

#[derive(Debug)]
struct Device {
    source: SourceId,
    asset: AssetPath,
    signals: Vec<SignalName>,
    has_sequence: bool,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    records: usize,
    full_before: u64,
}

#[derive(Debug)]
struct Failing {
    since_us: u64,
    why: String,
    full: bool,
}

/// Bytes of entries, for their rate.
#[derive(Debug, Default)]
struct Appended {
    since_us: u64,
    bytes: u64,
    rate: f64,
}

impl Core {
    /// A core that goes on from the spool's checkpoint.
    pub fn new(config: &Config, restored: &[(u32, Vec<u8>)], now: Now, boot_id: u64) -> Self {
        let pipeline = Pipeline::new(config, restored, now, boot_id);
        let device = |(index, device): (usize, &crate::config::Device)| Device {
            source: config.device_source(index),
            asset: device.asset.clone(),
            signals: device.signals.iter().map(|signal| signal.name.clone()).collect(),
            has_sequence: device.points.iter().any(|point| point.role == Role::Sequence),
        };
        Self {
            devices: config.devices.iter().enumerate().map(device).collect(),
            topics_have_sequences: config.topics.iter().all(|topic| topic.fields.sequence.is_some()),
            mode: config.durability.mode,
            interval_us: micros(config.durability.interval),
            budget: Budget::new(config.spool.write_budget_per_day, pipeline.budget(), now),
            last_commit: now.mono_us,
            last_full: now.mono_us,
            retry_at: 0,
            changed: false,
            under_way: None,
            begun: false,
            idle: false,
            failing: None,
            shift: None,
            appended: Appended { since_us: now.mono_us, ..Appended::default() },
            pipeline,
        }
    }

    /// Takes in what a source has to say. (Who was not admitted is the source's own affair.)
    pub fn take_in(&mut self, Sample { source, event }: Sample) {
        self.changed = true;
        match event {
            Event::Message(message) => {
                let topic = String::from_utf8_lossy(&message.topic);
                self.pipeline.message(message.received, source, &topic, &message.payload);
            }
            Event::Poll { device, result, received } => self.pipeline.poll(received, device, &result),
            Event::Overrun { messages, received } => {
                let detail = format!("{messages} acknowledged messages were overwritten in the broker before they were read");
                // Senders with a sequence of their own show by it what is missing, and that is booked, in readings and by signal.
                self.book(received, LossReason::BrokerOverrun, if self.topics_have_sequences { 0 } else { messages }, detail);
            }
            Event::TooLarge { bytes, received } => self.book(received, LossReason::TooLarge, 1, format!("a packet of {bytes} bytes")),
            Event::NotAdmitted => {}
        }
    }

    /// Events of a source found no room in its lane.
    pub fn refused(&mut self, now: Now, source: SourceId, events: u64) {
        self.changed = true;
        let device = self.devices.iter().find(|device| device.source == source);
        // A device with a sequence of its own shows by it what is missing.
        let count = if device.is_some_and(|device| device.has_sequence) { 0 } else { events };
        let of: Vec<(Option<AssetPath>, Option<SignalName>)> = match device {
            Some(device) => device.signals.iter().map(|signal| (Some(device.asset.clone()), Some(signal.clone()))).collect(),
            None => vec![(None, None)],
        };
        for (asset, signal) in of {
            let detail = "the lane from the source was full".into();
            let (from, to) = (now.wall, now.wall.plus_micros(1));
            self.pipeline.loss(now, Loss { asset, signal, reason: LossReason::QueueFull, count, from, to, detail });
        }
    }

    /// Books what another part has dropped.
    pub fn dropped(&mut self, now: Now, dropped: Dropped) {
        self.changed = true;
        match dropped {
            Dropped::Loss(loss) => self.pipeline.loss(now, loss),
            Dropped::Records(records, reason) => self.pipeline.lost_records(now, &records, reason),
            Dropped::Told(losses) => self.pipeline.told(&losses),
        }
    }

    /// Lets time pass. Call it about ten times a second.
    pub fn tick(&mut self, now: Now) {
        self.pipeline.tick(now);
        self.appended.pass(now.mono_us);
    }

    /// The process has written so many bytes since it started.
    pub fn written(&mut self, now: Now, bytes: u64) {
        self.budget.observe(now, bytes);
    }

    /// What is to be made durable now, if anything is and nothing is under way.
    pub fn commit_due(&mut self, now: Now) -> Option<Commit> {
        if self.under_way.is_some() || now.mono_us < self.retry_at {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) {
            // Says that this run has begun, and tells what it found.
            return Some(self.commit(now, true, false, false));
        }
        let quiet = now.mono_us.saturating_sub(self.last_full);
        let full_interval = self.stretched(self.interval_us / 2);
        let full = self.changed && quiet >= full_interval;
        let grouping = self.stretched(micros(GROUPING)).min(full_interval);
        let wanted = self.pipeline.pending_records() > 0 && now.mono_us.saturating_sub(self.last_commit) >= grouping;
        if full || wanted || self.failing.is_some() {
            return Some(self.commit(now, full, false, false));
        }
        // What comes in next comes at no time that could be told beforehand.
        let said = if self.idle { IDLE_AGAIN } else { IDLE };
        (!self.changed && quiet >= full_interval.max(micros(said))).then(|| self.commit(now, true, false, true))
    }

    /// The last commit, marked clean; what is open stays in its checkpoint. Nothing may be under way.
    pub fn finish(&mut self, now: Now) -> Commit {
        self.commit(now, true, true, false)
    }

    /// Takes note of what became of the commit.
    pub fn settle(&mut self, now: Now, outcome: Outcome) {
        let Some(UnderWay { full_before, .. }) = self.under_way.take() else { return };
        let shift = self.shift.take();
        let (durable, mut back, failure) = match outcome {
            Outcome::Durable { bytes, unencodable, relief, .. } => {
                self.appended.bytes = self.appended.bytes.saturating_add(bytes);
                self.relieved(now, relief);
                self.pipeline.lost_records(now, &unencodable, LossReason::Rejected);
                (true, Commit::default(), None)
            }
            Outcome::Partial { rest, unencodable, relief, reason } => {
                self.relieved(now, relief);
                self.pipeline.lost_records(now, &unencodable, LossReason::Rejected);
                (true, rest, Some(reason))
            }
            Outcome::Failed { mut commit, relief, reason } => {
                self.relieved(now, relief);
                if matches!(reason, Reason::TooLarge(_)) {
                    // No amount of room would help.
                    let rest = commit.data.split_off(commit.data.len().div_ceil(2));
                    let oldest = std::mem::replace(&mut commit.data, rest);
                    self.pipeline.lost_records(now, &oldest, LossReason::SpoolFull);
                }
                self.changed = true;
                self.idle = false;
                self.last_full = full_before;
                (false, commit, Some(reason))
            }
        };
        let loss_reason = if failure.is_some() { LossReason::SpoolFull } else { LossReason::QueueFull };
        if let Some(shift) = &shift {
            back.shift(shift);
        }
        self.pipeline.settled(now, durable, back, loss_reason);
        match failure {
            None => self.failing = None,
            Some(reason) => {
                self.retry_at = now.mono_us.saturating_add(micros(RETRY));
                let since_us = self.failing.as_ref().map_or(now.mono_us, |failing| failing.since_us);
                self.failing = Some(Failing { since_us, why: reason.to_string(), full: matches!(reason, Reason::Full(_)) });
            }
        }
    }

    /// What time it is has become known: what was stamped before is moved, and begins nothing that goes on after.
    pub fn time_known(&mut self, now: Now, shift: &Shift) {
        self.changed = true;
        self.pipeline.time_known(now, shift);
        if self.under_way.is_some() {
            self.shift = Some(*shift);
        }
        self.pipeline.tick(now);
    }

    pub fn stats(&self) -> Stats {
        self.pipeline.stats()
    }

    /// The account of readings; `held` is for the spool to say.
    pub fn books(&self) -> Books {
        self.pipeline.books()
    }

    /// True while a commit is under way.
    pub fn is_committing(&self) -> bool {
        self.under_way.is_some()
    }

    /// When a commit may be tried again, if the last one failed (monotonic).
    pub fn retry_at(&self) -> u64 {
        self.retry_at
    }

    pub fn view(&self, now: Now) -> CoreView {
        CoreView {
            stats: self.pipeline.stats(),
            uncommitted: self.under_way.map_or(0, |under_way| under_way.records),
            committing: self.under_way.is_some(),
            changed: self.changed || self.under_way.is_some() || self.failing.is_some(),
            failing: self.failing.as_ref().map(|failing| (failing.since_us, failing.why.clone())),
            writes: Writes {
                today: self.budget.written_today(),
                budget: self.budget.per_day(),
                projection: self.budget.projection(now.wall),
                stretch: self.stretch(),
                entries_per_second: self.appended.rate,
            },
        }
    }

    fn commit(&mut self, now: Now, full: bool, clean: bool, idle: bool) -> Commit {
        let interval_us = i64::try_from(self.stretched(self.interval_us)).unwrap_or(i64::MAX);
        let reduced = self.failing.as_ref().is_some_and(|failing| failing.full);
        self.idle = idle || (self.idle && !full && !self.changed);
        let manner = Manner { full, clean, idle: self.idle, interval_us, reduced, budget: self.budget.account() };
        let commit = self.pipeline.commit(now, manner);
        self.under_way = Some(UnderWay { records: commit.records(), full_before: self.last_full });
        self.last_commit = now.mono_us;
        if full {
            self.last_full = now.mono_us;
            self.changed = false;
        }
        commit
    }

    fn relieved(&mut self, now: Now, relief: Relief) {
        self.pipeline.relieved(relief.lost, &relief.losses);
        for loss in relief.found {
            self.changed = true;
            self.pipeline.loss(now, loss);
        }
    }

    fn book(&mut self, now: Now, reason: LossReason, count: u64, detail: String) {
        let (from, to) = (now.wall, now.wall.plus_micros(1));
        self.pipeline.loss(now, Loss { asset: None, signal: None, reason, count, from, to, detail });
    }

    /// "reading" is a promise that no budget stretches.
    fn stretch(&self) -> f64 {
        if self.mode == DurabilityMode::Window { self.budget.stretch() } else { 1.0 }
    }

    fn stretched(&self, interval_us: u64) -> u64 {
        (interval_us as f64 * self.stretch()) as u64
    }
}

impl Appended {
    /// Reckons the rate anew each minute.
    fn pass(&mut self, now_us: u64) {
        let elapsed = now_us.saturating_sub(self.since_us);
        if elapsed >= 60_000_000 {
            let rate = self.bytes as f64 / (elapsed as f64 / 1e6);
            self.rate = if self.rate == 0.0 { rate } else { 0.8 * self.rate + 0.2 * rate };
            (self.since_us, self.bytes) = (now_us, 0);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
