//! The history of one signal.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use kpi::utc::Utc;
use protocol::{AssetPath, SignalName, TimeRange};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    moment,
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{app::App, clock};

const MAX_POINTS: i64 = 20_000;
const MAX_STEP_S: u64 = 31 * 86_400;
const MAX_PERIOD_US: i64 = 400 * 86_400_000_000;

/// Steps of equal length; steps without data are left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Series {
    asset: String,
    signal: String,
    /// UCUM; empty if unknown.
    unit: String,
    step_s: u64,
    points: Vec<Point>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Point {
    /// Beginning of the step, a multiple of `step_s` since 1970.
    at: Utc,
    /// Readings.
    count: u64,
    min: f64,
    max: f64,
    /// Weighted by readings.
    mean: f64,
}

/// History of a signal
///
/// Readings per step: how many, least, greatest, mean.
#[utoipa::path(get, path = "/api/v1/metrics/{signal}", tag = "history",
    params(("signal" = String, Path, description = "`spindle_temperature`"),
           ("asset" = String, Query, description = "`site/area/line/machine`"),
           ("from" = Option<String>, Query, description = "RFC 3339; an hour before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("step" = Option<u64>, Query, description = "seconds; chosen for about 400 points if not given")),
    responses((status = 200, body = Series), Problems))]
pub async fn of_signal(State(app): State<App>, _: Viewer, Path(signal): Path<String>, mut params: Params) -> Result<Json<Series>, Problem> {
    let signal = match SignalName::new(&signal) {
        Ok(signal) => Some(signal),
        Err(error) => {
            params.wrong("signal", error.to_string());
            None
        }
    };
    let asset = params.required("asset", parsed::<AssetPath>);
    let period = params.period(clock::now(), 3_600_000_000, MAX_PERIOD_US);
    let step = params.optional("step", |text| match text.parse::<u64>() {
        Ok(s) if (1..=MAX_STEP_S).contains(&s) => Ok(s),
        _ => Err(format!("must be whole seconds from 1 to {MAX_STEP_S}")),
    });
    if let (Some(period), Some(Some(step))) = (period, step)
        && period.to.micros_since(period.from) / 1_000_000 / i64::try_from(step).unwrap_or(i64::MAX) > MAX_POINTS
    {
        params.wrong("step", format!("makes more than {MAX_POINTS} points of this period"));
    }
    let (signal, asset, period, step) = params.finish((signal, asset, period, step))?;
    let step_s = step.unwrap_or_else(|| step_for(period));
    // Aligned, so that two questions about overlapping periods agree on their common points.
    let step_us = i64::try_from(step_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let from = period.from.plus_micros(-period.from.as_micros().rem_euclid(step_us));
    let points = app.lake.series(&asset, &signal, TimeRange { from, to: period.to }, Duration::from_secs(step_s)).await?;
    let unit =
        app.twin.asset(&asset, moment(&app)).and_then(|a| a.signals.into_iter().find(|s| s.signal == signal.as_str()).map(|s| s.unit));
    Ok(Json(Series {
        asset: asset.to_string(),
        signal: signal.to_string(),
        unit: unit.unwrap_or_default(),
        step_s,
        points: points.iter().map(|p| Point { at: p.at.into(), count: p.count, min: p.min, max: p.max, mean: p.mean }).collect(),
    }))
}

fn step_for(period: TimeRange) -> u64 {
    const STEPS: [u64; 14] = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400];
    let seconds = u64::try_from(period.to.micros_since(period.from) / 1_000_000).unwrap_or(0);
    STEPS.into_iter().find(|step| seconds / step <= 420).unwrap_or(86_400)
}
