//! `cargo xtask package`: Debian packages of gateway and collector, made by cargo-deb from programs that are built here or cross-compiled.
//!
//! Flow: `programs` finds or builds -> `binary` says what a program needs -> `stage` puts everything into one folder -> `cargo_deb` packs it.
//! What a package holds stands in `[package.metadata.deb]` of gateway/Cargo.toml and collector/Cargo.toml; its scripts in deploy/debian/.

mod binary;
mod cargo_deb;
mod programs;
mod stage;
pub mod test;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use cargo_deb::Compression;
use clap::ValueEnum as _;

use crate::{
    command,
    cross::{
        self,
        program::{Glibc, SUPPORTED},
        target::Target,
    },
    setup,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask package                                    all six packages, in target/package\n  \
                        cargo xtask package --only gateway --arch arm64        one\n  \
                        cargo xtask package --test                             and install, upgrade, remove and purge them with dpkg")]
pub struct Options {
    /// For these architectures
    #[arg(long, value_enum, value_delimiter = ',', default_value = "amd64,arm64,armhf")]
    arch: Vec<Arch>,
    /// This program only
    #[arg(long, value_enum)]
    only: Option<Product>,
    /// Install, upgrade, remove and purge the packages in a Debian of their architecture, and run lintian (needs root)
    #[arg(long)]
    test: bool,
}

/// What is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Product {
    Gateway,
    Collector,
}

impl Product {
    const ALL: [Self; 2] = [Self::Gateway, Self::Collector];

    /// Name of the crate and of its folder.
    pub fn crate_name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Collector => "collector",
        }
    }

    /// Name of the program, the package, the service and its user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "millrace-gateway",
            Self::Collector => "millrace-collector",
        }
    }

    /// Small first on a gateway, fast on a server.
    fn profile(self) -> &'static str {
        match self {
            Self::Gateway => cross::PROFILE,
            Self::Collector => "release",
        }
    }

    /// C library of the oldest system it is for. The collector's query engine asks for `hypot` of 2.35, which is that of Ubuntu 22.04.
    fn glibc(self) -> Glibc {
        match self {
            Self::Gateway => SUPPORTED,
            Self::Collector => Glibc { major: 2, minor: 35 },
        }
    }
}

/// An architecture by Debian's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    Amd64,
    Arm64,
    Armhf,
}

impl Arch {
    /// The one of this machine, if packages are made for it.
    fn of_this_machine() -> Option<Self> {
        Self::value_variants().iter().copied().find(|arch| arch.target().is_native())
    }

    fn target(self) -> Target {
        match self {
            Self::Amd64 => Target::X86_64,
            Self::Arm64 => Target::Aarch64,
            Self::Armhf => Target::Armv7,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.target().debian().unwrap_or("none"))
    }
}

/// Makes the packages, shows what they are, and tests them if asked to.
pub fn run(options: &Options) -> Result<bool> {
    if options.test {
        test::prepare(&options.arch)?;
    }
    setup::debian("packages", &[("/usr/bin/readelf", "binutils"), ("/usr/bin/dpkg-deb", "dpkg")])?;
    cargo_deb::install()?;
    let products: Vec<Product> = Product::ALL.into_iter().filter(|product| options.only.is_none_or(|only| only == *product)).collect();
    let mut made = Vec::new();
    for arch in &options.arch {
        for product in &products {
            let program = programs::find(*product, *arch)?;
            made.push(
                Package::make(*product, *arch, &program, &Variant::default()).with_context(|| format!("{} for {arch}", product.name()))?,
            );
        }
    }
    show(&made)?;
    if options.test {
        test::run(&made)?;
    }
    Ok(true)
}

/// A package that was made.
#[derive(Clone, Debug)]
pub struct Package {
    product: Product,
    arch: Arch,
    file: PathBuf,
    /// What it was made of, for the tests' later versions of it.
    program: PathBuf,
}

/// What the tests change about a package.
#[derive(Clone, Copy, Debug)]
struct Variant {
    /// Debian's revision of it.
    revision: u32,
    /// A line at the end of its configuration file.
    config_line: Option<&'static str>,
    compression: Compression,
}

impl Default for Variant {
    fn default() -> Self {
        Self { revision: 1, config_line: None, compression: Compression::Small }
    }
}

impl Package {
    fn make(product: Product, arch: Arch, program: &Path, variant: &Variant) -> Result<Self> {
        let needs = binary::needs(program, arch, product.glibc())?;
        let stage = stage::fill(product, arch, program, &needs.depends(), variant)?;
        let made = cargo_deb::pack(&stage, arch, variant.compression)?;
        let folder = if variant.revision == 1 { output_folder() } else { upgrades() };
        fs::create_dir_all(&folder)?;
        let file = folder.join(made.file_name().context("cargo-deb made a file without a name")?);
        fs::rename(&made, &file).with_context(|| format!("cannot move {} to {}", made.display(), file.display()))?;
        // Holds a copy of the program.
        fs::remove_dir_all(stage.folder())?;
        Ok(Self { product, arch, file, program: program.into() })
    }
}

/// Where the packages are put.
fn output_folder() -> PathBuf {
    command::target_dir().join("package")
}

/// Where the tests' later versions of them are put.
fn upgrades() -> PathBuf {
    output_folder().join("upgrades")
}

/// A table on stdout, and the sums as a file that `sha256sum --check` reads.
fn show(made: &[Package]) -> Result<()> {
    println!("{:<46} {:<6} {:>9} {:>10}  sha256", "package", "arch", "size", "installed");
    for package in made {
        let name = package.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let size = fs::metadata(&package.file)?.len();
        let installed = command::output(Command::new("dpkg-deb").arg("--field").arg(&package.file).arg("Installed-Size"))?;
        let installed: u64 = installed.trim().parse().context("Installed-Size of the package")?;
        let sum = command::output(Command::new("sha256sum").arg(&package.file))?;
        let sum = sum.split_whitespace().next().unwrap_or_default();
        println!("{name:<46} {:<6} {:>9} {:>10}  {sum}", package.arch, megabytes(size), megabytes(installed * 1024));
        fs::write(package.file.with_extension("deb.sha256"), format!("{sum}  {name}\n"))?;
    }
    println!("in {}", output_folder().display());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_megabytes() {
        assert_eq!(megabytes(4_870_000), "4.87 MB");
    }

    #[test]
    fn each_changelog_is_for_the_version_that_is_packed() {
        let root = command::root();
        let version = stage::version(&root).unwrap();
        for product in Product::ALL {
            let file = root.join("deploy/debian").join(product.crate_name()).join("changelog");
            let text = fs::read_to_string(&file).unwrap();
            let wanted = format!("{} ({version}-1) ", product.name());
            assert!(text.starts_with(&wanted), "{} must open with {wanted:?}: add an entry for this version", file.display());
        }
    }
}
