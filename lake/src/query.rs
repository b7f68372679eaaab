//! Users' SQL, fenced: one statement, that only reads, within limits of time, memory, rows and bytes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deltalake::datafusion::{
    execution::context::SQLOptions,
    prelude::{DataFrame, SessionContext},
};
use futures::TryStreamExt;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::{Inner, cells, error::LakeError, statement, threads::AbortOnDrop};

/// A result: cells in the order of `columns`.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
    /// True if there were more rows than the limits allow.
    pub truncated: bool,
    pub elapsed: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

/// What the values of a column are in JSON (any may be null).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Integer,
    Number,
    Text,
    Boolean,
    /// RFC 3339 text in UTC.
    Time,
    /// Text, as DataFusion prints it.
    Other,
}

impl ColumnKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Other => "other",
        }
    }
}

/// Answers on `threads`, and waits for it elsewhere.
pub(crate) async fn sql(inner: Arc<Inner>, sql: String, threads: Handle) -> Result<QueryResult, LakeError> {
    let limits = inner.options.sql;
    statement::check_size(&sql, limits.max_sql_bytes)?;
    let begun = Instant::now();
    let answer = async {
        let permit = Arc::clone(&inner.running_sql).acquire_owned().await.map_err(|_| LakeError::Closed)?;
        let answering = threads.spawn(async move {
            let answer = inner.answer(&sql).await;
            // Goes with the task: what has been given up may still be computing.
            drop(permit);
            answer
        });
        AbortOnDrop(answering).await?
    };
    let mut result = tokio::time::timeout(limits.timeout, answer).await.map_err(|_| LakeError::Timeout { after: limits.timeout })??;
    result.elapsed = begun.elapsed();
    Ok(result)
}

impl Inner {
    async fn answer(&self, sql: &str) -> Result<QueryResult, LakeError> {
        let session = self.sessions.for_user(&self.views())?;
        let plan = read_only_plan(&session, sql).await?;
        let (max_rows, max_bytes) = (self.options.sql.max_rows, self.options.sql.max_result_bytes);
        let mut batches = DataFrame::new(session.state(), plan).execute_stream().await?;
        let mut result =
            QueryResult { columns: cells::columns(&batches.schema()), rows: Vec::new(), truncated: false, elapsed: Duration::ZERO };
        let mut bytes = 0;
        while let Some(batch) = batches.try_next().await? {
            bytes += batch.get_array_memory_size();
            let room = max_rows - result.rows.len();
            let taken = if bytes > max_bytes { 0 } else { batch.num_rows().min(room) };
            result.rows.extend(cells::rows(&batch, taken).map_err(|error| LakeError::Query(Box::new(error)))?);
            if taken < batch.num_rows() {
                result.truncated = true;
                break;
            }
        }
        Ok(result)
    }
}

async fn read_only_plan(session: &SessionContext, sql: &str) -> Result<deltalake::datafusion::logical_expr::LogicalPlan, LakeError> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect)?;
    let plan = state.statement_to_plan(statement).await?;
    // Looks at every node of the plan, so also below EXPLAIN.
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|error| LakeError::Refused { reason: error.strip_backtrace() })?;
    Ok(plan)
}
