//! The journal: the durable queue between the acknowledgement and the lake, and the thread that owns it and the ledger.
//!
//! Stands between `ingest` (which queues decoded batches here) and `pipeline` (which applies them in the journal's order).
//!
//! One thread takes what waits, lets the ledger decide one batch after the other, writes all that is fresh in one durable append (so that
//! concurrent requests share a sync), and passes it on. Two requests of one gateway can't race: there is one decider.
//!
//! Invariants: a batch is passed on, and thereby acknowledged, only after `append` has returned; if the append fails, the ledger is as
//! it was before; entries reach the pipeline in the order of the journal.

pub mod entry;

use std::{path::Path, sync::Arc, thread, time::Duration};

use protocol::{Ack, Batch, BatchAck, GatewayId, Loss, LossReason, SeqRange, StampedRecord, StreamId, Timestamp};
use spool::{Spool, SpoolError};
use tokio::sync::{mpsc, oneshot};

use crate::{
    health::{Health, Part},
    ledger::{Decision, Ledger},
    metrics,
};
use entry::Header;

/// Batches that share one append.
const GROUP_BATCHES: usize = 64;
/// Bytes that share one append.
const GROUP_BYTES: usize = 4 << 20;
const HOLD_WHEN_FULL: Duration = Duration::from_secs(10);

/// A batch that waits for the decision. The bytes are those of `batch`.
pub struct Incoming {
    pub received_at: Timestamp,
    pub bytes: Vec<u8>,
    pub batch: Batch,
    pub reply: oneshot::Sender<Result<BatchAck, Refusal>>,
}

/// What the thread is asked.
pub enum Request {
    Batch(Box<Incoming>),
    /// Answered by the pipeline: proves that batches flow.
    Ping(oneshot::Sender<()>),
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the journal is full: rows wait for the lake")]
    Full { retry_after: Duration },
    #[error("the journal failed")]
    Failed,
}

/// What the pipeline gets.
pub enum Applied {
    Batch(Box<Entry>),
    Ping(oneshot::Sender<()>),
}

/// A journal entry, decoded. Durable.
pub struct Entry {
    pub journal_seq: u64,
    pub gateway: GatewayId,
    pub stream: StreamId,
    pub received_at: Timestamp,
    /// The mark of the stream with this entry.
    pub through: u64,
    /// New ones only, in order.
    pub records: Vec<StampedRecord>,
    /// Who waits for the acknowledgement; nobody in a replay.
    pub reply: Option<(oneshot::Sender<Result<BatchAck, Refusal>>, BatchAck)>,
}

/// Opens the journal's spool.
///
/// # Errors
/// [`SpoolError`].
pub fn open(dir: &Path, max_bytes: u64) -> Result<Spool, SpoolError> {
    let options = spool::Options { max_bytes, ..spool::Options::default() };
    let (spool, report) = Spool::open(dir, options)?;
    if let Some(aside) = &report.quarantined {
        metrics::journal_corrupt();
        tracing::error!(path = %aside.display(), "the journal was damaged and put aside: what it held and the lake does not is lost");
    }
    for corrupt in &report.corrupt {
        metrics::journal_corrupt();
        tracing::error!(entry = ?corrupt, "a journal entry is damaged: its rows are lost unless the lake holds them");
    }
    Ok(spool)
}

/// Starts the thread. It ends, in order, when all senders of its queue are gone, and then closes the pipeline's queue.
///
/// # Errors
/// [`std::io::Error`] if the system gives no thread.
pub fn start(
    spool: Arc<Spool>,
    ledger: Ledger,
    queue: mpsc::Receiver<Request>,
    pipeline: mpsc::Sender<Applied>,
    health: Health,
) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("journal".into()).spawn(move || Owner { spool, ledger, pipeline, health }.run(queue))
}

struct Owner {
    spool: Arc<Spool>,
    ledger: Ledger,
    pipeline: mpsc::Sender<Applied>,
    health: Health,
}

/// What one append and what follows it consists of.
#[derive(Default)]
struct Group {
    payloads: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    /// Marks before the group, newest last.
    before: Vec<(GatewayId, StreamId, Option<u64>)>,
    /// Answers that need no append, but may rest on one of this group.
    answers: Vec<(oneshot::Sender<Result<BatchAck, Refusal>>, BatchAck)>,
    pings: Vec<oneshot::Sender<()>>,
    bytes: usize,
}

impl Owner {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            let mut group = Group::default();
            self.add(&mut group, request);
            while group.payloads.len() < GROUP_BATCHES && group.bytes < GROUP_BYTES {
                let Ok(request) = queue.try_recv() else { break };
                self.add(&mut group, request);
            }
            if !self.finish(group) {
                // The pipeline ends with this thread, and says so.
                return;
            }
        }
    }

    fn add(&mut self, group: &mut Group, request: Request) {
        let incoming = match request {
            Request::Ping(reply) => return group.pings.push(reply),
            Request::Batch(incoming) => *incoming,
        };
        let Incoming { received_at, bytes, batch, reply } = incoming;
        let answer = |ack, acked_through| BatchAck {
            stream: batch.stream,
            ack,
            acked_through,
            received_at,
            hold_ms: 0,
            catch_up_hold_ms: 0,
            wants: Vec::new(),
        };
        let (after, through, hole) = match self.ledger.decide(&batch.gateway, batch.stream, batch.range, batch.floor_seq) {
            Decision::Heartbeat { through } => return group.answers.push((reply, answer(Ack::Heartbeat, through))),
            Decision::Duplicate { through } => return group.answers.push((reply, answer(Ack::Duplicate, Some(through)))),
            Decision::Gap { expected, through } => return group.answers.push((reply, answer(Ack::Gap { expected }, through))),
            Decision::Fresh { after, through, hole } => (after, through, hole),
        };
        let header =
            Header { gateway: batch.gateway.clone(), received_at, after, through, loss: hole.map(|hole| stream_gap(hole, &batch)) };
        let payload = match entry::encode(&header, &bytes) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(gateway = %batch.gateway, %error, "cannot write a journal entry");
                let _ = reply.send(Err(Refusal::Failed));
                return;
            }
        };
        group.before.push((batch.gateway.clone(), batch.stream, self.ledger.through(&batch.gateway, batch.stream)));
        self.ledger.advance(&batch.gateway, batch.stream, through);
        group.bytes += payload.len();
        group.payloads.push(payload);
        let ack = answer(Ack::Stored, Some(through));
        let records = header.fresh(batch.records);
        let (gateway, stream) = (batch.gateway, batch.stream);
        group.entries.push(Entry { journal_seq: 0, gateway, stream, received_at, through, records, reply: Some((reply, ack)) });
    }

    /// Makes the group durable, passes it on and answers. False if this can't go on.
    fn finish(&mut self, mut group: Group) -> bool {
        if !group.payloads.is_empty() {
            let payloads: Vec<&[u8]> = group.payloads.iter().map(Vec::as_slice).collect();
            match self.spool.append(&payloads, None) {
                Ok(span) => {
                    self.health.recovered(Part::Journal);
                    for (entry, seq) in group.entries.iter_mut().zip(span.first..) {
                        entry.journal_seq = seq;
                    }
                }
                Err(error) => {
                    // After any other error nobody knows what the disk holds: only a new start can tell.
                    let goes_on = !error.is_final();
                    self.refuse(group, &error);
                    return goes_on;
                }
            }
        }
        for entry in group.entries {
            if self.pipeline.blocking_send(Applied::Batch(Box::new(entry))).is_err() {
                return false;
            }
        }
        for (reply, ack) in group.answers {
            // Who has gone away asks again.
            let _ = reply.send(Ok(ack));
        }
        group.pings.into_iter().all(|ping| self.pipeline.blocking_send(Applied::Ping(ping)).is_ok())
    }

    fn refuse(&mut self, group: Group, error: &SpoolError) {
        for (gateway, stream, through) in group.before.into_iter().rev() {
            self.ledger.restore(&gateway, stream, through);
        }
        let refusal = match error {
            SpoolError::Full { .. } => Refusal::Full { retry_after: HOLD_WHEN_FULL },
            _ => Refusal::Failed,
        };
        tracing::error!(%error, batches = group.entries.len(), "the journal did not take batches");
        self.health.failed(Part::Journal, error.to_string());
        let waiting = group.entries.into_iter().filter_map(|entry| entry.reply.map(|(reply, _)| reply));
        for reply in waiting.chain(group.answers.into_iter().map(|(reply, _)| reply)) {
            let _ = reply.send(Err(refusal.clone()));
        }
        // Pings stay unanswered: batches do not flow. The watchdog asks again before it gives up.
    }
}

/// The loss that stands for entries which the gateway no longer has. How many readings they held is not known.
fn stream_gap(hole: SeqRange, batch: &Batch) -> Loss {
    let times = || batch.records.iter().map(|stamped| time_of(&stamped.record));
    // They were made before the first record that came, and after the gateway's start at the earliest that can be said.
    let to = times().min().unwrap_or(batch.sent_at);
    Loss {
        asset: None,
        signal: None,
        reason: LossReason::StreamGap,
        count: 0,
        from: batch.status.started_at.min(to),
        to,
        detail: format!("entries {}..{} of stream {}", hole.first, hole.last, batch.stream),
    }
}

fn time_of(record: &protocol::Record) -> Timestamp {
    match record {
        protocol::Record::Window(summary) => summary.start,
        protocol::Record::Anomaly(anomaly) => anomaly.event_time,
        protocol::Record::State(change) => change.event_time,
        protocol::Record::Parts(parts) => parts.from,
        protocol::Record::Loss(loss) => loss.from,
    }
}
