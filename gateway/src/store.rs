//! The gateway's spool, shared by the commit thread (writes) and the uploader (reads), and replaced when its database has failed.
//!
//! A spool handle that has seen an I/O error is poisoned for good: what it holds must be read from the disk again. Invariant: at most one
//! handle to the directory is open at a time.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use spool::{OpenReport, Options, Spool, SpoolError};

/// Name of the spool's directory below the data directory.
pub const DIRECTORY: &str = "spool";

/// The open spool, or the place where it is to be opened again.
pub struct Store {
    directory: PathBuf,
    options: Options,
    current: Mutex<Option<Arc<Spool>>>,
}

impl Store {
    /// Opens the spool below `data_dir`.
    ///
    /// # Errors
    /// [`SpoolError`]: it can't be opened at all (it mends itself where it can; see `spool`).
    pub fn open(data_dir: &Path, options: Options) -> Result<(Self, OpenReport), SpoolError> {
        let directory = data_dir.join(DIRECTORY);
        let (spool, report) = Spool::open(&directory, options)?;
        Ok((Self { directory, options, current: Mutex::new(Some(Arc::new(spool))) }, report))
    }

    /// The open spool; `None` while it is being reopened.
    pub fn spool(&self) -> Option<Arc<Spool>> {
        self.lock().clone()
    }

    /// Closes the handle and opens the directory again. Waits up to `patience` for others to let go of the old handle.
    ///
    /// # Errors
    /// [`SpoolError`]: it could not be opened; there is no spool until a later call succeeds.
    pub fn reopen(&self, patience: Duration) -> Result<Option<OpenReport>, SpoolError> {
        if !self.close(patience) {
            return Ok(None);
        }
        let (spool, report) = Spool::open(&self.directory, self.options)?;
        *self.lock() = Some(Arc::new(spool));
        Ok(Some(report))
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
