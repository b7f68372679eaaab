//! Where undecodable batches are kept for a person to look at.
//!
//! Beside the ingest. Invariant: the folder holds a bounded number of files, each bounded by the batch limit; the oldest make room.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use protocol::{GatewayId, Timestamp};

/// The folder.
#[derive(Debug, Clone)]
pub struct Quarantine {
    dir: PathBuf,
    max_files: usize,
}

impl Quarantine {
    pub fn new(dir: PathBuf, max_files: usize) -> Self {
        Self { dir, max_files }
    }

    /// Keeps a copy; tells its path, or `None` if none are to be kept.
    ///
    /// # Errors
    /// [`io::Error`]: no copy was kept.
    pub fn keep(&self, gateway: &GatewayId, at: Timestamp, bytes: &[u8]) -> io::Result<Option<PathBuf>> {
        if self.max_files == 0 {
            return Ok(None);
        }
        fs::create_dir_all(&self.dir)?;
        // Twenty digits, so that names sort by time.
        let path = self.dir.join(format!("{:020}-{gateway}.batch", at.as_micros().max(0)));
        fs::write(&path, bytes)?;
        let mut files = batches(&self.dir)?;
        files.sort();
        let surplus = files.len().saturating_sub(self.max_files);
        for old in &files[..surplus] {
            fs::remove_file(old)?;
        }
        Ok(Some(path))
    }
}

fn batches(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        if path.extension().is_some_and(|extension| extension == "batch") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_keeps_the_newest_and_no_more_than_its_cap() {
        let dir = tempfile::tempdir().expect("folder");
        let gateway = GatewayId::new("gw").expect("valid");
        let quarantine = Quarantine::new(dir.path().join("quarantine"), 2);
        for at in 1..=5 {
            quarantine.keep(&gateway, Timestamp(at), &[at.to_le_bytes()[0]]).expect("kept");
        }
        let mut kept: Vec<Vec<u8>> =
            batches(&dir.path().join("quarantine")).expect("listed").iter().map(|path| fs::read(path).expect("read")).collect();
        kept.sort();
        assert_eq!(kept, [[4], [5]]);
        assert_eq!(Quarantine::new(dir.path().join("none"), 0).keep(&gateway, Timestamp(1), b"x").expect("fine"), None);
    }
}
