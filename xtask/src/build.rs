//! Builds of the product for demo and tests: one profile, one selection of packages, so that nothing is compiled twice.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
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

/// The dashboard's page, which the collector embeds when it is compiled. One that is newer than all it is made of is left alone: the collector
/// would be compiled anew for it.
pub fn dashboard() -> Result<()> {
    setup::npm_packages()?;
    let folder = command::root().join("collector/dashboard");
    let page = folder.join("dist/index.html");
    if page.exists() && fs::metadata(&page)?.modified()? > newest(&folder)? {
        return Ok(());
    }
    command::run(Command::new("npm").args(["run", "--silent", "build"]).current_dir(folder))
}

/// When the last of the files below `folder` was written that a page is made of.
fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let time = match entry.file_name().to_str() {
            Some("dist" | "node_modules" | "test" | "mock") => continue,
            _ if entry.file_type()?.is_dir() => self::newest(&entry.path())?,
            _ => entry.metadata()?.modified()?,
        };
        newest = newest.max(time);
    }
    Ok(newest)
}

/// Dashboard and programs.
pub fn all() -> Result<Programs> {
    dashboard()?;
    command::run(command::cargo().args(["build", "--workspace", "--bins"]))?;
    Ok(Programs::built())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The whole path compiled the collector once more each time, for a page that was the same.
    #[test]
    fn a_page_is_as_old_as_the_newest_file_that_it_is_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (name, seconds) in [("index.html", 10), ("src/pages/fleet.tsx", 30), ("dist/index.html", 50), ("node_modules/vite/a.js", 60)] {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::File::create(file).unwrap().set_modified(at(seconds)).unwrap();
        }
        assert_eq!(newest(dir.path()).unwrap(), at(30));
    }
}
