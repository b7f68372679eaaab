//! The uploader: takes the oldest spool entries to the collector, and deletes them only when the collector has them durably.
//!
//! ```text
//! spool --peek--> decode --Batch--> POST /v1/batches (mutual TLS) --BatchAck--> spool.acknowledge
//! ```
//! One request is under way at a time, so entries arrive in order. Without entries a heartbeat (status alone) goes out every
//! [`HEARTBEAT`]. What the collector can't take is told apart:
//!
//! | answer | what is done |
//! |---|---|
//! | 200 | delete through what it has |
//! | 429, 503 | wait as `Retry-After` says |
//! | 400, 413, 422 | send fewer entries; a single one that is refused while a heartbeat is taken is poison: set aside and booked as lost |
//! | 401, 403 | not (or no more) enrolled: say so, try again rarely |
//! | anything else, no connection | decorrelated jitter up to a minute |
//!
//! Invariant: an entry leaves the spool only after an ack that covers it, or after it was set aside and its loss booked.

mod answer;
mod dead_letter;
mod prepare;

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use protocol::{Ack, BatchAck, Loss, LossReason, codec};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use answer::problem_text;
use answer::{Answer, Wait};
use dead_letter::DeadLetters;
use prepare::{Prepared, Preparer};

use crate::{backoff::Backoff, clock, config, drive::Dropped, pki, status::Board, store::Store};

/// After so long without a batch a heartbeat is sent, so that a collector hears from a gateway at least every 5 s.
pub const HEARTBEAT: Duration = Duration::from_secs(4);
/// Content type of a batch.
pub const BATCH_TYPE: &str = "application/vnd.millrace.batch";
/// No wait is longer, whatever the collector asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const BASE_WAIT: Duration = Duration::from_millis(500);
const USUAL_CAP: Duration = Duration::from_secs(60);

/// What the uploader is made of.
pub struct Parts {
    pub collector: config::Collector,
    pub data_dir: std::path::PathBuf,
    pub store: Arc<Store>,
    pub board: Arc<Board>,
    /// There is something new in the spool.
    pub fresh: Arc<Notify>,
    /// Where losses are booked.
    pub dropped: mpsc::Sender<Dropped>,
    pub prepare: prepare::Identity,
    /// Cancelled when the gateway ends: upload what is left, as far as that goes without waiting.
    pub finish: CancellationToken,
}

pub use prepare::Identity;

pub struct Uploader {
    parts: Parts,
    preparer: Preparer,
    dead_letters: DeadLetters,
    client: Option<(reqwest::Client, [Option<std::time::SystemTime>; 3])>,
    backoff: Backoff,
    /// Entries of a batch at most; halved when a batch is refused, doubled when one is taken.
    entries: usize,
    last_contact: Option<Instant>,
    /// The trouble last logged: each is logged once, not at each try.
    trouble: String,
}

/// What to do after a step.
enum Next {
    /// There may be more to send.
    Again,
    /// Nothing to send at the moment.
    Idle,
    Wait(Duration),
}

impl Uploader {
    pub fn new(parts: Parts) -> Self {
        let preparer = Preparer::new(parts.prepare.clone());
        let dead_letters = DeadLetters::new(&parts.data_dir);
        Self {
            parts,
            preparer,
            dead_letters,
            client: None,
            backoff: Backoff::new(BASE_WAIT, USUAL_CAP),
            entries: prepare::MAX_ENTRIES,
            last_contact: None,
            trouble: String::new(),
        }
    }

    /// Runs until `finish` is given and nothing more can be sent without waiting.
    pub async fn run(mut self) {
        loop {
            let next = self.step().await;
            let finishing = self.parts.finish.is_cancelled();
            match next {
                Next::Again => {}
                Next::Idle | Next::Wait(_) if finishing => return,
                Next::Idle => self.rest().await,
                Next::Wait(wait) => {
                    let wait = wait.min(LONGEST_WAIT);
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.parts.finish.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Until there is something new or a heartbeat is due; at least the configured interval, so that batches fill.
    async fn rest(&self) {
        let pause = self.parts.collector.upload_interval;
        let rest = async {
            sleep(pause).await;
            let _ = timeout(HEARTBEAT.saturating_sub(pause), self.parts.fresh.notified()).await;
        };
        tokio::select! {
            () = rest => {}
            () = self.parts.finish.cancelled() => {}
        }
    }

    async fn step(&mut self) -> Next {
        if let Err(error) = self.connect() {
            self.complain(&error.to_string());
            return Next::Wait(Duration::from_secs(5));
        }
        match self.prepare().await {
            Ok(Some(batch)) => self.deliver(batch).await,
            Ok(None) if self.last_contact.is_none_or(|at| at.elapsed() >= HEARTBEAT) => self.heartbeat().await,
            Ok(None) => Next::Idle,
            Err(reason) => {
                self.complain(&reason);
                Next::Wait(self.backoff.next(rand::random()))
            }
        }
    }

    /// Makes the client, anew after the certificate was renewed.
    fn connect(&mut self) -> Result<(), pki::PkiError> {
        let version = pki::version(&self.parts.collector);
        if self.client.as_ref().is_some_and(|(_, made_of)| *made_of == version) {
            return Ok(());
        }
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10).min(self.parts.collector.timeout))
            .timeout(self.parts.collector.timeout)
            .pool_idle_timeout(Duration::from_secs(90));
        if self.parts.collector.url.starts_with("https:") {
            builder = builder.tls_backend_preconfigured(pki::uplink(&self.parts.collector)?);
        }
        let client = builder.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        self.client = Some((client, version));
        Ok(())
    }

    async fn prepare(&mut self) -> Result<Option<Prepared>, String> {
        let Some(spool) = self.parts.store.spool() else { return Err("the spool is being reopened".into()) };
        let status = self.parts.board.gateway_status();
        let entries = self.entries;
        let mut preparer = self.preparer.clone();
        let work = tokio::task::spawn_blocking(move || (preparer.next(&spool, entries, status, clock::now().wall), preparer));
        let (prepared, preparer) = work.await.map_err(|error| error.to_string())?;
        self.preparer = preparer;
        for loss in self.preparer.take_losses() {
            let _ = self.parts.dropped.send(Dropped::Loss(loss));
        }
        let prepared = prepared.map_err(|error| error.to_string())?;
        self.parts.board.oldest_unsent(prepared.as_ref().and_then(|batch| batch.oldest));
        Ok(prepared)
    }

    async fn deliver(&mut self, batch: Prepared) -> Next {
        match self.send(batch.body.clone()).await {
            Answer::Ack(ack) => self.taken(&batch, ack).await,
            Answer::Refused { status, detail } => self.refused(batch, status, &detail).await,
            Answer::Wait(wait) => self.wait(wait),
        }
    }

    async fn taken(&mut self, batch: &Prepared, ack: BatchAck) -> Next {
        if ack.stream != batch.stream {
            self.complain("the collector acknowledged another stream");
            return Next::Wait(self.backoff.next(rand::random()));
        }
        self.contact();
        let hold = Duration::from_millis(u64::from(ack.hold_ms));
        if let Ack::Gap { expected } = ack.ack {
            return self.gap(batch, expected);
        }
        self.entries = (self.entries * 2).min(prepare::MAX_ENTRIES);
        let through = ack.acked_through.unwrap_or(batch.last).min(batch.last);
        if let Err(reason) = self.acknowledge(through).await {
            self.complain(&reason);
            return Next::Wait(self.backoff.next(rand::random()));
        }
        if !hold.is_zero() {
            Next::Wait(hold)
        } else if batch.more {
            Next::Again
        } else {
            Next::Idle
        }
    }

    /// The collector misses entries before this batch. We always send from the oldest that we hold, and say so: either it can be served
    /// from there, or the collector was set back and has to take the hole.
    fn gap(&mut self, batch: &Prepared, expected: u64) -> Next {
        let held = batch.floor..batch.first;
        self.preparer.resume_at(held.contains(&expected).then_some(expected));
        self.complain(&format!("the collector wants entry {expected} first, the oldest held is {}", batch.floor));
        if held.contains(&expected) { Next::Again } else { Next::Wait(self.backoff.next(rand::random())) }
    }

    async fn refused(&mut self, batch: Prepared, status: u16, detail: &str) -> Next {
        self.complain(&format!("the collector refused a batch of {} entries: {status} {detail}", batch.entries()));
        if batch.entries() > 1 {
            self.entries = usize::try_from(batch.entries() / 2).unwrap_or(1).max(1);
            return Next::Again;
        }
        // Does it understand us at all? Else every entry would look like poison.
        match self.send(self.preparer.heartbeat(batch.stream, batch.floor, self.parts.board.gateway_status(), clock::now().wall)).await {
            Answer::Ack(_) => {}
            Answer::Refused { status, detail } => {
                self.complain(&format!("the collector takes no batch of this version: {status} {detail}"));
                return Next::Wait(self.backoff.next(rand::random()).max(Duration::from_secs(10)));
            }
            Answer::Wait(wait) => return self.wait(wait),
        }
        let kept = self.dead_letters.keep(batch.stream, batch.first, &batch.blocks);
        tracing::error!(entry = batch.first, records = batch.records.len(), status, detail, ?kept, "a poisoned entry was set aside");
        let now = clock::now().wall;
        if batch.records.is_empty() {
            let detail = format!("spool entry {} was refused by the collector", batch.first);
            let loss =
                Loss { asset: None, signal: None, reason: LossReason::Rejected, count: 0, from: now, to: now.plus_micros(1), detail };
            let _ = self.parts.dropped.send(Dropped::Loss(loss));
        } else {
            let _ = self.parts.dropped.send(Dropped::Records(batch.records, LossReason::Rejected));
        }
        match self.acknowledge(batch.last).await {
            Ok(()) => Next::Again,
            Err(reason) => {
                self.complain(&reason);
                Next::Wait(self.backoff.next(rand::random()))
            }
        }
    }

    async fn heartbeat(&mut self) -> Next {
        let Some(spool) = self.parts.store.spool() else { return Next::Idle };
        let stream = protocol::StreamId(spool.stream());
        let body = self.preparer.heartbeat(stream, spool.first_seq(), self.parts.board.gateway_status(), clock::now().wall);
        drop(spool);
        match self.send(body).await {
            Answer::Ack(ack) => {
                self.contact();
                if ack.hold_ms == 0 { Next::Idle } else { Next::Wait(Duration::from_millis(u64::from(ack.hold_ms))) }
            }
            Answer::Refused { status, detail } => {
                self.complain(&format!("the collector takes no heartbeat of this version: {status} {detail}"));
                Next::Wait(self.backoff.next(rand::random()).max(Duration::from_secs(10)))
            }
            Answer::Wait(wait) => self.wait(wait),
        }
    }

    async fn send(&self, body: Vec<u8>) -> Answer {
        let Some((client, _)) = &self.client else { return Answer::Wait(Wait::usual("no client".into())) };
        let url = format!("{}/v1/batches", self.parts.collector.url.trim_end_matches('/'));
        let request = client.post(url).header(reqwest::header::CONTENT_TYPE, BATCH_TYPE).body(body).send();
        answer::read(request.await, codec::decode_ack).await
    }

    fn wait(&mut self, wait: Wait) -> Next {
        self.complain(&wait.reason);
        let backoff = self.backoff.next(rand::random());
        Next::Wait(match wait.after {
            // Asked for: not sooner, and not all gateways at once.
            Some(after) => after + after.mul_f64(0.1 * rand::random::<f64>()),
            None => backoff.max(wait.at_least),
        })
    }

    async fn acknowledge(&self, through: u64) -> Result<(), String> {
        let Some(spool) = self.parts.store.spool() else { return Err("the spool is being reopened".into()) };
        let work = tokio::task::spawn_blocking(move || spool.acknowledge(through).map_err(|error| error.to_string()));
        work.await.map_err(|error| error.to_string())?.map(|_| ())
    }

    /// The collector answered.
    fn contact(&mut self) {
        self.last_contact = Some(Instant::now());
        self.backoff.reset();
        self.parts.board.uploaded(clock::now().wall);
        if !std::mem::take(&mut self.trouble).is_empty() {
            tracing::info!("the collector takes batches again");
        }
    }

    fn complain(&mut self, trouble: &str) {
        self.parts.board.upload_failed(trouble);
        if self.trouble != trouble {
            tracing::warn!(reason = trouble, backlog = self.parts.board.backlog(), "not uploading; records stay in the spool");
            self.trouble = trouble.into();
        }
    }
}
