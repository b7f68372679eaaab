//! The digital twin of one machine: as it is now, as it was, and how it changed.
//!
//! Answers from the twin (now), or from the lake through `twin::history` (then).

use std::time::Duration;

use axum::{Json, extract::State};
use kpi::utc::Utc;
use lake::AnomalyFilter;
use protocol::{AssetPath, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    assets, condition,
    device::Device,
    gateways,
    history::{DAY_US, passed, wrong},
    moment,
    params::{Params, time},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    clock,
    twin::{
        AssetView, GatewayView,
        history::{LOOK_BACK_US, Past},
    },
};

/// States of a twin in one answer.
const MAX_POINTS: i64 = 500;
const DEFAULT_POINTS: i64 = 100;
const MAX_PERIOD_US: i64 = 31 * DAY_US;
/// See [`as_of`].
const LATELY_US: i64 = 3_600_000_000;
/// Last values of signals that are read for one answer.
const MAX_VALUES: usize = 200_000;
/// A prediction of then is one that was made so long before it at most.
const PREDICTED_US: i64 = 2 * 3_600_000_000;
const MAX_PREDICTIONS: usize = 1_000;
/// Of each machine the newest is shown.
const MAX_ANOMALIES: usize = 20_000;

/// A machine and the gateway that reports it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TwinView {
    #[serde(flatten)]
    asset: AssetView,
    /// `null` of a past time: it is not kept.
    gateway_status: Option<GatewayView>,
    /// Ids of what was recorded around anomalies.
    captures: Vec<String>,
    /// The time that all of this is of.
    at: Utc,
}

/// A machine at one time.
#[derive(Debug, Serialize, ToSchema)]
pub struct TwinPoint {
    at: Utc,
    #[serde(flatten)]
    asset: AssetView,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TwinHistory {
    items: Vec<TwinPoint>,
}

/// Twin of a machine, now or then
///
/// With `at` as of that time, from what is stored: of each signal the last value by event time, the state that stood, the shift with its OEE up to then, the
/// last anomaly. Then `online` says that its data were fresh; alarms and the gateway's status of then are not kept.
#[utoipa::path(get, path = "/api/v1/industry40/twin/{device_id}", tag = "live",
    params(("device_id" = String, Path, description = "`site/area/line/machine`, plain or URL-encoded"),
           ("at" = Option<String>, Query, description = "RFC 3339; now if not given")),
    responses((status = 200, body = TwinView), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn of_machine(State(app): State<App>, _: Viewer, Device(path): Device, mut params: Params) -> Result<Json<TwinView>, Problem> {
    let at = params.optional("at", time);
    let (at,) = params.finish((at,))?;
    let now = clock::now();
    if let Some(at) = at {
        if at > now {
            return Err(wrong("at", "lies in the future: the forecast of a shift is at /simulate"));
        }
        let mut views = as_of(&app, &path, &[at], Duration::from_secs(1)).await?;
        let asset = views.pop().ok_or_else(Problem::internal)?;
        return Ok(Json(TwinView { asset, gateway_status: None, captures: Vec::new(), at: at.into() }));
    }
    let mut views: Vec<AssetView> = app.twin.asset(&path, moment(&app)).into_iter().collect();
    condition::complete(&app, &mut views);
    let asset = views.pop().ok_or_else(|| assets::unknown(&path))?;
    let gateway_status = match &asset.gateway {
        Some(id) => gateways::views(&app).await?.into_iter().find(|g| g.gateway == *id),
        None => None,
    };
    Ok(Json(TwinView { asset, gateway_status, captures: Vec::new(), at: now.into() }))
}

/// History of a twin
///
/// The machine at the beginning of the period and after each step, as `at` gives it for one time.
#[utoipa::path(get, path = "/api/v1/industry40/twin/{device_id}/history", tag = "history",
    params(("device_id" = String, Path, description = "`site/area/line/machine`, plain or URL-encoded"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339; now if not given"),
           ("step" = Option<u64>, Query, description = "seconds; the hundredth of the period if not given")),
    responses((status = 200, body = TwinHistory), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn history(State(app): State<App>, _: Viewer, Device(path): Device, mut params: Params) -> Result<Json<TwinHistory>, Problem> {
    let now = clock::now();
    let period = params.period(now, DAY_US / 3, MAX_PERIOD_US);
    let step = params.optional("step", |text| match text.parse::<i64>() {
        Ok(s) if (1..=MAX_PERIOD_US / 1_000_000).contains(&s) => Ok(s * 1_000_000),
        _ => Err(format!("must be whole seconds from 1 to {}", MAX_PERIOD_US / 1_000_000)),
    });
    let (period, step) = params.finish((period, step))?;
    let range = passed(period, now)?;
    let length = range.to.micros_since(range.from);
    let step_us = step.unwrap_or_else(|| (length / DEFAULT_POINTS / 1_000_000).max(1) * 1_000_000);
    if length / step_us >= MAX_POINTS {
        return Err(wrong("step", format!("makes more than {MAX_POINTS} points of this period")));
    }
    let times: Vec<Timestamp> = (0..=length / step_us).map(|i| range.from.plus_micros(i * step_us)).collect();
    let views = as_of(&app, &path, &times, Duration::from_micros(step_us.unsigned_abs())).await?;
    let items = times.into_iter().zip(views).map(|(at, asset)| TwinPoint { at: at.into(), asset }).collect();
    Ok(Json(TwinHistory { items }))
}

/// The machine at `times`, which are `step` apart and not in the future. A few reads, however many times.
async fn as_of(app: &App, asset: &AssetPath, times: &[Timestamp], step: Duration) -> Result<Vec<AssetView>, Problem> {
    if !app.twin.knows(asset) {
        return Err(assets::unknown(asset));
    }
    let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else { return Ok(Vec::new()) };
    // Nearly always all signals have lately sent something: a week of windows is read only for those that have not.
    let lately = first.plus_micros(-LATELY_US);
    let last_of = |range: TimeRange| {
        let whole = Duration::from_micros(range.to.micros_since(range.from).unsigned_abs());
        app.lake.last_windows(asset, range, whole, MAX_VALUES)
    };
    let mut windows = last_of(TimeRange { from: lately, to: first }).await?;
    let known = app.twin.asset(asset, moment(app)).map(|view| view.signals).unwrap_or_default();
    if known.iter().any(|known| !windows.iter().any(|row| row.record.signal.as_str() == known.signal)) {
        windows.extend(last_of(TimeRange { from: first.plus_micros(-LOOK_BACK_US), to: lately }).await?);
    }
    if first < last {
        windows.extend(app.lake.last_windows(asset, TimeRange { from: first, to: last }, step, MAX_VALUES).await?);
    }
    let needed = app.twin.needed(first, last);
    let states = app.lake.states(asset, needed).await?;
    let parts = app.lake.parts(asset, TimeRange { to: last, ..needed }).await?;
    let anomalies = |range, limit| app.lake.anomalies(AnomalyFilter { asset: Some(asset.clone()), signal: None, range, limit });
    let mut seen = anomalies(TimeRange { from: Timestamp(0), to: first.plus_micros(1) }, 1).await?;
    if first < last {
        seen.extend(anomalies(TimeRange { from: first.plus_micros(1), to: last.plus_micros(1) }, MAX_ANOMALIES).await?);
    }
    let past = Past { windows, states, parts, anomalies: seen };
    // Thousands of rows are stepped through.
    let made = {
        let (app, asset, times) = (app.clone(), asset.clone(), times.to_vec());
        tokio::task::spawn_blocking(move || app.twin.as_of(&asset, past, &times))
    };
    let mut views = made.await.map_err(|_| Problem::internal())?;
    // Newest first: of each time the first that was not made later.
    let made = TimeRange { from: first.plus_micros(-PREDICTED_US), to: last.plus_micros(1) };
    let predictions = app.store.predictions(Some(asset), None, made, MAX_PREDICTIONS).await?;
    for (at, view) in times.iter().zip(&mut views) {
        let of_then = predictions.iter().find(|row| row.at <= *at).filter(|row| at.micros_since(row.at) <= PREDICTED_US);
        if let Some(row) = of_then {
            (view.health, view.rul) = (row.health, condition::stored(row));
        }
    }
    Ok(views)
}
