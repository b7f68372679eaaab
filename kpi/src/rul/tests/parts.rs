//! The parts that a model is made of: scores, bands, conditions, least squares.

use proptest::prelude::*;

use super::fleet::fleet;
use crate::rul::{
    Fleet, Row, RulError, Signals, Unit,
    band::{Bands, Held},
    condition::Conditions,
    phm, score,
    straight::Straight,
};

#[test]
fn the_phm_score_is_as_computed_by_hand() {
    // d = -13: e - 1; d = 10: e - 1; d = 0: 0. Ten cycles too late cost more than ten too early.
    assert!((phm(0.0, 13.0) - 1.718_281_828).abs() < 1e-9);
    assert!((phm(30.0, 20.0) - 1.718_281_828).abs() < 1e-9);
    assert_eq!(phm(20.0, 20.0), 0.0);
    assert!((phm(10.0, 20.0) - 1.1581055339).abs() < 1e-9);
    let both = score(&[(0.0, 13.0), (30.0, 20.0), (20.0, 20.0)]).unwrap();
    assert!((both.phm - 3.436_563_657).abs() < 1e-9);
    assert!((both.rmse - ((169.0_f64 + 100.0) / 3.0).sqrt()).abs() < 1e-12);
    assert_eq!(both.predictions, 3);
}

#[test]
fn a_score_of_nothing_or_of_no_number_is_none() {
    assert_eq!(score(&[]), None);
    assert_eq!(score(&[(f64::NAN, 1.0)]), None);
    assert_eq!(score(&[(1.0, f64::INFINITY)]), None);
    assert!(phm(1e9, 0.0).is_finite());
}

fn six_conditions(unit_rows: usize) -> Vec<Row> {
    let centres = [[0.0, 100.0], [10.0, 100.0], [20.0, 100.0], [25.0, 60.0], [35.0, 100.0], [42.0, 100.0]];
    let jitter = |i: usize| (i as f64 * 0.618).fract() * 0.004;
    (0..unit_rows)
        .map(|i| {
            let c = i % 6;
            Row {
                at: i as f64,
                settings: centres[c].iter().map(|s| s + jitter(i)).collect(),
                sensors: vec![Some(1_000.0 * c as f64 + 10.0 * jitter(i)), Some(3.0 * c as f64)],
            }
        })
        .collect()
}

#[test]
fn six_conditions_are_six_and_values_are_normal_in_their_own() {
    let rows = six_conditions(1_200);
    let rows: Vec<&Row> = rows.iter().collect();
    let found = Conditions::find(&rows, 1).unwrap();
    assert_eq!(found.count(), 6);
    assert_eq!(found.varying(), [0], "a sensor that only tells conditions apart says nothing");
    let z: Vec<f64> = rows.iter().map(|r| found.normal(found.of(r).0, 0, r.sensors[0].unwrap()).unwrap()).collect();
    let (mean, square) = (z.iter().sum::<f64>() / 1_200.0, z.iter().map(|z| z * z).sum::<f64>() / 1_200.0);
    assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6, "{mean} {square}");
    assert!(rows.iter().all(|r| found.of(r).1));
    assert!(!found.of(&Row { settings: vec![500.0, 100.0], ..rows[0].clone() }).1);
    assert_eq!(found, Conditions::find(&rows, 1).unwrap());
}

#[test]
fn without_settings_there_is_one_condition() {
    let mut rows = six_conditions(60);
    rows.iter_mut().for_each(|r| r.settings.clear());
    assert_eq!(Conditions::find(&rows.iter().collect::<Vec<_>>(), 1).unwrap().count(), 1);
    rows.iter_mut().for_each(|r| r.settings = vec![5.0]);
    assert_eq!(Conditions::find(&rows.iter().collect::<Vec<_>>(), 1).unwrap().count(), 1);
}

fn line_fleet() -> Fleet {
    // Two sensors: the first is 50 - 2 * left, the second is noise by hand. Life left is 9, 8, ... 0.
    let rows = (0..10)
        .map(|i| Row {
            at: f64::from(i),
            settings: vec![],
            sensors: vec![
                Some(50.0 - 2.0 * f64::from(9 - i)),
                Some([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0][i as usize]),
                Some(7.0),
            ],
        })
        .collect();
    let unit = Unit { id: "1".into(), rows, failed_at: None };
    Fleet { signals: Signals { settings: vec![], sensors: vec!["a".into(), "b".into(), "still".into()] }, units: vec![unit] }
}

#[test]
fn least_squares_finds_the_line_the_labels_lie_on() {
    let fleet = line_fleet();
    let line = Straight::fit(&fleet, &[0, 1], None).unwrap();
    for (i, row) in fleet.units[0].rows.iter().enumerate() {
        assert!((line.answer(row).unwrap() - (9 - i) as f64).abs() < 1e-9);
    }
}

#[test]
fn least_squares_on_capped_labels_is_as_computed_by_hand() {
    // Labels capped at 4: 4 4 4 4 4 4 3 2 1 0 against x = 0 .. 9 (sensor = 32 + 2x). Mean label 3, mean x 4.5, sum of squares of x 82.5,
    // sum of products -35: slope -35 / 82.5 = -0.4242424 by x.
    let fleet = line_fleet();
    let line = Straight::fit(&fleet, &[0], Some(4.0)).unwrap();
    for (x, row) in fleet.units[0].rows.iter().enumerate() {
        let by_hand = 3.0 - 35.0 / 82.5 * (x as f64 - 4.5);
        assert!((line.answer(row).unwrap() - by_hand).abs() < 1e-9);
    }
}

#[test]
fn least_squares_refuses_what_has_no_answer() {
    let mut fleet = line_fleet();
    assert!(matches!(Straight::fit(&fleet, &[0, 2], None), Err(RulError::Training(_))), "a constant sensor");
    assert!(matches!(Straight::fit(&fleet, &[5], None), Err(RulError::Settings(_))));
    assert!(matches!(Straight::fit(&fleet, &[], None), Err(RulError::Settings(_))));
    fleet.units[0].rows[3].sensors[0] = None;
    assert!(matches!(Straight::fit(&fleet, &[0], None), Err(RulError::Malformed { .. })));
}

#[test]
fn bands_are_narrow_where_errors_are_small() {
    // Errors of up to a tenth of the prediction, both ways.
    let held: Vec<Held> = (0..2_000)
        .map(|i| {
            let predicted = f64::from(i % 100);
            let truth = predicted * (1.0 + 0.1 * f64::from(i % 7 - 3) / 3.0);
            Held { unit: (i / 100) as usize, fold: (i / 100 % 5) as usize, predicted, truth }
        })
        .collect();
    let bands = Bands::of(&held, 0.9);
    let (low, high) = bands.around(20.0);
    assert!(high - low < 7.0 && low < 20.0 && high > 20.0);
    let (low, high) = bands.around(95.0);
    assert!(high - low > 12.0);
    let coverage = Bands::coverage(&held, 0.9).unwrap();
    assert!((0.85..=1.0).contains(&coverage), "{coverage}");
    assert_eq!(Bands::coverage(&held[..100], 0.9), None, "one fold can't be asked of others");
}

#[test]
fn a_fleet_of_no_rows_or_settings_it_did_not_name_is_refused() {
    let mut fleet = fleet(10, 1, 1);
    fleet.signals.settings.pop();
    assert!(fleet.check().unwrap_err().to_string().contains("it has 2 settings, and the fleet names 1"));
    fleet.signals.sensors.clear();
    assert!(fleet.check().unwrap_err().to_string().contains("names no sensor"));
}

proptest! {
    #[test]
    fn an_interval_holds_its_prediction_and_is_never_below_nothing(
        pairs in prop::collection::vec((0.0..125.0_f64, 0.0..300.0_f64), 1..400), asked in 0.0..125.0_f64, coverage in 0.5..0.99_f64
    ) {
        let held: Vec<Held> =
            pairs.iter().enumerate().map(|(i, &(predicted, truth))| Held { unit: i / 7, fold: i / 7 % 3, predicted, truth }).collect();
        let (low, high) = Bands::of(&held, coverage).around(asked);
        prop_assert!((0.0..=asked).contains(&low) && high >= asked && high.is_finite());
    }

    #[test]
    fn a_score_is_the_same_in_any_order_and_grows_with_the_error(mut pairs in prop::collection::vec((0.0..125.0_f64, 0.0..150.0_f64), 1..50)) {
        let before = score(&pairs).unwrap();
        pairs.reverse();
        let after = score(&pairs).unwrap();
        prop_assert!((before.phm - after.phm).abs() <= 1e-9 * before.phm && (before.rmse - after.rmse).abs() < 1e-9);
        pairs[0].0 = pairs[0].1 + (pairs[0].0 - pairs[0].1) * 2.0;
        prop_assert!(score(&pairs).unwrap().phm >= after.phm * (1.0 - 1e-9));
    }
}
