//! The outermost layer: what kind of thing, in which version, whole and undamaged.

use crate::codec::{DecodeError, EncodeError, Limits, wire};

pub(crate) const MAGIC: [u8; 2] = *b"MR";
const CHECKSUM_BYTES: usize = 4;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Block = 1,
    Batch = 2,
    Ack = 3,
}

impl Kind {
    /// Raised with any change to the bytes; the golden files in `tests/golden` hold one example of each version.
    pub(crate) const fn version(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Batch | Self::Ack => 2,
        }
    }
}

/// Wraps a payload.
pub(crate) fn seal(kind: Kind, decoded_bytes: u64, payload: &[u8], limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(payload.len() + 16);
    out.extend_from_slice(&MAGIC);
    out.push(kind.version());
    out.push(kind as u8);
    wire::put_varint(&mut out, decoded_bytes);
    out.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    if out.len() > limits.max_encoded_bytes {
        return Err(EncodeError::EncodedTooLarge { bytes: out.len() as u64, max: limits.max_encoded_bytes as u64 });
    }
    Ok(out)
}

/// Checks everything about a frame but its payload; returns the declared decoded size (within the limit) and the payload.
pub(crate) fn open<'a>(kind: Kind, bytes: &'a [u8], limits: &Limits) -> Result<(u64, &'a [u8]), DecodeError> {
    if bytes.len() > limits.max_encoded_bytes {
        return Err(DecodeError::EncodedTooLarge { bytes: bytes.len() as u64, max: limits.max_encoded_bytes as u64 });
    }
    // Magic and version come before the checksum: a later version may check itself otherwise, and its name is the better answer.
    let Some(([m0, m1, version, found_kind], _)) = bytes.split_first_chunk::<4>() else {
        return Err(DecodeError::NotAFrame);
    };
    if [*m0, *m1] != MAGIC {
        return Err(DecodeError::NotAFrame);
    }
    // The version is that of the kind.
    if *found_kind == kind as u8 && *version != kind.version() {
        return Err(DecodeError::UnknownVersion { found: *version, known: kind.version() });
    }
    let Some((checked, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(DecodeError::Truncated { what: "frame" });
    };
    let (found, expected) = (u32::from_le_bytes(*checksum), crc32c::crc32c(checked));
    if found != expected {
        return Err(DecodeError::BadChecksum { found, expected });
    }
    if *found_kind != kind as u8 {
        return Err(DecodeError::WrongKind { found: *found_kind, expected: kind as u8 });
    }
    let mut cursor = wire::Cursor::new(checked.get(4..).ok_or(DecodeError::Truncated { what: "frame" })?);
    let decoded = cursor.varint("decoded size")?;
    if decoded > limits.max_decoded_bytes as u64 {
        return Err(DecodeError::DecodedTooLarge { bytes: decoded, max: limits.max_decoded_bytes as u64 });
    }
    let len = cursor.remaining();
    Ok((decoded, cursor.take(len, "payload")?))
}
