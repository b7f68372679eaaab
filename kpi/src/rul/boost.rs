//! Gradient-boosted trees: the crate `forust-ml` behind the few calls that the models of this folder make.
//!
//! Several boosters with seeds of their own are averaged: each sees other rows and columns, and the mean is steadier than any of them.
//!
//! Invariants: the same data, settings and seed give the same trees on any number of threads; no answer is NaN, also where features are.

use forust_ml::{
    GradientBooster, Matrix, gradientbooster::ContributionsMethod, metric::Metric, objective::ObjectiveType, sampler::SampleMethod,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RulError;

/// How trees are grown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Growth {
    /// The most trees a booster can have; how many it gets is chosen on held-back units.
    pub trees: usize,
    pub learning_rate: f32,
    pub depth: usize,
    /// The least weight of a leaf: rows in regression.
    pub leaf_weight: f32,
    /// L2 regularisation of leaves.
    pub l2: f32,
    /// The share of rows each tree sees.
    pub rows: f32,
    /// The share of features each tree sees.
    pub columns: f64,
    /// Values of a feature that a tree can split at: many where limits are sharp, few where values are noisy.
    pub bins: u16,
    /// Boosters that are averaged.
    pub boosters: usize,
    /// Threads that grow trees; none: one a core. Changes no answer, so that it is no part of a model's id.
    #[serde(skip)]
    pub threads: Option<usize>,
}

impl Growth {
    /// Bounds on what can be asked for.
    pub fn check(&self) -> Result<(), RulError> {
        let fits = (1..=5_000).contains(&self.trees)
            && (1..=12).contains(&self.depth)
            && (1..=16).contains(&self.boosters)
            && self.threads.is_none_or(|t| (1..=256).contains(&t))
            && (8..=10_000).contains(&self.bins)
            && self.learning_rate > 0.0
            && self.learning_rate <= 1.0
            && (0.0..=1e6).contains(&self.leaf_weight)
            && (0.0..=1e6).contains(&self.l2)
            && self.rows > 0.0
            && self.rows <= 1.0
            && self.columns > 0.0
            && self.columns <= 1.0;
        let problem = "growth: give 1 to 5000 trees, depth 1 to 12, 1 to 16 boosters, 8 to 10000 bins, 1 to 256 threads, \
                       shares and learning rate in (0, 1], weights of 0 to 1e6";
        if fits { Ok(()) } else { Err(RulError::Settings(problem.into())) }
    }
}

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A number, by least squares.
    Number,
    /// The logarithm of the odds of yes (label 1).
    Odds,
}

/// Features by row, with labels.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub rows: Vec<Vec<f64>>,
    pub labels: Vec<f64>,
}

fn columns(rows: &[Vec<f64>]) -> (Vec<f64>, usize, usize) {
    let width = rows.first().map_or(0, Vec::len);
    let data = (0..width).flat_map(|j| rows.iter().map(move |r| r[j])).collect();
    (data, rows.len(), width)
}

/// Boosters that answer together.
#[derive(Serialize, Deserialize)]
pub struct Boosters(Vec<GradientBooster>);

impl std::fmt::Debug for Boosters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} boosters of {} trees", self.0.len(), self.0.first().map_or(0, |b| b.trees.len()))
    }
}

impl Boosters {
    /// Grows boosters on `table`. With `held` (rows of units that are not in `table`) the error on them after each tree is returned too.
    pub fn grow(goal: Goal, table: &Table, held: Option<&Table>, growth: &Growth, seed: u64) -> Result<(Self, Vec<f64>), RulError> {
        let (data, rows, width) = columns(&table.rows);
        let matrix = Matrix::new(&data, rows, width);
        let held = held.map(|h| (columns(&h.rows), &h.labels));
        let weights = held.as_ref().map_or_else(Vec::new, |(_, labels)| vec![1.0; labels.len()]);
        let (mut boosters, mut curve) = (Vec::new(), Vec::new());
        for place in 0..growth.boosters {
            let (objective, metric) = match goal {
                Goal::Number => (ObjectiveType::SquaredLoss, Metric::RootMeanSquaredError),
                Goal::Odds => (ObjectiveType::LogLoss, Metric::LogLoss),
            };
            let mut booster = GradientBooster::default()
                .set_objective_type(objective)
                .set_evaluation_metric(Some(metric))
                .set_iterations(growth.trees)
                .set_learning_rate(growth.learning_rate)
                .set_max_depth(growth.depth)
                .set_l2(growth.l2)
                .set_min_leaf_weight(growth.leaf_weight)
                .set_subsample(growth.rows)
                .set_sample_method(if growth.rows < 1.0 { SampleMethod::Random } else { SampleMethod::None })
                .set_colsample_bytree(growth.columns)
                .set_nbins(growth.bins)
                .set_initialize_base_score(true)
                .set_num_threads(growth.threads)
                .set_parallel(growth.threads != Some(1))
                .set_seed(seed.wrapping_add(place as u64));
            let failed = |e: forust_ml::errors::ForustError| RulError::Training(e.to_string());
            let evaluation = held
                .as_ref()
                .map(|((data, rows, width), labels)| vec![(Matrix::new(data, *rows, *width), labels.as_slice(), weights.as_slice())]);
            booster.fit(&matrix, &table.labels, &vec![1.0; rows], evaluation).map_err(failed)?;
            if let Some(history) = booster.evaluation_history.take() {
                curve.resize(history.rows.max(curve.len()), 0.0);
                (0..history.rows).for_each(|i| curve[i] += *history.get(i, 0) / growth.boosters as f64);
            }
            // What ran is not what was learned: with a number, each answer would start a pool of its own.
            (booster.num_threads, booster.parallel) = (None, true);
            boosters.push(booster);
        }
        Ok((Self(boosters), curve))
    }

    /// Answers with the first `trees` trees only.
    pub fn cut(&mut self, trees: usize) {
        for booster in &mut self.0 {
            booster.trees.truncate(trees);
            booster.prediction_iteration = None;
            booster.best_iteration = None;
        }
    }

    /// The mean answer for each row.
    pub fn answer(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        let (data, n, width) = columns(rows);
        let matrix = Matrix::new(&data, n, width);
        let mut mean = vec![0.0; n];
        for booster in &self.0 {
            for (sum, answer) in mean.iter_mut().zip(booster.predict(&matrix, n > 1_000)) {
                *sum += answer / self.0.len() as f64;
            }
        }
        mean
    }

    /// What each feature adds to the answer for `row` (Shapley values), and the answer without any of them.
    pub fn contributions(&self, row: &[f64]) -> (Vec<f64>, f64) {
        let matrix = Matrix::new(row, 1, row.len());
        let mut mean = vec![0.0; row.len() + 1];
        for booster in &self.0 {
            for (sum, part) in mean.iter_mut().zip(booster.predict_contributions(&matrix, ContributionsMethod::Shapley, false)) {
                *sum += part / self.0.len() as f64;
            }
        }
        let base = mean.pop().unwrap_or(0.0);
        (mean, base)
    }

    /// Whether each tree refers to features among `features`, and to nodes it has.
    pub fn is_sound(&self, features: usize) -> bool {
        !self.0.is_empty()
            && self.0.iter().all(|b| {
                b.base_score.is_finite()
                    && b.trees.iter().all(|t| {
                        let nodes = t.nodes.len();
                        nodes > 0
                            && t.nodes.iter().enumerate().all(|(i, n)| {
                                let leads_on = [n.left_child, n.right_child, n.missing_node].iter().all(|&c| c > i && c < nodes);
                                n.weight_value.is_finite() && (n.is_leaf || (leads_on && n.split_feature < features))
                            })
                    })
            })
    }
}
