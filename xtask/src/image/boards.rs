//! The boards an image can be for, and all in which they differ: Debian's suite, packages, firmware on the FAT partition, consoles.

use clap::ValueEnum;

/// What the image is flashed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// Raspberry Pi 3, 3+ and Zero 2 W
    Rpi3,
    /// Raspberry Pi 4, 400 and Compute Module 4
    Rpi4,
    /// Raspberry Pi 5 and 500
    Rpi5,
    /// Machines with UEFI, and virtual ones
    #[value(name = "generic-arm64")]
    GenericArm64,
}

/// Packages of every slot, beside Debian's essential ones.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "systemd-resolved",
    "systemd-timesyncd",
    "dbus",
    "udev",
    "kmod",
    "iproute2",
    "initramfs-tools",
    "zstd",
    "fdisk",
    "e2fsprogs",
    "dosfstools",
    "openssh-server",
    // scp speaks SFTP.
    "openssh-sftp-server",
    "rauc-service",
    "tzdata",
];

/// What Wi-Fi and Bluetooth chips of the Pi need, and what speaks to access points.
const WIRELESS: &[&str] = &["wpasupplicant", "wireless-regdb", "firmware-brcm80211"];

impl Board {
    /// Its name on the command line and in RAUC's `compatible`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rpi3 => "rpi3",
            Self::Rpi4 => "rpi4",
            Self::Rpi5 => "rpi5",
            Self::GenericArm64 => "generic-arm64",
        }
    }

    /// Debian packages of the slot. The Pi 5's peripherals (RP1: Ethernet, USB) need a newer kernel than trixie's.
    pub fn packages(self) -> Vec<&'static str> {
        let mut packages = PACKAGES.to_vec();
        if self.is_pi() {
            packages.extend(WIRELESS);
        }
        packages.push(if self.needs_backports() { "linux-image-arm64/trixie-backports" } else { "linux-image-arm64" });
        packages
    }

    /// Debian packages that are unpacked for the FAT partition, and not installed.
    pub fn boot_packages(self) -> &'static [&'static str] {
        if self.is_pi() { &["grub-efi-arm64-unsigned", "raspi-firmware", "u-boot-rpi"] } else { &["grub-efi-arm64-unsigned"] }
    }

    pub fn components(self) -> &'static str {
        if self.is_pi() { "main non-free-firmware" } else { "main" }
    }

    pub fn needs_backports(self) -> bool {
        self == Self::Rpi5
    }

    pub fn is_pi(self) -> bool {
        self != Self::GenericArm64
    }

    /// The last one is /dev/console.
    pub fn consoles(self) -> &'static str {
        match self {
            Self::Rpi3 | Self::Rpi4 => "console=tty1 console=ttyS1,115200",
            Self::Rpi5 => "console=tty1 console=ttyAMA10,115200",
            Self::GenericArm64 => "console=tty1 console=ttyAMA0,115200",
        }
    }

    /// Type of the FAT partition: the Pi's ROM wants FAT32 (LBA), UEFI its own.
    pub fn boot_partition_type(self) -> &'static str {
        if self.is_pi() { "0c" } else { "ef" }
    }

    /// Files for the FAT partition: (pattern within the unpacked boot packages or within the kernel's device trees, name on the card).
    pub fn firmware(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Rpi3 => &[
                ("usr/lib/raspi-firmware/bootcode.bin", "bootcode.bin"),
                ("usr/lib/raspi-firmware/start.elf", "start.elf"),
                ("usr/lib/raspi-firmware/fixup.dat", "fixup.dat"),
                ("usr/lib/u-boot/rpi_3/u-boot.bin", "u-boot.bin"),
            ],
            Self::Rpi4 => &[
                ("usr/lib/raspi-firmware/start4.elf", "start4.elf"),
                ("usr/lib/raspi-firmware/fixup4.dat", "fixup4.dat"),
                ("usr/lib/u-boot/rpi_4/u-boot.bin", "u-boot.bin"),
            ],
            // The Pi 5's firmware is in its EEPROM.
            Self::Rpi5 => &[("usr/lib/u-boot/rpi_arm64/u-boot.bin", "u-boot.bin")],
            Self::GenericArm64 => &[],
        }
    }

    /// Beginnings of the names of the kernel's device trees that go onto the FAT partition.
    pub fn device_trees(self) -> &'static [&'static str] {
        match self {
            Self::Rpi3 => &["bcm2837-rpi-3-", "bcm2837-rpi-zero-2-"],
            Self::Rpi4 => &["bcm2711-rpi-"],
            Self::Rpi5 => &["bcm2712-rpi-", "bcm2712-d-rpi-"],
            Self::GenericArm64 => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_board_is_refused_with_the_known_ones_and_every_name_is_read_back() {
        for board in Board::value_variants() {
            assert_eq!(Board::from_str(board.name(), false), Ok(*board));
        }
        assert!(Board::from_str("rpi2", false).is_err());
    }

    #[test]
    fn only_the_pi_5_takes_a_kernel_from_backports() {
        for board in Board::value_variants() {
            assert_eq!(board.packages().iter().any(|p| p.ends_with("/trixie-backports")), *board == Board::Rpi5);
        }
    }
}
