//! OEE, states and shifts of a machine, for any period.

use axum::{Json, extract::State};
use protocol::{AssetPath, PartCount, StateChange, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::Viewer,
    assets,
    body::Body,
    params::{Params, parsed},
    problem::{Problem, ProblemField, Problems},
};
use crate::{
    app::App,
    clock,
    kpi::{
        oee::{Oee, PartTally, StatePoint, Tally, state_spans},
        oee_request::{EventLogRequest, ExplicitRequest},
    },
    twin::view::ShiftView,
    utc::{Period, Utc},
};

const DAY_US: i64 = 86_400_000_000;
/// Of one question.
const MAX_PERIOD_US: i64 = 62 * DAY_US;
const MAX_BUCKETS: usize = 2_000;

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
        let tally = history.tally(part);
        total += &tally;
        if cut.is_some() {
            buckets.push(OeeBucket { from: part.from.into(), to: part.to.into(), oee: tally.oee(history.ideal_cycle_s) });
        }
    }
    let total = total.oee(history.ideal_cycle_s);
    Ok(Json(OeeAnswer { asset: asset.to_string(), from: history.range.from.into(), to: history.range.to.into(), total, buckets }))
}

/// Shifts, and what lies between them, without gaps.
fn by_shift(app: &App, range: TimeRange) -> Vec<TimeRange> {
    let shifts: Vec<_> = planned(app, range);
    let mut all = crate::kpi::calendar::gaps(range, shifts.iter().copied());
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
    states: Vec<StateChange>,
    points: Vec<StatePoint>,
    parts: Vec<PartCount>,
    planned: Vec<TimeRange>,
    ideal_cycle_s: Option<f64>,
}

impl History {
    async fn read(app: &App, asset: &AssetPath, asked: TimeRange, now: Timestamp) -> Result<Self, Problem> {
        let mut history = Self::read_states(app, asset, asked, now).await?;
        history.parts = app.lake.parts(asset, history.range).await?;
        Ok(history)
    }

    async fn read_states(app: &App, asset: &AssetPath, asked: TimeRange, now: Timestamp) -> Result<Self, Problem> {
        if !app.twin.knows(asset) {
            return Err(assets::unknown(asset));
        }
        if asked.from >= now {
            return Err(wrong("from", "lies in the future"));
        }
        let range = TimeRange { from: asked.from, to: asked.to.min(now) };
        let states = app.lake.states(asset, range).await?;
        Ok(Self {
            range,
            known_until: app.twin.known_until(asset, now),
            points: states.iter().map(|s| StatePoint { at: s.event_time, state: s.state }).collect(),
            states,
            parts: Vec::new(),
            planned: planned(app, range),
            ideal_cycle_s: app.twin.ideal_cycle_s(asset),
        })
    }

    /// Of a part of the period.
    fn tally(&self, part: TimeRange) -> Tally {
        // Only what touches the part: else a long period with many buckets would be quadratic.
        let first = self.points.partition_point(|p| p.at <= part.from).saturating_sub(1);
        let last = self.points.partition_point(|p| p.at < part.to).max(first);
        let planned: Vec<_> = self.planned.iter().copied().filter(|p| p.from < part.to && p.to > part.from).collect();
        let mut tally = Tally::of_states(part, Some(&planned), &self.points[first..last], self.known_until);
        let (from, to) = (self.parts.partition_point(|p| p.to <= part.from), self.parts.partition_point(|p| p.to <= part.to));
        let mut parts = PartTally::default();
        for count in &self.parts[from..to] {
            parts += PartTally { produced: count.produced, rejected: count.rejected, reworked: count.reworked, startup_rejected: 0 };
        }
        tally.add_parts(parts, self.ideal_cycle_s);
        tally
    }
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
    let history = History::read_states(&app, &asset, period, now).await?;
    let spans = state_spans(history.range, &history.points, history.known_until);
    let items = spans.into_iter().map(|span| {
        let change = span.point.and_then(|i| history.states.get(i));
        StateItem {
            from: span.range.from.into(),
            to: span.range.to.into(),
            state: span.state.map_or("no_data", |s| s.as_str()),
            stop_reason: change.map(|c| c.reason.clone()).filter(|r| !r.is_empty()),
        }
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

/// OEE of a machine's own data.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// `site/area/line/machine`
    device_id: String,
    from: Utc,
    to: Utc,
}

/// One of three forms.
#[derive(Debug, ToSchema)]
#[schema(as = OeeRequest)]
#[expect(dead_code, reason = "describes a body; the form is told by its keys")]
pub enum CalculateRequest {
    #[schema(title = "explicit")]
    Explicit(ExplicitRequest),
    #[schema(title = "event_log")]
    EventLog(EventLogRequest),
    #[schema(title = "device")]
    Device(DeviceRequest),
}

/// Calculate OEE
///
/// From explicit numbers (one run or several), from an event log (`window`, `states`, cumulative counters), or from a machine's own data (`device_id`,
/// `from`, `to`).
#[utoipa::path(post, path = "/api/v1/industry40/oee/calculate", tag = "kpi", request_body = CalculateRequest,
    responses((status = 200, body = Oee), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn calculate(State(app): State<App>, _: Viewer, Body(body): Body<serde_json::Value>) -> Result<Json<Oee>, Problem> {
    let has = |key: &str| body.get(key).is_some();
    if has("device_id") {
        let request: DeviceRequest = read(body)?;
        let asset = AssetPath::new(&request.device_id).map_err(|e| wrong("device_id", e.to_string()))?;
        let now = clock::now();
        let period = Period { from: request.from, to: request.to }.range();
        if period.from >= period.to {
            return Err(wrong("from", "must be before to"));
        }
        if period.to.micros_since(period.from) > MAX_PERIOD_US {
            return Err(wrong("from", format!("is more than {} days before to", MAX_PERIOD_US / DAY_US)));
        }
        let history = History::read(&app, &asset, period, now).await?;
        Ok(Json(history.tally(history.range).oee(history.ideal_cycle_s)))
    } else if has("window") || has("states") {
        Ok(Json(read::<EventLogRequest>(body)?.calculate()?))
    } else {
        Ok(Json(read::<ExplicitRequest>(body)?.calculate()?))
    }
}

fn read<T: serde::de::DeserializeOwned>(body: serde_json::Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|e| Problem::bad_request(e.to_string()))
}

fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![ProblemField { field: field.into(), detail: detail.into() }])
}
