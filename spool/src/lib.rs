//! The durable queue that both sides stand on: append, durable, peek, acknowledge.
//!
//! A gateway keeps its records here until the collector has them, and the collector keeps batches here until the lake has them. Blocking;
//! call it from a thread of its own.
//!
//! Invariants:
//! - When [`Spool::append`] returns, all its payloads and the checkpoint are on disk; if it fails, none of them will be found later. (If the
//!   process dies while it runs, either all or none are found.)
//! - Sequences begin with 1, have no gap, and none is given twice within a stream, also not when all entries are gone.
//! - An entry is deleted only by [`Spool::acknowledge`].
//! - After a failure of the storage the handle refuses everything (see [`SpoolError::is_final`]): only opening again tells what is on disk.
//!
//! The bound ([`Options::max_bytes`]) is on what the files may take. sled writes a value about three times until it rests, and uses the room of
//! what is gone again, but never gives it back: the files of a spool that is filled and emptied again and again settle at 1.9 to 2.5 times
//! what it held at most (64 MiB held, entries of 300 bytes to 30 KB; `tests/it/space.rs` keeps watch). The size of the files therefore can't
//! tell whether there is room; what is held can, and it is bounded to two fifths of `max_bytes`. A fixed part of a few MiB comes on top.
//! Held are payloads, keys and heads, counted by the spool itself and counted anew at each opening. The checkpoint is not counted, so that
//! it can be written when the spool is full.

mod commit;
mod error;
mod group;
mod layout;
mod mark;
mod quarantine;
mod read;
mod store;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
};

use parking_lot::{Mutex, MutexGuard, RwLock};

use commit::{Outcome, Request};
pub use error::SpoolError;
use group::Group;
use layout::{Joiner, Meta};
use mark::Mark;
use read::{Reading, take_stock};
use store::{Flow, Store};

/// The largest append: beyond it one commit would hold others up for long.
const MAX_APPEND_BYTES: usize = 16 << 20;
/// How a spool is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What the files may take; appends are refused ([`SpoolError::Full`]) when two fifths of it are held.
    pub max_bytes: u64,
    /// The storage's cache in memory.
    pub cache_bytes: u64,
}

impl Options {
    /// What may be held.
    fn max_held(self) -> u64 {
        self.max_bytes / 5 * 2
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, cache_bytes: 8 << 20 }
    }
}

/// What was found when a spool was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Entries held, also those that can't be read back.
    pub recovered_entries: u64,
    /// Entries that can't be read back, or are not there though they should be. Those between others stay (and are reported by peek) until
    /// they are acknowledged.
    pub corrupt: Vec<CorruptEntry>,
    /// There was no spool here, or none that could be opened.
    pub created: bool,
    /// Where a spool that could not be opened was put; all that it held is lost to this one.
    pub quarantined: Option<PathBuf>,
}

/// An entry that can't be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptEntry {
    pub seq: u64,
}

/// An entry read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    pub payload: Vec<u8>,
}

/// Entries read back, and those in the same range that can't be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peek {
    pub entries: Vec<Entry>,
    pub corrupt: Vec<CorruptEntry>,
}

/// The half-open range of sequences `[first, end)` that an append was given; empty if it had no payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A durable queue in a folder of its own.
pub struct Spool {
    store: Store,
    mark: Mark,
    stream: u64,
    max_held: u64,
    group: Group<Request, Result<Outcome, SpoolError>>,
    state: Mutex<State>,
    /// Held for writing while a batch is applied, so that no reader sees half of one.
    applying: RwLock<()>,
}

/// What is held.
#[derive(Debug, Default)]
struct State {
    first_seq: u64,
    next_seq: u64,
    entries: u64,
    bytes: u64,
    checkpoint_parts: u32,
    commits: u64,
    poisoned: Option<String>,
}

impl Spool {
    /// Opens the spool in `dir`, or makes one. A spool that is too damaged to be opened is put aside, and a new one (with a new stream) made.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if it is open elsewhere; otherwise what the file system or the storage says.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, OpenReport), SpoolError> {
        match Self::open_as_is(dir, options) {
            Err(e) if e.is_damage() => {
                let aside = quarantine::put_aside(dir)?;
                tracing::error!(error = &e as &dyn std::error::Error, path = %aside.display(), "spool is damaged: put aside, made a new one");
                let (spool, report) = Self::open_as_is(dir, options)?;
                Ok((spool, OpenReport { quarantined: Some(aside), ..report }))
            }
            other => other,
        }
    }

    /// A random number, made with the spool: with a sequence it names an entry for good.
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// Adds entries and replaces the checkpoint (if there is one), atomically; returns when both are durable.
    ///
    /// # Errors
    /// [`SpoolError::Full`] and [`SpoolError::TooLarge`] leave everything as it was; all others are final for this handle.
    pub fn append(&self, payloads: &[&[u8]], checkpoint: Option<&[u8]>) -> Result<SeqSpan, SpoolError> {
        let bytes = payloads.iter().map(|p| p.len()).sum::<usize>() + checkpoint.map_or(0, <[u8]>::len);
        let held = payloads.iter().map(|p| layout::payload_weight(p.len())).sum::<u64>();
        if held > self.max_held {
            return Err(SpoolError::TooLarge { bytes: held, max: self.max_held });
        }
        if bytes > MAX_APPEND_BYTES {
            return Err(SpoolError::TooLarge { bytes: bytes as u64, max: MAX_APPEND_BYTES as u64 });
        }
        if payloads.is_empty() && checkpoint.is_none() {
            let next = self.usable()?.next_seq;
            return Ok(SeqSpan { first: next, end: next });
        }
        let payloads = payloads.iter().map(|p| p.to_vec()).collect();
        match self.submit(Request::Append { payloads, checkpoint: checkpoint.map(<[u8]>::to_vec) })? {
            Outcome::Appended(span) => Ok(span),
            Outcome::Acknowledged(_) => Err(SpoolError::Damaged { what: "an answer" }),
        }
    }

    /// Entries with a sequence of at least `from`, in order: at most `max_entries`, and no more once they have `max_bytes` (so at least one).
    ///
    /// # Errors
    /// Final for this handle: the storage could not be read.
    pub fn peek(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Peek, SpoolError> {
        let _whole = self.applying.read();
        let (from, end) = {
            let state = self.usable()?;
            (from.max(state.first_seq), state.next_seq)
        };
        if from >= end || max_entries == 0 {
            return Ok(Peek::default());
        }
        let mut reading = Reading::new(from, max_entries, max_bytes);
        let read = self.store.scan(layout::entry_key(from, 0)..layout::entry_key(end, 0), |key, value| reading.pair(key, value));
        self.poison_on(read)?;
        Ok(reading.finish(end))
    }

    /// Deletes all entries through `through`; returns how many, when that is durable.
    ///
    /// # Errors
    /// Final for this handle; a part of the entries (from the front) may have been deleted.
    pub fn acknowledge(&self, through: u64) -> Result<u64, SpoolError> {
        {
            let state = self.usable()?;
            if through < state.first_seq || state.first_seq == state.next_seq {
                return Ok(0);
            }
        }
        match self.submit(Request::Acknowledge { through })? {
            Outcome::Acknowledged(deleted) => Ok(deleted),
            Outcome::Appended(_) => Err(SpoolError::Damaged { what: "an answer" }),
        }
    }

    /// The checkpoint last appended.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] if it can't be read back; otherwise final for this handle.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, SpoolError> {
        let _whole = self.applying.read();
        drop(self.usable()?);
        let mut joiner = Joiner::new(layout::CHECKPOINT_SEQ);
        let mut parts = 0;
        let read = self.store.scan(layout::checkpoint_key(0).., |key, value| {
            if !key.starts_with(layout::CHECKPOINT_PREFIX) {
                return Flow::Stop;
            }
            joiner.push(parts, value);
            parts += 1;
            Flow::Continue
        });
        self.poison_on(read)?;
        match parts {
            0 => Ok(None),
            _ => joiner.finish().map(Some).ok_or(SpoolError::Damaged { what: "the checkpoint" }),
        }
    }

    /// The lowest sequence held; that of the next entry if there is none.
    pub fn first_seq(&self) -> u64 {
        self.state.lock().first_seq
    }

    /// The sequence that the next entry will get.
    pub fn next_seq(&self) -> u64 {
        self.state.lock().next_seq
    }

    /// Entries held.
    pub fn len(&self) -> u64 {
        self.state.lock().entries
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Commits made durable since this handle was opened; fewer than appends if several threads append.
    pub fn commits(&self) -> u64 {
        self.state.lock().commits
    }

    /// Bytes held: what the bound is on.
    pub fn bytes_held(&self) -> u64 {
        self.state.lock().bytes
    }

    /// What the files take; 0 if that can't be found out.
    pub fn bytes_on_disk(&self) -> u64 {
        self.store.size_on_disk().unwrap_or_default()
    }

    fn open_as_is(dir: &Path, options: Options) -> Result<(Self, OpenReport), SpoolError> {
        let store = Store::open(dir, options.cache_bytes)?;
        let (mark, marked) = Mark::open(dir)?;
        let (mut meta, created) = match store.get(layout::META_KEY)? {
            Some(value) => (Meta::decode(&value)?, false),
            // There was a spool here, and sled knows nothing of it.
            None if marked.is_some() => return Err(SpoolError::Damaged { what: "the spool's log" }),
            None => (Meta { stream: random(), next_seq: 1 }, true),
        };
        let behind = marked.filter(|marked| marked.stream == meta.stream && marked.next_seq > meta.next_seq);
        let lost = meta.next_seq..behind.map_or(meta.next_seq, |marked| marked.next_seq);
        meta.next_seq = lost.end;
        if created || !lost.is_empty() {
            let mut batch = sled::Batch::default();
            batch.insert(layout::META_KEY, meta.encode());
            store.apply(batch)?;
            store.sync()?;
        }
        mark.set(meta)?;
        let (state, mut corrupt) = take_stock(&store, meta.next_seq)?;
        let told = corrupt.last().map_or(0, |c| c.seq);
        corrupt.extend(lost.filter(|seq| *seq > told).map(|seq| CorruptEntry { seq }));
        let report = OpenReport { recovered_entries: state.entries, corrupt, created, quarantined: None };
        let spool = Self {
            store,
            mark,
            stream: meta.stream,
            max_held: options.max_held(),
            group: Group::new(),
            state: Mutex::new(state),
            applying: RwLock::new(()),
        };
        Ok((spool, report))
    }

    /// The state, unless an earlier failure closed this handle.
    fn usable(&self) -> Result<MutexGuard<'_, State>, SpoolError> {
        let state = self.state.lock();
        match &state.poisoned {
            Some(reason) => Err(SpoolError::Poisoned { reason: reason.clone() }),
            None => Ok(state),
        }
    }

    /// Closes this handle for good if `result` is a failure of the storage.
    fn poison_on<T>(&self, result: Result<T, SpoolError>) -> Result<T, SpoolError> {
        if let Err(failure) = &result {
            self.state.lock().poisoned.get_or_insert_with(|| failure.to_string());
        }
        result
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("stream", &self.stream).field("state", &*self.state.lock()).finish_non_exhaustive()
    }
}

/// A number that is not made twice. The keys of the standard hasher are the system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
