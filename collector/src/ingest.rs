//! `POST /v1/batches`: authenticates, caps, decodes, queues for the journal, and answers what became of it.
//!
//! Stands between `uplink` (which knows from the TLS handshake who asks) and `journal`. Every batch ends in exactly one
//! [`Outcome`], which is counted. Invariants: what a batch may cost is bounded before it is read; a batch that is acknowledged is durable;
//! one bad batch stops nobody else.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use protocol::{
    Ack, Batch, BatchAck, GatewayId, Timestamp,
    codec::{self, Limits},
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{
    app::App,
    clock,
    health::Part,
    intake::Incoming,
    journal::{Refusal, Request, Waiting},
    local,
    metrics::{self, Outcome},
    pacing::Overload,
    problem::Problem,
    quarantine::Quarantine,
    store::CertificateStanding,
    uplink::Peer,
};

/// Bodies that are read and decoded at a time; others wait for their turn.
const CONCURRENT_BATCHES: usize = 32;
const TURN_PATIENCE: Duration = Duration::from_secs(5);
const BODY_PATIENCE: Duration = Duration::from_secs(30);
const JOURNAL_PATIENCE: Duration = Duration::from_secs(30);
pub const ACK_TYPE: &str = "application/vnd.millrace.ack";

/// What the handler needs beside the [`App`].
#[derive(Clone)]
pub struct Ingest {
    app: App,
    queue: mpsc::Sender<Request>,
    turns: Arc<Semaphore>,
    limits: Limits,
    quarantine: Quarantine,
    overload: Arc<Mutex<Overload>>,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error("no client certificate")]
    NoCertificate,
    #[error("the certificate of {gateway} is not good: {standing:?}")]
    BadCertificate { gateway: GatewayId, standing: CertificateStanding },
    #[error("{peer} sent a batch in the name of {named}")]
    WrongName { peer: GatewayId, named: GatewayId },
    #[error("the batch is over {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body did not come: {0}")]
    Body(String),
    #[error("not a valid batch: {0}")]
    Undecodable(String),
    #[error("held off: {reason}")]
    HeldOff { reason: &'static str },
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error("the journal failed")]
    Journal,
}

impl Rejection {
    /// It is the collector's state that forbids it, not the batch.
    fn is_overload(&self) -> bool {
        matches!(self, Self::HeldOff { .. } | Self::Store(_) | Self::Journal)
    }
}

impl Ingest {
    pub fn new(app: App, queue: mpsc::Sender<Request>) -> Self {
        let uplink = &app.config.uplink;
        let limits = limits(uplink);
        let quarantine = Quarantine::new(app.config.in_data_dir("quarantine"), uplink.max_quarantined);
        Self { app, queue, turns: Arc::new(Semaphore::new(CONCURRENT_BATCHES)), limits, quarantine, overload: Arc::default() }
    }
}

/// The limits of one batch.
pub fn limits(uplink: &crate::config::UplinkConfig) -> Limits {
    Limits { max_encoded_bytes: uplink.max_batch_bytes, max_decoded_bytes: uplink.max_decoded_bytes, max_rows: uplink.max_batch_rows }
}

/// The handler.
pub async fn post_batch(State(ingest): State<Ingest>, Extension(peer): Extension<Peer>, headers: HeaderMap, body: Body) -> Response {
    // Before the body: the transfer is no part of the skew.
    let received_at = clock::now();
    match ingest.take(&peer, received_at, &headers, body).await {
        Ok(ack) => {
            metrics::batch(match ack.ack {
                Ack::Stored => Outcome::Stored,
                Ack::Duplicate => Outcome::Duplicate,
                Ack::Gap { .. } => Outcome::Gap,
                Ack::Heartbeat => Outcome::Heartbeat,
            });
            if ack.ack != Ack::Heartbeat {
                ingest.overload.lock().took(received_at);
            }
            match codec::encode_ack(&ack) {
                Ok(bytes) => ([(header::CONTENT_TYPE, ACK_TYPE)], bytes).into_response(),
                Err(error) => {
                    tracing::error!(%error, "cannot encode an acknowledgement");
                    problem(&Rejection::Journal).into_response()
                }
            }
        }
        Err(rejection) => {
            metrics::batch(outcome(&rejection));
            tracing::warn!(gateway = peer.gateway().map(GatewayId::as_str), %rejection, "batch not taken");
            let problem = problem(&rejection);
            match rejection.is_overload() {
                false => problem.into_response(),
                true => {
                    // The longer it lasts the longer they stay away, and not all for the same time.
                    let after = ingest.overload.lock().turned_away(received_at, rand::random());
                    metrics::retry_after(after.as_secs_f64());
                    if let Some(gateway) = peer.gateway() {
                        let until = received_at.plus_micros(i64::try_from(after.as_micros()).unwrap_or(i64::MAX));
                        ingest.app.twin.sent_away(gateway, received_at, until);
                    }
                    problem.retry_after(after).into_response()
                }
            }
        }
    }
}

impl Ingest {
    async fn take(&self, peer: &Peer, received_at: Timestamp, headers: &HeaderMap, body: Body) -> Result<BatchAck, Rejection> {
        let gateway = self.admit(peer).await?;
        self.check_room()?;
        let turn = tokio::time::timeout(TURN_PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Rejection::HeldOff { reason: "too many batches at a time" });
        };
        let bytes = self.read(headers, body).await?;
        let (bytes, batch) = self.decode(&gateway, received_at, bytes).await?;
        if batch.gateway != gateway {
            return Err(Rejection::WrongName { peer: gateway, named: batch.gateway });
        }
        let (sent_at, status) = (batch.sent_at, batch.status.clone());
        let ack = self.deliver(Incoming { received_at, bytes: bytes.into(), batch }).await?;
        metrics::held(ack.hold_ms, ack.catch_up_hold_ms);
        self.app.twin.apply_status(&gateway, received_at, &status);
        self.app.tally.note(&gateway, |tally| {
            tally.last_seen = Some(received_at);
            tally.skew.heard(received_at.micros_since(sent_at));
            match ack.ack {
                Ack::Stored => tally.batches += 1,
                Ack::Duplicate => tally.duplicate_batches += 1,
                Ack::Gap { .. } => tally.gap_batches += 1,
                Ack::Heartbeat => {}
            }
        });
        Ok(ack)
    }

    /// Who sends, if it may.
    async fn admit(&self, peer: &Peer) -> Result<GatewayId, Rejection> {
        let (gateway, serial) = peer.identity().ok_or(Rejection::NoCertificate)?;
        if local::is_local(gateway) {
            // Its streams are this process's own.
            return Err(Rejection::BadCertificate { gateway: gateway.clone(), standing: CertificateStanding::Unknown });
        }
        match self.app.store.certificate_standing(serial, gateway).await? {
            CertificateStanding::Good => Ok(gateway.clone()),
            standing => Err(Rejection::BadCertificate { gateway: gateway.clone(), standing }),
        }
    }

    /// Gateways buffer; a collector that is behind lets them.
    fn check_room(&self) -> Result<(), Rejection> {
        if self.app.lake.hot_rows() >= self.app.config.lake.max_hot_rows {
            return Err(Rejection::HeldOff { reason: "rows wait for the lake" });
        }
        Ok(())
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Rejection> {
        let limit = self.limits.max_encoded_bytes;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(Rejection::TooLarge { limit });
        }
        match tokio::time::timeout(BODY_PATIENCE, axum::body::to_bytes(body, limit)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) if is_over_limit(&error) => Err(Rejection::TooLarge { limit }),
            Ok(Err(error)) => Err(Rejection::Body(error.to_string())),
            Err(_) => Err(Rejection::Body(format!("not within {} s", BODY_PATIENCE.as_secs()))),
        }
    }

    /// Decoding takes milliseconds of work: off the threads that serve connections.
    async fn decode(&self, gateway: &GatewayId, received_at: Timestamp, bytes: Bytes) -> Result<(Bytes, Batch), Rejection> {
        let (limits, body) = (self.limits, bytes.clone());
        let decoded = tokio::task::spawn_blocking(move || {
            let batch = codec::decode_batch(&body, &limits).map_err(|error| error.to_string())?;
            check(&batch)?;
            Ok(batch)
        })
        .await
        .unwrap_or_else(|error| Err(format!("the decoder failed: {error}")));
        match decoded {
            Ok(batch) => Ok((bytes, batch)),
            Err(reason) => {
                self.app.tally.note(gateway, |tally| tally.rejected_batches += 1);
                let (quarantine, owner) = (self.quarantine.clone(), gateway.clone());
                let kept = tokio::task::spawn_blocking(move || quarantine.keep(&owner, received_at, &bytes)).await;
                tracing::warn!(%gateway, %reason, copy = ?kept, "undecodable batch");
                Err(Rejection::Undecodable(reason))
            }
        }
    }

    /// Queues for the journal and waits. If the client goes away meanwhile, the journal does not care: it has all of the batch.
    async fn deliver(&self, incoming: Incoming) -> Result<BatchAck, Rejection> {
        let (reply, answer) = oneshot::channel();
        metrics::queued(self.queue.max_capacity() - self.queue.capacity());
        self.queue.try_send(Request::Batch(Box::new(Waiting { incoming, reply }))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Rejection::HeldOff { reason: "the journal's queue is full" },
            mpsc::error::TrySendError::Closed(_) => Rejection::HeldOff { reason: "the collector is stopping" },
        })?;
        match tokio::time::timeout(JOURNAL_PATIENCE, answer).await {
            Ok(Ok(Ok(ack))) => Ok(ack),
            Ok(Ok(Err(Refusal::Full))) => Err(Rejection::HeldOff { reason: "the journal is full" }),
            Ok(Ok(Err(Refusal::Failed)) | Err(_)) => Err(Rejection::Journal),
            Err(_) => Err(Rejection::HeldOff { reason: "the disk is slow" }),
        }
    }
}

/// What the codec can't know: that a batch is consistent in itself.
fn check(batch: &Batch) -> Result<(), String> {
    let Some(range) = batch.range else {
        return if batch.records.is_empty() { Ok(()) } else { Err("records without a range".into()) };
    };
    // Sequences are stored as 64-bit signed integers.
    if range.first == 0 || range.first > range.last || range.last > i64::MAX.unsigned_abs() {
        return Err(format!("the range {}..{} is not one of sequences from 1", range.first, range.last));
    }
    let mut last = range.first;
    for stamped in &batch.records {
        if stamped.seq < last || stamped.seq > range.last {
            return Err(format!("sequence {} is out of order or of the range {}..{}", stamped.seq, range.first, range.last));
        }
        last = stamped.seq;
    }
    Ok(())
}

fn is_over_limit(error: &axum::Error) -> bool {
    // axum names this cause only in a type of a crate that is not ours to depend on.
    std::iter::successors(std::error::Error::source(error), |cause| cause.source()).any(|cause| cause.to_string().contains("length limit"))
}

fn outcome(rejection: &Rejection) -> Outcome {
    match rejection {
        Rejection::NoCertificate => Outcome::Unauthenticated,
        Rejection::BadCertificate { .. } | Rejection::WrongName { .. } => Outcome::Forbidden,
        Rejection::TooLarge { .. } => Outcome::TooLarge,
        Rejection::Undecodable(_) => Outcome::Undecodable,
        Rejection::HeldOff { .. } => Outcome::HeldOff,
        Rejection::Body(_) | Rejection::Store(_) | Rejection::Journal => Outcome::Failed,
    }
}

fn problem(rejection: &Rejection) -> Problem {
    match rejection {
        Rejection::NoCertificate => Problem::new(
            StatusCode::UNAUTHORIZED,
            "A client certificate is needed",
            "enroll this gateway: `millrace-collector token create` here, then `millrace-gateway enroll` there",
        ),
        Rejection::BadCertificate { standing, .. } => Problem::new(
            StatusCode::FORBIDDEN,
            "The certificate is not accepted",
            match standing {
                CertificateStanding::Revoked => "the gateway was revoked; enroll it again with a new token",
                _ => "the collector does not know the certificate; enroll the gateway again with a new token",
            },
        ),
        Rejection::WrongName { peer, named } => Problem::new(
            StatusCode::FORBIDDEN,
            "The batch is in another gateway's name",
            format!("the certificate is {peer}'s, the batch {named}'s"),
        ),
        Rejection::TooLarge { limit } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The batch is too large", format!("at most {limit} bytes"))
        }
        Rejection::Body(reason) => Problem::new(StatusCode::REQUEST_TIMEOUT, "The body did not come", reason.clone()),
        Rejection::Undecodable(reason) => Problem::new(StatusCode::BAD_REQUEST, "The body is no valid batch", reason.clone()),
        Rejection::HeldOff { reason } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Come back later", *reason),
        Rejection::Store(_) | Rejection::Journal => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The collector can't take batches now",
            format!("its {} failed", Part::Journal.as_str()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use protocol::{GatewayStatus, Loss, LossReason, Record, SeqRange, StampedRecord, StreamId};

    use super::*;

    fn batch(range: Option<(u64, u64)>, seqs: &[u64]) -> Batch {
        let loss = Loss {
            asset: None,
            signal: None,
            reason: LossReason::Unmatched,
            count: 1,
            from: Timestamp(1),
            to: Timestamp(2),
            detail: String::new(),
        };
        Batch {
            gateway: GatewayId::new("gw").expect("valid"),
            stream: StreamId(1),
            parent: None,
            range: range.map(|(first, last)| SeqRange { first, last }),
            floor_seq: 1,
            catch_up: false,
            sent_at: Timestamp(1),
            status: GatewayStatus { boot_id: 1, started_at: Timestamp(1), version: "0".into(), durable: true, ..GatewayStatus::default() },
            entries: Vec::new(),
            records: seqs.iter().map(|&seq| StampedRecord { seq, record: Record::Loss(loss.clone()) }).collect(),
        }
    }

    #[test]
    fn a_batch_that_contradicts_itself_is_no_batch() {
        for good in [batch(None, &[]), batch(Some((1, 3)), &[1, 1, 3]), batch(Some((2, 2)), &[])] {
            assert_eq!(check(&good), Ok(()));
        }
        for bad in [
            batch(None, &[1]),
            batch(Some((0, 1)), &[0]),
            batch(Some((3, 2)), &[]),
            batch(Some((1, u64::MAX)), &[]),
            batch(Some((2, 3)), &[1]),
            batch(Some((2, 3)), &[4]),
            batch(Some((2, 3)), &[3, 2]),
        ] {
            assert!(check(&bad).is_err(), "{:?} {:?}", bad.range, bad.records.iter().map(|r| r.seq).collect::<Vec<_>>());
        }
    }
}
