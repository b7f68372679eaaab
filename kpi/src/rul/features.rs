//! Features of a unit's history, computed as its rows arrive.
//!
//! Stands between the normalised sensors ([`super::condition`]) and the learner. Batch and live are the same code: a history's features are
//! those of a [`Tracker`] that was given its rows one after another, so a feature can't know what came later.
//!
//! For each sensor that varies (in standard deviations from what is normal in its condition): exponentially weighted means over several
//! spans, and, over the latest rows, mean, standard deviation and slope, and the difference to the unit's own beginning. The same of the
//! health index: the sensors' weighted sum that is nearest to the remaining life (ridge regression on the training units). Last the age.
//!
//! Invariant: a tracker's memory is bounded by the longest window, whatever the length of the history.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use smartcore::{
    linalg::basic::{arrays::Array, matrix::DenseMatrix},
    linear::ridge_regression::{RidgeRegression, RidgeRegressionParameters},
};
use utoipa::ToSchema;

use super::{
    RulError,
    condition::Conditions,
    history::{Row, Signals, Unit},
};

/// What is computed of one series (a sensor, or the health index). Spans and windows are counted in rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shape {
    /// Spans of exponentially weighted means: a value's weight falls to 1/e in that many rows.
    pub spans: Vec<f64>,
    /// Windows over the latest rows.
    pub windows: Vec<usize>,
    /// Rows at the unit's beginning that it is compared with; 0: no such feature.
    pub beginning: usize,
}

impl Shape {
    /// Fewest and most that spans and windows can be.
    pub fn check(&self) -> Result<(), RulError> {
        let fits = !self.spans.is_empty()
            && self.spans.len() <= 8
            && self.windows.len() <= 8
            && self.spans.iter().all(|s| (1.0..=10_000.0).contains(s))
            && self.windows.iter().all(|w| (2..=1_000).contains(w))
            && self.beginning <= 1_000;
        let problem = "features: give 1 to 8 spans of 1 to 10000 rows, up to 8 windows of 2 to 1000 rows, a beginning of up to 1000 rows";
        if fits { Ok(()) } else { Err(RulError::Settings(problem.into())) }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.spans.iter().map(|s| format!("mean over {s}")).collect();
        for w in &self.windows {
            names.extend([format!("mean of {w}"), format!("deviation of {w}"), format!("slope of {w}")]);
        }
        if self.beginning > 0 {
            names.push("change since the beginning".into());
        }
        names
    }
}

/// What a feature is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A sensor, by its place in [`Signals::sensors`].
    Sensor(usize),
    /// The health index, which is made of all sensors.
    Index,
    Age,
}

/// A feature's origin and name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    pub source: Source,
    pub name: String,
}

/// From rows to features, learned on the training units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    pub signals: Signals,
    pub conditions: Conditions,
    /// Sensors that vary, by their place.
    pub used: Vec<usize>,
    /// The health index: a weight for each used sensor, and the value where all are normal.
    pub weights: Vec<f64>,
    pub offset: f64,
    sensor: Shape,
    index: Shape,
}

impl Pipeline {
    /// Learns conditions and health index from `units`; `cap` is what labels are capped at.
    pub fn fit(signals: &Signals, units: &[&Unit], shapes: (&Shape, &Shape), cap: f64, seed: u64) -> Result<Self, RulError> {
        let rows: Vec<&Row> = units.iter().flat_map(|u| &u.rows).collect();
        let conditions = Conditions::find(&rows, seed)?;
        let used = conditions.varying();
        if used.is_empty() {
            return Err(RulError::NoUsableSensor);
        }
        let mut pipeline = Self {
            signals: signals.clone(),
            weights: vec![0.0; used.len()],
            used,
            conditions,
            offset: 0.0,
            sensor: shapes.0.clone(),
            index: shapes.1.clone(),
        };
        pipeline.fit_index(units, cap)?;
        Ok(pipeline)
    }

    fn fit_index(&mut self, units: &[&Unit], cap: f64) -> Result<(), RulError> {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for unit in units {
            for (i, row) in unit.rows.iter().enumerate() {
                let condition = self.conditions.of(row).0;
                values.push(self.normalised(condition, row).into_iter().map(|z| z.unwrap_or(0.0)).collect::<Vec<f64>>());
                labels.push(unit.left(i).min(cap));
            }
        }
        // A column that is the same everywhere can't be scaled, and has no say.
        let live: Vec<usize> = (0..self.used.len()).filter(|&j| values.iter().any(|v| (v[j] - values[0][j]).abs() > 1e-12)).collect();
        let failed = |e: smartcore::error::Failed| RulError::Training(format!("health index: {e}"));
        if live.is_empty() {
            return Err(RulError::NoUsableSensor);
        }
        let columns = values.iter().map(|v| live.iter().map(|&j| v[j]).collect()).collect();
        let matrix = DenseMatrix::from_2d_vec(&columns).map_err(failed)?;
        let parameters = RidgeRegressionParameters::default().with_alpha(1.0).with_normalize(true);
        let fitted = RidgeRegression::fit(&matrix, &labels, parameters).map_err(failed)?;
        for (place, &j) in live.iter().enumerate() {
            self.weights[j] = *fitted.coefficients().get((place, 0));
        }
        self.offset = *fitted.intercept();
        if self.weights.iter().chain([&self.offset]).any(|w| !w.is_finite()) {
            return Err(RulError::Training("the health index has no finite weights: look for sensors with absurd values".into()));
        }
        Ok(())
    }

    /// The used sensors in standard deviations from normal.
    fn normalised(&self, condition: usize, row: &Row) -> Vec<Option<f64>> {
        self.used.iter().map(|&s| row.sensors[s].and_then(|v| self.conditions.normal(condition, s, v))).collect()
    }

    /// The features' names, in the order of [`Tracker::features`].
    pub fn features(&self) -> Vec<Feature> {
        let of = |source: Source, signal: &str, shape: &Shape| -> Vec<Feature> {
            shape.names().into_iter().map(|n| Feature { source, name: format!("{signal}: {n}") }).collect()
        };
        let mut features: Vec<Feature> =
            self.used.iter().flat_map(|&s| of(Source::Sensor(s), &self.signals.sensors[s], &self.sensor)).collect();
        features.extend(of(Source::Index, "health index", &self.index));
        features.push(Feature { source: Source::Age, name: "age".into() });
        features
    }

    /// A tracker that has seen nothing.
    pub fn tracker(&self) -> Tracker {
        Tracker {
            sensors: self.used.iter().map(|_| Series::default()).collect(),
            index: Series::default(),
            rows: 0,
            at: None,
            condition: 0,
            is_known_condition: true,
            silent: Vec::new(),
            features: Vec::new(),
        }
    }
}

/// A unit's state while its rows arrive. Can be stored and taken up again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tracker {
    sensors: Vec<Series>,
    index: Series,
    pub(super) rows: usize,
    pub(super) at: Option<f64>,
    pub(super) condition: usize,
    pub(super) is_known_condition: bool,
    /// Used sensors that said nothing in the latest row.
    pub(super) silent: Vec<usize>,
    #[serde(with = "gaps")]
    features: Vec<f64>,
}

/// JSON has no NaN: a feature of a sensor that never spoke is stored as null.
mod gaps {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        values.iter().map(|v| v.is_finite().then_some(*v)).collect::<Vec<_>>().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Option<f64>>::deserialize(from)?.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

impl Tracker {
    /// Takes in the next row. Refused, with nothing changed, where the row is malformed or not after the one before.
    pub fn push(&mut self, pipeline: &Pipeline, row: &Row) -> Result<(), RulError> {
        let bad = |problem: &str| Err(RulError::Malformed { unit: "the unit".into(), row: self.rows, problem: problem.into() });
        pipeline.signals.check_row("the unit", self.rows, row)?;
        if self.sensors.len() != pipeline.used.len() {
            return bad("its tracker was begun with another model: begin anew");
        }
        if self.at.is_some_and(|at| row.at <= at) {
            return bad("its time is not after that of the row before: order the rows by time");
        }
        (self.condition, self.is_known_condition) = pipeline.conditions.of(row);
        let values = pipeline.normalised(self.condition, row);
        self.features.clear();
        self.silent.clear();
        let mut index = pipeline.offset;
        for (place, (series, value)) in self.sensors.iter_mut().zip(&values).enumerate() {
            series.push(&pipeline.sensor, row.at, *value, &mut self.features);
            if value.is_none() {
                self.silent.push(pipeline.used[place]);
            }
            // A silent sensor counts as it was lately.
            index += pipeline.weights[place] * value.or_else(|| series.smoothed()).unwrap_or(0.0);
        }
        self.index.push(&pipeline.index, row.at, Some(index), &mut self.features);
        self.features.push(row.at);
        self.rows += 1;
        self.at = Some(row.at);
        Ok(())
    }

    /// The features after the latest row; NaN where a sensor never spoke, empty before the first row.
    pub fn features(&self) -> &[f64] {
        &self.features
    }

    /// Each used sensor smoothed, in deviations from normal; what a driver is explained with.
    pub(super) fn smoothed(&self) -> Vec<Option<f64>> {
        self.sensors.iter().map(Series::smoothed).collect()
    }
}

/// One series' running state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Series {
    /// (mean, weight so far) of each span.
    means: Vec<(f64, f64)>,
    /// (time, value) of the latest rows.
    recent: VecDeque<(f64, f64)>,
    /// (sum, number) of the unit's first values.
    beginning: (f64, usize),
}

impl Series {
    fn push(&mut self, shape: &Shape, at: f64, value: Option<f64>, out: &mut Vec<f64>) {
        if let Some(value) = value {
            self.means.resize(shape.spans.len(), (0.0, 0.0));
            for ((mean, weight), span) in self.means.iter_mut().zip(&shape.spans) {
                let gain = -(-1.0 / span).exp_m1();
                *weight = *weight * (1.0 - gain) + gain;
                *mean += gain / *weight * (value - *mean);
            }
            self.recent.push_back((at, value));
            if self.recent.len() > shape.windows.iter().copied().max().unwrap_or(0) {
                self.recent.pop_front();
            }
            if self.beginning.1 < shape.beginning {
                self.beginning = (self.beginning.0 + value, self.beginning.1 + 1);
            }
        }
        let spans = shape.spans.len();
        out.extend((0..spans).map(|i| self.means.get(i).map_or(f64::NAN, |m| m.0)));
        for &window in &shape.windows {
            out.extend(self.window(window));
        }
        if shape.beginning > 0 {
            let start = if self.beginning.1 > 0 { self.beginning.0 / self.beginning.1 as f64 } else { f64::NAN };
            out.push(self.means.get(spans / 2).map_or(f64::NAN, |m| m.0) - start);
        }
    }

    /// Mean, standard deviation and slope over the latest `window` values.
    fn window(&self, window: usize) -> [f64; 3] {
        let latest = || self.recent.iter().skip(self.recent.len().saturating_sub(window));
        let n = latest().count() as f64;
        if n == 0.0 {
            return [f64::NAN; 3];
        }
        let (at, mean) = (latest().map(|r| r.0).sum::<f64>() / n, latest().map(|r| r.1).sum::<f64>() / n);
        let (mut across, mut along, mut both) = (0.0, 0.0, 0.0);
        for (t, v) in latest() {
            across += (v - mean).powi(2);
            along += (t - at).powi(2);
            both += (t - at) * (v - mean);
        }
        [mean, (across / n).sqrt(), if along > 0.0 { both / along } else { 0.0 }]
    }

    /// The mean over the middle span.
    fn smoothed(&self) -> Option<f64> {
        self.means.get(self.means.len() / 2).map(|m| m.0)
    }
}
