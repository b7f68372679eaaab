//! The configuration of a plant: `plant.toml`, checked as a whole.
//!
//! Invariant: what gets out of [`PlantConfig::parse`] can run; what cannot is reported with all its problems at once, each with its line.

mod reader;

use std::{collections::HashMap, fmt, net::SocketAddr, path::Path, time::Duration};

pub use reader::{Problem, parse_duration};
use reader::{Reader, Table};

use crate::{
    asset::Asset,
    model::{FaultKind, FaultSpec, MachineSpec, Signal, physics::Character},
    moment::seconds,
};

const MAX_MACHINES: usize = 2_000;
const MAX_FAULTS: usize = 100;

/// A plant to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct PlantConfig {
    pub seed: Option<u64>,
    pub publish_interval: Duration,
    /// Longest wait for acknowledgements at the end.
    pub drain: Duration,
    /// Messages that may wait for each MQTT machine's broker.
    pub queue: usize,
    pub machines: Vec<MachineConfig>,
}

/// One machine of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineConfig {
    pub asset: Asset,
    /// Which gateway takes it in: for the reader of the truth file only.
    pub gateway: Option<String>,
    pub link: Link,
    pub spec: MachineSpec,
}

/// How the machine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    Mqtt { host: String, port: u16 },
    Modbus { listen: SocketAddr, unit_id: u8 },
}

impl Link {
    /// The name in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Mqtt { .. } => "mqtt",
            Self::Modbus { .. } => "modbus",
        }
    }
}

/// All that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub file: String,
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{}: {count} problem{}", self.file, if count == 1 { "" } else { "s" })?;
        for problem in &self.problems {
            write!(f, "\n  {}:{problem}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl PlantConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it; an unreadable file counts as one problem.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|problems| ConfigError { file, problems }),
            Err(error) => Err(ConfigError { file, problems: vec![Problem { line: 0, text: format!("cannot be read: {error}") }] }),
        }
    }

    /// Checks a text.
    ///
    /// # Errors
    /// All problems, in the order of their lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(text);
        let config = reader.root().map(|root| plant(&mut reader, root));
        match (config, reader.finish()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(problems),
        }
    }
}

fn plant<'t>(reader: &mut Reader<'t>, mut root: Table<'t>) -> PlantConfig {
    let mut settings = reader.table(&mut root, "plant");
    let seed = reader.integer(&mut settings, "seed", 0..=i64::MAX).map(i64::unsigned_abs);
    let pace = reader.number(&mut settings, "pace", 0.001..=10.0).unwrap_or(1.0);
    let publish_interval = reader.duration(&mut settings, "publish_interval", 0.01..=3_600.0).unwrap_or(Duration::from_secs(1));
    let drain = reader.duration(&mut settings, "drain", 0.0..=300.0).unwrap_or(Duration::from_secs(5));
    let queue = reader.integer(&mut settings, "queue", 2..=1_000_000).map_or(10_000, |queue| queue as usize);
    reader.no_more(settings);

    let tables = reader.tables(&mut root, "machine", MAX_MACHINES);
    if tables.is_empty() {
        reader.problem(root.line, "there is no [[machine]]".into());
    }
    let machines: Vec<_> = tables.into_iter().map(|table| (table.line, machine(reader, table, pace))).collect();
    reader.no_more(root);
    no_duplicates(reader, &machines);
    PlantConfig { seed, publish_interval, drain, queue, machines: machines.into_iter().filter_map(|(_, machine)| machine).collect() }
}

fn machine<'t>(reader: &mut Reader<'t>, mut table: Table<'t>, plant_pace: f64) -> Option<MachineConfig> {
    let asset = reader.required_text(&mut table, "asset", Asset::new);
    let gateway = reader.text(&mut table, "gateway", |text| Ok(text.to_owned()));
    let link = link(reader, &mut table);
    let pace = reader.number(&mut table, "pace", 0.001..=10.0).unwrap_or(plant_pace);
    let ideal_cycle = reader.duration(&mut table, "ideal_cycle_time", 0.05..=3_600.0).unwrap_or(Duration::from_millis(2_500));
    let reject_ratio = reader.number(&mut table, "reject_ratio", 0.0..=1.0).unwrap_or(0.025);
    let jitter = reader.number(&mut table, "cycle_jitter", 0.0..=1.0).unwrap_or(0.08);
    let slow_ratio = reader.number(&mut table, "slow_cycle_ratio", 0.0..=1.0).unwrap_or(0.04);
    let character = Character {
        warm_celsius: reader.number(&mut table, "warm_temperature", 25.0..=150.0).unwrap_or(58.0),
        vibration_mm_s: reader.number(&mut table, "vibration", 0.0..=20.0).unwrap_or(1.8),
        power_kw: reader.number(&mut table, "power", 0.0..=50.0).unwrap_or(4.5),
        wear_mm_s_per_hour: reader.number(&mut table, "wear_per_hour", 0.0..=100.0).unwrap_or(0.05),
        thermal_lag: reader.duration(&mut table, "thermal_lag", 0.1..=36_000.0).unwrap_or_else(|| seconds(20.0 / pace)),
    };
    let faults = reader.tables(&mut table, "fault", MAX_FAULTS);
    let faults = faults.into_iter().filter_map(|table| fault(reader, table)).collect();
    reader.no_more(table);
    let spec = MachineSpec { pace, ideal_cycle, reject_ratio, jitter, slow_ratio, character, faults };
    Some(MachineConfig { asset: asset?, gateway, link: link?, spec })
}

fn link<'t>(reader: &mut Reader<'t>, table: &mut Table<'t>) -> Option<Link> {
    let kind = reader.required_text(table, "link", |text| match text {
        "mqtt" | "modbus" => Ok(text.to_owned()),
        _ => Err("must be \"mqtt\" or \"modbus\"".into()),
    })?;
    if kind == "mqtt" {
        let (host, port) = reader.required_text(table, "address", host_and_port)?;
        return Some(Link::Mqtt { host, port });
    }
    let listen = reader.required_text(table, "listen", |text| {
        text.parse().map_err(|_| format!("{text:?} is no address to listen on, like \"127.0.0.1:5021\""))
    });
    let unit_id = reader.integer(table, "unit_id", 1..=247).map_or(1, |id| id as u8);
    Some(Link::Modbus { listen: listen?, unit_id })
}

fn fault<'t>(reader: &mut Reader<'t>, mut table: Table<'t>) -> Option<FaultSpec> {
    let line = table.line;
    let kind = reader.required_text(&mut table, "kind", |text| one_of(text, &FaultKind::ALL.map(|kind| (kind.as_str(), kind))));
    let signal = reader.text(&mut table, "signal", |text| one_of(text, &Signal::ALL.map(|signal| (signal.as_str(), signal))));
    let after = reader.required_duration(&mut table, "after", 0.0..=31_536_000.0);
    let lasts = reader.required_duration(&mut table, "lasts", 0.001..=31_536_000.0);
    let magnitude = reader.number(&mut table, "magnitude", 0.0..=1_000.0);
    reader.no_more(table);
    let kind = kind?;
    let signal = match (kind.own_signal(), signal) {
        (Some(own), Some(other)) if own != other => {
            reader.problem(line, format!("a {} shows on {} and on nothing else", kind.as_str(), own.as_str()));
            own
        }
        (Some(own), _) => own,
        (None, Some(signal)) => signal,
        (None, None) => {
            reader.problem(line, format!("a {} needs a `signal`", kind.as_str()));
            return None;
        }
    };
    let usual = match kind {
        FaultKind::BearingWear => 6.0,
        FaultKind::TemperatureSpike => 35.0,
        FaultKind::StuckSensor => 0.0,
        FaultKind::Noise => 5.0,
    };
    Some(FaultSpec { kind, signal, after: after?, lasts: lasts?, magnitude: magnitude.unwrap_or(usual) })
}

fn no_duplicates(reader: &mut Reader<'_>, machines: &[(usize, Option<MachineConfig>)]) {
    let (mut assets, mut addresses) = (HashMap::new(), HashMap::new());
    for (line, machine) in machines {
        let Some(machine) = machine else { continue };
        if let Some(first) = assets.insert(machine.asset.clone(), *line) {
            reader.problem(*line, format!("asset {:?} is taken by the machine in line {first}", machine.asset));
        }
        if let Link::Modbus { listen, .. } = machine.link
            && listen.port() != 0
            && let Some(first) = addresses.insert(listen, *line)
        {
            reader.problem(*line, format!("{listen} is taken by the machine in line {first}"));
        }
    }
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        format!("{text:?} must be one of {}", names.join(", "))
    })
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let error = || format!("{text:?} is no broker's address, like \"127.0.0.1:1883\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port.parse() {
        Ok(port) if port > 0 && !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err(error()),
    }
}

#[cfg(test)]
mod tests;
