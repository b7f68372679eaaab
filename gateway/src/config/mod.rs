//! Configuration: `gateway.toml` and the environment, resolved once into typed values that the rest of the gateway can trust.
//!
//! `tree` reads TOML and overrides into nodes that know their line; `reader` takes typed values out of nodes and gathers problems;
//! `resolve_*` say which keys there are, their defaults and limits (the only source of both). Invariant: either a whole, valid [`Config`]
//! comes out, or [`ConfigErrors`] with every problem found, each with its line, its key and what to do.

mod problem;
mod reader;
mod resolve;
mod resolve_inputs;
#[cfg(test)]
mod tests;
mod tree;
mod values;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use protocol::{AssetPath, GatewayId, MachineState, SignalName};

pub use problem::{ConfigErrors, Place, Problem};

use crate::{
    decode::{
        modbus::{Point, ReadPlan},
        topic::{AssetPattern, Template},
    },
    detect::Detector,
};

/// The annotated example that `config schema` prints; a test loads it.
pub const EXAMPLE: &str = include_str!("../../../config/gateway.toml");

/// Prefix of environment overrides: `MILLRACE_GATEWAY__WINDOW__LENGTH=10s` sets `length` in `[window]`.
pub const ENV_PREFIX: &str = "MILLRACE_GATEWAY__";

/// All settings of a gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// This gateway's name; must equal the CN of its certificate.
    pub gateway: GatewayId,
    pub data_dir: PathBuf,
    /// `None`: buffers only.
    pub collector: Option<Collector>,
    /// The embedded broker; `None`: not started.
    pub broker: Option<Broker>,
    /// Outside brokers to subscribe to.
    pub clients: Vec<MqttClient>,
    /// In the order of the file: the first template that matches wins.
    pub topics: Vec<Topic>,
    pub devices: Vec<Device>,
    pub window: Window,
    pub detectors: Vec<Detector>,
    pub durability: Durability,
    pub spool: Spool,
    /// Where the status page listens; `None`: nowhere.
    pub status: Option<SocketAddr>,
    pub limits: Limits,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    /// `https://host:port`, without a path.
    pub url: String,
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
    pub upload_interval: Duration,
    pub catch_up: CatchUp,
    /// Of one request, from connect to the end of the answer.
    pub timeout: Duration,
}

/// In which order what has gathered is uploaded, by generations of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    NewestFirst,
    OldestFirst,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// Plain MQTT; `None` if only TLS is wanted.
    pub listen: Option<SocketAddr>,
    pub tls: Option<BrokerTls>,
    pub max_payload_bytes: usize,
    pub max_clients: usize,
    /// Empty: anyone may connect.
    pub users: Vec<User>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BrokerTls {
    pub listen: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Clients must show a certificate of this CA. Always there: the broker serves TLS with client certificates or not at all.
    pub client_ca: Option<PathBuf>,
}

/// A line `name:password` of the users file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: Secret,
}

/// A text that never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Subscription to an outside broker.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttClient {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub tls: Option<ClientTls>,
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub keep_alive: Duration,
    pub clean_session: bool,
    pub max_payload_bytes: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClientTls {
    /// `None`: the gateway's own CA file of the collector is not used either; only this one is trusted.
    pub ca: PathBuf,
    /// Certificate and key, if the broker wants mutual TLS.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What messages of a shape of topic mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub template: Template,
    /// Whose readings these are, made from the template's placeholders.
    pub asset: AssetPattern,
    /// Only messages of this source; `None`: of every MQTT source.
    pub source: Option<SourceId>,
    pub payload: Payload,
    pub fields: Fields,
    /// Width of the device's counters.
    pub counter_bits: u32,
    /// The device's own words or codes for states; the product's names always work.
    pub state_map: BTreeMap<String, MachineState>,
    /// Empty: every numeric field that has no other role is a signal.
    pub signals: Vec<SignalSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// A JSON object.
    Json,
    /// One number as text; the template holds `{signal}`.
    Number,
}

/// Paths (`a` or `a.b`) of the fields with a role of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub timestamp: Option<String>,
    pub sequence: Option<String>,
    pub session: Option<String>,
    pub state: Option<String>,
    pub state_since: Option<String>,
    pub stop_reason: Option<String>,
    pub total_counter: Option<String>,
    pub reject_counter: Option<String>,
    pub rework_counter: Option<String>,
}

/// A named signal: `value = raw * scale + offset`, in `unit` (UCUM).
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSpec {
    pub name: SignalName,
    /// Path of the field; for a device the same as the name.
    pub field: String,
    pub unit: String,
    pub scale: f64,
    pub offset: f64,
}

/// A Modbus TCP device that is polled.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    pub name: String,
    /// `host:port`.
    pub address: String,
    pub unit_id: u8,
    pub asset: AssetPath,
    pub interval: Duration,
    /// Of one request.
    pub timeout: Duration,
    /// Everything that is read, each with its role.
    pub points: Vec<Point>,
    pub signals: Vec<SignalSpec>,
    pub state_map: BTreeMap<u64, MachineState>,
    /// The requests that cover all points.
    pub plan: ReadPlan,
}

/// Tumbling windows on event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub length: Duration,
    /// How far behind the newest event time a reading may be and still enter its window.
    pub allowed_lateness: Duration,
    /// How long after that an idle signal's window is closed by the monotonic clock.
    pub idle_grace: Duration,
    /// A source's time stamp further ahead of the gateway's clock is not believed.
    pub max_future: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    pub mode: DurabilityMode,
    /// The most that a power cut can take.
    pub interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurabilityMode {
    /// Checkpoints of open windows each `interval`.
    Window,
    /// As good as every reading: 100 ms.
    Reading,
}

impl Durability {
    /// The longest time between two commits.
    pub fn commit_interval(self) -> Duration {
        self.interval / 2
    }
}

/// The durable queue of what the collector does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spool {
    pub max_bytes: u64,
    pub cache_bytes: u64,
    /// What must stay free on the volume.
    pub min_free: Floor,
    pub generation_bytes: u64,
    pub generation_age: Duration,
    /// Delivered generations are kept up to this, for a collector that is restored from a backup.
    pub keep_acknowledged: u64,
    pub overflow: Overflow,
    pub write_budget_per_day: u64,
}

/// A share of a volume, or a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// At most [`spool::MAX_FREE_SHARE_BYTES`].
    Percent(u8),
    Bytes(u64),
}

/// What goes when there is no room, by class of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overflow {
    pub data: DataOverflow,
    pub urgent: UrgentOverflow,
}

/// Window summaries and part counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataOverflow {
    /// The oldest become coarser, and go only when that does not help.
    #[default]
    Thin,
    /// The oldest go.
    DropOldest,
    /// The newest are not taken.
    Refuse,
}

/// Anomalies, state changes and losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UrgentOverflow {
    #[default]
    DropOldest,
    Refuse,
}

/// What keeps memory bounded, whatever comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub max_assets: usize,
    pub max_signals: usize,
    /// Of one message.
    pub max_fields: usize,
    pub max_depth: usize,
    /// Records made but not yet committed.
    pub max_pending_records: usize,
}

/// A source of messages or polls, in the order broker, clients, devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u16);

/// A source's name and kind as status pages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: SourceId,
    pub name: String,
    /// `mqtt_broker`, `mqtt_client`, `modbus_tcp`.
    pub kind: &'static str,
}

impl Config {
    /// The embedded broker's id (also when it is not configured).
    pub const BROKER: SourceId = SourceId(0);

    /// Id of `clients[index]`.
    pub fn client_source(&self, index: usize) -> SourceId {
        SourceId(u16::try_from(1 + index).unwrap_or(u16::MAX))
    }

    /// Id of `devices[index]`.
    pub fn device_source(&self, index: usize) -> SourceId {
        SourceId(u16::try_from(1 + self.clients.len() + index).unwrap_or(u16::MAX))
    }

    /// All configured sources, by id.
    pub fn sources(&self) -> Vec<Source> {
        let broker = self.broker.iter().map(|_| Source { id: Self::BROKER, name: "broker".into(), kind: "mqtt_broker" });
        let clients = self.clients.iter().enumerate();
        let clients = clients.map(|(i, c)| Source { id: self.client_source(i), name: c.name.clone(), kind: "mqtt_client" });
        let devices = self.devices.iter().enumerate();
        let devices = devices.map(|(i, d)| Source { id: self.device_source(i), name: d.name.clone(), kind: "modbus_tcp" });
        broker.chain(clients).chain(devices).collect()
    }

    /// MQTT subscription filters that cover what `source` is to deliver, without doubles.
    pub fn filters(&self, source: SourceId) -> Vec<String> {
        let mut filters: Vec<String> =
            self.topics.iter().filter(|t| t.source.is_none_or(|s| s == source)).map(|t| t.template.filter()).collect();
        filters.sort_unstable();
        filters.dedup();
        filters
    }
}
