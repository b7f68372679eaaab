//! What a program for another machine is: its size, and the newest glibc whose symbols it asks for. Read off the file, since it can't be started here.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command;

/// The glibc of Raspberry Pi OS bookworm is 2.36; what Debian's cross compilers make from Rust asks for 2.34.
pub const SUPPORTED: Glibc = Glibc { major: 2, minor: 34 };

/// A version of the GNU C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc {
    pub major: u32,
    pub minor: u32,
}

impl Glibc {
    /// `2.34`; a third number is left out.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut numbers = text.split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => Err(format!("{text:?} is no version of glibc: write 2.31")),
        }
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

/// A built program.
pub struct Built {
    pub path: PathBuf,
    pub bytes: u64,
    /// `None`: it is static.
    pub glibc: Option<Glibc>,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let glibc = self.glibc.map_or_else(|| "static".to_owned(), |glibc| glibc.to_string());
        let path = self.path.strip_prefix(command::root()).unwrap_or(&self.path);
        write!(f, "{:>9} {:>8.2} {glibc:>9}  {}", self.bytes, self.bytes as f64 / 1e6, path.display())
    }
}

/// Looks at the program at `path`.
///
/// # Errors
/// If it asks for a newer glibc than `limit`, with what to do.
pub fn inspect(path: &Path, limit: Glibc) -> Result<Built> {
    let bytes = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    let needs = command::output(Command::new("readelf").args(["--version-info", "--wide"]).arg(path))?;
    let glibc = newest(&needs);
    if let Some(glibc) = glibc
        && glibc > limit
    {
        bail!(
            "{} asks for glibc {glibc}, and {limit} is promised: the C library that it was linked with is too new. Build it on Debian bookworm \
             (a gateway also by `cargo xtask cross --glibc {limit}`)",
            path.display()
        );
    }
    Ok(Built { path: path.into(), bytes, glibc })
}

/// The newest of the versions `GLIBC_2.x` in what `readelf --version-info` printed.
pub fn newest(readelf: &str) -> Option<Glibc> {
    let names =
        readelf.split("GLIBC_").skip(1).map(|rest| rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default());
    names.filter_map(|name| Glibc::parse(name).ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const READELF: &str = "Version needs section '.gnu.version_r' contains 3 entries:\n \
        0x0010:   Name: GLIBC_2.4  Flags: none  Version: 4\n  0x0020:   Name: GLIBC_2.34  Flags: none  Version: 3\n  \
        0x0030:   Name: GLIBC_2.9  Flags: none  Version: 3\n  0x0040:   Name: GCC_4.3.0  Flags: none  Version: 2\n  Name: GLIBC_PRIVATE";

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(newest(READELF), Some(Glibc { major: 2, minor: 34 }));
        assert_eq!(newest("Name: GCC_4.3.0"), None);
        assert!(Glibc::parse("2.9") < Glibc::parse("2.28"));
        assert!(Glibc::parse("bookworm").is_err());
    }
}
