//! How estimates are joined: precedence, disagreement, and the words of an explanation.

use protocol::Timestamp;

use super::*;
use crate::condition::{
    degradation::{DegradationSettings, Observation, remaining_useful_life},
    health::{Evidence, HealthSettings, SeenAnomaly, health},
};

fn nothing() -> Parts {
    Parts { device_id: "press-1".into(), health: None, degradation: None, age: None, learned: None, horizon_h: 168.0, confidence: 0.9 }
}

fn age(age_h: f64) -> AgeEvidence {
    AgeEvidence { component: "bearing".into(), age_h, weibull: Weibull::new(2.5, 5_000.0).unwrap(), failures: 12, utilisation: 1.0 }
}

fn learned(rul_h: f64, width: f64) -> LearnedPrediction {
    LearnedPrediction {
        rul_h,
        lower_h: rul_h * (1.0 - width),
        upper_h: rul_h * (1.0 + width),
        confidence: 0.9,
        model_version: "gb-7".into(),
        held_back_rmse_h: Some(0.1 * rul_h),
        held_back_coverage: Some(0.9),
        drivers: vec![ModelDriver { name: "spindle_temperature".into(), share: 0.7, detail: "above its fleet".into() }],
    }
}

fn degrading() -> Outcome {
    let seen: Vec<Observation> = (0..51)
        .map(|i| Observation { at: Timestamp(i * 36_000_000_000), value: 0.01 * i as f64 + if i % 2 == 0 { 0.01 } else { -0.01 } })
        .collect();
    remaining_useful_life(&seen, &DegradationSettings::new(0.0, 1.0), Timestamp(50 * 36_000_000_000)).unwrap()
}

#[test]
fn nothing_known_is_told_as_no_prediction() {
    let p = predict(&nothing()).unwrap();
    assert_eq!((p.rul, p.failure_probability, p.health), (None, None, None));
    assert_eq!(p.flags, [PredictFlag::NoPrediction, PredictFlag::NoHealth]);
    assert!(p.explanation[0].starts_with("No prediction"));
}

#[test]
fn one_estimate_is_given_as_it_is() {
    let p = predict(&Parts { age: Some(age(3_000.0)), ..nothing() }).unwrap();
    let law = age(0.0).weibull;
    let rul = p.rul.unwrap();
    assert!((rul.hours - law.residual_life(3_000.0, 0.5).unwrap()).abs() < 1e-3);
    assert!((rul.lower_h - law.residual_life(3_000.0, 0.05).unwrap()).abs() < 1e-3);
    assert!((p.failure_probability.unwrap() - law.failure_within(3_000.0, 168.0)).abs() < 1e-12);
    assert_eq!((p.estimates[0].weight, p.drivers[0].kind), (1.0, DriverKind::Age));
}

#[test]
fn a_machine_that_runs_half_the_time_lives_twice_as_long_by_the_calendar() {
    let of =
        |utilisation| predict(&Parts { age: Some(AgeEvidence { utilisation, ..age(3_000.0) }), ..nothing() }).unwrap().rul.unwrap().hours;
    assert!((of(0.5) / of(1.0) - 2.0).abs() < 1e-6);
}

#[test]
fn the_precise_estimate_weighs_most_and_all_are_told() {
    let p = predict(&Parts { degradation: Some(degrading()), age: Some(age(3_000.0)), learned: Some(learned(520.0, 0.3)), ..nothing() })
        .unwrap();
    assert_eq!(p.estimates.len(), 3);
    assert!((p.estimates.iter().map(|e| e.weight).sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(p.estimates[0].method, Method::Degradation);
    assert_eq!(p.estimates[2].method, Method::Age);
    let rul = p.rul.unwrap();
    assert!((rul.hours - 500.0).abs() < 40.0 && rul.lower_h < rul.hours && rul.upper_h.unwrap() > rul.hours, "{rul:?}");
    assert!(p.explanation.iter().any(|e| e.contains("gb-7") && e.contains("held-back error 52 h")));
    assert!(p.drivers.iter().any(|d| d.kind == DriverKind::Model && d.name == "spindle_temperature"));
}

#[test]
fn estimates_that_disagree_widen_the_interval_and_are_flagged() {
    let p = predict(&Parts { degradation: Some(degrading()), learned: Some(learned(5_000.0, 0.2)), ..nothing() }).unwrap();
    assert!(p.flags.contains(&PredictFlag::EstimatesDisagree));
    let rul = p.rul.unwrap();
    assert!(rul.lower_h < 600.0 && rul.upper_h.unwrap() > 4_000.0, "{rul:?}");
}

#[test]
fn a_limit_that_is_passed_beats_all() {
    let p = predict(&Parts { degradation: Some(Outcome::LimitPassed { value: 1.3 }), learned: Some(learned(900.0, 0.2)), ..nothing() })
        .unwrap();
    assert_eq!((p.rul.unwrap().hours, p.failure_probability), (0.0, Some(1.0)));
    assert!(p.flags.contains(&PredictFlag::LimitPassed));
}

#[test]
fn no_trend_is_told_and_the_rest_predicts() {
    let p = predict(&Parts { degradation: Some(Outcome::NoTrend { trend_probability: 0.4 }), age: Some(age(100.0)), ..nothing() }).unwrap();
    assert!(p.flags.contains(&PredictFlag::NoTrend) && p.rul.is_some());
    assert!(p.explanation[0].contains("40 %"));
}

#[test]
fn an_interval_far_narrower_than_the_held_back_error_is_not_believed() {
    let narrow = LearnedPrediction { held_back_rmse_h: Some(1_000.0), ..learned(1_000.0, 0.01) };
    let rul = predict(&Parts { learned: Some(narrow), ..nothing() }).unwrap().rul.unwrap();
    assert!(rul.lower_h < 700.0 && rul.upper_h.unwrap() > 1_400.0, "{rul:?}");
}

#[test]
fn doubts_about_the_model_and_the_law_are_flagged() {
    let p = predict(&Parts {
        learned: Some(LearnedPrediction { held_back_coverage: Some(0.5), ..learned(100.0, 0.2) }),
        age: Some(AgeEvidence { failures: 2, ..age(10.0) }),
        ..nothing()
    })
    .unwrap();
    assert!(p.flags.contains(&PredictFlag::PoorlyCalibratedModel) && p.flags.contains(&PredictFlag::FewFailures));
    let unproved = LearnedPrediction { held_back_rmse_h: None, ..learned(100.0, 0.2) };
    assert!(predict(&Parts { learned: Some(unproved), ..nothing() }).unwrap().flags.contains(&PredictFlag::ModelNotHeldBack));
}

#[test]
fn health_and_its_drivers_are_told_beside() {
    let evidence = Evidence {
        anomalies: vec![SeenAnomaly { signal: "temp".into(), at: Timestamp(0), severity: protocol::Severity::High }],
        ..Evidence::default()
    };
    let health = health(&evidence, &HealthSettings::default(), Timestamp(0)).unwrap();
    let p = predict(&Parts { health: Some(health), ..nothing() }).unwrap();
    assert!((p.health.unwrap() - 0.85).abs() < 1e-12);
    assert_eq!((p.drivers[0].name.as_str(), p.drivers[0].share), ("temp", 1.0));
    let json = serde_json::to_value(&p).unwrap();
    assert_eq!(json["device_id"], "press-1");
    assert_eq!(json["drivers"][0]["kind"], "anomalies");
}

#[test]
fn a_learned_life_of_nought_is_still_a_number() {
    let zero = LearnedPrediction { rul_h: 0.0, lower_h: 0.0, upper_h: 0.0, ..learned(1.0, 0.1) };
    let p = predict(&Parts { learned: Some(zero), ..nothing() }).unwrap();
    assert!(p.rul.unwrap().hours < 0.01 && p.failure_probability.unwrap() > 0.99);
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let field = |p: Parts| predict(&p).unwrap_err()[0].field.clone();
    assert_eq!(field(Parts { horizon_h: f64::NAN, ..nothing() }), "horizon_h");
    assert_eq!(field(Parts { confidence: 2.0, ..nothing() }), "confidence");
    assert_eq!(field(Parts { age: Some(age(-1.0)), ..nothing() }), "age.age_h");
    assert_eq!(field(Parts { age: Some(AgeEvidence { utilisation: 0.0, ..age(1.0) }), ..nothing() }), "age.utilisation");
    assert_eq!(field(Parts { learned: Some(LearnedPrediction { lower_h: 500.0, ..learned(100.0, 0.1) }), ..nothing() }), "learned.lower_h");
    assert_eq!(field(Parts { learned: Some(learned(f64::NAN, 0.1)), ..nothing() }), "learned.rul_h");
}
