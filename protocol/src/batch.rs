//! The unit of delivery: records of consecutive spool entries of one stream, and the collector's answer.

use serde::{Deserialize, Serialize};

use crate::{GatewayId, Record, StreamId, TimeQuality, Timestamp};

/// Consecutive spool entries `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeqRange {
    pub first: u64,
    pub last: u64,
}

/// Lanes of a generation: each is a stream of its own, so that what is urgent need not wait for what is not.
pub const LANES: usize = 2;
/// Anomalies, state changes and losses.
pub const URGENT: usize = 0;
/// Window summaries and part counts.
pub const DATA: usize = 1;
/// Most entries of a batch, and most streams in a status.
pub const MAX_ENTRIES: usize = 4096;

/// What a generation of a gateway's spool goes on from: the generation before it, and how far that had come. A gateway begins a new generation at
/// each start, so two generations with one parent, or a parent that went on further, show a gateway that was restored from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Id of the generation: of its streams without the lane.
    pub generation: u64,
    /// By lane: the last sequence that was appended, 0 if none.
    pub through: [u64; LANES],
    /// By lane: readings in all its entries.
    pub readings: [u64; LANES],
}

/// Where and when an entry was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryStamp {
    /// Random id of the run of the process that made it.
    pub boot_id: u64,
    /// Monotonic clock of that run, in microseconds.
    pub mono_us: u64,
    /// Wall clock at the same moment, as the gateway then knew it.
    pub wall: Timestamp,
    pub time_quality: TimeQuality,
    /// It tells what a run found in the checkpoint of the run before. If that was not the last one (a backup was restored), somebody else has told
    /// it already.
    pub inherited: bool,
}

/// What is known of an entry beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryInfo {
    /// `None` if the entry can't be read back.
    pub stamp: Option<EntryStamp>,
    /// Readings in all entries of the stream before this one.
    pub readings_before: u64,
    /// Readings in this one.
    pub readings: u64,
}

/// A stream of which the gateway still holds something, delivered or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStream {
    pub stream: StreamId,
    /// Lowest sequence held.
    pub first: u64,
    /// The collector has acknowledged so far; 0: nothing.
    pub acked: u64,
    /// The sequence that the next entry would get.
    pub next: u64,
}

/// A generation that the gateway holds and of which nothing has been acknowledged, and what it goes on from. The newest data may be sent first:
/// this tells of a restored backup before the first entries of the generation that shows it come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descent {
    pub generation: u64,
    pub parent: Parent,
}

/// A gateway's own account of readings since it was set up, kept across restarts. `taken` = in records + `open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Books {
    /// Readings taken in: each goes into exactly one summary.
    pub taken: u64,
    /// Of these, lost after they were taken in (spool full or damaged, refused by the collector); each is in a loss too.
    pub lost_after: u64,
    /// Lost before they were taken in (sequence gaps, malformed, not finite, ...), as far as they could be counted.
    pub lost_before: u64,
    /// Sent to the gateway again, recognised and dropped.
    pub duplicates: u64,
    /// Came after their window had closed; they are in corrections.
    pub late: u64,
    /// In windows that are open, or in records that are not in the spool yet.
    pub open: u64,
    /// In spool entries that the collector has not acknowledged.
    pub held: u64,
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
    /// What the stream's generation goes on from; `None` for the first one ever.
    pub parent: Option<Parent>,
    pub range: Option<SeqRange>,
    /// Lowest sequence of the stream that the gateway still holds: what is missing below it can't be had any more.
    pub floor_seq: u64,
    /// It is of a backlog: the collector may ask the gateway to send such batches more slowly.
    pub catch_up: bool,
    /// The gateway's clock when it sent the batch; the collector reckons skew from it.
    pub sent_at: Timestamp,
    pub status: GatewayStatus,
    /// One for each entry of `range`, in order.
    pub entries: Vec<EntryInfo>,
    /// In order of `seq`, all within `range`.
    pub records: Vec<StampedRecord>,
}

/// How a gateway is, at the time of sending.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    pub books: Books,
    /// Upper bound on `spool_bytes`.
    pub spool_max_bytes: u64,
    /// Bytes that the process wrote to its disk since midnight UTC.
    pub written_today_bytes: u64,
    /// False while records can only be kept in memory (disk full or failed).
    pub durable: bool,
    /// All streams of which something is held, the newest first; at most [`MAX_ENTRIES`].
    pub streams: Vec<HeldStream>,
    /// The newest first; at most [`MAX_ENTRIES`].
    pub descents: Vec<Descent>,
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

/// Something that the collector misses although it had acknowledged it (it was restored from a backup), and that the gateway said it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    pub stream: StreamId,
    /// First sequence that is to be sent again.
    pub from: u64,
}

/// The collector's answer to a [`Batch`]; the gateway may let go through `acked_through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAck {
    pub stream: StreamId,
    pub ack: Ack,
    /// Highest sequence of the stream with nothing missing below it that is durable at the collector.
    pub acked_through: Option<u64>,
    /// The collector's clock.
    pub received_at: Timestamp,
    /// How long the collector asks the gateway to wait before its next batch of any kind; 0: as it likes.
    pub hold_ms: u32,
    /// How long before its next batch of a backlog.
    pub catch_up_hold_ms: u32,
    /// At most [`MAX_ENTRIES`].
    pub wants: Vec<Want>,
}
