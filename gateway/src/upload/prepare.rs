//! Makes batches of spool entries: as many consecutive ones as the limits of a batch take.
//!
//! Invariant: a batch's range is consecutive; an entry is in it with all of its records or, if it can't be read back, with none and a loss
//! that says so.

use protocol::{
    Batch, GatewayId, GatewayStatus, Loss, LossReason, Record, SeqRange, StampedRecord, StreamId, Timestamp,
    codec::{self, Limits},
};
use spool::{Spool, SpoolError};

/// Most entries of a batch.
pub(super) const MAX_ENTRIES: usize = 64;
/// Read at once from the spool: entries are compressed already, so a batch of them is about as large.
const MAX_PEEK_BYTES: usize = 768 * 1024;
const MAX_RECORDS: usize = 20_000;

/// What stands in every batch.
#[derive(Debug, Clone)]
pub struct Identity {
    pub gateway: GatewayId,
}

/// A batch ready to be sent, and what is needed when it is refused.
pub(super) struct Prepared {
    pub(super) body: Vec<u8>,
    pub(super) stream: StreamId,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) floor: u64,
    /// The spool holds more behind it.
    pub(super) more: bool,
    /// When the oldest record happened.
    pub(super) oldest: Option<Timestamp>,
    pub(super) records: Vec<Record>,
    pub(super) blocks: Vec<Vec<u8>>,
}

impl Prepared {
    pub(super) fn entries(&self) -> u64 {
        self.last - self.first + 1
    }
}

#[derive(Clone)]
pub(super) struct Preparer {
    identity: Identity,
    limits: Limits,
    resume_at: Option<u64>,
    losses: Vec<Loss>,
    /// Up to here, unreadable entries were told.
    told: u64,
}

impl Preparer {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, limits: Limits::default(), resume_at: None, losses: Vec::new(), told: 0 }
    }

    /// The next batch is to begin at this entry instead of the oldest.
    pub(super) fn resume_at(&mut self, entry: Option<u64>) {
        self.resume_at = entry;
    }

    pub(super) fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// The batch of the oldest entries, at most `max_entries`; `None` if there are none.
    pub(super) fn next(
        &mut self,
        spool: &Spool,
        max_entries: usize,
        status: GatewayStatus,
        now: Timestamp,
    ) -> Result<Option<Prepared>, SpoolError> {
        let floor = spool.first_seq();
        let from = self.resume_at.take().unwrap_or(floor).max(floor);
        let peek = spool.peek(from, max_entries.clamp(1, MAX_ENTRIES), MAX_PEEK_BYTES)?;
        let mut entries: Vec<(u64, Option<Vec<u8>>)> = peek.entries.into_iter().map(|entry| (entry.seq, Some(entry.payload))).collect();
        entries.extend(peek.corrupt.into_iter().map(|entry| (entry.seq, None)));
        entries.sort_unstable_by_key(|(seq, _)| *seq);
        let Some(&(first, _)) = entries.first() else { return Ok(None) };

        let stream = StreamId(spool.stream());
        let mut taken = Taken { first, last: first, records: Vec::new(), blocks: Vec::new() };
        for (seq, block) in entries {
            let records = block.as_deref().and_then(|block| codec::decode_block(block, &self.limits).ok());
            if records.is_none() {
                self.tell_corrupt(seq, now);
            }
            let records = records.unwrap_or_default();
            if seq != first && taken.records.len() + records.len() > MAX_RECORDS {
                break;
            }
            taken.last = seq;
            taken.blocks.push((seq, block.unwrap_or_default()));
            taken.records.extend(records.into_iter().map(|record| StampedRecord { seq, record }));
        }
        // Compression decides how large a batch gets: halve it until it fits.
        let body = loop {
            let body = self.encode(stream, floor, &taken, status.clone(), now);
            match body {
                Some(body) if body.len() <= self.limits.max_encoded_bytes => break body,
                _ if taken.first < taken.last => taken.halve(),
                // A single entry: let the collector say what it thinks of it.
                Some(body) => break body,
                None => break Vec::new(),
            }
        };
        let Taken { first, last, records, blocks } = taken;
        let more = last + 1 < spool.next_seq();
        let oldest = records.first().map(|stamped| happened(&stamped.record));
        let records = records.into_iter().map(|stamped| stamped.record).collect();
        let blocks = blocks.into_iter().map(|(_, block)| block).collect();
        Ok(Some(Prepared { body, stream, first, last, floor, more, oldest, records, blocks }))
    }

    /// Status alone.
    pub(super) fn heartbeat(&self, stream: StreamId, floor_seq: u64, status: GatewayStatus, now: Timestamp) -> Vec<u8> {
        let batch = Batch {
            gateway: self.identity.gateway.clone(),
            stream,
            parent: None,
            range: None,
            floor_seq,
            catch_up: false,
            sent_at: now,
            status,
            entries: Vec::new(),
            records: Vec::new(),
        };
        codec::encode_batch(&batch).unwrap_or_default()
    }

    fn encode(&self, stream: StreamId, floor_seq: u64, taken: &Taken, status: GatewayStatus, now: Timestamp) -> Option<Vec<u8>> {
        let batch = Batch {
            gateway: self.identity.gateway.clone(),
            stream,
            parent: None,
            range: Some(SeqRange { first: taken.first, last: taken.last }),
            floor_seq,
            catch_up: false,
            sent_at: now,
            status,
            entries: (taken.first..=taken.last).map(|_| protocol::EntryInfo { stamp: None, readings_before: 0, readings: 0 }).collect(),
            records: taken.records.clone(),
        };
        codec::encode_batch(&batch).inspect_err(|error| tracing::error!(%error, "a batch can't be encoded")).ok()
    }

    fn tell_corrupt(&mut self, seq: u64, now: Timestamp) {
        if seq <= self.told {
            return;
        }
        self.told = seq;
        tracing::error!(entry = seq, "a spool entry can't be read back");
        let detail = format!("spool entry {seq} could not be read back");
        let loss =
            Loss { asset: None, signal: None, reason: LossReason::SpoolCorrupt, count: 0, from: now, to: now.plus_micros(1), detail };
        self.losses.push(loss);
    }
}

struct Taken {
    first: u64,
    last: u64,
    records: Vec<StampedRecord>,
    blocks: Vec<(u64, Vec<u8>)>,
}

impl Taken {
    fn halve(&mut self) {
        self.last = self.first + (self.last - self.first) / 2;
        let last = self.last;
        self.records.retain(|stamped| stamped.seq <= last);
        self.blocks.retain(|(seq, _)| *seq <= last);
    }
}

/// When the fact of a record was complete.
fn happened(record: &Record) -> Timestamp {
    match record {
        Record::Window(window) => window.end,
        Record::Anomaly(anomaly) => anomaly.event_time,
        Record::State(state) => state.event_time,
        Record::Parts(parts) => parts.to,
        Record::Loss(loss) => loss.to,
    }
}
