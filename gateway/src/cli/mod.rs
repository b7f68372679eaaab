//! The command line: what there is to ask for, and which part of the gateway does it.

#[cfg(feature = "generate")]
mod generate;
mod modbus;
mod spool;
mod status;

use std::{io, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gateway::{
    app::{App, Tuning},
    config::{Config, ConfigErrors, EXAMPLE},
    enroll,
    reload::{self, Ended, Signals},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

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
    /// Read the machines until SIGTERM or SIGINT; SIGHUP takes a changed configuration over.
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
    #[cfg(feature = "generate")]
    /// Print what a shell needs to complete this program's commands.
    #[command(after_help = "Example:\n  millrace-gateway completions bash > /usr/share/bash-completion/completions/millrace-gateway")]
    Completions { shell: clap_complete::Shell },
    #[cfg(feature = "generate")]
    /// Write the manual pages of this program and its commands into a folder: what packages are made of.
    #[command(hide = true, after_help = "Example:\n  millrace-gateway man-pages man1")]
    ManPages { folder: PathBuf },
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
        #[cfg(feature = "generate")]
        Command::Completions { shell } => generate::completions(*shell).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "generate")]
        Command::ManPages { folder } => generate::man_pages(folder).map(|()| ExitCode::SUCCESS),
        Command::Modbus(command) => modbus::run(command).await,
        Command::CheckConfig => Ok(match config() {
            Ok(config) => {
                println!("{}: no problem; gateway {} with {} sources", cli.config.display(), config.gateway, config.sources().len());
                ExitCode::SUCCESS
            }
            Err(errors) => unusable(&errors),
        }),
        Command::Run => match config() {
            Ok(config) => serve(cli.config.clone(), config).await,
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

async fn serve(path: PathBuf, config: Config) -> anyhow::Result<ExitCode> {
    let signals = signals()?;
    let gateway = config.gateway.clone();
    let started = |app: &App| {
        tracing::info!(
            %gateway,
            version = env!("CARGO_PKG_VERSION"),
            mqtt = app.broker_listen.map(tracing::field::display),
            status = app.status_listen.map(tracing::field::display),
            "running"
        );
    };
    match reload::run(path, config, Tuning::default(), signals, started).await? {
        Ended::Asked => {
            tracing::info!("ended in order");
            Ok(ExitCode::SUCCESS)
        }
        Ended::Renew => Err(renew()).context("the process could not be replaced by a fresh one"),
    }
}

/// Replaces this process by a fresh one with the same command line and the same id. Returns only if that fails.
fn renew() -> io::Error {
    use std::os::unix::process::CommandExt as _;
    let mut args = std::env::args_os();
    let name = args.next();
    match std::env::current_exe() {
        Ok(program) => std::process::Command::new(&program).arg0(name.unwrap_or_else(|| program.clone().into())).args(args).exec(),
        Err(error) => error,
    }
}

fn signals() -> anyhow::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("no handler for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no handler for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("no handler for SIGHUP")?;
    let end = CancellationToken::new();
    let ending = end.clone();
    // One that waits stands for all that came meanwhile.
    let (ask, reload) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => drop(ask.try_send(())),
            }
        }
        ending.cancel();
    });
    Ok(Signals { end, reload })
}

fn unusable(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(EXIT_USAGE)
}
