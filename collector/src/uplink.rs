//! The server that gateways talk to (8443): TLS with optional client certificates of our own CA, and its two routes.
//!
//! Stands before `ingest` and `enroll`. The certificate is optional in the handshake because enrollment comes before there is one; who asks
//! is put into each request as a [`Peer`], and `ingest` demands one.
//!
//! Invariant: connections are bounded, each holds one of `max_connections` slots from its handshake to its end.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    middleware::AddExtension,
    routing::{get, post},
};
use axum_server::{
    Handle,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use futures::future::BoxFuture;
use hyper_util::rt::TokioTimer;
use protocol::{GatewayId, Timestamp};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::server::TlsStream;
use tower::{Layer, limit::ConcurrencyLimitLayer};

use crate::{
    config::{UplinkConfig, advertised_host},
    enroll::{self, Enroll},
    ingest::{self, Ingest},
    metrics, pki,
    pki::{Pki, PkiError},
    problem::Problem,
};

const CONCURRENT_ENROLLMENTS: usize = 8;
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection waits for its handshake to begin.
const TURN_PATIENCE: Duration = Duration::from_secs(20);
const HEADER_PATIENCE: Duration = Duration::from_secs(60);

/// Why the server can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the check of client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Who is on the other side of the connection.
#[derive(Clone)]
pub struct Peer {
    identity: Option<Arc<(GatewayId, String)>>,
    _slot: Arc<OwnedSemaphorePermit>,
}

impl Peer {
    /// The gateway, and its certificate's serial (hex); `None` without a certificate.
    pub fn identity(&self) -> Option<(&GatewayId, &str)> {
        self.identity.as_ref().map(|identity| (&identity.0, identity.1.as_str()))
    }

    pub fn gateway(&self) -> Option<&GatewayId> {
        self.identity().map(|(gateway, _)| gateway)
    }
}

/// The TLS settings with a new server certificate. Call again from time to time and reload.
///
/// # Errors
/// [`UplinkError`].
pub fn tls(pki: &Pki, uplink: &UplinkConfig, now: Timestamp) -> Result<Arc<ServerConfig>, UplinkError> {
    let mut names: Vec<String> = advertised_host(&uplink.advertise).map(str::to_owned).into_iter().collect();
    names.extend(uplink.names.iter().cloned());
    let identity = pki.server_identity(&names, now)?;
    let mut roots = RootCertStore::empty();
    for authority in pki.trusted() {
        roots.add(authority.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).allow_unauthenticated().build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The routes.
pub fn router(ingest: Ingest, enroll: Enroll) -> Router {
    // Anyone may ask here, and each request costs a signature check.
    let strangers = ConcurrencyLimitLayer::new(CONCURRENT_ENROLLMENTS);
    Router::new()
        // The handler caps the body itself, after it knows who sends.
        .route("/v1/batches", post(ingest::post_batch).layer(DefaultBodyLimit::disable()).with_state(ingest))
        .route("/v1/enroll", post(enroll::post_enroll).layer((DefaultBodyLimit::max(enroll::MAX_BODY_BYTES), strangers)).with_state(enroll))
        .route("/health", get(async || "ok\n"))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "There is nothing here", "gateways use /v1/batches and /v1/enroll"))
        .layer(tower_http::catch_panic::CatchPanicLayer::new())
}

/// Serves until the handle says stop.
///
/// # Errors
/// [`io::Error`] if the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: RustlsConfig,
    limits: Limits,
    handle: Handle<std::net::SocketAddr>,
) -> io::Result<()> {
    let acceptor = PeerAcceptor {
        inner: RustlsAcceptor::new(tls).handshake_timeout(HANDSHAKE_PATIENCE),
        slots: Arc::new(Semaphore::new(limits.max_connections)),
        handshakes: Arc::new(Semaphore::new(limits.max_handshakes)),
        max_handshakes: limits.max_handshakes,
    };
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle).http1_only();
    // A connection that asks nothing gives its slot back.
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    server.serve(router.into_make_service()).await
}

/// TLS, then the peer's name into each request.
#[derive(Clone)]
struct PeerAcceptor {
    inner: RustlsAcceptor,
    slots: Arc<Semaphore>,
    /// A handshake costs a millisecond or two of work: a fleet that comes back waits here, in order, and nothing else waits for it.
    handshakes: Arc<Semaphore>,
    max_handshakes: usize,
}

/// Bounds of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_connections: usize,
    pub max_handshakes: usize,
}

impl<I, S> Accept<I, S> for PeerAcceptor
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Send + 'static,
{
    type Stream = TlsStream<I>;
    type Service = AddExtension<S, Peer>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (inner, slots, handshakes) = (self.inner.clone(), Arc::clone(&self.slots), Arc::clone(&self.handshakes));
        let max_handshakes = self.max_handshakes;
        Box::pin(async move {
            let Ok(slot) = slots.try_acquire_owned() else {
                metrics::connection_refused();
                return Err(io::Error::other("too many connections"));
            };
            let turn = tokio::time::timeout(TURN_PATIENCE, handshakes.acquire()).await;
            let Ok(Ok(turn)) = turn else {
                metrics::connection_refused();
                return Err(io::Error::other("too many handshakes"));
            };
            metrics::handshakes(max_handshakes.saturating_sub(handshakes.available_permits()));
            let (stream, service) = inner.accept(stream, service).await?;
            drop(turn);
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let identity = certificate.and_then(pki::peer_of).map(Arc::new);
            Ok((stream, Extension(Peer { identity, _slot: Arc::new(slot) }).layer(service)))
        })
    }
}
