//! `cargo xtask cross`: the gateway for ARM, and for this machine with the same small profile. Stands between the sources and what is installed on a device.
//!
//! Order: target -> way (a container, Debian's cross compilers with rustup's or Debian's Rust, or Zig's libc) -> build -> what came out is
//! looked at (size, the newest glibc it asks for) -> on request, the whole path with it under emulation.

mod armel;
mod background;
mod debian_rust;
pub mod emulate;
pub mod program;
pub mod target;
mod way;
mod zig;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

pub use self::background::Background;
use self::{target::Target, way::Way};
use crate::{
    build::{self, Program, Programs},
    command,
    demo::Fault,
};

/// Profile of Cargo.toml for what goes onto a device.
pub const PROFILE: &str = "edge";

/// What most people have, and [`check`] builds and runs.
const CHECKED: [Target; 2] = [Target::Aarch64, Target::Armv7];

/// What the gateway may have on a device, in bytes.
const LARGEST: u64 = 8_000_000;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask cross --target aarch64-unknown-linux-gnu\n  cargo xtask cross --target aarch64-unknown-linux-gnu,armv7-unknown-linux-gnueabihf --run 60s\n  cargo xtask cross --target arm-unknown-linux-gnueabihf        a Pi Zero (ARMv6)\n  cargo xtask cross --target aarch64-unknown-linux-gnu --glibc 2.28    for systems older than Raspberry Pi OS bookworm"
)]
pub struct Options {
    /// What to build for; several with commas
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    target: Vec<Target>,
    /// How: by default `cross` where it and a container engine are there, else Debian's cross compilers; Zig's for ARMv6 and with --glibc
    #[arg(long, value_enum, default_value = "auto")]
    with: way::Choice,
    /// Oldest glibc that the program must run with (by Zig's libc; without it, that of the cross compiler: 2.34)
    #[arg(long, value_parser = program::Glibc::parse)]
    glibc: Option<program::Glibc>,
    /// Afterwards, run the demo for so long with these programs as gateways under emulation (qemu-user)
    #[arg(long, value_parser = crate::demo::duration)]
    run: Option<Duration>,
}

pub fn run(options: &Options) -> Result<bool> {
    let mut built = Vec::new();
    for target in &options.target {
        let begun = Instant::now();
        let way = way::choose(*target, options.with, options.glibc)?;
        eprintln!("\n=== {target}: {way} ===");
        let path = build("gateway", PROFILE, *target, &way)?;
        let limit = options.glibc.unwrap_or(program::SUPPORTED);
        built.push((*target, program::inspect(&path, limit)?, begun.elapsed()));
    }
    println!("{:<32} {:>9} {:>8} {:>9}  program", "target", "bytes", "MB", "glibc");
    for (target, program, time) in &built {
        println!("{target:<32} {program}  ({} s)", time.as_secs());
    }
    let Some(time) = options.run else { return Ok(true) };
    let programs: Vec<Program> =
        built.iter().map(|(target, program, _)| emulate::program(*target, &program.path)).collect::<Result<_>>()?;
    emulate::demo(programs, build::all()?, time, None)?;
    Ok(true)
}

/// The gateway for `target`, built with [`PROFILE`] in the way that this machine allows; its path.
///
/// # Errors
/// What is missing for it, or that it asks for a newer glibc than is supported.
pub fn gateway(target: Target) -> Result<PathBuf> {
    package("gateway", PROFILE, target, program::SUPPORTED)
}

/// The program of a package of the workspace for `target`, built with `profile`, which may ask for `glibc` at most; its path.
///
/// # Errors
/// As [`gateway`].
pub fn package(package: &str, profile: &str, target: Target, glibc: program::Glibc) -> Result<PathBuf> {
    let way = way::choose(target, way::Choice::Auto, None)?;
    let path = build(package, profile, target, &way)?;
    program::inspect(&path, glibc).map(|program| program.path)
}

/// The gateway for `target` as a program that runs here.
///
/// # Errors
/// As [`gateway`].
pub fn runnable(target: Target) -> Result<Program> {
    emulate::program(target, &gateway(target)?)
}

/// What must hold before a change lands: the gateway builds for the boards that most people have, and the whole path works with it under emulation,
/// also through a kill.
///
/// # Errors
/// What did not build, or does not balance.
pub fn check(programs: Programs) -> Result<()> {
    let mut gateways = Vec::new();
    for target in CHECKED {
        let path = gateway(target)?;
        let built = program::inspect(&path, program::SUPPORTED)?;
        eprintln!("{target:<32} {built}");
        if built.bytes > LARGEST {
            bail!(
                "the gateway for {target} has {} bytes, more than the {LARGEST} that it may have: see what came in with `cargo bloat`",
                built.bytes
            );
        }
        gateways.push(emulate::program(target, &path)?);
    }
    emulate::demo(gateways, programs, Duration::from_secs(40), Some(Fault::GatewayKill))
}

fn build(package: &str, profile: &str, target: Target, way: &Way) -> Result<PathBuf> {
    let mut cargo = way.build(target);
    cargo.args(["--locked", "--profile", profile, "--package", package]);
    if profile == PROFILE {
        // Without the commands that write completions and manual pages.
        cargo.arg("--no-default-features");
    }
    command::run(&mut cargo).with_context(|| format!("{package} for {target}"))?;
    Ok(way.target_dir().join(target.triple()).join(profile).join(format!("millrace-{package}")))
}
