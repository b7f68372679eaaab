//! The durable queue that both sides stand on: append, durable, peek, acknowledge.
//!
//! A gateway keeps its records here until the collector has them, and the collector keeps batches here until the lake has them. Blocking;
//! call it from a thread of its own.
//!
//! A spool is a row of *generations*, each a database in a folder of its own with a random id. Appends go to the newest. It holds up to
//! [`LANES`] *lanes*, each with the sequences 1, 2, 3 …; generation and lane together are a *stream* ([`stream_id`]). Entries are not
//! deleted one by one: acknowledging moves a cursor, and a closed generation that is acknowledged as a whole goes as a whole.
//!
//! Invariants:
//! - When [`Spool::append`] returns, its entries in all lanes and its changes of the checkpoint are on disk; if it fails, none of them will
//!   be found later. (If the process dies while it runs, either all or none are found.)
//! - Sequences have no gap, and none is given twice within a stream: each opening begins a new generation, so this also holds when a backup
//!   was put in place.
//! - Each generation begins with a copy of the whole checkpoint and a link to the one before it ([`Parent`]).
//! - An entry goes only with its generation: when all of that is acknowledged, or when an append replaces it ([`Append::retire`]).
//! - After a failure of the storage the next append goes to a new generation. The link says through which entry the failed one counts.
//! - What can't be read back is reported, never replaced by something else.
//! - Neither damage nor lack of room keeps a spool from opening (`open.rs`).
//!
//! Damage, meaning bytes that are not what was written, is found by checksums over each value, by counts that are told beside the database
//! (`sidecar.rs`), by a checksum over a database that was closed, and by a look at the raw bytes of one that was not (`generation.rs`).
//! What stays undetected:
//! - The last commit before the power failed, if damage took parts of it and what tells of it: that looks as if it had never been finished.
//! - Commits of the newest generation that left no trace in the raw bytes, as when a file was cut or zeroed, if the power failed before
//!   anything that tells of them was on disk: at most 64 commits, made within 30 s of each other.
//! - The newest generations as a whole, if their folders are gone.
//! - Damage to cursors and to the mark of what may have been sent: entries are sent again.
//!
//! What is known to be lost may be more than was promised in one case: a last commit that was not finished, in a generation that is
//! damaged.
//!
//! The bound ([`Options::max_bytes`]) is on what the files take, measured, and each append is held against it together with what it may
//! cost. While a generation that was not closed is opened for the first time, a copy of it comes on top.

mod aside;
mod commit;
mod disk;
mod error;
mod generation;
mod group;
mod layout;
mod memory;
mod mend;
mod open;
mod read;
mod rotate;
mod salvage;
mod scan;
mod sidecar;
pub mod simulated;
mod sled_disk;
mod space;
mod state;
mod types;

use std::{path::Path, sync::Arc};

use parking_lot::{Mutex, RwLock};

use commit::Request;
pub use disk::{Change, Database, Disk, Flow};
pub use error::SpoolError;
use generation::Generation;
use group::Group;
use read::Wanted;
pub use sled_disk::SledDisk;
use state::{Readers, State};
pub use types::{
    Append, Appended, Checkpoint, CorruptEntry, Counters, Entry, GenerationView, LANES, Lane, LaneView, Level, MAX_FREE_SHARE_BYTES,
    NewEntry, OpenReport, Options, Parent, Peek, Room, Salvaged, SeqSpan, SpoolTime, stream_id,
};

/// The largest append: beyond it one commit would hold others up for long.
const MAX_APPEND_BYTES: u64 = 16 << 20;

/// A durable queue in a directory of its own.
///
/// Locks are taken in this order: `writing`, `applying`, `readers`, `state`.
pub struct Spool {
    disk: Arc<dyn Disk>,
    options: Options,
    group: Group<Request, Result<Appended, SpoolError>>,
    /// Held by whoever changes files.
    writing: Mutex<()>,
    /// Held for writing while a batch is applied or a folder goes, so that no reader sees half of it.
    applying: RwLock<()>,
    readers: Mutex<Readers>,
    state: Mutex<State>,
}

impl Spool {
    /// Opens the spool in `dir`, or makes one.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_dir(dir: &Path, options: Options, now: SpoolTime) -> Result<(Self, OpenReport), SpoolError> {
        Self::open(Arc::new(SledDisk::new(dir)?), options, now)
    }

    /// Adds entries and changes the checkpoint, atomically; returns when both are durable.
    ///
    /// # Errors
    /// Nothing was appended. [`SpoolError::is_full`] tells whether room would help.
    pub fn append(&self, append: &Append<'_>, now: SpoolTime) -> Result<Appended, SpoolError> {
        if let Some(entry) = append.entries.iter().find(|entry| entry.lane.index() >= LANES) {
            return Err(SpoolError::UnknownLane { lane: entry.lane.0 });
        }
        let request = Request::new(append, now);
        let max = MAX_APPEND_BYTES.min(self.options.max_bytes);
        let bytes = if request.weight() > MAX_APPEND_BYTES { request.weight() } else { self.disk.cost(request.weight()) };
        if request.weight() > MAX_APPEND_BYTES || bytes > self.options.max_bytes {
            return Err(SpoolError::TooLarge { bytes, max });
        }
        self.submit(request)
    }

    /// Entries of one lane of a generation with a sequence of at least `from`, in order: at most `max_entries`, and no more once they have
    /// `max_bytes` (so at least one).
    ///
    /// # Errors
    /// [`SpoolError::UnknownGeneration`] if it is gone; otherwise the storage could not be read.
    pub fn peek(&self, generation: u64, lane: Lane, from: u64, max_entries: usize, max_bytes: usize) -> Result<Peek, SpoolError> {
        let mut last_try = false;
        loop {
            let read = {
                let _whole = self.applying.read();
                self.peek_as_is(generation, lane, from, max_entries, max_bytes)
            };
            let (needs_mending, unreadable) = match &read {
                Ok(peek) => (!peek.corrupt.is_empty() && !self.is_mended(generation), false),
                Err(error) => (error.is_damage(), error.is_damage()),
            };
            if !needs_mending || last_try || !self.mend(generation, unreadable) {
                return read;
            }
            last_try = true;
        }
    }

    /// Moves a lane's cursor forward to `through`; returns by how many entries. It is on disk with the next append, and may be behind after
    /// the power failed.
    ///
    /// # Errors
    /// The storage could not be read. A generation that is gone is no error: it was acknowledged, or replaced.
    pub fn acknowledge(&self, generation: u64, lane: Lane, through: u64) -> Result<u64, SpoolError> {
        let moved = match self.set_cursor(generation, lane, through, true) {
            Err(SpoolError::UnknownGeneration { .. }) => 0,
            moved => moved?,
        };
        let done = {
            let state = self.state.lock();
            moved > 0 && !state.is_newest(generation) && state.generations.get(&generation).is_some_and(Generation::acknowledged)
        };
        if done {
            let _writing = self.writing.lock();
            self.drop_surplus()?;
        }
        Ok(moved)
    }

    /// Moves a lane's cursor back to `to`: the entries behind it are to be sent again. Returns how many these are.
    ///
    /// # Errors
    /// [`SpoolError::UnknownGeneration`] if it is gone.
    pub fn rewind(&self, generation: u64, lane: Lane, to: u64) -> Result<u64, SpoolError> {
        self.set_cursor(generation, lane, to, false)
    }

    /// Notes, durably, that entries of a generation may be sent; it can't be retired any more.
    ///
    /// # Errors
    /// [`SpoolError::UnknownGeneration`] if it is gone; otherwise what the storage says.
    pub fn touch(&self, generation: u64) -> Result<(), SpoolError> {
        let unknown = || SpoolError::UnknownGeneration { ordinal: generation };
        if self.state.lock().generations.get(&generation).ok_or_else(unknown)?.touched {
            return Ok(());
        }
        let _writing = self.writing.lock();
        if !self.state.lock().generations.contains_key(&generation) {
            return Err(unknown());
        }
        sidecar::touch(&*self.disk, &generation::name_of(generation))?;
        self.state.lock().generations.get_mut(&generation).ok_or_else(unknown)?.touched = true;
        Ok(())
    }

    /// Writes the cursors to disk.
    pub fn flush(&self) {
        let _writing = self.writing.lock();
        self.write_marks(true);
    }

    /// The checkpoint's parts as they were last appended.
    pub fn checkpoint(&self) -> Vec<(u32, Vec<u8>)> {
        self.state.lock().checkpoint.iter().map(|(part, of)| (*part, of.bytes.to_vec())).collect()
    }

    /// All generations, the oldest first, also those that are acknowledged and kept.
    pub fn view(&self) -> Vec<GenerationView> {
        let state = self.state.lock();
        state.generations.values().map(|generation| generation.view(state.is_current(generation.ordinal()))).collect()
    }

    /// Generations that turned out to be damaged since this was asked last; those of the opening are in its report.
    pub fn take_reports(&self) -> Vec<Salvaged> {
        std::mem::take(&mut self.state.lock().reports)
    }

    pub fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    fn peek_as_is(&self, ordinal: u64, lane: Lane, from: u64, max_entries: usize, max_bytes: usize) -> Result<Peek, SpoolError> {
        let (id, through, units) = {
            let state = self.state.lock();
            let generation = state.generations.get(&ordinal).ok_or(SpoolError::UnknownGeneration { ordinal })?;
            let through = generation.progress.through.get(lane.index()).ok_or(SpoolError::UnknownLane { lane: lane.0 })?;
            (generation.meta.id, *through, generation.progress.units[lane.index()])
        };
        if from > through || max_entries == 0 {
            return Ok(Peek::default());
        }
        let wanted = Wanted { lane, from: from.max(1), through, units, max_entries, max_bytes };
        read::read(&**self.reader(ordinal)?, id, wanted)
    }

    fn set_cursor(&self, ordinal: u64, lane: Lane, to: u64, forward: bool) -> Result<u64, SpoolError> {
        let unknown = SpoolError::UnknownGeneration { ordinal };
        let at = lane.index();
        let (id, to, known_units) = {
            let state = self.state.lock();
            let Some(generation) = state.generations.get(&ordinal) else { return Err(unknown) };
            let through = *generation.progress.through.get(at).ok_or(SpoolError::UnknownLane { lane: lane.0 })?;
            let to = to.min(through);
            if if forward { to <= generation.acked[at] } else { to >= generation.acked[at] } {
                return Ok(0);
            }
            let units = match to {
                0 => Some(0),
                to if to == through => Some(generation.progress.units[at]),
                _ => None,
            };
            (generation.meta.id, to, units)
        };
        let units = match known_units {
            Some(units) => Some(units),
            None => {
                let _whole = self.applying.read();
                // If it can't be told now the count is behind until the next time.
                self.reader(ordinal).and_then(|reader| read::units_through(&**reader, id, lane, to)).ok().flatten()
            }
        };
        let mut state = self.state.lock();
        let Some(generation) = state.generations.get_mut(&ordinal) else { return Err(unknown) };
        let moved = if forward { to.saturating_sub(generation.acked[at]) } else { generation.acked[at].saturating_sub(to) };
        if moved > 0 {
            generation.acked[at] = to;
            generation.acked_units[at] = match units {
                Some(units) => units,
                None if forward => generation.acked_units[at],
                None => 0,
            };
            generation.moved = true;
        }
        Ok(moved)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.write_marks(true);
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("generations", &self.view()).finish_non_exhaustive()
    }
}
