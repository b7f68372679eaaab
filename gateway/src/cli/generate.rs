//! `completions` and `man-pages`: what the command line says of itself, for shells and for `man`.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

const NAME: &str = "millrace-gateway";

/// Prints the completions of `shell`.
pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    // Into memory first: the generator panics where a reader has gone away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    io::stdout().write_all(&script).context("the completions could not be written")
}

/// Writes one page for the program and one for each command that is not hidden.
pub(super) fn man_pages(folder: &Path) -> anyhow::Result<()> {
    let failed = || format!("the manual pages could not be written to {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(failed)
}
