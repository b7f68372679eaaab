//! The uploader: takes spool entries to the collector. A thin shell around [`Courier`], which decides everything.
//!
//! ```text
//! Courier::next --Request--> POST /v1/batches (mutual TLS) --Answer--> Courier::answered
//!    ^                                                                       |
//!    +------ fresh (new entries), new certificates, the end of a wait <------+
//! ```
//! The client is made anew when the certificate, the key or the CA file changes. If what is there then can't be used (a pair of which one
//! half is written already), the client that works stays, and that is said.
//!
//! Invariant: one request is under way at a time, and whatever becomes of it is given to the courier.

mod answer;
mod assemble;
mod breaker;
mod client;
pub mod courier;
mod dead_letter;
mod queue;
mod rate;
mod replace;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use protocol::{GatewayId, SeqRange, StreamId};
use spool::Spool;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

pub use answer::problem_text;
pub use breaker::Breaker;
use client::Client;
pub use courier::{Courier, DeadLetter, HEARTBEAT, Rebase, Report, Request, Settings, Step};
use dead_letter::DeadLetters;
pub(crate) use queue::unsent;
pub use verdict::Answer;

use crate::{clock::Now, config, drive::Dropped, status::Board, store::Store};

/// Content type of a batch.
pub const BATCH_TYPE: &str = "application/vnd.millrace.batch";
/// Never rests longer: new certificates are to be found soon.
const LOOK: Duration = Duration::from_secs(1);

/// What the uploader is made of.
pub struct Parts {
    pub gateway: GatewayId,
    pub collector: config::Collector,
    pub data_dir: std::path::PathBuf,
    pub store: Arc<Store>,
    pub board: Arc<Board>,
    /// There is something new in the spool.
    pub fresh: Arc<Notify>,
    /// Where losses are booked.
    pub dropped: mpsc::Sender<Dropped>,
    /// Cancelled when the gateway ends: upload what is left, as far as that goes without waiting.
    pub finish: CancellationToken,
}

/// A request that came to its end, for whoever watches.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub stream: StreamId,
    /// `None`: a heartbeat.
    pub range: Option<SeqRange>,
    pub catch_up: bool,
    pub sent: Instant,
    pub took: Duration,
    pub answer: &'a Answer,
}

type Watcher = Box<dyn FnMut(&Exchange<'_>) + Send + Sync>;

pub struct Uploader {
    parts: Parts,
    /// Away while a blocking thread has it.
    courier: Option<Courier>,
    client: Client,
    /// Why the certificates that are there now can't be used; empty if they can.
    certificates: String,
    dead_letters: DeadLetters,
    /// The trouble last logged: each is logged once, not at each try.
    told: String,
    watcher: Option<Watcher>,
}

impl Uploader {
    pub fn new(parts: Parts) -> Self {
        Self {
            courier: None,
            client: Client::new(parts.collector.clone(), Arc::clone(parts.board.clock())),
            certificates: String::new(),
            dead_letters: DeadLetters::new(&parts.data_dir),
            told: String::new(),
            watcher: None,
            parts,
        }
    }

    /// Shows each request to `watcher` when it was answered, before the courier learns of it. It is called between two requests: it must be quick.
    #[must_use]
    pub fn watched(mut self, watcher: impl FnMut(&Exchange<'_>) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        self
    }

    /// Runs until `finish` is given and nothing more can be sent without waiting.
    pub async fn run(mut self) {
        loop {
            let finishing = self.parts.finish.is_cancelled();
            let Some(spool) = self.parts.store.spool() else {
                if finishing {
                    return;
                }
                self.rest(LOOK).await;
                continue;
            };
            match self.step(&spool, finishing).await {
                Step::Send(request) => self.deliver(&spool, request).await,
                Step::Wait(_) | Step::Idle if finishing => return,
                wait => {
                    // Not held while waiting, so that it can be closed.
                    drop(spool);
                    self.rest(if let Step::Wait(wait) = wait { wait } else { HEARTBEAT }).await;
                }
            }
        }
    }

    /// Until there is something new, new certificates may be there, or `wait` is over.
    async fn rest(&self, wait: Duration) {
        tokio::select! {
            () = sleep(wait.min(LOOK)) => {}
            () = self.parts.fresh.notified() => {}
            () = self.parts.finish.cancelled() => {}
        }
    }

    async fn step(&mut self, spool: &Arc<Spool>, finishing: bool) -> Step {
        let renewed = self.client.refresh();
        self.certificates = renewed.as_ref().err().cloned().unwrap_or_default();
        let (usable, now) = (self.client.is_usable(), self.now());
        let (spool, status, clock) = (Arc::clone(spool), self.parts.board.gateway_status(), Arc::clone(self.parts.board.clock()));
        let step = self
            .with_courier(move |courier| {
                if finishing {
                    courier.finish();
                }
                match renewed {
                    Ok(true) => courier.try_now(),
                    Err(trouble) if !usable => {
                        courier.unable(now, trouble);
                        return Step::Wait(LOOK);
                    }
                    Ok(false) | Err(_) => {}
                }
                courier.next(&spool, now, status, &|stamp, records| clock.rebase(stamp, records))
            })
            .await;
        for letter in self.courier.as_mut().map(Courier::take_dead_letters).unwrap_or_default() {
            self.dead_letters.keep(&letter);
        }
        self.show();
        step.unwrap_or(Step::Wait(LOOK))
    }

    async fn deliver(&mut self, spool: &Arc<Spool>, request: Request) {
        let Request { body, stream, range, catch_up } = request;
        let sent = Instant::now();
        let answer = self.client.exchange(body).await;
        if let Some(watcher) = &mut self.watcher {
            watcher(&Exchange { stream, range, catch_up, sent, took: sent.elapsed(), answer: &answer });
        }
        let (spool, now) = (Arc::clone(spool), self.now());
        let dropped = self.with_courier(move |courier| courier.answered(&spool, now, answer, rand::random())).await;
        for loss in dropped.unwrap_or_default() {
            let _ = self.parts.dropped.send(loss);
        }
        self.show();
    }

    /// The courier reads and writes the spool, so it works on a thread that may wait. `None` if it panicked: then a new one begins with
    /// what the spool knows.
    async fn with_courier<T: Send + 'static>(&mut self, work: impl FnOnce(&mut Courier) -> T + Send + 'static) -> Option<T> {
        let mut courier = self.courier.take().unwrap_or_else(|| Courier::new(self.parts.settings()));
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut courier);
            (courier, result)
        });
        match done.await {
            Ok((courier, result)) => {
                self.courier = Some(courier);
                Some(result)
            }
            Err(error) => {
                tracing::error!(%error, "the planner of uploads failed and begins anew");
                None
            }
        }
    }

    fn now(&self) -> Now {
        self.parts.board.now()
    }

    fn show(&mut self) {
        let Some(courier) = &self.courier else { return };
        let mut report = courier.report(self.now());
        if report.trouble.is_empty() && !self.certificates.is_empty() {
            report.trouble = format!("uploading with the certificates of before: {}", self.certificates);
        }
        if self.told != report.trouble {
            let [urgent, data] = report.backlog;
            match report.trouble.as_str() {
                "" => tracing::info!(urgent, data, "the collector takes batches again"),
                reason => tracing::warn!(
                    reason,
                    urgent,
                    data,
                    breaker = report.breaker.as_str(),
                    "trouble with uploading; records stay in the spool"
                ),
            }
            self.told.clone_from(&report.trouble);
        }
        self.parts.board.uploader(report);
    }
}

impl Parts {
    fn settings(&self) -> Settings {
        let config::Collector { catch_up, upload_interval, .. } = self.collector;
        Settings { gateway: self.gateway.clone(), catch_up, interval: upload_interval }
    }
}
