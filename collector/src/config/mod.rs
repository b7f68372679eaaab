//! The configuration of the collector: one TOML file (and `MILLRACE_…` overrides), read once, resolved whole before a port opens.
//!
//! Stands before everything else. `read` walks the parsed file and gathers problems, `resolve` turns it into [`Config`].
//! Invariant: a [`Config`] in hand is valid; unknown keys are errors; all problems are reported together, each with its line and
//! what to do about it. Defaults live in `resolve` alone.

mod calendar;
mod maintenance;
mod read;
mod resolve;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use jiff::tz::TimeZone;
use kpi::{calendar::Calendar, oee::Rules};
use protocol::{AssetPath, SignalName};

pub use maintenance::{Condition, MaintenanceConfig};
pub(crate) use read::parse_duration;
pub use resolve::EXAMPLE;
pub(crate) use resolve::advertised_host;

/// Everything that the collector was told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from, for messages.
    pub source: PathBuf,
    /// Holds all that the collector keeps: `pki/`, `collector.db`, `journal/`, `lake/`, `quarantine/`.
    pub data_dir: PathBuf,
    /// The plant's time zone: shifts and days are reckoned in it.
    pub timezone: TimeZone,
    /// Its IANA name, for the API.
    pub timezone_name: String,
    pub api: ApiConfig,
    pub uplink: UplinkConfig,
    pub journal: JournalConfig,
    pub lake: LakeConfig,
    pub sql: SqlConfig,
    /// Shifts, breaks and holidays, in the plant's time zone.
    pub calendar: Calendar,
    /// How OEE is reckoned.
    pub oee: Rules,
    pub maintenance: MaintenanceConfig,
    /// Machines that the operator has described. Others appear when their data comes.
    pub assets: Vec<Asset>,
    pub ingest: IngestConfig,
}

/// Where people and programs ask.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    pub listen: SocketAddr,
    /// PEM files; `None` serves plain HTTP, which is allowed on loopback, or where `allow_plain_http_on_network` waives TLS.
    pub tls: Option<TlsFiles>,
    pub allow_plain_http_on_network: bool,
    pub max_body_bytes: usize,
    /// Connections to `/ws` at a time.
    pub max_websockets: usize,
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where gateways deliver.
#[derive(Debug, Clone)]
pub struct UplinkConfig {
    pub listen: SocketAddr,
    /// The base URL that enrollment tokens carry, `https://host:8443`; its host is a name in the server's certificate.
    pub advertise: String,
    /// More names and addresses for the server's certificate.
    pub names: Vec<String>,
    pub max_connections: usize,
    /// Batches that may wait for the journal; over it 503 with Retry-After.
    pub max_queued_batches: usize,
    pub max_batch_bytes: usize,
    pub max_decoded_bytes: usize,
    pub max_batch_rows: usize,
    /// Undecodable batches that are kept for inspection.
    pub max_quarantined: usize,
    /// TLS handshakes at a time; others wait for their turn.
    pub max_handshakes: usize,
    /// Rows a second that all backlogs together may bring.
    pub catch_up_rows_per_s: u32,
    /// An alarm is raised when a gateway's clock differs by more.
    pub max_skew: Duration,
}

/// The durable queue between the acknowledgement and the lake.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    pub max_bytes: u64,
}

/// When hot rows become files.
#[derive(Debug, Clone)]
pub struct LakeConfig {
    pub commit_interval: Duration,
    pub commit_rows: usize,
    /// Commits between two compactions.
    pub compact_every: u32,
    /// Rows in memory over which gateways are held off (the lake is behind or failing).
    pub max_hot_rows: usize,
}

/// Limits of one query.
#[derive(Debug, Clone)]
pub struct SqlConfig {
    pub timeout: Duration,
    pub max_memory_bytes: u64,
    pub max_rows: usize,
}

/// A machine as the operator describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    pub path: AssetPath,
    /// Time for one part at the best speed; `None`: performance is unknown.
    pub ideal_cycle_time: Option<Duration>,
    /// The signal of its electricity meter; `None`: its signal with a unit of power, or else of energy.
    pub power_signal: Option<SignalName>,
    /// UCUM code of that signal where its data tell none.
    pub power_unit: Option<String>,
    /// Machines of one kind share their reliability and a learned model; `None`: the kind is the set of their signals.
    pub kind: Option<String>,
    /// Limits of its signals, as far as its condition is concerned.
    pub condition: Vec<Condition>,
}

/// Readings that programs post to the API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IngestConfig {
    /// `plant1/area/line1/{device_id}`: which machine a device is whose id is no asset path. `None`: such devices are refused.
    pub asset_template: Option<String>,
}

impl Config {
    /// The place of a file or folder that the collector keeps.
    pub fn in_data_dir(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }

    /// The described machine of that path.
    pub fn asset(&self, path: &AssetPath) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.path == *path)
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; `None` for what is missing or comes from the environment.
    pub line: Option<usize>,
    /// Path of the key, `uplink.advertise`.
    pub key: String,
    pub message: String,
    /// What to write instead.
    pub advice: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: ")?,
            None => f.write_str("       : ")?,
        }
        write!(f, "{}: {}", self.key, self.message)?;
        if !self.advice.is_empty() {
            write!(f, " — {}", self.advice)?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} problem(s) in {}:{}", problems.len(), path.display(), list(problems))]
    Invalid { path: PathBuf, problems: Vec<Problem> },
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

impl Config {
    /// Reads and resolves the file, with overrides from this process's environment.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] lists all problems.
    pub fn load(path: &std::path::Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Self::parse(path, &text, std::env::vars())
    }

    /// Resolves `text`; `env` are the overrides `MILLRACE_<TABLE>__<KEY>`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] lists all problems.
    pub fn parse(path: &std::path::Path, text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        resolve::resolve(path, text, env.into_iter().collect()).map_err(|problems| ConfigError::Invalid { path: path.into(), problems })
    }
}

#[cfg(test)]
mod tests;
