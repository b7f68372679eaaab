//! `millrace-sim`: runs a simulated plant, checks its configuration, or writes one.

mod cli;

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use cli::{Cli, Command, LogFormat};
use firmware_sim::{
    app::Plant,
    config::{ConfigError, PlantConfig},
    generate::{self, GenerateError, PlantOptions},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Usage or configuration.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no errors.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    log_to_stderr(cli.log_format);
    let result = match cli.command {
        Command::Run(options) => run(&options),
        Command::CheckConfig { config } => check(&config),
        Command::Plant(options) => plant(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace-sim: {error:#}");
            let is_usage = error.is::<ConfigError>() || error.is::<GenerateError>() || error.is::<PortError>();
            if is_usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn run(options: &cli::Run) -> anyhow::Result<()> {
    let config = PlantConfig::load(&options.config)?;
    let seed = options.seed.or(config.seed).unwrap_or(1);
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let plant = Plant::start(&config, seed, &options.truth).await?;
        tracing::info!(machines = config.machines.len(), seed, truth = %options.truth.display(), "the plant runs");
        let over = async {
            match options.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = over => {}
        }
        let outcome = plant.finish().await?;
        let open: u64 = outcome.machines.iter().map(|machine| machine.unacknowledged).sum();
        tracing::info!(readings = outcome.readings, parts = outcome.parts, unacknowledged = open, "the plant has stopped");
        anyhow::Ok(())
    })
}

fn check(path: &std::path::Path) -> anyhow::Result<()> {
    let config = PlantConfig::load(path)?;
    writeln!(std::io::stdout(), "{}: good, {} machines", path.display(), config.machines.len())?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum PortError {
    #[error("{count} ports from {base} on do not exist")]
    Range { count: usize, base: u16 },
    #[error("{given} addresses were given, {needed} are needed")]
    TooFew { given: usize, needed: usize },
}

fn plant(options: &cli::Plant) -> anyhow::Result<()> {
    let (machines, gateways) = (usize::from(options.machines), usize::from(options.gateways));
    let brokers = addresses(options, &options.mqtt, options.mqtt_base_port, gateways)?;
    let modbus = addresses(options, &options.modbus, options.modbus_base_port, generate::modbus_machines(machines, gateways))?;
    let text = generate::plant_toml(&PlantOptions {
        machines,
        seed: options.seed,
        pace: options.pace,
        gateways: brokers
            .into_iter()
            .take(gateways)
            .enumerate()
            .map(|(index, broker)| (format!("gateway-{}", index + 1), broker))
            .collect(),
        modbus,
        faults: !options.no_faults,
    })?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Those that were `given`, or else `count` ports from `base` on.
fn addresses(options: &cli::Plant, given: &[SocketAddr], base: u16, count: usize) -> Result<Vec<SocketAddr>, PortError> {
    if !given.is_empty() {
        return if given.len() >= count { Ok(given.to_vec()) } else { Err(PortError::TooFew { given: given.len(), needed: count }) };
    }
    let address = |index: usize| {
        let port = u16::try_from(usize::from(base) + index).map_err(|_| PortError::Range { count, base })?;
        Ok(SocketAddr::new(options.host, port))
    };
    (0..count).map(address).collect()
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| EnvFilter::new("info,rumqttc=off"));
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        log.json().init();
    } else {
        log.init();
    }
}
