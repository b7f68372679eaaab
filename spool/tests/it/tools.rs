//! What several tests need.

use std::sync::Arc;

use spool::{Append, Appended, Checkpoint, Lane, NewEntry, OpenReport, Options, Spool, SpoolError, SpoolTime, simulated::SimDisk};

pub const URGENT: Lane = Lane(0);
pub const DATA: Lane = Lane(1);

pub fn open_sim(disk: &SimDisk, options: Options) -> (Spool, OpenReport) {
    Spool::open(Arc::new(disk.clone()), options, SpoolTime(0)).unwrap()
}

/// Appends payloads to a lane; each counts as many units as it has bytes.
pub fn append(spool: &Spool, lane: Lane, payloads: &[&[u8]]) -> Result<Appended, SpoolError> {
    append_with(spool, lane, payloads, Checkpoint::Unchanged)
}

pub fn append_with(spool: &Spool, lane: Lane, payloads: &[&[u8]], checkpoint: Checkpoint<'_>) -> Result<Appended, SpoolError> {
    let entries: Vec<NewEntry<'_>> = payloads.iter().map(|payload| NewEntry { lane, payload, units: payload.len() as u64 }).collect();
    spool.append(&Append { entries: &entries, checkpoint, ..Append::default() }, SpoolTime(0))
}

/// All payloads of a lane in all generations, by ordinal and sequence.
pub fn all(spool: &Spool, lane: Lane) -> Vec<((u64, u64), Vec<u8>)> {
    let mut found = Vec::new();
    for view in spool.view() {
        let peek = spool.peek(view.ordinal, lane, 1, usize::MAX, usize::MAX).unwrap();
        assert_eq!(peek.corrupt, []);
        found.extend(peek.entries.into_iter().map(|entry| ((view.ordinal, entry.seq), entry.payload)));
    }
    found
}
