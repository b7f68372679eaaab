//! After a start: the journal's entries become hot rows again, and the ledger is where it was.
//!
//! Runs before the ports open. Marks come from three places, of which the highest holds: the lake's rows, the database (written before the journal
//! lets entries go), and the journal itself. Rows that the lake has already are skipped by the lake, table by table: a crash may have come between
//! two tables' commits.
//!
//! Invariants: memory stays bounded, however long the journal is: at `commit_rows` hot rows it commits before it goes on. Damage is told, and is no
//! reason not to start: what was acknowledged and is gone is asked for again from gateways that still hold it.

use std::{sync::Arc, time::Duration};

use spool::Spool;

use crate::{
    app::App,
    clock,
    intake::{Intake, Place},
    ledger::Ledger,
    metrics,
    pacing::Pacing,
    pipeline::{self, CommitError, Progress},
};

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

/// Brings hot rows and the ledger to where they were. The twin and the accounts are rebuilt from the lake afterwards.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(app: &App, journal: &Arc<Spool>, progress: &Progress) -> Result<Intake, ReplayError> {
    let pacing = pacing(app);
    let mut ledger = Ledger::with_patience(pacing.elsewhere_patience_us);
    app.store.read_ledger(&mut ledger).await?;
    ledger.learn(app.lake.watermarks(), clock::now());
    let mut intake = Intake::new(Arc::clone(journal), ledger, pacing).with_auditor(app.auditor.clone());
    let (mut from, mut entries) = (Place::default(), 0u64);
    loop {
        let (back, page) = tokio::task::spawn_blocking(move || {
            let page = intake.replay_page(from);
            (intake, page)
        })
        .await?;
        intake = back;
        let Some(page) = page? else { break };
        from = page.next;
        for (place, reason) in &page.damaged {
            metrics::journal_corrupt(1);
            tracing::error!(?place, %reason, "a journal entry is damaged: its rows are asked for again unless the lake holds them");
        }
        for entry in page.entries {
            pipeline::replay_entry(app, progress, entry);
            entries += 1;
            if app.lake.hot_rows() >= app.config.lake.commit_rows {
                commit(app, journal, progress).await?;
            }
        }
    }
    if entries > 0 {
        tracing::info!(entries, hot_rows = app.lake.hot_rows(), "journal replayed");
    }
    Ok(intake)
}

/// Another collector's rows are in the lake after its next commit, or the one after that.
fn pacing(app: &App) -> Pacing {
    let patience = app.config.lake.commit_interval.saturating_mul(3);
    Pacing {
        catch_up_rows_per_s: app.config.uplink.catch_up_rows_per_s,
        elsewhere_patience_us: i64::try_from(patience.as_micros()).unwrap_or(i64::MAX),
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
