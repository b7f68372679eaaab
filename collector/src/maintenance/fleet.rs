//! Run-to-failure lives of machines of one kind, as a model learns from them.
//!
//! A row is the mean of each signal over a step of whole hours; its time is hours of the calendar since the life began. Planning and
//! assembling are pure, [`rows`] reads. Invariant: the same step is used for learning and for predicting; a step is only taken when it is
//! over.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use kpi::rul::{Fleet, Row, Signals, Unit};
use lake::LakeError;
use protocol::{AssetPath, SignalName, TimeRange, Timestamp};
use sha2::{Digest, Sha256};

use crate::app::App;

pub const HOUR_US: i64 = 3_600_000_000;
/// Values of all rows of a fleet; beyond it steps are made longer.
const MAX_VALUES: i64 = 2_000_000;
const MAX_STEP_H: i64 = 64;
/// Lives that a model learns from; of more the newest.
pub const MAX_LIVES: usize = 2_000;
/// A life with fewer rows says nothing.
const LEAST_ROWS: usize = 8;
/// Signals that a model sees.
const MAX_SIGNALS: usize = 64;

/// A life that ended in a failure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunToFailure {
    pub asset: AssetPath,
    pub from: Timestamp,
    pub failed_at: Timestamp,
}

/// What is to be learned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub kind: String,
    /// In order of time of failure, the newest last.
    pub lives: Vec<RunToFailure>,
    /// Names that any of the machines has, in order.
    pub signals: Vec<SignalName>,
    pub machines: usize,
}

impl Plan {
    pub fn new(kind: String, mut lives: Vec<RunToFailure>, mut signals: Vec<SignalName>) -> Self {
        lives.sort_by(|a, b| (a.failed_at, &a.asset).cmp(&(b.failed_at, &b.asset)));
        lives.drain(..lives.len().saturating_sub(MAX_LIVES));
        signals.sort();
        signals.dedup();
        signals.truncate(MAX_SIGNALS);
        let mut machines: Vec<&AssetPath> = lives.iter().map(|life| &life.asset).collect();
        machines.sort();
        machines.dedup();
        let machines = machines.len();
        Self { kind, lives, signals, machines }
    }

    /// Hash of the lives: what was learned from the same need not be learned again.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        for life in &self.lives {
            hash.update(format!("{} {} {}\n", life.asset, life.from.as_micros(), life.failed_at.as_micros()));
        }
        for signal in &self.signals {
            hash.update(format!("{signal}\n"));
        }
        hex::encode(&hash.finalize()[..16])
    }

    /// Hours of a row: as few as the limit of values allows.
    pub fn step_h(&self) -> i64 {
        let hours: i64 = self.lives.iter().map(|life| life.failed_at.micros_since(life.from) / HOUR_US + 1).sum();
        let values = hours.saturating_mul(i64::try_from(self.signals.len().max(1)).unwrap_or(i64::MAX));
        let mut step = 1;
        while step < MAX_STEP_H && values / step > MAX_VALUES {
            step *= 2;
        }
        step
    }

    /// The longest of the lives.
    pub fn longest_h(&self) -> f64 {
        self.lives.iter().map(|life| hours(life.failed_at.micros_since(life.from))).fold(0.0, f64::max)
    }
}

/// Means of a machine's signals, by step; steps in which none said anything are left out.
///
/// # Errors
/// [`LakeError`].
pub async fn rows(
    app: &App,
    asset: &AssetPath,
    signals: &[SignalName],
    (from, steps, step_h): (Timestamp, i64, i64),
) -> Result<Vec<(i64, Vec<Option<f64>>)>, LakeError> {
    if steps <= 0 {
        return Ok(Vec::new());
    }
    let step_us = step_h * HOUR_US;
    let range = TimeRange { from, to: from.plus_micros(steps.saturating_mul(step_us)) };
    let step = Duration::from_micros(step_us.unsigned_abs());
    let series = try_join_all(signals.iter().map(|signal| app.lake.series(asset, signal, range, step))).await?;
    let mut rows: BTreeMap<i64, Vec<Option<f64>>> = BTreeMap::new();
    for (place, points) in series.iter().enumerate() {
        for point in points.iter().filter(|p| p.mean.is_finite()) {
            let row = rows.entry(point.at.micros_since(from) / step_us).or_insert_with(|| vec![None; signals.len()]);
            row[place] = Some(point.mean);
        }
    }
    Ok(rows.into_iter().collect())
}

/// Steps of a life that were over at `until`.
pub fn whole_steps(from: Timestamp, until: Timestamp, step_h: i64) -> i64 {
    (until.micros_since(from) / (step_h * HOUR_US)).max(0)
}

/// A row as the model wants it.
pub fn row(step: i64, step_h: i64, sensors: Vec<Option<f64>>) -> Row {
    Row { at: ((step + 1) * step_h) as f64, settings: Vec::new(), sensors }
}

/// The fleet of a plan, from the rows of its lives.
pub fn assembled(plan: &Plan, lives: Vec<Vec<(i64, Vec<Option<f64>>)>>) -> Fleet {
    let step_h = plan.step_h();
    let units = plan.lives.iter().zip(lives).filter(|(_, rows)| rows.len() >= LEAST_ROWS).map(|(life, rows)| Unit {
        id: format!("{} {}", life.asset, life.failed_at.as_micros()),
        rows: rows.into_iter().map(|(step, sensors)| row(step, step_h, sensors)).collect(),
        failed_at: Some(hours(life.failed_at.micros_since(life.from))),
    });
    let sensors = plan.signals.iter().map(ToString::to_string).collect();
    Fleet { signals: Signals { settings: Vec::new(), sensors }, units: units.collect() }
}

/// What it would be wrong by to say the median life, less the age: of each unit the median of the others, at all moments up to 1.2 `cap`
/// before the failure.
pub fn median_life_rmse(fleet: &Fleet, cap: f64) -> Option<f64> {
    let (mut squares, mut count) = (0.0, 0_u64);
    for (i, unit) in fleet.units.iter().enumerate() {
        let mut others: Vec<f64> = fleet.units.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| other.end()).collect();
        others.sort_by(f64::total_cmp);
        let Some(median) = others.get(others.len() / 2) else { continue };
        for (place, row) in unit.rows.iter().enumerate() {
            let left = unit.left(place);
            if left <= 1.2 * cap {
                let error = (median - row.at).max(0.0) - left;
                squares += error * error;
                count += 1;
            }
        }
    }
    (count > 0).then(|| (squares / count as f64).sqrt())
}

fn hours(micros: i64) -> f64 {
    micros as f64 / HOUR_US as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(machine: u32, from_h: i64, to_h: i64) -> RunToFailure {
        let asset = AssetPath::new(&format!("a/b/c/m{machine}")).unwrap();
        RunToFailure { asset, from: Timestamp(from_h * HOUR_US), failed_at: Timestamp(to_h * HOUR_US) }
    }

    fn plan(lives: Vec<RunToFailure>) -> Plan {
        Plan::new("press".into(), lives, vec![SignalName::new("heat").unwrap(), SignalName::new("flow").unwrap()])
    }

    #[test]
    fn the_same_lives_have_the_same_key_in_whatever_order_they_come() {
        let (a, b) = (life(1, 0, 100), life(2, 50, 90));
        let plan_ab = plan(vec![a.clone(), b.clone()]);
        assert_eq!((plan_ab.key(), plan_ab.machines), (plan(vec![b, a.clone()]).key(), 2));
        assert_ne!(plan_ab.key(), plan(vec![a]).key());
        assert_eq!(plan_ab.longest_h(), 100.0);
    }

    #[test]
    fn rows_get_longer_steps_before_they_get_too_many() {
        assert_eq!(plan(vec![life(1, 0, 100)]).step_h(), 1);
        let many = plan((0..1_000).map(|m| life(m, 0, 2_500)).collect());
        assert_eq!(many.step_h(), 4);
    }

    #[test]
    fn a_life_becomes_a_unit_that_ends_with_its_failure() {
        let rows: Vec<_> = (0..10).map(|step| (step, vec![Some(step as f64), None])).collect();
        let fleet = assembled(&plan(vec![life(1, 0, 10), life(2, 0, 10)]), vec![rows, vec![(0, vec![None, Some(1.0)])]]);
        assert!(fleet.check().is_ok());
        assert_eq!((fleet.units.len(), fleet.units[0].end(), fleet.units[0].left(0)), (1, 10.0, 9.0), "the short one says nothing");
    }

    #[test]
    fn the_median_life_is_wrong_by_as_much_as_lives_differ() {
        let rows = |n: i64| (0..n).map(|step| (step, vec![Some(1.0), None])).collect::<Vec<_>>();
        let same = assembled(&plan(vec![life(1, 0, 20), life(2, 0, 20), life(3, 0, 20)]), vec![rows(20), rows(20), rows(20)]);
        assert_eq!(median_life_rmse(&same, 100.0), Some(0.0));
        let apart = assembled(&plan(vec![life(1, 0, 20), life(2, 0, 30)]), vec![rows(20), rows(30)]);
        assert!(median_life_rmse(&apart, 100.0).unwrap() > 5.0);
    }
}
