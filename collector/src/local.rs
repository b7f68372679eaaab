//! What comes by the API and not from a gateway: given a stream of its own and sent the way of every batch.
//!
//! Stands beside `ingest`, before the journal: posts wait in a bounded queue, one task makes batches of those that wait, in the name of the reserved
//! gateway `api`, and hands them to the journal's thread. So they are durable before they are answered, and the ledger, the audit, the twin, live
//! updates and the lake see them as they see any other batch.
//!
//! Each start begins a generation of its own that goes on from none: its sequences begin with 1, its books with 0, and what earlier generations
//! brought is set apart as it is for any gateway. A gateway of that name is not let in.
//!
//! Invariants: a post that is answered as stored is durable; one that is answered as refused is not stored, unless the collector stopped meanwhile; of
//! two posts of one key at most one is stored, as long as the first is remembered. A sequence is never used for two posts: when it is not known what
//! became of a batch, a new generation begins.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use protocol::{
    Ack, Batch, Books, DATA, EntryInfo, EntryStamp, GatewayId, GatewayStatus, HeldStream, Record, SeqRange, StampedRecord, StreamId,
    TimeQuality, Timestamp, codec,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    clock,
    intake::{Incoming, readings},
    journal::{Refusal, Request, Waiting},
};

/// The reserved gateway.
pub const NAME: &str = "api";
/// Posts that wait for the task.
const MAX_WAITING: usize = 256;
/// Posts of one batch.
const GROUP_POSTS: usize = 64;
/// Rows of one batch, but for those of its last post.
const GROUP_ROWS: usize = 20_000;
/// Posts that are remembered.
const MAX_REMEMBERED: usize = 20_000;

/// Whether that is the reserved gateway: it is as alive as this process, and nobody may send in its name.
pub fn is_local(gateway: &GatewayId) -> bool {
    gateway.as_str() == NAME
}

/// SHA-256.
pub type Digest = [u8; 32];

/// What became of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Stored,
    /// It had been stored before.
    Duplicate,
}

/// Why a post was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("another post came with this key")]
    OtherPost,
    #[error("the same post is being stored")]
    Pending,
    #[error("too many posts wait")]
    Busy,
    #[error("the journal is full: rows wait for the lake")]
    Full,
    #[error("the journal failed")]
    Failed,
    #[error("the collector is stopping")]
    Stopping,
}

struct Post {
    key: Digest,
    records: Vec<Record>,
    reply: oneshot::Sender<Result<(), Refused>>,
}

/// The way in; clones share it. It takes nothing before [`Local::start`].
#[derive(Clone, Default)]
pub struct Local {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    posts: Option<mpsc::Sender<Post>>,
    memory: Memory,
}

/// The posts of late, by their keys.
#[derive(Default)]
struct Memory {
    known: HashMap<Digest, Known>,
    /// The oldest first; those that were forgotten early are no longer among the known.
    order: VecDeque<Digest>,
}

#[derive(Clone, Copy)]
struct Known {
    content: Digest,
    stored: bool,
}

impl Memory {
    /// `None` if the key is new: it is pending from now on.
    fn begin(&mut self, key: Digest, content: Digest) -> Option<Result<Taken, Refused>> {
        if let Some(known) = self.known.get(&key) {
            return Some(match known {
                known if known.content != content => Err(Refused::OtherPost),
                known if known.stored => Ok(Taken::Duplicate),
                _ => Err(Refused::Pending),
            });
        }
        self.known.insert(key, Known { content, stored: false });
        self.order.push_back(key);
        while self.order.len() > MAX_REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        None
    }

    fn end(&mut self, key: &Digest, stored: bool) {
        if !stored {
            self.known.remove(key);
            // Near the end: it came last, or almost.
            if let Some(place) = self.order.iter().rposition(|known| known == key) {
                self.order.remove(place);
            }
        } else if let Some(known) = self.known.get_mut(key) {
            known.stored = true;
        }
    }
}

impl Local {
    /// Starts the task that owns the stream; it ends with `stop`, after all that waits.
    pub fn start(&self, app: App, queue: mpsc::Sender<Request>, stop: CancellationToken) -> JoinHandle<()> {
        let (posts, waiting) = mpsc::channel(MAX_WAITING);
        self.inner.lock().posts = Some(posts);
        tokio::spawn(run(self.clone(), app, queue, waiting, stop))
    }

    /// Makes `records` durable, once for each `key`. `content` tells two posts of one key from each other.
    ///
    /// # Errors
    /// [`Refused`]: nothing is stored.
    pub async fn take(&self, key: Digest, content: Digest, records: Vec<Record>) -> Result<Taken, Refused> {
        let answer = {
            let mut inner = self.inner.lock();
            let posts = inner.posts.clone().ok_or(Refused::Stopping)?;
            if let Some(known) = inner.memory.begin(key, content) {
                return known;
            }
            let (reply, answer) = oneshot::channel();
            if let Err(error) = posts.try_send(Post { key, records, reply }) {
                inner.memory.end(&key, false);
                return Err(match error {
                    mpsc::error::TrySendError::Full(_) => Refused::Busy,
                    mpsc::error::TrySendError::Closed(_) => Refused::Stopping,
                });
            }
            answer
        };
        answer.await.map_err(|_| Refused::Stopping)?.map(|()| Taken::Stored)
    }

    fn finish(&self, posts: Vec<(Digest, oneshot::Sender<Result<(), Refused>>)>, done: Result<(), Refused>) {
        let mut inner = self.inner.lock();
        for (key, reply) in posts {
            inner.memory.end(&key, done.is_ok());
            // Who has gone away asks again and is told that it is a duplicate.
            let _ = reply.send(done);
        }
    }
}

async fn run(local: Local, app: App, queue: mpsc::Sender<Request>, mut posts: mpsc::Receiver<Post>, stop: CancellationToken) {
    let Ok(gateway) = GatewayId::new(NAME) else { return };
    let run_id = rand::random();
    let mut owner = Owner { app, queue, gateway, run_id, total: 0, stream: Stream::new() };
    loop {
        let first = tokio::select! {
            post = posts.recv() => post,
            () = stop.cancelled() => {
                posts.close();
                posts.recv().await
            }
        };
        let Some(first) = first else { break };
        let (mut records, mut waiting) = (Vec::new(), Vec::new());
        let mut rows = first.records.len();
        let mut add = |post: Post| {
            records.push(post.records);
            waiting.push((post.key, post.reply));
        };
        add(first);
        for _ in 1..GROUP_POSTS {
            if rows >= GROUP_ROWS {
                break;
            }
            let Ok(post) = posts.try_recv() else { break };
            rows += post.records.len();
            add(post);
        }
        let done = owner.deliver(records).await;
        if let Err(error) = done {
            tracing::warn!(%error, posts = waiting.len(), "posts were not stored");
        }
        local.finish(waiting, done);
        if done.is_ok() && posts.is_empty() {
            owner.report().await;
        }
    }
    local.inner.lock().posts = None;
}

/// A generation with what is in it.
struct Stream {
    id: StreamId,
    next: u64,
    readings: u64,
}

impl Stream {
    fn new() -> Self {
        Self { id: StreamId::of(rand::random(), DATA), next: 1, readings: 0 }
    }
}

struct Owner {
    app: App,
    queue: mpsc::Sender<Request>,
    gateway: GatewayId,
    run_id: u64,
    /// Readings since the start.
    total: u64,
    stream: Stream,
}

impl Owner {
    /// One batch with an entry for each post.
    async fn deliver(&mut self, posts: Vec<Vec<Record>>) -> Result<(), Refused> {
        let now = clock::now();
        let mono_us = u64::try_from(now.micros_since(self.app.started_at)).unwrap_or(0);
        let stamp = EntryStamp { boot_id: self.run_id, mono_us, wall: now, time_quality: TimeQuality::Synced, inherited: false };
        let first = self.stream.next;
        let (mut entries, mut records, mut brought) = (Vec::with_capacity(posts.len()), Vec::new(), 0_u64);
        for (post, seq) in posts.into_iter().zip(first..) {
            let count = readings(&post);
            entries.push(EntryInfo { stamp: Some(stamp), readings_before: self.stream.readings.saturating_add(brought), readings: count });
            brought = brought.saturating_add(count);
            records.extend(post.into_iter().map(|record| StampedRecord { seq, record }));
        }
        let last = first + entries.len() as u64 - 1;
        let rows = records.len();
        let batch = Batch {
            range: Some(SeqRange { first, last }),
            floor_seq: first,
            entries,
            records,
            ..self.batch(now, Ahead { next: last + 1, readings: brought })
        };
        match self.send(now, batch).await? {
            Ack::Stored => {
                (self.stream.next, self.stream.readings) = (last + 1, self.stream.readings.saturating_add(brought));
                self.total = self.total.saturating_add(brought);
                self.app.tally.note(&self.gateway, |tally| tally.batches += 1);
                tracing::debug!(rows, first, last, "posts stored");
                Ok(())
            }
            ack => {
                tracing::error!(?ack, stream = %self.stream.id, "the journal does not know this process's own stream: it begins another");
                self.stream = Stream::new();
                Err(Refused::Failed)
            }
        }
    }

    /// Tells that all is delivered, as a gateway does with a heartbeat: then the books balance. Costs the journal nothing.
    async fn report(&mut self) {
        let now = clock::now();
        let batch = self.batch(now, Ahead { next: self.stream.next, readings: 0 });
        let status = batch.status.clone();
        if self.send(now, batch).await.is_ok() {
            self.app.twin.apply_status(&self.gateway, now, &status);
        }
    }

    async fn send(&mut self, now: Timestamp, batch: Batch) -> Result<Ack, Refused> {
        let bytes = codec::encode_batch(&batch).map_err(|error| {
            tracing::error!(%error, "cannot encode what came by the API");
            Refused::Failed
        })?;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { incoming: Incoming { received_at: now, bytes, batch }, reply };
        self.queue.send(Request::Batch(Box::new(waiting))).await.map_err(|_| Refused::Stopping)?;
        // Without a limit: as long as it is not known what became of these sequences no others may follow. Callers have their own patience.
        match answer.await {
            Ok(Ok(ack)) => Ok(ack.ack),
            Ok(Err(Refusal::Full)) => Err(Refused::Full),
            Ok(Err(Refusal::Failed)) => Err(Refused::Failed),
            Err(_) => {
                self.stream = Stream::new();
                Err(Refused::Stopping)
            }
        }
    }

    /// A batch without records.
    fn batch(&self, now: Timestamp, ahead: Ahead) -> Batch {
        let acked = self.stream.next - 1;
        Batch {
            gateway: self.gateway.clone(),
            stream: self.stream.id,
            parent: None,
            range: None,
            floor_seq: self.stream.next,
            catch_up: false,
            sent_at: now,
            status: GatewayStatus {
                boot_id: self.run_id,
                started_at: self.app.started_at,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                readings_total: self.total.saturating_add(ahead.readings),
                durable: true,
                backlog_entries: ahead.next - self.stream.next,
                books: Books { taken: self.stream.readings.saturating_add(ahead.readings), held: ahead.readings, ..Books::default() },
                streams: vec![HeldStream { stream: self.stream.id, first: self.stream.next, acked, next: ahead.next }],
                ..GatewayStatus::default()
            },
            entries: Vec::new(),
            records: Vec::new(),
        }
    }
}

/// What a batch brings that is not acknowledged yet.
#[derive(Clone, Copy)]
struct Ahead {
    next: u64,
    readings: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_once_and_again_if_it_was_refused() {
        let mut memory = Memory::default();
        let (key, content) = ([1; 32], [2; 32]);
        assert_eq!(memory.begin(key, content), None);
        assert_eq!(memory.begin(key, content), Some(Err(Refused::Pending)));
        memory.end(&key, false);
        assert_eq!(memory.begin(key, content), None, "what was refused may come again");
        memory.end(&key, true);
        assert_eq!(memory.begin(key, content), Some(Ok(Taken::Duplicate)));
        assert_eq!(memory.begin(key, [3; 32]), Some(Err(Refused::OtherPost)));
    }

    #[test]
    fn the_oldest_are_forgotten_and_memory_stays_bounded() {
        let mut memory = Memory::default();
        let key = |i: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&i.to_le_bytes());
            key
        };
        for i in 0..MAX_REMEMBERED + 10 {
            assert_eq!(memory.begin(key(i), [0; 32]), None);
            memory.end(&key(i), i % 2 == 0);
        }
        assert!(memory.known.len() <= MAX_REMEMBERED && memory.order.len() == memory.known.len());
        for i in 0..3 * MAX_REMEMBERED {
            memory.begin(key(i), [0; 32]);
            memory.end(&key(i), true);
        }
        assert_eq!((memory.known.len(), memory.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert_eq!(memory.begin(key(0), [0; 32]), None, "the first was forgotten");
    }

    #[tokio::test]
    async fn before_it_is_started_nothing_is_taken() {
        let local = Local::default();
        assert_eq!(local.take([1; 32], [2; 32], Vec::new()).await, Err(Refused::Stopping));
    }
}
