//! The wiring: what the parts of the collector share ([`App`]), and how they are started and stopped ([`Collector`]). Nothing else is here.
//!
//! ```text
//!  gateways ──8443──▶ uplink ──▶ ingest ──queue (max_queued_batches)──▶ journal thread ──queue (256)──▶ pipeline task
//!                        │          │        full: 503, come back        owns ledger and               │  acks the gateway
//!                        ▼          ▼                                    appends to the spool          ├──▶ twin, live ──▶ /ws
//!                     enroll ──▶ store (SQLite)                                                        ▼
//!                        ▲                                        spool ◀── acknowledge ── committer ◀── lake: hot rows ──▶ files
//!  people ────8080──▶   api ──▶ twin, lake, store                              every commit_interval or commit_rows
//! ```
//! Start: lock, authority, store, lake, journal; replay the journal into hot rows; twin from the lake; then the ports open.
//! Stop, in the order of the data: ports, journal thread, pipeline, last commit, store.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum_server::{Handle, tls_rustls::RustlsConfig};
use lake::{Lake, LakeOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use protocol::Timestamp;
use spool::Spool;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    alarms::Alarms,
    api,
    audit::Auditor,
    authority::{Authority, Served},
    clock,
    config::Config,
    enroll::Enroll,
    health::Health,
    ingest::Ingest,
    intake::Intake,
    journal::{self, Request},
    live::Live,
    local::Local,
    lock,
    maintenance::Maintenance,
    metrics,
    pipeline::{self, Committer, Progress},
    pki,
    production::{self, Production},
    recount, replay,
    store::Store,
    tally::Tally,
    twin::Twin,
    upkeep, uplink,
};

/// Entries between the journal's thread and the pipeline.
const PIPELINE_QUEUE: usize = 256;
/// How long open requests may take after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long the journal's queue and the pipeline may take to run empty.
const DRAIN_PATIENCE: Duration = Duration::from_secs(15);
/// How long the last commit may take; what it leaves stays in the journal.
const LAST_COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// All that a request needs. Clones are cheap and share everything.
#[derive(Clone)]
pub struct App {
    pub config: Arc<Config>,
    /// Facts: rows in memory and in Delta tables.
    pub lake: Arc<Lake>,
    /// Relations: keys, gateways, tokens.
    pub store: Store,
    /// What people say of production.
    pub production: Production,
    /// What is known of each machine and gateway right now.
    pub twin: Arc<Twin>,
    /// How reliable machines are, and how long they will last.
    pub maintenance: Arc<Maintenance>,
    /// What just happened, for whoever listens.
    pub live: Live,
    /// What became of each gateway's batches.
    pub tally: Tally,
    /// Whether each gateway's books balance.
    pub auditor: Auditor,
    /// What is wrong with gateways.
    pub alarms: Arc<Mutex<Alarms>>,
    /// Ready or not, and why.
    pub health: Health,
    /// Renders the metrics as text.
    pub metrics: PrometheusHandle,
    /// The way in for what comes by the API.
    pub local: Local,
    /// When this process could hear gateways: they have a time of grace from here before they count as offline.
    pub started_at: Timestamp,
}

/// Why the collector does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Lock(#[from] lock::LockError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot use the API's certificate {} and key {}: {source} (both are PEM files that the collector's user can read)",
        certificate.display(), key.display())]
    Certificate { certificate: std::path::PathBuf, key: std::path::PathBuf, source: std::io::Error },
    #[error("there is no authority in {}: run `millrace-collector init` first", path.display())]
    NotInitialised { path: std::path::PathBuf },
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    #[error(transparent)]
    Uplink(#[from] uplink::UplinkError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("the lake: {0}")]
    Lake(#[from] lake::LakeError),
    #[error("the journal: {0}")]
    Journal(#[from] spool::SpoolError),
    #[error(transparent)]
    Replay(#[from] replay::ReplayError),
    #[error("the system gives no thread: {0}")]
    Thread(std::io::Error),
}

/// A running collector.
pub struct Collector {
    pub app: App,
    pub api_address: SocketAddr,
    pub uplink_address: SocketAddr,
    /// For pings; dropped at stop, like the senders of the uplink, so that the journal's thread ends.
    queue: mpsc::Sender<Request>,
    handles: [Handle<SocketAddr>; 2],
    servers: Vec<JoinHandle<()>>,
    background: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    pipeline: JoinHandle<()>,
    committer: JoinHandle<bool>,
    stop_committer: CancellationToken,
    /// Cancelled when a part that can't be replaced has ended.
    fatal: CancellationToken,
    _lock: File,
}

impl Collector {
    /// Starts everything; returns when both ports answer.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let pki_dir = config.in_data_dir("pki");
        if !pki_dir.join("ca.crt").exists() {
            return Err(StartError::NotInitialised { path: pki_dir });
        }
        let lock = lock::take(&config.data_dir)?;
        // Ports first: a taken port is told before a long replay.
        let (api_listener, api_address) = bind(config.api.listen)?;
        let (uplink_listener, uplink_address) = bind(config.uplink.listen)?;
        let api_tls = api_tls(&config).await?;
        let authority = Arc::new(Authority::open(&pki_dir)?);
        let uplink_tls = RustlsConfig::from_config(uplink::tls(&authority.current(), &config.uplink, clock::now())?);

        let (app, journal, intake, progress) = open(Arc::clone(&config)).await?;
        let fatal = CancellationToken::new();
        let (queue, requests) = mpsc::channel(config.uplink.max_queued_batches);
        let (applied, entries) = mpsc::channel(PIPELINE_QUEUE);
        let thread = journal::start(app.clone(), intake, progress.clone(), requests, applied).map_err(StartError::Thread)?;
        let pipeline = tokio::spawn({
            let (apply, fatal) = (pipeline::apply(app.clone(), progress.clone(), entries), fatal.clone());
            async move {
                apply.await;
                // In an orderly stop nobody listens to this any more.
                fatal.cancel();
                drop(thread);
            }
        });
        let stop_committer = CancellationToken::new();
        let committer = Committer { app: app.clone(), journal, progress, fatal: fatal.clone() };
        let committer = tokio::spawn(committer.run(stop_committer.clone()));

        let background = CancellationToken::new();
        let served = Served { authority: Arc::clone(&authority), uplink: uplink_tls.clone(), api: api_tls.clone() };
        let mut tasks = upkeep::spawn(&app, served, &queue, &background);
        tasks.push(app.local.start(app.clone(), queue.clone(), background.clone()));
        let handles = [Handle::new(), Handle::new()];
        let ingest = Ingest::new(app.clone(), queue.clone());
        let enroll = Enroll { authority, store: app.store.clone() };
        let limits = uplink::Limits { max_connections: config.uplink.max_connections, max_handshakes: config.uplink.max_handshakes };
        let uplink = uplink::serve(uplink_listener, uplink::router(ingest, enroll), uplink_tls, limits, handles[0].clone());
        let api = serve_api(api_listener, api::router(app.clone()), api_tls, handles[1].clone());
        let servers = vec![tokio::spawn(ended("uplink", uplink, fatal.clone())), tokio::spawn(ended("api", api, fatal.clone()))];
        for handle in &handles {
            handle.listening().await;
        }
        tracing::info!(api = %api_address, uplink = %uplink_address, "collector ready");
        Ok(Self {
            app,
            api_address,
            uplink_address,
            queue,
            handles,
            servers,
            background,
            tasks,
            pipeline,
            committer,
            stop_committer,
            fatal,
            _lock: lock,
        })
    }

    /// Waits until a part has ended that can't be replaced: then only a new start helps.
    pub async fn failed(&self) {
        self.fatal.cancelled().await;
    }

    /// Stops in the order of the data. True if everything that was acknowledged is in the lake; otherwise the journal has the rest.
    pub async fn stop(self) -> bool {
        for handle in &self.handles {
            handle.graceful_shutdown(Some(STOP_PATIENCE));
        }
        for server in self.servers {
            let _ = server.await;
        }
        self.background.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        drop(self.queue);
        let drained = tokio::time::timeout(DRAIN_PATIENCE, self.pipeline).await.is_ok();
        self.stop_committer.cancel();
        let committed = matches!(tokio::time::timeout(LAST_COMMIT_PATIENCE, self.committer).await, Ok(Ok(true)));
        upkeep::write_seen(self.app.clone()).await;
        self.app.store.close().await;
        drained && committed
    }
}

/// Opens what is on disk and brings memory to where it was.
async fn open(config: Arc<Config>) -> Result<(App, Arc<Spool>, Intake, Progress), StartError> {
    let store = Store::open(&config.in_data_dir("collector.db")).await?;
    store.set_assets(&config.assets).await?;
    let lake = Arc::new(Lake::open(lake_options(&config)).await?);
    let (dir, max_bytes) = (config.in_data_dir("journal"), config.journal.max_bytes);
    let journal =
        tokio::task::spawn_blocking(move || journal::open(&dir, max_bytes, clock::now())).await.map_err(replay::ReplayError::from)??;
    let journal = Arc::new(journal);
    let production = Production::new(store.production().await?);
    let mut app = App {
        twin: Arc::new(Twin::new(&config).with_production(production.clone())),
        production,
        maintenance: Arc::default(),
        live: Live::new(),
        tally: Tally::default(),
        auditor: Auditor::default(),
        alarms: Arc::default(),
        health: Health::default(),
        local: Local::default(),
        metrics: metrics::install(),
        started_at: clock::now(),
        config,
        lake,
        store,
    };
    let progress = Progress::default();
    let intake = replay::replay(&app, &journal, &progress).await?;
    app.twin.rebuild(&app.lake, clock::now()).await?;
    production::restate::start(&app).await?;
    recount::counts(&app).await?;
    // Gateways have their time of grace from when they can be heard, however long the replay took.
    app.started_at = clock::now();
    Ok((app, journal, intake, progress))
}

/// The files without a server, for commands; the caller holds the lock. `max_rows` lifts the configured limit of an answer.
///
/// # Errors
/// [`StartError`].
pub async fn open_files(mut config: Config, max_rows: Option<usize>) -> Result<App, StartError> {
    config.sql.max_rows = max_rows.unwrap_or(config.sql.max_rows);
    let (app, ..) = open(Arc::new(config)).await?;
    Ok(app)
}

/// The lake as the configuration wants it.
pub fn lake_options(config: &Config) -> LakeOptions {
    let mut options = LakeOptions::new(config.in_data_dir("lake"));
    options.sql.timeout = config.sql.timeout;
    options.sql.max_memory = usize::try_from(config.sql.max_memory_bytes).unwrap_or(usize::MAX);
    options.sql.max_rows = config.sql.max_rows;
    options
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listen().map_err(|source| StartError::Listen { address, source })
}

async fn api_tls(config: &Config) -> Result<Option<RustlsConfig>, StartError> {
    let Some(files) = &config.api.tls else { return Ok(None) };
    let loaded = RustlsConfig::from_pem_chain_file(&files.certificate, &files.key).await;
    let (certificate, key) = (files.certificate.clone(), files.key.clone());
    loaded.map(Some).map_err(|source| StartError::Certificate { certificate, key, source })
}

async fn serve_api(
    listener: TcpListener,
    router: axum::Router,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
) -> std::io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        Some(tls) => axum_server::from_tcp_rustls(listener, tls)?.handle(handle).serve(service).await,
        None => axum_server::from_tcp(listener)?.handle(handle).serve(service).await,
    }
}

/// A server that ends other than by a stop takes the process with it.
async fn ended(name: &'static str, server: impl Future<Output = std::io::Result<()>>, fatal: CancellationToken) {
    if let Err(error) = server.await {
        tracing::error!(server = name, %error, "server ended");
        fatal.cancel();
    }
}
