//! Many small files become few large ones, in the order of the questions that are asked.
//!
//! Commits leave a small file every few seconds, and each costs every query and every commit. Neighbours in time are gathered up to the target
//! size and rewritten sorted, so that the statistics of files tell periods apart, and those of row groups within a file tell assets apart. Reading
//! and writing go on beside commits; only the log entry takes its turn with them. What has been replaced stays on disk for the retention period.
//!
//! Invariant: the rows are the same before and after; if a count differs, nothing is committed.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use deltalake::{
    DeltaTableError,
    datafusion::prelude::{DataFrame, col},
    kernel::{Action, transaction::CommitProperties},
    operations::vacuum::VacuumMode,
    protocol::DeltaOperation,
    writer::{DeltaWriter, RecordBatchWriter},
};
use futures::TryStreamExt;

use crate::{
    Inner,
    commit::{append_entry, writer_properties},
    error::LakeError,
    rows::conform,
    store::{Stored, TableStore},
};

const MAX_ATTEMPTS: usize = 10;
/// Looking for files to remove lists the whole folder, so not every time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// What a compaction did.
#[derive(Debug, Clone, Default)]
pub struct CompactReport {
    /// Tables in which files were rewritten or removed.
    pub tables: Vec<TableCompact>,
    pub elapsed: Duration,
}

#[derive(Debug, Clone)]
pub struct TableCompact {
    pub table: &'static str,
    pub files_before: usize,
    pub files_after: usize,
    pub rows_rewritten: u64,
    /// Files that nobody needed any more.
    pub files_removed: usize,
}

/// A file that is small enough to be rewritten.
struct Small {
    path: String,
    bytes: u64,
    rows: Option<usize>,
    written_at: i64,
}

impl Inner {
    pub(crate) async fn compact(&self) -> Result<CompactReport, LakeError> {
        let _one_at_a_time = self.compacting.lock().await;
        let begun = Instant::now();
        let mut report = CompactReport::default();
        for store in &self.tables {
            let files_before = self.file_count(store)?;
            let mut rows_rewritten = 0;
            for bin in self.bins(store)? {
                rows_rewritten += self.rewrite(store, &bin).await?;
            }
            let files_removed = self.sweep(store).await?;
            if rows_rewritten > 0 || files_removed > 0 {
                let files_after = self.file_count(store)?;
                report.tables.push(TableCompact { table: store.table.name(), files_before, files_after, rows_rewritten, files_removed });
            }
        }
        report.elapsed = begun.elapsed();
        Ok(report)
    }

    fn stored(&self, store: &TableStore) -> Arc<Stored> {
        Arc::clone(&self.views().tables[store.table.index()].stored)
    }

    fn file_count(&self, store: &TableStore) -> Result<usize, LakeError> {
        Ok(self.stored(store).state.snapshot().try_log_data().map_err(|error| LakeError::table(store.table.name(), error))?.num_files())
    }

    /// Small files in the order in which they were written, in groups of about the target size.
    fn bins(&self, store: &TableStore) -> Result<Vec<Vec<Small>>, LakeError> {
        let stored = self.stored(store);
        let files = stored.state.snapshot().try_log_data().map_err(|error| LakeError::table(store.table.name(), error))?;
        let small = files.iter().map(|file| Small {
            path: file.path().into_owned(),
            bytes: u64::try_from(file.size()).unwrap_or(0),
            rows: file.num_records(),
            written_at: file.modification_time(),
        });
        let mut small: Vec<Small> = small.filter(|file| file.bytes < self.options.target_file_bytes / 2).collect();
        if small.len() < self.options.compact_min_files.max(2) {
            return Ok(Vec::new());
        }
        small.sort_by(|a, b| (a.written_at, &a.path).cmp(&(b.written_at, &b.path)));
        Ok(gathered(small, self.options.target_file_bytes))
    }

    async fn rewrite(&self, store: &TableStore, bin: &[Small]) -> Result<u64, LakeError> {
        let name = store.table.name();
        let failed = |error: DeltaTableError| LakeError::table(name, error);
        if store.disk.has_failed() {
            return Err(LakeError::Poisoned { table: name });
        }
        let stored = self.stored(store);
        let source = store.scan(&stored.state, Some(bin.iter().map(|file| file.path.clone()).collect())).await.map_err(failed)?;
        let order = store.table.sort_columns().iter().map(|column| col(*column).sort(true, true)).collect();
        let sorted = self.sessions.for_upkeep().read_table(source)?.sort(order)?;
        let (mut files, rows) = self.write_sorted(store, &stored, sorted).await?;
        let known = bin.iter().map(|file| file.rows).sum::<Option<usize>>();
        if known.is_some_and(|known| known as u64 != rows) {
            return Err(LakeError::table(name, format!("compaction read {rows} rows of {}", known.unwrap_or_default())));
        }
        for file in &mut files {
            file.data_change = false;
        }

        let replaced: HashSet<&str> = bin.iter().map(|file| file.path.as_str()).collect();
        let _turn = store.writing.lock().await;
        for _ in 0..MAX_ATTEMPTS {
            let (state, mut ledger) = store.newest(&self.stored(store)).await.map_err(failed)?;
            let present = state.snapshot().try_log_data().map_err(failed)?;
            let mut actions: Vec<Action> = present
                .iter()
                .filter(|file| replaced.contains(file.path().as_ref()))
                .map(|file| Action::Remove(file.remove_action(false)))
                .collect();
            if actions.len() != replaced.len() {
                return Err(LakeError::table(name, "another writer replaced the files that were being compacted"));
            }
            actions.extend(files.iter().cloned().map(Action::Add));
            let target_size = i64::try_from(self.options.target_file_bytes).unwrap_or(i64::MAX);
            let operation = DeltaOperation::Optimize { predicate: None, target_size };
            if let Some(state) = append_entry(store, &state, actions, CommitProperties::default(), operation).await.map_err(failed)? {
                ledger.advance(store.log.as_ref(), state.version()).await.map_err(failed)?;
                let state = store.checkpointed(&state).await.map_err(failed)?;
                self.swap(store.table, store.stored(state, ledger).await?, false);
                return Ok(rows);
            }
        }
        Err(LakeError::Contended { table: name, attempts: MAX_ATTEMPTS })
    }

    async fn write_sorted(
        &self,
        store: &TableStore,
        stored: &Stored,
        sorted: DataFrame,
    ) -> Result<(Vec<deltalake::kernel::Add>, u64), LakeError> {
        let failed = |error: DeltaTableError| LakeError::table(store.table.name(), error);
        let mut writer = RecordBatchWriter::for_table(&store.handle(&stored.state))
            .map_err(failed)?
            .with_target_file_size(self.options.target_file_bytes)
            .with_writer_properties(writer_properties());
        let schema = writer.arrow_schema();
        let (mut batches, mut rows) = (sorted.execute_stream().await?, 0);
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows() as u64;
            let batch = conform(batch.columns(), &schema).map_err(|error| failed(error.into()))?;
            writer.write(batch).await.map_err(failed)?;
        }
        Ok((writer.flush().await.map_err(failed)?, rows))
    }

    /// Removes files that have been replaced, or were never committed, longer ago than the retention period.
    async fn sweep(&self, store: &TableStore) -> Result<usize, LakeError> {
        if store.swept.lock().is_some_and(|at| at.elapsed() < SWEEP_INTERVAL) {
            return Ok(0);
        }
        let failed = |error: DeltaTableError| LakeError::table(store.table.name(), error);
        let _turn = store.writing.lock().await;
        let (state, _) = store.newest(&self.stored(store)).await.map_err(failed)?;
        let sweep = |dry: bool| store.handle(&state).vacuum().with_mode(VacuumMode::Full).with_dry_run(dry);
        // A dry run first: the real one writes two log entries even if there is nothing to remove.
        let mut removed = sweep(true).await.map_err(failed)?.1.files_deleted.len();
        if removed > 0 {
            removed = sweep(false).await.map_err(failed)?.1.files_deleted.len();
            let (state, ledger) = store.newest(&self.stored(store)).await.map_err(failed)?;
            self.swap(store.table, store.stored(state, ledger).await?, false);
        }
        *store.swept.lock() = Some(Instant::now());
        Ok(removed)
    }
}

/// Neighbours together, up to `target` bytes a group; groups of one are left as they are.
fn gathered(files: Vec<Small>, target: u64) -> Vec<Vec<Small>> {
    let mut bins: Vec<Vec<Small>> = Vec::new();
    let mut filled = 0;
    for file in files {
        match bins.last_mut() {
            Some(bin) if filled + file.bytes <= target => {
                filled += file.bytes;
                bin.push(file);
            }
            _ => {
                filled = file.bytes;
                bins.push(vec![file]);
            }
        }
    }
    bins.retain(|bin| bin.len() > 1);
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bytes: &[u64], target: u64) -> Vec<Vec<u64>> {
        let files = bytes.iter().map(|bytes| Small { path: String::new(), bytes: *bytes, rows: None, written_at: 0 }).collect();
        gathered(files, target).iter().map(|bin| bin.iter().map(|file| file.bytes).collect()).collect()
    }

    #[test]
    fn neighbours_are_gathered_up_to_the_target_and_loners_left_alone() {
        assert_eq!(sizes(&[3, 3, 3, 3, 3], 7), [vec![3, 3], vec![3, 3]]);
        assert_eq!(sizes(&[6, 6], 7), Vec::<Vec<u64>>::new());
        assert_eq!(sizes(&[1, 1, 6, 1], 7), [vec![1, 1], vec![6, 1]]);
    }
}
