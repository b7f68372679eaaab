//! What travels between a gateway and the collector: identifiers, records, batches, acknowledgements, and their encoding.
//!
//! Stands between `gateway` (which makes records and batches) and `collector` (which stores them). Types name how far a value has
//! travelled: [`Reading`] -> [`WindowSummary`] | [`Anomaly`] | [`StateChange`] | [`PartCount`] | [`Loss`] -> [`Record`] -> [`Batch`] -> [`BatchAck`].
//!
//! Invariant: nothing here does I/O, awaits, or reads a clock; decoding never trusts its input.

pub mod batch;
pub mod codec;
pub mod id;
pub mod record;
pub mod time;

pub use batch::{
    Ack, Batch, BatchAck, Books, DATA, Descent, EntryInfo, EntryStamp, GatewayStatus, HeldStream, LANES, Parent, SeqRange, SourceStatus,
    StampedRecord, URGENT, Want,
};
pub use codec::{DecodeError, EncodeError, Limits, decode_ack, decode_batch, decode_block, encode_ack, encode_batch, encode_block};
pub use id::{AssetPath, GatewayId, IdError, SignalName, StreamId};
pub use record::{Anomaly, AnomalyKind, Loss, LossReason, MachineState, PartCount, Reading, Record, Severity, StateChange, WindowSummary};
pub use time::{Quality, TimeQuality, TimeRange, Timestamp};
