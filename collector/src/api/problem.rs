//! Errors as clients see them: RFC 9457 problem documents.
//!
//! Every answer that is not a success passes here. Invariant: a client learns what it can change; causes inside go to the log, never to the client.

use axum::{
    extract::rejection::{BytesRejection, JsonRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kpi::field::FieldError;
use lake::LakeError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

/// A problem document (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// What is wrong this time, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Each parameter or field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemField>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemField {
    /// Query parameter, or place in the body: `states[3].state`.
    pub field: String,
    pub detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: Some(detail.into()),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Several things are wrong; all are listed.
    pub fn invalid(errors: Vec<ProblemField>) -> Self {
        let detail = errors.iter().map(|e| format!("{}: {}", e.field, e.detail)).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::bad_request(detail) }
    }

    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "a valid key is needed: x-api-key, Authorization: Bearer, or a login")
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Too much at once; the same request may do later.
    pub fn busy(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the collector failed; its log tells why")
    }

    pub fn status(&self) -> u16 {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Vec<FieldError>> for Problem {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::invalid(errors.into_iter().map(|e| ProblemField { field: e.field, detail: e.detail }).collect())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request met a failing database");
        Self::busy("the collector's database does not answer", 5)
    }
}

impl From<LakeError> for Problem {
    fn from(error: LakeError) -> Self {
        match &error {
            LakeError::Refused { .. } | LakeError::Sql { .. } | LakeError::TooManyRows { .. } | LakeError::InvalidRange { .. } => {
                Self::bad_request(error.to_string())
            }
            LakeError::Timeout { .. } | LakeError::Memory { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            LakeError::Closed => Self::busy("the collector stops", 5),
            _ => {
                tracing::error!(%error, "a query failed");
                Self::internal()
            }
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

/// What OpenAPI says of every endpoint that may fail.
#[derive(utoipa::IntoResponses)]
pub enum Problems {
    /// A parameter or the body is wrong; `errors` lists each.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(#[to_schema] Problem),
    /// No valid key.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(#[to_schema] Problem),
    /// The key's role does not allow it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] Problem),
    /// Try again after `Retry-After` seconds.
    #[response(status = 503, content_type = "application/problem+json")]
    Busy(#[to_schema] Problem),
}
