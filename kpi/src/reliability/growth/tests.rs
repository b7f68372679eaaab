//! Crow-AMSAA and Duane against their published examples.

use super::*;

/// ReliaWiki Crow-AMSAA example, with the figures of the `reliability` package's "Reliability growth" page:
/// "Crow_AMSAA_and_Duane_system_growth".
pub(crate) const TIMES: [f64; 22] = [
    2.7, 10.3, 12.5, 30.6, 57.0, 61.3, 80.0, 109.5, 125.0, 128.6, 143.8, 167.9, 229.2, 296.7, 320.6, 328.2, 366.2, 396.7, 421.1, 438.2,
    501.2, 620.0,
];

fn near(found: f64, wanted: f64) {
    assert!((found / wanted - 1.0).abs() < 1e-9, "{found} is not {wanted}");
}

#[test]
fn crow_amsaa_and_duane_system_growth_crow() {
    let by_failure = crow_amsaa(&FailureTimes::new(&TIMES, None).unwrap(), 0.9).unwrap();
    near(by_failure.beta.value, 0.614_210_399_931_729_7);
    near(by_failure.lambda, 0.423_942_214_880_575_04);
    near(by_failure.cumulative_mtbf_h.value, 28.181_818_181_818_18);
    near(by_failure.instantaneous_mtbf_h.value, 45.883_003_910_306_04);
    near(by_failure.time_to_cumulative_mtbf_h(35.0).unwrap(), 1_087.187_689_369_594_6);
    near(by_failure.beta_unbiased.unwrap(), 0.558_373_090_847_026_9);
    let by_time = crow_amsaa(&FailureTimes::new(&TIMES, Some(620.0)).unwrap(), 0.9).unwrap();
    near(by_time.beta.value, by_failure.beta.value);
    near(by_time.beta_unbiased.unwrap(), 0.586_291_745_389_378_3);
    // As published, to five digits.
    for (found, published) in
        [(by_failure.beta.value, 0.61421), (by_failure.lambda, 0.42394), (by_failure.instantaneous_mtbf_h.value, 45.883)]
    {
        assert!((found - published).abs() < 5e-5 * published.max(1.0));
    }
}

#[test]
fn crow_amsaa_and_duane_system_growth_duane() {
    let duane = duane(&FailureTimes::new(&TIMES, None).unwrap()).unwrap();
    near(duane.alpha, 0.425_310_656_764_667_5);
    near(duane.a, 0.573_383_649_524_560_6);
    near(duane.cumulative_mtbf_h, 26.865_110_972_330_01);
    near(duane.instantaneous_mtbf_h.unwrap(), 46.747_188_352_384_114);
    near(duane.time_to_cumulative_mtbf_h(35.0).unwrap(), 1_154.778_624_659_487);
    assert!(duane.r_squared > 0.9);
}

/// Chi-square quantiles and the statistic from scipy.
#[test]
fn bounds_and_cramer_von_mises_of_the_growth_example() {
    let crow = crow_amsaa(&FailureTimes::new(&TIMES, None).unwrap(), 0.9).unwrap();
    near(crow.beta.lower.unwrap(), 0.392_871_997_660_359_85);
    near(crow.beta.upper.unwrap(), 0.811_372_464_309_383_6);
    assert_eq!(crow.direction, Direction::Improving);
    near(crow.cramer_von_mises.unwrap(), 0.049_280_671_447_225_755);
    assert_eq!((crow.cramer_von_mises_critical, crow.power_law_holds), (Some(0.172), Some(true)));
    for e in [crow.cumulative_mtbf_h, crow.instantaneous_mtbf_h] {
        assert!(e.lower.unwrap() < e.value && e.value < e.upper.unwrap());
    }
}

#[test]
fn expected_failures_of_the_whole_time_are_the_failures() {
    let crow = crow_amsaa(&FailureTimes::new(&TIMES, Some(700.0)).unwrap(), 0.9).unwrap();
    near(crow.expected_failures(0.0, 700.0).unwrap(), 22.0);
}

#[test]
fn times_multiplied_give_the_same_shape() {
    let scaled: Vec<f64> = TIMES.iter().map(|t| t * 60.0).collect();
    let (one, other) = (FailureTimes::new(&TIMES, None).unwrap(), FailureTimes::new(&scaled, None).unwrap());
    near(crow_amsaa(&other, 0.9).unwrap().beta.value, crow_amsaa(&one, 0.9).unwrap().beta.value);
    near(duane(&other).unwrap().alpha, duane(&one).unwrap().alpha);
}

#[test]
fn what_cannot_be_is_refused() {
    let field = |t: &[f64], end| FailureTimes::new(t, end).unwrap_err().field;
    assert_eq!(field(&[], None), "failure_times");
    assert_eq!(field(&[1.0, 0.0], None), "failure_times[1]");
    assert_eq!(field(&[1.0, 5.0], Some(4.0)), "end_h");
    assert_eq!(field(&[1.0], Some(f64::NAN)), "end_h");
    assert_eq!(crow_amsaa(&FailureTimes::new(&[5.0], None).unwrap(), 0.9), Err(GrowthError::TooFewFailures));
    assert_eq!(crow_amsaa(&FailureTimes::new(&[5.0, 5.0], None).unwrap(), 0.9), Err(GrowthError::NoSpread));
    assert_eq!(duane(&FailureTimes::new(&[5.0, 5.0], None).unwrap()), Err(GrowthError::NoSpread));
}

#[test]
fn two_failures_give_an_estimate_without_a_goodness_of_fit() {
    let crow = crow_amsaa(&FailureTimes::new(&[100.0, 200.0], None).unwrap(), 0.9).unwrap();
    assert!(crow.beta.value.is_finite());
    assert_eq!((crow.beta_unbiased, crow.cramer_von_mises, crow.power_law_holds), (None, None, None));
}
