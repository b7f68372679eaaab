//! The payloads of the three kinds of frames. What there is once in a frame is written by postcard; what there is many times is columns.
//!
//! ```text
//! block   records
//! batch   head (postcard) · sources: varint how many, each postcard · records · seq: integer column, a row a record
//! ack     BatchAck (postcard)
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    Batch, BatchAck, GatewayId, GatewayStatus, Record, SeqRange, SourceStatus, StampedRecord, StreamId, TimeQuality, Timestamp,
    codec::{
        DecodeError, EncodeError, Limits,
        columns::{Shape, put_ints, read_ints},
        frame::{self, Kind},
        limits::{SOURCE_WEIGHT, Tally},
        records,
        wire::{self, Cursor},
    },
};

/// The shortest source: three empty texts, a flag, no time.
const MIN_SOURCE_BYTES: usize = 5;

/// Encodes the records of one spool entry.
///
/// # Errors
/// [`EncodeError::is_too_large`]: over one of the default [`Limits`], to be tried again in smaller portions.
pub fn encode_block(block: &[Record]) -> Result<Vec<u8>, EncodeError> {
    let limits = Limits::default();
    let mut tally = Tally::up_to(limits.max_decoded_bytes as u64);
    let mut payload = Vec::new();
    records::write(&mut payload, block.iter(), &mut tally, &limits)?;
    frame::seal(Kind::Block, tally.bytes(), &payload, &limits)
}

/// Decodes what [`encode_block`] made.
///
/// # Errors
/// Any input that is not a whole, undamaged block within `limits`.
pub fn decode_block(bytes: &[u8], limits: &Limits) -> Result<Vec<Record>, DecodeError> {
    let (declared, payload) = frame::open(Kind::Block, bytes, limits)?;
    let mut tally = Tally::up_to(declared);
    let mut cursor = Cursor::new(payload);
    let mut reader = records::Reader::open(&mut cursor, &mut tally, limits)?;
    cursor.finish()?;
    let mut block = Vec::with_capacity(reader.rows());
    while let Some(record) = reader.next(&mut tally)? {
        block.push(record);
    }
    settled(&tally, declared)?;
    Ok(block)
}

/// Encodes a batch.
///
/// # Errors
/// [`EncodeError::is_too_large`]: over one of the default [`Limits`], to be tried again in smaller portions;
/// [`EncodeError::OutOfOrder`]: records out of order or outside of the range.
pub fn encode_batch(batch: &Batch) -> Result<Vec<u8>, EncodeError> {
    if !in_order(batch.range, &batch.records) {
        return Err(EncodeError::OutOfOrder);
    }
    let limits = Limits::default();
    let mut tally = Tally::up_to(limits.max_decoded_bytes as u64);
    let head = Head::of(batch);
    tally.charge_text(head.version.len())?;
    let mut payload = postcard::to_stdvec(&head).map_err(EncodeError::Envelope)?;

    wire::put_varint(&mut payload, batch.status.sources.len() as u64);
    tally.charge(batch.status.sources.len() as u64, SOURCE_WEIGHT)?;
    for source in &batch.status.sources {
        charge_source(&mut tally, source)?;
        payload = postcard::to_extend(source, payload).map_err(EncodeError::Envelope)?;
    }
    records::write(&mut payload, batch.records.iter().map(|r| &r.record), &mut tally, &limits)?;
    put_ints(&mut payload, &batch.records.iter().map(|r| r.seq as i64).collect::<Vec<_>>(), Shape::Steady)?;
    frame::seal(Kind::Batch, tally.bytes(), &payload, &limits)
}

/// Decodes what [`encode_batch`] made.
///
/// # Errors
/// Any input that is not a whole, undamaged batch within `limits`.
pub fn decode_batch(bytes: &[u8], limits: &Limits) -> Result<Batch, DecodeError> {
    let (declared, payload) = frame::open(Kind::Batch, bytes, limits)?;
    let mut tally = Tally::up_to(declared);
    let mut cursor = Cursor::new(payload);
    let head: Head = cursor.postcard()?;
    tally.charge_text(head.version.len())?;

    let count = cursor.length("sources")?;
    tally.charge(count as u64, SOURCE_WEIGHT)?;
    if count > cursor.remaining() / MIN_SOURCE_BYTES {
        return Err(DecodeError::Truncated { what: "sources" });
    }
    let mut sources = Vec::with_capacity(count);
    for _ in 0..count {
        let source: SourceStatus = cursor.postcard()?;
        charge_source(&mut tally, &source)?;
        sources.push(source);
    }
    let mut reader = records::Reader::open(&mut cursor, &mut tally, limits)?;
    let seqs = read_ints(&mut cursor, reader.rows(), "sequences")?;
    cursor.finish()?;
    let mut records = Vec::with_capacity(reader.rows());
    while let Some(record) = reader.next(&mut tally)? {
        records.push(StampedRecord { seq: seqs.at(records.len()) as u64, record });
    }
    settled(&tally, declared)?;
    if !in_order(head.range, &records) {
        return Err(DecodeError::Malformed { what: "order of sequences" });
    }
    Ok(head.into_batch(sources, records))
}

/// Encodes an acknowledgement.
///
/// # Errors
/// None in practice: an acknowledgement is small.
pub fn encode_ack(ack: &BatchAck) -> Result<Vec<u8>, EncodeError> {
    let payload = postcard::to_stdvec(ack).map_err(EncodeError::Envelope)?;
    frame::seal(Kind::Ack, 0, &payload, &Limits::default())
}

/// Decodes what [`encode_ack`] made.
///
/// # Errors
/// Any input that is not a whole, undamaged acknowledgement.
pub fn decode_ack(bytes: &[u8]) -> Result<BatchAck, DecodeError> {
    let (declared, payload) = frame::open(Kind::Ack, bytes, &Limits::default())?;
    let mut cursor = Cursor::new(payload);
    let ack = cursor.postcard()?;
    cursor.finish()?;
    settled(&Tally::up_to(0), declared)?;
    Ok(ack)
}

/// All of a batch that there is once.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    gateway: GatewayId,
    stream: StreamId,
    range: Option<SeqRange>,
    floor_seq: u64,
    sent_at: Timestamp,
    boot_id: u64,
    started_at: Timestamp,
    version: String,
    time_quality: TimeQuality,
    readings_total: u64,
    dropped_total: u64,
    duplicates_total: u64,
    signals: u64,
    spool_bytes: u64,
    backlog_entries: u64,
    oldest_unsent_age_ms: u64,
}

impl Head {
    fn of(batch: &Batch) -> Self {
        let status = &batch.status;
        Self {
            gateway: batch.gateway.clone(),
            stream: batch.stream,
            range: batch.range,
            floor_seq: batch.floor_seq,
            sent_at: batch.sent_at,
            boot_id: status.boot_id,
            started_at: status.started_at,
            version: status.version.clone(),
            time_quality: status.time_quality,
            readings_total: status.readings_total,
            dropped_total: status.dropped_total,
            duplicates_total: status.duplicates_total,
            signals: status.signals,
            spool_bytes: status.spool_bytes,
            backlog_entries: status.backlog_entries,
            oldest_unsent_age_ms: status.oldest_unsent_age_ms,
        }
    }

    fn into_batch(self, sources: Vec<SourceStatus>, records: Vec<StampedRecord>) -> Batch {
        Batch {
            gateway: self.gateway,
            stream: self.stream,
            range: self.range,
            floor_seq: self.floor_seq,
            sent_at: self.sent_at,
            status: GatewayStatus {
                boot_id: self.boot_id,
                started_at: self.started_at,
                version: self.version,
                time_quality: self.time_quality,
                readings_total: self.readings_total,
                dropped_total: self.dropped_total,
                duplicates_total: self.duplicates_total,
                signals: self.signals,
                spool_bytes: self.spool_bytes,
                backlog_entries: self.backlog_entries,
                oldest_unsent_age_ms: self.oldest_unsent_age_ms,
                sources,
            },
            records,
        }
    }
}

fn charge_source(tally: &mut Tally, source: &SourceStatus) -> Result<(), crate::codec::limits::Exceeded> {
    [&source.name, &source.kind, &source.error].into_iter().try_for_each(|text| tally.charge_text(text.len()))
}

fn in_order(range: Option<SeqRange>, records: &[StampedRecord]) -> bool {
    let within = match (range, records.first(), records.last()) {
        (Some(range), None, None) => range.first <= range.last,
        (Some(range), Some(first), Some(last)) => range.first <= first.seq && last.seq <= range.last,
        (None, first, _) => first.is_none(),
        (Some(_), _, _) => false,
    };
    within && records.is_sorted_by_key(|r| r.seq)
}

/// A frame that decodes to something else than it declared is not what its encoder meant.
fn settled(tally: &Tally, declared: u64) -> Result<(), DecodeError> {
    if tally.bytes() == declared { Ok(()) } else { Err(DecodeError::Malformed { what: "decoded size" }) }
}
