//! `status`: asks the running gateway's status page.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use gateway::config::Config;
use serde_json::Value;

/// Prints how the gateway is; exit code 1 if it does not run or is not healthy.
pub(super) async fn show(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let listen = config.status.context("the status page is switched off ([status] enabled = false)")?;
    // Plain HTTP on this machine. Without `tls_certs_only`, a system that has no certificates of authorities would be a reason to fail.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(5)).build()?;
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
    let upload = &view["upload"];
    let count = |key: &str| upload[key].as_u64().unwrap_or(0);
    println!(
        "  spool: {} entries wait ({} urgent), the oldest for {:.0} s; {} of {} bytes on disk in {} generations",
        number("backlog_entries"),
        count("backlog_urgent"),
        view["oldest_unsent_age_s"].as_f64().unwrap_or(0.0),
        number("spool_bytes"),
        number("spool_max_bytes"),
        number("spool_generations")
    );
    println!(
        "  collector: {}, last answer {}, breaker {}",
        if view["connected"] == true { "connected" } else { "not connected" },
        text("last_upload_at"),
        upload["breaker"].as_str().unwrap_or("-")
    );
    if let Some(trouble) = view["upload_trouble"].as_str().filter(|t| !t.is_empty()) {
        println!("    {trouble}");
    }
    if let Some(error) = upload["last_error"].as_str().filter(|e| !e.is_empty()) {
        println!("    last error {}: {error}", upload["last_error_at"].as_str().unwrap_or("-"));
    }
    if count("catch_up_entries") > 0 {
        let rate = upload["catch_up_rate"].as_f64().unwrap_or(0.0);
        println!("  catching up: {} entries left, {rate:.1} a second are taken", count("catch_up_entries"));
    }
    if count("dead_letters_total") > 0 {
        println!("  refused by the collector: {} entries, kept in the folder dead-letter", count("dead_letters_total"));
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
