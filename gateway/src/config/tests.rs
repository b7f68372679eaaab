//! What a configuration must refuse, and how it says so: all problems at once, each with its line and advice.

use std::path::Path;

use protocol::{MachineState, Severity};

use super::*;
use crate::decode::modbus::{Block, Role, Table};

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    parse_env(text, &[])
}

fn parse_env(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::parse(Path::new("gateway.toml"), text, env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

fn problems(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

const SMALL: &str = "[gateway]\nid = \"gw\"\n[broker]\n[[topic]]\ntemplate = \"{site}/{area}/{line}/{machine}/telemetry\"\n";

#[test]
fn the_example_loads_and_means_what_it_says() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.gateway.as_str(), "press-gw1");
    assert_eq!(config.window.length, Duration::from_secs(5));
    assert_eq!(config.topics.len(), 2);
    assert_eq!(config.topics[0].signals.len(), 3);
    assert_eq!(config.topics[0].state_map["FAULT"], MachineState::UnplannedStop);
    assert_eq!(config.topics[1].payload, Payload::Number);
    assert_eq!(config.filters(Config::BROKER), ["+/+/+/+/telemetry", "+/+/+/+/values/+"]);
    let device = &config.devices[0];
    assert_eq!(device.plan.blocks, [Block { table: Table::Input, address: 0, quantity: 13 }]);
    assert_eq!(device.points.iter().filter(|p| matches!(p.role, Role::Signal(_))).count(), 3);
    assert_eq!(device.state_map[&5], MachineState::UnplannedStop);
    assert_eq!(config.detectors.len(), 4);
    assert_eq!(config.detectors[0].severity, Severity::High);
    assert_eq!(config.collector.as_ref().unwrap().url, "https://collector.example:8443");
    let sources: Vec<_> = config.sources().into_iter().map(|s| (s.id.0, s.name, s.kind)).collect();
    assert_eq!(sources, [(0, "broker".to_owned(), "mqtt_broker"), (1, "press-7".to_owned(), "modbus_tcp")]);
}

#[test]
fn the_examples_values_are_the_defaults() {
    let (example, small) = (parse(EXAMPLE).unwrap(), parse(SMALL).unwrap());
    assert_eq!(example.data_dir, small.data_dir);
    assert_eq!(example.window, small.window);
    assert_eq!(example.durability, small.durability);
    assert_eq!(example.spool, small.spool);
    assert_eq!(example.status, small.status);
    assert_eq!(example.limits, small.limits);
    let (a, b) = (example.broker.unwrap(), small.broker.unwrap());
    assert_eq!((a.listen, a.max_payload_bytes, a.max_clients), (b.listen, b.max_payload_bytes, b.max_clients));
}

#[test]
fn every_problem_is_told_at_once_with_line_and_key() {
    let text = r#"
[gateway]
id = "Press GW"
data_dri = "/x"
[collector]
url = "http://collector"
[broker]
listen = "0.0.0.0:1883"
max_clients = 0
[[topic]]
template = "{site}/{machine}/telemetry"
session = "s"
[[topic]]
template = "{site}/{area}/{line}/{machine}"
payload = "xml"
[window]
lenght = "5s"
length = "5 parsecs"
[[detector]]
kind = "limits"
[[modbus]]
name = "m"
address = "nowhere"
asset = "a/b"
state = { address = 70000 }
[[modbus.register]]
signal = "Temp"
address = 65535
type = "float32"
[wndow]
"#;
    let shown = problems(text);
    for expected in [
        "line 3: gateway.id: \"Press GW\" can't be used: gateway id",
        "line 4: gateway.data_dri: unknown key; did you mean \"data_dir\"?",
        "line 6: collector.url: \"http://collector\" must be https://HOST:PORT",
        "line 8: broker.listen: anyone who reaches 0.0.0.0:1883 could publish",
        "line 9: broker.max_clients: 0 is out of range; allowed is 1 to 10000",
        "line 11: topic[0].template: asset pattern uses {area}",
        "line 12: topic[0].session: is only of use together with sequence",
        "line 15: topic[1].payload: \"xml\" is none of json, number",
        "line 17: window.lenght: unknown key; did you mean \"length\"?",
        "line 18: window.length: \"5 parsecs\" is no duration",
        "line 19: detector[0]: a limits detector needs low, high or both",
        "line 23: modbus[0].address: \"nowhere\" must be HOST:PORT",
        "line 24: modbus[0].asset: \"a/b\" can't be used",
        "line 25: modbus[0].state.address: 70000 is out of range",
        "line 25: modbus[0].state.map: is missing",
        "line 27: modbus[0].register[0].signal: \"Temp\" can't be used",
        "line 28: modbus[0].register[0].address: float32 at 65535 reaches beyond",
        "line 30: wndow: unknown section; did you mean \"window\"?",
    ] {
        assert!(shown.contains(expected), "missing: {expected}\nin: {shown}");
    }
    assert!(shown.starts_with("gateway.toml: 18 problems"), "{shown}");
}

#[test]
fn broken_toml_names_its_lines_and_the_rest_is_still_checked() {
    let shown = problems("[gateway]\nid = \n[window]\nlength = \"1y\"\n");
    assert!(shown.contains("line 2: not valid TOML"), "{shown}");
    assert!(shown.contains("window.length: \"1y\" is no duration"), "{shown}");
}

#[test]
fn an_empty_file_says_what_to_write_first() {
    let shown = problems("");
    assert!(shown.contains("gateway.id: is missing; give this gateway a name"), "{shown}");
    assert!(shown.contains("nothing to read from"), "{shown}");
}

#[test]
fn environment_overrides_the_file_and_is_checked_like_it() {
    let env = [
        ("MILLRACE_GATEWAY__WINDOW__LENGTH", "10s"),
        ("MILLRACE_GATEWAY__DATA_DIR", "/data"),
        ("MILLRACE_GATEWAY__BROKER__MAX_CLIENTS", "7"),
        ("MILLRACE_GATEWAY__TOPIC__0__SEQUENCE", "n"),
        ("MILLRACE_GATEWAY__STATUS__ENABLED", "false"),
        ("PATH", "/bin"),
    ];
    let config = parse_env(SMALL, &env).unwrap();
    assert_eq!(config.window.length, Duration::from_secs(10));
    assert_eq!(config.data_dir, Path::new("/data"));
    assert_eq!(config.broker.unwrap().max_clients, 7);
    assert_eq!(config.topics[0].fields.sequence.as_deref(), Some("n"));
    assert_eq!(config.status, None);
    let shown =
        parse_env(SMALL, &[("MILLRACE_GATEWAY__WINDOW__LENGHT", "1s"), ("MILLRACE_GATEWAY__TOPIC__9__QOS", "1")]).unwrap_err().to_string();
    assert!(shown.contains("environment MILLRACE_GATEWAY__WINDOW__LENGHT: window.lenght: unknown key"), "{shown}");
    assert!(shown.contains("environment MILLRACE_GATEWAY__TOPIC__9__QOS: topic.9.qos: \"9\" is no index"), "{shown}");
}

#[test]
fn secrets_come_from_files_and_never_show() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    std::fs::write(&file, "# machines\npress:hunter2\n\nsaw:x:y\n").unwrap();
    let text = SMALL.replace("[broker]", &format!("[broker]\nlisten = \"0.0.0.0:1883\"\nusers_file = {:?}", file.display().to_string()));
    let config = parse(&text).unwrap();
    let users = config.broker.as_ref().unwrap().users.clone();
    assert_eq!(users.len(), 2);
    assert_eq!((users[1].name.as_str(), users[1].password.expose()), ("saw", "x:y"));
    assert!(!format!("{config:?}").contains("hunter2"));
    std::fs::write(&file, "press\n").unwrap();
    let shown = problems(&text);
    assert!(shown.contains("broker.users_file: line 1 must be name:password"), "{shown}");
    let shown = problems(&SMALL.replace("[broker]", "[broker]\nusers_file = \"/no/such/file\""));
    assert!(shown.contains("line 4: broker.users_file: /no/such/file can't be read"), "{shown}");
}

#[test]
fn outside_brokers_are_named_and_bound_to_topics() {
    let text = r#"
[gateway]
id = "gw"
[[mqtt_client]]
name = "hall"
url = "mqtt://broker:1884"
[[topic]]
template = "{site}/{area}/{line}/{machine}"
source = "hall"
"#;
    let config = parse(text).unwrap();
    assert_eq!((config.clients[0].host.as_str(), config.clients[0].port), ("broker", 1884));
    assert_eq!(config.clients[0].client_id, "millrace-gw-hall");
    assert_eq!(config.topics[0].source, Some(config.client_source(0)));
    assert!(config.filters(Config::BROKER).is_empty());
    let shown = problems(&text.replace("source = \"hall\"", "source = \"hal\""));
    assert!(shown.contains("line 9: topic[0].source: \"hal\" is neither"), "{shown}");
    let shown = problems(&text.replace("mqtt://broker:1884", "mqtts://broker"));
    assert!(shown.contains("mqtt_client[0].ca: is missing"), "{shown}");
}

#[test]
fn what_the_spool_does_when_it_is_full_can_be_chosen_and_nonsense_is_told() {
    let config = parse(&format!(
        "{SMALL}\n[spool]\nmax_bytes = \"64MiB\"\nmin_free = \"512MiB\"\noverflow_data = \"refuse\"\noverflow_urgent = \"refuse\"\n"
    ))
    .unwrap();
    assert_eq!(config.spool.overflow, Overflow { data: DataOverflow::Refuse, urgent: UrgentOverflow::Refuse });
    assert_eq!((config.spool.min_free, config.spool.keep_acknowledged), (Floor::Bytes(512 << 20), 16 << 20));
    let spool = "[spool]\nmax_bytes = \"64MiB\"\nmin_free = \"91%\"\ngeneration_bytes = \"16MiB\"\nkeep_acknowledged = \"1GiB\"\n\
                 overflow_data = \"thinn\"\nwrite_budget_per_day = \"1KiB\"\n";
    let shown = problems(&format!("{SMALL}\n{spool}"));
    for expected in [
        "spool.min_free: \"91%\" is no share; write a whole number from 0% to 90%",
        "spool.generation_bytes: must be at most an eighth of max_bytes",
        "spool.keep_acknowledged: must be at most half of max_bytes",
        "spool.overflow_data: \"thinn\" is none of thin, drop_oldest, refuse",
        "spool.write_budget_per_day: 1024 bytes is out of range",
    ] {
        assert!(shown.contains(expected), "missing: {expected}\nin: {shown}");
    }
}
