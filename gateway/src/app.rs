//! The one wiring file: makes every channel, thread and task of a running gateway, and ends them in the order of the data.
//!
//! ```text
//!  threads        embedded broker: server(s) -> router -> link ---- lane 32,768 msgs / 32 MiB --+
//!  tasks          mqtt_client each -------------------------------- lane  8,192 msgs / 16 MiB --+--> core (thread `drive`)
//!  tasks          modbus device each ------------------------------ lane     64 polls ----------+      |         ^
//!                                                                                           1 Commit   |         | outcome
//!                                                                                                      v         |
//!                                                                                                  commit (thread)
//!                                                                                                      | append (sync)
//!                         core <--losses, unbounded but only what was refused-- uploader (task) <--- spool
//!                                                                                  |  1 request
//!                                                                                  v
//!                                                                              collector
//! ```
//! The status page and the watchdog read the board; nothing waits for them. Starting needs no network: the uploader alone waits for it.

use std::{
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use spool::SpoolError;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, Now, System},
    commit::{self, Committer, Outcome},
    config::{Config, SourceId},
    core::Core,
    drive::{self, Drive},
    inbox::{Inbox, LaneLimits},
    notify, pipeline,
    shutdown::Shutdown,
    source::{
        Feed, Sample, modbus,
        mqtt_broker::{self, BrokerError},
        mqtt_client::{self, ClientError},
    },
    status::{self, Board, ServeError},
    store::{self, Store},
    upload::{self, Uploader},
};

const BROKER_LANE: LaneLimits = LaneLimits { items: 32_768, bytes: 32 << 20 };
const CLIENT_LANE: LaneLimits = LaneLimits { items: 8_192, bytes: 16 << 20 };
const DEVICE_LANE: LaneLimits = LaneLimits { items: 64, bytes: 1 << 20 };
/// How long an orderly end takes at most for each of its steps.
const DRAIN: Duration = Duration::from_secs(10);
const LAST_UPLOAD: Duration = Duration::from_secs(5);

/// What can be set for tests and not in the configuration.
#[derive(Debug, Clone)]
pub struct Tuning {
    pub broker_lane: LaneLimits,
    /// Size and number of the broker's segments; `None`: what fits the configuration.
    pub segments: Option<(usize, usize)>,
    pub hold_publishers: bool,
    /// Where the time is read.
    pub system: System,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { broker_lane: BROKER_LANE, segments: None, hold_publishers: true, system: System::machine() }
    }
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot use the data directory {path}")]
    DataDir { path: PathBuf, source: io::Error },
    #[error("cannot open the spool")]
    Spool(#[from] SpoolError),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Status(#[from] ServeError),
}

/// Why a gateway that ran ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    #[error("{0}")]
    Failed(String),
    #[error("the last commit did not become durable; what was not yet committed is reported as lost after the next start")]
    NotClean,
}

/// A running gateway.
pub struct App {
    pub board: Arc<Board>,
    /// Where plain MQTT is served, if it is.
    pub broker_listen: Option<SocketAddr>,
    /// Where MQTT over TLS is served, if it is.
    pub broker_tls_listen: Option<SocketAddr>,
    /// Where the status page is served, if it is.
    pub status_listen: Option<SocketAddr>,
    shutdown: Arc<Shutdown>,
    store: Arc<Store>,
    clock: Arc<Clock>,
    keeper: JoinHandle<()>,
    inbox: Inbox<Sample>,
    broker: Option<mqtt_broker::Broker>,
    sources: Vec<JoinHandle<()>>,
    drive: Drive,
    uploader: Option<JoinHandle<()>>,
    finish_upload: CancellationToken,
    status_end: CancellationToken,
}

impl App {
    /// Starts everything, in the reverse order of the data.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(config: Config, tuning: Tuning, shutdown: Arc<Shutdown>) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let boot_id: u64 = rand::random();
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
        made.map_err(|source| StartError::DataDir { path: config.data_dir.clone(), source })?;
        let Opened { store, clock, core, began } = open(&config, boot_id, tuning.system.clone())?;
        let store = Arc::new(store);

        let inbox = Inbox::new();
        let feeds = feeds(&config, &tuning, &inbox, &clock, &shutdown);
        let healths = config.sources().into_iter().zip(feeds.iter().map(|feed| Arc::clone(&feed.health))).collect();
        let board = Arc::new(Board::new(Arc::clone(&config), Arc::clone(&store), Arc::clone(&clock), boot_id, healths));

        let finish_upload = CancellationToken::new();
        let (dropped, dropped_rx) = mpsc::channel();
        let fresh = Arc::new(Notify::new());
        let uploader = config.collector.clone().map(|collector| {
            let parts = upload::Parts {
                collector,
                data_dir: config.data_dir.clone(),
                store: Arc::clone(&store),
                board: Arc::clone(&board),
                fresh: Arc::clone(&fresh),
                dropped,
                gateway: config.gateway.clone(),
                finish: finish_upload.clone(),
            };
            tokio::spawn(Uploader::new(parts).run())
        });

        let waker = inbox.clone();
        let committer = Committer::start(Arc::clone(&store), boot_id, fresh, move || waker.wake()).map_err(StartError::Thread)?;
        let parts = drive::Parts {
            core,
            boot_id,
            began,
            inbox: inbox.clone(),
            feeds: feeds.clone(),
            committer,
            store: Arc::clone(&store),
            dropped: dropped_rx,
            board: Arc::clone(&board),
        };
        let drive = Drive::start(parts).map_err(StartError::Thread)?;

        let status_end = CancellationToken::new();
        notify::spawn_watchdog(Arc::clone(&board), status_end.clone());
        let keeper = tokio::spawn(keep_time(Arc::clone(&clock)));
        let mut app = Self {
            board,
            broker_listen: None,
            broker_tls_listen: None,
            status_listen: None,
            shutdown,
            store,
            clock,
            keeper,
            inbox,
            broker: None,
            sources: Vec::new(),
            drive,
            uploader,
            finish_upload,
            status_end,
        };
        match app.open_ports(&config, &tuning, &feeds, boot_id).await {
            Ok(()) => Ok(app),
            Err(error) => {
                let _ = app.stop().await;
                Err(error)
            }
        }
    }

    async fn open_ports(&mut self, config: &Config, tuning: &Tuning, feeds: &[Feed], boot_id: u64) -> Result<(), StartError> {
        if let Some(listen) = config.status {
            self.status_listen = Some(status::serve(listen, Arc::clone(&self.board), self.status_end.clone()).await?);
        }
        let (broker, sources) = start_sources(config, tuning, feeds, boot_id)?;
        self.broker_listen = broker.as_ref().and_then(|broker| broker.listen);
        self.broker_tls_listen = broker.as_ref().and_then(|broker| broker.tls_listen);
        (self.broker, self.sources) = (broker, sources);
        Ok(())
    }

    /// Until the process is to end, by a signal or because something in it can't go on.
    pub async fn ended(&self) {
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = self.shutdown.begun() => return,
                _ = look.tick() => {
                    if self.drive.is_finished() {
                        self.shutdown.fail("the pipeline's thread ended".into());
                    }
                }
            }
        }
    }

    /// Ends in the order of the data: sources, pipeline with its last commit, uploader, status page.
    ///
    /// # Errors
    /// [`EndError`]: it failed before, or the last commit could not be made.
    pub async fn stop(self) -> Result<(), EndError> {
        for task in &self.sources {
            task.abort();
        }
        if let Some(broker) = self.broker {
            let _ = tokio::task::spawn_blocking(move || broker.stop(DRAIN)).await;
        }
        self.inbox.close();
        let drive = self.drive;
        let clean = tokio::task::spawn_blocking(move || drive.join()).await.unwrap_or(false);
        self.finish_upload.cancel();
        if let Some(mut uploader) = self.uploader
            && tokio::time::timeout(LAST_UPLOAD, &mut uploader).await.is_err()
        {
            uploader.abort();
            tracing::info!(backlog = self.board.backlog(), "the collector did not take the rest in time; it stays in the spool");
        }
        self.status_end.cancel();
        self.keeper.abort();
        let (store, clock) = (self.store, self.clock);
        let end = move || {
            clock.keep(true);
            store.close(Duration::from_secs(2));
        };
        let _ = tokio::task::spawn_blocking(end).await;
        match self.shutdown.failure() {
            Some(reason) => Err(EndError::Failed(reason)),
            None if clean => Ok(()),
            None => Err(EndError::NotClean),
        }
    }
}

/// What a run begins with.
struct Opened {
    store: Store,
    clock: Arc<Clock>,
    core: Core,
    began: Now,
}

/// Opens the spool, and with what is in its checkpoint the clock and the core; what the spool has lost is booked.
fn open(config: &Config, boot_id: u64, system: System) -> Result<Opened, StartError> {
    let wall = (system.read)().wall;
    let (store, report) = Store::open(&config.data_dir, store::options(&config.spool), wall)?;
    let spool = store.spool();
    let parts = spool.as_ref().map(|spool| spool.checkpoint()).unwrap_or_default();
    let clock = Arc::new(Clock::open(&config.data_dir, boot_id, pipeline::committed_at(&parts), system));
    let now = clock.now();
    let mut core = Core::new(config, &parts, now, boot_id);
    for dropped in spool.map(|spool| commit::opened(&spool, &report, now)).unwrap_or_default() {
        tracing::error!(?dropped, "the spool was damaged");
        core.dropped(now, dropped);
    }
    // A run that is killed at once must not look like the orderly end of the one before. If the disk takes nothing, sampling begins all the same.
    if let Some((spool, commit)) = store.spool().zip(core.commit_due(now)) {
        let outcome = commit::write(&spool, commit, now, boot_id);
        if let Outcome::Failed { reason, .. } = &outcome {
            tracing::error!(%reason, "the first commit failed; records wait in memory");
        }
        core.settle(now, outcome);
    }
    tracing::info!(generations = report.generations, entries = report.entries_held, created = report.created, "spool open");
    Ok(Opened { store, clock, core, began: now })
}

/// Writes down what is known of the time, now and then.
async fn keep_time(clock: Arc<Clock>) {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        look.tick().await;
        let clock = Arc::clone(&clock);
        let _ = tokio::task::spawn_blocking(move || clock.keep(false)).await;
    }
}

/// One lane for each source, in the order of [`Config::sources`].
fn feeds(config: &Config, tuning: &Tuning, inbox: &Inbox<Sample>, clock: &Arc<Clock>, shutdown: &Arc<Shutdown>) -> Vec<Feed> {
    let limits = |id: SourceId| match id {
        Config::BROKER => tuning.broker_lane,
        id if usize::from(id.0) <= config.clients.len() => CLIENT_LANE,
        _ => DEVICE_LANE,
    };
    config.sources().into_iter().map(|source| Feed::new(source.id, inbox, limits(source.id), clock, shutdown)).collect()
}

type Sources = (Option<mqtt_broker::Broker>, Vec<JoinHandle<()>>);

fn start_sources(config: &Config, tuning: &Tuning, feeds: &[Feed], boot_id: u64) -> Result<Sources, StartError> {
    let feed = |id: SourceId| feeds.iter().find(|feed| feed.source == id).cloned();
    let mut tasks = Vec::new();
    for (index, device) in config.devices.iter().enumerate() {
        tasks.extend(feed(config.device_source(index)).map(|feed| modbus::start(index, device.clone(), feed)));
    }
    for (index, client) in config.clients.iter().enumerate() {
        let id = config.client_source(index);
        if let Some(feed) = feed(id) {
            tasks.push(mqtt_client::start(client, config.filters(id), feed)?);
        }
    }
    let broker = match (&config.broker, feed(Config::BROKER)) {
        (Some(broker), Some(feed)) => {
            let mut settings = mqtt_broker::Settings::new(broker.clone(), boot_id);
            settings.hold_publishers = tuning.hold_publishers;
            if let Some((bytes, count)) = tuning.segments {
                (settings.segment_bytes, settings.segment_count) = (bytes, count);
            }
            let health = Arc::clone(&feed.health);
            let broker = mqtt_broker::start(settings, feed)?;
            health.up();
            Some(broker)
        }
        _ => None,
    };
    Ok((broker, tasks))
}
