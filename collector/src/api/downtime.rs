//! Time in which the plan holds no production: of machines, and of what lies above them.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use kpi::{
    oee::{DowntimeKind, Why},
    utc::Utc,
};
use protocol::TimeRange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{Operator, Viewer},
    body::Body,
    history::{DAY_US, Scope, wrong},
    params::Params,
    problem::{Problem, Problems},
    registered::{
        Listing, TakenBack, affected, all_right, check_period, check_text, follow, known, new_id, put, remove, taken_back, times,
    },
};
use crate::{
    app::App,
    clock,
    production::{Downtime, Entry, restate::Restated},
};

const MAX_NAME: usize = 200;
/// The longest that is taken.
const MAX_DOWNTIME_US: i64 = 366 * DAY_US;
/// It may lie so far ahead.
const AHEAD_US: i64 = 2 * 366 * DAY_US;

/// Time in which the plan holds no production.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlannedDowntimeItem)]
pub struct PlannedDowntime {
    id: String,
    /// A machine, or what lies above it.
    asset: String,
    from: Utc,
    to: Utc,
    kind: DowntimeKind,
    name: String,
    by: String,
    at: Utc,
}

impl From<&Entry<Downtime>> for PlannedDowntime {
    fn from(entry: &Entry<Downtime>) -> Self {
        Self {
            id: entry.id.clone(),
            asset: entry.place.clone(),
            from: entry.range.from.into(),
            to: entry.range.to.into(),
            kind: entry.what.kind,
            name: entry.what.name.clone(),
            by: entry.by.clone(),
            at: entry.at.into(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PlannedDowntimeList {
    items: Vec<PlannedDowntime>,
    next_cursor: Option<String>,
}

/// Planned downtime
///
/// What holds for a machine, or for anything within a scope, and shares time with the period; the newest first.
#[utoipa::path(get, path = "/api/v1/planned-downtime", tag = "production",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 37 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; 30 days from now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 200 if not given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = PlannedDowntimeList), Problems))]
pub async fn downtimes(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<PlannedDowntimeList>, Problem> {
    let listing = Listing::read(params, clock::now().plus_micros(30 * DAY_US), 37 * DAY_US)?;
    let (found, next_cursor) = listing.page(listing.find(&app, |relations| &relations.downtime));
    Ok(Json(PlannedDowntimeList { items: found.iter().map(PlannedDowntime::from).collect(), next_cursor }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"asset": "plant1/press-shop/line1", "from": "2026-01-05T10:00:00Z", "to": "2026-01-05T11:00:00Z", "kind": "maintenance",
    "name": "Oil change"}))]
pub struct NewDowntime {
    /// A machine, or what lies above it.
    asset: String,
    from: Utc,
    to: Utc,
    kind: DowntimeKind,
    name: String,
}

/// What was registered, and what it changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DowntimeAdded {
    planned_downtime: PlannedDowntime,
    restated: Vec<Restated>,
}

/// Register planned downtime
///
/// Of a machine, a line, an area or a site. It counts over everything else, also over time without data.
#[utoipa::path(post, path = "/api/v1/planned-downtime", tag = "production", request_body = NewDowntime,
    responses((status = 201, body = DowntimeAdded), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn add_downtime(
    State(app): State<App>,
    Operator(who): Operator,
    Body(body): Body<NewDowntime>,
) -> Result<(StatusCode, Json<DowntimeAdded>), Problem> {
    let scope: Scope = body.asset.parse().map_err(|e: String| wrong("asset", e))?;
    match &scope {
        Scope::Machine(asset) => _ = known(&app, asset.as_str())?,
        Scope::Below(_) if affected(&app, &scope).is_empty() => {
            return Err(Problem::not_found(format!("no machine is known below {scope}")));
        }
        Scope::Below(_) => {}
    }
    let mut changing = app.production.changing().await;
    let now = clock::now();
    let range = TimeRange { from: body.from.0, to: body.to.0 };
    let mut faults = Vec::new();
    check_period(range.from, Some(range.to), now.plus_micros(AHEAD_US), MAX_DOWNTIME_US, &mut faults);
    check_text("name", &body.name, MAX_NAME, &mut faults);
    all_right(faults)?;
    let what = Downtime { kind: body.kind, name: body.name };
    let entry = Entry { id: new_id(), place: scope.to_string(), range, by: who.name, at: changing.at(now), what };
    put(&app, |relations| &relations.downtime, |relations| &mut relations.downtime, std::slice::from_ref(&entry)).await?;
    let why = Why::PlanChanged { by: entry.by.clone(), at: entry.at.into() };
    let restated = follow(&app, &scope, range, &why, now).await?;
    Ok((StatusCode::CREATED, Json(DowntimeAdded { planned_downtime: PlannedDowntime::from(&entry), restated })))
}

/// Take planned downtime back
#[utoipa::path(delete, path = "/api/v1/planned-downtime/{id}", tag = "production", params(("id" = String, Path, description = "Of the downtime")),
    responses((status = 200, body = TakenBack), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn delete_downtime(State(app): State<App>, Operator(who): Operator, Path(id): Path<String>) -> Result<Json<TakenBack>, Problem> {
    let mut changing = app.production.changing().await;
    let entry = remove(&app, |relations| &mut relations.downtime, &id).await?;
    let (now, at) = times(&mut changing);
    let why = Why::PlanChanged { by: who.name, at: at.into() };
    taken_back(&app, &entry.place, entry.range, &why, now).await
}
