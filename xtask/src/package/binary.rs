//! What a program needs of the system that it is installed on, read from its ELF headers by readelf: `dpkg-shlibdeps` would want the libraries
//! of each architecture installed here.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use super::Arch;
use crate::{
    command,
    cross::program::{Glibc, newest},
};

/// What a program is linked to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    libraries: Vec<String>,
    glibc: Option<Glibc>,
}

/// Reads `program`; `oldest` is the C library of the oldest system that its package is for.
///
/// # Errors
/// It is for another architecture, or needs what that system does not have.
pub(super) fn needs(program: &Path, arch: Arch, oldest: Glibc) -> Result<Needs> {
    let mut readelf = Command::new("readelf");
    readelf.env("LC_ALL", "C").args(["--wide", "--file-header", "--dynamic", "--version-info"]).arg(program);
    let headers = command::output(&mut readelf)?;
    if !is_for(&headers, arch) {
        bail!("{} is no program for {arch}", program.display());
    }
    let needs = Needs::read(&headers);
    needs.check(&program.display().to_string(), oldest)?;
    Ok(needs)
}

impl Needs {
    fn read(headers: &str) -> Self {
        let libraries = headers.lines().filter(|line| line.contains("(NEEDED)"));
        let libraries = libraries.filter_map(|line| line.split_once('[')?.1.split_once(']')).map(|(name, _)| name.to_owned()).collect();
        Self { libraries, glibc: newest(headers) }
    }

    fn check(&self, program: &str, oldest: Glibc) -> Result<()> {
        if let Some(glibc) = self.glibc.filter(|glibc| *glibc > oldest) {
            bail!(
                "{program} needs glibc {glibc}, and its package is for systems with {oldest} and newer: \
                 build it on Debian bookworm (a gateway also by `cargo xtask cross --glibc {oldest}`), and name its folder in MILLRACE_PROGRAMS"
            );
        }
        if let Some(unknown) = self.libraries.iter().find(|name| package_of(name).is_none()) {
            bail!("{program} is linked to {unknown}, and it is not known which Debian package has that: see xtask/src/package/binary.rs");
        }
        Ok(())
    }

    /// For the field `Depends`.
    pub(super) fn depends(&self) -> Vec<String> {
        let mut packages: Vec<&str> = self.libraries.iter().filter_map(|name| package_of(name)).collect();
        packages.sort_unstable();
        packages.dedup();
        let with_version = |package: &str| match self.glibc {
            Some(glibc) if package == "libc6" => format!("libc6 (>= {glibc})"),
            _ => package.to_owned(),
        };
        packages.into_iter().map(with_version).collect()
    }
}

/// The package that has this library on all three architectures.
fn package_of(library: &str) -> Option<&'static str> {
    let glibc = ["libc.so.", "libm.so.", "libpthread.so.", "libdl.so.", "librt.so.", "libutil.so.", "ld-linux"];
    if glibc.iter().any(|name| library.starts_with(name)) {
        return Some("libc6");
    }
    let others = [("libgcc_s.so.1", "libgcc-s1"), ("libstdc++.so.6", "libstdc++6")];
    others.iter().find(|(name, _)| *name == library).map(|(_, package)| *package)
}

fn is_for(headers: &str, arch: Arch) -> bool {
    let field = |name: &str| headers.lines().find_map(|line| line.trim().strip_prefix(name)).map_or("", str::trim);
    match arch {
        Arch::Amd64 => field("Machine:").ends_with("X86-64"),
        Arch::Arm64 => field("Machine:") == "AArch64",
        Arch::Armhf => field("Machine:") == "ARM" && field("Flags:").contains("hard-float"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cross::program::SUPPORTED;

    const HEADERS: &str = "  Class:                             ELF32
  Machine:                           ARM
  Flags:                             0x5000400, Version5 EABI, hard-float ABI
 0x00000001 (NEEDED)                     Shared library: [libgcc_s.so.1]
 0x00000001 (NEEDED)                     Shared library: [libm.so.6]
 0x00000001 (NEEDED)                     Shared library: [libc.so.6]
 0x0000000c (INIT)                       0x7f5a4
Version needs section '.gnu.version_r' contains 3 entries:
  000000: Version: 1  File: libgcc_s.so.1  Cnt: 1
  0x0010:   Name: GCC_3.5  Flags: none  Version: 11
  0x0020: Version: 1  File: libc.so.6  Cnt: 3
  0x0030:   Name: GLIBC_2.4  Flags: none  Version: 5
  0x0040:   Name: GLIBC_2.34  Flags: none  Version: 4
  0x0050:   Name: GLIBC_2.3.4  Flags: none  Version: 3
";

    #[test]
    fn the_newest_glibc_and_every_library_are_found() {
        let needs = Needs::read(HEADERS);
        assert_eq!(needs.glibc, Some(SUPPORTED));
        assert_eq!(needs.depends(), ["libc6 (>= 2.34)", "libgcc-s1"]);
        assert!(needs.check("x", SUPPORTED).is_ok());
    }

    #[test]
    fn a_program_for_a_newer_system_is_refused_with_what_to_do() {
        let newer = Needs::read(&HEADERS.replace("GLIBC_2.34", "GLIBC_2.35"));
        let error = newer.check("millrace-gateway", SUPPORTED).unwrap_err().to_string();
        assert!(
            error.contains("2.35") && error.contains("2.34") && error.contains("bookworm") && error.contains("MILLRACE_PROGRAMS"),
            "{error}"
        );
        assert!(newer.check("millrace-collector", Glibc { major: 2, minor: 35 }).is_ok(), "what is refused depends on the program");
    }

    #[test]
    fn a_library_that_nobody_knows_is_refused() {
        let other = HEADERS.replace("libm.so.6", "libssl.so.3");
        let error = Needs::read(&other).check("millrace-gateway", SUPPORTED).unwrap_err().to_string();
        assert!(error.contains("libssl.so.3"), "{error}");
    }

    #[test]
    fn a_program_of_another_architecture_is_told_from_the_right_one() {
        assert!(is_for(HEADERS, Arch::Armhf));
        assert!(!is_for(HEADERS, Arch::Arm64) && !is_for(HEADERS, Arch::Amd64));
        assert!(!is_for(&HEADERS.replace("hard-float", "soft-float"), Arch::Armhf));
    }
}
