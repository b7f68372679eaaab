//! sled on a real file system, fenced in. Everything that calls it goes through here.
//!
//! What is fenced (sled 0.34.7):
//! - It panics where it could fail: each call is guarded, a panic becomes an error. (In a build with `panic = "abort"` the process ends
//!   instead; what was acknowledged is on disk either way.)
//! - Its periodic flusher stops for good after one error: it is off, we flush.
//! - Its flush is `sync_file_range`, which leaves out the file's size and the drive's cache: we add `sync_data` on the database file.
//! - Leaves above a quarter of a segment become files of their own that are never synced: values are kept small (`layout.rs`).
//! - Its cache is 1 GiB by default: ours is set.
//! - Recovery takes whatever lies behind a damaged byte for a torn end and overwrites it: `generation.rs` compares before it opens.
//!
//! A batch is atomic: sled writes a manifest that names the batch's last log position before its first record, and recovery cuts the log
//! before a manifest whose batch is not there to the end.

use std::{
    fs::{self, File, TryLockError},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Read},
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    SpoolError,
    disk::{Change, Database, Disk, Flow},
};

/// How long a closed database may hold its file.
const RELEASE_TRIES: u32 = 1000;
const RELEASE_PAUSE: Duration = Duration::from_millis(2);
/// How long the lock of a database may outlive whoever closed it: a child process that is just being started holds a copy of it until it
/// runs its own program.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// What a batch may cost however small it is: a segment that begins, and one that waits to be used again.
const FIXED_COST: u64 = 1 << 20;
/// Folders on their way out.
const GOING: &str = "removed-";
const PIECE: usize = 256 << 10;
/// What a medium gives or does not give as a whole.
const BLOCK: usize = 4096;
/// The medium failed.
const EIO: i32 = 5;

/// A spool's directory on a file system.
#[derive(Debug)]
pub struct SledDisk {
    dir: PathBuf,
    /// The directory itself, locked as far as its file system can lock one; the databases have locks too.
    _lock: File,
}

impl SledDisk {
    /// The directory is made if it is not there, and locked: it takes no room, so it works on a full disk too.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if another one has it; otherwise what the file system says.
    pub fn new(dir: &Path) -> Result<Self, SpoolError> {
        let existed = dir.is_dir();
        fs::create_dir_all(dir).map_err(io_error("can't create", dir))?;
        let dir = dir.canonicalize().map_err(io_error("can't resolve", dir))?;
        if !existed && let Some(parent) = dir.parent() {
            sync_path(parent)?;
        }
        let lock = lock(&dir)?;
        let disk = Self { dir, _lock: lock };
        for name in disk.folders()?.iter().filter(|name| name.starts_with(GOING)) {
            if let Err(error) = disk.delete(&disk.path(name)) {
                tracing::warn!(name, error = &error as &dyn std::error::Error, "what was removed stays until the next start");
            }
        }
        Ok(disk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn folders(&self) -> Result<Vec<String>, SpoolError> {
        let entries = fs::read_dir(&self.dir).map_err(io_error("can't list", &self.dir))?;
        Ok(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).filter_map(|e| e.file_name().into_string().ok()).collect())
    }

    fn delete(&self, path: &Path) -> Result<(), SpoolError> {
        fs::remove_dir_all(path).map_err(io_error("can't remove", path))
    }

    /// The database's own files, the log first.
    fn database_files(&self, name: &str) -> Result<Vec<PathBuf>, SpoolError> {
        let path = self.path(name);
        let mut files = Vec::new();
        for folder in [path.clone(), path.join("blobs")] {
            let entries = match fs::read_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(io_error("can't list", &folder))?,
            };
            let ours = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                name == "db" || name == "conf" || name.starts_with("snap.") || folder.ends_with("blobs")
            };
            files.extend(entries.flatten().map(|e| e.path()).filter(|path| path.is_file() && ours(path)));
        }
        files.sort_by_key(|path| (!path.ends_with("db"), path.clone()));
        Ok(files)
    }
}

impl Disk for SledDisk {
    fn list(&self) -> Result<Vec<String>, SpoolError> {
        Ok(self.folders()?.into_iter().filter(|name| !name.starts_with(GOING)).collect())
    }

    fn open(&self, name: &str, cache_bytes: u64) -> Result<Box<dyn Database>, SpoolError> {
        Ok(Box::new(Store::open(&self.path(name), cache_bytes)?))
    }

    fn exists(&self, name: &str) -> bool {
        self.path(name).is_dir()
    }

    fn remove(&self, name: &str) -> Result<(), SpoolError> {
        let (from, to) = (self.path(name), self.path(&format!("{GOING}{name}")));
        if to.is_dir() {
            self.delete(&to)?;
        }
        match fs::rename(&from, &to) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(io_error("can't remove", &from))?,
        }
        // The name is gone for good before the first file is: nobody ever sees half of a folder.
        sync_path(&self.dir)?;
        self.delete(&to)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), SpoolError> {
        let from = self.path(from);
        fs::rename(&from, self.path(to)).map_err(io_error("can't rename", &from))?;
        sync_path(&self.dir)
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), SpoolError> {
        let (from, to) = (self.path(from), self.path(to));
        for folder in [PathBuf::new(), PathBuf::from("blobs")] {
            let target = to.join(&folder);
            fs::create_dir_all(&target).map_err(io_error("can't create", &target))?;
            let source = from.join(&folder);
            let entries = match fs::read_dir(&source) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(io_error("can't list", &source))?,
            };
            for file in entries.flatten().filter(|e| e.path().is_file()) {
                fs::copy(file.path(), target.join(file.file_name())).map_err(io_error("can't copy", &file.path()))?;
            }
        }
        Ok(())
    }

    fn raw(&self, name: &str, each: &mut dyn FnMut(&[u8])) -> Result<(), SpoolError> {
        let mut buffer = vec![0; PIECE];
        for path in self.database_files(name)? {
            let file = File::open(&path).map_err(io_error("can't open", &path))?;
            let mut at = 0;
            loop {
                match file.read_at(&mut buffer, at) {
                    Ok(0) => break,
                    Ok(got) => {
                        each(&buffer[..got]);
                        at += got as u64;
                    }
                    // What the medium does not give is left out; what comes behind it may still be found.
                    Err(e) if e.raw_os_error() == Some(EIO) && file.metadata().is_ok_and(|m| at < m.len()) => {
                        match file.read_at(&mut buffer[..BLOCK], at) {
                            Ok(0) => break,
                            Ok(got) => {
                                each(&buffer[..got]);
                                at += got as u64;
                            }
                            Err(_) => at = (at / BLOCK as u64 + 1) * BLOCK as u64,
                        }
                    }
                    Err(e) => return Err(io_error("can't read", &path)(e)),
                }
            }
        }
        Ok(())
    }

    fn digest(&self, name: &str) -> Result<u32, SpoolError> {
        let mut digest = 0;
        let mut buffer = vec![0; PIECE];
        for path in self.database_files(name)? {
            digest = crc32c::crc32c_append(digest, path.file_name().unwrap_or_default().as_encoded_bytes());
            let mut file = File::open(&path).map_err(io_error("can't open", &path))?;
            loop {
                match file.read(&mut buffer).map_err(io_error("can't read", &path))? {
                    0 => break,
                    got => digest = crc32c::crc32c_append(digest, &buffer[..got]),
                }
            }
        }
        Ok(digest)
    }

    fn read_file(&self, name: &str, file: &str) -> Result<Option<Vec<u8>>, SpoolError> {
        let path = self.path(name).join(file);
        match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some).map_err(io_error("can't read", &path)),
        }
    }

    fn write_file(&self, name: &str, file: &str, bytes: &[u8], sync: bool) -> Result<(), SpoolError> {
        let folder = self.path(name);
        let path = folder.join(file);
        if !sync || bytes.is_empty() {
            // In place: file systems write a file that was truncated to disk when it is closed.
            let written = File::options().write(true).create(true).truncate(false).open(&path).and_then(|file| {
                file.write_all_at(bytes, 0)?;
                if file.metadata()?.len() != bytes.len() as u64 {
                    file.set_len(bytes.len() as u64)?;
                }
                if sync { file.sync_all() } else { Ok(()) }
            });
            return written.map_err(io_error("can't write", &path));
        }
        let new = folder.join(format!("{file}.new"));
        fs::write(&new, bytes).map_err(io_error("can't write", &new))?;
        sync_path(&new)?;
        fs::rename(&new, &path).map_err(io_error("can't write", &path))?;
        sync_path(&folder)
    }

    fn bytes(&self, name: &str) -> u64 {
        bytes_of(&self.path(name))
    }

    fn cost(&self, bytes: u64) -> u64 {
        FIXED_COST + bytes * 3
    }

    fn space(&self) -> Option<(u64, u64)> {
        let stat = rustix::fs::statvfs(&self.dir).ok()?;
        Some((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
    }

    fn random(&self) -> u64 {
        // The keys of the standard hasher are the system's randomness.
        RandomState::new().build_hasher().finish()
    }
}

fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A child process that is just being started may hold a copy of the lock for a moment (see `LOCK_PATIENCE`).
fn lock(dir: &Path) -> Result<File, SpoolError> {
    let file = File::open(dir).map_err(io_error("can't open", dir))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => return Err(SpoolError::InUse { path: dir.to_owned() }),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(dir = %dir.display(), error = &error as &dyn std::error::Error, "can't lock the spool's directory");
                return Ok(file);
            }
        }
    }
}

struct Store {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    data: File,
    path: PathBuf,
    dir: PathBuf,
}

fn open_unlocked(config: &sled::Config, dir: &Path) -> Result<sled::Db, SpoolError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match guarded("open", || config.open()) {
            Err(SpoolError::Storage { source: sled::Error::Io(e), .. }) if e.to_string().contains("could not acquire lock") => {
                if Instant::now() > deadline {
                    return Err(SpoolError::InUse { path: dir.to_owned() });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

impl Store {
    /// Opens or creates the database in `dir`.
    fn open(dir: &Path, cache_bytes: u64) -> Result<Self, SpoolError> {
        let existed = dir.is_dir();
        fs::create_dir_all(dir).map_err(io_error("can't create", dir))?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).mode(sled::Mode::LowSpace).flush_every_ms(None);
        let db = open_unlocked(&config, dir)?;
        let path = dir.join("db");
        let data = File::open(&path).map_err(io_error("can't open", &path))?;
        let store = Self { db: Some(db), data, path, dir: dir.to_owned() };
        // Names of new files are durable only with their folder, and the folder's name only with its parent.
        if !existed {
            sync_path(&dir.join("conf"))?;
        }
        sync_path(dir)?;
        if !existed && let Some(parent) = dir.parent() {
            sync_path(parent)?;
        }
        Ok(store)
    }

    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("the database is there until the store is dropped")
    }
}

impl Database for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SpoolError> {
        guarded("read", || Ok(self.db().get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, from: &[u8], end: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), SpoolError> {
        guarded("read", || {
            for pair in self.db().range(from..end) {
                let (key, value) = pair?;
                if each(&key, &value) == Flow::Stop {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), SpoolError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        guarded("write", || self.db().apply_batch(batch))
    }

    fn sync(&self) -> Result<(), SpoolError> {
        guarded("flush", || self.db().flush())?;
        self.data.sync_data().map_err(io_error("can't sync", &self.path))
    }

    fn bytes_on_disk(&self) -> u64 {
        bytes_of(&self.dir)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::error!(path = %self.path.display(), "storage panicked when it was closed");
        }
        // sled's own threads let go of the file, and so of its lock, a little later. Whoever opens it next shall not find it in use.
        for _ in 0..RELEASE_TRIES {
            if self.data.try_lock().is_ok() {
                return;
            }
            std::thread::sleep(RELEASE_PAUSE);
        }
        tracing::warn!(path = %self.path.display(), "storage still holds its file after it was closed");
    }
}

fn guarded<T>(what: &'static str, call: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, SpoolError> {
    // Unwind safe: after a panic nothing touches the database any more but its drop, which is guarded too.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|source| SpoolError::Storage { what, source }),
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().map(|m| (*m).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
            Err(SpoolError::Panicked { what, message: message.unwrap_or_default() })
        }
    }
}

fn sync_path(path: &Path) -> Result<(), SpoolError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error("can't sync", path))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { what, path, source }
}
