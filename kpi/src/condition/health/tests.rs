//! Health of evidence whose weight is known, and what any evidence must satisfy.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_000 * 3_600_000_000);

fn anomaly(signal: &str, hours_ago: i64, severity: Severity) -> SeenAnomaly {
    SeenAnomaly { signal: signal.into(), at: NOW.plus_micros(-hours_ago * 3_600_000_000), severity }
}

fn rising(signal: &str, slope_per_day: f64, level: f64, p_value: f64) -> SignalTrend {
    let trend = Trend { slope_per_day, lower_per_day: 0.0, upper_per_day: 0.0, p_value, level, spread: 0.1, buckets: 48, span_h: 48.0 };
    SignalTrend { signal: signal.into(), trend, low_limit: None, high_limit: Some(10.0) }
}

fn point(v: f64) -> VibrationPoint {
    VibrationPoint { signal: "x".into(), velocity_rms_mm_s: v, group: MachineGroup::Medium, foundation: Foundation::Rigid }
}

fn of(evidence: &Evidence) -> Health {
    health(evidence, &HealthSettings::default(), NOW).unwrap()
}

#[test]
fn a_machine_that_is_seen_and_has_nothing_is_healthy() {
    assert_eq!(of(&Evidence { observed_signals: 3, ..Evidence::default() }).index, Some(1.0));
}

#[test]
fn no_data_no_health() {
    let health = of(&Evidence::default());
    assert_eq!((health.index, health.flags), (None, vec![HealthFlag::NoData]));
}

#[test]
fn drivers_add_up_to_what_is_missing_and_the_heaviest_is_first() {
    let health = of(&Evidence {
        anomalies: vec![anomaly("temp", 0, Severity::High), anomaly("temp", 72, Severity::High), anomaly("flow", 1, Severity::Low)],
        trends: vec![rising("temp", 1.0, 5.0, 0.001)],
        vibration: vec![point(3.0)],
        observed_signals: 3,
    });
    let index = health.index.unwrap();
    assert!((health.drivers.iter().map(|d| d.share).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!((health.drivers.iter().map(|d| d.lost).sum::<f64>() - (1.0 - index)).abs() < 1e-12);
    assert!(health.drivers.windows(2).all(|w| w[0].share >= w[1].share));
    assert_eq!(health.vibration_zone, Some(Zone::C));
    // 5 units at 1 a day: 120 h of 720.
    assert_eq!((health.drivers[0].kind, health.drivers[0].name.as_str()), (DriverKind::Trend, "temp"));
    assert!(health.drivers[0].detail.contains("120 h"));
}

#[test]
fn an_anomaly_weighs_half_after_its_half_life() {
    let lost = |hours| 1.0 - of(&Evidence { anomalies: vec![anomaly("a", hours, Severity::High)], ..Evidence::default() }).index.unwrap();
    assert!((lost(0) - 0.15).abs() < 1e-12 && (lost(72) - 0.075).abs() < 1e-12);
}

#[test]
fn a_detector_that_chatters_does_not_condemn_the_machine() {
    let many = vec![anomaly("a", 0, Severity::Critical); 1_000];
    assert!((of(&Evidence { anomalies: many, ..Evidence::default() }).index.unwrap() - 0.4).abs() < 1e-12);
}

#[test]
fn trends_that_lead_away_or_prove_nothing_do_not_count() {
    for trend in [rising("t", -1.0, 5.0, 0.001), rising("t", 1.0, 5.0, 0.2), rising("t", 0.001, 5.0, 0.001)] {
        assert_eq!(of(&Evidence { trends: vec![trend], observed_signals: 1, ..Evidence::default() }).index, Some(1.0));
    }
    let passed = of(&Evidence { trends: vec![rising("t", 0.0, 11.0, 1.0)], ..Evidence::default() });
    assert!((passed.index.unwrap() - 0.4).abs() < 1e-12);
}

#[test]
fn vibration_follows_the_zones_without_a_step() {
    let lost = |v| 1.0 - of(&Evidence { vibration: vec![point(v)], ..Evidence::default() }).index.unwrap();
    for (v, wanted) in [(0.0, 0.0), (1.4, 0.05), (2.8, 0.25), (4.5, 0.6), (6.75, 0.9), (500.0, 0.9)] {
        assert!((lost(v) - wanted).abs() < 1e-12, "{v}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let field = |e: Evidence, s: HealthSettings| health(&e, &s, NOW).unwrap_err()[0].field.clone();
    let good = HealthSettings::default;
    assert_eq!(field(Evidence { trends: vec![rising("t", f64::NAN, 1.0, 0.1)], ..Evidence::default() }, good()), "trends[0]");
    assert_eq!(field(Evidence { vibration: vec![point(-1.0)], ..Evidence::default() }, good()), "velocity_rms_mm_s");
    assert_eq!(field(Evidence::default(), HealthSettings { anomaly_half_life_h: 0.0, ..good() }), "anomaly_half_life_h");
    let future = health(&Evidence { anomalies: vec![anomaly("a", -5, Severity::Low)], ..Evidence::default() }, &good(), NOW).unwrap();
    assert_eq!(future.flags, [HealthFlag::FutureAnomalies]);
}

proptest! {
    #[test]
    fn more_evidence_never_raises_the_index(
        list in prop::collection::vec((0_i64..500, 0_usize..4, prop::sample::select(vec!["a", "b", "c"])), 1..30),
        v in 0.0..20.0_f64,
    ) {
        let anomalies: Vec<SeenAnomaly> = list
            .iter()
            .map(|(ago, s, name)| anomaly(name, *ago, [Severity::Low, Severity::Medium, Severity::High, Severity::Critical][*s]))
            .collect();
        let all = of(&Evidence { anomalies: anomalies.clone(), vibration: vec![point(v)], ..Evidence::default() });
        let fewer = of(&Evidence { anomalies: anomalies[1..].to_vec(), vibration: vec![point(v)], ..Evidence::default() });
        prop_assert!((0.0..=1.0).contains(&all.index.unwrap()) && all.index.unwrap() <= fewer.index.unwrap() + 1e-12);
        let mut back = anomalies;
        back.reverse();
        prop_assert_eq!(all, of(&Evidence { anomalies: back, vibration: vec![point(v)], ..Evidence::default() }));
    }
}
