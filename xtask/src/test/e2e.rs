//! The whole path as its users see it: the demo in order and with faults, the dashboard in a real browser, a short run of chaos, and a small
//! fleet whose collector comes back. Each run must balance. (A gateway is killed in the run with ARM programs, which is a step of its own.)

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    build::Programs,
    chaos, command,
    demo::{self, Fault},
};

pub fn run() -> Result<()> {
    let programs = Programs::built();
    let mut passed = 0;
    let mut failed = Vec::new();
    for (name, fault, seconds) in [
        ("in order", None, 60),
        ("collector stopped for 20 s", Some(Fault::CollectorOutage), 50),
        ("collector killed", Some(Fault::CollectorKill), 30),
    ] {
        eprintln!("\n--- the whole path, {name} ---");
        note(name, one(&programs, name, fault, seconds), &mut passed, &mut failed);
    }
    eprintln!("\n--- the whole path, chaos ---");
    note("chaos", short_chaos(&programs), &mut passed, &mut failed);
    eprintln!("\n--- the whole path, a fleet comes back ---");
    note("a fleet comes back", small_fleet(&programs), &mut passed, &mut failed);
    println!("end to end: {passed} passed, {} failed", failed.len());
    if !failed.is_empty() {
        bail!("the whole path failed: {}", failed.join("; "));
    }
    Ok(())
}

fn note<'a>(name: &'a str, done: Result<()>, passed: &mut u32, failed: &mut Vec<&'a str>) {
    match done {
        Ok(()) => *passed += 1,
        Err(error) => {
            eprintln!("FAILED  {name}: {error:#}");
            failed.push(name);
        }
    }
}

/// Faults of real processes by a fixed schedule.
fn short_chaos(programs: &Programs) -> Result<()> {
    let options = chaos::Options::short(Some(command::target_dir().join("e2e").join("chaos")));
    let report = chaos::play(&options, programs)?;
    eprintln!("\n{}", report.table());
    if !report.is_clean() {
        bail!("the books do not balance: {}", report.verdict.violations.join("; "));
    }
    Ok(())
}

/// Gateways' uploaders over real sockets, whose collector is killed and comes back.
fn small_fleet(programs: &Programs) -> Result<()> {
    let args = ["--gateways", "40", "--outage", "5s", "--before", "10s"].map(str::to_owned);
    command::run(&mut chaos::fleet_command(programs, &args))
}

fn one(programs: &Programs, name: &str, fault: Option<Fault>, seconds: u64) -> Result<()> {
    let options = demo::Options {
        lasting: Some(Duration::from_secs(seconds)),
        machines: 12,
        gateways: 2,
        port: 0,
        data_dir: Some(command::target_dir().join("e2e").join(name.replace(' ', "-"))),
        seed: 7,
        json: false,
        fault,
    };
    // The browser looks at the run that goes in order.
    let report = if fault.is_none() { demo::play_watched(&options, programs, &watch)? } else { demo::play(&options, programs)? };
    eprintln!("\n{}", report.table());
    if !report.is_clean() {
        bail!("the books do not balance: {}", report.faults.join("; "));
    }
    Ok(())
}

/// Opens the running dashboard in headless Chromium; fails unless numbers change. Screenshots stay as test output.
fn watch(url: &str, key: &str) -> Result<()> {
    let out: PathBuf = command::target_dir().join("e2e/screenshots");
    std::fs::create_dir_all(&out)?;
    let mut look = Command::new("npm");
    look.args(["run", "--silent", "test:live"]).current_dir(command::root().join("collector/dashboard"));
    look.env("BASE_URL", url).env("KEY", key).env("OUT", &out);
    command::run(&mut look).with_context(|| format!("the dashboard in a browser (screenshots in {})", out.display()))
}
