//! The guest's card: a copy of the image, grown as a bigger card would be, served to qemu so that a power cut costs what a card's own
//! cache would cost, and its FAT partition, read and written as a person's PC would.
//!
//! **What a cut costs.** Killing qemu alone loses what is in the guest's memory, and keeps every write that qemu had taken, flushed or not: a
//! disk without a cache. Cards have one. So the card is served by nbdkit with its `cache` filter in write-back mode: writes stay in memory
//! until the guest flushes, and are gone when both are killed at once. A flush that is cut half way leaves a part of its blocks. What is not
//! modelled: a card that writes unflushed blocks in another order before the cut, or damages blocks that nobody wrote.

use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command,
    demo::fleet::{Process, wait_for},
};

const SECTOR: u64 = 512;
/// The size of the card that the guest sees: bigger than the image, so that the data partition has to grow.
pub const CARD_BYTES: u64 = 4 << 30;

/// A card in its file.
pub struct Card {
    pub file: PathBuf,
}

impl Card {
    /// A copy of `image` of the size of a card.
    pub fn copy_of(image: &Path, file: &Path, bytes: u64) -> Result<Self> {
        command::output(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(image).arg(file))?;
        Self::grown(file, bytes)
    }

    /// An image that is there, made as long as a card.
    pub fn grown(file: &Path, bytes: u64) -> Result<Self> {
        let card = OpenOptions::new().write(true).open(file).with_context(|| format!("cannot write {}", file.display()))?;
        if card.metadata()?.len() > bytes {
            bail!("{} is larger than the card of the test ({} MiB)", file.display(), bytes >> 20);
        }
        card.set_len(bytes)?;
        Ok(Self { file: file.to_path_buf() })
    }

    /// Serves it on `socket` with a cache that only a flush empties.
    pub fn serve(&self, socket: &Path, logs: &Path) -> Result<Process> {
        let _ = fs::remove_file(socket);
        let mut nbdkit = Command::new("nbdkit");
        nbdkit.args(["--foreground", "--exit-with-parent", "--unix"]).arg(socket).args(["--filter=cache", "file"]).arg(&self.file);
        nbdkit.args(["cache=writeback", "cache-min-block-size=4096"]);
        // Its cache is a file without a name, as large as what is written in a boot.
        nbdkit.env("TMPDIR", self.file.parent().unwrap_or(Path::new("/var/tmp")));
        let mut process = Process::start("nbdkit", nbdkit, logs)?;
        wait_for("start of nbdkit", Duration::from_secs(20), || {
            process.check()?;
            Ok(socket.exists())
        })?;
        Ok(process)
    }

    /// A text file of the FAT partition; nothing if it is not there.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        let output =
            mtool("mtype", &self.fat()?).arg(format!("::{name}")).output().context("cannot start mtype (Debian package mtools)")?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Puts a text file on the FAT partition, in place of one that is there.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let from = self.file.with_extension("fat-file");
        fs::write(&from, text)?;
        let fat = self.fat()?;
        if let Some((folder, _)) = name.rsplit_once('/') {
            // There already, mostly.
            let _ = mtool("mmd", &fat).args(["-D", "s"]).arg(format!("::{folder}")).output();
        }
        command::output(mtool("mcopy", &fat).args(["-o", "-n"]).arg(&from).arg(format!("::{name}")))?;
        fs::remove_file(from)?;
        Ok(())
    }

    /// Takes a file from the FAT partition.
    pub fn take(&self, name: &str, to: &Path) -> Result<()> {
        command::output(mtool("mcopy", &self.fat()?).args(["-o", "-n"]).arg(format!("::{name}")).arg(to)).map(drop)
    }

    /// How mtools names the first partition.
    fn fat(&self) -> Result<String> {
        let mut sector = [0; SECTOR as usize];
        File::open(&self.file)?.read_exact(&mut sector)?;
        let first = partition_start(&sector, 0).with_context(|| format!("{} holds no partition table (MBR)", self.file.display()))?;
        Ok(format!("{}@@{}", self.file.display(), first * SECTOR))
    }
}

fn mtool(name: &str, fat: &str) -> Command {
    let mut command = Command::new(name);
    // Images of other makers' tools may break rules that mtools checks.
    command.env("MTOOLS_SKIP_CHECK", "1").args(["-i", fat]);
    command
}

/// The first sector of partition `number` (from 0) by an MBR.
fn partition_start(sector: &[u8; SECTOR as usize], number: usize) -> Option<u64> {
    if sector[510..] != [0x55, 0xaa] || number > 3 {
        return None;
    }
    let entry = &sector[446 + 16 * number..][..16];
    let start = u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]);
    (entry[4] != 0 && start != 0).then_some(u64::from(start))
}

/// The settings of a provisioning file with `changes` put in; an empty value takes the line away. Comments and everything else stay.
pub fn provisioned(text: &str, changes: &[(&str, &str)]) -> String {
    let key_of = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned()).unwrap_or_default();
    let mut lines: Vec<String> =
        text.lines().filter(|line| !changes.iter().any(|(key, _)| key_of(line) == *key)).map(ToOwned::to_owned).collect();
    lines.extend(changes.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key}={value}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mbr() -> [u8; 512] {
        let mut sector = [0; 512];
        sector[446 + 4] = 0x0c;
        sector[446 + 8..446 + 12].copy_from_slice(&8192_u32.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn partitions_are_where_the_table_says() {
        assert_eq!(partition_start(&mbr(), 0), Some(8192));
        assert_eq!(partition_start(&mbr(), 1), None, "an empty entry");
        assert_eq!(partition_start(&mbr(), 4), None);
        assert_eq!(partition_start(&[0; 512], 0), None, "no table at all");
    }

    #[test]
    fn settings_are_replaced_added_and_taken_away_and_the_rest_stays() {
        let text = "# a card\nGATEWAY_ID=old\nTOKEN = mrt1.x\nWIFI_SSID=hall=3\n";
        let changed = provisioned(text, &[("GATEWAY_ID", "new"), ("TOKEN", ""), ("SSH_KEY", "ssh-ed25519 AAAA= me")]);
        assert_eq!(changed, "# a card\nWIFI_SSID=hall=3\nGATEWAY_ID=new\nSSH_KEY=ssh-ed25519 AAAA= me\n");
        assert_eq!(provisioned("", &[("A", "1")]), "A=1\n");
    }

    #[test]
    fn an_image_that_is_larger_than_the_card_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::write(&image, [0; 4096]).unwrap();
        assert!(Card::grown(&image, 1024).is_err());
        assert_eq!(Card::copy_of(&image, &folder.path().join("card"), 1 << 20).unwrap().file.metadata().unwrap().len(), 1 << 20);
    }
}
