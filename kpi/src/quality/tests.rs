//! Charts, capability and yields against the handbooks' examples, and what any process must satisfy.

use proptest::prelude::*;

use super::{
    capability::*,
    chart::*,
    data::{subgroups as subgroups_of, *},
    rules::{Rule, RuleSet, Violation},
};
use crate::utc::{Period, Utc};

/// Inside diameters of piston rings, mm: 25 samples of 5, then 15 more. Montgomery, *Introduction to Statistical Quality Control*, 2nd edition, 1991,
/// pages 206 to 213, as in the data set `pistonrings` of the R package qcc.
const RINGS: [[f64; 5]; 40] = [
    [74.030, 74.002, 74.019, 73.992, 74.008],
    [73.995, 73.992, 74.001, 74.011, 74.004],
    [73.988, 74.024, 74.021, 74.005, 74.002],
    [74.002, 73.996, 73.993, 74.015, 74.009],
    [73.992, 74.007, 74.015, 73.989, 74.014],
    [74.009, 73.994, 73.997, 73.985, 73.993],
    [73.995, 74.006, 73.994, 74.000, 74.005],
    [73.985, 74.003, 73.993, 74.015, 73.988],
    [74.008, 73.995, 74.009, 74.005, 74.004],
    [73.998, 74.000, 73.990, 74.007, 73.995],
    [73.994, 73.998, 73.994, 73.995, 73.990],
    [74.004, 74.000, 74.007, 74.000, 73.996],
    [73.983, 74.002, 73.998, 73.997, 74.012],
    [74.006, 73.967, 73.994, 74.000, 73.984],
    [74.012, 74.014, 73.998, 73.999, 74.007],
    [74.000, 73.984, 74.005, 73.998, 73.996],
    [73.994, 74.012, 73.986, 74.005, 74.007],
    [74.006, 74.010, 74.018, 74.003, 74.000],
    [73.984, 74.002, 74.003, 74.005, 73.997],
    [74.000, 74.010, 74.013, 74.020, 74.003],
    [73.988, 74.001, 74.009, 74.005, 73.996],
    [74.004, 73.999, 73.990, 74.006, 74.009],
    [74.010, 73.989, 73.990, 74.009, 74.014],
    [74.015, 74.008, 73.993, 74.000, 74.010],
    [73.982, 73.984, 73.995, 74.017, 74.013],
    [74.012, 74.015, 74.030, 73.986, 74.000],
    [73.995, 74.010, 73.990, 74.015, 74.001],
    [73.987, 73.999, 73.985, 74.000, 73.990],
    [74.008, 74.010, 74.003, 73.991, 74.006],
    [74.003, 74.000, 74.001, 73.986, 73.997],
    [73.994, 74.003, 74.015, 74.020, 74.004],
    [74.008, 74.002, 74.018, 73.995, 74.005],
    [74.001, 74.004, 73.990, 73.996, 73.998],
    [74.015, 74.000, 74.016, 74.025, 74.000],
    [74.030, 74.005, 74.000, 74.016, 74.012],
    [74.001, 73.990, 73.995, 74.010, 74.024],
    [74.015, 74.020, 74.024, 74.005, 74.019],
    [74.035, 74.010, 74.012, 74.015, 74.026],
    [74.017, 74.013, 74.036, 74.025, 74.026],
    [74.010, 74.005, 74.029, 74.000, 74.020],
];

/// Flow rates of 10 batches: NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.2.
const FLOW: [f64; 10] = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1];

/// Misregistered chips of 50 on each of 30 wafers: NIST/SEMATECH e-Handbook, 6.3.3.2.
const WAFERS: [u64; 30] = [12, 15, 8, 10, 4, 7, 16, 9, 14, 10, 5, 6, 17, 12, 22, 8, 10, 5, 13, 11, 20, 18, 24, 15, 9, 12, 7, 13, 9, 6];

/// Defects on 25 wafers: NIST/SEMATECH e-Handbook, 6.3.3.1.
const DEFECTS: [u64; 25] = [16, 14, 28, 16, 12, 20, 10, 12, 10, 17, 19, 17, 14, 16, 15, 13, 14, 16, 11, 20, 11, 19, 16, 31, 13];

fn at(i: usize) -> Utc {
    Utc(protocol::Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(i).unwrap() * 60_000_000))
}

fn subgroups<'a>(rows: impl IntoIterator<Item = &'a [f64; 5]>) -> ChartData {
    ChartData::Subgroups(rows.into_iter().enumerate().map(|(i, values)| Subgroup { at: at(i), values: values.to_vec() }).collect())
}

fn singles(values: &[f64]) -> ChartData {
    ChartData::Singles(values.iter().enumerate().map(|(i, v)| Single { at: at(i), value: Some(*v) }).collect())
}

fn samples(counts: &[u64], size: f64) -> ChartData {
    ChartData::Samples(counts.iter().enumerate().map(|(i, defects)| Sample { at: at(i), size, defects: *defects }).collect())
}

fn ask(kind: ChartKind, data: ChartData) -> ChartRequest {
    ChartRequest { chart: kind, data, baseline: None, given: None, rules: RuleSet::WesternElectric }
}

fn spec(lsl: f64, usl: f64) -> Specification {
    Specification { lsl: Some(lsl), usl: Some(usl), target: None }
}

fn near(is: f64, published: f64, within: f64) {
    assert!((is - published).abs() <= within, "{is} is not {published}");
}

/// qcc prints for these data: centre 74.00118, standard deviation .009785039, limits 73.98805 and 74.0143; of the ranges .02276, 0 and .04812533.
/// It rounds d2 to 2.326.
#[test]
fn piston_rings_have_the_limits_that_are_published_and_phase_two_breaks_them() {
    let request = ChartRequest { baseline: Some(Period { from: at(0), to: at(25) }), ..ask(ChartKind::XbarR, subgroups(&RINGS)) };
    let answer = chart(&request).unwrap();
    near(answer.center, 74.00118, 5e-6);
    near(answer.sigma_within.unwrap(), 0.009_785_039, 5e-7);
    let (xbar, range) = (&answer.charts[0], &answer.charts[1]);
    near(xbar.points[0].lcl, 73.98805, 5e-6);
    near(xbar.points[0].ucl, 74.0143, 5e-5);
    near(range.points[0].center, 0.02276, 5e-6);
    near(range.points[0].ucl, 0.04812533, 5e-6);
    assert_eq!((range.points[0].lcl, answer.baseline_points), (0.0, 25));
    // The book finds phase I in control, and samples 37 to 39 beyond the upper limit.
    assert!(answer.flags.is_empty());
    let beyond: Vec<usize> = xbar.violations.iter().filter(|v| v.rule == Rule::BeyondLimits).map(|v| v.at).collect();
    assert_eq!(beyond, [36, 37, 38]);
    assert!(range.violations.is_empty());
}

/// X-bar/S of the same samples, by Montgomery's formulas: the mean of the 25 standard deviations over c4(5) = .9400.
#[test]
fn piston_rings_by_standard_deviations_and_by_summaries_are_the_same() {
    let rings = &RINGS[..25];
    let by_values = chart(&ask(ChartKind::XbarS, subgroups(rings))).unwrap();
    let s_bar = rings.iter().map(|r| mean_and_s(r).1).sum::<f64>() / 25.0;
    near(by_values.sigma_within.unwrap(), s_bar / 0.939_986, 1e-8);
    near(by_values.charts[0].points[3].ucl, by_values.center + 1.427 * s_bar, 1e-5);
    near(by_values.charts[1].points[3].ucl, 2.089 * s_bar, 1e-5);
    let summary = |(i, r): (usize, &[f64; 5])| {
        let (mean, s) = mean_and_s(r);
        let (min, max) = r.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        SubgroupSummary { at: at(i), count: 5, mean, stddev: s * 0.8_f64.sqrt(), min, max }
    };
    let data = ChartData::Summaries(rings.iter().enumerate().map(summary).collect());
    let by_sums = chart(&ask(ChartKind::XbarS, data.clone())).unwrap();
    near(by_sums.sigma_within.unwrap(), by_values.sigma_within.unwrap(), 1e-12);
    let ask = |data| CapabilityRequest { data, specification: spec(73.95, 74.05), within: Within::Range, confidence: 0.95 };
    let (a, b) = (capability(&ask(subgroups(rings))).unwrap(), capability(&ask(data)).unwrap());
    near(a.ppk.unwrap().value, b.ppk.unwrap().value, 1e-9);
    near(a.cpk.unwrap().value, b.cpk.unwrap().value, 1e-9);
    assert!(b.flags.contains(&CapabilityFlag::NormalityUnknown));
}

/// The handbook rounds d2 to 1.128 and the moving range to 1.8778: 50.81, 55.8041, 45.8159.
#[test]
fn flow_rates_have_the_limits_of_the_handbook() {
    let answer = chart(&ask(ChartKind::Individuals, singles(&FLOW))).unwrap();
    near(answer.center, 50.81, 1e-9);
    let (x, range) = (&answer.charts[0], &answer.charts[1]);
    near(x.points[0].ucl, 55.8041, 2e-3);
    near(x.points[0].lcl, 45.8159, 2e-3);
    near(range.points[1].center, 1.8778, 5e-5);
    near(range.points[1].ucl, 6.1349, 2e-3);
    assert_eq!((range.points[0].value, x.violations.len()), (None, 0));
    assert_eq!(answer.flags, [ChartFlag::FewPoints]);
}

/// The handbook: p-bar .2313, limits .4102 and .0524; wafers 15 and 23 are beyond. The c chart: 16, 28 and 4, the third wafer on its limit, 24 beyond.
#[test]
fn wafers_have_the_limits_of_the_handbook() {
    let answer = chart(&ask(ChartKind::P, samples(&WAFERS, 50.0))).unwrap();
    let p = &answer.charts[0];
    near(answer.center, 0.2313, 5e-5);
    near(p.points[0].ucl, 0.4102, 1e-4);
    near(p.points[0].lcl, 0.0524, 1e-4);
    let beyond = |c: &Chart| c.violations.iter().filter(|v| v.rule == Rule::BeyondLimits).map(|v| v.at).collect::<Vec<_>>();
    assert_eq!(beyond(p), [14, 22]);
    assert!(answer.flags.contains(&ChartFlag::BaselineNotInControl));
    let np = chart(&ask(ChartKind::Np, samples(&WAFERS, 50.0))).unwrap();
    near(np.charts[0].points[0].ucl, 50.0 * p.points[0].ucl, 1e-9);
    assert_eq!(beyond(&np.charts[0]), [14, 22]);
    let c = chart(&ask(ChartKind::U, samples(&DEFECTS, 1.0))).unwrap();
    near(c.center, 16.0, 1e-9);
    near(c.charts[0].points[0].ucl, 28.0, 1e-9);
    near(c.charts[0].points[0].lcl, 4.0, 1e-9);
    assert_eq!(beyond(&c.charts[0]), [23]);
}

/// qcc, process.capability of the 25 samples with limits 73.95 and 74.05: Cp 1.703, Cpk 1.663, and with 124 degrees of freedom the intervals
/// 1.491 to 1.915 and 1.448 to 1.878. The handbook, 6.1.6: limits 8 and 20, mean 16, s 2 make Cp 1 and Cpk .6667.
#[test]
fn capability_is_that_of_the_published_examples() {
    let request =
        CapabilityRequest { data: subgroups(&RINGS[..25]), specification: spec(73.95, 74.05), within: Within::Range, confidence: 0.95 };
    let answer = capability(&request).unwrap();
    near(answer.cp.unwrap().value, 1.703, 5e-4);
    near(answer.cpk.unwrap().value, 1.663, 5e-4);
    let cp = spread_interval(answer.cp.unwrap().value, 124.0, 0.95).unwrap();
    near(cp.lower, 1.491, 1e-3);
    near(cp.upper, 1.915, 1e-3);
    let cpk = centred_interval(answer.cpk.unwrap().value, 125.0, 124.0, 0.95).unwrap();
    near(cpk.lower, 1.448, 1e-3);
    near(cpk.upper, 1.878, 1e-3);
    // Within subgroups fewer degrees of freedom: about .9 k (n - 1) = 90.
    assert!(answer.cp.unwrap().lower < cp.lower && answer.cp.unwrap().upper > cp.upper);
    assert!(!answer.flags.contains(&CapabilityFlag::NotNormal));

    // Values with a mean of 16 and a standard deviation of exactly 2.
    let wide = 2.0 * (59.0_f64 / 60.0).sqrt();
    let values: Vec<f64> = (0..60).map(|i| if i % 2 == 0 { 16.0 + wide } else { 16.0 - wide }).collect();
    let request = CapabilityRequest { data: singles(&values), specification: spec(8.0, 20.0), within: Within::Range, confidence: 0.95 };
    let answer = capability(&request).unwrap();
    near(answer.pp.unwrap().value, 1.0, 1e-9);
    near(answer.ppk.unwrap().value, 2.0 / 3.0, 1e-9);
    // Target 14: 12 / (6 sqrt(4 + 4)).
    near(answer.cpm.unwrap().value, 2.0 / 8.0_f64.sqrt(), 1e-9);
    assert!(answer.flags.contains(&CapabilityFlag::NotNormal));
}

/// Both statistics were computed apart from this code, from the definition. Powers of two are not normal.
#[test]
fn anderson_darling_is_its_definition() {
    let mut values: Vec<f64> = [52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5].into_iter().chain(FLOW).collect();
    values.sort_by(f64::total_cmp);
    let test = anderson_darling(&values).unwrap();
    near(test.statistic, 0.365_655_720_670_255_8, 1e-9);
    near(test.p_value, 0.435_416_386_618_879_1, 1e-9);
    let powers: Vec<f64> = (0..12).map(|i| 2.0_f64.powi(i)).collect();
    let test = anderson_darling(&powers).unwrap();
    near(test.statistic, 2.002_467_264_417_48, 1e-9);
    near(test.p_value, 4.259_379_66e-5, 1e-9);
    assert_eq!(anderson_darling(&[1.0; 20]), None);
    let far: Vec<f64> = (0..1_000).map(|i| if i < 999 { 0.0 } else { 1e9 }).collect();
    assert_eq!(anderson_darling(&far).unwrap().p_value, 0.0);
}

#[test]
fn constant_data_have_limits_on_their_centre_and_no_indices() {
    let answer = chart(&ask(ChartKind::XbarR, subgroups(&[[5.1; 5]; 30]))).unwrap();
    assert_eq!((answer.center, answer.charts[0].points[0].ucl, answer.flags), (5.1, 5.1, vec![ChartFlag::Constant]));
    let request =
        CapabilityRequest { data: singles(&[5.1; 30]), specification: spec(5.0, 6.0), within: Within::default(), confidence: 0.95 };
    let answer = capability(&request).unwrap();
    assert_eq!((answer.cp, answer.ppk, answer.cpm, answer.expected_outside), (None, None, None, None));
    assert!(answer.flags.contains(&CapabilityFlag::Constant));
    let none = chart(&ask(ChartKind::P, samples(&[0; 30], 50.0))).unwrap();
    assert_eq!((none.charts[0].points[0].ucl, none.flags), (0.0, vec![ChartFlag::Constant]));
}

#[test]
fn a_missing_subgroup_is_a_point_without_a_value_and_makes_no_moving_range() {
    let mut data = singles(&FLOW);
    let ChartData::Singles(rows) = &mut data else { unreachable!() };
    rows[4].value = None;
    let answer = chart(&ask(ChartKind::Individuals, data)).unwrap();
    assert!(answer.flags.contains(&ChartFlag::MissingSubgroups));
    let ranges: Vec<bool> = answer.charts[1].points.iter().map(|p| p.value.is_some()).collect();
    assert_eq!(ranges, [false, true, true, true, false, false, true, true, true, true]);
    assert_eq!(answer.baseline_points, 9);
}

#[test]
fn one_limit_makes_cpk_of_that_side_alone() {
    let specification = Specification { lsl: None, usl: Some(74.05), target: None };
    let answer =
        capability(&CapabilityRequest { data: subgroups(&RINGS[..25]), specification, within: Within::Range, confidence: 0.95 }).unwrap();
    assert_eq!((answer.cp, answer.cpm), (None, None));
    near(answer.cpk.unwrap().value, 1.663, 5e-4);
    assert!(answer.flags.contains(&CapabilityFlag::NoTarget));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let field = |request: &CapabilityRequest| capability(request).unwrap_err()[0].field.clone();
    let good = CapabilityRequest { data: singles(&FLOW), specification: spec(40.0, 60.0), within: Within::default(), confidence: 0.95 };
    assert_eq!(field(&CapabilityRequest { specification: spec(60.0, 40.0), ..good.clone() }), "specification.lsl");
    assert_eq!(
        field(&CapabilityRequest { specification: Specification { lsl: None, usl: None, target: None }, ..good.clone() }),
        "specification"
    );
    assert_eq!(field(&CapabilityRequest { confidence: 1.0, ..good.clone() }), "confidence");
    assert_eq!(field(&CapabilityRequest { data: singles(&[1.0]), ..good.clone() }), "data.rows");
    assert_eq!(field(&CapabilityRequest { data: singles(&[1.0, f64::NAN]), ..good.clone() }), "data.rows[1].value");
    assert_eq!(field(&CapabilityRequest { data: samples(&DEFECTS, 1.0), ..good }), "data.kind");
    let field = |request: &ChartRequest| chart(request).unwrap_err()[0].field.clone();
    assert_eq!(field(&ask(ChartKind::XbarR, singles(&FLOW))), "data.kind");
    assert_eq!(field(&ask(ChartKind::XbarR, subgroups(&RINGS[..1]))), "baseline");
    assert_eq!(field(&ask(ChartKind::Individuals, singles(&FLOW[..1]))), "baseline");
    assert_eq!(field(&ask(ChartKind::P, samples(&[51], 50.0))), "data.rows[0].defects");
    let many = ChartData::Subgroups(vec![Subgroup { at: at(0), values: vec![1.0; 26] }]);
    assert_eq!(field(&ask(ChartKind::XbarR, many)), "chart");
}

fn window(start: usize, values: &[f64], correction: bool) -> protocol::WindowSummary {
    let (mean, s) = mean_and_s(values);
    let n = values.len() as f64;
    protocol::WindowSummary {
        asset: "plant/area/line1/press-1".parse().unwrap(),
        signal: "force".parse().unwrap(),
        unit: "kN".into(),
        start: at(start).0,
        end: at(start + 1).0,
        count: values.len() as u64,
        min: values.iter().copied().fold(f64::MAX, f64::min),
        max: values.iter().copied().fold(f64::MIN, f64::max),
        mean,
        stddev: s * ((n - 1.0) / n).sqrt(),
        first: values[0],
        last: values[values.len() - 1],
        quality: protocol::Quality::Good,
        time_quality: protocol::TimeQuality::Synced,
        correction,
    }
}

#[test]
fn a_corrected_window_is_the_subgroup_of_all_its_readings() {
    let parts = [window(1, &[4.0, 9.0, 2.0], true), window(0, &[5.0, 5.5], false), window(1, &[7.0, 1.0], false)];
    let all = summaries(&parts);
    assert_eq!(all.iter().map(|s| (s.at, s.count)).collect::<Vec<_>>(), [(at(0), 2), (at(1), 5)]);
    let (mean, s) = mean_and_s(&[4.0, 9.0, 2.0, 7.0, 1.0]);
    near(all[1].mean, mean, 1e-12);
    near(all[1].stddev, s * 0.8_f64.sqrt(), 1e-12);
    assert_eq!((all[1].min, all[1].max), (1.0, 9.0));
}

#[test]
fn readings_make_subgroups_in_order_of_time_and_a_rest_is_left_out() {
    let ChartData::Singles(mut rows) = singles(&FLOW) else { unreachable!() };
    rows[0].value = None;
    rows.reverse();
    let groups = subgroups_of(&rows, 4);
    assert_eq!(groups.len(), 2);
    assert_eq!((groups[0].at, groups[0].values.as_slice()), (at(1), &FLOW[1..5]));
}

#[test]
fn requests_and_answers_are_json() {
    let request = ask(ChartKind::P, samples(&WAFERS, 50.0));
    let text = serde_json::to_string(&request).unwrap();
    assert!(text.contains("\"chart\":\"p\"") && text.contains("\"kind\":\"samples\""), "{text}");
    assert_eq!(serde_json::from_str::<ChartRequest>(&text).unwrap(), request);
    let answer = chart(&request).unwrap();
    assert_eq!(serde_json::from_str::<ChartAnswer>(&serde_json::to_string(&answer).unwrap()).unwrap(), answer);
}

/// Coverage of the intervals: of 400 samples of a normal process, about 95 % hold the true index.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    use rand::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut normal = || (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * random.random::<f64>()).cos();
    let mut held = [0; 4];
    for _ in 0..400 {
        let data =
            ChartData::Subgroups((0..20).map(|i| Subgroup { at: at(i), values: (0..5).map(|_| 10.0 + normal()).collect() }).collect());
        let answer =
            capability(&CapabilityRequest { data, specification: spec(6.0, 15.0), within: Within::Range, confidence: 0.95 }).unwrap();
        let truth = [(answer.cp, 1.5), (answer.cpk, 4.0 / 3.0), (answer.pp, 1.5), (answer.ppk, 4.0 / 3.0)];
        for (count, (index, truth)) in held.iter_mut().zip(truth) {
            *count += i32::from(index.is_some_and(|i| i.lower <= truth && truth <= i.upper));
        }
    }
    // Three standard errors of a share of .95 in 400 are .033.
    assert!(held.iter().all(|h| (367..=393).contains(h)), "{held:?}");
}

fn values() -> impl Strategy<Value = Vec<Vec<f64>>> {
    prop::collection::vec(prop::collection::vec(-50.0..50.0_f64, 2..8), 3..30)
}

fn grouped(values: &[Vec<f64>], change: impl Fn(f64) -> f64) -> ChartData {
    let group = |(i, v): (usize, &Vec<f64>)| Subgroup { at: at(i), values: v.iter().map(|v| change(*v)).collect() };
    ChartData::Subgroups(values.iter().enumerate().map(group).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shift_and_scale_leave_the_indices_and_violations(v in values(), shift in -1e3..1e3_f64, scale in 0.01..100.0_f64) {
        let change = |x: f64| (x + shift) * scale;
        let ask_capability = |data, lsl, usl| {
            capability(&CapabilityRequest { data, specification: spec(lsl, usl), within: Within::StandardDeviation, confidence: 0.9 }).unwrap()
        };
        let (a, b) = (ask_capability(grouped(&v, |x| x), -60.0, 70.0), ask_capability(grouped(&v, change), change(-60.0), change(70.0)));
        for (a, b) in [(a.cp, b.cp), (a.cpk, b.cpk), (a.pp, b.pp), (a.ppk, b.ppk), (a.cpm, b.cpm)] {
            let (a, b) = (a.unwrap(), b.unwrap());
            prop_assert!((a.value - b.value).abs() < 1e-6 * (1.0 + a.value.abs()) && (a.upper - b.upper).abs() < 1e-6 * (1.0 + a.upper.abs()));
            prop_assert!(a.lower <= a.value && a.value <= a.upper);
        }
        let at_of = |data| chart(&ask(ChartKind::XbarS, data)).unwrap().charts[0].violations.clone();
        let (x, y): (Vec<Violation>, Vec<Violation>) = (at_of(grouped(&v, |x| x)), at_of(grouped(&v, change)));
        prop_assert_eq!(x, y);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(v in values(), turn in 0_usize..100) {
        let ChartData::Subgroups(mut rows) = grouped(&v, |x| x) else { unreachable!() };
        let straight = chart(&ask(ChartKind::XbarR, ChartData::Subgroups(rows.clone()))).unwrap();
        let by = turn % rows.len();
        rows.rotate_left(by);
        rows.iter_mut().for_each(|r| r.values.reverse());
        prop_assert_eq!(straight, chart(&ask(ChartKind::XbarR, ChartData::Subgroups(rows))).unwrap());
    }

    #[test]
    fn no_answer_holds_what_is_no_number(v in prop::collection::vec(prop_oneof![Just(0.0), -1e100..1e100_f64, -1.0..1.0_f64], 2..40)) {
        for data in [singles(&v), grouped(&[v.clone(), v.clone()], |x| x)] {
            let request = CapabilityRequest { data: data.clone(), specification: spec(-1.0, 1.0), within: Within::StandardDeviation, confidence: 0.95 };
            let text = serde_json::to_string(&capability(&request).unwrap()).unwrap();
            let back: CapabilityAnswer = serde_json::from_str(&text).unwrap();
            prop_assert!(back.sigma_overall.is_finite());
            let kind = if matches!(data, ChartData::Singles(_)) { ChartKind::Individuals } else { ChartKind::XbarS };
            let answer = chart(&ask(kind, data)).unwrap();
            prop_assert!(answer.charts.iter().flat_map(|c| &c.points).all(|p| p.lcl.is_finite() && p.ucl.is_finite() && p.center.is_finite()));
        }
    }
}
