//! A machine gets another path: the history of both is one machine's from then on.

use axum::{Json, extract::State, http::StatusCode};
use kpi::{oee::Why, utc::Utc};
use protocol::{AssetPath, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::Admin,
    body::Body,
    history::wrong,
    problem::{Problem, ProblemField, Problems},
    registered::{all_right, known, new_id, put},
};
use crate::{
    app::App,
    clock,
    production::{
        Entry, OPEN, Rename,
        restate::{self, Restated},
    },
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "plant1/press-shop/line1/press-1", "to": "plant1/press-shop/line2/press-7", "at": "2026-01-05T06:00:00Z"}))]
pub struct RenameRequest {
    /// `site/area/line/machine`
    from: String,
    to: String,
    /// From here on the data come under the new path.
    at: Utc,
}

/// A machine with another path.
#[derive(Debug, Serialize, ToSchema)]
pub struct Renamed {
    from: String,
    to: String,
    at: Utc,
    by: String,
    restated: Vec<Restated>,
}

/// Rename a machine
///
/// From `at` on its data come under the new path. Questions for the new path are answered with the data of both, flagged `renamed`; those for the old
/// path with its own. The new path must have no data before `at`.
#[utoipa::path(post, path = "/api/v1/assets/rename", tag = "production", request_body = RenameRequest,
    responses((status = 201, body = Renamed), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn rename(
    State(app): State<App>,
    Admin(who): Admin,
    Body(body): Body<RenameRequest>,
) -> Result<(StatusCode, Json<Renamed>), Problem> {
    let from = known(&app, &body.from)?;
    let to = AssetPath::new(&body.to).map_err(|e| wrong("to", e.to_string()))?;
    let mut changing = app.production.changing().await;
    let (now, at) = (clock::now(), body.at.0);
    let mut faults = Vec::new();
    if at > now {
        faults.push(ProblemField { field: "at".into(), detail: "lies in the future".into() });
    }
    if let Err((field, detail)) = app.production.read(|relations| relations.check_rename(&from, &to, at)) {
        faults.push(ProblemField { field: field.into(), detail });
    }
    all_right(faults)?;
    if let Some(first) = first_data(&app, &to, at).await? {
        return Err(wrong("to", format!("has data of {}, before at: two machines can't be made one", Utc(first))));
    }
    let rename = Rename { from, to, at, by: who.name, registered_at: changing.at(now) };
    app.store.insert_rename(&rename).await?;
    app.production.change(|relations| relations.rename(rename.clone()));
    carry_run_over(&app, &rename).await?;
    app.twin.renamed(&rename);
    let why = Why::SettingsChanged { by: rename.by.clone(), at: rename.registered_at.into() };
    let names = app.production.read(|relations| relations.with_later_names(&rename.to));
    let restated = restate::at_once(&app, &names, TimeRange { from: at, to: now }, &why, now).await?;
    let Rename { from, to, by, .. } = rename;
    Ok((StatusCode::CREATED, Json(Renamed { from: from.to_string(), to: to.to_string(), at: body.at, by, restated })))
}

/// A product run that goes on goes on under the new path.
async fn carry_run_over(app: &App, rename: &Rename) -> Result<(), Problem> {
    let open = app.production.read(|relations| {
        let here = relations.runs.of(rename.from.as_str(), TimeRange { from: rename.at, to: OPEN });
        here.filter(|run| run.to().is_none() && run.range.from < rename.at).cloned().collect::<Vec<_>>()
    });
    for run in open {
        let ended = Entry { range: TimeRange { to: rename.at, ..run.range }, ..run.clone() };
        let range = TimeRange { from: rename.at, to: OPEN };
        let goes_on = Entry { id: new_id(), place: rename.to.to_string(), range, by: rename.by.clone(), at: rename.registered_at, ..run };
        put(app, |relations| &relations.runs, |relations| &mut relations.runs, &[ended, goes_on]).await?;
    }
    Ok(())
}

/// The oldest data of a path before `at`, if there are any.
async fn first_data(app: &App, path: &AssetPath, at: Timestamp) -> Result<Option<Timestamp>, Problem> {
    // A path holds nothing that means anything in a statement.
    let before = at.as_micros();
    let of = |table: &str, column: &str| {
        format!("SELECT min(CAST({column} AS BIGINT)) AS at FROM {table} WHERE asset = '{path}' AND CAST({column} AS BIGINT) < {before}")
    };
    let tables = [of("state_changes", "event_time"), of("part_counts", "from_time"), of("window_summaries", "window_start")];
    let rows = app.lake.sql(&format!("SELECT min(at) FROM ({})", tables.join(" UNION ALL "))).await?.rows;
    Ok(rows.first().and_then(|row| row.first()).and_then(serde_json::Value::as_i64).map(Timestamp))
}
