//! What the collector does with batches, without threads, clocks or sockets: decide, make durable, answer.
//!
//! Stands between `journal` (the thread that calls it) and the journal's spool. A group of batches is decided one after the other by the ledger,
//! written in one durable append, and only then answered and passed on.
//!
//! Pure but for the spool. Invariants: an answer that says *stored* comes after `append` has returned; if the append fails, ledger and accounts are
//! as they were before the group; entries come out in the order of the journal; what the journal holds decides after a restart, nothing is decided
//! anew.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use protocol::{
    Ack, Batch, BatchAck, GatewayId, Record, Timestamp,
    codec::{self, Limits},
};
use spool::{Append, Lane, NewEntry, Spool, SpoolError, SpoolTime};

use crate::{
    audit::{Auditor, Counts},
    journal::entry::{self, FreshRow, Header},
    ledger::{Decision, Ledger, Step, Undo},
    pacing::{Fill, Hold, Pacer, Pacing},
};

/// The journal's only lane.
pub const LANE: Lane = Lane(0);
const PAGE_ENTRIES: usize = 64;
const PAGE_BYTES: usize = 8 << 20;
/// What was in the journal was within the limits of its time, which may have been wider than today's.
const LIMITS: Limits = Limits { max_encoded_bytes: 64 << 20, max_decoded_bytes: 1 << 30, max_rows: 1_000_000 };
/// What a gateway is asked to wait while it is found out whether another collector holds what is missing.
const WAIT_MS: u32 = 1_000;

/// A batch that waits for the decision. The bytes are those of `batch`.
#[derive(Debug)]
pub struct Incoming {
    pub received_at: Timestamp,
    pub bytes: Vec<u8>,
    pub batch: Batch,
}

/// Where an entry is in the journal. Later entries are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// The spool's generation.
    pub ordinal: u64,
    pub seq: u64,
}

/// A journal entry, decoded. Durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub place: Place,
    pub gateway: GatewayId,
    pub received_at: Timestamp,
    /// Where the gateway's streams are with it.
    pub step: Step,
    /// New ones only, in order within each stream.
    pub rows: Vec<FreshRow>,
    /// What is booked here must not be stored by another collector afterwards.
    pub fences: Vec<(protocol::StreamId, u64)>,
}

impl Entry {
    pub fn counts(&self) -> Counts {
        Counts::of(self.rows.iter().map(|row| &row.record))
    }
}

/// Why a group was not taken; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("cannot write a journal entry: {0}")]
    Encode(#[from] entry::EntryError),
}

impl IntakeError {
    /// Whether room in the journal would help.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Spool(error) if error.is_full())
    }
}

/// Ledger, journal and pace.
pub struct Intake {
    spool: Arc<Spool>,
    ledger: Ledger,
    auditor: Auditor,
    pacer: Pacer,
    fill: Fill,
    /// Entries that could not be read back since the start.
    damaged: u64,
}

/// One batch of a group, decided.
struct Decided {
    ack: BatchAck,
    entry: Option<Entry>,
}

/// What has been done for a group that may have to be taken back.
#[derive(Default)]
struct Group {
    payloads: Vec<(Vec<u8>, u64)>,
    undo: Vec<(Undo, GatewayId, Counts)>,
}

impl Intake {
    /// Takes over the journal's spool and what was known at the start. What the journal holds is taken in by [`Intake::replay`].
    pub fn new(spool: Arc<Spool>, ledger: Ledger, pacing: Pacing) -> Self {
        Self { spool, ledger, auditor: Auditor::default(), pacer: Pacer::new(pacing), fill: Fill::default(), damaged: 0 }
    }

    /// Accounts that others read too.
    #[must_use]
    pub fn with_auditor(self, auditor: Auditor) -> Self {
        Self { auditor, ..self }
    }

    pub fn auditor(&self) -> &Auditor {
        &self.auditor
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    pub fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// How full the places are that rows wait in, for the holds of the answers to come.
    pub fn set_fill(&mut self, fill: Fill) {
        self.fill = fill;
    }

    /// Gateways with a backlog.
    pub fn catching_up(&self) -> usize {
        self.pacer.catching_up()
    }

    /// Journal entries that could not be read back since the start.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Decides about batches in their order, makes what is new durable, and answers each. An entry goes with an answer that says *stored*.
    ///
    /// # Errors
    /// [`IntakeError`]: nothing of the group was taken.
    pub fn take(&mut self, now: Timestamp, group: Vec<Incoming>) -> Result<Vec<(BatchAck, Option<Entry>)>, IntakeError> {
        let (mut done, mut decided) = (Group::default(), Vec::with_capacity(group.len()));
        for incoming in group {
            match self.decide(now, incoming, &mut done) {
                Ok(one) => decided.push(one),
                Err(error) => {
                    self.take_back(done);
                    return Err(error);
                }
            }
        }
        if let Err(error) = self.write(now, &done, &mut decided) {
            self.take_back(done);
            return Err(error.into());
        }
        Ok(decided.into_iter().map(|one| (one.ack, one.entry)).collect())
    }

    fn decide(&mut self, now: Timestamp, incoming: Incoming, done: &mut Group) -> Result<Decided, IntakeError> {
        let Incoming { received_at, bytes, batch } = incoming;
        let decision = self.ledger.decide(&batch, now);
        self.audit(&batch, now);
        let hold = self.pacer.hold(now, &batch.gateway, batch.records.len(), batch.catch_up, self.fill);
        let wants = self.ledger.wants(&batch);
        let answer = |ack, acked_through, hold: Hold| BatchAck {
            stream: batch.stream,
            ack,
            acked_through,
            received_at,
            hold_ms: hold.hold_ms,
            catch_up_hold_ms: hold.catch_up_hold_ms,
            wants,
        };
        let fresh = match decision {
            Decision::Heartbeat { through } => return Ok(Decided { ack: answer(Ack::Heartbeat, through, hold), entry: None }),
            Decision::Duplicate { through } => return Ok(Decided { ack: answer(Ack::Duplicate, Some(through), hold), entry: None }),
            Decision::Gap { expected, through } => {
                return Ok(Decided { ack: answer(Ack::Gap { expected }, through, hold), entry: None });
            }
            Decision::Wait { through } => {
                // "First the same again", a little later.
                let expected = batch.range.map_or(batch.floor_seq, |range| range.first);
                let hold = Hold { hold_ms: hold.hold_ms.max(WAIT_MS), ..hold };
                return Ok(Decided { ack: answer(Ack::Gap { expected }, through, hold), entry: None });
            }
            Decision::Fresh(fresh) => fresh,
        };
        let ack = answer(Ack::Stored, Some(fresh.mark.through), hold);
        let header = Header::of(&batch, received_at, &fresh);
        let payload = entry::encode(&header, &bytes)?;
        let entry = of_batch(Place::default(), header, batch);
        let counts = entry.counts();
        done.undo.push((self.ledger.apply(&entry.gateway, &entry.step), entry.gateway.clone(), counts));
        self.auditor.count(&entry.gateway, counts);
        done.payloads.push((payload, counts.stored));
        Ok(Decided { ack, entry: Some(entry) })
    }

    /// Compares the books before the batch that brought them is counted: they were closed when it was sent.
    fn audit(&self, batch: &Batch, now: Timestamp) {
        let branches = self.ledger.branches(&batch.gateway);
        let comparable = branches.filter(|branches| !batch.status.streams.is_empty() && branches.agrees());
        self.auditor.heard(&batch.gateway, batch.status.books, comparable.map(crate::ledger::Branches::split), now);
    }

    fn write(&self, now: Timestamp, done: &Group, decided: &mut [Decided]) -> Result<(), SpoolError> {
        if done.payloads.is_empty() {
            return Ok(());
        }
        let entries: Vec<NewEntry<'_>> =
            done.payloads.iter().map(|(payload, units)| NewEntry { lane: LANE, payload, units: *units }).collect();
        let appended = self.spool.append(&Append { entries: &entries, ..Append::default() }, spool_time(now))?;
        let seqs = appended.spans[LANE.index()].first..;
        for (entry, seq) in decided.iter_mut().filter_map(|one| one.entry.as_mut()).zip(seqs) {
            entry.place = Place { ordinal: appended.generation, seq };
        }
        Ok(())
    }

    fn take_back(&mut self, done: Group) {
        for (undo, gateway, counts) in done.undo.into_iter().rev() {
            self.ledger.undo(undo);
            self.auditor.uncount(&gateway, counts);
        }
    }

    /// All that the journal holds and has not let go, in order. The ledger is with it where it was.
    ///
    /// # Errors
    /// [`SpoolError`] if the journal can't be read at all. What is damaged in it is counted ([`Intake::damaged`]) and passed over.
    pub fn replay(&mut self) -> Result<Vec<Entry>, SpoolError> {
        let (mut entries, mut from) = (Vec::new(), Place::default());
        while let Some(page) = self.replay_page(from)? {
            from = page.next;
            entries.extend(page.entries);
        }
        Ok(entries)
    }

    /// Some of them, from `from` on; `None` at the end.
    ///
    /// # Errors
    /// As [`Intake::replay`].
    pub fn replay_page(&mut self, from: Place) -> Result<Option<Page>, SpoolError> {
        let held = self.spool.view().into_iter().filter(|generation| generation.ordinal >= from.ordinal);
        for generation in held {
            let (ordinal, lane) = (generation.ordinal, generation.lanes[LANE.index()]);
            let first = if ordinal == from.ordinal { from.seq } else { 0 };
            let first = first.max(lane.acked + 1).max(lane.first);
            if first >= lane.next {
                continue;
            }
            let peek = self.spool.peek(ordinal, LANE, first, PAGE_ENTRIES, PAGE_BYTES)?;
            let seen = peek.entries.iter().map(|entry| entry.seq).chain(peek.corrupt.iter().map(|entry| entry.seq)).max();
            // A generation that says it holds something and gives nothing has been salvaged meanwhile.
            let Some(last) = seen else { continue };
            let mut page = Page { next: Place { ordinal, seq: last + 1 }, entries: Vec::new(), damaged: Vec::new() };
            page.damaged.extend(peek.corrupt.iter().map(|entry| (Place { ordinal, seq: entry.seq }, "it can't be read back".to_owned())));
            for stored in peek.entries {
                let place = Place { ordinal, seq: stored.seq };
                match read(place, &stored.payload) {
                    Ok(entry) => {
                        self.ledger.apply(&entry.gateway, &entry.step);
                        page.entries.push(entry);
                    }
                    Err(reason) => page.damaged.push((place, reason)),
                }
            }
            self.damaged += page.damaged.len() as u64;
            return Ok(Some(page));
        }
        Ok(None)
    }
}

/// A part of the journal.
#[derive(Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// What could not be read, and why: its rows are lost to the lake unless gateways still hold them (they are asked for).
    pub damaged: Vec<(Place, String)>,
    /// Where the next page begins.
    pub next: Place,
}

fn of_batch(place: Place, header: Header, batch: Batch) -> Entry {
    let rows = header.rows(batch);
    let Header { gateway, received_at, step, fences, .. } = header;
    Entry { place, gateway, received_at, step, rows, fences }
}

fn read(place: Place, payload: &[u8]) -> Result<Entry, String> {
    let (header, bytes) = entry::decode(payload).map_err(|error| error.to_string())?;
    let batch = codec::decode_batch(bytes, &LIMITS).map_err(|error| error.to_string())?;
    Ok(of_batch(place, header, batch))
}

/// Times before 1970 do not occur on a server; if they do, generations have no age.
pub fn spool_time(now: Timestamp) -> SpoolTime {
    SpoolTime(u64::try_from(now.as_micros()).unwrap_or(0))
}

/// Readings in summaries.
pub fn readings<'a>(records: impl IntoIterator<Item = &'a Record>) -> u64 {
    Counts::of(records).stored
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("streams", &self.ledger.streams()).finish_non_exhaustive()
    }
}
