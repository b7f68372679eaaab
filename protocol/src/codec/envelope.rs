//! The payloads of the three kinds of frames. What there is once in a frame is written by postcard; what there is many times is columns.
//!
//! ```text
//! block   records
//! batch   head (postcard) · entries, streams, sources: each varint how many, each postcard · records · seq: integer column, a row a record
//! ack     BatchAck (postcard)
//! ```

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Batch, BatchAck, Books, Descent, EntryInfo, GatewayId, GatewayStatus, HeldStream, Parent, Record, SeqRange, SourceStatus,
    StampedRecord, StreamId, TimeQuality, Timestamp,
    batch::MAX_ENTRIES,
    codec::{
        DecodeError, EncodeError, Limits,
        columns::{Shape, put_ints, read_ints},
        frame::{self, Kind},
        limits::{DESCENT_WEIGHT, INFO_WEIGHT, SOURCE_WEIGHT, STREAM_WEIGHT, Tally},
        records,
        wire::{self, Cursor},
    },
};

/// The shortest source: three empty texts, a flag, no time.
const MIN_SOURCE_BYTES: usize = 5;
/// The shortest entry: no stamp, two numbers.
const MIN_ENTRY_BYTES: usize = 3;
/// The shortest held stream: four numbers.
const MIN_STREAM_BYTES: usize = 4;
const MIN_DESCENT_BYTES: usize = 6;

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
    if !in_order(batch.range, &batch.records) || !each_told(batch.range, batch.entries.len()) {
        return Err(EncodeError::OutOfOrder);
    }
    let limits = Limits::default();
    let mut tally = Tally::up_to(limits.max_decoded_bytes as u64);
    let head = Head::of(batch);
    tally.charge_text(head.version.len())?;
    let mut payload = postcard::to_stdvec(&head).map_err(EncodeError::Envelope)?;

    put_list(&mut payload, &batch.entries, INFO_WEIGHT, &mut tally)?;
    put_list(&mut payload, &batch.status.streams, STREAM_WEIGHT, &mut tally)?;
    put_list(&mut payload, &batch.status.descents, DESCENT_WEIGHT, &mut tally)?;
    batch.status.sources.iter().try_for_each(|source| charge_source(&mut tally, source))?;
    put_list(&mut payload, &batch.status.sources, SOURCE_WEIGHT, &mut tally)?;
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

    let entries: Vec<EntryInfo> = list(&mut cursor, "entries", MIN_ENTRY_BYTES, INFO_WEIGHT, &mut tally)?;
    let streams: Vec<HeldStream> = list(&mut cursor, "streams", MIN_STREAM_BYTES, STREAM_WEIGHT, &mut tally)?;
    let descents: Vec<Descent> = list(&mut cursor, "descents", MIN_DESCENT_BYTES, DESCENT_WEIGHT, &mut tally)?;
    let sources: Vec<SourceStatus> = list(&mut cursor, "sources", MIN_SOURCE_BYTES, SOURCE_WEIGHT, &mut tally)?;
    sources.iter().try_for_each(|source| charge_source(&mut tally, source))?;
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
    if !each_told(head.range, entries.len()) {
        return Err(DecodeError::Malformed { what: "number of entries" });
    }
    Ok(head.into_batch(entries, streams, descents, sources, records))
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
    parent: Option<Parent>,
    range: Option<SeqRange>,
    floor_seq: u64,
    catch_up: bool,
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
    books: Books,
    spool_max_bytes: u64,
    written_today_bytes: u64,
    durable: bool,
}

impl Head {
    fn of(batch: &Batch) -> Self {
        let status = &batch.status;
        Self {
            gateway: batch.gateway.clone(),
            stream: batch.stream,
            parent: batch.parent,
            range: batch.range,
            floor_seq: batch.floor_seq,
            catch_up: batch.catch_up,
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
            books: status.books,
            spool_max_bytes: status.spool_max_bytes,
            written_today_bytes: status.written_today_bytes,
            durable: status.durable,
        }
    }

    fn into_batch(
        self,
        entries: Vec<EntryInfo>,
        streams: Vec<HeldStream>,
        descents: Vec<Descent>,
        sources: Vec<SourceStatus>,
        records: Vec<StampedRecord>,
    ) -> Batch {
        Batch {
            gateway: self.gateway,
            stream: self.stream,
            parent: self.parent,
            range: self.range,
            floor_seq: self.floor_seq,
            catch_up: self.catch_up,
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
                books: self.books,
                spool_max_bytes: self.spool_max_bytes,
                written_today_bytes: self.written_today_bytes,
                durable: self.durable,
                streams,
                descents,
                sources,
            },
            entries,
            records,
        }
    }
}

fn charge_source(tally: &mut Tally, source: &SourceStatus) -> Result<(), crate::codec::limits::Exceeded> {
    [&source.name, &source.kind, &source.error].into_iter().try_for_each(|text| tally.charge_text(text.len()))
}

fn put_list<T: Serialize>(out: &mut Vec<u8>, items: &[T], weight: u64, tally: &mut Tally) -> Result<(), EncodeError> {
    tally.charge(items.len() as u64, weight)?;
    if items.len() > MAX_ENTRIES {
        return Err(EncodeError::TooManyRows { rows: items.len() as u64, max: MAX_ENTRIES as u64 });
    }
    wire::put_varint(out, items.len() as u64);
    for item in items {
        *out = postcard::to_extend(item, std::mem::take(out)).map_err(EncodeError::Envelope)?;
    }
    Ok(())
}

fn list<T: DeserializeOwned>(
    cursor: &mut Cursor<'_>,
    what: &'static str,
    min_bytes: usize,
    weight: u64,
    tally: &mut Tally,
) -> Result<Vec<T>, DecodeError> {
    let count = cursor.length(what)?;
    tally.charge(count as u64, weight)?;
    if count > MAX_ENTRIES {
        return Err(DecodeError::TooManyRows { rows: count as u64, max: MAX_ENTRIES as u64 });
    }
    if count > cursor.remaining() / min_bytes {
        return Err(DecodeError::Truncated { what });
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(cursor.postcard()?);
    }
    Ok(items)
}

/// One info for each entry of the range.
fn each_told(range: Option<SeqRange>, entries: usize) -> bool {
    range.map_or(entries == 0, |range| range.last.checked_sub(range.first).is_some_and(|more| more.checked_add(1) == Some(entries as u64)))
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
