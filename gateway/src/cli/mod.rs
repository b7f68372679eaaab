//! The command line: what there is to ask for, and which part of the gateway does it.

mod modbus;
mod spool;
mod status;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gateway::{
    app::{App, Tuning},
    config::{Config, ConfigErrors, EXAMPLE},
    enroll, notify,
    shutdown::Shutdown,
};

use crate::{EXIT_USAGE, logging::Format};

/// The edge agent of Millrace: reads machines, keeps what they say, and hands it to the collector.
#[derive(Debug, Parser)]
#[command(name = "millrace-gateway", version, after_help = "Example:\n  millrace-gateway run --config gateway.toml")]
pub struct Cli {
    /// The configuration file.
    #[arg(long, short, global = true, env = "MILLRACE_GATEWAY_CONFIG", default_value = "/etc/millrace/gateway.toml")]
    config: PathBuf,
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub log_format: Format,
    /// Level or filter of the log, as in `info` or `info,gateway::upload=debug`.
    #[arg(long, global = true, env = "MILLRACE_LOG", default_value = "info")]
    pub log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the machines until SIGTERM or SIGINT.
    #[command(after_help = "Example:\n  millrace-gateway run --config gateway.toml")]
    Run,
    /// Check the configuration and list all of its problems; exit code 64 if there are any.
    #[command(after_help = "Example:\n  millrace-gateway check-config --config gateway.toml")]
    CheckConfig,
    /// Get a certificate from the collector with a one-time token.
    #[command(after_help = "Example (the token comes from `millrace-collector token create --gateway press-gw1`):\n  \
                            millrace-gateway enroll --token mrt1.eyJ1cmwiOi… --config gateway.toml")]
    Enroll {
        #[arg(long, env = "MILLRACE_ENROLL_TOKEN", hide_env_values = true)]
        token: String,
        /// Replace a certificate that is there.
        #[arg(long)]
        force: bool,
    },
    /// Ask the running gateway how it is.
    #[command(after_help = "Example:\n  millrace-gateway status --config gateway.toml --json")]
    Status {
        /// The whole document.
        #[arg(long)]
        json: bool,
    },
    /// Look into the spool of a gateway that does not run.
    #[command(subcommand, after_help = "Example:\n  millrace-gateway spool ls --config gateway.toml")]
    Spool(spool::Command),
    /// Look at Modbus TCP devices before they are configured.
    #[command(
        subcommand,
        after_help = "Example:\n  millrace-gateway modbus read --address 192.168.0.17:502 --table input --from 0 --count 13"
    )]
    Modbus(modbus::Command),
    /// About the configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting with its default and what it means: a file to begin with.
    #[command(after_help = "Example:\n  millrace-gateway config schema > gateway.toml")]
    Schema,
}

/// Does what was asked for.
///
/// # Errors
/// What went wrong, for people.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = || Config::load(&cli.config, std::env::vars());
    match &cli.command {
        Command::Config(ConfigCommand::Schema) => {
            print!("{EXAMPLE}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Modbus(command) => modbus::run(command).await,
        Command::CheckConfig => Ok(match config() {
            Ok(config) => {
                println!("{}: no problem; gateway {} with {} sources", cli.config.display(), config.gateway, config.sources().len());
                ExitCode::SUCCESS
            }
            Err(errors) => unusable(&errors),
        }),
        Command::Run => match config() {
            Ok(config) => serve(config).await,
            Err(errors) => Ok(unusable(&errors)),
        },
        Command::Enroll { token, force } => match config() {
            Ok(config) => {
                let gateway = enroll::enroll(&config, token, *force).await?;
                println!("{gateway} is enrolled; a running gateway takes the certificate within seconds");
                Ok(ExitCode::SUCCESS)
            }
            Err(errors) => Ok(unusable(&errors)),
        },
        Command::Status { json } => match config() {
            Ok(config) => status::show(&config, *json).await,
            Err(errors) => Ok(unusable(&errors)),
        },
        Command::Spool(command) => match config() {
            Ok(config) => spool::run(&config, command),
            Err(errors) => Ok(unusable(&errors)),
        },
    }
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let shutdown = Arc::new(Shutdown::default());
    end_on_signals(Arc::clone(&shutdown))?;
    let gateway = config.gateway.clone();
    let app = App::start(config, Tuning::default(), shutdown).await.context("the gateway did not start")?;
    tracing::info!(
        %gateway,
        version = env!("CARGO_PKG_VERSION"),
        mqtt = app.broker_listen.map(tracing::field::display),
        status = app.status_listen.map(tracing::field::display),
        "running"
    );
    notify::ready(&format!("gateway {gateway}"));
    app.ended().await;
    notify::stopping();
    tracing::info!("ending");
    app.stop().await?;
    tracing::info!("ended in order");
    Ok(ExitCode::SUCCESS)
}

fn end_on_signals(shutdown: Arc<Shutdown>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no handler for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.begin();
    });
    Ok(())
}

fn unusable(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(EXIT_USAGE)
}
