//! OEE, states and shifts of a machine, for any period.

use std::sync::Arc;

use axum::{Json, extract::State};
use kpi::{
    oee::{Catalogue, MachineRecord, Oee, PartInterval, Prepared, Rules, StatePoint, Tally, request::CalculateRequest},
    utc::{Period, Utc},
};
use protocol::{AssetPath, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    access::Viewer,
    assets,
    body::Body,
    params::{Params, parsed},
    problem::{Problem, ProblemField, Problems},
};
use crate::{app::App, clock, twin::view::ShiftView};

const DAY_US: i64 = 86_400_000_000;
/// Of one question.
const MAX_PERIOD_US: i64 = 62 * DAY_US;
const MAX_BUCKETS: usize = 2_000;
/// Counts are read so far beyond the period: of one that crosses its end a share lies within.
const COUNT_MARGIN_US: i64 = 3_600_000_000;

/// How a period is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bucket {
    Hour,
    Shift,
    Day,
}

fn bucket(text: &str) -> Result<Bucket, String> {
    match text {
        "hour" => Ok(Bucket::Hour),
        "shift" => Ok(Bucket::Shift),
        "day" => Ok(Bucket::Day),
        _ => Err("must be hour, shift or day".into()),
    }
}

/// OEE of a period, and of its parts.
#[derive(Debug, Serialize, ToSchema)]
pub struct OeeAnswer {
    asset: String,
    from: Utc,
    /// As asked, but not after now.
    to: Utc,
    total: Oee,
    /// Without gaps; the first and the last are clipped to the period. Their times and counts add up to the total's.
    buckets: Vec<OeeBucket>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OeeBucket {
    from: Utc,
    to: Utc,
    oee: Oee,
}

/// OEE of a machine
///
/// From its states, its part counts and the shift calendar. Buckets are local hours, shifts or days.
#[utoipa::path(get, path = "/api/v1/oee", tag = "kpi",
    params(("asset" = String, Query, description = "`site/area/line/machine`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("bucket" = Option<String>, Query, description = "`hour`, `shift` or `day`; without it only the total")),
    responses((status = 200, body = OeeAnswer), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn of_machine(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<OeeAnswer>, Problem> {
    let now = clock::now();
    let asset = params.required("asset", parsed::<AssetPath>);
    let period = params.period(now, DAY_US / 3, MAX_PERIOD_US);
    let cut = params.optional("bucket", bucket);
    let (asset, period, cut) = params.finish((asset, period, cut))?;
    let history = History::read(&app, &asset, period, now).await?;
    let parts = match cut {
        None => vec![history.range],
        Some(Bucket::Hour) => app.twin.calendar().hours(history.range),
        Some(Bucket::Day) => app.twin.calendar().days(history.range),
        Some(Bucket::Shift) => by_shift(&app, history.range),
    };
    if parts.len() > MAX_BUCKETS {
        return Err(wrong("bucket", format!("makes more than {MAX_BUCKETS} buckets of this period")));
    }
    let mut total = Tally::default();
    let mut buckets = Vec::with_capacity(parts.len());
    for part in parts {
        let tally = history.prepared.tally(part, history.known_until);
        total += &tally;
        if cut.is_some() {
            buckets.push(OeeBucket { from: part.from.into(), to: part.to.into(), oee: history.oee(&tally) });
        }
    }
    let total = history.oee(&total);
    Ok(Json(OeeAnswer { asset: asset.to_string(), from: history.range.from.into(), to: history.range.to.into(), total, buckets }))
}

/// Shifts, and what lies between them, without gaps.
fn by_shift(app: &App, range: TimeRange) -> Vec<TimeRange> {
    let shifts: Vec<_> = planned(app, range);
    let mut all = kpi::calendar::gaps(range, shifts.iter().copied());
    all.extend(shifts);
    all.sort_by_key(|r| r.from);
    all
}

/// The shifts within `range`, clipped to it.
fn planned(app: &App, range: TimeRange) -> Vec<TimeRange> {
    let shifts = app.twin.calendar().shifts(range);
    shifts.iter().map(|s| TimeRange { from: s.range.from.max(range.from), to: s.range.to.min(range.to) }).collect()
}

/// What the lake knows of one machine in one period.
struct History {
    range: TimeRange,
    known_until: Timestamp,
    prepared: Prepared,
}

impl History {
    async fn read(app: &App, asset: &AssetPath, asked: TimeRange, now: Timestamp) -> Result<Self, Problem> {
        let reckoning = app.twin.reckoning();
        let (range, mut record) = states_of(app, asset, asked, now).await?;
        let counted = TimeRange { from: range.from, to: range.to.plus_micros(COUNT_MARGIN_US).min(now) };
        record.parts = app.lake.parts(asset, counted).await?.iter().map(PartInterval::from).collect();
        record.ideal_cycle_s = app.twin.ideal_cycle_s(asset);
        let record = record.with_plan(app.twin.calendar().plan(range));
        let known_until = app.twin.known_until(asset, now);
        // Thousands of rows are put in order.
        let prepared = tokio::task::spawn_blocking(move || Prepared::new(record, reckoning.catalogue, reckoning.rules)).await;
        let prepared = prepared.map_err(|_| Problem::internal())?;
        Ok(Self { range, known_until, prepared })
    }

    fn oee(&self, tally: &Tally) -> Oee {
        tally.oee(self.prepared.rules(), self.prepared.ideal_cycle_s())
    }
}

/// The period as far as it has passed, and the states in it: those around it, too, by which a stop at its edge is judged.
async fn states_of(app: &App, asset: &AssetPath, asked: TimeRange, now: Timestamp) -> Result<(TimeRange, MachineRecord), Problem> {
    if !app.twin.knows(asset) {
        return Err(assets::unknown(asset));
    }
    if asked.from >= now {
        return Err(wrong("from", "lies in the future"));
    }
    let range = TimeRange { from: asked.from, to: asked.to.min(now) };
    let margin = app.twin.reckoning().margin_us();
    let around = TimeRange { from: range.from.plus_micros(-margin), to: range.to.plus_micros(margin).min(now) };
    let states = app.lake.states(asset, around).await?.iter().map(StatePoint::from).collect();
    Ok((range, MachineRecord { states, ..MachineRecord::default() }))
}

/// What a machine did, without gaps.
#[derive(Debug, Serialize, ToSchema)]
pub struct StateList {
    items: Vec<StateItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StateItem {
    from: Utc,
    to: Utc,
    /// A machine state, or `no_data`.
    state: &'static str,
    stop_reason: Option<String>,
}

/// States of a machine
///
/// Clipped to the period; where nothing is known the state is `no_data`.
#[utoipa::path(get, path = "/api/v1/states", tag = "kpi",
    params(("asset" = String, Query, description = "`site/area/line/machine`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given")),
    responses((status = 200, body = StateList), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn states(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<StateList>, Problem> {
    let now = clock::now();
    let asset = params.required("asset", parsed::<AssetPath>);
    let period = params.period(now, DAY_US / 3, MAX_PERIOD_US);
    let (asset, period) = params.finish((asset, period))?;
    let (range, record) = states_of(&app, &asset, period, now).await?;
    // Without a plan and without registered reasons: what the machine said of itself.
    let prepared = Prepared::new(record, Arc::new(Catalogue::default()), Rules::default());
    let intervals = prepared.intervals(range, app.twin.known_until(&asset, now), usize::MAX);
    let items = intervals.into_iter().map(|interval| StateItem {
        from: interval.from,
        to: interval.to,
        state: interval.evidence.state.unwrap_or("no_data"),
        stop_reason: interval.evidence.machine_reason,
    });
    Ok(Json(StateList { items: items.collect() }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ShiftList {
    items: Vec<ShiftView>,
}

/// Shifts of a period
///
/// Every shift that touches the period, whole.
#[utoipa::path(get, path = "/api/v1/shifts", tag = "kpi",
    params(("from" = Option<String>, Query, description = "RFC 3339; 24 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given")),
    responses((status = 200, body = ShiftList), Problems))]
pub async fn shifts(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<ShiftList>, Problem> {
    let period = params.period(clock::now(), DAY_US, 6 * MAX_PERIOD_US);
    let (period,) = params.finish((period,))?;
    let shifts = app.twin.calendar().shifts(period).into_iter();
    let items = shifts.map(|s| ShiftView { name: s.name, from: s.range.from.into(), to: s.range.to.into() });
    Ok(Json(ShiftList { items: items.collect() }))
}

/// Calculate OEE
///
/// From explicit numbers (one run or several), from an event log (`window`, `states`, cumulative counters), or from a machine's own data (`device_id`,
/// `from`, `to`).
#[utoipa::path(post, path = "/api/v1/industry40/oee/calculate", tag = "kpi", request_body = CalculateRequest,
    responses((status = 200, body = Oee), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn calculate(State(app): State<App>, _: Viewer, Body(body): Body<serde_json::Value>) -> Result<Json<Oee>, Problem> {
    let request = CalculateRequest::from_json(body).map_err(|e| Problem::bad_request(e.to_string()))?;
    let now = clock::now();
    let rules = app.twin.reckoning().rules;
    let oee = match request {
        CalculateRequest::Explicit(request) => request.calculate(&rules)?,
        CalculateRequest::EventLog(request) => request.calculate(now, &rules)?,
        CalculateRequest::Device(request) => {
            let asset = AssetPath::new(&request.device_id).map_err(|e| wrong("device_id", e.to_string()))?;
            let period = Period { from: request.from, to: request.to }.range();
            if period.from >= period.to {
                return Err(wrong("from", "must be before to"));
            }
            if period.to.micros_since(period.from) > MAX_PERIOD_US {
                return Err(wrong("from", format!("is more than {} days before to", MAX_PERIOD_US / DAY_US)));
            }
            let history = History::read(&app, &asset, period, now).await?;
            history.prepared.oee(history.range, history.known_until)
        }
    };
    Ok(Json(oee))
}

fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![ProblemField { field: field.into(), detail: detail.into() }])
}
