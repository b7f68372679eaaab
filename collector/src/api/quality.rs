//! Control charts, capability and yields: of a signal's windows and a machine's part counts, or of numbers that the caller brings.
//!
//! What is reckoned is `kpi::quality`. Each window of a signal is a subgroup of its readings; with `size` the means of so many windows in a row are one.

use axum::{Json, extract::State};
use futures::{StreamExt, TryStreamExt, stream};
use kpi::{
    quality::{
        capability::{self, CapabilityAnswer, CapabilityRequest, Specification, Within},
        chart::{self, ChartAnswer, ChartKind, ChartRequest},
        data::{self, ChartData, Sample, Single},
        rules::RuleSet,
        yields::{self, StepCounts, YieldAnswer, YieldRequest},
    },
    utc::Period,
};
use lake::WindowPoint;
use protocol::{AssetPath, PartCount, Quality, SignalName, TimeQuality, TimeRange, WindowSummary};

use super::{
    access::Viewer,
    assets,
    body::Body,
    history::{DAY_US, MAX_PERIOD_US, Scope, machines_of, parts_in, passed, wrong},
    params::{Params, parsed, time},
    problem::{Problem, Problems},
};
use crate::{app::App, clock, metering};

/// Windows of one question. A chart tells each of them.
const MAX_CHART_WINDOWS: usize = 20_000;
const MAX_CAPABILITY_WINDOWS: usize = 200_000;
/// Windows whose means make one subgroup.
const MAX_SIZE: usize = 100;
/// Machines that are read at a time.
const AT_A_TIME: usize = 4;

/// Where the values come from.
struct Source {
    asset: AssetPath,
    range: TimeRange,
    signal: Option<SignalName>,
}

/// `asset`, `from`, `to` and `signal`.
fn source(params: &mut Params, now: protocol::Timestamp) -> Option<Source> {
    let asset = params.required("asset", parsed::<AssetPath>);
    let period = params.period(now, DAY_US / 3, MAX_PERIOD_US);
    let signal = params.optional("signal", parsed::<SignalName>);
    Some(Source { asset: asset?, range: period?, signal: signal? })
}

fn size(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (2..=MAX_SIZE).contains(n)).ok_or_else(|| format!("must be a number of windows from 2 to {MAX_SIZE}"))
}

impl Source {
    /// What of the period has passed, of a machine that is known.
    fn checked(self, app: &App) -> Result<Self, Problem> {
        if !app.twin.knows(&self.asset) {
            return Err(assets::unknown(&self.asset));
        }
        Ok(Self { range: passed(self.range, clock::now())?, ..self })
    }

    /// Windows of the signal whose readings lie in the period, those of bad quality left out.
    async fn windows(&self, app: &App, most: usize) -> Result<Vec<WindowSummary>, Problem> {
        let signal = self.signal.as_ref().ok_or_else(|| wrong("signal", "is missing"))?;
        let rows = app.lake.windows(&self.asset, signal, self.range, most).await?;
        if rows.units.len() > 1 {
            let units = rows.units.join(" and ");
            return Err(wrong("from", format!("the signal is in {units} in this period: ask for a period with one unit")));
        }
        let unit = rows.units.first().cloned().unwrap_or_default();
        let inside = rows.points.iter().filter(|p| p.start >= self.range.from && p.end <= self.range.to);
        Ok(inside.map(|p| self.summary(p, signal, &unit)).collect())
    }

    fn summary(&self, p: &WindowPoint, signal: &SignalName, unit: &str) -> WindowSummary {
        WindowSummary {
            asset: self.asset.clone(),
            signal: signal.clone(),
            unit: unit.to_owned(),
            start: p.start,
            end: p.end,
            count: p.count,
            min: p.min,
            max: p.max,
            mean: p.mean,
            stddev: p.stddev,
            first: p.mean,
            last: p.last,
            quality: Quality::Good,
            time_quality: TimeQuality::Synced,
            correction: p.correction,
        }
    }

    /// Parts and bad parts of each local hour.
    async fn samples(&self, app: &App) -> Result<Vec<Sample>, Problem> {
        let counts = parts_in(app, &self.asset, self.range).await?;
        let parts = metering::part_counts(&counts);
        let hours = app.twin.calendar().hours(self.range).into_iter();
        let sample = |hour: TimeRange| {
            let first = parts.partition_point(|p| p.to.0 <= hour.from);
            let of_hour = || parts[first..].iter().take_while(|p| p.to.0 <= hour.to);
            let size = of_hour().map(|p| p.produced as f64).sum();
            Sample { at: hour.from.into(), size, defects: of_hour().map(|p| p.rejected.saturating_add(p.reworked)).sum() }
        };
        Ok(hours.map(sample).collect())
    }
}

/// The mean of each window.
fn means(windows: &[WindowSummary]) -> Vec<Single> {
    data::summaries(windows).into_iter().map(|s| Single { at: s.at, value: Some(s.mean) }).collect()
}

/// Windows as subgroups of their readings, or of `size` window means.
fn grouped(windows: &[WindowSummary], size: Option<usize>) -> ChartData {
    match size {
        Some(size) => ChartData::Subgroups(data::subgroups(&means(windows), size)),
        None => ChartData::Summaries(data::summaries(windows)),
    }
}

fn chart_kind(text: &str) -> Result<ChartKind, String> {
    match text {
        "xbar_r" => Ok(ChartKind::XbarR),
        "xbar_s" => Ok(ChartKind::XbarS),
        "individuals" => Ok(ChartKind::Individuals),
        "p" => Ok(ChartKind::P),
        "np" => Ok(ChartKind::Np),
        "u" => Ok(ChartKind::U),
        _ => Err("must be xbar_r, xbar_s, individuals, p, np or u".into()),
    }
}

/// Control chart of a signal, or of bad parts
///
/// `xbar_r`, `xbar_s`: each window is a subgroup of its readings; with `size` the means of so many windows. `individuals`: the means of windows.
/// `p`, `np`, `u`: parts that were rejected or reworked, of each local hour; without a signal.
#[utoipa::path(get, path = "/api/v1/quality/chart", tag = "kpi",
    params(("asset" = String, Query, description = "`site/area/line/machine`"),
           ("signal" = Option<String>, Query, description = "`spindle_temperature`; not for `p`, `np` and `u`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("kind" = Option<String>, Query, description = "`xbar_s` (if not given), `xbar_r`, `individuals`, `p`, `np` or `u`"),
           ("rules" = Option<String>, Query, description = "`western_electric` (if not given), `nelson` or `limits_only`"),
           ("size" = Option<usize>, Query, description = "Windows whose means make one subgroup, 2 to 100"),
           ("baseline_from" = Option<String>, Query, description = "RFC 3339: beginning of the period that makes the limits; all if not given"),
           ("baseline_to" = Option<String>, Query, description = "RFC 3339: its end")),
    responses((status = 200, body = ChartAnswer), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn chart(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<ChartAnswer>, Problem> {
    let source = source(&mut params, clock::now());
    let kind = params.optional("kind", chart_kind);
    let rules = params.optional("rules", |text| match text {
        "western_electric" => Ok(RuleSet::WesternElectric),
        "nelson" => Ok(RuleSet::Nelson),
        "limits_only" => Ok(RuleSet::LimitsOnly),
        _ => Err("must be western_electric, nelson or limits_only".into()),
    });
    let size = params.optional("size", size);
    let baseline = (params.optional("baseline_from", time), params.optional("baseline_to", time));
    let baseline = baseline.0.zip(baseline.1);
    let (source, kind, rules, size, baseline) = params.finish((source, kind, rules, size, baseline))?;
    let baseline = match baseline {
        (None, None) => None,
        (Some(from), Some(to)) => Some(Period::from(TimeRange { from, to })),
        _ => return Err(wrong("baseline_from", "needs baseline_to, and baseline_to needs it")),
    };
    let chart = kind.unwrap_or(ChartKind::XbarS);
    let of_counts = matches!(chart, ChartKind::P | ChartKind::Np | ChartKind::U);
    if of_counts && source.signal.is_some() {
        return Err(wrong("signal", "has no bad parts: leave it out, or take xbar_s, xbar_r or individuals"));
    }
    if size.is_some() && !matches!(chart, ChartKind::XbarR | ChartKind::XbarS) {
        return Err(wrong("size", "is for xbar_r and xbar_s"));
    }
    let source = source.checked(&app)?;
    let data = if of_counts {
        ChartData::Samples(source.samples(&app).await?)
    } else {
        let windows = source.windows(&app, MAX_CHART_WINDOWS).await?;
        if chart == ChartKind::Individuals { ChartData::Singles(means(&windows)) } else { grouped(&windows, size) }
    };
    let request = ChartRequest { chart, data, baseline, given: None, rules: rules.unwrap_or_default() };
    charted(request).await
}

/// Control chart of values that you bring
#[utoipa::path(post, path = "/api/v1/quality/chart", tag = "kpi", request_body = ChartRequest,
    responses((status = 200, body = ChartAnswer), Problems))]
pub async fn chart_of(_: Viewer, Body(request): Body<ChartRequest>) -> Result<Json<ChartAnswer>, Problem> {
    charted(request).await
}

async fn charted(request: ChartRequest) -> Result<Json<ChartAnswer>, Problem> {
    let answer = tokio::task::spawn_blocking(move || chart::chart(&request)).await.map_err(|_| Problem::internal())?;
    Ok(Json(answer?))
}

/// Capability of a signal
///
/// Cp, Cpk, Pp, Ppk and Cpm with their intervals. Readings of one window are a subgroup; with `size` the means of so many windows.
#[utoipa::path(get, path = "/api/v1/quality/capability", tag = "kpi",
    params(("asset" = String, Query, description = "`site/area/line/machine`"),
           ("signal" = String, Query, description = "`spindle_temperature`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("lower" = Option<f64>, Query, description = "Lower specification limit; one of both is needed"),
           ("upper" = Option<f64>, Query, description = "Upper specification limit"),
           ("target" = Option<f64>, Query, description = "The middle of both limits if not given"),
           ("size" = Option<usize>, Query, description = "Windows whose means make one subgroup, 2 to 100"),
           ("confidence" = Option<f64>, Query, description = "Of the intervals, .95 if not given")),
    responses((status = 200, body = CapabilityAnswer), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn capability(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<CapabilityAnswer>, Problem> {
    let source = source(&mut params, clock::now());
    let lsl = params.optional("lower", number);
    let usl = params.optional("upper", number);
    let target = params.optional("target", number);
    let size = params.optional("size", size);
    let confidence = params.optional("confidence", number);
    let (source, lsl, usl, target, size, confidence) = params.finish((source, lsl, usl, target, size, confidence))?;
    if lsl.is_none() && usl.is_none() {
        return Err(wrong("lower", "or upper is needed: a specification limit"));
    }
    if lsl.zip(usl).is_some_and(|(lsl, usl)| lsl >= usl) {
        return Err(wrong("lower", "must be less than upper"));
    }
    let source = source.checked(&app)?;
    let windows = source.windows(&app, MAX_CAPABILITY_WINDOWS).await?;
    let request = CapabilityRequest {
        data: grouped(&windows, size),
        specification: Specification { lsl, usl, target },
        within: Within::StandardDeviation,
        confidence: confidence.unwrap_or(0.95),
    };
    capable(request).await
}

/// Capability of values that you bring
#[utoipa::path(post, path = "/api/v1/quality/capability", tag = "kpi", request_body = CapabilityRequest,
    responses((status = 200, body = CapabilityAnswer), Problems))]
pub async fn capability_of(_: Viewer, Body(request): Body<CapabilityRequest>) -> Result<Json<CapabilityAnswer>, Problem> {
    capable(request).await
}

async fn capable(request: CapabilityRequest) -> Result<Json<CapabilityAnswer>, Problem> {
    let answer = tokio::task::spawn_blocking(move || capability::capability(&request)).await.map_err(|_| Problem::internal())?;
    Ok(Json(answer?))
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(|| "must be a number".to_owned())
}

/// Yields of a scope
///
/// Each machine of a line is a step: first pass yield, scrap and rework of each, and the yield over all of them. Rejected parts are scrap.
#[utoipa::path(get, path = "/api/v1/quality/yield", tag = "kpi",
    params(("scope" = String, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("from" = Option<String>, Query, description = "RFC 3339; 8 hours before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given")),
    responses((status = 200, body = YieldAnswer), (status = 404, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn yields(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<YieldAnswer>, Problem> {
    let now = clock::now();
    let scope = params.required("scope", parsed::<Scope>);
    let period = params.period(now, DAY_US / 3, MAX_PERIOD_US);
    let (scope, period) = params.finish((scope, period))?;
    let range = passed(period, now)?;
    let steps = stream::iter(machines_of(&app, &scope)?).map(|asset| step(&app, asset, range));
    let steps: Vec<StepCounts> = steps.buffered(AT_A_TIME).try_collect().await?;
    Ok(Json(yields::yields(&YieldRequest { steps })?))
}

async fn step(app: &App, asset: AssetPath, range: TimeRange) -> Result<StepCounts, Problem> {
    let counts = parts_in(app, &asset, range).await?;
    Ok(step_counts(asset.to_string(), &counts))
}

/// Rejects at the edge of a period may be of parts that were made before it: never more bad parts than parts.
fn step_counts(name: String, counts: &[PartCount]) -> StepCounts {
    let parts = metering::part_counts(counts);
    let sum = |of: fn(&kpi::energy::Parts) -> u64| parts.iter().map(of).fold(0_u64, u64::saturating_add);
    StepCounts {
        name,
        produced: sum(|p| p.produced),
        scrap: sum(|p| p.rejected),
        rework: sum(|p| p.reworked),
        defects: 0,
        opportunities: 0,
    }
}

/// Yields of counts that you bring
#[utoipa::path(post, path = "/api/v1/quality/yield", tag = "kpi", request_body = YieldRequest,
    responses((status = 200, body = YieldAnswer), Problems))]
pub async fn yields_of(_: Viewer, Body(request): Body<YieldRequest>) -> Result<Json<YieldAnswer>, Problem> {
    Ok(Json(yields::yields(&request)?))
}
