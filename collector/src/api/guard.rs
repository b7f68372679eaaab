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
const MAX_REQUESTS: usize = 256;
/// Beyond what the longest of all, a SQL statement, may take by its own limit.
const GRACE: Duration = Duration::from_secs(10);

/// How many requests at a time, and how long each.
#[derive(Debug, Clone)]
pub struct Limits {
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl Limits {
    /// `longest`: what a SQL statement may take.
    pub fn new(longest: Duration) -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_REQUESTS)), timeout: longest + GRACE }
    }
}

const CSP_DASHBOARD: &str =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
/// Swagger UI sets styles in its page.
const CSP_DOCS: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Bounds the number of requests and the time of each.
pub async fn limits(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let Ok(_permit) = limits.permits.try_acquire() else {
        metrics::counter!("millrace_collector_api_refused_total", "reason" => "busy").increment(1);
        return Problem::busy("too many requests at a time", 1).into_response();
    };
    match tokio::time::timeout(limits.timeout, next.run(request)).await {
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

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn_with_state, routing::get};
    use tower::ServiceExt;

    use super::*;

    async fn status_and_retry(limits: Limits) -> (u16, bool) {
        let slow = get(async || tokio::time::sleep(Duration::from_secs(3_600)).await);
        let app = Router::new().route("/", slow).layer(from_fn_with_state(limits, super::limits));
        let request = Request::builder().uri("/").body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        (response.status().as_u16(), response.headers().contains_key(header::RETRY_AFTER))
    }

    #[tokio::test]
    async fn one_request_too_many_or_too_long_is_asked_to_come_back() {
        let full = Limits { permits: Arc::new(Semaphore::new(0)), timeout: GRACE };
        assert_eq!(status_and_retry(full).await, (503, true));
        let short = Limits { permits: Arc::new(Semaphore::new(1)), timeout: Duration::from_millis(1) };
        assert_eq!(status_and_retry(short).await, (503, true));
    }
}
