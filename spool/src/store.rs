//! sled, fenced in. Everything that calls it goes through here.
//!
//! What is fenced (sled 0.34.7):
//! - It panics where it could fail: each call is guarded, a panic becomes an error. (In a build with `panic = "abort"` the process ends
//!   instead; what was acknowledged is on disk either way.)
//! - Its periodic flusher stops for good after one error: it is off, we flush.
//! - Its flush is `sync_file_range`, which leaves out the file's size and the drive's cache: we add `sync_data` on the database file.
//! - Leaves above a quarter of a segment become files of their own that are never synced: values are kept small (`layout.rs`).
//! - Its cache is 1 GiB by default: ours is set.
//!
//! A batch is atomic: sled writes a manifest that names the batch's last log position before its first record, and recovery cuts the log
//! before a manifest whose batch is not there to the end.

use std::{
    fs::{self, File},
    io,
    ops::RangeBounds,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::SpoolError;

/// How long a closed database may hold its file.
const RELEASE_TRIES: u32 = 1000;
const RELEASE_PAUSE: Duration = Duration::from_millis(2);

pub(crate) struct Store {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    data: File,
    path: PathBuf,
}

/// How long the lock of a database may outlive whoever closed it: a child process that is just being started holds a copy of it until it
/// runs its own program.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

fn open_unlocked(config: &sled::Config, dir: &Path) -> Result<sled::Db, SpoolError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match guarded("open", || config.open()) {
            Err(SpoolError::Storage { source: sled::Error::Io(e), .. }) if e.to_string().contains("could not acquire lock") => {
                if Instant::now() > deadline {
                    return Err(SpoolError::InUse { path: dir.to_owned() });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

impl Store {
    /// Opens or creates the database in `dir`.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, SpoolError> {
        let existed = dir.is_dir();
        fs::create_dir_all(dir).map_err(io_error("can't create", dir))?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).mode(sled::Mode::LowSpace).flush_every_ms(None);
        let db = open_unlocked(&config, dir)?;
        let path = dir.join("db");
        let data = File::open(&path).map_err(io_error("can't open", &path))?;
        let store = Self { db: Some(db), data, path };
        store.sync()?;
        // Names of new files are durable only with their folder, and the folder's name only with its parent.
        sync_file(&dir.join("conf"))?;
        sync_file(dir)?;
        if !existed && let Some(parent) = dir.canonicalize().map_err(io_error("can't resolve", dir))?.parent() {
            sync_file(parent)?;
        }
        Ok(store)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, SpoolError> {
        guarded("read", || self.db().get(key))
    }

    /// Calls `each` with the pairs of a range in order, until it says that it has enough.
    pub(crate) fn scan<R: RangeBounds<Vec<u8>>>(&self, range: R, mut each: impl FnMut(&[u8], &[u8]) -> Flow) -> Result<(), SpoolError> {
        guarded("read", || {
            for pair in self.db().range(range) {
                let (key, value) = pair?;
                if each(&key, &value) == Flow::Stop {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Applies a batch whole or not at all; durable only after [`Store::sync`].
    pub(crate) fn apply(&self, batch: sled::Batch) -> Result<(), SpoolError> {
        guarded("write", || self.db().apply_batch(batch))
    }

    /// Makes all that was applied durable.
    pub(crate) fn sync(&self) -> Result<(), SpoolError> {
        guarded("flush", || self.db().flush())?;
        self.data.sync_data().map_err(io_error("can't sync", &self.path))
    }

    pub(crate) fn size_on_disk(&self) -> Result<u64, SpoolError> {
        guarded("measure", || self.db().size_on_disk())
    }

    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("the database is there until the store is dropped")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::error!(path = %self.path.display(), "storage panicked when it was closed");
        }
        // sled's own threads let go of the file, and so of its lock, a little later. Whoever opens it next shall not find it in use.
        for _ in 0..RELEASE_TRIES {
            if self.data.try_lock().is_ok() {
                return;
            }
            std::thread::sleep(RELEASE_PAUSE);
        }
        tracing::warn!(path = %self.path.display(), "storage still holds its file after it was closed");
    }
}

/// Whether a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Stop,
}

fn guarded<T>(what: &'static str, call: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, SpoolError> {
    // Unwind safe: after a panic nothing touches the database any more but its drop, which is guarded too.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|source| SpoolError::Storage { what, source }),
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().map(|m| (*m).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
            Err(SpoolError::Panicked { what, message: message.unwrap_or_default() })
        }
    }
}

fn sync_file(path: &Path) -> Result<(), SpoolError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("can't sync", path))
}

pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { what, path, source }
}
