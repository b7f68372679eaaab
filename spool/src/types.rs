//! The words of the spool: what goes in, what comes out, and what is told about it.

use std::time::Duration;

/// Lanes of a generation: each has sequences of its own.
pub const LANES: usize = 4;

/// One of the queues of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u8);

impl Lane {
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Wall time in microseconds. The spool uses it for the age of generations alone, and reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SpoolTime(pub u64);

/// The id of the stream that is one lane of one generation.
pub fn stream_id(generation_id: u64, lane: Lane) -> u64 {
    generation_id | u64::from(lane.0)
}

/// The most that a share of the volume keeps free. A tenth of a card is what its system needs; a tenth of a large disk is no reason to make
/// nothing durable while tens of gigabytes are free.
pub const MAX_FREE_SHARE_BYTES: u64 = 1 << 30;

/// How a spool is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What all files together may take on disk.
    pub max_bytes: u64,
    /// What must stay free on the volume, in bytes and in hundredths of it (as those, never more than [`MAX_FREE_SHARE_BYTES`]).
    pub min_free_bytes: u64,
    pub min_free_percent: u8,
    /// A generation is closed when its files take as much (never more than an eighth of `max_bytes`) or when it is as old.
    pub generation_bytes: u64,
    pub generation_age: Duration,
    /// Acknowledged generations that together take no more are kept, so that they can be sent again.
    pub keep_acknowledged_bytes: u64,
    /// The storage's cache in memory.
    pub cache_bytes: u64,
}

impl Options {
    pub(crate) fn generation_limit(&self) -> u64 {
        self.generation_bytes.min(self.max_bytes / 8)
    }

    /// What must stay free on a volume of `total` bytes.
    pub fn floor(&self, total: u64) -> u64 {
        let share = total / 100 * u64::from(self.min_free_percent);
        self.min_free_bytes.max(share.min(MAX_FREE_SHARE_BYTES))
    }

    /// What only urgent appends, checkpoints and acknowledgements may use.
    pub(crate) fn reserve(&self) -> u64 {
        self.max_bytes / 16
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            min_free_bytes: 0,
            min_free_percent: 0,
            generation_bytes: 16 << 20,
            generation_age: Duration::from_secs(24 * 3600),
            keep_acknowledged_bytes: 64 << 20,
            cache_bytes: 8 << 20,
        }
    }
}

/// An entry to be appended. `units` is the owner's count of what is in it; the spool adds it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEntry<'a> {
    pub lane: Lane,
    pub payload: &'a [u8],
    pub units: u64,
}

/// What an append does to the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoint<'a> {
    #[default]
    Unchanged,
    /// Sets or (`None`) removes single parts.
    Parts(&'a [(u32, Option<&'a [u8]>)]),
    /// Replaces the whole set.
    Whole(&'a [(u32, &'a [u8])]),
}

/// One atomic append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Append<'a> {
    pub entries: &'a [NewEntry<'a>],
    pub checkpoint: Checkpoint<'a>,
    /// Generations (ordinals) that this append replaces: they are gone when it is durable.
    pub retire: &'a [u64],
    /// May use the reserve.
    pub urgent: bool,
}

/// The half-open range of sequences `[first, end)` that an append was given in a lane; empty if it had no payloads for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeqSpan {
    pub first: u64,
    pub end: u64,
}

impl SeqSpan {
    /// The last sequence, if there is one.
    pub fn last(&self) -> Option<u64> {
        (self.first < self.end).then(|| self.end - 1)
    }

    pub fn len(&self) -> u64 {
        self.end - self.first
    }

    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The generation's ordinal.
    pub generation: u64,
    pub spans: [SeqSpan; LANES],
}

/// An entry read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    /// Units of all entries before it in its generation and lane.
    pub units_before: u64,
    pub units: u64,
    pub payload: Vec<u8>,
}

/// An entry that can't be read back. If several in a row can't be, the units of all of them stand with the last one, and 0 with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptEntry {
    pub seq: u64,
    /// `None` if they are not known.
    pub units: Option<u64>,
}

/// Entries read back, and those in the same range that can't be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peek {
    pub entries: Vec<Entry>,
    pub corrupt: Vec<CorruptEntry>,
}

/// The generation before: how far it had come when this one began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub generation: u64,
    pub through: [u64; LANES],
    pub units: [u64; LANES],
}

/// One generation as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationView {
    pub ordinal: u64,
    pub id: u64,
    pub parent: Option<Parent>,
    /// Appends go to it.
    pub current: bool,
    pub touched: bool,
    pub opened_at: SpoolTime,
    /// What its files take.
    pub bytes: u64,
    pub lanes: [LaneView; LANES],
}

impl GenerationView {
    /// All its entries are acknowledged.
    pub fn acknowledged(&self) -> bool {
        self.lanes.iter().all(|lane| lane.acked + 1 >= lane.next)
    }
}

/// One lane as it is now: it holds the sequences `[first, next)`, of which those through `acked` are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneView {
    pub first: u64,
    pub next: u64,
    pub acked: u64,
    /// Units of all its entries, and of those that are acknowledged.
    pub units: u64,
    pub acked_units: u64,
}

/// What was found when a spool was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    pub generations: u64,
    /// Entries held that are not acknowledged, also those that can't be read back.
    pub entries_held: u64,
    pub salvaged: Vec<Salvaged>,
    /// There was no spool here.
    pub created: bool,
    /// The checkpoint, or a part of it, is gone or older than it should be. It is never that of an older generation: what was
    /// open there has been told since.
    pub checkpoint_lost: bool,
}

/// A generation that could not be read as it was, and what was saved of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Salvaged {
    pub ordinal: u64,
    pub entries_found: u64,
    /// With those that were acknowledged. They are peeked as [`CorruptEntry`].
    pub entries_lost: u64,
    /// `None` if they are not known.
    pub units_lost: Option<u64>,
    /// It is there still: what is lost of it shows in [`crate::Spool::peek`], entry by entry.
    pub held: bool,
    /// When it had been begun; 0 if that is not known. What is lost of it was made after that.
    pub opened_at: SpoolTime,
    /// It stays as it is, for lack of room or because files can't be made, and what was found is read from its raw bytes. It is put together
    /// anew when there is room; that is not reported again, unless more is lost.
    pub deferred: bool,
}

/// The room that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub used: u64,
    pub max: u64,
    /// What is free on the volume, and what it holds in all, if that is known.
    pub volume_free: Option<u64>,
    pub volume_total: Option<u64>,
    pub level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ample,
    /// More than 85 % of the bound is used.
    Short,
    /// An ordinary append of a few KiB would be refused.
    Full,
}

/// What this handle has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub appends: u64,
    /// Batches made durable; fewer than appends if several threads append.
    pub commits: u64,
    pub syncs: u64,
    /// Payload and head bytes given to the storage.
    pub bytes_written: u64,
    pub generations_made: u64,
    pub generations_removed: u64,
    pub retired: u64,
}
