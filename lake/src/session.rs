//! DataFusion sessions: one prepared state, cloned per query and given that query's view as its only catalog.
//!
//! Users' SQL and our own reads draw on separate memory, so that a greedy statement can't keep the dashboard from its data.

use std::{path::Path, sync::Arc};

use deltalake::datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider,
    },
    error::Result,
    execution::{
        SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::{SessionConfig, SessionContext},
};

use crate::{options::SqlLimits, schema::Table, view::Views};

/// Memory of typed reads and of compaction, each.
const OWN_MEMORY: usize = 512 << 20;
const CATALOG: &str = "millrace";
const SCHEMA: &str = "lake";

pub(crate) struct Sessions {
    users: SessionState,
    reads: SessionState,
    upkeep: SessionState,
}

impl Sessions {
    /// `spill` is a folder for what does not fit into memory; it holds nothing that outlives a query.
    pub(crate) fn new(limits: &SqlLimits, spill: &Path) -> Result<Self> {
        let with_memory = |bytes: usize| state(runtime(bytes, limits.max_spill_bytes, spill)?);
        Ok(Self { users: with_memory(limits.max_memory)?, reads: with_memory(OWN_MEMORY)?, upkeep: with_memory(OWN_MEMORY)? })
    }

    pub(crate) fn for_user(&self, views: &Views) -> Result<SessionContext> {
        with_tables(&self.users, views)
    }

    pub(crate) fn for_reads(&self, views: &Views) -> Result<SessionContext> {
        with_tables(&self.reads, views)
    }

    /// Without tables.
    pub(crate) fn for_upkeep(&self) -> SessionContext {
        SessionContext::new_with_state(self.upkeep.clone())
    }
}

fn runtime(memory: usize, max_spill: u64, spill: &Path) -> Result<Arc<RuntimeEnv>> {
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![spill.to_owned()]))
        .with_max_temp_directory_size(max_spill);
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(memory))).with_disk_manager_builder(disk).build_arc()
}

fn state(runtime: Arc<RuntimeEnv>) -> Result<SessionState> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
    Ok(SessionStateBuilder::new().with_default_features().with_config(config).with_runtime_env(runtime).build())
}

fn with_tables(state: &SessionState, views: &Views) -> Result<SessionContext> {
    let schema = MemorySchemaProvider::new();
    for (table, view) in Table::ALL.into_iter().zip(&views.tables) {
        schema.register_table(table.name().to_owned(), view.provider())?;
    }
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::new(schema))?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    let session = SessionContext::new_with_state(state.clone());
    session.register_catalog_list(Arc::new(catalogs));
    Ok(session)
}
