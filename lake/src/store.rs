//! One Delta table on disk: opening or creating it, its newest version, and the marks of its streams in that version.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use deltalake::{
    DeltaTable, DeltaTableBuilder, DeltaTableError, TableProperty,
    arrow::datatypes::SchemaRef,
    datafusion::catalog::TableProvider,
    ensure_table_uri,
    kernel::StructField,
    logstore::{LogStore, LogStoreRef},
    operations::create::CreateBuilder,
    table::state::DeltaTableState,
};
use parking_lot::Mutex;

use crate::{
    durable::{Disk, SyncedStore},
    error::LakeError,
    ledger::Ledger,
    options::LakeOptions,
    schema::Table,
};

/// Where a table lies, and who may write to it.
pub(crate) struct TableStore {
    pub(crate) table: Table,
    pub(crate) log: LogStoreRef,
    pub(crate) disk: Arc<Disk>,
    pub(crate) checkpoint_every: u32,
    /// Held while a log entry of the table is made: a commit of rows and one of a compaction take turns.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// When files that nobody needs any more were last removed.
    pub(crate) swept: Mutex<Option<Instant>>,
}

/// One version of a table, loaded.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) state: DeltaTableState,
    pub(crate) ledger: Ledger,
    pub(crate) provider: Arc<dyn TableProvider>,
}

impl TableStore {
    /// Opens the table in its folder under the root, or creates it there.
    pub(crate) async fn open(options: &LakeOptions, root: &Path, table: Table) -> Result<(Self, Stored), LakeError> {
        let failed = |error: DeltaTableError| LakeError::table(table.name(), error);
        let folder = root.join(table.name());
        let disk = Arc::new(Disk::new(options.probe.clone()));
        disk.make_folder(&folder).map_err(|source| LakeError::Io { path: folder.clone(), source })?;
        remove_staged(&folder);
        remove_staged(&folder.join("_delta_log"));
        let url = ensure_table_uri(folder.to_string_lossy()).map_err(failed)?;
        let objects = Arc::new(SyncedStore::new(Arc::clone(&disk)));
        let builder = DeltaTableBuilder::from_url(url.clone()).map_err(failed)?;
        let log = builder.with_storage_backend(objects, url).build_storage().map_err(failed)?;
        let store = Self {
            table,
            log,
            disk,
            checkpoint_every: options.checkpoint_every.max(1),
            writing: tokio::sync::Mutex::default(),
            swept: Mutex::default(),
        };
        let known = store.log.is_delta_table_location().await.map_err(failed)?;
        if !known {
            store.create(options).await.map_err(failed)?;
        }
        let mut state = DeltaTableState::try_new(store.log.as_ref(), None).await.map_err(failed)?;
        if store.add_columns(&state).await.map_err(failed)? {
            state = DeltaTableState::try_new(store.log.as_ref(), None).await.map_err(failed)?;
        }
        let ledger = Ledger::load(store.log.as_ref(), state.version()).await.map_err(failed)?;
        let stored = store.stored(state, ledger).await?;
        store.check_columns(&stored.provider.schema())?;
        // What made the table is no commit's to report.
        let _ = store.disk.take_synced();
        Ok((store, stored))
    }

    /// A loaded version as queries use it.
    pub(crate) async fn stored(&self, state: DeltaTableState, ledger: Ledger) -> Result<Stored, LakeError> {
        let provider = self.scan(&state, None).await.map_err(|error| LakeError::table(self.table.name(), error))?;
        Ok(Stored { state, ledger, provider })
    }

    /// The rows of a version, or of some of its files.
    pub(crate) async fn scan(
        &self,
        state: &DeltaTableState,
        files: Option<Vec<String>>,
    ) -> Result<Arc<dyn TableProvider>, DeltaTableError> {
        let rows = self.handle(state).table_provider();
        Ok(match files {
            Some(files) => rows.with_file_paths(files).await?,
            None => rows.await?,
        })
    }

    /// The table as delta-rs's own operations want it.
    pub(crate) fn handle(&self, state: &DeltaTableState) -> DeltaTable {
        let mut handle = DeltaTable::new(Arc::clone(&self.log));
        handle.state = Some(state.clone());
        handle
    }

    /// The newest version and its marks, starting from one that is loaded.
    pub(crate) async fn newest(&self, stored: &Stored) -> Result<(DeltaTableState, Ledger), DeltaTableError> {
        let (mut state, mut ledger) = (stored.state.clone(), stored.ledger.clone());
        if self.log.read_commit_entry(state.version()).await?.is_none() {
            // Another process has cut the log beyond what is loaded: what followed has to be read from its checkpoint.
            state = DeltaTableState::try_new(self.log.as_ref(), None).await?;
            ledger = Ledger::load(self.log.as_ref(), state.version()).await?;
        } else if self.log.read_commit_entry(state.version() + 1).await?.is_some() {
            state.update(self.log.as_ref(), None).await?;
            ledger.advance(self.log.as_ref(), state.version()).await?;
        }
        Ok((state, ledger))
    }

    /// A version, loaded from its checkpoint.
    pub(crate) async fn reload(&self, version: u64) -> Result<DeltaTableState, DeltaTableError> {
        DeltaTableState::try_new(self.log.as_ref(), Some(version)).await
    }

    /// Writes a checkpoint of a version and loads it from there.
    pub(crate) async fn checkpointed(&self, state: &DeltaTableState) -> Result<DeltaTableState, DeltaTableError> {
        deltalake::checkpoints::create_checkpoint(&self.handle(state), None).await?;
        self.reload(state.version()).await
    }

    async fn create(&self, options: &LakeOptions) -> Result<(), DeltaTableError> {
        let mut builder = CreateBuilder::new().with_log_store(Arc::clone(&self.log)).with_table_name(self.table.name());
        for column in self.table.columns() {
            builder = builder.with_column(column.name, column.kind.delta_type(), column.optional, None);
        }
        let seconds = |period: Duration| Some(format!("interval {} seconds", period.as_secs()));
        builder
            .with_configuration_property(TableProperty::CheckpointInterval, Some(self.checkpoint_every.to_string()))
            .with_configuration_property(TableProperty::DataSkippingStatsColumns, Some(self.table.stats_columns().join(",")))
            .with_configuration_property(TableProperty::EnableExpiredLogCleanup, Some("true"))
            .with_configuration_property(TableProperty::LogRetentionDuration, seconds(options.log_retention))
            .with_configuration_property(TableProperty::SetTransactionRetentionDuration, seconds(options.mark_retention))
            .with_configuration_property(TableProperty::DeletedFileRetentionDuration, seconds(options.file_retention))
            .await?;
        Ok(())
    }

    /// Adds the columns that a table of an older version lacks at its end; true if there were any. Rows of before have no value in them.
    async fn add_columns(&self, state: &DeltaTableState) -> Result<bool, DeltaTableError> {
        let schema = state.snapshot().schema();
        let found: Vec<&str> = schema.fields().map(|field| field.name().as_str()).collect();
        let wanted: Vec<_> = self.table.columns().collect();
        let is_older = found.len() < wanted.len() && found.iter().zip(&wanted).all(|(found, wanted)| *found == wanted.name);
        let missing = wanted.get(found.len()..).unwrap_or_default();
        if !is_older || missing.iter().any(|column| !column.optional) {
            return Ok(false);
        }
        let fields: Vec<StructField> = missing.iter().map(|column| StructField::nullable(column.name, column.kind.delta_type())).collect();
        self.handle(state).add_columns().with_fields(fields).await?;
        tracing::info!(table = self.table.name(), columns = missing.len(), "columns added");
        Ok(true)
    }

    fn check_columns(&self, found: &SchemaRef) -> Result<(), LakeError> {
        let wanted: HashMap<&str, _> = self.table.columns().map(|column| (column.name, column)).collect();
        let same_order = self.table.columns().map(|column| column.name).eq(found.fields().iter().map(|field| field.name().as_str()));
        let odd = found
            .fields()
            .iter()
            .find(|field| wanted.get(field.name().as_str()).is_none_or(|column| !column.kind.reads_as(field.data_type())));
        match odd {
            Some(field) => Err(LakeError::Schema { table: self.table.name(), column: field.name().clone() }),
            None if !same_order => Err(LakeError::Schema { table: self.table.name(), column: "(order)".into() }),
            None => Ok(()),
        }
    }
}

/// Files that a crash left half written; nothing names them.
fn remove_staged(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let staged =
            name.to_string_lossy().rsplit_once('#').is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()));
        if staged && let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "half-written file left in place");
        }
    }
}
