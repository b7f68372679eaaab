//! What becomes of a spool that can't be opened: it is put aside for people to look at, and a new one takes its place, because a gateway that
//! refuses to start measures nothing. Only the last few are kept.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{SpoolError, store::io_error};

/// Put-aside spools that are kept; the oldest goes when there are more.
const KEPT: usize = 3;

/// Moves `dir` to `dir.damaged-N` and returns that path.
pub(crate) fn put_aside(dir: &Path) -> Result<PathBuf, SpoolError> {
    let mut numbers = numbers_beside(dir)?;
    numbers.sort_unstable();
    let number = numbers.last().map_or(1, |n| n + 1);
    let to = numbered(dir, number);
    fs::rename(dir, &to).map_err(io_error("can't put aside", dir))?;
    for &old in numbers.iter().rev().skip(KEPT - 1) {
        let old = numbered(dir, old);
        fs::remove_dir_all(&old).map_err(io_error("can't remove", &old))?;
    }
    Ok(to)
}

fn numbers_beside(dir: &Path) -> Result<Vec<u64>, SpoolError> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let prefix = numbered_prefix(dir);
    let entries = fs::read_dir(parent).map_err(io_error("can't list", parent))?;
    Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()).collect())
}

fn numbered(dir: &Path, number: u64) -> PathBuf {
    dir.with_file_name(format!("{}{number}", numbered_prefix(dir)))
}

fn numbered_prefix(dir: &Path) -> String {
    format!("{}.damaged-", dir.file_name().unwrap_or_default().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_three_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("spool");
        for _ in 0..5 {
            fs::create_dir(&dir).unwrap();
            put_aside(&dir).unwrap();
        }
        let mut numbers = numbers_beside(&dir).unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, [3, 4, 5]);
        assert!(!dir.exists());
    }
}
