//! Likelihood fits against published ones, and what scaling and order may not change.

use proptest::prelude::*;

use super::*;

const SIX: [f64; 6] = [16.0, 34.0, 53.0, 75.0, 93.0, 120.0];
const FAILED: [f64; 4] = [50.0, 80.0, 110.0, 150.0];
const RUNNING: [f64; 4] = [60.0, 100.0, 200.0, 200.0];

fn fitted(failures: &[f64], censored: &[f64]) -> MleFit {
    fit(&Sample::new(failures, censored).unwrap()).unwrap()
}

fn near(found: f64, wanted: f64, relative: f64) {
    assert!((found / wanted - 1.0).abs() < relative, "{found} is not {wanted}");
}

fn is(found: Estimate, value: f64, lower: f64, upper: f64) {
    near(found.value, value, 1e-6);
    near(found.lower.unwrap(), lower, 1e-5);
    near(found.upper.unwrap(), upper, 1e-5);
}

/// ReliaWiki, six units without censoring, "ReliaWiki_Weibull_6units_complete".
#[test]
fn reliawiki_weibull_6units_complete_by_maximum_likelihood() {
    let fit = fitted(&SIX, &[]);
    near(fit.weibull().beta, 1.932_677_984_984_439_5, 1e-7);
    near(fit.weibull().eta_h, 73.526_074_187_758_08, 1e-7);
    near(fit.log_likelihood(), -29.584_921_614_901_972, 1e-10);
}

/// Bounds of an independent computation (scipy: numerical Hessian in the logarithms, 90 %).
#[test]
fn fisher_bounds_are_those_of_the_numerical_hessian() {
    let mut flags = Vec::new();
    let fit = fitted(&SIX, &[]);
    is(fit.beta(0.9, Bounds::Fisher, &mut flags), 1.932_678, 1.112_517_7, 3.357_469_5);
    is(fit.eta_h(0.9, Bounds::Fisher, &mut flags), 73.526_074, 51.026_139, 105.947_335);
    is(fit.life_h(0.1, 0.9, Bounds::Fisher, &mut flags).unwrap(), 22.948_723, 9.987_802_7, 52.728_704);
    is(fit.reliability(50.0, 0.9, Bounds::Fisher, &mut flags), 0.622_131_12, 0.303_758_11, 0.827_750_81);
    let fit = fitted(&FAILED, &RUNNING);
    is(fit.beta(0.9, Bounds::Fisher, &mut flags), 1.882_714_84, 0.959_230_52, 3.695_269_4);
    is(fit.eta_h(0.9, Bounds::Fisher, &mut flags), 187.231_279, 118.532_52, 295.746_277);
    assert!(flags.is_empty());
}

/// Bounds of an independent computation (scipy: profile by bounded minimisation, ends by Brent, 90 %).
#[test]
fn likelihood_ratio_bounds_are_those_of_the_numerical_profile() {
    let mut flags = Vec::new();
    let fit = fitted(&SIX, &[]);
    is(fit.beta(0.9, Bounds::LikelihoodRatio, &mut flags), 1.932_678, 1.032_772_1, 3.179_285_5);
    is(fit.eta_h(0.9, Bounds::LikelihoodRatio, &mut flags), 73.526_074, 47.629_103, 110.384_81);
    is(fit.life_h(0.1, 0.9, Bounds::LikelihoodRatio, &mut flags).unwrap(), 22.948_723, 6.654_99, 42.801_843);
    is(fit.reliability(50.0, 0.9, Bounds::LikelihoodRatio, &mut flags), 0.622_131_12, 0.343_996_97, 0.847_579_64);
    let fit = fitted(&FAILED, &RUNNING);
    is(fit.beta(0.9, Bounds::LikelihoodRatio, &mut flags), 1.882_714_84, 0.843_145_72, 3.398_133_66);
    is(fit.eta_h(0.9, Bounds::LikelihoodRatio, &mut flags), 187.231_279, 125.164_919, 404.646_03);
    is(fit.life_h(0.1, 0.9, Bounds::LikelihoodRatio, &mut flags).unwrap(), 56.659_904, 15.155_637_5, 102.774_18);
    is(fit.reliability(50.0, 0.9, Bounds::LikelihoodRatio, &mut flags), 0.920_112_05, 0.720_617_31, 0.988_632_84);
    assert!(flags.is_empty());
}

/// Remission times of 6-MP (Freireich et al. 1963), as in lifelines and R's survival.
#[test]
fn censored_and_tied_ages_of_the_6mp_trial() {
    let fit = fitted(
        &[6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0],
        &[6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0],
    );
    near(fit.weibull().beta, 1.353_735, 2e-6);
    near(fit.weibull().eta_h, 33.765_15, 2e-6);
}

#[test]
fn samples_without_a_maximum_say_why() {
    let of = |f: &[f64], c: &[f64]| fit(&Sample::new(f, c).unwrap()).err();
    assert_eq!(of(&[], &[10.0, 20.0]), Some(FitError::NoFailures));
    assert_eq!(of(&[10.0], &[]), Some(FitError::NoSpread));
    assert_eq!(of(&[10.0, 10.0, 10.0], &[]), Some(FitError::NoSpread));
    assert_eq!(of(&[10.0], &[9.0, 10.0]), Some(FitError::NoSpread));
    assert_eq!(of(&[10.0, 10.0, 10.000_001], &[]), Some(FitError::NotConverged));
}

#[test]
fn one_failure_outlived_by_another_unit_has_a_fit() {
    let fit = fitted(&[100.0], &[150.0, 80.0]);
    let mut flags = Vec::new();
    for bounds in [Bounds::Fisher, Bounds::LikelihoodRatio] {
        let beta = fit.beta(0.9, bounds, &mut flags);
        assert!(beta.value > 0.0 && beta.lower.unwrap() < beta.value && beta.upper.unwrap() > beta.value);
        let eta = fit.eta_h(0.9, bounds, &mut flags);
        assert!(eta.upper.is_none_or(|u| u > eta.value && u.is_finite()));
    }
}

#[test]
fn ages_of_absurd_size_still_make_numbers() {
    let fit = fitted(&[1e-9, 1.0, 1e9], &[5e8]);
    assert!(fit.weibull().beta.is_finite() && fit.log_likelihood().is_finite());
}

fn ages(least: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(1.0..5_000.0_f64, least..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn times_multiplied_give_the_same_shape_and_multiplied_times(f in ages(3), c in ages(0), factor in 1e-3..1e3_f64) {
        let times = |list: &[f64], by: f64| list.iter().map(|t| t * by).collect::<Vec<_>>();
        let (one, other) = (fitted(&f, &c), fitted(&times(&f, factor), &times(&c, factor)));
        let mut flags = Vec::new();
        near(other.weibull().beta, one.weibull().beta, 1e-8);
        near(other.weibull().eta_h, one.weibull().eta_h * factor, 1e-8);
        for bounds in [Bounds::Fisher, Bounds::LikelihoodRatio] {
            let (a, b) = (one.eta_h(0.9, bounds, &mut flags), other.eta_h(0.9, bounds, &mut flags));
            near(b.lower.unwrap(), a.lower.unwrap() * factor, 1e-6);
        }
    }

    #[test]
    fn no_neighbour_is_more_likely(f in ages(3), c in ages(0), db in -0.2..0.2_f64, de in -0.2..0.2_f64) {
        let fit = fitted(&f, &c);
        let law = fit.weibull();
        let other = Weibull { beta: law.beta * (1.0 + db), eta_h: law.eta_h * (1.0 + de) };
        prop_assert!(fit.log_likelihood_of(other) <= fit.log_likelihood() + 1e-9 * fit.log_likelihood().abs());
    }

    #[test]
    fn order_does_not_matter_and_bounds_hold_the_estimate(f in ages(3), c in ages(0), at in 1.0..5_000.0_f64) {
        let (mut back_f, mut back_c) = (f.clone(), c.clone());
        back_f.reverse();
        back_c.reverse();
        let fit = fitted(&f, &c);
        prop_assert_eq!(fit.weibull(), fitted(&back_f, &back_c).weibull());
        let mut flags = Vec::new();
        for bounds in [Bounds::Fisher, Bounds::LikelihoodRatio] {
            for e in [
                fit.beta(0.9, bounds, &mut flags),
                fit.eta_h(0.9, bounds, &mut flags),
                fit.life_h(0.1, 0.9, bounds, &mut flags).unwrap(),
                fit.reliability(at, 0.9, bounds, &mut flags),
            ] {
                prop_assert!(e.value.is_finite());
                prop_assert!(e.lower.is_none_or(|l| l.is_finite() && l <= e.value * (1.0 + 1e-9)), "{:?} {:?}", bounds, e);
                prop_assert!(e.upper.is_none_or(|u| u.is_finite() && u >= e.value * (1.0 - 1e-9)), "{:?} {:?}", bounds, e);
            }
        }
    }
}
