//! From events to ages: overlaps, open repairs, replaced parts, and any order of arrival.

use proptest::prelude::*;

use super::*;
use crate::reliability::{
    mtbf::Divisor,
    summary::{inherent_availability, maintenance_kpis},
};

const H: i64 = 3_600_000_000;

fn t(hours: i64) -> Timestamp {
    Timestamp::from_micros(hours * H)
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: t(from), to: t(to) }
}

fn event(at: i64, kind: MaintenanceEventKind) -> MaintenanceEvent {
    MaintenanceEvent { at: t(at), kind, component: None, work_order: None }
}

fn of(at: i64, kind: MaintenanceEventKind, component: &str) -> MaintenanceEvent {
    MaintenanceEvent { component: Some(component.into()), ..event(at, kind) }
}

fn order(at: i64, kind: MaintenanceEventKind, name: &str) -> MaintenanceEvent {
    MaintenanceEvent { work_order: Some(name.into()), ..event(at, kind) }
}

use MaintenanceEventKind::{ComponentReplaced, Failure, RepairEnd, RepairStart};
const PM_START: MaintenanceEventKind = MaintenanceEventKind::WorkOrderStart { kind: WorkOrderKind::Preventive };
const PM_END: MaintenanceEventKind = MaintenanceEventKind::WorkOrderEnd { kind: WorkOrderKind::Preventive };
const CM_START: MaintenanceEventKind = MaintenanceEventKind::WorkOrderStart { kind: WorkOrderKind::Corrective };
const CM_END: MaintenanceEventKind = MaintenanceEventKind::WorkOrderEnd { kind: WorkOrderKind::Corrective };

fn calendar(events: &[MaintenanceEvent], period: TimeRange) -> History {
    history(events, &OperatingTime::Calendar, &[], period).unwrap()
}

/// README of the PyPI package `oee` 0.2.0: 1,000 h of operation, 5 failures, 50 h of repair, "availability_examples".
#[test]
fn availability_examples_mtbf_mttr_and_availability() {
    let mut events = Vec::new();
    for i in 0..5 {
        let at = 200 * (i + 1) + 10 * i - 1;
        events.extend([event(at, Failure), event(at, RepairStart), event(at + 10, RepairEnd)]);
    }
    let history = calendar(&events, range(0, 1_050));
    assert_eq!((history.operating_h, history.failure_events, history.repair_h), (1_000.0, 5, 50.0));
    let kpis = maintenance_kpis(&history, 0.9, Divisor::Events).unwrap();
    assert_eq!((kpis.mtbf.mtbf_h, kpis.mttr_h), (Some(200.0), Some(10.0)));
    assert!((kpis.inherent_availability.unwrap() - 0.952_380_952_380_952_3).abs() < 1e-15);
    assert!((kpis.inherent_availability.unwrap() - 0.952).abs() < 5e-4);
    assert!(kpis.flags.is_empty());
    let plus_one = maintenance_kpis(&history, 0.9, Divisor::EventsPlusOne).unwrap();
    assert_eq!((plus_one.mtbf.mtbf_h, plus_one.mttr_h), (Some(1_000.0 / 6.0), Some(50.0 / 6.0)));
}

#[test]
fn down_time_holds_the_waiting_and_repair_time_does_not() {
    let history = calendar(&[event(10, Failure), event(14, RepairStart), event(20, RepairEnd)], range(0, 100));
    assert_eq!((history.down_h, history.repair_h, history.operating_h), (10.0, 6.0, 90.0));
    let kpis = maintenance_kpis(&history, 0.9, Divisor::Events).unwrap();
    assert_eq!((kpis.mttr_h, kpis.mean_down_time_h, kpis.operational_availability), (Some(6.0), Some(10.0), Some(0.9)));
    assert!((kpis.inherent_availability.unwrap() - 90.0 / 96.0).abs() < 1e-12);
    assert_eq!(history.machine.failures_h, [10.0]);
    assert_eq!(history.machine.censored_h, [80.0]);
}

#[test]
fn ages_count_only_the_time_of_production() {
    let given = OperatingTime::Intervals(vec![range(50, 60), range(0, 10), range(5, 20), range(90, 200)]);
    let history = history(&[event(55, Failure), event(70, RepairEnd)], &given, &[], range(0, 100)).unwrap();
    assert_eq!(history.operating_h, 40.0);
    assert_eq!((history.machine.failures_h.clone(), history.machine.censored_h.clone()), (vec![25.0], vec![15.0]));
    assert_eq!(history.flags, [HistoryFlag::RepairStartMissing, HistoryFlag::ProducedWhileDown]);
}

#[test]
fn a_component_lives_until_it_fails_or_is_replaced() {
    let events = [
        of(100, ComponentReplaced, "belt"),
        of(250, Failure, "belt"),
        event(252, RepairStart),
        of(254, ComponentReplaced, "belt"),
        event(260, RepairEnd),
    ];
    let installed = [InstalledComponent { component: "belt".into(), age_h: 40.0 }];
    let history = history(&events, &OperatingTime::Calendar, &installed, range(0, 360)).unwrap();
    let belt = &history.components["belt"];
    assert_eq!((belt.failures_h.clone(), belt.censored_h.clone()), (vec![150.0], vec![140.0, 100.0]));
    assert_eq!((belt.age_now_h, belt.failure_events, belt.preventive_replacements), (100.0, 1, 1));
    assert_eq!((history.repair_h, history.down_h), (8.0, 10.0));
    assert!(history.flags.is_empty());
    let kpis = maintenance_kpis(&history, 0.9, Divisor::Events).unwrap();
    assert_eq!(kpis.mttf_h["belt"].mtbf_h, Some(390.0));
}

#[test]
fn repaired_but_not_replaced_is_taken_as_new_and_told() {
    let history = calendar(&[of(10, Failure, "pump"), event(12, RepairEnd), of(30, Failure, "pump"), event(31, RepairEnd)], range(0, 40));
    assert_eq!(history.components["pump"].failures_h, [10.0, 18.0]);
    assert!(history.flags.contains(&HistoryFlag::RepairTakenAsNew) && history.flags.contains(&HistoryFlag::AgeAtStartUnknown));
}

#[test]
fn a_second_failure_of_a_machine_that_is_down_is_not_counted() {
    let history = calendar(&[event(10, Failure), of(12, Failure, "belt"), event(20, RepairEnd)], range(0, 30));
    assert_eq!(history.failure_events, 1);
    assert_eq!(history.components["belt"].failure_events, 1);
    assert!(history.flags.contains(&HistoryFlag::FailureWhileDown));
}

#[test]
fn a_machine_still_down_has_no_time_to_repair_yet() {
    let history = calendar(&[event(10, Failure), event(12, RepairStart)], range(0, 30));
    assert_eq!((history.operating_h, history.down_h, history.repairs, history.repair_h), (10.0, 20.0, 0, 0.0));
    assert_eq!(history.corrective_h, 18.0);
    assert_eq!(history.flags, [HistoryFlag::StillDown]);
    assert_eq!(maintenance_kpis(&history, 0.9, Divisor::EventsPlusOne).unwrap().mttr_h, None);
}

#[test]
fn corrective_ratio_counts_overlapping_work_once() {
    let events = [
        event(10, Failure),
        event(11, RepairStart),
        order(10, CM_START, "w1"),
        order(14, CM_END, "w1"),
        event(15, RepairEnd),
        order(50, PM_START, "w2"),
        order(65, PM_END, "w2"),
        order(52, PM_START, "w3"),
        order(60, PM_END, "w3"),
    ];
    let history = calendar(&events, range(0, 100));
    assert_eq!((history.corrective_h, history.preventive_h), (5.0, 15.0));
    assert_eq!(maintenance_kpis(&history, 0.9, Divisor::Events).unwrap().corrective_maintenance_ratio, Some(0.25));
}

#[test]
fn work_orders_that_are_open_or_run_backwards_are_flagged() {
    let open = calendar(&[order(90, PM_START, "w1"), order(5, PM_END, "w0")], range(0, 100));
    assert_eq!((open.preventive_h, open.flags), (15.0, vec![HistoryFlag::WorkOrderOpen]));
    let negative = calendar(&[order(20, PM_START, "w1"), order(10, PM_END, "w1")], range(0, 100));
    assert_eq!((negative.preventive_h, negative.flags), (0.0, vec![HistoryFlag::WorkOrderNegative]));
}

#[test]
fn a_repair_without_a_failure_is_told() {
    let history = calendar(&[event(20, RepairEnd)], range(0, 100));
    assert_eq!((history.down_h, history.flags), (0.0, vec![HistoryFlag::RepairWithoutFailure]));
}

#[test]
fn two_failures_at_one_operating_age_count_twice_but_have_one_age() {
    let given = OperatingTime::Intervals(vec![range(0, 10)]);
    let events = [event(20, Failure), event(21, RepairEnd), event(30, Failure), event(31, RepairEnd)];
    let history = history(&events, &given, &[], range(0, 100)).unwrap();
    assert_eq!((history.failure_events, history.machine.failures_h.clone()), (2, vec![10.0]));
    assert!(history.flags.contains(&HistoryFlag::ZeroAgesIgnored));
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let field = |operating: &OperatingTime, age_h: f64, period: TimeRange| {
        let installed = [InstalledComponent { component: "a".into(), age_h }];
        history(&[], operating, &installed, period).unwrap_err()[0].field.clone()
    };
    assert_eq!(field(&OperatingTime::Calendar, 0.0, range(5, 5)), "period");
    assert_eq!(field(&OperatingTime::Intervals(vec![range(0, 1), range(3, 2)]), 0.0, range(0, 9)), "operating[1]");
    assert_eq!(field(&OperatingTime::Calendar, -1.0, range(0, 9)), "installed[0].age_h");
    assert_eq!(field(&OperatingTime::Calendar, f64::NAN, range(0, 9)), "installed[0].age_h");
}

#[test]
fn no_operation_and_no_failure_is_no_number() {
    let history = history(&[], &OperatingTime::Intervals(Vec::new()), &[], range(0, 10)).unwrap();
    let kpis = maintenance_kpis(&history, 0.9, Divisor::Events).unwrap();
    assert_eq!(
        (kpis.mtbf.mtbf_h, kpis.mtbf.lower_h, kpis.inherent_availability, kpis.corrective_maintenance_ratio),
        (None, None, None, None)
    );
    assert_eq!(kpis.flags, [HistoryFlag::NoOperatingTime]);
    assert_eq!(inherent_availability(0.0, 0.0), None);
    assert_eq!(inherent_availability(f64::NAN, 1.0), None);
}

#[test]
fn a_fleet_is_the_sum_of_its_machines() {
    let one = calendar(&[event(10, Failure), event(20, RepairEnd)], range(0, 100));
    let mut both = calendar(&[event(50, Failure), event(51, RepairEnd), event(60, Failure), event(61, RepairEnd)], range(0, 100));
    both.add(&one);
    let kpis = maintenance_kpis(&both, 0.9, Divisor::Events).unwrap();
    assert_eq!(kpis.mtbf.mtbf_h, Some((90.0 + 98.0) / 3.0));
    assert_eq!(kpis.mttr_h, Some(12.0 / 3.0));
}

#[test]
fn an_event_is_read_from_plain_json() {
    let json = r#"{"at": 7, "type": "work_order_start", "kind": "preventive", "work_order": "w1"}"#;
    let event: MaintenanceEvent = serde_json::from_str(json).unwrap();
    assert_eq!((event.kind, event.at, event.component), (PM_START, Timestamp(7), None));
}

fn any_event() -> impl Strategy<Value = MaintenanceEvent> {
    let kind = prop::sample::select(vec![Failure, RepairStart, RepairEnd, ComponentReplaced, PM_START, PM_END, CM_START, CM_END]);
    (0_i64..200, kind, prop::option::of(prop::sample::select(vec!["a", "b"])), prop::option::of(prop::sample::select(vec!["w", "x"])))
        .prop_map(|(at, kind, component, work_order)| MaintenanceEvent {
            at: t(at),
            kind,
            component: component.map(str::to_owned),
            work_order: work_order.map(str::to_owned),
        })
}

proptest! {
    #[test]
    fn whatever_happened_times_are_times_and_order_does_not_matter(
        events in prop::collection::vec(any_event(), 0..40),
        ran in prop::option::of(prop::collection::vec((0_i64..200, 0_i64..30), 0..10)),
    ) {
        let operating = ran.map_or(OperatingTime::Calendar, |list| {
            OperatingTime::Intervals(list.into_iter().map(|(from, long)| range(from, from + long)).collect())
        });
        let found = history(&events, &operating, &[], range(10, 180)).unwrap();
        let mut back = events.clone();
        back.reverse();
        prop_assert_eq!(&found, &history(&back, &operating, &[], range(10, 180)).unwrap());
        for hours in [found.operating_h, found.down_h, found.repair_h, found.down_of_repaired_h, found.corrective_h, found.preventive_h] {
            prop_assert!((0.0..=170.0 + 1e-9).contains(&hours));
        }
        prop_assert!(found.repair_h <= found.down_of_repaired_h + 1e-9);
        let lived: f64 = found.machine.failures_h.iter().chain(&found.machine.censored_h).sum();
        prop_assert!((lived - found.operating_h).abs() < 1e-6);
        for ages in found.components.values() {
            prop_assert!(ages.failures_h.iter().chain(&ages.censored_h).all(|a| a.is_finite() && *a > 0.0));
        }
        if let Ok(kpis) = maintenance_kpis(&found, 0.9, Divisor::Events) {
            for share in [kpis.inherent_availability, kpis.operational_availability, kpis.corrective_maintenance_ratio].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&share));
            }
        }
    }
}
