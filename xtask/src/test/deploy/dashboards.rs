//! Prometheus' settings and Grafana's dashboards: each name of a metric must be one that the code makes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    at, folder, list, must,
    names::{self, Series},
    texts,
    tools::{self, Tools, yaml},
};
use crate::command;

pub fn faults(tools: &Tools) -> Result<Vec<String>> {
    let mut faults = prometheus(tools)?;
    let (series, code) = series()?;
    let sources = yaml(&folder("container/grafana/provisioning/datasources/prometheus.yml"))?;
    let uid = at(&sources[0], "datasources/0/uid").clone();
    let (mut questions, mut uids) = (Vec::new(), BTreeSet::new());
    let place = folder("container/grafana/dashboards");
    for file in files(&place, "json")? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let board: Value = serde_json::from_str(&fs::read_to_string(&file)?).with_context(|| name.clone())?;
        faults.extend(must(uids.insert(at(&board, "uid").to_string()), format!("{name}: another dashboard has its uid")));
        let mut ids = BTreeSet::new();
        for panel in list(at(&board, "panels")) {
            let title = at(panel, "title").as_str().unwrap_or_default();
            faults.extend(must(ids.insert(at(panel, "id").to_string()), format!("{name}: {title}: another panel has its id")));
            faults.extend(must(!list(at(panel, "targets")).is_empty(), format!("{name}: {title}: asks nothing")));
            for target in list(at(panel, "targets")) {
                faults.extend(must(at(target, "datasource/uid") == &uid, format!("{name}: {title}: asks a data source that is not there")));
                let question = at(target, "expr").as_str().unwrap_or_default();
                faults.extend(names::faults(question, &series, &code).into_iter().map(|fault| format!("{name}: {title}: {fault}")));
                questions.push(question.replace("$__rate_interval", "1m").replace("$instance", ".*"));
            }
        }
        for variable in list(at(&board, "templating/list")) {
            let question = at(variable, "query/query").as_str().unwrap_or_default();
            faults.extend(names::faults(question, &series, &code).into_iter().map(|fault| format!("{name}: variable: {fault}")));
        }
    }
    tools.promql(&questions)?;
    eprintln!("{} questions of {} dashboards ask for metrics that there are", questions.len(), uids.len());
    Ok(faults)
}

/// The configuration is Prometheus', and names what is there.
fn prometheus(tools: &Tools) -> Result<Vec<String>> {
    let place = folder("container/prometheus");
    let file = place.join("prometheus.yml");
    let config = yaml(&file)?.remove(0);
    let mut faults = Vec::new();
    let jobs = list(at(&config, "scrape_configs"));
    let of = |job: &str| jobs.iter().find(|config| at(config, "job_name") == job).unwrap_or(&Value::Null);

    let collector = of("millrace-collector");
    let key = at(collector, "authorization/credentials_file").as_str().unwrap_or_default();
    if key.is_empty() {
        return Ok(vec!["prometheus.yml: the job millrace-collector has no authorization with a credentials_file".into()]);
    }
    let compose = yaml(&folder("container/compose.yaml"))?.remove(0);
    let service = |name: &str| at(&compose, &format!("services/{name}")).clone();
    faults.extend(must(texts(&service("prometheus-key")["command"]) == [key], format!("prometheus.yml: no service lays the key at {key}")));
    let keys = Path::new(key).parent().unwrap_or(Path::new("/")).display().to_string();
    let mounted = |name: &str| texts(&service(name)["volumes"]).iter().any(|volume| volume.starts_with(&format!("keys:{keys}")));
    faults.extend(must(mounted("prometheus") && mounted("prometheus-key"), format!("compose.yaml: the volume of keys is not at {keys}")));
    for target in texts(at(collector, "static_configs/0/targets")) {
        let there = target.split_once(':').is_some_and(|(host, port)| service(host).is_object() && port == "8080");
        faults.extend(must(there, format!("prometheus.yml: {target} is not the collector's API")));
    }

    // promtool looks for the files that are named.
    let scratch = tools::scratch()?;
    let key_here = scratch.join("key");
    fs::write(&key_here, "a key")?;
    let text =
        fs::read_to_string(&file)?.replace(key, &key_here.display().to_string()).replace("/etc/prometheus", &place.display().to_string());
    let here = scratch.join("prometheus.yml");
    fs::write(&here, text)?;
    tools.prometheus_config(&here)?;

    let sources = yaml(&folder("container/grafana/provisioning/datasources/prometheus.yml"))?;
    let host =
        at(&sources[0], "datasources/0/url").as_str().and_then(|url| url.strip_prefix("http://")).and_then(|url| url.split(':').next());
    faults.extend(must(host.is_some_and(|host| service(host).is_object()), "grafana: the data source is no service of compose.yaml"));
    let providers = yaml(&folder("container/grafana/provisioning/dashboards/millrace.yml"))?;
    let path = at(&providers[0], "providers/0/options/path").as_str().unwrap_or_default();
    let mounts = format!("./grafana/dashboards:{path}:ro");
    faults.extend(must(
        texts(&service("grafana")["volumes"]).contains(&mounts.as_str()),
        format!("compose.yaml: grafana does not mount {mounts}"),
    ));
    Ok(faults)
}

/// All series, and the code that makes them.
fn series() -> Result<(Series, String)> {
    let root = command::root();
    let (mut series, mut all) = (Series::new(), String::new());
    for file in files(&root.join("collector/src"), "rs")? {
        let code = fs::read_to_string(&file)?;
        names::of_macros(&code, &mut series);
        all.push_str(&code);
    }
    let gateway = fs::read_to_string(root.join("gateway/src/status/metrics.rs")).context("gateway/src/status/metrics.rs")?;
    names::of_exposition(&gateway, &mut series)?;
    Ok((series, all + &gateway))
}

/// The files below `folder` that end so.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
