//! What the gateway is built for, under the names that Rust, Debian and QEMU have for it.

use std::fmt;

/// A target of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Raspberry Pi 3, 4, 5, Zero 2 W with a 64-bit system
    #[value(name = "aarch64-unknown-linux-gnu")]
    Aarch64,
    /// Raspberry Pi 2 and newer with a 32-bit system
    #[value(name = "armv7-unknown-linux-gnueabihf")]
    Armv7,
    /// Raspberry Pi 1 and Zero
    #[value(name = "arm-unknown-linux-gnueabihf")]
    Armv6,
    /// Industrial PCs
    #[value(name = "x86_64-unknown-linux-gnu")]
    X86_64,
}

impl Target {
    /// As Rust calls it.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Armv7 => "armv7-unknown-linux-gnueabihf",
            Self::Armv6 => "arm-unknown-linux-gnueabihf",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// Debian's architecture; `None` where Debian has none (its armhf is ARMv7).
    pub fn debian(self) -> Option<&'static str> {
        match self {
            Self::Aarch64 => Some("arm64"),
            Self::Armv7 => Some("armhf"),
            Self::Armv6 => None,
            Self::X86_64 => Some("amd64"),
        }
    }

    /// The prefix of Debian's GNU tools for it; `None` where Debian has none.
    pub fn gnu(self) -> Option<&'static str> {
        match self {
            Self::Aarch64 => Some("aarch64-linux-gnu"),
            Self::Armv7 => Some("arm-linux-gnueabihf"),
            Self::Armv6 => None,
            Self::X86_64 => Some("x86_64-linux-gnu"),
        }
    }

    /// Whether programs for it run on this machine as they are.
    pub fn is_native(self) -> bool {
        self.triple().starts_with(std::env::consts::ARCH)
    }

    /// QEMU's name of the architecture, and the processor that an emulation should be (none: its default).
    pub fn qemu(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Aarch64 => ("aarch64", None),
            Self::Armv7 => ("arm", None),
            // That of the first Pi and of the Zero: what ARMv6 does not have is an illegal instruction there, as on the device.
            Self::Armv6 => ("arm", Some("arm1176")),
            Self::X86_64 => ("x86_64", None),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.triple())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_target_is_asked_for_by_the_name_that_rust_has_for_it() {
        for target in Target::value_variants() {
            assert_eq!(Target::from_str(target.triple(), false), Ok(*target));
        }
    }
}
