//! What the lake takes: pushing, committing, asking and compacting, at the sizes of a small plant.

use std::{hint::black_box, path::Path, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lake::{Lake, LakeOptions, StoredRow};
use protocol::{AssetPath, GatewayId, Quality, Record, SignalName, StreamId, TimeQuality, TimeRange, Timestamp, WindowSummary};

const DAWN: i64 = 1_767_225_600_000_000;
const SIGNALS: [&str; 3] = ["spindle_temperature", "vibration_velocity", "active_power"];
const MACHINES: usize = 12;

/// Rows number `first..first + count` of a plant of twelve machines with three signals, one sequence per 36 rows.
fn rows(first: usize, count: usize) -> Vec<StoredRow> {
    let assets: Vec<AssetPath> =
        (0..MACHINES).map(|n| AssetPath::new(&format!("plant1/press-shop/line{}/press-{n}", n % 3)).expect("valid")).collect();
    let gateways: Vec<GatewayId> = (0..2).map(|n| GatewayId::new(&format!("press-gw{n}")).expect("valid")).collect();
    let signals = SIGNALS.map(|name| SignalName::new(name).expect("valid"));
    (first..first + count)
        .map(|n| {
            let (window, machine, signal) = (n / (MACHINES * SIGNALS.len()), n / SIGNALS.len() % MACHINES, n % SIGNALS.len());
            let start = Timestamp(DAWN + window as i64 * 5_000_000);
            let value = 60.0 + (n * 7_919 % 1_000) as f64 / 100.0;
            let record = Record::Window(WindowSummary {
                asset: assets[machine].clone(),
                signal: signals[signal].clone(),
                unit: "Cel".into(),
                start,
                end: start.plus_micros(5_000_000),
                count: 5,
                min: value - 1.0,
                max: value + 1.0,
                mean: value,
                stddev: 0.5,
                first: value,
                last: value + 0.25,
                quality: Quality::Good,
                time_quality: TimeQuality::Synced,
                correction: false,
            });
            StoredRow {
                gateway: gateways[machine % 2].clone(),
                stream: StreamId(1),
                seq: window as u64 + 1,
                ingested_at: start,
                stamp: None,
                record,
            }
        })
        .collect()
}

fn open(runtime: &tokio::runtime::Runtime, root: &Path) -> Lake {
    runtime.block_on(Lake::open(LakeOptions::new(root))).expect("opens")
}

fn lake_benches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let mut group = criterion.benchmark_group("lake");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(4));

    let root = tempfile::tempdir().expect("folder");
    let lake = open(&runtime, root.path());
    let mut next = 0;
    group.throughput(Throughput::Elements(3_600));
    group.bench_function("push 3600 rows", |bencher| {
        bencher.iter_batched(
            || {
                next += 3_600;
                rows(next - 3_600, 3_600)
            },
            |rows| assert_eq!(lake.push(rows).accepted, 3_600),
            criterion::BatchSize::PerIteration,
        );
    });
    drop(lake);

    let root = tempfile::tempdir().expect("folder");
    let lake = open(&runtime, root.path());
    let mut next = 0;
    group.throughput(Throughput::Elements(2_000));
    group.bench_function("commit 2000 rows", |bencher| {
        bencher.iter_batched(
            || {
                // 2016 rows are whole sequences.
                next += 2_016;
                lake.push(rows(next - 2_016, 2_016));
            },
            |()| assert_eq!(runtime.block_on(lake.commit()).expect("commits").rows, 2_016),
            criterion::BatchSize::PerIteration,
        );
    });
    let files = next / 2_016;
    let compacted = runtime.block_on(lake.compact()).expect("compacts");
    eprintln!("compaction of {files} files of 2016 rows: {:?} ({:?})", compacted.elapsed, compacted.tables);
    drop(lake);

    let root = tempfile::tempdir().expect("folder");
    let lake = open(&runtime, root.path());
    for first in (0..1_000_800).step_by(100_080) {
        lake.push(rows(first, 100_080));
        let report = runtime.block_on(lake.commit()).expect("commits");
        eprintln!("commit of {} rows: {:?}, {} bytes", report.rows, report.elapsed, report.bytes);
    }
    let ask = |sql: &str| runtime.block_on(lake.sql(sql)).expect("answers");
    let by_hour = "SELECT gateway, date_trunc('hour', window_start) AS hour, sum(count), min(min), max(max), sum(mean * count) / sum(count) \
                   FROM window_summaries GROUP BY 1, 2 ORDER BY 1, 2";
    let (asset, signal) = (AssetPath::new("plant1/press-shop/line1/press-4").expect("valid"), SignalName::new(SIGNALS[0]).expect("valid"));
    let month = TimeRange { from: Timestamp(DAWN), to: Timestamp(DAWN + 31 * 86_400_000_000) };
    let series = || runtime.block_on(lake.series(&asset, &signal, month, Duration::from_secs(3_600))).expect("answers");
    group.throughput(Throughput::Elements(1));
    group.bench_function("hour by gateway over 1M rows, 10 files", |bencher| bencher.iter(|| black_box(ask(by_hour))));
    group.bench_function("series by hour of one machine, 10 files", |bencher| bencher.iter(|| black_box(series())));
    let compacted = runtime.block_on(lake.compact()).expect("compacts");
    eprintln!("compaction of 1M rows: {:?} ({:?})", compacted.elapsed, compacted.tables);
    group.bench_function("hour by gateway over 1M rows, compacted", |bencher| bencher.iter(|| black_box(ask(by_hour))));
    group.bench_function("series by hour of one machine, compacted", |bencher| bencher.iter(|| black_box(series())));
    group.bench_function("latest over 1M rows", |bencher| bencher.iter(|| black_box(runtime.block_on(lake.latest()).expect("answers"))));
    let states = || runtime.block_on(lake.states(&asset, month)).expect("answers");
    group.bench_function("states of one machine, empty table", |bencher| bencher.iter(|| black_box(states())));

    for first in (1_000_800..1_018_800).step_by(36) {
        lake.push(rows(first, 36));
    }
    let recent = format!(
        "SELECT asset, signal, max(max) FROM window_summaries WHERE window_start >= to_timestamp_micros({}) GROUP BY 1, 2",
        DAWN + 1_000_800 / 36 * 5_000_000
    );
    group.bench_function("recent rows, 500 hot pushes beside 1M stored", |bencher| bencher.iter(|| black_box(ask(&recent))));
    group.bench_function("a constant", |bencher| bencher.iter(|| black_box(ask("SELECT 1"))));
    group.finish();
}

criterion_group!(benches, lake_benches);
criterion_main!(benches);
