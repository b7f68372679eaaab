//! What would have been: the key figures of a period if some stops were gone or shorter, the machine ran faster, or fewer parts were bad.
//!
//! Stands behind a tally and the list of its stops. Time that is set free is production at the pace and with the share of good parts that the period
//! had; a faster cycle makes more parts in the same time, against the same ideal cycle. Several changes of one scenario hold together: a stop that
//! two of them shorten is shortened by both, one after the other.

use std::sync::Arc;

use protocol::{TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Catalogue, Ratios, Rules,
    cause::{Cause, Flag, LossCategory},
    figures::{Quantities, ratio},
    prepared::Prepared,
    tally::{Tally, micros_between},
    timeline::Rule,
};
use crate::field::{FieldError, wrong};

/// Time of a stop in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub cause: Cause,
    pub reason: Option<Arc<str>>,
    /// Within the window, and not covered by anything of a higher rank.
    pub micros: i64,
    /// From its beginning to its end.
    pub whole_micros: i64,
}

/// One thing that is different. Shares are fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Unplanned stops and idle time shorter than `below_s` did not happen.
    MinorStopsGone { below_s: f64 },
    /// Stops of this reason, or of one below it in the catalogue, were shorter by `less`.
    ReasonShorter { reason: String, less: f64 },
    /// Stops of this category were shorter by `less`: `setup_and_adjustments` for changeovers.
    CategoryShorter { category: LossCategory, less: f64 },
    /// Each part took less time by the share `faster`.
    CycleFaster { faster: f64 },
    /// Fewer parts were rejected or reworked by the share `less`.
    FewerRejects { less: f64 },
}

/// The figures as they are and as they would be.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WhatIf {
    pub before: Ratios,
    pub after: Ratios,
    /// Hundredths of a ratio: after less before.
    pub gain_points: Ratios,
    /// Stop time that became production time.
    pub freed_s: f64,
    /// More parts in the whole period; `None` if nothing was made, so the pace is not known.
    pub parts: Option<f64>,
    pub good_parts: Option<f64>,
    /// The same for one of the period's shifts.
    pub parts_a_shift: Option<f64>,
    pub good_parts_a_shift: Option<f64>,
    pub flags: Vec<Flag>,
}

/// `shifts`: how many of them the period has; half ones count half.
///
/// # Errors
/// Every change that can't be.
pub fn what_if(
    tally: &Tally,
    stops: &[Stop],
    changes: &[Change],
    shifts: f64,
    rules: &Rules,
    catalogue: &Catalogue,
) -> Result<WhatIf, Vec<FieldError>> {
    check(changes)?;
    let now = Quantities::of(tally, false);
    let mut then = now;
    let mut freed_s = 0.0;
    for stop in stops {
        let left: f64 = changes.iter().map(|change| left_of(stop, change, catalogue)).product();
        let freed = (stop.micros as f64 / 1e6) * (1.0 - left);
        then.seconds[stop.cause as usize] -= freed;
        freed_s += freed;
    }
    for seconds in &mut then.seconds {
        *seconds = seconds.max(0.0);
    }
    then.seconds[Cause::Producing as usize] += freed_s;
    let faster: f64 = changes.iter().map(|c| if let Change::CycleFaster { faster } = c { 1.0 / (1.0 - faster) } else { 1.0 }).product();
    let bad_left: f64 = changes.iter().map(|c| if let Change::FewerRejects { less } = c { 1.0 - less } else { 1.0 }).product();
    let pace = ratio(then.sum(&[Cause::Producing]), now.sum(&[Cause::Producing])).map(|longer| longer * faster);
    let scale = pace.unwrap_or(1.0);
    then.produced *= scale;
    then.rejected *= scale * bad_left;
    then.reworked *= scale * bad_left;
    then.startup_rejected *= scale * bad_left;
    then.ideal_s = now.ideal_s.map(|ideal| ideal * scale);
    then.ideal_bad_s *= scale * bad_left;
    then.ideal_startup_s *= scale * bad_left;

    let (before, after) = (now.ratios(rules), then.ratios(rules));
    let good = |q: &Quantities| (q.produced - q.rejected - q.reworked).max(0.0);
    let known = pace.filter(|_| now.produced > 0.0);
    let parts = known.map(|_| then.produced - now.produced);
    let good_parts = known.map(|_| good(&then) - good(&now));
    let a_shift = |parts: Option<f64>| parts.and_then(|parts| ratio(parts, shifts));
    let points = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| (b - a) * 100.0);
    Ok(WhatIf {
        gain_points: Ratios {
            availability: points(before.availability, after.availability),
            performance: points(before.performance, after.performance),
            quality: points(before.quality, after.quality),
            oee: points(before.oee, after.oee),
            ooe: points(before.ooe, after.ooe),
            teep: points(before.teep, after.teep),
            nee: points(before.nee, after.nee),
        },
        freed_s,
        parts_a_shift: a_shift(parts),
        good_parts_a_shift: a_shift(good_parts),
        parts,
        good_parts,
        flags: if after.performance.is_some_and(|p| p > 1.0) { vec![Flag::PerformanceAboveOne] } else { Vec::new() },
        before,
        after,
    })
}

/// The share of a stop that a change leaves.
fn left_of(stop: &Stop, change: &Change, catalogue: &Catalogue) -> f64 {
    match change {
        Change::MinorStopsGone { below_s } => {
            let unplanned = matches!(stop.cause, Cause::UnplannedStop | Cause::MinorStop | Cause::Idle);
            if unplanned && (stop.whole_micros as f64) < below_s * 1e6 { 0.0 } else { 1.0 }
        }
        Change::ReasonShorter { reason, less } => {
            let meant = stop.reason.as_deref().is_some_and(|code| catalogue.is_within(code, reason));
            if meant { 1.0 - less } else { 1.0 }
        }
        Change::CategoryShorter { category, less } => {
            if stop.cause.loss() == Some(*category) {
                1.0 - less
            } else {
                1.0
            }
        }
        Change::CycleFaster { .. } | Change::FewerRejects { .. } => 1.0,
    }
}

fn check(changes: &[Change]) -> Result<(), Vec<FieldError>> {
    const MAX_CHANGES: usize = 100;
    if changes.len() > MAX_CHANGES {
        return Err(vec![wrong("changes", format!("are more than {MAX_CHANGES}"))]);
    }
    let mut errors = Vec::new();
    for (i, change) in changes.iter().enumerate() {
        let mut share = |name: &str, value: f64| {
            if !(0.0..=1.0).contains(&value) {
                errors.push(wrong(format!("changes[{i}].{name}"), "must be a share from 0 to 1"));
            }
        };
        match change {
            Change::ReasonShorter { less, .. } | Change::CategoryShorter { less, .. } | Change::FewerRejects { less } => {
                share("less", *less);
            }
            Change::CycleFaster { faster } if !(0.0..=0.9).contains(faster) => {
                errors.push(wrong(format!("changes[{i}].faster"), "must be a share from 0 to 0.9"));
            }
            Change::MinorStopsGone { below_s } if !(0.0..=86_400.0).contains(below_s) => {
                errors.push(wrong(format!("changes[{i}].below_s"), "must be a time in seconds, from 0 to a day"));
            }
            Change::CycleFaster { .. } | Change::MinorStopsGone { .. } => {}
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

impl Prepared {
    /// The stops of `window`, planned ones included. Lists of several windows or machines are put together by appending.
    pub fn stops(&self, window: TimeRange, known_until: Timestamp) -> Vec<Stop> {
        let mut stops = Vec::new();
        self.sweep(window, known_until, |span| {
            let why = &span.why;
            if why.cause.loss().is_none() {
                return;
            }
            let entry = |range: TimeRange| micros_between(range.from, range.to);
            let whole = match why.rule {
                Rule::RegisteredReason => why.entry.and_then(|i| self.assignments.get(i)).map(|(a, _)| entry(a.range)),
                Rule::PlannedDowntime => why.entry.and_then(|i| self.downtimes.get(i)).map(|(d, _)| entry(d.range)),
                Rule::Changeover => why.entry.and_then(|i| self.changeovers.get(i)).map(|c| entry(c.range)),
                _ => why
                    .state
                    .and_then(|i| self.states.get(i))
                    .map(|run| micros_between(run.stood_from, run.stood_to.unwrap_or(known_until).min(known_until))),
            };
            let micros = entry(span.range);
            let reason = why.label.and_then(|label| self.labels.text(label)).cloned();
            stops.push(Stop { cause: why.cause, reason, micros, whole_micros: whole.unwrap_or(micros) });
        });
        stops
    }
}
