//! OEE of machines and of what lies above them, with what explains it; states and shifts; for any period.

use std::sync::Arc;

use axum::{Json, extract::State};
use kpi::{
    oee::{
        Catalogue, Change, Comparison, Interval, LossNode, Oee, Pareto, ParetoBy, Prepared, RollUp, Rules, RunFigures, WhatIf,
        request::CalculateRequest, what_if,
    },
    utc::{Period, Utc},
};
use protocol::{AssetPath, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::Viewer,
    assets,
    body::Body,
    history::{Asked, DAY_US, Histories, History, MAX_PERIOD_US, Scope, passed, states_around, wrong},
    params::{Params, parsed, time},
    problem::{Problem, Problems},
};
use crate::{app::App, clock, twin::view::ShiftView};

const MAX_BUCKETS: usize = 2_000;
/// Intervals that explain one answer.
const MAX_INTERVALS: usize = 10_000;

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
    /// As asked.
    asset: String,
    from: Utc,
    /// As asked, but not after now.
    to: Utc,
    total: Oee,
    /// Without gaps; the first and the last are clipped to the period. Their times and counts add up to the total's.
    buckets: Vec<OeeBucket>,
    /// The planned busy time and what became of it; each node is the sum of its children.
    losses: LossNode,
    /// The losses by their size.
    pareto: Pareto,
    /// With `explain=true`: every interval of the period with its cause, the rule that decided, and its evidence.
    intervals: Option<Vec<Interval>>,
    /// There are more: ask again from where the last one ends.
    intervals_truncated: bool,
    /// With `explain=true`: every product run by itself.
    runs: Option<Vec<RunFigures>>,
    /// With `compare_from` and `compare_to`: what changed against that period.
    comparison: Option<Comparison>,
    /// Of a site, an area or a line: the tree down to the machines.
    roll_up: Option<RollUp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OeeBucket {
    from: Utc,
    to: Utc,
    oee: Oee,
}

/// OEE of a machine, a line, an area or a site
///
/// From states, part counts and the shift calendar, with the tree and the Pareto of its losses. Buckets are local hours, shifts or days. What lies
/// above machines is the sum of their times, parts and losses; no ratio is averaged.
#[utoipa::path(get, path = "/api/v1/oee", tag = "kpi",
    params(("asset" = String, Query, description = "`site/area/line/machine`, or the beginning of it: `site/area/line`, `site/area`, `site`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("bucket" = Option<String>, Query, description = "`hour`, `shift` or `day`; without it only the total"),
           ("by" = Option<String>, Query, description = "Rows of the Pareto and of the comparison: `reason` (if not given), `top_reason` or `category`"),
           ("explain" = Option<bool>, Query, description = "Tell every interval; of one machine only"),
           ("compare_from" = Option<String>, Query, description = "RFC 3339: beginning of the period to compare with"),
           ("compare_to" = Option<String>, Query, description = "RFC 3339: its end")),
    responses((status = 200, body = OeeAnswer), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn of_scope(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<OeeAnswer>, Problem> {
    let now = clock::now();
    let scope = params.required("asset", parsed::<Scope>);
    let period = params.period(now, DAY_US / 3, MAX_PERIOD_US);
    let cut = params.optional("bucket", bucket);
    let by = params.optional("by", pareto_by);
    let explain = params.optional("explain", parsed::<bool>);
    let compared = (params.optional("compare_from", time), params.optional("compare_to", time));
    let compared = compared.0.zip(compared.1);
    let (scope, period, cut, by, explain, compared) = params.finish((scope, period, cut, by, explain, compared))?;
    let (by, explain) = (by.unwrap_or(ParetoBy::Reason), explain.unwrap_or(false));
    let before = match compared {
        (None, None) => None,
        (Some(from), Some(to)) => Some(checked(TimeRange { from, to }, "compare_from")?),
        _ => return Err(wrong("compare_from", "needs compare_to, and compare_to needs it")),
    };
    if explain && matches!(scope, Scope::Below(_)) {
        return Err(wrong("explain", "needs one machine, as site/area/line/machine"));
    }
    let range = passed(period, now)?;
    let mut asked = Asked::sums(&app, range);
    match cut {
        None | Some(Bucket::Day) => {}
        Some(Bucket::Hour) => asked.pieces = app.twin.calendar().hours(range),
        Some(Bucket::Shift) => asked.pieces = by_shift(&app, range),
    }
    asked.whole = explain;
    if asked.pieces.len() > MAX_BUCKETS {
        return Err(wrong("bucket", format!("makes more than {MAX_BUCKETS} buckets of this period")));
    }
    let histories = Histories::read(&app, &scope, asked, now).await?;
    let before = match before {
        Some(before) => Some(Histories::read(&app, &scope, Asked::sums(&app, passed(before, now)?), now).await?),
        None => None,
    };
    let wanted = Wanted { buckets: cut.is_some(), by, explain };
    let answer = move || answer(&scope, &histories, wanted, before.as_ref());
    let answer = tokio::task::spawn_blocking(answer).await.map_err(|_| Problem::internal())?;
    Ok(Json(answer))
}

/// What is asked beside the figures themselves.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    buckets: bool,
    by: ParetoBy,
    explain: bool,
}

fn answer(scope: &Scope, histories: &Histories, wanted: Wanted, before: Option<&Histories>) -> OeeAnswer {
    let (rules, catalogue) = (&histories.reckoning.rules, &histories.reckoning.catalogue);
    let (range, ideal_cycle_s) = (histories.range, histories.ideal_cycle_s());
    let total = histories.total();
    let bucket = |(index, part): (usize, &TimeRange)| OeeBucket {
        from: part.from.into(),
        to: part.to.into(),
        oee: histories.oee(&histories.piece(index)),
    };
    let buckets = if wanted.buckets { histories.pieces.iter().enumerate().map(bucket).collect() } else { Vec::new() };
    let one = histories.machines.first().filter(|_| wanted.explain);
    let one = one.and_then(|machine| Some((machine.prepared.as_ref()?, machine.known_until)));
    let mut intervals = one.map(|(prepared, known_until)| prepared.intervals(range, known_until, MAX_INTERVALS + 1));
    let intervals_truncated = intervals.as_ref().is_some_and(|all| all.len() > MAX_INTERVALS);
    if let Some(all) = &mut intervals {
        all.truncate(MAX_INTERVALS);
    }
    let sums: Vec<_> = histories.machines.iter().map(|machine| (machine, machine.total())).collect();
    let roll_up = RollUp::of(sums.iter().map(|(machine, tally)| (&machine.asset, tally, machine.ideal_cycle_s)), rules);
    OeeAnswer {
        asset: scope.to_string(),
        from: range.from.into(),
        to: range.to.into(),
        total: histories.oee(&total),
        buckets,
        losses: total.loss_tree(rules, ideal_cycle_s),
        pareto: total.pareto(wanted.by, rules, catalogue, ideal_cycle_s),
        intervals,
        intervals_truncated,
        runs: one.map(|(prepared, known_until)| prepared.run_figures(range, known_until)),
        comparison: before.map(|before| Comparison::of(&before.total(), &total, wanted.by, rules, catalogue, ideal_cycle_s)),
        roll_up: match scope {
            Scope::Machine(_) => None,
            Scope::Below(prefix) => roll_up.find(prefix).cloned(),
        },
    }
}

fn pareto_by(text: &str) -> Result<ParetoBy, String> {
    match text {
        "reason" => Ok(ParetoBy::Reason),
        "top_reason" => Ok(ParetoBy::TopReason),
        "category" => Ok(ParetoBy::Category),
        _ => Err("must be reason, top_reason or category".into()),
    }
}

/// A period that a body or a second pair of parameters holds.
fn checked(period: TimeRange, field: &str) -> Result<TimeRange, Problem> {
    if period.from >= period.to {
        return Err(wrong(field, "must be before to"));
    }
    if period.to.micros_since(period.from) > MAX_PERIOD_US {
        return Err(wrong(field, format!("is more than {} days before to", MAX_PERIOD_US / DAY_US)));
    }
    Ok(period)
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

/// What would be different.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"asset": "plant1/press-shop/line1/press-1", "from": "2026-01-05T06:00:00Z", "to": "2026-01-12T06:00:00Z",
    "changes": [{"change": "minor_stops_gone", "below_s": 60}]}))]
pub struct WhatIfRequest {
    /// `site/area/line/machine`, or the beginning of it.
    asset: String,
    from: Utc,
    to: Utc,
    /// They hold together.
    changes: Vec<Change>,
}

/// OEE as it would have been
///
/// If minor stops were gone, stops of a reason or of a category shorter, the cycle faster, or fewer parts rejected. Time that is set free is production at
/// the pace of the period.
#[utoipa::path(post, path = "/api/v1/oee/what-if", tag = "kpi", request_body = WhatIfRequest,
    responses((status = 200, body = WhatIf), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn would_be(State(app): State<App>, _: Viewer, Body(request): Body<WhatIfRequest>) -> Result<Json<WhatIf>, Problem> {
    let scope: Scope = request.asset.parse().map_err(|e: String| wrong("asset", e))?;
    let period = checked(Period { from: request.from, to: request.to }.range(), "from")?;
    let now = clock::now();
    let range = passed(period, now)?;
    let histories = Histories::read(&app, &scope, Asked::whole(range), now).await?;
    let shifts = app.twin.calendar().shifts(range);
    let share = |s: &kpi::calendar::Shift| {
        let within = s.range.to.min(range.to).micros_since(s.range.from.max(range.from));
        within as f64 / s.range.to.micros_since(s.range.from) as f64
    };
    let shifts: f64 = shifts.iter().map(share).sum();
    let answer = move || {
        let prepared = |m: &History| m.prepared.as_ref().map(|prepared| prepared.stops(range, m.known_until));
        let stops: Vec<_> = histories.machines.iter().filter_map(prepared).flatten().collect();
        let reckoning = &histories.reckoning;
        what_if(&histories.total(), &stops, &request.changes, shifts, &reckoning.rules, &reckoning.catalogue)
    };
    let answer = tokio::task::spawn_blocking(answer).await.map_err(|_| Problem::internal())?;
    Ok(Json(answer?))
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
    if !app.twin.knows(&asset) {
        return Err(assets::unknown(&asset));
    }
    let range = passed(period, now)?;
    let record = states_around(&app, &asset, range, now).await?;
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
            let period = checked(Period { from: request.from, to: request.to }.range(), "from")?;
            let asked = Asked::sums(&app, passed(period, now)?);
            let histories = Histories::read(&app, &Scope::Machine(asset), asked, now).await?;
            histories.oee(&histories.total())
        }
    };
    Ok(Json(oee))
}
