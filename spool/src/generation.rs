//! One generation: what is known of it, and how its folder is opened.
//!
//! Recovery of the database takes what lies behind a damaged place for a torn end, and overwrites it. So a folder is not opened if its
//! files are not what they were when it was closed (`clean`), and one that was not closed is copied first. If the database then knows less
//! than the small files say, or than lies in the raw bytes, the copy takes its place and is salvaged. Each commit is synced before the next
//! is written: a power cut leaves at most one that is not whole, so raw bytes that are two commits ahead of the database, or one that is
//! whole, were promised.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    GenerationView, LANES, Lane, LaneView, SpoolError, SpoolTime,
    disk::{Database, Disk, Flow},
    layout::{self, Meta, Progress},
    salvage::{self, Case},
    scan::{Survey, survey},
    sidecar::{self, Closed, Mark, Seal, Told},
};

const PREFIX: &str = "gen-";
/// A durable mark is written after so many commits, and with the next one after so long.
const DURABLE_MARK_COMMITS: u64 = 64;
const DURABLE_MARK_AGE: Duration = Duration::from_secs(30);

pub(crate) fn name_of(ordinal: u64) -> String {
    format!("{PREFIX}{ordinal:010}")
}

pub(crate) fn ordinal_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    (digits.len() >= 10 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The folder of a generation while it is opened for the first time after it was not closed.
pub(crate) fn copy_name(name: &str) -> String {
    format!("before-{name}")
}

/// What is known of a generation without reading it.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    pub(crate) meta: Meta,
    pub(crate) progress: Progress,
    pub(crate) touched: bool,
    pub(crate) bytes: u64,
    pub(crate) acked: [u64; LANES],
    pub(crate) acked_units: [u64; LANES],
    /// Its cursors are not in its mark yet.
    pub(crate) moved: bool,
    /// Its seal is on disk.
    pub(crate) sealed: bool,
    pub(crate) mark_counter: u64,
    /// The commit that the durable mark tells, and when it was written.
    pub(crate) durable_mark: (u64, SpoolTime),
    /// It is read from the raw bytes of its files.
    pub(crate) deferred: Option<Deferred>,
}

/// A generation that can't be opened or salvaged for now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deferred {
    /// What was found lost.
    pub(crate) entries_lost: u64,
    /// When that was tried last, and the room that there was.
    pub(crate) tried_at: SpoolTime,
    pub(crate) room: u64,
}

impl Generation {
    pub(crate) fn new(meta: Meta, progress: Progress) -> Self {
        Self {
            meta,
            progress,
            touched: false,
            bytes: 0,
            acked: [0; LANES],
            acked_units: [0; LANES],
            moved: false,
            sealed: false,
            mark_counter: 0,
            durable_mark: (progress.commit, meta.opened_at),
            deferred: None,
        }
    }

    /// A generation that was there before, with what its small files say.
    pub(crate) fn with_told(meta: Meta, progress: Progress, told: &Told, bytes: u64) -> Self {
        let mut generation = Self { touched: told.touched, bytes, ..Self::new(meta, progress) };
        if let Some(mark) = told.mark {
            generation.mark_counter = mark.counter;
            if mark.generation == meta.id {
                generation.acked = std::array::from_fn(|lane| mark.acked[lane].min(progress.through[lane]));
                generation.acked_units = std::array::from_fn(|lane| mark.acked_units[lane].min(progress.units[lane]));
            }
        }
        generation
    }

    pub(crate) fn ordinal(&self) -> u64 {
        self.meta.ordinal
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.progress.is_empty()
    }

    pub(crate) fn acknowledged(&self) -> bool {
        self.acked == self.progress.through
    }

    pub(crate) fn pending(&self) -> u64 {
        (0..LANES).map(|lane| self.progress.through[lane] - self.acked[lane]).sum()
    }

    /// So much has been committed since that it is to be told durably. The commit that begins a generation need not be.
    pub(crate) fn is_durable_mark_due(&self, now: SpoolTime) -> bool {
        let (commit, at) = self.durable_mark;
        let age = Duration::from_micros(now.0.saturating_sub(at.0));
        self.progress.commit >= commit + DURABLE_MARK_COMMITS || (self.progress.commit > commit && age >= DURABLE_MARK_AGE)
    }

    pub(crate) fn next_mark(&mut self) -> Mark {
        self.mark_counter += 1;
        self.moved = false;
        Mark {
            generation: self.meta.id,
            counter: self.mark_counter,
            progress: self.progress,
            acked: self.acked,
            acked_units: self.acked_units,
        }
    }

    pub(crate) fn seal(&self) -> Seal {
        Seal { meta: self.meta, progress: self.progress }
    }

    pub(crate) fn view(&self, current: bool) -> GenerationView {
        GenerationView {
            ordinal: self.meta.ordinal,
            id: self.meta.id,
            parent: self.meta.parent,
            current,
            touched: self.touched,
            opened_at: self.meta.opened_at,
            bytes: self.bytes,
            lanes: std::array::from_fn(|lane| LaneView {
                first: 1,
                next: self.progress.through[lane] + 1,
                acked: self.acked[lane],
                units: self.progress.units[lane],
                acked_units: self.acked_units[lane],
            }),
        }
    }
}

/// An open database that notes how it is left when it is closed.
pub(crate) struct Handle {
    disk: Arc<dyn Disk>,
    name: String,
    /// `None` only while it is dropped.
    database: Option<Box<dyn Database>>,
    /// What it holds on disk is not known.
    failed: AtomicBool,
}

impl Handle {
    pub(crate) fn new(disk: &Arc<dyn Disk>, name: &str, database: Box<dyn Database>) -> Self {
        Self { disk: disk.clone(), name: name.to_owned(), database: Some(database), failed: AtomicBool::new(false) }
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Deref for Handle {
    type Target = dyn Database;

    fn deref(&self) -> &Self::Target {
        self.database.as_deref().expect("the database is there until the handle is dropped")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.database.take());
        if !self.failed.load(Ordering::Relaxed) && self.disk.exists(&self.name) && sidecar::note_closed(&*self.disk, &self.name).is_err() {
            tracing::debug!(name = self.name, "generation is taken for one that was not closed when it is opened next");
        }
    }
}

/// A database that was opened and knows all that it should.
pub(crate) struct Opened {
    pub(crate) handle: Handle,
    pub(crate) meta: Meta,
    pub(crate) progress: Progress,
}

/// Why a folder could not be opened.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was never made to the end.
    Incomplete,
    /// It is to be salvaged.
    Damaged(SpoolError),
    /// Nothing is wrong with it, as far as is known.
    Other(SpoolError),
}

/// Opens the folder of a generation. What could be destroyed by that is as it was if the answer is [`Failure::Damaged`].
pub(crate) fn open_folder(disk: &Arc<dyn Disk>, ordinal: u64, cache_bytes: u64, told: &Told, may_copy: bool) -> Result<Opened, Failure> {
    let name = name_of(ordinal);
    let copy = copy_name(&name);
    let closed = sidecar::how_closed(&**disk, &name);
    let mut copied = false;
    let mut found = None;
    match closed {
        Closed::Changed => return Err(Failure::Damaged(SpoolError::Damaged { what: "a file of a generation" })),
        Closed::Clean => {}
        Closed::Unclean if may_copy => {
            match disk.remove(&copy).and_then(|()| disk.copy(&name, &copy)) {
                Ok(()) => copied = true,
                Err(error) if error.is_full() => {
                    disk.remove(&copy).map_err(Failure::Other)?;
                    return Err(Failure::Other(error));
                }
                // It is the files that can't be read.
                Err(error) => tracing::warn!(name, error = &error as &dyn std::error::Error, "can't copy a generation that was not closed"),
            }
            found = survey(&**disk, &name).ok();
        }
        Closed::Unclean => {}
    }
    let mut opened = open_as_is(disk, ordinal, cache_bytes, told, closed);
    if let (Ok(open), Some(found)) = (&opened, &found)
        && lies_behind(disk, if copied { &copy } else { &name }, open, found)
    {
        opened = Err(Failure::Damaged(SpoolError::Damaged { what: "a generation's log" }));
    }
    match &opened {
        Err(Failure::Damaged(_)) if copied => disk.remove(&name).and_then(|()| disk.rename(&copy, &name)).map_err(Failure::Other)?,
        // Also what is left of a copy that failed.
        _ => disk.remove(&copy).map_err(Failure::Other)?,
    }
    opened
}

/// More than the database knows lies in the raw bytes, and it is not what a power cut left of a commit.
fn lies_behind(disk: &Arc<dyn Disk>, name: &str, opened: &Opened, found: &Survey) -> bool {
    let known = opened.progress;
    let Some(newest) = found.newest.filter(|newest| newest.commit > known.commit && found.id() == Some(opened.meta.id)) else {
        return false;
    };
    if newest.commit > known.commit + 1 {
        return true;
    }
    let case = Case { meta: opened.meta, progress: newest, known: true };
    salvage::in_memory(disk, name, &case).is_ok_and(|(_, rebuilt)| rebuilt.is_whole())
}

fn open_as_is(disk: &Arc<dyn Disk>, ordinal: u64, cache_bytes: u64, told: &Told, closed: Closed) -> Result<Opened, Failure> {
    let name = name_of(ordinal);
    let failure = |e: SpoolError| if e.is_damage() { Failure::Damaged(e) } else { Failure::Other(e) };
    if sidecar::note_open(&**disk, &name, closed).is_err() {
        tracing::debug!(name, "generation may be taken for a damaged one when it is opened next");
    }
    let database = disk.open(&name, cache_bytes).map_err(failure)?;
    // What a process that died has written need not be durable, and what is told of it from now on will be.
    database.sync().map_err(Failure::Other)?;
    let read = || -> Result<Option<(Meta, Progress)>, SpoolError> {
        let Some(meta) = database.get(layout::META_KEY)? else { return Ok(None) };
        let commit = database.get(layout::COMMIT_KEY)?.ok_or(SpoolError::Damaged { what: "a generation's last commit" })?;
        Ok(Some((Meta::decode(&meta)?, Progress::decode(&commit)?)))
    };
    let Some((meta, progress)) = read().map_err(failure)? else {
        drop(database);
        let was_made = told.mark.is_some() || told.seal.is_some() || survey(&**disk, &name).is_ok_and(|s| s.was_used());
        return Err(if was_made { Failure::Damaged(SpoolError::Damaged { what: "a generation's head" }) } else { Failure::Incomplete });
    };
    let marked = told.mark.filter(|mark| mark.generation == meta.id).map(|mark| mark.progress);
    let sealed = told.seal.filter(|seal| seal.meta.id == meta.id).map(|seal| seal.progress);
    let short = marked.iter().chain(&sealed).any(|known| known.commit > progress.commit);
    if short || meta.ordinal != ordinal {
        return Err(Failure::Damaged(SpoolError::Damaged { what: "a generation's log" }));
    }
    if closed == Closed::Unclean {
        write_again(&*database, &marked.unwrap_or_default(), &progress).map_err(Failure::Other)?;
    }
    Ok(Opened { handle: Handle::new(disk, &name, database), meta, progress })
}

/// Writes what is ahead of the mark once more. It may be of a commit whose sync failed before the process died: the system may take it for
/// written though it is not on disk.
fn write_again(database: &dyn Database, marked: &Progress, progress: &Progress) -> Result<(), SpoolError> {
    if marked.commit >= progress.commit {
        return Ok(());
    }
    let lanes = (0..LANES as u8).zip(marked.through).map(|(lane, through)| {
        let end = layout::entry_key(Lane(lane), u64::MAX, u16::MAX);
        (layout::entry_key(Lane(lane), through.saturating_add(1), 0), end)
    });
    let others = [(b"c".to_vec(), b"d".to_vec()), (b"r".to_vec(), b"s".to_vec()), (b"z".to_vec(), vec![b'z', 0])];
    // One batch: if it is not on disk after all, no part of it may be.
    let mut changes = Vec::new();
    for (from, end) in lanes.chain(others) {
        database.scan(&from, &end, &mut |key, value| {
            changes.push((key.to_vec(), Some(value.to_vec())));
            Flow::Continue
        })?;
    }
    database.apply(changes)?;
    database.sync()
}
