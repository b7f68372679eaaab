//! `POST /v1/enroll`: a gateway's way in. It brings a one-time token and a CSR, and gets a certificate of the collector's CA.
//!
//! Also makes the tokens. A token is `mrt1.` and base64url of `{"url","ca_sha256","secret"}`: it carries the CA's fingerprint, so that the
//! gateway knows the collector at their first contact.
//!
//! Invariants: a token works once, for one gateway, until it expires; a request that is not valid does not use it up; the gateway's key
//! never leaves the gateway.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use protocol::{GatewayId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    auth,
    authority::Authority,
    clock, metrics,
    pki::{self, Pki, PkiError},
    problem::Problem,
    store::{IssuedCertificate, Store, StoreError},
};

/// A CSR and a token are some hundred bytes.
pub const MAX_BODY_BYTES: usize = 64 << 10;
const TOKEN_PREFIX: &str = "mrt1.";

/// What the handler needs.
#[derive(Clone)]
pub struct Enroll {
    pub authority: Arc<Authority>,
    pub store: Store,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Base address of the uplink.
    pub url: String,
    /// Hex SHA-256 of the CA's certificate (DER).
    pub ca_sha256: String,
    pub secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrollRequest {
    /// The token's `secret`.
    token: String,
    csr: String,
}

#[derive(Serialize)]
struct EnrollAnswer {
    certificate: String,
    ca: String,
    gateway: GatewayId,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("not a valid request: {0}")]
    BadRequest(String),
    #[error("the token does not hold: {0:?}")]
    BadToken(crate::store::TokenRefusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// Makes a token for `gateway` and remembers its hash.
///
/// # Errors
/// [`StoreError::Failed`].
pub async fn create_token(store: &Store, pki: &Pki, url: &str, gateway: &GatewayId, ttl: Duration) -> Result<String, StoreError> {
    let token = Token { url: url.to_owned(), ca_sha256: pki.ca_sha256(), secret: auth::new_secret() };
    let now = clock::now();
    let expires_at = now.plus_micros(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX));
    store.insert_token(gateway, &auth::hash(&token.secret), now, expires_at).await?;
    let text = serde_json::json!({ "url": token.url, "ca_sha256": token.ca_sha256, "secret": token.secret }).to_string();
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(text)))
}

/// Reads a token's text.
pub fn parse_token(text: &str) -> Option<Token> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.trim().strip_prefix(TOKEN_PREFIX)?).ok()?).ok()
}

/// The handler.
pub async fn post_enroll(State(enroll): State<Enroll>, body: Bytes) -> Response {
    match enroll.admit(&body, clock::now()).await {
        Ok(answer) => {
            metrics::enrollment("enrolled");
            tracing::info!(gateway = %answer.gateway, "gateway enrolled");
            Json(answer).into_response()
        }
        Err(refusal) => {
            let refused = matches!(refusal, Refusal::BadRequest(_) | Refusal::BadToken(_));
            metrics::enrollment(if refused { "refused" } else { "failed" });
            tracing::warn!(%refusal, "enrollment refused");
            problem(&refusal).into_response()
        }
    }
}

impl Enroll {
    async fn admit(&self, body: &[u8], now: Timestamp) -> Result<EnrollAnswer, Refusal> {
        let request: EnrollRequest = serde_json::from_slice(body).map_err(|error| Refusal::BadRequest(error.to_string()))?;
        // Before the token is used up.
        pki::check_csr(&request.csr).map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let gateway = self.store.consume_token(&auth::hash(&request.token), now).await?.map_err(Refusal::BadToken)?;
        let pki = self.authority.current();
        let signed = pki.sign_gateway(&request.csr, &gateway, now)?;
        let issued = IssuedCertificate { serial: signed.serial, gateway: gateway.clone(), issued_at: now, expires_at: signed.expires_at };
        self.store.insert_certificate(&issued).await?;
        Ok(EnrollAnswer { certificate: signed.pem, ca: pki.ca_pem().to_owned(), gateway })
    }
}

fn problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::BadRequest(reason) => Problem::new(StatusCode::BAD_REQUEST, "Not a valid enrollment", reason.clone()),
        // Whoever guesses learns nothing about which tokens there are.
        Refusal::BadToken(_) => Problem::new(
            StatusCode::FORBIDDEN,
            "The token does not hold",
            "it is wrong, used or expired; make a new one with `millrace-collector token create`",
        ),
        Refusal::Store(_) | Refusal::Pki(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The certificate could not be made", "the collector's log tells why")
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::store::TokenRefusal;

    async fn enroll(dir: &std::path::Path) -> Enroll {
        Pki::open_or_create(dir, clock::now()).expect("made");
        Enroll { authority: Arc::new(Authority::open(dir).expect("opened")), store: Store::in_memory().await.expect("opened") }
    }

    fn body(secret: &str) -> Vec<u8> {
        let csr = CertificateParams::default().serialize_request(&KeyPair::generate().expect("key")).expect("made").pem().expect("made");
        serde_json::json!({ "token": secret, "csr": csr }).to_string().into_bytes()
    }

    async fn token(enroll: &Enroll, ttl: Duration) -> Token {
        let gateway = GatewayId::new("press-gw1").expect("valid");
        let text = create_token(&enroll.store, &enroll.authority.current(), "https://c:8443", &gateway, ttl).await.expect("made");
        parse_token(&text).expect("a token is what it is read as")
    }

    #[tokio::test]
    async fn a_token_lets_its_gateway_in_once() {
        let dir = tempfile::tempdir().expect("folder");
        let enroll = enroll(dir.path()).await;
        let token = token(&enroll, Duration::from_secs(60)).await;
        assert_eq!((token.url.as_str(), token.ca_sha256.clone()), ("https://c:8443", enroll.authority.current().ca_sha256()));
        let answer = enroll.admit(&body(&token.secret), clock::now()).await.expect("admitted");
        assert_eq!(answer.gateway.as_str(), "press-gw1");
        assert_eq!(enroll.store.gateways().await.expect("listed").len(), 1);
        let again = enroll.admit(&body(&token.secret), clock::now()).await;
        assert!(matches!(again, Err(Refusal::BadToken(TokenRefusal::Used))));
    }

    #[tokio::test]
    async fn of_two_that_come_with_one_token_at_a_time_one_gets_in() {
        let dir = tempfile::tempdir().expect("folder");
        let enroll = enroll(dir.path()).await;
        let token = token(&enroll, Duration::from_secs(60)).await;
        let (a, b) = (body(&token.secret), body(&token.secret));
        let (a, b) = tokio::join!(enroll.admit(&a, clock::now()), enroll.admit(&b, clock::now()));
        assert!(a.is_ok() != b.is_ok());
    }

    #[tokio::test]
    async fn expired_wrong_and_malformed_requests_are_refused_and_a_bad_csr_leaves_the_token_unused() {
        let dir = tempfile::tempdir().expect("folder");
        let enroll = enroll(dir.path()).await;
        let good = token(&enroll, Duration::from_secs(60)).await;
        let later = clock::now().plus_micros(61_000_000);
        assert!(matches!(enroll.admit(&body(&good.secret), later).await, Err(Refusal::BadToken(TokenRefusal::Expired))));
        assert!(matches!(enroll.admit(&body("guess"), clock::now()).await, Err(Refusal::BadToken(TokenRefusal::Unknown))));
        assert!(matches!(enroll.admit(b"{", clock::now()).await, Err(Refusal::BadRequest(_))));
        let bad_csr = serde_json::json!({ "token": good.secret, "csr": "garbage" }).to_string();
        assert!(matches!(enroll.admit(bad_csr.as_bytes(), clock::now()).await, Err(Refusal::BadRequest(_))));
        enroll.admit(&body(&good.secret), clock::now()).await.expect("the token is still good");
        assert_eq!(parse_token("mrt1.!!"), None);
        assert_eq!(parse_token("mrt2.e30"), None);
    }
}
