//! The order of precedence, minor stops, where parts belong, and the explanation of it.

use super::*;

use protocol::MachineState::{Idle, Offline, PlannedStop, Producing, Setup, UnplannedStop};

const WINDOW: (i64, i64) = (0, 1_000);

fn window() -> TimeRange {
    range(WINDOW.0, WINDOW.1)
}

fn told(prepared: &Prepared, known_until: i64) -> Vec<(i64, i64, Cause, Rule)> {
    let intervals = prepared.intervals(window(), Timestamp(known_until * SECOND), usize::MAX);
    intervals.iter().map(|i| (i.from.0.0 / SECOND, i.to.0.0 / SECOND, i.cause, i.rule)).collect()
}

#[test]
fn planned_downtime_beats_no_data_beats_a_registered_reason_beats_the_machine() {
    let record = MachineRecord {
        operation: Some(vec![range(100, 900)]),
        downtime: vec![PlannedDowntime { range: range(150, 250), kind: DowntimeKind::Break, name: "pause".into() }],
        states: vec![point(200, UnplannedStop), point(600, Producing), point(950, UnplannedStop)],
        holes: vec![range(300, 400)],
        reasons: vec![assignment("r1", 0, 500, Some("M1"), 1_000)],
        ..MachineRecord::default()
    };
    let prepared = prepared(record, plain());
    assert_eq!(
        told(&prepared, 800),
        [
            (0, 100, Cause::NotPlanned, Rule::OutsideShifts),
            (100, 150, Cause::NoData, Rule::BeforeFirstState),
            (150, 250, Cause::PlannedStop, Rule::PlannedDowntime),
            (250, 300, Cause::UnplannedStop, Rule::RegisteredReason),
            (300, 400, Cause::NoData, Rule::Hole),
            (400, 500, Cause::UnplannedStop, Rule::RegisteredReason),
            (500, 600, Cause::UnplannedStop, Rule::MachineState),
            (600, 800, Cause::Producing, Rule::MachineState),
            (800, 900, Cause::NoData, Rule::AfterLastData),
            (900, 1_000, Cause::NotPlanned, Rule::OutsideShifts),
        ]
    );
    let intervals = prepared.intervals(window(), window().to, usize::MAX);
    let evidence = &intervals[3].evidence;
    assert_eq!((evidence.registered_by.as_deref(), evidence.comment.as_deref()), (Some("Ada"), Some("seen")));
    assert_eq!((evidence.state, evidence.state_since.map(|at| at.0.0)), (Some("unplanned_stop"), Some(200 * SECOND)));
    assert_eq!((evidence.stood_s, intervals[3].reason_name.as_deref()), (Some(400.0), Some("reason M1")));
    assert_eq!(intervals[2].reason.as_deref(), Some("pause"));
    assert_eq!(prepared.intervals(window(), window().to, 3).len(), 3);
}

#[test]
fn a_later_registration_splits_a_stop_and_one_without_a_reason_takes_it_back() {
    let record = MachineRecord {
        states: vec![point(0, UnplannedStop), point(900, Producing)],
        reasons: vec![
            assignment("third", 600, 700, None, 3),
            assignment("second", 400, 800, Some("S"), 2),
            assignment("first", 0, 900, Some("M"), 1),
        ],
        ..MachineRecord::default()
    };
    let intervals = prepared(record, plain()).intervals(window(), window().to, usize::MAX);
    let told: Vec<_> = intervals.iter().map(|i| (i.from.0.0 / SECOND, i.cause, i.reason.as_deref())).collect();
    assert_eq!(
        told,
        [
            (0, Cause::UnplannedStop, Some("M")),
            (400, Cause::Setup, Some("S")),
            (600, Cause::UnplannedStop, None),
            (700, Cause::Setup, Some("S")),
            (800, Cause::UnplannedStop, Some("M")),
            (900, Cause::Producing, None)
        ]
    );
}

#[test]
fn a_reason_over_production_counts_and_is_flagged_and_an_unknown_one_is_flagged_only() {
    let record = |code: &str| MachineRecord {
        states: vec![point(0, UnplannedStop), point(500, Producing)],
        reasons: vec![assignment("r", 0, 600, Some(code), 1)],
        ideal_cycle_s: Some(1.0),
        ..MachineRecord::default()
    };
    let tally = prepared(record("S"), plain()).tally(window(), window().to);
    assert_eq!((tally.micros(Cause::Setup), tally.micros(Cause::Producing)), (600 * SECOND, 400 * SECOND));
    assert!(tally.flags().holds(Flag::ReasonOverProduction));
    for code in ["nobody", "Q"] {
        let tally = prepared(record(code), plain()).tally(window(), window().to);
        assert_eq!((tally.micros(Cause::UnplannedStop), tally.micros(Cause::Producing)), (500 * SECOND, 500 * SECOND));
        assert!(tally.flags().holds(Flag::UnknownReason) && !tally.flags().holds(Flag::ReasonOverProduction));
    }
    let planned = prepared(record("P"), plain()).tally(window(), window().to);
    assert_eq!(planned.oee(&plain(), Some(1.0)).times.planned_busy_s, 400.0);
}

#[test]
fn the_machines_own_reason_counts_after_a_changeover_and_before_its_state() {
    let mut states = vec![point(0, UnplannedStop), point(300, Idle), point(500, Producing), point(600, Offline)];
    states[0].reason = Some("J".into());
    states[1].reason = Some("door open".into());
    let changeovers = vec![Changeover { range: range(200, 550), from_product: "A".into(), to_product: "B".into() }];
    let prepared = prepared(MachineRecord { states, changeovers, ..MachineRecord::default() }, plain());
    assert_eq!(
        told(&prepared, 1_000),
        [
            (0, 200, Cause::MinorStop, Rule::MachineReason),
            (200, 500, Cause::Setup, Rule::Changeover),
            (500, 600, Cause::Producing, Rule::MachineState),
            (600, 1_000, Cause::Offline, Rule::MachineState),
        ]
    );
    let changing = &prepared.intervals(window(), window().to, usize::MAX)[1].evidence;
    assert_eq!((changing.from_product.as_deref(), changing.to_product.as_deref()), (Some("A"), Some("B")));
}

#[test]
fn a_breakdown_that_the_machine_names_is_a_minor_stop_while_it_is_short_and_keeps_its_name() {
    let rules = Rules { minor_stop_below_s: 60.0, ..Rules::default() };
    let mut states = vec![point(0, UnplannedStop), point(30, Producing), point(100, UnplannedStop), point(200, Producing)];
    states[0].reason = Some("M1".into());
    states[2].reason = Some("M1".into());
    let record = MachineRecord { states, reasons: vec![assignment("r", 0, 10, Some("M"), 1)], ..MachineRecord::default() };
    let prepared = prepared(record, rules);
    assert_eq!(
        told(&prepared, 1_000),
        [
            (0, 10, Cause::UnplannedStop, Rule::RegisteredReason),
            (10, 30, Cause::MinorStop, Rule::ShortStop),
            (30, 100, Cause::Producing, Rule::MachineState),
            (100, 200, Cause::UnplannedStop, Rule::MachineReason),
            (200, 1_000, Cause::Producing, Rule::MachineState),
        ]
    );
    assert_eq!(prepared.intervals(range(10, 30), window().to, 1)[0].reason.as_deref(), Some("M1"));
}

#[test]
fn a_stop_shorter_than_the_limit_is_a_minor_stop_wherever_the_window_cuts_it() {
    let rules = Rules { minor_stop_below_s: 60.0, ..Rules::default() };
    let states = vec![point(0, Producing), point(400, Idle), point(459, Producing), point(700, UnplannedStop), point(760, Producing)];
    let prepared = prepared(MachineRecord { states, ..MachineRecord::default() }, rules);
    let of = |from, to| {
        let tally = prepared.tally(range(from, to), Timestamp(1_000 * SECOND));
        (tally.micros(Cause::MinorStop) / SECOND, tally.micros(Cause::UnplannedStop) / SECOND)
    };
    assert_eq!(of(0, 1_000), (59, 60));
    assert_eq!((of(0, 430), of(430, 710)), ((30, 0), (29, 10)), "the whole stop decides");
    // While it stands, its length so far counts.
    assert_eq!(prepared.tally(range(0, 1_000), Timestamp(730 * SECOND)).micros(Cause::MinorStop) / SECOND, 59 + 30);
}

#[test]
fn minor_stops_move_between_availability_and_performance_and_oee_stays() {
    let states = vec![point(0, Producing), point(400, Idle), point(450, Producing), point(600, UnplannedStop), point(800, Producing)];
    let record = MachineRecord { states, parts: vec![count(0, 1_000, 500, 25)], ideal_cycle_s: Some(1.0), ..MachineRecord::default() };
    let rules = |minor_stops_reduce| Rules { minor_stop_below_s: 60.0, minor_stops_reduce, ..Rules::default() };
    let oee = |rules: Rules| prepared(record.clone(), rules).tally(window(), window().to).oee(&rules, Some(1.0));
    let (iso, tpm) = (oee(rules(MinorStopsReduce::Availability)), oee(rules(MinorStopsReduce::Performance)));
    assert_eq!((iso.availability, tpm.availability), (Some(0.75), Some(0.8)));
    close(iso.performance, 500.0 / 750.0);
    close(tpm.performance, 500.0 / 800.0);
    close(iso.oee, 0.475);
    close(tpm.oee, 0.475);
    for (oee, rules) in [(&iso, rules(MinorStopsReduce::Availability)), (&tpm, rules(MinorStopsReduce::Performance))] {
        close(Some(six(oee) + oee.oee.unwrap() * 1_000.0), 1_000.0);
        assert_eq!((oee.losses.minor_stops, oee.losses.breakdowns), (50.0, 200.0));
        let tree = prepared(record.clone(), rules).tally(window(), window().to).loss_tree(&rules, Some(1.0));
        close(tree.find("availability_losses").map(|n| n.seconds), (1.0 - oee.availability.unwrap()) * 1_000.0);
    }
}

#[test]
fn planned_time_without_data_is_no_data_and_never_nan() {
    let cycle = |record: MachineRecord| MachineRecord { ideal_cycle_s: Some(1.0), ..record };
    let oee = prepared(cycle(MachineRecord::default()), plain()).tally(window(), window().to).oee(&plain(), Some(1.0));
    assert_eq!((oee.availability, oee.performance, oee.quality, oee.oee), (None, None, None, None));
    assert_eq!(oee.coverage, Some(0.0));
    assert_eq!(oee.flags, [Flag::NoData, Flag::NoParts]);
    let unplanned = MachineRecord { operation: Some(Vec::new()), states: vec![point(0, Producing)], ..MachineRecord::default() };
    let oee = prepared(cycle(unplanned), plain()).tally(window(), window().to).oee(&plain(), Some(1.0));
    assert_eq!((oee.oee, oee.coverage), (None, None));
    assert_eq!(oee.flags, [Flag::NothingPlanned, Flag::NoParts]);
}

#[test]
fn a_machine_down_all_shift_has_an_oee_of_zero() {
    let record = MachineRecord { states: vec![point(-5, UnplannedStop)], ..MachineRecord::default() };
    let oee = prepared(record, plain()).tally(window(), window().to).oee(&plain(), Some(1.0));
    assert_eq!((oee.availability, oee.performance, oee.quality, oee.oee), (Some(0.0), None, None, Some(0.0)));
    assert_eq!(oee.flags, [Flag::NoProduction, Flag::NoParts]);
}

#[test]
fn a_planned_stop_of_the_machine_is_no_loss() {
    let states = vec![point(0, PlannedStop), point(400, Producing)];
    let oee = prepared(MachineRecord { states, ..MachineRecord::default() }, plain()).tally(window(), window().to).oee(&plain(), None);
    assert_eq!((oee.availability, oee.times.planned_stop_s, oee.times.planned_busy_s), (Some(1.0), 400.0, 600.0));
}

#[test]
fn parts_over_an_edge_are_shared_by_the_time_in_which_the_machine_produced() {
    let states = vec![point(0, UnplannedStop), point(300, Producing), point(400, UnplannedStop), point(800, Producing)];
    let record = MachineRecord { states, parts: vec![count(0, 1_000, 90, 30)], ideal_cycle_s: Some(1.0), ..MachineRecord::default() };
    let prepared = prepared(record, plain());
    let of = |from, to| {
        let parts = prepared.tally(range(from, to), Timestamp(1_000 * SECOND)).parts();
        (parts.produced, parts.rejected)
    };
    assert_eq!([of(0, 300), of(300, 400), of(400, 800), of(800, 1_000)], [(0, 0), (30, 10), (0, 0), (60, 20)]);
    assert_eq!(of(0, 1_000), (90, 30));
}

#[test]
fn each_product_has_its_own_ideal_cycle_and_the_edge_between_runs_shares_parts() {
    let run = |from, to, product: &str, cycle| ProductRun {
        range: range(from, to),
        product: product.into(),
        order: String::new(),
        ideal_cycle_s: Some(cycle),
    };
    let record = MachineRecord {
        states: vec![point(0, Producing)],
        runs: vec![run(0, 500, "A", 2.0), run(400, 1_000, "B", 4.0)],
        parts: vec![count(0, 200, 100, 0), count(200, 600, 100, 0), count(600, 1_000, 50, 0)],
        ..MachineRecord::default()
    };
    let oee = prepared(record, plain()).tally(window(), window().to).oee(&plain(), None);
    // The later run counts from 400: half of the middle interval's parts are B's.
    close(oee.performance, (100.0 * 2.0 + 50.0 * 2.0 + 50.0 * 4.0 + 50.0 * 4.0) / 1_000.0);
    assert_eq!((oee.times.order_execution_s, oee.flags), (1_000.0, vec![Flag::OverlappingRuns]));
}

#[test]
fn parts_outside_the_plan_are_told_and_left_out_if_the_rules_say_so() {
    let record = MachineRecord {
        operation: Some(vec![range(0, 500)]),
        states: vec![point(0, Producing)],
        parts: vec![count(0, 500, 400, 0), count(500, 1_000, 100, 0)],
        ideal_cycle_s: Some(1.0),
        ..MachineRecord::default()
    };
    let with = |parts_outside_plan| {
        let rules = Rules { parts_outside_plan, ..plain() };
        let oee = prepared(record.clone(), rules).tally(window(), window().to).oee(&rules, Some(1.0));
        (oee.performance, oee.counts.produced, oee.counts.outside_plan, oee.flags)
    };
    assert_eq!(with(PartsOutsidePlan::Counted), (Some(1.0), 500, 100, vec![Flag::PartsOutsidePlan]));
    assert_eq!(with(PartsOutsidePlan::LeftOut), (Some(0.8), 400, 100, vec![Flag::PartsOutsidePlan]));
}

#[test]
fn rejects_during_and_soon_after_setup_are_startup_rejects() {
    let record = MachineRecord {
        states: vec![point(0, Producing), point(200, Setup), point(300, Producing)],
        parts: vec![count(100, 150, 10, 1), count(200, 250, 2, 2), count(300, 350, 10, 3), count(400, 450, 10, 4)],
        ideal_cycle_s: Some(1.0),
        ..MachineRecord::default()
    };
    let with = |startup_after_setup_s| {
        let rules = Rules { startup_after_setup_s, ..plain() };
        prepared(record.clone(), rules).tally(window(), window().to).parts().startup_rejected
    };
    assert_eq!([with(0.0), with(60.0), with(600.0)], [0, 5, 9]);
}

#[test]
fn a_registration_is_checked_before_it_is_kept() {
    let fields = |a: ReasonAssignment| -> Vec<String> {
        a.check(&catalogue(), Timestamp(500 * SECOND)).err().into_iter().flatten().map(|e| e.field).collect()
    };
    assert_eq!(fields(assignment("r", 0, 100, Some("M1"), 200)), Vec::<String>::new());
    assert_eq!(fields(assignment("r", 100, 100, Some("X"), 200)), ["from", "reason"]);
    assert_eq!(fields(ReasonAssignment { by: String::new(), ..assignment("r", 0, 600, Some("Q"), 200) }), ["to", "reason", "by"]);
}
