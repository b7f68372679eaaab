//! Makes a batch of spool entries: as many consecutive ones as the limits of a batch take.
//!
//! Stands between `courier` (which says from where, and what was refused before) and the spool. Invariant: a batch's range is consecutive;
//! an entry is in it with all of its records, or with the losses that stand in its place (`replace`), never with a part of them.

use protocol::{
    Batch, EntryInfo, EntryStamp, GatewayId, GatewayStatus, Loss, Record, SeqRange, StampedRecord, Timestamp,
    codec::{self, Limits},
};
use spool::{Lane, Peek, Spool, SpoolError};

use super::{
    Rebase,
    queue::{Candidate, Class},
    replace::{self, Level},
};
use crate::entry;

/// Most entries of a batch.
pub(super) const MAX_ENTRIES: usize = 64;
/// Read at once from the spool: entries are compressed already, so a batch of them is about as large.
pub(super) const MAX_PEEK_BYTES: usize = 768 * 1024;
const MAX_RECORDS: usize = 20_000;

/// What is asked for.
pub(super) struct Order<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) gateway: &'a GatewayId,
    pub(super) max_entries: usize,
    pub(super) max_bytes: usize,
    /// This entry is not sent as it is.
    pub(super) replaced: Option<(u64, Level, &'a str)>,
    pub(super) now: Timestamp,
}

/// A batch ready to be sent.
pub(super) struct Assembled {
    pub(super) body: Vec<u8>,
    /// Lowest sequence that is held, as the batch tells.
    pub(super) floor: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Losses that stand in the place of entries.
    pub(super) told: Vec<(u64, Loss)>,
    /// Of a batch of a single entry that is sent as it is.
    pub(super) payload: Option<Vec<u8>>,
}

/// What became of an order.
pub(super) enum Outcome {
    Ready(Box<Assembled>),
    Nothing,
    /// The first entry can't be encoded as a batch of its own.
    Unfit {
        seq: u64,
        payload: Vec<u8>,
        why: String,
    },
}

/// The batch of the first unsent entries of a stream.
pub(super) fn assemble(spool: &Spool, order: &Order<'_>, status: &GatewayStatus, rebase: Rebase<'_>) -> Result<Outcome, SpoolError> {
    let Candidate { ordinal, lane, .. } = *order.candidate;
    let from = order.candidate.from();
    let lane = Lane(u8::try_from(lane).unwrap_or(u8::MAX));
    let mut peek = spool.peek(ordinal, lane, from, order.max_entries.clamp(1, MAX_ENTRIES), order.max_bytes)?;
    let mut items = items(&mut peek, order, rebase);
    if items.is_empty() {
        return Ok(Outcome::Nothing);
    }
    let mut batch = batch(order, &mut items, status);
    loop {
        let range = batch.range.unwrap_or(SeqRange { first: from, last: from });
        let single = range.first == range.last;
        // Compression decides how large a batch gets: halve it until it fits.
        match codec::encode_batch(&batch) {
            Ok(body) if body.len() <= Limits::default().max_encoded_bytes => {
                return Ok(Outcome::Ready(Box::new(assembled(body, batch.floor_seq, range, items))));
            }
            _ if !single => cut(&mut batch, range.first + (range.last - range.first) / 2),
            failed => {
                let why = failed.map_or_else(|error| error.to_string(), |body| format!("{} bytes", body.len()));
                let payload = items.swap_remove(0).payload.unwrap_or_default();
                return Ok(Outcome::Unfit { seq: range.first, payload, why });
            }
        }
    }
}

/// Status alone, in the name of a stream.
pub(super) fn heartbeat(gateway: &GatewayId, stream: &Candidate, status: GatewayStatus, now: Timestamp) -> Vec<u8> {
    let batch = Batch {
        gateway: gateway.clone(),
        stream: stream.stream,
        parent: stream.parent,
        range: None,
        floor_seq: stream.held.first,
        catch_up: false,
        sent_at: now,
        status,
        entries: Vec::new(),
        records: Vec::new(),
    };
    codec::encode_batch(&batch).inspect_err(|error| tracing::error!(%error, "a heartbeat can't be encoded")).unwrap_or_default()
}

/// An entry on its way into a batch.
struct Item {
    seq: u64,
    info: EntryInfo,
    /// `readings_before` is not known yet.
    unplaced: bool,
    records: Vec<Record>,
    told: Vec<Loss>,
    /// The payload as it is in the spool, if it is sent so.
    payload: Option<Vec<u8>>,
}

/// Entries and those that can't be read back, in order, up to the first hole or the limit of records.
fn items(peek: &mut Peek, order: &Order<'_>, rebase: Rebase<'_>) -> Vec<Item> {
    let mut all: Vec<Item> = Vec::with_capacity(peek.entries.len() + peek.corrupt.len());
    let readable = peek.entries.drain(..).map(|entry| readable(entry, order, rebase));
    let corrupt = peek.corrupt.drain(..).map(|entry| unreadable(entry.seq, entry.units.unwrap_or(0)));
    all.extend(readable);
    all.extend(corrupt);
    all.sort_unstable_by_key(|item| item.seq);
    let (mut count, mut records) = (0, 0);
    for item in &all {
        records += item.records.len();
        let consecutive = item.seq == all[0].seq + count as u64;
        if !consecutive || (count > 0 && records > MAX_RECORDS) {
            break;
        }
        count += 1;
    }
    place(&mut all, order.candidate);
    date(&mut all, order);
    all.truncate(count);
    all
}

fn readable(entry: spool::Entry, order: &Order<'_>, rebase: Rebase<'_>) -> Item {
    let Ok((stamp, mut records)) = entry::decode(&entry.payload) else {
        // What the spool gives back is what it was given: a program that knew less, or more, wrote it.
        let mut item = unreadable(entry.seq, entry.units);
        (item.info.readings_before, item.unplaced) = (entry.units_before, false);
        return item;
    };
    let stamp = rebase(&stamp, &mut records);
    let info = EntryInfo { stamp: Some(stamp), readings_before: entry.units_before, readings: entry.units };
    match order.replaced {
        Some((seq, level, why)) if seq == entry.seq => {
            let told = replace::rejected(&records, entry.units, level, why, stamp.wall);
            Item { seq, info, unplaced: false, records: Vec::new(), told, payload: None }
        }
        _ => Item { seq: entry.seq, info, unplaced: false, records, told: Vec::new(), payload: Some(entry.payload) },
    }
}

fn unreadable(seq: u64, readings: u64) -> Item {
    let info = EntryInfo { stamp: None, readings_before: 0, readings };
    Item { seq, info, unplaced: true, records: Vec::new(), told: Vec::new(), payload: None }
}

/// Reckons how many readings stand before the entries that can't be read back.
fn place(items: &mut [Item], candidate: &Candidate) {
    let leading = items.iter().take_while(|item| item.unplaced).count();
    let of_leading: u64 = items[..leading].iter().map(|item| item.info.readings).sum();
    let acknowledged = candidate.held.acked_units;
    let mut before = items.get(leading).map_or(acknowledged, |item| item.info.readings_before.saturating_sub(of_leading));
    for item in items {
        if std::mem::take(&mut item.unplaced) {
            item.info.readings_before = before;
        }
        before = item.info.readings_before.saturating_add(item.info.readings);
    }
}

/// Gives entries that can't be read back their loss: made after the entry before them and before the one behind.
fn date(items: &mut [Item], order: &Order<'_>) {
    let wall = |item: &Item| item.info.stamp.map(|stamp: EntryStamp| stamp.wall);
    let opened = Timestamp::from_micros(i64::try_from(order.candidate.opened_us).unwrap_or(i64::MAX));
    let mut from = opened.min(order.now);
    for at in 0..items.len() {
        if let Some(wall) = wall(&items[at]) {
            from = wall;
            continue;
        }
        let to = items[at..].iter().find_map(wall).unwrap_or(order.now);
        let Item { seq, info, .. } = items[at];
        items[at].told.push(replace::unreadable(seq, info.readings, from, to));
    }
}

fn batch(order: &Order<'_>, items: &mut [Item], status: &GatewayStatus) -> Batch {
    let Candidate { stream, parent, class, held, .. } = *order.candidate;
    let range = SeqRange { first: items[0].seq, last: items[items.len() - 1].seq };
    // What is missing before the first entry is not there any more.
    let floor_seq = if range.first > order.candidate.from() { range.first } else { held.first };
    let mut records = Vec::with_capacity(items.iter().map(|item| item.records.len() + item.told.len()).sum());
    for item in items.iter_mut() {
        let seq = item.seq;
        let told = item.told.iter().cloned().map(Record::Loss);
        records.extend(item.records.drain(..).chain(told).map(|record| StampedRecord { seq, record }));
    }
    Batch {
        gateway: order.gateway.clone(),
        stream,
        parent,
        range: Some(range),
        floor_seq,
        catch_up: class == Class::Backlog,
        sent_at: order.now,
        status: status.clone(),
        entries: items.iter().map(|item| item.info).collect(),
        records,
    }
}

/// Ends the batch with the entry `last`.
fn cut(batch: &mut Batch, last: u64) {
    if let Some(range) = &mut batch.range {
        range.last = last;
        batch.entries.truncate(usize::try_from(last - range.first + 1).unwrap_or(usize::MAX));
        batch.records.truncate(batch.records.partition_point(|stamped| stamped.seq <= last));
    }
}

fn assembled(body: Vec<u8>, floor: u64, range: SeqRange, mut items: Vec<Item>) -> Assembled {
    items.retain(|item| item.seq <= range.last);
    let payload = if items.len() == 1 { items[0].payload.take() } else { None };
    let told = items.into_iter().flat_map(|item| item.told.into_iter().map(move |loss| (item.seq, loss))).collect();
    Assembled { body, floor, first: range.first, last: range.last, told, payload }
}
