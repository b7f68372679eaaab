//! From a machine's last days and its running shift to what a forecast of that shift is asked.
//!
//! Stands between the prepared history of a machine and `kpi::forecast`. Pure.
//!
//! Cycles are not recorded one by one: the mean is run time by parts, and the spread of single cycles is reckoned from quarter hours, each of many
//! parts, so that a count that ends between two parts says little. Stops are stretches of planned time without production; breaks, holes in the data and
//! the ends of shifts cut them.

use kpi::{
    calendar::{Calendar, clipped, gaps},
    energy::EnergyTotals,
    forecast::{Change, ForecastRequest, History, Order, SoFar},
    oee::{Cause, Interval, Prepared, Tally},
    utc::{Period, Utc},
};
use protocol::{TimeRange, Timestamp};

/// Quarter hours: a spread needs several, and each needs several parts.
const SAMPLE_US: i64 = 900_000_000;
/// With an order later shifts are planned too.
const ORDER_AHEAD_US: i64 = 14 * 86_400_000_000;

/// What the machine did, and what it is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Recent {
    pub history: History,
    /// It has been standing for so long; `None`: it does not, or nothing is known.
    pub standing_s: Option<f64>,
}

/// Of a period that ends now. `None` if fewer than two parts were made while it produced: there is no rate to go by.
pub fn recent(prepared: &Prepared, range: TimeRange, known_until: Timestamp, energy: Option<&EnergyTotals>) -> Option<Recent> {
    let mut samples = Vec::new();
    let mut all = Tally::default();
    let mut from = range.from;
    while from < range.to {
        let part = TimeRange { from, to: from.plus_micros(SAMPLE_US).min(range.to) };
        let tally = prepared.tally(part, known_until);
        samples.push((tally.micros(Cause::Producing) as f64 / 1e6, tally.parts().produced));
        all += &tally;
        from = part.to;
    }
    let cycles = cycles(&samples)?;
    let (stops_s, standing_s) = stops(&prepared.intervals(range, known_until, usize::MAX));
    let parts = all.parts();
    let kw = |kwh: f64, known_s: f64| if known_s > 0.0 { kwh / (known_s / 3_600.0) } else { 0.0 };
    let standing = energy.map(|e| {
        let s = &e.by_state;
        let all = [s.idle, s.setup, s.planned_stop, s.unplanned_stop];
        kw(all.iter().map(|e| e.kwh).sum(), all.iter().map(|e| e.known_s).sum())
    });
    let history = History {
        cycles: cycles.count,
        cycle_mean_s: cycles.mean_s,
        cycle_sd_s: cycles.sd_s,
        run_s: cycles.run_s,
        stops_s,
        produced: parts.produced,
        rejected: parts.rejected.saturating_add(parts.reworked).min(parts.produced),
        kw_producing: energy.map_or(0.0, |e| kw(e.by_state.producing.kwh, e.by_state.producing.known_s)),
        kw_standing: standing.unwrap_or(0.0),
    };
    Some(Recent { history, standing_s })
}

struct Cycles {
    count: u64,
    mean_s: f64,
    sd_s: f64,
    run_s: f64,
}

/// From (run time, parts) of stretches. The variance of a mean of k cycles is that of one by k.
fn cycles(samples: &[(f64, u64)]) -> Option<Cycles> {
    let running = || samples.iter().filter(|(run_s, _)| *run_s > 0.0);
    let run_s: f64 = running().map(|(run_s, _)| run_s).sum();
    let count = running().fold(0_u64, |sum, (_, parts)| sum.saturating_add(*parts));
    if count < 2 || run_s <= 0.0 {
        return None;
    }
    let mean_s = run_s / count as f64;
    let made = || running().filter(|(_, parts)| *parts > 0);
    let squares: f64 = made().map(|(run_s, parts)| *parts as f64 * (run_s / *parts as f64 - mean_s).powi(2)).sum();
    let n = made().count();
    let sd_s = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
    Some(Cycles { count, mean_s, sd_s, run_s })
}

/// Lengths of stops, and that of the one that stands at the end.
fn stops(intervals: &[Interval]) -> (Vec<f64>, Option<f64>) {
    let (mut stops, mut standing) = (Vec::new(), 0.0);
    for interval in intervals {
        match interval.cause {
            Cause::Producing | Cause::NotPlanned | Cause::PlannedStop | Cause::NoData => {
                if standing > 0.0 {
                    stops.push(standing);
                }
                standing = 0.0;
            }
            Cause::UnplannedStop | Cause::Setup | Cause::MinorStop | Cause::Idle | Cause::Offline | Cause::ReducedSpeed => {
                standing += interval.seconds;
            }
        }
    }
    (stops, (standing > 0.0).then_some(standing))
}

/// The shift as far as it has come.
pub fn so_far(tally: &Tally, energy: Option<&EnergyTotals>) -> SoFar {
    let parts = tally.parts();
    let lost = [Cause::NotPlanned, Cause::PlannedStop, Cause::NoData];
    let busy_us: i64 = Cause::ALL.iter().filter(|cause| !lost.contains(cause)).map(|cause| tally.micros(*cause)).sum();
    SoFar {
        planned_s: busy_us as f64 / 1e6,
        produced: parts.produced,
        good: parts.good().min(parts.produced),
        kwh: energy.map_or(0.0, |e| e.kwh),
    }
}

/// Planned busy time from `now` on: until the end of the shift, or with an order also of later shifts.
pub fn windows(calendar: &Calendar, now: Timestamp, until: Timestamp, has_order: bool) -> Vec<Period> {
    let to = if has_order { until.plus_micros(ORDER_AHEAD_US) } else { until };
    let plan = calendar.plan(TimeRange { from: now, to });
    let downtime = || plan.downtime.iter().map(|down| down.range);
    let busy = plan.operation.iter().flat_map(|operation| {
        let within: Vec<TimeRange> = downtime().filter_map(|down| clipped(down, *operation)).collect();
        gaps(*operation, kpi::calendar::merged(within))
    });
    busy.map(Period::from).collect()
}

/// What is asked of `kpi::forecast`.
#[derive(Debug, Clone)]
pub struct Question {
    pub now: Timestamp,
    pub until: Timestamp,
    pub order: Option<Order>,
    pub change: Option<Change>,
    pub simulations: u32,
    pub confidence: f64,
    pub seed: u64,
}

/// The whole request.
pub fn request(question: Question, calendar: &Calendar, recent: Recent, so_far: SoFar, ideal_cycle_s: Option<f64>) -> ForecastRequest {
    ForecastRequest {
        now: Utc(question.now),
        until: Utc(question.until),
        windows: windows(calendar, question.now, question.until, question.order.is_some()),
        history: recent.history,
        standing_s: recent.standing_s,
        ideal_cycle_s,
        so_far,
        order: question.order,
        change: question.change,
        simulations: question.simulations,
        confidence: question.confidence,
        seed: question.seed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::{civil::Time, tz::TimeZone};
    use kpi::{
        calendar::ShiftRule,
        oee::{Catalogue, MachineRecord, PartInterval, PartTally, Rules, StatePoint},
    };
    use protocol::MachineState;

    use super::*;

    /// 2026-01-05T06:00:00Z.
    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_767_592_800 + seconds) * 1_000_000)
    }

    /// Two hours: 20 s a part with stops of 300 s every half hour; at the end it has been standing for 100 s.
    fn two_hours() -> Prepared {
        let mut record = MachineRecord::default();
        for i in 0..4 {
            record.states.push(StatePoint::new(at(i * 1_800), MachineState::Producing));
            record.states.push(StatePoint::new(at(i * 1_800 + 1_500), MachineState::UnplannedStop));
            let parts = PartTally { produced: 75, rejected: 3, ..PartTally::default() };
            record.parts.push(PartInterval { from: at(i * 1_800), to: at(i * 1_800 + 1_500), parts });
        }
        record.states.push(StatePoint::new(at(7_200), MachineState::Producing));
        record.states.push(StatePoint::new(at(7_300), MachineState::UnplannedStop));
        Prepared::new(record, Arc::new(Catalogue::default()), Rules::default())
    }

    #[test]
    fn cycles_stops_and_rejects_are_those_of_the_record() {
        let found = recent(&two_hours(), TimeRange { from: at(0), to: at(7_400) }, at(7_400), None).unwrap();
        assert_eq!((found.history.cycles, found.history.produced, found.history.rejected), (300, 300, 12));
        assert_eq!(found.history.stops_s, [300.0; 4]);
        assert_eq!(found.standing_s, Some(100.0));
        assert!((found.history.run_s - 6_100.0).abs() < 1e-9);
        assert!((found.history.cycle_mean_s - 6_100.0 / 300.0).abs() < 1e-9);
        assert_eq!(recent(&two_hours(), TimeRange { from: at(1_500), to: at(1_800) }, at(7_400), None), None, "nothing was made");
    }

    #[test]
    fn the_spread_of_single_cycles_is_reckoned_from_that_of_means() {
        // Means of 100 cycles that lie 1 s around 20 s: single cycles lie 10 s around it.
        let samples = [(1_900.0, 100), (2_100.0, 100)];
        let found = cycles(&samples).unwrap();
        assert_eq!(found.mean_s, 20.0);
        assert!((found.sd_s - 200.0_f64.sqrt()).abs() < 1e-9, "{}", found.sd_s);
        assert!(cycles(&[(100.0, 1)]).is_none() && cycles(&[(0.0, 50)]).is_none());
    }

    #[test]
    fn what_is_planned_has_no_breaks_and_an_order_reaches_into_later_shifts() {
        let time = |hour, minute| Time::new(hour, minute, 0, 0).unwrap();
        let mut early = ShiftRule::daily("early", time(6, 0), time(14, 0));
        early.breaks = vec![kpi::calendar::Break { name: "lunch".into(), start: time(10, 0), end: time(10, 30) }];
        let calendar = Calendar::new(TimeZone::UTC, vec![early]).unwrap();
        let period = |from: i64, to: i64| Period { from: Utc(at(from)), to: Utc(at(to)) };
        let until = at(28_800);
        assert_eq!(windows(&calendar, at(3_600), until, false), [period(3_600, 14_400), period(16_200, 28_800)]);
        let with_order = windows(&calendar, at(3_600), until, true);
        assert_eq!(with_order.len(), 2 + 14 * 2);
        assert_eq!(with_order[2], period(86_400, 86_400 + 14_400));
    }

    #[test]
    fn the_shift_so_far_is_its_busy_time_and_its_parts() {
        let tally = two_hours().tally(TimeRange { from: at(0), to: at(7_200) }, at(7_200));
        let found = so_far(&tally, None);
        assert_eq!(found, SoFar { planned_s: 7_200.0, produced: 300, good: 288, kwh: 0.0 });
    }
}
