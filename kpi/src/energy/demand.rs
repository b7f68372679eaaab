//! Demand: the mean power of each local quarter hour, its peaks, and how long which load was needed.
//!
//! Stands between `energy::profile` and the answer. Pure.
//!
//! Invariants: a quarter hour that touches the period is taken whole, so the highest of two neighbouring periods is the highest of both. Its power is
//! the mean of the time for which there is data; one with less data than `min_coverage` is shown, and is neither a peak nor in the curve.

use jiff::tz::TimeZone;
use protocol::TimeRange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{local, profile::Profile};
use crate::utc::Utc;

const QUARTER_US: i64 = 900_000_000;
/// Quarter hours of 400 days.
pub(super) const MAX_QUARTERS: usize = 38_500;

/// One quarter hour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quarter {
    pub from: Utc,
    /// `None` without any data.
    pub kw: Option<f64>,
    /// Share of it for which there is data.
    pub coverage: f64,
}

/// A load that was reached or exceeded in `share` of the quarter hours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadPoint {
    pub share: f64,
    pub kw: f64,
}

/// The quarter hours of `range`.
pub fn quarters(profile: &Profile, zone: &TimeZone, range: TimeRange) -> Vec<Quarter> {
    let one = |q: TimeRange| {
        let used = profile.used(q);
        let hours = used.known_us() as f64 / super::profile::HOUR_US;
        Quarter { from: Utc(q.from), kw: (hours > 0.0).then(|| used.kwh / hours), coverage: used.known_share() }
    };
    local::steps(zone, range, QUARTER_US, MAX_QUARTERS).into_iter().map(one).collect()
}

/// Quarter hours with enough data, the highest first; of equal ones the earliest.
pub fn ranked(quarters: &[Quarter], min_coverage: f64) -> Vec<(Quarter, f64)> {
    let mut ranked: Vec<(Quarter, f64)> =
        quarters.iter().filter(|q| q.coverage >= min_coverage).filter_map(|q| Some((*q, q.kw?))).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.from.cmp(&b.0.from)));
    ranked
}

/// The load duration curve in steps of a hundredth, from `ranked`.
pub fn duration_curve(ranked: &[(Quarter, f64)]) -> Vec<LoadPoint> {
    let Some(last) = ranked.len().checked_sub(1) else { return Vec::new() };
    let points = last.clamp(1, 100);
    let point = |i: usize| LoadPoint { share: ((last * i / points) + 1) as f64 / ranked.len() as f64, kw: ranked[last * i / points].1 };
    if last == 0 { vec![point(0)] } else { (0..=points).map(point).collect() }
}
