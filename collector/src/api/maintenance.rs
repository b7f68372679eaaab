//! Which machine fails next and why, and the learned models.

use std::{cmp::Ordering, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use kpi::{
    condition::predict::{MaintenancePrediction, PredictFlag},
    utc::Utc,
};
use protocol::AssetPath;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{Operator, Viewer},
    assets,
    body::Body,
    history::{Scope, machines_of, wrong},
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    clock,
    maintenance::{
        facts::{self, Facts, ReadError},
        outlook::{self, OutlookError},
        round::{self, Seen},
        training,
    },
    store::{ModelRow, ModelState},
};

/// Which machine comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Rul,
    Health,
    FailureProbability,
}

fn sort(text: &str) -> Result<Sort, String> {
    match text {
        "rul" => Ok(Sort::Rul),
        "health" => Ok(Sort::Health),
        "failure_probability" => Ok(Sort::FailureProbability),
        _ => Err("must be rul, health or failure_probability".into()),
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MaintenanceList {
    /// The most urgent first.
    items: Vec<MaintenanceItem>,
    /// Machines of the scope; there may be more than items.
    total: usize,
    models: Vec<ModelCard>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MaintenanceItem {
    asset: String,
    /// From 1.
    rank: usize,
    #[schema(value_type = MaintenancePrediction)]
    prediction: Arc<MaintenancePrediction>,
    /// `null`: it was not looked at yet.
    predicted_at: Option<Utc>,
    open_work_orders: Vec<WorkOrderView>,
    last_failure: Option<FailureView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WorkOrderView {
    work_order: String,
    /// `corrective` or `preventive`.
    work_order_kind: String,
    component: Option<String>,
    /// When it was started.
    at: Utc,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct FailureView {
    at: Utc,
    component: Option<String>,
    /// Of the event that reported it; `null`: the machine's own stop showed it.
    id: Option<String>,
}

/// A learned model, or an attempt at one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelCard {
    version: String,
    /// Of machines, as described or by their signals.
    kind: String,
    state: ModelState,
    trained_at: Option<Utc>,
    machines: u64,
    /// Lives that ended in a failure.
    failures: u64,
    /// Root mean square error on lives that were held back.
    held_back_rmse_h: Option<f64>,
    /// Share of held-back truths within their intervals.
    held_back_coverage: Option<f64>,
    /// What saying the median life would have been wrong by.
    median_life_rmse_h: Option<f64>,
    /// Signals that it sees.
    features: Vec<String>,
    /// Why it is not in use.
    reason: Option<String>,
}

impl From<ModelRow> for ModelCard {
    fn from(row: ModelRow) -> Self {
        Self {
            version: row.version(),
            kind: row.kind,
            state: row.state,
            trained_at: row.trained_at.map(Utc),
            machines: row.machines,
            failures: row.failures,
            held_back_rmse_h: row.held_back_rmse_h,
            held_back_coverage: row.held_back_coverage,
            median_life_rmse_h: row.median_life_rmse_h,
            features: row.features,
            reason: row.reason,
        }
    }
}

/// What fails next
///
/// Machines by urgency: a limit that is passed, then the lower end of the remaining life, then the failure probability, then health. As of
/// the last round in the background.
#[utoipa::path(get, path = "/api/v1/maintenance", tag = "maintenance",
    params(("scope" = Option<String>, Query, description = "`site/area/line/machine`, or the beginning of it; all machines if not given"),
           ("sort" = Option<String>, Query, description = "`rul` (if not given), `health` or `failure_probability`"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 200 if not given")),
    responses((status = 200, body = MaintenanceList), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn list(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<MaintenanceList>, Problem> {
    let scope = params.optional("scope", parsed::<Scope>);
    let by = params.optional("sort", sort);
    let limit = params.limit(200, 1_000);
    let (scope, by, limit) = params.finish((scope, by, limit))?;
    let paths = match &scope {
        Some(scope) => machines_of(&app, scope)?,
        None => app.twin.paths(),
    };
    let horizon_h = app.config.maintenance.horizon.as_secs_f64() / 3_600.0;
    let mut ranked = Vec::with_capacity(paths.len());
    for asset in paths {
        let known = app.maintenance.known(&asset);
        let prediction = match &known {
            Some(known) => Arc::clone(&known.prediction),
            None => Arc::new(outlook::unknown(&asset, horizon_h)?),
        };
        ranked.push((asset, prediction, known.map(|k| k.at)));
    }
    ranked.sort_by(|a, b| urgency(&a.1, &b.1, by.unwrap_or(Sort::Rul)).then_with(|| a.0.cmp(&b.0)));
    let total = ranked.len();
    ranked.truncate(limit);
    let items = ranked.into_iter().enumerate().map(|(i, (asset, prediction, at))| {
        let facts = app.maintenance.facts(&asset);
        MaintenanceItem {
            asset: asset.to_string(),
            rank: i + 1,
            prediction,
            predicted_at: at.map(Utc),
            open_work_orders: facts.iter().flat_map(|f| work_orders(f)).collect(),
            last_failure: facts.as_deref().and_then(last_failure),
        }
    });
    Ok(Json(MaintenanceList { items: items.collect(), total, models: cards(&app).await? }))
}

fn work_orders(facts: &Facts) -> Vec<WorkOrderView> {
    let view = |order: &facts::OpenWorkOrder| WorkOrderView {
        work_order: order.work_order.clone(),
        work_order_kind: order.kind.clone(),
        component: order.component.clone(),
        at: order.since.into(),
    };
    facts.open_work_orders.iter().map(view).collect()
}

fn last_failure(facts: &Facts) -> Option<FailureView> {
    let failure = facts.last_failure.as_ref()?;
    Some(FailureView { at: failure.at.into(), component: failure.component.clone(), id: failure.event.clone() })
}

/// The most urgent first; what is not known comes last.
fn urgency(a: &MaintenancePrediction, b: &MaintenancePrediction, by: Sort) -> Ordering {
    let passed = |p: &MaintenancePrediction| !p.flags.contains(&PredictFlag::LimitPassed);
    let least = |value: Option<f64>| value.unwrap_or(f64::INFINITY);
    let rul = |p: &MaintenancePrediction| least(p.rul.map(|rul| rul.lower_h));
    let probability = |p: &MaintenancePrediction| least(p.failure_probability.map(|p| -p));
    let health = |p: &MaintenancePrediction| least(p.health);
    let by_rul = || rul(a).total_cmp(&rul(b));
    let by_probability = || probability(a).total_cmp(&probability(b));
    let by_health = || health(a).total_cmp(&health(b));
    let all = || passed(a).cmp(&passed(b)).then_with(by_rul).then_with(by_probability).then_with(by_health);
    match by {
        Sort::Rul => all(),
        Sort::Health => by_health().then_with(all),
        Sort::FailureProbability => by_probability().then_with(all),
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    items: Vec<ModelCard>,
}

/// List learned models
///
/// Newest first, and for each kind of machine without a model what it lacks.
#[utoipa::path(get, path = "/api/v1/maintenance/models", tag = "maintenance", responses((status = 200, body = ModelList), Problems))]
pub async fn models(State(app): State<App>, _: Viewer, params: Params) -> Result<Json<ModelList>, Problem> {
    params.finish((Some(()),))?;
    Ok(Json(ModelList { items: cards(&app).await? }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TrainingAnswer {
    /// False: one is under way, and another follows it.
    started: bool,
    /// What kinds lack for a model.
    missing: Vec<String>,
}

/// Learn anew
///
/// Begins with the next round in the background, for every kind of machine with enough failures.
#[utoipa::path(post, path = "/api/v1/maintenance/models/train", tag = "maintenance",
    responses((status = 202, body = TrainingAnswer), Problems))]
pub async fn train(State(app): State<App>, Operator(who): Operator) -> (StatusCode, Json<TrainingAnswer>) {
    tracing::info!(by = who.name, "a training was asked for");
    let plans = app.maintenance.plans();
    let missing =
        plans.iter().filter_map(|plan| training::missing(plan, &app.config.maintenance).map(|missing| format!("{}: {missing}", plan.kind)));
    let missing = missing.collect();
    (StatusCode::ACCEPTED, Json(TrainingAnswer { started: app.maintenance.train_now(), missing }))
}

/// Of which machine.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"device_id": "plant1/press-shop/line1/press-1"}))]
pub struct PredictRequest {
    /// `site/area/line/machine`.
    device_id: String,
    /// The failure probability is told for so many hours ahead; that of the configuration if not given.
    #[serde(default)]
    horizon_h: Option<f64>,
}

/// Predict a machine
///
/// Health, remaining useful life with its interval, the probability to fail within the horizon, what each method says, and what drives it.
/// What can't be told is `null`, with a flag and a sentence that say why.
#[utoipa::path(post, path = "/api/v1/industry40/maintenance/predict", tag = "maintenance", request_body = PredictRequest,
    responses((status = 200, body = MaintenancePrediction), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn predict(
    State(app): State<App>,
    _: Viewer,
    Body(request): Body<PredictRequest>,
) -> Result<Json<MaintenancePrediction>, Problem> {
    let asset = AssetPath::new(&request.device_id).map_err(|e| wrong("device_id", e.to_string()))?;
    if request.horizon_h.is_some_and(|h| !(1e-3..=1e6).contains(&h)) {
        return Err(wrong("horizon_h", "must be hours above 0, up to 1e6"));
    }
    let now = clock::now();
    let seen = Seen::of(&app, &asset, now).ok_or_else(|| assets::unknown(&asset))?;
    let prediction = round::asked(&app, &seen, request.horizon_h, now).await?;
    Ok(Json(MaintenancePrediction::clone(&prediction)))
}

/// Cards in the database, and what kinds without a model lack.
async fn cards(app: &App) -> Result<Vec<ModelCard>, Problem> {
    let mut cards: Vec<ModelCard> = app.store.models().await?.into_iter().map(ModelCard::from).collect();
    for plan in app.maintenance.plans() {
        let has_model = cards.iter().any(|card| card.kind == plan.kind && card.state == ModelState::InUse);
        if let Some(reason) = training::missing(&plan, &app.config.maintenance).filter(|_| !has_model) {
            cards.push(ModelCard {
                version: "none".into(),
                kind: plan.kind.clone(),
                state: ModelState::Failed,
                trained_at: None,
                machines: plan.machines as u64,
                failures: plan.lives.len() as u64,
                held_back_rmse_h: None,
                held_back_coverage: None,
                median_life_rmse_h: None,
                features: plan.signals.iter().map(ToString::to_string).collect(),
                reason: Some(reason),
            });
        }
    }
    Ok(cards)
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Lake(error) => error.into(),
            ReadError::History { .. } => Self::bad_request(error.to_string()),
        }
    }
}

impl From<OutlookError> for Problem {
    fn from(error: OutlookError) -> Self {
        match error {
            OutlookError::Read(error) => error.into(),
            OutlookError::Lake(error) => error.into(),
            OutlookError::Fields(errors) => errors.into(),
            OutlookError::Model(error) => {
                tracing::error!(%error, "a learned model failed");
                Self::internal()
            }
        }
    }
}
