//! The image and compose.yaml: what they say of each other, of the workspace, and of the collector's settings.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{at, folder, list, must, read, texts, tools::Tools};
use crate::command;

/// All ways in which compose.yaml is meant to be used: further files, profiles.
pub const WAYS: &[(&[&str], &[&str])] = &[
    (&["compose.yaml"], &[]),
    (&["compose.yaml"], &["prometheus"]),
    (&["compose.yaml"], &["grafana"]),
    (&["compose.yaml", "compose.tls.yaml"], &["grafana"]),
];

/// What the Dockerfile says.
pub struct Image {
    instructions: Vec<(String, String)>,
}

impl Image {
    pub fn read() -> Result<Self> {
        Ok(Self { instructions: instructions(&read("container/Dockerfile")?) })
    }

    /// The last of that instruction, since later ones win.
    pub fn last(&self, instruction: &str) -> &str {
        self.instructions.iter().rev().find(|(name, _)| name == instruction).map_or("", |(_, text)| text)
    }

    fn all<'i>(&'i self, instruction: &'i str) -> impl Iterator<Item = &'i str> {
        self.instructions.iter().filter(move |(name, _)| name == instruction).map(|(_, text)| text.as_str())
    }

    pub fn faults(&self) -> Result<Vec<String>> {
        let root = command::root();
        let text = |file: &str| fs::read_to_string(root.join(file)).with_context(|| file.to_owned());
        let toml = |file: &str| -> Result<toml::Table> { Ok(text(file)?.parse()?) };
        let tag = |image: &str| {
            let name = format!("docker.io/library/{image}:");
            self.all("FROM")
                .find_map(|from| from.strip_prefix(&name))
                .and_then(|rest| rest.split('-').next())
                .unwrap_or_default()
                .to_owned()
        };
        let mut faults = Vec::new();

        let toolchain = toml("rust-toolchain.toml")?;
        let channel = toolchain["toolchain"]["channel"].as_str().unwrap_or_default();
        faults
            .extend(must(tag("rust") == channel, format!("Dockerfile: FROM rust:{}, but rust-toolchain.toml says {channel}", tag("rust"))));
        let told = format!("RUSTUP_TOOLCHAIN={channel}");
        faults.extend(must(self.all("ENV").any(|env| env == told), format!("Dockerfile: ENV {told} is missing")));
        let package: Value = serde_json::from_str(&text("collector/dashboard/package.json")?)?;
        let engine = at(&package, "engines/node").as_str().unwrap_or_default();
        let needed: u32 = engine.trim_start_matches(">=").split('.').next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX);
        faults
            .extend(must(tag("node").parse().is_ok_and(|n: u32| n >= needed), format!("Dockerfile: the dashboard needs Node.js {engine}")));

        let settings = toml("deploy/container/collector.toml")?;
        let setting = |table: &str, key: &str| settings[table][key].as_str().unwrap_or_default().to_owned();
        let data_dir = setting("collector", "data_dir");
        faults.extend(must(
            self.last("VOLUME") == data_dir,
            format!("Dockerfile: the volume is not {data_dir}, where collector.toml has the data"),
        ));
        for table in ["api", "uplink"] {
            let port = setting(table, "listen").rsplit(':').next().unwrap_or_default().to_owned();
            let exposed = self.last("EXPOSE").split_whitespace().any(|exposed| exposed == port);
            faults.extend(must(exposed, format!("Dockerfile: port {port} of [{table}] is not exposed")));
        }
        let user: Vec<u32> = self.last("USER").split(':').filter_map(|id| id.parse().ok()).collect();
        faults.extend(must(user.len() == 2 && user.iter().all(|id| *id > 0), "Dockerfile: USER must be numbers that are not root's"));
        faults.extend(must(
            self.last("HEALTHCHECK").contains(r#"["/usr/bin/millrace-collector", "health"]"#),
            "Dockerfile: the health check is not the program's own",
        ));
        faults.extend(must(
            self.last("ENTRYPOINT").contains("/usr/bin/millrace-collector"),
            "Dockerfile: the entry point is not the program",
        ));

        let seen = read("container/Dockerfile.dockerignore")?;
        let seen: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix('!')).collect();
        let workspace = toml("Cargo.toml")?;
        let members = workspace["workspace"]["members"].as_array().into_iter().flatten().filter_map(toml::Value::as_str);
        // config/ holds the examples that are compiled in.
        for needed in members.chain(["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "config", "deploy/container/collector.toml"]) {
            faults.extend(must(seen.contains(&needed), format!("Dockerfile.dockerignore: the build does not see {needed}: add !{needed}")));
        }
        for gone in seen.iter().filter(|path| !root.join(path).exists()) {
            faults.push(format!("Dockerfile.dockerignore: there is no {gone}"));
        }
        Ok(faults)
    }
}

/// What is wrong in compose.yaml, in all the ways it is used.
pub fn compose(tools: &Tools) -> Result<Vec<String>> {
    let place = folder("container");
    let mut faults = Vec::new();
    for (files, profiles) in WAYS {
        let Some(config) = tools.compose(&place, files, profiles)? else {
            eprintln!("deploy/container/compose.yaml is not checked: there is no Docker Compose for this machine");
            return Ok(faults);
        };
        faults.extend(project(&config, &place));
    }
    let variables = read("container/example.env")?;
    for variable in read("container/compose.yaml")?.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next()) {
        faults.extend(must(variables.contains(&format!("{variable}=")), format!("example.env does not tell of {variable}")));
    }
    faults.sort();
    faults.dedup();
    Ok(faults)
}

/// What is wrong in a project as compose has read it.
fn project(config: &Value, place: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let version = format!("millrace-collector:{}", env!("CARGO_PKG_VERSION"));
    for (name, service) in at(config, "services").as_object().into_iter().flatten() {
        let mut must = |is: bool, fault: &str| faults.extend(must(is, format!("compose.yaml: {name}: {fault}")));
        must(texts(at(service, "cap_drop")) == ["ALL"], "keeps capabilities");
        must(texts(at(service, "security_opt")).contains(&"no-new-privileges:true"), "may get new privileges");
        must(at(service, "logging/options/max-size").is_string(), "its log has no bound");
        let image = at(service, "image").as_str().unwrap_or_default();
        must(!image.ends_with(":latest") && image.contains(':'), "its image has no fixed version");
        if !image.contains('/') {
            must(image == version, &format!("the image is {image}, the workspace has {version}"));
            must(at(service, "read_only") == &Value::Bool(true), "its root can be written");
            let target = at(service, "build/target").as_str().unwrap_or("collector");
            must(target == "collector", "is not built as the stage `collector`");
        }
        for volume in list(at(service, "volumes")).iter().filter(|volume| at(volume, "type") == "bind") {
            let source = at(volume, "source").as_str().unwrap_or_default();
            must(Path::new(source).exists(), &format!("mounts {source}, which is not there"));
            must(
                source.starts_with(&*place.to_string_lossy()) && at(volume, "read_only") == true,
                &format!("mounts {source} to be written"),
            );
        }
        for port in list(at(service, "ports")) {
            // By mutual TLS, for gateways; everything else is for this host alone.
            let is_uplink = name == "collector" && at(port, "target") == 8443;
            must(is_uplink || at(port, "host_ip") == "127.0.0.1", &format!("publishes {} to the network", at(port, "target")));
        }
    }
    let init = at(config, "services/collector/depends_on/init/condition");
    faults.extend(must(init == "service_completed_successfully", "compose.yaml: the collector does not wait for init"));
    faults
}

/// Instructions with their text, continued lines joined.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let of_line =
        |line: &str| line.split_once(' ').map(|(name, text)| (name.to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" ")));
    joined.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continued_lines_are_one_instruction() {
        let read = instructions("# a\nFROM x AS y\nRUN a \\\n    # within\n    && b\nUSER 1:2\nUSER 3:4\n");
        assert_eq!(read[1], ("RUN".to_owned(), "a && b".to_owned()));
        assert_eq!(Image { instructions: read }.last("USER"), "3:4");
    }

    #[test]
    fn what_would_be_open_to_the_network_or_as_root_is_found() {
        let service = serde_json::json!({
            "image": "millrace-collector:latest", "ports": [{ "target": 8080, "host_ip": "0.0.0.0" }],
            "volumes": [{ "type": "bind", "source": "/nowhere/at/all" }],
        });
        let faults = project(&serde_json::json!({ "services": { "collector": service } }), Path::new("/nowhere")).join("\n");
        for fault in ["capabilities", "no bound", "fixed version", "root can be written", "not there", "publishes 8080", "wait for init"] {
            assert!(faults.contains(fault), "{fault} is not in: {faults}");
        }
    }
}
