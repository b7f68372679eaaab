//! `cargo xtask bench --only footprint`: what the gateway takes of a device, as it is installed (the small profile): start time, memory and CPU, with
//! no, few and many signals; natively and, for the instructions of ARM, under emulation.
//!
//! Each signal is one number a second, in messages of a hundred over MQTT (QoS 1) to the embedded broker, at most 10,000 signals of 100 machines.
//! Memory and CPU are the kernel's account of the process; an emulated one holds the emulator and its translations, too.

use std::{
    fmt::Write as _,
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::machines::Machines;
use crate::{
    build::Program,
    command,
    cross::{self, target::Target},
    demo::{
        fleet::{Process, wait_for},
        rest::Rest,
    },
    setup,
};

pub const SIGNALS: [usize; 3] = [0, 100, 10_000];
/// Until the process has all the state that so many signals need, and how long it is watched then.
pub const WARM_UP: Duration = Duration::from_secs(15);
pub const WATCHED: Duration = Duration::from_secs(45);

/// What was read of one run.
pub struct Figures {
    pub program: String,
    pub signals: usize,
    start: Duration,
    resident_kib: u64,
    /// Of it, what is not the program's file.
    anonymous_kib: u64,
    peak_kib: u64,
    /// Of one core.
    cpu: f64,
    readings_per_s: f64,
}

impl Figures {
    /// For `--json`.
    pub fn means(&self) -> [(String, f64); 4] {
        let name = |what: &str| format!("footprint/{}/{}/{what}", self.program, self.signals);
        [
            (name("start_ms"), self.start.as_secs_f64() * 1e3),
            (name("resident_kib"), self.resident_kib as f64),
            (name("anonymous_kib"), self.anonymous_kib as f64),
            (name("cpu_percent"), self.cpu * 1e2),
        ]
    }
}

/// Measures all of them and prints a table.
///
/// # Errors
/// What could not be built or started, or readings that did not arrive.
pub fn run() -> Result<Vec<Figures>> {
    setup::debian("the benchmark", &[("/usr/bin/mosquitto_pub", "mosquitto-clients")])?;
    let mut all = Vec::new();
    for (name, target) in [("native", Target::X86_64), ("aarch64, emulated", Target::Aarch64)] {
        let program = cross::runnable(target)?;
        for signals in SIGNALS {
            eprintln!("  {name}, {signals} signals ...");
            let figures = one(name, &program, signals).with_context(|| format!("{name}, {signals} signals"))?;
            eprintln!("{}", table(std::slice::from_ref(&figures)));
            all.push(figures);
        }
    }
    println!("{}", table(&all));
    Ok(all)
}

fn table(all: &[Figures]) -> String {
    let mut table = format!(
        "{:<18} {:>7} {:>9} {:>12} {:>13} {:>9} {:>8} {:>11}",
        "program", "signals", "start ms", "resident MB", "anonymous MB", "peak MB", "CPU %", "readings/s"
    );
    let mb = |kib: u64| kib as f64 * 1024.0 / 1e6;
    for f in all {
        let _ = write!(
            table,
            "\n{:<18} {:>7} {:>9.0} {:>12.1} {:>13.1} {:>9.1} {:>8.1} {:>11.0}",
            f.program,
            f.signals,
            f.start.as_secs_f64() * 1e3,
            mb(f.resident_kib),
            mb(f.anonymous_kib),
            mb(f.peak_kib),
            f.cpu * 1e2,
            f.readings_per_s
        );
    }
    table
}

fn one(name: &str, program: &Program, signals: usize) -> Result<Figures> {
    let folder = command::target_dir().join("footprint");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let (mqtt, status) = (free_port()?, free_port()?);
    let file = folder.join("gateway.toml");
    fs::write(&file, configuration(&folder, mqtt, status))?;
    let mut gateway = program.command();
    gateway.args(["run", "--config"]).arg(&file);
    let begun = Instant::now();
    let mut process = Process::start("gateway", gateway, &folder)?;
    let page = Rest::patient(format!("http://127.0.0.1:{status}"), None, Duration::from_secs(5));
    // Looked at closely: the time is what is measured.
    while page.get("/status").is_err() {
        process.check()?;
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("the gateway did not answer within 60 s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let start = begun.elapsed();
    // The broker has a thread of its own, and may open its port later.
    wait_for("the broker's port", Duration::from_secs(60), || Ok(TcpStream::connect(("127.0.0.1", mqtt)).is_ok()))?;
    let readings = || page.get("/status").map(|status| status["readings_total"].as_u64().unwrap_or_default());

    let mut machines = Machines::start(signals, mqtt)?;
    machines.talk(WARM_UP, &mut || process.check())?;
    let (cpu_before, at, read_before) = (cpu_seconds(process.id())?, Instant::now(), readings()?);
    machines.talk(WATCHED, &mut || process.check())?;
    let watched = at.elapsed().as_secs_f64();
    let (cpu_after, read_after) = (cpu_seconds(process.id())?, readings()?);
    let memory = |what: &str| kib(process.id(), what);
    let figures = Figures {
        program: name.to_owned(),
        signals,
        start,
        resident_kib: memory("VmRSS")?,
        anonymous_kib: memory("RssAnon")?,
        peak_kib: memory("VmHWM")?,
        cpu: (cpu_after - cpu_before) / watched,
        readings_per_s: (read_after - read_before) as f64 / watched,
    };
    // What is in flight is taken before the books are looked at.
    let made = machines.end()?;
    wait_for(&format!("{made} readings"), Duration::from_secs(60), || Ok(readings()? >= made))?;
    process.end(Duration::from_secs(60))?;
    Ok(figures)
}

fn configuration(folder: &Path, mqtt: u16, status: u16) -> String {
    format!(
        r#"[gateway]
id = "footprint"
data_dir = "{}"

[broker]
listen = "127.0.0.1:{mqtt}"

[status]
listen = "127.0.0.1:{status}"

[[topic]]
template = "{{site}}/{{area}}/{{line}}/{{machine}}/telemetry"
payload = "json"

[[detector]]
kind = "ewma"
signal = "*"
"#,
        folder.join("data").display()
    )
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// User and system time of a process, all of its threads (proc(5): `stat`, fields 14 and 15, in hundredths of a second).
fn cpu_seconds(process: u32) -> Result<f64> {
    Ok(seconds_of(&fs::read_to_string(format!("/proc/{process}/stat"))?))
}

/// The same of the text of `stat`.
pub fn seconds_of(stat: &str) -> f64 {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    times.iter().sum::<f64>() / 100.0
}

/// A line of proc(5)'s `status`.
fn kib(process: u32, what: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    kib_of(&text, what).with_context(|| format!("no {what} of process {process}"))
}

/// The same of the text of `status`.
pub fn kib_of(status: &str, what: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_of_this_process_is_read() {
        let us = std::process::id();
        assert!(kib(us, "VmRSS").unwrap() > 100);
        assert!(cpu_seconds(us).unwrap() >= 0.0);
        assert!(kib(us, "VmNothing").is_err());
    }
}
