//! What can be set, with its defaults.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How the lake is kept.
#[derive(Clone)]
pub struct LakeOptions {
    /// Folder of the tables, made if missing.
    pub root: PathBuf,
    pub sql: SqlLimits,
    /// Compaction rewrites files below half of this into files of about this size.
    pub target_file_bytes: u64,
    /// Compaction leaves a table alone that has fewer small files than this.
    pub compact_min_files: usize,
    /// A checkpoint, from which a table is opened, is written every so many log entries of it. Every query walks the entries since the last one.
    pub checkpoint_every: u32,
    /// How long a commit's log entry is kept. Every commit lists the log, so this is short; older versions can't be read any more.
    pub log_retention: Duration,
    /// How long the mark of a stream is kept in the log after its last row. Much longer than anybody may hold rows of it that are to be stored.
    pub mark_retention: Duration,
    /// How long a file that compaction has replaced is kept for readers that still use it.
    pub file_retention: Duration,
    /// Called between the steps of a commit: an error stops it there as a crash or a failing disk would. For tests of recovery.
    pub probe: Option<Probe>,
}

impl LakeOptions {
    /// The defaults, in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            sql: SqlLimits::default(),
            target_file_bytes: 32 << 20,
            compact_min_files: 8,
            checkpoint_every: 10,
            log_retention: Duration::from_secs(2 * 3600),
            mark_retention: Duration::from_secs(180 * 24 * 3600),
            file_retention: Duration::from_secs(24 * 3600),
            probe: None,
        }
    }
}

impl fmt::Debug for LakeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeOptions")
            .field("root", &self.root)
            .field("sql", &self.sql)
            .field("target_file_bytes", &self.target_file_bytes)
            .field("compact_min_files", &self.compact_min_files)
            .field("checkpoint_every", &self.checkpoint_every)
            .field("log_retention", &self.log_retention)
            .field("file_retention", &self.file_retention)
            .finish_non_exhaustive()
    }
}

/// What one SQL statement may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// From the call on, waiting for others included.
    pub timeout: Duration,
    /// All statements that run at the same time share this.
    pub max_memory: usize,
    /// More rows are cut off, and the result says so.
    pub max_rows: usize,
    /// Size of the result in memory; what is over it is cut off like rows.
    pub max_result_bytes: usize,
    /// Statements that run at the same time; others wait.
    pub max_running: usize,
    /// Length of the statement.
    pub max_sql_bytes: usize,
    /// Files that a statement may spill into, all together.
    pub max_spill_bytes: u64,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            max_memory: 1 << 30,
            max_rows: 100_000,
            max_result_bytes: 64 << 20,
            max_running: 4,
            max_sql_bytes: 32 << 10,
            max_spill_bytes: 4 << 30,
        }
    }
}

/// A place in a commit at which a [`Probe`] is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing of the table has been written yet.
    BeforeData { table: &'a str },
    /// The data files are durable, no log entry names them.
    BeforeLog { table: &'a str },
    /// The log entry is durable, queries do not use it yet.
    BeforeSwap { table: &'a str },
    /// A file or folder is about to be synced; an error here is a failed sync.
    Sync { path: &'a Path },
}

/// See [`LakeOptions::probe`].
pub type Probe = Arc<dyn Fn(Step<'_>) -> io::Result<()> + Send + Sync>;

/// Asks the probe, if there is one.
pub(crate) fn ask(probe: Option<&Probe>, step: Step<'_>) -> io::Result<()> {
    probe.map_or(Ok(()), |probe| probe(step))
}
