//! One machine's future from all that is known of it: health, degradation, age and the learned model, joined to one prediction.
//!
//! Stands behind the facts and the lake, before the cache, the store and the API. Invariant: what is missing is left out, and the
//! prediction says so; no data is no error.

use std::time::Duration;

use kpi::{
    condition::{
        degradation::Outcome,
        health::SeenAnomaly,
        predict::{AgeEvidence, LearnedPrediction, MaintenancePrediction, Method, Parts, predict},
    },
    field::FieldError,
    rul::RulError,
    utc::Utc,
};
use lake::{AnomalyFilter, LakeError};
use protocol::{AssetPath, SignalName, TimeRange, Timestamp};

use super::{
    condition::{Degrading, SignalSeries, judge},
    facts::{Facts, ReadError},
    fleet::{self, HOUR_US},
    learned::Tracked,
    reliability::MACHINE,
    round::Seen,
};
use crate::{app::App, config::Asset, store::PredictionRow};

/// Windows come so late, mostly.
const ON_ITS_WAY_US: i64 = 120_000_000;
/// Of all intervals.
pub const CONFIDENCE: f64 = 0.9;
/// Steps of the trend window.
const STEPS: i64 = 720;
const LEAST_STEP_US: i64 = 10_000_000;
/// Signals of one machine that are looked at.
const MAX_SIGNALS: usize = 64;
/// Anomalies that health is reckoned from: five half-lives back.
const ANOMALIES_US: i64 = 15 * 24 * HOUR_US;
const MAX_ANOMALIES: usize = 1_000;

/// Why a machine has no prediction.
#[derive(Debug, thiserror::Error)]
pub enum OutlookError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the lake: {0}")]
    Lake(#[from] LakeError),
    #[error("the learned model: {0}")]
    Model(#[from] RulError),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<FieldError>),
}

impl From<Vec<FieldError>> for OutlookError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::Fields(errors)
    }
}

/// A machine of which nothing is known yet.
///
/// # Errors
/// [`FieldError`]s if the horizon can't be.
pub fn unknown(asset: &AssetPath, horizon_h: f64) -> Result<MaintenancePrediction, Vec<FieldError>> {
    let device_id = asset.to_string();
    predict(&Parts { device_id, health: None, degradation: None, age: None, learned: None, horizon_h, confidence: CONFIDENCE })
}

/// Predicts a machine as of `now`.
///
/// # Errors
/// [`OutlookError`].
pub async fn of_machine(
    app: &App,
    seen: &Seen,
    facts: &Facts,
    horizon_h: f64,
    now: Timestamp,
) -> Result<MaintenancePrediction, OutlookError> {
    let asset = &seen.asset;
    let since = alive_since(facts);
    let series = series(app, seen, now).await?;
    let range = TimeRange { from: now.plus_micros(-ANOMALIES_US), to: now };
    let filter = AnomalyFilter { asset: Some(asset.clone()), signal: None, range, limit: MAX_ANOMALIES };
    let anomalies = app.lake.anomalies(filter).await?.into_iter().map(|row| SeenAnomaly {
        signal: row.record.signal.to_string(),
        at: row.record.event_time,
        severity: row.record.severity,
    });
    let anomalies = anomalies.collect();
    let conditions = app.config.asset(asset).map(|a: &Asset| a.condition.clone()).unwrap_or_default();
    let learned = learned(app, seen, facts, now).await?;
    let age = age(app, seen, facts, horizon_h);
    let (device_id, down_since) = (asset.to_string(), down_since(facts));
    // Belief over a grid and slopes of all pairs: some milliseconds of work.
    let reckoned = tokio::task::spawn_blocking(move || {
        let condition = judge(&series, anomalies, &conditions, since, now)?;
        let degradation = condition.degrading.as_ref().map(|d| d.outcome.clone());
        let parts = Parts { device_id, health: Some(condition.health), degradation, age, learned, horizon_h, confidence: CONFIDENCE };
        let mut prediction = predict(&parts)?;
        prediction.explanation.extend(condition.degrading.as_ref().and_then(told));
        prediction.explanation.extend(down_since.map(|at| format!("The machine is down since {}: no repair was told.", Utc(at))));
        Ok::<_, Vec<FieldError>>(prediction)
    });
    match reckoned.await {
        Ok(prediction) => Ok(prediction?),
        Err(_) => Err(OutlookError::Fields(vec![kpi::field::wrong("prediction", "could not be reckoned; the log tells why")])),
    }
}

/// What is kept of a prediction.
pub fn kept(asset: &AssetPath, prediction: &MaintenancePrediction, at: Timestamp) -> PredictionRow {
    let heaviest = prediction.estimates.first();
    let method = heaviest.map(|e| match (e.method, &e.model_version) {
        (Method::Learned, Some(version)) => version.clone(),
        (Method::Learned, None) => "learned".to_owned(),
        (Method::Degradation, _) => "degradation".to_owned(),
        (Method::Age, _) => "age".to_owned(),
    });
    // A limit that is passed is told by the degradation alone.
    let passed = prediction.rul.filter(|rul| rul.hours == 0.0).map(|_| "degradation".to_owned());
    PredictionRow {
        asset: asset.clone(),
        at,
        rul_h: prediction.rul.map(|rul| rul.hours),
        lower_h: prediction.rul.map(|rul| rul.lower_h),
        upper_h: prediction.rul.and_then(|rul| rul.upper_h),
        health: prediction.health,
        failure_probability: prediction.failure_probability,
        model_version: prediction.rul.and(passed.or(method)),
        score: None,
    }
}

fn down_since(facts: &Facts) -> Option<Timestamp> {
    facts.lives.last().and_then(|life| life.end).filter(|end| end.failed).map(|end| end.at)
}

/// Only what was seen since then is of this life.
fn alive_since(facts: &Facts) -> Option<Timestamp> {
    facts.living_since().or_else(|| down_since(facts))
}

fn told(degrading: &Degrading) -> Option<String> {
    let Degrading { signal, limit, outcome } = degrading;
    matches!(outcome, Outcome::Prediction(_) | Outcome::LimitPassed { .. } | Outcome::BeyondHorizon { .. })
        .then(|| format!("The degradation is that of {signal}, whose limit is {limit}."))
}

async fn series(app: &App, seen: &Seen, now: Timestamp) -> Result<Vec<SignalSeries>, LakeError> {
    let window_us = i64::try_from(app.config.maintenance.trend_window.as_micros()).unwrap_or(i64::MAX);
    let step_us = (window_us / STEPS).max(LEAST_STEP_US);
    let from = now.plus_micros(-window_us);
    // Aligned, so that the same steps are seen in each round.
    let range = TimeRange { from: from.plus_micros(-from.as_micros().rem_euclid(step_us)), to: now };
    let step = Duration::from_micros(step_us.unsigned_abs());
    let mut all = Vec::with_capacity(seen.signals.len());
    for signal in seen.signals.iter().take(MAX_SIGNALS) {
        let Ok(name) = SignalName::new(&signal.signal) else { continue };
        let points = app.lake.series(&seen.asset, &name, range, step).await?;
        let points = points.iter().filter(|p| p.mean.is_finite()).map(|p| (p.at, p.mean)).collect();
        all.push(SignalSeries { signal: signal.signal.clone(), unit: signal.unit.clone(), step_us, points });
    }
    Ok(all)
}

/// Of the component (or the machine as a whole) that is the likeliest to fail within the horizon.
fn age(app: &App, seen: &Seen, facts: &Facts, horizon_h: f64) -> Option<AgeEvidence> {
    let laws = app.maintenance.laws(&seen.kind);
    let utilisation = facts.utilisation()?;
    let evidence = laws.iter().filter_map(|(component, law)| {
        let ages = if component == MACHINE { &facts.history.machine } else { facts.history.components.get(component)? };
        let age =
            AgeEvidence { component: component.clone(), age_h: ages.age_now_h, weibull: law.weibull, failures: law.failures, utilisation };
        Some((law.weibull.failure_within(ages.age_now_h, horizon_h * utilisation), age))
    });
    evidence.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, age)| age)
}

async fn learned(app: &App, seen: &Seen, facts: &Facts, now: Timestamp) -> Result<Option<LearnedPrediction>, OutlookError> {
    let Some(model) = app.maintenance.model(&seen.kind) else { return Ok(None) };
    if down_since(facts).is_some() {
        return Ok(None);
    }
    let step_h = model.header.step_h;
    let from = facts.living_since().unwrap_or_else(|| {
        // Of a machine older than what is read the beginning moves; each day is often enough to begin anew.
        let day_us = if facts.is_cut { 24 * HOUR_US } else { 1 };
        facts.period.from.plus_micros(-facts.period.from.as_micros().rem_euclid(day_us))
    });
    // What is on its way is waited for, and what a gateway holds back.
    let complete = super::facts::known_until(app, &seen.asset, now).plus_micros(-ON_ITS_WAY_US);
    let steps = fleet::whole_steps(from, complete, step_h);
    let same = |t: &Tracked| t.version == model.header.version && t.from == from && t.steps <= steps;
    let mut tracked = app.maintenance.take_tracked(&seen.asset).filter(same).unwrap_or_else(|| model.tracked(from));
    let done = tracked.steps;
    let begin = from.plus_micros(done * step_h * HOUR_US);
    let rows = fleet::rows(app, &seen.asset, &model.signals, (begin, steps - done, step_h)).await?;
    model.advance(&mut tracked, rows.into_iter().map(|(step, sensors)| (step + done, sensors)).collect(), steps)?;
    let said = model.predict(&tracked).map(|said| {
        // It speaks of the end of the last whole step.
        let passed_h = now.micros_since(from.plus_micros(steps * step_h * HOUR_US)) as f64 / HOUR_US as f64;
        let left = |hours: f64| (hours - passed_h).max(0.0);
        LearnedPrediction { rul_h: left(said.rul_h), lower_h: left(said.lower_h), upper_h: left(said.upper_h), ..said }
    });
    app.maintenance.put_tracked(&seen.asset, tracked);
    Ok(said)
}
