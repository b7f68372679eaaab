//! Whether the files of `deploy/` would do what they say, found out without a container engine and without a cluster.
//!
//! The programs that use such files read them (hadolint, compose, promtool, kustomize, the schemas of the Kubernetes API); and what one file says of
//! another, or of the code, must be so: ports, folders, users, versions, names of metrics. [`check_settings`] asks the built collector itself.

mod container;
mod dashboards;
mod kubernetes;
mod names;
mod settings;
mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::tools::Tools;
use crate::{build::Programs, command};

/// All that can be said of the files without a built collector.
///
/// # Errors
/// The first tool that refuses a file, or else all faults together.
pub fn check() -> Result<()> {
    let tools = Tools::install()?;
    let image = container::Image::read()?;
    let mut faults = image.faults()?;
    for file in ["container/Dockerfile", "container/cross.Dockerfile"] {
        tools.hadolint(&folder(file))?;
    }
    Tools::shellcheck(&scripts(&folder(""))?)?;
    faults.extend(container::compose(&tools)?);
    faults.extend(dashboards::faults(&tools)?);
    faults.extend(kubernetes::faults(&tools, &image)?);
    if !faults.is_empty() {
        bail!("deploy/:\n  {}", faults.join("\n  "));
    }
    eprintln!("deploy/ is sound");
    Ok(())
}

/// Gives the settings and command lines of compose and of the manifests to the built collector: it takes them, and refuses the image's own
/// settings as long as neither TLS nor plain HTTP is chosen.
///
/// # Errors
/// What the collector says.
pub fn check_settings(programs: &Programs) -> Result<()> {
    settings::check(&Tools::install()?, programs)
}

/// The shell's scripts in this folder and below it: what the system's shell is named for, or shellcheck is told of.
fn scripts(within: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(within).with_context(|| format!("cannot read {}", within.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(scripts(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            let text = fs::read(entry.path())?;
            let first = String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
            if first.starts_with("#!") && first.ends_with("sh") || first.starts_with("# shellcheck shell=") {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// A file or folder below `deploy/`.
fn folder(below: &str) -> PathBuf {
    command::root().join("deploy").join(below)
}

fn read(below: &str) -> Result<String> {
    fs::read_to_string(folder(below)).with_context(|| format!("deploy/{below}"))
}

/// The value at `path` (`a/b/0`), or null.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    value.pointer(&format!("/{path}")).unwrap_or(&Value::Null)
}

/// The texts of a list.
fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A list, or nothing.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A fault unless `is` holds.
fn must(is: bool, fault: impl Into<String>) -> Option<String> {
    (!is).then(|| fault.into())
}
