//! Intervals around a predicted remaining life, from the errors on units that the model had not seen (split conformal prediction).
//!
//! Errors differ with what is predicted (a machine near its end is known better than a healthy one), so they are kept by level of the
//! prediction, as many held-back predictions in each. The truth is not capped here: a healthy machine's upper bound is far above the cap.
//! Rows of a unit say nearly the same, so it is units that the finite-sample correction counts: the share asked for is raised to
//! (1 + 1/units) times itself. Source: Vovk, Gammerman, Shafer: Algorithmic learning in a random world (2005), Mondrian predictors.

use serde::{Deserialize, Serialize};

/// Levels of the prediction that errors are told apart by.
const MOST_LEVELS: usize = 12;
/// Held-back predictions that a level needs.
const LEAST_ROWS: usize = 40;

/// A prediction for a held-back unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// The unit's place in the fleet.
    pub unit: usize,
    pub fold: usize,
    pub predicted: f64,
    /// Not capped.
    pub truth: f64,
}

/// What to add to a prediction from `from` on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Level {
    from: f64,
    low: f64,
    high: f64,
}

/// Errors by level of the prediction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bands {
    levels: Vec<Level>,
}

impl Bands {
    /// Bands that hold the share `coverage` of what was held back.
    pub fn of(held: &[Held], coverage: f64) -> Self {
        let mut sorted: Vec<&Held> = held.iter().collect();
        sorted.sort_by(|a, b| a.predicted.total_cmp(&b.predicted));
        let count = (sorted.len() / LEAST_ROWS).clamp(1, MOST_LEVELS);
        let size = sorted.len().div_ceil(count).max(1);
        let levels = sorted
            .chunks(size)
            .map(|rows| {
                let mut units: Vec<usize> = rows.iter().map(|h| h.unit).collect();
                units.sort_unstable();
                units.dedup();
                let mut errors: Vec<f64> = rows.iter().map(|h| h.truth - h.predicted).collect();
                errors.sort_by(f64::total_cmp);
                let tail = (1.0 - (coverage * (1.0 + 1.0 / units.len() as f64)).min(1.0)) / 2.0;
                let last = errors.len() - 1;
                // Outwards: the band is never narrower than asked for.
                let low = errors[((tail * last as f64).floor() as usize).min(last)];
                let high = errors[(((1.0 - tail) * last as f64).ceil() as usize).min(last)];
                Level { from: rows[0].predicted, low, high }
            })
            .collect();
        Self { levels }
    }

    /// The interval around `predicted`: it holds the prediction, and begins at 0 or later.
    pub fn around(&self, predicted: f64) -> (f64, f64) {
        let place = self.levels.partition_point(|l| l.from <= predicted).saturating_sub(1);
        let (low, high) = self.levels.get(place).map_or((0.0, 0.0), |l| (l.low, l.high));
        ((predicted + low.min(0.0)).max(0.0), predicted + high.max(0.0))
    }

    /// The share of `held` that its bands would have held, each fold asked of the bands of the others; `None` with fewer than two folds.
    pub fn coverage(held: &[Held], coverage: f64) -> Option<f64> {
        let folds = held.iter().map(|h| h.fold).max()? + 1;
        let mut inside = 0;
        for fold in 0..folds {
            let others: Vec<Held> = held.iter().filter(|h| h.fold != fold).copied().collect();
            if others.is_empty() {
                return None;
            }
            let bands = Self::of(&others, coverage);
            inside += held.iter().filter(|h| h.fold == fold && Self::holds(&bands, h)).count();
        }
        Some(inside as f64 / held.len() as f64)
    }

    fn holds(bands: &Self, held: &Held) -> bool {
        let (low, high) = bands.around(held.predicted);
        (low..=high).contains(&held.truth)
    }
}
