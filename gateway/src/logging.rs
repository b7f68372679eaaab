//! The process's log: for people on a terminal, JSON lines otherwise.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Human on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

/// The broker's own log is noise (each connection is an error to it); what matters of it is observed and logged by `source::mqtt_broker`.
const QUIET: &str = "rumqttd=off,rumqttc=error,sled=warn,h2=warn,hyper=warn,rustls=warn";

/// Installs it. `level` is a level or a filter such as `info,gateway::upload=debug`.
pub fn install(format: Format, level: &str) {
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")));
    let human = match format {
        Format::Auto => std::io::stderr().is_terminal(),
        Format::Human => true,
        Format::Json => false,
    };
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = if human { builder.with_target(false).try_init() } else { builder.json().flatten_event(true).try_init() };
}
