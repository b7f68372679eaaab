//! One slot: the root file system as a squashfs, made of the base, the overlay in `deploy/image/rootfs`, and the gateway.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use super::{
    base::Base,
    boards::Board,
    disk::{DISK_ID, SLOT_MIB},
    keys::UpdateKey,
    work::Work,
};
use crate::command;

/// A slot, ready for the disk and for a bundle.
pub struct Slot {
    pub image: PathBuf,
    /// Debian packages as `name version`, sorted.
    pub packages: Vec<String>,
    /// The kernel's device trees, for the FAT partition.
    pub device_trees: PathBuf,
}

/// What goes into it.
pub struct Parts<'a> {
    pub board: Board,
    pub base: &'a Base,
    pub gateway: &'a Path,
    pub key: &'a UpdateKey,
    pub version: &'a str,
}

/// What of Debian's base is not taken over: made anew at every start, this card's own, or of no use.
const REMOVED: &[&str] = &[
    // Started when somebody asks for it (`systemctl reboot` does), not at every start.
    "usr/lib/systemd/system/multi-user.target.wants/systemd-logind.service",
    "dev",
    "var",
    "tmp",
    "run",
    "proc",
    "sys",
    "etc/apt",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/hostname",
    "etc/localtime",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/.pwd.lock",
    "usr/lib/.build-id",
    "initrd.img",
    "initrd.img.old",
    "vmlinuz",
    "vmlinuz.old",
];

/// Folders that the running system mounts over, or wants to be there.
const FOLDERS: &[&str] = &["dev", "proc", "sys", "run", "tmp", "var", "data", "boot/firmware", "etc/millrace"];

/// Makes the slot.
///
/// # Errors
/// What the tools say; a slot that is larger than its partition.
pub fn make(parts: &Parts<'_>, work: &Work) -> Result<Slot> {
    let started = Instant::now();
    let tree = work.scratch("tree");
    fs::create_dir_all(&tree)?;
    command::run(work.as_root("tar").args(["--numeric-owner", "-xf"]).arg(&parts.base.tar).arg("-C").arg(&tree))?;
    let packages = packages(&tree)?;
    strip(&tree)?;
    boot_files(&tree)?;
    let device_trees = work.scratch("device-trees");
    copy_device_trees(&tree, &device_trees)?;

    let words = [("@DISK@", DISK_ID), ("@BOARD@", parts.board.name()), ("@CONSOLES@", parts.board.consoles())];
    let source = command::root().join("deploy/image");
    overlay(&source.join("rootfs"), &tree, &words)?;
    overlay_file(&source.join("boot/slot.cfg"), &tree.join("boot/slot.cfg"), &words)?;
    gateway(parts.gateway, &tree)?;
    identity(parts, &tree, work)?;
    command::run(work.as_root("systemd-sysusers").arg(format!("--root={}", tree.display())).arg("millrace-gateway.conf"))?;
    for leftover in ["etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock"] {
        remove(&tree.join(leftover))?;
    }
    command::run(work.as_root("systemctl").arg(format!("--root={}", tree.display())).args(["--quiet", "preset-all"]))?;

    let image = work.scratch("slot.squashfs");
    let epoch = work.epoch.to_string();
    let mut mksquashfs = work.as_root("mksquashfs");
    // GRUB reads zlib, lzo and xz, not zstd. The variable would be taken for a third opinion on times.
    mksquashfs.env_remove("SOURCE_DATE_EPOCH").arg(&tree).arg(&image);
    mksquashfs.args(["-comp", "gzip", "-noappend", "-no-progress", "-quiet", "-no-xattrs", "-no-exports"]);
    mksquashfs.args(["-mkfs-time", &epoch, "-all-time", &epoch]);
    command::run(&mut mksquashfs)?;
    command::run(work.as_root("rm").arg("-rf").arg(&tree))?;
    let size = fs::metadata(&image)?.len();
    if size > SLOT_MIB << 20 {
        bail!("the slot has {} MiB and its partition {SLOT_MIB} MiB", size >> 20);
    }
    eprintln!("slot: {} MiB in {} s", size >> 20, started.elapsed().as_secs());
    Ok(Slot { image, packages, device_trees })
}

/// The gateway with its unit.
fn gateway(program: &Path, tree: &Path) -> Result<()> {
    let install = |from: &Path, to: &str, mode| -> Result<()> {
        let to = tree.join(to);
        fs::copy(from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(mode))?)
    };
    install(program, "usr/bin/millrace-gateway", 0o755)?;
    install(&command::root().join("systemd/millrace-gateway.service"), "usr/lib/systemd/system/millrace-gateway.service", 0o644)
}

/// What this slot is, and what it trusts.
fn identity(parts: &Parts<'_>, tree: &Path, work: &Work) -> Result<()> {
    for name in FOLDERS {
        folder(&tree.join(name))?;
    }
    file(&tree.join("etc/machine-id"), "")?;
    file(&tree.join("etc/hostname"), "millrace\n")?;
    file(&tree.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
    file(&tree.join("usr/lib/millrace/release"), &format!("VERSION={}\nBOARD={}\n", parts.version, parts.board.name()))?;
    file(&tree.join("etc/rauc/keyring.pem"), &fs::read_to_string(&parts.key.certificate)?)?;
    // No clock is behind the time at which this was made.
    let clock = tree.join("usr/lib/clock-epoch");
    file(&clock, "")?;
    work.set_time(&clock)?;
    symlink("/run/systemd/resolve/resolv.conf", tree.join("etc/resolv.conf"))?;
    symlink("/run/millrace/localtime", tree.join("etc/localtime"))?;
    // Nobody logs in at a console.
    for (folder, unit) in [
        ("etc/systemd/system-generators", "systemd-getty-generator"),
        ("etc/systemd/system-generators", "systemd-ssh-generator"),
        ("etc/systemd/system", "getty@.service"),
        ("etc/systemd/system", "serial-getty@.service"),
        ("etc/systemd/system", "systemd-pcrphase.service"),
        ("etc/systemd/system", "systemd-hwdb-update.service"),
    ] {
        self::folder(&tree.join(folder))?;
        let link = tree.join(folder).join(unit);
        remove(&link)?;
        symlink("/dev/null", link)?;
    }
    Ok(())
}

fn strip(tree: &Path) -> Result<()> {
    for path in REMOVED {
        remove(&tree.join(path))?;
    }
    for entry in fs::read_dir(tree.join("etc/ssh"))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Kernel and initial RAM disk under the names that slot.cfg knows.
fn boot_files(tree: &Path) -> Result<()> {
    let boot = tree.join("boot");
    for entry in fs::read_dir(&boot)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("vmlinuz-") {
            fs::rename(entry.path(), boot.join("vmlinuz"))?;
        } else if name.starts_with("initrd.img-") {
            fs::rename(entry.path(), boot.join("initrd.img"))?;
        } else {
            remove(&entry.path())?;
        }
    }
    for name in ["vmlinuz", "initrd.img"] {
        if !boot.join(name).exists() {
            bail!("the base system has no /boot/{name}-…; build it again with --refresh");
        }
    }
    Ok(())
}

fn copy_device_trees(tree: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for kernel in fs::read_dir(tree.join("usr/lib"))?.flatten() {
        if !kernel.file_name().to_string_lossy().starts_with("linux-image-") {
            continue;
        }
        for file in fs::read_dir(kernel.path().join("broadcom")).into_iter().flatten().flatten() {
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
        // The device tree is the firmware's business; in the slot nobody reads them.
        remove(&kernel.path())?;
    }
    Ok(())
}

/// Copies a folder over the tree, with `words` put in.
fn overlay(from: &Path, to: &Path, words: &[(&str, &str)]) -> Result<()> {
    folder(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            overlay(&entry.path(), &target, words)?;
        } else {
            overlay_file(&entry.path(), &target, words)?;
        }
    }
    Ok(())
}

fn overlay_file(from: &Path, to: &Path, words: &[(&str, &str)]) -> Result<()> {
    let text = fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    let text = words.iter().fold(text, |text, (word, value)| text.replace(word, value));
    remove(to)?;
    fs::write(to, text)?;
    // Of all that a clone may have set, the execute bit alone counts.
    let mode = if fs::metadata(from)?.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

/// A file that all may read, whatever the umask of who builds is.
fn file(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o644))?)
}

/// A folder that all may read; one that is there stays as it is.
fn folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        folder(above)?;
    }
    fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn remove(path: &Path) -> Result<()> {
    let done = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    done.with_context(|| format!("cannot remove {}", path.display()))
}

fn packages(tree: &Path) -> Result<Vec<String>> {
    let status = fs::read_to_string(tree.join("var/lib/dpkg/status")).context("the base system has no list of its packages")?;
    let mut packages: Vec<String> = status.split("\n\n").filter_map(package).collect();
    packages.sort();
    Ok(packages)
}

fn package(paragraph: &str) -> Option<String> {
    let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(format!("{} {}", field("Package")?, field("Version")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_with_its_version() {
        let text = "Package: dash\nStatus: install ok installed\nDescription: shell\n Version: no\nVersion: 0.5.12-12\n";
        assert_eq!(package(text).as_deref(), Some("dash 0.5.12-12"));
        assert_eq!(package("\n"), None);
    }

    #[test]
    fn the_overlay_replaces_words_keeps_the_execute_bit_and_replaces_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a")).unwrap();
        fs::create_dir_all(to.join("a")).unwrap();
        fs::write(from.join("a/run"), "#!/bin/sh\n# @BOARD@\n").unwrap();
        fs::set_permissions(from.join("a/run"), fs::Permissions::from_mode(0o775)).unwrap();
        symlink("/dev/null", to.join("a/run")).unwrap();
        overlay(&from, &to, &[("@BOARD@", "rpi4")]).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/run")).unwrap(), "#!/bin/sh\n# rpi4\n");
        assert_eq!(fs::metadata(to.join("a/run")).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
