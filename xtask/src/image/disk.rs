//! The image of a card, put together from its parts without mounting anything.
//!
//! ```text
//! MBR     disk id 4d4c5243 ("MLRC"), so that PARTUUID=4d4c5243-02 is slot A on every card
//! 1 MiB   p1  128 MiB  FAT32 MILLRACE   firmware, boot loader, state of the slots, provision.conf
//!         p2  512 MiB  slot A           squashfs
//!         p3  512 MiB  slot B           empty
//!         p4   64 MiB  ext4 data        grows to the end of the card at the first start
//! ```
//! Invariant: what is named like the result is complete; it is made beside it and renamed.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{boards::Board, work::Work};
use crate::command;

/// Of every card: the slots name their partitions by it.
pub const DISK_ID: &str = "4d4c5243";
pub const SLOT_MIB: u64 = 512;
const FAT_MIB: u64 = 128;
const DATA_MIB: u64 = 64;
/// The FAT partition begins here.
const FAT_AT_MIB: u64 = 1;
const SLOT_A_AT_MIB: u64 = FAT_AT_MIB + FAT_MIB;
const DATA_AT_MIB: u64 = SLOT_A_AT_MIB + 2 * SLOT_MIB;
/// Of the whole image.
pub const IMAGE_MIB: u64 = DATA_AT_MIB + DATA_MIB;
const DATA_UUID: &str = "4d4c5243-da7a-4000-8000-6d696c6c7261";

/// Makes the FAT partition of the files in `folder`.
///
/// # Errors
/// What mkfs.vfat and mtools say.
pub fn fat(folder: &Path, name: &str, work: &Work) -> Result<PathBuf> {
    let image = work.scratch(name);
    let _ = fs::remove_file(&image);
    File::create(&image)?.set_len(FAT_MIB << 20)?;
    let mut mkfs = work.tool("mkfs.vfat");
    mkfs.args(["--invariant", "-F", "32", "-s", "1", "-n", "MILLRACE", "-i", DISK_ID]);
    quietly(mkfs.arg(&image))?;
    fill(folder, "", &image, work)?;
    Ok(image)
}

/// Copies files in the order of their names, with the time of the image.
fn fill(folder: &Path, at: &str, image: &Path, work: &Work) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let inside = format!("{at}/{}", entry.file_name().to_string_lossy());
        // mtools takes the time of what it writes from the clock, unless it is told one.
        let mut mtools = work.tool("faketime");
        mtools.args(["-f", &faketime(work.epoch)?]);
        if entry.file_type()?.is_dir() {
            quietly(mtools.arg("mmd").arg("-i").arg(image).arg(format!("::{inside}")))?;
            fill(&path, &inside, image, work)?;
        } else {
            quietly(mtools.arg("mcopy").arg("-i").arg(image).arg(&path).arg(format!("::{inside}")))?;
        }
    }
    Ok(())
}

/// Seconds since 1970 as libfaketime reads them; without an @ its clock stands still.
fn faketime(epoch: u64) -> Result<String> {
    let at = jiff::Timestamp::from_second(i64::try_from(epoch)?)?;
    Ok(at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Makes the data partition, empty.
///
/// # Errors
/// What mke2fs says.
pub fn data(work: &Work) -> Result<PathBuf> {
    let image = work.scratch("data.ext4");
    File::create(&image)?.set_len(DATA_MIB << 20)?;
    let mut mke2fs = work.tool("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-b", "4096", "-i", "16384", "-m", "1", "-J", "size=8", "-L", "data", "-U", DATA_UUID]);
    mke2fs.arg("-E").arg(format!("hash_seed={DATA_UUID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"));
    quietly(mke2fs.arg(&image))?;
    Ok(image)
}

/// Puts the parts together into `out`.
///
/// # Errors
/// No room, or a tool that fails.
pub fn assemble(board: Board, fat: &Path, slot: &Path, data: &Path, out: &Path) -> Result<()> {
    let made = beside(out);
    let result = (|| {
        let image = File::create(&made).with_context(|| format!("cannot write {}", made.display()))?;
        image.set_len(IMAGE_MIB << 20)?;
        partition(board, &made)?;
        put(fat, &made, FAT_AT_MIB)?;
        put(slot, &made, SLOT_A_AT_MIB)?;
        put(data, &made, DATA_AT_MIB)?;
        image.sync_all()?;
        Ok(())
    })();
    finish(&made, out, result)
}

/// A copy of `image` with another FAT partition.
///
/// # Errors
/// No room.
pub fn with_other_fat(image: &Path, fat: &Path, out: &Path) -> Result<()> {
    let made = beside(out);
    let result = (|| {
        quietly(Command::new("cp").args(["--reflink=auto", "--sparse=always"]).arg(image).arg(&made))?;
        // What the first one had, and this one has not, must not stay.
        put_all(fat, &made, FAT_AT_MIB)?;
        File::open(&made)?.sync_all()?;
        Ok(())
    })();
    finish(&made, out, result)
}

fn finish(made: &Path, out: &Path, result: Result<()>) -> Result<()> {
    if result.is_err() {
        let _ = fs::remove_file(made);
    }
    result.with_context(|| format!("the image could not be written to {}", out.display()))?;
    fs::rename(made, out).with_context(|| format!("cannot rename {} to {}", made.display(), out.display()))
}

/// Moves a file, to another volume as well; complete or not there.
///
/// # Errors
/// No room, or no right to write there.
pub fn move_to(from: &Path, to: &Path) -> Result<()> {
    let near = beside(to);
    let result = fs::copy(from, &near).map(drop).map_err(anyhow::Error::from);
    finish(&near, to, result)?;
    Ok(fs::remove_file(from)?)
}

fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    out.with_file_name(name)
}

fn table(board: Board) -> String {
    let sectors = |mib: u64| mib * 2048;
    let line = |at: u64, length: u64, kind: &str| format!("start={}, size={}, type={kind}", sectors(at), sectors(length));
    let boot = board.boot_partition_type();
    [
        "label: dos".to_owned(),
        format!("label-id: 0x{DISK_ID}"),
        "unit: sectors".to_owned(),
        format!("{}, bootable", line(FAT_AT_MIB, FAT_MIB, boot)),
        line(SLOT_A_AT_MIB, SLOT_MIB, "83"),
        line(SLOT_A_AT_MIB + SLOT_MIB, SLOT_MIB, "83"),
        line(DATA_AT_MIB, DATA_MIB, "83"),
        String::new(),
    ]
    .join("\n")
}

fn partition(board: Board, image: &Path) -> Result<()> {
    let mut sfdisk = Command::new("sfdisk");
    sfdisk.args(["--quiet", "--no-reread", "--no-tell-kernel"]).arg(image).stdin(Stdio::piped());
    let mut child = sfdisk.spawn().context("cannot start sfdisk")?;
    child.stdin.take().context("sfdisk takes no input")?.write_all(table(board).as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("sfdisk could not write the partition table ({status})");
    }
    Ok(())
}

/// Writes `part` into `image`; blocks of zeros are left as they are, for a new image is all zeros.
fn put(part: &Path, image: &Path, at_mib: u64) -> Result<()> {
    copy_blocks(part, image, at_mib, false)
}

fn put_all(part: &Path, image: &Path, at_mib: u64) -> Result<()> {
    copy_blocks(part, image, at_mib, true)
}

fn copy_blocks(part: &Path, image: &Path, at_mib: u64, also_zeros: bool) -> Result<()> {
    let mut source = File::open(part).with_context(|| format!("cannot read {}", part.display()))?;
    let mut target = File::options().write(true).open(image)?;
    target.seek(SeekFrom::Start(at_mib << 20))?;
    let mut block = vec![0; 1 << 16];
    loop {
        let length = read_block(&mut source, &mut block)?;
        if length == 0 {
            return Ok(());
        }
        if also_zeros || block[..length].iter().any(|byte| *byte != 0) {
            target.write_all(&block[..length])?;
        } else {
            target.seek(SeekFrom::Current(i64::try_from(length)?))?;
        }
    }
}

fn read_block(source: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match source.read(&mut block[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// Runs what says nothing of interest; its words are shown if it fails.
fn quietly(command: &mut Command) -> Result<()> {
    command::output(command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_type_is_what_each_firmware_looks_for_and_slots_do_not_overlap() {
        assert!(table(Board::Rpi3).contains("start=2048, size=262144, type=0c, bootable"));
        assert!(table(Board::GenericArm64).contains("type=ef"));
        assert!(table(Board::Rpi4).contains("start=264192, size=1048576"));
        assert!(table(Board::Rpi4).contains("start=1312768, size=1048576"));
        assert!(table(Board::Rpi4).contains("start=2361344, size=131072"));
    }

    #[test]
    fn zeros_are_left_out_in_a_new_image_and_written_over_an_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let (part, image) = (dir.path().join("part"), dir.path().join("image"));
        let mut bytes = vec![0u8; 3 << 16];
        bytes[70_000] = 7;
        fs::write(&part, &bytes).unwrap();
        fs::write(&image, vec![9u8; 2 << 20]).unwrap();
        put(&part, &image, 1).unwrap();
        let read = fs::read(&image).unwrap();
        assert_eq!((read[(1 << 20) + 70_000], read[1 << 20]), (7, 9));
        put_all(&part, &image, 1).unwrap();
        assert_eq!(fs::read(&image).unwrap()[1 << 20], 0);
    }

    #[test]
    fn what_failed_leaves_no_file_behind() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.img");
        let missing = dir.path().join("no");
        assert!(assemble(Board::Rpi4, &missing, &missing, &missing, &out).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
