//! What is refused, with its place, and what is taken with a flag.

use super::*;
use crate::oee::request::CalculateRequest;

fn faults(body: serde_json::Value) -> Vec<String> {
    let request: ExplicitRequest = serde_json::from_value(body).unwrap();
    request.calculate(&Rules::default()).unwrap_err().into_iter().map(|e| e.field).collect()
}

fn log(body: serde_json::Value) -> Result<Oee, Vec<String>> {
    let request: EventLogRequest = serde_json::from_value(body).unwrap();
    let now = crate::utc::Utc::parse("2026-02-01T00:00:00Z").unwrap().0;
    request.calculate(now, &Rules::default()).map_err(|errors| errors.into_iter().map(|e| e.field).collect())
}

fn at(time: &str) -> String {
    format!("2026-01-05T{time}:00Z")
}

#[test]
fn wrong_numbers_are_all_named() {
    let found = faults(json!({"planned_busy_time_s": -1, "downtime_s": 5, "ideal_cycle_time_s": 0, "total_count": 1, "reject_count": 2}));
    assert_eq!(found, ["planned_busy_time_s", "downtime_s", "ideal_cycle_time_s", "reject_count"]);
    let found =
        faults(json!({"planned_busy_time_s": 100, "downtime_s": 50, "setup_time_s": 60, "planned_operation_time_s": 90, "all_time_s": 50,
        "runs": [{"total_count": 1, "startup_reject_count": 1, "ideal_cycle_time_s": -1}]}));
    assert_eq!(
        found,
        ["setup_time_s", "planned_operation_time_s", "all_time_s", "runs[0].ideal_cycle_time_s", "runs[0].startup_reject_count"]
    );
    assert_eq!(faults(json!({"planned_busy_time_s": 100, "downtime_s": 0})), ["total_count"]);
    assert_eq!(faults(json!({"planned_busy_time_s": 100, "downtime_s": 0, "total_count": 1, "runs": []})), ["runs"]);
}

#[test]
fn setup_counts_as_available_in_nee_and_idle_time_is_a_minor_stop() {
    let oee = explicit(json!({"planned_busy_time_s": 25200, "downtime_s": 4200, "setup_time_s": 1800, "idle_time_s": 1200,
        "ideal_cycle_time_s": 30, "total_count": 630, "reject_count": 20, "rework_count": 10}));
    close(oee.availability, 350.0 / 420.0);
    close(oee.nee, 0.775_510_204_081_632_6);
    assert_eq!((oee.losses.minor_stops, oee.losses.breakdowns), (1_200.0, 1_200.0));
}

#[test]
fn numbers_without_meaning_are_null_with_a_flag() {
    let nothing = explicit(json!({"planned_busy_time_s": 0, "downtime_s": 0, "total_count": 0, "ideal_cycle_time_s": 1}));
    assert_eq!((nothing.availability, nothing.performance, nothing.quality, nothing.oee), (None, None, None, None));
    assert_eq!(nothing.flags, [Flag::NothingPlanned, Flag::NoParts, Flag::AllTimeUnknown]);
    let no_cycle = explicit(json!({"planned_busy_time_s": 100, "downtime_s": 10, "total_count": 5}));
    assert_eq!((no_cycle.performance, no_cycle.oee, no_cycle.losses.reduced_speed), (None, None, None));
    assert_eq!(no_cycle.flags, [Flag::NoIdealCycle, Flag::AllTimeUnknown]);
    let stray = explicit(json!({"planned_busy_time_s": 100, "downtime_s": 100, "total_count": 5, "ideal_cycle_time_s": 1}));
    assert_eq!((stray.performance, stray.oee), (None, None));
    assert_eq!(stray.flags, [Flag::NoProduction, Flag::PartsWithoutProduction, Flag::AllTimeUnknown]);
}

#[test]
fn a_log_with_faults_names_each() {
    let found = log(json!({"window": {"from": at("14:00"), "to": at("06:00")}, "planned": [{"from": at("10:00"), "to": at("09:00")}],
        "ideal_cycle_time_s": 0, "states": [{"at": at("06:00"), "state": "dancing"}], "rules": {"minor_stop_below_s": -5}}));
    assert_eq!(found.unwrap_err(), ["window", "ideal_cycle_time_s", "planned[0]", "states[0].state", "rules.minor_stop_below_s"]);
}

#[test]
fn overlapping_shifts_are_counted_once_and_flagged() {
    let oee = log(json!({"window": {"from": at("06:00"), "to": at("14:00")},
        "planned": [{"from": at("06:00"), "to": at("12:00")}, {"from": at("10:00"), "to": at("14:00")}],
        "ideal_cycle_time_s": 30, "states": [{"at": at("06:00"), "state": "producing"}],
        "total_counter": [{"at": at("06:00"), "value": 0}, {"at": at("14:00"), "value": 960}]}));
    let oee = oee.unwrap();
    assert_eq!((oee.times.planned_busy_s, oee.oee, oee.flags), (28_800.0, Some(1.0), vec![Flag::OverlappingPlan]));
}

#[test]
fn a_counter_that_runs_backwards_is_flagged_and_makes_no_parts() {
    let body = |last: u64| {
        json!({"window": {"from": at("06:00"), "to": at("14:00")}, "ideal_cycle_time_s": 30, "states": [{"at": at("06:00"), "state": "producing"}],
        "total_counter": [{"at": at("06:00"), "value": 5000}, {"at": at("08:00"), "value": 5200}, {"at": at("09:00"), "value": 5190}, {"at": at("14:00"), "value": last}]})
    };
    let oee = log(body(5_300)).unwrap();
    assert_eq!((oee.counts.produced, oee.flags), (300, vec![Flag::CounterRanBackwards]));
}

#[test]
fn what_lies_in_the_future_is_left_out_and_flagged() {
    let day = |day: u32| format!("2026-02-{day:02}T00:00:00Z");
    let oee = log(json!({"window": {"from": "2026-01-31T00:00:00Z", "to": day(2)}, "ideal_cycle_time_s": 86.4,
        "states": [{"at": "2026-01-31T00:00:00Z", "state": "producing"}, {"at": "2026-02-01T12:00:00Z", "state": "stopped"}],
        "total_counter": [{"at": "2026-01-31T00:00:00Z", "value": 0}, {"at": day(1), "value": 1000}, {"at": day(2), "value": 1500}]}))
    .unwrap();
    assert_eq!((oee.counts.produced, oee.oee, oee.coverage), (1_000, Some(1.0), Some(0.5)));
    assert_eq!(oee.flags, [Flag::PartlyNoData, Flag::FutureData]);
}

#[test]
fn a_log_may_hold_breaks_products_reasons_and_silence() {
    let oee = log(json!({"window": {"from": at("06:00"), "to": at("14:00")}, "planned_downtime": [{"from": at("09:00"), "to": at("09:30"), "name": "pause"}],
        "runs": [{"from": at("06:00"), "to": at("10:00"), "product": "A", "ideal_cycle_time_s": 60}, {"from": at("10:00"), "to": at("14:00"), "product": "B", "ideal_cycle_time_s": 30}],
        "states": [{"at": at("06:00"), "state": "producing"}, {"at": at("09:00"), "state": "idle"}, {"at": at("09:30"), "state": "producing"},
            {"at": at("12:00"), "state": "no_data"}, {"at": at("13:00"), "state": "producing"}],
        "total_counter": [{"at": at("06:00"), "value": 65_500}, {"at": at("10:00"), "value": 74}, {"at": at("14:00"), "value": 374}]}))
    .unwrap();
    assert_eq!((oee.times.planned_stop_s, oee.times.no_data_s, oee.times.production_s), (1_800.0, 3_600.0, 23_400.0));
    assert_eq!(oee.counts.produced, 110 + 300);
    close(oee.performance, (110.0 * 60.0 + 300.0 * 30.0) / 23_400.0);
    close(oee.throughput_rate_per_h, 410.0 / 8.0);
    assert_eq!(oee.flags, [Flag::PartlyNoData]);
}

#[test]
fn the_form_is_told_by_its_keys() {
    let form = |body| CalculateRequest::from_json(body);
    assert!(matches!(form(json!({"planned_busy_time_s": 1, "downtime_s": 0, "total_count": 1})), Ok(CalculateRequest::Explicit(_))));
    let window = json!({"from": at("06:00"), "to": at("14:00")});
    assert!(matches!(form(json!({"window": window, "states": []})), Ok(CalculateRequest::EventLog(_))));
    assert!(matches!(form(json!({"device_id": "a/b/c/d", "from": at("06:00"), "to": at("14:00")})), Ok(CalculateRequest::Device(_))));
    let unknown = form(json!({"planned_busy_time_s": 1, "downtime_s": 0, "total_count": 1, "colour": "red"})).unwrap_err().to_string();
    assert!(unknown.contains("colour"), "{unknown}");
    assert!(form(json!([1, 2])).is_err());
}

#[test]
fn a_stop_reason_is_registered_by_somebody_at_a_time_or_refused() {
    let request = |from: &str, reason: &str| -> crate::oee::request::RegisterReasonRequest {
        serde_json::from_value(json!({"from": at(from), "to": at("08:00"), "reason": reason, "comment": "belt"})).unwrap()
    };
    let now = crate::utc::Utc::parse("2026-01-05T09:00:00Z").unwrap().0;
    let kept = request("07:00", "M1").resolve("e1".into(), "Ada".into(), now, &catalogue()).unwrap();
    assert_eq!((kept.id.as_str(), kept.by.as_str(), kept.at, kept.reason.as_deref()), ("e1", "Ada", now, Some("M1")));
    let faults = request("08:00", "nobody").resolve("e2".into(), String::new(), now, &catalogue()).unwrap_err();
    assert_eq!(faults.into_iter().map(|e| e.field).collect::<Vec<_>>(), ["from", "reason", "by"]);
}
