//! Around every request: how many at a time, how long, what a browser may do with the answer, and what happens when a handler panics.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;

use super::problem::Problem;

/// Requests that are worked on at a time; over it 503 with Retry-After.
pub const MAX_REQUESTS: usize = 256;
/// Longest of all is SQL, which has a limit of its own below this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);

const CSP_DASHBOARD: &str =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
/// Swagger UI sets styles in its page.
const CSP_DOCS: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Bounds the number of requests and the time of each.
pub async fn limits(State(permits): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = permits.try_acquire() else {
        metrics::counter!("millrace_collector_api_refused_total", "reason" => "busy").increment(1);
        return Problem::busy("too many requests at a time", 1).into_response();
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::busy("the request took too long", 5).into_response(),
    }
}

/// What browsers may do with answers.
pub async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let docs = path.starts_with("/docs");
    let private = path.starts_with("/api/") || path.starts_with("/health") || path == "/metrics";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::CONTENT_SECURITY_POLICY, if docs { CSP_DOCS } else { CSP_DASHBOARD });
    if private {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// The answer when a handler panicked; the panic itself is in the log.
pub fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    metrics::counter!("millrace_collector_api_panics_total").increment(1);
    Problem::internal().into_response()
}
