//! Machines as they are now.

use axum::{
    Json,
    extract::{Path, State},
};
use protocol::AssetPath;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    gateways, moment,
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    twin::{AssetView, GatewayView},
};

/// A page of machines.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetPage {
    items: Vec<AssetView>,
    /// Give it as `cursor` to get the next page; `null` on the last.
    next: Option<String>,
}

/// A machine and the gateway that reports it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TwinView {
    #[serde(flatten)]
    asset: AssetView,
    gateway_status: Option<GatewayView>,
}

/// List machines
///
/// In order of their paths, each with its live state and the OEE of its shift so far.
#[utoipa::path(get, path = "/api/v1/assets", tag = "live",
    params(("limit" = Option<usize>, Query, description = "1 to 1000, 200 if not given"),
           ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = AssetPage), Problems))]
pub async fn list(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<AssetPage>, Problem> {
    let limit = params.limit(200, 1_000);
    // The cursor is the last path: pages stay right when machines come in between.
    let cursor = params.optional("cursor", parsed::<AssetPath>);
    let (limit, cursor) = params.finish((limit, cursor))?;
    let mut items = app.twin.assets(cursor.as_ref(), limit + 1, moment(&app));
    let next = (items.len() > limit).then(|| items.truncate(limit)).and_then(|()| items.last().map(|last| last.asset.clone()));
    Ok(Json(AssetPage { items, next }))
}

/// Live twin of a machine
#[utoipa::path(get, path = "/api/v1/industry40/twin/{device_id}", tag = "live",
    params(("device_id" = String, Path, description = "`site/area/line/machine`, URL-encoded")),
    responses((status = 200, body = TwinView), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn twin(State(app): State<App>, _: Viewer, Path(device): Path<String>) -> Result<Json<TwinView>, Problem> {
    let path = AssetPath::new(&device).map_err(|e| Problem::bad_request(e.to_string()))?;
    let asset = app.twin.asset(&path, moment(&app)).ok_or_else(|| unknown(&path))?;
    let gateway_status = match &asset.gateway {
        Some(id) => gateways::views(&app).await?.into_iter().find(|g| g.gateway == *id),
        None => None,
    };
    Ok(Json(TwinView { asset, gateway_status }))
}

/// 404 for a machine that was neither described nor heard of.
pub fn unknown(path: &AssetPath) -> Problem {
    Problem::not_found(format!("no machine {path} was described or heard of"))
}
