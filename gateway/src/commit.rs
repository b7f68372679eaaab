//! Makes a commit durable: records as blocks, and the parts of the checkpoint that follow them, in one atomic append.
//!
//! Stands between `core` (which hands out one [`Commit`] at a time) and the spool. Records become blocks of at most [`BLOCK_RECORDS`] (a block is
//! one spool entry: what is stored or refused as a whole), by lane and by whether they tell of the run before. Before each append `overflow`
//! may make room. [`write`] is all of it; [`Committer`] is the thread around it, so that sampling never waits for a disk.
//!
//! Invariant: of a commit that is not durable as a whole, all that is not comes back: everything, or, from a disk without room for data, everything
//! but the urgent records.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use protocol::{DATA, EntryStamp, Loss, LossReason, Record, Timestamp, URGENT};
use spool::{Append, Checkpoint, GenerationView, Lane, NewEntry, OpenReport, Salvaged, Spool, SpoolError, SpoolTime};
use tokio::sync::Notify;

use crate::{
    clock::Now,
    core::Dropped,
    entry, overflow,
    pipeline::{Commit, HEAD},
    store::Store,
};

/// Most records of a block: small enough that a batch can hold several and that a poisoned one costs little.
pub const BLOCK_RECORDS: usize = 500;

/// What became of a commit.
#[derive(Debug)]
pub enum Outcome {
    Durable {
        entries: u64,
        bytes: u64,
        /// Records that no block can hold; they were left out.
        unencodable: Vec<Record>,
        relief: Relief,
    },
    /// The checkpoint and the urgent records are durable; there was no room for the rest.
    Partial {
        rest: Commit,
        unencodable: Vec<Record>,
        relief: Relief,
        reason: Reason,
    },
    Failed {
        commit: Commit,
        relief: Relief,
        reason: Reason,
    },
}

/// What happened beside: room that was made, and damage that was found.
#[derive(Debug, Default, PartialEq)]
pub struct Relief {
    /// Readings that are gone for room. The spool's checkpoint says so, and `losses` are in the spool.
    pub lost: u64,
    pub losses: Vec<Loss>,
    /// To be booked.
    pub found: Vec<Loss>,
    /// Generations that were replaced.
    pub retired: u64,
}

/// Why a commit came back.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("there is no room: {0}")]
    Full(SpoolError),
    #[error("it is too much at a time: {0}")]
    TooLarge(SpoolError),
    #[error("the spool failed: {0}")]
    Broken(SpoolError),
    #[error("the spool is closed")]
    Closed,
}

impl From<SpoolError> for Reason {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::TooLarge { .. } => Self::TooLarge(error),
            error if error.is_full() => Self::Full(error),
            error => Self::Broken(error),
        }
    }
}

/// A spool entry to be.
pub(crate) struct Block {
    pub(crate) lane: usize,
    pub(crate) payload: Vec<u8>,
    pub(crate) units: u64,
}

/// Appends a commit. Blocking; reads no clock.
pub fn write(spool: &Spool, mut commit: Commit, now: Now, boot_id: u64) -> Outcome {
    let mut relief = Relief { found: salvaged(&spool.take_reports(), now), ..Relief::default() };
    if let Err(error) = overflow::relieve(spool, commit.overflow, now, boot_id, &mut relief) {
        tracing::warn!(error = &error as &dyn std::error::Error, "no room could be made in the spool");
    }
    let mut blocks = Vec::new();
    let mut unencodable = Vec::new();
    for (records, inherited) in [(&commit.inherited, true), (&commit.urgent, false), (&commit.data, false)] {
        let stamp = now.stamp(boot_id, inherited);
        for lane in [URGENT, DATA] {
            let of_lane: Vec<&Record> = records.iter().filter(|record| entry::lane(record) == lane).collect();
            for chunk in of_lane.chunks(BLOCK_RECORDS) {
                let chunk: Vec<Record> = chunk.iter().map(|record| (*record).clone()).collect();
                encode(lane, &stamp, &chunk, &mut blocks, &mut unencodable);
            }
        }
    }
    let bytes = blocks.iter().map(|block| block.payload.len() as u64).sum();
    let error = match append(spool, blocks.iter(), &commit.parts, now, false) {
        Ok(()) => return Outcome::Durable { entries: blocks.len() as u64, bytes, unencodable, relief },
        Err(error) => error,
    };
    let reason = match Reason::from(error) {
        // Nobody holds what could make room by going: it would be as full for ever.
        Reason::Full(error @ SpoolError::Full { .. }) if spool.view().iter().all(GenerationView::acknowledged) => Reason::TooLarge(error),
        reason => reason,
    };
    let (Reason::Full(_), Some(head)) = (&reason, commit.reduced_head.take()) else { return Outcome::Failed { commit, relief, reason } };
    if !blocks.iter().any(|block| block.lane == URGENT) {
        return Outcome::Failed { commit, relief, reason };
    }
    for (_, part) in commit.parts.iter_mut().filter(|(id, _)| *id == HEAD) {
        *part = Some(head.clone());
    }
    match append(spool, blocks.iter().filter(|block| block.lane == URGENT), &commit.parts, now, true) {
        Ok(()) => {
            // What can't be encoded is told as lost now, so it does not come back.
            let keep = |record: &Record| entry::lane(record) == DATA && !unencodable.contains(record);
            commit.data.retain(keep);
            commit.inherited.retain(keep);
            let rest = Commit { data: commit.data, inherited: commit.inherited, ..Commit::default() };
            Outcome::Partial { rest, unencodable, relief, reason }
        }
        Err(_) => Outcome::Failed { commit, relief, reason },
    }
}

fn append<'a>(
    spool: &Spool,
    blocks: impl Iterator<Item = &'a Block>,
    parts: &[(u32, Option<Vec<u8>>)],
    now: Now,
    urgent: bool,
) -> Result<(), SpoolError> {
    let entries: Vec<NewEntry<'_>> = blocks.map(Block::entry).collect();
    let parts: Vec<(u32, Option<&[u8]>)> = parts.iter().map(|(id, part)| (*id, part.as_deref())).collect();
    spool.append(&Append { entries: &entries, checkpoint: Checkpoint::Parts(&parts), retire: &[], urgent }, spool_time(now)).map(drop)
}

impl Block {
    pub(crate) fn entry(&self) -> NewEntry<'_> {
        NewEntry { lane: Lane(u8::try_from(self.lane).unwrap_or_default()), payload: &self.payload, units: self.units }
    }
}

/// The spool's measure of time.
pub fn spool_time(now: Now) -> SpoolTime {
    spool_moment(now.wall)
}

/// The same of a wall time.
pub fn spool_moment(wall: Timestamp) -> SpoolTime {
    SpoolTime(u64::try_from(wall.as_micros()).unwrap_or_default())
}

/// Makes blocks of `records`, which are of one lane; halves them until each part fits.
pub(crate) fn encode(lane: usize, stamp: &EntryStamp, records: &[Record], blocks: &mut Vec<Block>, unencodable: &mut Vec<Record>) {
    match entry::encode(stamp, records) {
        Ok(payload) => blocks.push(Block { lane, payload, units: entry::readings(records) }),
        Err(_) if records.len() > 1 => {
            let (first, second) = records.split_at(records.len() / 2);
            encode(lane, stamp, first, blocks, unencodable);
            encode(lane, stamp, second, blocks, unencodable);
        }
        Err(error) => {
            tracing::error!(%error, "a record can't be encoded");
            unencodable.extend_from_slice(records);
        }
    }
}

/// What opening the spool found lost.
pub fn opened(spool: &Spool, report: &OpenReport, now: Now) -> Vec<Dropped> {
    let mut found = salvaged(&report.salvaged, now);
    if report.checkpoint_lost {
        // It was of the run before, which began the generation before this one.
        let before = spool.view().iter().filter(|generation| !generation.current).map(|generation| generation.opened_at).max();
        let (from, to) = since(before.unwrap_or_default(), now);
        let detail = "the checkpoint, or a part of it, is gone; what was open in it is lost".into();
        found.push(Loss { asset: None, signal: None, reason: LossReason::PowerCut, count: 0, from, to, detail });
    }
    found.into_iter().map(Dropped::Loss).collect()
}

/// Generations that are gone. What a damaged one lost that is still there is told by the courier in the place of each entry, so that the collector
/// can pass over what it has.
fn salvaged(reports: &[Salvaged], now: Now) -> Vec<Loss> {
    let lost = reports.iter().filter(|report| !report.held);
    lost.map(|report| {
        let detail = format!(
            "generation {} was damaged: {} entries were saved, {} are lost",
            report.ordinal, report.entries_found, report.entries_lost
        );
        let count = report.units_lost.unwrap_or(0);
        let (from, to) = since(report.opened_at, now);
        Loss { asset: None, signal: None, reason: LossReason::SpoolCorrupt, count, from, to, detail }
    })
    .collect()
}

/// From a moment on the spool's clock until now.
fn since(from: SpoolTime, now: Now) -> (Timestamp, Timestamp) {
    let to = now.wall.plus_micros(1);
    (Timestamp::from_micros(i64::try_from(from.0).unwrap_or(i64::MAX)).min(to), to)
}

/// The core's end of the commit thread.
pub struct Committer {
    jobs: SyncSender<(Commit, Now)>,
    outcomes: Receiver<Outcome>,
    thread: JoinHandle<()>,
}

impl Committer {
    /// Starts the thread. After each outcome `done` is called; after records became durable `fresh` is notified.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(store: Arc<Store>, boot_id: u64, fresh: Arc<Notify>, done: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<(Commit, Now)>(1);
        let (outbox, outcomes) = sync_channel(2);
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || {
            for (commit, now) in inbox {
                let outcome = match store.spool() {
                    Some(spool) => write(&spool, commit, now, boot_id),
                    None => Outcome::Failed { commit, relief: Relief::default(), reason: Reason::Closed },
                };
                if !matches!(outcome, Outcome::Durable { entries: 0, .. } | Outcome::Failed { .. }) {
                    fresh.notify_one();
                }
                if outbox.send(outcome).is_err() {
                    return;
                }
                done();
            }
        })?;
        Ok(Self { jobs, outcomes, thread })
    }

    /// Hands `commit`, made at `now`, over. Only one may be under way.
    ///
    /// # Errors
    /// The commit, if one is under way or the thread has ended.
    #[expect(clippy::result_large_err, reason = "the commit comes back whole")]
    pub fn submit(&self, commit: Commit, now: Now) -> Result<(), Commit> {
        self.jobs.try_send((commit, now)).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full((commit, _)) | std::sync::mpsc::TrySendError::Disconnected((commit, _)) => commit,
        })
    }

    /// What became of the commit under way, if that is known.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcomes.try_recv().ok()
    }

    /// Waits for it.
    pub fn wait(&self, patience: Duration) -> Option<Outcome> {
        self.outcomes.recv_timeout(patience).ok()
    }

    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }
}
