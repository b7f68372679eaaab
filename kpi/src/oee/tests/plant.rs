//! Shifts over changes of the clock, lines and sites, and the running shift.

use jiff::{civil::Time, tz::TimeZone};
use protocol::{
    AssetPath,
    MachineState::{Idle, Producing, Setup, UnplannedStop},
};

use super::*;
use crate::{
    calendar::{Break, Calendar, ShiftRule},
    utc::Utc,
};

fn at(text: &str) -> Timestamp {
    Utc::parse(text).unwrap().0
}

/// 22:00 to 06:00 in Berlin, with a break from 04:00 to 04:30.
fn nights() -> Calendar {
    let time = |hour, minute| Time::constant(hour, minute, 0, 0);
    let mut night = ShiftRule::daily("night", time(22, 0), time(6, 0));
    night.breaks = vec![Break { name: "pause".into(), start: time(4, 0), end: time(4, 30) }];
    Calendar::new(TimeZone::get("Europe/Berlin").unwrap(), vec![night]).unwrap()
}

#[test]
fn a_night_shift_has_the_minutes_that_pass_when_clocks_change_and_its_oee_is_of_them() {
    for (inside, minutes) in [("2025-03-30T00:30:00Z", 420), ("2025-10-26T00:30:00Z", 540), ("2025-06-15T00:30:00Z", 480)] {
        let shift = nights().shift_at(at(inside)).unwrap().range;
        // A part a minute from the first to the last minute, the break's left out.
        let minute = |i: i64| shift.from.plus_micros(i * 60 * SECOND);
        let pause = nights().plan(shift).downtime[0].range;
        let parts = (0..minutes).map(|i| PartInterval {
            from: minute(i),
            to: minute(i + 1),
            parts: PartTally { produced: u64::from(minute(i) < pause.from || minute(i) >= pause.to), ..PartTally::default() },
        });
        let record = MachineRecord {
            states: vec![
                StatePoint::new(shift.from, Producing),
                StatePoint::new(pause.from, Idle),
                StatePoint::new(pause.to, Producing),
                StatePoint::new(shift.to, Idle),
            ],
            parts: parts.collect(),
            ideal_cycle_s: Some(48.0),
            ..MachineRecord::default()
        };
        let window = TimeRange { from: shift.from.plus_micros(-3_600 * SECOND), to: shift.to.plus_micros(3_600 * SECOND) };
        let oee = prepared(record.with_plan(nights().plan(window)), Rules::default()).oee(window, window.to);
        assert_eq!(oee.times.planned_operation_s, minutes as f64 * 60.0, "{inside}");
        assert_eq!((oee.times.planned_stop_s, oee.counts.produced), (1_800.0, minutes as u64 - 30));
        close(oee.availability, 1.0);
        close(oee.oee, 0.8);
        close(oee.ooe, 0.8 * (minutes - 30) as f64 / minutes as f64);
        close(oee.teep, 0.8 * (minutes - 30) as f64 / (minutes + 120) as f64);
    }
}

fn machine(run_s: i64, down_s: i64, cycle_s: f64, parts: u64, rejected: u64) -> Tally {
    let mut tally = Tally::default();
    tally.add_time(Cause::Producing, run_s * SECOND);
    tally.add_time(Cause::UnplannedStop, down_s * SECOND);
    tally.add_parts(PartTally { produced: parts, rejected, ..PartTally::default() }, IdealCycle::of_seconds(cycle_s));
    tally
}

#[test]
fn lines_areas_and_sites_are_sums_of_their_machines() {
    let plant = [
        ("north/press/line1/p1", machine(90, 10, 1.0, 80, 0)),
        ("north/press/line1/p2", machine(150, 150, 1.0, 150, 15)),
        ("north/paint/line2/r1", machine(100, 0, 2.0, 40, 0)),
        ("south/press/line1/p1", machine(50, 50, 1.0, 40, 40)),
    ];
    let paths: Vec<_> = plant.iter().map(|(path, _)| AssetPath::new(path).unwrap()).collect();
    let machines = paths.iter().zip(&plant).rev().map(|(path, (_, tally))| (path, tally, None));
    let tree = RollUp::of(machines, &Rules::default());
    let told = |path: &str| tree.find(path).map(|node| (node.level, node.machines, node.oee.oee)).unwrap();
    let (level, machines, oee) = told("north/press/line1");
    assert_eq!((level, machines), (Level::Line, 2));
    close(oee, 0.5375);
    assert_eq!((told("").0, told("").1, told("south").1), (Level::Plant, 4, 1));
    let north: Tally = plant[..3].iter().map(|(_, tally)| tally).sum();
    assert_eq!(told("north").2, north.oee(&Rules::default(), None).oee);
    assert_eq!(told("south/press/line1/p1").2, Some(0.0));
}

#[test]
fn with_quality_weighed_by_ideal_time_the_losses_of_a_line_are_the_sum_of_its_machines() {
    let rules = Rules { quality_weight: QualityWeight::IdealTime, ..Rules::default() };
    let machines = [machine(90, 10, 1.0, 80, 8), machine(150, 150, 4.0, 30, 15), machine(1_000, 0, 0.3, 2_000, 1)];
    let line = machines.iter().sum::<Tally>().oee(&rules, None);
    let sums = machines.iter().map(|m| m.oee(&rules, None).losses.all().map(Option::unwrap));
    let sums = sums.fold([0.0; 6], |a, b| std::array::from_fn(|i| a[i] + b[i]));
    for (of_line, sum) in line.losses.all().into_iter().zip(sums) {
        close(of_line, sum);
    }
}

#[test]
fn each_product_run_has_its_own_figures_and_they_add_up() {
    let run = |from, to, product: &str, cycle| ProductRun {
        range: range(from, to),
        product: product.into(),
        order: format!("order {product}"),
        ideal_cycle_s: cycle,
    };
    let record = MachineRecord {
        states: vec![point(0, Producing), point(400, Setup), point(500, Producing), point(800, UnplannedStop)],
        runs: vec![run(0, 500, "A", Some(2.0)), run(500, 1_000, "B", None)],
        parts: vec![count(0, 400, 160, 16), count(500, 1_000, 240, 0)],
        ideal_cycle_s: Some(1.0),
        ..MachineRecord::default()
    };
    let prepared = prepared(record, plain());
    let runs = prepared.run_figures(range(0, 1_000), Timestamp(1_000 * SECOND));
    let told: Vec<_> = runs.iter().map(|r| (r.product.as_str(), r.oee.counts.produced, r.oee.ideal_cycle_time_s)).collect();
    assert_eq!(told, [("A", 160, Some(2.0)), ("B", 240, Some(1.0))]);
    assert_eq!((runs[0].oee.performance, runs[0].oee.quality, runs[0].oee.setup_rate), (Some(0.8), Some(0.9), Some(0.2)));
    assert_eq!((runs[1].oee.performance, runs[1].oee.availability), (Some(0.8), Some(0.6)));
    let slow = prepared.intervals(range(0, 1_000), Timestamp(1_000 * SECOND), 10)[0].parts.unwrap();
    assert_eq!((slow.produced, slow.rejected, slow.slow_s), (160, 16, Some(80.0)));
}

#[test]
fn the_running_shift_follows_events_in_order_late_ones_and_a_clock_that_jumps_back() {
    let shift = range(0, 28_800);
    let record = MachineRecord { operation: Some(vec![shift]), ideal_cycle_s: Some(1.0), ..MachineRecord::default() };
    let mut live = LiveMachine::new(shift, record, catalogue(), plain());
    let known = |s: i64| Timestamp(s * SECOND);
    let seconds = |tally: &Tally, cause| tally.micros(cause) / SECOND;
    assert_eq!(seconds(&live.tally(known(100)), Cause::NoData), 28_800);
    live.state(point(-50, Producing));
    live.count(count(0, 60, 50, 1));
    let tally = live.tally(known(100));
    assert_eq!((seconds(&tally, Cause::Producing), tally.parts().produced), (100, 50));
    live.state(point(200, UnplannedStop));
    live.state(point(260, Producing));
    assert_eq!(seconds(&live.tally(known(300)), Cause::UnplannedStop), 60);
    // Late: it was set-up from 220 on.
    live.state(point(220, Setup));
    live.register(assignment("r", 200, 220, Some("M1"), 400));
    let tally = live.tally(known(300));
    assert_eq!((seconds(&tally, Cause::UnplannedStop), seconds(&tally, Cause::Setup), seconds(&tally, Cause::Producing)), (20, 40, 240));
    assert_eq!(tally.reasons().get(&(Cause::UnplannedStop, Some("M1".into()))).map(|sum| sum.micros / SECOND), Some(20));
    // The clock goes back behind what was settled.
    assert_eq!(seconds(&live.tally(known(150)), Cause::Producing), 150);
    assert!(live.tally(known(150)).flags().holds(Flag::FutureData));
    assert_eq!(live.standing().map(|s| s.at), Some(known(260)));
}

#[test]
fn more_states_than_can_be_held_leave_when_they_are_settled_and_only_late_data_are_flagged() {
    let shift = range(0, 28_800);
    let at = |i: i64| Timestamp(i * 100_000);
    let mut record = MachineRecord { ideal_cycle_s: Some(1.0), ..MachineRecord::default() };
    let mut live = LiveMachine::new(shift, record.clone(), catalogue(), plain());
    let states = (0..60_000).map(|i| StatePoint::new(at(i), Producing));
    let changes = (60_000..120_000).map(|i| StatePoint::new(at(i), if i % 2 == 0 { Idle } else { Producing }));
    for state in states.chain(changes) {
        live.state(state.clone());
        record.states.push(state);
    }
    let end = at(120_000);
    assert_eq!(live.tally(end), prepared(record, plain()).tally(shift, end));
    live.state(StatePoint::new(at(5), Setup));
    assert!(live.tally(end).flags().holds(Flag::Truncated));
}

/// The same numbers at every run.
struct Random(u64);

impl Random {
    fn upto(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as i64 % (most + 1)
    }
}

#[test]
fn a_simulated_month_gives_the_truth_of_every_shift_within_a_tenth_of_a_point() {
    // March in Berlin, three shifts with a break each. A 16-bit counter, read about once a minute; each part takes 5 s, and then a bit.
    const CYCLE_US: i64 = 5_000_000;
    let time = |hour, minute| Time::constant(hour, minute, 0, 0);
    let rule = |name: &str, start: i8, end: i8, pause: i8| ShiftRule {
        breaks: vec![Break { name: "pause".into(), start: time(pause, 0), end: time(pause, 20) }],
        ..ShiftRule::daily(name, time(start, 0), time(end, 0))
    };
    let rules = vec![rule("early", 6, 14, 9), rule("late", 14, 22, 18), rule("night", 22, 6, 1)];
    let calendar = Calendar::new(TimeZone::get("Europe/Berlin").unwrap(), rules).unwrap();
    let month = TimeRange { from: at("2025-03-02T21:00:00Z"), to: at("2025-04-01T04:00:00Z") };
    let mut random = Random(7);

    let (mut states, mut made, mut now) = (Vec::new(), Vec::new(), month.from);
    while now < month.to {
        states.push(StatePoint::new(now, Producing));
        let end = now.plus_micros((10 + random.upto(1_500)) * SECOND + random.upto(SECOND));
        // Parts of a piece of production: the last one is finished after the stop, so it is not made in it.
        let mut part = now;
        loop {
            part = part.plus_micros(CYCLE_US + random.upto(CYCLE_US / 5));
            if part >= end {
                break;
            }
            made.push((part, random.upto(40) == 0));
        }
        states.push(StatePoint::new(end, [Idle, UnplannedStop, Setup][random.upto(2) as usize]));
        now = end.plus_micros(random.upto(600) * SECOND + random.upto(SECOND));
    }
    // In breaks the machine runs on: their time is not planned, and their parts are parts.
    let points = |wanted: fn(&(Timestamp, bool)) -> bool, start: u64| {
        let mut readings = Random(start);
        let (mut points, mut value, mut at) = (Vec::new(), start, month.from);
        let mut made = made.iter().filter(|part| wanted(part)).peekable();
        while at < month.to.plus_micros(120 * SECOND) {
            while made.next_if(|(part, _)| *part <= at).is_some() {
                value = (value + 1) % (1 << 16);
            }
            points.push(crate::counters::CounterPoint { at, value });
            at = at.plus_micros((50 + readings.upto(20)) * SECOND);
        }
        points
    };
    use crate::counters::{Counted, Width, differences};
    let (mut parts, notes) = differences(&points(|_| true, 60_000), Width::Bits16, Counted::Produced);
    parts.extend(differences(&points(|(_, bad)| *bad, 9), Width::Bits16, Counted::Rejected).0);
    assert!(notes.wraps >= 4 && notes.resets + notes.backwards == 0, "{notes:?}");
    let truth_states = states.clone();
    // An outage: six hours come late, after all others, and backwards.
    let late = |at: Timestamp| at > month.from.plus_micros(500_000 * SECOND) && at < month.from.plus_micros(521_600 * SECOND);
    states.sort_by_key(|s| (late(s.at), if late(s.at) { -s.at.0 } else { s.at.0 }));
    parts.sort_by_key(|p| (late(p.to), if late(p.to) { -p.to.0 } else { p.to.0 }));
    let record = MachineRecord { states, parts, ideal_cycle_s: Some(5.0), ..MachineRecord::default() };
    let prepared = prepared(record.with_plan(calendar.plan(month)), Rules::default());

    let shifts = calendar.shifts(TimeRange { from: month.from, to: month.to });
    assert!(shifts.len() >= 87);
    let mut worst = 0.0_f64;
    for shift in shifts {
        let (from, to) = (shift.range.from, shift.range.to);
        let ends = truth_states.iter().skip(1).map(|s| s.at).chain([month.to]);
        let runs = truth_states.iter().zip(ends).filter(|(s, _)| s.state == Producing).map(|(s, end)| (s.at.max(from), end.min(to)));
        let production: i64 = runs
            .filter(|(from, to)| from < to)
            .map(|(from, to)| {
                let pauses = shift.breaks.iter().map(|(_, p)| (p.to.min(to).0 - p.from.max(from).0).max(0)).sum::<i64>();
                to.0 - from.0 - pauses
            })
            .sum();
        let busy = to.0 - from.0 - shift.breaks.iter().map(|(_, p)| p.to.0 - p.from.0).sum::<i64>();
        let here = made.iter().filter(|(at, _)| from < *at && *at <= to);
        let (all, good) = here.fold((0, 0), |(all, good), (_, bad)| (all + 1, good + i64::from(!bad)));
        let oee = prepared.oee(shift.range, month.to.plus_micros(3_600 * SECOND));
        close(oee.availability, production as f64 / busy as f64);
        assert!((oee.counts.produced as i64 - all).abs() <= 3, "{} parts of {all}", oee.counts.produced);
        worst = worst.max((oee.oee.unwrap() - good as f64 * CYCLE_US as f64 / busy as f64).abs());
    }
    // Reached: 0.0004 of 1, from counts of a minute that lie over the edges of a shift.
    assert!(worst < 0.001, "{worst}");
}
