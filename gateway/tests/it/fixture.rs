//! A gateway under test: configuration in a folder of its own, started in this process, and the sums of what it delivered.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use gateway::{
    app::{App, Tuning},
    config::Config,
    shutdown::Shutdown,
    status::View,
};
use tempfile::TempDir;

use crate::fake_collector::FakeCollector;

/// Waiting ends with the condition; this is only for the case that it never comes true.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Windows that close soon after the last reading, so that tests can count everything.
pub const QUICK: &str = "[window]\nlength = \"1s\"\nallowed_lateness = \"100ms\"\nidle_grace = \"100ms\"\n";
pub const JSON_TOPIC: &str = "[[topic]]\ntemplate = \"{site}/{area}/{line}/{machine}/telemetry\"\npayload = \"json\"\n";
pub const BROKER: &str = "[broker]\nlisten = \"127.0.0.1:0\"\n";

pub struct Fixture {
    pub dir: TempDir,
    pub collector: Option<FakeCollector>,
}

impl Fixture {
    pub async fn with_collector() -> Self {
        tls();
        let dir = TempDir::new().unwrap();
        let collector = FakeCollector::start(&data_dir(dir.path())).await;
        Self { dir, collector: Some(collector) }
    }

    pub async fn with_certificates(pki: crate::fake_collector::Pki) -> Self {
        tls();
        let dir = TempDir::new().unwrap();
        let collector = FakeCollector::start_with(pki, &data_dir(dir.path())).await;
        Self { dir, collector: Some(collector) }
    }

    pub fn collector(&self) -> &FakeCollector {
        self.collector.as_ref().unwrap()
    }

    /// A configuration with the head that every test needs, and `rest`.
    pub fn toml(&self, rest: &str) -> String {
        let mut text = format!("[gateway]\nid = \"press-gw1\"\ndata_dir = {:?}\n", data_dir(self.dir.path()));
        if let Some(collector) = &self.collector {
            let _ = write!(text, "[collector]\nurl = \"{}\"\nupload_interval = \"100ms\"\ntimeout = \"10s\"\n", collector.url());
        }
        text.push_str(rest);
        if !rest.contains("[status]") {
            text.push_str("\n[status]\nlisten = \"127.0.0.1:0\"\n");
        }
        // What else fills the disk that the tests run on is not what they are about.
        if !rest.contains("[spool]") {
            text.push_str("\n[spool]\nmin_free = \"16MiB\"\n");
        }
        text
    }

    pub fn config(&self, rest: &str) -> Config {
        Config::parse(Path::new("gateway.toml"), &self.toml(rest), []).unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub async fn start(&self, rest: &str) -> App {
        self.start_tuned(rest, Tuning::default()).await
    }

    pub async fn start_tuned(&self, rest: &str, tuning: Tuning) -> App {
        App::start(self.config(rest), tuning, Arc::new(Shutdown::default())).await.unwrap()
    }
}

pub fn data_dir(dir: &Path) -> std::path::PathBuf {
    dir.join("data")
}

pub fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub fn broker_of(app: &App) -> SocketAddr {
    app.broker_listen.unwrap()
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Waits until everything that came in has been delivered: no window open, nothing uncommitted, no backlog.
pub async fn drained(app: &App) {
    let mut quiet = 0;
    let mut last = None;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let view = app.board.view();
        let empty = view.open_windows == 0 && view.uncommitted_records == 0 && view.backlog_entries == 0;
        let same = last == Some((view.messages_total, view.dropped_total));
        quiet = if empty && same { quiet + 1 } else { 0 };
        last = Some((view.messages_total, view.dropped_total));
        // Losses are held back for up to a second before they become records.
        if quiet >= 15 {
            return;
        }
        assert!(Instant::now() < deadline, "never drained: {view:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub fn source<'a>(view: &'a View, name: &str) -> &'a gateway::status::SourceView {
    view.sources.iter().find(|source| source.name == name).unwrap()
}

/// A port that was free a moment ago, for processes that must be told one.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
