//! Key figures of ISO 22400-2 from a tally.
//!
//! Stands between [`Tally`] and the API. With APT production time, AUST set-up, ADET delays (unplanned stops, waiting, minor stops),
//! AUBT = APT + AUST + ADET, PBT planned busy time, PRI ideal cycle, PQ produced, GQ good:
//! availability A = APT / PBT, performance (effectiveness) P = PRI PQ / APT, quality Q = GQ / PQ, OEE = A P Q, NEE = (APT + AUST) / PBT x P Q; OOE has
//! the planned operation time in place of PBT, TEEP all time.
//!
//! Invariants: A x P x Q = OEE wherever all are defined, and the fully productive time plus the six losses is the planned busy time. A ratio without
//! a meaning is `None` with a [`Flag`], never NaN. Time without data is no loss and no production: it is taken out of every denominator, and
//! [`Oee::coverage`] says how much of the planned time is left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    cause::{CAUSES, Cause, Flag, Flags},
    input::{MinorStopsReduce, QualityWeight, Rules},
    tally::{FEMTOS_PER_SECOND, Tally},
};

/// The key figures of one period. Ratios are fractions; `null` where they have no meaning, with a flag that says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Oee {
    /// Production time / planned busy time.
    pub availability: Option<f64>,
    /// Effectiveness: ideal cycle time x parts / production time. Above 1 the ideal cycle time is wrong: shown as it is, and flagged.
    pub performance: Option<f64>,
    /// Good parts / parts. Rework counts as not good.
    pub quality: Option<f64>,
    /// availability x performance x quality.
    pub oee: Option<f64>,
    /// As OEE, but of the planned operation time (planned stops included).
    pub ooe: Option<f64>,
    /// As OEE, but of all time.
    pub teep: Option<f64>,
    /// Net equipment effectiveness: as OEE, but set-up counts as available.
    pub nee: Option<f64>,
    /// Production time / busy time (production, set-up and delays).
    pub utilization_efficiency: Option<f64>,
    /// Production time / (production time + delays).
    pub technical_efficiency: Option<f64>,
    /// Busy time / planned busy time.
    pub allocation_efficiency: Option<f64>,
    /// Set-up / (production time + set-up).
    pub setup_rate: Option<f64>,
    /// Parts an hour of order execution; `null` without product runs.
    pub throughput_rate_per_h: Option<f64>,
    /// Production time / order execution time.
    pub production_process_ratio: Option<f64>,
    /// Busy time / order execution time.
    pub allocation_ratio: Option<f64>,
    /// Rejected / produced.
    pub scrap_ratio: Option<f64>,
    /// Reworked / produced.
    pub rework_ratio: Option<f64>,
    /// Good at first pass / inspected.
    pub first_pass_yield: Option<f64>,
    pub times: Times,
    pub counts: Counts,
    /// Of the machine, if it has one.
    pub ideal_cycle_time_s: Option<f64>,
    pub losses: Losses,
    /// Share of the planned time for which there was data; all ratios speak of that share only.
    pub coverage: Option<f64>,
    pub flags: Vec<Flag>,
}

/// Seconds. all = not planned + planned operation; planned operation = planned stop + no data + planned busy; planned busy = production + down;
/// down = unplanned stop + setup + idle + offline + minor stop, the last only if minor stops reduce availability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Times {
    pub all_s: f64,
    pub not_planned_s: f64,
    pub planned_operation_s: f64,
    pub planned_stop_s: f64,
    pub no_data_s: f64,
    pub planned_busy_s: f64,
    /// Actual production time.
    pub production_s: f64,
    pub down_s: f64,
    pub unplanned_stop_s: f64,
    pub setup_s: f64,
    pub minor_stop_s: f64,
    pub idle_s: f64,
    pub offline_s: f64,
    /// Actual unit delay time.
    pub delay_s: f64,
    /// Actual unit busy time.
    pub busy_s: f64,
    /// Actual order execution time.
    pub order_execution_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    pub produced: u64,
    pub good: u64,
    pub rejected: u64,
    pub reworked: u64,
    pub startup_rejected: u64,
    /// Made outside the planned time; part of the produced unless the rules leave them out.
    pub outside_plan: u64,
}

/// The six big losses in seconds. With the fully productive time (`oee` x planned busy time) they add up to the planned busy time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Losses {
    /// Unplanned stops, waiting, and planned time in which the machine was off.
    pub breakdowns: f64,
    pub setup_and_adjustments: f64,
    /// Stops and idle time shorter than the limit.
    pub minor_stops: f64,
    /// What is left of the time in which the machine ran; negative if performance is above one.
    pub reduced_speed: Option<f64>,
    pub process_defects: Option<f64>,
    pub startup_rejects: Option<f64>,
}

impl Losses {
    /// In the order of the fields, `None` where not known.
    pub fn all(&self) -> [Option<f64>; 6] {
        let times = [self.breakdowns, self.setup_and_adjustments, self.minor_stops].map(Some);
        let [a, b, c] = times;
        [a, b, c, self.reduced_speed, self.process_defects, self.startup_rejects]
    }
}

/// The ratios alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ratios {
    pub availability: Option<f64>,
    pub performance: Option<f64>,
    pub quality: Option<f64>,
    pub oee: Option<f64>,
    pub ooe: Option<f64>,
    pub teep: Option<f64>,
    pub nee: Option<f64>,
}

/// Sums as real numbers: those of a tally, or those that would be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantities {
    /// Seconds by cause.
    pub(super) seconds: [f64; CAUSES],
    pub(super) produced: f64,
    pub(super) rejected: f64,
    pub(super) reworked: f64,
    pub(super) startup_rejected: f64,
    /// `None`: parts were made of which no ideal cycle is known, or there is none.
    pub(super) ideal_s: Option<f64>,
    pub(super) ideal_bad_s: f64,
    pub(super) ideal_startup_s: f64,
}

impl Quantities {
    pub(super) fn of(tally: &Tally, has_cycle: bool) -> Self {
        let seconds = |femtos: i128| femtos as f64 / FEMTOS_PER_SECOND;
        let known = tally.uncycled == 0 && (has_cycle || tally.has_cycle);
        Self {
            seconds: tally.micros.map(|micros| micros as f64 / 1e6),
            produced: tally.parts.produced as f64,
            rejected: tally.parts.rejected as f64,
            reworked: tally.parts.reworked as f64,
            startup_rejected: tally.parts.startup_rejected as f64,
            ideal_s: known.then(|| seconds(tally.ideal_fs)),
            ideal_bad_s: seconds(tally.ideal_bad_fs),
            ideal_startup_s: seconds(tally.ideal_startup_fs),
        }
    }

    pub(super) fn sum(&self, causes: &[Cause]) -> f64 {
        causes.iter().map(|&cause| self.seconds[cause as usize]).sum()
    }

    /// Time in which the machine ran, at whatever speed.
    pub(super) fn ran_s(&self) -> f64 {
        self.sum(&[Cause::ReducedSpeed, Cause::Producing])
    }

    /// Actual production time.
    pub(super) fn production_s(&self, rules: &Rules) -> f64 {
        let minor = if rules.minor_stops_reduce == MinorStopsReduce::Performance { self.sum(&[Cause::MinorStop]) } else { 0.0 };
        self.ran_s() + minor
    }

    pub(super) fn planned_busy_s(&self) -> f64 {
        use Cause::{Idle, MinorStop, Offline, Producing, ReducedSpeed, Setup, UnplannedStop};
        self.sum(&[UnplannedStop, Setup, MinorStop, Idle, Offline, ReducedSpeed, Producing])
    }

    /// Of planned operation and of all, what is known.
    fn known_s(&self) -> (f64, f64) {
        let operation = self.planned_busy_s() + self.sum(&[Cause::PlannedStop]);
        (operation, operation + self.sum(&[Cause::NotPlanned]))
    }

    fn good(&self) -> f64 {
        (self.produced - self.rejected - self.reworked).max(0.0)
    }

    fn quality(&self, rules: &Rules) -> Option<f64> {
        match (rules.quality_weight, self.ideal_s) {
            (QualityWeight::IdealTime, Some(ideal)) => ratio((ideal - self.ideal_bad_s).max(0.0), ideal),
            (QualityWeight::Counts, _) | (QualityWeight::IdealTime, None) => ratio(self.good(), self.produced),
        }
    }

    /// Ideal time of the good parts. Without parts nothing was wasted on bad ones, so it is 0, though quality has no meaning.
    pub(super) fn fully_productive_s(&self, rules: &Rules) -> Option<f64> {
        self.ideal_s.map(|ideal| ideal * self.quality(rules).unwrap_or(0.0))
    }

    /// Seconds of process defects and of start-up rejects.
    pub(super) fn quality_losses(&self, rules: &Rules) -> Option<(f64, f64)> {
        let lost = self.ideal_s? - self.fully_productive_s(rules)?;
        let (startup, bad) = match rules.quality_weight {
            QualityWeight::Counts => (self.startup_rejected, self.rejected + self.reworked),
            QualityWeight::IdealTime => (self.ideal_startup_s, self.ideal_bad_s),
        };
        let startup = lost * ratio(startup.min(bad), bad).unwrap_or(0.0);
        Some((lost - startup, startup))
    }

    pub(super) fn ratios(&self, rules: &Rules) -> Ratios {
        let (busy_s, production_s) = (self.planned_busy_s(), self.production_s(rules));
        let availability = ratio(production_s, busy_s);
        let performance = self.ideal_s.and_then(|ideal| ratio(ideal, production_s));
        let quality = self.quality(rules);
        let oee = match (availability, performance, quality) {
            (Some(a), Some(p), Some(q)) => Some(a * p * q),
            // Nothing made is nothing, whatever the other factors would have been.
            (Some(a), _, _) if self.produced == 0.0 && (a == 0.0 || self.ideal_s.is_some()) => Some(0.0),
            _ => None,
        };
        let productive_s = oee.map(|_| self.fully_productive_s(rules).unwrap_or(0.0));
        let over = |denominator: f64| productive_s.and_then(|s| ratio(s, denominator));
        let nee = match (performance, quality) {
            (Some(p), Some(q)) => ratio(production_s + self.sum(&[Cause::Setup]), busy_s).map(|a| a * p * q),
            _ => oee,
        };
        let (operation_s, all_s) = self.known_s();
        Ratios { availability, performance, quality, oee, ooe: over(operation_s), teep: over(all_s), nee }
    }

    fn times(&self, rules: &Rules, order_execution_s: f64) -> Times {
        use Cause::{Idle, MinorStop, NoData, NotPlanned, Offline, PlannedStop, Setup, UnplannedStop};
        let (production_s, planned_busy_s) = (self.production_s(rules), self.planned_busy_s());
        let minor_is_delay = rules.minor_stops_reduce == MinorStopsReduce::Availability;
        let delay_s = self.sum(&[UnplannedStop, Idle]) + if minor_is_delay { self.sum(&[MinorStop]) } else { 0.0 };
        let planned_operation_s = planned_busy_s + self.sum(&[PlannedStop, NoData]);
        Times {
            all_s: planned_operation_s + self.sum(&[NotPlanned]),
            not_planned_s: self.sum(&[NotPlanned]),
            planned_operation_s,
            planned_stop_s: self.sum(&[PlannedStop]),
            no_data_s: self.sum(&[NoData]),
            planned_busy_s,
            production_s,
            down_s: planned_busy_s - production_s,
            unplanned_stop_s: self.sum(&[UnplannedStop]),
            setup_s: self.sum(&[Setup]),
            minor_stop_s: self.sum(&[MinorStop]),
            idle_s: self.sum(&[Idle]),
            offline_s: self.sum(&[Offline]),
            delay_s,
            busy_s: production_s + self.sum(&[Setup]) + delay_s,
            order_execution_s,
        }
    }

    pub(super) fn losses(&self, rules: &Rules) -> Losses {
        let quality = self.quality_losses(rules);
        Losses {
            breakdowns: self.sum(&[Cause::UnplannedStop, Cause::Idle, Cause::Offline]),
            setup_and_adjustments: self.sum(&[Cause::Setup]),
            minor_stops: self.sum(&[Cause::MinorStop]),
            reduced_speed: self.ideal_s.map(|ideal| self.ran_s() - ideal),
            process_defects: quality.map(|(process, _)| process),
            startup_rejects: quality.map(|(_, startup)| startup),
        }
    }
}

impl Tally {
    /// The key figures. `ideal_cycle_s`: that of the machine; it is shown.
    pub fn oee(&self, rules: &Rules, ideal_cycle_s: Option<f64>) -> Oee {
        let quantities = Quantities::of(self, ideal_cycle_s.is_some());
        let ratios = quantities.ratios(rules);
        let times = quantities.times(rules, self.order_execution_us as f64 / 1e6);
        let parts = self.parts;
        let produced = parts.produced as f64;
        let over_order = |numerator: f64| ratio(numerator, times.order_execution_s);
        let first_pass_yield = match parts.inspected {
            0 => ratio(parts.good() as f64, produced),
            inspected => ratio(parts.first_pass as f64, inspected as f64),
        };
        Oee {
            availability: ratios.availability,
            performance: ratios.performance,
            quality: ratios.quality,
            oee: ratios.oee,
            ooe: ratios.ooe,
            teep: ratios.teep,
            nee: ratios.nee,
            utilization_efficiency: ratio(times.production_s, times.busy_s),
            technical_efficiency: ratio(times.production_s, times.production_s + times.delay_s),
            allocation_efficiency: ratio(times.busy_s, times.planned_busy_s),
            setup_rate: ratio(times.setup_s, times.production_s + times.setup_s),
            throughput_rate_per_h: over_order(produced).map(|per_s| per_s * 3_600.0),
            production_process_ratio: over_order(times.production_s),
            allocation_ratio: over_order(times.busy_s),
            scrap_ratio: ratio(parts.rejected as f64, produced),
            rework_ratio: ratio(parts.reworked as f64, produced),
            first_pass_yield,
            counts: Counts {
                produced: parts.produced,
                good: parts.good(),
                rejected: parts.rejected,
                reworked: parts.reworked,
                startup_rejected: parts.startup_rejected,
                outside_plan: self.outside_plan,
            },
            ideal_cycle_time_s: ideal_cycle_s.filter(|s| s.is_finite()),
            losses: quantities.losses(rules),
            coverage: ratio(times.planned_operation_s - times.no_data_s, times.planned_operation_s),
            flags: self.flags_of(&quantities, &ratios, &times).iter().collect(),
            times,
        }
    }

    fn flags_of(&self, quantities: &Quantities, ratios: &Ratios, times: &Times) -> Flags {
        let parts = self.parts;
        let mut flags = self.flags;
        if times.planned_busy_s == 0.0 && times.no_data_s == 0.0 {
            flags.set(Flag::NothingPlanned);
        } else if times.planned_busy_s == 0.0 {
            flags.set(Flag::NoData);
        } else {
            flags.set_if(times.no_data_s > 0.0, Flag::PartlyNoData);
        }
        flags.set_if(quantities.ideal_s.is_none(), Flag::NoIdealCycle);
        flags.set_if(times.planned_busy_s > 0.0 && times.production_s == 0.0, Flag::NoProduction);
        flags.set_if(parts.produced == 0, Flag::NoParts);
        flags.set_if(times.production_s == 0.0 && parts.produced > 0, Flag::PartsWithoutProduction);
        flags.set_if(ratios.performance.is_some_and(|p| p > 1.0), Flag::PerformanceAboveOne);
        flags.set_if(parts.rejected.saturating_add(parts.reworked) > parts.produced, Flag::RejectsAboveProduced);
        flags.set_if(self.outside_plan > 0, Flag::PartsOutsidePlan);
        flags
    }
}

/// `None` where the denominator is nothing.
pub(super) fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator).filter(|r| r.is_finite())
}

/// The share of parts that pass every step of a line without rework: the product of the steps' first-pass yields. `None` without a step, or with a
/// yield that is no share.
pub fn rolled_throughput_yield(steps: &[f64]) -> Option<f64> {
    (!steps.is_empty() && steps.iter().all(|y| (0.0..=1.0).contains(y))).then(|| steps.iter().product())
}
