//! Opening: what is there is made known with as little reading as possible. The newest generation is opened for the checkpoint and for how
//! far it came; the others are known from their seals.
//!
//! Neither damage nor a full disk keeps a spool from opening. A generation that is damaged is salvaged. If that can't be done, or there is
//! no room to open one safely, it stays as it is and is read from its raw bytes until there is room. If nothing is left of the newest
//! checkpoint, the one before it is taken.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    LANES, OpenReport, Options, Parent, Salvaged, Spool, SpoolError, SpoolTime, aside,
    disk::{Database, Disk, Flow},
    generation::{self, Deferred, Failure, Generation, Opened},
    group::Group,
    layout::{self, Head, Joiner},
    salvage::{self, Case, Known},
    scan::survey,
    sidecar::Told,
    space,
    state::{Part, Readers, State},
};

struct Opening<'a> {
    disk: &'a Arc<dyn Disk>,
    options: Options,
    state: State,
    readers: Readers,
    report: OpenReport,
}

impl Spool {
    /// Opens the spool on `disk`, or makes one. What is damaged is salvaged and reported. If there is no room for a new generation appends
    /// fail with [`SpoolError::Full`] until there is.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if it is open elsewhere, [`SpoolError::UnknownVersion`] if a newer program wrote it; otherwise what the file
    /// system says, but neither for lack of room nor for damage.
    pub fn open(disk: Arc<dyn Disk>, options: Options, now: SpoolTime) -> Result<(Self, OpenReport), SpoolError> {
        let (state, readers, mut report) = Opening::run(&disk, options, now)?;
        let spool = Self {
            disk,
            options,
            group: Group::new(),
            writing: Default::default(),
            applying: Default::default(),
            readers: parking_lot::Mutex::new(readers),
            state: parking_lot::Mutex::new(state),
        };
        {
            let _writing = spool.writing.lock();
            if let Err(error) = spool.begin() {
                tracing::warn!(error = &error as &dyn std::error::Error, "no new generation yet: appends have to wait");
            }
        }
        let state = spool.state.lock();
        report.generations = state.generations.len() as u64;
        report.entries_held = state.generations.values().map(Generation::pending).sum();
        drop(state);
        Ok((spool, report))
    }
}

/// A generation's database, and what is told beside it.
struct Loaded {
    opened: Opened,
    told: Told,
    deferred: Option<Deferred>,
}

impl Opening<'_> {
    fn run(disk: &Arc<dyn Disk>, options: Options, now: SpoolTime) -> Result<(State, Readers, OpenReport), SpoolError> {
        let aside = aside::resume(&**disk)?;
        let mut ordinals: Vec<u64> = disk.list()?.iter().filter_map(|name| generation::ordinal_of(name)).collect();
        ordinals.sort_unstable();
        let next_ordinal = ordinals.iter().chain(&aside).max().map_or(1, |newest| newest + 1);
        let created = next_ordinal == 1;
        let mut opening = Opening {
            disk,
            options,
            state: State { next_ordinal, now, ..State::default() },
            readers: Readers::default(),
            report: OpenReport { created, ..OpenReport::default() },
        };
        opening.newest(&mut ordinals)?;
        opening.older(&ordinals)?;
        if let Err(error) = aside::prune_aside(&**disk, options.reserve()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was put aside stays for now");
        }
        opening.state.aside_bytes = aside::aside_bytes(&**disk);
        Ok((opening.state, opening.readers, opening.report))
    }

    /// Loads the newest generation of which anything is left, takes it out of `ordinals` and removes what it says is retired.
    fn newest(&mut self, ordinals: &mut Vec<u64>) -> Result<(), SpoolError> {
        while let Some(ordinal) = ordinals.pop() {
            let salvaged = self.report.salvaged.len();
            let Some(mut loaded) = self.load(ordinal, None)? else {
                // One that was never used is no loss.
                self.report.checkpoint_lost |= self.report.salvaged.len() > salvaged;
                continue;
            };
            let mut checkpoint = read_checkpoint(&loaded.opened)?;
            let mut retired = read_retired(&*loaded.opened.handle);
            if (!checkpoint.whole || retired.is_err()) && !loaded.opened.meta.salvaged {
                let Loaded { opened, told, .. } = loaded;
                drop(opened);
                let Some(again) = self.salvage(ordinal, &told, &Known::default())? else { continue };
                loaded = again;
                checkpoint = read_checkpoint(&loaded.opened)?;
                retired = read_retired(&*loaded.opened.handle);
            }
            // What a salvage says is whole is what it found; what it should have found is in its report.
            self.report.checkpoint_lost |= !checkpoint.whole;
            self.state.checkpoint = checkpoint.parts;
            let retired = retired.unwrap_or_else(|error| {
                tracing::error!(ordinal, error = &error as &dyn std::error::Error, "can't tell which generations are retired");
                Vec::new()
            });
            for gone in retired {
                if let Some(at) = ordinals.iter().position(|o| *o == gone) {
                    self.retire(gone);
                    ordinals.remove(at);
                }
            }
            self.enter(ordinal, loaded, None);
            return Ok(());
        }
        Ok(())
    }

    fn retire(&mut self, ordinal: u64) {
        let name = generation::name_of(ordinal);
        if let Err(error) = self.disk.remove(&name) {
            tracing::warn!(name, error = &error as &dyn std::error::Error, "the folder of a generation that is gone stays for now");
            self.state.going.insert(ordinal);
            self.state.going_bytes += self.disk.bytes(&name);
        }
    }

    /// Makes the generations before the newest known.
    fn older(&mut self, ordinals: &[u64]) -> Result<(), SpoolError> {
        for (i, &ordinal) in ordinals.iter().enumerate().rev() {
            let name = generation::name_of(ordinal);
            let told = Told::read(&**self.disk, &name);
            if let Some(seal) = told.seal.filter(|seal| seal.meta.ordinal == ordinal) {
                let generation = Generation::with_told(seal.meta, seal.progress, &told, self.disk.bytes(&name));
                self.state.generations.insert(ordinal, Generation { sealed: true, ..generation });
                continue;
            }
            let limit = self.limit_of(ordinal, &ordinals[..i]);
            if let Some(loaded) = self.load(ordinal, limit)? {
                self.enter(ordinal, loaded, limit);
            }
        }
        Ok(())
    }

    /// How far a generation had come when the next one began. If nothing in its folder tells which one it is, and no older one is the one
    /// that the next tells of, it is that.
    fn limit_of(&self, ordinal: u64, older: &[u64]) -> Option<Parent> {
        let (_, next) = self.state.generations.range(ordinal + 1..).next()?;
        let before = next.meta.before?;
        match self.id_of(ordinal) {
            Some(id) => id == before.generation,
            None => older.iter().all(|older| self.id_of(*older) != Some(before.generation)),
        }
        .then_some(before)
    }

    fn id_of(&self, ordinal: u64) -> Option<u64> {
        let name = generation::name_of(ordinal);
        let told = Told::read(&**self.disk, &name);
        let told = told.seal.map(|seal| seal.meta.id).or(told.mark.map(|mark| mark.generation));
        told.or_else(|| survey(&**self.disk, &name).ok()?.id())
    }

    fn enter(&mut self, ordinal: u64, loaded: Loaded, limit: Option<Parent>) {
        let Loaded { opened, told, deferred } = loaded;
        let name = generation::name_of(ordinal);
        let mut progress = opened.progress;
        let sealed = told.seal.filter(|seal| seal.meta.id == opened.meta.id).map(|seal| (seal.progress.through, seal.progress.units));
        if let Some((through, units)) = sealed.or(limit.map(|limit| (limit.through, limit.units))) {
            (progress.through, progress.units) = (through, units);
        }
        let mut generation = Generation::with_told(opened.meta, progress, &told, self.disk.bytes(&name));
        generation.deferred = deferred;
        generation.touched |= deferred.is_some();
        self.state.generations.insert(ordinal, generation);
        self.readers.put(ordinal, Arc::new(opened.handle));
    }

    /// Opens a generation, or salvages it. `None` if nothing tells which one it is, or it was never used.
    fn load(&mut self, ordinal: u64, limit: Option<Parent>) -> Result<Option<Loaded>, SpoolError> {
        let name = generation::name_of(ordinal);
        let told = Told::read(&**self.disk, &name);
        let known = Known { whole: None, limit };
        self.readers.make_room();
        match generation::open_folder(self.disk, ordinal, self.options.cache_bytes / 4, &told, true) {
            Ok(opened) if limit.is_none_or(|limit| (0..LANES).all(|lane| opened.progress.through[lane] >= limit.through[lane])) => {
                Ok(Some(Loaded { opened, told, deferred: None }))
            }
            Ok(opened) => {
                drop(opened);
                self.salvage(ordinal, &told, &known)
            }
            // The next one tells of it, so it was used.
            Err(Failure::Incomplete) if limit.is_some() => self.salvage(ordinal, &told, &known),
            Err(Failure::Incomplete) => {
                self.retire(ordinal);
                Ok(None)
            }
            Err(Failure::Damaged(error)) => {
                tracing::error!(name, error = &error as &dyn std::error::Error, "generation is damaged");
                self.salvage(ordinal, &told, &known)
            }
            Err(Failure::Other(error)) if error.is_full() => {
                tracing::error!(name, error = &error as &dyn std::error::Error, "no room to open a generation safely");
                self.defer(ordinal, &told, &known)
            }
            Err(Failure::Other(error)) => Err(error),
        }
    }

    fn salvage(&mut self, ordinal: u64, told: &Told, known: &Known) -> Result<Option<Loaded>, SpoolError> {
        let name = generation::name_of(ordinal);
        self.readers.make_room();
        let Some(case) = Case::examine(&**self.disk, ordinal, told, known) else {
            tracing::error!(name, "nothing is left of a generation: put aside");
            self.report.salvaged.push(Salvaged { ordinal, ..Salvaged::default() });
            if let Err(error) = aside::put_aside(&**self.disk, &name) {
                tracing::warn!(name, error = &error as &dyn std::error::Error, "it stays where it is");
            }
            return Ok(None);
        };
        let rebuilt = match salvage::on_disk(self.disk, &self.options, told, &case) {
            Ok(rebuilt) => rebuilt,
            Err(error) => {
                tracing::error!(name, error = &error as &dyn std::error::Error, "generation can't be salvaged yet");
                return self.defer(ordinal, told, known);
            }
        };
        let told = Told::read(&**self.disk, &name);
        match generation::open_folder(self.disk, ordinal, self.options.cache_bytes / 4, &told, false) {
            Ok(opened) => {
                self.report(rebuilt.salvaged, rebuilt.checkpoint_lost);
                Ok(Some(Loaded { opened, told, deferred: None }))
            }
            Err(failure) => {
                tracing::error!(name, ?failure, "a generation that was put together anew can't be opened");
                self.defer(ordinal, &told, &Known { whole: Some((case.meta, rebuilt.progress)), limit: None })
            }
        }
    }

    /// Leaves a generation as it is, to be read from its raw bytes.
    fn defer(&mut self, ordinal: u64, told: &Told, known: &Known) -> Result<Option<Loaded>, SpoolError> {
        let name = generation::name_of(ordinal);
        let Some(case) = Case::examine(&**self.disk, ordinal, told, known) else {
            self.report.salvaged.push(Salvaged { ordinal, deferred: true, ..Salvaged::default() });
            return Ok(None);
        };
        let (opened, rebuilt) = salvage::in_memory(self.disk, &name, &case)?;
        let salvaged = Salvaged { deferred: true, ..rebuilt.salvaged };
        self.report(salvaged, rebuilt.checkpoint_lost);
        let used = self.disk.list()?.iter().map(|name| self.disk.bytes(name)).sum();
        let room = space::left(&**self.disk, &self.options, used);
        let deferred = Deferred { entries_lost: salvaged.entries_lost, tried_at: self.state.now, room };
        Ok(Some(Loaded { opened, told: *told, deferred: Some(deferred) }))
    }

    fn report(&mut self, salvaged: Salvaged, checkpoint_lost: bool) {
        let is_newest = self.state.generations.is_empty();
        self.report.checkpoint_lost |= is_newest && checkpoint_lost;
        self.report.salvaged.push(salvaged);
    }
}

struct ReadCheckpoint {
    parts: BTreeMap<u32, Part>,
    /// It is what was written with the last commit.
    whole: bool,
}

fn read_checkpoint(opened: &Opened) -> Result<ReadCheckpoint, SpoolError> {
    let id = opened.meta.id;
    let mut parts = BTreeMap::new();
    let mut joiner = Joiner::default();
    let mut at = None;
    let mut close = |joiner: Joiner| {
        if let Some((Head { units_before, seq, .. }, bytes)) = joiner.finish() {
            parts.insert(units_before as u32, Part { bytes: bytes.into(), commit: seq });
        }
    };
    let scanned = opened.handle.scan(b"c", b"d", &mut |key, value| {
        let part = key.get(..5).map(<[u8]>::to_vec);
        if part != at {
            close(std::mem::take(&mut joiner));
            at = part;
        }
        match crate::read::head_for(key, value, id) {
            Some((head, _)) if head.is_gone() && head.piece > 0 => {}
            Some((head, bytes)) => joiner.push(head, bytes),
            None => joiner.spoil(),
        }
        Flow::Continue
    });
    close(joiner);
    let found = parts.iter().fold(0, |sum, (part, of)| sum ^ layout::fingerprint(*part, of.commit));
    match scanned {
        Err(error) if !error.is_damage() => Err(error),
        scanned => Ok(ReadCheckpoint { parts, whole: scanned.is_ok() && found == opened.progress.fingerprint }),
    }
}

/// Ordinals of generations that were retired.
fn read_retired(database: &dyn Database) -> Result<Vec<u64>, SpoolError> {
    let mut gone = Vec::new();
    database.scan(b"r", b"s", &mut |key, value| {
        if let Ok((head, _)) = layout::parse_single(value, layout::Kind::Retired, "a mark of a retired generation")
            && head.key() == key
        {
            gone.push(head.seq);
        }
        Flow::Continue
    })?;
    Ok(gone)
}
