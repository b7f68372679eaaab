//! A disk that its process stops using in the middle: after so many operations nothing gets through any more, as if the process had died there.
//!
//! Stands around the simulated disk. Whoever runs the process then sees that the fuse is blown, throws the process away, and does to the disk what
//! the kind of death does.

use std::sync::Arc;

use parking_lot::Mutex;
use spool::{Change, Database, Disk, Flow, SpoolError};

/// How many operations are left; shared by a disk's handles.
#[derive(Debug, Clone, Default)]
pub struct Fuse(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    left: Option<u32>,
    blown: bool,
    operations: u64,
    meter: Option<fn() -> usize>,
    heap: i64,
}

impl Fuse {
    /// The process dies after so many more operations.
    pub fn set(&self, operations: u32) {
        self.0.lock().left = Some(operations);
    }

    /// A new process: nothing is set or blown.
    pub fn renew(&self) {
        let mut state = self.0.lock();
        (state.left, state.blown) = (None, false);
    }

    pub fn is_blown(&self) -> bool {
        self.0.lock().blown
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Has the disk's own memory measured by `meter`, which tells the bytes that the process has allocated.
    pub fn measure(&self, meter: fn() -> usize) {
        self.0.lock().meter = Some(meter);
    }

    /// Bytes of memory that the disk has taken since then.
    pub fn heap(&self) -> i64 {
        self.0.lock().heap
    }

    /// Does what changes the disk, and notes how much memory that took.
    fn changing<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(meter) = self.0.lock().meter else { return work() };
        let before = meter() as i64;
        let result = work();
        self.0.lock().heap += meter() as i64 - before;
        result
    }

    fn burn(&self) -> Result<(), SpoolError> {
        let mut state = self.0.lock();
        state.operations += 1;
        match &mut state.left {
            Some(0) => {
                state.blown = true;
                let source = std::io::Error::other("the process is dead");
                Err(SpoolError::Io { what: "can't go on", path: std::path::PathBuf::new(), source })
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A disk with a fuse.
pub struct Fused<D> {
    disk: D,
    fuse: Fuse,
}

impl<D> Fused<D> {
    pub fn new(disk: D, fuse: &Fuse) -> Self {
        Self { disk, fuse: fuse.clone() }
    }
}

impl<D: Disk> Disk for Fused<D> {
    fn list(&self) -> Result<Vec<String>, SpoolError> {
        self.fuse.burn()?;
        self.disk.list()
    }

    fn open(&self, name: &str, cache_bytes: u64) -> Result<Box<dyn Database>, SpoolError> {
        self.fuse.burn()?;
        let database = self.disk.open(name, cache_bytes)?;
        Ok(Box::new(FusedDatabase { database, fuse: self.fuse.clone() }))
    }

    fn exists(&self, name: &str) -> bool {
        self.disk.exists(name)
    }

    fn remove(&self, name: &str) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        self.fuse.changing(|| self.disk.remove(name))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        self.fuse.changing(|| self.disk.rename(from, to))
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        self.fuse.changing(|| self.disk.copy(from, to))
    }

    fn raw(&self, name: &str, each: &mut dyn FnMut(&[u8])) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        self.disk.raw(name, each)
    }

    fn digest(&self, name: &str) -> Result<u32, SpoolError> {
        self.fuse.burn()?;
        self.disk.digest(name)
    }

    fn read_file(&self, name: &str, file: &str) -> Result<Option<Vec<u8>>, SpoolError> {
        self.fuse.burn()?;
        self.disk.read_file(name, file)
    }

    fn write_file(&self, name: &str, file: &str, bytes: &[u8], sync: bool) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        self.fuse.changing(|| self.disk.write_file(name, file, bytes, sync))
    }

    fn bytes(&self, name: &str) -> u64 {
        self.disk.bytes(name)
    }

    fn cost(&self, bytes: u64) -> u64 {
        self.disk.cost(bytes)
    }

    fn space(&self) -> Option<(u64, u64)> {
        self.disk.space()
    }

    fn random(&self) -> u64 {
        self.disk.random()
    }
}

struct FusedDatabase {
    database: Box<dyn Database>,
    fuse: Fuse,
}

impl Database for FusedDatabase {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SpoolError> {
        self.fuse.burn()?;
        self.database.get(key)
    }

    fn scan(&self, from: &[u8], end: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        self.database.scan(from, end, each)
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        // A copy, so that what the disk keeps is allocated while its memory is measured.
        self.fuse.changing(|| self.database.apply(changes.clone()))
    }

    fn sync(&self) -> Result<(), SpoolError> {
        self.fuse.burn()?;
        self.fuse.changing(|| self.database.sync())
    }

    fn bytes_on_disk(&self) -> u64 {
        self.database.bytes_on_disk()
    }
}
