//! The layout of one journal entry: a batch as it came, and what the ledger decided about it.
//!
//! ```text
//! version u8 = 2 │ length of header u32 LE │ header (postcard) │ batch (as the gateway encoded it)
//! ```
//! The decision stands in the entry, so that a replay does not decide again: by then the lake may hold a part of the batch, and a ledger
//! that starts from the lake's marks would call the rest a duplicate. The spool around it carries the checksum.
//!
//! Life cycle: written before the acknowledgement, read again only at a start, deleted when its rows are in the lake.

use protocol::{Batch, EntryInfo, EntryStamp, GatewayId, Loss, LossReason, Record, StampedRecord, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ledger::{Fresh, Hole, Step, is_inherited};

const VERSION: u8 = 2;
const PREFIX_BYTES: usize = 5;

/// What is known of a batch beyond its own bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub gateway: GatewayId,
    pub received_at: Timestamp,
    /// Where the gateway's streams are with this entry.
    pub step: Step,
    /// Entries at or below were here before.
    pub after: u64,
    /// See [`Fresh::here`].
    pub here: Option<u64>,
    /// Entries above are booked, not stored.
    pub stray_after: Option<u64>,
    /// See [`Fresh::tainted_before`].
    pub tainted_before: Option<Timestamp>,
    /// What is booked with this entry.
    pub losses: Vec<Told>,
    /// Streams of which somebody else may hold what is booked here: its rows must not be stored afterwards.
    pub fences: Vec<(StreamId, u64)>,
}

/// A loss that the collector books, under the sequence that it is stored or not with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub stream: StreamId,
    pub seq: u64,
    pub loss: Loss,
}

/// A row to be, with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct FreshRow {
    pub stream: StreamId,
    pub seq: u64,
    pub stamp: Option<EntryStamp>,
    pub record: Record,
}

/// Why an entry can't be read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("the entry is cut off")]
    Short,
    #[error("the entry is of version {0}, which this program does not know")]
    Version(u8),
    #[error("the header: {0}")]
    Header(#[from] postcard::Error),
}

/// One entry as bytes.
///
/// # Errors
/// [`EntryError::Header`], which takes running out of memory.
pub fn encode(header: &Header, batch: &[u8]) -> Result<Vec<u8>, EntryError> {
    let header = postcard::to_stdvec(header)?;
    let length = u32::try_from(header.len()).map_err(|_| EntryError::Short)?;
    let mut entry = Vec::with_capacity(PREFIX_BYTES + header.len() + batch.len());
    entry.push(VERSION);
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&header);
    entry.extend_from_slice(batch);
    Ok(entry)
}

/// The header of an entry, and its batch, still encoded.
///
/// # Errors
/// [`EntryError`] for what [`encode`] did not write.
pub fn decode(entry: &[u8]) -> Result<(Header, &[u8]), EntryError> {
    let (prefix, rest) = entry.split_at_checked(PREFIX_BYTES).ok_or(EntryError::Short)?;
    let &[version, a, b, c, d] = prefix else { return Err(EntryError::Short) };
    if version != VERSION {
        return Err(EntryError::Version(version));
    }
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| EntryError::Short)?;
    let (header, batch) = rest.split_at_checked(length).ok_or(EntryError::Short)?;
    Ok((postcard::from_bytes(header)?, batch))
}

impl Header {
    /// What a decision means for this batch.
    pub fn of(batch: &Batch, received_at: Timestamp, fresh: &Fresh) -> Self {
        let mut losses: Vec<Told> = fresh.hole.iter().map(|hole| gap(batch, hole, fresh.after + 1)).collect();
        losses.extend(fresh.gone.iter().map(|(hole, _)| gap(batch, hole, hole.range.last)));
        losses.extend(restored(batch, fresh));
        let holes = fresh.hole.iter().chain(fresh.gone.iter().map(|(hole, _)| hole));
        let fences = holes.filter(|hole| hole.acknowledged).map(|hole| (hole.stream, hole.range.last)).collect();
        let gone = fresh.gone.iter().map(|(hole, mark)| (hole.stream, *mark)).collect();
        let step = Step { stream: batch.stream, mark: fresh.mark, link: fresh.link, ancestors: fresh.ancestors.clone(), gone };
        Self {
            gateway: batch.gateway.clone(),
            received_at,
            step,
            after: fresh.after,
            here: fresh.here,
            stray_after: fresh.stray_after,
            tainted_before: fresh.tainted_before,
            losses,
            fences,
        }
    }

    /// The rows to store: of the batch those that are new and that no other run has told, and what is booked. In order within each stream.
    pub fn rows(&self, batch: Batch) -> Vec<FreshRow> {
        let first = batch.range.map_or(0, |range| range.first);
        let entry = |seq: u64| usize::try_from(seq.checked_sub(first)?).ok().and_then(|index| batch.entries.get(index));
        let is_new = |seq: u64| {
            let told_elsewhere = self.step.link.forked && entry(seq).is_some_and(is_inherited);
            seq > self.after && self.stray_after.is_none_or(|limit| seq <= limit) && !told_elsewhere
        };
        let booked = self.losses.iter().map(|told| {
            let stamp = if told.stream == batch.stream { entry(told.seq).and_then(|entry| entry.stamp) } else { None };
            FreshRow { stream: told.stream, seq: told.seq, stamp, record: Record::Loss(told.loss.clone()) }
        });
        let mut rows: Vec<FreshRow> = booked.collect();
        let is_tainted =
            |stamped: &StampedRecord| entry(stamped.seq).is_some_and(is_inherited) && is_of_before(&stamped.record, self.tainted_before);
        let fresh = batch.records.into_iter().filter(|stamped| is_new(stamped.seq) && !is_tainted(stamped));
        rows.extend(fresh.map(|stamped| {
            let info = entry(stamped.seq);
            let record = match (stamped.record, info) {
                (Record::Loss(loss), Some(info)) if info.stamp.is_none() => {
                    Record::Loss(Loss { count: self.unheard(loss.count, info), ..loss })
                }
                (record, _) => record,
            };
            FreshRow { stream: batch.stream, seq: stamped.seq, stamp: info.and_then(|info| info.stamp), record }
        }));
        // What is booked leads what it shares its sequence with.
        rows.sort_by_key(|row| (row.stream != batch.stream, row.seq));
        rows
    }

    /// Of the readings that an unreadable entry is said to have held, those that are not here. Where several can't be read back the last one is said
    /// to have held what all of them did, also those that came before they were damaged.
    fn unheard(&self, count: u64, info: &EntryInfo) -> u64 {
        let end = info.readings_before.saturating_add(info.readings);
        count.min(end.saturating_sub(self.here.unwrap_or(0)))
    }
}

/// The loss that stands for entries which the gateway no longer has.
fn gap(batch: &Batch, hole: &Hole, seq: u64) -> Told {
    // They were made before the first record that came, and after the gateway's start at the earliest that can be said.
    let to = batch.records.iter().map(|stamped| time_of(&stamped.record)).min().unwrap_or(batch.sent_at);
    let known = if hole.readings.is_none() { ", how many readings is not known" } else { "" };
    let detail = format!("entries {}..{} of stream {}{known}", hole.range.first, hole.range.last, hole.stream);
    let from = batch.status.started_at.min(to);
    Told { stream: hole.stream, seq, loss: loss(LossReason::StreamGap, hole.readings.unwrap_or(0), (from, to), detail) }
}

/// The losses that stand for what two runs tell of one checkpoint, and this is the second.
fn restored(batch: &Batch, fresh: &Fresh) -> Vec<Told> {
    let Some(range) = batch.range else { return Vec::new() };
    let new = || (range.first..=range.last).zip(&batch.entries).filter(|(seq, _)| *seq > fresh.after);
    let is_stray = |seq: u64| fresh.stray_after.is_some_and(|limit| seq > limit);
    let mut told = Vec::new();
    let mut inherited = new().filter(|(seq, entry)| fresh.link.forked && is_inherited(entry) && !is_stray(*seq)).map(|(seq, _)| seq);
    if let Some(first) = inherited.next() {
        let last = inherited.last().unwrap_or(first);
        let detail = format!("entries {first}..{last} of stream {}: another run has told what they tell", batch.stream);
        // What other runs took in until this one began, and did not deliver, went with the disk that was replaced.
        let (from, to) = period(batch, first, last);
        let began = new().filter(|(seq, _)| (first..=last).contains(seq)).filter_map(|(_, entry)| Some(entry.stamp?.wall)).max();
        let span = (from, began.map_or(to, |began| to.max(began)));
        told.push(Told { stream: batch.stream, seq: first, loss: loss(LossReason::Restored, 0, span, detail) });
    }
    let entry = |seq: u64| usize::try_from(seq.checked_sub(range.first)?).ok().and_then(|index| batch.entries.get(index));
    let inherited_new = |seq: u64| seq > fresh.after && !is_stray(seq) && entry(seq).is_some_and(is_inherited);
    let mut tainted =
        batch.records.iter().filter(|stamped| inherited_new(stamped.seq) && is_of_before(&stamped.record, fresh.tainted_before));
    if let Some(first) = tainted.next() {
        let to = entry(first.seq).and_then(|entry| entry.stamp).map_or(batch.sent_at, |stamp| stamp.wall);
        let from = tainted.map(|stamped| time_of(&stamped.record)).fold(time_of(&first.record), Timestamp::min);
        let detail = format!("of entry {} of stream {}: another run has told it", first.seq, batch.stream);
        told.push(Told { stream: batch.stream, seq: first.seq, loss: loss(LossReason::Restored, 0, (from, to.max(from)), detail) });
    }
    let readings = new().filter(|(seq, _)| is_stray(*seq)).fold(0u64, |sum, (_, entry)| sum.saturating_add(entry.readings));
    if let Some((first, _)) = new().find(|(seq, _)| is_stray(*seq)) {
        let detail = format!("entries {first}..{} of stream {}: a later run began before them", range.last, batch.stream);
        let period = period(batch, first, range.last);
        told.push(Told { stream: batch.stream, seq: first, loss: loss(LossReason::Restored, readings, period, detail) });
    }
    told
}

/// A loss, or parts, that began before that: found in a checkpoint that is older than the run that told it.
fn is_of_before(record: &Record, before: Option<Timestamp>) -> bool {
    before.is_some_and(|before| match record {
        Record::Loss(loss) => loss.from < before,
        Record::Parts(parts) => parts.from < before,
        Record::Window(_) | Record::Anomaly(_) | Record::State(_) => false,
    })
}

fn loss(reason: LossReason, count: u64, (from, to): (Timestamp, Timestamp), detail: String) -> Loss {
    Loss { asset: None, signal: None, reason, count, from, to, detail }
}

/// From the first to the last record of these entries.
fn period(batch: &Batch, first: u64, last: u64) -> (Timestamp, Timestamp) {
    let mut from_to: Option<(Timestamp, Timestamp)> = None;
    for stamped in batch.records.iter().filter(|stamped| (first..=last).contains(&stamped.seq)) {
        let at = time_of(&stamped.record);
        from_to = Some(from_to.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
    }
    from_to.unwrap_or((batch.sent_at, batch.sent_at))
}

fn time_of(record: &Record) -> Timestamp {
    match record {
        Record::Window(summary) => summary.start,
        Record::Anomaly(anomaly) => anomaly.event_time,
        Record::State(change) => change.event_time,
        Record::Parts(parts) => parts.from,
        Record::Loss(loss) => loss.from,
    }
}

#[cfg(test)]
mod tests {
    use protocol::SeqRange;

    use super::*;
    use crate::ledger::{Ledger, Link, Mark, test_batch};

    fn header() -> Header {
        let batch = test_batch(8, 9);
        let mut ledger = Ledger::default();
        let link = Link { parent: None, forked: false, since: Timestamp(1) };
        let mark = Mark { through: 5, readings: Some(50), skipped: 0 };
        ledger.apply(&batch.gateway, &Step { stream: batch.stream, mark, link, ancestors: Vec::new(), gone: Vec::new() });
        match ledger.decide(&batch, Timestamp(2)) {
            crate::ledger::Decision::Fresh(fresh) => Header::of(&batch, Timestamp(2), &fresh),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let header = header();
        let bytes = encode(&header, b"batch").expect("encoded");
        assert_eq!(decode(&bytes).expect("decoded"), (header, b"batch".as_slice()));
    }

    #[test]
    fn a_damaged_entry_is_an_error_and_no_panic() {
        let bytes = encode(&header(), b"").expect("encoded");
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(matches!(decode(&[9, 0, 0, 0, 0]), Err(EntryError::Version(9))));
        assert!(matches!(decode(&[2, 255, 255, 255, 255, 0]), Err(EntryError::Short)));
    }

    #[test]
    fn only_new_records_pass_and_the_loss_leads_them_with_its_count() {
        let rows = header().rows(test_batch(8, 9));
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [8, 8, 9]);
        let Record::Loss(loss) = &rows[0].record else { panic!("{rows:?}") };
        assert_eq!((loss.reason, loss.count), (LossReason::StreamGap, 20), "entries 6 and 7 held ten readings each");
        let older = Header { after: 9, losses: Vec::new(), ..header() };
        let mut batch = test_batch(8, 9);
        batch.range = Some(SeqRange { first: 8, last: 9 });
        batch.records = vec![StampedRecord { seq: 8, record: rows[0].record.clone() }];
        assert_eq!(older.rows(batch), []);
    }

    #[test]
    fn of_entries_that_are_here_an_unreadable_one_loses_no_reading_again() {
        let mut batch = test_batch(6, 6);
        batch.entries[0] = EntryInfo { stamp: None, readings_before: 0, readings: 60 };
        let loss = loss(LossReason::SpoolCorrupt, 60, (Timestamp(1), Timestamp(2)), String::new());
        batch.records = vec![StampedRecord { seq: 6, record: Record::Loss(loss) }];
        let header = Header { after: 5, here: Some(50), losses: Vec::new(), ..header() };
        let rows = header.rows(batch);
        let [FreshRow { record: Record::Loss(loss), .. }] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(loss.count, 10, "all six are told in the last, and fifty readings were here");
    }
}
