//! The risk of failure: a classifier from one observation (a cycle, a window's summary) to a probability, learned from labelled ones.
//!
//! Rows are dealt to folds by label (stratified, seeded). The folds' answers to rows they had not seen choose how many trees there are, and
//! the threshold of the alarm: the one with the best F1. The F1 on the card is of thresholds that were chosen without the fold they are
//! applied to. Drivers are Shapley values, in log-odds.
//!
//! Invariants: the same observations, settings and seed give the same model; too few failures give none.

use jiff::Timestamp;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    RulError,
    boost::{Boosters, Goal, Growth, Table},
    history::MOST_SENSORS,
    model::{FORMAT, MOST_BYTES},
};

/// Observations that a model can be learned from at most.
pub const MOST_OBSERVATIONS: usize = 500_000;

/// Labelled observations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Observations {
    pub signals: Vec<String>,
    /// Values in the signals' order; `None` where there is none.
    pub rows: Vec<Vec<Option<f64>>>,
    /// Whether the machine failed in, or soon after, each row.
    pub failed: Vec<bool>,
}

impl Observations {
    fn check(&self) -> Result<(), RulError> {
        let bad = |row: usize, problem: String| Err(RulError::Malformed { unit: "observations".into(), row, problem });
        if self.signals.is_empty() {
            return bad(0, "they name no signal: name at least one".into());
        }
        if self.signals.len() > MOST_SENSORS {
            return Err(RulError::TooLarge { what: "signals", most: MOST_SENSORS });
        }
        if self.rows.len() > MOST_OBSERVATIONS {
            return Err(RulError::TooLarge { what: "observations", most: MOST_OBSERVATIONS });
        }
        if self.rows.len() != self.failed.len() {
            return bad(self.failed.len(), format!("{} rows have {} labels", self.rows.len(), self.failed.len()));
        }
        self.rows.iter().enumerate().try_for_each(|(i, row)| check_row(&self.signals, i, row))
    }

    fn pick(&self, rows: &[usize]) -> Table {
        Table {
            rows: rows.iter().map(|&i| features(&self.rows[i])).collect(),
            labels: rows.iter().map(|&i| f64::from(u8::from(self.failed[i]))).collect(),
        }
    }
}

fn check_row(signals: &[String], index: usize, row: &[Option<f64>]) -> Result<(), RulError> {
    let bad = |problem: String| Err(RulError::Malformed { unit: "observations".into(), row: index, problem });
    if row.len() != signals.len() {
        return bad(format!("it has {} values for {} signals", row.len(), signals.len()));
    }
    match signals.iter().zip(row).find(|(_, v)| v.is_some_and(|v| !v.is_finite())) {
        Some((name, _)) => bad(format!("{name} is no finite number: give one, or nothing")),
        None => Ok(()),
    }
}

/// The learner takes NaN for a missing value.
fn features(row: &[Option<f64>]) -> Vec<f64> {
    row.iter().map(|v| v.unwrap_or(f64::NAN)).collect()
}

/// How a classifier is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RiskSettings {
    /// With fewer failures there is no model.
    pub least_failures: usize,
    pub folds: usize,
    pub seed: u64,
    pub growth: Growth,
}

impl Default for RiskSettings {
    fn default() -> Self {
        Self {
            least_failures: 20,
            folds: 5,
            seed: 1,
            growth: Growth {
                trees: 300,
                learning_rate: 0.1,
                depth: 3,
                leaf_weight: 0.02,
                l2: 0.1,
                rows: 1.0,
                columns: 0.8,
                bins: 8_000,
                boosters: 3,
                threads: None,
            },
        }
    }
}

/// How good alarms were on rows that had been held back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alarms {
    pub right: usize,
    pub false_alarms: usize,
    pub missed: usize,
    /// 0 where there was no right alarm.
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

impl Alarms {
    /// Counts (alarm, failed) pairs.
    pub fn count(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let (mut right, mut false_alarms, mut missed) = (0, 0, 0);
        for (alarm, failed) in pairs {
            match (alarm, failed) {
                (true, true) => right += 1,
                (true, false) => false_alarms += 1,
                (false, true) => missed += 1,
                (false, false) => {}
            }
        }
        let share = |of: usize| if right + of == 0 { 0.0 } else { right as f64 / (right + of) as f64 };
        let (precision, recall) = (share(false_alarms), share(missed));
        let f1 = if right == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
        Self { right, false_alarms, missed, precision, recall, f1 }
    }
}

/// Which classifier this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RiskCard {
    pub id: String,
    pub format: u32,
    #[schema(value_type = String, format = DateTime)]
    pub trained_at: Timestamp,
    pub signals: Vec<String>,
    pub rows: usize,
    pub failures: usize,
    pub trees: usize,
    /// The probability from which on there is an alarm.
    pub threshold: f64,
    pub held_back: Alarms,
}

/// What a signal adds to the log-odds of failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RiskDriver {
    pub signal: String,
    /// Positive: it makes the failure more likely.
    pub adds: f64,
}

/// The risk of one observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Risk {
    pub model: String,
    pub probability: f64,
    pub threshold: f64,
    pub is_alarm: bool,
    pub f1_held_back: f64,
    /// Signals by the size of what they add.
    pub drivers: Vec<RiskDriver>,
}

/// A trained classifier.
#[derive(Debug, Serialize, Deserialize)]
pub struct RiskModel {
    pub card: RiskCard,
    boosters: Boosters,
}

impl RiskModel {
    /// Learns from `observations`. `trained_at` is only written on the card.
    pub fn train(observations: &Observations, settings: &RiskSettings, trained_at: Timestamp) -> Result<Self, RulError> {
        settings.growth.check()?;
        if !(2..=20).contains(&settings.folds) {
            return Err(RulError::Settings("folds: give 2 to 20".into()));
        }
        observations.check()?;
        let failures = observations.failed.iter().filter(|f| **f).count();
        let least = settings.least_failures.max(settings.folds);
        if failures < least || observations.failed.len() - failures < least {
            return Err(RulError::FewHistories { units: failures.min(observations.failed.len() - failures), least });
        }
        let (held, trees) = hold_back(observations, settings)?;
        let threshold = best_threshold(held.iter().map(|h| (h.probability, h.failed)).collect());
        let judged = held.iter().map(|h| h.fold).max().map_or(0, |f| f + 1);
        let mut pairs = Vec::with_capacity(held.len());
        for fold in 0..judged {
            let without = best_threshold(held.iter().filter(|h| h.fold != fold).map(|h| (h.probability, h.failed)).collect());
            pairs.extend(held.iter().filter(|h| h.fold == fold).map(|h| (h.probability >= without, h.failed)));
        }
        let all: Vec<usize> = (0..observations.rows.len()).collect();
        let growth = Growth { trees, ..settings.growth.clone() };
        let (boosters, _) = Boosters::grow(Goal::Odds, &observations.pick(&all), None, &growth, settings.seed)?;
        let mut hash = Sha256::new();
        hash.update(FORMAT.to_le_bytes());
        serde_json::to_writer(&mut hash, &(settings, observations)).map_err(|e| RulError::Model(format!("it can't be named: {e}")))?;
        Ok(Self {
            card: RiskCard {
                id: hex::encode(&hash.finalize()[..8]),
                format: FORMAT,
                trained_at,
                signals: observations.signals.clone(),
                rows: observations.rows.len(),
                failures,
                trees,
                threshold,
                held_back: Alarms::count(pairs),
            },
            boosters,
        })
    }

    /// The risk of one observation, its values in the order of the card's signals.
    pub fn predict(&self, row: &[Option<f64>]) -> Result<Risk, RulError> {
        check_row(&self.card.signals, 0, row)?;
        let values = features(row);
        let probability = self.boosters.answer(std::slice::from_ref(&values)).first().map_or(0.0, |&odds| logistic(odds));
        let (parts, _) = self.boosters.contributions(&values);
        let named = self.card.signals.iter().zip(parts);
        let mut drivers: Vec<RiskDriver> = named.map(|(s, adds)| RiskDriver { signal: s.clone(), adds }).collect();
        drivers.sort_by(|a, b| b.adds.abs().total_cmp(&a.adds.abs()));
        Ok(Risk {
            model: self.card.id.clone(),
            probability,
            threshold: self.card.threshold,
            is_alarm: probability >= self.card.threshold,
            f1_held_back: self.card.held_back.f1,
            drivers,
        })
    }

    /// The model as JSON.
    pub fn to_json(&self) -> Result<String, RulError> {
        serde_json::to_string(self).map_err(|e| RulError::Model(format!("it can't be written: {e}")))
    }

    /// Reads a model that [`RiskModel::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, RulError> {
        if text.len() > MOST_BYTES {
            return Err(RulError::TooLarge { what: "bytes of a stored model", most: MOST_BYTES });
        }
        let model: Self = serde_json::from_str(text).map_err(|e| RulError::Model(format!("it can't be read: {e}; train it anew")))?;
        if model.card.format != FORMAT || !model.boosters.is_sound(model.card.signals.len()) {
            return Err(RulError::Model("it has another format, or its trees do not fit its signals: train it anew".into()));
        }
        Ok(model)
    }
}

fn logistic(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// Which fold each row is in: each fold has its share of the failures.
pub fn stratified(failed: &[bool], folds: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut dealt = vec![0; failed.len()];
    for label in [true, false] {
        let mut rows: Vec<usize> = (0..failed.len()).filter(|&i| failed[i] == label).collect();
        rows.shuffle(&mut rng);
        rows.iter().enumerate().for_each(|(place, &row)| dealt[row] = place % folds.max(1));
    }
    dealt
}

/// A row that was held back: what the model learned without it said, and what came.
struct Asked {
    fold: usize,
    probability: f64,
    failed: bool,
}

/// Each row by what was learned without its fold, and how many trees were best.
fn hold_back(observations: &Observations, settings: &RiskSettings) -> Result<(Vec<Asked>, usize), RulError> {
    let dealt = stratified(&observations.failed, settings.folds, settings.seed);
    let mut curve = vec![0.0; settings.growth.trees];
    let mut runs = Vec::new();
    for fold in 0..settings.folds {
        let (held, known): (Vec<usize>, Vec<usize>) = (0..dealt.len()).partition(|&i| dealt[i] == fold);
        let held = observations.pick(&held);
        let (boosters, errors) = Boosters::grow(Goal::Odds, &observations.pick(&known), Some(&held), &settings.growth, settings.seed)?;
        curve.iter_mut().zip(&errors).for_each(|(sum, e)| *sum += e);
        runs.push((fold, held, boosters));
    }
    let trees = curve.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map_or(settings.growth.trees, |(i, _)| i + 1);
    let mut answers = Vec::with_capacity(dealt.len());
    for (fold, held, mut boosters) in runs {
        boosters.cut(trees);
        let odds = boosters.answer(&held.rows);
        let asked = odds.iter().zip(&held.labels).map(|(&odds, &label)| Asked { fold, probability: logistic(odds), failed: label > 0.5 });
        answers.extend(asked);
    }
    Ok((answers, trees))
}

/// The probability from which on alarms have the best F1: in the middle between the last that is one and the first that is none.
fn best_threshold(mut answers: Vec<(f64, bool)>) -> f64 {
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let failures = answers.iter().filter(|a| a.1).count() as f64;
    let (mut best, mut right) = ((0.0, 0.5), 0.0);
    for (place, (probability, failed)) in answers.iter().enumerate() {
        right += if *failed { 1.0 } else { 0.0 };
        let next = answers.get(place + 1).map_or(0.0, |a| a.0);
        let f1 = 2.0 * right / (place as f64 + 1.0 + failures);
        if next < *probability && f1 > best.0 {
            best = (f1, (probability + next) / 2.0);
        }
    }
    best.1
}

/// Features of machining by physics, from what a spindle is measured by.
pub mod physics {
    /// One observation of a machine that cuts.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Machining {
        /// The grade of the product: 0, 1, 2 and so on, better with the number.
        pub grade: f64,
        /// Kelvin.
        pub air: f64,
        /// Kelvin.
        pub process: f64,
        /// Revolutions a minute.
        pub speed: f64,
        /// Newton metres.
        pub torque: f64,
        /// Minutes that the tool has cut.
        pub wear: f64,
    }

    /// The names of [`Machining::features`].
    pub const FEATURES: [&str; 9] = ["grade", "air", "process", "speed", "torque", "wear", "temperature difference", "power", "strain"];

    impl Machining {
        /// What is measured, and: process - air (K; how well heat is carried off), torque x angular speed (W), wear x torque (min Nm).
        pub fn features(&self) -> [f64; 9] {
            let power = self.torque * self.speed * std::f64::consts::TAU / 60.0;
            let Self { grade, air, process, speed, torque, wear } = *self;
            [grade, air, process, speed, torque, wear, process - air, power, wear * torque]
        }
    }
}
