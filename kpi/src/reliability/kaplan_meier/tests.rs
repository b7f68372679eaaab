//! Survival curves against tables of the literature, ties and censoring included.

use proptest::prelude::*;

use super::*;

fn of(failures: &[f64], censored: &[f64], bounds: SurvivalBounds) -> KaplanMeier {
    kaplan_meier(&Sample::new(failures, censored).unwrap(), 0.9, bounds)
}

/// Freireich et al. 1963, 6-MP arm: published survival and Greenwood errors; 90 % log-log bounds from lifelines 0.30.
#[test]
fn the_6mp_trial_has_its_published_survival() {
    let km = of(
        &[6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0],
        &[6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0],
        SurvivalBounds::LogLog,
    );
    let at = |age: f64| *km.steps.iter().find(|s| s.age_h == age).unwrap();
    for (age, at_risk, survival, error, lower, upper) in [
        (6.0, 21, 0.857_143, 0.0764, 0.671_107, 0.942_159),
        (7.0, 17, 0.806_723, 0.0869, 0.612_479, 0.910_198),
        (10.0, 15, 0.752_941, 0.0963, 0.551_123, 0.873_581),
        (13.0, 12, 0.690_196, 0.1068, 0.478_700, 0.829_761),
        (16.0, 11, 0.627_451, 0.1141, 0.412_613, 0.782_391),
        (22.0, 7, 0.537_815, 0.1282, 0.311_214, 0.719_233),
        (23.0, 6, 0.448_179, 0.1346, 0.226_462, 0.648_114),
    ] {
        let step = at(age);
        assert_eq!(step.at_risk, at_risk);
        assert!((step.survival - survival).abs() < 1e-6);
        assert!((step.standard_error.unwrap() - error).abs() < 1e-4);
        assert!((step.lower.unwrap() - lower).abs() < 1e-6 && (step.upper.unwrap() - upper).abs() < 1e-6);
    }
    assert_eq!((km.median_h, km.median_lower_h, km.median_upper_h), (Some(23.0), Some(13.0), None));
    assert_eq!((at(6.0).failures, at(6.0).censored), (3, 1));
}

#[test]
fn all_failed_the_curve_ends_at_zero_without_bounds() {
    let km = of(&[1.0, 2.0], &[], SurvivalBounds::Plain);
    let last = km.steps[1];
    assert_eq!((last.survival, last.standard_error, last.lower, last.upper), (0.0, None, None, None));
    assert_eq!((km.median_h, km.restricted_mean_h), (Some(1.0), 1.5));
}

#[test]
fn none_failed_the_curve_stays_at_one() {
    let km = of(&[], &[3.0, 5.0], SurvivalBounds::LogLog);
    assert!(km.steps.iter().all(|s| s.survival == 1.0 && s.standard_error == Some(0.0)));
    assert_eq!((km.median_h, km.restricted_mean_h), (None, 5.0));
}

fn ages() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((1_u32..60).prop_map(f64::from), 0..30)
}

proptest! {
    #[test]
    fn survival_is_a_falling_step_function_within_its_bounds(f in ages(), c in ages(), plain in any::<bool>()) {
        prop_assume!(!f.is_empty() || !c.is_empty());
        let km = of(&f, &c, if plain { SurvivalBounds::Plain } else { SurvivalBounds::LogLog });
        let mut before = 1.0;
        for step in &km.steps {
            prop_assert!((0.0..=before).contains(&step.survival));
            prop_assert_eq!(step.failures == 0, step.survival == before || (before == 0.0 && step.survival == 0.0));
            for bound in [step.lower, step.upper].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&bound));
            }
            prop_assert!(step.lower.is_none_or(|l| l <= step.survival + 1e-12) && step.upper.is_none_or(|u| u >= step.survival - 1e-12));
            before = step.survival;
        }
        prop_assert_eq!(km.steps.iter().map(|s| s.failures + s.censored).sum::<usize>(), f.len() + c.len());
    }

    #[test]
    fn without_censored_units_survival_is_the_fraction_left(f in ages()) {
        prop_assume!(!f.is_empty());
        for step in of(&f, &[], SurvivalBounds::LogLog).steps {
            let left = f.iter().filter(|t| **t > step.age_h).count() as f64 / f.len() as f64;
            prop_assert!((step.survival - left).abs() < 1e-12);
        }
    }
}
