//! What a query sees: of every table a stored version and the hot rows beside it, swapped together.
//!
//! A query takes one [`Views`] and keeps it. A push replaces a table's open rows, a commit in one step its stored version and the rows that went
//! into it, so every row is in exactly one of the two.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use deltalake::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    datafusion::{
        catalog::{Session, TableProvider},
        datasource::memory::MemorySourceConfig,
        error::Result,
        logical_expr::{Expr, TableProviderFilterPushDown, TableType},
        physical_plan::{ExecutionPlan, union::UnionExec},
    },
};
use protocol::{GatewayId, StreamId};

use crate::{
    Inner,
    error::LakeError,
    hot::{Chunk, StreamKey},
    schema::Table,
    store::Stored,
};

/// All tables at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    pub(crate) tables: [TableView; Table::ALL.len()],
}

#[derive(Debug, Clone)]
pub(crate) struct TableView {
    pub(crate) stored: Arc<Stored>,
    /// Rows that a commit is storing.
    pub(crate) frozen: Arc<Vec<Chunk>>,
    /// Rows pushed since.
    pub(crate) open: Arc<Vec<Chunk>>,
}

impl TableView {
    pub(crate) fn new(stored: Stored) -> Self {
        Self { stored: Arc::new(stored), frozen: Arc::default(), open: Arc::default() }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.stored.provider.schema()
    }

    /// Hot and stored rows as one table.
    pub(crate) fn provider(&self) -> Arc<dyn TableProvider> {
        let hot: Vec<RecordBatch> = self.frozen.iter().chain(self.open.iter()).map(|chunk| chunk.batch.clone()).collect();
        match hot.is_empty() {
            true => Arc::clone(&self.stored.provider),
            false => Arc::new(HotAndStored { stored: Arc::clone(&self.stored.provider), hot }),
        }
    }
}

impl Views {
    pub(crate) fn hot_rows(&self) -> usize {
        self.tables.iter().flat_map(|view| view.frozen.iter().chain(view.open.iter())).map(Chunk::rows).sum()
    }

    pub(crate) fn watermarks(&self) -> Vec<(GatewayId, StreamId, u64)> {
        highest(self.tables.iter().flat_map(|view| view.stored.ledger.marks()))
    }
}

fn highest<'a>(marks: impl Iterator<Item = (&'a StreamKey, u64)>) -> Vec<(GatewayId, StreamId, u64)> {
    let mut highest: HashMap<&StreamKey, u64> = HashMap::new();
    for (key, mark) in marks {
        let held = highest.entry(key).or_default();
        *held = mark.max(*held);
    }
    let mut marks: Vec<_> = highest.into_iter().map(|((gateway, stream), mark)| (gateway.clone(), *stream, mark)).collect();
    marks.sort();
    marks
}

impl Inner {
    pub(crate) fn views(&self) -> Arc<Views> {
        Arc::clone(&self.views.read())
    }

    pub(crate) async fn newest_marks(&self) -> Result<Vec<(GatewayId, StreamId, u64)>, LakeError> {
        let views = self.views();
        let mut ledgers = Vec::with_capacity(self.tables.len());
        for store in &self.tables {
            let newest = store.newest(&views.tables[store.table.index()].stored).await;
            ledgers.push(newest.map_err(|error| LakeError::table(store.table.name(), error))?.1);
        }
        Ok(highest(ledgers.iter().flat_map(crate::ledger::Ledger::marks)))
    }

    /// Shows queries a new version of `table`; `stored_rows`: what was frozen is in it.
    pub(crate) fn swap(&self, table: Table, stored: Stored, stored_rows: bool) {
        let mut current = self.views.write();
        let mut next = current.as_ref().clone();
        let view = &mut next.tables[table.index()];
        view.stored = Arc::new(stored);
        if stored_rows {
            view.frozen = Arc::default();
        }
        *current = Arc::new(next);
    }
}

/// The union of a stored version and hot rows.
#[derive(Debug)]
struct HotAndStored {
    stored: Arc<dyn TableProvider>,
    hot: Vec<RecordBatch>,
}

#[async_trait]
impl TableProvider for HotAndStored {
    fn schema(&self) -> SchemaRef {
        self.stored.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let stored = self.stored.scan(session, projection, filters, limit).await?;
        let hot = MemorySourceConfig::try_new_exec(std::slice::from_ref(&self.hot), self.schema(), projection.cloned())?;
        UnionExec::try_new(vec![stored, hot])
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Stored rows may be filtered while they are read; hot rows never are, so a filter always stays above.
        let stored = self.stored.supports_filters_pushdown(filters)?;
        let both = stored.into_iter().map(|support| match support {
            TableProviderFilterPushDown::Exact | TableProviderFilterPushDown::Inexact => TableProviderFilterPushDown::Inexact,
            TableProviderFilterPushDown::Unsupported => TableProviderFilterPushDown::Unsupported,
        });
        Ok(both.collect())
    }
}
