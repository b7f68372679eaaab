//! Keys and values, as they are in the only tree.
//!
//! | key | value |
//! |---|---|
//! | `m` | version, stream, next sequence, CRC32C |
//! | `c` + part (u32) | checkpoint: head, then its bytes |
//! | `e` + sequence (u64) + part (u32) | entry: head, then its payload |
//!
//! Numbers in keys are big-endian, so that keys sort as the numbers do; those in values little-endian. Checkpoint and payloads are cut into
//! parts of at most 4 KiB: a leaf of sled's tree holds up to about twenty values, and a leaf above 128 KiB would go to a file of its own, which
//! sled writes without any sync. The head (CRC32C, length, sequence) stands before the first part, and the checksum covers sequence, length
//! and all bytes, so an entry can't be taken for another, or for a shorter one.

use crate::SpoolError;

pub(crate) const META_KEY: &[u8] = b"m";
const CHECKPOINT: u8 = b'c';
const ENTRY: u8 = b'e';

pub(crate) const VERSION: u8 = 1;
pub(crate) const PART_BYTES: usize = 4096;
const HEAD_BYTES: usize = 16;
/// What sled adds to a key and a value in a leaf, roughly.
const PART_OVERHEAD: u64 = 16;
/// The checkpoint's place in the checksum, where an entry has its sequence.
pub(crate) const CHECKPOINT_SEQ: u64 = 0;

/// One key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) stream: u64,
    pub(crate) next_seq: u64,
}

impl Meta {
    pub(crate) const BYTES: usize = 21;

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.stream.to_le_bytes());
        out.extend_from_slice(&self.next_seq.to_le_bytes());
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, SpoolError> {
        const DAMAGED: SpoolError = SpoolError::Damaged { what: "the spool's head" };
        let (checked, checksum) = value.split_last_chunk::<4>().ok_or(DAMAGED)?;
        let (&version, rest) = checked.split_first().ok_or(DAMAGED)?;
        if u32::from_le_bytes(*checksum) != crc32c::crc32c(checked) {
            return Err(DAMAGED);
        }
        if version != VERSION {
            return Err(SpoolError::UnknownVersion { found: version, known: VERSION });
        }
        let (stream, rest) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let next_seq = rest.first_chunk::<8>().ok_or(DAMAGED)?;
        Ok(Self { stream: u64::from_le_bytes(*stream), next_seq: u64::from_le_bytes(*next_seq) })
    }
}

/// The first key of an entry; all keys of lower entries are below it.
pub(crate) fn entry_key(seq: u64, part: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(13);
    key.push(ENTRY);
    key.extend_from_slice(&seq.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// Sequence and part of an entry's key.
pub(crate) fn parse_entry_key(key: &[u8]) -> Option<(u64, u32)> {
    let (seq, part) = key.strip_prefix(&[ENTRY])?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*seq), u32::from_be_bytes(part.try_into().ok()?)))
}

pub(crate) fn checkpoint_key(part: u32) -> Vec<u8> {
    let mut key = vec![CHECKPOINT];
    key.extend_from_slice(&part.to_be_bytes());
    key
}

pub(crate) const CHECKPOINT_PREFIX: &[u8] = &[CHECKPOINT];

pub(crate) fn entry_pairs(seq: u64, payload: &[u8]) -> Vec<Pair> {
    cut(seq, payload, |part| entry_key(seq, part))
}

pub(crate) fn checkpoint_pairs(checkpoint: &[u8]) -> Vec<Pair> {
    cut(CHECKPOINT_SEQ, checkpoint, checkpoint_key)
}

/// What a pair counts towards the spool's bound.
pub(crate) fn weight(key_len: usize, value_len: usize) -> u64 {
    key_len as u64 + value_len as u64 + PART_OVERHEAD
}

/// What the pairs of a payload of `len` bytes count together.
pub(crate) fn payload_weight(len: usize) -> u64 {
    let bytes = len + HEAD_BYTES;
    bytes as u64 + bytes.div_ceil(PART_BYTES) as u64 * weight(13, 0)
}

fn cut(seq: u64, payload: &[u8], key: impl Fn(u32) -> Vec<u8>) -> Vec<Pair> {
    let mut framed = Vec::with_capacity(HEAD_BYTES + payload.len());
    framed.extend_from_slice(&checksum(seq, payload).to_le_bytes());
    framed.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    framed.extend_from_slice(&seq.to_le_bytes());
    framed.extend_from_slice(payload);
    framed.chunks(PART_BYTES).zip(0..).map(|(part, i)| (key(i), part.to_vec())).collect()
}

/// Puts the parts of one entry (or of the checkpoint) together again.
#[derive(Debug)]
pub(crate) struct Joiner {
    seq: u64,
    parts: u32,
    bytes: Vec<u8>,
    in_order: bool,
}

impl Joiner {
    pub(crate) fn new(seq: u64) -> Self {
        Self { seq, parts: 0, bytes: Vec::new(), in_order: true }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn push(&mut self, part: u32, value: &[u8]) {
        self.in_order &= part == self.parts;
        self.parts += 1;
        self.bytes.extend_from_slice(value);
    }

    /// The payload, if it is what was written.
    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        let (head, payload) = self.bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [c0, c1, c2, c3, l0, l1, l2, l3, seq @ ..] = *head;
        let intact = self.in_order
            && u32::from_le_bytes([l0, l1, l2, l3]) as usize == payload.len()
            && u64::from_le_bytes(seq) == self.seq
            && u32::from_le_bytes([c0, c1, c2, c3]) == checksum(self.seq, payload);
        intact.then(|| self.bytes.split_off(HEAD_BYTES))
    }
}

fn checksum(seq: u64, payload: &[u8]) -> u32 {
    let head = crc32c::crc32c_append(crc32c::crc32c(&seq.to_le_bytes()), &(payload.len() as u32).to_le_bytes());
    crc32c::crc32c_append(head, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(seq: u64, pairs: &[Pair]) -> Option<Vec<u8>> {
        let mut joiner = Joiner::new(seq);
        for (key, value) in pairs {
            joiner.push(parse_entry_key(key).unwrap().1, value);
        }
        joiner.finish()
    }

    #[test]
    fn payloads_of_any_length_come_back_and_weigh_what_was_foretold() {
        for len in [0, 1, PART_BYTES - HEAD_BYTES, PART_BYTES - HEAD_BYTES + 1, PART_BYTES, 3 * PART_BYTES, 100_000] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let pairs = entry_pairs(7, &payload);
            assert_eq!(pairs.iter().map(|(k, v)| weight(k.len(), v.len())).sum::<u64>(), payload_weight(len));
            assert!(pairs.iter().all(|(_, v)| v.len() <= PART_BYTES));
            assert_eq!(join(7, &pairs), Some(payload));
        }
    }

    #[test]
    fn a_flipped_bit_a_lost_part_or_a_foreign_sequence_is_found() {
        let pairs = entry_pairs(7, &[5; 10_000]);
        assert_eq!(join(8, &pairs), None);
        assert_eq!(join(7, &pairs[..2]), None);
        assert_eq!(join(7, &pairs[1..]), None);
        for (part, byte) in [(0, 0), (0, 5), (0, 9), (0, 100), (2, 3)] {
            let mut damaged = pairs.clone();
            damaged[part].1[byte] ^= 1;
            assert_eq!(join(7, &damaged), None, "part {part} byte {byte}");
        }
    }

    #[test]
    fn keys_sort_as_sequences_do() {
        let mut keys: Vec<_> = [(300, 0), (2, 1), (2, 0), (u64::MAX, 3), (256, 0)].map(|(s, p)| entry_key(s, p)).to_vec();
        keys.sort();
        let sorted: Vec<_> = keys.iter().map(|k| parse_entry_key(k).unwrap()).collect();
        assert_eq!(sorted, [(2, 0), (2, 1), (256, 0), (300, 0), (u64::MAX, 3)]);
        assert!(META_KEY > CHECKPOINT_PREFIX && META_KEY > entry_key(u64::MAX, u32::MAX).as_slice());
    }

    #[test]
    fn a_damaged_or_newer_head_is_refused() {
        let meta = Meta { stream: 42, next_seq: 7 };
        let value = meta.encode();
        assert_eq!(Meta::decode(&value).unwrap(), meta);
        for i in 0..value.len() {
            let mut damaged = value.clone();
            damaged[i] ^= 0x10;
            assert!(Meta::decode(&damaged).is_err(), "byte {i}");
        }
        assert!(Meta::decode(&[]).is_err());
    }
}
