//! Machines as they are now.

use axum::{Json, extract::State};
use protocol::AssetPath;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    condition, moment,
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{app::App, twin::AssetView};

/// A page of machines.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetPage {
    items: Vec<AssetView>,
    /// Give it as `cursor` to get the next page; `null` on the last.
    next: Option<String>,
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
    condition::complete(&app, &mut items);
    Ok(Json(AssetPage { items, next }))
}

/// 404 for a machine that was neither described nor heard of.
pub fn unknown(path: &AssetPath) -> Problem {
    Problem::not_found(format!("no machine {path} was described or heard of"))
}
