//! The programs that read the files of `deploy/` as those do which will use them: installed where they are missing, and asked.
//!
//! None of them needs a container engine or a cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{command, setup};

const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/shellcheck", "shellcheck"),
    ("/usr/lib/python3/dist-packages/yaml", "python3-yaml"),
    ("/usr/lib/python3/dist-packages/pip", "python3-pip"),
];
const COMPOSE_LIST: &str = "xtask/src/test/deploy/compose_requirements.txt";

/// Where they are.
pub struct Tools {
    python: PathBuf,
    compose: Option<Vec<String>>,
    promtool: PathBuf,
    has_kubectl: bool,
}

impl Tools {
    /// Installs what is missing.
    pub fn install() -> Result<Self> {
        setup::debian("the checks of deploy/", PACKAGES)?;
        let python = setup::python("xtask/src/test/deploy/requirements.txt", "deploy-python")?;
        // Not installed, since the package would start a Prometheus on this machine.
        let promtool = match is_there("promtool", "--version") {
            true => "promtool".into(),
            false => setup::out_of_package("prometheus", "usr/bin/promtool")?,
        };
        Ok(Self { python, compose: compose()?, promtool, has_kubectl: is_there("kubectl", "--help") })
    }

    /// Lints a Dockerfile.
    pub fn hadolint(&self, file: &Path) -> Result<()> {
        command::run(Command::new(self.python.join("bin/hadolint")).arg(file)).context("change what hadolint names")
    }

    pub fn shellcheck(files: &[PathBuf]) -> Result<()> {
        command::run(Command::new("shellcheck").arg("--severity=warning").args(files)).context("change what shellcheck names")
    }

    /// What compose makes of `files` with these profiles; `None` where there is no compose for this machine.
    pub fn compose(&self, folder: &Path, files: &[&str], profiles: &[&str]) -> Result<Option<Value>> {
        let Some(compose) = &self.compose else { return Ok(None) };
        let mut command = Command::new(&compose[0]);
        command.args(&compose[1..]).current_dir(folder);
        for file in files {
            command.args(["--file", file]);
        }
        for profile in profiles {
            command.args(["--profile", profile]);
        }
        // Only the defaults of the file itself.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MILLRACE_")) {
            command.env_remove(name);
        }
        let text = command::output(command.args(["--env-file", "/dev/null", "config", "--format", "json"]))?;
        Ok(Some(serde_json::from_str(&text)?))
    }

    /// Checks a configuration of Prometheus.
    pub fn prometheus_config(&self, file: &Path) -> Result<()> {
        command::output(Command::new(&self.promtool).args(["check", "config"]).arg(file)).map(drop)
    }

    /// Whether Prometheus understands these questions.
    pub fn promql(&self, questions: &[String]) -> Result<()> {
        let rules: Vec<Value> =
            questions.iter().enumerate().map(|(i, expr)| serde_json::json!({ "record": format!("question:{i}"), "expr": expr })).collect();
        let file = scratch()?.join("questions.yml");
        fs::write(&file, serde_json::json!({ "groups": [{ "name": "dashboards", "rules": rules }] }).to_string())?;
        command::output(Command::new(&self.promtool).args(["check", "rules"]).arg(&file)).map(drop)
    }

    /// Validates manifests against the schemas of the Kubernetes API; unknown fields are faults.
    pub fn kubernetes(&self, file: &Path) -> Result<()> {
        let mut command = Command::new("/usr/bin/python3");
        command.env("PYTHONPATH", &self.python).args(["-m", "kubernetes_validate", "--strict", "--quiet"]).arg(file);
        command::run(&mut command)
    }

    /// The manifests that `kubectl apply -k` would send; `None` where there is no kubectl.
    pub fn kustomize(&self, folder: &Path) -> Result<Option<String>> {
        if !self.has_kubectl {
            return Ok(None);
        }
        command::output(Command::new("kubectl").arg("kustomize").arg(folder)).map(Some)
    }
}

/// The documents of a YAML file.
pub fn yaml(file: &Path) -> Result<Vec<Value>> {
    const READ: &str = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1], encoding='utf-8'))), sys.stdout)";
    let text = command::output(Command::new("/usr/bin/python3").args(["-c", READ]).arg(file))?;
    Ok(serde_json::from_str(&text)?)
}

/// A folder for what is checked in another form than it is kept.
pub fn scratch() -> Result<PathBuf> {
    let folder = command::target_dir().join("deploy-check");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Docker's own, or one from PyPI.
fn compose() -> Result<Option<Vec<String>>> {
    if Command::new("docker").args(["compose", "version"]).output().is_ok_and(|o| o.status.success()) {
        return Ok(Some(vec!["docker".into(), "compose".into()]));
    }
    if std::env::consts::ARCH != "x86_64" {
        return Ok(None);
    }
    let folder = command::target_dir().join("deploy-compose");
    let program = folder.join("compose/docker-compose");
    if !program.exists() {
        let list = command::root().join(COMPOSE_LIST);
        let mut pip = Command::new("/usr/bin/python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"]);
        pip.args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "--upgrade"]);
        // The program in the package is static: neither Python's version nor the C library matter.
        pip.args(["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--platform", "manylinux_2_35_x86_64"]);
        command::run(pip.arg("--target").arg(&folder).arg("-r").arg(&list)).with_context(|| COMPOSE_LIST.to_owned())?;
    }
    // pip gives nothing but scripts the right to be run.
    let mut rights = fs::metadata(&program).with_context(|| program.display().to_string())?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
    fs::set_permissions(&program, rights)?;
    let Some(program) = program.to_str() else { bail!("the target folder's name must be UTF-8") };
    Ok(Some(vec![program.to_owned()]))
}

fn is_there(program: &str, question: &str) -> bool {
    Command::new(program).arg(question).output().is_ok_and(|output| output.status.success())
}
