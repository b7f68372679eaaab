//! A C library for ARMv6, to run programs for the first Pi and the Zero under emulation: that of Debian's port `armel`. The one of `armhf` is ARMv7 and
//! dies there of an illegal instruction.
//!
//! armel takes floating point numbers in other registers than the program gives them. Of such functions a gateway that Zig linked asks for `pow` alone,
//! with which tokio tunes how often it looks at its queues (the others are in the program); so it does its work, and other programs need not.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{command, mirror};

/// The newest suite but one that has the port; what Zig links asks for an older glibc.
const SUITE: &str = "bookworm";
const PACKAGES: [&str; 2] = ["libc6:armel", "libgcc-s1:armel"];

/// The folder that the emulator takes for the root of the program's system, made unless it is here.
///
/// # Errors
/// What could not be fetched.
pub fn root() -> Result<PathBuf> {
    let folder = command::target_dir().join("tools/armel");
    let root = folder.join("root");
    if root.exists() {
        return Ok(root);
    }
    if folder.exists() {
        // Of a run that was interrupted.
        fs::remove_dir_all(&folder)?;
    }
    fetch(&folder, &folder.join("root.part")).context("Debian's C library for armel, to run what is for ARMv6")?;
    fs::rename(folder.join("root.part"), &root)?;
    Ok(root)
}

/// By apt, with a state of its own: this system's knows nothing of that architecture, and need not.
fn fetch(folder: &Path, root: &Path) -> Result<()> {
    for part in ["state/lists/partial", "cache/archives/partial", "debs"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let sources = folder.join("sources.list");
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(&sources, format!("deb [arch=armel signed-by={keyring}] {} {SUITE} main\n", mirror::debian()?))?;
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder.join("debs")).arg("-qq");
        let options = [
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State={}", folder.join("state").display()),
            "Dir::State::Status=/dev/null".to_owned(),
            format!("Dir::Cache={}", folder.join("cache").display()),
            "APT::Architecture=armel".to_owned(),
            "APT::Architectures=armel".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Check-Valid-Until=false".to_owned(),
        ];
        for option in options {
            apt.arg("-o").arg(option);
        }
        apt.args(args);
        apt
    };
    command::run(&mut apt(&["update"]))?;
    command::run(&mut apt(&[&["download"], &PACKAGES[..]].concat()))?;
    for deb in fs::read_dir(folder.join("debs"))? {
        command::run(Command::new("dpkg-deb").arg("--extract").arg(deb?.path()).arg(root))?;
    }
    // The name that programs for armhf ask for.
    symlink("ld-linux.so.3", root.join("lib/ld-linux-armhf.so.3"))?;
    for part in ["state", "cache", "debs"] {
        fs::remove_dir_all(folder.join(part))?;
    }
    Ok(())
}
