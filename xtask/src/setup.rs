//! What the tests and the dashboard's build need from outside: Debian, PyPI and npm packages, installed only where they are missing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command;

/// The peers that the tests talk to: (a file that shows the package is there, the package).
const PEERS: &[(&str, &str)] = &[
    ("/usr/bin/mosquitto_pub", "mosquitto-clients"),
    ("/usr/sbin/mosquitto", "mosquitto"),
    ("/usr/bin/chromium", "chromium"),
    ("/usr/lib/python3/dist-packages/paho", "python3-paho-mqtt"),
    ("/usr/lib/python3/dist-packages/pymodbus", "python3-pymodbus"),
    // pymodbus' server imports both, and only recommends them.
    ("/usr/lib/python3/dist-packages/serial", "python3-serial"),
    ("/usr/lib/python3/dist-packages/serial_asyncio", "python3-serial-asyncio"),
    // Installs the Python packages that Debian does not have.
    ("/usr/lib/python3/dist-packages/pip", "python3-pip"),
    // Chaos runs set the clock of a gateway by it.
    ("/usr/bin/faketime", "faketime"),
    ("/usr/bin/systemd-analyze", "systemd"),
    ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"),
];

/// Installs the Debian packages of the tests' peers that are missing.
///
/// # Errors
/// As [`debian`].
pub fn debian_packages() -> Result<()> {
    debian("the tests", PEERS)
}

/// Installs those Debian packages that are missing: `wanted` is (a file that shows the package is there, the package), `what_for` who needs them.
///
/// # Errors
/// Names the command to run by hand where this user may not install packages.
pub fn debian(what_for: &str, wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = wanted.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("{what_for}: these Debian packages are missing: {}. This is no Debian system: install their like by hand", missing.join(" "));
    }
    apt_get(&["update"])
        .and_then(|()| apt_get(&[&["install", "-y", "--no-install-recommends"], &missing[..]].concat()))
        .with_context(|| format!("{what_for}: packages are missing that could not be installed; as root run: {by_hand}"))
}

/// A file of a Debian package that is not to be installed, because it would start a service: unpacked into the target folder.
///
/// # Errors
/// There is no such package, or no such file in it.
pub fn out_of_package(package: &str, file: &str) -> Result<PathBuf> {
    let folder = command::target_dir().join("unpacked").join(package);
    let wanted = folder.join(file);
    if wanted.exists() {
        return Ok(wanted);
    }
    let download = folder.with_extension("download");
    let _ = fs::remove_dir_all(&download);
    fs::create_dir_all(&download)?;
    let fetch =
        || command::run(Command::new("apt-get").args(["-q", "-o", "APT::Sandbox::User=root", "download", package]).current_dir(&download));
    // Where the lists of packages were never fetched.
    fetch().or_else(|_| apt_get(&["update"]).and_then(|()| fetch())).with_context(|| format!("the Debian package {package}"))?;
    let archive = fs::read_dir(&download)?.next().with_context(|| format!("apt-get download {package} brought nothing"))??.path();
    command::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&folder))?;
    fs::remove_dir_all(&download)?;
    if !wanted.exists() {
        bail!("the Debian package {package} has no {file}");
    }
    Ok(wanted)
}

/// apt-get, as root or by sudo.
fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = if command::is_root()? { Command::new("apt-get") } else { Command::new("sudo") };
    if !command::is_root()? {
        command.args(["-n", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(args);
    command::run(&mut command)
}

/// Python packages that Debian does not have, with their hashes: into the target folder, where the tests look for them.
///
/// # Errors
/// What pip says.
pub fn python_packages() -> Result<()> {
    python("kpi/tests/oracle_requirements.txt", "python").map(drop)
}

/// Installs a list of Python packages, with their hashes, into a folder of the target folder, unless that same list is there; returns the folder.
///
/// # Errors
/// What pip says.
pub fn python(list: &str, folder: &str) -> Result<PathBuf> {
    let wanted = command::root().join(list);
    let text = fs::read(&wanted).with_context(|| list.to_owned())?;
    let folder = command::target_dir().join(folder);
    let stamp = folder.join(".installed-requirements");
    if fs::read(&stamp).is_ok_and(|installed| installed == text) {
        return Ok(folder);
    }
    let mut pip = Command::new("/usr/bin/python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]);
    pip.args(["--no-deps", "--require-hashes", "--upgrade", "--target"]).arg(&folder).arg("-r").arg(&wanted);
    command::run(&mut pip).with_context(|| format!("the Python packages of {list} could not be installed"))?;
    fs::write(stamp, text)?;
    Ok(folder)
}

/// `npm ci` in the dashboard's folder, unless what is there was made from the same lock file.
pub fn npm_packages() -> Result<()> {
    let folder = command::root().join("collector/dashboard");
    let lock = fs::read(folder.join("package-lock.json")).context("collector/dashboard/package-lock.json")?;
    let stamp = folder.join("node_modules/.installed-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let node = command::output(Command::new("node").arg("--version"))
        .context("the dashboard is built with Node.js 20 or newer, which is not there")?;
    let major: u32 = node.trim().trim_start_matches('v').split('.').next().and_then(|m| m.parse().ok()).unwrap_or(0);
    if major < 20 {
        bail!("the dashboard is built with Node.js 20 or newer; found {}", node.trim());
    }
    command::run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    fs::write(stamp, lock)?;
    Ok(())
}
