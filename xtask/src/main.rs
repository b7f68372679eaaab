//! The project's own commands: `cargo xtask demo | test | bench | chaos | eval | cross | package | image`. Stands outside the product: it builds it, runs it, and holds it to account.

mod bench;
mod build;
mod chaos;
mod command;
mod cross;
mod demo;
mod eval;
mod image;
mod mirror;
mod package;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, show, test and measure Millrace.
#[derive(Parser)]
#[command(name = "cargo xtask", version, after_help = "Start with:  cargo xtask demo   (a plant of 12 machines in your browser)")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build all, run a collector, gateways and a simulated plant as real processes, and compare what was made with what is stored
    Demo(demo::Options),
    /// Install what is missing, check formats, lint, and run every test
    Test(test::Options),
    /// Run the benchmarks (criterion)
    Bench(bench::Options),
    /// Put faults into the demo's processes by a seeded schedule, or into both cores in simulation, and check that nothing is lost or twice
    Chaos(chaos::Options),
    /// Make Debian packages of gateway and collector (cargo-deb), and test them with dpkg
    Package(package::Options),
    /// Train on published data sets, and print how wrong the predictions are, one line a set
    #[command(subcommand)]
    Eval(eval::What),
    /// Build the gateway for ARM, and on request run the whole path with it under emulation
    Cross(cross::Options),
    /// Make the image of a card for a Raspberry Pi or another arm64 machine, or boot it in an emulator (--test)
    Image(Box<image::Options>),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo(options) => demo::run(&options).map(code),
        Task::Test(options) => test::run(&options).map(code),
        Task::Bench(options) => bench::run(&options).map(code),
        Task::Chaos(options) => chaos::run(&options),
        Task::Package(options) => package::run(&options).map(code),
        Task::Eval(what) => eval::run(&what),
        Task::Cross(options) => cross::run(&options).map(code),
        Task::Image(options) => image::run(&options).map(code),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn code(is_clean: bool) -> ExitCode {
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_options_of_all_commands_go_together() {
        super::Cli::command().debug_assert();
    }
}
