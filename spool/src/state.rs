//! What the spool knows in memory: its generations, the checkpoint, and which databases are open.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    Counters, Salvaged, SpoolTime,
    generation::{Generation, Handle},
};

/// Databases of closed generations that are open at a time.
const MAX_READERS: usize = 2;

#[derive(Default)]
pub(crate) struct State {
    /// By ordinal.
    pub(crate) generations: BTreeMap<u64, Generation>,
    pub(crate) current: Option<Current>,
    pub(crate) checkpoint: BTreeMap<u32, Part>,
    /// Retired, and their folders are not gone yet.
    pub(crate) going: BTreeSet<u64>,
    pub(crate) going_bytes: u64,
    pub(crate) aside_bytes: u64,
    pub(crate) next_ordinal: u64,
    /// The latest time that was told.
    pub(crate) now: SpoolTime,
    pub(crate) reports: Vec<Salvaged>,
    pub(crate) counters: Counters,
}

/// The generation that appends go to.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) ordinal: u64,
    pub(crate) handle: Arc<Handle>,
}

/// A checkpoint part, and the commit of the current generation that wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) commit: u64,
}

impl State {
    /// What all files take.
    pub(crate) fn used(&self) -> u64 {
        self.generations.values().map(|g| g.bytes).sum::<u64>() + self.aside_bytes + self.going_bytes
    }

    pub(crate) fn is_current(&self, ordinal: u64) -> bool {
        self.current.as_ref().is_some_and(|current| current.ordinal == ordinal)
    }

    /// It is the only one that has the checkpoint.
    pub(crate) fn is_newest(&self, ordinal: u64) -> bool {
        self.generations.last_key_value().is_some_and(|(newest, _)| *newest == ordinal)
    }

    /// The oldest generation that is of no use but to be sent again.
    pub(crate) fn oldest_kept(&self) -> Option<u64> {
        self.generations.values().find(|g| g.acknowledged() && !self.is_newest(g.ordinal())).map(Generation::ordinal)
    }

    /// What acknowledged generations take.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.generations.values().filter(|g| g.acknowledged() && !self.is_newest(g.ordinal())).map(|g| g.bytes).sum()
    }
}

/// Databases of closed generations, the one used last at the end.
#[derive(Default)]
pub(crate) struct Readers {
    open: Vec<(u64, Arc<Handle>)>,
}

impl Readers {
    pub(crate) fn get(&mut self, ordinal: u64) -> Option<Arc<Handle>> {
        let at = self.open.iter().position(|(o, _)| *o == ordinal)?;
        let found = self.open.remove(at);
        let handle = found.1.clone();
        self.open.push(found);
        Some(handle)
    }

    pub(crate) fn make_room(&mut self) {
        while self.open.len() >= MAX_READERS {
            self.open.remove(0);
        }
    }

    pub(crate) fn put(&mut self, ordinal: u64, handle: Arc<Handle>) {
        self.make_room();
        self.open.push((ordinal, handle));
    }

    pub(crate) fn close(&mut self, ordinal: u64) {
        self.open.retain(|(o, _)| *o != ordinal);
    }
}
