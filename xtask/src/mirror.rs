//! Where this machine's apt gets Debian's packages from: other suites are fetched from the same place.

use std::{fs, path::Path};

use anyhow::{Result, bail};

/// The address of the mirror of Debian's archive (not of its security updates) that this machine's own apt sources name.
///
/// # Errors
/// If they name none.
pub fn debian() -> Result<String> {
    let folder = Path::new("/etc/apt");
    let mut files = vec![folder.join("sources.list")];
    if let Ok(entries) = fs::read_dir(folder.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    match files.iter().filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| of(&text)) {
        Some(address) => Ok(address),
        None => bail!("no source in /etc/apt names Debian's archive: add one (`deb http://MIRROR/debian SUITE main`)"),
    }
}

/// The first address in a sources file, of either format, that ends in `/debian`.
fn of(text: &str) -> Option<String> {
    let words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    words.map(|word| word.trim_end_matches('/')).find(|word| word.starts_with("http") && word.ends_with("/debian")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats_and_comments_and_security_are_not() {
        let new = "Types: deb\n# http://old.example/debian\nURIs: http://mirror.example/debian-security\nURIs: http://mirror.example/debian/\nSuites: bookworm";
        assert_eq!(of(new).as_deref(), Some("http://mirror.example/debian"));
        assert_eq!(of("deb [arch=amd64] https://m.example/debian bookworm main").as_deref(), Some("https://m.example/debian"));
        assert_eq!(of("deb https://m.example/ubuntu noble main"), None);
    }
}
