//! The file that keeps what is known of the time from run to run: `time-floor` in the data directory.
//!
//! ```text
//! millrace time 1
//! {"floor":1790000000000000,"runs":[{"id":…,"kernel":…,"zero_us":…,"began":…,"offset_us":…}]}
//! <FNV-1a of the line before, 16 hex digits>
//! ```
//! Written whole (a new file, synced, renamed), at most every ten minutes and at news; read once at the start. Invariant: what was not written
//! by this module, to the last byte, is not read.

use std::{fs, io, path::Path};

use crate::{pki::write_private, sequence::text_id, timeline::Memory};

/// Name of the file.
pub const FILE: &str = "time-floor";
const HEAD: &str = "millrace time 1";
/// A file of ours is a tenth of that.
const MAX_BYTES: u64 = 64 * 1024;

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is damaged")]
    Damaged,
}

/// What the file holds; `None` if there is none.
///
/// # Errors
/// [`FloorError`].
pub fn read(path: &Path) -> Result<Option<Memory>, FloorError> {
    let length = match fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if length > MAX_BYTES {
        return Err(FloorError::Damaged);
    }
    let bytes = fs::read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| FloorError::Damaged)?;
    let mut lines = text.strip_suffix('\n').ok_or(FloorError::Damaged)?.split('\n');
    match (lines.next(), lines.next(), lines.next(), lines.next()) {
        (Some(HEAD), Some(body), Some(sum), None) if sum == sum_of(body) => {
            serde_json::from_str(body).map(Some).map_err(|_| FloorError::Damaged)
        }
        _ => Err(FloorError::Damaged),
    }
}

/// Replaces the file.
///
/// # Errors
/// What the file system said.
pub fn write(path: &Path, memory: &Memory) -> io::Result<()> {
    let body = serde_json::to_string(memory)?;
    let sum = sum_of(&body);
    write_private(path, format!("{HEAD}\n{body}\n{sum}\n").as_bytes())
}

fn sum_of(body: &str) -> String {
    format!("{:016x}", text_id(body))
}

#[cfg(test)]
mod tests {
    use protocol::Timestamp;

    use super::*;
    use crate::timeline::Run;

    #[test]
    fn any_byte_flipped_and_any_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(read(&path).unwrap(), None);
        let run = Run { id: u64::MAX, kernel: 7, zero_us: -5, began: Timestamp::from_micros(3), offset_us: Some(i64::MIN) };
        let memory = Memory { floor: Timestamp::from_micros(1_790_000_000_000_000), runs: vec![run, Run { offset_us: None, ..run }] };
        write(&path, &memory).unwrap();
        assert_eq!(read(&path).unwrap(), Some(memory));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert!(read(&path).is_err(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
        }
    }
}
