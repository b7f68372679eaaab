//! The unit of delivery: records of consecutive spool entries of one stream, and the collector's answer.

use serde::{Deserialize, Serialize};

use crate::{GatewayId, Record, StreamId, TimeQuality, Timestamp};

/// Consecutive spool entries `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeqRange {
    pub first: u64,
    pub last: u64,
}

/// A record and the spool entry that it came from. Several records share an entry; (stream, seq) is stored or not as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StampedRecord {
    pub seq: u64,
    pub record: Record,
}

/// What a gateway uploads. Without `range` it is a heartbeat: status alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub gateway: GatewayId,
    pub stream: StreamId,
    pub range: Option<SeqRange>,
    /// Lowest sequence of the stream that the gateway still holds: what is missing below it can't be had any more.
    pub floor_seq: u64,
    /// The gateway's clock when it sent the batch; the collector reckons skew from it.
    pub sent_at: Timestamp,
    pub status: GatewayStatus,
    /// In order of `seq`, all within `range`.
    pub records: Vec<StampedRecord>,
}

/// How a gateway is, at the time of sending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Random id of this run of the process.
    pub boot_id: u64,
    pub started_at: Timestamp,
    pub version: String,
    pub time_quality: TimeQuality,
    /// Readings decoded since the start.
    pub readings_total: u64,
    /// Readings or messages dropped for good since the start; each is also a `Loss` record.
    pub dropped_total: u64,
    /// Readings dropped since the start because they had been taken in already.
    pub duplicates_total: u64,
    /// Distinct signals seen.
    pub signals: u64,
    pub spool_bytes: u64,
    /// Spool entries not yet acknowledged (this batch included).
    pub backlog_entries: u64,
    /// Age of the oldest unacknowledged entry.
    pub oldest_unsent_age_ms: u64,
    pub sources: Vec<SourceStatus>,
}

/// One source of a gateway, as its data (not its configuration) shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    /// `mqtt_broker`, `mqtt_client`, `modbus_tcp`, ...
    pub kind: String,
    pub connected: bool,
    pub last_data_at: Option<Timestamp>,
    /// The last error, empty if there was none since the last success.
    pub error: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ack {
    /// All of the range is durable at the collector (part of it may have been there before).
    Stored,
    /// All of it was there already.
    Duplicate,
    /// Nothing was stored: the collector first wants `expected`, which the gateway said it holds.
    Gap { expected: u64 },
    /// There was no range: status taken.
    Heartbeat,
}

/// The collector's answer to a [`Batch`]; the gateway may delete through `acked_through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAck {
    pub stream: StreamId,
    pub ack: Ack,
    /// Highest sequence of the stream with nothing missing below it that is durable at the collector.
    pub acked_through: Option<u64>,
    /// The collector's clock.
    pub received_at: Timestamp,
    /// How long the collector asks the gateway to wait before its next batch; 0: as it likes.
    pub hold_ms: u32,
}
