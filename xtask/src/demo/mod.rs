//! `cargo xtask demo`: a collector, gateways and a simulated plant as real processes over real sockets, ended in the order of the data,
//! with the plant's own account compared with what is stored.
//!
//! Order of the end: plant (counts are final) -> gateways have nothing left -> gateways -> collector is asked -> collector.

mod books;
mod fleet;
mod rest;
mod site;

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::{
    books::{Report, Stored},
    fleet::{Process, wait_for},
    rest::{Rest, encode},
    site::Site,
};
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

    let site = Site::prepare(options, programs)?;
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
    let mut progress = Progress::new();
    while !stop.load(Ordering::SeqCst) && options.lasting.is_none_or(|time| begun.elapsed() < time) {
        plant.check()?;
        progress.show(&plant, begun.elapsed());
        if begun.elapsed() >= half
            && let Some(fault) = fault.take()
        {
            plant.break_it(fault, &site, programs)?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    progress.end();
    plant.finish(&site)
}

/// The processes of a running demo.
struct Plant {
    collector: Process,
    gateways: Vec<Process>,
    machines: Process,
    rest: Rest,
    status: Vec<Rest>,
    killed: Option<Killed>,
}

/// A gateway that was killed: when (Unix seconds), to check the loss range that it reports itself.
struct Killed {
    gateway: String,
    at: f64,
    back_at: f64,
}

impl Plant {
    fn start(site: &Site, programs: &Programs) -> Result<Self> {
        let rest = Rest::new(site.dashboard_url(), Some(site.admin_key.clone()));
        let collector = start_collector(site, programs, &rest)?;
        for gateway in &site.gateways {
            site.enroll(gateway, programs)?;
        }
        // The machines' Modbus servers are there before anyone polls them.
        let mut simulate = programs.command("sim");
        simulate.args(["run", "--config"]).arg(&site.plant_file).args(["--seed", &site.seed.to_string(), "--truth"]).arg(&site.truth_file);
        let machines = Process::start("sim", simulate, &site.logs)?;
        site.wait_for_modbus()?;
        let mut gateways = site.gateways.iter().map(|g| start_gateway(g, site, programs)).collect::<Result<Vec<_>>>()?;
        let status: Vec<Rest> = site.gateways.iter().map(|g| Rest::new(format!("http://{}", g.status), None)).collect();
        for ((one, gateway), process) in status.iter().zip(&site.gateways).zip(&mut gateways) {
            wait_for(&format!("start of {}", gateway.id), Duration::from_secs(30), || {
                process.check()?;
                Ok(one.get("/status").is_ok())
            })?;
        }
        Ok(Self { collector, gateways, machines, rest, status, killed: None })
    }

    fn check(&mut self) -> Result<()> {
        self.collector.check()?;
        self.machines.check()?;
        self.gateways.iter_mut().try_for_each(Process::check)
    }

    fn break_it(&mut self, fault: Fault, site: &Site, programs: &Programs) -> Result<()> {
        eprintln!("\n  fault: {fault:?}");
        match fault {
            Fault::CollectorOutage | Fault::CollectorKill => {
                if fault == Fault::CollectorOutage {
                    self.collector.signal("TERM")?;
                    std::thread::sleep(Duration::from_secs(20));
                } else {
                    self.collector.signal("KILL")?;
                }
                wait_for("end of the collector", Duration::from_secs(20), || Ok(self.collector.check().is_err()))?;
                self.collector = start_collector(site, programs, &self.rest)?;
            }
            Fault::GatewayKill => {
                let at = jiff_seconds();
                self.gateways.remove(0).kill()?;
                std::thread::sleep(Duration::from_secs(3));
                self.gateways.insert(0, start_gateway(&site.gateways[0], site, programs)?);
                self.killed = Some(Killed { gateway: site.gateways[0].id.clone(), at, back_at: jiff_seconds() });
            }
        }
        Ok(())
    }

    /// Ends everything in the order of the data and asks the collector for its account.
    fn finish(self, site: &Site) -> Result<Report> {
        eprintln!("  the plant stops ...");
        self.machines.end(Duration::from_secs(30)).context("the simulated plant did not end in order")?;
        eprintln!("  waiting for the gateways to hand over what they hold ...");
        for (one, gateway) in self.status.iter().zip(&site.gateways) {
            wait_for(&format!("hand-over of {}", gateway.id), Duration::from_secs(120), || {
                let status = one.get("/status")?;
                Ok(["open_windows", "uncommitted_records", "backlog_entries"].iter().all(|what| status[what] == 0))
            })?;
        }
        for gateway in self.gateways {
            gateway.end(Duration::from_secs(30)).context("a gateway did not end in order")?;
        }
        let truth = site.truth()?;
        let stored = account(&self.rest, &truth)?;
        let unattributed = number(&self.rest.sql("SELECT COALESCE(SUM(\"count\"), 0) FROM losses WHERE asset IS NULL")?, 0, 0)?;
        let mut report = books::balance(&truth, &stored, unattributed, site.gateways.len());
        match &self.killed {
            Some(killed) => report.faults.extend(check_loss_ranges(&self.rest, killed, site.durability_interval_s)?),
            None if report.readings.lost > 0 => {
                report.faults.push(format!("{} readings lost in a run in which no gateway was killed", report.readings.lost));
            }
            None => {}
        }
        self.collector.end(Duration::from_secs(60)).context("the collector did not end in order")?;
        Ok(report)
    }
}

fn start_collector(site: &Site, programs: &Programs, rest: &Rest) -> Result<Process> {
    let mut command = programs.command("collector");
    command.args(["run", "--config"]).arg(&site.collector_file);
    let mut collector = Process::start("collector", command, &site.logs)?;
    wait_for("start of the collector", Duration::from_secs(60), || {
        collector.check()?;
        Ok(rest.is_up("/health/ready"))
    })?;
    Ok(collector)
}

fn start_gateway(gateway: &site::Gateway, site: &Site, programs: &Programs) -> Result<Process> {
    let mut command = programs.command("gateway");
    command.args(["run", "--config"]).arg(&gateway.file);
    Process::start(&gateway.id, command, &site.logs)
}

/// What the collector holds for each machine of the plant.
fn account(rest: &Rest, truth: &[books::Truth]) -> Result<BTreeMap<String, Stored>> {
    let mut all: BTreeMap<String, Stored> = BTreeMap::new();
    for row in rest.sql("SELECT asset, SUM(\"count\") FROM window_summaries GROUP BY asset")? {
        all.entry(text(&row[0])?).or_default().readings = whole(&row[1])?;
    }
    // The same window of the same signal in the same spool entry can be stored once only.
    let twice = "SELECT asset, SUM(n * (times - 1)) FROM (SELECT asset, SUM(\"count\") / COUNT(*) AS n, COUNT(*) AS times FROM window_summaries \
                 GROUP BY gateway, stream, seq, asset, signal, window_start, correction HAVING COUNT(*) > 1) GROUP BY asset";
    for row in rest.sql(twice)? {
        all.entry(text(&row[0])?).or_default().duplicates = whole(&row[1])?;
    }
    for row in rest.sql("SELECT asset, SUM(\"count\") FROM losses WHERE asset IS NOT NULL GROUP BY asset")? {
        all.entry(text(&row[0])?).or_default().lost = whole(&row[1])?;
    }
    for row in rest.sql("SELECT asset, SUM(produced), SUM(rejected) FROM part_counts GROUP BY asset")? {
        let held = all.entry(text(&row[0])?).or_default();
        (held.produced, held.rejected) = (whole(&row[1])?, whole(&row[2])?);
    }
    for machine in truth {
        let path = format!("/api/v1/oee?asset={}&from={}&to={}", encode(&machine.asset), encode(&machine.from), encode(&machine.to));
        let oee = &rest.get(&path)?["total"];
        let held = all.entry(machine.asset.clone()).or_default();
        held.oee = oee["oee"].as_f64();
        held.oee_produced = whole(&oee["counts"]["produced"])?;
        held.oee_rejected = whole(&oee["counts"]["rejected"])?;
    }
    Ok(all)
}

/// After a SIGKILL: what the gateway reports as lost must lie between the last thing that it can have committed and its return,
/// and be no longer than the durability interval.
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
        let within = from >= killed.at - interval_s - 1.0 && to <= killed.back_at + interval_s;
        if !within || (to - from) > interval_s + 1e-3 {
            faults.push(format!(
                "loss {row:?}: range {:.3} s, killed at {:.3}: outside the durability interval of {interval_s} s",
                to - from,
                killed.at
            ));
        }
    }
    if !marked {
        faults.push(format!("{} was killed but reported no power_cut range", killed.gateway));
    }
    Ok(faults)
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("expected a text, got {value}"))
}

fn whole(value: &Value) -> Result<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0).map(|f| f as u64))
        .with_context(|| format!("expected a count, got {value}"))
}

fn number(rows: &[Vec<Value>], row: usize, column: usize) -> Result<u64> {
    let Some(value) = rows.get(row).and_then(|r| r.get(column)) else { bail!("the answer has no row {row}") };
    whole(value)
}

#[expect(clippy::disallowed_methods, reason = "the demo stands outside the product and notes when it killed something")]
fn jiff_seconds() -> f64 {
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
