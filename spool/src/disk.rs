//! What the spool stands on: folders that each hold a small ordered database and a few small files. [`crate::SledDisk`] is the real one;
//! [`crate::simulated::SimDisk`] is one in memory that can lose power.

use crate::SpoolError;

/// A key and its new value; `None` removes it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// One spool's directory. Names are those of folders in it.
pub trait Disk: Send + Sync + 'static {
    /// All folders.
    fn list(&self) -> Result<Vec<String>, SpoolError>;
    /// Opens the database of a folder, and makes both if they are missing. Opening may destroy what can't be read.
    fn open(&self, name: &str, cache_bytes: u64) -> Result<Box<dyn Database>, SpoolError>;
    fn exists(&self, name: &str) -> bool;
    /// Removes a folder with all that is in it, durably; one that is not there is no error.
    fn remove(&self, name: &str) -> Result<(), SpoolError>;
    /// Gives a folder another name, durably. Neither is open.
    fn rename(&self, from: &str, to: &str) -> Result<(), SpoolError>;
    /// Copies a folder that is not open; not durable.
    fn copy(&self, from: &str, to: &str) -> Result<(), SpoolError>;
    /// The raw bytes of a folder's database, in pieces, in the order in which they lie there. Those that the medium does not give are left
    /// out; any other failure is an error.
    fn raw(&self, name: &str, each: &mut dyn FnMut(&[u8])) -> Result<(), SpoolError>;
    /// A checksum over a folder's closed database.
    fn digest(&self, name: &str) -> Result<u32, SpoolError>;
    /// A small file beside the database; `None` if it is not there.
    fn read_file(&self, name: &str, file: &str) -> Result<Option<Vec<u8>>, SpoolError>;
    /// Replaces a small file. With `sync` it is durable when this returns, and old or new if power fails before; without it may be cut.
    /// Emptying one takes no room.
    fn write_file(&self, name: &str, file: &str, bytes: &[u8], sync: bool) -> Result<(), SpoolError>;
    /// What a folder takes; 0 if that can't be found out.
    fn bytes(&self, name: &str) -> u64;
    /// What a batch of so many bytes may add to the files.
    fn cost(&self, bytes: u64) -> u64;
    /// What is free on the volume, and what it holds in all.
    fn space(&self) -> Option<(u64, u64)>;
    fn random(&self) -> u64;
}

/// An open database.
pub trait Database: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SpoolError>;
    /// Calls `each` with the pairs from `from` on and below `end`, in order, until it has enough.
    fn scan(&self, from: &[u8], end: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), SpoolError>;
    /// Applies all changes or none; durable only after [`Database::sync`].
    fn apply(&self, changes: Vec<Change>) -> Result<(), SpoolError>;
    /// Makes all that was applied durable.
    fn sync(&self) -> Result<(), SpoolError>;
    fn bytes_on_disk(&self) -> u64;
}

/// Whether a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Stop,
}
