//! How far each stream has been stored in one table: its application transactions, read from the log.
//!
//! Delta keeps them in the log entries (`txn` actions) and in checkpoints. They are read once at start and then followed entry by entry, so that
//! a commit can check all its streams against the newest version without reading the log again.
//!
//! Invariant: marks only rise. A writer that moved one back (Delta lets a fresh handle do that) does not make us store rows a second time.

use std::collections::HashMap;

use deltalake::{
    DeltaTableError, Path,
    arrow::array::{Array, AsArray},
    arrow::datatypes::{DataType, Int64Type},
    kernel::Transaction,
    logstore::{LogStore, object_store::ObjectStoreExt},
    parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
};
use futures::TryStreamExt;
use protocol::{GatewayId, StreamId};
use serde_json::Value;

use crate::hot::{Span, StreamKey};

type LogVersion = u64;

#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    version: Option<LogVersion>,
    marks: HashMap<StreamKey, u64>,
}

impl Ledger {
    /// Reads the newest checkpoint at or below `version` and the entries after it.
    pub(crate) async fn load(log: &dyn LogStore, version: LogVersion) -> Result<Self, DeltaTableError> {
        let mut ledger = Self::default();
        let mut checkpoints: Vec<(LogVersion, Path)> = Vec::new();
        let store = log.object_store(None);
        let mut listing = store.list(Some(&Path::from("_delta_log")));
        while let Some(meta) = listing.try_next().await? {
            let found = meta.location.filename().and_then(checkpoint_version).filter(|at| *at <= version);
            checkpoints.extend(found.map(|at| (at, meta.location)));
        }
        if let Some(newest) = checkpoints.iter().map(|(at, _)| *at).max() {
            for (_, path) in checkpoints.iter().filter(|(at, _)| *at == newest) {
                ledger.take_checkpoint(store.get(path).await?.bytes().await?)?;
            }
            ledger.version = Some(newest);
        }
        ledger.advance(log, version).await?;
        Ok(ledger)
    }

    /// Follows the log up to `version`.
    pub(crate) async fn advance(&mut self, log: &dyn LogStore, version: LogVersion) -> Result<(), DeltaTableError> {
        let first = self.version.map_or(0, |at| at + 1);
        for at in first..=version {
            let entry = log.read_commit_entry(at).await?.ok_or(DeltaTableError::InvalidVersion(at))?;
            for line in entry.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let action: Value = serde_json::from_slice(line)?;
                if let Some(txn) = action.get("txn")
                    && let (Some(app), Some(mark)) = (txn.get("appId").and_then(Value::as_str), txn.get("version").and_then(Value::as_i64))
                {
                    self.take(app, mark);
                }
            }
        }
        self.version = Some(version);
        Ok(())
    }

    /// The highest sequence of `key` that is stored.
    pub(crate) fn mark(&self, key: &StreamKey) -> Option<u64> {
        self.marks.get(key).copied()
    }

    pub(crate) fn marks(&self) -> impl Iterator<Item = (&StreamKey, u64)> {
        self.marks.iter().map(|(key, mark)| (key, *mark))
    }

    fn take(&mut self, app: &str, mark: i64) {
        // Other applications may keep their own transactions in the table.
        let Some((key, mark)) = stream_of(app).zip(u64::try_from(mark).ok()) else { return };
        let held = self.marks.entry(key).or_default();
        *held = mark.max(*held);
    }

    fn take_checkpoint(&mut self, bytes: impl deltalake::parquet::file::reader::ChunkReader + 'static) -> Result<(), DeltaTableError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
        let wanted = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version"]);
        for batch in builder.with_projection(wanted).build()? {
            let batch = batch?;
            let Some(txn) = batch.column_by_name("txn").and_then(|column| column.as_struct_opt()) else { continue };
            let (Some(apps), Some(marks)) = (txn.column_by_name("appId"), txn.column_by_name("version")) else { continue };
            let apps = deltalake::arrow::compute::cast(apps, &DataType::Utf8)?;
            let (apps, marks) = (apps.as_string::<i32>(), marks.as_primitive::<Int64Type>());
            for row in (0..txn.len()).filter(|row| txn.is_valid(*row) && apps.is_valid(*row) && marks.is_valid(*row)) {
                self.take(apps.value(row), marks.value(row));
            }
        }
        Ok(())
    }
}

/// The transactions that say that `spans` are stored, now.
pub(crate) fn transactions(spans: &HashMap<StreamKey, Span>, now_ms: i64) -> Vec<Transaction> {
    let mut transactions: Vec<Transaction> = spans
        .iter()
        .map(|((gateway, stream), span)| {
            let (app, mark) = (format!("{gateway}/{stream}"), i64::try_from(span.high).unwrap_or(i64::MAX));
            // Checkpoints leave out those that are older than the table keeps them.
            Transaction::new_with_last_update(app, mark, Some(now_ms))
        })
        .collect();
    transactions.sort_by(|a, b| a.app_id.cmp(&b.app_id));
    transactions
}

fn stream_of(app: &str) -> Option<StreamKey> {
    let (gateway, stream) = app.split_once('/')?;
    let stream = u64::from_str_radix(stream, 16).ok().filter(|_| stream.len() == 16)?;
    Some((GatewayId::new(gateway).ok()?, StreamId(stream)))
}

/// `00000000000000000010.checkpoint.parquet`, also with a part or an id between the last two.
fn checkpoint_version(file: &str) -> Option<LogVersion> {
    let (version, rest) = file.split_once('.')?;
    let is_checkpoint = version.len() == 20 && rest.starts_with("checkpoint.") && rest.ends_with(".parquet");
    is_checkpoint.then(|| version.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_application_ids_are_streams() {
        assert_eq!(stream_of("press-gw1/00000000000000ff"), Some((GatewayId::new("press-gw1").unwrap(), StreamId(255))));
        for other in ["press-gw1", "press-gw1/ff", "Press/00000000000000ff", "press/zz000000000000ff", "/00000000000000ff"] {
            assert_eq!(stream_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_mark_never_falls() {
        let mut ledger = Ledger::default();
        ledger.take("gw/0000000000000001", 10_000);
        ledger.take("gw/0000000000000001", 5);
        assert_eq!(ledger.mark(&(GatewayId::new("gw").unwrap(), StreamId(1))), Some(10_000));
    }

    #[test]
    fn checkpoints_are_told_from_other_files() {
        assert_eq!(checkpoint_version("00000000000000000010.checkpoint.parquet"), Some(10));
        assert_eq!(checkpoint_version("00000000000000000010.checkpoint.0000000001.0000000002.parquet"), Some(10));
        assert_eq!(checkpoint_version("00000000000000000010.json"), None);
        assert_eq!(checkpoint_version("_last_checkpoint"), None);
    }
}
