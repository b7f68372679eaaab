//! How reliable machines were, and how right predictions of them.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use futures::{StreamExt, TryStreamExt, stream};
use kpi::{
    condition::scoring::{Score, ScoreSummary, summarise},
    reliability::replacement::ReplacementCosts,
    utc::Utc,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    assets,
    cursor::Cursor,
    history::{DAY_US, Scope, machines_of, passed, wrong},
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    clock,
    maintenance::{
        facts,
        reliability::{Asked, Figures, figures},
    },
    store::PredictionRow,
};

/// Of one question.
const MAX_PERIOD_US: i64 = 3_660 * DAY_US;
const MAX_MACHINE_DAYS: i64 = 80_000;
/// Machines that are read at a time.
const AT_A_TIME: usize = 4;
/// Scores that a summary is made of.
const MAX_SUMMARISED: usize = 100_000;
const MAX_COMPONENT: usize = 128;

/// Reliability of machines in a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReliabilityAnswer {
    /// As asked.
    asset: String,
    component: Option<String>,
    from: Utc,
    /// As asked, but not after now.
    to: Utc,
    #[serde(flatten)]
    figures: Figures,
}

/// Reliability of a machine, a line, an area or a site
///
/// From events and from the machines' own stops: MTBF, MTTR, MTTF and availability with bounds; a Weibull law and Kaplan-Meier of the ages;
/// growth and trend of one machine; with costs the optimal replacement age. Ages are hours of production.
#[utoipa::path(get, path = "/api/v1/maintenance/reliability", tag = "maintenance",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("component" = Option<String>, Query, description = "Its ages in place of the machine's"),
           ("from" = Option<String>, Query, description = "RFC 3339; 365 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("confidence" = Option<f64>, Query, description = "Of all bounds, 0.5 to 0.9999; 0.9 if not given"),
           ("cost_preventive" = Option<f64>, Query, description = "Of a planned replacement; needs `cost_corrective`"),
           ("cost_corrective" = Option<f64>, Query, description = "Of a replacement after a failure, with what the failure costs")),
    responses((status = 200, body = ReliabilityAnswer), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn reliability(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<ReliabilityAnswer>, Problem> {
    let now = clock::now();
    let scope = params.required("asset", parsed::<Scope>);
    let component = params.optional("component", |text| {
        if text.len() <= MAX_COMPONENT { Ok(text.to_owned()) } else { Err(format!("must be text of 1 to {MAX_COMPONENT} bytes")) }
    });
    let period = params.period(now, 365 * DAY_US, MAX_PERIOD_US);
    let confidence = params.optional("confidence", number("a fraction from 0.5 to 0.9999", 0.5..=0.9999));
    let cost = || number("a cost above 0", 1e-9..=1e15);
    let preventive = params.optional("cost_preventive", cost());
    let corrective = params.optional("cost_corrective", cost());
    let (scope, component, period, confidence, preventive, corrective) =
        params.finish((scope, component, period, confidence, preventive, corrective))?;
    let costs = match (preventive, corrective) {
        (None, None) => None,
        (Some(preventive), Some(corrective)) => Some(ReplacementCosts { preventive, corrective }),
        _ => return Err(wrong("cost_preventive", "needs cost_corrective, and cost_corrective needs it")),
    };
    let paths = machines_of(&app, &scope)?;
    let range = passed(period, now)?;
    let days = range.to.micros_since(range.from) / DAY_US + 1;
    if days.saturating_mul(i64::try_from(paths.len()).unwrap_or(i64::MAX)) > MAX_MACHINE_DAYS {
        let detail = format!("makes more than {MAX_MACHINE_DAYS} days of machines: ask for a shorter period or for a line");
        return Err(wrong("from", detail));
    }
    let pasts = stream::iter(paths).map(|asset| {
        let app = app.clone();
        async move { facts::read(&app, &asset, range, now).await }
    });
    let pasts: Vec<_> = pasts.buffered(AT_A_TIME).try_collect().await?;
    let asked = Asked { component: component.clone(), confidence: confidence.unwrap_or(0.9), costs };
    let figures = tokio::task::spawn_blocking(move || figures(&pasts, &asked)).await.map_err(|_| Problem::internal())??;
    Ok(Json(ReliabilityAnswer { asset: scope.to_string(), component, from: range.from.into(), to: range.to.into(), figures }))
}

/// Predictions of a period, and how right they were.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredictionPage {
    items: Vec<PredictionView>,
    /// Of all scored predictions of the period, by model version (or method).
    #[schema(value_type = Object)]
    summary: BTreeMap<String, ScoreSummary>,
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PredictionView {
    asset: String,
    at: Utc,
    rul_h: Option<f64>,
    lower_h: Option<f64>,
    upper_h: Option<f64>,
    health: Option<f64>,
    failure_probability: Option<f64>,
    /// A learned model, or the method that weighed most.
    model_version: Option<String>,
    /// Once the life has ended.
    score: Option<Score>,
}

impl From<PredictionRow> for PredictionView {
    fn from(row: PredictionRow) -> Self {
        Self {
            asset: row.asset.to_string(),
            at: row.at.into(),
            rul_h: row.rul_h,
            lower_h: row.lower_h,
            upper_h: row.upper_h,
            health: row.health,
            failure_probability: row.failure_probability,
            model_version: row.model_version,
            score: row.score,
        }
    }
}

/// List predictions
///
/// Newest first, at most one a machine and hour; with its score where the life has ended since.
#[utoipa::path(get, path = "/api/v1/maintenance/predictions", tag = "maintenance",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 31 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 10000, 1000 if not given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = PredictionPage), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn predictions(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<PredictionPage>, Problem> {
    let scope = params.required("asset", parsed::<Scope>);
    let period = params.period(clock::now().plus_micros(1), 31 * DAY_US, MAX_PERIOD_US);
    let limit = params.limit(1_000, 10_000);
    let cursor = params.optional("cursor", Cursor::parse);
    let (scope, period, limit, cursor) = params.finish((scope, period, limit, cursor))?;
    let (asset, below) = match &scope {
        Scope::Machine(asset) if !app.twin.knows(asset) => return Err(assets::unknown(asset)),
        Scope::Machine(asset) => (Some(asset), None),
        Scope::Below(prefix) => (None, Some(prefix.as_str())),
    };
    // Of the whole period, and told once.
    let summary = if cursor.is_none() {
        let scored = app.store.scored_predictions(asset, below, period, MAX_SUMMARISED).await?;
        let scores: Vec<Score> = scored.into_iter().filter_map(|row| row.score).collect();
        summarise(&scores).map_err(|error| vec![error])?
    } else {
        BTreeMap::default()
    };
    let (range, ask) = Cursor::question(cursor, period, limit);
    let rows = app.store.predictions(asset, below, range, ask).await?;
    let (rows, next_cursor) = Cursor::page(cursor, rows, limit, |row| row.at);
    Ok(Json(PredictionPage { items: rows.into_iter().map(Into::into).collect(), summary, next_cursor }))
}

fn number(what: &'static str, allowed: std::ops::RangeInclusive<f64>) -> impl FnOnce(&str) -> Result<f64, String> {
    move |text| text.parse().ok().filter(|n| allowed.contains(n)).ok_or_else(|| format!("must be {what}"))
}
