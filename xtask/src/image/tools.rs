//! What building an image needs on this machine.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{command, setup};

/// (a file that shows the package is there, the package).
const TOOLS: &[(&str, &str)] = &[
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    // Programs of the base system's packages run in emulation.
    ("/usr/bin/qemu-aarch64-static", "qemu-user-static"),
    ("/usr/bin/arch-test", "arch-test"),
    ("/usr/bin/mksquashfs", "squashfs-tools"),
    ("/usr/bin/mcopy", "mtools"),
    ("/usr/sbin/mkfs.vfat", "dosfstools"),
    ("/usr/sbin/sfdisk", "fdisk"),
    ("/usr/sbin/mke2fs", "e2fsprogs"),
    ("/usr/bin/faketime", "faketime"),
    ("/usr/bin/systemd-sysusers", "systemd"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/sbin/depmod", "kmod"),
    ("/usr/bin/git", "git"),
];
const BUNDLE_TOOLS: &[(&str, &str)] = &[("/usr/bin/rauc", "rauc")];
/// For those who are not root.
const ROOTLESS_TOOLS: &[(&str, &str)] = &[("/usr/bin/fakeroot", "fakeroot"), ("/usr/bin/newuidmap", "uidmap")];

/// Installs what is missing, and checks what can't be installed.
///
/// # Errors
/// Names what is missing, and how to get it.
pub fn ready(with_bundle: bool) -> Result<()> {
    let mut wanted = TOOLS.to_vec();
    if with_bundle {
        wanted.extend(BUNDLE_TOOLS);
    }
    if !command::is_root()? {
        wanted.extend(ROOTLESS_TOOLS);
    }
    setup::debian("the image", &wanted)?;
    if cfg!(not(target_arch = "aarch64")) && !Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists() {
        bail!(
            "this kernel does not run arm64 programs by qemu yet: as root run `systemctl restart systemd-binfmt` (or, in a container, \
             `docker run --privileged` of an image that registers binfmt on the host)"
        );
    }
    if !Path::new("/usr/share/keyrings/debian-archive-trixie-stable.gpg").exists() {
        bail!("this machine does not know Debian trixie's keys; install a newer debian-archive-keyring");
    }
    Ok(())
}
