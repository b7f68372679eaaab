//! The FAT partition's files: firmware, boot loader, the state of the slots, and what this card is told.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{base::Base, boards::Board, provision::Provision, slot::Slot, work::Work};
use crate::command;

/// GRUB as Debian builds and signs it; it reads EFI/debian/grub.cfg beside it.
const GRUB: &str = "usr/lib/grub/arm64-efi/monolithic/grubaa64.efi";
const BLOCK_BYTES: usize = 1024;

/// Puts them into a folder.
///
/// # Errors
/// A package does not hold what it should, or there is no room.
pub fn files(board: Board, base: &Base, slot: &Slot, provision: &Provision, work: &Work) -> Result<PathBuf> {
    let folder = work.scratch("fat");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let source = command::root().join("deploy/image");
    for name in ["EFI/BOOT", "EFI/debian", "millrace"] {
        fs::create_dir_all(folder.join(name))?;
    }
    copy(&base.boot.join(GRUB), &folder.join("EFI/BOOT/BOOTAA64.EFI"))?;
    copy(&source.join("boot/grub.cfg"), &folder.join("EFI/debian/grub.cfg"))?;
    if board.is_pi() {
        copy(&source.join("boards/config.txt"), &folder.join("config.txt"))?;
        for (from, to) in board.firmware() {
            copy(&base.boot.join(from), &folder.join(to))?;
        }
        device_trees(board, &slot.device_trees, &folder)?;
    }
    fs::write(folder.join("millrace/README.txt"), crlf(&read(&source.join("card/README.txt"))?))?;
    fs::write(folder.join("millrace/grubenv"), empty_block())?;
    fs::write(folder.join("millrace/provision.conf"), conf(provision)?)?;
    Ok(folder)
}

/// The text of `millrace/provision.conf`.
///
/// # Errors
/// The template is missing.
pub fn conf(provision: &Provision) -> Result<String> {
    Ok(crlf(&provision.file(&read(&command::root().join("deploy/image/card/provision.conf"))?)))
}

/// Every editor of every system shows these line ends.
fn crlf(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// A GRUB environment block that says nothing yet: slot A is started, and proven by its first good run.
fn empty_block() -> Vec<u8> {
    let mut block = b"# GRUB Environment Block\ngood=\ntry=\ntries=\n".to_vec();
    block.resize(BLOCK_BYTES, b'#');
    block
}

fn device_trees(board: Board, from: &Path, to: &Path) -> Result<()> {
    let mut found = false;
    for entry in fs::read_dir(from)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if board.device_trees().iter().any(|start| name.starts_with(start)) {
            copy(&entry.path(), &to.join(name))?;
            found = true;
        }
    }
    anyhow::ensure!(found, "the kernel has no device tree for {}; build the base system again with --refresh", board.name());
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_slots_is_one_block_and_fits_into_one_sector() {
        let block = empty_block();
        assert_eq!(block.len(), 1024);
        assert!(block.starts_with(b"# GRUB Environment Block\n"));
        assert!(block.iter().rposition(|byte| *byte != b'#').unwrap() < 512);
    }
}
