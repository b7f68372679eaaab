//! The pipeline's thread: feeds samples and time to the [`Core`], and hands what it makes to the commit thread.
//!
//! ```text
//! lanes --take a slice of each--> Core --Commit (one under way)--> commit thread --> spool
//! ```
//! When a commit is slow or refused, sampling goes on: records wait in the core, at most `limits.max_pending_records` of them.
//!
//! Invariant: this thread waits for nothing but its inbox; every sample is given to the core once.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use protocol::TimeQuality;

use crate::{
    clock::{self, Now},
    commit::{Committer, Outcome},
    core::Core,
    inbox::Inbox,
    source::{Event, Feed, Sample},
    status::Board,
    store::Store,
};

pub use crate::core::Dropped;

/// Samples taken from each lane in one turn.
const SLICE: usize = 256;
const TICK: Duration = Duration::from_millis(100);
/// What the process has written is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// A clean end gives the disk this long.
const LAST_COMMIT: Duration = Duration::from_secs(20);

/// The running thread.
pub struct Drive {
    thread: JoinHandle<bool>,
}

/// What the thread is made of.
pub struct Parts {
    pub core: Core,
    pub boot_id: u64,
    /// When the core was made.
    pub began: Now,
    pub inbox: Inbox<Sample>,
    pub feeds: Vec<Feed>,
    pub committer: Committer,
    pub store: Arc<Store>,
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
        let provisional = Some(parts.began).filter(|began| began.time_quality == TimeQuality::Unsynced);
        let driver = Driver { parts, last_tick: 0, last_look: 0, complained: false, provisional };
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
    last_tick: u64,
    last_look: u64,
    complained: bool,
    /// The last reading of a clock that did not know the time; `None` once it does.
    provisional: Option<Now>,
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
            let now = self.now();
            if now.mono_us.saturating_sub(self.last_tick) >= micros(TICK) {
                self.last_tick = now.mono_us;
                self.tick(now);
            }
            while let Some(outcome) = self.parts.committer.outcome() {
                self.settle(now, outcome);
            }
            if let Some(commit) = self.parts.core.commit_due(now) {
                // It can only be refused if the thread has ended; then the process is ended too.
                let _ = self.parts.committer.submit(commit, now);
            }
            if !self.parts.committer.is_alive() {
                return false;
            }
            if idle && self.parts.inbox.is_closed() && self.parts.inbox.is_empty() {
                return self.finish();
            }
        }
    }

    /// The time. When it becomes known, everything that is not in the spool yet is moved to it at once; the uploader moves the rest.
    fn now(&mut self) -> Now {
        let now = self.parts.board.now();
        if now.time_quality == TimeQuality::Unsynced {
            self.provisional = Some(now);
        } else if let Some(provisional) = self.provisional.take() {
            let stamp = provisional.stamp(self.parts.boot_id, false);
            if let Some(shift) = self.parts.board.clock().shift(&stamp) {
                self.parts.core.time_known(now, &shift);
            }
        }
        now
    }

    fn take_in(&mut self, Sample { source, event }: Sample) {
        let mut event = event.settled(self.parts.board.clock());
        if self.provisional.is_some() {
            // The core is told before it is given anything that came after, or is settled already.
            self.now();
            event = event.settled(self.parts.board.clock());
        }
        match &event {
            Event::Overrun { messages, .. } => {
                tracing::error!(messages, "the broker overran its segments: acknowledged messages were lost");
            }
            Event::TooLarge { bytes, .. } => {
                tracing::warn!(bytes, "a message over the size limit was refused and its sender disconnected");
            }
            Event::NotAdmitted => {
                if let Some(feed) = self.parts.feeds.iter().find(|feed| feed.source == source) {
                    let attempts = feed.health.count_not_admitted();
                    tracing::warn!(attempts, "an MQTT client with a wrong name or password was refused");
                }
            }
            Event::Message(_) | Event::Poll { .. } => {}
        }
        self.parts.core.take_in(Sample { source, event });
    }

    fn tick(&mut self, now: Now) {
        let Parts { core, feeds, dropped, .. } = &mut self.parts;
        for feed in feeds {
            match feed.health.take_refused() {
                0 => {}
                events => core.refused(now, feed.source, events),
            }
        }
        while let Ok(dropped) = dropped.try_recv() {
            core.dropped(now, dropped);
        }
        core.tick(now);
        if now.mono_us.saturating_sub(self.last_look) >= micros(LOOK) {
            self.last_look = now.mono_us;
            let spool = self.parts.store.spool();
            if let Some(bytes) = clock::bytes_written().or_else(|| spool.map(|spool| spool.counters().bytes_written)) {
                self.parts.core.written(now, bytes);
            }
        }
        self.parts.board.core(now, self.parts.core.view(now));
    }

    fn settle(&mut self, now: Now, outcome: Outcome) {
        let failed = match &outcome {
            Outcome::Durable { .. } => None,
            Outcome::Partial { reason, .. } | Outcome::Failed { reason, .. } => Some(reason.to_string()),
        };
        match failed {
            None => {
                if std::mem::take(&mut self.complained) {
                    tracing::info!("the spool takes records again");
                }
            }
            Some(reason) => {
                if !std::mem::replace(&mut self.complained, true) {
                    let hint = "records wait in memory; let the collector take the backlog or raise spool.max_bytes, and if the volume is full, free it \
                                or lower spool.min_free";
                    tracing::error!(reason, hint, "records can't be made durable");
                }
            }
        }
        self.parts.core.settle(now, outcome);
    }

    /// The last commit, marked clean; open windows stay in its checkpoint.
    fn finish(mut self) -> bool {
        let deadline = self.now().after(LAST_COMMIT).mono_us;
        let mut clean_sent = false;
        loop {
            let now = self.now();
            let patience = Duration::from_micros(deadline.saturating_sub(now.mono_us));
            if self.parts.core.is_committing() {
                let Some(outcome) = self.parts.committer.wait(patience) else { return false };
                let durable = matches!(outcome, Outcome::Durable { .. });
                self.settle(now, outcome);
                if clean_sent && durable {
                    self.parts.board.core(now, self.parts.core.view(now));
                    return true;
                }
            }
            if patience.is_zero() || !self.parts.committer.is_alive() {
                return false;
            }
            if now.mono_us < self.parts.core.retry_at() {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            self.tick(now);
            let commit = self.parts.core.finish(now);
            if self.parts.committer.submit(commit, now).is_err() {
                return false;
            }
            clean_sent = true;
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
