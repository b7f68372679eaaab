//! Examples that others published, with their numbers.

use super::*;

#[test]
fn vorne_classic() {
    // Vorne, Fast Guide to OEE: a shift of 480 min, two breaks of 15, a meal of 30, 47 min down, 60 parts a minute.
    let oee = explicit(json!({"planned_busy_time_s": 25200, "downtime_s": 2820, "ideal_cycle_time_s": 1.0,
        "total_count": 19271, "reject_count": 423, "rework_count": 0, "all_time_s": 28800}));
    close(oee.availability, 0.888_095_238_095_238);
    close(oee.performance, 0.861_081_322_609_472_8);
    close(oee.quality, 0.978_049_919_568_263_1);
    close(oee.oee, 0.747_936_507_936_507_9);
    rounds_to(oee.oee, 0.7479, 4);
    rounds_to(oee.teep, 0.6544, 4);
    assert_eq!(oee.ooe, oee.oee, "no planned stops were given");
    assert_eq!((oee.times.production_s, oee.counts.good), (373.0 * 60.0, 18_848));
    assert_eq!(oee.flags, []);
    close(Some(six(&oee) + oee.oee.unwrap() * 25_200.0), 25_200.0);
}

#[test]
fn vorne_worksheet_2() {
    // Vorne's worksheet: 480 min, breaks 15, meal 30, 30 min down, 2 parts a minute.
    let oee = explicit(
        json!({"planned_busy_time_s": 435 * 60, "downtime_s": 30 * 60, "ideal_cycle_time_s": 30, "total_count": 700, "reject_count": 25}),
    );
    close(oee.availability, 0.931_034_482_758_620_7);
    close(oee.performance, 0.864_197_530_864_197_5);
    close(oee.quality, 0.964_285_714_285_714_3);
    close(oee.oee, 0.775_862_068_965_517_2);
}

#[test]
fn teeptrak_cnc_counts_rework_as_not_good() {
    // TeepTrak.
    let oee = explicit(json!({"planned_busy_time_s": 26100, "downtime_s": 3690, "ideal_cycle_time_s": 60,
        "total_count": 312, "reject_count": 5, "rework_count": 9}));
    close(oee.availability, 0.858_620_689_655_172_5);
    close(oee.performance, 0.835_341_365_461_847_3);
    close(oee.quality, 0.955_128_205_128_205_2);
    close(oee.oee, 0.685_057_471_264_367_8);
}

#[test]
fn reliamag_clean() {
    // ReliaMag.
    let oee =
        explicit(json!({"planned_busy_time_s": 420, "downtime_s": 60, "ideal_cycle_time_s": 1, "total_count": 320, "reject_count": 16}));
    rounds_to(oee.availability, 0.857, 3);
    rounds_to(oee.performance, 0.889, 3);
    close(oee.quality, 0.95);
    close(oee.oee, 0.723_809_523_809_523_8);
}

#[test]
fn firgelli_packaging() {
    // FIRGELLI.
    let oee = explicit(
        json!({"planned_busy_time_s": 960, "downtime_s": 120, "ideal_cycle_time_s": 0.5, "total_count": 1440, "reject_count": 144}),
    );
    close(oee.availability, 0.875);
    close(oee.performance, 0.857_142_857_142_857_1);
    close(oee.quality, 0.9);
    close(oee.oee, 0.675);
}

#[test]
fn waycalculator_1() {
    // waycalculator.com, OEE calculator, example 1.
    let oee =
        explicit(json!({"planned_busy_time_s": 480, "downtime_s": 60, "ideal_cycle_time_s": 1, "total_count": 400, "reject_count": 20}));
    close(oee.availability, 0.875);
    close(oee.performance, 0.952_380_952_380_952_3);
    close(oee.quality, 0.95);
    close(oee.oee, 0.791_666_666_666_666_6);
}

#[test]
fn oee_pkg_rollup_sums_times_and_counts_and_averages_nothing() {
    // PyPI oee 0.2.0, README: .80 and .45 are .5375 together, not .625.
    let machine = |busy: i64, run: i64, parts: u64, bad: u64| {
        let mut tally = Tally::default();
        tally.add_time(Cause::Producing, run * SECOND);
        tally.add_time(Cause::UnplannedStop, (busy - run) * SECOND);
        tally.add_parts(PartTally { produced: parts, rejected: bad, ..PartTally::default() }, IdealCycle::of_seconds(1.0));
        tally
    };
    let machines = [machine(100, 90, 80, 0), machine(300, 150, 150, 15)];
    let oee = |tally: &Tally| tally.oee(&Rules::default(), None).oee;
    close(oee(&machines[0]), 0.8);
    close(oee(&machines[1]), 0.45);
    close(oee(&machines.iter().sum()), 0.5375);
}

#[test]
fn oee_pkg_six_losses() {
    // PyPI oee 0.2.0, tests/test_losses.py.
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
fn factors_world_class() {
    // Nakajima 1988: .90 x .95 x .999.
    let oee = explicit(
        json!({"planned_busy_time_s": 1_000_000, "downtime_s": 100_000, "ideal_cycle_time_s": 1, "total_count": 855_000, "reject_count": 855}),
    );
    close(oee.availability, 0.9);
    close(oee.performance, 0.95);
    close(oee.quality, 0.999);
    close(oee.oee, 0.854_145);
}

#[test]
fn over_100_percent_is_shown_as_it_is_and_flagged() {
    // oee.academy (A. Koch): .7 x 1.5 x .8 is .84; above 100 % the standard speed is too low, which must not be hidden.
    let oee =
        explicit(json!({"planned_busy_time_s": 100, "downtime_s": 30, "ideal_cycle_time_s": 1.5, "total_count": 70, "reject_count": 14}));
    close(oee.performance, 1.5);
    close(oee.oee, 0.84);
    assert_eq!(oee.flags, [Flag::PerformanceAboveOne, Flag::AllTimeUnknown]);
    close(Some(six(&oee) + 0.84 * 100.0), 100.0);
}

#[test]
fn flux_apq_counts_from_cumulative_counters_and_lets_the_last_state_stand() {
    // influxdata/flux, stdlib/experimental/oee/apq_test.flux.
    let at = |time: &str| format!("2021-03-22T{time}:00Z");
    let log: EventLogRequest = serde_json::from_value(json!({
        "window": {"from": at("00:00"), "to": at("04:00")},
        "planned": [{"from": at("00:00"), "to": at("08:00")}],
        "ideal_cycle_time_s": 30,
        "states": [{"at": at("03:30"), "state": "running"}, {"at": at("00:00"), "state": "running"}, {"at": at("01:00"), "state": "running"},
            {"at": at("02:00"), "state": "stopped"}, {"at": at("03:00"), "state": "running"}],
        "total_counter": [{"at": at("00:00"), "value": 1200}, {"at": at("01:00"), "value": 1300}, {"at": at("02:00"), "value": 1400},
            {"at": at("03:00"), "value": 1400}, {"at": at("03:30"), "value": 1440}],
        "reject_counter": [{"at": at("00:00"), "value": 10}, {"at": at("01:00"), "value": 11}, {"at": at("02:00"), "value": 11},
            {"at": at("03:00"), "value": 11}, {"at": at("03:30"), "value": 14}],
    }))
    .unwrap();
    let oee = log.calculate(Timestamp(i64::MAX), &Rules::default()).unwrap();
    assert_eq!(oee.times.production_s, 10_800.0);
    close(oee.availability, 0.375);
    close(oee.performance, 2.0 / 3.0);
    close(oee.quality, 0.983_333_333_333_333_3);
    close(oee.oee, 0.245_833_333_333_333_32);
    assert_eq!((oee.counts.produced, oee.counts.rejected), (240, 4));
    assert_eq!(oee.flags, [Flag::PlannedBeyondWindow]);
}

#[test]
fn lincoln_im8000_ex2_planned_downtime_beats_disconnected_and_nothing_is_nan() {
    // Lincoln Electric IM8000, pp. 164-165: (hour, seconds, of them planned downtime), disconnected all the time.
    let hours = [
        (6, 3_603, 0),
        (7, 3_602, 0),
        (8, 3_603, 0),
        (9, 3_602, 0),
        (10, 3_583, 0),
        (11, 3_602, 1_791),
        (12, 3_603, 0),
        (13, 3_602, 0),
        (14, 3_601, 0),
        (15, 3_603, 0),
        (16, 3_603, 3_603),
    ];
    let mut begin = 0;
    let mut record = MachineRecord::default();
    let mut windows = Vec::new();
    for (_, seconds, planned) in hours {
        windows.push(range(begin, begin + seconds));
        let downtime = range(begin + seconds - planned, begin + seconds);
        record.downtime.push(PlannedDowntime { range: downtime, kind: DowntimeKind::Other, name: "planned downtime".into() });
        begin += seconds;
    }
    let prepared = prepared(record, Rules::default());
    let mut shift = Tally::default();
    for (window, (hour, seconds, planned)) in windows.into_iter().zip(hours) {
        let tally = prepared.tally(window, window.to);
        assert_eq!(tally.micros(Cause::PlannedStop), planned * SECOND, "hour {hour}");
        assert_eq!(tally.micros(Cause::NoData), (seconds - planned) * SECOND, "hour {hour}");
        shift += &tally;
    }
    assert_eq!(shift.micros(Cause::NoData), 34_213 * SECOND);
    assert_eq!(shift.micros(Cause::PlannedStop), 5_394 * SECOND);
    let oee = shift.oee(&Rules::default(), None);
    assert_eq!((oee.availability, oee.oee, oee.times.planned_busy_s), (None, None, 0.0));
    assert_eq!(oee.flags, [Flag::NoData, Flag::NoIdealCycle, Flag::NoParts]);
    close(oee.coverage, 5_394.0 / 39_607.0);
}

#[test]
fn iso22400_constructed() {
    // From the formulas of ISO 22400-2, in minutes: POT 480, PBT 420, AUST 30, ADET 20, APT 350, PRI .5, AOET 500.
    let oee = explicit(json!({"planned_busy_time_s": 25200, "downtime_s": 4200, "setup_time_s": 1800, "delay_time_s": 1200,
        "planned_operation_time_s": 28800, "order_execution_time_s": 30000, "ideal_cycle_time_s": 30, "total_count": 630, "reject_count": 20,
        "rework_count": 10, "inspected_count": 630, "first_pass_count": 600}));
    close(oee.availability, 0.833_333_333_333_333_4);
    close(oee.performance, 0.9);
    close(oee.quality, 0.952_380_952_380_952_3);
    close(oee.oee, 0.714_285_714_285_714_2);
    close(oee.nee, 0.775_510_204_081_632_6);
    close(oee.allocation_efficiency, 0.952_380_952_380_952_3);
    close(oee.utilization_efficiency, 0.875);
    close(oee.technical_efficiency, 0.945_945_945_945_945_9);
    close(oee.setup_rate, 0.078_947_368_421_052_63);
    close(oee.scrap_ratio, 0.031_746_031_746_031_744);
    close(oee.rework_ratio, 0.015_873_015_873_015_872);
    close(oee.first_pass_yield, 0.952_380_952_380_952_3);
    close(oee.production_process_ratio, 0.7);
    close(oee.allocation_ratio, 0.8);
    // 1.26 parts a minute.
    close(oee.throughput_rate_per_h, 1.26 * 60.0);
    close(oee.ooe, 0.714_285_714_285_714_3 * 420.0 / 480.0);
    assert_eq!((oee.times.busy_s, oee.times.delay_s, oee.times.setup_s), (24_000.0, 1_200.0, 1_800.0));
    assert_eq!(oee.teep, None);
    assert_eq!(oee.flags, [Flag::AllTimeUnknown]);
}

#[test]
fn minitab_rty() {
    // support.minitab.com, throughput yield.
    rounds_to(rolled_throughput_yield(&[0.95, 0.84, 0.88]), 0.7, 1);
    close(rolled_throughput_yield(&[0.95, 0.84, 0.88]), 0.702_24);
    assert_eq!([rolled_throughput_yield(&[]), rolled_throughput_yield(&[0.9, 1.1]), rolled_throughput_yield(&[f64::NAN])], [None; 3]);
}

#[test]
fn mfgcalcs_fpy() {
    // mfgcalcs.com, first-pass yield: 3,000 parts, 1,090 of them good at once, 75 reworked, 35 scrapped.
    let oee =
        explicit(json!({"planned_busy_time_s": 3600, "downtime_s": 0, "ideal_cycle_time_s": 1, "total_count": 3000, "reject_count": 35,
        "rework_count": 75, "inspected_count": 3000, "first_pass_count": 1090}));
    close(oee.first_pass_yield, 0.363_333_333_333_333_34);
    close(oee.rework_ratio, 0.025);
    rounds_to(oee.scrap_ratio, 0.0117, 4);
}

#[test]
fn ibm_mtbf_mttr() {
    // ibm.com/think/topics/asset-reliability: 20,000 h with 5 failures; 20 h down in 10 failures.
    let hour = 3_600 * SECOND;
    let row = |produced_h: i64, down_h: i64, failures: u64| {
        let mut tally = Tally::default();
        tally.add_time(Cause::Producing, produced_h * hour);
        tally.add_stops(Cause::UnplannedStop, Some("M".into()), down_h * hour, failures);
        tally.pareto(ParetoBy::Reason, &Rules::default(), &catalogue(), None).rows.remove(0)
    };
    close(row(20_000, 1, 5).every_s.map(|s| s / 3_600.0), 4_000.0);
    close(row(1, 20, 10).mean_s.map(|s| s / 3_600.0), 2.0);
}

#[test]
fn two_ideal_cycles_in_a_shift_add_their_ideal_times() {
    let oee = explicit(json!({"planned_busy_time_s": 1000, "downtime_s": 100,
        "runs": [{"ideal_cycle_time_s": 1.0, "total_count": 300}, {"ideal_cycle_time_s": 2.0, "total_count": 150, "reject_count": 45}]}));
    close(oee.performance, 600.0 / 900.0);
    close(oee.quality, 0.9);
    close(oee.oee, 0.9 * 600.0 / 900.0 * 0.9);
    assert_eq!(oee.ideal_cycle_time_s, None);
}
