//! The answer: everything that is asked of the power of a period.
//!
//! Stands behind `energy::energy`; see there for the invariants. Pure.

use protocol::{MachineState, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Bucket, Checked, EnergyRatios, EnergyRequest, EnergyTime, EnergyTotals, LoadPoint, MeterNotes, Quarter, SwitchOff, SwitchOffSaving,
    Tariff, demand, local,
    profile::{Profile, Source},
};
use crate::utc::Utc;

const MAX_BUCKETS: usize = 40_000;
/// Holes that are told one by one, the longest first.
const MAX_HOLES: usize = 50;

/// What a reader must know before believing the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnergyFlag {
    /// No power is known in the period.
    NoData,
    /// Part of the period is a hole.
    Holes,
    /// Part of the energy is interpolated.
    Interpolated,
    /// A counter went on over a hole: `undated_kwh` is on top of the energy told.
    Undated,
    /// Rows were left out, because their power was impossible.
    Implausible,
    OverlappingWindows,
    CounterReset,
    CounterBackwards,
    /// Part of the energy belongs to no known state.
    UnknownState,
    /// No parts were made (or metered): energy per part has no meaning.
    NoParts,
    /// The machine did not stand switched on while it was metered: no base load.
    NoStanding,
    /// A demand charge is that of a whole month, and the period holds part of one.
    MonthNotWhole,
    /// Part of the energy has no CO2 factor.
    Co2Unknown,
    /// More buckets than are told.
    BucketsCut,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BucketEnergy {
    pub from: Utc,
    pub to: Utc,
    pub kwh: f64,
    /// Share of it for which there is power, interpolated included.
    pub coverage: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShiftEnergy {
    pub name: String,
    /// Cut to the period.
    pub from: Utc,
    pub to: Utc,
    pub totals: EnergyTotals,
    pub ratios: EnergyRatios,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hole {
    pub from: Utc,
    pub to: Utc,
}

/// Energy at one price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BandCost {
    /// `None`: the base price.
    pub name: Option<String>,
    pub price_per_kwh: f64,
    pub kwh: f64,
    pub cost: f64,
}

/// The highest demand of a local month, as far as the period holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthDemand {
    #[schema(example = "2026-03")]
    pub month: String,
    pub peak_kw: f64,
    pub peak_at: Utc,
    /// Of the whole month, not in proportion to the part.
    pub cost: f64,
    /// Whether the period holds the whole month.
    pub whole: bool,
}

/// In the currency of the tariff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    pub energy: f64,
    pub demand: f64,
    pub total: f64,
    pub by_band: Vec<BandCost>,
    pub by_month: Vec<MonthDemand>,
    /// Of the energy whose factor is known; `None` if of none.
    pub co2_kg: Option<f64>,
    pub co2_unknown_kwh: f64,
}

/// The energy of a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnergyReport {
    pub from: Utc,
    pub to: Utc,
    pub totals: EnergyTotals,
    pub ratios: EnergyRatios,
    /// kW that is drawn while standing switched on.
    pub base_load_kw: Option<f64>,
    pub by_shift: Vec<ShiftEnergy>,
    pub outside_shifts: EnergyTime,
    pub buckets: Vec<BucketEnergy>,
    /// The highest quarter hours.
    pub peaks: Vec<Quarter>,
    pub load_duration: Vec<LoadPoint>,
    /// Only if asked for.
    pub quarters: Vec<Quarter>,
    pub cost: Option<Cost>,
    pub switch_off: Option<SwitchOffSaving>,
    pub hole_count: u64,
    pub holes: Vec<Hole>,
    pub meter: MeterNotes,
    pub flags: Vec<EnergyFlag>,
}

pub(super) fn report(request: &EnergyRequest, checked: &Checked) -> EnergyReport {
    let (profile, notes) = Profile::new(&request.meter, &request.settings.meter);
    let period = checked.period;
    let asked = Asked { request, checked, profile: &profile };
    let totals = asked.totals(period);
    let base_load_kw = asked.base_load();
    let (by_shift, outside_shifts) = asked.shifts();
    let (buckets, cut) = asked.buckets();
    let quarters = demand::quarters(&profile, &checked.zone, period);
    let ranked = demand::ranked(&quarters, request.settings.min_quarter_coverage);
    let cost = request.tariff.as_ref().map(|t| asked.cost(t, &ranked));
    let switch_off = request.switch_off.as_ref().map(|s| asked.switch_off(s, &totals));
    let mut holes = profile.holes(period);
    let hole_count = holes.len() as u64;
    holes.sort_by_key(|h| (-h.to.micros_since(h.from), h.from));
    let mut report = EnergyReport {
        from: Utc(period.from),
        to: Utc(period.to),
        totals,
        ratios: totals.ratios(),
        base_load_kw,
        by_shift,
        outside_shifts,
        buckets,
        peaks: ranked.iter().take(request.settings.peaks).map(|(q, _)| *q).collect(),
        load_duration: demand::duration_curve(&ranked),
        quarters: if request.settings.quarters { quarters } else { Vec::new() },
        cost,
        switch_off,
        hole_count,
        holes: holes.into_iter().take(MAX_HOLES).map(|h| Hole { from: Utc(h.from), to: Utc(h.to) }).collect(),
        meter: notes,
        flags: Vec::new(),
    };
    report.flags = flags(&report, cut);
    report
}

fn flags(report: &EnergyReport, buckets_cut: bool) -> Vec<EnergyFlag> {
    use EnergyFlag as F;
    let (t, notes) = (&report.totals, &report.meter);
    let known = t.measured_s + t.interpolated_s;
    let cost = report.cost.as_ref();
    [
        (F::NoData, known == 0.0),
        (F::Holes, known > 0.0 && report.hole_count > 0),
        (F::Interpolated, t.interpolated_s > 0.0),
        (F::Undated, t.undated_kwh != 0.0),
        (F::Implausible, notes.implausible > 0),
        (F::OverlappingWindows, notes.overlapping_windows > 0),
        (F::CounterReset, notes.resets > 0),
        (F::CounterBackwards, notes.backwards > 0),
        (F::UnknownState, t.by_state.unknown.known_s > 0.0),
        (F::NoParts, t.produced_metered == 0.0),
        (F::NoStanding, report.base_load_kw.is_none()),
        (F::MonthNotWhole, cost.is_some_and(|c| c.demand > 0.0 && c.by_month.iter().any(|m| !m.whole))),
        (F::Co2Unknown, cost.is_some_and(|c| c.co2_kg.is_some() && c.co2_unknown_kwh != 0.0)),
        (F::BucketsCut, buckets_cut),
    ]
    .into_iter()
    .filter_map(|(flag, raised)| raised.then_some(flag))
    .collect()
}

struct Asked<'a> {
    request: &'a EnergyRequest,
    checked: &'a Checked,
    profile: &'a Profile,
}

impl Asked<'_> {
    fn totals(&self, range: TimeRange) -> EnergyTotals {
        let mut totals = EnergyTotals::used(self.profile.used(range));
        for (cut, state) in self.states(range) {
            *totals.by_state.of_mut(state) += EnergyTime::from(self.profile.used(cut));
        }
        let first = self.checked.parts.partition_point(|p| p.to.0 <= range.from);
        for parts in self.checked.parts[first..].iter().take_while(|p| p.to.0 <= range.to) {
            let good = parts.produced.saturating_sub(parts.rejected).saturating_sub(parts.reworked);
            let from = parts.from.0.min(parts.to.0.plus_micros(-1));
            let metered = self.profile.used(TimeRange { from, to: parts.to.0 }).known_share();
            totals.produced = totals.produced.saturating_add(parts.produced);
            totals.good = totals.good.saturating_add(good);
            totals.produced_metered += parts.produced as f64 * metered;
            totals.good_metered += good as f64 * metered;
        }
        totals
    }

    /// The states of `range`, cut to it, with what lies between them.
    fn states(&self, range: TimeRange) -> Vec<(TimeRange, Option<MachineState>)> {
        let states = &self.checked.states;
        let first = states.partition_point(|s| s.to.0 <= range.from);
        let mut all = Vec::new();
        let mut at = range.from;
        for s in states[first..].iter().take_while(|s| s.from.0 < range.to) {
            let (from, to) = (s.from.0.max(range.from), s.to.0.min(range.to));
            if at < from {
                all.push((TimeRange { from: at, to: from }, None));
            }
            all.push((TimeRange { from, to }, Some(s.state)));
            at = to;
        }
        if at < range.to {
            all.push((TimeRange { from: at, to: range.to }, None));
        }
        all
    }

    fn base_load(&self) -> Option<f64> {
        let standing = |s: &Option<MachineState>| s.is_some_and(|s| !matches!(s, MachineState::Producing | MachineState::Offline));
        let mut powers: Vec<(f64, i64)> = self
            .states(self.checked.period)
            .into_iter()
            .filter(|(_, state)| standing(state))
            .flat_map(|(range, _)| self.profile.pieces(range))
            .filter(|p| p.source != Source::Undated)
            .map(|p| (p.mean_kw(), p.micros()))
            .collect();
        powers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: i64 = powers.iter().map(|p| p.1).sum();
        let wanted = total as f64 * self.request.settings.base_load_percentile / 100.0;
        let mut below = 0;
        powers
            .iter()
            .find(|(_, micros)| {
                below += micros;
                below as f64 >= wanted
            })
            .map(|p| p.0)
    }

    fn shifts(&self) -> (Vec<ShiftEnergy>, EnergyTime) {
        let period = self.checked.period;
        let mut by_shift = Vec::new();
        let mut outside = EnergyTime::default();
        let mut at = period.from;
        for shift in &self.checked.shifts {
            let cut = TimeRange { from: shift.from.0.max(period.from), to: shift.to.0.min(period.to) };
            if cut.from >= cut.to {
                continue;
            }
            if at < cut.from {
                outside += self.profile.used(TimeRange { from: at, to: cut.from }).into();
            }
            at = cut.to;
            let totals = self.totals(cut);
            by_shift.push(ShiftEnergy { name: shift.name.clone(), from: Utc(cut.from), to: Utc(cut.to), totals, ratios: totals.ratios() });
        }
        if at < period.to {
            outside += self.profile.used(TimeRange { from: at, to: period.to }).into();
        }
        (by_shift, outside)
    }

    /// And whether there were more than are told.
    fn buckets(&self) -> (Vec<BucketEnergy>, bool) {
        let (zone, period) = (&self.checked.zone, self.checked.period);
        let ranges = match self.request.bucket {
            None => return (Vec::new(), false),
            Some(Bucket::QuarterHour) => local::steps(zone, period, 900_000_000, MAX_BUCKETS),
            Some(Bucket::Hour) => local::steps(zone, period, 3_600_000_000, MAX_BUCKETS),
            Some(Bucket::Day) => local::days(zone, period, MAX_BUCKETS),
        };
        let cut = ranges.last().is_some_and(|last| last.to < period.to);
        let bucket = |r: TimeRange| {
            let r = TimeRange { from: r.from.max(period.from), to: r.to.min(period.to) };
            let used = self.profile.used(r);
            BucketEnergy { from: Utc(r.from), to: Utc(r.to), kwh: used.kwh, coverage: used.known_share() }
        };
        (ranges.into_iter().map(bucket).collect(), cut)
    }

    fn cost(&self, tariff: &Tariff, ranked: &[(Quarter, f64)]) -> Cost {
        let (zone, period) = (&self.checked.zone, self.checked.period);
        let mut kwh = vec![0.0; tariff.bands.len() + 1];
        for (range, band) in tariff.stretches(zone, period) {
            kwh[band.map_or(0, |b| b + 1)] += self.profile.used(range).kwh;
        }
        let names = std::iter::once(None).chain(tariff.bands.iter().map(|b| Some(b.name.clone())));
        let by_band: Vec<BandCost> = names
            .zip(kwh)
            .enumerate()
            .map(|(i, (name, kwh))| {
                let price = tariff.price(i.checked_sub(1));
                BandCost { name, price_per_kwh: price, kwh, cost: kwh * price }
            })
            .collect();
        let (mut co2_kg, mut co2_unknown_kwh) = (None, 0.0);
        for (range, factor) in tariff.co2_stretches(period) {
            let kwh = self.profile.used(range).kwh;
            match factor {
                Some(factor) => *co2_kg.get_or_insert(0.0) += kwh * factor,
                None => co2_unknown_kwh += kwh,
            }
        }
        let by_month = self.months(tariff, ranked);
        let energy = by_band.iter().map(|b| b.cost).sum();
        let demand = by_month.iter().map(|m| m.cost).sum();
        Cost { energy, demand, total: energy + demand, by_band, by_month, co2_kg, co2_unknown_kwh }
    }

    fn months(&self, tariff: &Tariff, ranked: &[(Quarter, f64)]) -> Vec<MonthDemand> {
        let (zone, period) = (&self.checked.zone, self.checked.period);
        let mut months: Vec<MonthDemand> = Vec::new();
        let mut at = period.from;
        while at < period.to {
            let Some((month, range)) = local::month(zone, at) else { break };
            // `ranked` begins with the highest.
            if let Some((q, kw)) = ranked.iter().find(|(q, _)| q.from.0 >= range.from && q.from.0 < range.to) {
                let whole = period.from <= range.from && range.to <= period.to;
                // A feed-in all month costs nothing.
                let cost = kw.max(0.0) * tariff.price_per_kw_month;
                months.push(MonthDemand { month, peak_kw: *kw, peak_at: q.from, cost, whole });
            }
            at = range.to;
        }
        months
    }

    fn switch_off(&self, rule: &SwitchOff, totals: &EnergyTotals) -> SwitchOffSaving {
        let (zone, period) = (&self.checked.zone, self.checked.period);
        let tariff = self.request.tariff.as_ref();
        let mut saving = SwitchOffSaving {
            saved_kwh: 0.0,
            saved_kwh_per_week: None,
            off_s: 0.0,
            times: 0,
            saved_cost: tariff.map(|_| 0.0),
            saved_co2_kg: tariff.filter(|t| t.co2_kg_per_kwh.is_some() || !t.co2_steps.is_empty()).map(|_| 0.0),
        };
        let prices = tariff.map(|t| t.stretches(zone, period)).unwrap_or_default();
        let factors = tariff.map(|t| t.co2_stretches(period)).unwrap_or_default();
        for off in rule.stretches(&self.checked.states) {
            let cut = TimeRange { from: off.from.max(period.from), to: off.to.min(period.to) };
            if cut.from >= cut.to {
                continue;
            }
            let restarts = off.to <= period.to && self.profile.used(off).known_us() > 0;
            saving.times += u64::from(restarts);
            saving.off_s += cut.to.micros_since(cut.from) as f64 / 1e6;
            saving.saved_kwh += rule.saved_kwh(self.profile, cut, restarts);
            let saved = |range: TimeRange| rule.saved_kwh(self.profile, range, restarts && range.to == cut.to);
            if let Some((tariff, cost)) = tariff.zip(saving.saved_cost.as_mut()) {
                *cost += within(&prices, cut).map(|(range, band)| saved(range) * tariff.price(band)).sum::<f64>();
            }
            if let Some(kg) = saving.saved_co2_kg.as_mut() {
                *kg += within(&factors, cut).map(|(range, factor)| saved(range) * factor.unwrap_or(0.0)).sum::<f64>();
            }
        }
        let metered_s = totals.measured_s + totals.interpolated_s;
        saving.saved_kwh_per_week = (metered_s >= 86_400.0).then(|| saving.saved_kwh * 7.0 * 86_400.0 / metered_s);
        saving
    }
}

/// What of `stretches` (in order) lies in `range`, cut to it.
fn within<T: Copy>(stretches: &[(TimeRange, T)], range: TimeRange) -> impl Iterator<Item = (TimeRange, T)> + '_ {
    let first = stretches.partition_point(|(r, _)| r.to <= range.from);
    let cut = move |r: TimeRange| TimeRange { from: r.from.max(range.from), to: r.to.min(range.to) };
    stretches[first..].iter().take_while(move |(r, _)| r.from < range.to).map(move |(r, value)| (cut(*r), *value))
}
