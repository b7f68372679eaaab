//! Generations begin and end.
//!
//! Order: the new generation, with a copy of the checkpoint and a link to the one before, is durable before anything else changes. Then the
//! old one is sealed. A folder without a complete head was never used; it goes when the spool is opened.

use std::{sync::Arc, time::Duration};

use crate::{
    Parent, Spool, SpoolError, SpoolTime,
    disk::Change,
    generation::{self, Generation, Handle},
    layout::{self, Head, Kind, Meta, Progress},
    state::{Current, State},
};

impl Spool {
    /// Begins a new generation, unless nothing was appended to the current one. Returns the ordinal of the current one.
    ///
    /// # Errors
    /// If there is no room for it, or the storage fails; appends go on as before.
    pub fn rotate(&self, now: SpoolTime) -> Result<u64, SpoolError> {
        let _writing = self.writing.lock();
        self.note_time(now);
        let current = self.state.lock().current.clone();
        match current {
            Some(current) if self.state.lock().generations.get(&current.ordinal).is_some_and(Generation::is_empty) => Ok(current.ordinal),
            _ => self.begin(),
        }
    }

    /// The current generation's database; begins one if there is none, or the one that is there is full or old.
    pub(crate) fn current_for_append(&self) -> Result<Current, SpoolError> {
        let (current, due) = {
            let state = self.state.lock();
            (state.current.clone(), self.is_due(&state))
        };
        match current {
            Some(current) if !due => Ok(current),
            old => {
                if let Err(error) = self.begin() {
                    // A current one that is too full or old is better than none.
                    return old.ok_or(error);
                }
                self.state.lock().current.clone().ok_or(SpoolError::Damaged { what: "the list of generations" })
            }
        }
    }

    fn is_due(&self, state: &State) -> bool {
        let Some(generation) = state.current.as_ref().and_then(|current| state.generations.get(&current.ordinal)) else { return true };
        let age = Duration::from_micros(state.now.0.saturating_sub(generation.meta.opened_at.0));
        !generation.is_empty() && (generation.bytes >= self.options.generation_limit() || age >= self.options.generation_age)
    }

    /// Makes a generation and lets appends go there.
    pub(crate) fn begin(&self) -> Result<u64, SpoolError> {
        self.retry_deferred();
        let (meta, progress, changes) = self.plan_generation();
        let bytes: usize = changes.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum();
        self.make_room(self.disk.cost(bytes as u64), true)?;
        let name = generation::name_of(meta.ordinal);
        let made = self.disk.open(&name, self.options.cache_bytes / 2).and_then(|database| {
            database.apply(changes)?;
            database.sync()?;
            Ok(database)
        });
        let database = match made {
            Ok(database) => database,
            Err(error) => {
                if let Err(left) = self.disk.remove(&name) {
                    tracing::warn!(
                        name,
                        error = &left as &dyn std::error::Error,
                        "what was made of a generation stays until the next start"
                    );
                    self.state.lock().going.insert(meta.ordinal);
                }
                return Err(error);
            }
        };
        let handle = Arc::new(Handle::new(&self.disk, &name, database));
        let bytes_on_disk = handle.bytes_on_disk();
        let old = {
            let mut state = self.state.lock();
            state.checkpoint.values_mut().for_each(|part| part.commit = 1);
            state.generations.insert(meta.ordinal, Generation { bytes: bytes_on_disk, ..Generation::new(meta, progress) });
            state.counters.generations_made += 1;
            state.counters.commits += 1;
            state.counters.syncs += 1;
            state.counters.bytes_written += bytes as u64;
            state.current.replace(Current { ordinal: meta.ordinal, handle })
        };
        if let Some(old) = old {
            self.readers.lock().put(old.ordinal, old.handle);
        }
        self.seal_closed();
        if let Err(error) = self.drop_surplus() {
            tracing::warn!(error = &error as &dyn std::error::Error, "generations that are not needed stay for now");
        }
        Ok(meta.ordinal)
    }

    /// Head, progress and first batch of the next generation; its ordinal is given once.
    fn plan_generation(&self) -> (Meta, Progress, Vec<Change>) {
        let mut state = self.state.lock();
        let ordinal = state.next_ordinal;
        state.next_ordinal += 1;
        let last = state.generations.values().next_back();
        let link = |last: &Generation| Parent { generation: last.meta.id, through: last.progress.through, units: last.progress.units };
        let before = last.map(link);
        // One without entries leaves no trace: the one before it is the parent.
        let parent = last.and_then(|last| if last.is_empty() { last.meta.parent } else { before });
        let id = loop {
            // The lower bits are the lane.
            let id = self.disk.random() & !3;
            if id != 0 && state.generations.values().all(|g| g.meta.id != id) {
                break id;
            }
        };
        let meta = Meta { id, ordinal, opened_at: state.now, parent, before, salvaged: false };
        let fingerprint = state.checkpoint.keys().fold(0, |sum, part| sum ^ layout::fingerprint(*part, 1));
        let progress = Progress { commit: 1, fingerprint, ..Progress::default() };
        let mut changes = vec![(layout::META_KEY.to_vec(), Some(meta.encode())), (layout::COMMIT_KEY.to_vec(), Some(progress.encode(id)))];
        for (part, of) in &state.checkpoint {
            layout::cut(Head { units_before: u64::from(*part), ..Head::single(Kind::Checkpoint, id, 1) }, &of.bytes, &mut changes);
        }
        changes.extend(state.going.iter().map(|gone| (layout::retired_key(*gone), Some(layout::retired_value(id, *gone, 1)))));
        (meta, progress, changes)
    }

    /// Writes the seals of closed generations that have none; what fails is tried again with the next.
    fn seal_closed(&self) {
        let unsealed: Vec<Generation> = {
            let state = self.state.lock();
            state.generations.values().filter(|g| !g.sealed && !state.is_current(g.ordinal())).cloned().collect()
        };
        for generation in unsealed {
            let name = generation::name_of(generation.ordinal());
            match generation.seal().write(&*self.disk, &name) {
                Ok(()) => {
                    if let Some(generation) = self.state.lock().generations.get_mut(&generation.ordinal()) {
                        generation.sealed = true;
                        generation.bytes = self.disk.bytes(&name);
                    }
                }
                Err(error) => tracing::warn!(name, error = &error as &dyn std::error::Error, "can't seal a generation yet"),
            }
        }
        self.write_marks(false);
    }

    /// Gives the current generation up after its storage failed. What it holds through its last good commit stays.
    pub(crate) fn fail_current(&self, error: &SpoolError) {
        let failed = self.state.lock().current.take();
        if let Some(failed) = failed {
            failed.handle.fail();
            tracing::error!(
                ordinal = failed.ordinal,
                error = error as &dyn std::error::Error,
                "storage failed: a new generation takes over"
            );
        }
    }

    pub(crate) fn note_time(&self, now: SpoolTime) {
        let mut state = self.state.lock();
        state.now = state.now.max(now);
    }

    /// Writes what has moved to the marks.
    pub(crate) fn write_marks(&self, sync: bool) {
        let marks: Vec<_> = {
            let state = &mut *self.state.lock();
            let now = state.now;
            let moved = state.generations.values_mut().filter(|g| g.moved);
            moved.map(|g| (g.ordinal(), sync || g.is_durable_mark_due(now), g.next_mark())).collect()
        };
        for (ordinal, sync, mark) in marks {
            let written = mark.write(&*self.disk, &generation::name_of(ordinal), sync);
            let state = &mut *self.state.lock();
            let Some(generation) = state.generations.get_mut(&ordinal) else { continue };
            match written {
                Ok(()) if sync => generation.durable_mark = (mark.progress.commit, state.now),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(ordinal, error = &error as &dyn std::error::Error, "can't write a generation's mark");
                    generation.moved = true;
                }
            }
        }
    }
}
