//! Keys and values, as they are in the only tree of a generation's database.
//!
//! | key | value |
//! |---|---|
//! | `m` | meta: how the generation began |
//! | `c` + part (u32) + piece (u16) | checkpoint part; a head that says that there are 0 pieces: this one is gone |
//! | `e` + lane (u8) + sequence (u64) + piece (u16) | entry |
//! | `r` + ordinal (u64) | a generation that was retired |
//! | `z` | commit: how far each lane has come, and what the checkpoint is |
//!
//! Numbers in keys are big-endian, so that keys sort as the numbers do; those in values little-endian. Each value is a head of 48 bytes and
//! at most 4,048 bytes more: a leaf of sled's tree holds up to about twenty values, and a leaf above 128 KiB would go to a file of its own,
//! which sled writes without any sync. The head says all that the key says, and begins with a magic number, so that a value can be found in
//! the raw bytes of a file that the database can't open any more (`salvage.rs`). The checksum covers head and bytes.
//!
//! | at | bytes | head |
//! |---|---|---|
//! | 0 | 4 | magic |
//! | 4 | 1 | kind, and the format's version in the upper half |
//! | 5 | 1 | lane |
//! | 6, 8 | 2, 2 | piece, number of pieces |
//! | 10 | 2 | bytes that follow the head |
//! | 12 | 8 | generation's id |
//! | 20 | 8 | sequence; of a checkpoint part or a commit: the number of its commit; of a retired generation: its ordinal |
//! | 28 | 8 | units before; of a checkpoint part: its number; of a retired generation: the number of the commit |
//! | 36 | 8 | units |
//! | 44 | 4 | CRC32C |

use crate::{LANES, Lane, Parent, SpoolError, SpoolTime, disk::Change};

pub(crate) const MAGIC: [u8; 4] = [0xd7, b'm', b'S', 0x1b];
pub(crate) const VERSION: u8 = 1;
pub(crate) const HEAD_BYTES: usize = 48;
pub(crate) const PIECE_BYTES: usize = 4096 - HEAD_BYTES;
const CRC_AT: usize = HEAD_BYTES - 4;

pub(crate) const META_KEY: &[u8] = b"m";
pub(crate) const COMMIT_KEY: &[u8] = b"z";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Meta = 1,
    Entry = 2,
    Checkpoint = 3,
    Retired = 4,
    Commit = 5,
}

/// What stands before each value's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) lane: u8,
    pub(crate) piece: u16,
    pub(crate) pieces: u16,
    pub(crate) len: u16,
    pub(crate) generation: u64,
    pub(crate) seq: u64,
    pub(crate) units_before: u64,
    pub(crate) units: u64,
}

impl Head {
    pub(crate) fn single(kind: Kind, generation: u64, seq: u64) -> Self {
        Self { kind, lane: 0, piece: 0, pieces: 1, len: 0, generation, seq, units_before: 0, units: 0 }
    }

    /// The value of this head and `bytes`.
    pub(crate) fn with(mut self, bytes: &[u8]) -> Vec<u8> {
        self.len = bytes.len() as u16;
        let mut out = Vec::with_capacity(HEAD_BYTES + bytes.len());
        out.extend_from_slice(&MAGIC);
        out.push(self.kind as u8 | VERSION << 4);
        out.push(self.lane);
        [self.piece, self.pieces, self.len].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        [self.generation, self.seq, self.units_before, self.units].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&out), bytes);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(bytes);
        out
    }

    /// The head at the front of `raw` and the bytes that belong to it, if they are what was written.
    pub(crate) fn parse(raw: &[u8]) -> Result<(Self, &[u8]), NoHead> {
        let (head, rest) = raw.split_first_chunk::<HEAD_BYTES>().ok_or(NoHead::Short)?;
        if head[..4] != MAGIC {
            return Err(NoHead::Bad);
        }
        let len = usize::from(u16::from_le_bytes([head[10], head[11]]));
        if len > PIECE_BYTES {
            return Err(NoHead::Bad);
        }
        let bytes = rest.get(..len).ok_or(NoHead::Short)?;
        let checksum = u32::from_le_bytes([head[44], head[45], head[46], head[47]]);
        if crc32c::crc32c_append(crc32c::crc32c(&head[..CRC_AT]), bytes) != checksum {
            return Err(NoHead::Bad);
        }
        if head[4] >> 4 != VERSION {
            return Err(NoHead::Version(head[4] >> 4));
        }
        let kind = match head[4] & 15 {
            1 => Kind::Meta,
            2 => Kind::Entry,
            3 => Kind::Checkpoint,
            4 => Kind::Retired,
            5 => Kind::Commit,
            _ => return Err(NoHead::Bad),
        };
        if usize::from(head[5]) >= LANES {
            return Err(NoHead::Bad);
        }
        let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        let head = Self {
            kind,
            lane: head[5],
            piece: short(6),
            pieces: short(8),
            len: len as u16,
            generation: long(12),
            seq: long(20),
            units_before: long(28),
            units: long(36),
        };
        Ok((head, bytes))
    }

    /// A checkpoint part has become shorter, and this piece of it is gone. If it is the first one, the part itself is.
    pub(crate) fn is_gone(&self) -> bool {
        self.kind == Kind::Checkpoint && self.pieces == 0
    }

    /// The key under which a value with this head lies.
    pub(crate) fn key(&self) -> Vec<u8> {
        match self.kind {
            Kind::Meta => META_KEY.to_vec(),
            Kind::Commit => COMMIT_KEY.to_vec(),
            Kind::Retired => retired_key(self.seq),
            Kind::Entry => entry_key(Lane(self.lane), self.seq, self.piece),
            Kind::Checkpoint => checkpoint_key(self.units_before as u32, self.piece),
        }
    }
}

/// Why there is no head at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHead {
    /// More bytes are needed to tell.
    Short,
    Bad,
    Version(u8),
}

/// A value that is alone under its key.
pub(crate) fn parse_single<'a>(value: &'a [u8], kind: Kind, what: &'static str) -> Result<(Head, &'a [u8]), SpoolError> {
    match Head::parse(value) {
        Ok((head, bytes)) if head.kind == kind => Ok((head, bytes)),
        Err(NoHead::Version(found)) => Err(SpoolError::UnknownVersion { found, known: VERSION }),
        _ => Err(SpoolError::Damaged { what }),
    }
}

pub(crate) fn entry_key(lane: Lane, seq: u64, piece: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(12);
    key.extend_from_slice(&[b'e', lane.0]);
    key.extend_from_slice(&seq.to_be_bytes());
    key.extend_from_slice(&piece.to_be_bytes());
    key
}

/// Lane, sequence and piece of an entry's key.
pub(crate) fn parse_entry_key(key: &[u8]) -> Option<(Lane, u64, u16)> {
    let ([lane], rest) = key.strip_prefix(b"e")?.split_first_chunk::<1>()?;
    let (seq, piece) = rest.split_first_chunk::<8>()?;
    Some((Lane(*lane), u64::from_be_bytes(*seq), u16::from_be_bytes(piece.try_into().ok()?)))
}

pub(crate) fn checkpoint_key(part: u32, piece: u16) -> Vec<u8> {
    let mut key = vec![b'c'];
    key.extend_from_slice(&part.to_be_bytes());
    key.extend_from_slice(&piece.to_be_bytes());
    key
}

pub(crate) fn retired_key(ordinal: u64) -> Vec<u8> {
    [b"r".as_slice(), &ordinal.to_be_bytes()].concat()
}

pub(crate) fn retired_value(generation: u64, ordinal: u64, commit: u64) -> Vec<u8> {
    Head { units_before: commit, ..Head::single(Kind::Retired, generation, ordinal) }.with(&[])
}

pub(crate) fn pieces_of(len: usize) -> usize {
    len.div_ceil(PIECE_BYTES).max(1)
}

/// What payloads of `len` bytes come to as values with their keys.
pub(crate) fn weight(len: usize) -> u64 {
    (len + pieces_of(len) * (HEAD_BYTES + 12 + 8)) as u64
}

/// The pairs of one entry or checkpoint part.
pub(crate) fn cut(head: Head, payload: &[u8], out: &mut Vec<Change>) {
    let pieces = pieces_of(payload.len()) as u16;
    for piece in 0..pieces {
        let from = usize::from(piece) * PIECE_BYTES;
        let bytes = &payload[from..payload.len().min(from + PIECE_BYTES)];
        let head = Head { piece, pieces, ..head };
        out.push((head.key(), Some(head.with(bytes))));
    }
}

/// Puts the pieces of one entry or checkpoint part together again.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    first: Option<Head>,
    next: u16,
    bytes: Vec<u8>,
    broken: bool,
}

impl Joiner {
    pub(crate) fn push(&mut self, head: Head, bytes: &[u8]) {
        let first = *self.first.get_or_insert(head);
        let full = head.piece + 1 == head.pieces || bytes.len() == PIECE_BYTES;
        let same = Head { piece: 0, len: 0, ..first } == Head { piece: 0, len: 0, ..head };
        if head.piece != self.next || !full || !same {
            self.broken = true;
        }
        self.next = self.next.wrapping_add(1);
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn spoil(&mut self) {
        self.broken = true;
    }

    /// The head of any of its pieces.
    pub(crate) fn head(&self) -> Option<Head> {
        self.first
    }

    pub(crate) fn finish(self) -> Option<(Head, Vec<u8>)> {
        let head = self.first?;
        (!self.broken && self.next == head.pieces).then_some((head, self.bytes))
    }
}

/// How a generation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: u64,
    pub(crate) ordinal: u64,
    pub(crate) opened_at: SpoolTime,
    /// The last one before it that had entries.
    pub(crate) parent: Option<Parent>,
    /// The one before it, also if that had none: what it holds beyond this does not count.
    pub(crate) before: Option<Parent>,
    /// It was put together from what was left of a damaged one.
    pub(crate) salvaged: bool,
}

impl Meta {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.salvaged)];
        put(&mut out, &[self.ordinal, self.opened_at.0]);
        for link in [self.parent, self.before] {
            // No generation has the id 0.
            let link = link.unwrap_or(Parent { generation: 0, through: [0; LANES], units: [0; LANES] });
            put(&mut out, &[link.generation]);
            put(&mut out, &link.through);
            put(&mut out, &link.units);
        }
        out
    }

    pub(crate) fn from_body(id: u64, body: &[u8]) -> Option<Self> {
        let ([salvaged], mut rest) = body.split_first_chunk::<1>()?;
        let ordinal = take(&mut rest)?;
        let opened_at = SpoolTime(take(&mut rest)?);
        let mut link = || Some(Parent { generation: take(&mut rest)?, through: take_lanes(&mut rest)?, units: take_lanes(&mut rest)? });
        let [parent, before] = [link()?, link()?].map(|link| (link.generation != 0).then_some(link));
        Some(Self { id, ordinal, opened_at, parent, before, salvaged: *salvaged == 1 })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Head::single(Kind::Meta, self.id, self.ordinal).with(&self.body())
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, SpoolError> {
        let what = "a generation's head";
        let (head, body) = parse_single(value, Kind::Meta, what)?;
        Self::from_body(head.generation, body).ok_or(SpoolError::Damaged { what })
    }
}

/// How far a generation has come: written with each commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The commit's number; the one that makes a generation is 1.
    pub(crate) commit: u64,
    pub(crate) through: [u64; LANES],
    pub(crate) units: [u64; LANES],
    /// Of the checkpoint's parts and the commits that wrote them.
    pub(crate) fingerprint: u64,
}

impl Progress {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, &self.through);
        put(&mut out, &self.units);
        put(&mut out, &[self.fingerprint]);
        out
    }

    pub(crate) fn from_body(commit: u64, mut rest: &[u8]) -> Option<Self> {
        Some(Self { commit, through: take_lanes(&mut rest)?, units: take_lanes(&mut rest)?, fingerprint: take(&mut rest)? })
    }

    pub(crate) fn encode(&self, generation: u64) -> Vec<u8> {
        Head::single(Kind::Commit, generation, self.commit).with(&self.body())
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, SpoolError> {
        let what = "a generation's last commit";
        let (head, body) = parse_single(value, Kind::Commit, what)?;
        Self::from_body(head.seq, body).ok_or(SpoolError::Damaged { what })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.through == [0; LANES]
    }
}

/// What a checkpoint part adds to the fingerprint.
pub(crate) fn fingerprint(part: u32, commit: u64) -> u64 {
    let mut bytes = part.to_le_bytes().to_vec();
    put(&mut bytes, &[commit]);
    let low = crc32c::crc32c(&bytes);
    u64::from(low) | u64::from(crc32c::crc32c_append(low, &bytes)) << 32
}

pub(crate) fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
}

pub(crate) fn take(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk::<8>()?;
    *rest = behind;
    Some(u64::from_le_bytes(*number))
}

pub(crate) fn take_lanes(rest: &mut &[u8]) -> Option<[u64; LANES]> {
    let mut lanes = [0; LANES];
    for lane in &mut lanes {
        *lane = take(rest)?;
    }
    Some(lanes)
}

#[cfg(test)]
mod tests;
