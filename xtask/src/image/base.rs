//! Debian's part of a slot, made by mmdebstrap, and the files of Debian that go onto the FAT partition. Kept by a hash of all that it is made
//! from, so that the next image takes seconds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{boards::Board, digest, mirror::Mirror, work::Work};
use crate::command;

const SUITE: &str = "trixie";
/// Kept out of the slot: what nobody reads there, and drivers of hardware that no gateway has.
const LEFT_OUT: &[&str] = &[
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/bash-completion/*",
    "/usr/lib/udev/hwdb.d/*",
    "/usr/lib/modules/*/kernel/drivers/media/*",
    "/usr/lib/modules/*/kernel/drivers/infiniband/*",
    "/usr/lib/modules/*/kernel/drivers/isdn/*",
    "/usr/lib/modules/*/kernel/drivers/net/ethernet/mellanox/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/amd/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/nouveau/*",
    "/usr/lib/modules/*/kernel/drivers/gpu/drm/radeon/*",
    "/usr/lib/modules/*/kernel/sound/*",
];

/// What mmdebstrap made.
pub struct Base {
    /// The root file system.
    pub tar: PathBuf,
    /// Unpacked boot packages, and `packages` that lists them.
    pub boot: PathBuf,
    /// Names its inputs.
    pub key: String,
}

/// Makes the base of `board`, or takes the one that is there.
///
/// # Errors
/// What mmdebstrap says; what it had made is taken away.
pub fn make(board: Board, mirror: &Mirror, work: &Work, refresh: bool) -> Result<Base> {
    let hooks = command::root().join("deploy/image/base");
    let key = key(board, mirror, &hooks)?;
    let base = Base { tar: work.kept(&format!("base-{key}.tar")), boot: work.kept(&format!("base-{key}.boot")), key };
    if base.tar.exists() && base.boot.exists() && !refresh {
        let age = fs::metadata(&base.tar)?.modified()?.elapsed().unwrap_or_default();
        eprintln!("base system: {} (made {} ago; --refresh fetches newer packages)", base.tar.display(), days(age));
        return Ok(base);
    }
    super::work::needs_space(&base.tar, 3 << 30, "making the base system")?;
    let (tar, boot) = (work.scratch("base.tar"), work.scratch("base.boot"));
    fs::create_dir_all(&boot)?;
    let started = Instant::now();
    eprintln!("base system {}: Debian {SUITE} for arm64 by mmdebstrap, its programs run in emulation: some minutes", base.key);
    let mut mmdebstrap = in_own_mounts(work)?;
    mmdebstrap.args(["--architectures=arm64", "--variant=essential", "--format=tar"]);
    mmdebstrap.arg(format!("--include={}", board.packages().join(",")));
    mmdebstrap.arg("--aptopt=APT::Install-Recommends \"false\"");
    for option in &mirror.options {
        mmdebstrap.arg(format!("--aptopt={option}"));
    }
    for path in LEFT_OUT {
        mmdebstrap.arg(format!("--dpkgopt=path-exclude={path}"));
    }
    mmdebstrap.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
    mmdebstrap.arg(format!("--essential-hook={} \"$1\"", hooks.join("essential.sh").display()));
    mmdebstrap.arg(format!("--customize-hook={} \"$1\"", hooks.join("customize.sh").display()));
    mmdebstrap.env("BOOT_FOLDER", &boot).env("BOOT_PACKAGES", board.boot_packages().join(" "));
    mmdebstrap.arg(SUITE).arg(&tar).args(mirror.lines(SUITE, board.components(), board.needs_backports()));
    command::run(&mut mmdebstrap).context("the base system could not be made; what mmdebstrap said is above")?;
    // The tar last: it says that both are there.
    let _ = fs::remove_file(&base.tar);
    if base.boot.exists() {
        fs::remove_dir_all(&base.boot)?;
    }
    fs::rename(&boot, &base.boot)?;
    fs::rename(&tar, &base.tar)?;
    eprintln!("base system: {} MiB in {} s", fs::metadata(&base.tar)?.len() >> 20, started.elapsed().as_secs());
    Ok(base)
}

/// mmdebstrap, so that its mounts (/proc, /sys) end with it whatever ends it: in a namespace of their own. For other users than root it does that itself.
fn in_own_mounts(work: &Work) -> Result<Command> {
    if !command::is_root()? {
        return Ok(work.tool("mmdebstrap"));
    }
    let mut unshare = work.tool("unshare");
    unshare.args(["--mount", "--propagation=private", "--", "setpriv", "--pdeathsig", "TERM", "mmdebstrap"]);
    Ok(unshare)
}

fn key(board: Board, mirror: &Mirror, hooks: &Path) -> Result<String> {
    let mut texts = board.packages().iter().map(ToString::to_string).collect::<Vec<_>>();
    texts.extend(board.boot_packages().iter().map(ToString::to_string));
    texts.extend(LEFT_OUT.iter().map(ToString::to_string));
    texts.extend(mirror.lines(SUITE, board.components(), board.needs_backports()));
    for name in ["essential.sh", "customize.sh", "initramfs.conf", "initramfs.modules"] {
        let path = hooks.join(name);
        texts.push(fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(digest::texts(texts.iter().map(String::as_str))[..16].to_owned())
}

fn days(age: Duration) -> String {
    match age.as_secs() / 3600 {
        0 => format!("{} min", age.as_secs() / 60),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}
