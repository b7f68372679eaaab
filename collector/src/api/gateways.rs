//! Gateways: what they say of themselves, what became of their batches, what the database knows of them.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use protocol::{GatewayId, HeldStream};
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
    local,
    store::{GatewayRow, StoreError},
    tally::GatewayTally,
    twin::{AlarmView, AuditView, GatewayState, GatewayView, GenerationView, Moment, Presence, SourceView},
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
    let (audits, alarms) = (app.auditor.audits(moment.now), app.alarms.lock().clone());
    let known = |id: &GatewayId| Known {
        tally: app.tally.of(id),
        alarms: alarms.of(id).iter().map(AlarmView::of).collect(),
        audit: audits.get(id).map(|audit| AuditView::of(id, audit)),
    };
    Ok(all.into_iter().map(|(id, (row, state))| view(&id, row.as_ref(), state, known(&id), moment)).collect())
}

/// What others know of a gateway.
struct Known {
    tally: GatewayTally,
    alarms: Vec<AlarmView>,
    audit: Option<AuditView>,
}

fn generation(held: &HeldStream) -> GenerationView {
    let lane = if held.stream.lane() == protocol::URGENT { "urgent" } else { "data" };
    GenerationView { generation: format!("{:016x}", held.stream.generation()), lane, first: held.first, acked: held.acked, next: held.next }
}

fn view(id: &GatewayId, row: Option<&GatewayRow>, state: GatewayState, known: Known, moment: Moment) -> GatewayView {
    let Known { tally, alarms, audit } = known;
    let last_seen = state.last_seen.max(row.and_then(|r| r.last_seen));
    let skew_us = tally.skew.median_us().or_else(|| row.and_then(|r| r.skew_us));
    let status = state.status.as_ref();
    GatewayView {
        gateway: id.to_string(),
        online: local::is_local(id) || Presence { last_seen, excused_until: state.excused_until }.is_online(moment.started_at, moment.now),
        last_seen: last_seen.map(Into::into),
        enrolled_at: row.map(|r| r.enrolled_at.into()),
        revoked_at: row.and_then(|r| r.revoked_at).map(Into::into),
        version: status.map(|s| s.version.clone()),
        boot_id: status.map(|s| format!("{:016x}", s.boot_id)),
        started_at: status.map(|s| s.started_at.into()),
        backlog_entries: status.map(|s| s.backlog_entries),
        spool_bytes: status.map(|s| s.spool_bytes),
        spool_max_bytes: status.map(|s| s.spool_max_bytes),
        written_today_bytes: status.map(|s| s.written_today_bytes),
        durable: status.map(|s| s.durable),
        oldest_unsent_age_s: status.map(|s| s.oldest_unsent_age_ms as f64 / 1e3),
        skew_s: skew_us.map(|us| us as f64 / 1e6),
        skew_us,
        time_quality: status.map(|s| s.time_quality.as_str()),
        readings_total: status.map(|s| s.readings_total),
        readings_stored: state.readings_stored,
        dropped_total: status.map(|s| s.dropped_total),
        losses: state.losses,
        duplicates_total: status.map(|s| s.duplicates_total),
        duplicate_batches: tally.duplicate_batches,
        batches: tally.batches,
        generations: status.map_or_else(Vec::new, |s| s.streams.iter().map(generation).collect()),
        known_generations: tally.generations,
        alarms,
        audit,
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
