//! Energy of a machine for a period: in all, by state, shift and part, base load, demand, cost and CO2.
//!
//! Stands between stored rows (power, states, part counts) and the API. Pure: [`energy`] is a function of its request.
//!
//! Order: rows become a [`Profile`](profile::Profile) of power over time; states, shifts, buckets, quarter hours and prices are stretches of time, and
//! each asks the profile for its energy. So everything adds up to the same sum.
//!
//! Invariants: energies of states (that of no known state included) and of shifts (that outside of them included) are the energy of the period;
//! two neighbouring periods add up to the whole; the order of rows does not matter. Holes have no energy: [`EnergyRatios::coverage`] tells them.
//!
//! Base load is a low percentile over time of the power while the machine stood switched on (idle, set-up, planned and unplanned stops). Not the
//! minimum, which one bad reading makes; not the mean, which holds warming up; not with `offline`, in which a machine draws nothing and would hide
//! what standing costs.

pub mod demand;
mod local;
mod meter;
pub mod profile;
mod report;
mod tariff;
mod totals;
mod what_if;

use jiff::tz::TimeZone;
use protocol::{MachineState, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use demand::{LoadPoint, Quarter};
pub use meter::{EnergyUnit, MAX_ROWS, Meter, MeterNotes, MeterReading, MeterSettings, PowerUnit, PowerWindow};
pub use report::{BandCost, BucketEnergy, Cost, EnergyFlag, EnergyReport, Hole, MonthDemand, ShiftEnergy};
pub use tariff::{Band, Co2Step, Tariff, Weekday};
pub use totals::{EnergyRatios, EnergyTime, EnergyTotals, StateEnergy};
pub use what_if::{SwitchOff, SwitchOffSaving};

use crate::{
    field::{Faults, FieldError},
    utc::{Period, Utc},
};

/// A longer period is asked for in parts.
const MAX_PERIOD_US: i64 = 400 * 86_400_000_000;
const MAX_STATES: usize = 500_000;
const MAX_SHIFTS: usize = 20_000;
const MAX_PARTS: usize = 2_000_000;
const MAX_PEAKS: usize = 1_000;

/// The machine was in `state` in `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateInterval {
    pub from: Utc,
    pub to: Utc,
    #[schema(value_type = String, example = "producing")]
    pub state: MachineState,
}

/// A shift of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShiftRange {
    pub name: String,
    pub from: Utc,
    pub to: Utc,
}

/// Parts made in `(from, to]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    pub from: Utc,
    pub to: Utc,
    pub produced: u64,
    #[serde(default)]
    pub rejected: u64,
    #[serde(default)]
    pub reworked: u64,
}

/// Length of a bucket, in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    QuarterHour,
    Hour,
    Day,
}

/// What [`energy`] is asked. Lists may be in any order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnergyRequest {
    pub period: Period,
    /// IANA name: the zone of quarter hours, buckets and prices.
    #[schema(example = "Europe/Berlin")]
    pub zone: String,
    pub meter: Meter,
    #[serde(default)]
    pub settings: EnergySettings,
    /// Also those that begin before the period, whole. They must not overlap.
    #[serde(default)]
    pub states: Vec<StateInterval>,
    /// They must not overlap.
    #[serde(default)]
    pub shifts: Vec<ShiftRange>,
    #[serde(default)]
    pub parts: Vec<Parts>,
    #[serde(default)]
    pub tariff: Option<Tariff>,
    #[serde(default)]
    pub bucket: Option<Bucket>,
    #[serde(default)]
    pub switch_off: Option<SwitchOff>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EnergySettings {
    pub meter: MeterSettings,
    /// Percentile of the power while standing that is the base load.
    pub base_load_percentile: f64,
    /// A quarter hour with less data makes no peak.
    pub min_quarter_coverage: f64,
    /// How many peaks are told.
    pub peaks: usize,
    /// Whether every quarter hour is told.
    pub quarters: bool,
}

impl Default for EnergySettings {
    fn default() -> Self {
        Self { meter: MeterSettings::default(), base_load_percentile: 10.0, min_quarter_coverage: 0.9, peaks: 5, quarters: false }
    }
}

/// The energy of a period.
///
/// # Errors
/// Every field that can't be as it is.
pub fn energy(request: &EnergyRequest) -> Result<EnergyReport, Vec<FieldError>> {
    let checked = Checked::new(request)?;
    Ok(report::report(request, &checked))
}

/// A request whose every field can be, with its lists in order.
struct Checked {
    period: TimeRange,
    zone: TimeZone,
    states: Vec<StateInterval>,
    shifts: Vec<ShiftRange>,
    /// By their end.
    parts: Vec<Parts>,
}

impl Checked {
    fn new(request: &EnergyRequest) -> Result<Self, Vec<FieldError>> {
        let mut faults = Faults::default();
        let period = request.period.range();
        meter::check_period(&mut faults, || "period".into(), request.period);
        if period.to.micros_since(period.from) > MAX_PERIOD_US {
            faults.add("period", "is longer than 400 days: ask for it in parts, and add the totals");
        }
        let zone = TimeZone::get(&request.zone).unwrap_or_else(|_| {
            faults.add("zone", "is no IANA time zone, such as Europe/Berlin");
            TimeZone::UTC
        });
        request.meter.check(&mut faults);
        let settings = &request.settings;
        settings.meter.check(&mut faults);
        faults.within("settings.base_load_percentile", settings.base_load_percentile, 0.0, 100.0);
        faults.within("settings.min_quarter_coverage", settings.min_quarter_coverage, 0.0, 1.0);
        faults.at_most("settings.peaks", settings.peaks, MAX_PEAKS);
        faults.at_most("states", request.states.len(), MAX_STATES);
        faults.at_most("shifts", request.shifts.len(), MAX_SHIFTS);
        faults.at_most("parts", request.parts.len(), MAX_PARTS);
        for (i, p) in request.parts.iter().enumerate() {
            meter::check_time(&mut faults, || format!("parts[{i}].from"), p.from.0);
            meter::check_time(&mut faults, || format!("parts[{i}].to"), p.to.0);
            if p.from > p.to {
                faults.add(format!("parts[{i}].from"), "is after its end");
            }
            if p.rejected > p.produced || p.reworked > p.produced {
                faults.add(format!("parts[{i}]"), "more parts are rejected or reworked than were produced");
            }
        }
        let states = in_order(&request.states, "states", |s| Period { from: s.from, to: s.to }, &mut faults);
        let shifts = in_order(&request.shifts, "shifts", |s| Period { from: s.from, to: s.to }, &mut faults);
        if let Some(tariff) = &request.tariff {
            tariff.check(&mut faults);
        }
        if let Some(switch_off) = &request.switch_off {
            switch_off.check(&mut faults);
        }
        let mut parts = request.parts.clone();
        parts.sort_by_key(|p| (p.to, p.from, p.produced, p.rejected, p.reworked));
        faults.or(Self { period, zone, states, shifts, parts })
    }
}

/// By time; a fault for each that is empty, or overlaps the one before it.
fn in_order<T: Clone>(list: &[T], name: &str, range: impl Fn(&T) -> Period, faults: &mut Faults) -> Vec<T> {
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|i| (range(&list[*i]).from, range(&list[*i]).to));
    for i in &order {
        meter::check_period(faults, || format!("{name}[{i}].from"), range(&list[*i]));
    }
    for pair in order.windows(2) {
        if range(&list[pair[1]]).from < range(&list[pair[0]]).to {
            faults.add(format!("{name}[{}].from", pair[1]), format!("begins before {name}[{}] has ended", pair[0]));
        }
    }
    order.into_iter().map(|i| list[i].clone()).collect()
}

#[cfg(test)]
mod tests;
