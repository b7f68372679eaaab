//! `cargo xtask chaos`: the demo's processes under faults by a seeded schedule, then the demo's check: made = stored + lost, nothing twice,
//! nothing lost that no fault explains. With `--sim` the same question to both cores in simulation, with `--fleet` to hundreds of gateways whose
//! collector comes back.
//!
//! Order of the end: every fault is taken out -> plant -> gateways have nothing left -> gateways -> collector is asked -> collector.

pub mod books;
pub mod fault;
mod field;
mod place;
mod proxy;
mod report;
pub mod schedule;

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use self::{
    books::{LossRow, Played, Seen},
    fault::Need,
    field::Field,
    schedule::Planned,
};
pub use self::{
    fault::Kind,
    report::{Audit, Report},
};
use crate::{
    build::{self, Programs},
    command,
    demo::{self, account, rest::Rest, unix_seconds},
    setup,
};

/// Gateways may need this long to hand over what they hold: breakers close, backlogs are paced.
const HAND_OVER: Duration = Duration::from_secs(300);

#[derive(clap::Args, Clone)]
#[command(after_help = "\
Examples:
  cargo xtask chaos --seed 7 --minutes 10          faults of all kinds, one or two at a time; exit code 1 if the books do not balance
  cargo xtask chaos --seed 7 --minutes 10 --json   the same faults at the same times; the last line of stdout is the account
  cargo xtask chaos --minutes 3 --only gateway-kill,link-half-answer
  cargo xtask chaos --list-faults                  what there is, and what it needs
  cargo xtask chaos --sim --seeds 1000             both cores in simulation, 1000 seeds
  cargo xtask chaos --sim --seeds 1 --from 4711
  cargo xtask chaos --fleet                        500 gateways' uploaders over real sockets; the collector is away for 60 s
  cargo xtask chaos --fleet -- --gateways 40 --outage 5s

The schedule is printed before the run; the same seed, minutes, gateways and kinds give the same one. Logs of all processes stay in the
data folder. A full disk needs root (it mounts a small file system); where that or another need is not met, the fault is left out, and the
report says so.")]
pub struct Options {
    /// Decides which fault comes when, and what the plant makes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long the plant runs; ending it in order takes a little more
    #[arg(long, default_value_t = 5.0, value_parser = minutes)]
    pub minutes: f64,
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub machines: u16,
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub gateways: u16,
    /// Where the processes keep data and logs (default: chaos/ in cargo's target folder; emptied at the start)
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Print the account as JSON on the last line of stdout
    #[arg(long)]
    pub json: bool,
    /// Put in faults of these kinds only
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULT,…", hide_possible_values = true)]
    pub only: Vec<Kind>,
    /// List the kinds of faults and end
    #[arg(long)]
    pub list_faults: bool,
    /// The run of 90 s that `cargo xtask test` makes: a fixed seed, and faults that need no root
    #[arg(long, conflicts_with_all = ["seed", "minutes", "only", "sim"])]
    pub short: bool,
    /// Simulate instead: gateway and collector in one process, with a seeded clock, disk and network
    #[arg(long, requires = "seeds")]
    pub sim: bool,
    /// How many seeds to simulate
    #[arg(long, requires = "sim")]
    pub seeds: Option<u64>,
    /// The first seed to simulate
    #[arg(long, requires = "sim")]
    pub from: Option<u64>,
    /// A fleet instead: hundreds of gateways' uploaders over real sockets, whose collector is killed and comes back
    #[arg(long, conflicts_with_all = ["sim", "short", "only", "minutes"])]
    pub fleet: bool,
    /// What `millrace-chaos fleet` takes
    #[arg(last = true, requires = "fleet", value_name = "OPTION")]
    pub of_the_fleet: Vec<String>,
}

impl Options {
    /// What `--short` stands for.
    pub fn short(data_dir: Option<PathBuf>) -> Self {
        let only =
            [Kind::GatewayKill, Kind::LinkHalfAnswer, Kind::CollectorKill, Kind::LinkReset, Kind::GatewayFreeze, Kind::GatewayCertificate];
        Self {
            seed: 11,
            minutes: 1.5,
            machines: 12,
            gateways: 2,
            data_dir,
            json: false,
            only: only.into(),
            list_faults: false,
            short: true,
            sim: false,
            seeds: None,
            from: None,
            fleet: false,
            of_the_fleet: Vec::new(),
        }
    }

    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    /// How to have the same schedule again.
    fn replay(&self) -> String {
        let mut line = format!(
            "cargo xtask chaos --seed {} --minutes {} --machines {} --gateways {}",
            self.seed, self.minutes, self.machines, self.gateways
        );
        if !self.only.is_empty() {
            line += &format!(" --only {}", self.only.iter().map(|k| k.name()).collect::<Vec<_>>().join(","));
        }
        line
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| format!("{text:?} is no number of minutes"))?;
    if (0.5..=10_080.0).contains(&minutes) { Ok(minutes) } else { Err("give 0.5 minutes to a week".into()) }
}

pub fn run(options: &Options) -> Result<ExitCode> {
    if options.list_faults {
        print!("{}", list());
        return Ok(ExitCode::SUCCESS);
    }
    if options.sim {
        return simulate(options);
    }
    if options.fleet {
        return fleet(options);
    }
    setup::debian_packages()?;
    let programs = build::all()?;
    let short = Options { json: options.json, ..Options::short(options.data_dir.clone()) };
    let options = if options.short { &short } else { options };
    let report = play(options, &programs)?;
    eprintln!("\n{}", report.table());
    if !report.is_clean() {
        eprintln!("again: {}", options.replay());
    }
    if options.json {
        println!("{}", report.json());
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a plant under faults with programs that are built already.
///
/// # Errors
/// When a process fails or does not do its part in time, with how to replay it; books that do not balance are no error but stand in the report.
pub fn play(options: &Options, programs: &Programs) -> Result<Report> {
    let (kinds, left_out) = available(&options.only);
    let planned = schedule::plan(options.seed, options.length(), usize::from(options.gateways), &kinds);
    let folder = options.data_dir.clone().unwrap_or_else(|| command::target_dir().join("chaos"));
    eprintln!("\n  seed {}, {} faults:\n{}", options.seed, planned.len(), report::schedule(&planned));
    left_out.iter().for_each(|why| eprintln!("  left out: {why}"));
    play_in(options, programs, &folder, planned, left_out)
        .with_context(|| format!("the run failed; logs in {}; again: {}", folder.join("logs").display(), options.replay()))
}

fn play_in(
    options: &Options,
    programs: &Programs,
    folder: &std::path::Path,
    planned: Vec<Planned>,
    left_out: Vec<String>,
) -> Result<Report> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let _ = ctrlc::set_handler(move || asked.store(true, Ordering::SeqCst));
    let site = demo::Options {
        lasting: Some(options.length()),
        machines: options.machines,
        gateways: options.gateways,
        port: 0,
        data_dir: Some(folder.to_path_buf()),
        seed: options.seed,
        json: false,
        fault: None,
    };
    let mut field = Field::start(&site, &planned, programs)?;
    eprintln!("  dashboard  {}\n  login key  {}\n  data       {}\n", field.site.dashboard_url(), field.site.admin_key, folder.display());
    let begun = Instant::now();
    let played = put_in(&mut field, planned, options.length(), begun, &stop)?;
    let plant_ended = unix_seconds();
    let length = begun.elapsed();
    field.plant.settle(&field.site, HAND_OVER)?;
    let truth = field.site.truth()?;
    let stored = account::account(&field.plant.rest, &truth)?;
    let ids: Vec<&str> = field.site.gateways.iter().map(|g| g.id.as_str()).collect();
    let losses = losses(&field.plant.rest, &ids)?;
    let seen =
        Seen { truth: &truth, stored: &stored, losses: &losses, played: &played, gateway_of: &field.site.gateway_of, plant_ended, length };
    let mut verdict = books::check(&seen);
    let audits = audits(&field.plant.rest)?;
    verdict.violations.extend(audits.iter().filter(|a| a.verdict == "unaccounted").map(|a| format!("the collector itself says of {a}")));
    field.plant.end_collector()?;
    Ok(Report {
        seed: options.seed,
        seconds: length.as_secs(),
        machines: options.machines,
        gateways: options.gateways,
        verdict,
        left_out,
        audits,
        connections: field.connections(),
        played,
    })
}

/// Plays the schedule; at its end every fault is out again. Ctrl-C leaves out what has not begun.
fn put_in(field: &mut Field<'_>, planned: Vec<Planned>, length: Duration, begun: Instant, stop: &AtomicBool) -> Result<Vec<Played>> {
    let mut played: Vec<Played> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut coming = planned.into_iter().peekable();
    loop {
        let stopped = stop.load(Ordering::SeqCst);
        let elapsed = begun.elapsed();
        let backlog = field.backlog();
        for fault in open.clone() {
            let one = &mut played[fault];
            one.backlog = one.backlog.max(backlog);
            if stopped || elapsed >= one.planned.ends() {
                if one.skipped.is_none() {
                    field.end(&one.planned).with_context(|| format!("taking out {}", one.planned.kind.name()))?;
                }
                one.ended = unix_seconds();
                open.retain(|other| *other != fault);
            }
        }
        if stopped || (open.is_empty() && coming.peek().is_none() && elapsed >= length) {
            return Ok(played);
        }
        while let Some(planned) = coming.next_if(|next| elapsed >= next.at) {
            let began = unix_seconds();
            eprintln!("  {:>6.1} s  {} on {}", elapsed.as_secs_f64(), planned.kind.name(), report::target(planned.target));
            let skipped = field.begin(&planned).with_context(|| format!("putting in {}", planned.kind.name()))?;
            if let Some(why) = &skipped {
                eprintln!("            skipped: {why}");
            }
            open.push(played.len());
            played.push(Played { planned, began, ended: began, skipped, backlog: 0 });
        }
        field.plant.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The kinds that can be put in here, and why others can't.
fn available(only: &[Kind]) -> (Vec<Kind>, Vec<String>) {
    let wanted = if only.is_empty() { Kind::all() } else { only };
    let mut left_out = Vec::new();
    let mut can = |need: Need, kind: Kind| {
        let why = match need {
            Need::Mount if !place::may_mount() => "only root may mount a small file system",
            Need::FakeTime if place::faketime().is_none() => "libfaketime is not installed (Debian package faketime)",
            _ => return true,
        };
        left_out.push(format!("{}: {why}", kind.name()));
        false
    };
    let kinds = wanted.iter().copied().filter(|kind| can(kind.need(), *kind)).collect();
    (kinds, left_out)
}

/// Everything that was lost, as the collector was told. `gateways` are their ids by number.
pub fn losses(rest: &Rest, gateways: &[&str]) -> Result<Vec<LossRow>> {
    let rows = rest.sql(
        "SELECT gateway, asset, reason, \"count\", arrow_cast(from_time, 'Int64') / 1e6, arrow_cast(to_time, 'Int64') / 1e6 FROM losses ORDER BY from_time",
    )?;
    let row = |row: &Vec<serde_json::Value>| {
        let id = account::text(&row[0])?;
        let gateway = gateways.iter().position(|g| *g == id).with_context(|| format!("a loss of {id}, which is none of ours"))?;
        let second = |value: &serde_json::Value| value.as_f64().with_context(|| format!("expected a time, got {value}"));
        Ok(LossRow {
            gateway,
            asset: row[1].as_str().map(str::to_owned),
            reason: account::text(&row[2])?,
            count: account::whole(&row[3])?,
            from: second(&row[4])?,
            to: second(&row[5])?,
        })
    };
    rows.iter().map(row).collect()
}

/// What the collector's own audit says of each gateway; nothing where it keeps none.
pub fn audits(rest: &Rest) -> Result<Vec<Audit>> {
    let gateways = rest.get("/api/v1/gateways")?;
    let audit = |gateway: &serde_json::Value| {
        let verdict = gateway["audit"]["verdict"].as_str()?.to_owned();
        let text = gateway["audit"]["text"].as_str().unwrap_or_default().to_owned();
        Some(Audit { gateway: gateway["gateway"].as_str()?.to_owned(), verdict, text })
    };
    Ok(gateways["items"].as_array().into_iter().flatten().filter_map(audit).collect())
}

fn list() -> String {
    let line = |kind: &Kind| {
        let need = match kind.need() {
            Need::Nothing => "",
            Need::Mount => " (needs root)",
            Need::FakeTime => " (needs libfaketime)",
            Need::Hangup => " (where the program takes SIGHUP)",
        };
        format!("{:<22} {}{need}\n", kind.name(), kind.says())
    };
    Kind::all().iter().map(line).collect()
}

/// Builds the simulation and passes everything on to it, its exit code back.
fn simulate(options: &Options) -> Result<ExitCode> {
    command::run(command::cargo().args(["build", "--workspace", "--bins"]))?;
    let mut simulation = Programs::built().command("chaos");
    simulation.arg("sim");
    for (name, value) in [("--seeds", options.seeds), ("--from", options.from)] {
        if let Some(value) = value {
            simulation.args([name, &value.to_string()]);
        }
    }
    code_of(&mut simulation)
}

/// Builds what the fleet needs and starts it with the collector's program.
fn fleet(options: &Options) -> Result<ExitCode> {
    setup::debian_packages()?;
    let programs = build::all()?;
    let mut fleet = fleet_command(&programs, &options.of_the_fleet);
    fleet.args(["--seed", &options.seed.to_string()]).args(options.json.then_some("--json"));
    if let Some(folder) = &options.data_dir {
        fleet.arg("--data-dir").arg(folder);
    }
    code_of(&mut fleet)
}

/// `millrace-chaos fleet` with `args`, and the collector that was built beside it.
pub fn fleet_command(programs: &Programs, args: &[String]) -> Command {
    let mut fleet = programs.command("chaos");
    fleet.arg("fleet").arg("--collector").arg(programs.command("collector").get_program()).args(args);
    fleet
}

/// Runs `millrace-chaos` to its end.
fn code_of(chaos: &mut Command) -> Result<ExitCode> {
    let status = chaos.stdin(Stdio::null()).status().context("cannot start millrace-chaos")?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => bail!("millrace-chaos was ended by a signal ({status})"),
    }
}
