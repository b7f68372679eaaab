//! `health`: asks the running collector whether it does its work. Needs no key, so a container's health check can ask.

use std::time::Duration;

use serde::Deserialize;

use super::{CommandError, query, say};
use crate::config::Config;

/// Less than the patience of who asks: a container's health check has five seconds.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Ready {
    ready: bool,
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    part: String,
    cause: String,
}

pub(super) async fn health(config: &Config) -> Result<(), CommandError> {
    let url = query::own_address(config);
    let failed = |source| CommandError::Server { url: url.clone(), source };
    let mut client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    client = match config.api.tls {
        // It is asked by its address, which its certificate need not name, and is told nothing.
        Some(_) => client.tls_danger_accept_invalid_certs(true),
        None => client.tls_certs_only([]),
    };
    let response = client.build().map_err(failed)?.get(format!("{url}/health/ready")).send().await.map_err(failed)?;
    let status = response.status();
    let text = response.text().await.map_err(failed)?;
    // A server with too many requests under way answers otherwise, and so does another program that has the port.
    let Ok(Ready { ready, faults }) = serde_json::from_str(&text) else { return Err(query::refused(status, &text)) };
    if ready {
        return say("ready");
    }
    for Fault { part, cause } in faults {
        say(&format!("{part}: {cause}"))?;
    }
    Err(CommandError::Failed("the collector is not ready"))
}
