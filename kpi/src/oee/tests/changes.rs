//! Pareto, comparison, what-if and restatement.

use super::*;

use protocol::MachineState::{Idle, Producing, Setup, UnplannedStop};

/// A shift of 10,000 s: 200 s in four micro-stops of 50 s, a breakdown of 800 s, a changeover of 1,000 s.
fn shift() -> Prepared {
    let mut states = vec![point(0, Producing)];
    for at in [1_000, 2_000, 3_000, 4_000] {
        states.extend([point(at, Idle), point(at + 50, Producing)]);
    }
    states.extend([point(5_000, UnplannedStop), point(5_800, Producing), point(7_000, Setup), point(8_000, Producing)]);
    let record = MachineRecord {
        states,
        reasons: vec![assignment("r1", 5_000, 5_800, Some("M1"), 6_000)],
        parts: vec![count(0, 10_000, 4_000, 400)],
        ideal_cycle_s: Some(1.6),
        ..MachineRecord::default()
    };
    prepared(record, Rules { minor_stop_below_s: 60.0, ..Rules::default() })
}

fn tally(prepared: &Prepared) -> Tally {
    prepared.tally(range(0, 10_000), Timestamp(10_000 * SECOND))
}

#[test]
fn a_pareto_fills_what_lies_between_planned_and_fully_productive_time() {
    let (shift, rules) = (shift(), Rules::default());
    let tally = tally(&shift);
    let pareto = tally.pareto(ParetoBy::Reason, &rules, shift.catalogue(), Some(1.6));
    let rows: Vec<_> = pareto.rows.iter().map(|r| (r.key.as_str(), r.seconds.round() as i64, r.stops)).collect();
    assert_eq!(
        rows,
        [("reduced_speed", 1_600, 0), ("setup", 1_000, 1), ("M1", 800, 1), ("process_defects", 640, 0), ("minor_stop", 200, 4)]
    );
    let oee = tally.oee(&rules, Some(1.6));
    close(Some(pareto.total_s), 10_000.0 * (1.0 - oee.oee.unwrap()));
    close(pareto.rows.last().unwrap().cumulative, 1.0);
    assert_eq!((pareto.rows[4].mean_s, pareto.rows[4].every_s), (Some(50.0), Some(2_000.0)));
    close(pareto.rows[2].parts, 500.0);
    let top = tally.pareto(ParetoBy::TopReason, &rules, shift.catalogue(), Some(1.6));
    assert_eq!((top.rows[2].key.as_str(), top.rows[2].name.as_str()), ("M", "reason M"));
    let categories = tally.pareto(ParetoBy::Category, &rules, shift.catalogue(), Some(1.6));
    assert_eq!(categories.rows.iter().filter(|r| r.key == "breakdowns").map(|r| r.seconds).sum::<f64>(), 800.0);
}

#[test]
fn the_tree_of_losses_adds_up_to_the_microsecond_at_every_node() {
    fn check(node: &LossNode) {
        assert!(node.children.is_empty() || node.children.iter().map(|c| c.micros).sum::<i64>() == node.micros, "{}", node.key);
        node.children.iter().for_each(check);
    }
    let tree = tally(&shift()).loss_tree(&Rules::default(), Some(1.6));
    check(&tree);
    let seconds = |key: &str| tree.find(key).unwrap().seconds;
    assert_eq!(
        ["planned_busy_time", "availability_losses", "performance_losses", "quality_losses", "fully_productive_time"].map(seconds),
        [10_000.0, 2_000.0, 1_600.0, 640.0, 5_760.0]
    );
    assert_eq!((seconds("M1"), tree.find("minor_stops").unwrap().stops), (800.0, Some(4)));
    let unknown = tally(&shift());
    let mut without = Tally::default();
    without.add_time(Cause::Producing, unknown.micros(Cause::Producing));
    let tree = without.loss_tree(&Rules::default(), None);
    check(&tree);
    assert_eq!(tree.find("undivided").unwrap().micros, 8_000 * SECOND);
}

fn what(changes: &[Change]) -> WhatIf {
    let shift = shift();
    let stops = shift.stops(range(0, 10_000), Timestamp(10_000 * SECOND));
    what_if(&tally(&shift), &stops, changes, 2.0, &Rules::default(), shift.catalogue()).unwrap()
}

#[test]
fn micro_stops_gone_are_production_at_the_pace_of_the_shift() {
    let gone = what(&[Change::MinorStopsGone { below_s: 60.0 }]);
    assert_eq!(gone.freed_s, 200.0);
    // 4,000 parts in 8,000 s: 200 s more are 100 parts, 90 of them good; the period has two shifts.
    close(gone.parts, 100.0);
    close(gone.good_parts_a_shift, 45.0);
    close(gone.gain_points.availability, 2.0);
    close(gone.gain_points.performance, 0.0);
    close(gone.after.oee, 0.82 * 0.8 * 0.9);
    close(gone.gain_points.oee, 0.02 * 0.8 * 0.9 * 100.0);
    assert_eq!(what(&[Change::MinorStopsGone { below_s: 50.0 }]).freed_s, 0.0, "below is below");
    assert_eq!(what(&[Change::MinorStopsGone { below_s: 900.0 }]).freed_s, 1_000.0, "the breakdown is an unplanned stop too");
}

#[test]
fn reasons_and_changeovers_may_be_shorter_and_the_cycle_faster() {
    let halved = what(&[Change::ReasonShorter { reason: "M".into(), less: 0.5 }]);
    close(halved.gain_points.availability, 4.0);
    let changeover = what(&[Change::CategoryShorter { category: LossCategory::SetupAndAdjustments, less: 0.2 }]);
    close(Some(changeover.freed_s), 200.0);
    let faster = what(&[Change::CycleFaster { faster: 0.05 }]);
    close(faster.after.performance, 0.8 / 0.95);
    close(faster.parts, 4_000.0 / 0.95 - 4_000.0);
    close(faster.gain_points.availability, 0.0);
    let fewer = what(&[Change::FewerRejects { less: 0.5 }]);
    close(fewer.after.quality, 0.95);
    close(fewer.good_parts, 200.0);
    close(what(&[]).gain_points.oee, 0.0);
    let all = what(&[Change::CycleFaster { faster: 0.3 }, Change::MinorStopsGone { below_s: 900.0 }]);
    assert_eq!(all.flags, [Flag::PerformanceAboveOne]);
}

#[test]
fn a_scenario_that_can_not_be_is_refused() {
    let shift = shift();
    let changes = [Change::CycleFaster { faster: 1.0 }, Change::FewerRejects { less: f64::NAN }, Change::MinorStopsGone { below_s: -1.0 }];
    let faults = what_if(&tally(&shift), &[], &changes, 1.0, &Rules::default(), shift.catalogue()).unwrap_err();
    let fields: Vec<_> = faults.into_iter().map(|e| e.field).collect();
    assert_eq!(fields, ["changes[0].faster", "changes[1].less", "changes[2].below_s"]);
}

#[test]
fn a_machine_that_made_nothing_has_no_pace_to_reckon_with() {
    let record = MachineRecord { states: vec![point(0, UnplannedStop)], ideal_cycle_s: Some(1.0), ..MachineRecord::default() };
    let prepared = prepared(record, plain());
    let window = range(0, 1_000);
    let stops = prepared.stops(window, window.to);
    let change = [Change::CategoryShorter { category: LossCategory::Breakdowns, less: 0.5 }];
    let what = what_if(&prepared.tally(window, window.to), &stops, &change, 0.0, &plain(), prepared.catalogue()).unwrap();
    assert_eq!((what.parts, what.good_parts_a_shift, what.after.availability), (None, None, Some(0.5)));
}

#[test]
fn what_changed_is_told_by_factor_and_by_loss_and_both_add_up() {
    let (rules, shift) = (Rules::default(), shift());
    let before = tally(&shift);
    let mut record = MachineRecord { parts: vec![count(0, 10_000, 4_500, 90)], ideal_cycle_s: Some(1.6), ..MachineRecord::default() };
    record.states = vec![point(0, Producing), point(5_000, UnplannedStop), point(6_500, Producing)];
    let after = tally(&prepared(record, rules));
    let comparison = Comparison::of(&before, &after, ParetoBy::Reason, &rules, shift.catalogue(), Some(1.6));
    let moved = comparison.oee_points.unwrap();
    close(Some(moved), (0.85 * (7_200.0 / 8_500.0) * 0.98 - 0.8 * 0.8 * 0.9) * 100.0);
    close(Some(comparison.factors.iter().map(|f| f.oee_points).sum()), moved);
    close(Some(comparison.losses.iter().map(|l| l.points).sum()), moved);
    let of = |key: &str| comparison.losses.iter().find(|l| l.key == key).unwrap();
    close(Some(of("M1").points), 8.0);
    close(Some(of("unplanned_stop").points), -15.0);
    close(of("unplanned_stop").parts, 1_500.0 / 1.6);
    assert_eq!((comparison.losses[0].key.as_str(), comparison.good_parts), ("unplanned_stop", 4_410 - 3_600));
    // In time as well: more loss and more fully productive time are the change of planned busy time.
    let lost: f64 = comparison.losses.iter().map(|l| l.after_s - l.before_s).sum();
    close(Some(lost + (after.oee(&rules, None).oee.unwrap() - before.oee(&rules, None).oee.unwrap()) * 10_000.0), 0.0);
}

#[test]
fn a_restatement_holds_what_changed_and_why_and_nothing_is_written_without_a_change() {
    let rules = Rules::default();
    let period = crate::utc::Period::from(range(0, 1_000));
    let mut record = MachineRecord {
        states: vec![point(0, Producing), point(500, UnplannedStop)],
        parts: vec![count(0, 500, 400, 0)],
        ideal_cycle_s: Some(1.0),
        ..MachineRecord::default()
    };
    let state =
        |record: &MachineRecord| prepared(record.clone(), rules).tally(range(0, 1_000), Timestamp(1_000 * SECOND)).oee(&rules, Some(1.0));
    let at = |s: i64| crate::utc::Utc(Timestamp(s * SECOND));
    let mut shift = ShiftRecord::first(period, at(1_000), state(&record));
    assert_eq!(shift.restate(at(1_500), vec![Why::LateData { period }], state(&record)), None);
    assert_eq!((shift.revision, shift.stated_at), (1, at(1_000)));

    record.reasons.push(assignment("r1", 500, 750, Some("P"), 2_000));
    let why =
        Why::StopReason { registration: "r1".into(), by: "Ada".into(), at: at(2_000), reason: Some("P".into()), comment: String::new() };
    let restated = shift.restate(at(2_000), vec![why.clone()], state(&record)).unwrap();
    close(restated.oee_points, (400.0 / 750.0 - 0.4) * 100.0);
    assert_eq!((restated.revision, &restated.why[0]), (2, &why));
    let changed: Vec<_> = restated.changes.iter().map(|c| (c.figure.as_str(), c.before, c.after)).collect();
    assert!(changed.contains(&("times.planned_busy_s", Some(1_000.0), Some(750.0))), "{changed:?}");
    assert!(!changed.iter().any(|c| c.0 == "counts.produced"));
    assert_eq!(shift.oee, state(&record));
    let stored = serde_json::to_string(&shift).unwrap();
    assert_eq!(serde_json::from_str::<ShiftRecord>(&stored).unwrap(), shift);
}

#[test]
fn the_history_of_restatements_is_bounded_and_says_how_much_it_forgot() {
    let rules = Rules::default();
    let figures = |down: i64| {
        let mut tally = Tally::default();
        tally.add_time(Cause::Producing, 1_000 * SECOND);
        tally.add_time(Cause::UnplannedStop, down * SECOND);
        tally.oee(&rules, None)
    };
    let at = crate::utc::Utc(Timestamp(0));
    let mut shift = ShiftRecord::first(range(0, 1_000).into(), at, figures(0));
    for down in 1..=250 {
        assert!(shift.restate(at, Vec::new(), figures(down)).is_some());
    }
    assert_eq!((shift.history.len(), shift.forgotten, shift.revision), (200, 50, 251));
}
