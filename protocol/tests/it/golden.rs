//! One example of each version's bytes. They are never changed: what a gateway has in its spool must be readable after an update.

use std::path::Path;

use protocol::{
    Ack, Anomaly, AnomalyKind, AssetPath, Batch, BatchAck, Limits, Loss, LossReason, MachineState, PartCount, Record, Severity, SignalName,
    SourceStatus, StampedRecord, StateChange, StreamId, TimeQuality, Timestamp, Want, decode_ack, decode_batch, decode_block, encode_ack,
    encode_batch, encode_block,
};

use crate::plant::{self, Sensor};

fn examples() -> (Batch, Vec<Record>, BatchAck) {
    let sensors = [Sensor::Decimal(2), Sensor::Single, Sensor::Double];
    let mut batch = plant::batch(6, &plant::windows(6, 10, |s| sensors[s % 3]));
    let asset = AssetPath::new("plant1/press-shop/line0/press-1").unwrap();
    let signal = SignalName::new("spindle_temperature").unwrap();
    let at = |seconds: i64| Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000);
    let events = [
        Record::Anomaly(Anomaly {
            asset: asset.clone(),
            signal: signal.clone(),
            event_time: at(41),
            kind: AnomalyKind::LimitHigh,
            severity: Severity::High,
            value: 91.5,
            threshold: 90.0,
            score: 91.5,
            detector: "spindle too hot".to_owned(),
            message: "91.5 Cel is above 90".to_owned(),
        }),
        Record::State(StateChange {
            asset: asset.clone(),
            event_time: at(42),
            state: MachineState::UnplannedStop,
            reason: "überhitzt".to_owned(),
            time_quality: TimeQuality::Holdover,
        }),
        Record::Parts(PartCount {
            asset: asset.clone(),
            from: at(0),
            to: at(42),
            produced: 17,
            rejected: 1,
            reworked: 0,
            time_quality: TimeQuality::Synced,
        }),
        Record::Loss(Loss {
            asset: Some(asset),
            signal: Some(signal),
            reason: LossReason::SequenceGap,
            count: 12,
            from: at(10),
            to: at(14),
            detail: String::new(),
        }),
        Record::Loss(Loss {
            asset: None,
            signal: None,
            reason: LossReason::Unmatched,
            count: 1,
            from: at(20),
            to: at(20),
            detail: "some/other/topic".to_owned(),
        }),
    ];
    batch.records.extend(events.into_iter().map(|record| StampedRecord { seq: 1009, record }));
    batch.status.sources.push(SourceStatus {
        name: "broker".to_owned(),
        kind: "mqtt_broker".to_owned(),
        connected: true,
        last_data_at: Some(at(44)),
        error: String::new(),
    });
    let block = batch.records.iter().skip(54).map(|r| r.record.clone()).collect();
    let ack = BatchAck {
        stream: StreamId(0xfeed_f00d_dead_beed),
        ack: Ack::Gap { expected: 990 },
        acked_through: Some(989),
        received_at: at(45),
        hold_ms: 250,
        catch_up_hold_ms: 1500,
        wants: vec![Want { stream: StreamId(0xfeed_f00d_dead_beed), from: 990 }],
    };
    (batch, block, ack)
}

/// Compares with the file, or writes it if it is not there (and fails, so that a new file is looked at).
fn check(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        let lines: Vec<String> = bytes.chunks(32).map(|line| line.iter().map(|b| format!("{b:02x}")).collect()).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        panic!("{} was missing: written, look at it and commit it", path.display());
    };
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let golden: Vec<u8> = digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect();
    assert_eq!(bytes, golden, "{name}: encoded otherwise now. A change of the format raises the version and adds a file; this one stays");
    golden
}

#[test]
fn version_2_bytes_of_a_batch_stand() {
    let batch = examples().0;
    let golden = check("v2-batch.hex", &encode_batch(&batch).unwrap());
    assert_eq!(decode_batch(&golden, &Limits::default()).unwrap(), batch);
}

#[test]
fn version_1_bytes_of_a_block_stand() {
    let block = examples().1;
    let golden = check("v1-block.hex", &encode_block(&block).unwrap());
    assert_eq!(decode_block(&golden, &Limits::default()).unwrap(), block);
}

#[test]
fn version_2_bytes_of_an_ack_stand() {
    let ack = examples().2;
    let golden = check("v2-ack.hex", &encode_ack(&ack).unwrap());
    assert_eq!(decode_ack(&golden).unwrap(), ack);
}
