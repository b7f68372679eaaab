//! The command line: what it understands, and what each command does.
//!
//! Invariant: a command that fails says why and what to do, and ends with 64 (usage, configuration) or 1 (anything else).

mod admin;
mod audit;
mod generate;
mod health;
mod init;
mod query;
mod serve;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use protocol::GatewayId;

use crate::{
    auth::Role,
    config::{Config, ConfigError, parse_duration},
};

const EXAMPLES: &str = "Examples:
  millrace-collector init --config collector.toml --data-dir /var/lib/millrace-collector
  millrace-collector run --config collector.toml
  millrace-collector token create --gateway press-gw1 --config collector.toml
  MILLRACE_KEY=mk_… millrace-collector sql \"SELECT count(*) FROM window_summaries\" --config collector.toml";

/// The central server of Millrace: takes in what gateways deliver, keeps it, and answers questions about it.
#[derive(Debug, Parser)]
#[command(name = "millrace-collector", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, env = "MILLRACE_COLLECTOR_CONFIG", default_value = "/etc/millrace/collector.toml")]
    pub config: PathBuf,
    /// How to write the log: for people on a terminal, else as JSON.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Auto,
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve gateways and people until SIGTERM or SIGINT.
    #[command(after_help = "Example:\n  millrace-collector run --config /etc/millrace/collector.toml")]
    Run,
    /// Read the configuration and list all problems with their lines.
    #[command(after_help = "Example:\n  millrace-collector check-config --config collector.toml")]
    CheckConfig,
    /// First start: configuration (if there is none), data directory, certificate authority, admin key (shown once).
    #[command(after_help = "Example:\n  millrace-collector init --config collector.toml --data-dir /var/lib/millrace-collector")]
    Init {
        /// Where the collector keeps its data; goes into a configuration that is written.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
    /// One-time tokens by which gateways come in.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Keys of the API.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Enrolled gateways.
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Whether the running server takes data in and keeps it: ends with 1, and says what is at fault, if not.
    #[command(after_help = "Example:\n  millrace-collector health --config /etc/millrace/collector.toml")]
    Health,
    /// Ask one SQL question: of the running server, or of the files if none runs.
    #[command(after_help = "Example:\n  millrace-collector sql \"SELECT asset, sum(count) FROM window_summaries GROUP BY asset\"")]
    Sql {
        statement: String,
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Whether each gateway's books balance with what is stored: ends with 1 if readings are unaccounted for, or stored twice.
    #[command(after_help = "Example:\n  MILLRACE_KEY=mk_… millrace-collector audit --config collector.toml")]
    Audit {
        #[command(flatten)]
        server: ServerArgs,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Write a table, or the answer to a question, to a file.
    #[command(after_help = "Example:\n  millrace-collector export --table anomalies --format csv --output anomalies.csv")]
    Export(ExportArgs),
    /// Merge small files of the lake. Only while no server runs: a running one does it by itself.
    #[command(after_help = "Example:\n  millrace-collector compact --config collector.toml")]
    Compact,
    /// Print what a shell needs to complete this program's commands.
    #[command(after_help = "Example:\n  millrace-collector completions bash > /usr/share/bash-completion/completions/millrace-collector")]
    Completions { shell: Shell },
    /// Write the manual pages of this program and its commands into a folder: what packages are made of.
    #[command(hide = true, after_help = "Example:\n  millrace-collector man-pages man1")]
    ManPages { folder: PathBuf },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for one gateway; hand it to `millrace-gateway enroll`.
    #[command(after_help = "Example:\n  millrace-collector token create --gateway press-gw1 --ttl 1h")]
    Create {
        #[arg(long)]
        gateway: GatewayId,
        /// How long it can be used.
        #[arg(long, default_value = "1h", value_parser = ttl)]
        ttl: Duration,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; it is shown once.
    #[command(after_help = "Example:\n  millrace-collector key create --name shift-board --role viewer")]
    Create {
        #[arg(long)]
        name: String,
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// List keys (names and roles; the keys themselves are not stored).
    Ls,
    /// Revoke a key by its name, at once and for good.
    Revoke { name: String },
}

#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// List enrolled gateways.
    Ls,
    /// Shut a gateway out, at once; a new token lets it in again.
    Revoke { gateway: GatewayId },
}

#[derive(Debug, Args)]
pub struct ServerArgs {
    /// An API key.
    #[arg(long, env = "MILLRACE_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Address of the server's API, if it is not the configuration's.
    #[arg(long)]
    pub url: Option<String>,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[arg(long, conflicts_with = "sql", required_unless_present = "sql")]
    pub table: Option<String>,
    #[arg(long)]
    pub sql: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,
    /// Standard output if not given.
    #[arg(long)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    Table,
    Csv,
    /// One object a line.
    Json,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Start(#[from] crate::app::StartError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    Pki(#[from] crate::pki::PkiError),
    #[error(transparent)]
    Lock(#[from] crate::lock::LockError),
    #[error("the lake: {0}")]
    Lake(#[from] lake::LakeError),
    #[error("the server at {url} did not answer: {source}")]
    Server { url: String, source: reqwest::Error },
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    #[error("{0}")]
    Failed(&'static str),
}

impl CommandError {
    /// 64 for usage and configuration, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Usage(_) => ExitCode::from(64),
            _ => ExitCode::FAILURE,
        }
    }
}

/// What went wrong, with its causes; one that is a part of what stands before it is not said again.
pub fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause if text.is_empty() => cause,
        cause => format!("{text}: {cause}"),
    })
}

/// Does what the command line asks.
///
/// # Errors
/// [`CommandError`].
pub async fn execute(cli: Cli) -> Result<(), CommandError> {
    let path = cli.config.as_path();
    match cli.command {
        Command::Run => serve::run(Config::load(path)?).await,
        Command::CheckConfig => check_config(path),
        Command::Init { data_dir } => init::init(path, data_dir.as_deref()).await,
        Command::Token(TokenCommand::Create { gateway, ttl }) => admin::create_token(&Config::load(path)?, &gateway, ttl).await,
        Command::Key(command) => admin::keys(&Config::load(path)?, command).await,
        Command::Gateway(command) => admin::gateways(&Config::load(path)?, command).await,
        Command::Health => health::health(&Config::load(path)?).await,
        Command::Sql { statement, server, format } => query::sql(Config::load(path)?, &statement, &server, format).await,
        Command::Audit { server, format } => audit::audit(Config::load(path)?, &server, format).await,
        Command::Export(args) => query::export(Config::load(path)?, &args).await,
        Command::Compact => query::compact(&Config::load(path)?).await,
        Command::Completions { shell } => generate::completions(shell),
        Command::ManPages { folder } => generate::man_pages(&folder),
    }
}

fn check_config(path: &Path) -> Result<(), CommandError> {
    let config = Config::load(path)?;
    say(&format!(
        "{} is valid: API on {}, uplink on {}, data in {}",
        path.display(),
        config.api.listen,
        config.uplink.listen,
        config.data_dir.display()
    ))
}

/// A line on standard output. A reader that has gone away is an error, not a panic.
fn say(line: &str) -> Result<(), CommandError> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn ttl(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(ttl) if ttl >= Duration::from_secs(1) && ttl <= Duration::from_secs(30 * 86_400) => Ok(ttl),
        _ => Err("write a time with its unit from 1s to 30d: 1h".into()),
    }
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| "write viewer, operator or admin".into())
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::told;

    #[test]
    fn a_cause_is_said_once() {
        let said_already = anyhow!("denied").context("cannot read api.key: denied");
        assert_eq!(told(&said_already), "cannot read api.key: denied");
        let new = Err::<(), _>(said_already).context("no TLS").unwrap_err();
        assert_eq!(told(&new), "no TLS: cannot read api.key: denied");
    }
}
