//! Condition of a machine: how healthy it is, why, and how long it will last.
//!
//! Stands between the stored readings, anomalies and predictions and the API. Order of the data: [`trend`] (robust slope of a signal) and
//! [`vibration`] (zones of ISO 20816-3) -> [`health`] (index 0..1 and its drivers); [`degradation`] (a signal or the health index
//! extrapolated to its
//! limit) -> [`predict`] (health, age and degradation, and a learned model's word, joined to one answer) -> [`scoring`] (what was
//! predicted against
//! what happened).
//!
//! Invariants: an answer never holds NaN or an infinity; without evidence nothing is claimed: no data, no health; no trend, no prediction.

pub mod degradation;
mod first_passage;
pub mod health;
pub mod predict;
pub mod scoring;
mod state_space;
pub mod trend;
pub mod vibration;

pub use crate::reliability::FieldError;

pub(crate) const HOUR_US: f64 = 3.6e9;
