//! Why something could not be encoded or decoded, and what a caller may do about it.

use crate::IdError;

/// Why a value has no encoding.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Send fewer records at a time.
    #[error("{rows} rows, more than {max}")]
    TooManyRows { rows: u64, max: u64 },
    /// Send fewer records at a time.
    #[error("{bytes} bytes when decoded, more than {max}")]
    DecodedTooLarge { bytes: u64, max: u64 },
    /// Send fewer records at a time.
    #[error("{bytes} bytes when encoded, more than {max}")]
    EncodedTooLarge { bytes: u64, max: u64 },
    #[error("records must be in order of their sequence, within the batch's range")]
    OutOfOrder,
    #[error("the envelope could not be written")]
    Envelope(#[source] postcard::Error),
    #[error("a column could not be compressed")]
    Column(#[source] pco::errors::PcoError),
}

impl EncodeError {
    /// True if the same records would go through in smaller portions.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooManyRows { .. } | Self::DecodedTooLarge { .. } | Self::EncodedTooLarge { .. })
    }
}

/// Why bytes are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("{bytes} bytes, more than {max}")]
    EncodedTooLarge { bytes: u64, max: u64 },
    #[error("not a Millrace frame")]
    NotAFrame,
    /// Written by a newer program: update this one.
    #[error("format version {found}; this program knows {known}")]
    UnknownVersion { found: u8, known: u8 },
    #[error("frame of kind {found}, not {expected}")]
    WrongKind { found: u8, expected: u8 },
    #[error("checksum {found:08x} should be {expected:08x}")]
    BadChecksum { found: u32, expected: u32 },
    #[error("{rows} rows, more than {max}")]
    TooManyRows { rows: u64, max: u64 },
    #[error("{bytes} bytes when decoded, more than {max}")]
    DecodedTooLarge { bytes: u64, max: u64 },
    #[error("ends in the middle of {what}")]
    Truncated { what: &'static str },
    #[error("{what} is malformed")]
    Malformed { what: &'static str },
    #[error("{bytes} bytes left over")]
    TrailingBytes { bytes: usize },
    #[error("the envelope is malformed")]
    Envelope(#[source] postcard::Error),
    #[error("column {what} could not be decompressed")]
    Column { what: &'static str, source: pco::errors::PcoError },
    #[error(transparent)]
    Id(#[from] IdError),
}

impl DecodeError {
    /// True if the input may be well-formed but is over one of the limits.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::EncodedTooLarge { .. } | Self::TooManyRows { .. } | Self::DecodedTooLarge { .. })
    }
}
