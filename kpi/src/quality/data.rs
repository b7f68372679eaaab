//! What a chart is made of: subgroups of values, window summaries as subgroups, single values, or counts.
//!
//! Stands before `quality::chart`. Pure. Invariant: after the check, every value is a number of moderate size, and rows are in order of time.

use protocol::WindowSummary;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{field::Faults, utc::Utc};

/// Subgroups, values or counts of one request.
pub const MAX_POINTS: usize = 200_000;
/// Values of one subgroup.
const MAX_SIZE: usize = 10_000;
/// Values of one request.
const MAX_VALUES: usize = 2_000_000;
const MAX_VALUE: f64 = 1e100;

/// Values measured close together; fewer than 2 make a missing subgroup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subgroup {
    pub at: Utc,
    pub values: Vec<f64>,
}

/// A subgroup of which the sums are known alone, such as a window summary of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubgroupSummary {
    pub at: Utc,
    pub count: u64,
    pub mean: f64,
    /// Population standard deviation (divided by n), as window summaries have it.
    pub stddev: f64,
    pub min: f64,
    pub max: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Single {
    pub at: Utc,
    /// `None`: missing.
    pub value: Option<f64>,
}

/// Defects in a sample. For p and np, `size` is parts and `defects` defective parts; for u, `size` is units (also parts of one) and `defects` may be more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    pub at: Utc,
    /// 0: missing.
    pub size: f64,
    pub defects: u64,
}

/// Rows of a chart, in any order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "rows", rename_all = "snake_case")]
pub enum ChartData {
    Subgroups(Vec<Subgroup>),
    Summaries(Vec<SubgroupSummary>),
    Singles(Vec<Single>),
    Samples(Vec<Sample>),
}

/// Sums of one subgroup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    pub at: Utc,
    pub n: u64,
    pub mean: f64,
    pub range: f64,
    /// Sample standard deviation (divided by n - 1); 0 with one value.
    pub s: f64,
}

impl ChartData {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Subgroups(rows) => rows.len(),
            Self::Summaries(rows) => rows.len(),
            Self::Singles(rows) => rows.len(),
            Self::Samples(rows) => rows.len(),
        }
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        faults.at_most("data.rows", self.len(), MAX_POINTS);
        let number = |faults: &mut Faults, field: &dyn Fn() -> String, value: f64| {
            if !(-MAX_VALUE..=MAX_VALUE).contains(&value) {
                faults.add(field(), "must be a number");
            }
        };
        match self {
            Self::Subgroups(rows) => {
                faults.at_most("data.rows[].values", rows.iter().map(|r| r.values.len()).sum(), MAX_VALUES);
                for (i, row) in rows.iter().enumerate() {
                    faults.at_most(&format!("data.rows[{i}].values"), row.values.len(), MAX_SIZE);
                    row.values.iter().enumerate().for_each(|(j, v)| number(faults, &|| format!("data.rows[{i}].values[{j}]"), *v));
                }
            }
            Self::Summaries(rows) => {
                for (i, row) in rows.iter().enumerate() {
                    for (name, v) in [("mean", row.mean), ("stddev", row.stddev), ("min", row.min), ("max", row.max)] {
                        number(faults, &|| format!("data.rows[{i}].{name}"), v);
                    }
                    if row.stddev < 0.0 {
                        faults.add(format!("data.rows[{i}].stddev"), "must not be negative");
                    }
                    if row.min > row.max {
                        faults.add(format!("data.rows[{i}].min"), "is more than max");
                    }
                }
            }
            Self::Singles(rows) => {
                for (i, v) in rows.iter().enumerate().filter_map(|(i, r)| Some((i, r.value?))) {
                    number(faults, &|| format!("data.rows[{i}].value"), v);
                }
            }
            Self::Samples(rows) => {
                for (i, row) in rows.iter().enumerate() {
                    faults.within(&format!("data.rows[{i}].size"), row.size, 0.0, 1e15);
                    if row.size == 0.0 && row.defects > 0 {
                        faults.add(format!("data.rows[{i}].defects"), "are in a sample of size 0");
                    }
                }
            }
        }
    }

    /// Subgroups in order of time; `None`: another kind of data.
    pub(super) fn groups(&self) -> Option<Vec<Group>> {
        let mut groups: Vec<Group> = match self {
            Self::Subgroups(rows) => rows.iter().map(|r| group(r.at, &r.values)).collect(),
            Self::Summaries(rows) => rows.iter().map(summarised).collect(),
            Self::Singles(_) | Self::Samples(_) => return None,
        };
        groups.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.mean.total_cmp(&b.mean)).then_with(|| a.s.total_cmp(&b.s)));
        Some(groups)
    }

    /// Single values in order of time.
    pub(super) fn singles(&self) -> Option<Vec<Single>> {
        let Self::Singles(rows) = self else { return None };
        let mut rows = rows.clone();
        rows.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.value.unwrap_or(0.0).total_cmp(&b.value.unwrap_or(0.0))));
        Some(rows)
    }

    /// Samples in order of time.
    pub(super) fn samples(&self) -> Option<Vec<Sample>> {
        let Self::Samples(rows) = self else { return None };
        let mut rows = rows.clone();
        rows.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.size.total_cmp(&b.size)).then_with(|| a.defects.cmp(&b.defects)));
        Some(rows)
    }
}

/// Subgroups of `size` values that follow each other, in order of time; a rest smaller than that is left out, and so are missing values.
pub fn subgroups(readings: &[Single], size: usize) -> Vec<Subgroup> {
    let mut known: Vec<(Utc, f64)> = readings.iter().filter_map(|r| Some((r.at, r.value?))).collect();
    known.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.total_cmp(&b.1)));
    known.chunks_exact(size.max(1)).map(|c| Subgroup { at: c[0].0, values: c.iter().map(|r| r.1).collect() }).collect()
}

/// A subgroup for each window of a signal; a summary that came later adds to that of the same window.
pub fn summaries(windows: &[WindowSummary]) -> Vec<SubgroupSummary> {
    let mut order: Vec<&WindowSummary> = windows.iter().filter(|w| w.count > 0).collect();
    order.sort_by(|a, b| (a.start, a.end, a.count).cmp(&(b.start, b.end, b.count)).then_with(|| a.mean.total_cmp(&b.mean)));
    order.chunk_by(|a, b| (a.start, a.end) == (b.start, b.end)).map(one_window).collect()
}

fn one_window(same: &[&WindowSummary]) -> SubgroupSummary {
    let count = same.iter().fold(0_u64, |sum, w| sum.saturating_add(w.count));
    let share = |w: &WindowSummary| w.count as f64 / count as f64;
    let mean = same[0].mean + same.iter().map(|w| (w.mean - same[0].mean) * share(w)).sum::<f64>();
    let variance: f64 = same.iter().map(|w| share(w) * (w.stddev * w.stddev + (w.mean - mean).powi(2))).sum();
    SubgroupSummary {
        at: Utc(same[0].start),
        count,
        mean,
        stddev: variance.sqrt(),
        min: same.iter().map(|w| w.min).fold(f64::INFINITY, f64::min),
        max: same.iter().map(|w| w.max).fold(f64::NEG_INFINITY, f64::max),
    }
}

fn group(at: Utc, values: &[f64]) -> Group {
    // In a fixed order: the same sums however the values came.
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (mean, s) = mean_and_s(&values);
    let range = values.last().copied().unwrap_or(0.0) - values.first().copied().unwrap_or(0.0);
    Group { at, n: values.len() as u64, mean, range, s }
}

fn summarised(row: &SubgroupSummary) -> Group {
    let n = row.count as f64;
    let s = if row.count > 1 { row.stddev * (n / (n - 1.0)).sqrt() } else { 0.0 };
    Group { at: row.at, n: row.count, mean: row.mean, range: row.max - row.min, s }
}

/// Mean and sample standard deviation; values that are all equal have exactly 0.
pub(super) fn mean_and_s(values: &[f64]) -> (f64, f64) {
    let Some(first) = values.first() else { return (0.0, 0.0) };
    let n = values.len() as f64;
    // About the first value: a large common offset costs no digits.
    let shift = values.iter().map(|v| v - first).sum::<f64>() / n;
    let mean = first + shift;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares = values.iter().map(|v| (v - first - shift).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0)).sqrt())
}
