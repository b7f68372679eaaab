//! Opening: what is there is made known with as little reading as possible. The newest generation is opened for the checkpoint and for how far
//! it came; the others are known from their seals.
//!
//! A generation that is damaged is salvaged; if even that fails it is left where it is and the spool goes on without it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    LANES, OpenReport, Options, Spool, SpoolError, SpoolTime,
    disk::{Database, Disk, Flow},
    generation::{self, Failure, Generation, Opened},
    group::Group,
    layout::{self, Head, Joiner},
    salvage,
    sidecar::Told,
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
    /// Opens the spool on `disk`, or makes one. What is damaged is salvaged and reported.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if it is open elsewhere, [`SpoolError::UnknownVersion`] if a newer program wrote it; otherwise what the file
    /// system says.
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

/// What a generation's folder turned out to be.
enum Found {
    Opened(Box<(Opened, Told)>),
    Nothing,
}

impl Opening<'_> {
    fn run(disk: &Arc<dyn Disk>, options: Options, now: SpoolTime) -> Result<(State, Readers, OpenReport), SpoolError> {
        let aside = salvage::resume(&**disk)?;
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
        salvage::prune_aside(&**disk, options.reserve())?;
        opening.state.aside_bytes = salvage::aside_bytes(&**disk);
        Ok((opening.state, opening.readers, opening.report))
    }

    /// Loads the newest generation that is whole, takes it out of `ordinals` and removes what it says is retired.
    fn newest(&mut self, ordinals: &mut Vec<u64>) -> Result<(), SpoolError> {
        while let Some(ordinal) = ordinals.pop() {
            let Found::Opened(found) = self.load(ordinal, None)? else { continue };
            let (mut opened, mut told) = *found;
            let mut checkpoint = read_checkpoint(&opened)?;
            if !checkpoint.whole && !opened.meta.salvaged {
                drop(opened);
                let Found::Opened(found) = self.salvage(ordinal, &told, None)? else { continue };
                (opened, told) = *found;
                checkpoint = read_checkpoint(&opened)?;
            }
            self.report.checkpoint_lost |= !checkpoint.whole;
            self.state.checkpoint = checkpoint.parts;
            for gone in read_retired(&*opened.handle)? {
                if let Some(at) = ordinals.iter().position(|o| *o == gone) {
                    self.disk.remove(&generation::name_of(gone))?;
                    ordinals.remove(at);
                }
            }
            self.enter(ordinal, opened, &told, None);
            return Ok(());
        }
        Ok(())
    }

    /// Makes the generations before the newest known.
    fn older(&mut self, ordinals: &[u64]) -> Result<(), SpoolError> {
        for &ordinal in ordinals.iter().rev() {
            let name = generation::name_of(ordinal);
            let told = Told::read(&**self.disk, &name);
            if let Some(seal) = told.seal.filter(|seal| seal.meta.ordinal == ordinal) {
                let generation = Generation::with_told(seal.meta, seal.progress, &told, self.disk.bytes(&name));
                self.state.generations.insert(ordinal, Generation { sealed: true, ..generation });
                continue;
            }
            let limit = self.limit_of(ordinal);
            if let Found::Opened(found) = self.load(ordinal, limit)? {
                let (opened, told) = *found;
                self.enter(ordinal, opened, &told, limit);
            }
        }
        Ok(())
    }

    /// How far a generation had come when the next one began.
    fn limit_of(&self, ordinal: u64) -> Option<([u64; LANES], [u64; LANES])> {
        let (_, next) = self.state.generations.range(ordinal + 1..).next()?;
        let before = next.meta.before?;
        let told = Told::read(&**self.disk, &generation::name_of(ordinal));
        let id = told.mark.map(|mark| mark.generation).or_else(|| salvage::survey(&**self.disk, &generation::name_of(ordinal)).ok()?.id());
        (id == Some(before.generation)).then_some((before.through, before.units))
    }

    fn enter(&mut self, ordinal: u64, opened: Opened, told: &Told, limit: Option<([u64; LANES], [u64; LANES])>) {
        let name = generation::name_of(ordinal);
        let mut progress = opened.progress;
        let exact =
            told.seal.filter(|seal| seal.meta.id == opened.meta.id).map(|seal| (seal.progress.through, seal.progress.units)).or(limit);
        if let Some((through, units)) = exact {
            (progress.through, progress.units) = (through, units);
        }
        let generation = Generation::with_told(opened.meta, progress, told, self.disk.bytes(&name));
        self.state.generations.insert(ordinal, generation);
        self.readers.put(ordinal, Arc::new(opened.handle));
    }

    /// Opens a generation, or salvages it.
    fn load(&mut self, ordinal: u64, limit: Option<([u64; LANES], [u64; LANES])>) -> Result<Found, SpoolError> {
        let name = generation::name_of(ordinal);
        let told = Told::read(&**self.disk, &name);
        self.readers.make_room();
        match generation::open_folder(self.disk, ordinal, self.options.cache_bytes / 4, &told, true) {
            Ok(opened) if limit.is_none_or(|(through, _)| (0..LANES).all(|lane| opened.progress.through[lane] >= through[lane])) => {
                Ok(Found::Opened(Box::new((opened, told))))
            }
            Ok(opened) => {
                drop(opened);
                self.salvage(ordinal, &told, limit)
            }
            Err(Failure::Incomplete) => {
                self.disk.remove(&name)?;
                Ok(Found::Nothing)
            }
            Err(Failure::Damaged(error)) => {
                tracing::error!(name, error = &error as &dyn std::error::Error, "generation is damaged");
                self.salvage(ordinal, &told, limit)
            }
            Err(Failure::Other(error)) => Err(error),
        }
    }

    fn salvage(&mut self, ordinal: u64, told: &Told, limit: Option<([u64; LANES], [u64; LANES])>) -> Result<Found, SpoolError> {
        let name = generation::name_of(ordinal);
        let is_newest = self.state.generations.is_empty();
        let rebuilt = match salvage::salvage(self.disk, ordinal, told, limit, self.options.cache_bytes / 4) {
            Ok(rebuilt) => rebuilt,
            Err(error) if error.is_full() => return Err(error),
            Err(error) => {
                tracing::error!(name, error = &error as &dyn std::error::Error, "generation can't be salvaged: left where it is");
                let progress = told.seal.map(|s| s.progress).or(told.mark.map(|m| m.progress));
                // What was acknowledged is not lost with it.
                let acked = told.mark.map(|mark| (mark.acked.iter().sum::<u64>(), mark.acked_units.iter().sum::<u64>()));
                let lost = progress.map(|p| (p.through.iter().sum::<u64>(), p.units.iter().sum::<u64>()));
                let (entries, units) = lost.unwrap_or_default();
                self.report.checkpoint_lost |= is_newest;
                self.report.salvaged.push(crate::Salvaged {
                    ordinal,
                    entries_found: 0,
                    entries_lost: entries.saturating_sub(acked.unwrap_or_default().0),
                    units_lost: acked.map(|(_, acked)| units.saturating_sub(acked)),
                    held: false,
                    opened_at: told.seal.map_or(SpoolTime(0), |seal| seal.meta.opened_at),
                });
                return Ok(Found::Nothing);
            }
        };
        self.report.salvaged.push(rebuilt.salvaged);
        self.report.checkpoint_lost |= is_newest && rebuilt.checkpoint_lost;
        if !rebuilt.held {
            return Ok(Found::Nothing);
        }
        let told = Told::read(&**self.disk, &name);
        match generation::open_folder(self.disk, ordinal, self.options.cache_bytes / 4, &told, false) {
            Ok(opened) => Ok(Found::Opened(Box::new((opened, told)))),
            Err(Failure::Other(error) | Failure::Damaged(error)) => Err(error),
            Err(Failure::Incomplete) => Ok(Found::Nothing),
        }
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
