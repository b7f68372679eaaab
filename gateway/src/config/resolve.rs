//! Which keys there are, what they default to and how far they may go. Inputs (topics, devices) are in `resolve_inputs`.

use std::{cell::RefCell, collections::BTreeSet, fs, net::SocketAddr, path::Path, time::Duration};

use protocol::{GatewayId, Severity};

use super::{
    Broker, BrokerTls, CatchUp, Collector, Config, ConfigErrors, DataOverflow, Durability, DurabilityMode, Floor, Limits, Overflow, Place,
    Problem, Secret, SourceId, Spool, UrgentOverflow, User, Window,
    reader::{Problems, Section},
    resolve_inputs, tree,
};
use crate::detect::{Detector, Kind};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// Longest configuration file.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// Default and greatest size of an MQTT payload.
pub(super) const PAYLOAD_BYTES: usize = 256 << 10;
pub(super) const MAX_PAYLOAD_BYTES: usize = 16 << 20;

impl Config {
    /// Reads `path`, applies overrides from `env` (all of the environment may be given) and checks everything.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every problem found.
    pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let whole = |message: String| ConfigErrors {
            file: path.into(),
            problems: vec![Problem { place: Place::File, key: String::new(), message }],
        };
        let size = fs::metadata(path).map_err(|error| whole(format!("can't be read: {error}")))?.len();
        if size > MAX_FILE_BYTES {
            return Err(whole(format!("has {size} bytes, more than {MAX_FILE_BYTES}")));
        }
        let text = fs::read_to_string(path).map_err(|error| whole(format!("can't be read: {error}")))?;
        Self::parse(path, &text, env)
    }

    /// The same from text that was read from `path`.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every problem found.
    pub fn parse(path: &Path, text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let mut found = Vec::new();
        let mut root = tree::parse(text, &mut found);
        tree::apply_env(&mut root, env, &mut found);
        let problems: Problems = RefCell::new(found);
        let config = resolve(&Section::root(&root, &problems), &problems);
        let mut problems = problems.into_inner();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => {
                problems.sort_by(|a, b| a.place.cmp(&b.place));
                problems.dedup();
                Err(ConfigErrors { file: path.into(), problems })
            }
        }
    }
}

fn resolve(root: &Section<'_>, problems: &Problems) -> Option<Config> {
    let section = root.section_or_empty("gateway");
    let gateway = section.required::<GatewayId>("id", "give this gateway a name, as in id = \"press-gw1\"");
    let data_dir = section.path("data_dir").unwrap_or_else(|| "/var/lib/millrace-gateway".into());
    section.finish();

    let collector = root.section("collector").and_then(|s| collector(s, &data_dir));
    let broker = root.section("broker").map(broker);
    let clients = resolve_inputs::clients(root.sections("mqtt_client", 64), gateway.as_ref());
    let client_names: Vec<String> = clients.iter().map(|c| c.name.clone()).collect();
    let source_of = |name: &str| {
        let client = client_names.iter().position(|n| n == name);
        (name == "broker").then_some(Config::BROKER).or(client.map(|i| SourceId(u16::try_from(1 + i).unwrap_or(u16::MAX))))
    };
    let topics = resolve_inputs::topics(root.sections("topic", 1_000), &source_of);
    let devices = resolve_inputs::devices(root.sections("modbus", 1_000));
    if broker.is_none() && clients.is_empty() && devices.is_empty() {
        root.problem("", "there is nothing to read from; add [broker], [[mqtt_client]] or [[modbus]]");
    }
    if topics.is_empty() && !root.has("topic") && (broker.is_some() || !clients.is_empty()) {
        root.problem("", "MQTT needs at least one [[topic]], as in template = \"{site}/{area}/{line}/{machine}/telemetry\"");
    }

    let section = root.section_or_empty("window");
    let window = Window {
        length: section.duration("length", 5 * SECOND, 100 * MS..=DAY),
        allowed_lateness: section.duration("allowed_lateness", 2 * SECOND, Duration::ZERO..=DAY),
        idle_grace: section.duration("idle_grace", SECOND, Duration::ZERO..=60 * MINUTE),
        max_future: section.duration("max_future", MINUTE, SECOND..=DAY),
    };
    section.finish();

    let detectors = detectors(root.sections("detector", 100));

    let section = root.section_or_empty("durability");
    let mode = section.choice("mode", DurabilityMode::Window, &[("window", DurabilityMode::Window), ("reading", DurabilityMode::Reading)]);
    let default = if mode == DurabilityMode::Window { 5 * SECOND } else { 100 * MS };
    let durability = Durability { mode, interval: section.duration("interval", default, 20 * MS..=60 * MINUTE) };
    section.finish();

    let section = root.section_or_empty("spool");
    let spool = spool(&section);
    section.finish();

    let section = root.section_or_empty("status");
    let enabled = section.flag("enabled", true);
    let status = section.parsed("listen").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9180)));
    section.finish();

    let section = root.section_or_empty("limits");
    let limits = Limits {
        max_assets: section.count("max_assets", 1_000, 1..=100_000),
        max_signals: section.count("max_signals", 10_000, 1..=1_000_000),
        max_fields: section.count("max_fields", 256, 1..=10_000),
        max_depth: section.count("max_depth", 8, 1..=32),
        max_pending_records: section.count("max_pending_records", 50_000, 100..=1_000_000),
    };
    section.finish();
    let sections = [
        "gateway",
        "collector",
        "broker",
        "mqtt_client",
        "topic",
        "modbus",
        "window",
        "detector",
        "durability",
        "spool",
        "status",
        "limits",
    ];
    unknown_sections(root, &sections, problems);
    Some(Config {
        gateway: gateway?,
        data_dir,
        collector,
        broker,
        clients,
        topics,
        devices,
        window,
        detectors,
        durability,
        spool,
        status: enabled.then_some(status),
        limits,
    })
}

fn spool(section: &Section<'_>) -> Spool {
    let max_bytes = section.bytes("max_bytes", 1 << 30, 16 << 20..=1 << 40);
    let generation_bytes = section.bytes("generation_bytes", 16 << 20, 1 << 20..=1 << 30);
    if section.has("generation_bytes") && generation_bytes > max_bytes / 8 {
        section.problem("generation_bytes", "must be at most an eighth of max_bytes: space is given back by whole generations");
    }
    let keep_acknowledged = section.bytes("keep_acknowledged", max_bytes / 4, 0..=1 << 40);
    if keep_acknowledged > max_bytes / 2 {
        section.problem("keep_acknowledged", "must be at most half of max_bytes");
    }
    Spool {
        max_bytes,
        cache_bytes: section.bytes("cache_bytes", 8 << 20, 1 << 20..=1 << 30),
        min_free: section.floor("min_free", Floor::Percent(10)),
        generation_bytes,
        generation_age: section.duration("generation_age", DAY, MINUTE..=30 * DAY),
        keep_acknowledged,
        overflow: Overflow {
            data: section.choice(
                "overflow_data",
                DataOverflow::Thin,
                &[("thin", DataOverflow::Thin), ("drop_oldest", DataOverflow::DropOldest), ("refuse", DataOverflow::Refuse)],
            ),
            urgent: section.choice(
                "overflow_urgent",
                UrgentOverflow::DropOldest,
                &[("drop_oldest", UrgentOverflow::DropOldest), ("refuse", UrgentOverflow::Refuse)],
            ),
        },
        write_budget_per_day: section.bytes("write_budget_per_day", 8 << 30, 1 << 20..=1 << 50),
    }
}

fn unknown_sections(root: &Section<'_>, known: &[&str], problems: &Problems) {
    let known: BTreeSet<&str> = known.iter().copied().collect();
    for key in root.keys().into_iter().filter(|key| !known.contains(key)) {
        let message = match super::values::nearest(key, known.iter().copied()) {
            Some(near) => format!("unknown section; did you mean {near:?}?"),
            None => format!("unknown section; known are {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
        };
        root.problem(key, message);
    }
    debug_assert!(problems.try_borrow().is_ok());
}

fn collector(section: Section<'_>, data_dir: &Path) -> Option<Collector> {
    let url = section.required_text("url", "write where the collector is, as in url = \"https://collector:8443\"");
    let url = url.map(|url| url.trim_end_matches('/').to_owned());
    if let Some(url) = &url {
        let host = url.strip_prefix("https://");
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@', ' '])) {
            section.problem("url", format_args!("{url:?} must be https://HOST:PORT without a path"));
        }
    }
    let pki = data_dir.join("pki");
    let collector = Collector {
        url: url.unwrap_or_default(),
        certificate: section.path("certificate").unwrap_or_else(|| pki.join("gateway.crt")),
        key: section.path("key").unwrap_or_else(|| pki.join("gateway.key")),
        ca: section.path("ca").unwrap_or_else(|| pki.join("ca.crt")),
        upload_interval: section.duration("upload_interval", SECOND, 100 * MS..=60 * MINUTE),
        catch_up: section.choice(
            "catch_up",
            CatchUp::NewestFirst,
            &[("newest_first", CatchUp::NewestFirst), ("oldest_first", CatchUp::OldestFirst)],
        ),
        timeout: section.duration("timeout", 30 * SECOND, SECOND..=10 * MINUTE),
    };
    section.finish();
    (!collector.url.is_empty()).then_some(collector)
}

fn broker(section: Section<'_>) -> Broker {
    let tls_listen: Option<SocketAddr> = section.parsed("tls_listen");
    let listen: Option<SocketAddr> = match section.parsed("listen") {
        None if tls_listen.is_none() => Some(SocketAddr::from(([127, 0, 0, 1], 1883))),
        listen => listen,
    };
    let (certificate, key, client_ca) = (section.path("certificate"), section.path("key"), section.path("client_ca"));
    let tls = match (tls_listen, certificate, key) {
        (Some(listen), Some(certificate), Some(key)) if client_ca.is_some() => Some(BrokerTls { listen, certificate, key, client_ca }),
        (Some(_), ..) => {
            section.problem("tls_listen", "needs certificate, key and client_ca");
            None
        }
        (None, None, None) if client_ca.is_none() => None,
        (None, ..) => {
            section.problem("", "certificate, key and client_ca are only used with tls_listen");
            None
        }
    };
    let users = section.secret_file("users_file").map(|secret| users(&section, &secret)).unwrap_or_default();
    let anonymous = section.flag("allow_anonymous_on_network", false);
    if let Some(listen) = listen.filter(|l| !l.ip().is_loopback() && users.is_empty() && !section.has("users_file") && !anonymous) {
        let advice = "set users_file, use tls_listen with client_ca, or set allow_anonymous_on_network = true";
        section.problem("listen", format_args!("anyone who reaches {listen} could publish; {advice}"));
    }
    let broker = Broker {
        listen,
        tls,
        max_payload_bytes: section.count("max_payload_bytes", PAYLOAD_BYTES, 64..=MAX_PAYLOAD_BYTES),
        max_clients: section.count("max_clients", 1_000, 1..=10_000),
        users,
    };
    section.finish();
    broker
}

fn users(section: &Section<'_>, file: &Secret) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (index, line) in
        file.expose().lines().enumerate().map(|(i, l)| (i + 1, l.trim())).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
    {
        match line.split_once(':') {
            Some((name, _)) if users.iter().any(|u| u.name == name) => {
                section.problem("users_file", format_args!("line {index} names {name:?} again"));
            }
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                users.push(User { name: name.into(), password: Secret::new(password) });
            }
            _ => section.problem("users_file", format_args!("line {index} must be name:password")),
        }
    }
    if users.is_empty() {
        section.problem("users_file", "holds no user; write lines name:password");
    }
    users
}

fn detectors(sections: Vec<Section<'_>>) -> Vec<Detector> {
    let mut names = BTreeSet::new();
    let mut detectors = Vec::new();
    for section in sections {
        let kind_name = section.required_text("kind", "write one of limits, rate_of_change, ewma, flat_line").unwrap_or_default();
        let (assets, signal) = (section.text("assets").unwrap_or_else(|| "*".into()), section.text("signal").unwrap_or_else(|| "*".into()));
        let default_name = if signal == "*" { kind_name.clone() } else { format!("{kind_name} {signal}") };
        let detector = Detector {
            name: section.text("name").unwrap_or(default_name),
            assets,
            signal,
            severity: section.choice(
                "severity",
                Severity::Medium,
                &[("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High), ("critical", Severity::Critical)],
            ),
            cool_down: section.duration("cool_down", MINUTE, Duration::ZERO..=30 * DAY),
            kind: kind(&section, &kind_name),
        };
        if !names.insert(detector.name.clone()) {
            section.problem("name", format_args!("{:?} is the name of another detector; give each a name of its own", detector.name));
        }
        section.finish();
        detectors.push(detector);
    }
    detectors
}

fn kind(section: &Section<'_>, name: &str) -> Kind {
    match name {
        "limits" => {
            let (low, high) = (section.float("low"), section.float("high"));
            if low.is_none() && high.is_none() {
                section.problem("", "a limits detector needs low, high or both");
            }
            if low.zip(high).is_some_and(|(low, high)| low >= high) {
                section.problem("low", "must be below high");
            }
            Kind::Limits { low, high, hysteresis: section.float_in("hysteresis", 0.0, 0.0..=f64::MAX) }
        }
        "rate_of_change" => {
            if !section.has("max_per_second") {
                section.problem("max_per_second", "is missing; write the greatest normal change, in units a second");
            }
            Kind::RateOfChange {
                max_per_second: section.float_in("max_per_second", 1.0, f64::MIN_POSITIVE..=f64::MAX),
                min_interval: section.duration("min_interval", 100 * MS, MS..=DAY),
            }
        }
        "flat_line" => Kind::FlatLine {
            duration: section.duration("duration", MINUTE, SECOND..=30 * DAY),
            tolerance: section.float_in("tolerance", 0.0, 0.0..=f64::MAX),
        },
        _ => {
            if name != "ewma" && !name.is_empty() {
                section.problem("kind", format_args!("{name:?} is none of limits, rate_of_change, ewma, flat_line"));
            }
            Kind::Ewma {
                alpha: section.float_in("alpha", 0.02, 1e-6..=1.0),
                threshold: section.float_in("threshold", 5.0, 1.0..=1_000.0),
                warm_up: u32::try_from(section.integer("warm_up", 100, 2..=1_000_000)).unwrap_or(100),
                min_stddev: section.float_in("min_stddev", 0.0, 0.0..=f64::MAX),
            }
        }
    }
}
