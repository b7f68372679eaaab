//! Style as a test: module heads, links in the documents, units, and words that do not belong into the product.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command;

pub fn check() -> Result<()> {
    let root = command::root();
    let files = tracked_files(&root)?;
    let mut faults = Vec::new();
    let private = private_places(&root);
    for file in &files {
        let path = root.join(file);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("rs") => faults.extend(module_head(file, &text)),
            Some("md") => faults.extend(dead_links(&root, file, &text)),
            _ => {}
        }
        for place in private.iter().filter(|place| text.contains(place.as_str())) {
            faults.push(format!("{}: holds {place}, a path of this machine", file.display()));
        }
    }
    faults.extend(units(&root)?);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    eprintln!("{} files are tidy", files.len());
    Ok(())
}

fn tracked_files(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = command::output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root))
        .context("the files of the project are listed with git")?;
    Ok(listed.lines().map(PathBuf::from).collect())
}

/// Folders that mean something on this machine only: they have no place in a file of the project. Temporary folders, and those directly
/// below the root, are named on purpose here and there, wherever this clone may lie.
fn private_places(root: &Path) -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let above = root.parent().filter(|above| above.components().count() > 2).map(Path::to_path_buf);
    let told = home.into_iter().chain(above).filter(|place| place.components().count() > 1 && *place != std::env::temp_dir());
    told.map(|place| format!("{}/", place.display())).collect()
}

/// Every module says in its head what it is.
fn module_head(file: &Path, text: &str) -> Option<String> {
    (!text.starts_with("//!")).then(|| format!("{}: does not open with //! (what it is, where it stands in the flow)", file.display()))
}

/// Relative links of a document must lead somewhere.
fn dead_links(root: &Path, file: &Path, text: &str) -> Vec<String> {
    let folder = root.join(file).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut dead = Vec::new();
    for piece in text.split("](").skip(1) {
        let target = piece.split([')', '#', ' ']).next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        if !folder.join(target).exists() {
            dead.push(format!("{}: link to {target}, which does not exist", file.display()));
        }
    }
    dead
}

/// `systemd-analyze verify`, with the programs' places filled in, since they are not installed here.
fn units(root: &Path) -> Result<Vec<String>> {
    let folder = command::target_dir().join("units");
    fs::create_dir_all(&folder)?;
    let mut faults = Vec::new();
    for name in ["millrace-gateway.service", "millrace-collector.service"] {
        let unit = fs::read_to_string(root.join("systemd").join(name)).with_context(|| format!("systemd/{name}"))?;
        let here = folder.join(name);
        let binary = name.trim_end_matches(".service");
        fs::write(&here, unit.replace(&format!("/usr/bin/{binary}"), "/bin/true"))?;
        let output = Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&here).output().context("systemd-analyze")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let about_us: Vec<&str> = said.lines().filter(|line| line.contains(binary)).collect();
        if !about_us.is_empty() {
            faults.push(format!("systemd-analyze verify systemd/{name}:\n{}", about_us.join("\n")));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_a_head_is_found() {
        assert!(module_head(Path::new("a.rs"), "use std::fs;").is_some());
        assert!(module_head(Path::new("a.rs"), "//! What it is.").is_none());
    }

    #[test]
    fn a_link_to_nowhere_is_found_and_others_are_left_alone() {
        let root = command::root();
        let text = "[a](Cargo.toml) [b](no-such-file.md) [c](https://example.invalid/x) [d](#here)";
        let dead = dead_links(&root, Path::new("README.md"), text);
        assert_eq!(dead.len(), 1, "{dead:?}");
        assert!(dead[0].contains("no-such-file.md"));
    }
}
