//! What a frame may cost before anything is allocated for it.
//!
//! The *decoded size* is a sum of fixed weights (the same on a 32-bit gateway and a 64-bit collector) that bounds what decoding takes:
//! the records themselves and the columns that they are made from. Encoder and decoder add it up at the same places; the encoder
//! declares it in the frame, and the decoder stops as soon as its own sum passes what was declared.

use crate::codec::{DecodeError, EncodeError};

/// Caps on one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_encoded_bytes: usize,
    pub max_decoded_bytes: usize,
    pub max_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_encoded_bytes: 1 << 20, max_decoded_bytes: 16 << 20, max_rows: 50_000 }
    }
}

/// One record: its struct (at most 144 bytes) and its share of the columns (at most 15 of 8 bytes).
pub(crate) const ROW_WEIGHT: u64 = 288;
/// A text that is not empty, besides its bytes: the allocator's share.
pub(crate) const TEXT_WEIGHT: u64 = 16;
/// An entry of a dictionary, besides its bytes.
pub(crate) const ENTRY_WEIGHT: u64 = 48;
/// A series: its three indices, its place and its number of rows.
pub(crate) const SERIES_WEIGHT: u64 = 64;
/// A source in a gateway's status, besides its texts.
pub(crate) const SOURCE_WEIGHT: u64 = 128;
/// What is known of an entry beside its records.
pub(crate) const INFO_WEIGHT: u64 = 64;
/// A stream in a gateway's status.
pub(crate) const STREAM_WEIGHT: u64 = 32;
/// A generation's parent in a gateway's status.
pub(crate) const DESCENT_WEIGHT: u64 = 48;

/// The running sum of weights.
#[derive(Debug)]
pub(crate) struct Tally {
    bytes: u64,
    max: u64,
}

/// The tally passed its maximum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exceeded {
    pub(crate) bytes: u64,
    pub(crate) max: u64,
}

impl Tally {
    pub(crate) fn up_to(max: u64) -> Self {
        Self { bytes: 0, max }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds `count` things of `weight` each.
    pub(crate) fn charge(&mut self, count: u64, weight: u64) -> Result<(), Exceeded> {
        self.bytes = self.bytes.saturating_add(count.saturating_mul(weight));
        if self.bytes > self.max { Err(Exceeded { bytes: self.bytes, max: self.max }) } else { Ok(()) }
    }

    /// Adds a text of `len` bytes that a record owns.
    pub(crate) fn charge_text(&mut self, len: usize) -> Result<(), Exceeded> {
        if len == 0 { Ok(()) } else { self.charge(1, TEXT_WEIGHT + len as u64) }
    }
}

impl From<Exceeded> for DecodeError {
    fn from(e: Exceeded) -> Self {
        Self::DecodedTooLarge { bytes: e.bytes, max: e.max }
    }
}

impl From<Exceeded> for EncodeError {
    fn from(e: Exceeded) -> Self {
        Self::DecodedTooLarge { bytes: e.bytes, max: e.max }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;
    use crate::{SourceStatus, StampedRecord};

    #[test]
    fn weights_bound_what_the_structs_take() {
        assert!(size_of::<StampedRecord>() + 15 * 8 <= ROW_WEIGHT as usize, "{}", size_of::<StampedRecord>());
        assert!(size_of::<SourceStatus>() <= SOURCE_WEIGHT as usize, "{}", size_of::<SourceStatus>());
    }

    #[test]
    fn a_tally_saturates_instead_of_wrapping() {
        let mut tally = Tally::up_to(1000);
        assert!(tally.charge(u64::MAX, u64::MAX).is_err());
        assert!(tally.charge(1, 1).is_err());
    }

    #[test]
    fn fifty_thousand_windows_with_units_fit_the_defaults() {
        let limits = Limits::default();
        let mut tally = Tally::up_to(limits.max_decoded_bytes as u64);
        tally.charge(limits.max_rows as u64, ROW_WEIGHT).unwrap();
        tally.charge(limits.max_rows as u64, TEXT_WEIGHT + 4).unwrap();
        tally.charge(10_000, SERIES_WEIGHT + ENTRY_WEIGHT).unwrap();
    }
}
