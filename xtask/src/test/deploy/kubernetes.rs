//! The manifests: valid by the API's schemas, and true to the image and to each other.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    at,
    container::Image,
    folder, list, must, read, texts,
    tools::{self, Tools, yaml},
};
use crate::command;

pub fn faults(tools: &Tools, image: &Image) -> Result<Vec<String>> {
    let place = folder("kubernetes");
    let kustomization = yaml(&place.join("kustomization.yaml"))?.remove(0);
    let listed = texts(at(&kustomization, "resources"));
    let mut manifests = Vec::new();
    for file in &listed {
        tools.kubernetes(&place.join(file))?;
        manifests.extend(yaml(&place.join(file))?);
    }
    let mut faults = Vec::new();
    for entry in fs::read_dir(&place)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known = !name.ends_with(".yaml") || name == "kustomization.yaml" || listed.contains(&name.as_str());
        faults.extend(must(known, format!("kustomization.yaml does not list {name}")));
    }
    let tag = at(&kustomization, "images/0/newTag");
    faults.extend(must(
        tag == env!("CARGO_PKG_VERSION"),
        format!("kustomization.yaml: the image's tag is {tag}, not the workspace's version"),
    ));
    let settings: toml::Table = read("kubernetes/collector.toml")?.parse()?;
    let data_dir = settings["collector"]["data_dir"].as_str().unwrap_or_default();
    let routes = fs::read_to_string(command::root().join("collector/src/api/health.rs")).context("collector/src/api/health.rs")?;
    faults.extend(together(&manifests, image, data_dir, &routes));

    for with_tls in [false, true] {
        if let Some(sent) = rendered(tools, with_tls)? {
            let file = tools::scratch()?.join("kustomized.yaml");
            fs::write(&file, &sent)?;
            tools.kubernetes(&file)?;
            let probes = sent.matches("scheme: HTTPS").count();
            faults.extend(must(
                probes == if with_tls { 3 } else { 0 },
                format!("{probes} of the probes go by HTTPS (component tls: {with_tls})"),
            ));
        }
    }
    Ok(faults)
}

/// What `kubectl apply -k` would send, with or without the component `tls`; `None` where there is no kubectl.
pub fn rendered(tools: &Tools, with_tls: bool) -> Result<Option<String>> {
    let place = folder("kubernetes");
    if !with_tls {
        return tools.kustomize(&place);
    }
    // As the comment in kustomization.yaml says how.
    let copy = tools::scratch()?.join("kubernetes");
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(copy.join("tls"))?;
    for below in ["", "tls"] {
        for entry in fs::read_dir(place.join(below))? {
            let path = entry?.path();
            if path.is_file() {
                fs::copy(&path, copy.join(below).join(path.file_name().unwrap_or_default()))?;
            }
        }
    }
    let text = read("kubernetes/kustomization.yaml")?.replace("\n# components:", "\ncomponents:");
    fs::write(copy.join("kustomization.yaml"), text)?;
    tools.kustomize(&copy)
}

/// What the manifests say of each other, of the image, and of the collector's routes.
fn together(manifests: &[Value], image: &Image, data_dir: &str, routes: &str) -> Vec<String> {
    let of = |kind: &str| manifests.iter().filter(|manifest| at(manifest, "kind") == kind).collect::<Vec<_>>();
    let mut faults = Vec::new();
    faults.extend(must(of("Secret").is_empty(), "a Secret stands in the files"));
    let [set] = of("StatefulSet")[..] else { return vec!["there must be one StatefulSet".into()] };
    let pod = at(set, "spec/template/spec");
    let (container, init) = (at(pod, "containers/0"), at(pod, "initContainers/0"));

    let user = format!("{}:{}", at(pod, "securityContext/runAsUser"), at(pod, "securityContext/runAsGroup"));
    faults.extend(must(user == image.last("USER"), format!("the pod's user is {user}, the image's {}", image.last("USER"))));
    faults.extend(must(at(pod, "securityContext/runAsNonRoot") == true, "the pod may be root"));
    faults.extend(must(at(set, "spec/replicas") == 1, "two collectors would share nothing"));
    for (name, container) in [("init", init), ("collector", container)] {
        let is = |path: &str, wanted: bool| at(container, &format!("securityContext/{path}")) == wanted;
        faults.extend(must(is("readOnlyRootFilesystem", true), format!("{name}: its root can be written")));
        faults.extend(must(is("allowPrivilegeEscalation", false), format!("{name}: may get new privileges")));
        faults.extend(must(texts(at(container, "securityContext/capabilities/drop")) == ["ALL"], format!("{name}: keeps capabilities")));
        let mounted: Vec<&str> = list(at(container, "volumeMounts")).iter().filter_map(|m| at(m, "mountPath").as_str()).collect();
        faults.extend(must(mounted.contains(&image.last("VOLUME")), format!("{name}: the image's volume is not mounted")));
    }
    // The collector gives its folder to itself alone, which it may not do with the volume's root.
    let below = data_dir.strip_prefix(image.last("VOLUME")).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
    faults.extend(must(below, format!("data_dir is {data_dir}, which is not a folder below the image's volume")));

    let ports: BTreeSet<&str> = list(at(container, "ports")).iter().filter_map(|port| at(port, "name").as_str()).collect();
    let mut exposed: Vec<&str> = image.last("EXPOSE").split_whitespace().collect();
    exposed.retain(|port| !list(at(container, "ports")).iter().any(|known| at(known, "containerPort").as_u64() == port.parse().ok()));
    faults.extend(must(exposed.is_empty(), format!("the image's ports {exposed:?} are not the pod's")));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = at(container, &format!("{probe}/httpGet/path")).as_str().unwrap_or_default();
        faults.extend(must(routes.contains(&format!("path = \"{path}\"")), format!("{probe}: the collector has no route {path:?}")));
        let port = at(container, &format!("{probe}/httpGet/port")).as_str().unwrap_or_default();
        faults.extend(must(ports.contains(port), format!("{probe}: the pod has no port {port:?}")));
    }
    let labels = at(set, "spec/template/metadata/labels");
    let chosen =
        |selector: &Value| selector.as_object().is_some_and(|s| !s.is_empty() && s.iter().all(|(key, value)| &labels[key] == value));
    for service in of("Service") {
        let name = at(service, "metadata/name");
        faults.extend(must(chosen(at(service, "spec/selector")), format!("Service {name} selects no pod")));
        for port in list(at(service, "spec/ports")) {
            let target = at(port, "targetPort").as_str().unwrap_or_default();
            faults.extend(must(ports.contains(target), format!("Service {name}: the pod has no port {target:?}")));
        }
    }
    for policy in of("NetworkPolicy") {
        faults.extend(must(chosen(at(policy, "spec/podSelector/matchLabels")), "the NetworkPolicy selects no pod"));
    }
    faults
        .extend(must(of("Service").iter().any(|s| at(s, "metadata/name") == at(set, "spec/serviceName")), "serviceName names no Service"));
    faults
}
