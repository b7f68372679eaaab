//! Running other programs: each call names itself on stderr, and a failure says which command it was.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The workspace's root folder: where cargo runs this program from, rather than where it was compiled, since clones may share a target folder.
pub fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The `cargo` that runs this task, without what it tells its children about the package `xtask`: build scripts (that of ring, for one)
/// look at these variables, and would compile half of all dependencies anew whenever a build from the shell and one from here take turns.
pub fn cargo() -> Command {
    outside(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The same at low priority, where something else runs beside it that has time limits.
pub fn patient_cargo() -> Command {
    let mut nice = outside("nice");
    nice.args(["-n", "10"]).arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    nice
}

/// A program like cargo, from outside of this one, in the workspace's root and with none of our variables.
pub fn outside(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let about_us =
            name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_") || n.starts_with("CARGO_BIN_"));
        if about_us || name == "CARGO_CRATE_NAME" || name == "CARGO_PRIMARY_PACKAGE" || name == "OUT_DIR" {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo xtask` once more, as a program of its own. Cargo replaces the file that this one was started from whenever it builds the workspace
/// with other features, so the path would name a file that is gone, or a newer one.
pub fn this_program() -> Command {
    let mut command = Command::new(program_of(std::process::id()));
    command.current_dir(root());
    command
}

/// The program that process `pid` runs, which can be started as long as the process lives, even when its file was removed.
pub fn program_of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}

/// Runs `command` to its end with its output shown (on stderr, since stdout belongs to the task's own result).
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    eprintln!("$ {shown}");
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs `command` and returns what it wrote on stdout; its stderr is part of the error.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` to its end without showing what it writes; if it fails, all of that is part of the error.
pub fn quietly(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("`{shown}` failed ({}):\n{}\n{}", output.status, out.trim(), err.trim());
    }
    Ok(())
}

/// Whether this process may do what only root may.
pub fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

fn shown(command: &Command) -> String {
    let program =
        if Path::new(command.get_program()) == program_of(std::process::id()) { "cargo xtask".as_ref() } else { command.get_program() };
    let words: Vec<_> = std::iter::once(program).chain(command.get_args()).map(|w| w.to_string_lossy()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The build for ARM in the background was started by the path of a program that cargo had replaced in the meantime.
    #[test]
    fn a_program_whose_file_is_gone_can_be_started_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let shell = dir.path().join("shell");
        std::fs::copy("/bin/sh", &shell).unwrap();
        let mut first = Command::new(&shell).args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        std::fs::remove_file(&shell).unwrap();
        let said = output(Command::new(program_of(first.id())).args(["-c", "echo here"]));
        first.kill().unwrap();
        first.wait().unwrap();
        assert_eq!(said.unwrap().trim(), "here");
    }
}
