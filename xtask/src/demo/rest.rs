//! The demo's view of the running processes: the collector's REST interface and the gateways' status.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A client of one HTTP server on this machine.
pub struct Rest {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
}

impl Rest {
    pub fn new(base: String, key: Option<String>) -> Self {
        Self::patient(base, key, Duration::from_secs(30))
    }

    /// One that gives up after `patience`.
    pub fn patient(base: String, key: Option<String>, patience: Duration) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false).build().into();
        Self { agent, base, key }
    }

    /// GET as JSON; any status but 200 is an error that shows the answer.
    pub fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.get(&url);
        if let Some(key) = &self.key {
            request = request.header("x-api-key", key);
        }
        answer(&url, request.call().with_context(|| format!("GET {url}"))?)
    }

    /// Rows of a SQL query.
    pub fn sql(&self, sql: &str) -> Result<Vec<Vec<Value>>> {
        let url = format!("{}/api/v1/sql", self.base);
        let request = self.agent.post(&url).header("x-api-key", self.key.as_deref().unwrap_or_default());
        let body = answer(&url, request.send_json(json!({ "sql": sql })).with_context(|| format!("POST {url}"))?)?;
        if body["truncated"] == true {
            bail!("the answer to {sql:?} was cut");
        }
        serde_json::from_value(body["rows"].clone()).with_context(|| format!("unexpected answer to {sql:?}: {body}"))
    }

    /// True once `GET path` answers 200.
    pub fn is_up(&self, path: &str) -> bool {
        self.agent.get(format!("{}{path}", self.base)).call().is_ok_and(|answer| answer.status() == 200)
    }
}

fn answer(url: &str, mut answer: ureq::http::Response<ureq::Body>) -> Result<Value> {
    let status = answer.status();
    let text = answer.body_mut().read_to_string()?;
    if status != 200 {
        bail!("{url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{url} did not answer JSON"))
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
