//! The law itself: moments, residual life, and its limits.

use super::*;

fn law(beta: f64, eta_h: f64) -> Weibull {
    Weibull::new(beta, eta_h).unwrap()
}

fn near(found: Option<f64>, wanted: f64) {
    let found = found.unwrap();
    assert!((found / wanted - 1.0).abs() < 1e-8, "{found} is not {wanted}");
}

#[test]
fn at_the_scale_36_8_percent_are_left() {
    assert!((law(2.5, 1_000.0).reliability(1_000.0) - (-1.0_f64).exp()).abs() < 1e-15);
    assert_eq!(law(2.5, 1_000.0).reliability(0.0), 1.0);
    assert_eq!(law(2.5, 1_000.0).reliability(-5.0), 1.0);
}

#[test]
fn b10_life_is_where_ten_percent_have_failed() {
    let law = law(1.9, 73.5);
    assert!((law.reliability(law.life(0.1).unwrap()) - 0.9).abs() < 1e-12);
    assert_eq!((law.life(0.0), law.life(1.0), law.life(f64::NAN)), (None, None, None));
}

/// By numerical integration (scipy quad) and by incomplete gamma functions.
#[test]
fn mean_residual_life_is_that_of_numerical_integration() {
    near(law(2.5, 1_000.0).mean_residual_life_h(800.0), 352.574_872_295_924_76);
    near(law(0.7, 1_000.0).mean_residual_life_h(5_000.0), 2_595.006_534_085_034_7);
    near(law(3.0, 100.0).mean_residual_life_h(600.0), 0.923_089_913_044_531_9);
    near(law(1.0, 50.0).mean_residual_life_h(1e4), 50.0);
    near(law(2.0, 50.0).mean_residual_life_h(0.0), 50.0 * std::f64::consts::PI.sqrt() / 2.0);
}

#[test]
fn mean_residual_life_goes_over_into_its_series_without_a_step() {
    let law = law(2.2, 100.0);
    let at = |x: f64| law.mean_residual_life_h(100.0 * x.powf(1.0 / 2.2)).unwrap();
    assert!((at(ASYMPTOTIC - 1e-9) / at(ASYMPTOTIC + 1e-9) - 1.0).abs() < 1e-9);
}

#[test]
fn random_failures_do_not_know_their_age() {
    let law = law(1.0, 200.0);
    for age in [0.0, 10.0, 1e4] {
        assert!((law.failure_within(age, 50.0) - (1.0 - (-0.25_f64).exp())).abs() < 1e-12);
        near(law.residual_life(age, 0.5), 200.0 * 2.0_f64.ln());
    }
}

#[test]
fn residual_life_is_the_inverse_of_the_conditional_probability() {
    let law = law(3.1, 400.0);
    for age in [0.0, 1.0, 390.0, 4_000.0] {
        let left = law.residual_life(age, 0.3).unwrap();
        assert!((law.failure_within(age, left) - 0.3).abs() < 1e-9, "{age}");
    }
}

#[test]
fn ages_far_beyond_all_life_are_still_numbers() {
    for (beta, age) in [(1_000.0, 1e9), (50.0, 1e9), (0.001, 1e9)] {
        let law = law(beta, 1.0);
        let p = law.failure_within(age, 1.0);
        assert!((0.0..=1.0).contains(&p));
        for x in [law.mean_residual_life_h(age), law.residual_life(age, 0.5), law.integral_h(age), law.mean_h()].into_iter().flatten() {
            assert!(x.is_finite());
        }
    }
}

#[test]
fn parameters_that_cannot_be_are_refused() {
    assert_eq!(Weibull::new(0.0, 1.0).unwrap_err().field, "beta");
    assert_eq!(Weibull::new(f64::NAN, 1.0).unwrap_err().field, "beta");
    assert_eq!(Weibull::new(1.0, 0.0).unwrap_err().field, "eta_h");
}
