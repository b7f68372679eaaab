//! Reading generations, and what happens when one can't be read: it is salvaged under the same name, or, if that can't be done yet, read
//! from the raw bytes of its files until it can. Either way what is lost of it is reported once and peeked as corrupt, so that readers go
//! past it.

use std::{sync::Arc, time::Duration};

use crate::{
    LANES, Salvaged, Spool, SpoolError, aside,
    generation::{self, Deferred, Failure, Generation, Handle, Opened},
    layout::Meta,
    salvage::{self, Case},
    sidecar::Told,
};

/// A salvage that failed is tried again when there is more room, or after so long.
const RETRY: Duration = Duration::from_secs(60);

impl Spool {
    /// The database of a generation; opens it if need be. `applying` is held by the caller.
    pub(crate) fn reader(&self, ordinal: u64) -> Result<Arc<Handle>, SpoolError> {
        let known = {
            let state = self.state.lock();
            if let Some(current) = state.current.as_ref().filter(|current| current.ordinal == ordinal) {
                return Ok(current.handle.clone());
            }
            state.generations.get(&ordinal).cloned().ok_or(SpoolError::UnknownGeneration { ordinal })?
        };
        let mut readers = self.readers.lock();
        if let Some(handle) = readers.get(ordinal) {
            return Ok(handle);
        }
        readers.make_room();
        let name = generation::name_of(ordinal);
        let raw = || salvage::in_memory(&self.disk, &name, &case_of(&known)).map(|(opened, _)| opened);
        let opened = if known.deferred.is_some() {
            raw()?
        } else {
            let told = Told::read(&*self.disk, &name);
            match generation::open_folder(&self.disk, ordinal, self.options.cache_bytes / 4, &told, true) {
                Ok(opened) => opened,
                Err(Failure::Incomplete) => return Err(SpoolError::Damaged { what: "a generation's head" }),
                // It was not closed, and there is no room to open it safely.
                Err(Failure::Other(error)) if error.is_full() => raw()?,
                Err(Failure::Damaged(error) | Failure::Other(error)) => return Err(error),
            }
        };
        let handle = Arc::new(opened.handle);
        readers.put(ordinal, handle.clone());
        Ok(handle)
    }

    /// Nothing more can be found in it than is.
    pub(crate) fn is_mended(&self, ordinal: u64) -> bool {
        self.state.lock().generations.get(&ordinal).is_none_or(|generation| generation.meta.salvaged || generation.deferred.is_some())
    }

    /// Salvages a generation that could not be read, or sees to it that its raw bytes are; true if reading it again makes sense. One that was
    /// put together before and is `unreadable` has been damaged anew.
    pub(crate) fn mend(&self, ordinal: u64, unreadable: bool) -> bool {
        let _writing = self.writing.lock();
        let is_deferred = self.state.lock().generations.get(&ordinal).is_none_or(|generation| generation.deferred.is_some());
        if is_deferred || (!unreadable && self.is_mended(ordinal)) {
            return true;
        }
        if self.state.lock().is_current(ordinal)
            && let Err(error) = self.begin()
        {
            // Nothing more is to go there.
            self.fail_current(&error);
        }
        self.try_mending(ordinal)
    }

    /// Tries to put deferred generations in order. `writing` is held by the caller.
    pub(crate) fn retry_deferred(&self) {
        let (deferred, now): (Vec<_>, _) = {
            let state = self.state.lock();
            (state.generations.values().filter_map(|g| Some((g.ordinal(), g.bytes, g.deferred?))).collect(), state.now)
        };
        for (ordinal, bytes, deferred) in deferred {
            let left = self.left();
            let waited = Duration::from_micros(now.0.saturating_sub(deferred.tried_at.0)) >= RETRY;
            if left >= bytes && (waited || left > deferred.room.saturating_add(bytes / 8)) {
                self.try_mending(ordinal);
            }
        }
    }

    fn try_mending(&self, ordinal: u64) -> bool {
        let _whole = self.applying.write();
        self.readers.lock().close(ordinal);
        let Some(known) = self.state.lock().generations.get(&ordinal).cloned() else { return false };
        let name = generation::name_of(ordinal);
        let told = Told::read(&*self.disk, &name);
        if known.deferred.is_some_and(|deferred| deferred.entries_lost == 0)
            && let Ok(opened) = generation::open_folder(&self.disk, ordinal, self.options.cache_bytes / 4, &told, true)
            && (0..LANES).all(|lane| opened.progress.through[lane] >= known.progress.through[lane])
        {
            // There was no more to it than that there was no room to open it.
            self.mended(ordinal, Some(opened));
            return true;
        }
        let mended = match salvage::on_disk(&self.disk, &self.options, &told, &case_of(&known)) {
            Ok(rebuilt) => {
                self.mended(ordinal, None);
                self.report(&known, rebuilt.salvaged);
                true
            }
            Err(error) => {
                tracing::error!(name, error = &error as &dyn std::error::Error, "generation can't be salvaged yet");
                self.defer(&known)
            }
        };
        if let Err(error) = aside::prune_aside(&*self.disk, self.options.reserve()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was put aside stays for now");
        }
        self.state.lock().aside_bytes = aside::aside_bytes(&*self.disk);
        mended
    }

    fn mended(&self, ordinal: u64, opened: Option<Opened>) {
        if let Some(generation) = self.state.lock().generations.get_mut(&ordinal) {
            generation.deferred = None;
            generation.meta.salvaged = opened.is_none();
            generation.touched |= opened.is_none();
            generation.sealed |= opened.is_none();
            generation.bytes = self.disk.bytes(&generation::name_of(ordinal));
        }
        if let Some(opened) = opened {
            self.readers.lock().put(ordinal, Arc::new(opened.handle));
        }
    }

    /// Leaves a generation as it is, to be read from its raw bytes; false if not even that can be done.
    fn defer(&self, known: &Generation) -> bool {
        let ordinal = known.ordinal();
        let room = self.left();
        let tried_at = self.state.lock().now;
        let entries_lost = match known.deferred {
            Some(before) => before.entries_lost,
            None => match salvage::in_memory(&self.disk, &generation::name_of(ordinal), &case_of(known)) {
                Ok((opened, rebuilt)) => {
                    self.report(known, Salvaged { deferred: true, ..rebuilt.salvaged });
                    self.readers.lock().put(ordinal, Arc::new(opened.handle));
                    rebuilt.salvaged.entries_lost
                }
                Err(error) => {
                    tracing::error!(ordinal, error = &error as &dyn std::error::Error, "generation can't be read for now");
                    return false;
                }
            },
        };
        if let Some(generation) = self.state.lock().generations.get_mut(&ordinal) {
            generation.deferred = Some(Deferred { entries_lost, tried_at, room });
            generation.touched = true;
        }
        true
    }

    /// Says what became of a generation; what was said when it was deferred is not said again.
    fn report(&self, known: &Generation, salvaged: Salvaged) {
        let said = known.deferred.map(|deferred| deferred.entries_lost);
        let lost = salvaged.entries_lost.saturating_sub(said.unwrap_or(0));
        match said {
            Some(_) if lost == 0 => {}
            // How many units these are can't be told from the sum.
            Some(_) => self.state.lock().reports.push(Salvaged { entries_lost: lost, units_lost: None, ..salvaged }),
            None => self.state.lock().reports.push(salvaged),
        }
    }
}

fn case_of(generation: &Generation) -> Case {
    Case { meta: Meta { salvaged: true, ..generation.meta }, progress: generation.progress, known: true }
}
