//! From the text of the file to [`Config`]: every key, its default, and what is wrong with it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::tz::TimeZone;
use kpi::oee::{MinorStopsReduce, PartsOutsidePlan, QualityWeight, Rules};
use protocol::{AssetPath, SignalName};
use toml::de::DeTable;

use super::{
    ApiConfig, Asset, Config, IngestConfig, JournalConfig, LakeConfig, Problem, SqlConfig, TlsFiles, UplinkConfig, calendar, maintenance,
    read::{Gather, Section},
};

/// The annotated example, which `init` writes where there is no configuration.
pub const EXAMPLE: &str = include_str!("../../../config/collector.toml");

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) fn resolve(path: &Path, text: &str, env: Vec<(String, String)>) -> Result<Config, Vec<Problem>> {
    let gather = Gather::new(text, env);
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in syntax {
        let line = error.span().map(|span| gather.line(&span));
        gather.report(line, "syntax", error.message(), "the file must be valid TOML");
    }
    let config = read(&gather, path, document.get_ref());
    let problems = gather.into_problems();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

/// `None` only where a problem was reported.
fn read(gather: &Gather<'_>, path: &Path, document: &DeTable<'_>) -> Option<Config> {
    let root = gather.root(document);
    let general = root.section("collector");
    let data_dir = general.text("data_dir", "write the folder, \"/var/lib/millrace-collector\"").map(PathBuf::from);
    if data_dir.is_none() {
        general.report("data_dir", "is needed", "write the folder that holds all data, data_dir = \"/var/lib/millrace-collector\"");
    }
    let timezone_name = general.text("timezone", TIMEZONE_ADVICE).unwrap_or_else(|| "UTC".into());
    let timezone = TimeZone::get(&timezone_name).unwrap_or_else(|_| {
        general.report("timezone", format_args!("{timezone_name:?} is not a known time zone"), TIMEZONE_ADVICE);
        TimeZone::UTC
    });
    general.finish();
    let config = Config {
        source: path.into(),
        data_dir: data_dir.clone().unwrap_or_default(),
        timezone: timezone.clone(),
        timezone_name,
        api: api(&root),
        uplink: uplink(&root),
        journal: journal(&root),
        lake: lake(&root),
        sql: sql(&root),
        calendar: calendar::read(&root, timezone),
        oee: oee(&root),
        maintenance: maintenance::settings(&root),
        assets: assets(&root),
        ingest: ingest(&root),
    };
    root.finish();
    data_dir.map(|_| config)
}

const TIMEZONE_ADVICE: &str = "write an IANA name, \"Europe/Berlin\" (needs the system's tzdata)";

fn api(root: &Section<'_, '_>) -> ApiConfig {
    let section = root.section("api");
    let listen = section.address("listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    let certificate = section.text("certificate", "write the path of a PEM file").map(PathBuf::from);
    let key = section.text("key", "write the path of a PEM file").map(PathBuf::from);
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            for (name, path) in [("certificate", &certificate), ("key", &key)] {
                if let Err(error) = std::fs::metadata(path) {
                    section.report(
                        name,
                        format_args!("{} cannot be read: {error}", path.display()),
                        "name a PEM file that this user can read",
                    );
                }
            }
            Some(TlsFiles { certificate, key })
        }
        (None, None) => None,
        (Some(_), None) => {
            section.report("key", "is needed beside certificate", "name the PEM file of the certificate's key");
            None
        }
        (None, Some(_)) => {
            section.report("certificate", "is needed beside key", "name the PEM file of the certificate chain");
            None
        }
    };
    let waived = section.flag("allow_plain_http_on_network", false);
    if tls.is_none() && !waived && !listen.ip().is_loopback() {
        section.report(
            "listen",
            format_args!("{listen} would carry keys in the clear over the network"),
            "set certificate and key, listen on 127.0.0.1 behind a proxy, or waive it with allow_plain_http_on_network = true",
        );
    }
    let config = ApiConfig {
        listen,
        tls,
        allow_plain_http_on_network: waived,
        max_body_bytes: size(section.bytes("max_body", 8 * MIB, 1_024..=GIB)),
        max_websockets: size(section.number("max_websockets", 256, 1..=100_000)),
    };
    section.finish();
    config
}

fn uplink(root: &Section<'_, '_>) -> UplinkConfig {
    const ADVERTISE: &str = "write the address under which gateways reach this server, \"https://collector.plant.example:8443\"";
    let section = root.section("uplink");
    let listen = section.address("listen", SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)));
    let advertise = section
        .parsed("advertise", ADVERTISE, |text| match advertised_host(text) {
            Some(_) => Ok(text.trim_end_matches('/').to_owned()),
            None => Err("is not an https address with a host"),
        })
        .unwrap_or_else(|| format!("https://localhost:{}", listen.port()));
    let config = UplinkConfig {
        listen,
        advertise,
        names: section.texts("names", "write a list of host names and IP addresses, [\"collector.plant.example\", \"10.0.0.5\"]"),
        max_connections: size(section.number("max_connections", 1_000, 1..=100_000)),
        max_queued_batches: size(section.number("max_queued_batches", 256, 1..=100_000)),
        max_batch_bytes: size(section.bytes("max_batch", MIB, 1_024..=8 * MIB)),
        max_decoded_bytes: size(section.bytes("max_decoded", 16 * MIB, 1_024..=GIB)),
        max_batch_rows: size(section.number("max_batch_rows", 50_000, 1..=1_000_000)),
        max_quarantined: size(section.number("max_quarantined", 100, 0..=100_000)),
        max_handshakes: size(section.number("max_handshakes", 64, 1..=10_000)),
        catch_up_rows_per_s: u32::try_from(section.number("catch_up_rows_per_s", 50_000, 100..=10_000_000)).unwrap_or(u32::MAX),
        max_skew: section.duration("max_skew", Duration::from_secs(5), Duration::from_millis(100)..=Duration::from_secs(86_400)),
    };
    section.finish();
    config
}

/// The host of `https://host[:port][/]`, without brackets.
pub(crate) fn advertised_host(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("https://")?.trim_end_matches('/');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').map_or(Some(host), |rest| rest.strip_suffix(']'))?;
    let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
    (plain && port.is_none_or(|port| port.parse::<u16>().is_ok())).then_some(host)
}

fn journal(root: &Section<'_, '_>) -> JournalConfig {
    let section = root.section("journal");
    let config = JournalConfig { max_bytes: section.bytes("max_size", GIB, 16 * MIB..=1_024 * GIB) };
    section.finish();
    config
}

fn lake(root: &Section<'_, '_>) -> LakeConfig {
    let section = root.section("lake");
    let config = LakeConfig {
        commit_interval: section.duration(
            "commit_interval",
            Duration::from_secs(10),
            Duration::from_millis(100)..=Duration::from_secs(3_600),
        ),
        commit_rows: size(section.number("commit_rows", 200_000, 1_000..=10_000_000)),
        compact_every: u32::try_from(section.number("compact_every", 60, 1..=1_000_000)).unwrap_or(u32::MAX),
        max_hot_rows: size(section.number("max_hot_rows", 2_000_000, 10_000..=100_000_000)),
    };
    if config.max_hot_rows < config.commit_rows {
        section.report(
            "max_hot_rows",
            "is below commit_rows: gateways would be held off before a commit is due",
            "make it at least twice commit_rows",
        );
    }
    section.finish();
    config
}

fn sql(root: &Section<'_, '_>) -> SqlConfig {
    let section = root.section("sql");
    let config = SqlConfig {
        timeout: section.duration("timeout", Duration::from_secs(30), Duration::from_millis(100)..=Duration::from_secs(3_600)),
        max_memory_bytes: section.bytes("max_memory", GIB, 16 * MIB..=1_024 * GIB),
        max_rows: size(section.number("max_rows", 100_000, 1..=10_000_000)),
    };
    section.finish();
    config
}

fn oee(root: &Section<'_, '_>) -> Rules {
    const DAY: Duration = Duration::from_secs(86_400);
    let section = root.section("oee");
    let default = Rules::default();
    let seconds = |key, default: f64| section.optional_duration(key, Duration::ZERO..=DAY).map_or(default, |time| time.as_secs_f64());
    let rules = Rules {
        minor_stop_below_s: seconds("minor_stop_below", default.minor_stop_below_s),
        minor_stops_reduce: section
            .parsed("minor_stops_reduce", "write \"availability\" or \"performance\"", |text| match text {
                "availability" => Ok(MinorStopsReduce::Availability),
                "performance" => Ok(MinorStopsReduce::Performance),
                _ => Err("is no such factor"),
            })
            .unwrap_or(default.minor_stops_reduce),
        quality_weight: section
            .parsed("quality_weight", "write \"counts\" or \"ideal_time\"", |text| match text {
                "counts" => Ok(QualityWeight::Counts),
                "ideal_time" => Ok(QualityWeight::IdealTime),
                _ => Err("is no such weight"),
            })
            .unwrap_or(default.quality_weight),
        parts_outside_plan: section
            .parsed("parts_outside_plan", "write \"counted\" or \"left_out\"", |text| match text {
                "counted" => Ok(PartsOutsidePlan::Counted),
                "left_out" => Ok(PartsOutsidePlan::LeftOut),
                _ => Err("is no such way to count"),
            })
            .unwrap_or(default.parts_outside_plan),
        startup_after_setup_s: seconds("startup_after_setup", default.startup_after_setup_s),
    };
    section.finish();
    rules
}

fn assets(root: &Section<'_, '_>) -> Vec<Asset> {
    const PATH: &str = "write site/area/line/machine, \"plant1/press-shop/line1/press-1\"";
    let mut assets: Vec<Asset> = Vec::new();
    for section in root.sections("asset") {
        let path = section.parsed("path", PATH, AssetPath::new);
        let ideal_cycle_time = section.optional_duration("ideal_cycle_time", Duration::from_micros(1)..=Duration::from_secs(86_400));
        let power_signal = section.parsed("power_signal", "write the name of a signal, \"active_power\"", SignalName::new);
        let power_unit = section.parsed("power_unit", "write a UCUM code of power or energy, \"kW\" or \"kW.h\"", |text| {
            if crate::metering::MeterUnit::of(text).is_some() { Ok(text.to_owned()) } else { Err("is no unit of power or energy") }
        });
        let kind = section.parsed("kind", maintenance::KIND, maintenance::kind);
        let condition = maintenance::conditions(&section);
        match path {
            None => section.report("path", "is needed", PATH),
            Some(path) if assets.iter().any(|asset| asset.path == path) => {
                section.report("path", format_args!("{path:?} is described twice"), "describe each machine once");
            }
            Some(path) => assets.push(Asset { path, ideal_cycle_time, power_signal, power_unit, kind, condition }),
        }
        section.finish();
    }
    assets
}

fn ingest(root: &Section<'_, '_>) -> IngestConfig {
    const TEMPLATE: &str = "write an asset path that holds {device_id}, \"plant1/press-shop/line1/{device_id}\"";
    let section = root.section("ingest");
    let asset_template = section.parsed("asset_template", TEMPLATE, |text| {
        let example = text.replace("{device_type}", "x").replace("{device_id}", "x");
        if !text.contains("{device_id}") {
            return Err("does not hold {device_id}: every device would be one machine".to_owned());
        }
        AssetPath::new(&example).map(|_| text.to_owned()).map_err(|error| error.to_string())
    });
    section.finish();
    IngestConfig { asset_template }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
