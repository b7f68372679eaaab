//! Control charts: X-bar with R or S, individuals with moving range, p, np and u.
//!
//! Stands between `quality::data` and the answer. Pure.
//!
//! A baseline (all points, or those of a time range) makes centre and standard deviation:
//! - X-bar/R: sigma = mean of R_i / d2(n_i); X-bar/S: sigma = mean of s_i / c4(n_i). The centre is the mean of all values. With equal sizes these are
//!   R-bar / d2, S-bar / c4 and the mean of means (Montgomery, *Introduction to Statistical Quality Control*, chapter 6; NIST/SEMATECH e-Handbook 6.3.2);
//! - individuals: sigma = mean moving range of neighbours / d2(2) (NIST 6.3.2.2); a missing value makes no range;
//! - p and np: p-bar = defectives / parts, sigma^2 = p-bar (1 - p-bar) / n; u: u-bar = defects / units, sigma^2 = u-bar / n (NIST 6.3.3).
//!
//! Limits are centre -+ 3 standard deviations of the point's own size, cut at what the statistic can be.
//!
//! Invariants: each point of a chart has the index of its row in order of time. A missing subgroup has no value, breaks runs and is flagged. A
//! baseline that does not vary has limits on its centre, and no rule is looked at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    constants::{MAX_RANGE_SIZE, c4, d2_d3},
    data::{ChartData, Group, Sample, Single},
    rules::{Rule, RuleSet, Violation, violations},
};
use crate::{
    field::{Faults, FieldError},
    utc::{Period, Utc},
};

/// Fewer make trial limits that are not to be relied on (Montgomery: 20 to 25 subgroups).
const ENOUGH: usize = 20;
/// Beyond this size a range uses too little of its values: S is better.
const LARGE: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    XbarR,
    XbarS,
    /// With moving ranges of two.
    Individuals,
    /// Share of defective parts.
    P,
    /// Number of defective parts in samples of one size.
    Np,
    /// Defects a unit; with units of 1, a c chart.
    U,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChartRequest {
    pub chart: ChartKind,
    pub data: ChartData,
    /// The points that make the limits, by their time; `None`: all.
    #[serde(default)]
    pub baseline: Option<Period>,
    /// Centre and sigma that are known; then no baseline is needed.
    #[serde(default)]
    pub given: Option<Given>,
    #[serde(default)]
    pub rules: RuleSet,
}

/// What is known of the process beforehand. For p, np and u `sigma` is not used: `center` is the share, or the defects a unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub center: f64,
    #[serde(default)]
    pub sigma: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChartFlag {
    /// Fewer than 20 points in the baseline.
    FewPoints,
    /// The baseline does not vary: no rule was looked at.
    Constant,
    MissingSubgroups,
    /// Subgroups differ in size: limits vary from point to point.
    SizesDiffer,
    /// Ranges of more than 10 values: take X-bar/S.
    LargeSubgroups,
    /// The baseline itself breaks a rule: find the cause, and leave those points out.
    BaselineNotInControl,
    /// Samples so small that n p (or n u) is below 5: normal limits are rough.
    SmallSamples,
}

/// A point with its own limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    pub at: Utc,
    /// `None`: missing.
    pub value: Option<f64>,
    pub center: f64,
    pub lcl: f64,
    pub ucl: f64,
    pub in_baseline: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Chart {
    /// `xbar`, `r`, `s`, `individuals`, `moving_range`, `p`, `np` or `u`.
    pub statistic: String,
    pub points: Vec<Point>,
    pub violations: Vec<Violation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChartAnswer {
    pub center: f64,
    /// Standard deviation of single values within subgroups; for counts `None`.
    pub sigma_within: Option<f64>,
    /// Points that made the limits.
    pub baseline_points: usize,
    /// Of location first, then of spread; one for counts.
    pub charts: Vec<Chart>,
    pub flags: Vec<ChartFlag>,
}

/// A control chart.
///
/// # Errors
/// Every field that can't be, and too few points for limits.
pub fn chart(request: &ChartRequest) -> Result<ChartAnswer, Vec<FieldError>> {
    let mut faults = Faults::default();
    request.data.check(&mut faults);
    if let Some(given) = request.given {
        faults.within("given.center", given.center, -1e100, 1e100);
        faults.within("given.sigma", given.sigma, 0.0, 1e100);
    }
    if request.baseline.is_some_and(|b| b.from >= b.to) {
        faults.add("baseline.from", "must be before its end");
    }
    faults.or(())?;
    let fits = |what: &str| vec![FieldError { field: "data.kind".into(), detail: format!("does not fit the chart: it needs {what}") }];
    match request.chart {
        ChartKind::XbarR | ChartKind::XbarS => {
            let groups = request.data.groups().ok_or_else(|| fits("subgroups or summaries"))?;
            means(request, &groups)
        }
        ChartKind::Individuals => singles(request, &request.data.singles().ok_or_else(|| fits("singles"))?),
        ChartKind::P | ChartKind::Np | ChartKind::U => counts(request, &request.data.samples().ok_or_else(|| fits("samples"))?),
    }
}

fn error<T>(field: &str, detail: impl Into<String>) -> Result<T, Vec<FieldError>> {
    Err(vec![FieldError { field: field.into(), detail: detail.into() }])
}

fn in_baseline(request: &ChartRequest, at: Utc) -> bool {
    request.baseline.is_none_or(|b| at >= b.from && at < b.to)
}

/// One value with its centre and standard deviation, before the rules.
struct Raw {
    at: Utc,
    value: Option<f64>,
    center: f64,
    sd: f64,
    lower: f64,
    upper: f64,
}

/// Limits, z and violations of one statistic.
fn finish(request: &ChartRequest, statistic: &str, raw: &[Raw], rules: &[Rule]) -> Chart {
    let point = |r: &Raw| Point {
        at: r.at,
        value: r.value,
        center: r.center,
        lcl: (r.center - 3.0 * r.sd).max(r.lower),
        ucl: (r.center + 3.0 * r.sd).min(r.upper),
        in_baseline: in_baseline(request, r.at),
    };
    let z: Vec<Option<f64>> = raw.iter().map(|r| r.value.filter(|_| r.sd > 0.0).map(|v| (v - r.center) / r.sd)).collect();
    Chart { statistic: statistic.into(), points: raw.iter().map(point).collect(), violations: violations(&z, rules) }
}

fn answer(request: &ChartRequest, center: f64, sigma: Option<f64>, charts: Vec<Chart>, mut flags: Vec<ChartFlag>) -> ChartAnswer {
    let first = charts.first();
    let baseline_points = first.map_or(0, |c| c.points.iter().filter(|p| p.in_baseline && p.value.is_some()).count());
    let given = request.given.is_some();
    if !given && baseline_points < ENOUGH {
        flags.push(ChartFlag::FewPoints);
    }
    if first.is_some_and(|c| c.points.iter().any(|p| p.value.is_none())) {
        flags.push(ChartFlag::MissingSubgroups);
    }
    if !given && charts.iter().any(|c| c.violations.iter().any(|v| c.points[v.at].in_baseline && c.points[v.from].in_baseline)) {
        flags.push(ChartFlag::BaselineNotInControl);
    }
    ChartAnswer { center, sigma_within: sigma, baseline_points, charts, flags }
}

fn means(request: &ChartRequest, groups: &[Group]) -> Result<ChartAnswer, Vec<FieldError>> {
    let by_range = request.chart == ChartKind::XbarR;
    let usable = |g: &&Group| g.n >= 2;
    if by_range && groups.iter().any(|g| g.n > MAX_RANGE_SIZE) {
        return error("chart", format!("a range chart is for subgroups of at most {MAX_RANGE_SIZE} values: take xbar_s"));
    }
    // (mean, standard deviation) of the statistic of spread, in units of sigma.
    let spread_of = |n: u64| if by_range { d2_d3(n) } else { c4(n).map(|c| (c, (1.0 - c * c).max(0.0).sqrt())) };
    let spread = |g: &Group| if by_range { g.range } else { g.s };
    let (center, sigma) = match request.given {
        Some(given) => (given.center, given.sigma),
        None => {
            let base: Vec<&Group> = groups.iter().filter(usable).filter(|g| in_baseline(request, g.at)).collect();
            if base.len() < 2 {
                return error(
                    "baseline",
                    "holds fewer than 2 subgroups of at least 2 values: choose a longer one, or give centre and sigma",
                );
            }
            let n: f64 = base.iter().map(|g| g.n as f64).sum();
            let first = base[0].mean;
            let center = first + base.iter().map(|g| (g.mean - first) * (g.n as f64 / n)).sum::<f64>();
            let sigma = base.iter().filter_map(|g| Some(spread(g) / spread_of(g.n)?.0)).sum::<f64>() / base.len() as f64;
            (center, sigma)
        }
    };
    let raw = |g: &Group, location: bool| {
        let value = |v: f64| Some(v).filter(|_| g.n >= 2);
        if location {
            let sd = sigma / (g.n.max(1) as f64).sqrt();
            Raw { at: g.at, value: value(g.mean), center, sd, lower: f64::MIN, upper: f64::MAX }
        } else {
            let (mean, sd) = spread_of(g.n).unwrap_or((0.0, 0.0));
            Raw { at: g.at, value: value(spread(g)), center: mean * sigma, sd: sd * sigma, lower: 0.0, upper: f64::MAX }
        }
    };
    let location: Vec<Raw> = groups.iter().map(|g| raw(g, true)).collect();
    let dispersion: Vec<Raw> = groups.iter().map(|g| raw(g, false)).collect();
    let charts = vec![
        finish(request, "xbar", &location, request.rules.rules()),
        finish(request, if by_range { "r" } else { "s" }, &dispersion, &[Rule::BeyondLimits]),
    ];
    let mut flags = Vec::new();
    let mut sizes = groups.iter().filter(usable).map(|g| g.n);
    let first = sizes.next();
    if sizes.any(|n| Some(n) != first) {
        flags.push(ChartFlag::SizesDiffer);
    }
    if by_range && groups.iter().any(|g| g.n > LARGE) {
        flags.push(ChartFlag::LargeSubgroups);
    }
    if sigma == 0.0 {
        flags.push(ChartFlag::Constant);
    }
    Ok(answer(request, center, Some(sigma), charts, flags))
}

fn singles(request: &ChartRequest, rows: &[Single]) -> Result<ChartAnswer, Vec<FieldError>> {
    let ranges = moving_ranges(rows);
    let (d2, d3) = d2_d3(2).unwrap_or((1.0, 0.0));
    let (center, sigma) = match request.given {
        Some(given) => (given.center, given.sigma),
        None => {
            let base: Vec<f64> = rows.iter().filter(|r| in_baseline(request, r.at)).filter_map(|r| r.value).collect();
            let first_in = rows.iter().position(|r| in_baseline(request, r.at)).unwrap_or(0);
            // The range of the first point of a baseline reaches out of it.
            let own = ranges.iter().enumerate().filter(|(i, _)| *i > first_in && in_baseline(request, rows[*i].at)).filter_map(|(_, r)| *r);
            let own: Vec<f64> = own.collect();
            if own.is_empty() {
                return error("baseline", "holds no two neighbouring values: choose a longer one, or give centre and sigma");
            }
            (super::data::mean_and_s(&base).0, own.iter().sum::<f64>() / own.len() as f64 / d2)
        }
    };
    let location: Vec<Raw> =
        rows.iter().map(|r| Raw { at: r.at, value: r.value, center, sd: sigma, lower: f64::MIN, upper: f64::MAX }).collect();
    let dispersion: Vec<Raw> = rows
        .iter()
        .zip(&ranges)
        .map(|(r, range)| Raw { at: r.at, value: *range, center: d2 * sigma, sd: d3 * sigma, lower: 0.0, upper: f64::MAX })
        .collect();
    let charts = vec![
        finish(request, "individuals", &location, request.rules.rules()),
        finish(request, "moving_range", &dispersion, &[Rule::BeyondLimits]),
    ];
    let flags = if sigma == 0.0 { vec![ChartFlag::Constant] } else { Vec::new() };
    Ok(answer(request, center, Some(sigma), charts, flags))
}

/// The distance of each value from the one before it; `None` at the first, and where either is missing.
pub(super) fn moving_ranges(rows: &[Single]) -> Vec<Option<f64>> {
    let pairs = rows.windows(2).map(|w| Some((w[1].value? - w[0].value?).abs()));
    if rows.is_empty() { Vec::new() } else { std::iter::once(None).chain(pairs).collect() }
}

fn counts(request: &ChartRequest, rows: &[Sample]) -> Result<ChartAnswer, Vec<FieldError>> {
    let shares = request.chart != ChartKind::U;
    for (i, row) in rows.iter().enumerate().filter(|_| shares) {
        if row.defects as f64 > row.size {
            return error(
                &format!("data.rows[{i}].defects"),
                "are more than the sample has parts: for several defects a part take a u chart",
            );
        }
    }
    let sizes: Vec<f64> = rows.iter().map(|r| r.size).filter(|n| *n > 0.0).collect();
    let differ = sizes.windows(2).any(|w| w[0] != w[1]);
    if request.chart == ChartKind::Np && differ {
        return error("chart", "an np chart is for samples of one size: take p");
    }
    let center = match request.given {
        Some(given) if given.center < 0.0 || (shares && given.center > 1.0) => {
            return error("given.center", "must be a share, or a number of defects");
        }
        Some(given) => given.center,
        None => {
            let base = rows.iter().filter(|r| in_baseline(request, r.at));
            let (defects, size) = base.fold((0.0, 0.0), |(d, n), r| (d + r.defects as f64, n + r.size));
            if size == 0.0 {
                return error("baseline", "holds no samples: choose a longer one, or give the centre");
            }
            defects / size
        }
    };
    let variance = if shares { center * (1.0 - center) } else { center };
    let np = request.chart == ChartKind::Np;
    let raw = |r: &Sample| {
        let scale = if np { r.size } else { 1.0 };
        let sd = if r.size > 0.0 { (variance / r.size).sqrt() * scale } else { 0.0 };
        let value = (r.size > 0.0).then(|| r.defects as f64 / r.size * scale);
        Raw { at: r.at, value, center: center * scale, sd, lower: 0.0, upper: if shares { scale } else { f64::MAX } }
    };
    let raw: Vec<Raw> = rows.iter().map(raw).collect();
    let name = match request.chart {
        ChartKind::Np => "np",
        ChartKind::U => "u",
        _ => "p",
    };
    let charts = vec![finish(request, name, &raw, request.rules.rules_of_counts())];
    let mut flags = Vec::new();
    if differ {
        flags.push(ChartFlag::SizesDiffer);
    }
    if variance == 0.0 {
        flags.push(ChartFlag::Constant);
    } else if sizes.iter().any(|n| n * center < 5.0) {
        flags.push(ChartFlag::SmallSamples);
    }
    Ok(answer(request, center, None, charts, flags))
}
