//! What a meter recorded: window means of power, readings of power, or a cumulative counter of energy.
//!
//! Stands before `energy::profile`. Pure. Invariant: after [`Meter::check`] every value is a number, every window has a length, and no sum of them
//! can leave the numbers.

use protocol::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    field::Faults,
    utc::{Period, Utc},
};

/// Rows of one request.
pub const MAX_ROWS: usize = 3_000_000;
/// Windows that may lie over one instant: corrections of the same window.
const MAX_DEPTH: usize = 64;
const MAX_WINDOW_US: i64 = 86_400_000_000;
/// A million GW: more is a slip of the unit.
const MAX_VALUE: f64 = 1e15;
/// From 1900 to 2200, in microseconds: within it, differences never overflow.
const TIMES: std::ops::RangeInclusive<i64> = -2_208_988_800_000_000..=7_258_118_400_000_000;

/// A unit of power, as its UCUM code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum PowerUnit {
    W,
    #[serde(rename = "kW")]
    KW,
    MW,
}

impl PowerUnit {
    /// The unit of that UCUM code.
    pub fn from_ucum(code: &str) -> Option<Self> {
        Some(match code {
            "W" => Self::W,
            "kW" => Self::KW,
            "MW" => Self::MW,
            _ => return None,
        })
    }

    /// Kilowatts of one unit.
    pub const fn kw(self) -> f64 {
        match self {
            Self::W => 1e-3,
            Self::KW => 1.0,
            Self::MW => 1e3,
        }
    }
}

/// A unit of energy, as its UCUM code; the everyday spelling is understood too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum EnergyUnit {
    #[serde(rename = "W.h", alias = "Wh")]
    WattHour,
    #[serde(rename = "kW.h", alias = "kWh")]
    KilowattHour,
    #[serde(rename = "MW.h", alias = "MWh")]
    MegawattHour,
    #[serde(rename = "J")]
    Joule,
    #[serde(rename = "kJ")]
    Kilojoule,
    #[serde(rename = "MJ")]
    Megajoule,
    #[serde(rename = "GJ")]
    Gigajoule,
}

impl EnergyUnit {
    /// The unit of that code.
    pub fn from_ucum(code: &str) -> Option<Self> {
        Some(match code {
            "W.h" | "Wh" => Self::WattHour,
            "kW.h" | "kWh" => Self::KilowattHour,
            "MW.h" | "MWh" => Self::MegawattHour,
            "J" => Self::Joule,
            "kJ" => Self::Kilojoule,
            "MJ" => Self::Megajoule,
            "GJ" => Self::Gigajoule,
            _ => return None,
        })
    }

    /// Kilowatt-hours of one unit.
    pub const fn kwh(self) -> f64 {
        match self {
            Self::WattHour => 1e-3,
            Self::KilowattHour => 1.0,
            Self::MegawattHour => 1e3,
            Self::Joule => 1.0 / 3.6e6,
            Self::Kilojoule => 1.0 / 3.6e3,
            Self::Megajoule => 1.0 / 3.6,
            Self::Gigajoule => 1e3 / 3.6,
        }
    }
}

/// The mean power of a window `[from, to)`; several of one window (corrections) add up by their counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerWindow {
    pub from: Utc,
    pub to: Utc,
    pub mean: f64,
    /// Readings in it, at least 1.
    #[serde(default = "one")]
    pub count: u64,
}

impl From<&protocol::WindowSummary> for PowerWindow {
    fn from(w: &protocol::WindowSummary) -> Self {
        Self { from: Utc(w.start), to: Utc(w.end), mean: w.mean, count: w.count }
    }
}

fn one() -> u64 {
    1
}

/// One value at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterReading {
    pub at: Utc,
    pub value: f64,
}

/// Rows of a meter, in any order. Rows a little before and after the period belong with them: power at the edges is made from both sides. Rows of bad
/// quality are left out by the caller. Power that is fed back is negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Meter {
    Windows {
        unit: PowerUnit,
        windows: Vec<PowerWindow>,
    },
    Readings {
        unit: PowerUnit,
        readings: Vec<MeterReading>,
    },
    Counter {
        unit: EnergyUnit,
        readings: Vec<MeterReading>,
        /// Where the counter begins at 0 again, in `unit`.
        #[serde(default)]
        wraps_at: Option<f64>,
    },
}

impl Meter {
    pub(super) fn check(&self, faults: &mut Faults) {
        match self {
            Self::Windows { windows, .. } => {
                faults.at_most("meter.windows", windows.len(), MAX_ROWS);
                for (i, w) in windows.iter().enumerate() {
                    let field = |name: &str| format!("meter.windows[{i}].{name}");
                    check_period(faults, || field("from"), Period { from: w.from, to: w.to });
                    if w.to.0.micros_since(w.from.0) > MAX_WINDOW_US {
                        faults.add(field("to"), "the window is longer than a day: too coarse to say when the energy was used");
                    }
                    if !(1..=1_000_000_000_000).contains(&w.count) {
                        faults.add(field("count"), "must be at least 1");
                    }
                    check_value(faults, || field("mean"), w.mean);
                }
                if faults.is_empty() && depth(windows) > MAX_DEPTH {
                    faults.add("meter.windows", format!("more than {MAX_DEPTH} windows lie over one instant: send one summary a window"));
                }
            }
            Self::Readings { readings, .. } => check_readings(faults, readings),
            Self::Counter { readings, wraps_at, .. } => {
                check_readings(faults, readings);
                for (i, r) in readings.iter().enumerate().filter(|(_, r)| r.value < 0.0) {
                    faults.add(format!("meter.readings[{i}].value"), format!("is {}, but a counter is never negative", r.value));
                }
                if let Some(modulus) = wraps_at.filter(|m| !(*m > 0.0 && *m <= MAX_VALUE)) {
                    faults.add(
                        "meter.wraps_at",
                        format!("is {modulus}, must be more than 0: the value at which the counter begins at 0 again"),
                    );
                }
            }
        }
    }
}

/// How far rows may lie apart, and what power is possible.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MeterSettings {
    /// Readings up to this far apart are one measurement.
    pub max_step_s: f64,
    /// Longer distances up to this are bridged, and counted as interpolated; longer ones still are holes. 0: never.
    pub max_interpolation_s: f64,
    /// More than this, in either direction, is a fault of the meter: left out, and counted.
    pub max_power_kw: Option<f64>,
}

impl Default for MeterSettings {
    fn default() -> Self {
        Self { max_step_s: 60.0, max_interpolation_s: 300.0, max_power_kw: None }
    }
}

impl MeterSettings {
    pub(super) fn check(&self, faults: &mut Faults) {
        faults.within("settings.max_step_s", self.max_step_s, 0.0, 86_400.0);
        faults.within("settings.max_interpolation_s", self.max_interpolation_s, 0.0, 86_400.0);
        if let Some(kw) = self.max_power_kw {
            faults.within("settings.max_power_kw", kw, f64::MIN_POSITIVE, MAX_VALUE);
        }
    }

    pub(super) fn step_us(&self) -> i64 {
        (self.max_step_s * 1e6) as i64
    }

    pub(super) fn interpolation_us(&self) -> i64 {
        (self.max_interpolation_s * 1e6) as i64
    }
}

/// What was odd in the rows of a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct MeterNotes {
    /// Rows (of a counter: steps) left out, because their power was more than `max_power_kw`.
    pub implausible: u64,
    /// Further rows for a time that had one: power is averaged, of a counter the higher value is taken.
    pub repeated_times: u64,
    /// Stretches over which windows of different bounds lie: averaged.
    pub overlapping_windows: u64,
    pub wraps: u64,
    /// The counter began anew; what was used before its first value after that is not known.
    pub resets: u64,
    /// The counter ran backwards: a hole.
    pub backwards: u64,
}

pub(crate) fn check_time(faults: &mut Faults, field: impl FnOnce() -> String, at: Timestamp) {
    if !TIMES.contains(&at.as_micros()) {
        faults.add(field(), "must be a time between 1900 and 2200");
    }
}

pub(crate) fn check_period(faults: &mut Faults, field: impl Fn() -> String, period: Period) {
    check_time(faults, &field, period.from.0);
    check_time(faults, &field, period.to.0);
    if period.from.0 >= period.to.0 {
        faults.add(field(), "must be before its end");
    }
}

fn check_value(faults: &mut Faults, field: impl FnOnce() -> String, value: f64) {
    if !(-MAX_VALUE..=MAX_VALUE).contains(&value) {
        faults.add(field(), "must be a number, and no more than 1e15");
    }
}

fn check_readings(faults: &mut Faults, readings: &[MeterReading]) {
    faults.at_most("meter.readings", readings.len(), MAX_ROWS);
    for (i, r) in readings.iter().enumerate() {
        check_time(faults, || format!("meter.readings[{i}].at"), r.at.0);
        check_value(faults, || format!("meter.readings[{i}].value"), r.value);
    }
}

/// The most windows over one instant.
fn depth(windows: &[PowerWindow]) -> usize {
    let mut edges: Vec<(Timestamp, i8)> = windows.iter().flat_map(|w| [(w.from.0, 1), (w.to.0, -1)]).collect();
    edges.sort_unstable();
    let (mut now, mut most) = (0_i64, 0_i64);
    for (_, step) in edges {
        now += i64::from(step);
        most = most.max(now);
    }
    usize::try_from(most).unwrap_or(0)
}
