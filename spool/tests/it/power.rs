//! Power cuts and kills at any operation, seeded: what was promised is there, nothing is there by half, and the checkpoint is that of the
//! last append that is there.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use spool::{
    Append, Checkpoint, LANES, Lane, NewEntry, Options, Spool, SpoolTime,
    simulated::{Faults, SimDisk},
};

use crate::tools::open_sim;

const OPTIONS: Options = Options {
    max_bytes: 1 << 30,
    min_free_bytes: 0,
    min_free_percent: 0,
    generation_bytes: 20_000,
    generation_age: std::time::Duration::from_secs(1),
    keep_acknowledged_bytes: 1 << 30,
    cache_bytes: 1 << 20,
};

/// An append by its number: where it went, if it was promised, and how many entries it has.
#[derive(Debug, Clone)]
struct Sent {
    entries: usize,
    retire: Vec<u64>,
    promised: Option<u64>,
}

#[derive(Default)]
struct History {
    sent: BTreeMap<u64, Sent>,
    /// Those that no longer need be there.
    gone: BTreeSet<u64>,
    last: u64,
}

fn payload(number: u64, k: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number as usize * 977 + k * 3001) % 9000, number as u8);
    bytes
}

impl History {
    fn append(&mut self, spool: &Spool, rng: &mut ChaCha8Rng) {
        self.last += 1;
        let number = self.last;
        let count = rng.next_u32() as usize % 5;
        let payloads: Vec<Vec<u8>> = (0..count).map(|k| payload(number, k)).collect();
        let entries: Vec<NewEntry<'_>> =
            payloads.iter().enumerate().map(|(k, payload)| NewEntry { lane: Lane((k % LANES) as u8), payload, units: 1 }).collect();
        let mut retire = Vec::new();
        if rng.next_u32().is_multiple_of(6) {
            let views = spool.view();
            retire.extend(views.iter().find(|v| !v.current && !v.touched && v.ordinal != views.last().unwrap().ordinal).map(|v| v.ordinal));
        }
        // Long, so that it has several pieces, and part 2 comes and goes.
        let long = vec![number as u8; number as usize * 577 % 9000];
        let parts = [(1, Some(number.to_le_bytes().to_vec())), (2, (!number.is_multiple_of(3)).then_some(long))];
        let parts: Vec<(u32, Option<&[u8]>)> = parts.iter().map(|(part, bytes)| (*part, bytes.as_deref())).collect();
        let result = spool
            .append(&Append { entries: &entries, checkpoint: Checkpoint::Parts(&parts), retire: &retire, urgent: false }, SpoolTime(0));
        let promised = result.ok().map(|appended| appended.generation);
        if promised.is_some() {
            // What failed before can't come any more.
            let failed: Vec<u64> = self.sent.iter().filter(|(_, sent)| sent.promised.is_none()).map(|(number, _)| *number).collect();
            failed.iter().for_each(|number| drop(self.sent.remove(number)));
            self.retire(&retire);
        }
        self.sent.insert(number, Sent { entries: count, retire, promised });
    }

    fn retire(&mut self, ordinals: &[u64]) {
        let gone = self.sent.iter().filter(|(_, sent)| sent.promised.is_some_and(|at| ordinals.contains(&at)));
        self.gone.extend(gone.map(|(number, _)| *number));
    }

    /// What a spool that was opened again holds is what it may hold. Says what is wrong.
    fn check(&mut self, spool: &Spool) -> Result<(), String> {
        let mut found: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
        for view in spool.view() {
            for lane in (0..LANES as u8).map(Lane) {
                let peek = spool.peek(view.ordinal, lane, 1, usize::MAX, usize::MAX).map_err(|e| e.to_string())?;
                if !peek.corrupt.is_empty() {
                    return Err(format!("corrupt: {:?} in {view:?} of {:?}", peek.corrupt, spool.view()));
                }
                for entry in peek.entries {
                    let number = u64::from_le_bytes(entry.payload[..8].try_into().unwrap());
                    let known = found.entry(number).or_insert((0, view.ordinal));
                    if !(0..8).any(|k| payload(number, k) == entry.payload) || known.1 != view.ordinal {
                        return Err(format!("entry of {number} is not what was sent, or is there twice"));
                    }
                    known.0 += 1;
                }
            }
        }
        let checkpoint: BTreeMap<u32, Vec<u8>> = spool.checkpoint().into_iter().collect();
        let state = checkpoint.get(&1).map_or(0, |bytes| u64::from_le_bytes(bytes[..].try_into().unwrap()));
        let long = (state > 0 && !state.is_multiple_of(3)).then(|| vec![state as u8; state as usize * 577 % 9000]);
        if checkpoint.get(&2) != long.as_ref() {
            return Err(format!("checkpoint parts are of two appends, one of them {state}"));
        }
        let last_promised = self.sent.iter().rev().find(|(_, sent)| sent.promised.is_some()).map_or(0, |(number, _)| *number);
        if state < last_promised {
            return Err(format!("checkpoint of {state}, but {last_promised} was promised"));
        }
        // One that failed may be there, if nothing came after it.
        if state > last_promised {
            let survivor = self.sent.get_mut(&state).ok_or("a checkpoint that was never sent")?;
            survivor.promised = found.get(&state).map(|(_, at)| *at).or(Some(0));
            let retire = survivor.retire.clone();
            self.retire(&retire);
        }
        self.sent.retain(|_, sent| sent.promised.is_some());
        for (number, sent) in &self.sent {
            let there = found.remove(number).map_or(0, |(count, _)| count);
            let expected = if self.gone.contains(number) { 0 } else { sent.entries };
            if there != expected {
                return Err(format!("{number}: {there} of {expected} entries"));
            }
        }
        if found.is_empty() { Ok(()) } else { Err(format!("these were not promised: {found:?}")) }
    }
}

fn run(seed: u64, lying: bool) -> Result<(), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let disk = SimDisk::new(seed);
    let mut history = History::default();
    for _ in 0..8 {
        let mut now_and_then = |n: u32, value: u32| if rng.next_u32().is_multiple_of(n) { value } else { 0 };
        let faults = Faults { failing_syncs: 0, apply: now_and_then(4, 50), open: 0, read: 0, raw: 0, skip_sync: lying, stop_after: None };
        disk.set_faults(Faults { skip_sync: lying, ..Faults::default() });
        let Ok((spool, report)) = Spool::open(std::sync::Arc::new(disk.clone()), OPTIONS, SpoolTime(0)) else {
            return Err("it does not open".to_owned());
        };
        if !report.salvaged.is_empty() || report.checkpoint_lost {
            return Err(format!("{report:?}"));
        }
        history.check(&spool)?;
        let stop_after = (rng.next_u32() % 3 > 0).then(|| rng.next_u32() % 80);
        disk.set_faults(Faults { stop_after, failing_syncs: u32::from(rng.next_u32().is_multiple_of(3)), ..faults });
        for _ in 0..rng.next_u32() % 25 {
            match rng.next_u32() % 12 {
                0 => drop(spool.rotate(SpoolTime(0))),
                1 => {
                    let views = spool.view();
                    let view = &views[rng.next_u32() as usize % views.len()];
                    let _ = spool.touch(view.ordinal);
                    let _ = spool.acknowledge(view.ordinal, Lane(0), u64::from(rng.next_u32() % 5));
                }
                _ => history.append(&spool, &mut rng),
            }
        }
        match rng.next_u32() % 4 {
            0 => disk.kill(),
            1 => disk.set_faults(Faults::default()),
            _ => disk.power_cut(),
        }
        drop(spool);
        // Dying while it opens changes nothing either.
        if rng.next_u32().is_multiple_of(2) {
            disk.set_faults(Faults { stop_after: Some(rng.next_u32() % 30), skip_sync: lying, ..Faults::default() });
            drop(Spool::open(std::sync::Arc::new(disk.clone()), OPTIONS, SpoolTime(0)));
            disk.power_cut();
        }
    }
    Ok(())
}

#[test]
fn nothing_promised_is_lost_and_nothing_is_there_by_half_wherever_it_dies() {
    for seed in 0..1500 {
        if let Err(wrong) = run(seed, false) {
            panic!("seed {seed}: {wrong}");
        }
    }
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    assert!((0..50).any(|seed| run(seed, true).is_err()));
}

#[test]
fn a_retirement_is_whole_or_not_at_all_wherever_it_dies() {
    let mut outcomes = BTreeSet::new();
    for power in [false, true] {
        for stop in 0..40 {
            let disk = SimDisk::new(u64::from(stop));
            let (spool, _) = open_sim(&disk, OPTIONS);
            let add = |payload: &[u8], retire: &[u64]| {
                let entry = NewEntry { lane: Lane(0), payload, units: 1 };
                spool.append(&Append { entries: &[entry], retire, ..Append::default() }, SpoolTime(0))
            };
            let old = add(b"old", &[]).unwrap().generation;
            spool.rotate(SpoolTime(0)).unwrap();
            disk.set_faults(Faults { stop_after: Some(stop), ..Faults::default() });
            let done = add(b"new", &[old]).is_ok();
            if power {
                disk.power_cut();
            } else {
                disk.kill();
            }
            drop(spool);
            disk.set_faults(Faults::default());
            let (spool, _) = open_sim(&disk, OPTIONS);
            let found: Vec<Vec<u8>> = crate::tools::all(&spool, Lane(0)).into_iter().map(|(_, payload)| payload).collect();
            assert!(found == [b"old"] || found == [b"new"], "{found:?} after {stop} operations");
            assert!(!done || found == [b"new"]);
            outcomes.insert((done, found));
        }
    }
    assert!(outcomes.len() >= 2, "{outcomes:?}");
}

#[test]
fn a_restored_backup_never_gives_a_sequence_again() {
    let disk = SimDisk::new(5);
    let mut given = BTreeSet::new();
    let image = {
        let (spool, _) = open_sim(&disk, OPTIONS);
        drop(spool);
        disk.snapshot()
    };
    for _ in 0..5 {
        disk.restore(&image);
        let (spool, _) = open_sim(&disk, OPTIONS);
        for _ in 0..3 {
            let appended = crate::tools::append(&spool, Lane(1), &[b"x"]).unwrap();
            let id = spool.view().iter().find(|v| v.ordinal == appended.generation).unwrap().id;
            assert!(given.insert((spool::stream_id(id, Lane(1)), appended.spans[1].first)));
        }
    }
}
