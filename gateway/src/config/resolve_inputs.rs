//! Keys of what the gateway reads: outside brokers, topics and Modbus devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use protocol::{AssetPath, GatewayId, MachineState, SignalName};

use super::{
    ClientTls, Device, Fields, MqttClient, Payload, SignalSpec, SourceId, Topic,
    reader::Section,
    resolve::{MAX_PAYLOAD_BYTES, PAYLOAD_BYTES},
};
use crate::decode::{
    modbus::{Point, ReadPlan, Role, Table, ValueType, WordOrder},
    topic::{AssetPattern, Template},
};

const MAX_SIGNALS: usize = 2_000;

pub(super) fn clients(sections: Vec<Section<'_>>, gateway: Option<&GatewayId>) -> Vec<MqttClient> {
    let mut names = BTreeSet::from(["broker".to_owned()]);
    sections.into_iter().filter_map(|section| client(section, gateway, &mut names)).collect()
}

fn client(section: Section<'_>, gateway: Option<&GatewayId>, names: &mut BTreeSet<String>) -> Option<MqttClient> {
    let name = unique_name(&section, names);
    let url = section.required_text("url", "write where the broker is, as in url = \"mqtt://broker:1883\"").unwrap_or_default();
    let address = broker_url(&url);
    if address.is_none() && !url.is_empty() {
        section.problem("url", format_args!("{url:?} must be mqtt://HOST:PORT or mqtts://HOST:PORT"));
    }
    let (host, port, secure) = address.unwrap_or_default();
    let (ca, certificate, key) = (section.path("ca"), section.path("certificate"), section.path("key"));
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            section.problem("", "certificate and key are only of use together");
            None
        }
    };
    let tls = match (secure, ca) {
        (true, Some(ca)) => Some(ClientTls { ca, identity }),
        (true, None) => {
            section.problem("ca", "is missing; name the file of the CA that signed the broker's certificate");
            None
        }
        (false, ca) => {
            if ca.is_some() || identity.is_some() {
                section.problem("url", "must begin with mqtts:// if ca, certificate or key is set");
            }
            None
        }
    };
    let client = MqttClient {
        host,
        port,
        tls,
        client_id: section.text("client_id").unwrap_or_else(|| format!("millrace-{}-{name}", gateway.map_or("gateway", GatewayId::as_str))),
        username: section.text("username"),
        password: section.secret_file("password_file"),
        keep_alive: section.duration("keep_alive", Duration::from_secs(30), Duration::from_secs(1)..=Duration::from_secs(3_600)),
        clean_session: section.flag("clean_session", false),
        max_payload_bytes: section.count("max_payload_bytes", PAYLOAD_BYTES, 64..=MAX_PAYLOAD_BYTES),
        name,
    };
    if client.password.is_some() && client.username.is_none() {
        section.problem("username", "is missing; password_file needs it");
    }
    section.finish();
    (!client.host.is_empty()).then_some(client)
}

fn broker_url(url: &str) -> Option<(String, u16, bool)> {
    let (secure, rest) = match url.split_once("://")? {
        ("mqtt", rest) => (false, rest),
        ("mqtts", rest) => (true, rest),
        _ => return None,
    };
    let rest = rest.trim_end_matches('/');
    let default = if secure { 8883 } else { 1883 };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (rest, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty() && !host.contains(['/', '@', ' '])).then(|| (host.to_owned(), port, secure))
}

fn unique_name(section: &Section<'_>, names: &mut BTreeSet<String>) -> String {
    let name = section.required_text("name", "give it a name of its own").unwrap_or_default();
    let allowed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !name.is_empty() && (!allowed || name.len() > 63) {
        section.problem("name", format_args!("{name:?} may hold at most 63 of A-Z a-z 0-9 - _ ."));
    }
    if !name.is_empty() && !names.insert(name.clone()) {
        section.problem("name", format_args!("{name:?} is taken already"));
    }
    name
}

pub(super) fn topics(sections: Vec<Section<'_>>, source_of: &dyn Fn(&str) -> Option<SourceId>) -> Vec<Topic> {
    sections.into_iter().filter_map(|section| topic(section, source_of)).collect()
}

fn topic(section: Section<'_>, source_of: &dyn Fn(&str) -> Option<SourceId>) -> Option<Topic> {
    let template: Option<Template> = section
        .required_text("template", "write the shape of the topics, as in \"{site}/{area}/{line}/{machine}/telemetry\"")
        .and_then(|text| Template::new(&text).map_err(|error| section.problem("template", error)).ok());
    let asset_text = section.text("asset");
    let asset = template.as_ref().and_then(|template| {
        let text = asset_text.as_deref().unwrap_or(AssetPattern::DEFAULT);
        let report = |error| match &asset_text {
            Some(_) => section.problem("asset", error),
            None => {
                let advice = "set asset for what the topic does not tell, as in asset = \"plant1/hall/line1/{machine}\"";
                section.problem("template", format_args!("{error}; {advice}"));
            }
        };
        AssetPattern::new(text, template).map_err(report).ok()
    });
    let source = section.text("source").and_then(|name| {
        let source = source_of(&name);
        if source.is_none() {
            section.problem("source", format_args!("{name:?} is neither \"broker\" nor the name of an [[mqtt_client]]"));
        }
        source
    });
    let payload = section.choice("payload", Payload::Json, &[("json", Payload::Json), ("number", Payload::Number)]);
    let field = |key: &str| section.text(key).filter(|path| !path.is_empty());
    let fields = Fields {
        timestamp: field("timestamp"),
        sequence: field("sequence"),
        session: field("session"),
        state: field("state"),
        state_since: field("state_since"),
        stop_reason: field("stop_reason"),
        total_counter: field("total_counter"),
        reject_counter: field("reject_counter"),
        rework_counter: field("rework_counter"),
    };
    check_fields(&section, &fields, payload, template.as_ref());
    let counter_bits = u32::try_from(section.integer("counter_bits", 32, 8..=64)).unwrap_or(32);
    let state_map = section.section("state_map").map(|map| states(map, |code| Some(code.to_owned()))).unwrap_or_default();
    let signals = section.section("signals").map(topic_signals).unwrap_or_default();
    section.finish();
    Some(Topic { template: template?, asset: asset?, source, payload, fields, counter_bits, state_map, signals })
}

fn check_fields(section: &Section<'_>, fields: &Fields, payload: Payload, template: Option<&Template>) {
    let has_signal = template.is_some_and(|t| t.placeholders().any(|name| name == "signal"));
    if payload == Payload::Number {
        if *fields != Fields::default() {
            section.problem("payload", "a \"number\" payload has no fields; take out timestamp, sequence and the like, or use \"json\"");
        }
        if template.is_some() && !has_signal {
            section.problem("template", "must hold {signal} if the payload is one number");
        }
    } else if has_signal {
        section.problem("template", "{signal} is only of use with payload = \"number\"");
    }
    if fields.session.is_some() && fields.sequence.is_none() {
        section.problem("session", "is only of use together with sequence");
    }
    if (fields.state_since.is_some() || fields.stop_reason.is_some()) && fields.state.is_none() {
        section.problem("state", "is missing; state_since and stop_reason belong to it");
    }
    if (fields.reject_counter.is_some() || fields.rework_counter.is_some()) && fields.total_counter.is_none() {
        section.problem("total_counter", "is missing; reject_counter and rework_counter are parts of it");
    }
}

fn states<K: Ord>(section: Section<'_>, key_of: impl Fn(&str) -> Option<K>) -> BTreeMap<K, MachineState> {
    let choices: Vec<(&str, MachineState)> = MachineState::ALL.iter().map(|s| (s.as_str(), *s)).collect();
    let mut map = BTreeMap::new();
    for key in section.keys() {
        let state = section.choice(key, MachineState::Offline, &choices);
        match key_of(key) {
            Some(code) => {
                map.insert(code, state);
            }
            None => section.problem(key, "must be a whole number, the device's code for the state"),
        }
    }
    section.finish();
    map
}

fn topic_signals(section: Section<'_>) -> Vec<SignalSpec> {
    let keys = section.keys();
    if keys.len() > MAX_SIGNALS {
        section.problem("", format_args!("{} signals are more than {MAX_SIGNALS}", keys.len()));
    }
    let mut signals = Vec::new();
    for key in keys.into_iter().take(MAX_SIGNALS) {
        let Some(entry) = section.section(key) else { continue };
        let name = SignalName::new(key).map_err(|error| entry.problem("", error)).ok();
        signals.extend(scaled(&entry, name, key));
        entry.finish();
    }
    section.finish();
    signals
}

fn scaled(section: &Section<'_>, name: Option<SignalName>, default_field: &str) -> Option<SignalSpec> {
    let unit = section.text("unit").unwrap_or_default();
    if unit.len() > 32 {
        section.problem("unit", "is longer than 32 bytes");
    }
    let scale = section.float_in("scale", 1.0, -1e300..=1e300);
    if scale == 0.0 {
        section.problem("scale", "0 would make every value the offset");
    }
    let field = section.text("field").unwrap_or_else(|| default_field.to_owned());
    Some(SignalSpec { name: name?, field, unit, scale, offset: section.float_in("offset", 0.0, -1e300..=1e300) })
}

pub(super) fn devices(sections: Vec<Section<'_>>) -> Vec<Device> {
    let mut names = BTreeSet::new();
    sections.into_iter().filter_map(|section| device(section, &mut names)).collect()
}

fn device(section: Section<'_>, names: &mut BTreeSet<String>) -> Option<Device> {
    let name = unique_name(&section, names);
    let address = section.required_text("address", "write HOST:PORT, as in address = \"192.168.1.20:502\"").unwrap_or_default();
    let port_ok = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !address.is_empty() && !port_ok {
        section.problem("address", format_args!("{address:?} must be HOST:PORT"));
    }
    let asset: Option<AssetPath> = section.required("asset", "name the machine, as in asset = \"plant1/press-shop/line2/press-7\"");
    let (table, order) = layout(&section, Table::Input, WordOrder::Abcd);
    let mut points = Vec::new();
    let mut state_map = BTreeMap::new();
    for (key, role) in [
        ("sequence", Role::Sequence),
        ("session", Role::Session),
        ("state", Role::State),
        ("state_elapsed_ms", Role::StateElapsedMs),
        ("total_counter", Role::TotalCounter),
        ("reject_counter", Role::RejectCounter),
        ("rework_counter", Role::ReworkCounter),
    ] {
        let Some(entry) = section.section(key) else { continue };
        let point = point(&entry, role, table, order, ValueType::Uint16);
        if role == Role::State {
            state_map = entry.section("map").map(|map| states(map, |code| code.parse().ok())).unwrap_or_default();
            if state_map.is_empty() {
                entry.problem("map", "is missing; say what the codes mean, as in map = { 0 = \"offline\", 1 = \"producing\" }");
            }
        }
        if !point.kind.is_unsigned() {
            entry.problem("type", "must be one of uint16, uint32, uint64");
        }
        entry.finish();
        points.push(point);
    }
    let has = |role| points.iter().any(|p| p.role == role);
    if has(Role::Session) && !has(Role::Sequence) {
        section.problem("session", "is only of use together with sequence");
    }
    if has(Role::StateElapsedMs) && !has(Role::State) {
        section.problem("state_elapsed_ms", "is only of use together with state");
    }
    if (has(Role::RejectCounter) || has(Role::ReworkCounter)) && !has(Role::TotalCounter) {
        section.problem("total_counter", "is missing; reject_counter and rework_counter are parts of it");
    }
    let mut signals = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in section.sections("register", MAX_SIGNALS) {
        let signal: Option<SignalName> = entry.required("signal", "name the signal, as in signal = \"spindle_temperature\"");
        if let Some(signal) = signal.as_ref().filter(|s| !seen.insert(s.as_str().to_owned())) {
            entry.problem("signal", format_args!("{signal} is there already"));
        }
        let field = signal.as_ref().map(|s| s.as_str().to_owned()).unwrap_or_default();
        points.push(point(&entry, Role::Signal(signals.len()), table, order, ValueType::Uint16));
        if entry.has("field") {
            entry.problem("field", "registers have no fields; take it out");
        }
        signals.extend(scaled(&entry, signal, &field));
        entry.finish();
    }
    if points.is_empty() {
        section.problem("register", "is missing; add at least one [[modbus.register]]");
    }
    let second = Duration::from_secs(1);
    let max_gap = u16::try_from(section.integer("max_gap", 8, 0..=100)).unwrap_or_default();
    let max_quantity = u16::try_from(section.integer("max_quantity", 125, 4..=125)).unwrap_or(125);
    let device = Device {
        name,
        address,
        unit_id: u8::try_from(section.integer("unit_id", 1, 0..=255)).unwrap_or(1),
        asset: asset?,
        interval: section.duration("interval", second, Duration::from_millis(10)..=Duration::from_secs(86_400)),
        timeout: section.duration("timeout", second, Duration::from_millis(10)..=Duration::from_secs(60)),
        plan: ReadPlan::new(&points, max_gap, max_quantity),
        points,
        signals,
        state_map,
    };
    section.finish();
    Some(device)
}

fn layout(section: &Section<'_>, table: Table, order: WordOrder) -> (Table, WordOrder) {
    let tables: Vec<(&str, Table)> = Table::ALL.iter().map(|t| (t.as_str(), *t)).collect();
    let orders: Vec<(&str, WordOrder)> = WordOrder::ALL.iter().map(|o| (o.as_str(), *o)).collect();
    (section.choice("table", table, &tables), section.choice("word_order", order, &orders))
}

fn point(section: &Section<'_>, role: Role, table: Table, order: WordOrder, default: ValueType) -> Point {
    let (table, order) = layout(section, table, order);
    let kinds: Vec<(&str, ValueType)> = ValueType::ALL.iter().map(|k| (k.as_str(), *k)).collect();
    let kind = section.choice("type", if table.is_bits() { ValueType::Bit } else { default }, &kinds);
    if table.is_bits() && kind != ValueType::Bit {
        section.problem("type", format_args!("a {} is one bit; take type out", table.as_str()));
    }
    if !section.has("address") {
        section.problem("address", "is missing; the address counts from 0");
    }
    let address = u16::try_from(section.integer("address", 0, 0..=65_535)).unwrap_or_default();
    let bit = u8::try_from(section.integer("bit", 0, 0..=15)).unwrap_or_default();
    if section.has("bit") && (kind != ValueType::Bit || table.is_bits()) {
        section.problem("bit", "is only of use with type = \"bit\" in a register");
    }
    let point = Point { role, table, address, kind, order, bit };
    if !point.fits() {
        section.problem("address", format_args!("{} at {address} reaches beyond the last address 65535", kind.as_str()));
    }
    point
}
