//! Builds of the product for demo and tests: one profile, one selection of packages, so that nothing is compiled twice.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{command, setup};

/// A program and how it is started: by itself, or through an emulator.
#[derive(Clone)]
pub struct Program {
    words: Vec<OsString>,
}

impl Program {
    /// One that runs by itself.
    pub fn at(path: &Path) -> Self {
        Self { words: vec![path.into()] }
    }

    /// One that is the last argument of another.
    pub fn through(emulator: Vec<String>, path: &Path) -> Self {
        Self { words: emulator.into_iter().map(OsString::from).chain([path.into()]).collect() }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command
    }
}

/// The product's programs: in the folder that cargo put them into, but for gateways that are somebody else's.
pub struct Programs {
    folder: PathBuf,
    gateways: Vec<Program>,
}

impl Programs {
    /// The programs as they were built last.
    pub fn built() -> Self {
        Self { folder: command::target_dir().join("debug"), gateways: Vec::new() }
    }

    /// The same with other gateways, which the gateways of a plant take by turns.
    pub fn with_gateways(self, gateways: Vec<Program>) -> Self {
        Self { gateways, ..self }
    }

    /// Those of a folder that somebody else put them into.
    pub fn within(folder: PathBuf) -> Self {
        Self { folder, gateways: Vec::new() }
    }

    /// A command that runs `millrace-NAME`.
    pub fn command(&self, name: &str) -> Command {
        Command::new(self.folder.join(format!("millrace-{name}")))
    }

    /// A command that runs the program of gateway `number` of a plant.
    pub fn gateway(&self, number: usize) -> Command {
        match self.gateways.len() {
            0 => self.command("gateway"),
            count => self.gateways[number % count].command(),
        }
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
