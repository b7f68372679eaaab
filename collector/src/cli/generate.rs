//! `completions` and `man-pages`: what the command line says of itself, for shells and for `man`.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, CommandError};

const NAME: &str = "millrace-collector";

/// Prints the completions of `shell`.
pub(super) fn completions(shell: Shell) -> Result<(), CommandError> {
    // Into memory first: the generator panics where a reader has gone away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Writes one page for the program and one for each command that is not hidden.
pub(super) fn man_pages(folder: &Path) -> Result<(), CommandError> {
    let write = || {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write().map_err(|source| CommandError::File { path: folder.into(), source })
}
