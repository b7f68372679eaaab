//! The command line: what can be said, and the exit code of what went wrong.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use firmware_sim::config::parse_duration;

const EXAMPLES: &str = "\
Examples:
  millrace-sim plant --machines 12 --gateways 2 > plant.toml
  millrace-sim check-config --config plant.toml
  millrace-sim run --config plant.toml --seed 42 --truth truth.jsonl --for 60s

Exit codes: 0 done, 64 usage or configuration, 1 failure.
Ctrl-C and SIGTERM end a run in order: machines stop, their last counters are sent and acknowledged, and the truth file is completed.";

/// A simulated plant: machines that publish over MQTT or answer Modbus TCP, with the truth of what they made.
#[derive(Debug, Parser)]
#[command(name = "millrace-sim", version, after_help = EXAMPLES)]
pub struct Cli {
    /// How to write the log (on stderr).
    #[arg(long, value_enum, default_value_t = LogFormat::Auto, global = true)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lets the plant run until it is told to stop.
    #[command(after_help = "Example:\n  millrace-sim run --config plant.toml --seed 42 --truth truth.jsonl")]
    Run(Run),
    /// Says whether a configuration is good.
    #[command(after_help = "Example:\n  millrace-sim check-config --config plant.toml")]
    CheckConfig {
        /// The plant.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Writes the configuration of a plant to stdout.
    #[command(
        after_help = "Example:\n  millrace-sim plant --machines 12 --gateways 2 --mqtt-base-port 1883 --modbus-base-port 5021 > plant.toml"
    )]
    Plant(Plant),
}

#[derive(Debug, Args)]
pub struct Run {
    /// The plant.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Decides everything that chance decides; the configuration's own if it is not given, or else 1.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where to write what really happened.
    #[arg(long, value_name = "FILE", default_value = "truth.jsonl")]
    pub truth: PathBuf,
    /// Ends the run by itself, as `90s` or `10m`.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct Plant {
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub machines: u16,
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub gateways: u16,
    /// Broker of the first gateway; the others follow.
    #[arg(long, value_name = "PORT", default_value_t = 1883)]
    pub mqtt_base_port: u16,
    /// Port of the first Modbus machine; the others follow.
    #[arg(long, value_name = "PORT", default_value_t = 5021)]
    pub modbus_base_port: u16,
    /// The gateways' brokers one by one, in place of host and base port.
    #[arg(long, value_name = "IP:PORT,…", value_delimiter = ',')]
    pub mqtt: Vec<SocketAddr>,
    /// Where the Modbus machines listen one by one, in place of host and base port; more than are needed do no harm.
    #[arg(long, value_name = "IP:PORT,…", value_delimiter = ',')]
    pub modbus: Vec<SocketAddr>,
    /// Where brokers and Modbus machines are.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub host: IpAddr,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How often states change; 1 suits a demonstration of a minute, 0.02 is nearer to a real shop.
    #[arg(long, default_value_t = 1.0, value_parser = pace)]
    pub pace: f64,
    /// Leaves out injected faults.
    #[arg(long)]
    pub no_faults: bool,
}

/// As in the configuration.
fn pace(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|pace| (0.001..=10.0).contains(pace)).ok_or_else(|| "must be a number from 0.001 to 10".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}
