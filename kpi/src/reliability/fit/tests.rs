//! The whole answer of a fit: worked examples, refusals, and what holds for any sample.

use proptest::prelude::*;

use super::*;

fn request(json: &str) -> FitRequest {
    serde_json::from_str(json).unwrap()
}

/// ReliaWiki, six units, as sent over the API.
#[test]
fn six_units_get_every_part_of_the_answer() {
    let answer = request(r#"{"failures": [16, 34, 53, 75, 93, 120], "censored": [], "reliability_at": [50]}"#).fit().unwrap();
    let json = serde_json::to_value(&answer).unwrap();
    let near = |path: &str, wanted: f64| {
        let found = json.pointer(path).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
        assert!((found / wanted - 1.0).abs() < 1e-6, "{path}: {found} is not {wanted}");
    };
    near("/weibull/beta/value", 1.932_678);
    near("/weibull/eta_h/value", 73.526_074_2);
    near("/weibull/b10_h/value", 22.948_723);
    near("/weibull/reliability_at/0/reliability/lower", 0.303_758_106);
    near("/rank_regression/on_y/beta", 1.430_179_35);
    near("/rank_regression/on_x/eta_h", 76.082_090_3);
    near("/mtbf/mtbf_h", 391.0 / 6.0);
    near("/kaplan_meier/median_h", 53.0);
    assert_eq!(answer.mtbf.termination, Termination::Failure);
    assert_eq!(json.pointer("/weibull/bounds").unwrap(), "fisher");
    assert!(answer.flags.is_empty() && answer.notes.is_empty());
    let curve = &answer.weibull.unwrap().curve;
    assert_eq!((curve.len(), curve[0].reliability.value), (CURVE, 1.0));
    assert!(curve.windows(2).all(|w| w[0].reliability.value > w[1].reliability.value));
}

#[test]
fn all_censored_has_a_lower_bound_and_says_why_there_is_no_more() {
    let answer = request(r#"{"failures": [], "censored": [100, 200, 700]}"#).fit().unwrap();
    assert_eq!((answer.weibull_error, answer.rank_regression_error), (Some(FitError::NoFailures), Some(FitError::NoFailures)));
    assert!((answer.mtbf.one_sided_lower_h.unwrap() - 1_000.0 * std::f64::consts::LOG10_E).abs() < 1e-6);
    assert_eq!(answer.flags, [Flag::NoFailures, Flag::WeibullNotFitted, Flag::RankRegressionNotFitted]);
    assert!(answer.notes.iter().any(|n| n.contains("only a lower bound")));
    assert!(answer.kaplan_meier.steps.iter().all(|s| s.survival == 1.0));
}

#[test]
fn one_failure_is_fitted_and_flagged() {
    let answer = request(r#"{"failures": [100], "censored": [150, 160], "bounds": "likelihood_ratio"}"#).fit().unwrap();
    assert!(answer.weibull.is_some() && answer.rank_regression_error == Some(FitError::OneFailure));
    assert!(answer.flags.contains(&Flag::OneFailure));
}

#[test]
fn costs_and_an_age_give_a_replacement_and_an_outlook() {
    let answer = request(
        r#"{"failures": [900, 950, 1000, 1050, 1100], "age_h": 900, "horizon_h": 100, "costs": {"preventive": 1, "corrective": 10}}"#,
    )
    .fit()
    .unwrap();
    assert!(answer.replacement.unwrap().age_h.unwrap() < 950.0);
    let unit = answer.unit.unwrap();
    assert!((0.2..0.8).contains(&unit.failure_probability.unwrap()) && unit.mean_residual_life_h.unwrap() < 200.0);
}

#[test]
fn every_wrong_field_is_told_at_once() {
    let wrong = FitRequest {
        failures: vec![1.0, -2.0],
        censored: vec![f64::NAN],
        confidence: 95.0,
        reliability_at: vec![-1.0],
        horizon_h: Some(5.0),
        costs: Some(ReplacementCosts { preventive: 0.0, corrective: 1.0 }),
        ..FitRequest::default()
    };
    let fields: Vec<String> = wrong.fit().unwrap_err().into_iter().map(|e| e.field).collect();
    assert_eq!(fields, ["failures[1]", "censored[0]", "confidence", "reliability_at[0]", "age_h", "costs.preventive"]);
    assert!(serde_json::from_str::<FitRequest>(r#"{"failures": [1], "cencored": [2]}"#).is_err());
}

#[test]
fn large_samples_are_answered_with_bounds_that_cost_little() {
    let failures: Vec<f64> = (1..=20_000).map(|i| 10.0 * f64::from(i)).collect();
    let answer = FitRequest { failures, bounds: Bounds::LikelihoodRatio, ..FitRequest::default() }.fit().unwrap();
    assert_eq!(answer.weibull.unwrap().bounds, Bounds::Fisher);
    assert!(answer.flags.contains(&Flag::BenardRanks));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// JSON has no NaN: serde writes `null` for it, so a number in the answer that is `null` where none is allowed would fail to parse.
    #[test]
    fn no_answer_holds_what_is_not_a_number(
        f in prop::collection::vec(prop_oneof![1e-9..1e9_f64, 1.0..3.0_f64, Just(5.0)], 0..8),
        c in prop::collection::vec(prop_oneof![Just(0.0), 1e-9..1e9_f64, Just(5.0)], 0..8),
        likelihood in any::<bool>(),
    ) {
        let bounds = if likelihood { Bounds::LikelihoodRatio } else { Bounds::Fisher };
        let asked = FitRequest { failures: f, censored: c, bounds, age_h: Some(3.0), horizon_h: Some(2.0), ..FitRequest::default() };
        if let Ok(answer) = asked.fit() {
            let text = format!("{answer:?}");
            prop_assert!(!text.contains("NaN") && !text.contains("inf"), "{}", text);
            if let Some(weibull) = &answer.weibull {
                prop_assert!(weibull.beta.lower.is_none_or(|l| l <= weibull.beta.value));
            }
        }
    }
}
