//! Reliability of a sample that the caller brings.

use axum::Json;
use kpi::reliability::fit::{FitAnswer, FitRequest};

use super::{
    access::Viewer,
    body::Body,
    problem::{Problem, Problems},
};

/// Fit a life distribution
///
/// Ages at failure and of units that still run (censored), in operating hours: a Weibull law by maximum likelihood and by rank regression, MTBF with
/// its bounds, the Kaplan-Meier curve; with costs the optimal replacement age, with an age what is left. What a sample is too small for is `null`,
/// with a flag and a note.
#[utoipa::path(post, path = "/api/v1/reliability/fit", tag = "kpi", request_body = FitRequest,
    responses((status = 200, body = FitAnswer), Problems))]
pub async fn fit(_: Viewer, Body(request): Body<FitRequest>) -> Result<Json<FitAnswer>, Problem> {
    // Bounds by likelihood ratio take a while.
    let answer = tokio::task::spawn_blocking(move || request.fit()).await.map_err(|_| Problem::internal())?;
    Ok(Json(answer?))
}
