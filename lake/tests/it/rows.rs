//! Rows for tests.

use lake::{Lake, LakeOptions, StoredRow};
use protocol::{
    Anomaly, AnomalyKind, AssetPath, GatewayId, Loss, LossReason, MachineState, PartCount, Quality, Record, Severity, SignalName,
    StateChange, StreamId, TimeQuality, Timestamp, WindowSummary,
};
use serde_json::Value;

/// 2026-01-01T00:00:00Z.
pub const DAWN: i64 = 1_767_225_600_000_000;
pub const SECOND: i64 = 1_000_000;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp(DAWN + seconds * SECOND)
}

pub fn asset(number: usize) -> AssetPath {
    AssetPath::new(&format!("plant1/press-shop/line{}/press-{number}", number % 3)).unwrap()
}

pub fn signal(name: &str) -> SignalName {
    SignalName::new(name).unwrap()
}

pub fn gateway(number: usize) -> GatewayId {
    GatewayId::new(&format!("press-gw{number}")).unwrap()
}

pub fn row(gateway_number: usize, seq: u64, record: Record) -> StoredRow {
    StoredRow {
        gateway: gateway(gateway_number),
        stream: StreamId(0xabc0 + gateway_number as u64),
        seq,
        ingested_at: at(seq as i64),
        stamp: None,
        record,
    }
}

pub fn window(asset_number: usize, seconds: i64, value: f64) -> Record {
    Record::Window(WindowSummary {
        asset: asset(asset_number),
        signal: signal("spindle_temperature"),
        unit: "Cel".into(),
        start: at(seconds),
        end: at(seconds + 5),
        count: 5,
        min: value - 1.0,
        max: value + 1.0,
        mean: value,
        stddev: 0.5,
        first: value,
        last: value,
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    })
}

pub fn state(asset_number: usize, seconds: i64, state: MachineState) -> Record {
    Record::State(StateChange {
        asset: asset(asset_number),
        event_time: at(seconds),
        state,
        reason: "tool worn".into(),
        time_quality: TimeQuality::Holdover,
    })
}

pub fn parts(asset_number: usize, from: i64, to: i64, produced: u64) -> Record {
    Record::Parts(PartCount {
        asset: asset(asset_number),
        from: at(from),
        to: at(to),
        produced,
        rejected: 1,
        reworked: 0,
        time_quality: TimeQuality::Synced,
    })
}

pub fn anomaly(asset_number: usize, seconds: i64) -> Record {
    Record::Anomaly(Anomaly {
        asset: asset(asset_number),
        signal: signal("vibration_velocity"),
        event_time: at(seconds),
        kind: AnomalyKind::Ewma,
        severity: Severity::High,
        value: 9.5,
        threshold: 4.0,
        score: 6.1,
        detector: "vibration".into(),
        message: "9.5 mm/s, expected 2.1".into(),
    })
}

pub fn loss(asset_number: Option<usize>, from: i64, to: i64, count: u64) -> Record {
    Record::Loss(Loss {
        asset: asset_number.map(asset),
        signal: asset_number.map(|_| signal("active_power")),
        reason: LossReason::SequenceGap,
        count,
        from: at(from),
        to: at(to),
        detail: "seq 4..9".into(),
    })
}

/// A row of each table with sequence `seq`.
pub fn one_of_each(gateway: usize, seq: u64) -> Vec<StoredRow> {
    let seconds = seq as i64 * 5;
    [
        window(gateway, seconds, 60.0 + seq as f64),
        anomaly(gateway, seconds),
        state(gateway, seconds, MachineState::Producing),
        parts(gateway, seconds, seconds + 5, 2),
        loss(Some(gateway), seconds, seconds + 1, 3),
    ]
    .map(|record| row(gateway, seq, record))
    .into()
}

pub async fn open(root: &std::path::Path) -> Lake {
    Lake::open(LakeOptions::new(root)).await.unwrap()
}

pub const TABLES: [&str; 5] = ["window_summaries", "anomalies", "state_changes", "part_counts", "losses"];

/// Rows of every table.
pub async fn counts(lake: &Lake) -> [i64; 5] {
    let mut counts = [0; 5];
    for (count, table) in counts.iter_mut().zip(TABLES) {
        *count = number(lake, &format!("SELECT count(*) FROM {table}")).await;
    }
    counts
}

/// The one integer that `sql` answers.
pub async fn number(lake: &Lake, sql: &str) -> i64 {
    lake.sql(sql).await.unwrap().rows[0][0].as_i64().unwrap()
}

/// All cells of all tables, in an order that does not depend on where rows lie.
pub async fn everything(lake: &Lake) -> Vec<Vec<Vec<Value>>> {
    let mut tables = Vec::new();
    for table in TABLES {
        let columns = lake.sql(&format!("SELECT * FROM {table} LIMIT 0")).await.unwrap().columns.len();
        let order = (1..=columns).map(|column| column.to_string()).collect::<Vec<_>>().join(", ");
        tables.push(lake.sql(&format!("SELECT * FROM {table} ORDER BY {order}")).await.unwrap().rows);
    }
    tables
}
