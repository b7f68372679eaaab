//! What a month of OEE costs over a real lake: of one machine, of a line of ten, and of all 100. `cargo xtask bench --only oee_month`.
//!
//! A collector on its own folder, asked through its router as HTTP asks it: a month by shift, first right after a start (`cold`: nothing has been read
//! yet), then again and again. The month is written through the lake as deliveries are (rows, commits, a compaction): a change of state each 150 s and a
//! count each minute for each machine; without optimisation six times fewer, since writing them would take longer than asking.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request};
use collector::{
    api,
    app::{Collector, lake_options},
    auth::{self, Role},
    clock,
    config::Config,
    pki::Pki,
    store::Store,
};
use criterion::Criterion;
use lake::{Lake, StoredRow};
use protocol::{AssetPath, GatewayId, MachineState, PartCount, Record, StateChange, StreamId, TimeQuality, Timestamp};
use tower::ServiceExt;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const DAYS: i64 = 31;
const MACHINES: usize = 100;
const GATEWAYS: usize = 10;
/// One of so many rows is written where nothing is optimised.
const THINNER: i64 = if cfg!(debug_assertions) { 6 } else { 1 };
const STATE_EVERY: i64 = 150 * SECOND * THINNER;
const COUNT_EVERY: i64 = 60 * SECOND * THINNER;

/// A plant that writes its month.
struct Plant {
    assets: Vec<AssetPath>,
    gateways: Vec<GatewayId>,
    seqs: [u64; GATEWAYS],
    begin: i64,
}

impl Plant {
    fn new(begin: i64) -> Self {
        let asset = |n: usize| AssetPath::new(&format!("plant1/hall/line{}/press-{n}", n % GATEWAYS)).expect("valid");
        let gateway = |n: usize| GatewayId::new(&format!("gw{n}")).expect("valid");
        Self { assets: (0..MACHINES).map(asset).collect(), gateways: (0..GATEWAYS).map(gateway).collect(), seqs: [0; GATEWAYS], begin }
    }

    /// The rows of a day, in order of time.
    fn day(&mut self, day: i64) -> Vec<StoredRow> {
        let mut records: Vec<(i64, usize, Record)> = Vec::new();
        let (from, to) = (self.begin + day * DAY, self.begin + (day + 1) * DAY);
        for (machine, asset) in self.assets.iter().enumerate() {
            // Not all at the same moment.
            let shifted = machine as i64 * SECOND / 3;
            let steps = |every: i64| {
                (from / every..=to / every).map(move |n| (n, n * every + shifted)).filter(move |(_, at)| (from..to).contains(at))
            };
            for (n, at) in steps(STATE_EVERY) {
                let (state, reason) = match (n + machine as i64) % 40 {
                    0 => (MachineState::UnplannedStop, "motor"),
                    20 => (MachineState::Setup, ""),
                    k if k % 2 == 0 => (MachineState::Idle, ""),
                    _ => (MachineState::Producing, ""),
                };
                let (event_time, reason, time_quality) = (Timestamp(at), reason.to_owned(), TimeQuality::Synced);
                records.push((at, machine, Record::State(StateChange { asset: asset.clone(), event_time, state, reason, time_quality })));
            }
            for (n, at) in steps(COUNT_EVERY) {
                let count = PartCount {
                    asset: asset.clone(),
                    from: Timestamp(at - COUNT_EVERY),
                    to: Timestamp(at),
                    produced: 9 * THINNER as u64,
                    rejected: u64::from(n % 7 == 0),
                    reworked: 0,
                    time_quality: TimeQuality::Synced,
                };
                records.push((at, machine, Record::Parts(count)));
            }
        }
        records.sort_by_key(|(at, machine, _)| (*at, *machine));
        let row = |(at, machine, record): (i64, usize, Record)| {
            let gateway = machine % GATEWAYS;
            self.seqs[gateway] += 1;
            StoredRow {
                gateway: self.gateways[gateway].clone(),
                stream: StreamId(gateway as u64 + 1),
                seq: self.seqs[gateway],
                ingested_at: Timestamp(at + SECOND),
                stamp: None,
                record,
            }
        };
        records.into_iter().map(row).collect()
    }
}

/// A month in the lake of `config`; returns its rows.
async fn fill(config: &Config, begin: i64) -> usize {
    let lake = Lake::open(lake_options(config)).await.expect("opens");
    let mut plant = Plant::new(begin);
    let mut rows = 0;
    for day in 0..DAYS {
        rows += lake.push(plant.day(day)).accepted;
        lake.commit().await.expect("commits");
    }
    lake.compact().await.expect("compacts");
    rows
}

fn config(folder: &Path) -> Config {
    let mut text = format!(
        "[collector]\ndata_dir = {folder:?}\ntimezone = \"Europe/Berlin\"\n[api]\nlisten = \"127.0.0.1:0\"\n[uplink]\nlisten = \"127.0.0.1:0\"\n\
         [lake]\ncommit_interval = \"1h\"\n[sql]\ntimeout = \"10m\"\n"
    );
    for (name, start, end) in [("early", "06:00", "14:00"), ("late", "14:00", "22:00"), ("night", "22:00", "06:00")] {
        text.push_str(&format!("[[shift]]\nname = \"{name}\"\nstart = \"{start}\"\nend = \"{end}\"\n"));
    }
    for n in 0..MACHINES {
        text.push_str(&format!("[[asset]]\npath = \"plant1/hall/line{}/press-{n}\"\nideal_cycle_time = \"4s\"\n", n % GATEWAYS));
    }
    Config::parse(&folder.join("collector.toml"), &text, []).expect("valid")
}

/// Asks once; the answer's length, or why there is none.
async fn ask(router: &Router, key: &str, path: &str) -> Result<usize, String> {
    let request = Request::get(path).header("x-api-key", key).body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("answered");
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 256 << 20).await.expect("a body");
    if status.is_success() { Ok(body.len()) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(500)]))) }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path());
    Pki::open_or_create(&folder.path().join("pki"), clock::now()).expect("made");
    let end = clock::now().as_micros().div_euclid(3_600 * SECOND) * 3_600 * SECOND;
    let begin = end - DAYS * DAY;
    let key = auth::new_key();
    let watch = Instant::now();
    let rows = runtime.block_on(async {
        let store = Store::open(&config.in_data_dir("collector.db")).await.expect("opens");
        store.insert_key("bench", Role::Viewer, &auth::hash(&key), clock::now()).await.expect("stored");
        store.close().await;
        fill(&config, begin).await
    });
    eprintln!("{rows} rows of {MACHINES} machines and {DAYS} days written in {:?}", watch.elapsed());

    let rfc3339 = |at: i64| kpi::utc::Utc(Timestamp(at)).to_string();
    let question = |asset: &str| format!("/api/v1/oee?asset={asset}&bucket=shift&from={}&to={}", rfc3339(begin), rfc3339(end));
    let start = || runtime.block_on(Collector::start(config.clone())).expect("starts");
    for (name, asset) in [("machine", "plant1/hall/line7/press-57"), ("line", "plant1/hall/line7"), ("plant", "plant1")] {
        let path = question(asset);
        // Once before all: what is beyond the time that a request may take, as without optimisation, is told and not measured.
        let collector = start();
        let router = api::router(collector.app.clone());
        let watch = Instant::now();
        let answered = runtime.block_on(ask(&router, &key, &path));
        eprintln!("{name}: {answered:?} (bytes) in {:?}", watch.elapsed());
        drop(router);
        runtime.block_on(collector.stop());
        if answered.is_err() {
            continue;
        }
        criterion.bench_function(&format!("oee_month/{name}_cold"), |b| {
            b.iter_custom(|times| {
                let mut taken = Duration::ZERO;
                for _ in 0..times {
                    let collector = start();
                    let router = api::router(collector.app.clone());
                    let watch = Instant::now();
                    runtime.block_on(ask(&router, &key, &path)).expect("an answer");
                    taken += watch.elapsed();
                    drop(router);
                    runtime.block_on(collector.stop());
                }
                taken
            });
        });
        let collector = start();
        let router = api::router(collector.app.clone());
        criterion.bench_function(&format!("oee_month/{name}"), |b| {
            b.iter(|| runtime.block_on(ask(&router, &key, &path)).expect("an answer"));
        });
        drop(router);
        runtime.block_on(collector.stop());
    }
    criterion.final_summary();
}
