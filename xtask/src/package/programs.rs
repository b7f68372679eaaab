//! Where the programs come from that are packed: built here for this machine's architecture, cross-compiled for others.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Arch, Product};
use crate::{
    build::{self, Program},
    command,
    cross::{self, emulate},
};

/// A folder of programs that are built already (as TARGET/PROFILE/NAME, or NAME): nothing is compiled then.
const BUILT: &str = "MILLRACE_PROGRAMS";

/// The program of `product` for `arch`; builds it where it has to.
pub(super) fn find(product: Product, arch: Arch) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(BUILT) {
        return built(&command::root().join(folder), product, arch);
    }
    if product == Product::Collector {
        build::dashboard()?;
    }
    cross::package(product.crate_name(), product.profile(), arch.target(), product.glibc())
}

fn built(folder: &Path, product: Product, arch: Arch) -> Result<PathBuf> {
    let places = [folder.join(arch.target().triple()).join(product.profile()).join(product.name()), folder.join(product.name())];
    let found = places.iter().find(|place| place.is_file());
    found.cloned().with_context(|| format!("{BUILT} is set, but there is neither {} nor {}", places[0].display(), places[1].display()))
}

/// A program that runs here, whatever its profile.
fn for_this_machine(product: Product) -> Result<PathBuf> {
    match (std::env::var_os(BUILT), Arch::of_this_machine()) {
        (Some(_), Some(here)) => find(product, here),
        _ => {
            build::all()?;
            Ok(command::target_dir().join("debug").join(product.name()))
        }
    }
}

/// The program that writes manual pages and completions: the one that is packed, by emulation if it must be, or else one that is built for this
/// machine.
pub(super) fn generator(product: Product, arch: Arch, program: &Path) -> Result<impl Fn(&[&OsStr]) -> Result<String>> {
    let emulated =
        emulate::program(arch.target(), program).ok().filter(|it| command::output(it.command().args(["completions", "bash"])).is_ok());
    let program = match emulated {
        Some(program) => program,
        None => Program::at(&for_this_machine(product)?),
    };
    Ok(move |args: &[&OsStr]| command::output(program.command().args(args)))
}
