//! `audit`: whether each gateway's books balance, as a table; asks the running server, or adds up the files if none runs.

use serde_json::Value;

use super::{CommandError, Format, ServerArgs, query};
use crate::{app, clock, config::Config, recount, twin::AuditView};

const COLUMNS: [&str; 10] = ["gateway", "taken", "stored", "lost", "lost_unknown", "twice", "late", "in_flight", "unaccounted", "verdict"];

pub(super) async fn audit(config: Config, server: &ServerArgs, format: Format) -> Result<(), CommandError> {
    let audits = match query::whom(&config, server)? {
        // Books are the gateways' to tell: without a server only what is here, and here twice, can be said.
        query::Whom::Files(_lock) => of_files(config).await?,
        query::Whom::Server(url) => {
            let answer: Value = query::get(&url, &config, "/api/v1/losses?limit=1&verify=true", server).await?;
            answer.get("audit").and_then(Value::as_array).cloned().unwrap_or_default()
        }
    };
    let rows = audits.iter().map(|audit| COLUMNS.iter().map(|name| audit.get(*name).cloned().unwrap_or(Value::Null)).collect());
    query::write(&query::Answer::of(&COLUMNS, rows.collect()), format, &mut std::io::stdout().lock())?;
    let is_wrong = |audit: &Value| audit["verdict"] == "unaccounted" || audit["twice"].as_u64().is_some_and(|twice| twice > 0);
    match audits.iter().any(is_wrong) {
        true => Err(CommandError::Failed("the books do not balance")),
        false => Ok(()),
    }
}

/// The caller holds the lock.
async fn of_files(config: Config) -> Result<Vec<Value>, CommandError> {
    let app = app::open_files(config, None).await?;
    let now = clock::now();
    recount::verify(&app, now).await?;
    let audits = app.auditor.audits(now);
    app.store.close().await;
    Ok(audits.iter().filter_map(|(id, audit)| serde_json::to_value(AuditView::of(id, audit)).ok()).collect())
}
