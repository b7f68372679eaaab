//! What chaos needs of the machine that it runs on: small file systems that can be filled, clocks that can be set, copies of folders.
//!
//! Invariant: a file system that was mounted here is unmounted with its value, and a run's leftovers before the next one.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::command;

/// Of a gateway's small file system. Above what the spool needs in a run, below what would take long to fill.
const SIZE_MB: u32 = 64;
/// The folder below a run's folder that small file systems are mounted in.
const MOUNTS: &str = "disks";

/// Whether this user may mount.
pub fn may_mount() -> bool {
    command::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// libfaketime, the variant for programs with threads.
pub fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("faketime"));
    let names = ["libfaketimeMT.so.1", "libfaketime.so.1"];
    folders.flat_map(|folder| names.map(|name| folder.join(name))).find(|path| path.exists())
}

/// A file system of a few megabytes.
pub struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// Mounts one below `folder`.
    pub fn mount(folder: &Path, name: &str) -> Result<Self> {
        let place = folder.join(MOUNTS).join(name);
        fs::create_dir_all(&place)?;
        let size = format!("size={SIZE_MB}m,mode=0700");
        command::output(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "millrace-chaos"]).arg(&place))?;
        Ok(Self { place })
    }

    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Writes until not a byte more fits. Gives the bytes that it took.
    pub fn fill(&self) -> Result<u64> {
        let mut file = File::create(self.ballast())?;
        let mut written = 0;
        // Large pieces first, then what is left.
        for piece in [1 << 20, 4096, 1] {
            let bytes = vec![0xAA; piece];
            loop {
                match file.write(&bytes) {
                    Ok(0) => break,
                    Ok(count) => written += count as u64,
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("the ballast"),
                }
            }
        }
        Ok(written)
    }

    /// There is room again.
    pub fn empty(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if mounted().contains(&self.place)
            && let Err(error) = unmount(&self.place)
        {
            eprintln!("cannot unmount {}: {error:#}", self.place.display());
        }
    }
}

/// Unmounts what a run that was killed has left below `folder`.
pub fn unmount_leftovers(folder: &Path) -> Result<()> {
    let below = folder.join(MOUNTS);
    mounted().iter().filter(|place| place.starts_with(&below)).try_for_each(|place| unmount(place))
}

/// The places of all small file systems of this machine.
fn mounted() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().filter(|line| line.starts_with("millrace-chaos ")).filter_map(|line| Some(line.split(' ').nth(1)?.into())).collect()
}

fn unmount(place: &Path) -> Result<()> {
    command::output(Command::new("umount").arg(place)).map(drop)
}

/// The clock of one process, which can be set while it runs.
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that goes right.
    pub fn new(library: PathBuf, file: PathBuf) -> Result<Self> {
        let clock = Self { library, file };
        clock.set(0.0)?;
        Ok(clock)
    }

    /// Makes it go ahead of the real one by so many seconds.
    pub fn set(&self, offset_s: f64) -> Result<()> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, format!("{offset_s:+.0}\n"))?;
        // In one step: it is read at every look at the clock.
        fs::rename(&beside, &self.file).context("the clock's file")
    }

    /// What a process that goes by this clock is started with.
    pub fn env(&self) -> Vec<(String, OsString)> {
        let on = || OsString::from("1");
        vec![
            ("LD_PRELOAD".into(), self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE".into(), self.file.clone().into()),
            // The monotonic clock stays: it is what a jump of the wall clock does not touch.
            ("FAKETIME_DONT_FAKE_MONOTONIC".into(), on()),
            ("DONT_FAKE_MONOTONIC".into(), on()),
            ("FAKETIME_NO_CACHE".into(), on()),
            ("NO_FAKE_STAT".into(), on()),
        ]
    }
}

/// Copies what is in `from` into `to`, which is made or emptied before.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.with_context(|| format!("{}", path.display()))?;
    }
    command::output(Command::new("cp").arg("-a").arg(from.join(".")).arg(to)).map(drop)
}

/// Whether a process does something of its own on a signal (1: SIGHUP), by what the kernel says of it.
pub fn catches(process: u32, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    caught(&status) & (1 << (signal - 1)) != 0
}

fn caught(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_replaces_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("deep")).unwrap();
        fs::create_dir_all(to.join("old")).unwrap();
        fs::write(from.join("deep/file"), "new").unwrap();
        fs::write(from.join(".hidden"), "too").unwrap();
        fs::write(to.join("stale"), "x").unwrap();
        copy(&from, &to).unwrap();
        let mut names: Vec<_> = fs::read_dir(&to).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".hidden", "deep"]);
        assert_eq!(fs::read_to_string(to.join("deep/file")).unwrap(), "new");
    }

    #[test]
    fn signals_that_are_caught_are_read_from_the_kernels_mask() {
        let status = "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004001\n";
        assert_eq!(caught(status), 0x4001);
        assert_eq!(caught("Name:\tx\n"), 0);
        assert!(!catches(u32::MAX, 1), "no such process");
    }

    #[test]
    fn a_process_goes_by_the_clock_that_it_is_given() {
        let Some(library) = faketime() else { return eprintln!("skipped: libfaketime is not installed") };
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new(library, dir.path().join("clock")).unwrap();
        let year = || {
            let mut date = Command::new("date");
            date.args(["-u", "+%s"]).envs(clock.env());
            command::output(&mut date).unwrap().trim().parse::<i64>().unwrap()
        };
        let before = year();
        clock.set(7_200.0).unwrap();
        assert!((7_200..7_260).contains(&(year() - before)));
        clock.set(-(before as f64) + 30.0).unwrap();
        assert!((0..120).contains(&year()), "1970");
        clock.set(0.0).unwrap();
        assert!((0..60).contains(&(year() - before)));
    }

    #[test]
    fn a_small_disk_is_full_when_it_is_filled_and_has_room_again() {
        if !may_mount() {
            return eprintln!("skipped: only root may mount");
        }
        let dir = tempfile::tempdir().unwrap();
        let Ok(disk) = SmallDisk::mount(dir.path(), "one") else { return eprintln!("skipped: mounting is not allowed here") };
        fs::write(disk.place().join("data"), "here before").unwrap();
        let taken = disk.fill().unwrap();
        assert!(taken > u64::from(SIZE_MB - 2) << 20, "{taken}");
        let error = fs::write(disk.place().join("more"), [0; 8192]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        disk.empty().unwrap();
        fs::write(disk.place().join("more"), [0; 8192]).unwrap();
        unmount_leftovers(dir.path()).unwrap();
        assert!(!disk.place().join("data").exists() && !mounted().contains(&disk.place));
    }
}
