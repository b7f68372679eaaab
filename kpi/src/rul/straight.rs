//! The straight line that a learned model has to beat, and the exact check of an evaluation: ordinary least squares from the sensors of a
//! single row to the remaining life, by QR decomposition.

use smartcore::{
    linalg::basic::{arrays::Array, matrix::DenseMatrix},
    linear::linear_regression::{LinearRegression, LinearRegressionParameters, LinearRegressionSolverName},
};

use super::{
    RulError,
    history::{Fleet, Row},
};

/// Weights of sensors, and what is added.
#[derive(Clone, Debug, PartialEq)]
pub struct Straight {
    sensors: Vec<usize>,
    weights: Vec<f64>,
    offset: f64,
}

impl Straight {
    /// The line that is nearest, in squares, to the labels of all rows of `fleet`; labels are capped at `cap`.
    pub fn fit(fleet: &Fleet, sensors: &[usize], cap: Option<f64>) -> Result<Self, RulError> {
        fleet.check()?;
        if sensors.is_empty() || sensors.iter().any(|&s| s >= fleet.signals.sensors.len()) {
            return Err(RulError::Settings(format!("sensors: give places below {}", fleet.signals.sensors.len())));
        }
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for unit in &fleet.units {
            for (i, row) in unit.rows.iter().enumerate() {
                values.push(pick(row, sensors)?);
                labels.push(unit.left(i).min(cap.unwrap_or(f64::INFINITY)));
            }
        }
        let failed = |e: smartcore::error::Failed| RulError::Training(format!("least squares: {e}"));
        // Columns are centred: the sensors' offsets are large against what varies.
        let n = values.len() as f64;
        let means: Vec<f64> = (0..sensors.len()).map(|j| values.iter().map(|v| v[j]).sum::<f64>() / n).collect();
        values.iter_mut().for_each(|v| v.iter_mut().zip(&means).for_each(|(x, m)| *x -= m));
        let matrix = DenseMatrix::from_2d_vec(&values).map_err(failed)?;
        let parameters = LinearRegressionParameters { solver: LinearRegressionSolverName::QR };
        let fitted = LinearRegression::fit(&matrix, &labels, parameters).map_err(failed)?;
        let weights: Vec<f64> = (0..sensors.len()).map(|j| *fitted.coefficients().get((j, 0))).collect();
        let offset = fitted.intercept() - weights.iter().zip(&means).map(|(w, m)| w * m).sum::<f64>();
        if weights.iter().chain([&offset]).any(|w| !w.is_finite()) {
            return Err(RulError::Training("least squares: one of the sensors is constant or a sum of others; leave it out".into()));
        }
        Ok(Self { sensors: sensors.to_vec(), weights, offset })
    }

    /// The remaining life that the line gives for one row; can be negative.
    pub fn answer(&self, row: &Row) -> Result<f64, RulError> {
        let values = pick(row, &self.sensors)?;
        Ok(self.offset + values.iter().zip(&self.weights).map(|(v, w)| v * w).sum::<f64>())
    }
}

fn pick(row: &Row, sensors: &[usize]) -> Result<Vec<f64>, RulError> {
    let missing = |s: usize| RulError::Malformed { unit: "the unit".into(), row: 0, problem: format!("sensor {} has no value", s + 1) };
    sensors.iter().map(|&s| row.sensors.get(s).copied().flatten().ok_or_else(|| missing(s))).collect()
}
