//! From the journal to where it is asked for: hot rows, twin, live events; and from memory to the lake's files.
//!
//! Stands behind the journal. One task applies entries in the journal's order and then acknowledges; another commits hot rows to the lake
//! and lets the journal delete what they came from.
//!
//! Invariant: the journal lets an entry go only after a commit that began when all its rows were hot. If the lake fails, the journal keeps.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lake::StoredRow;
use parking_lot::Mutex;
use protocol::{GatewayId, StampedRecord};
use spool::Spool;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    health::Part,
    intake::{Entry, LANE, Place},
    journal::{self, Applied, entry::FreshRow},
    ledger::Step,
    live::LiveEvent,
    metrics,
    store::LedgerChanges,
};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// How far entries have been applied; shared by the two tasks and the journal's thread.
#[derive(Clone, Default)]
pub struct Progress {
    inner: Arc<Mutex<Reached>>,
    rows_wait: Arc<Notify>,
}

#[derive(Default)]
struct Reached {
    /// All journal entries up to here are in hot rows or files, by generation of the journal.
    places: BTreeMap<u64, u64>,
    /// What has moved since the last commit.
    changes: LedgerChanges,
}

impl Progress {
    fn reached(&self, place: Place, gateway: &GatewayId, step: &Step) {
        let mut reached = self.inner.lock();
        let seq = reached.places.entry(place.ordinal).or_default();
        *seq = place.seq.max(*seq);
        reached.changes.marks.insert((gateway.clone(), step.stream), step.mark);
        for (stream, mark) in &step.gone {
            reached.changes.marks.insert((gateway.clone(), *stream), *mark);
        }
        for (generation, link) in step.links() {
            reached.changes.links.insert((gateway.clone(), generation), link);
        }
    }

    /// The gateway held something acknowledged that was not here.
    pub fn missed(&self, gateway: &GatewayId) {
        let mut reached = self.inner.lock();
        if !reached.changes.missed.contains(gateway) {
            reached.changes.missed.push(gateway.clone());
        }
    }
}

/// Applies entries until the journal's thread has ended and everything is applied.
pub async fn apply(app: App, progress: Progress, mut entries: mpsc::Receiver<Applied>) {
    while let Some(applied) = entries.recv().await {
        match applied {
            Applied::Ping(reply) => _ = reply.send(()),
            Applied::Batch(entry, reply, ack) => {
                apply_entry(&app, &progress, *entry);
                // Who has gone away asks again and is told that it is a duplicate.
                let _ = reply.send(Ok(ack));
            }
        }
    }
}

/// One entry: hot rows first, so that whoever hears of it can also ask for it.
pub fn apply_entry(app: &App, progress: &Progress, entry: Entry) {
    push(app, &entry);
    let readings = entry.counts().stored;
    let Entry { place, gateway, received_at, step, rows, fences: _ } = entry;
    let rows: Vec<StampedRecord> = rows.into_iter().map(|row| StampedRecord { seq: row.seq, record: row.record }).collect();
    app.twin.apply(&gateway, received_at, &rows);
    metrics::stored(rows.len() as u64, readings);
    app.tally.note(&gateway, |tally| tally.readings_stored += readings);
    progress.reached(place, &gateway, &step);
    app.live.publish(LiveEvent::Records { gateway, records: rows });
    if app.lake.hot_rows() >= app.config.lake.commit_rows {
        progress.rows_wait.notify_one();
    }
}

/// An entry that was acknowledged before this start: hot rows only. The twin is rebuilt from the lake afterwards.
pub fn replay_entry(app: &App, progress: &Progress, entry: Entry) {
    push(app, &entry);
    progress.reached(entry.place, &entry.gateway, &entry.step);
}

fn push(app: &App, entry: &Entry) {
    let row = |row: &FreshRow| StoredRow {
        gateway: entry.gateway.clone(),
        stream: row.stream,
        seq: row.seq,
        ingested_at: entry.received_at,
        stamp: row.stamp,
        record: row.record.clone(),
    };
    app.lake.push(entry.rows.iter().map(row).collect());
    for (stream, through) in &entry.fences {
        app.lake.fence(&entry.gateway, *stream, *through);
    }
}

/// What a commit needs.
pub struct Committer {
    pub app: App,
    pub journal: Arc<Spool>,
    pub progress: Progress,
    /// Told when only a new start helps.
    pub fatal: CancellationToken,
}

/// Why a commit did not come about; the journal keeps what it holds.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("the lake: {0}")]
    Lake(#[from] lake::LakeError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("the journal: {0}")]
    Journal(#[from] spool::SpoolError),
    #[error("the journal's task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Committer {
    /// Commits at the configured interval or number of rows until `stop`, then a last time; true if that worked.
    pub async fn run(self, stop: CancellationToken) -> bool {
        let settings = self.app.config.lake.clone();
        let (mut retry, mut commits) = (FIRST_RETRY, 0u32);
        let mut wait = settings.commit_interval;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Not while it fails: then only the clock tells when to try again.
                () = self.progress.rows_wait.notified(), if retry == FIRST_RETRY => {}
                () = stop.cancelled() => break,
            }
            if self.commit_and_tell().await {
                (wait, retry) = (settings.commit_interval, FIRST_RETRY);
                commits += 1;
                if commits % settings.compact_every == 0 {
                    self.compact().await;
                }
            } else {
                wait = retry.mul_f64(0.75 + 0.5 * rand::random::<f64>());
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
        self.commit_and_tell().await
    }

    /// True if it worked.
    async fn commit_and_tell(&self) -> bool {
        let rows = self.app.lake.hot_rows();
        let began = Instant::now();
        let done = commit(&self.app, &self.journal, &self.progress).await;
        metrics::commit(began.elapsed(), done.is_ok());
        metrics::levels(self.app.lake.hot_rows(), journal::entries(&self.journal), self.journal.room().used);
        match done {
            Ok(()) => {
                tracing::debug!(rows, took = ?began.elapsed(), "committed");
                self.app.health.recovered(Part::Lake);
                if self.journal.room().level != spool::Level::Full {
                    // If it was full, it has room now; another failure of it shows again with the next batch.
                    self.app.health.recovered(Part::Journal);
                }
                true
            }
            Err(error) => {
                tracing::error!(rows, error = &error as &dyn std::error::Error, "rows did not reach the lake; the journal keeps them");
                self.app.health.failed(Part::Lake, error.to_string());
                if matches!(error, CommitError::Lake(lake::LakeError::Poisoned { .. } | lake::LakeError::Closed)) {
                    self.fatal.cancel();
                }
                false
            }
        }
    }

    async fn compact(&self) {
        let began = Instant::now();
        match self.app.lake.compact().await {
            Ok(_) => tracing::debug!(took = ?began.elapsed(), "compacted"),
            // Queries are slower until it works; nothing else depends on it.
            Err(error) => tracing::warn!(%error, "small files could not be merged"),
        }
    }
}

/// Brings all hot rows to the lake and lets the journal go as far.
///
/// # Errors
/// [`CommitError`]; nothing is lost by it.
pub async fn commit(app: &App, journal: &Arc<Spool>, progress: &Progress) -> Result<(), CommitError> {
    // Taken before the commit begins: what is applied later may or may not be in it.
    let taken = std::mem::take(&mut *progress.inner.lock());
    let done = commit_through(app, journal, &taken).await;
    if done.is_err() {
        let mut current = progress.inner.lock();
        for (ordinal, seq) in taken.places {
            let held = current.places.entry(ordinal).or_default();
            *held = seq.max(*held);
        }
        current.changes.put_back(taken.changes);
    }
    done
}

async fn commit_through(app: &App, journal: &Arc<Spool>, reached: &Reached) -> Result<(), CommitError> {
    app.lake.commit().await?;
    // Before the journal lets go: rows alone don't tell how far a stream is, as an entry may hold none.
    if !reached.changes.is_empty() {
        app.store.write_ledger(&reached.changes).await?;
    }
    let (journal, places) = (Arc::clone(journal), reached.places.clone());
    if !places.is_empty() {
        let let_go = move || places.into_iter().try_for_each(|(ordinal, through)| journal.acknowledge(ordinal, LANE, through).map(drop));
        tokio::task::spawn_blocking(let_go).await??;
    }
    Ok(())
}

/// Asks whether batches flow from the journal's queue to the end of the pipeline.
pub async fn ping(queue: &mpsc::Sender<crate::journal::Request>, patience: Duration) -> bool {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        queue.send(crate::journal::Request::Ping(reply)).await.ok()?;
        answer.await.ok()
    };
    matches!(tokio::time::timeout(patience, asked).await, Ok(Some(())))
}
