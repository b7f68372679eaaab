//! Energy of profiles that can be added up by hand: states, shifts, prices, peaks and holes.

use jiff::civil::Time;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Utc {
    Utc::parse(text).unwrap()
}

fn plus(from: Utc, seconds: i64) -> Utc {
    Utc(from.0.plus_micros(seconds * 1_000_000))
}

/// Windows of one length, one after the other.
fn windows(from: Utc, seconds: i64, means: impl IntoIterator<Item = f64>) -> Meter {
    let window = |(i, mean): (usize, f64)| {
        let start = plus(from, i64::try_from(i).unwrap() * seconds);
        PowerWindow { from: start, to: plus(start, seconds), mean, count: 10 }
    };
    Meter::Windows { unit: PowerUnit::KW, windows: means.into_iter().enumerate().map(window).collect() }
}

fn request(from: &str, to: &str, meter: Meter) -> EnergyRequest {
    EnergyRequest {
        period: Period { from: at(from), to: at(to) },
        zone: "Europe/Berlin".into(),
        meter,
        settings: EnergySettings::default(),
        states: Vec::new(),
        shifts: Vec::new(),
        parts: Vec::new(),
        tariff: None,
        bucket: None,
        switch_off: None,
    }
}

fn state(from: &str, to: &str, state: MachineState) -> StateInterval {
    StateInterval { from: at(from), to: at(to), state }
}

fn tariff() -> Tariff {
    let day = [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];
    Tariff {
        base_price_per_kwh: 0.10,
        bands: vec![Band {
            name: "day".into(),
            weekdays: day.into(),
            from: Time::constant(6, 0, 0, 0),
            to: Time::constant(22, 0, 0, 0),
            price_per_kwh: 0.25,
        }],
        holidays: Vec::new(),
        price_per_kw_month: 0.0,
        co2_kg_per_kwh: Some(0.4),
        co2_steps: Vec::new(),
    }
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs())), "{a} is not {b}");
}

/// By hand: two hours of 10 kW producing, one of 4 kW idle, one of 1 kW offline: 25 kWh, 20 parts, 5 of them scrap.
fn four_hours() -> EnergyRequest {
    let mut r = request("2026-02-03T06:00:00Z", "2026-02-03T10:00:00Z", windows(at("2026-02-03T06:00:00Z"), 3_600, [10.0, 10.0, 4.0, 1.0]));
    r.states = vec![
        state("2026-02-03T09:00:00Z", "2026-02-03T10:00:00Z", MachineState::Offline),
        state("2026-02-03T05:00:00Z", "2026-02-03T08:00:00Z", MachineState::Producing),
        state("2026-02-03T08:00:00Z", "2026-02-03T09:00:00Z", MachineState::Idle),
    ];
    r.parts = vec![Parts { from: at("2026-02-03T06:00:00Z"), to: at("2026-02-03T08:00:00Z"), produced: 20, rejected: 4, reworked: 1 }];
    r
}

#[test]
fn energy_by_state_part_and_standing_is_what_a_hand_makes_of_it() {
    let report = energy(&four_hours()).unwrap();
    close(report.totals.kwh, 25.0);
    let by = &report.totals.by_state;
    assert_eq!((by.producing.kwh, by.idle.kwh, by.offline.kwh, by.unknown.kwh), (20.0, 4.0, 1.0, 0.0));
    close(report.ratios.per_part_kwh.unwrap(), 1.25);
    close(report.ratios.per_good_part_kwh.unwrap(), 25.0 / 15.0);
    close(report.ratios.non_producing_share.unwrap(), 0.2);
    // Offline draws 1 kW, but base load is what standing switched on costs.
    assert_eq!(report.base_load_kw, Some(4.0));
    assert_eq!((report.ratios.coverage, report.flags), (1.0, Vec::new()));
}

#[test]
fn a_counter_over_a_wrap_and_a_reset_counts_what_was_used() {
    let reading = |minute: i64, value: f64| MeterReading { at: plus(at("2026-02-03T06:00:00Z"), minute * 60), value };
    // 99,990 -> 5 of 100,000: 15; 5 -> 65: 60; 65 -> 2: began anew, 2; 2 -> 12: 10.
    let values = [99_990.0, 5.0, 65.0, 2.0, 12.0];
    let readings = values.iter().enumerate().map(|(i, v)| reading(i64::try_from(i).unwrap(), *v)).rev().collect();
    let meter = Meter::Counter { unit: EnergyUnit::WattHour, readings, wraps_at: Some(100_000.0) };
    let report = energy(&request("2026-02-03T06:00:00Z", "2026-02-03T06:04:00Z", meter)).unwrap();
    close(report.totals.kwh, 0.087);
    assert_eq!((report.meter.wraps, report.meter.resets, report.meter.backwards), (1, 1, 0));
    assert!(report.flags.contains(&EnergyFlag::CounterReset));
}

#[test]
fn a_counter_that_runs_backwards_makes_a_hole_and_a_flag() {
    let from = at("2026-02-03T06:00:00Z");
    let readings =
        [100.0, 110.0, 105.0, 115.0].iter().enumerate().map(|(i, v)| MeterReading { at: plus(from, i as i64 * 60), value: *v }).collect();
    let meter = Meter::Counter { unit: EnergyUnit::KilowattHour, readings, wraps_at: None };
    let report = energy(&request("2026-02-03T06:00:00Z", "2026-02-03T06:03:00Z", meter)).unwrap();
    close(report.totals.kwh, 20.0);
    close(report.ratios.coverage, 2.0 / 3.0);
    assert_eq!(report.meter.backwards, 1);
    assert!(report.flags.contains(&EnergyFlag::CounterBackwards) && report.flags.contains(&EnergyFlag::Holes));
}

#[test]
fn what_a_counter_went_on_by_over_a_long_hole_is_told_apart_and_fills_nothing() {
    let from = at("2026-02-03T06:00:00Z");
    let readings = [(0, 0.0), (60, 1.0), (3_660, 61.0), (3_720, 62.0)].map(|(s, value)| MeterReading { at: plus(from, s), value }).to_vec();
    let meter = Meter::Counter { unit: EnergyUnit::KilowattHour, readings, wraps_at: None };
    let report = energy(&request("2026-02-03T06:00:00Z", "2026-02-03T07:02:00Z", meter)).unwrap();
    close(report.totals.kwh, 2.0);
    close(report.totals.undated_kwh, 60.0);
    close(report.ratios.coverage, 120.0 / 3_720.0);
    assert_eq!((report.hole_count, report.holes[0].from), (1, plus(from, 60)));
    assert!(report.flags.contains(&EnergyFlag::Undated));
}

#[test]
fn short_gaps_are_bridged_and_counted_and_long_ones_stay_holes() {
    let from = at("2026-02-03T06:00:00Z");
    let readings =
        [(0, 6.0), (60, 6.0), (260, 12.0), (1_000, 12.0), (1_060, 12.0)].map(|(s, value)| MeterReading { at: plus(from, s), value });
    let meter = Meter::Readings { unit: PowerUnit::KW, readings: readings.to_vec() };
    let report = energy(&request("2026-02-03T06:00:00Z", "2026-02-03T06:17:40Z", meter)).unwrap();
    close(report.totals.kwh, (60.0 * 6.0 + 200.0 * 9.0 + 60.0 * 12.0) / 3_600.0);
    assert_eq!((report.totals.measured_s, report.totals.interpolated_s), (120.0, 200.0));
    close(report.totals.interpolated_kwh, 0.5);
    assert_eq!(report.hole_count, 1);
}

#[test]
fn a_hole_does_not_make_parts_look_cheap() {
    let mut r = four_hours();
    // Ten parts an hour over four hours, and power for the first two alone.
    r.parts = (0..4)
        .map(|h| Parts {
            from: plus(r.period.from, h * 3_600),
            to: plus(r.period.from, (h + 1) * 3_600),
            produced: 10,
            rejected: 0,
            reworked: 0,
        })
        .collect();
    let Meter::Windows { windows, .. } = &mut r.meter else { unreachable!() };
    windows.truncate(2);
    let report = energy(&r).unwrap();
    assert_eq!((report.totals.produced, report.totals.produced_metered), (40, 20.0));
    close(report.ratios.per_part_kwh.unwrap(), 1.0);
}

#[test]
fn a_correction_of_a_window_adds_up_by_its_count() {
    let (from, to) = (at("2026-02-03T06:00:00Z"), at("2026-02-03T07:00:00Z"));
    let windows = vec![PowerWindow { from, to, mean: 10.0, count: 30 }, PowerWindow { from, to, mean: 2.0, count: 10 }];
    let report = energy(&request("2026-02-03T06:00:00Z", "2026-02-03T07:00:00Z", Meter::Windows { unit: PowerUnit::KW, windows })).unwrap();
    close(report.totals.kwh, 8.0);
    assert!(report.meter.overlapping_windows == 0);
}

/// Berlin puts its clocks forward on 2025-03-30 at 02:00, and back on 2025-10-26 at 03:00: 23 and 25 hours of 4 kW.
#[test]
fn days_of_the_change_of_clocks_have_92_and_100_quarter_hours() {
    for (from, to, hours) in [("2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z", 23), ("2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z", 25)] {
        let mut r = request(from, to, windows(at(from), 3_600, vec![4.0; hours]));
        (r.settings.quarters, r.bucket) = (true, Some(Bucket::Day));
        let report = energy(&r).unwrap();
        assert_eq!((report.quarters.len(), report.buckets.len()), (hours * 4, 1));
        close(report.totals.kwh, 4.0 * hours as f64);
        r.bucket = Some(Bucket::Hour);
        assert_eq!(energy(&r).unwrap().buckets.len(), hours);
    }
}

/// By hand: Sunday night to Monday in Berlin, clocks went back on the Sunday. A night band 22:00 to 06:00 has 9 hours, the rest of the day 16.
#[test]
fn a_tariff_follows_the_clock_on_the_wall_over_the_change() {
    let (from, to) = ("2025-10-25T20:00:00Z", "2025-10-26T21:00:00Z");
    let mut r = request(from, to, windows(at(from), 3_600, vec![2.0; 25]));
    let mut t = tariff();
    t.bands = vec![Band {
        name: "night".into(),
        weekdays: Vec::new(),
        from: Time::constant(22, 0, 0, 0),
        to: Time::constant(6, 0, 0, 0),
        price_per_kwh: 0.5,
    }];
    r.tariff = Some(t);
    let cost = energy(&r).unwrap().cost.unwrap();
    close(cost.by_band[1].kwh, 18.0);
    close(cost.by_band[0].kwh, 32.0);
    close(cost.energy, 18.0 * 0.5 + 32.0 * 0.1);
    close(cost.co2_kg.unwrap(), 50.0 * 0.4);
}

/// By hand: Friday 2026-02-06 and Saturday, 1 kW: 16 kWh of Friday at .25, the other 32 at .10; with Friday as a holiday all 48 at .10.
#[test]
fn weekdays_and_holidays_choose_the_band() {
    let (from, to) = ("2026-02-05T23:00:00Z", "2026-02-07T23:00:00Z");
    let mut r = request(from, to, windows(at(from), 3_600, vec![1.0; 48]));
    r.tariff = Some(tariff());
    close(energy(&r).unwrap().cost.unwrap().energy, 16.0 * 0.25 + 32.0 * 0.10);
    r.tariff.as_mut().unwrap().holidays = vec![jiff::civil::date(2026, 2, 6)];
    close(energy(&r).unwrap().cost.unwrap().energy, 4.8);
}

#[test]
fn peaks_and_the_demand_charge_are_of_local_quarter_hours_and_months() {
    // 23:45 to 00:15 local over the end of January: minutes of 8 kW, then of 20.
    let from = "2026-01-31T22:45:00Z";
    let mut r = request(from, "2026-01-31T23:15:00Z", windows(at(from), 60, [vec![8.0; 15], vec![20.0; 15]].concat()));
    let mut t = tariff();
    (t.price_per_kw_month, t.base_price_per_kwh, t.bands) = (10.0, 0.0, Vec::new());
    r.tariff = Some(t);
    let report = energy(&r).unwrap();
    assert_eq!(report.peaks.iter().map(|q| q.from).collect::<Vec<_>>(), [at("2026-01-31T23:00:00Z"), at(from)]);
    close(report.peaks[0].kw.unwrap(), 20.0);
    let cost = report.cost.unwrap();
    assert_eq!(cost.by_month.iter().map(|m| m.month.as_str()).collect::<Vec<_>>(), ["2026-01", "2026-02"]);
    close(cost.by_month[0].cost, 80.0);
    close(cost.by_month[1].cost, 200.0);
    assert!(report.flags.contains(&EnergyFlag::MonthNotWhole));
    assert_eq!(report.load_duration.iter().map(|p| p.share).collect::<Vec<_>>(), [0.5, 1.0]);
    close(report.load_duration[1].kw, 8.0);
}

#[test]
fn a_quarter_hour_with_little_data_makes_no_peak() {
    let from = "2026-02-03T06:00:00Z";
    let mut r = request(from, "2026-02-03T06:30:00Z", windows(at(from), 60, [vec![5.0; 15], vec![50.0; 3]].concat()));
    r.settings.quarters = true;
    let report = energy(&r).unwrap();
    assert_eq!(report.peaks.len(), 1);
    assert_eq!((report.quarters[1].kw, report.quarters[1].coverage), (Some(50.0), 0.2));
}

/// By hand: idle for 40 min at 6 kW; off after 10 min with .5 kW standby and 1 kWh to start again: 3 - .25 - 1 = 1.75 kWh. Idle of 8 min saves nothing.
#[test]
fn switching_off_saves_what_is_used_beyond_the_limit_less_standby_and_restart() {
    let from = "2026-02-03T06:00:00Z";
    let mut r = request(from, "2026-02-04T06:00:00Z", windows(at(from), 60, vec![6.0; 1_440]));
    r.states = vec![
        state("2026-02-03T07:00:00Z", "2026-02-03T07:20:00Z", MachineState::Idle),
        state("2026-02-03T07:20:00Z", "2026-02-03T07:40:00Z", MachineState::Idle),
        state("2026-02-03T09:00:00Z", "2026-02-03T09:08:00Z", MachineState::Idle),
    ];
    r.switch_off = Some(SwitchOff { after_s: 600.0, states: None, standby_kw: 0.5, restart_kwh: 1.0 });
    r.tariff = Some(tariff());
    let saving = energy(&r).unwrap().switch_off.unwrap();
    close(saving.saved_kwh, 1.75);
    close(saving.saved_kwh_per_week.unwrap(), 12.25);
    close(saving.saved_cost.unwrap(), 1.75 * 0.25);
    close(saving.saved_co2_kg.unwrap(), 1.75 * 0.4);
    assert_eq!((saving.times, saving.off_s), (1, 1_800.0));
}

#[test]
fn nothing_recorded_is_no_data_and_never_a_number_that_looks_like_one() {
    let report = energy(&request("2026-02-03T06:00:00Z", "2026-02-03T07:00:00Z", windows(at("2026-02-03T06:00:00Z"), 60, []))).unwrap();
    assert_eq!((report.ratios.mean_kw, report.ratios.per_part_kwh, report.base_load_kw), (None, None, None));
    assert!(report.flags.contains(&EnergyFlag::NoData) && report.peaks.is_empty() && report.load_duration.is_empty());
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let mut r = four_hours();
    r.zone = "Mars/Olympus".into();
    r.states[0].from = r.states[2].from;
    r.parts[0].rejected = 21;
    r.settings.base_load_percentile = f64::NAN;
    r.switch_off = Some(SwitchOff { after_s: -1.0, states: Some(vec![MachineState::Producing]), standby_kw: 0.0, restart_kwh: 0.0 });
    let Meter::Windows { windows, .. } = &mut r.meter else { unreachable!() };
    windows[1].mean = f64::INFINITY;
    windows[2].to = windows[2].from;
    let fields: Vec<String> = energy(&r).unwrap_err().into_iter().map(|f| f.field).collect();
    for field in [
        "zone",
        "meter.windows[1].mean",
        "meter.windows[2].from",
        "settings.base_load_percentile",
        "parts[0]",
        "states[0].from",
        "switch_off.after_s",
        "switch_off.states",
    ] {
        assert!(fields.iter().any(|f| f == field), "{field} is not in {fields:?}");
    }
}

#[test]
fn a_request_and_its_answer_are_json() {
    let mut r = four_hours();
    r.tariff = Some(tariff());
    let text = serde_json::to_string(&r).unwrap();
    assert_eq!(serde_json::from_str::<EnergyRequest>(&text).unwrap(), r);
    assert!(text.contains("\"unit\":\"kW\"") && text.contains("\"state\":\"offline\""), "{text}");
    let report = energy(&r).unwrap();
    assert_eq!(serde_json::from_str::<EnergyReport>(&serde_json::to_string(&report).unwrap()).unwrap(), report);
    assert_eq!(PowerUnit::from_ucum("kW"), Some(PowerUnit::KW));
    assert_eq!(EnergyUnit::from_ucum("furlong"), None);
}

/// A week with gaps, states, shifts and parts; power in W.
fn any_request() -> impl Strategy<Value = EnergyRequest> {
    let from = at("2025-10-24T22:00:00Z");
    let rows = prop::collection::vec((0_i64..3 * 1_440, -500.0..20_000.0_f64), 1..150);
    let states = prop::collection::vec((60_i64..20_000, 0_usize..7), 1..30);
    let parts = prop::collection::vec((0_i64..3 * 86_400, 0_i64..9_000, 0_u64..50), 0..20);
    (rows, states, parts, 0_u8..3).prop_map(move |(rows, states, parts, kind)| {
        let readings: Vec<MeterReading> =
            rows.iter().map(|(minute, value)| MeterReading { at: plus(from, minute * 60), value: *value }).collect();
        let settings = MeterSettings { max_step_s: 600.0, max_interpolation_s: 2_400.0, max_power_kw: None };
        let meter = match kind {
            0 => Meter::Readings { unit: PowerUnit::W, readings },
            1 => {
                let readings = readings.into_iter().map(|r| MeterReading { value: r.value.abs(), ..r }).collect();
                Meter::Counter { unit: EnergyUnit::WattHour, readings, wraps_at: Some(20_000.0) }
            }
            _ => {
                let windows = readings.iter().map(|r| PowerWindow { from: r.at, to: plus(r.at, 900), mean: r.value, count: 3 }).collect();
                Meter::Windows { unit: PowerUnit::W, windows }
            }
        };
        let mut r = request("2025-10-24T22:00:00Z", "2025-10-27T23:00:00Z", meter);
        r.settings.meter = settings;
        let mut begin = plus(from, -3_600);
        for (length, which) in states {
            let end = plus(begin, length);
            if let Some(state) = MachineState::ALL.get(which) {
                r.states.push(StateInterval { from: begin, to: end, state: *state });
            }
            begin = end;
        }
        r.shifts = (0..9)
            .map(|i| ShiftRange { name: format!("s{}", i % 3), from: plus(from, i * 28_800 + 600), to: plus(from, (i + 1) * 28_800) })
            .collect();
        let part = |(to, length, produced)| Parts {
            from: plus(from, to - length),
            to: plus(from, to),
            produced,
            rejected: produced / 7,
            reworked: 0,
        };
        r.parts = parts.into_iter().map(part).collect();
        r.tariff =
            Some(Tariff { co2_steps: vec![Co2Step { from: plus(from, 100_000), kg_per_kwh: 0.2 }], price_per_kw_month: 9.0, ..tariff() });
        r.switch_off = Some(SwitchOff {
            after_s: 900.0,
            states: Some(vec![MachineState::Idle, MachineState::Setup]),
            standby_kw: 0.1,
            restart_kwh: 0.3,
        });
        r.bucket = Some(Bucket::Hour);
        r
    })
}

fn near(a: f64, b: f64) -> Result<(), TestCaseError> {
    prop_assert!((a - b).abs() <= 1e-6 * (1.0 + a.abs().max(b.abs())), "{} is not {}", a, b);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_add_up_to_the_whole(r in any_request()) {
        let report = energy(&r).unwrap();
        let states: f64 = MachineState::ALL.iter().copied().map(Some).chain([None]).map(|s| report.totals.by_state.of(s).kwh).sum();
        near(states, report.totals.kwh)?;
        near(report.by_shift.iter().map(|s| s.totals.kwh).sum::<f64>() + report.outside_shifts.kwh, report.totals.kwh)?;
        near(report.buckets.iter().map(|b| b.kwh).sum(), report.totals.kwh)?;
        let cost = report.cost.as_ref().unwrap();
        near(cost.by_band.iter().map(|b| b.kwh).sum(), report.totals.kwh)?;
        near(report.totals.measured_s + report.totals.interpolated_s, report.ratios.coverage * report.totals.period_s)?;
        let json = serde_json::to_string(&report).unwrap();
        prop_assert!(!json.contains("NaN"));
    }

    #[test]
    fn two_halves_of_a_period_add_up(r in any_request(), cut in 1_i64..3 * 86_400) {
        let whole = energy(&r).unwrap();
        let middle = plus(r.period.from, cut);
        let half = |from, to| energy(&EnergyRequest { period: Period { from, to }, ..r.clone() }).unwrap();
        let (a, b) = (half(r.period.from, middle), half(middle, r.period.to));
        let mut sum = a.totals;
        sum += b.totals;
        near(sum.kwh, whole.totals.kwh)?;
        near(sum.undated_kwh, whole.totals.undated_kwh)?;
        near(sum.measured_s, whole.totals.measured_s)?;
        near(sum.by_state.idle.kwh, whole.totals.by_state.idle.kwh)?;
        near(sum.produced_metered, whole.totals.produced_metered)?;
        prop_assert_eq!(sum.produced, whole.totals.produced);
        let cost = |r: &EnergyReport| r.cost.clone().unwrap();
        near(cost(&a).energy + cost(&b).energy, cost(&whole).energy)?;
        near(cost(&a).co2_kg.unwrap() + cost(&b).co2_kg.unwrap(), cost(&whole).co2_kg.unwrap())?;
        near(a.switch_off.unwrap().saved_kwh + b.switch_off.unwrap().saved_kwh, whole.switch_off.unwrap().saved_kwh)?;
        let peak = |r: &EnergyReport| r.peaks.first().and_then(|q| q.kw);
        prop_assert_eq!(peak(&a).into_iter().chain(peak(&b)).reduce(f64::max), peak(&whole));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(r in any_request(), turn in 0_usize..1_000) {
        fn turned<T>(list: &mut [T], by: usize) {
            let by = by % list.len().max(1);
            list.rotate_left(by);
        }
        let mut other = r.clone();
        match &mut other.meter {
            Meter::Windows { windows, .. } => turned(windows, turn),
            Meter::Readings { readings, .. } | Meter::Counter { readings, .. } => turned(readings, turn),
        }
        turned(&mut other.states, turn);
        turned(&mut other.parts, turn);
        other.shifts.reverse();
        prop_assert_eq!(energy(&r).unwrap(), energy(&other).unwrap());
    }

    #[test]
    fn kilowatts_and_watts_say_the_same(r in any_request()) {
        let mut other = r.clone();
        match &mut other.meter {
            Meter::Windows { windows, unit } => { *unit = PowerUnit::KW; windows.iter_mut().for_each(|w| w.mean /= 1e3); }
            Meter::Readings { readings, unit } => { *unit = PowerUnit::KW; readings.iter_mut().for_each(|w| w.value /= 1e3); }
            Meter::Counter { readings, unit, wraps_at } => {
                (*unit, *wraps_at) = (EnergyUnit::KilowattHour, Some(20.0));
                readings.iter_mut().for_each(|w| w.value /= 1e3);
            }
        }
        let (a, b) = (energy(&r).unwrap(), energy(&other).unwrap());
        near(a.totals.kwh, b.totals.kwh)?;
        near(a.cost.unwrap().total, b.cost.unwrap().total)?;
    }
}
