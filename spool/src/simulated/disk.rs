//! The simulated disk as the spool sees it.

use std::{io, ops::Bound, path::PathBuf};

use rand_chacha::rand_core::RngCore;

use super::{Fate, Folder, Inner, SimDisk, broken, change, error};
use crate::{
    SpoolError,
    disk::{Change, Database, Disk, Flow},
};

impl Disk for SimDisk {
    fn list(&self) -> Result<Vec<String>, SpoolError> {
        self.with("", |inner| Ok(inner.folders.keys().cloned().collect()))
    }

    fn open(&self, name: &str, _cache_bytes: u64) -> Result<Box<dyn Database>, SpoolError> {
        self.with(name, |inner| {
            inner.counters.opens += 1;
            inner.step(name)?;
            if inner.chance(inner.faults.open) {
                return Err(broken("can't open", name));
            }
            let handle = inner.next_handle;
            inner.next_handle += 1;
            let folder = inner.folders.entry(name.to_owned()).or_default();
            if folder.opened_by.is_some() {
                return Err(SpoolError::InUse { path: PathBuf::from(name) });
            }
            folder.opened_by = Some(handle);
            let disk = Self { inner: self.inner.clone(), epoch: self.epoch };
            Ok(Box::new(SimDatabase { disk, name: name.to_owned(), handle }) as Box<dyn Database>)
        })
    }

    fn exists(&self, name: &str) -> bool {
        self.inner.lock().folders.contains_key(name)
    }

    fn remove(&self, name: &str) -> Result<(), SpoolError> {
        self.with(name, |inner| {
            inner.step(name)?;
            inner.folders.remove(name);
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), SpoolError> {
        self.with(from, |inner| {
            inner.step(from)?;
            inner.folder(from)?;
            if inner.folders.contains_key(to) {
                return Err(error("can't rename", from, io::ErrorKind::AlreadyExists.into()));
            }
            let folder = inner.folders.remove(from).unwrap_or_default();
            inner.folders.insert(to.to_owned(), folder);
            Ok(())
        })
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), SpoolError> {
        self.with(from, |inner| {
            let folder = inner.folder(from)?.clone();
            inner.room_for(folder.bytes(), "can't copy", from)?;
            inner.folders.insert(to.to_owned(), Folder { opened_by: None, ..folder });
            Ok(())
        })
    }

    fn raw(&self, name: &str, each: &mut dyn FnMut(&[u8])) -> Result<(), SpoolError> {
        let pairs = self.with(name, |inner| match inner.chance(inner.faults.raw) {
            true => Err(broken("can't read", name)),
            false => Ok(inner.folder(name)?.live.clone()),
        })?;
        for (key, value) in pairs {
            each(&key);
            each(&value);
        }
        Ok(())
    }

    fn digest(&self, name: &str) -> Result<u32, SpoolError> {
        let add = |digest, bytes: &[u8]| crc32c::crc32c_append(crc32c::crc32c_append(digest, &(bytes.len() as u64).to_le_bytes()), bytes);
        self.with(name, |inner| Ok(inner.folder(name)?.live.iter().fold(0, |digest, (key, value)| add(add(digest, key), value))))
    }

    fn read_file(&self, name: &str, file: &str) -> Result<Option<Vec<u8>>, SpoolError> {
        self.with(name, |inner| Ok(inner.folders.get(name).and_then(|folder| Some(folder.files.get(file)?.live.clone()))))
    }

    fn write_file(&self, name: &str, file: &str, bytes: &[u8], sync: bool) -> Result<(), SpoolError> {
        self.with(name, |inner| {
            inner.step(name)?;
            inner.room_for(bytes.len() as u64, "can't write", name)?;
            if sync && inner.faults.failing_syncs > 0 {
                inner.faults.failing_syncs -= 1;
                return Err(broken("can't sync", name));
            }
            inner.counters.bytes_written += bytes.len() as u64;
            inner.counters.syncs += u64::from(sync);
            let durable = sync && !inner.faults.skip_sync;
            let kept = inner.folder(name)?.files.entry(file.to_owned()).or_default();
            kept.live = bytes.to_vec();
            if durable {
                kept.durable = Some(bytes.to_vec());
            }
            Ok(())
        })
    }

    fn bytes(&self, name: &str) -> u64 {
        self.inner.lock().folders.get(name).map_or(0, Folder::bytes)
    }

    fn cost(&self, bytes: u64) -> u64 {
        // The small files come on top.
        bytes + 2048
    }

    fn space(&self) -> Option<(u64, u64)> {
        let inner = self.inner.lock();
        inner.capacity.map(|capacity| (capacity.saturating_sub(inner.used()), capacity))
    }

    fn random(&self) -> u64 {
        self.inner.lock().rng.next_u64()
    }
}

struct SimDatabase {
    disk: SimDisk,
    name: String,
    handle: u64,
}

impl SimDatabase {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        self.disk.with(&self.name, work)
    }
}

impl Database for SimDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SpoolError> {
        self.with(|inner| match inner.chance(inner.faults.read) {
            true => Err(broken("can't read", &self.name)),
            false => Ok(inner.folder(&self.name)?.live.get(key).cloned()),
        })
    }

    fn scan(&self, from: &[u8], end: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), SpoolError> {
        let mut from = from.to_vec();
        loop {
            // In steps, so that the lock is not held while `each` runs and not all is copied when it wants little.
            let step: Vec<(Vec<u8>, Vec<u8>)> = self.with(|inner| match inner.chance(inner.faults.read) {
                true => Err(broken("can't read", &self.name)),
                false if from.as_slice() >= end => Ok(Vec::new()),
                false => {
                    let range = inner.folder(&self.name)?.live.range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Excluded(end)));
                    Ok(range.take(16).map(|(k, v)| (k.clone(), v.clone())).collect())
                }
            })?;
            let Some((last, _)) = step.last() else { return Ok(()) };
            let next = [last.as_slice(), &[0]].concat();
            if step.iter().any(|(key, value)| each(key, value) == Flow::Stop) {
                return Ok(());
            }
            from = next;
        }
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), SpoolError> {
        self.with(|inner| {
            inner.step(&self.name)?;
            if inner.chance(inner.faults.apply) {
                return Err(broken("can't write", &self.name));
            }
            let bytes: usize = changes.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum();
            inner.room_for(bytes as u64, "can't write", &self.name)?;
            inner.counters.bytes_written += bytes as u64;
            let folder = inner.folder(&self.name)?;
            change(&mut folder.live, changes.clone());
            folder.log.push((changes, Fate::Unsynced));
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), SpoolError> {
        self.with(|inner| {
            inner.step(&self.name)?;
            inner.counters.syncs += 1;
            if inner.faults.skip_sync {
                return Ok(());
            }
            let failing = inner.faults.failing_syncs > 0;
            inner.faults.failing_syncs -= u32::from(failing);
            let folder = inner.folder(&self.name)?;
            let fate = if failing { Fate::Limbo } else { Fate::Synced };
            folder.log.iter_mut().filter(|(_, f)| *f == Fate::Unsynced).for_each(|(_, f)| *f = fate);
            folder.settle();
            if failing { Err(broken("can't sync", &self.name)) } else { Ok(()) }
        })
    }

    fn bytes_on_disk(&self) -> u64 {
        self.disk.bytes(&self.name)
    }
}

impl Drop for SimDatabase {
    fn drop(&mut self) {
        let inner = &mut *self.disk.inner.lock();
        if let Some(folder) = inner.folders.get_mut(&self.name)
            && folder.opened_by == Some(self.handle)
        {
            folder.opened_by = None;
        }
    }
}
