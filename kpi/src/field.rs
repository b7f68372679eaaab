//! What is wrong with a request or a setting: each fault with its place, so that all can be shown at once beside their fields.

use serde::Serialize;
use utoipa::ToSchema;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// `states[3].state`
    pub field: String,
    pub detail: String,
}

/// A fault of `field`.
pub fn wrong(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.into() }
}
