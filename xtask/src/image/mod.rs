//! `cargo xtask image`: stands in until the image is made here; only its boot test can be run.

pub mod boot_test;

use anyhow::{Result, bail};

#[derive(clap::Args)]
pub struct Options {
    /// Boot the image in an emulator, cut its power, update it, and hold it to account
    #[arg(long)]
    test: bool,
    #[command(flatten)]
    boot_test: boot_test::Options,
}

pub fn run(options: &Options) -> Result<bool> {
    if options.test {
        return boot_test::run(&options.boot_test);
    }
    bail!("only --test is there yet")
}
