//! Remaining useful life, learned from the run-to-failure histories of a fleet; and the risk of failure, learned from labelled
//! observations.
//!
//! Rows of a unit -> operating condition, found in the settings ([`condition`]) -> sensors normalised in it, smoothed, their slopes and
//! changes,
//! a health index ([`features`]) -> gradient-boosted trees ([`boost`]) -> remaining life with interval ([`band`]), drivers and the error on
//! held-back machines ([`model`]). [`train()`] makes a model, [`risk`] the classifier.
//!
//! Invariants: what a model is judged by comes from units it had not seen; the same histories, settings and seed give the same model; an
//! answer
//! never holds NaN; too few histories give no model, and the error says how many there are.

pub mod band;
pub mod boost;
pub mod condition;
pub mod features;
pub mod history;
pub mod model;
pub mod risk;
pub mod score;
pub mod straight;
pub mod train;

#[cfg(test)]
mod tests;

pub use self::{
    features::{Shape, Tracker},
    history::{Fleet, Row, Signals, Unit},
    model::{Card, Driver, Flag, HeldBack, Model, Prediction},
    score::{Score, phm, score},
    train::{Settings, train},
};

/// Why there is no model, or no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulError {
    #[error("{units} run-to-failure histories are too few to learn from: {least} are needed")]
    FewHistories { units: usize, least: usize },
    #[error("{unit}: row {row}: {problem}")]
    Malformed { unit: String, row: usize, problem: String },
    #[error("too many {what}: {most} at most")]
    TooLarge { what: &'static str, most: usize },
    #[error("no sensor varies within an operating condition: there is nothing to learn from")]
    NoUsableSensor,
    #[error("settings: {0}")]
    Settings(String),
    #[error("training: {0}")]
    Training(String),
    #[error("model: {0}")]
    Model(String),
}
