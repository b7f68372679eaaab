//! A collector without its listeners: a real lake, database and router in a folder that goes away with the test.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use collector::{
    api,
    app::App,
    auth::{self, Role},
    clock,
    config::Config,
    health::Health,
    live::Live,
    production::Production,
    store::Store,
    tally::Tally,
    twin::Twin,
};
use lake::{Lake, LakeOptions, StoredRow};
use metrics_exporter_prometheus::PrometheusBuilder;
use protocol::{
    AssetPath, GatewayId, MachineState, PartCount, Quality, Record, SignalName, StampedRecord, StateChange, StreamId, TimeQuality,
    Timestamp, WindowSummary,
};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

pub const SECOND: i64 = 1_000_000;
pub const PRESS: &str = "plant1/press-shop/line1/press-1";

pub struct Plant {
    pub app: App,
    pub router: Router,
    /// Keys of a viewer, an operator and an administrator.
    pub viewer: String,
    pub operator: String,
    pub admin: String,
    seq: u64,
    _dir: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.json()
    }

    /// The problem document of an error.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        problem
    }
}

impl Plant {
    pub async fn new() -> Self {
        Self::with_live(Live::new()).await
    }

    pub async fn with_live(live: Live) -> Self {
        let dir = TempDir::new().unwrap();
        let text = format!(
            "[collector]\ndata_dir = {:?}\ntimezone = \"UTC\"\n[[asset]]\npath = \"{PRESS}\"\nideal_cycle_time = \"2s\"\n",
            dir.path().display()
        );
        let config = Arc::new(Config::parse(Path::new("collector.toml"), &text, Vec::new()).unwrap());
        let store = Store::in_memory().await.unwrap();
        let mut keys = Vec::new();
        for role in Role::ALL {
            let key = auth::new_key();
            store.insert_key(role.as_str(), role, &auth::hash(&key), clock::now()).await.unwrap();
            keys.push(key);
        }
        let [viewer, operator, admin] = <[String; 3]>::try_from(keys).unwrap();
        let production = Production::new(store.production().await.unwrap());
        let app = App {
            lake: Arc::new(Lake::open(LakeOptions::new(dir.path().join("lake"))).await.unwrap()),
            store,
            twin: Arc::new(Twin::new(&config).with_production(production.clone())),
            production,
            maintenance: Arc::default(),
            config,
            live,
            tally: Tally::default(),
            auditor: collector::audit::Auditor::default(),
            alarms: Arc::default(),
            health: Health::default(),
            local: collector::local::Local::default(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            started_at: clock::now(),
        };
        Self { router: api::router(app.clone()), app, viewer, operator, admin, seq: 0, _dir: dir }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).header("x-api-key", &self.viewer).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("x-api-key", &self.operator).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// As the pipeline does with a fresh batch: rows into the lake, records into the twin.
    pub fn take_in(&mut self, records: Vec<Record>) {
        let received = clock::now();
        let mut stamped = Vec::new();
        for record in records {
            self.seq += 1;
            stamped.push(StampedRecord { seq: self.seq, record });
        }
        self.app.lake.push(
            stamped
                .iter()
                .map(|s| StoredRow {
                    gateway: gateway(),
                    stream: StreamId(7),
                    seq: s.seq,
                    ingested_at: received,
                    stamp: None,
                    record: s.record.clone(),
                })
                .collect(),
        );
        self.app.twin.apply(&gateway(), received, &stamped);
    }
}

pub fn gateway() -> GatewayId {
    GatewayId::new("press-gw1").unwrap()
}

pub fn press() -> AssetPath {
    AssetPath::new(PRESS).unwrap()
}

pub fn rfc3339(at: Timestamp) -> String {
    kpi::utc::Utc(at).to_string()
}

pub fn state(at: Timestamp, state: MachineState, reason: &str) -> Record {
    Record::State(StateChange { asset: press(), event_time: at, state, reason: reason.into(), time_quality: TimeQuality::Synced })
}

pub fn parts(from: Timestamp, to: Timestamp, produced: u64, rejected: u64) -> Record {
    Record::Parts(PartCount { asset: press(), from, to, produced, rejected, reworked: 0, time_quality: TimeQuality::Synced })
}

pub fn window(start: Timestamp, count: u64, mean: f64) -> Record {
    Record::Window(WindowSummary {
        asset: press(),
        signal: SignalName::new("spindle_temperature").unwrap(),
        unit: "Cel".into(),
        start,
        end: start.plus_micros(5 * SECOND),
        count,
        min: mean - 1.0,
        max: mean + 1.0,
        mean,
        stddev: 0.5,
        first: mean,
        last: mean,
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    })
}
