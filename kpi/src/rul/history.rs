//! Run-to-failure histories of a fleet: what a model of remaining useful life learns from.
//!
//! A unit is one life, from its start (or its last renewal) to its failure: rows in order of time, each with the operating settings of the
//! moment and the values of the sensors. A row is a cycle, or the summary of a window (an hour, a shift). Time is counted in cycles or
//! operating hours; remaining life has the same unit.
//!
//! Invariants after [`Fleet::check`]: times of a unit rise strictly, every number is finite, every row has one value a setting and at most
//! one a sensor, no unit has an empty history, none fails before its last row.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RulError;

/// Units a fleet can have.
pub const MOST_UNITS: usize = 10_000;
/// Rows of all units together.
pub const MOST_ROWS: usize = 2_000_000;
/// Sensors of a row.
pub const MOST_SENSORS: usize = 256;
/// Operating settings of a row.
pub const MOST_SETTINGS: usize = 32;

/// What was observed of a unit in one cycle or window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// Cycles or operating hours since the unit's start.
    pub at: f64,
    /// Operating settings (load, speed, recipe), in the fleet's order; empty where there are none.
    pub settings: Vec<f64>,
    /// Sensor values in the fleet's order; `None` where a sensor said nothing.
    pub sensors: Vec<Option<f64>>,
}

/// One life of one machine, up to its failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Unit {
    pub id: String,
    pub rows: Vec<Row>,
    /// When it failed, on the axis of [`Row::at`]; the last row where nothing is said.
    #[serde(default)]
    pub failed_at: Option<f64>,
}

impl Unit {
    /// The time of failure.
    pub fn end(&self) -> f64 {
        self.failed_at.unwrap_or_else(|| self.rows.last().map_or(0.0, |r| r.at))
    }

    /// Life from the first row to the failure.
    pub fn life(&self) -> f64 {
        self.end() - self.rows.first().map_or(0.0, |r| r.at)
    }

    /// What was left at row `row`, not capped.
    pub fn left(&self, row: usize) -> f64 {
        self.rows.get(row).map_or(0.0, |r| self.end() - r.at)
    }
}

/// Names of what is observed: the order of the values in each row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Signals {
    pub settings: Vec<String>,
    pub sensors: Vec<String>,
}

impl Signals {
    fn check(&self) -> Result<(), RulError> {
        let bad = |problem: String| Err(RulError::Malformed { unit: String::new(), row: 0, problem });
        if self.sensors.is_empty() {
            return bad("the fleet names no sensor: name at least one".into());
        }
        if self.sensors.len() > MOST_SENSORS || self.settings.len() > MOST_SETTINGS {
            return Err(RulError::TooLarge { what: "signals", most: MOST_SENSORS });
        }
        let names: BTreeSet<_> = self.sensors.iter().chain(&self.settings).collect();
        if names.len() != self.sensors.len() + self.settings.len() {
            return bad("two signals of the fleet have the same name: rename one".into());
        }
        Ok(())
    }

    /// Whether `row` has a value for each setting and place for each sensor, all finite.
    pub fn check_row(&self, unit: &str, index: usize, row: &Row) -> Result<(), RulError> {
        let bad = |problem: String| Err(RulError::Malformed { unit: unit.into(), row: index, problem });
        if !row.at.is_finite() {
            return bad(format!("its time is {}: give cycles or hours since the start", row.at));
        }
        if row.settings.len() != self.settings.len() {
            return bad(format!("it has {} settings, and the fleet names {}", row.settings.len(), self.settings.len()));
        }
        if row.sensors.len() != self.sensors.len() {
            return bad(format!("it has {} sensors, and the fleet names {}", row.sensors.len(), self.sensors.len()));
        }
        for (name, value) in self.settings.iter().zip(&row.settings) {
            if !value.is_finite() {
                return bad(format!("setting {name} is {value}: give a finite number"));
            }
        }
        for (name, value) in self.sensors.iter().zip(&row.sensors) {
            if let Some(value) = value
                && !value.is_finite()
            {
                return bad(format!("sensor {name} is {value}: give a finite number, or nothing"));
            }
        }
        Ok(())
    }
}

/// Histories of machines of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fleet {
    pub signals: Signals,
    pub units: Vec<Unit>,
}

impl Fleet {
    /// Checks all that the module promises of a fleet; the error names unit, row and field.
    pub fn check(&self) -> Result<(), RulError> {
        self.signals.check()?;
        if self.units.len() > MOST_UNITS {
            return Err(RulError::TooLarge { what: "units", most: MOST_UNITS });
        }
        if self.rows() > MOST_ROWS {
            return Err(RulError::TooLarge { what: "rows", most: MOST_ROWS });
        }
        let mut ids = BTreeSet::new();
        for unit in &self.units {
            let bad = |row: usize, problem: String| Err(RulError::Malformed { unit: unit.id.clone(), row, problem });
            if !ids.insert(&unit.id) {
                return bad(0, "another unit has the same id: one life is one unit".into());
            }
            if unit.rows.is_empty() {
                return bad(0, "it has no rows".into());
            }
            for (index, row) in unit.rows.iter().enumerate() {
                self.signals.check_row(&unit.id, index, row)?;
            }
            if let Some(index) = unit.rows.windows(2).position(|w| w[1].at <= w[0].at) {
                return bad(index + 1, "its time is not after that of the row before: order the rows by time".into());
            }
            if !unit.end().is_finite() || unit.left(unit.rows.len() - 1) < 0.0 {
                return bad(unit.rows.len() - 1, "the unit failed before this row: a history ends with the failure".into());
            }
        }
        Ok(())
    }

    /// Rows of all units.
    pub fn rows(&self) -> usize {
        self.units.iter().map(|u| u.rows.len()).sum()
    }

    /// The middle life of the units, 0 without any.
    pub fn median_life(&self) -> f64 {
        let mut lives: Vec<f64> = self.units.iter().map(Unit::life).collect();
        lives.sort_by(f64::total_cmp);
        lives.get(lives.len() / 2).copied().unwrap_or(0.0)
    }
}
