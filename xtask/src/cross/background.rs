//! The builds for ARM beside something else that leaves the processor idle: a process of its own at low priority, with a log.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::CHECKED;
use crate::command;

/// Builds that go on.
pub struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts to build what [`super::check`] runs.
    ///
    /// # Errors
    /// If it could not be started.
    pub fn begin() -> Result<Self> {
        let log = command::target_dir().join("e2e/cross.log");
        fs::create_dir_all(log.parent().unwrap_or(&log))?;
        let (out, err) = (fs::File::create(&log)?, fs::OpenOptions::new().append(true).open(&log)?);
        let targets = CHECKED.map(super::Target::triple).join(",");
        let mut build = Command::new("nice");
        build
            .args(["-n", "19"])
            .arg(command::program_of(std::process::id()))
            .args(["cross", "--target", &targets])
            .current_dir(command::root());
        let child = build.stdin(Stdio::null()).stdout(out).stderr(err).spawn().context("nice")?;
        eprintln!("  meanwhile {targets} are built; log: {}", log.display());
        Ok(Self { child, log })
    }

    /// Until they are built.
    ///
    /// # Errors
    /// If they failed, with the end of the log.
    pub fn wait(mut self) -> Result<()> {
        if self.child.wait()?.success() {
            return Ok(());
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        bail!("the builds for ARM failed; the end of {}:\n{}", self.log.display(), lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Only when something else failed: after `wait` there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
