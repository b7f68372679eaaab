//! First contact: only the collector that the token names is talked to, and what it answers is checked.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use axum_server::tls_rustls::RustlsConfig;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway::{
    clock::{Clock, System},
    config::Config,
    enroll::{EnrollError, enroll, enroll_by},
    pki,
};
use rcgen::{CertificateSigningRequestParams, DnType};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{fake_collector::Pki, fixture::tls, time::TestClock};

const SECRET: &str = "one-time";

struct Ca {
    pki: Pki,
    gateway: &'static str,
}

async fn serve(gateway: &'static str) -> (SocketAddr, Arc<Ca>) {
    serve_with(Pki::new(), gateway).await
}

async fn serve_with(pki: Pki, gateway: &'static str) -> (SocketAddr, Arc<Ca>) {
    tls();
    let ca = Arc::new(Ca { pki, gateway });
    let (chain, key) = ca.pki.server();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/v1/enroll", post(sign)).with_state(Arc::clone(&ca));
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config))).unwrap();
    tokio::spawn(server.serve(app.into_make_service()));
    (address, ca)
}

async fn sign(State(ca): State<Arc<Ca>>, Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    if request["token"] != SECRET {
        return (StatusCode::FORBIDDEN, Json(json!({ "title": "token is used up" })));
    }
    let csr = CertificateSigningRequestParams::from_pem(request["csr"].as_str().unwrap()).unwrap();
    assert_eq!(csr.params.distinguished_name.get(&DnType::CommonName), Some(&rcgen::DnValue::Utf8String("press-gw1".into())));
    let certificate = csr.signed_by(ca.pki.issuer()).unwrap().pem();
    (StatusCode::OK, Json(json!({ "certificate": certificate, "ca": ca.pki.ca_pem(), "gateway": ca.gateway })))
}

fn token(address: SocketAddr, ca: &Pki, secret: &str) -> String {
    let fingerprint: String = Sha256::digest(ca.ca_der()).iter().map(|byte| format!("{byte:02x}")).collect();
    let json = json!({ "url": format!("https://{address}"), "ca_sha256": fingerprint, "secret": secret });
    format!("mrt1.{}", URL_SAFE_NO_PAD.encode(json.to_string()))
}

fn config(dir: &Path) -> Config {
    let toml = format!(
        "[gateway]\nid = \"press-gw1\"\ndata_dir = {dir:?}\n[collector]\nurl = \"https://127.0.0.1:8443\"\n[broker]\nlisten = \"127.0.0.1:0\"\n{}",
        crate::fixture::JSON_TOPIC
    );
    Config::parse(Path::new("gateway.toml"), &toml, []).unwrap_or_else(|errors| panic!("{errors}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_a_certificate_that_the_uplink_can_use() {
    let (address, ca) = serve("press-gw1").await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let gateway = enroll(&config, &token(address, &ca.pki, SECRET), false).await.unwrap();
    assert_eq!(gateway.as_str(), "press-gw1");
    for file in ["gateway.key", "gateway.crt", "ca.crt"] {
        let mode = std::fs::metadata(dir.path().join("pki").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let clock = Arc::new(Clock::open(dir.path(), 1, None, System::machine()));
    pki::uplink(config.collector.as_ref().unwrap(), &clock).unwrap();
    let again = enroll(&config, &token(address, &ca.pki, SECRET), false).await.unwrap_err();
    assert!(matches!(again, EnrollError::AlreadyEnrolled { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_ca_is_never_given_the_secret() {
    let (address, _) = serve("press-gw1").await;
    let dir = tempfile::tempdir().unwrap();
    let error = enroll(&config(dir.path()), &token(address, &Pki::new(), SECRET), false).await.unwrap_err();
    assert!(matches!(error, EnrollError::Transport { .. }), "{error}");
    assert!(!dir.path().join("pki").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_token_and_a_token_for_another_gateway_leave_nothing_behind() {
    let (address, ca) = serve("press-gw2").await;
    let dir = tempfile::tempdir().unwrap();
    let used = enroll(&config(dir.path()), &token(address, &ca.pki, "old"), false).await.unwrap_err();
    assert!(used.to_string().contains("token is used up"), "{used}");
    let other = enroll(&config(dir.path()), &token(address, &ca.pki, SECRET), false).await.unwrap_err();
    assert!(other.to_string().contains("press-gw2"), "{other}");
    assert!(!dir.path().join("pki").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_booted_in_1970_enrols() {
    // Not yet valid by any time that this gateway knows of.
    let (address, ca) = serve_with(Pki::with_servers_valid((2026, 1, 1), (2096, 1, 1)), "press-gw1").await;
    let dir = tempfile::tempdir().unwrap();
    let unset = TestClock::unset().system();
    enroll_by(unset, &config(dir.path()), &token(address, &ca.pki, SECRET), false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_clock_a_server_is_judged_by_the_time_that_it_tells_itself() {
    // It says what time it is in `Date`; then its certificate is two years too old.
    let (address, ca) = serve_with(Pki::with_servers_valid((2024, 2, 1), (2024, 3, 1)), "press-gw1").await;
    let dir = tempfile::tempdir().unwrap();
    let unset = TestClock::unset().system();
    let error = enroll_by(unset, &config(dir.path()), &token(address, &ca.pki, SECRET), false).await.unwrap_err();
    assert!(matches!(error, EnrollError::Outdated(_)), "{error}");
    assert!(!dir.path().join("pki").exists());
}
