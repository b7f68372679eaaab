//! The Laplace test on orders of failures whose trend is known.

use super::*;
use crate::reliability::growth::tests::TIMES;

/// The growth example; statistics from scipy.
#[test]
fn growth_is_seen_by_both_tests() {
    let tests = trend_tests(&FailureTimes::new(&TIMES, None).unwrap(), 0.05).unwrap();
    assert!((tests.laplace.statistic + 2.783_159_685_606_978_7).abs() < 1e-9);
    assert!((tests.laplace.p_value - 0.005_383_230_377_525_515).abs() < 1e-9);
    assert!((tests.mil_hdbk_189.statistic - 71.636_689_976_090_7).abs() < 1e-8);
    assert!((tests.mil_hdbk_189.p_value - 0.005_875_230_279_331_012).abs() < 1e-8);
    assert_eq!((tests.laplace.direction, tests.mil_hdbk_189.direction), (Direction::Improving, Direction::Improving));
}

#[test]
fn failures_at_even_distances_show_no_trend() {
    let times: Vec<f64> = (1..=20).map(|i| 50.0 * f64::from(i)).collect();
    let tests = trend_tests(&FailureTimes::new(&times, Some(1_050.0)).unwrap(), 0.05).unwrap();
    assert_eq!(tests.laplace.direction, Direction::NoEvidence);
    assert!(tests.laplace.p_value > 0.9 && tests.mil_hdbk_189.p_value > 0.3);
}

#[test]
fn failures_that_get_denser_are_told_as_deterioration() {
    let times: Vec<f64> = (1..=20).map(|i| 1_000.0 * (f64::from(i) / 20.0).powf(1.0 / 3.0)).collect();
    let tests = trend_tests(&FailureTimes::new(&times, Some(1_000.0)).unwrap(), 0.05).unwrap();
    assert_eq!((tests.laplace.direction, tests.mil_hdbk_189.direction), (Direction::Deteriorating, Direction::Deteriorating));
}

#[test]
fn one_failure_that_ends_the_observation_says_nothing() {
    assert_eq!(trend_tests(&FailureTimes::new(&[7.0], None).unwrap(), 0.05), Err(GrowthError::TooFewFailures));
    let one = FailureTimes::new(&[7.0], Some(9.0)).unwrap();
    assert!(trend_tests(&one, 0.05).is_ok());
    assert_eq!(trend_tests(&one, f64::NAN), Err(GrowthError::OutOfRange));
}
