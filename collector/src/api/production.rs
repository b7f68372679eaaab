//! What is made when: product runs and changeovers of machines.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use kpi::{oee::Why, utc::Utc};
use protocol::TimeRange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{Operator, Viewer},
    body::Body,
    history::{DAY_US, Scope},
    params::Params,
    problem::{Problem, ProblemField, Problems},
    registered::{Listing, TakenBack, all_right, check_period, check_text, follow, known, new_id, put, remove, taken_back, times, told},
};
use crate::{
    app::App,
    clock,
    production::{Change, Entry, OPEN, Run, restate::Restated},
};

const MAX_NAME: usize = 200;
const MAX_RUN_US: i64 = 366 * DAY_US;

/// A machine was to make a product.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductRun {
    id: String,
    asset: String,
    product: String,
    order: String,
    from: Utc,
    /// `null` while it goes on.
    to: Option<Utc>,
    by: String,
    at: Utc,
}

impl From<&Entry<Run>> for ProductRun {
    fn from(entry: &Entry<Run>) -> Self {
        Self {
            id: entry.id.clone(),
            asset: entry.place.clone(),
            product: entry.what.product.clone(),
            order: entry.what.order.clone(),
            from: entry.range.from.into(),
            to: entry.to().map(Into::into),
            by: entry.by.clone(),
            at: entry.at.into(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProductRunList {
    items: Vec<ProductRun>,
    next_cursor: Option<String>,
}

/// Product runs
///
/// Those that share time with the period, the newest first.
#[utoipa::path(get, path = "/api/v1/product-runs", tag = "production",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 7 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 200 if not given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = ProductRunList), Problems))]
pub async fn runs(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<ProductRunList>, Problem> {
    let listing = Listing::read(params, clock::now(), 7 * DAY_US)?;
    let (found, next_cursor) = listing.page(listing.find(&app, |relations| &relations.runs));
    Ok(Json(ProductRunList { items: found.iter().map(ProductRun::from).collect(), next_cursor }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"asset": "plant1/press-shop/line1/press-1", "product": "P-100", "from": "2026-01-05T06:00:00Z", "to": null}))]
pub struct NewRun {
    asset: String,
    product: String,
    from: Utc,
    /// `null` while it goes on: the next run ends it.
    #[serde(default)]
    to: Option<Utc>,
    #[serde(default)]
    order: String,
}

/// What was registered, and what it changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunAdded {
    product_run: ProductRun,
    restated: Vec<Restated>,
}

/// Register a product run
///
/// A run that goes on ends where the new one begins. Other runs of the machine must not share time with it.
#[utoipa::path(post, path = "/api/v1/product-runs", tag = "production", request_body = NewRun,
    responses((status = 201, body = RunAdded), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn add_run(
    State(app): State<App>,
    Operator(who): Operator,
    Body(body): Body<NewRun>,
) -> Result<(StatusCode, Json<RunAdded>), Problem> {
    let asset = known(&app, &body.asset)?;
    let mut changing = app.production.changing().await;
    let now = clock::now();
    let mut faults = Vec::new();
    check_period(body.from.0, body.to.map(|to| to.0), now, MAX_RUN_US, &mut faults);
    let range = TimeRange { from: body.from.0, to: body.to.map_or(OPEN, |to| to.0) };
    if !app.production.read(|relations| relations.products().contains_key(&body.product)) {
        faults.push(ProblemField {
            field: "product".into(),
            detail: format!("{:?} is not a product: PUT /api/v1/products first", body.product),
        });
    }
    if body.order.chars().count() > MAX_NAME {
        faults.push(ProblemField { field: "order".into(), detail: format!("has more than {MAX_NAME} characters") });
    }
    let sharing: Vec<_> = app.production.read(|relations| relations.runs.of(asset.as_str(), range).cloned().collect());
    let (ended, others): (Vec<_>, Vec<_>) = sharing.into_iter().partition(|run| run.to().is_none() && run.range.from < range.from);
    if let Some(other) = others.first() {
        faults
            .push(ProblemField { field: "from".into(), detail: format!("the run shares time with {}", told(other, &other.what.product)) });
    }
    all_right(faults)?;
    let (by, place) = (who.name, asset.to_string());
    let entry = Entry { id: new_id(), place, range, by, at: changing.at(now), what: Run { product: body.product, order: body.order } };
    let cuts = !ended.is_empty();
    let ended = ended.into_iter().map(|run| Entry { range: TimeRange { to: range.from, ..run.range }, ..run });
    let entries: Vec<_> = ended.chain([entry.clone()]).collect();
    put(&app, |relations| &relations.runs, |relations| &mut relations.runs, &entries).await?;
    let why = Why::ProductionChanged { by: entry.by.clone(), at: entry.at.into() };
    // A run that it ended had no end: all since then is without it.
    let until = TimeRange { to: if cuts { now.max(range.from) } else { range.to.min(now) }, ..range };
    let restated = follow(&app, &Scope::Machine(asset), until, &why, now).await?;
    Ok((StatusCode::CREATED, Json(RunAdded { product_run: ProductRun::from(&entry), restated })))
}

/// Take a product run back
#[utoipa::path(delete, path = "/api/v1/product-runs/{id}", tag = "production", params(("id" = String, Path, description = "Of the run")),
    responses((status = 200, body = TakenBack), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn delete_run(State(app): State<App>, Operator(who): Operator, Path(id): Path<String>) -> Result<Json<TakenBack>, Problem> {
    let mut changing = app.production.changing().await;
    let entry = remove(&app, |relations| &mut relations.runs, &id).await?;
    let (now, at) = times(&mut changing);
    let why = Why::ProductionChanged { by: who.name, at: at.into() };
    taken_back(&app, &entry.place, entry.range, &why, now).await
}

/// From one product to the next.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangeoverItem)]
pub struct Changeover {
    id: String,
    asset: String,
    from: Utc,
    to: Utc,
    from_product: String,
    to_product: String,
    by: String,
    at: Utc,
}

impl From<&Entry<Change>> for Changeover {
    fn from(entry: &Entry<Change>) -> Self {
        Self {
            id: entry.id.clone(),
            asset: entry.place.clone(),
            from: entry.range.from.into(),
            to: entry.range.to.into(),
            from_product: entry.what.from_product.clone(),
            to_product: entry.what.to_product.clone(),
            by: entry.by.clone(),
            at: entry.at.into(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeoverList {
    items: Vec<Changeover>,
    next_cursor: Option<String>,
}

/// Changeovers
///
/// Those that share time with the period, the newest first. What a machine does not produce in one is set-up, unless a person registered another reason.
#[utoipa::path(get, path = "/api/v1/changeovers", tag = "production",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 7 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 200 if not given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = ChangeoverList), Problems))]
pub async fn changeovers(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<ChangeoverList>, Problem> {
    let listing = Listing::read(params, clock::now(), 7 * DAY_US)?;
    let (found, next_cursor) = listing.page(listing.find(&app, |relations| &relations.changeovers));
    Ok(Json(ChangeoverList { items: found.iter().map(Changeover::from).collect(), next_cursor }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChangeover {
    asset: String,
    from: Utc,
    to: Utc,
    from_product: String,
    to_product: String,
}

/// What was registered, and what it changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeoverAdded {
    changeover: Changeover,
    restated: Vec<Restated>,
}

/// Register a changeover
#[utoipa::path(post, path = "/api/v1/changeovers", tag = "production", request_body = NewChangeover,
    responses((status = 201, body = ChangeoverAdded), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn add_changeover(
    State(app): State<App>,
    Operator(who): Operator,
    Body(body): Body<NewChangeover>,
) -> Result<(StatusCode, Json<ChangeoverAdded>), Problem> {
    let asset = known(&app, &body.asset)?;
    let mut changing = app.production.changing().await;
    let now = clock::now();
    let range = TimeRange { from: body.from.0, to: body.to.0 };
    let mut faults = Vec::new();
    check_period(range.from, Some(range.to), now, 31 * DAY_US, &mut faults);
    check_text("from_product", &body.from_product, MAX_NAME, &mut faults);
    check_text("to_product", &body.to_product, MAX_NAME, &mut faults);
    let other = app.production.read(|relations| relations.changeovers.of(asset.as_str(), range).next().cloned());
    if let Some(other) = other {
        faults.push(ProblemField {
            field: "from".into(),
            detail: format!("the changeover shares time with {}", told(&other, &other.what.to_product)),
        });
    }
    all_right(faults)?;
    let what = Change { from_product: body.from_product, to_product: body.to_product };
    let entry = Entry { id: new_id(), place: asset.to_string(), range, by: who.name, at: changing.at(now), what };
    put(&app, |relations| &relations.changeovers, |relations| &mut relations.changeovers, std::slice::from_ref(&entry)).await?;
    let why = Why::ProductionChanged { by: entry.by.clone(), at: entry.at.into() };
    let restated = follow(&app, &Scope::Machine(asset), range, &why, now).await?;
    Ok((StatusCode::CREATED, Json(ChangeoverAdded { changeover: Changeover::from(&entry), restated })))
}

/// Take a changeover back
#[utoipa::path(delete, path = "/api/v1/changeovers/{id}", tag = "production", params(("id" = String, Path, description = "Of the changeover")),
    responses((status = 200, body = TakenBack), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn delete_changeover(
    State(app): State<App>,
    Operator(who): Operator,
    Path(id): Path<String>,
) -> Result<Json<TakenBack>, Problem> {
    let mut changing = app.production.changing().await;
    let entry = remove(&app, |relations| &mut relations.changeovers, &id).await?;
    let (now, at) = times(&mut changing);
    let why = Why::ProductionChanged { by: who.name, at: at.into() };
    taken_back(&app, &entry.place, entry.range, &why, now).await
}
