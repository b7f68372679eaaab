//! Writing: a group of appends becomes one atomic batch, then one sync. If the storage fails, the group is tried once more in a new
//! generation.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Append, Appended, Checkpoint, Lane, SeqSpan, Spool, SpoolError, SpoolTime,
    disk::Change,
    generation,
    layout::{self, Head, Kind, Progress},
    state::{Current, Part, State},
};

/// Appends are gathered to at most this many bytes a sync.
const MAX_GROUP_BYTES: usize = 1 << 20;

/// An append that owns what it is given.
pub(crate) struct Request {
    entries: Vec<(Lane, Vec<u8>, u64)>,
    checkpoint: Parts,
    retire: Vec<u64>,
    urgent: bool,
    now: SpoolTime,
}

struct Parts {
    /// All other parts go.
    whole: bool,
    parts: Vec<(u32, Option<Arc<[u8]>>)>,
}

/// A generation that can't be replaced; without a reason it is not there.
#[derive(Debug, Clone, Copy)]
struct NotRetirable {
    ordinal: u64,
    why: Option<&'static str>,
}

impl NotRetirable {
    fn error(self) -> SpoolError {
        let ordinal = self.ordinal;
        self.why.map_or(SpoolError::UnknownGeneration { ordinal }, |why| SpoolError::NotRetirable { ordinal, why })
    }
}

type Answer = Result<Appended, SpoolError>;

impl Request {
    pub(crate) fn new(append: &Append<'_>, now: SpoolTime) -> Self {
        let checkpoint = match append.checkpoint {
            Checkpoint::Unchanged => Parts { whole: false, parts: Vec::new() },
            Checkpoint::Parts(parts) => {
                Parts { whole: false, parts: parts.iter().map(|(part, bytes)| (*part, bytes.map(Arc::from))).collect() }
            }
            Checkpoint::Whole(parts) => {
                Parts { whole: true, parts: parts.iter().map(|(part, bytes)| (*part, Some(Arc::from(*bytes)))).collect() }
            }
        };
        let entries = append.entries.iter().map(|entry| (entry.lane, entry.payload.to_vec(), entry.units)).collect();
        Self { entries, checkpoint, retire: append.retire.to_vec(), urgent: append.urgent, now }
    }

    pub(crate) fn weight(&self) -> u64 {
        let entries = self.entries.iter().map(|(_, payload, _)| payload.len());
        let parts = self.checkpoint.parts.iter().map(|(_, bytes)| bytes.as_ref().map_or(0, |bytes| bytes.len()));
        entries.chain(parts).map(layout::weight).sum()
    }

    fn may_use_reserve(&self) -> bool {
        self.urgent || self.entries.is_empty() || !self.retire.is_empty()
    }
}

impl Spool {
    pub(crate) fn submit(&self, request: Request) -> Answer {
        self.group.submit(request, |r| r.weight() as usize, MAX_GROUP_BYTES, |requests| self.commit(&requests))
    }

    /// Answers each request of a group; one thread at a time is here.
    fn commit(&self, requests: &[Request]) -> Vec<Answer> {
        let _writing = self.writing.lock();
        requests.iter().for_each(|request| self.note_time(request.now));
        // Before a new generation may begin: what was current when it was read may have got more since.
        let retirable: Vec<_> = requests.iter().map(|request| self.check_retired(&request.retire)).collect();
        let mut tries = 0;
        let failure = loop {
            tries += 1;
            match self.try_commit(requests, &retirable) {
                Ok(answers) => return answers,
                // Nothing of it counts: the next generation says through which entry the failed one is valid.
                Err(failure) if tries == 1 && self.state.lock().current.is_none() => tracing::debug!(%failure, "once more"),
                Err(failure) => break failure,
            }
        };
        let others: Vec<Answer> = (1..requests.len()).map(|_| Err(failure.for_others())).collect();
        std::iter::once(Err(failure)).chain(others).collect()
    }

    fn try_commit(&self, requests: &[Request], retirable: &[Result<(), NotRetirable>]) -> Result<Vec<Answer>, SpoolError> {
        self.retry_removals();
        self.retry_deferred();
        let current = self.current_with_room(requests.iter().map(Request::weight).sum())?;
        let mut cost = 0;
        let mut plan = Plan::new(&self.state.lock(), &current);
        let mut answers = Vec::with_capacity(requests.len());
        for (request, retirable) in requests.iter().zip(retirable) {
            let more = cost + request.weight();
            let answer = retirable
                .map_err(NotRetirable::error)
                .and_then(|()| self.make_room(self.disk.cost(more), request.may_use_reserve()))
                .map(|()| plan.append(request));
            if answer.is_ok() {
                cost = more;
            }
            answers.push(answer);
        }
        if plan.appends == 0 {
            return Ok(answers);
        }
        if let Err(error) = self.write(&mut plan, &current) {
            self.fail_current(&error);
            return Err(error);
        }
        self.enter(plan, &current);
        Ok(answers)
    }

    /// If room is short and all that is in the current generation is acknowledged, it makes way.
    fn current_with_room(&self, weight: u64) -> Result<Current, SpoolError> {
        let current = self.current_for_append()?;
        let makes_way = self.state.lock().generations.get(&current.ordinal).is_some_and(|g| !g.is_empty() && g.acknowledged());
        if makes_way && self.make_room(self.disk.cost(weight), false).is_err() && self.begin().is_ok() {
            return self.current_for_append();
        }
        Ok(current)
    }

    fn write(&self, plan: &mut Plan, current: &Current) -> Result<(), SpoolError> {
        let changes = plan.batch();
        plan.bytes = changes.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum::<usize>() as u64;
        {
            let _whole = self.applying.write();
            current.handle.apply(changes)?;
        }
        current.handle.sync()
    }

    /// Takes what is durable now into account. Only now: readers look no further than this, so they see nothing that is not durable.
    fn enter(&self, plan: Plan, current: &Current) {
        let bytes = current.handle.bytes_on_disk();
        {
            let state = &mut *self.state.lock();
            state.counters.appends += plan.appends;
            state.counters.commits += 1;
            state.counters.syncs += 1;
            state.counters.bytes_written += plan.bytes;
            state.checkpoint = plan.checkpoint;
            if let Some(generation) = state.generations.get_mut(&current.ordinal) {
                generation.progress = plan.progress;
                generation.bytes = bytes;
                generation.moved = true;
            }
            for ordinal in plan.retired {
                if let Some(retired) = state.generations.remove(&ordinal) {
                    state.going.insert(ordinal);
                    state.going_bytes += retired.bytes;
                    state.counters.retired += 1;
                }
            }
        }
        self.retry_removals();
        self.write_marks(false);
    }

    fn check_retired(&self, ordinals: &[u64]) -> Result<(), NotRetirable> {
        let state = self.state.lock();
        ordinals.iter().try_for_each(|&ordinal| match state.generations.get(&ordinal) {
            None => Err(NotRetirable { ordinal, why: None }),
            Some(_) if state.is_current(ordinal) => Err(NotRetirable { ordinal, why: Some("appends go to it") }),
            Some(generation) if generation.touched => Err(NotRetirable { ordinal, why: Some("entries of it may have been sent") }),
            Some(_) => Ok(()),
        })
    }

    /// Removes the folders of retired generations.
    fn retry_removals(&self) {
        let going: Vec<u64> = self.state.lock().going.iter().copied().collect();
        if going.is_empty() {
            return;
        }
        let _whole = self.applying.write();
        for ordinal in going {
            self.readers.lock().close(ordinal);
            match self.disk.remove(&generation::name_of(ordinal)) {
                Ok(()) => {
                    let mut state = self.state.lock();
                    state.going.remove(&ordinal);
                    state.counters.generations_removed += 1;
                }
                Err(error) => {
                    tracing::warn!(ordinal, error = &error as &dyn std::error::Error, "a retired generation's folder stays for now");
                }
            }
        }
        let mut state = self.state.lock();
        state.going_bytes = state.going.iter().map(|ordinal| self.disk.bytes(&generation::name_of(*ordinal))).sum();
    }
}

/// The appends of a group, as one batch.
struct Plan {
    id: u64,
    ordinal: u64,
    progress: Progress,
    checkpoint: BTreeMap<u32, Part>,
    changes: Vec<Change>,
    /// Checkpoint parts that are set (`Some`) or removed, with the number of pieces that they have in the database.
    changed_parts: BTreeMap<u32, u16>,
    retired: Vec<u64>,
    appends: u64,
    bytes: u64,
}

impl Plan {
    fn new(state: &State, current: &Current) -> Self {
        let generation = state.generations.get(&current.ordinal);
        let mut progress = generation.map(|g| g.progress).unwrap_or_default();
        progress.commit += 1;
        Self {
            id: generation.map_or(0, |g| g.meta.id),
            ordinal: current.ordinal,
            progress,
            checkpoint: state.checkpoint.clone(),
            changes: Vec::new(),
            changed_parts: BTreeMap::new(),
            retired: Vec::new(),
            appends: 0,
            bytes: 0,
        }
    }

    fn append(&mut self, request: &Request) -> Appended {
        let mut spans = self.progress.through.map(|through| SeqSpan { first: through + 1, end: through + 1 });
        for (lane, payload, units) in &request.entries {
            let at = lane.index();
            let head = Head {
                lane: lane.0,
                units_before: self.progress.units[at],
                units: *units,
                ..Head::single(Kind::Entry, self.id, spans[at].end)
            };
            layout::cut(head, payload, &mut self.changes);
            self.progress.through[at] = spans[at].end;
            self.progress.units[at] = self.progress.units[at].saturating_add(*units);
            spans[at].end += 1;
        }
        if request.checkpoint.whole {
            let gone: Vec<u32> = self.checkpoint.keys().copied().collect();
            gone.into_iter().for_each(|part| self.set(part, None));
        }
        for (part, bytes) in &request.checkpoint.parts {
            self.set(*part, bytes.clone());
        }
        self.retired.extend(&request.retire);
        self.appends += 1;
        Appended { generation: self.ordinal, spans }
    }

    fn set(&mut self, part: u32, bytes: Option<Arc<[u8]>>) {
        let old = match bytes {
            Some(bytes) => self.checkpoint.insert(part, Part { bytes, commit: self.progress.commit }),
            None => self.checkpoint.remove(&part),
        };
        self.changed_parts.entry(part).or_insert(old.map_or(0, |old| layout::pieces_of(old.bytes.len()) as u16));
    }

    fn batch(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        for (&part, &old_pieces) in &self.changed_parts {
            let head = Head { units_before: u64::from(part), ..Head::single(Kind::Checkpoint, self.id, self.progress.commit) };
            let pieces = self.checkpoint.get(&part).map_or(0, |of| {
                layout::cut(head, &of.bytes, &mut changes);
                layout::pieces_of(of.bytes.len()) as u16
            });
            // Not removed: what is gone stays known should the database have to be salvaged, and can be written again (`generation.rs`).
            changes.extend((pieces..old_pieces).map(|piece| {
                let head = Head { piece, pieces: 0, ..head };
                (head.key(), Some(head.with(&[])))
            }));
        }
        changes.extend(
            self.retired.iter().map(|gone| (layout::retired_key(*gone), Some(layout::retired_value(self.id, *gone, self.progress.commit)))),
        );
        self.progress.fingerprint = self.checkpoint.iter().fold(0, |sum, (part, of)| sum ^ layout::fingerprint(*part, of.commit));
        changes.push((layout::COMMIT_KEY.to_vec(), Some(self.progress.encode(self.id))));
        changes
    }
}
