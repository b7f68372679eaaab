//! The cheapest age of replacement against a grid, and when there is none.

use super::*;

fn of(beta: f64, preventive: f64, corrective: f64) -> OptimalReplacement {
    optimal_replacement(Weibull::new(beta, 1_000.0).unwrap(), ReplacementCosts { preventive, corrective }).unwrap()
}

/// ReliaWiki, "Optimum Replacement Time Example": beta 2.5, eta 1000 h, 1 against 5: 493.0470 h.
#[test]
fn reliawiki_optimum_replacement_time_example() {
    let found = of(2.5, 1.0, 5.0);
    assert!((found.age_h.unwrap() - 493.0470).abs() < 1e-4);
    assert!((found.cost_per_hour.unwrap() - 0.003_462_042_738_782_19).abs() < 1e-11);
    assert!((found.run_to_failure_cost_per_hour.unwrap() - 0.005_635_302_489_930_138).abs() < 1e-11);
    assert_eq!(found.finding, Finding::ReplaceAtAge);
}

#[test]
fn no_age_on_the_curve_is_cheaper_than_the_optimum() {
    for (beta, corrective) in [(1.2, 3.0), (2.5, 5.0), (4.0, 1.5), (8.0, 100.0)] {
        let found = of(beta, 1.0, corrective);
        let best = found.cost_per_hour.unwrap();
        assert_eq!(found.curve.len(), CURVE);
        assert!(found.curve.iter().all(|p| p.cost_per_hour >= best * (1.0 - 1e-12)), "{beta} {corrective}");
    }
}

#[test]
fn without_wear_out_it_runs_to_failure() {
    for beta in [0.5, 1.0] {
        let found = of(beta, 1.0, 50.0);
        assert_eq!((found.finding, found.age_h, found.cost_per_hour), (Finding::RunToFailureNoWearOut, None, None));
        assert!(found.run_to_failure_cost_per_hour.unwrap() > 0.0 && !found.curve.is_empty());
    }
}

#[test]
fn a_planned_replacement_that_costs_as_much_is_not_planned() {
    assert_eq!(of(3.0, 5.0, 5.0).finding, Finding::RunToFailureNoCostAdvantage);
    assert_eq!(of(3.0, 6.0, 5.0).age_h, None);
}

#[test]
fn an_optimum_that_saves_nothing_is_told_as_such() {
    let found = of(1.05, 1.0, 1.3);
    assert_eq!(found.finding, Finding::SavingNegligible);
    assert!(found.saving.is_none_or(|s| s < 0.01));
}

#[test]
fn costs_that_cannot_be_are_refused() {
    let law = Weibull::new(2.0, 10.0).unwrap();
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(optimal_replacement(law, ReplacementCosts { preventive: bad, corrective: 1.0 }).unwrap_err().field, "costs.preventive");
        assert_eq!(optimal_replacement(law, ReplacementCosts { preventive: 1.0, corrective: bad }).unwrap_err().field, "costs.corrective");
    }
}

#[test]
fn the_steepest_wear_out_still_has_an_optimum() {
    let found = of(1_000.0, 1.0, 1e6);
    assert!(found.age_h.is_some_and(|a| a > 900.0 && a < 1_000.0));
    assert!(found.curve.iter().all(|p| p.cost_per_hour.is_finite()));
}
