//! A model of remaining useful life, what it was learned from, and what it answers.
//!
//! Stands after [`super::train`]: a [`Model`] is a value that can be stored as JSON and gives the same answers when it is read back. Its
//! [`Card`] says which model it is, and how wrong it was on machines it had not seen; each [`Prediction`] carries that error with it.
//!
//! Drivers are Shapley values of the trees, summed by signal. What a feature of the health index adds is shared among the sensors by
//! what each
//! of them adds to the index just now, since the index is their weighted sum. Drivers and base add up to the prediction before it is
//! bounded
//! to 0 .. cap.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    RulError,
    band::Bands,
    boost::Boosters,
    features::{Pipeline, Source, Tracker},
    history::{Row, Signals},
};

/// The layout of stored models; another one is refused.
pub const FORMAT: u32 = 1;
/// Rows a unit must have shown before its prediction goes without a flag.
pub const SHORT_HISTORY: usize = 15;
/// A stored model is at most this large.
pub const MOST_BYTES: usize = 256 << 20;

/// How wrong the model was on machines that it had not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeldBack {
    /// Units that were held back, each once.
    pub units: usize,
    /// Moments at which they were asked about: seeded, up to a fifth before the cap.
    pub predictions: usize,
    /// Against the true remaining life, not capped.
    pub rmse: f64,
    /// Against the true remaining life capped as the labels are.
    pub rmse_capped: f64,
    /// The PHM score of one prediction on average.
    pub phm_each: f64,
    /// What always saying the mean would have been wrong by.
    pub rmse_of_mean: f64,
    /// The share of true lives within their interval.
    pub coverage: Option<f64>,
}

/// Which model this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Card {
    /// Hash of data and settings: the same histories and settings have the same id.
    pub id: String,
    pub format: u32,
    #[schema(value_type = String, format = DateTime)]
    pub trained_at: Timestamp,
    pub units: usize,
    pub rows: usize,
    pub features: usize,
    /// Operating conditions that were found.
    pub conditions: usize,
    /// What labels were capped at; no prediction is above.
    pub cap: f64,
    /// Trees of each booster, chosen on held-back units.
    pub trees: usize,
    pub seed: u64,
    pub held_back: HeldBack,
}

/// What a signal adds to a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Driver {
    /// A sensor's name, or `age`.
    pub signal: String,
    /// Cycles or hours that it adds; negative: it shortens the predicted life.
    pub adds: f64,
    /// The smoothed sensor in standard deviations from what is normal in its operating condition; none for the age.
    pub deviation: Option<f64>,
}

/// What to know beside a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Flag {
    /// The prediction is near the cap: the machine lives at least so long, perhaps much longer.
    Healthy,
    /// The unit has shown few rows.
    ShortHistory,
    /// No unit was trained in operating conditions like these.
    UnknownCondition,
    /// A sensor the model uses said nothing; its latest values were used.
    SilentSensor { signal: String },
}

/// The remaining useful life of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Prediction {
    /// The model's [`Card::id`].
    pub model: String,
    /// When, in cycles or hours of the unit.
    pub at: f64,
    /// Cycles or hours left.
    pub rul: f64,
    pub lower: f64,
    pub upper: f64,
    /// The share of true lives that intervals like this one hold.
    pub interval: f64,
    /// The model's error on held-back machines (RMSE, not capped).
    pub rmse_held_back: f64,
    /// The prediction of a machine that nothing is known of; drivers are added to it.
    pub base: f64,
    /// Signals by the size of what they add.
    pub drivers: Vec<Driver>,
    pub flags: Vec<Flag>,
}

/// A trained model.
#[derive(Debug, Serialize, Deserialize)]
pub struct Model {
    pub card: Card,
    pub(super) pipeline: Pipeline,
    pub(super) boosters: Boosters,
    pub(super) bands: Bands,
    pub(super) interval: f64,
}

impl Model {
    /// The signals a row must have, in their order.
    pub fn signals(&self) -> &Signals {
        &self.pipeline.signals
    }

    /// The names of the features.
    pub fn features(&self) -> Vec<String> {
        self.pipeline.features().into_iter().map(|f| f.name).collect()
    }

    /// A unit's state before its first row.
    pub fn tracker(&self) -> Tracker {
        self.pipeline.tracker()
    }

    /// Takes in a unit's next row.
    pub fn push(&self, tracker: &mut Tracker, row: &Row) -> Result<(), RulError> {
        tracker.push(&self.pipeline, row)
    }

    /// The remaining life after the tracker's latest row.
    pub fn predict(&self, tracker: &Tracker) -> Result<Prediction, RulError> {
        let Some(at) = tracker.at else {
            return Err(RulError::Malformed { unit: "the unit".into(), row: 0, problem: "it has no rows yet: push one".into() });
        };
        let features = tracker.features();
        if features.len() != self.card.features {
            return Err(RulError::Model("the unit was tracked with another model: push its rows anew".into()));
        }
        let rul = self.boosters.answer(&[features.to_vec()]).first().copied().unwrap_or(0.0).clamp(0.0, self.card.cap);
        let (lower, upper) = self.bands.around(rul);
        let (drivers, base) = self.drivers(tracker);
        let mut flags = Vec::new();
        if rul >= 0.9 * self.card.cap {
            flags.push(Flag::Healthy);
        }
        if tracker.rows < SHORT_HISTORY {
            flags.push(Flag::ShortHistory);
        }
        if !tracker.is_known_condition {
            flags.push(Flag::UnknownCondition);
        }
        flags.extend(tracker.silent.iter().map(|&s| Flag::SilentSensor { signal: self.pipeline.signals.sensors[s].clone() }));
        Ok(Prediction {
            model: self.card.id.clone(),
            at,
            rul,
            lower,
            upper,
            interval: self.interval,
            rmse_held_back: self.card.held_back.rmse,
            base,
            drivers,
            flags,
        })
    }

    /// The remaining life after the last of `rows`, a unit's history from its beginning.
    pub fn predict_history(&self, rows: &[Row]) -> Result<Prediction, RulError> {
        let mut tracker = self.tracker();
        rows.iter().try_for_each(|row| self.push(&mut tracker, row))?;
        self.predict(&tracker)
    }

    fn drivers(&self, tracker: &Tracker) -> (Vec<Driver>, f64) {
        let (parts, base) = self.boosters.contributions(tracker.features());
        let smoothed = tracker.smoothed();
        let mut adds = vec![0.0; self.pipeline.used.len()];
        let (mut of_index, mut of_age) = (0.0, 0.0);
        for (feature, part) in self.pipeline.features().iter().zip(parts) {
            match feature.source {
                Source::Sensor(sensor) => {
                    if let Some(place) = self.pipeline.used.iter().position(|&s| s == sensor) {
                        adds[place] += part;
                    }
                }
                Source::Index => of_index += part,
                Source::Age => of_age += part,
            }
        }
        // Only what moves the index the way it went has a share in what it adds.
        let moves: Vec<f64> = self.pipeline.weights.iter().zip(&smoothed).map(|(w, z)| w * z.unwrap_or(0.0)).collect();
        let same: Vec<f64> = moves.iter().map(|&m| if m * of_index > 0.0 { m.abs() } else { 0.0 }).collect();
        let all: f64 = same.iter().sum();
        for (add, share) in adds.iter_mut().zip(&same) {
            *add += if all > 0.0 { of_index * share / all } else { of_index / same.len() as f64 };
        }
        let mut drivers: Vec<Driver> = self
            .pipeline
            .used
            .iter()
            .zip(adds)
            .zip(smoothed)
            .map(|((&s, adds), deviation)| Driver { signal: self.pipeline.signals.sensors[s].clone(), adds, deviation })
            .collect();
        drivers.push(Driver { signal: "age".into(), adds: of_age, deviation: None });
        drivers.sort_by(|a, b| b.adds.abs().total_cmp(&a.adds.abs()));
        (drivers, base)
    }

    /// The model as JSON.
    pub fn to_json(&self) -> Result<String, RulError> {
        serde_json::to_string(self).map_err(|e| RulError::Model(format!("it can't be written: {e}")))
    }

    /// Reads a model that [`Model::to_json`] wrote; refuses another format, and trees that lead nowhere.
    pub fn from_json(text: &str) -> Result<Self, RulError> {
        if text.len() > MOST_BYTES {
            return Err(RulError::TooLarge { what: "bytes of a stored model", most: MOST_BYTES });
        }
        let model: Self = serde_json::from_str(text).map_err(|e| RulError::Model(format!("it can't be read: {e}; train it anew")))?;
        if model.card.format != FORMAT {
            let problem = format!("it has format {}, and this program reads {FORMAT}: train it anew", model.card.format);
            return Err(RulError::Model(problem));
        }
        let features = model.pipeline.features().len();
        if features != model.card.features || !model.boosters.is_sound(features) {
            return Err(RulError::Model("its trees do not fit its features: train it anew".into()));
        }
        Ok(model)
    }
}
