//! The bytes of batches, acknowledgements and spool entries.
//!
//! # Layout
//! ```text
//! magic          2 bytes "MR"
//! version        1 byte: 1 of blocks, 2 of batches and acks
//! kind           1 byte: 1 block, 2 batch, 3 ack
//! decoded size   varint: what decoding takes, in the weights of `limits.rs`
//! payload        a postcard envelope around columns (`envelope.rs`, `records`, `columns`)
//! checksum       CRC32C of all before it, little-endian
//! ```
//! Integers outside of columns are LEB128 varints. Names (assets, signals, units, detectors, messages) are in dictionaries, rows hold indices.
//!
//! # Lifecycle
//! A gateway encodes the records of one commit as a *block*, the payload of one spool entry. The uploader decodes the blocks of several
//! entries and encodes their records, each stamped with its entry's sequence, as a *batch*, in which names are written once and columns are
//! long enough to be compressed. The collector journals the batch's bytes as they came, and answers with an *ack*.
//!
//! # Promises
//! - Lossless: what is decoded equals what was encoded, floats bit for bit.
//! - Decoding never panics. Before anything is allocated its size is checked against what is left of the input, of the row cap, or of
//!   the declared decoded size, which itself is capped. The checksum is no part of this: a hostile sender can compute one.
//! - The same records give the same bytes.
//! - A change of the bytes raises the version; decoders name an unknown version instead of guessing.

mod columns;
mod dictionary;
mod envelope;
mod error;
mod frame;
mod limits;
mod records;
mod wire;

pub use envelope::{decode_ack, decode_batch, decode_block, encode_ack, encode_batch, encode_block};
pub use error::{DecodeError, EncodeError};
pub use limits::Limits;
