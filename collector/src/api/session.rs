//! Login of people: a key is exchanged for a cookie.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use kpi::utc::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    access::{self, Viewer},
    body::Body,
    problem::{Problem, Problems},
};
use crate::{app::App, auth, clock};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// `mk_…`
    key: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// Of the key.
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: &'static str,
    /// Of the plant: shifts and days are reckoned in it.
    timezone: String,
    version: &'static str,
    now: Utc,
}

/// Log in
///
/// Exchanges a key for a cookie.
#[utoipa::path(post, path = "/api/v1/login", tag = "session", request_body = Login, security(()),
    responses((status = 204, description = "Logged in; the cookie is set"), Problems))]
pub async fn login(State(app): State<App>, headers: HeaderMap, Body(login): Body<Login>) -> Result<Response, Problem> {
    // A page of another site must not log a person in as somebody else.
    if headers.contains_key(header::ORIGIN) && !access::is_same_origin(&headers) {
        return Err(Problem::forbidden("log in from this server's own page"));
    }
    let key = login.key.trim();
    if auth::authenticate(&app.store, key).await?.is_none() {
        metrics::counter!("millrace_collector_api_refused_total", "reason" => "login").increment(1);
        return Err(Problem::unauthorized());
    }
    Ok(with_cookie(&app, Some(key)))
}

/// Log out
#[utoipa::path(post, path = "/api/v1/logout", tag = "session", security(()), responses((status = 204, description = "The cookie is gone")))]
pub async fn logout(State(app): State<App>) -> Response {
    with_cookie(&app, None)
}

fn with_cookie(app: &App, key: Option<&str>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = access::cookie(key, app.config.api.tls.is_some()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Who am I
#[utoipa::path(get, path = "/api/v1/session", tag = "session", responses((status = 200, body = Session), Problems))]
pub async fn session(State(app): State<App>, Viewer(principal): Viewer) -> Json<Session> {
    Json(Session {
        name: principal.name,
        role: principal.role.as_str(),
        timezone: app.config.timezone_name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        now: clock::now().into(),
    })
}
