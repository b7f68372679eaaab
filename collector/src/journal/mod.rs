//! The journal: the durable queue between the acknowledgement and the lake, and the thread that owns it and the ledger.
//!
//! Stands between `ingest` (which queues decoded batches here) and `pipeline` (which applies them in the journal's order).
//!
//! One thread takes what waits and hands it to the [`Intake`], which decides, writes all that is fresh in one durable append (so that concurrent
//! requests share a sync) and answers; then it passes entries on. Two requests of one gateway can't race: there is one decider.
//!
//! Invariants: a batch is passed on, and thereby acknowledged, only after it is durable; entries reach the pipeline in the order of the journal; a
//! journal that fails takes nobody with it: batches are refused until an append works again.

pub mod entry;

use std::{path::Path, sync::Arc, thread};

use protocol::{BatchAck, GatewayId, Timestamp};
use spool::{Spool, SpoolError};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use crate::{
    app::App,
    clock,
    health::Part,
    intake::{Entry, Incoming, Intake, IntakeError, spool_time},
    metrics,
    pacing::Fill,
    pipeline::Progress,
};

/// Batches that share one append.
const GROUP_BATCHES: usize = 64;
/// Bytes that share one append.
const GROUP_BYTES: usize = 4 << 20;
/// Looks at the lake for what another collector may have put there, at most so often.
const LAKE_EVERY_US: i64 = 1_000_000;
/// Streams that nobody will ask for are let go so often.
const FORGET_EVERY_US: i64 = 3_600_000_000;

/// A batch, and who waits for its answer.
pub struct Waiting {
    pub incoming: Incoming,
    pub reply: Reply,
}

pub type Reply = oneshot::Sender<Result<BatchAck, Refusal>>;

/// What the thread is asked.
pub enum Request {
    Batch(Box<Waiting>),
    /// Answered by the pipeline: proves that batches flow.
    Ping(oneshot::Sender<()>),
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the journal is full: rows wait for the lake")]
    Full,
    #[error("the journal failed")]
    Failed,
}

/// What the pipeline gets.
pub enum Applied {
    Batch(Box<Entry>, Reply, BatchAck),
    Ping(oneshot::Sender<()>),
}

/// Opens the journal's spool. Damage is reported; it is never a reason not to start.
///
/// # Errors
/// [`SpoolError`].
pub fn open(dir: &Path, max_bytes: u64, now: Timestamp) -> Result<Spool, SpoolError> {
    // What was acknowledged is in the lake.
    let options = spool::Options { max_bytes, keep_acknowledged_bytes: 0, ..spool::Options::default() };
    let (spool, report) = Spool::open_dir(dir, options, spool_time(now))?;
    report_salvaged(&report.salvaged);
    Ok(spool)
}

fn report_salvaged(salvaged: &[spool::Salvaged]) {
    for generation in salvaged {
        metrics::journal_corrupt(generation.entries_lost);
        tracing::error!(?generation, "a part of the journal was damaged: what it lost and the lake does not hold is asked for again");
    }
}

/// Starts the thread. It ends, in order, when all senders of its queue are gone, and then closes the pipeline's queue.
///
/// # Errors
/// [`std::io::Error`] if the system gives no thread.
pub fn start(
    app: App,
    intake: Intake,
    progress: Progress,
    queue: mpsc::Receiver<Request>,
    pipeline: mpsc::Sender<Applied>,
) -> std::io::Result<thread::JoinHandle<()>> {
    let now = clock::now();
    let owner = Owner { app, intake, progress, pipeline, runtime: Handle::current(), asked_lake_at: now, forgot_at: now };
    thread::Builder::new().name("journal".into()).spawn(move || owner.run(queue))
}

struct Owner {
    app: App,
    intake: Intake,
    progress: Progress,
    pipeline: mpsc::Sender<Applied>,
    runtime: Handle,
    asked_lake_at: Timestamp,
    forgot_at: Timestamp,
}

/// What was taken from the queue at once.
#[derive(Default)]
struct Group {
    batches: Vec<Incoming>,
    replies: Vec<Reply>,
    pings: Vec<oneshot::Sender<()>>,
    bytes: usize,
}

impl Group {
    fn add(&mut self, request: Request) {
        match request {
            Request::Ping(reply) => self.pings.push(reply),
            Request::Batch(waiting) => {
                self.bytes += waiting.incoming.bytes.len();
                self.batches.push(waiting.incoming);
                self.replies.push(waiting.reply);
            }
        }
    }
}

impl Owner {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            let mut group = Group::default();
            group.add(request);
            while group.batches.len() < GROUP_BATCHES && group.bytes < GROUP_BYTES {
                let Ok(request) = queue.try_recv() else { break };
                group.add(request);
            }
            if !self.take(group) {
                // The pipeline ends with this thread, and says so.
                return;
            }
        }
    }

    /// False if there is no pipeline any more.
    fn take(&mut self, group: Group) -> bool {
        let now = clock::now();
        self.look_around(now);
        let gateways: Vec<GatewayId> = group.batches.iter().map(|incoming| incoming.batch.gateway.clone()).collect();
        let taken = match self.intake.take(now, group.batches) {
            Ok(taken) => taken,
            Err(error) => {
                self.refuse(group.replies, &error);
                // Pings stay unanswered: batches do not flow. The watchdog asks again before it gives up.
                return true;
            }
        };
        if !taken.is_empty() {
            self.app.health.recovered(Part::Journal);
        }
        for gateway in gateways {
            let ledger = self.intake.ledger();
            if ledger.missed(&gateway) {
                self.progress.missed(&gateway);
            }
            let (forked_since, generations) =
                ledger.branches(&gateway).map_or((None, 0), |known| (known.forked_since(), known.generations()));
            self.app.tally.note(&gateway, |tally| (tally.forked_since, tally.generations) = (forked_since, generations));
        }
        for ((ack, entry), reply) in taken.into_iter().zip(group.replies) {
            match entry {
                Some(entry) => {
                    if self.pipeline.blocking_send(Applied::Batch(Box::new(entry), reply, ack)).is_err() {
                        return false;
                    }
                }
                // Who has gone away asks again.
                None => _ = reply.send(Ok(ack)),
            }
        }
        group.pings.into_iter().all(|ping| self.pipeline.blocking_send(Applied::Ping(ping)).is_ok())
    }

    fn look_around(&mut self, now: Timestamp) {
        report_salvaged(&self.intake.spool().take_reports());
        let room = self.intake.spool().room();
        let lake = &self.app.config.lake;
        let fill = Fill::of(self.app.lake.hot_rows(), lake.max_hot_rows, room.used, room.max);
        self.intake.set_fill(fill);
        metrics::pace(self.intake.catching_up(), fill);
        if self.intake.ledger().wants_the_lake() && now.micros_since(self.asked_lake_at) >= LAKE_EVERY_US {
            self.asked_lake_at = now;
            match self.runtime.block_on(self.app.lake.newest_marks()) {
                Ok(marks) => self.intake.ledger_mut().learn(marks, now),
                // Then nothing that may be elsewhere is given up yet.
                Err(error) => tracing::warn!(%error, "cannot see what another collector has put into the lake"),
            }
        }
        if now.micros_since(self.forgot_at) >= FORGET_EVERY_US {
            self.forgot_at = now;
            for (gateway, forgotten) in self.intake.ledger_mut().forget(now) {
                tracing::info!(%gateway, generations = forgotten.generations.len(), "streams of long ago are let go");
                if let Err(error) = self.runtime.block_on(self.app.store.forget_generations(&gateway, &forgotten)) {
                    tracing::warn!(%gateway, %error, "streams of long ago stay in the database; the next start finds them again");
                }
            }
        }
    }

    fn refuse(&self, replies: Vec<Reply>, error: &IntakeError) {
        let refusal = if error.is_full() { Refusal::Full } else { Refusal::Failed };
        tracing::error!(error = error as &dyn std::error::Error, batches = replies.len(), "the journal did not take batches");
        self.app.health.failed(Part::Journal, error.to_string());
        for reply in replies {
            let _ = reply.send(Err(refusal.clone()));
        }
    }
}

/// Entries that the journal holds and has not let go.
pub fn entries(spool: &Arc<Spool>) -> u64 {
    let lane = crate::intake::LANE.index();
    spool.view().iter().map(|generation| generation.lanes[lane].next - generation.lanes[lane].acked.saturating_add(1)).sum()
}
