//! One process per data directory.
//!
//! Taken by `run` for its life, and by commands that work on the files themselves. Invariant: the kernel holds the lock, so that a killed
//! process leaves none behind.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another millrace-collector works on {}", path.display())]
    Taken { path: PathBuf },
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// Takes the lock; it is held until the file is dropped.
///
/// # Errors
/// [`LockError::Taken`] if another process has it.
pub fn take(data_dir: &Path) -> Result<File, LockError> {
    let path = data_dir.join("lock");
    let file_error = |source| LockError::File { path: path.clone(), source };
    let file = File::options().create(true).write(true).truncate(false).open(&path).map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Taken { path: data_dir.into() }),
        Err(TryLockError::Error(source)) => Err(file_error(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_kept_out_until_the_first_is_gone() {
        let dir = tempfile::tempdir().expect("folder");
        let first = take(dir.path()).expect("free");
        assert!(matches!(take(dir.path()), Err(LockError::Taken { .. })));
        drop(first);
        take(dir.path()).expect("free again");
    }
}
