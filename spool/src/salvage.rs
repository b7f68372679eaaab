//! What becomes of a generation that can't be opened or knows less than it should: its values are looked for in the raw bytes of its files,
//! wherever they lie (`scan.rs`), and put into a new folder under the same name, id and sequences. The old folder is put aside for people
//! to look at (`aside.rs`).
//!
//! Crash-safe: the new folder is whole and durable under another name before the old one is put aside, and only then takes its name.
//! Memory is bounded: entries go straight from the old files to the new database; only the checkpoint is gathered.
//!
//! If there is no room for a new folder, or it can't be made, the old one stays where it is, and what is left of it is put together in
//! memory for as long as it is read: no more than a generation's size.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    LANES, Lane, Options, Parent, Salvaged, SpoolError, SpoolTime,
    aside::{self, NEW},
    disk::{Change, Database, Disk, Flow},
    generation::{self, Handle, Opened},
    layout::{self, Head, Joiner, Kind, Meta, Progress},
    memory::Memory,
    read::head_for,
    scan::{scan_raw, survey},
    sidecar::{self, Mark, Seal, Told},
    space,
};

/// Bytes that are written at once.
const BATCH_BYTES: usize = 256 << 10;

/// What is known of a generation besides what its own folder tells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// Head and progress, as they were in memory.
    pub(crate) whole: Option<(Meta, Progress)>,
    /// What the next generation says of it.
    pub(crate) limit: Option<Parent>,
}

/// What a damaged generation should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) meta: Meta,
    pub(crate) progress: Progress,
    /// Something is left that tells how far it had come. If not, the checkpoint is the newest that is found, and nobody can say that it is whole.
    pub(crate) known: bool,
}

impl Case {
    /// `None` if nothing tells which generation it is.
    pub(crate) fn examine(disk: &dyn Disk, ordinal: u64, told: &Told, known: &Known) -> Option<Self> {
        let found = survey(disk, &generation::name_of(ordinal)).unwrap_or_default();
        let sealed = told.seal.map(|seal| seal.meta);
        let id = known.whole.map(|(meta, _)| meta.id).or(sealed.map(|meta| meta.id)).or(told.mark.map(|mark| mark.generation));
        let id = id.or(found.id()).or(known.limit.map(|limit| limit.generation))?;
        let meta = known.whole.map(|(meta, _)| meta).or(sealed).or(found.meta.filter(|meta| meta.id == id));
        let meta = meta.unwrap_or(Meta { id, ordinal, opened_at: SpoolTime(0), parent: None, before: None, salvaged: true });
        let meta = Meta { ordinal, salvaged: true, ..meta };
        if let Some((_, progress)) = known.whole {
            return Some(Self { meta, progress, known: true });
        }
        let marked = told.mark.filter(|mark| mark.generation == id).map(|mark| mark.progress);
        let mut progress = marked.into_iter().chain(found.newest).max_by_key(|p| p.commit).unwrap_or_default();
        let seal = told.seal.filter(|seal| seal.meta.id == id).map(|seal| seal.progress);
        let is_known = marked.is_some() || found.newest.is_some() || seal.is_some();
        if !is_known {
            progress.commit = found.checkpoint;
        }
        if let Some(seal) = seal.filter(|seal| seal.commit >= progress.commit) {
            progress = seal;
        }
        let limit = known.limit.filter(|limit| limit.generation == id).map(|limit| (limit.through, limit.units));
        if let Some((through, units)) = seal.map(|seal| (seal.through, seal.units)).or(limit) {
            (progress.through, progress.units) = (through, units);
        } else {
            for lane in 0..LANES {
                if found.through[lane] > progress.through[lane] {
                    (progress.through[lane], progress.units[lane]) = (found.through[lane], found.units[lane]);
                }
            }
        }
        Some(Self { meta, progress, known: is_known })
    }
}

/// What was put together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rebuilt {
    pub(crate) salvaged: Salvaged,
    pub(crate) progress: Progress,
    pub(crate) checkpoint_lost: bool,
}

impl Rebuilt {
    /// Nothing that the case asks for is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.salvaged.entries_lost == 0 && !self.checkpoint_lost
    }
}

/// Puts a generation together anew, in a folder of its own, as far as anything is left of it. If that fails nothing has changed.
pub(crate) fn on_disk(disk: &Arc<dyn Disk>, options: &Options, told: &Told, case: &Case) -> Result<Rebuilt, SpoolError> {
    let name = generation::name_of(case.meta.ordinal);
    let new = format!("{NEW}{name}");
    disk.remove(&new)?;
    room_for(&**disk, options, &name)?;
    let built = build(disk, options.cache_bytes / 4, &name, &new, told, case).and_then(|rebuilt| {
        let old = aside::put_aside(&**disk, &name)?;
        if let Err(error) = disk.rename(&new, &name) {
            disk.rename(&old, &name)?;
            return Err(error);
        }
        Ok(rebuilt)
    });
    let rebuilt = match built {
        Ok(rebuilt) => rebuilt,
        Err(error) => {
            if let Err(error) = disk.remove(&new) {
                tracing::warn!(new, error = &error as &dyn std::error::Error, "what was made of a salvage stays until the next start");
            }
            return Err(error);
        }
    };
    let Salvaged { entries_found, entries_lost, .. } = rebuilt.salvaged;
    tracing::warn!(name, entries_found, entries_lost, "generation was damaged: put together anew");
    Ok(rebuilt)
}

fn build(disk: &Arc<dyn Disk>, cache_bytes: u64, name: &str, new: &str, told: &Told, case: &Case) -> Result<Rebuilt, SpoolError> {
    let handle = Handle::new(disk, new, disk.open(new, cache_bytes)?);
    let rebuilt = fill(&**disk, name, case, &*handle, true)?;
    drop(handle);
    Seal { meta: case.meta, progress: rebuilt.progress }.write(&**disk, new)?;
    sidecar::touch(&**disk, new)?;
    if let Some(mark) = told.mark.filter(|mark| mark.generation == case.meta.id) {
        Mark { progress: rebuilt.progress, ..mark }.write(&**disk, new, true)?;
    }
    Ok(rebuilt)
}

/// Room for another folder of about the same size; what was put aside makes way for it.
fn room_for(disk: &dyn Disk, options: &Options, name: &str) -> Result<(), SpoolError> {
    let cost = disk.bytes(name);
    let check = || {
        let used = disk.list()?.iter().map(|name| disk.bytes(name)).sum();
        space::check(disk, options, used, cost, true)?;
        match disk.space() {
            Some((free, _)) if free < cost => Err(SpoolError::VolumeFull { free, floor: 0, cost }),
            _ => Ok(()),
        }
    };
    check().or_else(|_| {
        aside::prune_aside(disk, 0)?;
        check()
    })
}

/// The same in memory. The folder `name` is only read; what can't be is taken for lost.
pub(crate) fn in_memory(disk: &Arc<dyn Disk>, name: &str, case: &Case) -> Result<(Opened, Rebuilt), SpoolError> {
    let handle = Handle::new(disk, name, Box::new(Memory::default()));
    // The folder was not opened, so there is nothing to note when this is dropped.
    handle.fail();
    let rebuilt = fill(&**disk, name, case, &*handle, false)?;
    Ok((Opened { handle, meta: case.meta, progress: rebuilt.progress }, rebuilt))
}

fn fill(disk: &dyn Disk, name: &str, case: &Case, database: &dyn Database, all_readable: bool) -> Result<Rebuilt, SpoolError> {
    let gathered = copy_values(disk, name, database, case, all_readable)?;
    let progress = Progress { fingerprint: gathered.fingerprint, ..case.progress };
    let mut changes = gathered.changes;
    changes.push((layout::META_KEY.to_vec(), Some(case.meta.encode())));
    changes.push((layout::COMMIT_KEY.to_vec(), Some(progress.encode(case.meta.id))));
    database.apply(changes)?;
    database.sync()?;
    let salvaged = count(database, &case.meta, &progress)?;
    let checkpoint_lost = !case.known || gathered.fingerprint != case.progress.fingerprint;
    Ok(Rebuilt { salvaged, progress, checkpoint_lost })
}

struct Gathered {
    /// The checkpoint's parts.
    changes: Vec<Change>,
    fingerprint: u64,
}

type Versions = BTreeMap<u64, BTreeMap<u16, (Head, Vec<u8>)>>;

/// Writes all whole values but the checkpoint's to `database`, and gathers that.
fn copy_values(disk: &dyn Disk, name: &str, database: &dyn Database, case: &Case, all_readable: bool) -> Result<Gathered, SpoolError> {
    let goal = &case.progress;
    let mut parts: BTreeMap<u32, Versions> = BTreeMap::new();
    let mut batch: Vec<Change> = Vec::new();
    let mut batch_bytes = 0;
    let mut failed = None;
    let scanned = scan_raw(disk, name, &mut |head, bytes| {
        if head.generation != case.meta.id || failed.is_some() {
            return;
        }
        match head.kind {
            Kind::Entry if head.seq >= 1 && head.seq <= goal.through[usize::from(head.lane)] => {}
            Kind::Retired if head.units_before <= goal.commit => {}
            Kind::Checkpoint if head.is_gone() && head.piece > 0 => return,
            Kind::Checkpoint if head.seq <= goal.commit => {
                let versions = parts.entry(head.units_before as u32).or_default();
                versions.entry(head.seq).or_default().insert(head.piece, (head, bytes.to_vec()));
                // What is older than a whole one is of no use.
                let whole = versions.iter().rev().find(|(_, pieces)| pieces.len() >= usize::from(head.pieces)).map(|(seq, _)| *seq);
                if let Some(whole) = whole {
                    *versions = versions.split_off(&whole);
                }
                return;
            }
            _ => return,
        }
        batch.push((head.key(), Some(head.with(bytes))));
        batch_bytes += bytes.len();
        if batch_bytes > BATCH_BYTES {
            batch_bytes = 0;
            failed = database.apply(std::mem::take(&mut batch)).err();
        }
    });
    match scanned {
        Err(error) if all_readable || !error.is_damage() => return Err(error),
        Err(error) => tracing::error!(name, error = &error as &dyn std::error::Error, "generation can't be read at all"),
        Ok(()) => {}
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    database.apply(batch)?;
    let mut gathered = Gathered { changes: Vec::new(), fingerprint: 0 };
    for (part, versions) in parts {
        for (commit, pieces) in versions.into_iter().rev() {
            if pieces.values().any(|(head, _)| head.is_gone()) {
                break;
            }
            let mut joiner = Joiner::default();
            pieces.values().for_each(|(head, bytes)| joiner.push(*head, bytes));
            if joiner.finish().is_some() {
                gathered.fingerprint ^= layout::fingerprint(part, commit);
                gathered.changes.extend(pieces.values().map(|(head, bytes)| (head.key(), Some(head.with(bytes)))));
                break;
            }
        }
    }
    Ok(gathered)
}

/// What a database holds of what it should.
fn count(database: &dyn Database, meta: &Meta, progress: &Progress) -> Result<Salvaged, SpoolError> {
    let (mut entries, mut units) = (0u64, 0u64);
    for lane in (0..LANES as u8).map(Lane) {
        let mut joiner = Joiner::default();
        let mut at = 0;
        let mut close = |joiner: Joiner| {
            if let Some((head, _)) = joiner.finish() {
                entries += 1;
                units += head.units;
            }
        };
        let end = layout::entry_key(lane, u64::MAX, u16::MAX);
        database.scan(&layout::entry_key(lane, 0, 0), &end, &mut |key, value| {
            let Some((head, bytes)) = head_for(key, value, meta.id) else { return Flow::Continue };
            if head.seq != at {
                close(std::mem::take(&mut joiner));
                at = head.seq;
            }
            joiner.push(head, bytes);
            Flow::Continue
        })?;
        close(joiner);
    }
    let all: u64 = progress.through.iter().sum();
    let all_units: u64 = progress.units.iter().sum();
    Ok(Salvaged {
        ordinal: meta.ordinal,
        entries_found: entries,
        entries_lost: all.saturating_sub(entries),
        units_lost: all_units.checked_sub(units),
        held: true,
        opened_at: meta.opened_at,
        deferred: false,
    })
}
