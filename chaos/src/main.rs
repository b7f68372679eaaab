//! `millrace-chaos`: simulated runs by seed, a fleet over real sockets, and a month of OEE against its truth. Exit code 1 if one fails.

use std::{process::ExitCode, time::Duration};

use chaos::{
    fleet,
    month::{check::Comparison, drive::Drive, scenario::Scenario},
    plan::Plan,
    run::{explain, run, run_seeds, shrink},
    stopwatch::Stopwatch,
    world::{Figures, Mutation},
};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Faults on purpose, from a seed.
#[derive(Parser)]
#[command(name = "millrace-chaos", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run gateway and collector on a simulated clock, disk, network and plant, a run a seed
    Sim(Sim),
    /// Hundreds of gateways' uploaders over real sockets, whose collector is killed and comes back
    Fleet(fleet::Options),
    /// A month of a plant with its truth, and how wrong the OEE of each machine and shift is
    Month(Month),
}

#[derive(Args)]
struct Month {
    /// Draws the plant, and when what goes wrong
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Nothing goes wrong but the power of machines
    #[arg(long)]
    calm: bool,
}

#[derive(Args)]
struct Sim {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run this seed alone
    #[arg(long, value_name = "SEED")]
    only: Option<u64>,
    /// With these faults of its plan alone, by their numbers
    #[arg(long, value_delimiter = ',', requires = "only")]
    faults: Option<Vec<String>>,
    /// Print every event
    #[arg(long)]
    trace: bool,
    /// Go on after a seed that fails, and don't make it smaller
    #[arg(long)]
    keep_going: bool,
    /// Put a bug in, to see that it is found
    #[arg(long)]
    mutate: Option<Bug>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Bug {
    SkipSync,
    EarlyAck,
    NoLedger,
}

impl From<Bug> for Mutation {
    fn from(bug: Bug) -> Self {
        match bug {
            Bug::SkipSync => Self::SkipSync,
            Bug::EarlyAck => Self::EarlyAck,
            Bug::NoLedger => Self::NoLedger,
        }
    }
}

fn main() -> ExitCode {
    let is_well = match Cli::parse().command {
        Command::Sim(sim) => simulate(&sim),
        Command::Fleet(options) => fleet::run(&options).unwrap_or_else(|error| {
            eprintln!("millrace-chaos: {error:#}");
            false
        }),
        Command::Month(month) => run_month(&month),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_month(month: &Month) -> bool {
    let watch = Stopwatch::start();
    let drawn = Scenario::drawn(month.seed);
    let scenario = if month.calm { drawn.only(&[]).in_order() } else { drawn };
    let end = scenario.span.1;
    let mut drive = Drive::new(scenario);
    drive.run_until(end);
    let comparison = Comparison::of(&drive);
    print!("{}", comparison.table());
    let wrong = comparison.wrong();
    wrong.iter().for_each(|line| println!("WRONG  {line}"));
    println!("seed {}: {} wrong, {:?}, {:.0} s", month.seed, wrong.len(), drive.carried, watch.elapsed().as_secs_f64());
    wrong.is_empty()
}

fn simulate(sim: &Sim) -> bool {
    let mutation = sim.mutate.map(Mutation::from);
    if let Some(seed) = sim.only {
        let plan = Plan::drawn(seed);
        let numbers = sim.faults.as_ref().map(|faults| faults.iter().filter_map(|number| number.parse().ok()).collect::<Vec<usize>>());
        let plan = numbers.map_or(plan.clone(), |numbers| plan.only(&numbers));
        let outcome = run(plan, mutation, sim.trace);
        if outcome.failed() {
            println!("{}", explain(&outcome, mutation));
        }
        println!("{:#?}\nhash {:016x}", outcome.figures, outcome.hash);
        return !outcome.failed();
    }
    let watch = Stopwatch::start();
    let (mut total, mut seeds, mut failed) = (Figures::default(), 0_u64, 0_u64);
    let mut shown = Duration::ZERO;
    let mut range = sim.from..sim.from.saturating_add(sim.seeds);
    loop {
        let failing = run_seeds(range.by_ref(), mutation, |outcome| {
            seeds += 1;
            total.add(&outcome.figures);
            if watch.elapsed().saturating_sub(shown) >= Duration::from_secs(5) {
                shown = watch.elapsed();
                println!("{}", line(seeds, &total, shown));
            }
            true
        });
        let Some(failing) = failing else { break };
        failed += 1;
        if sim.keep_going {
            println!("seed {}: {}", failing.plan.seed, failing.balance.violations.first().map_or("", String::as_str));
            continue;
        }
        println!("seed {} fails with {} faults; looking for fewer ...", failing.plan.seed, failing.plan.faults.len());
        println!("{}", explain(&shrink(failing, mutation), mutation));
        break;
    }
    println!("{}", line(seeds, &total, watch.elapsed()));
    println!(
        "{} readings, {} commits ({} failed), {} requests ({} arrived, {} duplicates, {} gaps, {} refused), {} MB sent, {} MB written, {} h of virtual time",
        total.readings,
        total.commits,
        total.failed_commits,
        total.requests,
        total.arrivals,
        total.duplicates,
        total.gaps,
        total.refused,
        total.network_bytes / 1_000_000,
        total.disk_bytes / 1_000_000,
        total.virtual_us / 3_600_000_000,
    );
    println!("{failed} of {seeds} seeds failed");
    failed == 0
}

fn line(seeds: u64, total: &Figures, elapsed: Duration) -> String {
    let per_second = |n: u64| n as f64 / elapsed.as_secs_f64().max(1e-9);
    format!(
        "{seeds} seeds ({:.1}/s), {} kill points ({:.0}/s: {} kills, {} power cuts, {} stops in order, {} aimed), {} restores, {:.0} s",
        per_second(seeds),
        total.stops(),
        per_second(total.stops()),
        total.kills,
        total.power_cuts,
        total.clean_stops,
        total.aimed,
        total.restores,
        elapsed.as_secs_f64(),
    )
}
