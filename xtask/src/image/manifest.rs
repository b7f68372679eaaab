//! What an image is made of, beside it in a text: parts with their SHA-256, and packages with their versions.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{base::Base, boards::Board, digest, slot::Slot};

/// What is listed.
pub struct Contents<'a> {
    pub board: Board,
    pub version: &'a str,
    pub epoch: u64,
    pub base: &'a Base,
    pub slot: &'a Slot,
    /// (name, file)
    pub parts: Vec<(&'a str, &'a Path)>,
}

/// The whole text.
///
/// # Errors
/// A part can't be read.
pub fn text(contents: &Contents<'_>) -> Result<String> {
    let Contents { board, version, epoch, base, slot, parts } = contents;
    let mut text = format!("board {}\nversion {version}\nsource-date-epoch {epoch}\n", board.name());
    for (name, path) in parts {
        text += &format!("sha256 {} {name}\n", digest::file(path)?);
    }
    for package in &slot.packages {
        text += &format!("package {package}\n");
    }
    let boot = fs::read_to_string(base.boot.join("packages")).context("the list of boot packages")?;
    for package in boot.lines() {
        text += &format!("boot-package {package}\n");
    }
    Ok(text)
}
