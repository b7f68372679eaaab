//! From hot to stored: one Delta commit per table, with the streams' marks in the same log entry.
//!
//! For each table: load the newest version; leave out rows at or below their stream's mark in it (another collector, or an attempt of ours whose
//! outcome we did not see, stored them); write the rest as Parquet; append log entry number version + 1, which fails if somebody else has
//! appended it meanwhile (then all over again). So a log entry always follows the very version that its rows were checked against. Delta's own
//! check does not do: it lets a fresh handle move a mark backwards.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use deltalake::{
    DeltaTableError,
    arrow::{
        array::{AsArray, BooleanArray, RecordBatch},
        compute::filter_record_batch,
        datatypes::Int64Type,
        error::ArrowError,
    },
    kernel::{
        Action, Add,
        transaction::{CommitBuilder, CommitProperties, TransactionError},
    },
    parquet::{
        basic::{Compression, ZstdLevel},
        file::properties::WriterProperties,
    },
    protocol::{DeltaOperation, SaveMode},
    table::state::DeltaTableState,
    writer::{DeltaWriter, RecordBatchWriter},
};
use protocol::{GatewayId, StreamId};

use crate::{
    Inner, clock,
    error::LakeError,
    hot::{Chunk, Span, StreamKey, merged_spans},
    ledger::{Ledger, transactions},
    options::{Step, ask},
    rows::conform,
    store::{Stored, TableStore},
};

/// How often a commit may lose the race for a version. Compaction does not race (it waits its turn), only another process can.
const MAX_ATTEMPTS: usize = 10;

/// What a commit stored.
#[derive(Debug, Clone, Default)]
pub struct CommitReport {
    /// Rows stored by this commit.
    pub rows: usize,
    /// Rows that turned out to be stored already.
    pub duplicates: usize,
    pub bytes: u64,
    pub tables: Vec<TableCommit>,
    /// Files and folders synced.
    pub synced: Vec<PathBuf>,
    pub elapsed: Duration,
}

/// The part of one table in a commit.
#[derive(Debug, Clone)]
pub struct TableCommit {
    pub table: &'static str,
    pub rows: usize,
    pub duplicates: usize,
    pub bytes: u64,
    /// The table's version that holds the rows.
    pub version: u64,
    /// Files that hold them, below the root.
    pub files: Vec<PathBuf>,
}

impl Inner {
    pub(crate) async fn commit(&self) -> Result<CommitReport, LakeError> {
        let _one_at_a_time = self.committing.lock().await;
        let begun = Instant::now();
        let (mut report, mut first_error) = (CommitReport::default(), None);
        for table in self.freeze() {
            match self.commit_table(&self.tables[table.index()]).await {
                Ok(done) => {
                    report.rows += done.rows;
                    report.duplicates += done.duplicates;
                    report.bytes += done.bytes;
                    report.tables.push(done);
                }
                Err(error) => {
                    tracing::warn!(table = table.name(), %error, "rows could not be stored; they stay in memory");
                    first_error = first_error.or(Some(error));
                }
            }
            report.synced.extend(self.tables[table.index()].disk.take_synced());
        }
        report.elapsed = begun.elapsed();
        first_error.map_or(Ok(report), Err)
    }

    async fn commit_table(&self, store: &TableStore) -> Result<TableCommit, LakeError> {
        let name = store.table.name();
        let failed = |error: DeltaTableError| LakeError::table(name, error);
        let _turn = store.writing.lock().await;
        if store.disk.has_failed() {
            return Err(LakeError::Poisoned { table: name });
        }
        let result = self.commit_frozen(store).await;
        // The disk's word goes before that of the error it caused.
        match result {
            Err(CommitError::Contended) => Err(LakeError::Contended { table: name, attempts: MAX_ATTEMPTS }),
            Err(CommitError::Delta(_) | CommitError::Stopped(_)) if store.disk.has_failed() => Err(LakeError::Poisoned { table: name }),
            Err(CommitError::Delta(error)) => Err(failed(error)),
            Err(CommitError::Stopped(error)) => Err(LakeError::table(name, error)),
            Err(CommitError::Lake(error)) => Err(error),
            Ok(done) => Ok(done),
        }
    }

    async fn commit_frozen(&self, store: &TableStore) -> Result<TableCommit, CommitError> {
        let name = store.table.name();
        let view = self.views().tables[store.table.index()].clone();
        let probe = self.options.probe.as_ref();
        for _ in 0..MAX_ATTEMPTS {
            ask(probe, Step::BeforeData { table: name })?;
            let (state, ledger) = store.newest(&view.stored).await?;
            let fresh = fresh_rows(&view.frozen, &ledger)?;
            let duplicates = view.frozen.iter().map(Chunk::rows).sum::<usize>() - fresh.iter().map(RecordBatch::num_rows).sum::<usize>();
            let mut done = TableCommit { table: name, rows: 0, duplicates, bytes: 0, version: state.version(), files: Vec::new() };
            // Marks of rows that were left out are in the log already.
            let is_new = |key: &StreamKey, high: u64| ledger.mark(key).is_none_or(|mark| mark < high);
            let mut spans = merged_spans(view.frozen.iter());
            for (key, through) in self.intake.lock().fences(store.table) {
                let span = spans.entry(key).or_insert(Span { low: through, high: through });
                span.high = span.high.max(through);
            }
            spans.retain(|key, span| is_new(key, span.high));
            if fresh.is_empty() && spans.is_empty() {
                self.show(store, store.stored(state, ledger).await?);
                return Ok(done);
            }
            let files = write_files(store, &state, &fresh).await?;
            ask(probe, Step::BeforeLog { table: name })?;
            done.rows = fresh.iter().map(RecordBatch::num_rows).sum();
            done.bytes = files.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum();
            done.files = files.iter().map(|file| PathBuf::from(name).join(&file.path)).collect();
            let properties = CommitProperties::default().with_application_transactions(transactions(&spans, clock::now_ms()));
            let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
            let actions = files.into_iter().map(Action::Add).collect();
            match append_entry(store, &state, actions, properties, operation).await? {
                None => tracing::info!(table = name, version = state.version(), "another writer was faster; checking again"),
                Some(state) => {
                    done.version = state.version();
                    ask(probe, Step::BeforeSwap { table: name })?;
                    let mut ledger = ledger;
                    ledger.advance(store.log.as_ref(), state.version()).await?;
                    self.show(store, store.stored(state, ledger).await?);
                    return Ok(done);
                }
            }
        }
        Err(CommitError::Contended)
    }

    fn show(&self, store: &TableStore, stored: Stored) {
        let mut intake = self.intake.lock();
        for (key, mark) in stored.ledger.marks() {
            intake.raise(store.table, key, mark);
        }
        intake.fences_stored(store.table);
        drop(intake);
        self.swap(store.table, stored, true);
    }
}

/// Inside a table's commit, where the cause is not yet known to be the disk.
#[derive(Debug)]
pub(crate) enum CommitError {
    Contended,
    Delta(DeltaTableError),
    Stopped(std::io::Error),
    Lake(LakeError),
}

impl From<DeltaTableError> for CommitError {
    fn from(error: DeltaTableError) -> Self {
        Self::Delta(error)
    }
}

impl From<ArrowError> for CommitError {
    fn from(error: ArrowError) -> Self {
        Self::Delta(error.into())
    }
}

impl From<std::io::Error> for CommitError {
    fn from(error: std::io::Error) -> Self {
        Self::Stopped(error)
    }
}

impl From<LakeError> for CommitError {
    fn from(error: LakeError) -> Self {
        Self::Lake(error)
    }
}

/// Appends the log entry that follows `state`; `None` if that number has been taken.
pub(crate) async fn append_entry(
    store: &TableStore,
    state: &DeltaTableState,
    actions: Vec<Action>,
    properties: CommitProperties,
    operation: DeltaOperation,
) -> Result<Option<DeltaTableState>, DeltaTableError> {
    // Old entries can only go once a newer checkpoint is there, and looking for them lists the log.
    let cleans = (state.version() + 2).is_multiple_of(u64::from(store.checkpoint_every));
    // No retries inside: a retry would append after a version that nothing was checked against.
    let properties = properties.with_max_retries(0).with_cleanup_expired_logs(Some(cleans));
    let committed = CommitBuilder::from(properties).with_actions(actions).build(Some(state), Arc::clone(&store.log), operation).await;
    match committed {
        // A loaded version grows by a piece with every entry, and every query goes through all of them; from a checkpoint it is one.
        Ok(done) if done.metrics.new_checkpoint_created => store.reload(done.version).await.map(Some),
        Ok(done) => Ok(Some(done.snapshot())),
        Err(DeltaTableError::VersionAlreadyExists(_)) => Ok(None),
        Err(DeltaTableError::Transaction {
            source: TransactionError::MaxCommitAttempts(_) | TransactionError::VersionAlreadyExists(_),
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write_files(store: &TableStore, state: &DeltaTableState, batches: &[RecordBatch]) -> Result<Vec<Add>, DeltaTableError> {
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let mut writer = RecordBatchWriter::for_table(&store.handle(state))?.with_writer_properties(writer_properties());
    let schema = writer.arrow_schema();
    for batch in batches {
        writer.write(conform(batch.columns(), &schema)?).await?;
    }
    writer.flush().await
}

/// Row groups are small enough for their statistics to leave most of a file unread when a question names an asset.
pub(crate) fn writer_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(128 * 1024))
        .build()
}

/// What of `chunks` is above the marks.
fn fresh_rows(chunks: &[Chunk], ledger: &Ledger) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut fresh = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        match chunk.spans.iter().all(|(key, span)| ledger.mark(key).is_none_or(|mark| span.low > mark)) {
            true => fresh.push(chunk.batch.clone()),
            false => fresh.push(filter_record_batch(&chunk.batch, &above_marks(&chunk.batch, ledger))?),
        }
    }
    fresh.retain(|batch| batch.num_rows() > 0);
    Ok(fresh)
}

fn above_marks(batch: &RecordBatch, ledger: &Ledger) -> BooleanArray {
    let (gateways, streams) = (batch.column(0).as_string_view(), batch.column(1).as_string_view());
    let seqs = batch.column(2).as_primitive::<Int64Type>();
    let mut marks: HashMap<(&str, &str), Option<u64>> = HashMap::new();
    (0..batch.num_rows())
        .map(|row| {
            let (gateway, stream) = (gateways.value(row), streams.value(row));
            let mark = *marks.entry((gateway, stream)).or_insert_with(|| key_of(gateway, stream).and_then(|key| ledger.mark(&key)));
            let seq = u64::try_from(seqs.value(row)).unwrap_or(0);
            Some(mark.is_none_or(|mark| seq > mark))
        })
        .collect()
}

fn key_of(gateway: &str, stream: &str) -> Option<StreamKey> {
    Some((GatewayId::new(gateway).ok()?, StreamId(u64::from_str_radix(stream, 16).ok()?)))
}
