//! Zig's C compiler as cross compiler, by cargo-zigbuild: it brings the start-up code and symbols of each glibc, and code for ARMv6, which Debian's
//! armhf does not. Both come from PyPI into the target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::program::Glibc;
use crate::command;

/// That of Debian buster: what Rust's standard library and our dependencies ask for is older.
pub const OLDEST: Glibc = Glibc { major: 2, minor: 28 };

/// Pinned with the hashes of their wheels.
const REQUIREMENTS: &str = include_str!("zig_requirements.txt");

/// Installs it unless it is here; its folder.
///
/// # Errors
/// What pip says.
pub fn installed() -> Result<PathBuf> {
    let folder = command::target_dir().join("tools/zig");
    let stamp = folder.join(".installed-requirements");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    let list = folder.join("requirements.txt");
    fs::write(&list, REQUIREMENTS)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore", "--upgrade"]);
    pip.args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target"]).arg(&folder).arg("-r").arg(&list);
    command::run(&mut pip).context("Zig's compiler comes from PyPI by python3 and pip")?;
    fs::write(stamp, REQUIREMENTS)?;
    Ok(folder)
}

/// cargo-zigbuild, which takes cargo's arguments.
pub fn cargo(folder: &Path) -> Command {
    let mut cargo = command::outside(folder.join("bin/cargo-zigbuild"));
    // It starts Zig as a module of Python.
    cargo.env("PYTHONPATH", folder).env("CARGO_ZIGBUILD_PYTHON_PATH", "python3");
    cargo
}
