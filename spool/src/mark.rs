//! A second place, outside of sled, that knows how far the spool has come.
//!
//! If a byte in the middle of sled's log goes bad, sled takes all behind it for a torn end and opens without it: entries would be gone without a
//! word, and their sequences would be given again. So after each commit the next sequence is also written to a file of its own. It is
//! not synced: after a power cut it may be behind, which says nothing, but it is never ahead of what is durable. If it is ahead of what sled knows,
//! entries are lost.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{SpoolError, layout::Meta, store::io_error};

#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    path: PathBuf,
}

impl Mark {
    /// Opens the mark of the spool in `dir` and returns what it says, if it says anything.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Option<Meta>), SpoolError> {
        let path = dir.join("mark");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io_error("can't open", &path))?;
        let mut value = vec![0; Meta::BYTES];
        let said = file.read_exact_at(&mut value, 0).ok().and_then(|()| Meta::decode(&value).ok());
        Ok((Self { file, path }, said))
    }

    pub(crate) fn set(&self, meta: Meta) -> Result<(), SpoolError> {
        self.file.write_all_at(&meta.encode(), 0).map_err(io_error("can't write", &self.path))
    }
}
