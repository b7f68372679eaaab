//! The collector's process and its place on disk: set up, started, killed, started again, asked.
//!
//! Invariant: the process does not outlive its value.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use collector::{config::Config, enroll, pki::Pki, store::Store};
use protocol::GatewayId;
use serde_json::{Value, json};

use super::report::{Bounds, Stored};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);
const TOKEN_LASTS: Duration = Duration::from_secs(3_600);

pub struct Site {
    pub folder: PathBuf,
    program: PathBuf,
    file: PathBuf,
    log: PathBuf,
    api: SocketAddr,
    pub uplink: SocketAddr,
    key: String,
    http: reqwest::Client,
    child: Option<Child>,
}

impl Site {
    /// Makes the collector's place below `folder`, which must be empty or not there.
    pub fn prepare(program: PathBuf, folder: &Path) -> Result<Self> {
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is not empty", folder.display());
        }
        fs::create_dir_all(folder)?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (api, uplink) = (free_port()?, free_port()?);
        let (file, data) = (folder.join("collector.toml"), folder.join("collector"));
        let text = format!(
            "[collector]\ndata_dir = {data:?}\n[api]\nlisten = \"{api}\"\n[uplink]\nlisten = \"{uplink}\"\nadvertise = \"https://{uplink}\"\n"
        );
        fs::write(&file, text)?;
        let init = Command::new(&program).arg("init").arg("--config").arg(&file).stdin(Stdio::null()).output();
        let init = init.with_context(|| format!("cannot start {}: build it, or name it with --collector", program.display()))?;
        let said = String::from_utf8_lossy(&init.stdout);
        let key = said.lines().find_map(|line| line.trim().strip_prefix("admin key:")).map(|key| key.trim().to_owned());
        let key = key.with_context(|| format!("`init` showed no admin key: {said}{}", String::from_utf8_lossy(&init.stderr)))?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { folder: folder.into(), program, file, log: folder.join("collector.log"), api, uplink, key, http, child: None })
    }

    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    pub fn uplink_url(&self) -> String {
        format!("https://{}", self.uplink)
    }

    fn config(&self) -> Result<Config> {
        Ok(Config::load(&self.file)?)
    }

    /// A token for each gateway, made while the collector does not run.
    pub async fn tokens(&self, ids: &[String]) -> Result<Vec<String>> {
        let config = self.config()?;
        let pki = Pki::open(&config.in_data_dir("pki"))?;
        let store = Store::open(&config.in_data_dir("collector.db")).await?;
        let mut tokens = Vec::with_capacity(ids.len());
        for id in ids {
            let gateway = GatewayId::new(id).map_err(|error| anyhow::anyhow!("{error}"))?;
            tokens.push(enroll::create_token(&store, &pki, &self.uplink_url(), &gateway, TOKEN_LASTS).await?);
        }
        store.close().await;
        Ok(tokens)
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(["--log-format", "json", "run", "--config"]).arg(&self.file);
        // A process group of its own: Ctrl-C reaches this program alone, which ends the other.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?);
        let begun = Instant::now();
        while !self.is_ready().await {
            self.check()?;
            if begun.elapsed() > START {
                bail!("the collector was not ready within {} s; its log: {}", START.as_secs(), self.tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/health/ready", self.api_url())).send().await;
        answer.is_ok_and(|answer| answer.status().as_u16() == 200)
    }

    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// An error if the process has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait()? {
            Some(status) => bail!("the collector ended by itself ({status}); its log: {}", self.tail()),
            None => Ok(()),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the collector runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the collector runs")?;
        let asked = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
        let begun = Instant::now();
        while asked.as_ref().is_ok_and(std::process::ExitStatus::success) && begun.elapsed() < STOP {
            if let Some(status) = child.try_wait()? {
                return if status.success() { Ok(()) } else { bail!("the collector ended with {status}; its log: {}", self.tail()) };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill()?;
        child.wait()?;
        bail!("the collector did not end within {} s after SIGTERM", STOP.as_secs());
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Every alarm that was raised in either of its runs, by its log: `offline of fleet-0001: not heard for 16 s`.
    pub fn alarms(&self) -> Result<Vec<(String, String)>> {
        let text = fs::read_to_string(&self.log)?;
        let alarm = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            let is_one = event["message"] == "alarm of a gateway" && event["raised"] == true;
            let text = |key: &str| event[key].as_str().map(str::to_owned);
            is_one.then_some((text("kind")?, format!("{}: {}", text("gateway")?, text("detail")?)))
        };
        Ok(text.lines().filter_map(alarm).collect())
    }

    /// The bounds that its configuration sets.
    pub fn bounds(&self) -> Result<Bounds> {
        let config = self.config()?;
        Ok(Bounds {
            queued_batches: config.uplink.max_queued_batches as u64,
            connections: config.uplink.max_connections as u64,
            handshakes: config.uplink.max_handshakes as u64,
            hot_rows: config.lake.max_hot_rows as u64,
            journal_bytes: config.journal.max_bytes,
        })
    }

    /// What it holds of each gateway, and what it says of the books.
    pub async fn stored(&self) -> Result<Stored> {
        let readings = self.counts("SELECT gateway, SUM(\"count\") FROM window_summaries GROUP BY gateway").await?;
        let twice = "SELECT gateway, SUM(n * (times - 1)) FROM (SELECT gateway, SUM(\"count\") / COUNT(*) AS n, COUNT(*) AS times \
                     FROM window_summaries GROUP BY gateway, stream, seq, asset, signal, window_start, correction HAVING COUNT(*) > 1) \
                     GROUP BY gateway";
        let twice = self.counts(twice).await?;
        // A loss of unknown count is one, too.
        let losses = self.counts("SELECT gateway, COUNT(*) FROM losses GROUP BY gateway").await?;
        let mut stored = Stored { readings, twice, losses, ..Stored::default() };
        let page = self.get("/api/v1/gateways").await?;
        for gateway in page["items"].as_array().into_iter().flatten() {
            let Some(id) = gateway["gateway"].as_str() else { continue };
            let verdict = gateway["audit"]["verdict"].as_str().unwrap_or("unknown");
            stored.verdicts.insert(id.to_owned(), verdict.to_owned());
            for alarm in gateway["alarms"].as_array().into_iter().flatten() {
                stored.standing.push(format!("{id}: {}", alarm["kind"].as_str().unwrap_or("?")));
            }
        }
        Ok(stored)
    }

    async fn counts(&self, sql: &str) -> Result<BTreeMap<String, u64>> {
        let request = self.http.post(format!("{}/api/v1/sql", self.api_url())).header("x-api-key", &self.key).json(&json!({ "sql": sql }));
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        if answer["truncated"] == true {
            bail!("the answer to {sql:?} was cut");
        }
        let rows: Vec<(String, f64)> =
            serde_json::from_value(answer["rows"].clone()).with_context(|| format!("unexpected answer to {sql:?}: {answer}"))?;
        Ok(rows.into_iter().map(|(id, count)| (id, count as u64)).collect())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.api_url())).header("x-api-key", &self.key);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
