//! What is wrong with one field of a request.
//!
//! Stands between the requests of this crate and the API. Invariant: a request is checked whole, and every fault is told with its place.

use serde::Serialize;
use utoipa::ToSchema;

/// A field that can't be as it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct FieldError {
    /// `states[3].from`
    pub field: String,
    pub detail: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// A fault of `field`.
pub fn wrong(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError::new(field, detail)
}

/// Gathers faults; beyond [`Faults::LIMIT`] they are counted, not kept.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<FieldError>,
    more: usize,
}

impl Faults {
    const LIMIT: usize = 100;

    pub(crate) fn add(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        if self.list.len() < Self::LIMIT {
            self.list.push(FieldError::new(field, detail));
        } else {
            self.more += 1;
        }
    }

    /// Adds a fault unless `value` lies in `min..=max`; NaN lies nowhere.
    pub(crate) fn within(&mut self, field: &str, value: f64, min: f64, max: f64) {
        if !(min..=max).contains(&value) {
            self.add(field, format!("must be a number from {min} to {max}"));
        }
    }

    /// Adds a fault if a list is longer than `max`.
    pub(crate) fn at_most(&mut self, field: &str, len: usize, max: usize) {
        if len > max {
            self.add(field, format!("has {len} entries, at most {max} are allowed: ask for a shorter period or a coarser step"));
        }
    }

    pub(crate) fn or<T>(mut self, value: T) -> Result<T, Vec<FieldError>> {
        if self.list.is_empty() {
            return Ok(value);
        }
        if self.more > 0 {
            let detail = format!("and {} faults more", self.more);
            self.list.push(FieldError { field: "request".into(), detail });
        }
        Err(self.list)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
