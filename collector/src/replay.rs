//! After a start: the journal's entries become hot rows again, and the ledger is where it was.
//!
//! Runs before the ports open. Marks come from three places, of which the highest holds: the lake's rows, the streams table (written before
//! the journal lets entries go), and the journal itself. Rows that the lake has already are skipped by the lake, table by table: a crash may
//! have come between two tables' commits.
//!
//! Invariant: memory stays bounded, however long the journal is: at `commit_rows` hot rows it commits before it goes on.

use std::{sync::Arc, time::Duration};

use protocol::codec::{self, Limits};
use spool::Spool;

use crate::{
    app::App,
    journal::{Entry, entry},
    ledger::Ledger,
    metrics,
    pipeline::{self, CommitError, Progress},
};

const PAGE_ENTRIES: usize = 64;
const PAGE_BYTES: usize = 8 << 20;
const ATTEMPTS: u32 = 5;

/// Why the journal could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the journal: {0}")]
    Journal(#[from] spool::SpoolError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("the journal holds more rows than memory should, and they can't be stored: {0}")]
    Commit(#[from] CommitError),
    #[error("a task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// What the journal can hold was within the limits of its time, which may have been wider than today's.
const LIMITS: Limits = Limits { max_encoded_bytes: 64 << 20, max_decoded_bytes: 1 << 30, max_rows: 1_000_000 };

/// Brings hot rows and the ledger to where they were. The twin is rebuilt from the lake afterwards.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(app: &App, journal: &Arc<Spool>, progress: &Progress) -> Result<Ledger, ReplayError> {
    let mut ledger = Ledger::default();
    for (gateway, stream, through) in app.store.streams().await?.into_iter().chain(app.lake.watermarks()) {
        ledger.advance(&gateway, stream, through);
    }
    let (mut from, mut entries) = (journal.first_seq(), 0u64);
    loop {
        let page = {
            let journal = Arc::clone(journal);
            tokio::task::spawn_blocking(move || journal.peek(from, PAGE_ENTRIES, PAGE_BYTES)).await??
        };
        for corrupt in &page.corrupt {
            metrics::journal_corrupt();
            tracing::error!(?corrupt, "a journal entry is damaged: its rows are lost unless the lake holds them");
        }
        let seen = page.entries.iter().map(|entry| entry.seq).chain(page.corrupt.iter().map(|entry| entry.seq)).max();
        let Some(last) = seen else { break };
        from = last + 1;
        for stored in page.entries {
            if let Some(entry) = decode(stored.seq, &stored.payload) {
                ledger.advance(&entry.gateway, entry.stream, entry.through);
                pipeline::replay_entry(app, progress, entry);
                entries += 1;
            }
            if app.lake.hot_rows() >= app.config.lake.commit_rows {
                commit(app, journal, progress).await?;
            }
        }
    }
    if entries > 0 {
        tracing::info!(entries, hot_rows = app.lake.hot_rows(), "journal replayed");
    }
    Ok(ledger)
}

fn decode(seq: u64, payload: &[u8]) -> Option<Entry> {
    let decoded = entry::decode(payload).map_err(|error| error.to_string()).and_then(|(header, bytes)| {
        let batch = codec::decode_batch(bytes, &LIMITS).map_err(|error| error.to_string())?;
        Ok((header, batch))
    });
    match decoded {
        Ok((header, batch)) => Some(Entry {
            journal_seq: seq,
            gateway: header.gateway.clone(),
            stream: batch.stream,
            received_at: header.received_at,
            through: header.through,
            records: header.fresh(batch.records),
            reply: None,
        }),
        Err(error) => {
            metrics::journal_corrupt();
            tracing::error!(seq, %error, "a journal entry can't be read: its rows are lost unless the lake holds them");
            None
        }
    }
}

async fn commit(app: &App, journal: &Arc<Spool>, progress: &Progress) -> Result<(), ReplayError> {
    for attempt in 1.. {
        match pipeline::commit(app, journal, progress).await {
            Ok(()) => break,
            Err(error) if attempt >= ATTEMPTS => return Err(error.into()),
            Err(error) => {
                tracing::warn!(attempt, %error, "rows did not reach the lake");
                tokio::time::sleep(Duration::from_secs(1) * attempt).await;
            }
        }
    }
    Ok(())
}
