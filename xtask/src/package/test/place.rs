//! A Debian bookworm to try packages in: unpacked from a cached archive, thrown away afterwards. For this machine's architecture it is booted
//! (systemd-nspawn), so that services start; for others it is a changed root in namespaces of its own, by qemu.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    super::{Arch, Package, Product, output_folder},
    checks::Check,
};
use crate::{command, mirror};

const SUITE: &str = "bookworm";
/// Beside the essential packages: what the packages depend on, what boots, and what the checks use.
const INCLUDED: &str = "bash-completion,dbus,systemd,systemd-sysv,tzdata";
const BOOT: Duration = Duration::from_secs(120);
/// Where packages lie in it.
const PACKAGES: &str = "packages";

pub(super) struct Place {
    folder: PathBuf,
    /// What keeps it booted, and the process that is number 1 inside.
    booted: Option<(Child, u32)>,
}

impl Place {
    /// A fresh one.
    pub(super) fn open(arch: Arch) -> Result<Self> {
        let archive = archive(arch)?;
        let folder = output_folder().join("chroot").join(format!("try-{arch}"));
        clear(&folder)?;
        fs::create_dir_all(folder.join(PACKAGES))?;
        command::run(Command::new("tar").arg("--extract").arg("--file").arg(archive).arg("--directory").arg(&folder))?;
        let mut place = Self { folder, booted: None };
        if Arch::of_this_machine() == Some(arch) {
            // Not everywhere can a system be booted in a container.
            if let Err(error) = place.boot() {
                eprintln!("warning: {error:#}; without it services are not started, and what they do is not looked at");
                place.halt();
            }
        }
        Ok(place)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn is_booted(&self) -> bool {
        self.booted.is_some()
    }

    /// Installs or upgrades as unattended upgrades do: a configuration that both sides changed stays as it is.
    pub(super) fn install(&self, package: &Package) -> Result<()> {
        let name = package.file.file_name().context("a package without a name")?.to_string_lossy();
        fs::copy(&package.file, self.folder.join(PACKAGES).join(&*name))?;
        let (is_done, told) = self.shell(package.product, &format!("dpkg --force-confold --install /{PACKAGES}/{name}"))?;
        if !is_done {
            bail!("dpkg could not install {name}:\n{told}");
        }
        eprintln!("ok: installed {name}");
        Ok(())
    }

    /// Removes or purges; returns what was said.
    pub(super) fn dpkg(&self, action: &str, product: Product) -> Result<String> {
        let (is_done, told) = self.shell(product, &format!("dpkg {action} {}", product.name()))?;
        if !is_done {
            bail!("dpkg {action} {} failed:\n{told}", product.name());
        }
        eprintln!("ok: dpkg {action} {}", product.name());
        Ok(told)
    }

    /// Looks at all of them; the error names each that does not hold.
    pub(super) fn check(&self, product: Product, checks: &[Check]) -> Result<()> {
        let mut broken = Vec::new();
        for (what, script) in checks {
            let (holds, told) = self.shell(product, script)?;
            eprintln!("{}: {what}", if holds { "ok" } else { "NOT SO" });
            if !holds {
                broken.push(format!("not so: {what}\n{}", told.trim()));
            }
        }
        if broken.is_empty() { Ok(()) } else { bail!("{}", broken.join("\n")) }
    }

    /// Whether `script` ended well inside, and all that it said.
    fn shell(&self, product: Product, script: &str) -> Result<(bool, String)> {
        let mut inside = match &self.booted {
            Some((_, first)) => {
                let mut command = Command::new("nsenter");
                command.arg("--target").arg(first.to_string());
                command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]);
                command
            }
            None => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c"]);
                command.arg(r#"mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@""#).arg(&self.folder);
                command
            }
        };
        inside.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"]);
        inside.arg(format!("NAME={}", product.name())).arg(format!("PART={}", product.crate_name()));
        inside.args(["sh", "-c", script]);
        let done = inside.stdin(Stdio::null()).output().context("cannot start a command in the test's Debian")?;
        let told = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        Ok((done.status.success(), told))
    }

    fn boot(&mut self) -> Result<()> {
        let log = fs::File::create(self.folder.with_extension("log"))?;
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.args(["--quiet", "--register=no", "--private-network", "--console=pipe", "--boot", "--directory"]).arg(&self.folder);
        // Without a systemd outside there is nothing that could make a unit for it.
        if !Path::new("/run/systemd/system").exists() {
            nspawn.arg("--keep-unit");
        }
        eprintln!("$ systemd-nspawn --boot --directory {}", self.folder.display());
        let child = nspawn.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("systemd-nspawn")?;
        let id = child.id();
        self.booted = Some((child, 0));
        let begun = Instant::now();
        while begun.elapsed() < BOOT {
            thread::sleep(Duration::from_millis(300));
            if let Some((child, first)) = &mut self.booted {
                if let Some(status) = child.try_wait()? {
                    bail!("the test's Debian did not boot ({status}): see {}", self.folder.with_extension("log").display());
                }
                let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
                *first = children.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0);
                if *first == 0 {
                    continue;
                }
            }
            let (_, state) = self.shell(Product::Gateway, "systemctl is-system-running")?;
            if matches!(state.trim(), "running" | "degraded") {
                return Ok(());
            }
        }
        bail!("the test's Debian did not boot within {} s: see {}", BOOT.as_secs(), self.folder.with_extension("log").display())
    }

    fn halt(&mut self) {
        if let Some((mut child, first)) = self.booted.take() {
            // To systemd inside: halt.
            if first != 0 {
                let _ = Command::new("kill").args(["-s", "RTMIN+4", &first.to_string()]).status();
            } else {
                let _ = child.kill();
            }
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(30) && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(100));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.halt();
        if let Err(error) = clear(&self.folder) {
            eprintln!("warning: {error:#}");
        }
    }
}

/// The archive of a fresh system, made once.
fn archive(arch: Arch) -> Result<PathBuf> {
    let folder = output_folder().join("chroot");
    let archive = folder.join(format!("{SUITE}-{arch}.tar"));
    let stamp = archive.with_extension("packages");
    if archive.exists() && fs::read_to_string(&stamp).is_ok_and(|included| included == INCLUDED) {
        return Ok(archive);
    }
    fs::create_dir_all(&folder)?;
    let fresh = archive.with_extension("tar.new");
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(["--variant=minbase", "--format=tar", "--quiet"])
        .arg(format!("--architectures={arch}"))
        .arg(format!("--include={INCLUDED}"));
    // A mirror that stands still is good enough for a test.
    mmdebstrap.arg("--aptopt=Acquire::Check-Valid-Until \"false\"").arg(SUITE).arg(&fresh).arg(mirror::debian()?);
    command::run(&mut mmdebstrap).with_context(|| format!("a Debian for {arch} could not be made"))?;
    fs::rename(&fresh, &archive)?;
    fs::write(stamp, INCLUDED)?;
    Ok(archive)
}

/// Deletes a folder in which nothing may be mounted any more.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        command::output(Command::new("rm").args(["--recursive", "--force", "--one-file-system"]).arg(folder))
            .with_context(|| format!("cannot delete {}: does a test still run in it?", folder.display()))?;
    }
    Ok(())
}
