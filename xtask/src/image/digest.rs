//! SHA-256 of files and texts, in hex.

use std::{fs::File, io, path::Path};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Of a file's content.
///
/// # Errors
/// The file can't be read.
pub fn file(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut source = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    io::copy(&mut source, &mut hasher).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex::encode(hasher.finalize()))
}

/// Of texts, one after the other, with their lengths.
pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hex::encode(hasher.finalize())
}
