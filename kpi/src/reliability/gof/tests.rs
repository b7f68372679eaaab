//! Goodness of fit on samples that fit and on one that does not.

use super::*;
use crate::reliability::mle;

fn of(failures: &[f64], censored: &[f64]) -> GoodnessOfFit {
    let sample = Sample::new(failures, censored).unwrap();
    goodness_of_fit(&sample, &mle::fit(&sample).unwrap())
}

/// Independent computation with scipy.
#[test]
fn statistics_of_the_six_units() {
    let g = of(&[16.0, 34.0, 53.0, 75.0, 93.0, 120.0], &[]);
    assert!((g.anderson_darling.unwrap() - 0.173_776_547).abs() < 1e-7);
    assert!((g.anderson_darling_p.unwrap() - 0.790_935_258).abs() < 1e-6);
    assert!((g.exponential_p.unwrap() - 0.085_689_994).abs() < 1e-7);
    assert!((g.aic - (4.0 + 2.0 * 29.584_921_615)).abs() < 1e-7);
}

#[test]
fn censored_samples_have_no_anderson_darling() {
    let g = of(&[50.0, 80.0, 110.0, 150.0], &[60.0, 100.0, 200.0, 200.0]);
    assert_eq!((g.anderson_darling, g.anderson_darling_p), (None, None));
    assert!((g.exponential_p.unwrap() - 0.179_493_906).abs() < 1e-7);
}

#[test]
fn two_failure_modes_do_not_look_like_one_weibull_law() {
    let ages: Vec<f64> = (0..15).map(|i| 10.0 + 0.1 * f64::from(i)).chain((0..15).map(|i| 1_000.0 + f64::from(i))).collect();
    assert!(of(&ages, &[]).anderson_darling_p.unwrap() < 0.01);
}
