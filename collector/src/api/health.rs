//! Alive, ready, and the numbers for Prometheus.

use std::net::SocketAddr;

use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{access::key_of, problem::Problem};
use crate::{app::App, auth};

#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    status: &'static str,
    version: &'static str,
}

/// Alive
///
/// The process answers. Whether data flow is told by `/health/ready`.
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, body = Alive)))]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    ready: bool,
    /// What is wrong; empty if nothing is.
    faults: Vec<Fault>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Fault {
    /// `lifecycle`, `journal`, `lake` or `store`.
    part: &'static str,
    cause: String,
}

/// Ready
///
/// Data flow: batches can be made durable, and rows reach the lake.
#[utoipa::path(get, path = "/health/ready", tag = "health", security(()),
    responses((status = 200, body = Ready), (status = 503, body = Ready, description = "`faults` says why")))]
pub async fn ready(State(app): State<App>) -> Response {
    let faults: Vec<_> = app.health.faults().into_iter().map(|(part, cause)| Fault { part: part.as_str(), cause }).collect();
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (status, Json(Ready { ready: faults.is_empty(), faults })).into_response();
    if status != StatusCode::OK {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    }
    response
}

/// Metrics
///
/// For Prometheus. Open to this machine; others need a key.
#[utoipa::path(get, path = "/metrics", tag = "health", security((), ("key" = [])),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 401, body = Problem, content_type = "application/problem+json")))]
pub async fn metrics(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    // Behind a proxy on this machine every peer is local, so a forwarded request is none of this machine's own.
    let local = peer.is_some_and(|p| p.ip().is_loopback()) && !request.headers().contains_key("x-forwarded-for");
    if !local {
        let Some((key, _)) = key_of(request.headers()) else { return Err(Problem::unauthorized()) };
        if auth::authenticate(&app.store, &key).await?.is_none() {
            return Err(Problem::unauthorized());
        }
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response())
}
