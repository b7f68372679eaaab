//! `status`: asks the running gateway's status page.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use gateway::config::Config;
use serde_json::Value;

/// Prints how the gateway is; exit code 1 if it does not run or is not healthy.
pub(super) async fn show(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let listen = config.status.context("the status page is switched off ([status] enabled = false)")?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let answer = client.get(format!("http://{listen}/status")).send().await;
    let body = answer.with_context(|| format!("no gateway answers on {listen}"))?.error_for_status()?.bytes().await?;
    let view: Value = serde_json::from_slice(&body).context("what answers there is no gateway")?;
    if json {
        println!("{}", serde_json::to_string_pretty(&view)?);
    } else {
        print(&view);
    }
    Ok(if view["healthy"].as_bool() == Some(true) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(view: &Value) {
    let text = |key: &str| view[key].as_str().unwrap_or("-").to_owned();
    let number = |key: &str| view[key].as_u64().unwrap_or(0);
    println!("gateway {} {} since {}", text("gateway"), text("version"), text("started_at"));
    for problem in view["problems"].as_array().into_iter().flatten() {
        println!("  PROBLEM: {}", problem.as_str().unwrap_or_default());
    }
    println!("  readings {}, lost {}, duplicates {}", number("readings_total"), number("dropped_total"), number("duplicates_total"));
    println!("  spool: {} entries wait, {} bytes on disk", number("backlog_entries"), number("spool_bytes"));
    println!(
        "  collector: {}, last answer {}",
        if view["connected"] == true { "connected" } else { "not connected" },
        text("last_upload_at")
    );
    if let Some(trouble) = view["upload_trouble"].as_str().filter(|t| !t.is_empty()) {
        println!("    {trouble}");
    }
    for source in view["sources"].as_array().into_iter().flatten() {
        let field = |key: &str| source[key].as_str().unwrap_or("-");
        let state = if source["connected"] == true { "connected" } else { "NOT connected" };
        println!("  source {} ({}): {state}, last data {} {}", field("name"), field("kind"), field("last_data_at"), field("error"));
    }
    for (reason, count) in view["losses"].as_object().into_iter().flatten() {
        println!("  lost by {reason}: {count}");
    }
}
