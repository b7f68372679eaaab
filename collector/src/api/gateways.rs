//! Gateways: what they say of themselves, what became of their batches, what the database knows of them.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use protocol::GatewayId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    moment,
    params::Params,
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    store::{GatewayRow, StoreError},
    tally::GatewayTally,
    twin::{GatewayState, GatewayView, Moment, SourceView, is_online},
};

/// All gateways: there are hundreds at most, so there is one page.
#[derive(Debug, Serialize, ToSchema)]
pub struct GatewayPage {
    items: Vec<GatewayView>,
    next: Option<String>,
}

/// List gateways
#[utoipa::path(get, path = "/api/v1/gateways", tag = "live", responses((status = 200, body = GatewayPage), Problems))]
pub async fn list(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<GatewayPage>, Problem> {
    let () = params.finish((Some(()),))?.0;
    Ok(Json(GatewayPage { items: views(&app).await?, next: None }))
}

/// Every gateway that is enrolled or was heard, in order of its id.
///
/// # Errors
/// [`StoreError`] if the database does not answer.
pub async fn views(app: &App) -> Result<Vec<GatewayView>, StoreError> {
    let rows = app.store.gateways().await?;
    let mut states = app.twin.gateways();
    let mut all: BTreeMap<GatewayId, (Option<GatewayRow>, GatewayState)> = BTreeMap::new();
    for row in rows {
        let state = states.remove(&row.gateway).unwrap_or_default();
        all.insert(row.gateway.clone(), (Some(row), state));
    }
    all.extend(states.into_iter().map(|(id, state)| (id, (None, state))));
    let moment = moment(app);
    Ok(all.into_iter().map(|(id, (row, state))| view(&id, row.as_ref(), state, app.tally.of(&id), moment)).collect())
}

fn view(id: &GatewayId, row: Option<&GatewayRow>, state: GatewayState, tally: GatewayTally, moment: Moment) -> GatewayView {
    let last_seen = state.last_seen.max(row.and_then(|r| r.last_seen));
    let skew_us = state.skew_us.or_else(|| row.and_then(|r| r.skew_us));
    let status = state.status.as_ref();
    GatewayView {
        gateway: id.to_string(),
        online: is_online(last_seen, moment.started_at, moment.now),
        last_seen: last_seen.map(Into::into),
        enrolled_at: row.map(|r| r.enrolled_at.into()),
        revoked_at: row.and_then(|r| r.revoked_at).map(Into::into),
        version: status.map(|s| s.version.clone()),
        boot_id: status.map(|s| format!("{:016x}", s.boot_id)),
        started_at: status.map(|s| s.started_at.into()),
        backlog_entries: status.map(|s| s.backlog_entries),
        spool_bytes: status.map(|s| s.spool_bytes),
        oldest_unsent_age_s: status.map(|s| s.oldest_unsent_age_ms as f64 / 1e3),
        skew_s: skew_us.map(|us| us as f64 / 1e6),
        time_quality: status.map(|s| s.time_quality.as_str()),
        readings_total: status.map(|s| s.readings_total),
        readings_stored: state.readings_stored,
        dropped_total: status.map(|s| s.dropped_total),
        losses: state.losses,
        duplicates_total: status.map(|s| s.duplicates_total),
        duplicate_batches: tally.duplicate_batches,
        batches: tally.batches,
        sources: status.map_or_else(Vec::new, |s| {
            s.sources
                .iter()
                .map(|source| SourceView {
                    name: source.name.clone(),
                    kind: source.kind.clone(),
                    connected: source.connected,
                    last_data_at: source.last_data_at.map(Into::into),
                    error: Some(source.error.clone()).filter(|e| !e.is_empty()),
                })
                .collect()
        }),
    }
}
