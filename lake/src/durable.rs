//! The disk under the tables: what has been put there is synced, the file and every folder that leads to it, before the call returns.
//!
//! delta-rs and `object_store` sync nothing, so a log entry may survive a power cut that its data files, or its own bytes, do not. Here a file is
//! written beside its place, synced, put there by a hard link (never over another) or a rename, and then its folder is synced. As a log entry is
//! put after its data files have been, the order on disk is right too. Rejected: syncing after the commit, which leaves a moment in which a torn
//! log entry is in the log.
//!
//! Invariant: after a failed sync nothing is put any more; what the disk holds is unknown.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path as FsPath, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use deltalake::logstore::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, local::LocalFileSystem, path::Path,
};
use futures::stream::BoxStream;
use parking_lot::Mutex;

use crate::options::{Probe, Step, ask};

/// Paths noted at most, so that a caller who never asks does not fill the memory.
const MAX_NOTED: usize = 10_000;

/// The local file system, with everything put there synced.
#[derive(Debug)]
pub(crate) struct SyncedStore {
    inner: LocalFileSystem,
    disk: Arc<Disk>,
}

impl SyncedStore {
    pub(crate) fn new(disk: Arc<Disk>) -> Self {
        Self { inner: LocalFileSystem::new(), disk }
    }
}

/// What syncs, and remembers what it has synced.
pub(crate) struct Disk {
    probe: Option<Probe>,
    failed: AtomicBool,
    staged: AtomicU64,
    synced: Mutex<Vec<PathBuf>>,
}

impl Disk {
    pub(crate) fn new(probe: Option<Probe>) -> Self {
        Self { probe, failed: AtomicBool::new(false), staged: AtomicU64::new(0), synced: Mutex::new(Vec::new()) }
    }

    /// True once a sync has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The files and folders synced since the last call.
    pub(crate) fn take_synced(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.synced.lock())
    }

    /// Makes a folder and those above it; what is new is synced into what was there.
    pub(crate) fn make_folder(&self, folder: &FsPath) -> io::Result<()> {
        let missing: Vec<&FsPath> = folder.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(folder)?;
        for new in missing {
            self.sync_folder_of(new)?;
        }
        Ok(())
    }

    fn put(&self, path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
        self.refuse_after_failure()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            self.make_folder(folder)?;
        }
        let (staged, mut file) = self.stage(path)?;
        let put = payload
            .iter()
            .try_for_each(|bytes| file.write_all(bytes))
            .and_then(|()| self.sync(&file, &staged, path))
            .and_then(|()| if create { fs::hard_link(&staged, path) } else { fs::rename(&staged, path) });
        if create || put.is_err() {
            // A leftover is harmless: nothing reads files named so.
            let _ = fs::remove_file(&staged);
        }
        put?;
        self.sync_folder_of(path)
    }

    /// A file beside `path` that listings leave out, as they do with those of `object_store` itself.
    fn stage(&self, path: &FsPath) -> io::Result<(PathBuf, File)> {
        loop {
            let mut name = path.as_os_str().to_owned();
            name.push(format!("#{}", self.staged.fetch_add(1, Ordering::Relaxed)));
            match OpenOptions::new().write(true).create_new(true).open(&name) {
                Ok(file) => return Ok((name.into(), file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn sync_placed(&self, path: &FsPath) -> io::Result<()> {
        self.refuse_after_failure()?;
        self.sync(&File::open(path)?, path, path)?;
        self.sync_folder_of(path)
    }

    fn sync_folder_of(&self, path: &FsPath) -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        self.sync(&File::open(folder)?, folder, folder)
    }

    fn sync(&self, file: &File, at: &FsPath, named: &FsPath) -> io::Result<()> {
        if let Err(error) = ask(self.probe.as_ref(), Step::Sync { path: named }).and_then(|()| file.sync_all()) {
            self.failed.store(true, Ordering::Release);
            tracing::error!(path = %at.display(), %error, "sync failed");
            return Err(error);
        }
        let mut synced = self.synced.lock();
        if synced.len() < MAX_NOTED {
            synced.push(named.to_owned());
        }
        Ok(())
    }

    fn refuse_after_failure(&self) -> io::Result<()> {
        match self.has_failed() {
            true => Err(io::Error::other("an earlier sync failed")),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}

impl fmt::Display for SyncedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "synced {}", self.inner)
    }
}

fn store_error(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.to_string(), source: source.into() },
        io::ErrorKind::NotFound => Error::NotFound { path: path.to_string(), source: source.into() },
        _ => Error::Generic { store: "synced", source: source.into() },
    }
}

/// Runs `work` where blocking is allowed.
async fn blocking<T: Send + 'static>(location: &Path, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    joined.map_err(|source| store_error(location, source))
}

#[async_trait]
impl ObjectStore for SyncedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented { operation: "put with a version".into(), implementer: self.to_string() });
            }
        };
        let (path, disk) = (self.inner.path_to_filesystem(location)?, Arc::clone(&self.disk));
        blocking(location, move || disk.put(&path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { inner, disk: Arc::clone(&self.disk), location: location.clone(), path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // Not synced: a file that comes back after a power cut is one that nothing names.
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.sync_placed(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync_placed(to).await
    }
}

impl SyncedStore {
    async fn sync_placed(&self, location: &Path) -> Result<()> {
        let (path, disk) = (self.inner.path_to_filesystem(location)?, Arc::clone(&self.disk));
        blocking(location, move || disk.sync_placed(&path)).await
    }
}

/// An upload in parts (data files): synced once it has been put into place; no log entry names it before.
#[derive(Debug)]
struct SyncedUpload {
    inner: Box<dyn MultipartUpload>,
    disk: Arc<Disk>,
    location: Path,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let put = self.inner.complete().await?;
        let (path, disk) = (self.path.clone(), Arc::clone(&self.disk));
        blocking(&self.location, move || disk.sync_placed(&path)).await?;
        Ok(put)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use deltalake::logstore::object_store::ObjectStoreExt;

    use super::*;

    fn place(folder: &FsPath, name: &str) -> Path {
        Path::from_absolute_path(folder.join(name)).unwrap()
    }

    #[tokio::test]
    async fn a_put_syncs_the_file_and_every_new_folder() {
        let root = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::new(None));
        let store = SyncedStore::new(Arc::clone(&disk));
        store.put(&place(root.path(), "table/_delta_log/0.json"), "{}".into()).await.unwrap();
        let synced = disk.take_synced();
        for wanted in ["table/_delta_log/0.json", "table/_delta_log", "table", ""] {
            assert!(synced.contains(&root.path().join(wanted).components().collect()), "{wanted} not in {synced:?}");
        }
        assert_eq!(fs::read(root.path().join("table/_delta_log/0.json")).unwrap(), b"{}");
    }

    #[tokio::test]
    async fn creating_never_replaces_and_leaves_nothing_beside() {
        let root = tempfile::tempdir().unwrap();
        let store = SyncedStore::new(Arc::new(Disk::new(None)));
        let path = place(root.path(), "0.json");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, "first".into(), create()).await.unwrap();
        let second = store.put_opts(&path, "second".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        assert_eq!(fs::read(root.path().join("0.json")).unwrap(), b"first");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_put_and_nothing_is_in_place() {
        let root = tempfile::tempdir().unwrap();
        let probe: Probe = Arc::new(|step| match step {
            Step::Sync { path } if path.ends_with("0.json") => Err(io::Error::other("no")),
            _ => Ok(()),
        });
        let disk = Arc::new(Disk::new(Some(probe)));
        let store = SyncedStore::new(Arc::clone(&disk));
        assert!(store.put(&place(root.path(), "0.json"), "a".into()).await.is_err());
        assert!(disk.has_failed());
        assert!(store.put(&place(root.path(), "1.json"), "a".into()).await.is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_upload_in_parts_is_synced_when_it_completes() {
        let root = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::new(None));
        let store = SyncedStore::new(Arc::clone(&disk));
        let mut upload = store.put_multipart(&place(root.path(), "data.parquet")).await.unwrap();
        upload.put_part("abc".into()).await.unwrap();
        upload.complete().await.unwrap();
        let synced = disk.take_synced();
        assert!(synced.contains(&root.path().join("data.parquet")) && synced.contains(&root.path().to_owned()), "{synced:?}");
    }
}
