//! The commit thread: makes records and the checkpoint that follows them durable in one step, so that the pipeline never waits for a disk.
//!
//! Stands between `drive` (which hands it one [`Commit`] at a time) and the spool. Records become blocks of at most [`BLOCK_RECORDS`]
//! (a block is one spool entry: what is stored or refused as a whole), then all blocks and the checkpoint go into one atomic append.
//!
//! Invariant: a commit is durable as a whole when [`Outcome::Durable`] is reported; in any other case it comes back whole.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use protocol::{Record, codec::encode_block};
use spool::SpoolError;
use tokio::sync::Notify;

use crate::{pipeline::Commit, store::Store};

/// Most records of a block: small enough that a batch can hold several and that a poisoned one costs little.
pub const BLOCK_RECORDS: usize = 500;

/// What became of a commit.
#[derive(Debug)]
pub enum Outcome {
    Durable {
        entries: u64,
        /// Records that no block can hold; they were left out.
        unencodable: Vec<Record>,
    },
    Failed {
        commit: Commit,
        reason: Reason,
    },
}

/// Why a commit came back, which says when to try again.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("the spool is full: {0}")]
    Full(SpoolError),
    #[error("the spool failed: {0}")]
    Broken(SpoolError),
    #[error("the spool is being reopened")]
    Closed,
}

/// The pipeline's end of the commit thread.
pub struct Committer {
    jobs: SyncSender<Commit>,
    outcomes: Receiver<Outcome>,
    thread: JoinHandle<()>,
}

impl Committer {
    /// Starts the thread. After each outcome `done` is called; after records became durable `fresh` is notified.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(store: Arc<Store>, fresh: Arc<Notify>, done: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<Commit>(1);
        let (outbox, outcomes) = sync_channel(2);
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || {
            for commit in inbox {
                let outcome = write(&store, commit);
                if matches!(outcome, Outcome::Durable { entries, .. } if entries > 0) {
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

    /// Hands `commit` over. Only one may be under way.
    ///
    /// # Errors
    /// The commit, if one is under way or the thread has ended.
    pub fn submit(&self, commit: Commit) -> Result<(), Commit> {
        self.jobs.try_send(commit).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(commit) | std::sync::mpsc::TrySendError::Disconnected(commit) => commit,
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

fn write(store: &Store, commit: Commit) -> Outcome {
    let Some(spool) = store.spool() else {
        // An earlier reopening failed; see whether the directory can be had by now.
        return match store.reopen(Duration::from_secs(1)) {
            Ok(_) => Outcome::Failed { commit, reason: Reason::Closed },
            Err(error) => Outcome::Failed { commit, reason: Reason::Broken(error) },
        };
    };
    let mut blocks = Vec::new();
    let mut unencodable = Vec::new();
    for records in commit.records.chunks(BLOCK_RECORDS) {
        encode(records, &mut blocks, &mut unencodable);
    }
    let payloads: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    match spool.append(&payloads, Some(&commit.checkpoint)) {
        Ok(_) => Outcome::Durable { entries: payloads.len() as u64, unencodable },
        Err(error @ SpoolError::Full { .. }) => Outcome::Failed { commit, reason: Reason::Full(error) },
        Err(error) => {
            drop(spool);
            if let Err(reopening) = store.reopen(Duration::from_secs(5)) {
                tracing::error!(error = %reopening, "the spool could not be opened again");
            }
            Outcome::Failed { commit, reason: Reason::Broken(error) }
        }
    }
}

/// Halves `records` until each part fits into a block.
fn encode(records: &[Record], blocks: &mut Vec<Vec<u8>>, unencodable: &mut Vec<Record>) {
    match encode_block(records) {
        Ok(block) => blocks.push(block),
        Err(_) if records.len() > 1 => {
            let (first, second) = records.split_at(records.len() / 2);
            encode(first, blocks, unencodable);
            encode(second, blocks, unencodable);
        }
        Err(error) => {
            tracing::error!(%error, "a record can't be encoded");
            unencodable.extend_from_slice(records);
        }
    }
}
