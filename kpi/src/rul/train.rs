//! Training: from run-to-failure histories to a [`Model`], with its error on units that were held back.
//!
//! 1. Units are dealt to folds at random (seeded). A fold's units are kept out of everything: conditions, health index, trees.
//! 2. Each fold's trees are judged on its units after each tree; the number of trees that is best over all folds is what all get.
//! 3. The folds' predictions of their own units give the error on the card, and the intervals.
//! 4. The model is then learned from all units.
//!
//! Invariant: no row of a unit is ever predicted by what was learned from another row of the same unit, for any figure on the card.

use jiff::Timestamp;
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    RulError,
    band::{Bands, Held},
    boost::{Boosters, Goal, Growth, Table},
    features::{Pipeline, Shape},
    history::{Fleet, Unit},
    model::{Card, FORMAT, HeldBack, Model},
    score::score,
};

/// Moments at which each held-back unit is asked about.
const MOMENTS: usize = 6;

/// How a model is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Settings {
    /// What labels are capped at, in cycles or hours; `None`: [`LEARNED_CAP`] of the units' middle life. A machine shows no wear while
    /// it is
    /// healthy, so that more can't be told from its sensors.
    pub cap: Option<f64>,
    /// With fewer histories there is no model.
    pub least_units: usize,
    pub folds: usize,
    /// Rows that trees are grown on at most; more are thinned evenly.
    pub most_rows: usize,
    /// The share of true lives that an interval holds.
    pub interval: f64,
    pub seed: u64,
    /// Features of each sensor.
    pub sensor: Shape,
    /// Features of the health index.
    pub index: Shape,
    pub growth: Growth,
}

/// The share of the middle life that labels are capped at, where no cap is given.
pub const LEARNED_CAP: f64 = 0.6;

impl Default for Settings {
    fn default() -> Self {
        Self {
            cap: None,
            least_units: 10,
            folds: 5,
            most_rows: 60_000,
            interval: 0.9,
            seed: 1,
            sensor: Shape { spans: vec![5.0, 15.0], windows: vec![30], beginning: 10 },
            index: Shape { spans: vec![3.0, 8.0, 15.0, 30.0], windows: vec![10, 20, 30, 50], beginning: 10 },
            growth: Growth {
                trees: 400,
                learning_rate: 0.04,
                depth: 5,
                leaf_weight: 20.0,
                l2: 5.0,
                rows: 0.5,
                columns: 0.3,
                bins: 128,
                boosters: 2,
                threads: None,
            },
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), RulError> {
        let bad = |problem: &str| Err(RulError::Settings(problem.into()));
        if self.cap.is_some_and(|cap| !cap.is_finite() || cap <= 0.0) {
            return bad("cap: give a positive number of cycles or hours, or none");
        }
        if !(4..=1_000).contains(&self.least_units) {
            return bad("least_units: give 4 to 1000");
        }
        if !(2..=20).contains(&self.folds) {
            return bad("folds: give 2 to 20");
        }
        if !(100..=500_000).contains(&self.most_rows) {
            return bad("most_rows: give 100 to 500000");
        }
        if !(0.5..=0.99).contains(&self.interval) {
            return bad("interval: give a share of 0.5 to 0.99");
        }
        self.sensor.check()?;
        self.index.check()?;
        self.growth.check()
    }
}

/// What was learned from some of the units.
struct Learned {
    pipeline: Pipeline,
    boosters: Boosters,
}

/// Learns a model from `fleet`. Takes seconds to minutes: run it beside, not in, what must answer. `trained_at` is only written on the
/// card.
pub fn train(fleet: &Fleet, settings: &Settings, trained_at: Timestamp) -> Result<Model, RulError> {
    settings.check()?;
    fleet.check()?;
    if fleet.units.len() < settings.least_units {
        return Err(RulError::FewHistories { units: fleet.units.len(), least: settings.least_units });
    }
    let cap = settings.cap.unwrap_or_else(|| LEARNED_CAP * fleet.median_life());
    if cap <= 0.0 {
        return Err(RulError::Training("the units have no length of life: give each its rows from start to failure".into()));
    }
    let (held, trees) = hold_back(fleet, settings, cap)?;
    let held_back = judge(fleet, &held, cap, settings)?;
    let growth = Growth { trees, ..settings.growth.clone() };
    let all: Vec<&Unit> = fleet.units.iter().collect();
    let (learned, _) = learn(fleet, &all, None, &Settings { growth, ..settings.clone() }, cap)?;
    Ok(Model {
        card: Card {
            id: id(fleet, settings)?,
            format: FORMAT,
            trained_at,
            units: fleet.units.len(),
            rows: fleet.rows(),
            features: learned.pipeline.features().len(),
            conditions: learned.pipeline.conditions.count(),
            cap,
            trees,
            seed: settings.seed,
            held_back,
        },
        pipeline: learned.pipeline,
        boosters: learned.boosters,
        bands: Bands::of(&held, settings.interval),
        interval: settings.interval,
    })
}

/// Which fold each unit is in.
pub(super) fn folds(units: usize, folds: usize, seed: u64) -> Vec<usize> {
    let mut dealt: Vec<usize> = (0..units).map(|i| i % folds).collect();
    dealt.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    dealt
}

/// Predicts each unit by what was learned from other units, and says how many trees were best.
fn hold_back(fleet: &Fleet, settings: &Settings, cap: f64) -> Result<(Vec<Held>, usize), RulError> {
    let dealt = folds(fleet.units.len(), settings.folds.min(fleet.units.len()), settings.seed);
    let count = dealt.iter().max().map_or(0, |f| f + 1);
    let mut runs = Vec::new();
    let mut curve: Vec<f64> = Vec::new();
    for fold in 0..count {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (place, unit) in fleet.units.iter().enumerate() {
            if dealt[place] == fold { unknown.push((place, unit)) } else { known.push(unit) }
        }
        let asked: Vec<&Unit> = unknown.iter().map(|u| u.1).collect();
        let (learned, errors) = learn(fleet, &known, Some(&asked), settings, cap)?;
        // Squares, since it is squares that add up over the folds.
        curve.resize(errors.len().max(curve.len()), 0.0);
        curve.iter_mut().zip(&errors).for_each(|(sum, e)| *sum += e * e);
        runs.push((fold, unknown, learned));
    }
    let trees = curve.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map_or(settings.growth.trees, |(i, _)| i + 1);
    let mut held = Vec::new();
    for (fold, unknown, mut learned) in runs {
        learned.boosters.cut(trees);
        for (place, unit) in unknown {
            let answers = learned.boosters.answer(&rows(&learned.pipeline, unit, 1)?);
            held.extend(answers.iter().enumerate().map(|(i, answer)| Held {
                unit: place,
                fold,
                predicted: answer.clamp(0.0, cap),
                truth: unit.left(i),
            }));
        }
    }
    Ok((held, trees))
}

fn learn(fleet: &Fleet, units: &[&Unit], asked: Option<&[&Unit]>, settings: &Settings, cap: f64) -> Result<(Learned, Vec<f64>), RulError> {
    let pipeline = Pipeline::fit(&fleet.signals, units, (&settings.sensor, &settings.index), cap, settings.seed)?;
    let count: usize = units.iter().map(|u| u.rows.len()).sum();
    let step = count.div_ceil(settings.most_rows);
    let table = table(&pipeline, units, step, cap)?;
    let held = asked.map(|asked| self::table(&pipeline, asked, step, cap)).transpose()?;
    let (boosters, curve) = Boosters::grow(Goal::Number, &table, held.as_ref(), &settings.growth, settings.seed)?;
    Ok((Learned { pipeline, boosters }, curve))
}

fn table(pipeline: &Pipeline, units: &[&Unit], step: usize, cap: f64) -> Result<Table, RulError> {
    let mut table = Table::default();
    for unit in units {
        table.rows.extend(rows(pipeline, unit, step)?);
        table.labels.extend((0..unit.rows.len()).filter(|&i| is_kept(unit, i, step)).map(|i| unit.left(i).min(cap)));
    }
    Ok(table)
}

/// Thinned from the end, where rows say most.
fn is_kept(unit: &Unit, row: usize, step: usize) -> bool {
    (unit.rows.len() - 1 - row).is_multiple_of(step)
}

/// The features of a unit after each row that is kept.
fn rows(pipeline: &Pipeline, unit: &Unit, step: usize) -> Result<Vec<Vec<f64>>, RulError> {
    let mut tracker = pipeline.tracker();
    let mut kept = Vec::with_capacity(unit.rows.len() / step + 1);
    for (i, row) in unit.rows.iter().enumerate() {
        tracker.push(pipeline, row)?;
        if is_kept(unit, i, step) {
            kept.push(tracker.features().to_vec());
        }
    }
    Ok(kept)
}

/// The error on held-back units, asked at seeded moments of the time in which an answer matters.
fn judge(fleet: &Fleet, held: &[Held], cap: f64, settings: &Settings) -> Result<HeldBack, RulError> {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed ^ 0x6d6f_6d65_6e74);
    let (mut asked, mut labels) = (Vec::new(), Vec::new());
    for place in 0..fleet.units.len() {
        let near: Vec<&Held> = held.iter().filter(|h| h.unit == place && h.truth <= 1.2 * cap).collect();
        labels.extend(near.iter().map(|h| h.truth));
        for _ in 0..MOMENTS {
            if !near.is_empty() {
                asked.push(*near[rng.random_range(0..near.len())]);
            }
        }
    }
    let none = || RulError::Training("no held-back unit came near its end: raise the cap, or give histories up to the failure".into());
    let mean = labels.iter().map(|l: &f64| l.min(cap)).sum::<f64>() / labels.len().max(1) as f64;
    let of = |pair: fn(&Held, f64) -> (f64, f64), by: f64| score(&asked.iter().map(|h| pair(h, by)).collect::<Vec<_>>());
    let open = of(|h, _| (h.predicted, h.truth), cap).ok_or_else(none)?;
    let capped = of(|h, cap| (h.predicted, h.truth.min(cap)), cap).ok_or_else(none)?;
    let constant = of(|h, mean| (mean, h.truth), mean).ok_or_else(none)?;
    Ok(HeldBack {
        units: fleet.units.len(),
        predictions: open.predictions,
        rmse: open.rmse,
        rmse_capped: capped.rmse,
        phm_each: open.phm / open.predictions as f64,
        rmse_of_mean: constant.rmse,
        coverage: Bands::coverage(held, settings.interval),
    })
}

/// Hash of everything a model follows from.
fn id(fleet: &Fleet, settings: &Settings) -> Result<String, RulError> {
    let mut hash = Sha256::new();
    hash.update(FORMAT.to_le_bytes());
    serde_json::to_writer(&mut hash, &(settings, fleet)).map_err(|e| RulError::Model(format!("it can't be named: {e}")))?;
    Ok(hex::encode(&hash.finalize()[..8]))
}
