//! The dashboard's files, built into the binary.
//!
//! `build.rs` lays them into `OUT_DIR`; the API serves them for every path that is none of its own. Invariant: a file whose name carries a hash never
//! changes and is cached for good; all else is asked for again each time, by ETag.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};
use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "$OUT_DIR/dashboard"]
struct Files;

/// Where Vite puts files whose names carry a hash of their content.
const HASHED: &str = "assets/";

/// The file at `path`, or the page itself for paths of the page's own router (those without an extension); `None` if there is no such file.
pub fn response(path: &str, request: &HeaderMap) -> Option<Response<Body>> {
    let path = path.trim_start_matches('/');
    let name = path.rsplit('/').next().unwrap_or_default();
    let (path, file) = match Files::get(path) {
        Some(file) if !path.is_empty() => (path, file),
        _ if name.contains('.') => return None,
        _ => ("index.html", Files::get("index.html")?),
    };
    Some(respond(path, file, request))
}

fn respond(path: &str, file: EmbeddedFile, request: &HeaderMap) -> Response<Body> {
    let etag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let unchanged = request
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|known| known.split(',').any(|k| k.trim().trim_start_matches("W/") == etag));
    let body = if unchanged { Body::empty() } else { Body::from(file.data.into_owned()) };
    let mut response = Response::new(body);
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    if !unchanged && let Ok(kind) = HeaderValue::from_str(&content_type(path)) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}

fn content_type(path: &str) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    if kind.type_() == "text" || kind.subtype() == "javascript" { format!("{kind}; charset=utf-8") } else { kind.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_page_get_the_page_and_missing_files_get_nothing() {
        let none = HeaderMap::new();
        for path in ["/", "", "/machine/plant1%2Fa", "/fleet"] {
            let page = response(path, &none).unwrap();
            assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
            assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        }
        assert!(response("/assets/none-00000000.js", &none).is_none());
        assert!(response("/robots.txt", &none).is_none());
    }

    #[test]
    fn files_with_a_hash_in_their_name_are_kept_for_good() {
        let file = || Files::get("index.html").unwrap();
        let cached = respond("assets/index-5d41402a.js", file(), &HeaderMap::new());
        assert_eq!(cached.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(cached.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(respond("mark.svg", file(), &HeaderMap::new()).headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn a_known_etag_is_answered_without_a_body() {
        let first = response("/", &HeaderMap::new()).unwrap();
        let mut request = HeaderMap::new();
        request.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(response("/", &request).unwrap().status(), StatusCode::NOT_MODIFIED);
    }
}
