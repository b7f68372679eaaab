//! How a target is built on this machine: chosen by what is here, prepared, and turned into a cargo command.

use std::{fmt, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::{debian_rust, program::Glibc, target::Target, zig};
use crate::{command, setup};

/// How somebody wants it built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// What this machine has
    Auto,
    /// `cross`, in a container, by cross.toml
    Cross,
    /// Debian's cross compilers, with rustup's standard library for the target
    Rustup,
    /// Debian's cross compilers, with Debian's own Rust in a folder of the build
    DebianRust,
    /// Zig's C compiler and libc (PyPI's `ziglang`), for old systems and ARMv6
    Zig,
}

/// A way that is prepared.
pub enum Way {
    /// `cross` and the container engine that answers.
    Cross { engine: String },
    /// This machine's own compiler.
    Native,
    /// Debian's cross compiler; `rustc` is another compiler than rustup's.
    Gnu { prefix: &'static str, rustc: Option<PathBuf> },
    /// cargo-zigbuild, and the libc to link with.
    Zig { folder: PathBuf, glibc: Glibc, std: Std },
}

/// Where Rust's standard library for a target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Std {
    /// `rustup target add`.
    Rustup,
    /// Compiled with the program, from its source (`rustup component add rust-src`).
    Source,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cross { engine } => write!(f, "cross, in a container of {engine}"),
            Self::Native => write!(f, "this machine's compiler"),
            Self::Gnu { prefix, rustc: None } => write!(f, "{prefix}-gcc and rustup's standard library"),
            Self::Gnu { prefix, rustc: Some(_) } => write!(f, "{prefix}-gcc and Debian's Rust"),
            Self::Zig { glibc, std: Std::Rustup, .. } => write!(f, "Zig's compiler and glibc {glibc}"),
            Self::Zig { glibc, std: Std::Source, .. } => {
                write!(f, "Zig's compiler, glibc {glibc}, and Rust's standard library from its source")
            }
        }
    }
}

/// Chooses a way and installs what it needs.
///
/// # Errors
/// What can't be had, and what to do about it.
pub fn choose(target: Target, choice: Choice, glibc: Option<Glibc>) -> Result<Way> {
    match choice {
        Choice::Auto if glibc.is_some() => with_zig(target, glibc),
        Choice::Auto if target.is_native() => Ok(Way::Native),
        // The container has Debian's compilers, too.
        Choice::Auto if target.gnu().is_none() => with_zig(target, glibc),
        Choice::Auto => match cross() {
            Some(engine) => Ok(Way::Cross { engine }),
            None => with_rustup(target).or_else(|error| {
                eprintln!("rustup has no standard library for {target} here ({error:#}): Debian's Rust is taken");
                with_debian_rust(target)
            }),
        },
        Choice::Cross => match cross() {
            Some(engine) => Ok(Way::Cross { engine }),
            None => bail!(
                "`cross` or a container engine is not here: `cargo install cross --locked`, and Docker or Podman must run. Or leave --with away"
            ),
        },
        Choice::Rustup => with_rustup(target),
        Choice::DebianRust => with_debian_rust(target),
        Choice::Zig => with_zig(target, glibc),
    }
}

/// The engine for `cross`, if both are here: the one that CROSS_CONTAINER_ENGINE names, or one that answers. A client without a service (Docker's,
/// mostly) is none, though `cross` would take it.
fn cross() -> Option<String> {
    let answers = |program: &str, args: &[&str]| command::output(Command::new(program).args(args)).is_ok();
    if !answers("cross", &["--version"]) {
        return None;
    }
    let engines = match std::env::var("CROSS_CONTAINER_ENGINE") {
        Ok(engine) => vec![engine],
        Err(_) => vec!["docker".to_owned(), "podman".to_owned()],
    };
    engines.into_iter().find(|engine| answers(engine, &["info"]))
}

fn gcc(target: Target) -> Result<&'static str> {
    let Some(prefix) = target.gnu() else {
        bail!("Debian has no compiler for {target} (its armhf is ARMv7): use --with zig, or --with cross");
    };
    match target {
        Target::Aarch64 => setup::debian(
            "the cross compiler",
            &[
                ("/usr/bin/aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
                ("/usr/aarch64-linux-gnu/lib/libc.so.6", "libc6-dev-arm64-cross"),
            ],
        )?,
        Target::Armv7 => setup::debian(
            "the cross compiler",
            &[
                ("/usr/bin/arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf"),
                ("/usr/arm-linux-gnueabihf/lib/libc.so.6", "libc6-dev-armhf-cross"),
            ],
        )?,
        Target::Armv6 | Target::X86_64 => {}
    }
    Ok(prefix)
}

fn with_rustup(target: Target) -> Result<Way> {
    let prefix = gcc(target)?;
    add_std(target)?;
    Ok(Way::Gnu { prefix, rustc: None })
}

/// Rust's standard library for the target, by rustup, unless it is here.
fn add_std(target: Target) -> Result<()> {
    rustup_adds("target", target.triple()).with_context(|| format!("Rust's standard library for {target}"))
}

/// Has rustup add a target or a component to the project's toolchain, unless it is here.
fn rustup_adds(kind: &str, name: &str) -> Result<()> {
    let rustup = |args: &[&str]| {
        let mut rustup = Command::new("timeout");
        rustup.args(["120", "rustup", kind]).args(args).current_dir(command::root());
        rustup
    };
    if command::output(&mut rustup(&["list", "--installed"])).is_ok_and(|list| list.lines().any(|line| line == name)) {
        return Ok(());
    }
    command::run(&mut rustup(&["add", name]))
}

fn with_debian_rust(target: Target) -> Result<Way> {
    let prefix = gcc(target)?;
    Ok(Way::Gnu { prefix, rustc: Some(debian_rust::rustc(target)?) })
}

fn with_zig(target: Target, glibc: Option<Glibc>) -> Result<Way> {
    let std = match add_std(target) {
        Ok(()) => Std::Rustup,
        Err(error) => {
            eprintln!("rustup has no standard library for {target} here ({error:#}): it is compiled from its source");
            rustup_adds("component", "rust-src").context("the source of Rust's standard library")?;
            Std::Source
        }
    };
    Ok(Way::Zig { folder: zig::installed()?, glibc: glibc.unwrap_or(zig::OLDEST), std })
}

impl Way {
    /// Where cargo puts what it builds in this way. Zig's is a folder of its own: with another linker, and another standard library, cargo would
    /// compile everything anew whenever two ways take turns.
    pub fn target_dir(&self) -> PathBuf {
        match self {
            Self::Zig { .. } => command::target_dir().join("zig"),
            Self::Cross { .. } | Self::Native | Self::Gnu { .. } => command::target_dir(),
        }
    }

    /// A command that builds for `target` in this way; what is built, and how, follows as arguments of `cargo build`.
    pub fn build(&self, target: Target) -> Command {
        let mut cargo = command::cargo();
        match self {
            Self::Native => {}
            Self::Cross { engine } => {
                cargo = command::outside("cross");
                cargo.env("CROSS_CONFIG", "cross.toml").env("CROSS_CONTAINER_ENGINE", engine);
            }
            Self::Gnu { prefix, rustc } => {
                let name = target.triple().replace('-', "_");
                cargo.env(format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), format!("{prefix}-gcc"));
                cargo.env(format!("CC_{name}"), format!("{prefix}-gcc")).env(format!("AR_{name}"), format!("{prefix}-ar"));
                if let Some(rustc) = rustc {
                    cargo.env("RUSTC", rustc);
                }
            }
            Self::Zig { folder, glibc, std } => {
                cargo = zig::cargo(folder);
                cargo.args(["zigbuild", "--target"]).arg(format!("{target}.{glibc}")).arg("--target-dir").arg(self.target_dir());
                if *std == Std::Source {
                    // Cargo calls that unstable, and a stable toolchain takes it only so.
                    cargo.arg("-Zbuild-std=std").env("RUSTC_BOOTSTRAP", "1");
                }
                return cargo;
            }
        }
        cargo.args(["build", "--target", target.triple()]);
        cargo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(command: &Command) -> Vec<String> {
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    fn variable(command: &Command, name: &str) -> Option<String> {
        command.get_envs().find(|(key, _)| *key == name)?.1.map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn zig_has_a_folder_of_its_own_and_compiles_the_standard_library_only_where_it_must() {
        let zig = |std| Way::Zig { folder: PathBuf::from("zig"), glibc: zig::OLDEST, std };
        let own = command::target_dir().join("zig");
        for std in [Std::Rustup, Std::Source] {
            let way = zig(std);
            let cargo = way.build(Target::Armv6);
            let words = arguments(&cargo);
            assert!(words.windows(2).any(|pair| pair == ["--target-dir", &*own.to_string_lossy()]), "{words:?}");
            assert!(words.windows(2).any(|pair| pair == ["--target", "arm-unknown-linux-gnueabihf.2.28"]), "{words:?}");
            assert_eq!(way.target_dir(), own);
            let from_source = std == Std::Source;
            assert_eq!(words.iter().any(|word| word == "-Zbuild-std=std"), from_source);
            assert_eq!(variable(&cargo, "RUSTC_BOOTSTRAP").is_some(), from_source);
        }
        assert_ne!(Way::Native.target_dir(), own);
    }

    #[test]
    fn cross_is_told_which_engine_answered_and_where_its_settings_are() {
        let cross = Way::Cross { engine: "podman".to_owned() }.build(Target::Aarch64);
        assert_eq!(variable(&cross, "CROSS_CONTAINER_ENGINE").as_deref(), Some("podman"));
        assert_eq!(variable(&cross, "CROSS_CONFIG").as_deref(), Some("cross.toml"));
    }
}
