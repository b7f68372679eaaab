//! What the demo puts on disk before anything runs: ports, configurations, keys and certificates. Everything under one folder.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Options, books::Truth, fleet::wait_for};
use crate::{build::Programs, command};

/// Says that a folder was made by the demo and may be emptied by the next one.
const MARKER: &str = "made-by-millrace-demo";

/// A demo's place on disk and its addresses.
pub struct Site {
    pub folder: PathBuf,
    pub logs: PathBuf,
    pub admin_key: String,
    pub collector_file: PathBuf,
    pub plant_file: PathBuf,
    pub truth_file: PathBuf,
    pub collector_data: PathBuf,
    pub gateways: Vec<Gateway>,
    pub seed: u64,
    pub durability_interval_s: f64,
    /// Where the collector takes batches.
    pub uplink: SocketAddr,
    /// Which gateway each machine belongs to (its number).
    pub gateway_of: BTreeMap<String, usize>,
    api: SocketAddr,
    modbus: Vec<SocketAddr>,
}

pub struct Gateway {
    pub id: String,
    pub file: PathBuf,
    pub status: SocketAddr,
    pub data_dir: PathBuf,
    /// What it is started with beside the demo's own environment.
    pub env: Vec<(String, OsString)>,
    mqtt: SocketAddr,
    token_file: PathBuf,
}

/// A gateway that is not started here, as one in an emulator: the collector and the machines for it.
pub struct Elsewhere<'a> {
    /// Of the site; emptied.
    pub folder: &'a Path,
    /// By what name or address it reaches this machine.
    pub this_host: &'a str,
    /// Where its broker is, as seen from here.
    pub broker: SocketAddr,
    /// They all publish by MQTT.
    pub machines: u16,
    pub seed: u64,
}

/// The part of the plant's file that gateways and collector must know, too.
#[derive(Deserialize)]
struct PlantFile {
    machine: Vec<Machine>,
}

#[derive(Deserialize)]
struct Machine {
    asset: String,
    gateway: String,
    ideal_cycle_time: String,
    link: String,
    /// Where a Modbus machine listens.
    listen: Option<SocketAddr>,
}

impl PlantFile {
    /// Ids of the gateways, in the order of the generator's ports.
    fn gateways(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.machine.iter().map(|m| m.gateway.clone()).collect();
        ids.sort_by_key(|id| id.trim_start_matches(|c: char| !c.is_ascii_digit() || c == '-').parse::<u32>().unwrap_or(u32::MAX));
        ids.dedup();
        ids
    }
}

impl Site {
    /// Makes the folder, chooses ports, writes all configurations, and initialises the collector. `uplinks` are the ports by which the gateways
    /// reach the collector, in their order; those that are not named reach it directly.
    pub fn prepare(options: &Options, uplinks: &[u16], programs: &Programs) -> Result<Self> {
        let machines = usize::from(options.machines);
        let gateways = usize::from(options.gateways);
        if machines < gateways {
            bail!("{machines} machines can't feed {gateways} gateways: give at least one machine to each");
        }
        let mqtt = free_range(gateways + machines)?;
        let modbus = mqtt + gateways as u16;
        let mut generate = programs.command("sim");
        generate.args(["plant", "--machines", &machines.to_string(), "--gateways", &gateways.to_string()]);
        generate.args(["--mqtt-base-port", &mqtt.to_string(), "--modbus-base-port", &modbus.to_string()]);
        generate.args(["--seed", &options.seed.to_string()]);
        let folder = options.data_dir.clone().unwrap_or_else(|| command::target_dir().join("demo"));
        let (mut site, plant) =
            Self::begin(folder, &command::output(&mut generate)?, options.seed, free_port(options.port)?, "localhost", programs)?;
        site.modbus = plant.machine.iter().filter_map(|m| m.listen).collect();
        for (number, id) in plant.gateways().into_iter().enumerate() {
            let mqtt = SocketAddr::from(([127, 0, 0, 1], mqtt + number as u16));
            let status = free_port(0)?;
            let token_file = site.folder.join(format!("{id}.token"));
            let (file, data_dir) = (site.folder.join(format!("{id}.toml")), site.folder.join(&id));
            let gateway = Gateway { file, id, status, data_dir, env: Vec::new(), mqtt, token_file };
            let own = || plant.machine.iter().filter(|m| m.gateway == gateway.id);
            site.gateway_of.extend(own().map(|m| (m.asset.clone(), number)));
            let via = uplinks.get(number).copied().unwrap_or(site.uplink.port());
            fs::write(&gateway.file, gateway_toml(&gateway, via, own().filter(|m| m.link == "modbus"), site.durability_interval_s))?;
            site.gateways.push(gateway);
        }
        Ok(site)
    }

    /// The same for one gateway that is elsewhere: no gateway's configuration is written, and every machine publishes to `broker`.
    pub fn prepare_for(elsewhere: &Elsewhere<'_>, programs: &Programs) -> Result<Self> {
        // Of three machines that are made one speaks Modbus, and is left out.
        let made = elsewhere.machines + elsewhere.machines.saturating_sub(1) / 2;
        let mut generate = programs.command("sim");
        generate.args(["plant", "--gateways", "1", "--machines", &made.to_string(), "--seed", &elsewhere.seed.to_string()]);
        generate.args(["--mqtt", &elsewhere.broker.to_string()]);
        let plant = only_mqtt(&command::output(&mut generate)?)?;
        let (mut site, plant) =
            Self::begin(elsewhere.folder.to_path_buf(), &plant, elsewhere.seed, free_port(0)?, elsewhere.this_host, programs)?;
        site.gateway_of = plant.machine.iter().map(|m| (m.asset.clone(), 0)).collect();
        Ok(site)
    }

    /// What every site begins with: an empty folder with the plant in it, and a collector that is initialised. `host` is how gateways call it.
    fn begin(folder: PathBuf, plant_toml: &str, seed: u64, api: SocketAddr, host: &str, programs: &Programs) -> Result<(Self, PlantFile)> {
        empty(&folder)?;
        let logs = folder.join("logs");
        fs::create_dir_all(&logs)?;
        let uplink = free_port(0)?;
        let plant_file = folder.join("plant.toml");
        fs::write(&plant_file, plant_toml)?;
        let plant: PlantFile = toml::from_str(plant_toml).context("the generated plant.toml")?;
        let collector_file = folder.join("collector.toml");
        fs::write(&collector_file, collector_toml(&folder, api, uplink, host, &plant))?;
        let site = Self {
            logs,
            admin_key: init_collector(&collector_file, programs)?,
            collector_file,
            plant_file,
            truth_file: folder.join("truth.jsonl"),
            collector_data: folder.join("collector"),
            gateways: Vec::new(),
            seed,
            durability_interval_s: 5.0,
            uplink,
            gateway_of: BTreeMap::new(),
            api,
            modbus: Vec::new(),
            folder,
        };
        Ok((site, plant))
    }

    pub fn dashboard_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Lets a gateway in: a one-time token from the collector, then `enroll` on the gateway. `again` replaces the key and certificate that it has.
    pub fn enroll(&self, gateway: &Gateway, again: bool, programs: &Programs) -> Result<()> {
        let token = self.token(&gateway.id, "1h", programs)?;
        fs::write(&gateway.token_file, &token)?;
        let number = self.gateways.iter().position(|one| one.id == gateway.id).unwrap_or_default();
        let mut enroll = programs.gateway(number);
        enroll.args(["enroll", "--token", &token, "--config"]).arg(&gateway.file).args(again.then_some("--force"));
        command::output(&mut enroll).map(drop)
    }

    /// A one-time token for the gateway `id`, which can be used for `lasting` (`1s`, `1h`).
    pub fn token(&self, id: &str, lasting: &str, programs: &Programs) -> Result<String> {
        let mut create = programs.command("collector");
        create.args(["token", "create", "--gateway", id, "--ttl", lasting, "--config"]).arg(&self.collector_file);
        let said = command::output(&mut create)?;
        let token = said.split_whitespace().find(|word| word.starts_with("mrt1.")).context("`token create` printed no token")?;
        Ok(token.to_owned())
    }

    /// Lets a gateway that did not run yet keep its data in `data_dir`.
    pub fn keep_data_in(&mut self, number: usize, data_dir: PathBuf) -> Result<()> {
        let gateway = &mut self.gateways[number];
        let text = fs::read_to_string(&gateway.file)?;
        let line = |dir: &Path| format!("data_dir = \"{}\"", dir.display());
        fs::write(&gateway.file, text.replace(&line(&gateway.data_dir), &line(&data_dir)))?;
        gateway.data_dir = data_dir;
        Ok(())
    }

    /// Waits until every simulated Modbus device accepts connections.
    pub fn wait_for_modbus(&self) -> Result<()> {
        for address in &self.modbus {
            wait_for(&format!("Modbus server on {address}"), Duration::from_secs(20), || Ok(TcpStream::connect(address).is_ok()))?;
        }
        Ok(())
    }

    /// The plant's own account, one entry a machine.
    pub fn truth(&self) -> Result<Vec<Truth>> {
        let text = fs::read_to_string(&self.truth_file).with_context(|| format!("{}", self.truth_file.display()))?;
        let mut truth = Vec::new();
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).with_context(|| format!("{}: {line}", self.truth_file.display()))?;
            if value["type"] == "summary" {
                truth.push(serde_json::from_value(value)?);
            }
        }
        if truth.is_empty() {
            bail!("{} holds no summary: the simulated plant did not end in order", self.truth_file.display());
        }
        Ok(truth)
    }
}

/// Makes `folder` empty, if it does not exist or was made by a demo before.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        let is_empty = fs::read_dir(folder)?.next().is_none();
        if !is_empty && !folder.join(MARKER).exists() {
            bail!("{} holds files that are not the demo's: name an empty folder with --data-dir", folder.display());
        }
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join(MARKER), "The next `cargo xtask demo` empties this folder.\n")?;
    Ok(())
}

/// `wanted` on loopback if it is free, any free port for 0.
pub fn free_port(wanted: u16) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", wanted))
        .with_context(|| format!("port {wanted} is taken: choose another one with --port (0: any that is free)"))?;
    Ok(listener.local_addr()?)
}

/// The first of `count` consecutive ports that are free on loopback now.
fn free_range(count: usize) -> Result<u16> {
    let count = u16::try_from(count)?;
    (20_000..32_000)
        .step_by(usize::from(count).max(64))
        .find(|first| {
            (*first..first + count).map(|port| TcpListener::bind(("127.0.0.1", port))).collect::<std::io::Result<Vec<_>>>().is_ok()
        })
        .with_context(|| format!("no {count} consecutive free ports between 20000 and 32000"))
}

/// Initialises the collector; its admin key.
fn init_collector(file: &Path, programs: &Programs) -> Result<String> {
    let said = command::output(programs.command("collector").args(["init", "--config"]).arg(file))?;
    let key = said.lines().find_map(|line| line.trim().strip_prefix("admin key:"));
    key.map(|key| key.trim().to_owned()).with_context(|| format!("`millrace-collector init` showed no admin key:\n{said}"))
}

/// A plant's file without the machines that are polled. At its end all messages are waited for: a broker in an emulator is slow.
fn only_mqtt(plant: &str) -> Result<String> {
    let mut plant: toml::Table = toml::from_str(plant).context("the generated plant.toml")?;
    if let Some(machines) = plant.get_mut("machine").and_then(toml::Value::as_array_mut) {
        machines.retain(|machine| machine.get("link").and_then(toml::Value::as_str) == Some("mqtt"));
    }
    if let Some(settings) = plant.get_mut("plant").and_then(toml::Value::as_table_mut) {
        settings.insert("drain".into(), "300s".into());
    }
    Ok(toml::to_string(&plant)?)
}

/// `host` is where gateways reach it.
fn collector_toml(folder: &Path, api: SocketAddr, uplink: SocketAddr, host: &str, plant: &PlantFile) -> String {
    let mut text = format!(
        r#"# Written by `cargo xtask demo`.
[collector]
data_dir = "{}"

[api]
listen = "{api}"

[uplink]
listen = "{uplink}"
advertise = "https://{host}:{}"
"#,
        folder.join("collector").display(),
        uplink.port()
    );
    for machine in &plant.machine {
        text += &format!("\n[[asset]]\npath = \"{}\"\nideal_cycle_time = \"{}\"\n", machine.asset, machine.ideal_cycle_time);
    }
    text
}

fn gateway_toml<'a>(gateway: &Gateway, uplink: u16, polled: impl Iterator<Item = &'a Machine>, interval_s: f64) -> String {
    let Gateway { id, mqtt, status, data_dir, .. } = gateway;
    let mut text = format!(
        r#"# Written by `cargo xtask demo`.
[gateway]
id = "{id}"
data_dir = "{}"

[collector]
url = "https://localhost:{uplink}"

[broker]
listen = "{mqtt}"

[status]
listen = "{status}"

[window]
length = "5s"
allowed_lateness = "1s"

[durability]
mode = "window"
interval = "{interval_s}s"

[[topic]]
template = "{{site}}/{{area}}/{{line}}/{{machine}}/telemetry"
payload = "json"
timestamp = "ts"
sequence = "seq"
session = "session"
state = "state"
state_since = "state_since"
stop_reason = "stop_reason"
total_counter = "total"
reject_counter = "reject"

[topic.signals]
spindle_temperature = {{ field = "spindle_temperature", unit = "Cel" }}
vibration_velocity = {{ field = "vibration_velocity", unit = "mm/s" }}
active_power = {{ field = "active_power", unit = "kW" }}

[[detector]]
kind = "limits"
signal = "spindle_temperature"
high = 85.0
hysteresis = 2.0

[[detector]]
kind = "ewma"
signal = "vibration_velocity"
warm_up = 20

[[detector]]
kind = "flat_line"
signal = "vibration_velocity"
duration = "20s"
"#,
        data_dir.display(),
    );
    for machine in polled {
        let name = machine.asset.rsplit('/').next().unwrap_or_default();
        let address = machine.listen.map(|a| a.to_string()).unwrap_or_default();
        text += &format!(
            r#"
[[modbus]]
name = "{name}"
address = "{address}"
unit_id = 1
asset = "{}"
interval = "1s"
timeout = "1s"
sequence = {{ address = 0, type = "uint32" }}
session = {{ address = 2, type = "uint16" }}
state = {{ address = 3, type = "uint16", map = {{ 0 = "offline", 1 = "producing", 2 = "idle", 3 = "setup", 4 = "planned_stop", 5 = "unplanned_stop" }} }}
state_elapsed_ms = {{ address = 4, type = "uint32" }}
total_counter = {{ address = 6, type = "uint16" }}
reject_counter = {{ address = 7, type = "uint16" }}

[[modbus.register]]
signal = "spindle_temperature"
address = 8
table = "input"
type = "float32"
unit = "Cel"

[[modbus.register]]
signal = "vibration_velocity"
address = 10
table = "input"
type = "float32"
unit = "mm/s"

[[modbus.register]]
signal = "active_power"
address = 12
table = "input"
type = "int16"
scale = 0.01
unit = "kW"
"#,
            machine.asset
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plant_for_a_gateway_elsewhere_has_no_machine_that_is_polled_and_waits_for_its_last_word() {
        let made = "[plant]\nseed = 1\npace = 1.0\n\n[[machine]]\nasset = \"a/b/c/d\"\nlink = \"mqtt\"\naddress = \"127.0.0.1:1\"\n\
                    \n[[machine.fault]]\nkind = \"noise\"\n\n[[machine]]\nasset = \"a/b/c/e\"\nlink = \"modbus\"\n";
        let plant: toml::Table = toml::from_str(&only_mqtt(made).unwrap()).unwrap();
        let machines = plant["machine"].as_array().unwrap();
        assert_eq!(machines.len(), 1);
        assert_eq!(machines[0]["asset"].as_str(), Some("a/b/c/d"));
        assert_eq!(machines[0]["fault"].as_array().map(Vec::len), Some(1));
        assert_eq!(plant["plant"]["drain"].as_str(), Some("300s"));
    }
}
