//! The settings of compose and of the manifests, read by the collector itself.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    at,
    container::WAYS,
    folder, kubernetes, list, texts,
    tools::{self, Tools, yaml},
};
use crate::build::Programs;

/// Exit code of the collector for a configuration that is wrong.
const WRONG: i32 = 64;

pub fn check(tools: &Tools, programs: &Programs) -> Result<()> {
    let image = folder("container/collector.toml");
    let collector = |arguments: &[&str], env: &[(String, String)]| -> Result<Output> {
        let mut command = programs.command("collector");
        forget_settings(&mut command);
        command.envs(env.iter().map(|(name, value)| (name, value))).args(arguments).output().context("millrace-collector: build it first")
    };
    let taken = |what: &str, file: &Path, env: &[(String, String)]| -> Result<()> {
        let output = collector(&["check-config", "--config", &file.to_string_lossy()], env)?;
        if !output.status.success() {
            bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        eprintln!("{what}: {}", String::from_utf8_lossy(&output.stdout).trim());
        Ok(())
    };
    let understood = |what: &str, arguments: &[&str]| -> Result<()> {
        let output = collector(&[arguments, &["--help"]].concat(), &[])?;
        if !output.status.success() {
            bail!("{what}: the collector does not understand {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    };

    // Keys in the clear on a network are chosen by somebody, or not sent.
    let refused = collector(&["check-config", "--config", &image.to_string_lossy()], &[])?;
    if refused.status.code() != Some(WRONG) {
        bail!("the image's settings must be refused without TLS and without the waiver, but the collector ended with {}", refused.status);
    }
    for (files, profiles) in WAYS {
        let Some(config) = tools.compose(&folder("container"), files, profiles)? else { break };
        for name in ["init", "collector"] {
            let service = at(&config, &format!("services/{name}"));
            let env = at(service, "environment").as_object().into_iter().flatten().map(|(name, value)| setting(name, value));
            taken(&format!("{} {name}", files.join("+")), &image, &env.collect::<Result<Vec<_>>>()?)?;
            understood(name, &texts(at(service, "command")))?;
        }
    }
    let script = super::read("container/prometheus/key.sh")?;
    let call = script.lines().find_map(|line| line.strip_prefix("millrace-collector ")).and_then(|call| call.split(" |").next());
    let call: Vec<&str> = call.context("key.sh does not call millrace-collector")?.split_whitespace().collect();
    understood("key.sh", &call)?;

    let manifests = folder("kubernetes/collector.toml");
    let set = yaml(&folder("kubernetes/statefulset.yaml"))?.remove(0);
    taken("kubernetes", &manifests, &[])?;
    for part in ["initContainers", "containers"] {
        understood(part, &texts(at(&set, &format!("spec/template/spec/{part}/0/args"))))?;
    }
    let patch = yaml(&folder("kubernetes/tls/statefulset.yaml"))?.remove(0);
    let env = list(at(&patch, "spec/template/spec/containers/0/env")).iter();
    let env = env
        .map(|variable| setting(at(variable, "name").as_str().unwrap_or_default(), at(variable, "value")))
        .collect::<Result<Vec<_>>>()?;
    taken("kubernetes/tls", &manifests, &env)?;
    if kubernetes::rendered(tools, false)?.is_some_and(|sent| !sent.contains("listen = \"0.0.0.0:8080\"")) {
        bail!("deploy/kubernetes: collector.toml is not in the ConfigMap");
    }
    Ok(())
}

/// A variable for the collector; a secret's place is taken by an empty file that is here.
fn setting(name: &str, value: &Value) -> Result<(String, String)> {
    let value = value.as_str().unwrap_or_default();
    if !value.starts_with("/run/secrets/") {
        return Ok((name.to_owned(), value.to_owned()));
    }
    let file = tools::scratch()?.join("secret");
    fs::write(&file, "")?;
    Ok((name.to_owned(), file.display().to_string()))
}

/// What this shell may have set for a collector of its own.
fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MILLRACE_")) {
        command.env_remove(name);
    }
}
