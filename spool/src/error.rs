//! Why the spool could not do something, and what its owner may do about it.

use std::{io, path::PathBuf};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Nothing was written. Acknowledging entries makes room.
    #[error("full: would hold {bytes} bytes, at most {max}")]
    Full { bytes: u64, max: u64 },
    /// Nothing was written, and nothing can make this payload fit.
    #[error("{bytes} bytes in one append, at most {max}")]
    TooLarge { bytes: u64, max: u64 },
    /// Final for this handle: an earlier operation failed half-way, so that only what is on disk is known. Open the spool again.
    #[error("closed by an earlier failure: {reason}")]
    Poisoned { reason: String },
    /// Another process or handle has it open.
    #[error("{path} is in use")]
    InUse { path: PathBuf },
    #[error("{what} {path}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    /// The database below failed; final for this handle.
    #[error("storage failed to {what}")]
    Storage { what: &'static str, source: sled::Error },
    /// The database below panicked; final for this handle.
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
    /// True if this handle is of no more use; open the spool again.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Full { .. } | Self::TooLarge { .. })
    }

    /// True if the files themselves can't be read, so that opening them again would fail again.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Panicked { .. } => true,
            Self::Storage { source, .. } => matches!(source, sled::Error::Corruption { .. } | sled::Error::ReportableBug(_)),
            _ => false,
        }
    }
}
