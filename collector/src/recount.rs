//! What the lake holds of each gateway, added up from its rows; and whether anything is there twice.
//!
//! Beside the way of the data: at a start, and now and then in the background. Reckoned from rows alone, so that it can contradict the gateways.

use std::collections::BTreeMap;

use lake::LakeError;
use protocol::{GatewayId, LossReason, Timestamp};
use serde_json::Value;

use crate::{app::App, audit::Counts};

/// The same reading in two rows: nothing but a fault of ours can bring that about.
const TWICE: &str = "SELECT gateway, sum(surplus) AS twice FROM (SELECT gateway, sum(count) - max(count) AS surplus FROM window_summaries \
     GROUP BY gateway, stream, seq, asset, signal, window_start, correction HAVING count(*) > 1) GROUP BY gateway";

/// Fills the accounts from the rows. Before the first batch is taken: what comes later is added as it comes.
///
/// # Errors
/// [`LakeError`].
pub async fn counts(app: &App) -> Result<(), LakeError> {
    let mut counts: BTreeMap<GatewayId, Counts> = BTreeMap::new();
    let stored = app.lake.sql("SELECT gateway, sum(count) AS stored FROM window_summaries GROUP BY gateway").await?;
    for row in &stored.rows {
        let [gateway, stored] = row.as_slice() else { continue };
        if let Some(gateway) = id(gateway) {
            counts.entry(gateway).or_default().stored = stored.as_u64().unwrap_or(0);
        }
    }
    let lost = app
        .lake
        .sql("SELECT gateway, reason, sum(count) AS lost, sum(CASE WHEN count = 0 THEN 1 ELSE 0 END) AS unknown FROM losses GROUP BY gateway, reason")
        .await?;
    for row in &lost.rows {
        let [gateway, reason, lost, unknown] = row.as_slice() else { continue };
        if let (Some(gateway), Some(reason)) = (id(gateway), reason.as_str().and_then(LossReason::from_name)) {
            counts.entry(gateway).or_default().lose(reason, lost.as_u64().unwrap_or(0), unknown.as_u64().unwrap_or(0));
        }
    }
    for (gateway, counts) in counts {
        app.auditor.recount(&gateway, counts);
    }
    Ok(())
}

/// Looks for readings that are stored more than once.
///
/// # Errors
/// [`LakeError`]; a lake that is too large for the limits of a question is one of them.
pub async fn verify(app: &App, now: Timestamp) -> Result<(), LakeError> {
    let rows = app.lake.sql(TWICE).await?.rows;
    let twice = rows.iter().filter_map(|row| Some((id(row.first()?)?, row.get(1)?.as_u64()?))).collect::<BTreeMap<_, _>>();
    for (gateway, readings) in &twice {
        tracing::error!(%gateway, readings, "readings are stored more than once");
    }
    app.auditor.found_twice(&twice);
    tracing::debug!(at = now.as_micros(), gateways = twice.len(), "looked for what is stored twice");
    Ok(())
}

fn id(value: &Value) -> Option<GatewayId> {
    GatewayId::new(value.as_str()?).ok()
}
