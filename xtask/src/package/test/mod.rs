//! `cargo xtask package --test`: the packages in the hands of the real dpkg, in a Debian bookworm of their architecture: install, upgrade with and
//! without a changed configuration, remove, install again, purge. What is looked at stands in `checks`, where it happens in `place`.

mod checks;
mod place;

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use place::Place;

use super::{Arch, Package, Product, Variant, cargo_deb::Compression};
use crate::{command, setup};

/// Why they are the second and the third: the first changes a configuration that nobody touched, the second one that somebody did.
const SECOND: Variant = Variant { revision: 2, config_line: Some("# of the second package"), compression: Compression::Fast };
const THIRD: Variant = Variant { revision: 3, config_line: Some("# of the third package"), compression: Compression::Fast };

/// Installs what the tests need, and says early what they cannot do without.
///
/// # Errors
/// This user is not root, or something could not be installed.
pub(super) fn prepare(archs: &[Arch]) -> Result<()> {
    if !command::is_root()? {
        bail!("packages are installed in a root file system of their own, which takes root: run it with sudo, or leave --test away");
    }
    setup::debian(
        "the packages' test",
        &[
            ("/usr/bin/mmdebstrap", "mmdebstrap"),
            ("/usr/bin/systemd-nspawn", "systemd-container"),
            ("/usr/bin/lintian", "lintian"),
            ("/usr/bin/mandoc", "mandoc"),
        ],
    )?;
    if archs.iter().any(|arch| Some(*arch) != Arch::of_this_machine()) {
        setup::debian("packages of other architectures", &[("/usr/bin/qemu-aarch64-static", "qemu-user-static")])?;
    }
    Ok(())
}

/// Tests each package, and those of one architecture together.
///
/// # Errors
/// What did not hold, and what was seen instead.
pub(super) fn run(made: &[Package]) -> Result<()> {
    for package in made {
        lint(&package.file)?;
    }
    for package in made {
        let begun = Instant::now();
        let mut place = Place::open(package.arch)?;
        life(&mut place, package).with_context(|| format!("{} for {}", package.product.name(), package.arch))?;
        eprintln!("{} for {}: all held, in {} s", package.product.name(), package.arch, begun.elapsed().as_secs());
    }
    for package in made.iter().filter(|package| package.product == Product::Gateway) {
        let other = made.iter().find(|other| other.product == Product::Collector && other.arch == package.arch);
        if let Some(collector) = other {
            both(&mut Place::open(package.arch)?, package, collector).with_context(|| format!("both packages for {}", package.arch))?;
        }
    }
    std::fs::remove_dir_all(super::upgrades())?;
    Ok(())
}

/// The test of one program that is built already for this machine, as a step of `cargo xtask test`.
///
/// # Errors
/// As [`run`].
pub fn gateway_here(program: &Path) -> Result<()> {
    let Some(arch) = Arch::of_this_machine() else { bail!("packages are not made for this architecture") };
    prepare(&[arch])?;
    super::cargo_deb::install()?;
    // Programs of the tests carry what debuggers want, which makes a package a hundred megabytes.
    let stripped = super::output_folder().join(Product::Gateway.name());
    std::fs::create_dir_all(super::output_folder())?;
    command::run(Command::new("strip").arg("-o").arg(&stripped).arg(program))?;
    run(&[Package::make(Product::Gateway, arch, &stripped, &Variant { compression: Compression::Fast, ..Variant::default() })?])
}

fn lint(file: &Path) -> Result<()> {
    command::run(
        Command::new("lintian")
            .args(["--fail-on", "error", "--tag-display-limit", "0", "--suppress-tags", "initial-upload-closes-no-bugs", "--allow-root"])
            .arg(file),
    )
}

/// From the first installation to the purge.
fn life(place: &mut Place, package: &Package) -> Result<()> {
    let product = package.product;
    let later = |variant| Package::make(product, package.arch, &package.program, variant);
    let (second, third) = (later(&SECOND)?, later(&THIRD)?);

    place.install(package).context("the first installation")?;
    manual_pages(place, product)?;
    place.check(product, checks::INSTALLED)?;
    place.check(product, checks::first_start(product, place.is_booted()))?;
    place.check(product, checks::MADE_BY_USE)?;

    place.install(&second).context("an upgrade with an untouched configuration")?;
    place.check(product, checks::UPGRADED)?;
    place.check(product, checks::running(place.is_booted()))?;

    place.check(product, checks::CHANGED_BY_HAND)?;
    place.install(&third).context("an upgrade with a configuration that was changed by hand")?;
    place.check(product, checks::UPGRADED_AND_KEPT)?;

    let told = place.dpkg("--remove", product)?;
    if !told.contains(&format!("kept /var/lib/{}", product.name())) {
        bail!("removal does not say that it keeps the state: {told:?}");
    }
    place.check(product, checks::REMOVED)?;
    place.install(&third).context("an installation over what a removal left")?;
    place.check(product, checks::TAKEN_OVER)?;
    place.check(product, checks::running(place.is_booted()))?;

    // Once from the running state, which is what most people do.
    place.dpkg("--purge", product)?;
    place.check(product, checks::PURGED)
}

/// Purging one must not take anything from the other.
fn both(place: &mut Place, gateway: &Package, collector: &Package) -> Result<()> {
    place.install(gateway)?;
    place.install(collector)?;
    place.check(Product::Gateway, checks::MADE_BY_USE)?;
    let told = place.dpkg("--purge", Product::Gateway)?;
    if !told.contains("look whether it holds secrets") {
        bail!("the gateway's purge does not say that files stay for the collector's sake: {told:?}");
    }
    place.check(Product::Collector, checks::INSTALLED)?;
    place.dpkg("--purge", Product::Collector)?;
    place.check(Product::Gateway, checks::PURGED)
}

/// Each page is rendered, and there is one for the program and for each of its commands that `--help` lists.
fn manual_pages(place: &Place, product: Product) -> Result<()> {
    let folder = place.folder().join("usr/share/man/man1");
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(product.name()) {
            let shown = command::output(Command::new("mandoc").args(["-T", "utf8", "-W", "error"]).arg(&path))?;
            if !shown.contains("millrace") {
                bail!("the manual page {name} is empty");
            }
            pages.push(name);
        }
    }
    let whole = command::output(
        Command::new("mandoc").args(["-T", "ascii", "-O", "width=300"]).arg(folder.join(format!("{}.1.gz", product.name()))),
    )?;
    for command in ["run", "check-config", "completions"] {
        let page = format!("{}-{command}.1.gz", product.name());
        if !pages.contains(&page) || !whole.contains(command) {
            bail!("there is no manual page of the command {command}: {pages:?}");
        }
    }
    eprintln!("ok: {} manual pages render", pages.len());
    Ok(())
}
