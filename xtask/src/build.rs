//! Builds of the product for demo and tests: one profile, one selection of packages, so that nothing is compiled twice.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{command, setup};

/// The product's programs, in the folder that cargo put them into.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The programs as they were built last.
    pub fn built() -> Self {
        Self { folder: command::target_dir().join("debug") }
    }

    /// A command that runs `millrace-NAME`.
    pub fn command(&self, name: &str) -> Command {
        Command::new(self.folder.join(format!("millrace-{name}")))
    }
}

/// The dashboard's page, which the collector embeds when it is compiled.
pub fn dashboard() -> Result<()> {
    setup::npm_packages()?;
    command::run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(command::root().join("collector/dashboard")))
}

/// Dashboard and programs.
pub fn all() -> Result<Programs> {
    dashboard()?;
    command::run(command::cargo().args(["build", "--workspace", "--bins"]))?;
    Ok(Programs::built())
}
