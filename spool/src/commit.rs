//! Writing: a group of requests becomes deletions, then one atomic batch of all its appends, then one sync.

use crate::{SeqSpan, Spool, SpoolError, State, layout, store::Flow};

/// Appends are gathered to at most this many bytes a sync.
const MAX_GROUP_BYTES: usize = 1 << 20;
/// Keys deleted at once, roughly; an acknowledgement of more goes in steps, from the front.
const MAX_DELETES: usize = 2048;

pub(crate) enum Request {
    Append { payloads: Vec<Vec<u8>>, checkpoint: Option<Vec<u8>> },
    Acknowledge { through: u64 },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Appended(SeqSpan),
    Acknowledged(u64),
}

impl Request {
    fn weight(&self) -> usize {
        match self {
            Self::Append { payloads, checkpoint } => payloads.iter().chain(checkpoint).map(Vec::len).sum(),
            Self::Acknowledge { .. } => 0,
        }
    }
}

type Answer = Result<Outcome, SpoolError>;

impl Spool {
    pub(crate) fn submit(&self, request: Request) -> Answer {
        drop(self.usable()?);
        self.group.submit(request, Request::weight, MAX_GROUP_BYTES, |requests| self.commit(requests))
    }

    /// Answers each request of a group; one thread at a time is here.
    fn commit(&self, requests: Vec<Request>) -> Vec<Answer> {
        let count = requests.len();
        let result = self.usable().map(drop).and_then(|()| self.try_commit(&requests));
        match self.poison_on(result) {
            Ok(answers) => answers,
            Err(failure) => {
                let reason = failure.to_string();
                let others = (1..count).map(|_| Err(SpoolError::Poisoned { reason: reason.clone() }));
                std::iter::once(Err(failure)).chain(others).collect()
            }
        }
    }

    fn try_commit(&self, requests: &[Request]) -> Result<Vec<Answer>, SpoolError> {
        // Deletions first: they make room for what comes with them.
        let mut deleted = Vec::new();
        for request in requests {
            if let Request::Acknowledge { through } = request {
                deleted.push(self.delete_through(*through)?);
            }
        }
        let mut deleted = deleted.into_iter();
        let mut plan = Plan::new(&self.state.lock(), self.max_held);
        let answers = requests
            .iter()
            .map(|request| match request {
                Request::Append { payloads, checkpoint } => plan.append(payloads, checkpoint.as_deref()).map(Outcome::Appended),
                Request::Acknowledge { .. } => Ok(Outcome::Acknowledged(deleted.next().unwrap_or_default())),
            })
            .collect();
        let written = plan.write(self)?;
        self.store.sync()?;
        if let Some(written) = &written {
            self.mark.set(layout::Meta { stream: self.stream, next_seq: written.next_seq })?;
        }
        let mut state = self.state.lock();
        state.commits += 1;
        if let Some(written) = written {
            // Only now: readers look no further than `next_seq`, so they see nothing that is not durable.
            written.enter(&mut state);
        }
        Ok(answers)
    }

    /// Deletes entries from the front; returns how many.
    fn delete_through(&self, through: u64) -> Result<u64, SpoolError> {
        let mut deleted = 0;
        loop {
            let (first, end) = {
                let state = self.state.lock();
                (state.first_seq, through.saturating_add(1).min(state.next_seq))
            };
            if first >= end {
                return Ok(deleted);
            }
            let step = self.next_deletion(first, end)?;
            let _whole = self.applying.write();
            self.store.apply(step.batch)?;
            let mut state = self.state.lock();
            state.first_seq = step.end;
            state.entries = state.entries.saturating_sub(step.entries);
            state.bytes = state.bytes.saturating_sub(step.bytes);
            deleted += step.entries;
        }
    }

    /// Whole entries from `first` on, below `end`.
    fn next_deletion(&self, first: u64, end: u64) -> Result<Deletion, SpoolError> {
        let mut step = Deletion { batch: sled::Batch::default(), entries: 0, bytes: 0, end };
        let mut keys = 0;
        let mut last = None;
        self.store.scan(layout::entry_key(first, 0)..layout::entry_key(end, 0), |key, value| {
            let seq = layout::parse_entry_key(key).map(|(seq, _)| seq);
            if seq != last {
                if keys >= MAX_DELETES {
                    step.end = seq.unwrap_or(end);
                    return Flow::Stop;
                }
                step.entries += 1;
                last = seq;
            }
            step.batch.remove(key);
            step.bytes += layout::weight(key.len(), value.len());
            keys += 1;
            Flow::Continue
        })?;
        Ok(step)
    }
}

struct Deletion {
    batch: sled::Batch,
    entries: u64,
    bytes: u64,
    /// The first entry that stays.
    end: u64,
}

/// The appends of a group, as one batch.
struct Plan {
    stream_next: u64,
    entries: u64,
    bytes: u64,
    max_held: u64,
    held: u64,
    pairs: Vec<layout::Pair>,
    /// The last checkpoint of the group stands.
    checkpoint: Option<Vec<layout::Pair>>,
    old_checkpoint_parts: u32,
}

/// What a batch that was applied changes in the state.
struct Written {
    next_seq: u64,
    entries: u64,
    bytes: u64,
    checkpoint_parts: u32,
}

impl Plan {
    fn new(state: &State, max_held: u64) -> Self {
        Self {
            stream_next: state.next_seq,
            entries: 0,
            bytes: 0,
            max_held,
            held: state.bytes,
            pairs: Vec::new(),
            checkpoint: None,
            old_checkpoint_parts: state.checkpoint_parts,
        }
    }

    fn append(&mut self, payloads: &[Vec<u8>], checkpoint: Option<&[u8]>) -> Result<SeqSpan, SpoolError> {
        let bytes = payloads.iter().map(|p| layout::payload_weight(p.len())).sum::<u64>();
        let would_hold = self.held + self.bytes + bytes;
        if bytes > 0 && would_hold > self.max_held {
            return Err(SpoolError::Full { bytes: would_hold, max: self.max_held });
        }
        let first = self.stream_next;
        for payload in payloads {
            self.pairs.extend(layout::entry_pairs(self.stream_next, payload));
            self.stream_next += 1;
        }
        self.entries += payloads.len() as u64;
        self.bytes += bytes;
        if let Some(checkpoint) = checkpoint {
            self.checkpoint = Some(layout::checkpoint_pairs(checkpoint));
        }
        Ok(SeqSpan { first, end: self.stream_next })
    }

    /// Applies the batch, if there is anything in it.
    fn write(self, spool: &Spool) -> Result<Option<Written>, SpoolError> {
        if self.pairs.is_empty() && self.checkpoint.is_none() {
            return Ok(None);
        }
        let mut batch = sled::Batch::default();
        let meta = layout::Meta { stream: spool.stream, next_seq: self.stream_next };
        batch.insert(layout::META_KEY, meta.encode());
        let mut checkpoint_parts = self.old_checkpoint_parts;
        if let Some(pairs) = &self.checkpoint {
            checkpoint_parts = pairs.len() as u32;
            (checkpoint_parts..self.old_checkpoint_parts).for_each(|part| batch.remove(layout::checkpoint_key(part)));
        }
        for (key, value) in self.pairs.into_iter().chain(self.checkpoint.into_iter().flatten()) {
            batch.insert(key, value);
        }
        let _whole = spool.applying.write();
        spool.store.apply(batch)?;
        Ok(Some(Written { next_seq: self.stream_next, entries: self.entries, bytes: self.bytes, checkpoint_parts }))
    }
}

impl Written {
    fn enter(self, state: &mut State) {
        state.next_seq = self.next_seq;
        state.entries += self.entries;
        state.bytes += self.bytes;
        state.checkpoint_parts = self.checkpoint_parts;
    }
}
