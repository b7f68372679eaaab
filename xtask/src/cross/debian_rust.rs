//! Debian's own Rust with its standard library for ARM, for machines whose rustup can't fetch one: unpacked from Debian's newest suite into a folder
//! of the build, and called through a wrapper with that suite's own C library.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::target::Target;
use crate::{command, mirror, setup};

/// The oldest suite whose rustc is new enough (Cargo.toml's rust-version).
const SUITE: &str = "forky";

/// A compiler that knows `target`, made unless it is here; the path of its wrapper.
///
/// # Errors
/// What could not be installed, with the command that failed.
pub fn rustc(target: Target) -> Result<PathBuf> {
    let Some(architecture) = target.debian() else { bail!("Debian has no standard library of Rust for {target}") };
    if !command::is_root()? {
        bail!("Debian's Rust is unpacked by debootstrap, which must be root: run this as root once, or `rustup target add {target}`");
    }
    setup::debian("Debian's Rust", &[("/usr/sbin/debootstrap", "debootstrap")])?;
    let folder = command::target_dir().join("tools/debian-rust");
    let root = folder.join("root");
    if !root.join("usr/bin/rustc").exists() {
        unpack(&folder, &root)?;
    }
    if !root.join("usr/lib/rustlib").join(target.triple()).exists() {
        add_std(&root, architecture).with_context(|| format!("Debian's standard library of Rust for {architecture}"))?;
    }
    wrapper(&folder, &root)
}

/// The suite's minimal system with rustc in it. Made under another name and renamed, so that an interrupted one is no obstacle.
fn unpack(folder: &Path, root: &Path) -> Result<()> {
    let half = folder.join("root.part");
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    fs::create_dir_all(folder)?;
    let mut bootstrap = Command::new("debootstrap");
    bootstrap.args(["--variant=minbase", "--include=ca-certificates", SUITE]).arg(&half).arg(mirror::debian()?);
    // Its script is the same for every suite; debootstrap may be older than this one.
    bootstrap.arg("/usr/share/debootstrap/scripts/sid");
    command::run(&mut bootstrap)?;
    in_root(&half, &["dpkg", "--add-architecture", "arm64"])?;
    in_root(&half, &["dpkg", "--add-architecture", "armhf"])?;
    apt(&half, &["update"])?;
    apt(&half, &["install", "-y", "--no-install-recommends", "rustc"])?;
    fs::rename(&half, root)?;
    Ok(())
}

/// Only the files: nothing of another architecture is configured or run.
fn add_std(root: &Path, architecture: &str) -> Result<()> {
    let script = format!(
        "cd /tmp && apt-get -q download libstd-rust-dev:{architecture} && dpkg -x libstd-rust-dev_*_{architecture}.deb / && rm libstd-rust-dev_*.deb"
    );
    in_root(root, &["sh", "-c", &script])
}

fn apt(root: &Path, args: &[&str]) -> Result<()> {
    // A mirror that is a snapshot holds a Release file past its date; its signature is checked all the same.
    in_root(root, &[&["apt-get", "-q", "-o", "Acquire::Check-Valid-Until=false"], args].concat())
}

fn in_root(root: &Path, args: &[&str]) -> Result<()> {
    command::run(Command::new("chroot").arg(root).args(args).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C"))
}

/// Starts that rustc with the loader and the libraries it was linked with.
fn wrapper(folder: &Path, root: &Path) -> Result<PathBuf> {
    let path = folder.join("rustc");
    let root = root.display();
    let script = format!(
        "#!/bin/sh\n# Debian's rustc, outside of its root.\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path {root}/usr/lib/x86_64-linux-gnu {root}/usr/bin/rustc --sysroot {root}/usr \"$@\"\n"
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
