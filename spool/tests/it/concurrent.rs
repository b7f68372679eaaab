//! Many threads at once.

use std::collections::BTreeMap;

use spool::{Options, Spool};

#[test]
fn appends_of_many_threads_each_get_their_own_sequences_and_all_are_there() {
    let root = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(root.path(), Options::default()).unwrap();
    let written: BTreeMap<u64, Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|thread| {
                let spool = &spool;
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for i in 0..20u8 {
                        let payloads = [vec![thread, i], vec![i; usize::from(thread) * 700]];
                        let span = spool.append(&[&payloads[0], &payloads[1]], Some(&[thread, i])).unwrap();
                        assert_eq!(span.len(), 2);
                        // Durable and visible to whoever looks now.
                        assert_eq!(spool.peek(span.first, 2, usize::MAX).unwrap().entries.len(), 2);
                        mine.extend((span.first..span.end).zip(payloads));
                    }
                    mine
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    drop(spool);
    let (spool, _) = Spool::open(root.path(), Options::default()).unwrap();
    let found: BTreeMap<u64, Vec<u8>> =
        spool.peek(0, usize::MAX, usize::MAX).unwrap().entries.into_iter().map(|e| (e.seq, e.payload)).collect();
    assert_eq!(found, written);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (1..=320).collect::<Vec<_>>());
}

#[test]
fn a_reader_never_sees_half_of_a_commit_or_of_a_deletion() {
    let root = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(root.path(), Options::default()).unwrap();
    let payload = vec![3; 20_000];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 1..=60u64 {
                spool.append(&[&payload, &payload], Some(&vec![i as u8; (i as usize % 4) * 3000])).unwrap();
                if i % 3 == 0 {
                    spool.acknowledge(i).unwrap();
                }
            }
        });
        while !writer.is_finished() {
            let peek = spool.peek(0, usize::MAX, usize::MAX).unwrap();
            assert_eq!(peek.corrupt, []);
            assert!(peek.entries.iter().all(|e| e.payload == payload));
            assert!(peek.entries.windows(2).all(|w| w[0].seq + 1 == w[1].seq));
            if let Some(checkpoint) = spool.checkpoint().unwrap() {
                assert!(checkpoint.windows(2).all(|w| w[0] == w[1]));
            }
        }
    });
}
