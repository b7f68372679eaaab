//! What becomes of a generation that can't be opened or knows less than it should: its values are looked for in the raw bytes of its files,
//! wherever they lie, and put into a new folder under the same name, id and sequences. The old folder is put aside for people to look at.
//!
//! Crash-safe: the new folder is whole and durable under another name before the old one is put aside, and only then takes its name.
//! Memory is bounded: entries go straight from the old files to the new database; only the checkpoint is gathered.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    LANES, Lane, Salvaged, SpoolError, SpoolTime,
    disk::{Change, Database, Disk, Flow},
    generation::{self, Handle},
    layout::{self, HEAD_BYTES, Head, Joiner, Kind, MAGIC, Meta, NoHead, PIECE_BYTES, Progress},
    read::head_for,
    sidecar::{self, Mark, Seal, Told},
};

const NEW: &str = "new-";
const ASIDE: &str = "damaged-";
/// Folders put aside that are kept.
const KEPT: usize = 3;
/// Pieces of one checkpoint part in one commit.
type Pieces = BTreeMap<u16, (Head, Vec<u8>)>;

/// Bytes that are written at once.
const BATCH_BYTES: usize = 256 << 10;

/// Finds values in raw bytes that come in pieces.
#[derive(Debug, Default)]
struct Scanner {
    buffer: Vec<u8>,
}

impl Scanner {
    fn push(&mut self, piece: &[u8], each: &mut dyn FnMut(Head, &[u8])) {
        self.buffer.extend_from_slice(piece);
        self.run(false, each);
    }

    fn finish(mut self, each: &mut dyn FnMut(Head, &[u8])) {
        self.run(true, each);
    }

    fn run(&mut self, to_the_end: bool, each: &mut dyn FnMut(Head, &[u8])) {
        let mut at = 0;
        loop {
            let Some(found) = self.buffer[at..].iter().position(|byte| *byte == MAGIC[0]) else {
                at = self.buffer.len();
                break;
            };
            at += found;
            let rest = &self.buffer[at..];
            match Head::parse(&rest[..rest.len().min(HEAD_BYTES + PIECE_BYTES)]) {
                Ok((head, bytes)) => {
                    each(head, bytes);
                    at += HEAD_BYTES + bytes.len();
                }
                Err(NoHead::Short) if !to_the_end && MAGIC.starts_with(&rest[..rest.len().min(MAGIC.len())]) => break,
                Err(_) => at += 1,
            }
        }
        self.buffer.drain(..at);
    }
}

fn scan_raw(disk: &dyn Disk, name: &str, each: &mut dyn FnMut(Head, &[u8])) -> Result<(), SpoolError> {
    let mut scanner = Scanner::default();
    disk.raw(name, &mut |piece| scanner.push(piece, each))?;
    scanner.finish(each);
    Ok(())
}

/// What the raw bytes tell at first sight.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    id: Option<u64>,
    meta: Option<Meta>,
    newest: Option<Progress>,
    /// The newest commit of which a part of the checkpoint was found.
    checkpoint: u64,
    through: [u64; LANES],
    units: [u64; LANES],
}

impl Survey {
    /// The generation's id.
    pub(crate) fn id(&self) -> Option<u64> {
        self.meta.map(|meta| meta.id).or(self.id)
    }

    /// Something was written after it was made.
    pub(crate) fn was_used(&self) -> bool {
        self.through != [0; LANES] || self.checkpoint > 1 || self.newest.is_some_and(|progress| progress.commit > 1)
    }
}

pub(crate) fn survey(disk: &dyn Disk, name: &str) -> Result<Survey, SpoolError> {
    let mut survey = Survey::default();
    scan_raw(disk, name, &mut |head, bytes| {
        survey.id.get_or_insert(head.generation);
        match head.kind {
            Kind::Meta => survey.meta = Meta::from_body(head.generation, bytes).or(survey.meta),
            Kind::Commit if survey.newest.is_none_or(|newest| newest.commit < head.seq) => {
                survey.newest = Progress::from_body(head.seq, bytes).or(survey.newest);
            }
            Kind::Checkpoint => survey.checkpoint = survey.checkpoint.max(head.seq),
            Kind::Entry => {
                let lane = usize::from(head.lane);
                if head.seq > survey.through[lane] {
                    survey.through[lane] = head.seq;
                    survey.units[lane] = head.units_before.saturating_add(head.units);
                }
            }
            _ => {}
        }
    })?;
    Ok(survey)
}

/// A generation that was put together anew.
pub(crate) struct Rebuilt {
    pub(crate) salvaged: Salvaged,
    pub(crate) checkpoint_lost: bool,
    /// There is a folder again.
    pub(crate) held: bool,
}

/// Finishes or forgets what was interrupted; returns the ordinals of folders that were put aside.
pub(crate) fn resume(disk: &dyn Disk) -> Result<Vec<u64>, SpoolError> {
    for name in disk.list()? {
        if let Some(old) = name.strip_prefix(NEW) {
            // The old one is put aside only when the new one is whole.
            if disk.exists(old) {
                disk.remove(&name)?;
            } else {
                disk.rename(&name, old)?;
            }
        } else if name.starts_with(&generation::copy_name("")) {
            disk.remove(&name)?;
        }
    }
    Ok(disk.list()?.iter().filter_map(|name| generation::ordinal_of(aside(name)?.1)).collect())
}

/// Number and former name of a folder that was put aside.
fn aside(name: &str) -> Option<(u64, &str)> {
    let (number, name) = name.strip_prefix(ASIDE)?.split_once('-')?;
    Some((number.parse().ok()?, name))
}

/// What the folders that were put aside take.
pub(crate) fn aside_bytes(disk: &dyn Disk) -> u64 {
    disk.list().unwrap_or_default().iter().filter(|name| aside(name).is_some()).map(|name| disk.bytes(name)).sum()
}

/// Removes the oldest of those put aside until they are few and take no more than `max_bytes`.
pub(crate) fn prune_aside(disk: &dyn Disk, max_bytes: u64) -> Result<(), SpoolError> {
    let mut kept: Vec<(u64, String)> = disk.list()?.into_iter().filter_map(|name| Some((aside(&name)?.0, name))).collect();
    kept.sort_unstable();
    let mut bytes = 0;
    for (i, (_, name)) in kept.iter().rev().enumerate() {
        bytes += disk.bytes(name);
        if i >= KEPT || bytes > max_bytes {
            disk.remove(name)?;
        }
    }
    Ok(())
}

fn put_aside(disk: &dyn Disk, name: &str) -> Result<(), SpoolError> {
    let number = disk.list()?.iter().filter_map(|name| Some(aside(name)?.0)).max().map_or(1, |n| n + 1);
    disk.rename(name, &format!("{ASIDE}{number}-{name}"))
}

/// Puts a generation together anew, as far as anything is left of it. `limit` is how far it had come, if a later one tells.
pub(crate) fn salvage(
    disk: &Arc<dyn Disk>,
    ordinal: u64,
    told: &Told,
    limit: Option<([u64; LANES], [u64; LANES])>,
    cache_bytes: u64,
) -> Result<Rebuilt, SpoolError> {
    let name = generation::name_of(ordinal);
    let found = survey(&**disk, &name)?;
    let id = told.seal.map(|s| s.meta.id).or(told.mark.map(|m| m.generation)).or(found.id());
    let Some(id) = id else {
        put_aside(&**disk, &name)?;
        let salvaged = Salvaged { ordinal, entries_found: 0, entries_lost: 0, units_lost: None, held: false, opened_at: SpoolTime(0) };
        return Ok(Rebuilt { salvaged, checkpoint_lost: true, held: false });
    };
    let meta = told.seal.map(|s| s.meta).or(found.meta.filter(|m| m.id == id));
    let meta = meta.unwrap_or(Meta { id, ordinal, opened_at: SpoolTime(0), parent: None, before: None, salvaged: true });
    let meta = Meta { ordinal, salvaged: true, ..meta };
    let goal = Goal::new(id, told, &found, limit);

    let new = format!("{NEW}{name}");
    disk.remove(&new)?;
    let handle = Handle::new(disk, &new, disk.open(&new, cache_bytes)?);
    let gathered = copy_values(&**disk, &name, &*handle, id, &goal)?;
    let progress = Progress { fingerprint: gathered.fingerprint, ..goal.progress };
    let mut changes = gathered.changes;
    changes.push((layout::META_KEY.to_vec(), Some(meta.encode())));
    changes.push((layout::COMMIT_KEY.to_vec(), Some(progress.encode(id))));
    handle.apply(changes)?;
    handle.sync()?;
    let salvaged = Salvaged { opened_at: meta.opened_at, ..count(&*handle, ordinal, id, &progress)? };
    drop(handle);
    Seal { meta, progress }.write(&**disk, &new)?;
    sidecar::touch(&**disk, &new)?;
    if let Some(mark) = told.mark.filter(|mark| mark.generation == id) {
        Mark { progress, ..mark }.write(&**disk, &new, true)?;
    }
    put_aside(&**disk, &name)?;
    disk.rename(&new, &name)?;
    tracing::warn!(name, found = salvaged.entries_found, lost = salvaged.entries_lost, "generation was damaged: put together anew");
    Ok(Rebuilt { salvaged, checkpoint_lost: !goal.known || gathered.fingerprint != goal.progress.fingerprint, held: true })
}

/// How far a generation should have come.
struct Goal {
    progress: Progress,
    /// Something is left that tells it. If not, the checkpoint is the newest that is found, and nobody can say that it is whole.
    known: bool,
}

impl Goal {
    fn new(id: u64, told: &Told, found: &Survey, limit: Option<([u64; LANES], [u64; LANES])>) -> Self {
        let marked = told.mark.filter(|mark| mark.generation == id).map(|mark| mark.progress);
        let mut progress = marked.into_iter().chain(found.newest).max_by_key(|p| p.commit).unwrap_or_default();
        let known = marked.is_some() || found.newest.is_some() || told.seal.is_some();
        if !known {
            progress.commit = found.checkpoint;
        }
        let exact = told.seal.map(|seal| (seal.progress.through, seal.progress.units)).or(limit);
        if let Some(seal) = told.seal.filter(|seal| seal.progress.commit >= progress.commit) {
            progress = seal.progress;
        }
        if let Some((through, units)) = exact {
            (progress.through, progress.units) = (through, units);
        } else {
            for lane in 0..LANES {
                if found.through[lane] > progress.through[lane] {
                    (progress.through[lane], progress.units[lane]) = (found.through[lane], found.units[lane]);
                }
            }
        }
        Self { progress, known }
    }
}

struct Gathered {
    /// The checkpoint's parts.
    changes: Vec<Change>,
    fingerprint: u64,
}

/// Writes all whole values but the checkpoint's to `database`, and gathers that.
fn copy_values(disk: &dyn Disk, name: &str, database: &dyn Database, id: u64, goal: &Goal) -> Result<Gathered, SpoolError> {
    let mut parts: BTreeMap<u32, BTreeMap<u64, Pieces>> = BTreeMap::new();
    let mut batch: Vec<Change> = Vec::new();
    let mut batch_bytes = 0;
    let mut failed = None;
    scan_raw(disk, name, &mut |head, bytes| {
        if head.generation != id || failed.is_some() {
            return;
        }
        match head.kind {
            Kind::Entry if head.seq >= 1 && head.seq <= goal.progress.through[usize::from(head.lane)] => {}
            Kind::Retired if head.units_before <= goal.progress.commit => {}
            Kind::Checkpoint if head.is_gone() && head.piece > 0 => return,
            Kind::Checkpoint if head.seq <= goal.progress.commit => {
                let part = head.units_before as u32;
                let versions = parts.entry(part).or_default();
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
    })?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    database.apply(batch)?;
    let mut gathered = Gathered { changes: Vec::new(), fingerprint: 0 };
    for (part, versions) in parts {
        for (commit, pieces) in versions.into_iter().rev() {
            if pieces.values().any(|(head, _)| head.pieces == 0) {
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
fn count(database: &dyn Database, ordinal: u64, id: u64, progress: &Progress) -> Result<Salvaged, SpoolError> {
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
            let Some((head, bytes)) = head_for(key, value, id) else { return Flow::Continue };
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
        ordinal,
        entries_found: entries,
        entries_lost: all.saturating_sub(entries),
        units_lost: all_units.checked_sub(units),
        held: true,
        opened_at: SpoolTime(0),
    })
}
