//! A disk in memory that loses power, fills up, fails and forgets, all from one seed: what deterministic simulation stands on.
//!
//! What was applied is seen at once and durable after a sync. When the power fails, a random number of the batches since the last sync
//! survive, from the first one on, each whole or not at all; small files that were written without a sync are old, new or cut short. After
//! a sync that failed, what it should have made durable is in limbo: each batch may or may not survive, whatever later syncs say.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::{SpoolError, disk::Change};

mod disk;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A disk in memory. Clones are handles of the same one, each for the process that runs when it is made: give a spool a clone of its own.
/// After [`SimDisk::kill`] or [`SimDisk::power_cut`] an older handle still controls the disk, but a spool can't use it any more.
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    epoch: u64,
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), epoch: self.inner.lock().epoch }
    }
}

/// What goes wrong. Probabilities are in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// So many syncs fail from now on.
    pub failing_syncs: u32,
    pub apply: u32,
    pub open: u32,
    pub read: u32,
    /// Reading a folder's raw bytes.
    pub raw: u32,
    /// A sync says that it is done and does nothing: a bug that tests must find.
    pub skip_sync: bool,
    /// After so many more operations that change something each one fails: a place to die at.
    pub stop_after: Option<u32>,
}

/// What was done since the disk was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskCounters {
    pub bytes_written: u64,
    pub syncs: u64,
    pub opens: u64,
}

/// All that is on a disk at a moment.
#[derive(Debug, Clone)]
pub struct Image {
    folders: BTreeMap<String, Folder>,
}

struct Inner {
    rng: ChaCha8Rng,
    folders: BTreeMap<String, Folder>,
    capacity: Option<u64>,
    faults: Faults,
    counters: DiskCounters,
    /// Handles of an earlier one are of no use any more.
    epoch: u64,
    next_handle: u64,
}

#[derive(Debug, Clone, Default)]
struct Folder {
    /// Durable.
    base: Pairs,
    /// What a reader sees.
    live: Pairs,
    /// On top of the base, in order.
    log: Vec<(Vec<Change>, Fate)>,
    files: BTreeMap<String, SmallFile>,
    opened_by: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unsynced,
    Synced,
    Limbo,
}

#[derive(Debug, Clone, Default)]
struct SmallFile {
    durable: Option<Vec<u8>>,
    live: Vec<u8>,
}

impl Folder {
    fn bytes(&self) -> u64 {
        let pairs: usize = self.live.iter().map(|(k, v)| k.len() + v.len()).sum();
        (pairs + self.files.values().map(|f| f.live.len()).sum::<usize>()) as u64
    }

    fn settle(&mut self) {
        let settled = self.log.iter().take_while(|(_, fate)| *fate == Fate::Synced).count();
        for (changes, _) in self.log.drain(..settled) {
            change(&mut self.base, changes);
        }
    }
}

fn change(pairs: &mut Pairs, changes: Vec<Change>) {
    for (key, value) in changes {
        match value {
            Some(value) => pairs.insert(key, value),
            None => pairs.remove(&key),
        };
    }
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            rng: ChaCha8Rng::seed_from_u64(seed),
            folders: BTreeMap::new(),
            capacity: None,
            faults: Faults::default(),
            counters: DiskCounters::default(),
            epoch: 0,
            next_handle: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)), epoch: 0 }
    }

    /// Beyond so many bytes writes fail.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.inner.lock().capacity = bytes;
    }

    pub fn set_faults(&self, faults: Faults) {
        self.inner.lock().faults = faults;
    }

    pub fn skip_sync(&self, skip: bool) {
        self.inner.lock().faults.skip_sync = skip;
    }

    pub fn counters(&self) -> DiskCounters {
        self.inner.lock().counters
    }

    /// What all folders take.
    pub fn used(&self) -> u64 {
        self.inner.lock().used()
    }

    /// The process dies: what it wrote stays with the system. Its handles are of no use any more.
    pub fn kill(&self) {
        let mut inner = self.inner.lock();
        inner.epoch += 1;
        inner.folders.values_mut().for_each(|folder| folder.opened_by = None);
    }

    /// The power fails.
    pub fn power_cut(&self) {
        self.kill();
        let inner = &mut *self.inner.lock();
        let rng = &mut inner.rng;
        for folder in inner.folders.values_mut() {
            let unsynced = folder.log.iter().filter(|(_, fate)| *fate == Fate::Unsynced).count();
            let mut surviving = below(rng, unsynced as u64 + 1);
            for (changes, fate) in std::mem::take(&mut folder.log) {
                let survives = match fate {
                    Fate::Synced => true,
                    Fate::Limbo => rng.next_u32().is_multiple_of(2),
                    Fate::Unsynced => {
                        let survives = surviving > 0;
                        surviving = surviving.saturating_sub(1);
                        survives
                    }
                };
                if survives {
                    change(&mut folder.base, changes);
                }
            }
            folder.live.clone_from(&folder.base);
            folder.files.retain(|_, file| {
                if file.durable.as_ref() != Some(&file.live) {
                    match below(rng, 3) {
                        0 => file.live = file.durable.take().unwrap_or_default(),
                        1 => file.live.truncate(below(rng, file.live.len() as u64 + 1) as usize),
                        _ => {}
                    }
                }
                file.durable = Some(file.live.clone());
                true
            });
        }
    }

    /// Turns a bit of any stored byte; tells in which folder, and in which small file if it was in one.
    pub fn flip_byte(&self) -> Option<(String, Option<String>)> {
        let (at, bit) = {
            let inner = &mut *self.inner.lock();
            (below(&mut inner.rng, inner.folders.values().map(Folder::bytes).sum::<u64>().max(1)), inner.rng.next_u32() % 8)
        };
        self.flip_byte_at(at, 1 << bit)
    }

    /// Changes the `at`th stored byte; `None` if there are not so many.
    pub fn flip_byte_at(&self, mut at: u64, mask: u8) -> Option<(String, Option<String>)> {
        let inner = &mut *self.inner.lock();
        for (name, folder) in &mut inner.folders {
            if at >= folder.bytes() {
                at -= folder.bytes();
                continue;
            }
            for (key, value) in &folder.live {
                let len = (key.len() + value.len()) as u64;
                if at >= len {
                    at -= len;
                    continue;
                }
                let (mut new_key, mut new_value) = (key.clone(), value.clone());
                match (at as usize).checked_sub(key.len()) {
                    Some(at) => new_value[at] ^= mask,
                    None => new_key[at as usize] ^= mask,
                }
                let changes = vec![(key.clone(), None), (new_key, Some(new_value))];
                change(&mut folder.live, changes.clone());
                folder.log.push((changes, Fate::Synced));
                folder.settle();
                return Some((name.clone(), None));
            }
            for (file_name, file) in &mut folder.files {
                if at < file.live.len() as u64 {
                    file.live[at as usize] ^= mask;
                    file.durable = Some(file.live.clone());
                    return Some((name.clone(), Some(file_name.clone())));
                }
                at -= file.live.len() as u64;
            }
        }
        None
    }

    /// Cuts a small file, or (`None`) a folder's database, after so many bytes.
    pub fn truncate_file(&self, name: &str, file: Option<&str>, len: u64) {
        let inner = &mut *self.inner.lock();
        let Some(folder) = inner.folders.get_mut(name) else { return };
        if let Some(file) = file.and_then(|file| folder.files.get_mut(file)) {
            file.live.truncate(len as usize);
            file.durable = Some(file.live.clone());
        } else if file.is_none() {
            let mut left = len;
            folder.live.retain(|key, value| {
                let pair = (key.len() + value.len()) as u64;
                let stays = pair <= left;
                left = if stays { left - pair } else { 0 };
                stays
            });
            folder.base.clone_from(&folder.live);
            folder.log.clear();
        }
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Inner) -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        let inner = &mut *self.inner.lock();
        if inner.epoch != self.epoch {
            return Err(error("can't use", name, io::Error::other("its process is dead")));
        }
        work(inner)
    }

    /// A backup of all that is visible.
    pub fn snapshot(&self) -> Image {
        Image { folders: self.inner.lock().folders.clone() }
    }

    /// Puts a backup in place of all that is there; the process that used the disk is dead.
    pub fn restore(&self, image: &Image) {
        self.kill();
        let mut folders = image.folders.clone();
        for folder in folders.values_mut() {
            folder.base.clone_from(&folder.live);
            folder.log.clear();
            folder.opened_by = None;
            folder.files.values_mut().for_each(|file| file.durable = Some(file.live.clone()));
        }
        self.inner.lock().folders = folders;
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").field("folders", &self.inner.lock().folders.keys()).finish_non_exhaustive()
    }
}

impl Inner {
    fn used(&self) -> u64 {
        self.folders.values().map(Folder::bytes).sum()
    }

    fn room_for(&self, bytes: u64, what: &'static str, name: &str) -> Result<(), SpoolError> {
        match self.capacity {
            Some(capacity) if self.used() + bytes > capacity => Err(error(what, name, io::ErrorKind::StorageFull.into())),
            _ => Ok(()),
        }
    }

    /// An operation that changes something begins.
    fn step(&mut self, name: &str) -> Result<(), SpoolError> {
        match &mut self.faults.stop_after {
            Some(0) => return Err(broken("can't go on with", name)),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.rng.next_u32() % 1000 < thousandths
    }

    fn folder(&mut self, name: &str) -> Result<&mut Folder, SpoolError> {
        self.folders.get_mut(name).ok_or_else(|| error("can't find", name, io::ErrorKind::NotFound.into()))
    }
}

fn below(rng: &mut ChaCha8Rng, end: u64) -> u64 {
    rng.next_u64() % end
}

fn error(what: &'static str, name: &str, source: io::Error) -> SpoolError {
    SpoolError::Io { what, path: PathBuf::from(name), source }
}

fn broken(what: &'static str, name: &str) -> SpoolError {
    error(what, name, io::Error::other("simulated"))
}
