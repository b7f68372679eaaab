//! Operating conditions, found in the settings themselves, and sensor values normalised within each.
//!
//! Stands before the features: what a sensor reads at full load says nothing at idle, so a value is compared with its own condition only.
//! Settings that cluster tightly are conditions; settings that only scatter are one condition. K-means is run for each number of clusters
//! up to [`MOST_CONDITIONS`], and the number with the greatest simplified silhouette wins, if it reaches [`LEAST_SILHOUETTE`] and no
//! cluster
//! is thinner than [`LEAST_SHARE`]; otherwise there is one condition. (Simplified silhouette: distances to centroids, Hruschka et al.
//! 2004.)
//!
//! Invariant: the same rows and seed give the same conditions, numbered in order of their centroids.

use serde::{Deserialize, Serialize};
use smartcore::{
    cluster::kmeans::{KMeans, KMeansParameters},
    linalg::basic::matrix::DenseMatrix,
};

use super::{RulError, history::Row};

/// More conditions than this are not looked for.
pub const MOST_CONDITIONS: usize = 12;
/// What clusters must reach to be conditions (1 = points, 0.5 = even scatter).
pub const LEAST_SILHOUETTE: f64 = 0.8;
/// The smallest share of rows a condition can have.
pub const LEAST_SHARE: f64 = 0.01;
/// Rows that clusters are looked for in.
const SAMPLE: usize = 3_000;
/// Starts of K-means for each number of clusters: one start can end in a local minimum.
const STARTS: u64 = 4;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Spread {
    mean: f64,
    /// 0 where the values don't vary.
    sd: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let n = values.clone().count();
        if n == 0 {
            return None;
        }
        let mean = values.clone().sum::<f64>() / n as f64;
        let sd = (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        // What is left of rounding is no variation.
        Some(Self { mean, sd: if sd > 1e-9 * (mean.abs() + f64::MIN_POSITIVE) && sd > 1e-30 { sd } else { 0.0 } })
    }

    fn z(&self, value: f64) -> f64 {
        if self.sd > 0.0 { (value - self.mean) / self.sd } else { 0.0 }
    }
}

/// Conditions of a fleet, and what is normal in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    settings: Vec<Spread>,
    /// In units of each setting's standard deviation.
    centroids: Vec<Vec<f64>>,
    /// The distance from its centroid beyond which a row is in none of the conditions.
    reach: f64,
    /// By condition, then by sensor; `None` where a sensor never spoke in that condition.
    sensors: Vec<Vec<Option<Spread>>>,
}

impl Conditions {
    /// Finds the conditions in `rows` and what is normal in each.
    pub fn find(rows: &[&Row], seed: u64) -> Result<Self, RulError> {
        let first = rows.first().ok_or(RulError::FewHistories { units: 0, least: 1 })?;
        let settings: Vec<Spread> = (0..first.settings.len())
            .map(|s| Spread::of(rows.iter().map(|r| r.settings[s])).unwrap_or(Spread { mean: 0.0, sd: 0.0 }))
            .collect();
        let mut found = Self { settings, centroids: Vec::new(), reach: 0.0, sensors: Vec::new() };
        let step = rows.len().div_ceil(SAMPLE);
        let sample: Vec<Vec<f64>> = rows.iter().step_by(step).map(|r| found.scaled(r)).collect();
        found.centroids = clusters(&sample, seed)?;
        let scaled: Vec<Vec<f64>> = rows.iter().map(|r| found.scaled(r)).collect();
        let places: Vec<(usize, f64)> = scaled.iter().map(|s| nearest(&found.centroids, s)).collect();
        found.reach = 3.0 * places.iter().map(|p| p.1).fold(0.0, f64::max) + 0.1;
        found.sensors = (0..found.centroids.len())
            .map(|c| {
                (0..first.sensors.len())
                    .map(|s| Spread::of(rows.iter().zip(&places).filter(|(_, p)| p.0 == c).filter_map(|(r, _)| r.sensors[s])))
                    .collect()
            })
            .collect();
        Ok(found)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.centroids.len()
    }

    /// The condition `row` is in, and whether one like it was in the training data.
    pub fn of(&self, row: &Row) -> (usize, bool) {
        let (condition, distance) = nearest(&self.centroids, &self.scaled(row));
        (condition, distance <= self.reach)
    }

    /// The value of a sensor in standard deviations from what is normal in `condition`; `None` where nothing is known of it.
    pub fn normal(&self, condition: usize, sensor: usize, value: f64) -> Option<f64> {
        let spread = self.sensors.get(condition)?.get(sensor)?.as_ref()?;
        // A wild value must not outweigh a history: what is beyond 20 deviations is as good as 20.
        Some(spread.z(value).clamp(-20.0, 20.0))
    }

    /// Sensors that vary within a condition; the others can say nothing.
    pub fn varying(&self) -> Vec<usize> {
        let sensors = self.sensors.first().map_or(0, Vec::len);
        (0..sensors).filter(|&s| self.sensors.iter().any(|c| c[s].as_ref().is_some_and(|spread| spread.sd > 0.0))).collect()
    }

    fn scaled(&self, row: &Row) -> Vec<f64> {
        self.settings.iter().zip(&row.settings).map(|(s, &v)| s.z(v)).collect()
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
}

fn nearest(centroids: &[Vec<f64>], point: &[f64]) -> (usize, f64) {
    let distances = centroids.iter().map(|c| distance(c, point)).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

/// Centroids of the clusters in `points`: one, if there is no clear number of them.
fn clusters(points: &[Vec<f64>], seed: u64) -> Result<Vec<Vec<f64>>, RulError> {
    let width = points.first().map_or(0, Vec::len);
    let mut best = (vec![vec![0.0; width]], LEAST_SILHOUETTE);
    let mut distinct: Vec<&Vec<f64>> = points.iter().collect();
    distinct.sort_by(|a, b| order(a, b));
    distinct.dedup();
    if width == 0 || distinct.len() < 2 {
        return Ok(best.0);
    }
    let matrix = DenseMatrix::from_2d_vec(&points.to_vec()).map_err(|e| RulError::Training(format!("settings: {e}")))?;
    for k in 2..=MOST_CONDITIONS.min(distinct.len()) {
        for start in 0..STARTS {
            let parameters = KMeansParameters { k, max_iter: 100, seed: Some(seed.wrapping_add(start)) };
            let fitted = KMeans::<f64, usize, _, Vec<usize>>::fit(&matrix, parameters)
                .and_then(|model| model.predict(&matrix))
                .map_err(|e| RulError::Training(format!("settings: {e}")))?;
            let Some(centroids) = centroids(points, &fitted, k) else { continue };
            let reached = silhouette(points, &centroids);
            if reached > best.1 + 1e-6 {
                best = (centroids, reached);
            }
        }
    }
    best.0.sort_by(|a, b| order(a, b));
    Ok(best.0)
}

fn order(a: &[f64], b: &[f64]) -> std::cmp::Ordering {
    a.iter().zip(b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
}

/// The middle of each cluster; `None` where one is too thin.
fn centroids(points: &[Vec<f64>], labels: &[usize], k: usize) -> Option<Vec<Vec<f64>>> {
    let mut sums = vec![(vec![0.0; points[0].len()], 0_usize); k];
    for (point, &label) in points.iter().zip(labels) {
        let (sum, n) = sums.get_mut(label)?;
        sum.iter_mut().zip(point).for_each(|(s, p)| *s += p);
        *n += 1;
    }
    let least = (LEAST_SHARE * points.len() as f64).max(2.0);
    if sums.iter().any(|(_, n)| (*n as f64) < least) {
        return None;
    }
    Some(sums.into_iter().map(|(sum, n)| sum.into_iter().map(|s| s / n as f64).collect()).collect())
}

fn silhouette(points: &[Vec<f64>], centroids: &[Vec<f64>]) -> f64 {
    let one = |point: &Vec<f64>| {
        let mut distances: Vec<f64> = centroids.iter().map(|c| distance(c, point)).collect();
        distances.sort_by(f64::total_cmp);
        let (own, next) = (distances[0], distances[1]);
        if next > 0.0 { (next - own) / next } else { 0.0 }
    };
    points.iter().map(one).sum::<f64>() / points.len() as f64
}
