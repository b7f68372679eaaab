//! Why the spool could not do something, and what its owner may do about it.

use std::{io, path::PathBuf};

/// Why an operation failed. Whatever it was, the handle stays of use: a later append tries a new generation.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Nothing was written. Acknowledging or retiring generations makes room.
    #[error("the spool is full: it would take {bytes} bytes, at most {max}")]
    Full { bytes: u64, max: u64 },
    /// Nothing was written. The volume has too little left, whoever filled it.
    #[error("the volume is full: {free} bytes are free, {floor} must stay so, and {cost} more are needed")]
    VolumeFull { free: u64, floor: u64, cost: u64 },
    /// Nothing was written, and nothing can make this payload fit.
    #[error("{bytes} bytes in one append, at most {max}")]
    TooLarge { bytes: u64, max: u64 },
    /// There is no generation with this ordinal.
    #[error("no generation {ordinal}")]
    UnknownGeneration { ordinal: u64 },
    /// Entries of it may have been sent, or appends go to it: it can't be replaced.
    #[error("generation {ordinal} can't be retired: {why}")]
    NotRetirable { ordinal: u64, why: &'static str },
    #[error("no lane {lane}")]
    UnknownLane { lane: u8 },
    /// Another append of the same group met this; nothing of the group was written.
    #[error("the commit failed: {reason}")]
    Commit { reason: String, full: bool },
    /// Another process or handle has it open.
    #[error("{path} is in use")]
    InUse { path: PathBuf },
    #[error("{what} {path}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    /// The database below failed.
    #[error("storage failed to {what}")]
    Storage { what: &'static str, source: sled::Error },
    /// The database below panicked.
    #[error("storage panicked when it had to {what}: {message}")]
    Panicked { what: &'static str, message: String },
    /// What was read back can't be what was written.
    #[error("{what} is damaged")]
    Damaged { what: &'static str },
    /// Written by a newer program.
    #[error("format version {found}; this program knows {known}")]
    UnknownVersion { found: u8, known: u8 },
}

impl SpoolError {
    /// There is no room, in the spool or on the volume.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } | Self::VolumeFull { .. } => true,
            Self::Commit { full, .. } => *full,
            Self::Io { source, .. } => is_no_space(source),
            Self::Storage { source: sled::Error::Io(source), .. } => is_no_space(source),
            _ => false,
        }
    }

    /// The files themselves can't be read, so that trying again would fail again.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Panicked { .. } => true,
            Self::Storage { source: sled::Error::Io(source), .. } | Self::Io { source, .. } => {
                !is_no_space(source)
                    && !matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory)
                    && source.raw_os_error().is_none_or(|code| code != EMFILE && code != ENFILE)
            }
            Self::Storage { .. } => true,
            _ => false,
        }
    }

    /// The same for another member of a group.
    pub(crate) fn for_others(&self) -> Self {
        Self::Commit { reason: self.to_string(), full: self.is_full() }
    }
}

/// Too many files are open, in this process or in the system.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
