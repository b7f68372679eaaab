//! An update for cards that are out there: the slot in a RAUC bundle, signed.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{boards::Board, keys::UpdateKey, slot::Slot, work::Work};
use crate::command;

/// Writes the bundle to `out`.
///
/// # Errors
/// What rauc says.
pub fn make(board: Board, version: &str, slot: &Slot, key: &UpdateKey, work: &Work, out: &Path) -> Result<()> {
    let folder = work.scratch("bundle");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("manifest.raucm"), manifest(board, version))?;
    fs::hard_link(&slot.image, folder.join("rootfs.img"))?;
    let made = work.scratch("update.raucb");
    let mut rauc = work.tool("rauc");
    rauc.arg("bundle").arg(format!("--cert={}", key.certificate.display())).arg(format!("--key={}", key.key.display()));
    command::run(rauc.arg(&folder).arg(&made)).context("the update could not be made")?;
    super::disk::move_to(&made, out)?;
    eprintln!("update: {} ({} MiB), version {version}; on a card: rauc install FILE", out.display(), fs::metadata(out)?.len() >> 20);
    Ok(())
}

fn manifest(board: Board, version: &str) -> String {
    format!(
        "[update]\ncompatible=millrace-gateway-{}\nversion={version}\n\n[bundle]\nformat=verity\n\n[image.rootfs]\nfilename=rootfs.img\n",
        board.name()
    )
}
