//! Worked examples of the standards, and the properties that hold for any plant: one cause an instant, losses that fill planned time.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kpi::oee_request::{EventLogRequest, ExplicitRequest};

fn explicit(body: serde_json::Value) -> Oee {
    serde_json::from_value::<ExplicitRequest>(body).unwrap().calculate().unwrap()
}

#[track_caller]
fn close(found: Option<f64>, wanted: f64) {
    let found = found.expect("a number");
    assert!((found - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}");
}

fn six(oee: &Oee) -> f64 {
    let l = &oee.losses;
    l.breakdowns
        + l.setup_and_adjustments
        + l.minor_stops
        + l.reduced_speed.unwrap_or(0.0)
        + l.process_defects.unwrap_or(0.0)
        + l.startup_rejects.unwrap_or(0.0)
}

#[test]
fn explicit_numbers_give_the_textbook_shift() {
    let oee = explicit(json!({"planned_busy_time_s": 25200, "downtime_s": 2820, "ideal_cycle_time_s": 1.0,
        "total_count": 19271, "reject_count": 423, "rework_count": 0, "all_time_s": 28800}));
    close(oee.availability, 0.888_095_238_095_238);
    close(oee.performance, 0.861_081_322_609_472_8);
    close(oee.quality, 0.978_049_919_568_263_1);
    close(oee.oee, 0.747_936_507_936_507_9);
    close(oee.teep, 0.747_936_507_936_507_9 * 0.875);
    assert_eq!(oee.ooe, None, "no planned operation time was given");
    assert_eq!(oee.counts.good, 18_848);
    assert_eq!(oee.flags, []);
    close(Some(six(&oee) + oee.oee.unwrap() * 25_200.0), 25_200.0);
}

#[test]
fn setup_counts_as_available_in_nee_and_rework_as_not_good() {
    let oee = explicit(json!({"planned_busy_time_s": 25200, "downtime_s": 4200, "setup_time_s": 1800, "idle_time_s": 1200,
        "planned_operation_time_s": 28800, "ideal_cycle_time_s": 30, "total_count": 630, "reject_count": 20, "rework_count": 10}));
    close(oee.availability, 350.0 / 420.0);
    close(oee.performance, 0.9);
    close(oee.quality, 600.0 / 630.0);
    close(oee.oee, 0.714_285_714_285_714_3);
    close(oee.nee, 0.775_510_204_081_632_6);
    close(oee.ooe, 0.714_285_714_285_714_3 * 420.0 / 480.0);
    assert_eq!(oee.teep, None);
    let rework = explicit(json!({"planned_busy_time_s": 26100, "downtime_s": 3690, "ideal_cycle_time_s": 60,
        "total_count": 312, "reject_count": 5, "rework_count": 9}));
    close(rework.quality, 0.955_128_205_128_205_2);
    close(rework.oee, 0.685_057_471_264_367_8);
}

#[test]
fn startup_rejects_are_told_from_process_defects() {
    let oee = explicit(json!({"planned_busy_time_s": 480, "downtime_s": 80, "setup_time_s": 30, "ideal_cycle_time_s": 0.5,
        "total_count": 700, "reject_count": 100, "startup_reject_count": 40}));
    let l = oee.losses;
    assert_eq!((l.breakdowns, l.setup_and_adjustments, l.minor_stops), (50.0, 30.0, 0.0));
    close(l.reduced_speed, 50.0);
    close(l.process_defects, 30.0);
    close(l.startup_rejects, 20.0);
    close(Some(six(&oee)), 180.0);
}

#[test]
fn a_roll_up_sums_times_and_counts_and_averages_nothing() {
    let machine = |busy: i64, run: i64, parts: u64, bad: u64| {
        let mut tally = Tally::default();
        tally.add_time(Cause::Producing, run * 1_000_000);
        tally.add_time(Cause::UnplannedStop, (busy - run) * 1_000_000);
        tally.add_parts(PartTally { produced: parts, rejected: bad, ..PartTally::default() }, Some(1.0));
        tally
    };
    let (first, second) = (machine(100, 90, 80, 0), machine(300, 150, 150, 15));
    close(first.oee(Some(1.0)).oee, 0.8);
    close(second.oee(Some(1.0)).oee, 0.45);
    let mut line = first;
    line += &second;
    close(line.oee(None).oee, 0.5375);
}

#[test]
fn runs_with_their_own_cycle_times_add_their_ideal_times() {
    let oee = explicit(json!({"planned_busy_time_s": 1000, "downtime_s": 100,
        "runs": [{"ideal_cycle_time_s": 1.0, "total_count": 300}, {"ideal_cycle_time_s": 2.0, "total_count": 150, "reject_count": 45}]}));
    close(oee.performance, 600.0 / 900.0);
    close(oee.quality, 0.9);
    close(oee.oee, 0.9 * 600.0 / 900.0 * 0.9);
    assert_eq!(oee.ideal_cycle_time_s, None);
}

#[test]
fn an_event_log_counts_from_cumulative_counters_and_lets_the_last_state_stand() {
    let at = |time: &str| format!("2021-03-22T{time}:00Z");
    let log: EventLogRequest = serde_json::from_value(json!({
        "window": {"from": at("00:00"), "to": at("04:00")},
        "planned": [{"from": at("00:00"), "to": at("08:00")}],
        "ideal_cycle_time_s": 30,
        "states": [{"at": at("03:30"), "state": "running"}, {"at": at("00:00"), "state": "running"}, {"at": at("01:00"), "state": "running"},
            {"at": at("02:00"), "state": "stopped"}, {"at": at("03:00"), "state": "running"}],
        "total_counter": [{"at": at("00:00"), "value": 1200}, {"at": at("01:00"), "value": 1300}, {"at": at("02:00"), "value": 1400},
            {"at": at("03:00"), "value": 1400}, {"at": at("03:30"), "value": 1440}],
        "reject_counter": [{"at": at("00:00"), "value": 10}, {"at": at("01:00"), "value": 11}, {"at": at("03:30"), "value": 14}],
    }))
    .unwrap();
    let oee = log.calculate().unwrap();
    assert_eq!(oee.times.production_s, 10_800.0);
    close(oee.availability, 0.375);
    close(oee.performance, 2.0 / 3.0);
    close(oee.quality, 0.983_333_333_333_333_3);
    close(oee.oee, 0.245_833_333_333_333_32);
    assert_eq!(oee.flags, [Flag::PlannedBeyondWindow]);
}

#[test]
fn performance_above_one_is_shown_as_it_is_and_flagged() {
    let oee =
        explicit(json!({"planned_busy_time_s": 100, "downtime_s": 30, "ideal_cycle_time_s": 1.5, "total_count": 70, "reject_count": 14}));
    close(oee.performance, 1.5);
    close(oee.oee, 0.84);
    assert_eq!(oee.flags, [Flag::PerformanceAboveOne]);
}

#[test]
fn wrong_numbers_are_all_named() {
    let request: ExplicitRequest = serde_json::from_value(json!({"planned_busy_time_s": -1, "downtime_s": 5, "ideal_cycle_time_s": 0,
        "total_count": 1, "reject_count": 2}))
    .unwrap();
    let fields: Vec<_> = request.calculate().unwrap_err().into_iter().map(|e| e.field).collect();
    assert_eq!(fields, ["planned_busy_time_s", "downtime_s", "ideal_cycle_time_s", "reject_count"]);
}

const WINDOW: TimeRange = TimeRange { from: Timestamp(0), to: Timestamp(1_000) };

fn point(at: i64, state: MachineState) -> StatePoint {
    StatePoint { at: Timestamp(at), state }
}

#[test]
fn planned_time_without_data_is_no_data_and_never_nan() {
    let oee = Tally::of_states(WINDOW, None, &[], WINDOW.to).oee(Some(1.0));
    assert_eq!((oee.availability, oee.performance, oee.quality, oee.oee), (None, None, None, None));
    assert_eq!(oee.coverage, Some(0.0));
    assert_eq!(oee.flags, [Flag::NoData, Flag::NoParts]);
    let unplanned = Tally::of_states(WINDOW, Some(&[]), &[point(0, MachineState::Producing)], WINDOW.to).oee(Some(1.0));
    assert_eq!((unplanned.oee, unplanned.coverage), (None, None));
    assert_eq!(unplanned.flags, [Flag::NothingPlanned, Flag::NoParts]);
}

#[test]
fn a_machine_down_all_shift_has_an_oee_of_zero() {
    let oee = Tally::of_states(WINDOW, None, &[point(-5, MachineState::UnplannedStop)], WINDOW.to).oee(Some(1.0));
    assert_eq!((oee.availability, oee.performance, oee.quality, oee.oee), (Some(0.0), None, None, Some(0.0)));
    assert_eq!(oee.flags, [Flag::NoProduction, Flag::NoParts]);
}

#[test]
fn planned_beats_no_data_and_a_planned_stop_is_no_loss() {
    let planned = [TimeRange { from: Timestamp(200), to: Timestamp(800) }];
    let states = [point(400, MachineState::PlannedStop), point(500, MachineState::Producing)];
    let tally = Tally::of_states(WINDOW, Some(&planned), &states, Timestamp(700));
    let micros = [Cause::NotPlanned, Cause::NoData, Cause::PlannedStop, Cause::Producing].map(|c| tally.micros(c));
    assert_eq!(micros, [400, 300, 100, 200]);
    let oee = tally.oee(None);
    assert_eq!(oee.availability, Some(1.0));
    assert_eq!(oee.coverage, Some(0.5));
    assert_eq!(oee.flags, [Flag::PartlyNoData, Flag::NoIdealCycle, Flag::NoParts]);
}

fn states() -> impl Strategy<Value = Vec<StatePoint>> {
    prop::collection::btree_map(-200_i64..1_200, 0..MachineState::ALL.len(), 0..30)
        .prop_map(|m| m.into_iter().map(|(at, s)| point(at, MachineState::ALL[s])).collect())
}

fn shifts() -> impl Strategy<Value = Option<Vec<TimeRange>>> {
    prop::option::of(prop::collection::btree_set(-100_i64..1_100, 0..8).prop_map(|edges| {
        let edges: Vec<_> = edges.into_iter().map(Timestamp).collect();
        edges.chunks_exact(2).map(|c| TimeRange { from: c[0], to: c[1] }).collect()
    }))
}

proptest! {
    #[test]
    fn every_instant_has_exactly_one_cause_and_the_losses_fill_the_planned_busy_time(
        states in states(), planned in shifts(), known in 0_i64..1_100, produced in 0_u64..500, bad in 0_u64..500, ideal in 0.001_f64..3.0,
    ) {
        let rejected = bad.min(produced);
        let mut tally = Tally::of_states(WINDOW, planned.as_deref(), &states, Timestamp(known));
        prop_assert_eq!(tally.total_micros(), 1_000);
        tally.add_parts(PartTally { produced, rejected, ..PartTally::default() }, Some(ideal));
        let oee = tally.oee(Some(ideal));
        let t = oee.times;
        prop_assert!((t.all_s - t.not_planned_s - t.planned_operation_s).abs() < 1e-12);
        prop_assert!((t.planned_operation_s - t.planned_stop_s - t.no_data_s - t.planned_busy_s).abs() < 1e-12);
        prop_assert!((t.planned_busy_s - t.production_s - t.down_s).abs() < 1e-12);
        if let (Some(a), Some(p), Some(q)) = (oee.availability, oee.performance, oee.quality) {
            prop_assert_eq!(oee.oee, Some(a * p * q));
        }
        if let Some(total) = oee.oee {
            let filled = six(&oee) + total * t.planned_busy_s;
            prop_assert!((filled - t.planned_busy_s).abs() < 1e-9 * (1.0 + ideal * produced as f64), "{} of {}", filled, t.planned_busy_s);
        }
        let all = serde_json::to_value(&oee).unwrap();
        for key in ["availability", "performance", "quality", "oee", "ooe", "teep", "nee", "coverage"] {
            prop_assert!(all[key].is_null() || all[key].as_f64().unwrap().is_finite());
        }
    }

    #[test]
    fn splitting_a_period_and_adding_gives_the_same(states in states(), planned in shifts(), known in 0_i64..1_100, cut in 0_i64..=1_000) {
        let whole = Tally::of_states(WINDOW, planned.as_deref(), &states, Timestamp(known));
        let at = Timestamp(cut);
        let mut sum = Tally::of_states(TimeRange { to: at, ..WINDOW }, planned.as_deref(), &states, Timestamp(known));
        sum += &Tally::of_states(TimeRange { from: at, ..WINDOW }, planned.as_deref(), &states, Timestamp(known));
        prop_assert_eq!(sum, whole);
    }
}
