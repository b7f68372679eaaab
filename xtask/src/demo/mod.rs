//! `cargo xtask demo`: a collector, gateways and a simulated plant as real processes over real sockets, ended in the order of the data,
//! with the plant's own account compared with what is stored.
//!
//! Order of the end: plant (counts are final) -> gateways have nothing left -> gateways -> collector is asked -> collector.

pub mod account;
pub mod books;
pub mod fleet;
pub mod plant;
pub mod rest;
pub mod site;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;

use self::{books::Report, plant::Plant, rest::Rest, site::Site};
use crate::build::{self, Programs};

#[derive(clap::Args, Clone)]
#[command(
    after_help = "Examples:\n  cargo xtask demo                     until Ctrl-C\n  cargo xtask demo --for 60s --json    ends by itself; the last line of stdout is the comparison"
)]
pub struct Options {
    /// End after this time (`90s`, `5m`); without it, Ctrl-C ends the demo
    #[arg(long = "for", value_parser = duration)]
    pub lasting: Option<Duration>,
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub machines: u16,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub gateways: u16,
    /// Port of the dashboard
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Where the processes keep their data (default: demo/ in cargo's target folder; emptied at the start)
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Seed of the simulated plant
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the comparison as JSON on the last line of stdout
    #[arg(long)]
    pub json: bool,
    /// Put a fault into the run, half way through
    #[arg(long, value_enum)]
    pub fault: Option<Fault>,
}

impl Default for Options {
    /// What the command line stands for when it says nothing, on any free port.
    fn default() -> Self {
        Self { lasting: None, machines: 12, gateways: 2, port: 0, data_dir: None, seed: 1, json: false, fault: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// The collector is stopped (SIGTERM) for 20 s
    CollectorOutage,
    /// The collector is killed (SIGKILL) and started again at once
    CollectorKill,
    /// The first gateway is killed (SIGKILL) and started again after 3 s
    GatewayKill,
}

/// `90s`, `2m`, `1h`, or plain seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        unit => return Err(format!("unknown unit {unit:?}: write 90s, 2m or 1h")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no duration: write 90s, 2m or 1h"))?;
    Ok(Duration::from_secs(number.saturating_mul(factor)))
}

pub fn run(options: &Options) -> Result<bool> {
    let programs = build::all()?;
    let report = play(options, &programs)?;
    eprintln!("\n{}", report.table());
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(report.is_clean())
}

/// Runs the whole demo with programs that are built already.
///
/// # Errors
/// When a process fails or does not do its part in time; a difference in the books is no error but stands in the report.
pub fn play(options: &Options, programs: &Programs) -> Result<Report> {
    play_watched(options, programs, &|_, _| Ok(()))
}

/// [`play`] with somebody who looks at the dashboard (its address, a key) once all is running.
///
/// # Errors
/// As [`play`], and those of the watcher.
pub fn play_watched(options: &Options, programs: &Programs, watcher: &dyn Fn(&str, &str) -> Result<()>) -> Result<Report> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    // A second run in one process (tests) keeps the first handler, which is fine: both end by time.
    let _ = ctrlc::set_handler(move || asked.store(true, Ordering::SeqCst));

    let site = Site::prepare(options, &[], programs)?;
    let mut plant = Plant::start(&site, programs)?;
    eprintln!("\n  dashboard  {}\n  login key  {}\n  data       {}\n", site.dashboard_url(), site.admin_key, site.folder.display());
    match options.lasting {
        Some(time) => eprintln!("  ends by itself after {} s; Ctrl-C ends it earlier, in order\n", time.as_secs()),
        None => eprintln!("  Ctrl-C ends it in order and prints what was made against what is stored\n"),
    }

    let begun = Instant::now();
    watcher(&site.dashboard_url(), &site.admin_key)?;
    let half = options.lasting.map_or(Duration::from_secs(30), |time| time / 2);
    let mut fault = options.fault;
    let mut killed = None;
    let mut progress = Progress::new();
    while !stop.load(Ordering::SeqCst) && options.lasting.is_none_or(|time| begun.elapsed() < time) {
        plant.check()?;
        progress.show(&plant, begun.elapsed());
        if begun.elapsed() >= half
            && let Some(fault) = fault.take()
        {
            killed = break_it(&mut plant, fault, &site, programs)?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    progress.end();
    finish(plant, &site, killed.as_ref())
}

/// A gateway that was killed: when (Unix seconds), to check the loss range that it reports itself.
struct Killed {
    gateway: String,
    at: f64,
    back_at: f64,
}

fn break_it(plant: &mut Plant, fault: Fault, site: &Site, programs: &Programs) -> Result<Option<Killed>> {
    eprintln!("\n  fault: {fault:?}");
    match fault {
        Fault::CollectorOutage => {
            plant.end_collector()?;
            std::thread::sleep(Duration::from_secs(20));
            plant.start_collector(site, programs)?;
        }
        Fault::CollectorKill => {
            plant.kill_collector()?;
            plant.start_collector(site, programs)?;
        }
        Fault::GatewayKill => {
            let at = unix_seconds();
            plant.kill_gateway(0)?;
            std::thread::sleep(Duration::from_secs(3));
            plant.start_gateway(0, site, programs)?;
            return Ok(Some(Killed { gateway: site.gateways[0].id.clone(), at, back_at: unix_seconds() }));
        }
    }
    Ok(None)
}

/// Ends everything in the order of the data and asks the collector for its account.
fn finish(mut plant: Plant, site: &Site, killed: Option<&Killed>) -> Result<Report> {
    plant.settle(site, Duration::from_secs(120))?;
    let truth = site.truth()?;
    let stored = account::account(&plant.rest, &truth)?;
    let mut report = books::balance(&truth, &stored, account::unattributed(&plant.rest)?, site.gateways.len());
    match killed {
        Some(killed) => report.faults.extend(check_loss_ranges(&plant.rest, killed, site.durability_interval_s)?),
        None if report.readings.lost > 0 => {
            report.faults.push(format!("{} readings lost in a run in which no gateway was killed", report.readings.lost));
        }
        None => {}
    }
    plant.end_collector()?;
    Ok(report)
}

/// After a SIGKILL: what the gateway reports as lost must begin no longer before the kill than the durability interval, and end by its return. (It
/// can't know when it died: a disk that took nothing would have taken no word of that either.)
fn check_loss_ranges(rest: &Rest, killed: &Killed, interval_s: f64) -> Result<Vec<String>> {
    let rows = rest.sql(&format!(
        "SELECT asset, reason, \"count\", arrow_cast(from_time, 'Int64') / 1e6, arrow_cast(to_time, 'Int64') / 1e6 FROM losses \
         WHERE gateway = '{}' AND reason IN ('power_cut', 'sequence_gap')",
        killed.gateway
    ))?;
    let mut faults = Vec::new();
    let mut marked = false;
    for row in &rows {
        let (from, to) = (row[3].as_f64().unwrap_or(f64::NAN), row[4].as_f64().unwrap_or(f64::NAN));
        marked |= row[1] == "power_cut";
        if from < killed.at - interval_s || to > killed.back_at + interval_s {
            faults.push(format!(
                "loss {row:?}: from {:.3} s before the kill to {:.3} s after the return: outside the durability interval of {interval_s} s",
                killed.at - from,
                to - killed.back_at
            ));
        }
    }
    if !marked {
        faults.push(format!("{} was killed but reported no power_cut range", killed.gateway));
    }
    Ok(faults)
}

/// Unix time.
#[expect(clippy::disallowed_methods, reason = "the demo stands outside the product and notes when it killed something")]
pub fn unix_seconds() -> f64 {
    jiff::Timestamp::now().as_microsecond() as f64 / 1e6
}

/// One line on a terminal, rewritten each second; a line each 10 s otherwise.
struct Progress {
    terminal: bool,
    shown: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, plant: &Plant, elapsed: Duration) {
        let every = Duration::from_secs(if self.terminal { 1 } else { 10 });
        if self.shown.is_some_and(|shown| shown.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        let sum = |what: &str| -> u64 { plant.status.iter().filter_map(|s| s.get("/status").ok()?[what].as_u64()).sum() };
        let line = format!(
            "  {:>5} s  read {:>8}  dropped {:>4}  duplicates turned away {:>4}  backlog {:>4} entries",
            elapsed.as_secs(),
            sum("readings_total"),
            sum("dropped_total"),
            sum("duplicates_total"),
            sum("backlog_entries")
        );
        let mut out = std::io::stderr().lock();
        let _ = if self.terminal { write!(out, "\r{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_wrong_ones_are_told() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("45"), Ok(Duration::from_secs(45)));
        assert!(duration("soon").is_err());
        assert!(duration("5 parsecs").is_err());
    }
}
