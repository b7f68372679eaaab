//! Who asks: from a request's key to a principal, and what its role may do.
//!
//! A layer around every route that is not open. Keys come in a header (programs) or in a cookie (the dashboard). The cookie holds the key itself: it
//! survives a restart of the collector and ends with the key; scripts can't read it (HttpOnly), other sites can't send it (SameSite=Strict).
//!
//! Invariant: a cookie alone changes nothing unless the request comes from this very origin.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::Problem;
use crate::{
    app::App,
    auth::{self, Principal, Role},
};

const COOKIE: &str = "millrace_key";
const COOKIE_SECONDS: u32 = 12 * 3600;

/// How a key came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Header,
    Cookie,
}

/// The key of a request, if it carries one.
pub fn key_of(headers: &HeaderMap) -> Option<(String, Via)> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(key) = text("x-api-key") {
        return Some((key.trim().to_owned(), Via::Header));
    }
    if let Some((scheme, key)) = text("authorization").and_then(|v| v.split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Some((key.trim().to_owned(), Via::Header));
    }
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, key)| (key.to_owned(), Via::Cookie))
}

/// Sets the cookie, or (with `None`) takes it away.
pub fn cookie(key: Option<&str>, secure: bool) -> Option<HeaderValue> {
    let (value, age) = key.map_or(("", 0), |key| (key, COOKIE_SECONDS));
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}")).ok()
}

/// Whether the browser says that the request comes from a page of this very server. A request without `Origin` and without `Sec-Fetch-Site` comes from
/// no browser of these days.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    match text(header::ORIGIN) {
        Some(origin) => {
            let authority = origin.split_once("://").map(|(_, rest)| rest);
            authority.is_some() && authority == text(header::HOST)
        }
        None => text(header::HeaderName::from_static("sec-fetch-site")).is_some_and(|site| site == "same-origin" || site == "none"),
    }
}

/// Lets in who has a valid key, as a [`Principal`] in the request's extensions.
pub async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Some((key, via)) = key_of(request.headers()) else { return Problem::unauthorized().into_response() };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if via == Via::Cookie && changes && !is_same_origin(request.headers()) {
        return Problem::forbidden("a request with a cookie must come from this server's own pages").into_response();
    }
    match auth::authenticate(&app.store, &key).await {
        Ok(Some(principal)) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Ok(None) => {
            metrics::counter!("millrace_collector_api_refused_total", "reason" => "key").increment(1);
            Problem::unauthorized().into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Who asks, whatever its role.
#[derive(Debug, Clone)]
pub struct Viewer(pub Principal);

/// Who asks, if it is an operator or more.
#[derive(Debug, Clone)]
pub struct Operator(pub Principal);

/// Who asks, if it is an administrator.
#[derive(Debug, Clone)]
pub struct Admin(pub Principal);

fn principal(parts: &Parts, least: Role) -> Result<Principal, Problem> {
    let principal = parts.extensions.get::<Principal>().ok_or_else(Problem::unauthorized)?;
    if principal.role < least {
        return Err(Problem::forbidden(format!("needs a key of role {least}; {:?} is {}", principal.name, principal.role)));
    }
    Ok(principal.clone())
}

macro_rules! role_extractor {
    ($name:ident, $role:expr) => {
        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                principal(parts, $role).map(Self)
            }
        }
    };
}
role_extractor!(Viewer, Role::Viewer);
role_extractor!(Operator, Role::Operator);
role_extractor!(Admin, Role::Admin);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (header::HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_key_comes_in_any_of_three_places_and_headers_win() {
        let (header, cookie) = (Via::Header, Via::Cookie);
        assert_eq!(key_of(&headers(&[("x-api-key", "a"), ("cookie", "millrace_key=c")])), Some(("a".into(), header)));
        assert_eq!(key_of(&headers(&[("authorization", "bearer b")])), Some(("b".into(), header)));
        assert_eq!(key_of(&headers(&[("cookie", "x=1; millrace_key=c; y=2")])), Some(("c".into(), cookie)));
        assert_eq!(key_of(&headers(&[("cookie", "other=c"), ("authorization", "Basic b")])), None);
    }

    #[test]
    fn only_the_same_host_and_port_is_the_same_origin() {
        let host = ("host", "127.0.0.1:8080");
        assert!(is_same_origin(&headers(&[host, ("origin", "http://127.0.0.1:8080")])));
        assert!(!is_same_origin(&headers(&[host, ("origin", "http://127.0.0.1:8081")])));
        assert!(!is_same_origin(&headers(&[host, ("origin", "https://evil.example")])));
        assert!(!is_same_origin(&headers(&[host, ("origin", "null")])));
        assert!(is_same_origin(&headers(&[host, ("sec-fetch-site", "same-origin")])));
        assert!(!is_same_origin(&headers(&[host, ("sec-fetch-site", "same-site")])));
        assert!(!is_same_origin(&headers(&[host])));
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() {
        let set = cookie(Some("mk_1"), true).unwrap();
        let set = set.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
            assert!(set.contains(part), "{set}");
        }
        assert!(cookie(None, false).unwrap().to_str().unwrap().contains("Max-Age=0"));
    }
}
