//! The folder that images are built in: what is kept from build to build, what is not, and who may be in it.
//!
//! ```text
//! target/image/
//!   base-KEY.tar, base-KEY.boot/    Debian's part of a slot, and what of Debian goes onto the FAT partition
//!   update-key/                     signs updates, unless --update-key names another
//!   work/                           parts of the image that is being built; emptied at every start
//! ```
//! Invariant: a name without `work/` in it is complete or not there (all are made under `work/` and renamed).

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};

use crate::command;

/// The folder, and that it is ours.
pub struct Work {
    folder: PathBuf,
    /// Of all files in the image, in seconds since 1970.
    pub epoch: u64,
    has_root: bool,
    _lock: File,
}

impl Work {
    /// Takes the folder over, and clears away what an interrupted build left.
    ///
    /// # Errors
    /// Another build is running, or the folder can't be written.
    pub fn open() -> Result<Self> {
        let folder = command::target_dir().join("image");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = File::create(folder.join(".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another image is being built in {}; wait for it, or end it", folder.display()),
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the work folder"),
        }
        let work = Self { folder, epoch: epoch()?, has_root: command::is_root()?, _lock: lock };
        let scratch = work.scratch("");
        if scratch.exists() {
            // Whatever is still mounted there is not ours to empty.
            command::output(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&scratch)).context("cannot clear the work folder")?;
        }
        fs::create_dir_all(work.scratch("tmp"))?;
        Ok(work)
    }

    /// Something that stays.
    pub fn kept(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Something that does not.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.join("work").join(name)
    }

    /// A command that believes to be root: it is, or fakeroot makes it believe so.
    pub fn as_root(&self, program: &str) -> Command {
        if self.has_root {
            return self.tool(program);
        }
        let state = self.scratch("fakeroot");
        let _ = File::options().create(true).append(true).open(&state);
        let mut command = self.tool("fakeroot");
        command.arg("-i").arg(&state).arg("-s").arg(&state).arg("--").arg(program);
        command
    }

    /// A command with all that makes the same input give the same bytes.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let epoch = self.epoch.to_string();
        command.env("SOURCE_DATE_EPOCH", &epoch).env("E2FSPROGS_FAKE_TIME", &epoch).env("TZ", "UTC").env("LC_ALL", "C");
        command.env("TMPDIR", self.scratch("tmp"));
        // mtools: no questions, and no judgement on geometry.
        command.env("MTOOLS_SKIP_CHECK", "1");
        command
    }

    /// Gives `path` the time of the image.
    pub fn set_time(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(self.epoch))
    }
}

/// SOURCE_DATE_EPOCH, or the time of the newest commit.
fn epoch() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => command::output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(command::root()))
            .context("the image takes its time from the newest commit; outside of a clone set SOURCE_DATE_EPOCH")?,
    };
    text.trim().parse().with_context(|| format!("SOURCE_DATE_EPOCH must be seconds since 1970, not {text:?}"))
}

/// Fails where the volume of `folder` has less than `bytes` left.
///
/// # Errors
/// Says how much is there, and what is needed for what.
pub fn needs_space(folder: &Path, bytes: u64, what_for: &str) -> Result<()> {
    let (at, available) = free_space(folder)?;
    if available < bytes {
        bail!(
            "{what_for} needs {} MiB on the volume of {}, and {} MiB are free; make room, or choose another folder",
            bytes >> 20,
            at.display(),
            available >> 20
        );
    }
    Ok(())
}

/// An error of a step, with a likely reason if little room is left on the volume of one of `folders`: not every program says so, and most take away
/// what they had made before one can look.
pub fn explained(error: anyhow::Error, folders: &[&Path]) -> anyhow::Error {
    let tight = folders.iter().filter_map(|folder| free_space(folder).ok()).find(|(_, available)| *available < TIGHT);
    match tight {
        Some((at, available)) => error.context(format!(
            "only {} MiB are free on the volume of {}: if that is why, make room there, and run this again, which clears away what is left of this run",
            available >> 20,
            at.display()
        )),
        None => error,
    }
}

/// Every step takes less than this, and the build begins with more.
const TIGHT: u64 = 512 << 20;

/// Free bytes on the volume of `folder`, or of the nearest one above it that exists; and which one that is.
fn free_space(folder: &Path) -> Result<(&Path, u64)> {
    let mut at = folder;
    while !at.exists() {
        at = at.parent().unwrap_or_else(|| Path::new("."));
        if at.as_os_str().is_empty() {
            at = Path::new(".");
        }
    }
    let text = command::output(Command::new("df").args(["--output=avail", "-B1"]).arg(at))?;
    let available = text.lines().last().and_then(|line| line.trim().parse().ok()).context("df says nothing of free space")?;
    Ok((at, available))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_volume_is_told_as_the_likely_reason() {
        // A file system that never has room.
        let full = format!("{:#}", explained(anyhow::anyhow!("tar failed"), &[Path::new("/proc/none")]));
        assert!(full.starts_with("only 0 MiB are free on the volume of /proc:") && full.ends_with("tar failed"), "{full}");
        assert_eq!(format!("{:#}", explained(anyhow::anyhow!("tar failed"), &[])), "tar failed");
    }
}
