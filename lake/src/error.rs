//! What can go wrong, by what the caller can do about it.

use std::{path::PathBuf, time::Duration};

use deltalake::datafusion::error::DataFusionError;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the lake did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The file system refused. Nothing was changed.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// Reading or writing a table failed. Rows that were to be stored stay hot: try again later.
    #[error("table {table}: {source}")]
    Table { table: &'static str, source: Source },
    /// Others kept writing to the table; try again later.
    #[error("table {table}: {attempts} commits in a row met a newer version")]
    Contended { table: &'static str, attempts: usize },
    /// A sync failed, so nobody knows what the disk holds. Final for this handle: open the lake anew, after the disk has been looked at.
    #[error("table {table}: a sync to disk failed; the lake must be opened anew")]
    Poisoned { table: &'static str },
    /// The table on disk was made by another version.
    #[error("table {table} has no column {column} of the type that this version writes")]
    Schema { table: &'static str, column: String },
    /// The statement would do more than read, or is longer than allowed.
    #[error("not allowed: {reason}")]
    Refused { reason: String },
    /// The statement is wrong.
    #[error("{message}")]
    Sql { message: String },
    #[error("the query took longer than {after:?}")]
    Timeout { after: Duration },
    /// The query wanted more memory, or more room for spilling, than queries may use.
    #[error("the query needs more memory than allowed: {message}")]
    Memory { message: String },
    #[error("more than {max} rows; ask for a shorter period")]
    TooManyRows { max: usize },
    #[error("{reason}")]
    InvalidRange { reason: &'static str },
    /// Executing a query failed for a reason of ours.
    #[error("query failed: {0}")]
    Query(Source),
    /// The lake is being closed, or a task of it panicked.
    #[error("the lake is closed")]
    Closed,
}

impl LakeError {
    pub(crate) fn table(table: &'static str, source: impl Into<Source>) -> Self {
        Self::Table { table, source: source.into() }
    }

    /// True if the asker, not the lake, has to change something.
    pub fn is_callers_fault(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Sql { .. }
                | Self::Timeout { .. }
                | Self::Memory { .. }
                | Self::TooManyRows { .. }
                | Self::InvalidRange { .. }
        )
    }
}

impl From<DataFusionError> for LakeError {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => Self::Memory { message: message.clone() },
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::ArrowError(..) => Self::Sql { message: error.strip_backtrace() },
            DataFusionError::Execution(_) => Self::Sql { message: error.strip_backtrace() },
            _ => Self::Query(Box::new(error)),
        }
    }
}

impl From<tokio::task::JoinError> for LakeError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Closed
    }
}
