//! Where packages come from: the mirror that this machine's own apt uses.
//!
//! Pure but for [`of_this_machine`]: reads both formats of apt's sources (one line a source, and deb822).

use std::{fs, path::Path, process::Command};

use anyhow::{Result, bail};

use crate::command;

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
    let mut addresses = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        addresses.extend(if path.ends_with(".sources") { deb822(&text) } else { one_line(&text) });
    }
    let ends = |tail: &str| addresses.iter().find(|a| a.trim_end_matches('/').ends_with(tail)).map(|a| a.trim_end_matches('/').to_owned());
    let Some(archive) = archive.map(|a| a.trim_end_matches('/').to_owned()).or_else(|| ends("/debian")) else {
        bail!("apt's sources on this machine name no mirror of Debian; give one with --mirror URL, as in --mirror http://HOST/debian");
    };
    let set = command::output(Command::new("apt-config").arg("dump")).unwrap_or_default();
    let options = set.lines().filter(|line| line.starts_with("Acquire::Check-Valid-Until ")).map(|l| l.trim_end_matches(';').to_owned());
    Ok(Mirror { archive, security: ends("/debian-security"), options: options.collect() })
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
    let mut found = vec!["/etc/apt/sources.list".to_owned()];
    let parts = fs::read_dir(Path::new("/etc/apt/sources.list.d")).into_iter().flatten().flatten();
    found
        .extend(parts.map(|entry| entry.path().to_string_lossy().into_owned()).filter(|p| p.ends_with(".list") || p.ends_with(".sources")));
    found.sort();
    found
}

fn is_address(word: &str) -> bool {
    word.contains("://")
}

fn one_line(text: &str) -> Vec<String> {
    let sources = text.lines().map(str::trim).filter(|line| line.starts_with("deb "));
    sources.filter_map(|line| line.split_whitespace().find(|word| is_address(word)).map(str::to_owned)).collect()
}

fn deb822(text: &str) -> Vec<String> {
    let fields = text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("uris"));
    fields.flat_map(|(_, value)| value.split_whitespace().filter(|word| is_address(word)).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_sources_are_read_and_comments_are_not() {
        let text = "# deb http://no.example/debian x main\ndeb [arch=amd64 signed-by=/k.gpg] http://a.example/debian trixie main\n";
        assert_eq!(one_line(text), ["http://a.example/debian"]);
        let text = "Types: deb\n# URIs: http://no.example\nURIs: http://a.example/debian/ http://b.example/debian\nSuites: trixie\n";
        assert_eq!(deb822(text), ["http://a.example/debian/", "http://b.example/debian"]);
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
