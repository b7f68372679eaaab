//! Programs for another processor, run on this one by qemu-user: the whole path with them as gateways.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{armel, target::Target};
use crate::{
    build::{Program, Programs},
    command,
    demo::{self, Fault},
    setup,
};

/// A program that runs here, by emulation where it must.
///
/// # Errors
/// If the emulator can't be installed.
pub fn program(target: Target, path: &Path) -> Result<Program> {
    if target.is_native() {
        return Ok(Program::at(path));
    }
    let (architecture, processor) = target.qemu();
    let emulator = format!("/usr/bin/qemu-{architecture}-static");
    setup::debian("emulation", &[(emulator.as_str(), "qemu-user-static")])?;
    let libraries = match target {
        Target::Aarch64 => debians("/usr/aarch64-linux-gnu", "arm64")?,
        Target::Armv7 => debians("/usr/arm-linux-gnueabihf", "armhf")?,
        Target::Armv6 => armel::root()?,
        Target::X86_64 => "/".into(),
    };
    let mut words = vec![emulator, "-L".to_owned(), libraries.display().to_string()];
    if let Some(processor) = processor {
        words.extend(["-cpu".to_owned(), processor.to_owned()]);
    }
    Ok(Program::through(words, path))
}

/// The folder of Debian's C library for another architecture, as the cross compilers have it; not every way of building needs those.
fn debians(folder: &str, architecture: &str) -> Result<PathBuf> {
    let files = ["libc.so.6", "libgcc_s.so.1"].map(|library| format!("{folder}/lib/{library}"));
    let packages = ["libc6", "libgcc-s1"].map(|package| format!("{package}-{architecture}-cross"));
    setup::debian("emulation", &[(&*files[0], &*packages[0]), (&*files[1], &*packages[1])])?;
    Ok(folder.into())
}

/// A demo of `time` whose gateways are `gateways`, by turns; an error if its books do not balance.
///
/// # Errors
/// As the demo's, and what does not balance.
pub fn demo(gateways: Vec<Program>, programs: Programs, time: Duration, fault: Option<Fault>) -> Result<()> {
    let count = u16::try_from(gateways.len()).context("so many targets")?;
    let data_dir = command::target_dir().join("e2e").join("emulated");
    let options =
        demo::Options { lasting: Some(time), gateways: count.max(2), data_dir: Some(data_dir), fault, ..demo::Options::default() };
    let report = demo::play(&options, &programs.with_gateways(gateways))?;
    eprintln!("\n{}", report.table());
    if !report.is_clean() {
        bail!("the books do not balance: {}", report.faults.join("; "));
    }
    Ok(())
}
