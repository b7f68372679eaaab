//! `cargo xtask test`: all that must hold before a change lands, in one command and from a fresh clone.
//!
//! Order: what is missing is installed -> formats -> page -> lints and build in one compilation, beside the page's tests -> files of deploy/ -> tests -> the whole path as
//! real processes -> the gateway's package -> the whole path with the gateway for ARM. Tests and the whole path mostly wait: what is for ARM is compiled
//! meanwhile, at low priority.

mod deploy;
mod e2e;
mod tidy;

use std::{
    process::Command,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use crate::{
    build::{self, Programs},
    command, cross, package, setup,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --only tests      the Rust tests alone")]
pub struct Options {
    /// Run these steps only (setup is always run). By default all but `package`
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// Module heads, links in the documents, example configurations, systemd units
    Tidy,
    /// Formats of the Rust code
    Format,
    /// The dashboard: types, unit tests, page, browser test against a mock
    Dashboard,
    /// Clippy on all targets, which also builds them
    Lint,
    /// The files of deploy/: image, compose, dashboards, manifests; the built collector reads their settings
    Deploy,
    /// Unit, property and integration tests of all crates
    Tests,
    /// The demo as a whole, in order and with faults, the dashboard in a browser, a short run of chaos, and a small fleet
    EndToEnd,
    /// The gateway's Debian package, installed, upgraded, removed and purged by dpkg in a Debian of its own (only as root, and only when asked for)
    Package,
    /// The gateway for ARM (aarch64, armv7), and the demo with it under emulation
    Cross,
}

const STEPS: &[Step] =
    &[Step::Tidy, Step::Format, Step::Dashboard, Step::Lint, Step::Deploy, Step::Tests, Step::EndToEnd, Step::Package, Step::Cross];

pub fn run(options: &Options) -> Result<bool> {
    let begun = Instant::now();
    setup::debian_packages()?;
    setup::python_packages()?;
    setup::npm_packages()?;
    let mut times = vec![("setup".to_owned(), begun.elapsed())];
    let is_chosen = |step: &Step| if options.only.is_empty() { *step != Step::Package } else { options.only.contains(step) };
    let mut for_arm = None;
    let mut page: Option<JoinHandle<Result<()>>> = None;
    for step in STEPS.iter().filter(|step| is_chosen(step)) {
        let begun = Instant::now();
        eprintln!("\n=== {step:?} ===");
        match step {
            Step::Deploy | Step::Tests | Step::EndToEnd if is_chosen(&Step::Cross) && for_arm.is_none() => {
                for_arm = Some(cross::Background::begin()?);
            }
            Step::Cross => for_arm.take().map_or(Ok(()), cross::Background::wait)?,
            _ => {}
        }
        run_step(*step).with_context(|| format!("step {step:?}"))?;
        match step {
            Step::Dashboard => page = Some(std::thread::spawn(check_page)),
            _ => page.take().map_or(Ok(()), joined)?,
        }
        times.push((format!("{step:?}"), begun.elapsed()));
    }
    page.take().map_or(Ok(()), joined)?;
    eprintln!("\nall passed in {}", minutes(begun.elapsed()));
    for (step, time) in times {
        eprintln!("  {step:<10} {}", minutes(time));
    }
    Ok(true)
}

/// The dashboard's types, unit tests and browser test, beside a compilation.
fn check_page() -> Result<()> {
    let dashboard = command::root().join("collector/dashboard");
    for script in ["check", "test", "test:browser"] {
        let begun = Instant::now();
        command::quietly(Command::new("npm").args(["run", "--silent", script]).current_dir(&dashboard))?;
        eprintln!("  dashboard: {script} passed in {}", minutes(begun.elapsed()));
    }
    Ok(())
}

fn joined(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("the dashboard's tests broke off"))?.context("step Dashboard")
}

fn run_step(step: Step) -> Result<()> {
    match step {
        Step::Tidy => tidy::check(),
        Step::Format => command::run(command::cargo().args(["fmt", "--all", "--check"])),
        Step::Dashboard => build::dashboard(),
        Step::Lint => command::run(linting(&mut command::patient_cargo())?.args(["build", "--workspace", "--all-targets"])),
        Step::Deploy => {
            deploy::check()?;
            deploy::check_settings(&Programs::built())
        }
        Step::Tests => command::run(linting(&mut command::cargo())?.args(["test", "--workspace", "--no-fail-fast"])),
        Step::EndToEnd => {
            build::dashboard()?;
            command::run(linting(&mut command::cargo())?.args(["build", "--workspace", "--all-targets"]))?;
            e2e::run()
        }
        Step::Package if !command::is_root()? => {
            eprintln!("skipped: a package is installed in a root file system of its own, which takes root");
            Ok(())
        }
        Step::Package => package::test::gateway_here(&command::target_dir().join("debug/millrace-gateway")),
        Step::Cross => cross::check(Programs::built()),
    }
}

/// Makes a cargo command compile the workspace's crates with clippy, warnings being errors. `cargo clippy` would check all dependencies
/// a second time (hundreds of CPU-seconds); so linting and building are one compilation, and dependencies are shared with the demo.
fn linting(cargo: &mut Command) -> Result<&mut Command> {
    let driver = command::output(Command::new("rustup").args(["which", "clippy-driver"]))
        .or_else(|_| command::output(Command::new("which").arg("clippy-driver")))
        .context("clippy is not installed: rustup component add clippy")?;
    Ok(cargo.env("RUSTC_WORKSPACE_WRAPPER", driver.trim()).env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__"))
}

fn minutes(time: Duration) -> String {
    format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}
