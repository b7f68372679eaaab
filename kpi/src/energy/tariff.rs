//! What energy costs: prices by local time and weekday, a price for the highest demand of a month, and CO2 by time.
//!
//! Stands between `energy::profile` and the answer. Pure.
//!
//! Invariants: every instant has exactly one price: that of the first band in the list that it lies in, else the base price. A band is local time: of
//! a repeated hour both are in it. A band over midnight belongs to the day on which it begins. The costs of energy of two neighbouring periods add up;
//! those of demand do not, for a month has one peak.

use jiff::{
    civil::{Date, Time},
    tz::TimeZone,
};
use protocol::{TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    local::{DAY_US, even},
    meter::check_time,
};
use crate::{
    field::{Faults, FieldError},
    utc::Utc,
};

const MAX_BANDS: usize = 64;
const MAX_HOLIDAYS: usize = 1_000;
const MAX_CO2_STEPS: usize = 100_000;
/// Prices and factors beyond this are slips of the unit.
const MAX_PRICE: f64 = 1e9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    const ALL: [Self; 7] = [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    fn of(day: Date) -> Self {
        Self::ALL[usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0)]
    }
}

/// A price for some hours of some days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Band {
    pub name: String,
    /// None given: every day.
    #[serde(default)]
    pub weekdays: Vec<Weekday>,
    /// Local time.
    #[schema(value_type = String, example = "06:00:00")]
    pub from: Time,
    /// Not after `from`: over midnight; equal to it: all day.
    #[schema(value_type = String, example = "22:00:00")]
    pub to: Time,
    pub price_per_kwh: f64,
}

/// From when on which factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Co2Step {
    pub from: Utc,
    pub kg_per_kwh: f64,
}

/// Prices and CO2. Money is in the currency of the caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Where no band applies.
    pub base_price_per_kwh: f64,
    #[serde(default)]
    pub bands: Vec<Band>,
    /// Local days that count as Sundays.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub holidays: Vec<Date>,
    /// For the highest quarter hour of each month.
    #[serde(default)]
    pub price_per_kw_month: f64,
    /// Before the first step; `None`: not known.
    #[serde(default)]
    pub co2_kg_per_kwh: Option<f64>,
    /// In any order.
    #[serde(default)]
    pub co2_steps: Vec<Co2Step>,
}

impl Tariff {
    /// What to check before it is kept. Fields are named from `tariff.` on.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn checked(&self) -> Result<(), Vec<FieldError>> {
        let mut faults = Faults::default();
        self.check(&mut faults);
        faults.or(())
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        faults.within("tariff.base_price_per_kwh", self.base_price_per_kwh, -MAX_PRICE, MAX_PRICE);
        faults.within("tariff.price_per_kw_month", self.price_per_kw_month, 0.0, MAX_PRICE);
        faults.at_most("tariff.bands", self.bands.len(), MAX_BANDS);
        faults.at_most("tariff.holidays", self.holidays.len(), MAX_HOLIDAYS);
        faults.at_most("tariff.co2_steps", self.co2_steps.len(), MAX_CO2_STEPS);
        for (i, band) in self.bands.iter().enumerate() {
            faults.within(&format!("tariff.bands[{i}].price_per_kwh"), band.price_per_kwh, -MAX_PRICE, MAX_PRICE);
            if self.bands[..i].iter().any(|other| other.name == band.name && other.price_per_kwh != band.price_per_kwh) {
                faults.add(format!("tariff.bands[{i}].name"), "two bands of one name have different prices: give them names of their own");
            }
        }
        if let Some(factor) = self.co2_kg_per_kwh {
            faults.within("tariff.co2_kg_per_kwh", factor, 0.0, MAX_PRICE);
        }
        for (i, step) in self.co2_steps.iter().enumerate() {
            faults.within(&format!("tariff.co2_steps[{i}].kg_per_kwh"), step.kg_per_kwh, 0.0, MAX_PRICE);
            check_time(faults, || format!("tariff.co2_steps[{i}].from"), step.from.0);
        }
    }

    /// `range` in stretches of one price: the index of the band, `None` for the base price. In order, without gaps.
    pub fn stretches(&self, zone: &TimeZone, range: TimeRange) -> Vec<(TimeRange, Option<usize>)> {
        let mut all: Vec<(TimeRange, Option<usize>)> = Vec::new();
        for stretch in even(zone, range) {
            let local = |t: Timestamp| t.as_micros() + stretch.offset_us;
            let (from, to) = (local(stretch.range.from), local(stretch.range.to));
            let open = self.open(from, to);
            let mut edges: Vec<i64> =
                open.iter().flat_map(|(a, b, _)| [*a, *b]).chain([from, to]).filter(|t| (from..=to).contains(t)).collect();
            edges.sort_unstable();
            edges.dedup();
            // Of the bands that have begun, the first in the tariff's list counts; those that have ended are let go.
            let mut next = 0;
            let mut active: Vec<(i64, usize)> = Vec::new();
            for edge in edges.windows(2) {
                active.retain(|(end, _)| *end > edge[0]);
                while let Some((_, end, band)) = open.get(next).filter(|o| o.0 <= edge[0]) {
                    if *end > edge[0] {
                        active.push((*end, *band));
                    }
                    next += 1;
                }
                let band = active.iter().map(|(_, band)| *band).min();
                let utc = |t: i64| Timestamp::from_micros(t - stretch.offset_us);
                match all.last_mut().filter(|(_, last)| *last == band) {
                    Some((last, _)) => last.to = utc(edge[1]),
                    None => all.push((TimeRange { from: utc(edge[0]), to: utc(edge[1]) }, band)),
                }
            }
        }
        all
    }

    /// The bands' stretches that touch `from..to` of local time, by their beginning.
    fn open(&self, from: i64, to: i64) -> Vec<(i64, i64, usize)> {
        let mut open = Vec::new();
        for number in from.div_euclid(DAY_US) - 1..=to.div_euclid(DAY_US) {
            let begin = number * DAY_US;
            let day = TimeZone::UTC.to_datetime(super::local::instant(begin)).date();
            let weekday = if self.holidays.contains(&day) { Weekday::Sunday } else { Weekday::of(day) };
            for (i, band) in self.bands.iter().enumerate() {
                if !band.weekdays.is_empty() && !band.weekdays.contains(&weekday) {
                    continue;
                }
                let (a, b) = (micros(band.from), micros(band.to));
                let end = if b > a { b } else { b + DAY_US };
                if begin + end > from && begin + a < to {
                    open.push((begin + a, begin + end, i));
                }
            }
        }
        open.sort_unstable();
        open
    }

    pub fn price(&self, band: Option<usize>) -> f64 {
        band.and_then(|i| self.bands.get(i)).map_or(self.base_price_per_kwh, |b| b.price_per_kwh)
    }

    /// `range` in stretches of one CO2 factor; `None`: not known.
    pub fn co2_stretches(&self, range: TimeRange) -> Vec<(TimeRange, Option<f64>)> {
        let mut steps = self.co2_steps.clone();
        steps.sort_by(|a, b| a.from.cmp(&b.from).then_with(|| a.kg_per_kwh.total_cmp(&b.kg_per_kwh)));
        let mut all = Vec::new();
        let mut at = range.from;
        let mut factor = self.co2_kg_per_kwh;
        for step in steps {
            let to = step.from.0.min(range.to);
            if at < to {
                all.push((TimeRange { from: at, to }, factor));
                at = to;
            }
            factor = Some(step.kg_per_kwh);
        }
        if at < range.to {
            all.push((TimeRange { from: at, to: range.to }, factor));
        }
        all
    }
}

fn micros(time: Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1_000
}
