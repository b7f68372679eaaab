//! Reading: the pairs of a range, put together into entries.

use std::ops::RangeFrom;

use crate::{
    CorruptEntry, Entry, Peek, SpoolError, State,
    layout::{self, Joiner},
    store::{Flow, Store},
};

/// Gathers entries out of pairs in key order. Sequences have no gap, so one that is missing is reported like one that is damaged.
pub(crate) struct Reading {
    expected: RangeFrom<u64>,
    max_entries: usize,
    max_bytes: usize,
    bytes: usize,
    joiner: Option<Joiner>,
    full: bool,
    peek: Peek,
}

impl Reading {
    pub(crate) fn new(from: u64, max_entries: usize, max_bytes: usize) -> Self {
        Self { expected: from.., max_entries, max_bytes, bytes: 0, joiner: None, full: false, peek: Peek::default() }
    }

    pub(crate) fn pair(&mut self, key: &[u8], value: &[u8]) -> Flow {
        let Some((seq, part)) = layout::parse_entry_key(key) else {
            return Flow::Continue;
        };
        if self.joiner.as_ref().is_none_or(|j| j.seq() != seq) {
            self.close();
            if self.full {
                return Flow::Stop;
            }
            self.joiner = Some(Joiner::new(seq));
        }
        if let Some(joiner) = &mut self.joiner {
            joiner.push(part, value);
        }
        Flow::Continue
    }

    /// What was read of a range that ends before `end`.
    pub(crate) fn finish(mut self, end: u64) -> Peek {
        self.close();
        if !self.full {
            self.missing_before(end);
        }
        self.peek
    }

    fn close(&mut self) {
        let Some(joiner) = self.joiner.take() else { return };
        let seq = joiner.seq();
        self.missing_before(seq);
        self.expected = seq + 1..;
        match joiner.finish() {
            Some(payload) => {
                self.bytes = self.bytes.saturating_add(payload.len());
                self.peek.entries.push(Entry { seq, payload });
            }
            None => self.peek.corrupt.push(CorruptEntry { seq }),
        }
        self.full = self.bytes >= self.max_bytes || self.peek.entries.len() + self.peek.corrupt.len() >= self.max_entries;
    }

    fn missing_before(&mut self, seq: u64) {
        self.peek.corrupt.extend((self.expected.start..seq).map(|seq| CorruptEntry { seq }));
        self.expected = seq..;
    }
}

/// Counts what a spool holds and checks each entry, one at a time.
pub(crate) fn take_stock(store: &Store, next_seq: u64) -> Result<(State, Vec<CorruptEntry>), SpoolError> {
    let mut state = State { first_seq: next_seq, next_seq, ..State::default() };
    let mut corrupt = Vec::new();
    let mut joiner: Option<Joiner> = None;
    let mut expected = None;
    let mut close = |joiner: Option<Joiner>, corrupt: &mut Vec<CorruptEntry>| {
        let Some(joiner) = joiner else { return };
        let seq = joiner.seq();
        corrupt.extend((expected.unwrap_or(seq)..seq).map(|seq| CorruptEntry { seq }));
        expected = Some(seq + 1);
        if joiner.finish().is_none() {
            corrupt.push(CorruptEntry { seq });
        }
    };
    store.scan(layout::entry_key(0, 0)..layout::entry_key(u64::MAX, u32::MAX), |key, value| {
        let Some((seq, part)) = layout::parse_entry_key(key) else { return Flow::Continue };
        state.bytes += layout::weight(key.len(), value.len());
        if joiner.as_ref().is_none_or(|j| j.seq() != seq) {
            close(joiner.replace(Joiner::new(seq)), &mut corrupt);
            state.first_seq = state.first_seq.min(seq);
            state.entries += 1;
        }
        if let Some(joiner) = &mut joiner {
            joiner.push(part, value);
        }
        Flow::Continue
    })?;
    close(joiner, &mut corrupt);
    if let Some(expected) = expected {
        corrupt.extend((expected..next_seq).map(|seq| CorruptEntry { seq }));
    }
    store.scan(layout::checkpoint_key(0).., |key, _| {
        if !key.starts_with(layout::CHECKPOINT_PREFIX) {
            return Flow::Stop;
        }
        state.checkpoint_parts += 1;
        Flow::Continue
    })?;
    Ok((state, corrupt))
}
