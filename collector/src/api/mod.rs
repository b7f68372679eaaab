//! The HTTP interface for people and programs: JSON, the WebSocket, OpenAPI, and the dashboard's files.
//!
//! Answers from the twin (now), the lake (history) and the store (relations); changes none of the facts. Order of the layers, from outside: panics,
//! headers, limits, compression, body size, key.
//!
//! Invariant: every answer that is not a success is a problem document; every route but health, login, documentation and the dashboard's files needs a key.

pub mod access;
mod assets;
mod body;
mod condition;
mod cursor;
mod device;
mod downtime;
mod energy;
mod events;
mod feed;
mod gateways;
mod guard;
mod health;
pub(crate) mod history;
mod iot;
mod keys;
mod lives;
mod maintenance;
mod oee;
mod openapi;
mod params;
pub mod problem;
mod production;
mod products;
mod quality;
mod reasons;
mod records;
mod registered;
mod reliability;
mod rename;
mod series;
mod session;
mod simulate;
mod sql;
mod twin;
mod ws;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use self::problem::Problem;
use crate::{app::App, clock, dashboard, twin::Moment};

pub use feed::run as run_feed;

/// All routes of the API server. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`; run [`run_feed`] beside it.
pub fn router(app: App) -> Router {
    let (routes, document) = described(&app);
    let max_body = app.config.api.max_body_bytes;
    let longest = app.config.sql.timeout;
    routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method"))
        .fallback(files)
        .layer(DefaultBodyLimit::max(max_body))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(guard::Limits::new(longest), guard::limits))
        .layer(from_fn(guard::headers))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .with_state(app)
}

/// The OpenAPI document of what [`router`] serves.
fn described(app: &App) -> (Router<App>, utoipa::openapi::OpenApi) {
    let open = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(session::login))
        .routes(routes!(session::logout));
    let keyed = OpenApiRouter::default()
        .routes(routes!(session::session))
        .routes(routes!(keys::list))
        .routes(routes!(assets::list))
        .routes(routes!(twin::of_machine))
        .routes(routes!(twin::history))
        .routes(routes!(simulate::shift))
        // The same with the machine's path as it is, without escapes.
        .route("/api/v1/industry40/twin/{device_id}/{area}/{line}/{machine}", get(twin::of_machine))
        .route("/api/v1/industry40/twin/{device_id}/{area}/{line}/{machine}/history", get(twin::history))
        .route("/api/v1/industry40/twin/{device_id}/{area}/{line}/{machine}/simulate", post(simulate::shift))
        .routes(routes!(iot::ingest))
        .routes(routes!(energy::of_scope))
        .routes(routes!(energy::tariff, energy::set_tariff))
        .routes(routes!(quality::chart, quality::chart_of))
        .routes(routes!(quality::capability, quality::capability_of))
        .routes(routes!(quality::yields, quality::yields_of))
        .routes(routes!(gateways::list))
        .routes(routes!(oee::of_scope))
        .routes(routes!(oee::would_be))
        .routes(routes!(reliability::fit))
        .routes(routes!(oee::states))
        .routes(routes!(oee::shifts))
        .routes(routes!(oee::calculate))
        .routes(routes!(reasons::catalogue, reasons::set_catalogue))
        .routes(routes!(reasons::list, reasons::assign))
        .routes(routes!(reasons::restatements))
        .routes(routes!(products::products, products::set_products))
        .routes(routes!(production::runs, production::add_run))
        .routes(routes!(production::delete_run))
        .routes(routes!(production::changeovers, production::add_changeover))
        .routes(routes!(production::delete_changeover))
        .routes(routes!(downtime::downtimes, downtime::add_downtime))
        .routes(routes!(downtime::delete_downtime))
        .routes(routes!(rename::rename))
        .routes(routes!(events::tell, events::list))
        .routes(routes!(events::tell_several))
        .routes(routes!(maintenance::list))
        .routes(routes!(lives::reliability))
        .routes(routes!(lives::predictions))
        .routes(routes!(maintenance::models))
        .routes(routes!(maintenance::train))
        .routes(routes!(maintenance::predict))
        .routes(routes!(series::of_signal))
        .routes(routes!(records::anomalies))
        .routes(routes!(records::losses))
        .routes(routes!(sql::query))
        .routes(routes!(ws::upgrade))
        .route_layer(from_fn_with_state(app.clone(), access::authenticate));
    open.merge(keyed).split_for_parts()
}

/// Paths that are no route: the dashboard's files and pages.
async fn files(request: Request) -> Response {
    let path = request.uri().path();
    let of_the_interface = ["/api/", "/v1/", "/health/", "/ws/"].iter().any(|p| path.starts_with(p));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads
        && !of_the_interface
        && let Some(response) = dashboard::response(path, request.headers())
    {
        return response;
    }
    Problem::not_found(format!("there is nothing at {path}")).into_response()
}

fn moment(app: &App) -> Moment {
    Moment { now: clock::now(), started_at: app.started_at }
}
