//! cargo-deb: installed into the target folder in one fixed version, and run on what `stage` prepared.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::{Arch, stage::Stage};
use crate::command;

const VERSION: &str = "3.8.0";

/// How hard the package is pressed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Small,
    /// For a package that lives for one test.
    Fast,
}

/// Installs it where it is missing.
pub(super) fn install() -> Result<()> {
    let is_there = command::output(Command::new(program()).arg("--version")).is_ok_and(|version| version.trim().ends_with(VERSION));
    if is_there {
        return Ok(());
    }
    let version = format!("={VERSION}");
    let mut cargo = command::cargo();
    // A target folder of its own: what it is made of is none of the product's.
    cargo.env("CARGO_TARGET_DIR", tools().join("build"));
    cargo.args(["install", "cargo-deb", "--locked", "--version", &version, "--root"]).arg(tools());
    command::run(&mut cargo).context("cargo-deb could not be installed from the crates' registry")
}

/// Makes the package of `stage` and returns where it is.
pub(super) fn pack(stage: &Stage, arch: Arch, compression: Compression) -> Result<PathBuf> {
    let output = stage.folder().join("out");
    std::fs::create_dir_all(&output)?;
    let mut cargo_deb = command::outside(program());
    cargo_deb.current_dir(stage.folder()).env("CARGO_TARGET_DIR", stage.target_folder()).env("SOURCE_DATE_EPOCH", epoch()?);
    cargo_deb.arg("--manifest-path").arg(stage.manifest()).args([
        "--no-build",
        "--no-strip",
        "--quiet",
        "--target",
        arch.target().triple(),
    ]);
    cargo_deb.args(["--deb-version", stage.version(), "--output"]).arg(&output);
    if compression == Compression::Fast {
        cargo_deb.arg("--fast");
    }
    command::run(&mut cargo_deb)?;
    let made: Vec<PathBuf> = std::fs::read_dir(&output)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    let [file] = &made[..] else { bail!("cargo-deb was to make one package, and made {made:?}") };
    Ok(file.clone())
}

/// The time that files in the package get: that of the newest commit, so that the same source makes the same bytes.
fn epoch() -> Result<String> {
    if let Ok(set) = std::env::var("SOURCE_DATE_EPOCH") {
        return Ok(set);
    }
    let time = command::output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(command::root()))
        .context("the time of the newest commit is asked of git; without a clone set SOURCE_DATE_EPOCH")?;
    Ok(time.trim().to_owned())
}

fn tools() -> PathBuf {
    command::target_dir().join("tools")
}

fn program() -> PathBuf {
    tools().join("bin/cargo-deb")
}
