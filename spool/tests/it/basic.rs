//! What an owner may rely on, one promise at a time.

use std::path::Path;

use spool::{Append, Checkpoint, Level, NewEntry, Options, Spool, SpoolError, SpoolTime, simulated::SimDisk};

use crate::tools::{DATA, URGENT, all, append, append_with, open_sim};

fn open(dir: &Path) -> Spool {
    Spool::open_dir(dir, Options::default(), SpoolTime(0)).unwrap().0
}

#[test]
fn entries_of_all_lanes_and_the_checkpoint_are_there_after_reopening() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    {
        let (spool, report) = Spool::open_dir(&dir, Options::default(), SpoolTime(0)).unwrap();
        assert!(report.created);
        let long = vec![7; 20_000];
        let entries = [(URGENT, b"one".as_slice(), 1), (DATA, b"", 0), (URGENT, long.as_slice(), 5)];
        let entries = entries.map(|(lane, payload, units)| NewEntry { lane, payload, units });
        let checkpoint = Checkpoint::Parts(&[(3, Some(b"state 3")), (9, Some(&[9; 9000]))]);
        let appended = spool.append(&Append { entries: &entries, checkpoint, ..Append::default() }, SpoolTime(0)).unwrap();
        assert_eq!((appended.spans[0].first, appended.spans[0].end, appended.spans[1].len(), appended.spans[2].len()), (1, 3, 1, 0));
    }
    let (spool, report) = Spool::open_dir(&dir, Options::default(), SpoolTime(0)).unwrap();
    assert_eq!((report.created, report.entries_held, report.salvaged.len(), report.checkpoint_lost), (false, 3, 0, false));
    let first = spool.view()[0].ordinal;
    let peek = spool.peek(first, URGENT, 1, 10, usize::MAX).unwrap();
    let found: Vec<_> = peek.entries.iter().map(|e| (e.seq, e.units_before, e.units, e.payload.as_slice())).collect();
    assert_eq!(found, [(1, 0, 1, b"one".as_slice()), (2, 1, 5, &[7; 20_000])]);
    assert_eq!(all(&spool, DATA), [((first, 1), Vec::new())]);
    assert_eq!(spool.checkpoint(), [(3, b"state 3".to_vec()), (9, vec![9; 9000])]);
}

#[test]
fn each_opening_begins_a_generation_that_knows_the_one_before_and_an_empty_one_leaves_no_trace() {
    let root = tempfile::tempdir().unwrap();
    let (id, first) = {
        let spool = open(root.path());
        let appended = append(&spool, DATA, &[b"a", b"bc"]).unwrap();
        (spool.view()[0].id, appended.generation)
    };
    drop(open(root.path()));
    let spool = open(root.path());
    let views = spool.view();
    assert_eq!(views.len(), 2, "{views:?}");
    assert_eq!((views[0].ordinal, views[0].id, views[0].current), (first, id, false));
    let parent = views[1].parent.unwrap();
    assert_eq!((parent.generation, parent.through, parent.units), (id, [0, 2, 0, 0], [0, 3, 0, 0]));
    assert_eq!((views[1].id & 3, id & 3), (0, 0));
    assert_ne!(views[1].id, id);
    let appended = append(&spool, DATA, &[b"d"]).unwrap();
    assert_eq!((appended.generation, appended.spans[1].first), (views[1].ordinal, 1));
}

#[test]
fn peek_obeys_its_bounds_but_gives_at_least_one() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    let payloads: Vec<Vec<u8>> = (0..20).map(|i| vec![i; 1000]).collect();
    let generation = append(&spool, DATA, &payloads.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap().generation;
    let seqs = |from, entries, bytes| {
        spool.peek(generation, DATA, from, entries, bytes).unwrap().entries.iter().map(|e| e.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(5, 3, usize::MAX), [5, 6, 7]);
    assert_eq!(seqs(19, 9, usize::MAX), [19, 20]);
    assert_eq!(seqs(1, 9, 1), [1]);
    assert_eq!(seqs(1, 9, 2500), [1, 2, 3]);
    assert_eq!(seqs(21, 9, 2500), Vec::<u64>::new());
    assert_eq!(seqs(1, 0, 2500), Vec::<u64>::new());
    assert!(spool.peek(generation, URGENT, 1, 9, 9).unwrap().entries.is_empty());
    assert!(matches!(spool.peek(99, DATA, 1, 9, 9), Err(SpoolError::UnknownGeneration { ordinal: 99 })));
}

#[test]
fn cursors_move_forward_and_back_and_are_known_after_reopening() {
    let root = tempfile::tempdir().unwrap();
    let generation = {
        let spool = open(root.path());
        let generation = append(&spool, DATA, &[b"a", b"bb", b"ccc", b"dddd"]).unwrap().generation;
        assert_eq!(spool.acknowledge(generation, DATA, 3).unwrap(), 3);
        assert_eq!(spool.acknowledge(generation, DATA, 2).unwrap(), 0);
        assert_eq!(spool.view()[0].lanes[1].acked_units, 6);
        assert_eq!(spool.rewind(generation, DATA, 1).unwrap(), 2);
        let lane = spool.view()[0].lanes[1];
        assert_eq!((lane.next, lane.acked, lane.units, lane.acked_units), (5, 1, 10, 1));
        generation
    };
    let spool = open(root.path());
    let lane = spool.view()[0].lanes[1];
    assert_eq!((spool.view()[0].ordinal, lane.acked, lane.acked_units), (generation, 1, 1));
}

#[test]
fn acknowledged_generations_are_kept_as_far_as_they_fit_and_the_oldest_goes_first() {
    let disk = SimDisk::new(1);
    let (spool, _) = open_sim(&disk, Options { keep_acknowledged_bytes: 5000, ..Options::default() });
    let ordinals: Vec<u64> = (0..4)
        .map(|_| {
            let generation = append(&spool, DATA, &[&[1; 1500]]).unwrap().generation;
            spool.rotate(SpoolTime(0)).unwrap();
            generation
        })
        .collect();
    assert_eq!(spool.view().len(), 5);
    ordinals.iter().for_each(|ordinal| assert_eq!(spool.acknowledge(*ordinal, DATA, u64::MAX).unwrap(), 1));
    let left: Vec<u64> = spool.view().iter().map(|view| view.ordinal).collect();
    assert_eq!(left, [ordinals[2], ordinals[3], spool.view().last().unwrap().ordinal]);
    assert_eq!(spool.rewind(ordinals[3], DATA, 0).unwrap(), 1);
    assert_eq!(spool.peek(ordinals[3], DATA, 1, 1, 1).unwrap().entries[0].payload, [1; 1500]);
    assert_eq!(spool.acknowledge(ordinals[0], DATA, 1).unwrap(), 0, "it is gone");
}

#[test]
fn generations_are_closed_by_size_and_by_age() {
    let disk = SimDisk::new(1);
    let options = Options { generation_bytes: 10_000, generation_age: std::time::Duration::from_secs(60), ..Options::default() };
    let (spool, _) = open_sim(&disk, options);
    for _ in 0..20 {
        append(&spool, DATA, &[&[1; 2000]]).unwrap();
    }
    let views = spool.view();
    assert!((4..=7).contains(&views.len()) && views.iter().all(|view| view.bytes < 14_000), "{views:?}");
    let later = SpoolTime(61_000_000);
    let entry = NewEntry { lane: DATA, payload: b"late", units: 1 };
    let appended = spool.append(&Append { entries: &[entry], ..Append::default() }, later).unwrap();
    assert_eq!(appended.generation, views.last().unwrap().ordinal + 1);
}

#[test]
fn only_untouched_closed_generations_can_be_retired_and_are_gone_with_the_append() {
    for sled in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let disk = SimDisk::new(1);
        let open = || if sled { open(root.path()) } else { open_sim(&disk, Options::default()).0 };
        let spool = open();
        let [a, b] = [b"a", b"b"].map(|payload| {
            let generation = append(&spool, DATA, &[payload]).unwrap().generation;
            spool.rotate(SpoolTime(0)).unwrap();
            generation
        });
        let current = append(&spool, DATA, &[b"c"]).unwrap().generation;
        spool.touch(b).unwrap();
        let retire = |retire: &[u64]| {
            let entry = NewEntry { lane: DATA, payload: b"thinned", units: 1 };
            spool.append(&Append { entries: &[entry], retire, ..Append::default() }, SpoolTime(0))
        };
        assert!(matches!(retire(&[a, b]), Err(SpoolError::NotRetirable { ordinal, .. }) if ordinal == b));
        assert!(matches!(retire(&[current]), Err(SpoolError::NotRetirable { .. })));
        assert!(matches!(retire(&[77]), Err(SpoolError::UnknownGeneration { ordinal: 77 })));
        assert_eq!(spool.view().len(), 3, "nothing has changed");
        retire(&[a]).unwrap();
        assert_eq!(all(&spool, DATA), [((b, 1), b"b".to_vec()), ((current, 1), b"c".to_vec()), ((current, 2), b"thinned".to_vec())]);
        drop(spool);
        let spool = open();
        assert_eq!(all(&spool, DATA).len(), 3);
        assert!(spool.view().iter().any(|view| view.ordinal == b && view.touched));
    }
}

#[test]
fn a_full_spool_takes_urgent_entries_from_its_reserve_and_has_room_again_after_an_acknowledgement() {
    let disk = SimDisk::new(1);
    let options = Options { max_bytes: 200_000, keep_acknowledged_bytes: 0, ..Options::default() };
    let (spool, _) = open_sim(&disk, options);
    let entry = [NewEntry { lane: DATA, payload: &[1; 1000], units: 1 }];
    let ordinary = Append { entries: &entry, ..Append::default() };
    let urgent = Append { urgent: true, ..ordinary };
    let mut first = None;
    let error = loop {
        match spool.append(&ordinary, SpoolTime(0)) {
            Ok(appended) => first = first.or(Some(appended.generation)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SpoolError::Full { .. }) && error.is_full());
    assert_eq!(spool.room().level, Level::Full);
    assert!((180_000..=200_000).contains(&disk.used()), "{}", disk.used());
    let taken = (0..100).take_while(|_| spool.append(&urgent, SpoolTime(0)).is_ok()).count();
    assert!((5..15).contains(&taken), "{taken}");
    assert!(disk.used() <= 200_000);
    spool.acknowledge(first.unwrap(), DATA, u64::MAX).unwrap();
    spool.append(&ordinary, SpoolTime(0)).unwrap();
    assert_eq!(spool.view()[0].ordinal, first.unwrap() + 1);
}

#[test]
fn a_spool_that_is_open_can_not_be_opened_again() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    assert!(matches!(Spool::open_dir(root.path(), Options::default(), SpoolTime(0)), Err(SpoolError::InUse { .. })));
    drop(spool);
    open(root.path());
}

#[test]
fn a_checkpoint_changes_by_parts_or_as_a_whole_and_leaves_nothing_of_longer_ones() {
    let root = tempfile::tempdir().unwrap();
    for len in [100_000, 5_000, 0, 9_000, 3] {
        let spool = open(root.path());
        append_with(&spool, DATA, &[], Checkpoint::Parts(&[(1, Some(&vec![9; len])), (2, Some(b"two"))])).unwrap();
        assert_eq!(spool.checkpoint(), [(1, vec![9; len]), (2, b"two".to_vec())]);
    }
    let spool = open(root.path());
    append_with(&spool, DATA, &[], Checkpoint::Parts(&[(2, None), (7, None)])).unwrap();
    assert_eq!(spool.checkpoint(), [(1, vec![9; 3])]);
    drop(spool);
    let spool = open(root.path());
    assert_eq!(spool.checkpoint(), [(1, vec![9; 3])]);
    append_with(&spool, DATA, &[], Checkpoint::Whole(&[(4, b"four")])).unwrap();
    drop(spool);
    let (spool, report) = Spool::open_dir(root.path(), Options::default(), SpoolTime(0)).unwrap();
    assert!(!report.checkpoint_lost);
    assert_eq!(spool.checkpoint(), [(4, b"four".to_vec())]);
}

#[test]
fn an_append_of_many_megabytes_is_taken_whole() {
    let root = tempfile::tempdir().unwrap();
    let payload: Vec<u8> = (0..5 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let generation = append_with(&open(root.path()), DATA, &[&payload, &payload], Checkpoint::Whole(&[(1, &payload)])).unwrap().generation;
    let spool = open(root.path());
    let peek = spool.peek(generation, DATA, 1, 5, usize::MAX).unwrap();
    assert_eq!(peek.entries.len(), 2);
    assert!(peek.entries.iter().all(|e| e.payload == payload));
    assert_eq!(spool.checkpoint(), [(1, payload)]);
    let blobs = root.path().join(format!("gen-{generation:010}")).join("blobs");
    assert!(std::fs::read_dir(blobs).unwrap().next().is_none(), "files that are never synced");
}
