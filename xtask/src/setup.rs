//! What the tests and the dashboard's build need from outside: Debian, PyPI and npm packages, installed only where they are missing.

use std::{fs, path::Path, process::Command};

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
    let root = command::is_root()?;
    let apt = |args: &[&str]| {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.args(["-n", "apt-get"]);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(args);
        command::run(&mut command)
    };
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("{what_for}: these Debian packages are missing: {}. This is no Debian system: install their like by hand", missing.join(" "));
    }
    apt(&["update"])
        .and_then(|()| apt(&[&["install", "-y", "--no-install-recommends"], &missing[..]].concat()))
        .with_context(|| format!("{what_for}: packages are missing that could not be installed; as root run: {by_hand}"))
}

/// Python packages that Debian does not have, with their hashes: into the target folder, where the tests look for them.
///
/// # Errors
/// What pip says.
pub fn python_packages() -> Result<()> {
    let wanted = command::root().join("kpi/tests/oracle_requirements.txt");
    let list = fs::read(&wanted).context("kpi/tests/oracle_requirements.txt")?;
    let folder = command::target_dir().join("python");
    let stamp = folder.join(".installed-requirements");
    if fs::read(&stamp).is_ok_and(|installed| installed == list) {
        return Ok(());
    }
    let mut pip = Command::new("/usr/bin/python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]);
    pip.args(["--no-deps", "--require-hashes", "--upgrade", "--target"]).arg(&folder).arg("-r").arg(&wanted);
    command::run(&mut pip).context("the tests need Python packages that could not be installed")?;
    fs::write(stamp, list)?;
    Ok(())
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
