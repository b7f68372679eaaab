//! Many threads: one commit serves them all, and a reader never sees half of one.

use std::collections::BTreeMap;

use spool::{Append, Checkpoint, NewEntry, Options, Spool, SpoolTime};

use crate::tools::{DATA, URGENT, all, append};

#[test]
fn appends_of_many_threads_share_commits_and_all_are_there() {
    let root = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open_dir(root.path(), Options::default(), SpoolTime(0)).unwrap();
    let written: BTreeMap<(u64, u64), Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|thread| {
                let spool = &spool;
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for i in 0..20u8 {
                        let payloads = [vec![thread, i], vec![i; usize::from(thread) * 700]];
                        let appended = append(spool, DATA, &[&payloads[0], &payloads[1]]).unwrap();
                        let span = appended.spans[1];
                        assert_eq!(span.len(), 2);
                        // Durable and visible to whoever looks now.
                        assert_eq!(spool.peek(appended.generation, DATA, span.first, 2, usize::MAX).unwrap().entries.len(), 2);
                        mine.extend((span.first..span.end).map(|seq| (appended.generation, seq)).zip(payloads));
                    }
                    mine
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let counters = spool.counters();
    assert_eq!(counters.appends, 160);
    assert!(counters.commits < 160 && counters.syncs == counters.commits, "{counters:?}");
    drop(spool);
    let (spool, _) = Spool::open_dir(root.path(), Options::default(), SpoolTime(0)).unwrap();
    assert_eq!(all(&spool, DATA).into_iter().collect::<BTreeMap<_, _>>(), written);
}

#[test]
fn one_append_is_one_commit_and_an_acknowledgement_none() {
    let root = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open_dir(root.path(), Options::default(), SpoolTime(0)).unwrap();
    let before = spool.counters();
    for _ in 0..10 {
        let generation = append(&spool, DATA, &[b"a", b"b"]).unwrap().generation;
        spool.acknowledge(generation, DATA, u64::MAX).unwrap();
    }
    let after = spool.counters();
    assert_eq!((after.commits - before.commits, after.syncs - before.syncs, after.appends), (10, 10, 10));
}

#[test]
fn a_reader_never_sees_half_of_a_commit_while_generations_come_and_go() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { generation_bytes: 1 << 20, keep_acknowledged_bytes: 0, ..Options::default() };
    let (spool, _) = Spool::open_dir(root.path(), options, SpoolTime(0)).unwrap();
    let payload = vec![3; 20_000];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 1..=60u64 {
                let entries = [URGENT, DATA].map(|lane| NewEntry { lane, payload: &payload, units: 1 });
                let state = vec![i as u8; 3000];
                let checkpoint = Checkpoint::Whole(&[(1, &state), (2, &state)]);
                let appended = spool.append(&Append { entries: &entries, checkpoint, ..Append::default() }, SpoolTime(0)).unwrap();
                if i % 3 == 0 {
                    for lane in [URGENT, DATA] {
                        spool.acknowledge(appended.generation.saturating_sub(1), lane, u64::MAX).unwrap();
                    }
                }
            }
        });
        while !writer.is_finished() {
            for view in spool.view() {
                let Ok(peek) = spool.peek(view.ordinal, DATA, 1, usize::MAX, usize::MAX) else { continue };
                assert_eq!(peek.corrupt, []);
                assert!(peek.entries.iter().all(|e| e.payload == payload));
            }
            let checkpoint = spool.checkpoint();
            assert!(checkpoint.windows(2).all(|w| w[0].1 == w[1].1));
        }
    });
    assert!(spool.counters().generations_removed > 0);
}
