//! The classifier of failure risk, on machining made up by seed: it fails where power or strain is too much.

use jiff::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::rul::{
    RulError,
    risk::{
        Alarms, Observations, RiskModel, RiskSettings,
        physics::{FEATURES, Machining},
        stratified,
    },
};

fn machining(rows: usize, seed: u64) -> Observations {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut made = Observations { signals: FEATURES.map(str::to_owned).to_vec(), ..Observations::default() };
    for _ in 0..rows {
        let one = Machining {
            grade: f64::from(rng.random_range(0..3)),
            air: rng.random_range(296.0..304.0),
            process: rng.random_range(306.0..314.0),
            speed: rng.random_range(1_200.0..2_200.0),
            torque: rng.random_range(15.0..65.0),
            wear: rng.random_range(0.0..240.0),
        };
        let features = one.features();
        made.rows.push(features.into_iter().map(Some).collect());
        made.failed.push(features[7] > 11_000.0 || features[8] > 13_000.0);
    }
    made
}

fn quick() -> RiskSettings {
    let mut settings = RiskSettings { folds: 3, ..RiskSettings::default() };
    (settings.growth.trees, settings.growth.boosters) = (60, 1);
    settings
}

fn train(observations: &Observations) -> Result<RiskModel, RulError> {
    RiskModel::train(observations, &quick(), Timestamp::UNIX_EPOCH)
}

#[test]
fn features_of_machining_are_those_of_physics() {
    let one = Machining { grade: 1.0, air: 298.1, process: 308.6, speed: 1_551.0, torque: 42.8, wear: 10.0 }.features();
    assert!((one[6] - 10.5).abs() < 1e-9);
    // 42.8 Nm x 1551 / 60 x 2 pi = 6951.59 W.
    assert!((one[7] - 6_951.59).abs() < 0.01, "{}", one[7]);
    assert!((one[8] - 428.0).abs() < 1e-9);
}

#[test]
fn failures_are_foreseen_in_rows_that_were_not_learned_from() {
    let model = train(&machining(2_000, 1)).unwrap();
    assert!(model.card.held_back.f1 > 0.9, "{:?}", model.card);
    let fresh = machining(1_000, 2);
    let pairs: Vec<(bool, bool)> = fresh.rows.iter().zip(&fresh.failed).map(|(r, f)| (model.predict(r).unwrap().is_alarm, *f)).collect();
    assert!(Alarms::count(pairs).f1 > 0.9);
}

#[test]
fn the_cause_of_a_risk_is_its_first_driver() {
    let model = train(&machining(2_000, 1)).unwrap();
    let at = |speed, torque, wear| {
        let row = Machining { grade: 1.0, air: 300.0, process: 310.0, speed, torque, wear }.features().map(Some);
        model.predict(&row).unwrap()
    };
    let (power, strain, well) = (at(2_150.0, 60.0, 20.0), at(1_300.0, 63.0, 235.0), at(1_500.0, 30.0, 20.0));
    assert!(power.is_alarm && power.drivers[0].signal == "power" && power.drivers[0].adds > 1.0, "{power:?}");
    assert!(strain.is_alarm && strain.drivers[0].signal == "strain", "{strain:?}");
    assert!(!well.is_alarm && well.probability < 0.1, "{well:?}");
}

#[test]
fn folds_share_the_failures_evenly() {
    let failed: Vec<bool> = (0..100).map(|i| i % 10 == 0).collect();
    let dealt = stratified(&failed, 5, 1);
    for fold in 0..5 {
        assert_eq!((0..100).filter(|&i| dealt[i] == fold && failed[i]).count(), 2);
        assert_eq!((0..100).filter(|&i| dealt[i] == fold).count(), 20);
    }
}

#[test]
fn alarms_are_counted_as_by_hand() {
    let pairs = [(true, true), (true, true), (true, true), (true, false), (false, true), (false, true), (false, false)];
    let alarms = Alarms::count(pairs);
    assert_eq!((alarms.right, alarms.false_alarms, alarms.missed), (3, 1, 2));
    assert!((alarms.precision - 0.75).abs() < 1e-12 && (alarms.recall - 0.6).abs() < 1e-12 && (alarms.f1 - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(Alarms::count([(false, false)]).f1, 0.0);
}

#[test]
fn a_stored_classifier_answers_the_same_and_the_seed_decides() {
    let observations = machining(800, 1);
    let (model, again) = (train(&observations).unwrap(), train(&observations).unwrap());
    let text = model.to_json().unwrap();
    assert_eq!(text, again.to_json().unwrap());
    let back = RiskModel::from_json(&text).unwrap();
    let row = &machining(1, 9).rows[0];
    assert_eq!(model.predict(row).unwrap(), back.predict(row).unwrap());
}

#[test]
fn few_failures_or_malformed_rows_give_no_model() {
    let mut observations = machining(400, 1);
    let mut none = observations.clone();
    none.failed.fill(false);
    assert_eq!(train(&none).unwrap_err(), RulError::FewHistories { units: 0, least: 20 });
    observations.rows[17][3] = Some(f64::NAN);
    assert_eq!(train(&observations).unwrap_err().to_string(), "observations: row 17: speed is no finite number: give one, or nothing");
    observations.rows[17].truncate(2);
    assert!(train(&observations).unwrap_err().to_string().contains("it has 2 values for 9 signals"));
    observations.failed.pop();
    assert!(train(&observations).unwrap_err().to_string().contains("400 rows have 399 labels"));
}

#[test]
fn a_missing_value_is_lived_with() {
    let mut observations = machining(1_000, 1);
    observations.rows.iter_mut().step_by(5).for_each(|r| r[0] = None);
    let model = train(&observations).unwrap();
    let mut row = observations.rows[1].clone();
    row[7] = None;
    let risk = model.predict(&row).unwrap();
    assert!((0.0..=1.0).contains(&risk.probability) && risk.drivers.iter().all(|d| d.adds.is_finite()));
    assert!(model.predict(&row[..3]).is_err());
}
