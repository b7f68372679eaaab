//! Entries that the collector refuses for good: kept as files for a person to look at, up to a limit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use protocol::StreamId;

use crate::pki::write_private;

/// Name of the folder below the data directory.
pub(super) const FOLDER: &str = "dead-letter";
const MAX_BYTES: u64 = 16 << 20;

pub(super) struct DeadLetters {
    folder: PathBuf,
}

impl DeadLetters {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    /// Writes the entry's block to `<stream>-<seq>.block`; `None` if there is no room or it can't be written (it is booked as lost
    /// in any case).
    pub(super) fn keep(&self, stream: StreamId, seq: u64, blocks: &[Vec<u8>]) -> Option<PathBuf> {
        fs::create_dir_all(&self.folder).ok()?;
        let held: u64 = fs::read_dir(&self.folder).ok()?.filter_map(|file| file.ok()?.metadata().ok()).map(|meta| meta.len()).sum();
        let block = blocks.concat();
        if held + block.len() as u64 > MAX_BYTES {
            return None;
        }
        let path = self.folder.join(format!("{stream}-{seq}.block"));
        write_private(&path, &block).ok()?;
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_never_grows_beyond_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(dir.path());
        let large = vec![vec![0_u8; 10 << 20]];
        assert!(letters.keep(StreamId(1), 1, &large).is_some());
        assert!(letters.keep(StreamId(1), 2, &large).is_none());
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 1);
    }
}
