//! Why machines stood, as people say it: the catalogue, the registrations, and what they restated.

use axum::{Json, extract::State, http::StatusCode};
use kpi::{
    oee::{Catalogue, ReasonAssignment, ShiftRecord, StopReason, Why},
    utc::Utc,
};
use protocol::TimeRange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{Admin, Operator, Viewer},
    body::Body,
    history::{DAY_US, Scope},
    params::{Params, parsed},
    problem::{Problem, ProblemField, Problems},
    registered::{Listing, check_period, follow, known, new_id},
};
use crate::{
    app::App,
    clock, metrics,
    production::{
        Entry, Reason, Said,
        restate::{self, Restated},
    },
    store::StatementFilter,
};

/// A stop is split at the latest after this.
const MAX_STOP_US: i64 = 31 * DAY_US;
/// So much later than this clock says "now" may be elsewhere.
const CLOCK_AHEAD_US: i64 = 60_000_000;
/// A changed catalogue restates the shifts of so long.
const RESTATED_BACK_US: i64 = 7 * DAY_US;

/// The catalogue of stop reasons.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StopReasons)]
pub struct Reasons {
    items: Vec<StopReason>,
}

/// Stop reasons
///
/// A tree of codes; each is of one of the six big losses, or a planned stop. A plant that has stored none has the one that comes with the product.
#[utoipa::path(get, path = "/api/v1/stop-reasons", tag = "production", responses((status = 200, body = Reasons), Problems))]
pub async fn catalogue(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<Reasons>, Problem> {
    let () = params.finish((Some(()),))?.0;
    Ok(Json(Reasons { items: app.production.catalogue().reasons().to_vec() }))
}

/// Replace the stop reasons
///
/// All of them. A code that stops were registered with stays: set `retired`, then it is not offered any more. The shifts of the last seven days are
/// restated in the background.
#[utoipa::path(put, path = "/api/v1/stop-reasons", tag = "production", request_body = Reasons,
    responses((status = 200, body = Reasons), Problems))]
pub async fn set_catalogue(State(app): State<App>, Admin(who): Admin, Body(body): Body<Reasons>) -> Result<Json<Reasons>, Problem> {
    let catalogue = Catalogue::new(body.items.clone()).map_err(|errors| {
        let renamed = |field: String| field.strip_prefix("reasons").map_or(field.clone(), |rest| format!("items{rest}"));
        Problem::invalid(errors.into_iter().map(|e| ProblemField { field: renamed(e.field), detail: e.detail }).collect())
    })?;
    let mut changing = app.production.changing().await;
    let now = clock::now();
    let missing = app.production.read(|relations| {
        let codes = relations.reasons.all().filter_map(|entry| entry.what.reason.clone());
        codes.filter(|code| catalogue.get(code).is_none()).collect::<std::collections::BTreeSet<_>>()
    });
    if !missing.is_empty() {
        let fault = |code: String| ProblemField {
            field: "items".into(),
            detail: format!("stops are registered with {code:?}, which is left out: keep it and set retired"),
        };
        return Err(Problem::invalid(missing.into_iter().take(20).map(fault).collect()));
    }
    let at = changing.at(now);
    app.store.set_stop_reasons(&body.items, &who.name, at).await?;
    app.production.change(|relations| relations.set_catalogue(catalogue));
    app.twin.set_catalogue(app.production.catalogue());
    let machines: Vec<_> = app.twin.newest_data().into_iter().map(|(path, _)| path).collect();
    let range = TimeRange { from: now.plus_micros(-RESTATED_BACK_US), to: now };
    restate::soon(&app, &machines, range, &Why::SettingsChanged { by: who.name, at: at.into() }, now);
    Ok(Json(body))
}

/// Why a machine stood, as a person said it. Never changed or deleted: a later one counts over it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Assignment {
    id: String,
    asset: String,
    from: Utc,
    to: Utc,
    /// A code of the catalogue; `null` takes back what was registered before.
    reason: Option<String>,
    /// The name of the key.
    by: String,
    /// When it was registered.
    at: Utc,
    comment: String,
}

impl From<&Entry<Reason>> for Assignment {
    fn from(entry: &Entry<Reason>) -> Self {
        Self {
            id: entry.id.clone(),
            asset: entry.place.clone(),
            from: entry.range.from.into(),
            to: entry.range.to.into(),
            reason: entry.what.reason.clone(),
            by: entry.by.clone(),
            at: entry.at.into(),
            comment: entry.what.comment.clone(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AssignmentList {
    items: Vec<Assignment>,
    next_cursor: Option<String>,
}

/// Registered stop reasons
///
/// Those that share time with the period, the newest first; also those that another one counts over.
#[utoipa::path(get, path = "/api/v1/stop-reason-assignments", tag = "production",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 7 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 200 if not given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = AssignmentList), Problems))]
pub async fn list(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<AssignmentList>, Problem> {
    let listing = Listing::read(params, clock::now(), 7 * DAY_US)?;
    let (found, next_cursor) = listing.page(listing.find(&app, |relations| &relations.reasons));
    Ok(Json(AssignmentList { items: found.iter().map(Assignment::from).collect(), next_cursor }))
}

/// Why a machine stood.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"asset": "plant1/press-shop/line1/press-1", "from": "2026-01-05T07:10:00Z", "to": "2026-01-05T07:40:00Z",
    "reason": "tool_change", "comment": "punch 3"}))]
pub struct Assign {
    asset: String,
    from: Utc,
    to: Utc,
    /// A code of the catalogue; `null` takes back what was registered before.
    #[serde(deserialize_with = "Option::deserialize")]
    reason: Option<String>,
    #[serde(default)]
    comment: String,
}

/// What was registered, and what it changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Assigned {
    assignment: Assignment,
    /// The shifts that had been stated, and of which a figure changed.
    restated: Vec<Restated>,
}

/// Register a stop reason
///
/// It holds from `from` to `to`, over what was registered before and over what the machine said. To split a stop register another for a part of
/// it. What shifts had stated is restated at once, with its history; the running shift follows.
#[utoipa::path(post, path = "/api/v1/stop-reason-assignments", tag = "production", request_body = Assign,
    responses((status = 201, body = Assigned), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn assign(
    State(app): State<App>,
    Operator(who): Operator,
    Body(body): Body<Assign>,
) -> Result<(StatusCode, Json<Assigned>), Problem> {
    let asset = known(&app, &body.asset)?;
    let mut changing = app.production.changing().await;
    let now = clock::now();
    // A stop that goes on is told of up to now, by a clock that may be a little ahead.
    let to = if body.to.0 <= now.plus_micros(CLOCK_AHEAD_US) { body.to.0.min(now) } else { body.to.0 };
    let (range, at) = (TimeRange { from: body.from.0, to }, changing.at(now));
    let id = new_id();
    let assignment =
        ReasonAssignment { id: id.clone(), range, reason: body.reason.clone(), by: who.name.clone(), at, comment: body.comment.clone() };
    assignment.check(&app.production.catalogue(), now)?;
    let mut faults = Vec::new();
    check_period(range.from, Some(range.to), now, MAX_STOP_US, &mut faults);
    super::registered::all_right(faults)?;
    let entry =
        Entry { id, place: asset.to_string(), range, by: who.name, at, what: Reason { reason: body.reason, comment: body.comment } };
    let surplus = app.production.read(|relations| relations.reasons.surplus());
    app.store.register(&[&entry], surplus.as_deref()).await?;
    app.production.change(|relations| {
        if surplus.and_then(|id| relations.reasons.remove(&id)).is_some() {
            metrics::registration_dropped(Reason::KIND);
        }
        relations.reasons.put(entry.clone());
    });
    let why = Why::StopReason {
        registration: entry.id.clone(),
        by: entry.by.clone(),
        at: at.into(),
        reason: entry.what.reason.clone(),
        comment: entry.what.comment.clone(),
    };
    let restated = follow(&app, &Scope::Machine(asset), range, &why, now).await?;
    Ok((StatusCode::CREATED, Json(Assigned { assignment: Assignment::from(&entry), restated })))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RestatementList {
    items: Vec<ShiftItem>,
    next_cursor: Option<String>,
}

/// The figures of one shift of one machine, with their history.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShiftItem {
    asset: String,
    /// Its name.
    shift: String,
    record: ShiftRecord,
}

/// Restated shifts
///
/// The newest first. Each with the figures as they stand, and what every figure was before, when it was restated, why, and by whom.
#[utoipa::path(get, path = "/api/v1/restatements", tag = "production",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 7 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("all" = Option<bool>, Query, description = "Also shifts that were stated once and never changed"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 200 if not given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = RestatementList), Problems))]
pub async fn restatements(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<RestatementList>, Problem> {
    let listing = Listing::parts(&mut params, clock::now(), 7 * DAY_US);
    let all = params.optional("all", parsed::<bool>);
    let (listing, all) = params.finish((listing, all))?;
    let places = match &listing.scope {
        Scope::Machine(asset) => {
            app.production.lineage(asset, listing.range).into_iter().map(|(path, part)| (path.to_string(), part)).collect()
        }
        Scope::Below(prefix) => vec![(prefix.clone(), listing.range)],
    };
    let (mut found, names) = (Vec::new(), places.len());
    // The newest name first: of the shift in which a machine was renamed its statement counts.
    for (scope, range) in places.into_iter().rev() {
        let filter = StatementFilter { scope, range, restated: all != Some(true), skip: 0, limit: listing.skip + listing.limit + 1 };
        found.extend(app.store.statements(&filter).await?);
    }
    if names > 1 {
        found.sort_by_key(|statement| std::cmp::Reverse(statement.range.from));
        found.dedup_by_key(|statement| statement.range.from);
    }
    let (found, next_cursor) = listing.page(found);
    let item = |statement: crate::store::Statement| ShiftItem {
        asset: statement.asset.to_string(),
        shift: statement.shift,
        record: statement.record,
    };
    Ok(Json(RestatementList { items: found.into_iter().map(item).collect(), next_cursor }))
}
