//! The gateway's spool, shared by the commit thread (writes) and the uploader (reads).
//!
//! A spool that has failed mends itself with its next append, in a new generation; so one handle serves from start to end. Invariant: at most one
//! handle to the directory is open at a time.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use protocol::Timestamp;
use spool::{OpenReport, Options, Spool, SpoolError};

use crate::{
    commit,
    config::{self, Floor},
};

/// Name of the spool's directory below the data directory.
pub const DIRECTORY: &str = "spool";

/// The open spool, until it is closed.
pub struct Store {
    current: Mutex<Option<Arc<Spool>>>,
}

/// How the configuration wants the spool to be.
pub fn options(config: &config::Spool) -> Options {
    let (min_free_bytes, min_free_percent) = match config.min_free {
        Floor::Bytes(bytes) => (bytes, 0),
        Floor::Percent(percent) => (0, percent),
    };
    Options {
        max_bytes: config.max_bytes,
        min_free_bytes,
        min_free_percent,
        generation_bytes: config.generation_bytes,
        generation_age: config.generation_age,
        keep_acknowledged_bytes: config.keep_acknowledged,
        cache_bytes: config.cache_bytes,
    }
}

impl Store {
    /// Opens the spool below `data_dir`. `wall`: what the system's clock says; the gateway's own is opened with what the spool holds.
    ///
    /// # Errors
    /// [`SpoolError`]: it can't be opened at all (it mends itself where it can; see `spool`).
    pub fn open(data_dir: &Path, options: Options, wall: Timestamp) -> Result<(Self, OpenReport), SpoolError> {
        let (spool, report) = Spool::open_dir(&data_dir.join(DIRECTORY), options, commit::spool_moment(wall))?;
        Ok((Self::of(spool), report))
    }

    /// A spool that is open already, on whatever disk it is.
    pub fn of(spool: Spool) -> Self {
        Self { current: Mutex::new(Some(Arc::new(spool))) }
    }

    /// The open spool; `None` after it was closed.
    pub fn spool(&self) -> Option<Arc<Spool>> {
        self.lock().clone()
    }

    /// Closes the handle. Waits up to `patience` for others to let go of it; false if they did not (then it stays open).
    pub fn close(&self, patience: Duration) -> bool {
        let Some(mut handle) = self.lock().take() else { return true };
        let deadline = Instant::now() + patience;
        loop {
            match Arc::try_unwrap(handle) {
                Ok(_closed) => return true,
                Err(shared) if Instant::now() < deadline => handle = shared,
                Err(shared) => {
                    *self.lock() = Some(shared);
                    return false;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Spool>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
