//! The collector's store: one Delta table per kind of record, with the rows that are not yet in it held in memory beside it.
//!
//! Stands after the collector's journal (rows come in durable already) and before everything that asks questions:
//! [`StoredRow`] -> [`Lake::push`] (hot rows, at once in every query) -> [`Lake::commit`] (Parquet files and a Delta log entry, synced to disk)
//! -> [`Lake::compact`] (few large sorted files). Queries ([`Lake::sql`] and the typed reads) see hot and stored rows as one table.
//!
//! Invariants:
//! - A row's stored effect is exactly once for its (gateway, stream, sequence): the highest sequence stored is an application transaction in
//!   the same log entry as the rows, and it is checked against the newest version of the table before each commit.
//! - When `commit` returns, data files, log entry and their folders have been synced.
//! - A query sees each row once, wherever it lies: stored version and hot rows are swapped together.
//! - No type of Delta, Arrow or DataFusion leaves this crate.

mod cells;
mod clock;
mod commit;
mod compact;
mod decode;
mod durable;
mod error;
mod hot;
mod latest;
mod ledger;
mod open;
mod options;
mod query;
mod reads;
mod rows;
mod schema;
mod session;
mod statement;
mod store;
mod threads;
mod view;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use protocol::{AssetPath, GatewayId, PartCount, SignalName, StateChange, StreamId, TimeRange};

pub use commit::{CommitReport, TableCommit};
pub use compact::{CompactReport, TableCompact};
pub use error::LakeError;
pub use latest::{GatewayTotals, Latest, LossTotal};
pub use options::{LakeOptions, Probe, SqlLimits, Step};
pub use query::{Column, ColumnKind, QueryResult};
pub use reads::{AnomalyFilter, LossFilter, SeriesPoint, SignalWindows, Sourced, WindowPoint};
pub use rows::StoredRow;

use hot::Intake;
use session::Sessions;
use store::TableStore;
use threads::Threads;
use view::Views;

/// What became of rows handed to [`Lake::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushReport {
    /// Rows that are hot now.
    pub accepted: usize,
    /// Rows that had been pushed or stored before (their sequence is at or below their table's watermark); not taken again.
    pub duplicates: usize,
}

/// The store. Cheap to share (`Arc<Lake>`); one per root folder and process.
pub struct Lake {
    inner: Arc<Inner>,
    /// Where all work is done, so that a heavy query can't hold up the caller's own tasks.
    threads: Threads,
}

struct Inner {
    options: LakeOptions,
    tables: Vec<TableStore>,
    views: RwLock<Arc<Views>>,
    intake: Mutex<Intake>,
    sessions: Sessions,
    /// One commit, and one compaction, at a time.
    committing: tokio::sync::Mutex<()>,
    compacting: tokio::sync::Mutex<()>,
    running_sql: Arc<tokio::sync::Semaphore>,
}

impl Lake {
    /// Opens the tables under `options.root`, creating what is missing.
    ///
    /// # Errors
    /// [`LakeError`] if a folder can't be made, or a table is damaged or has other columns than this version writes.
    pub async fn open(options: LakeOptions) -> Result<Self, LakeError> {
        let threads = Threads::start().map_err(|source| LakeError::Io { path: options.root.clone(), source })?;
        let inner = threads.finish(Inner::open(options)).await?;
        Ok(Self { inner: Arc::new(inner), threads })
    }

    /// Highest sequence stored of every stream (over all tables).
    pub fn watermarks(&self) -> Vec<(GatewayId, StreamId, u64)> {
        self.inner.views().watermarks()
    }

    /// Takes rows into memory; every query that begins after this sees all of them. Rows of a stream must come in order of `seq`, and all rows
    /// of one `seq` in one call. Does some milliseconds of work for thousands of rows, and no I/O.
    pub fn push(&self, rows: Vec<StoredRow>) -> PushReport {
        self.inner.push(&rows)
    }

    /// The same as of now, also if another process has stored rows since.
    ///
    /// # Errors
    /// [`LakeError`] if a table's log can't be read.
    pub async fn newest_marks(&self) -> Result<Vec<(GatewayId, StreamId, u64)>, LakeError> {
        let inner = Arc::clone(&self.inner);
        self.threads.finish(async move { inner.newest_marks().await }).await
    }

    /// Marks a stream as stored through `through` in every table, with the next commit: what another process holds of it below is never stored.
    /// Call it after what is to be stored below was pushed.
    pub fn fence(&self, gateway: &GatewayId, stream: StreamId, through: u64) {
        self.inner.fence(gateway, stream, through);
    }

    /// Rows in memory only. The caller keeps this bounded by committing.
    pub fn hot_rows(&self) -> usize {
        self.inner.views().hot_rows()
    }

    /// Stores all rows that are hot now, one Delta commit per table that has any. If it fails, what could not be stored stays hot and the next
    /// call tries again; a table that fails does not keep the others from being stored.
    ///
    /// # Errors
    /// The first table's [`LakeError`]; [`LakeError::Poisoned`] is final for this handle.
    pub async fn commit(&self) -> Result<CommitReport, LakeError> {
        let inner = Arc::clone(&self.inner);
        self.threads.finish(async move { inner.commit().await }).await
    }

    /// Rewrites small files into few large ones, sorted by asset, signal and time; removes files that no reader needs any more. Answers stay the same.
    ///
    /// # Errors
    /// [`LakeError`]; the tables are then as they were.
    pub async fn compact(&self) -> Result<CompactReport, LakeError> {
        let inner = Arc::clone(&self.inner);
        self.threads.finish(async move { inner.compact().await }).await
    }

    /// Answers one read-only SQL statement over the tables `window_summaries`, `anomalies`, `state_changes`, `part_counts` and `losses`.
    ///
    /// # Errors
    /// [`LakeError::Refused`] for anything that is not a query, [`LakeError::Sql`] for a wrong one, [`LakeError::Timeout`] and [`LakeError::Memory`] for
    /// one that is over its limits.
    pub async fn sql(&self, sql: &str) -> Result<QueryResult, LakeError> {
        let (inner, sql, threads) = (Arc::clone(&self.inner), sql.to_owned(), self.threads.sql()?);
        self.threads.ask(query::sql(inner, sql, threads)).await
    }

    /// State changes in `range`, in order, preceded by the last one before it (what the machine was doing when `range` begins).
    ///
    /// # Errors
    /// [`LakeError`].
    pub async fn states(&self, asset: &AssetPath, range: TimeRange) -> Result<Vec<StateChange>, LakeError> {
        let (inner, asset) = (Arc::clone(&self.inner), asset.clone());
        self.threads.ask(async move { inner.states(&asset, range).await }).await
    }

    /// Part counts whose `to` lies in `(range.from, range.to]`, in order of `to`.
    ///
    /// # Errors
    /// [`LakeError`].
    pub async fn parts(&self, asset: &AssetPath, range: TimeRange) -> Result<Vec<PartCount>, LakeError> {
        let (inner, asset) = (Arc::clone(&self.inner), asset.clone());
        self.threads.ask(async move { inner.parts(&asset, range).await }).await
    }

    /// State changes of several machines in `range`, in order, preceded by the last one of each before it.
    ///
    /// # Errors
    /// [`LakeError`]; [`LakeError::TooManyRows`] if they are to be asked for in smaller groups.
    pub async fn states_of(&self, assets: &[AssetPath], range: TimeRange) -> Result<Vec<StateChange>, LakeError> {
        let (inner, assets) = (Arc::clone(&self.inner), assets.to_vec());
        self.threads.ask(async move { inner.states_of(&assets, range).await }).await
    }

    /// Part counts of several machines whose `to` lies in `(range.from, range.to]`, in order of `to`; those that lie within one minute (UTC) are added up.
    ///
    /// # Errors
    /// [`LakeError`]; [`LakeError::TooManyRows`] if they are to be asked for in smaller groups.
    pub async fn parts_by_minute(&self, assets: &[AssetPath], range: TimeRange) -> Result<Vec<PartCount>, LakeError> {
        let (inner, assets) = (Arc::clone(&self.inner), assets.to_vec());
        self.threads.ask(async move { inner.parts_by_minute(&assets, range).await }).await
    }

    /// Anomalies with `event_time` in the filter's range, newest first.
    ///
    /// # Errors
    /// [`LakeError`].
    pub async fn anomalies(&self, filter: AnomalyFilter) -> Result<Vec<Sourced<protocol::Anomaly>>, LakeError> {
        let inner = Arc::clone(&self.inner);
        self.threads.ask(async move { inner.anomalies(&filter).await }).await
    }

    /// Losses whose `[from, to]` touches the filter's range, newest first.
    ///
    /// # Errors
    /// [`LakeError`].
    pub async fn losses(&self, filter: LossFilter) -> Result<Vec<Sourced<protocol::Loss>>, LakeError> {
        let inner = Arc::clone(&self.inner);
        self.threads.ask(async move { inner.losses(&filter).await }).await
    }

    /// Window summaries of one signal whose start lies in `range`, gathered into steps counted from `range.from`: counts add up, the mean is
    /// weighted by count. Steps without data are left out.
    ///
    /// # Errors
    /// [`LakeError::InvalidRange`] for a zero step, an empty range or too many steps, else [`LakeError`].
    pub async fn series(
        &self,
        asset: &AssetPath,
        signal: &SignalName,
        range: TimeRange,
        step: std::time::Duration,
    ) -> Result<Vec<SeriesPoint>, LakeError> {
        let (inner, asset, signal) = (Arc::clone(&self.inner), asset.clone(), signal.clone());
        self.threads.ask(async move { inner.series(&asset, &signal, range, step).await }).await
    }

    /// Window summaries of one signal that touch `range`, at most `most` of them.
    ///
    /// # Errors
    /// [`LakeError::TooManyRows`] if there are more, else [`LakeError`].
    pub async fn windows(&self, asset: &AssetPath, signal: &SignalName, range: TimeRange, most: usize) -> Result<SignalWindows, LakeError> {
        let (inner, asset, signal) = (Arc::clone(&self.inner), asset.clone(), signal.clone());
        self.threads.ask(async move { inner.windows(&asset, &signal, range, most).await }).await
    }

    /// The signals of a machine whose windows begin in `range`, each with its unit; with several units it is there several times.
    ///
    /// # Errors
    /// [`LakeError`].
    pub async fn units(&self, asset: &AssetPath, range: TimeRange) -> Result<Vec<(SignalName, String)>, LakeError> {
        let (inner, asset) = (Arc::clone(&self.inner), asset.clone());
        self.threads.ask(async move { inner.units(&asset, range).await }).await
    }

    /// Of every signal of a machine the last window (no correction) of each step of `(range.from, range.to]`, by its end. One step as long as the
    /// range gives what was known at its end.
    ///
    /// # Errors
    /// [`LakeError::InvalidRange`] for a zero step or an empty range, [`LakeError::TooManyRows`] if there are more than `most`, else [`LakeError`].
    pub async fn last_windows(
        &self,
        asset: &AssetPath,
        range: TimeRange,
        step: std::time::Duration,
        most: usize,
    ) -> Result<Vec<Sourced<protocol::WindowSummary>>, LakeError> {
        let (inner, asset) = (Arc::clone(&self.inner), asset.clone());
        self.threads.ask(async move { inner.last_windows(&asset, range, step, most).await }).await
    }

    /// The last of everything, from which the live twin is rebuilt at start.
    ///
    /// # Errors
    /// [`LakeError`].
    pub async fn latest(&self) -> Result<Latest, LakeError> {
        let inner = Arc::clone(&self.inner);
        self.threads.ask(async move { inner.latest().await }).await
    }
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("root", &self.inner.options.root).field("hot_rows", &self.hot_rows()).finish_non_exhaustive()
    }
}
