//! The demo's processes: started with their output in log files, watched, and ended in order. None outlives the demo.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::command;

/// One running program of the demo.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `folder/NAME.log`.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // Its own process group: Ctrl-C reaches the demo alone, which then ends the others in order.
        command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name} ({})", command.get_program().to_string_lossy()))?;
        Ok(Self { name: name.into(), child, log })
    }

    /// An error with the end of its log if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself ({status}); the end of {}:\n{}", self.name, self.log.display(), tail(&self.log, 3000));
        }
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal` (`TERM`, `KILL`, ...).
    pub fn signal(&self, signal: &str) -> Result<()> {
        command::output(Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string())).map(drop)
    }

    /// Asks it to end (SIGTERM) and waits; after `grace` it is killed, which is an error.
    pub fn end(mut self, grace: Duration) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            self.signal("TERM")?;
        }
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return self.ended(status);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("{} did not end within {} s after SIGTERM; see {}", self.name, grace.as_secs(), self.log.display())
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn ended(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!("{} ended with {status}; the end of {}:\n{}", self.name, self.log.display(), tail(&self.log, 3000));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only reached by a process that nobody ended: an error is on its way up.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The last `bytes` of a file, for error messages.
fn tail(path: &Path, bytes: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    read().unwrap_or_else(|error| format!("(cannot read it: {error})"))
}

/// Waits until `ready` answers true, looking every 100 ms.
pub fn wait_for(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        if ready()? {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{what} did not happen within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
