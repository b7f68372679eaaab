//! Each detector on the excursion it is for, and on the noise it must not report.

use proptest::prelude::*;

use super::*;

const S: i64 = 1_000_000;

fn detector(kind: Kind, cool_down: u64) -> Detector {
    Detector {
        name: "d".into(),
        assets: "*".into(),
        signal: "*".into(),
        severity: Severity::High,
        cool_down: Duration::from_secs(cool_down),
        kind,
    }
}

/// Feeds readings one second apart; gives the seconds at which an anomaly was raised.
fn run(detector: &Detector, values: impl IntoIterator<Item = f64>) -> Vec<(usize, Finding)> {
    let mut state = State::new(detector);
    let look =
        |(i, value): (usize, f64)| state.look(detector, Timestamp::from_micros(i64::try_from(i).unwrap() * S), value).map(|f| (i, f));
    values.into_iter().enumerate().filter_map(look).collect()
}

fn seconds(found: &[(usize, Finding)]) -> Vec<usize> {
    found.iter().map(|(i, _)| *i).collect()
}

/// Seeded noise in -1..1 without a dependency.
fn noise(n: usize) -> impl Iterator<Item = f64> {
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    (0..n).map(move |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    })
}

const HIGH: Kind = Kind::Limits { low: Some(0.0), high: Some(10.0), hysteresis: 2.0 };

#[test]
fn one_excursion_over_a_limit_gives_one_anomaly() {
    let found = run(&detector(HIGH, 0), [5.0, 11.0, 12.0, 9.0, 11.0, 8.0, 11.0, -1.0, -2.0, 5.0]);
    assert_eq!(seconds(&found), [1, 6, 7], "9 is within the hysteresis; 8 ends the first, and the far side begins one of its own");
    assert_eq!((found[0].1.kind, found[2].1.kind), (AnomalyKind::LimitHigh, AnomalyKind::LimitLow));
    assert_eq!(found[0].1.message("t", "Cel", 11.0), "t is 11 Cel, above the limit of 10 Cel");
}

#[test]
fn the_cool_down_holds_on_event_time_in_either_direction() {
    let values: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 5.0 } else { 11.0 }).collect();
    assert_eq!(seconds(&run(&detector(HIGH, 10), values)), [1, 11, 21, 31]);
    let detector = detector(HIGH, 60);
    let mut state = State::new(&detector);
    assert!(state.look(&detector, Timestamp::from_micros(7_200 * S), 11.0).is_some());
    assert!(state.look(&detector, Timestamp::from_micros(0), 5.0).is_none());
    assert!(state.look(&detector, Timestamp::from_micros(S), 11.0).is_some(), "the clock was set back by two hours");
}

#[test]
fn a_jump_is_found_and_steady_change_is_not() {
    let detector = detector(Kind::RateOfChange { max_per_second: 2.0, min_interval: Duration::from_millis(100) }, 0);
    let mut values: Vec<f64> = (0..20).map(|i| f64::from(i) * 1.5).collect();
    values[10..].iter_mut().for_each(|v| *v += 50.0);
    let found = run(&detector, values);
    assert_eq!(seconds(&found), [10]);
    assert!((found[0].1.score - 51.5).abs() < 1e-9);
    let mut state = State::new(&detector);
    assert!(state.look(&detector, Timestamp::from_micros(0), 0.0).is_none());
    assert!(state.look(&detector, Timestamp::from_micros(1), 1.0).is_none(), "two readings in a microsecond are no rate");
    assert!(state.look(&detector, Timestamp::from_micros(-5), 1.0).is_none(), "nor is one that is out of order");
}

#[test]
fn ewma_finds_the_spike_and_the_new_level_once_each() {
    let detector = detector(Kind::Ewma { alpha: 0.02, threshold: 6.0, warm_up: 100, min_stddev: 0.0 }, 10);
    let mut values: Vec<f64> = noise(3_000).map(|n| 20.0 + n).collect();
    assert_eq!(seconds(&run(&detector, values.clone())), [0_usize; 0], "noise alone is normal");
    values[50] = 100.0;
    values[500] = 60.0;
    values[1_500..].iter_mut().for_each(|v| *v += 30.0);
    let found = run(&detector, values);
    assert_eq!(seconds(&found), [500, 1_500], "silent in the warm-up, once at the spike, once at the step");
    let message = found[0].1.message("v", "mm/s", 60.0);
    assert!(message.starts_with("v is 60 mm/s, ") && message.contains("from the usual 20"), "{message}");
}

#[test]
fn ewma_of_a_constant_signal_stays_quiet_until_it_moves() {
    let detector = detector(Kind::Ewma { alpha: 0.1, threshold: 5.0, warm_up: 10, min_stddev: 0.5 }, 0);
    let values = std::iter::repeat_n(0.1, 100).chain([1.0, 0.1, 9.0]);
    assert_eq!(seconds(&run(&detector, values)), [102], "1.0 is within five of the least standard deviation");
}

#[test]
fn a_flat_line_is_told_once_until_the_signal_moves() {
    let detector = detector(Kind::FlatLine { duration: Duration::from_secs(10), tolerance: 0.1 }, 0);
    let values = [1.0, 2.0].into_iter().chain(std::iter::repeat_n(3.0, 30)).chain([4.0]).chain(std::iter::repeat_n(5.0, 15));
    let found = run(&detector, values);
    assert_eq!(seconds(&found), [12, 43]);
    assert_eq!(found[0].1.message("t", "Cel", 3.0), "t has stood at 3 Cel for 10 s; at most 10 s is normal");
}

#[test]
fn patterns_match_as_shells_do() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("*", "a/b", true),
        ("a/*/c", "a/b/x/c", true),
        ("a/*/c", "a/b/x/d", false),
        ("press-*", "press-1", true),
        ("press", "press-1", false),
        ("", "x", false),
        ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(HIGH),
        Just(Kind::RateOfChange { max_per_second: 1.0, min_interval: Duration::from_millis(100) }),
        Just(Kind::Ewma { alpha: 0.1, threshold: 3.0, warm_up: 5, min_stddev: 0.0 }),
        Just(Kind::FlatLine { duration: Duration::from_secs(1), tolerance: 0.0 }),
    ]
}

proptest! {
    #[test]
    fn no_stamp_and_no_value_breaks_a_detector(kind in kinds(), points in prop::collection::vec((any::<i64>(), -1e100_f64..1e100), 0..100)) {
        let detector = detector(kind, 1);
        let mut state = State::new(&detector);
        for (at, value) in points {
            if let Some(finding) = state.look(&detector, Timestamp::from_micros(at), value) {
                prop_assert!(!finding.score.is_nan() && !finding.threshold.is_nan());
                prop_assert!(finding.message("s", "u", value).len() < 400);
            }
        }
    }
}
