//! Entries that the collector refuses for good: kept as files for a person to look at, up to a limit.
//!
//! `dead-letter/<stream>-<seq>.entry` is the payload of the spool entry (`entry`), `.json` beside it says why it is there.
//!
//! Invariant: the folder holds no more than [`MAX_LETTERS`] entries and [`MAX_BYTES`] of them; what finds no room is not kept (its loss is
//! told in any case). The same entry found again takes the same place.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::DeadLetter;
use crate::{entry, pki::write_private};

/// Name of the folder below the data directory.
pub(super) const FOLDER: &str = "dead-letter";
const MAX_BYTES: u64 = 16 << 20;
const MAX_LETTERS: usize = 256;

pub(super) struct DeadLetters {
    folder: PathBuf,
}

impl DeadLetters {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    /// Writes the letter, if there is room.
    pub(super) fn keep(&self, letter: &DeadLetter) {
        let DeadLetter { stream, seq, why, .. } = letter;
        match self.write(letter) {
            Ok(Some(path)) => {
                tracing::error!(%stream, seq, why, path = %path.display(), "the collector refuses an entry; it was set aside");
            }
            Ok(None) => tracing::error!(%stream, seq, why, "the collector refuses an entry; there is no room to set it aside"),
            Err(error) => tracing::error!(%stream, seq, why, %error, "the collector refuses an entry; it could not be set aside"),
        }
    }

    fn write(&self, letter: &DeadLetter) -> io::Result<Option<PathBuf>> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}-{}.entry", letter.stream, letter.seq));
        let (mut letters, mut bytes) = (0, letter.payload.len() as u64);
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            if file.path().extension().is_some_and(|extension| extension == "entry") && file.path() != path {
                letters += 1;
                bytes += file.metadata()?.len();
            }
        }
        if letters >= MAX_LETTERS || bytes > MAX_BYTES {
            return Ok(None);
        }
        write_private(&path, &letter.payload)?;
        write_private(&path.with_extension("json"), note(letter).as_bytes())?;
        Ok(Some(path))
    }
}

fn note(letter: &DeadLetter) -> String {
    let held = entry::decode(&letter.payload);
    let at = jiff::Timestamp::from_microsecond(letter.at.as_micros()).map(|at| at.to_string());
    let note = serde_json::json!({
        "stream": letter.stream.to_string(),
        "seq": letter.seq,
        "refused_at": at.ok(),
        "why": letter.why,
        "bytes": letter.payload.len(),
        "records": held.as_ref().ok().map(|(_, records)| records.len()),
        "readings": held.as_ref().ok().map(|(_, records)| entry::readings(records)),
    });
    format!("{note:#}\n")
}

#[cfg(test)]
mod tests {
    use protocol::{StreamId, Timestamp};

    use super::*;

    fn letter(seq: u64, bytes: usize) -> DeadLetter {
        DeadLetter { stream: StreamId(4), seq, payload: vec![0; bytes], why: "400 poison".into(), at: Timestamp::from_micros(1) }
    }

    fn kept(dir: &Path) -> usize {
        fs::read_dir(dir.join(FOLDER)).unwrap().filter(|file| file.as_ref().unwrap().path().extension().unwrap() == "entry").count()
    }

    #[test]
    fn the_folder_never_grows_beyond_its_limits() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(dir.path());
        assert!(letters.write(&letter(1, 10 << 20)).unwrap().is_some());
        assert!(letters.write(&letter(2, 10 << 20)).unwrap().is_none());
        assert!(letters.write(&letter(1, 12 << 20)).unwrap().is_some(), "found again, it takes its own place");
        assert_eq!(kept(dir.path()), 1);
        for seq in 0..2 * MAX_LETTERS as u64 {
            letters.write(&letter(seq, 1)).unwrap();
        }
        assert_eq!(kept(dir.path()), MAX_LETTERS);
    }

    #[test]
    fn a_note_says_why_also_of_what_can_not_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = DeadLetters::new(dir.path()).write(&letter(7, 3)).unwrap().unwrap();
        let note: serde_json::Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        assert_eq!((note["seq"].as_u64(), note["why"].as_str(), note["records"].is_null()), (Some(7), Some("400 poison"), true));
    }
}
