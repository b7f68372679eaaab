//! From stored rows to what the reckoning of energy is asked: meters, states and parts of one machine; and the sums of several.
//!
//! Stands between the lake and `kpi::energy`. Pure.
//!
//! Invariants: what one machine's rows hold twice or against each other never makes a question that is refused; totals and costs of a scope are
//! sums of its machines', but its demand is that of the summed power, quarter hour by quarter hour.

use std::collections::BTreeMap;

use jiff::{Timestamp as Instant, tz::TimeZone};
use kpi::{
    energy::{
        Cost, EnergyRatios, EnergyReport, EnergyTotals, EnergyUnit, Meter, MeterReading, MeterSettings, MonthDemand, Parts, PowerUnit,
        PowerWindow, Quarter, StateInterval, Tariff,
    },
    utc::Utc,
};
use lake::SignalWindows;
use protocol::{PartCount, StateChange, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A window no longer than this with one reading is that reading.
const INSTANT_US: i64 = 1_000;
/// A quarter hour of which a machine knows less makes no peak of the scope.
const MIN_COVERAGE: f64 = 0.9;
/// Peaks of a scope that are told.
const PEAKS: usize = 5;

/// What a meter measures in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterUnit {
    Power(PowerUnit),
    Energy(EnergyUnit),
}

impl MeterUnit {
    /// The unit of that UCUM code, if it is one of power or energy.
    pub fn of(code: &str) -> Option<Self> {
        PowerUnit::from_ucum(code).map(Self::Power).or_else(|| EnergyUnit::from_ucum(code).map(Self::Energy))
    }
}

/// Of a machine's signals with their units the one of its meter: a unit of power before one of energy, then by name.
pub fn meter_signal<'a, S: Ord + Copy>(signals: impl IntoIterator<Item = (S, &'a str)>) -> Option<S> {
    let found = signals.into_iter().filter_map(|(signal, unit)| Some((matches!(MeterUnit::of(unit)?, MeterUnit::Energy(_)), signal)));
    found.min().map(|(_, signal)| signal)
}

/// The rows as a meter, with settings that fit the length of its windows. `fallback`: the unit of rows that tell none. `None` if no row has a unit of
/// power or energy. Of rows in both the kind of most of them counts.
pub fn meter(rows: &SignalWindows, fallback: Option<MeterUnit>) -> Option<(Meter, MeterSettings)> {
    let units: Vec<Option<MeterUnit>> =
        rows.units.iter().map(|text| if text.is_empty() { fallback } else { MeterUnit::of(text) }).collect();
    let unit = |index: usize| units.get(index).copied().flatten();
    let powers = rows.points.iter().filter(|p| matches!(unit(p.unit), Some(MeterUnit::Power(_)))).count();
    let energies = rows.points.iter().filter(|p| matches!(unit(p.unit), Some(MeterUnit::Energy(_)))).count();
    if powers == 0 && energies == 0 {
        // Nothing was measured in the period, but there is a meter if a unit is known.
        let known = units.iter().flatten().next().copied().or(fallback)?;
        return Some((empty(known), MeterSettings::default()));
    }
    let longest_us = rows.points.iter().map(|p| p.end.micros_since(p.start)).max().unwrap_or(0);
    let mut settings = MeterSettings::default();
    if energies > powers {
        // A counter is read at the end of each window; late readings are older than what came before them.
        settings.max_step_s = settings.max_step_s.max(longest_us as f64 / 1e6 * 2.0).min(86_400.0);
        settings.max_interpolation_s = settings.max_interpolation_s.max(settings.max_step_s);
        let reading = |p: &lake::WindowPoint| match unit(p.unit) {
            Some(MeterUnit::Energy(energy)) if !p.correction => Some(MeterReading { at: Utc(p.end), value: p.last * energy.kwh() }),
            _ => None,
        };
        let readings = rows.points.iter().filter_map(reading).filter(|r| r.value >= 0.0).collect();
        return Some((Meter::Counter { unit: EnergyUnit::KilowattHour, readings, wraps_at: None }, settings));
    }
    let of_power = |p: &lake::WindowPoint| match unit(p.unit) {
        Some(MeterUnit::Power(power)) => Some(power.kw()),
        _ => None,
    };
    if longest_us <= INSTANT_US {
        let readings = rows.points.iter().filter_map(|p| Some(MeterReading { at: Utc(p.end), value: p.last * of_power(p)? })).collect();
        return Some((Meter::Readings { unit: PowerUnit::KW, readings }, settings));
    }
    let window = |p: &lake::WindowPoint| {
        let kw = of_power(p)?;
        Some(PowerWindow { from: Utc(p.start), to: Utc(p.end), mean: p.mean * kw, count: p.count.max(1) })
    };
    Some((Meter::Windows { unit: PowerUnit::KW, windows: rows.points.iter().filter_map(window).collect() }, settings))
}

fn empty(unit: MeterUnit) -> Meter {
    match unit {
        MeterUnit::Power(unit) => Meter::Windows { unit, windows: Vec::new() },
        MeterUnit::Energy(unit) => Meter::Counter { unit, readings: Vec::new(), wraps_at: None },
    }
}

/// States as intervals: each stands until the next one, the last until `known_until`. Of several at one instant the last counts.
pub fn state_intervals(states: &[StateChange], known_until: Timestamp) -> Vec<StateInterval> {
    let mut order: Vec<&StateChange> = states.iter().collect();
    order.sort_by_key(|s| s.event_time);
    let ends = order.iter().skip(1).map(|s| s.event_time).chain([known_until]);
    let interval = |(s, to): (&&StateChange, Timestamp)| {
        let to = to.min(known_until);
        (s.event_time < to).then_some(StateInterval { from: Utc(s.event_time), to: Utc(to), state: s.state })
    };
    order.iter().zip(ends).filter_map(interval).collect()
}

/// Counts of which none has more bad parts than parts: a part that is rejected after its minute was counted is taken from a count before, or else after it.
/// What is left over, because more were rejected than made in all, is left out.
pub fn part_counts(counts: &[PartCount]) -> Vec<Parts> {
    let mut all: Vec<Parts> = counts
        .iter()
        .filter(|c| c.from <= c.to)
        .map(|c| Parts { from: Utc(c.from), to: Utc(c.to), produced: c.produced, rejected: c.rejected, reworked: c.reworked })
        .collect();
    all.sort_by_key(|p| (p.to, p.from));
    let mut owed = (0_u64, 0_u64);
    // Parts are rejected after they were made; what is left are parts from before the period.
    for p in all.iter_mut().rev() {
        owed = settled(p, owed);
    }
    for p in all.iter_mut() {
        owed = settled(p, owed);
    }
    all
}

/// Puts what fits of the bad parts owed, and of its own, into one count; the rest is owed on.
fn settled(p: &mut Parts, owed: (u64, u64)) -> (u64, u64) {
    let rejected = p.rejected.saturating_add(owed.0);
    let reworked = p.reworked.saturating_add(owed.1);
    p.rejected = rejected.min(p.produced);
    p.reworked = reworked.min(p.produced - p.rejected);
    (rejected - p.rejected, reworked - p.reworked)
}

/// Energy of all machines of a scope.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ScopeEnergy {
    /// Sums of the machines with a meter.
    pub totals: EnergyTotals,
    pub ratios: EnergyRatios,
    /// Without a tariff `null`. Energy and CO2 are sums; demand is that of the summed power.
    pub cost: Option<Cost>,
    /// The highest quarter hours of the summed power, of those for which every machine has data.
    pub peaks: Vec<Quarter>,
}

/// The sum of reports of one period that hold their quarter hours.
pub fn sum(reports: &[&EnergyReport], tariff: Option<&Tariff>, zone: &TimeZone) -> ScopeEnergy {
    let mut totals = EnergyTotals::default();
    reports.iter().for_each(|report| totals += report.totals);
    let quarters = summed_quarters(reports);
    let cost = match reports {
        [] => None,
        // As it was reckoned: also of months with quarter hours that no peak is made of.
        [one] => one.cost.clone(),
        _ => tariff.and_then(|tariff| summed_cost(reports, tariff, &quarters, zone)),
    };
    ScopeEnergy { totals, ratios: totals.ratios(), cost, peaks: quarters.into_iter().take(PEAKS).collect() }
}

/// Quarter hours that every machine knows, the highest first.
fn summed_quarters(reports: &[&EnergyReport]) -> Vec<Quarter> {
    let mut sums: BTreeMap<Utc, (f64, f64, usize)> = BTreeMap::new();
    for q in reports.iter().flat_map(|report| &report.quarters).filter(|q| q.coverage >= MIN_COVERAGE) {
        let Some(kw) = q.kw else { continue };
        let (sum, coverage, machines) = sums.entry(q.from).or_insert((0.0, 1.0, 0));
        (*sum, *coverage, *machines) = (*sum + kw, coverage.min(q.coverage), *machines + 1);
    }
    let known = sums.into_iter().filter(|(_, (_, _, machines))| *machines == reports.len());
    let mut quarters: Vec<Quarter> = known.map(|(from, (kw, coverage, _))| Quarter { from, kw: Some(kw), coverage }).collect();
    quarters.sort_by(|a, b| b.kw.unwrap_or(0.0).total_cmp(&a.kw.unwrap_or(0.0)).then_with(|| a.from.cmp(&b.from)));
    quarters
}

fn summed_cost(reports: &[&EnergyReport], tariff: &Tariff, quarters: &[Quarter], zone: &TimeZone) -> Option<Cost> {
    let mut costs = reports.iter().filter_map(|report| report.cost.as_ref());
    let mut sum = costs.next()?.clone();
    for cost in costs {
        sum.energy += cost.energy;
        for (band, other) in sum.by_band.iter_mut().zip(&cost.by_band) {
            band.kwh += other.kwh;
            band.cost += other.cost;
        }
        sum.co2_kg = match (sum.co2_kg, cost.co2_kg) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        sum.co2_unknown_kwh += cost.co2_unknown_kwh;
    }
    // Of each month whether it is whole, and its highest quarter hour.
    let mut whole: BTreeMap<&str, bool> = BTreeMap::new();
    let mut peaks: BTreeMap<String, &Quarter> = BTreeMap::new();
    for month in reports.iter().filter_map(|report| report.cost.as_ref()).flat_map(|cost| &cost.by_month) {
        whole.entry(month.month.as_str()).or_insert(month.whole);
    }
    // The highest come first.
    for q in quarters {
        if let Some(month) = month_of(zone, q.from) {
            peaks.entry(month).or_insert(q);
        }
    }
    let by_month = peaks.into_iter().map(|(month, q)| {
        let peak_kw = q.kw.unwrap_or(0.0);
        let cost = peak_kw.max(0.0) * tariff.price_per_kw_month;
        let whole = whole.get(month.as_str()).copied().unwrap_or(false);
        MonthDemand { month, peak_kw, peak_at: q.from, cost, whole }
    });
    sum.by_month = by_month.collect();
    sum.demand = sum.by_month.iter().map(|month| month.cost).sum();
    sum.total = sum.energy + sum.demand;
    Some(sum)
}

/// `2026-03`, in local time.
fn month_of(zone: &TimeZone, at: Utc) -> Option<String> {
    let day = zone.to_datetime(Instant::from_microsecond(at.0.as_micros()).ok()?);
    Some(format!("{:04}-{:02}", day.year(), day.month()))
}

/// The period of which rows of a meter are read: power at the edges is made from both sides.
pub fn around(range: TimeRange, now: Timestamp) -> TimeRange {
    const MARGIN_US: i64 = 900_000_000;
    TimeRange { from: range.from.plus_micros(-MARGIN_US), to: range.to.plus_micros(MARGIN_US).min(now.max(range.to)) }
}

#[cfg(test)]
mod tests {
    use kpi::energy::{EnergyRequest, EnergySettings, energy};
    use lake::WindowPoint;
    use protocol::{AssetPath, MachineState, TimeQuality};

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp(1_770_000_000_000_000 / (15 * MINUTE) * (15 * MINUTE) + minutes * MINUTE)
    }

    fn point(from: i64, to: i64, value: f64, unit: usize) -> WindowPoint {
        let (start, end) = (at(from), at(to));
        WindowPoint { start, end, count: 12, min: value, max: value, mean: value, stddev: 0.0, last: value, correction: false, unit }
    }

    fn report(kw: &[f64], tariff: Option<Tariff>) -> EnergyReport {
        let points = kw.iter().zip(0..).map(|(kw, i)| point(i * 15, i * 15 + 15, *kw, 0)).collect();
        let (meter, settings) = meter(&SignalWindows { units: vec!["kW".into()], points, bad: 0 }, None).unwrap();
        let period = TimeRange { from: at(0), to: at(15 * i64::try_from(kw.len()).unwrap()) };
        energy(&EnergyRequest {
            period: period.into(),
            zone: "UTC".into(),
            meter,
            settings: EnergySettings { meter: settings, quarters: true, ..EnergySettings::default() },
            states: Vec::new(),
            shifts: Vec::new(),
            parts: Vec::new(),
            tariff,
            bucket: None,
            switch_off: None,
        })
        .unwrap()
    }

    #[test]
    fn power_comes_before_energy_and_no_unit_of_either_is_no_meter() {
        assert_eq!(meter_signal([("b", "kW.h"), ("c", "kW"), ("a", "Cel"), ("d", "W")]), Some("c"));
        assert_eq!(meter_signal([("b", "kW.h"), ("a", "Cel")]), Some("b"));
        assert_eq!(meter_signal([("a", "Cel"), ("b", "")]), None);
    }

    #[test]
    fn rows_of_two_units_are_one_meter_and_rows_without_a_unit_take_the_one_configured() {
        let rows = SignalWindows { units: vec!["W".into(), "kW".into(), "Cel".into()], points: Vec::new(), bad: 0 };
        let rows = SignalWindows { points: vec![point(0, 1, 5_000.0, 0), point(1, 2, 5.0, 1), point(2, 3, 60.0, 2)], ..rows };
        let Some((Meter::Windows { unit: PowerUnit::KW, windows }, _)) = meter(&rows, None) else { panic!("windows in kW") };
        assert_eq!(windows.iter().map(|w| w.mean).collect::<Vec<_>>(), [5.0, 5.0]);
        let bare = SignalWindows { units: vec![String::new()], points: vec![point(0, 1, 7.0, 0)], bad: 0 };
        assert_eq!(meter(&bare, None), None);
        assert!(matches!(meter(&bare, MeterUnit::of("kW")), Some((Meter::Windows { .. }, _))));
        assert!(matches!(meter(&bare, MeterUnit::of("MJ")), Some((Meter::Counter { .. }, _))));
    }

    #[test]
    fn single_readings_are_readings_and_a_counter_is_read_at_the_end_of_its_windows() {
        let mut one = point(0, 1, 3.0, 0);
        one.start = one.end.plus_micros(-1);
        let single = SignalWindows { units: vec!["kW".into()], points: vec![one], bad: 0 };
        assert!(matches!(meter(&single, None), Some((Meter::Readings { .. }, _))));
        let counter = SignalWindows { units: vec!["MW.h".into()], points: vec![point(0, 5, 2.0, 0), point(5, 10, 2.5, 0)], bad: 0 };
        let Some((Meter::Counter { readings, .. }, settings)) = meter(&counter, None) else { panic!("a counter") };
        assert_eq!(readings[1], MeterReading { at: Utc(at(10)), value: 2_500.0 });
        assert_eq!(settings.max_step_s, 600.0);
    }

    #[test]
    fn states_stand_until_the_next_and_the_last_no_longer_than_is_known() {
        let state = |minutes: i64, state| StateChange {
            asset: AssetPath::new("a/b/c/d").unwrap(),
            event_time: at(minutes),
            state,
            reason: String::new(),
            time_quality: TimeQuality::Synced,
        };
        let states = [state(10, MachineState::Idle), state(0, MachineState::Setup), state(0, MachineState::Producing)];
        let found = state_intervals(&states, at(15));
        let wanted = [(at(0), at(10), MachineState::Producing), (at(10), at(15), MachineState::Idle)];
        assert_eq!(found.iter().map(|s| (s.from.0, s.to.0, s.state)).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn rejects_that_were_counted_late_are_taken_from_the_parts_around_them() {
        let count = |to: i64, produced, rejected, reworked| PartCount {
            asset: AssetPath::new("a/b/c/d").unwrap(),
            from: at(to - 1),
            to: at(to),
            produced,
            rejected,
            reworked,
            time_quality: TimeQuality::Synced,
        };
        let found = part_counts(&[count(1, 10, 0, 0), count(2, 0, 2, 1), count(3, 2, 1, 0), count(4, 0, 3, 0)]);
        assert!(found.iter().all(|p| p.rejected + p.reworked <= p.produced), "{found:?}");
        assert_eq!((found.iter().map(|p| p.rejected).sum::<u64>(), found.iter().map(|p| p.reworked).sum::<u64>()), (6, 1));
    }

    /// By hand: 10 and 30 kW against 40 and 10 kW in two quarter hours: sums of 50 and 40 kW. Each for itself peaks at 30 and 40 kW: 70 kW, which
    /// were never drawn together.
    #[test]
    fn the_demand_of_a_line_is_that_of_its_summed_power() {
        let tariff = Tariff {
            base_price_per_kwh: 0.2,
            bands: Vec::new(),
            holidays: Vec::new(),
            price_per_kw_month: 2.0,
            co2_kg_per_kwh: Some(0.4),
            co2_steps: Vec::new(),
        };
        let (a, b) = (report(&[10.0, 30.0], Some(tariff.clone())), report(&[40.0, 10.0], Some(tariff.clone())));
        let line = sum(&[&a, &b], Some(&tariff), &TimeZone::UTC);
        assert_eq!(line.totals.kwh, 22.5);
        assert_eq!((line.peaks.len(), line.peaks[0].kw, line.peaks[0].from), (2, Some(50.0), Utc(at(0))));
        let cost = line.cost.unwrap();
        assert_eq!((cost.energy, cost.demand, cost.total), (4.5, 100.0, 104.5));
        assert!((cost.co2_kg.unwrap() - 9.0).abs() < 1e-12);
        assert_eq!(a.cost.as_ref().unwrap().demand + b.cost.as_ref().unwrap().demand, 140.0);
        let none = sum(&[], Some(&tariff), &TimeZone::UTC);
        assert_eq!((none.totals.kwh, none.cost, none.ratios.coverage), (0.0, None, 0.0));
    }
}
