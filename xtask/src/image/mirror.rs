//! What apt is told of this machine's mirror: the lines of a sources.list for the suites of a slot, and the options of this machine's apt that the
//! build takes over. Stands on [`crate::mirror`], which finds the mirror itself.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use crate::{command, mirror};

/// Addresses of Debian's archive and of its security updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub archive: String,
    /// Not every machine names one; the image is then as of the last point release.
    pub security: Option<String>,
    /// Options of this machine's apt that the build takes over.
    pub options: Vec<String>,
}

/// Reads the sources and options of this machine's apt; `archive` replaces the mirror.
///
/// # Errors
/// No source of Debian's archive, and none given.
pub fn of_this_machine(archive: Option<&str>) -> Result<Mirror> {
    let archive = match archive {
        Some(archive) => archive.trim_end_matches('/').to_owned(),
        None => mirror::debian()?,
    };
    let set = command::output(Command::new("apt-config").arg("dump")).unwrap_or_default();
    let options = set.lines().filter(|line| line.starts_with("Acquire::Check-Valid-Until ")).map(|l| l.trim_end_matches(';').to_owned());
    let security = sources().iter().find_map(|text| security(text));
    Ok(Mirror { archive, security, options: options.collect() })
}

impl Mirror {
    /// Lines of a sources.list for `suite`.
    pub fn lines(&self, suite: &str, components: &str, backports: bool) -> Vec<String> {
        let Self { archive, security, .. } = self;
        let mut lines = vec![format!("deb {archive} {suite} {components}"), format!("deb {archive} {suite}-updates {components}")];
        if backports {
            lines.push(format!("deb {archive} {suite}-backports {components}"));
        }
        if let Some(security) = security {
            lines.push(format!("deb {security} {suite}-security {components}"));
        }
        lines
    }
}

fn sources() -> Vec<String> {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    files.extend(fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path()));
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

/// The first address in a sources file, of either format, that ends in `/debian-security`.
fn security(text: &str) -> Option<String> {
    let words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    words
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian-security"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_updates_are_found_in_both_formats_of_sources_and_comments_are_not() {
        let text = "# deb http://no.example/debian-security x main\ndeb [signed-by=/k.gpg] http://a.example/debian-security trixie-security main\n";
        assert_eq!(security(text).as_deref(), Some("http://a.example/debian-security"));
        assert_eq!(
            security("URIs: http://a.example/debian/\nURIs: http://b.example/debian-security/").as_deref(),
            Some("http://b.example/debian-security")
        );
    }

    #[test]
    fn security_updates_and_backports_are_asked_for_where_they_belong() {
        let mirror = Mirror { archive: "http://a/debian".into(), security: Some("http://a/debian-security".into()), options: vec![] };
        let lines = mirror.lines("trixie", "main", true);
        assert!(lines.contains(&"deb http://a/debian trixie-backports main".to_owned()));
        assert!(lines.contains(&"deb http://a/debian-security trixie-security main".to_owned()));
        assert_eq!(Mirror { security: None, ..mirror }.lines("trixie", "main", false).len(), 2);
    }
}
