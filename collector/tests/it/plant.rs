//! What the tests stand on: a collector in a folder of its own, and gateways that were let in the real way.

use std::{path::PathBuf, time::Duration};

use collector::{app::Collector, clock, config::Config, enroll, pki::Pki, store::Store};
use protocol::{
    Ack, AssetPath, Batch, BatchAck, GatewayId, GatewayStatus, Quality, Record, SeqRange, SignalName, StampedRecord, StreamId, TimeQuality,
    Timestamp, WindowSummary, codec,
};
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, Client, Identity, StatusCode};
use tempfile::TempDir;

/// Long enough for a slow machine; only a failure waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// No commit happens by itself in a test's time.
pub const NEVER_COMMIT: &str = "[lake]\ncommit_interval = \"1h\"\ncommit_rows = 10000000\nmax_hot_rows = 10000000\n";

pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A data directory with an authority, and a configuration that listens on free ports.
pub struct Site {
    pub dir: TempDir,
    extra: String,
}

impl Site {
    pub async fn new(extra: &str) -> Self {
        install_tls();
        let dir = tempfile::tempdir().expect("a folder");
        let site = Self { dir, extra: extra.to_owned() };
        std::fs::create_dir(site.data_dir()).expect("made");
        Pki::open_or_create(&site.data_dir().join("pki"), clock::now()).expect("made");
        site
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn config_text(&self) -> String {
        format!(
            "[collector]\ndata_dir = {:?}\n[api]\nlisten = \"127.0.0.1:0\"\n[uplink]\nlisten = \"127.0.0.1:0\"\n{}",
            self.data_dir(),
            self.extra
        )
    }

    pub fn config(&self) -> Config {
        Config::parse(&self.dir.path().join("collector.toml"), &self.config_text(), []).expect("valid")
    }

    pub fn pki(&self) -> Pki {
        Pki::open(&self.data_dir().join("pki")).expect("opened")
    }

    pub async fn store(&self) -> Store {
        Store::open(&self.data_dir().join("collector.db")).await.expect("opened")
    }

    pub async fn start(&self) -> Collector {
        Collector::start(self.config()).await.expect("started")
    }

    pub async fn token(&self, gateway: &str, ttl: Duration) -> enroll::Token {
        let store = self.store().await;
        let text = enroll::create_token(&store, &self.pki(), "https://localhost:1", &id(gateway), ttl).await.expect("made");
        store.close().await;
        enroll::parse_token(&text).expect("a token")
    }

    /// A client that trusts the collector and has no certificate.
    pub fn stranger(&self) -> Client {
        self.client(None)
    }

    pub fn client(&self, identity: Option<&str>) -> Client {
        let ca = Certificate::from_pem(self.pki().ca_pem().as_bytes()).expect("PEM");
        let builder = Client::builder().no_proxy().tls_certs_only([ca]).timeout(PATIENCE);
        match identity {
            Some(pem) => builder.identity(Identity::from_pem(pem.as_bytes()).expect("PEM")),
            None => builder,
        }
        .build()
        .expect("built")
    }

    /// Enrolls over the wire.
    pub async fn gateway(&self, name: &str, port: u16) -> Gateway {
        let token = self.token(name, Duration::from_secs(3_600)).await;
        let key = KeyPair::generate().expect("made");
        let answer = enroll_with(&self.stranger(), port, &token.secret, &csr(&key)).await;
        assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
        let certificate = answer.1["certificate"].as_str().expect("PEM").to_owned();
        let identity = format!("{certificate}{}", key.serialize_pem());
        Gateway { name: id(name), stream: StreamId(rand::random()), client: self.client(Some(&identity)), port }
    }
}

pub fn id(text: &str) -> GatewayId {
    GatewayId::new(text).expect("valid")
}

pub fn csr(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).expect("made").pem().expect("made")
}

pub async fn enroll_with(client: &Client, port: u16, secret: &str, csr: &str) -> (StatusCode, serde_json::Value) {
    let body = serde_json::json!({ "token": secret, "csr": csr });
    let response = client.post(format!("https://localhost:{port}/v1/enroll")).json(&body).send().await.expect("answered");
    (response.status(), response.json().await.expect("JSON"))
}

/// An enrolled gateway.
#[derive(Clone)]
pub struct Gateway {
    pub name: GatewayId,
    pub stream: StreamId,
    pub client: Client,
    pub port: u16,
}

/// What came of a delivery.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<u64>,
    pub ack: Option<BatchAck>,
    pub problem: serde_json::Value,
}

impl Answer {
    pub fn acked(&self) -> Ack {
        self.ack.as_ref().unwrap_or_else(|| panic!("not acknowledged: {} {}", self.status, self.problem)).ack
    }
}

impl Gateway {
    /// Entries `first..=last` with one summary each, of a gateway that holds nothing before `floor`.
    pub fn batch(&self, first: u64, last: u64, floor: u64) -> Batch {
        let records = (first..=last).map(|seq| StampedRecord { seq, record: Record::Window(summary(&self.name, seq)) }).collect();
        let entries = (first..=last).map(|_| protocol::EntryInfo { stamp: None, readings_before: 0, readings: 0 }).collect();
        Batch { range: Some(SeqRange { first, last }), floor_seq: floor, entries, records, ..self.heartbeat() }
    }

    pub fn heartbeat(&self) -> Batch {
        Batch {
            gateway: self.name.clone(),
            stream: self.stream,
            parent: None,
            range: None,
            floor_seq: 1,
            catch_up: false,
            sent_at: clock::now(),
            status: status(),
            entries: Vec::new(),
            records: Vec::new(),
        }
    }

    pub async fn send(&self, first: u64, last: u64) -> Answer {
        self.deliver(&self.batch(first, last, 1)).await
    }

    pub async fn deliver(&self, batch: &Batch) -> Answer {
        self.post(codec::encode_batch(batch).expect("encoded")).await
    }

    pub async fn post(&self, body: Vec<u8>) -> Answer {
        self.try_post(body).await.expect("answered")
    }

    pub async fn try_post(&self, body: Vec<u8>) -> Result<Answer, reqwest::Error> {
        let url = format!("https://localhost:{}/v1/batches", self.port);
        let response = self.client.post(url).header("content-type", "application/vnd.millrace.batch").body(body).send().await?;
        let status = response.status();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = response.bytes().await?;
        Ok(if status == StatusCode::OK {
            let ack = codec::decode_ack(&bytes).expect("an acknowledgement");
            Answer { status, retry_after, ack: Some(ack), problem: serde_json::Value::Null }
        } else {
            let problem = serde_json::from_slice(&bytes).expect("a problem document");
            Answer { status, retry_after, ack: None, problem }
        })
    }
}

fn status() -> GatewayStatus {
    GatewayStatus {
        boot_id: 1,
        started_at: Timestamp(1_790_000_000_000_000),
        version: "0.1.0".into(),
        readings_total: 1,
        signals: 1,
        durable: true,
        ..GatewayStatus::default()
    }
}

/// Ten readings of the window that belongs to `seq`.
pub fn summary(gateway: &GatewayId, seq: u64) -> WindowSummary {
    let start = Timestamp(1_790_000_000_000_000).plus_micros(i64::try_from(seq).expect("small") * 5_000_000);
    WindowSummary {
        asset: AssetPath::new(&format!("plant1/press-shop/line1/{gateway}-press")).expect("valid"),
        signal: SignalName::new("spindle_temperature").expect("valid"),
        unit: "Cel".into(),
        start,
        end: start.plus_micros(5_000_000),
        count: 10,
        min: 60.0,
        max: 62.0,
        mean: 61.0,
        stddev: 0.5,
        first: 60.5,
        last: 61.5,
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    }
}

/// Rows and distinct sequences in `window_summaries` of one gateway.
pub async fn stored(collector: &Collector, gateway: &GatewayId) -> (u64, u64) {
    let sql = format!("SELECT count(*), count(DISTINCT seq) FROM window_summaries WHERE gateway = '{gateway}'");
    let result = collector.app.lake.sql(&sql).await.expect("answered");
    let number = |index: usize| result.rows[0][index].as_u64().expect("a count");
    (number(0), number(1))
}

/// One number that a statement answers.
pub async fn number(collector: &Collector, sql: &str) -> u64 {
    collector.app.lake.sql(sql).await.expect("answered").rows[0][0].as_u64().expect("a count")
}

/// Waits until `check` is true.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
