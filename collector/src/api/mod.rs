//! The HTTP interface for people and programs.

use axum::{Router, routing::get};

use crate::app::App;

/// All routes of the API server.
pub fn router(app: App) -> Router {
    Router::new().route("/health", get(async || "ok")).with_state(app)
}
