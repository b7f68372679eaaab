//! Reading: the pairs of a range, put together into entries.

use crate::{
    CorruptEntry, Entry, Lane, Peek, SpoolError,
    disk::{Database, Flow},
    layout::{self, Head, Joiner},
};

/// Which entries are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) lane: Lane,
    /// The first.
    pub(crate) from: u64,
    /// The last that the lane holds.
    pub(crate) through: u64,
    /// Units of all that the lane holds.
    pub(crate) units: u64,
    pub(crate) max_entries: usize,
    pub(crate) max_bytes: usize,
}

/// Gathers entries out of pairs in key order. Sequences have no gap, so one that is missing is reported like one that is damaged.
struct Reading {
    wanted: Wanted,
    generation: u64,
    expected: u64,
    /// Units of all entries before `expected`, if they are known.
    units: Option<u64>,
    bytes: usize,
    joiner: Option<(u64, Joiner)>,
    full: bool,
    peek: Peek,
}

/// Reads from a database that belongs to `generation` (id).
pub(crate) fn read(database: &dyn Database, generation: u64, wanted: Wanted) -> Result<Peek, SpoolError> {
    let Wanted { lane, from, through, .. } = wanted;
    if from > through || wanted.max_entries == 0 {
        return Ok(Peek::default());
    }
    let units = units_through(database, generation, lane, from - 1)?;
    let mut reading = Reading { wanted, generation, expected: from, units, bytes: 0, joiner: None, full: false, peek: Peek::default() };
    let (first, end) = (layout::entry_key(lane, from, 0), layout::entry_key(lane, through.saturating_add(1), 0));
    database.scan(&first, &end, &mut |key, value| reading.pair(key, value))?;
    Ok(reading.finish())
}

/// Units of the entries of a lane through `seq`, if the entry itself or the one behind it can tell.
pub(crate) fn units_through(database: &dyn Database, generation: u64, lane: Lane, seq: u64) -> Result<Option<u64>, SpoolError> {
    if seq == 0 {
        return Ok(Some(0));
    }
    let head_of = |seq| -> Result<Option<Head>, SpoolError> {
        let value = database.get(&layout::entry_key(lane, seq, 0))?;
        Ok(value.and_then(|v| head_for(&layout::entry_key(lane, seq, 0), &v, generation).map(|(head, _)| head)))
    };
    match head_of(seq)? {
        Some(head) => Ok(head.units_before.checked_add(head.units)),
        None => Ok(head_of(seq + 1)?.map(|head| head.units_before)),
    }
}

/// The head and bytes of a value that lies under the key where it belongs.
pub(crate) fn head_for<'a>(key: &[u8], value: &'a [u8], generation: u64) -> Option<(Head, &'a [u8])> {
    let (head, bytes) = Head::parse(value).ok()?;
    (head.generation == generation && head.key() == key).then_some((head, bytes))
}

impl Reading {
    fn pair(&mut self, key: &[u8], value: &[u8]) -> Flow {
        let Some((_, seq, _)) = layout::parse_entry_key(key) else {
            return Flow::Continue;
        };
        if self.joiner.as_ref().is_none_or(|(at, _)| *at != seq) {
            self.close();
            if self.full {
                return Flow::Stop;
            }
            self.joiner = Some((seq, Joiner::default()));
        }
        if let Some((_, joiner)) = &mut self.joiner {
            match head_for(key, value, self.generation) {
                Some((head, bytes)) => joiner.push(head, bytes),
                None => joiner.spoil(),
            }
        }
        Flow::Continue
    }

    fn finish(mut self) -> Peek {
        self.close();
        if !self.full {
            self.missing(self.wanted.through + 1, Some(self.wanted.units));
        }
        self.peek
    }

    fn close(&mut self) {
        let Some((seq, joiner)) = self.joiner.take() else { return };
        let head = joiner.head();
        self.missing(seq, head.map(|head| head.units_before));
        if self.full {
            return;
        }
        match (joiner.finish(), head) {
            (Some((head, payload)), _) => {
                self.bytes = self.bytes.saturating_add(payload.len());
                self.peek.entries.push(Entry { seq, units_before: head.units_before, units: head.units, payload });
                self.passed(seq, head.units_before.checked_add(head.units));
            }
            (None, Some(head)) => {
                self.peek.corrupt.push(CorruptEntry { seq, units: Some(head.units) });
                self.passed(seq, head.units_before.checked_add(head.units));
            }
            // Nothing is left of it; the next one tells.
            (None, None) => {}
        }
    }

    fn passed(&mut self, seq: u64, units: Option<u64>) {
        self.expected = seq + 1;
        self.units = units;
        self.full = self.bytes >= self.wanted.max_bytes || self.count() >= self.wanted.max_entries;
    }

    fn count(&self) -> usize {
        self.peek.entries.len() + self.peek.corrupt.len()
    }

    /// Nothing is left of the entries from the expected one on and below `seq`, before which there are `before` units.
    fn missing(&mut self, seq: u64, before: Option<u64>) {
        if before.is_none() {
            return;
        }
        let all = before.zip(self.units).and_then(|(before, expected)| before.checked_sub(expected));
        while self.expected < seq && !self.full {
            let last = self.expected + 1 == seq;
            let units = all.map(|all| if last { all } else { 0 });
            self.peek.corrupt.push(CorruptEntry { seq: self.expected, units });
            self.passed(self.expected, if last { before } else { self.units });
        }
    }
}
