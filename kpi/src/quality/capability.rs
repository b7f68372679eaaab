//! Capability: Cp, Cpk, Pp, Ppk and Cpm, with confidence intervals and a test of normality.
//!
//! Stands between `quality::data`, specification limits and the answer. Pure.
//!
//! With m the mean: Cp = (USL - LSL) / 6 s, Cpk = min(USL - m, m - LSL) / 3 s with s within subgroups (R-bar / d2, S-bar / c4, or the mean moving range
//! / d2); Pp, Ppk the same with the standard deviation of all values; Cpm = (USL - LSL) / (6 sqrt(s_all^2 + (m - T)^2)) (NIST/SEMATECH e-Handbook 6.1.6).
//! One limit alone makes Cpk and Ppk of that side.
//!
//! Intervals: Cp and Pp by chi-square; Cpk and Ppk by Bissell (*Applied Statistics* 39, 1990); Cpm by Boyles (*Journal of Quality Technology* 23, 1991).
//! Degrees of freedom: of all values N - 1; within, those of a chi-square whose variance is that of the estimate: 1 / (2 var), with var = (d3/d2)^2 / k
//! for ranges, (1 - c4^2) / c4^2 / k for standard deviations, .826 / k for moving ranges (Cryer and Ryan, *Journal of Quality Technology* 22, 1990).
//!
//! Normality: Anderson-Darling with estimated parameters; A* = A^2 (1 + .75/N + 2.25/N^2), p by D'Agostino and Stephens (*Goodness-of-Fit
//! Techniques*, 1986). It needs 8 values.
//!
//! Invariants: shifting values and limits by a constant, or scaling both, changes no index. Data that do not vary have none.

use serde::{Deserialize, Serialize};
use statrs::{
    distribution::{ChiSquared, ContinuousCDF, Normal},
    function::erf::erfc,
};
use utoipa::ToSchema;

use super::{
    chart::moving_ranges,
    constants::{MAX_RANGE_SIZE, c4, d2_d3},
    data::{ChartData, Group, mean_and_s},
};
use crate::field::{Faults, FieldError};

/// Variance of the mean of k moving ranges over sigma^2 d2^2, times k, for large k.
const MOVING_RANGE_VARIANCE: f64 = 0.826;
const ENOUGH: u64 = 50;
/// Values that the test of normality needs.
const ENOUGH_FOR_NORMALITY: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Specification {
    #[serde(default)]
    pub lsl: Option<f64>,
    #[serde(default)]
    pub usl: Option<f64>,
    /// `None`: the middle of both limits.
    #[serde(default)]
    pub target: Option<f64>,
}

/// How the standard deviation within subgroups is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Within {
    /// Mean range over d2, for subgroups of at most 25.
    Range,
    /// Mean standard deviation over c4.
    #[default]
    StandardDeviation,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapabilityRequest {
    /// Subgroups, summaries or singles.
    pub data: ChartData,
    pub specification: Specification,
    #[serde(default)]
    pub within: Within,
    #[serde(default = "customary")]
    pub confidence: f64,
}

fn customary() -> f64 {
    0.95
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityFlag {
    /// Fewer than 50 values: the intervals are wide.
    FewValues,
    /// The values do not vary: no index has a meaning.
    Constant,
    /// The spread within subgroups is 0, that of all values is not: only Pp and Ppk.
    NoSpreadWithin,
    /// p below .05: the indices do not tell the share out of specification.
    NotNormal,
    /// Too few values, or summaries alone: normality was not tested.
    NormalityUnknown,
    /// The mean lies outside the specification.
    MeanOutside,
    /// The target lies outside the specification, or no target is known: no Cpm.
    NoTarget,
    /// All values spread at least 1.33 times wider than those within subgroups: the process wanders, and Cpk flatters.
    Wandering,
}

/// An index with its two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Index {
    pub value: f64,
    pub lower: f64,
    pub upper: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Normality {
    /// A*.
    pub statistic: f64,
    pub p_value: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CapabilityAnswer {
    pub count: u64,
    pub mean: f64,
    pub sigma_within: Option<f64>,
    pub sigma_overall: f64,
    pub cp: Option<Index>,
    pub cpk: Option<Index>,
    pub pp: Option<Index>,
    pub ppk: Option<Index>,
    pub cpm: Option<Index>,
    pub confidence: f64,
    pub normality: Option<Normality>,
    /// Share of the values out of specification; `None` for summaries.
    pub observed_outside: Option<f64>,
    /// Share out of specification of a normal distribution with the overall standard deviation.
    pub expected_outside: Option<f64>,
    pub flags: Vec<CapabilityFlag>,
}

/// Capability of a process.
///
/// # Errors
/// Every field that can't be, and fewer than 2 values.
pub fn capability(request: &CapabilityRequest) -> Result<CapabilityAnswer, Vec<FieldError>> {
    let mut faults = Faults::default();
    request.data.check(&mut faults);
    check_specification(&request.specification, &mut faults);
    faults.within("confidence", request.confidence, 0.5, 0.9999);
    if matches!(request.data, ChartData::Samples(_)) {
        faults.add("data.kind", "must be subgroups, summaries or singles: counts have no capability indices");
    }
    if request.within == Within::Range && request.data.groups().is_some_and(|g| g.iter().any(|g| g.n > MAX_RANGE_SIZE)) {
        faults.add("within", format!("ranges are for subgroups of at most {MAX_RANGE_SIZE} values: take standard_deviation"));
    }
    let sums = Sums::new(request);
    if sums.n < 2 {
        faults.add("data.rows", "hold fewer than 2 values");
    }
    faults.or(())?;
    Ok(answer(request, &sums))
}

fn check_specification(spec: &Specification, faults: &mut Faults) {
    for (field, value) in [("specification.lsl", spec.lsl), ("specification.usl", spec.usl), ("specification.target", spec.target)] {
        if let Some(value) = value {
            faults.within(field, value, -1e100, 1e100);
        }
    }
    if spec.lsl.is_none() && spec.usl.is_none() {
        faults.add("specification", "has neither lsl nor usl: give at least one");
    }
    if spec.lsl.zip(spec.usl).is_some_and(|(lsl, usl)| lsl >= usl) {
        faults.add("specification.lsl", "must be less than usl");
    }
}

/// What the indices are made of.
struct Sums {
    n: u64,
    mean: f64,
    overall: f64,
    /// With its degrees of freedom.
    within: Option<(f64, f64)>,
    /// In order of size; empty for summaries.
    values: Vec<f64>,
}

impl Sums {
    fn new(request: &CapabilityRequest) -> Self {
        let mut values: Vec<f64> = match &request.data {
            ChartData::Subgroups(rows) => rows.iter().flat_map(|r| r.values.iter().copied()).collect(),
            ChartData::Singles(rows) => rows.iter().filter_map(|r| r.value).collect(),
            ChartData::Summaries(_) | ChartData::Samples(_) => Vec::new(),
        };
        values.sort_by(f64::total_cmp);
        let groups = request.data.groups();
        let (n, mean, overall) = match (&request.data, &groups) {
            (ChartData::Summaries(_), Some(groups)) => pooled(groups),
            _ => {
                let (mean, s) = mean_and_s(&values);
                (values.len() as u64, mean, s)
            }
        };
        let within = match (&groups, request.data.singles()) {
            (Some(groups), _) => within_groups(groups, request.within),
            (None, Some(rows)) => {
                let ranges: Vec<f64> = moving_ranges(&rows).into_iter().flatten().collect();
                let k = ranges.len() as f64;
                let d2 = d2_d3(2).map_or(1.0, |d| d.0);
                (k > 0.0).then(|| (ranges.iter().sum::<f64>() / k / d2, k / (2.0 * MOVING_RANGE_VARIANCE)))
            }
            (None, None) => None,
        };
        Self { n, mean, overall, within, values }
    }
}

/// Count, mean and standard deviation of all values, from the sums of their groups.
fn pooled(groups: &[Group]) -> (u64, f64, f64) {
    let total: u64 = groups.iter().fold(0_u64, |sum, g| sum.saturating_add(g.n));
    let Some(first) = groups.iter().find(|g| g.n > 0).filter(|_| total > 1) else { return (total, 0.0, 0.0) };
    let n = total as f64;
    let used = || groups.iter().filter(|g| g.n > 0);
    let mean = first.mean + used().map(|g| (g.mean - first.mean) * (g.n as f64 / n)).sum::<f64>();
    let squares: f64 = used().map(|g| g.s * g.s * (g.n as f64 - 1.0) + g.n as f64 * (g.mean - mean).powi(2)).sum();
    (total, mean, (squares / (n - 1.0)).sqrt())
}

fn within_groups(groups: &[Group], how: Within) -> Option<(f64, f64)> {
    // (estimate, its relative variance) of each subgroup.
    let one = |g: &Group| match how {
        Within::Range => d2_d3(g.n).map(|(d2, d3)| (g.range / d2, (d3 / d2).powi(2))),
        Within::StandardDeviation => c4(g.n).map(|c| (g.s / c, (1.0 - c * c).max(0.0) / (c * c))),
    };
    let all: Vec<(f64, f64)> = groups.iter().filter_map(one).collect();
    let k = all.len() as f64;
    let variance = all.iter().map(|a| a.1).sum::<f64>() / (k * k);
    (k > 0.0 && variance > 0.0).then(|| (all.iter().map(|a| a.0).sum::<f64>() / k, 1.0 / (2.0 * variance)))
}

fn answer(request: &CapabilityRequest, sums: &Sums) -> CapabilityAnswer {
    let spec = &request.specification;
    let confidence = request.confidence;
    let overall = Some((sums.overall, sums.n as f64 - 1.0)).filter(|(s, _)| *s > 0.0);
    let within = sums.within.filter(|(s, _)| *s > 0.0 && sums.overall > 0.0);
    let both = |(s, df): (f64, f64)| {
        let width = spec.usl? - spec.lsl?;
        spread_interval(width / (6.0 * s), df, confidence)
    };
    let nearest = |(s, df): (f64, f64)| {
        let sides = [spec.usl.map(|u| (u - sums.mean) / (3.0 * s)), spec.lsl.map(|l| (sums.mean - l) / (3.0 * s))];
        centred_interval(sides.into_iter().flatten().reduce(f64::min)?, sums.n as f64, df, confidence)
    };
    let middle = spec.lsl.zip(spec.usl).map(|(l, u)| f64::midpoint(l, u));
    let inside = |t: &f64| spec.lsl.is_none_or(|l| *t >= l) && spec.usl.is_none_or(|u| *t <= u);
    let target = spec.target.or(middle).filter(inside);
    let cpm = overall.zip(target).and_then(|((s, _), target)| {
        let width = spec.usl? - spec.lsl?;
        let off = (sums.mean - target) / s;
        let df = sums.n as f64 * (1.0 + off * off).powi(2) / (1.0 + 2.0 * off * off);
        spread_interval(width / (6.0 * s * (1.0 + off * off).sqrt()), df, confidence)
    });
    let normality = anderson_darling(&sums.values);
    let outside = |v: f64| spec.lsl.is_some_and(|l| v < l) || spec.usl.is_some_and(|u| v > u);
    let tail = |z: f64| 0.5 * erfc(z / std::f64::consts::SQRT_2);
    let expected_outside =
        overall.map(|(s, _)| spec.usl.map_or(0.0, |u| tail((u - sums.mean) / s)) + spec.lsl.map_or(0.0, |l| tail((sums.mean - l) / s)));
    let observed = sums.values.iter().filter(|v| outside(**v)).count() as f64;
    use CapabilityFlag as F;
    let flags = [
        (F::FewValues, sums.n < ENOUGH),
        (F::Constant, overall.is_none()),
        (F::NoSpreadWithin, overall.is_some() && within.is_none()),
        (F::NotNormal, normality.is_some_and(|n| n.p_value < 0.05)),
        (F::NormalityUnknown, overall.is_some() && normality.is_none()),
        (F::MeanOutside, outside(sums.mean)),
        (F::NoTarget, target.is_none()),
        (F::Wandering, within.is_some_and(|(s, _)| sums.overall > s * 4.0 / 3.0)),
    ];
    CapabilityAnswer {
        count: sums.n,
        mean: sums.mean,
        sigma_within: sums.within.map(|w| w.0),
        sigma_overall: sums.overall,
        cp: within.and_then(both),
        cpk: within.and_then(nearest),
        pp: overall.and_then(both),
        ppk: overall.and_then(nearest),
        cpm,
        confidence,
        normality,
        observed_outside: (!sums.values.is_empty()).then(|| observed / sums.values.len() as f64),
        expected_outside,
        flags: flags.into_iter().filter_map(|(flag, raised)| raised.then_some(flag)).collect(),
    }
}

/// The interval of an index that is a known width over a standard deviation of `df` degrees of freedom.
pub fn spread_interval(index: f64, df: f64, confidence: f64) -> Option<Index> {
    let chi = ChiSquared::new(df).ok()?;
    let tail = (1.0 - confidence) / 2.0;
    let bound = |p: f64| index * (chi.inverse_cdf(p) / df).sqrt();
    finite(Index { value: index, lower: bound(tail), upper: bound(1.0 - tail) })
}

/// The interval of Cpk or Ppk: the mean of `n` values, a standard deviation of `df` degrees of freedom.
pub fn centred_interval(index: f64, n: f64, df: f64, confidence: f64) -> Option<Index> {
    let z = Normal::standard().inverse_cdf(f64::midpoint(1.0, confidence));
    let half = z * (1.0 / (9.0 * n) + index * index / (2.0 * df)).sqrt();
    finite(Index { value: index, lower: index - half, upper: index + half })
}

fn finite(index: Index) -> Option<Index> {
    [index.value, index.lower, index.upper].iter().all(|v| v.is_finite()).then_some(index)
}

/// The Anderson-Darling test of `sorted` values; `None` for fewer than 8, or if they do not vary.
pub fn anderson_darling(sorted: &[f64]) -> Option<Normality> {
    let (mean, s) = mean_and_s(sorted);
    if sorted.len() < ENOUGH_FOR_NORMALITY || s <= 0.0 {
        return None;
    }
    let n = sorted.len() as f64;
    // Logarithms of both tails, each from its own side; a value far out counts as 1e-300.
    let log = |z: f64| (0.5 * erfc(z / std::f64::consts::SQRT_2)).max(1e-300).ln();
    let sum: f64 = sorted
        .iter()
        .zip(sorted.iter().rev())
        .enumerate()
        .map(|(i, (low, high))| (2.0 * i as f64 + 1.0) * (log(-(low - mean) / s) + log((high - mean) / s)))
        .sum();
    let a = (-n - sum / n) * (1.0 + 0.75 / n + 2.25 / (n * n));
    let p = match a {
        a if a >= 0.6 => (1.2937 - 5.709 * a + 0.0186 * a * a).exp(),
        a if a >= 0.34 => (0.9177 - 4.279 * a - 1.38 * a * a).exp(),
        a if a >= 0.2 => 1.0 - (-8.318 + 42.796 * a - 59.938 * a * a).exp(),
        a => 1.0 - (-13.436 + 101.14 * a - 223.73 * a * a).exp(),
    };
    // The fit of p turns round beyond A* of 153.
    let p_value = if a > 13.0 { 0.0 } else { p.clamp(0.0, 1.0) };
    a.is_finite().then_some(Normality { statistic: a, p_value })
}
