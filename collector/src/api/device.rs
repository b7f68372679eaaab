//! The machine that a path names: in one piece, with its slashes escaped, or in four.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use protocol::AssetPath;

use super::problem::Problem;

/// `…/{device_id}` or `…/{device_id}/{area}/{line}/{machine}`.
#[derive(Debug)]
pub struct Device(pub AssetPath);

impl<S: Send + Sync> FromRequestParts<S> for Device {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(names) = Path::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::bad_request(format!("the path is not readable: {e}")))?;
        let text = names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join("/");
        AssetPath::new(&text).map(Self).map_err(|e| Problem::bad_request(e.to_string()))
    }
}
