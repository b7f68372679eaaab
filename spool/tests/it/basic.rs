//! What an owner may rely on, one promise at a time.

use std::path::Path;

use spool::{Options, Spool, SpoolError};

fn open(dir: &Path) -> Spool {
    Spool::open(dir, Options::default()).unwrap().0
}

#[test]
fn entries_and_checkpoint_are_there_after_reopening() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    let stream = {
        let (spool, report) = Spool::open(&dir, Options::default()).unwrap();
        assert!(report.created);
        assert!(spool.is_empty());
        assert_eq!(spool.checkpoint().unwrap(), None);
        let span = spool.append(&[b"one", b"", &[7; 20_000]], Some(b"state 1")).unwrap();
        assert_eq!((span.first, span.last(), span.len()), (1, Some(3), 3));
        spool.stream()
    };
    let (spool, report) = Spool::open(&dir, Options::default()).unwrap();
    assert_eq!((report.created, report.recovered_entries, report.corrupt.len()), (false, 3, 0));
    assert_eq!(spool.stream(), stream);
    let peek = spool.peek(0, 10, usize::MAX).unwrap();
    let payloads: Vec<&[u8]> = peek.entries.iter().map(|e| e.payload.as_slice()).collect();
    assert_eq!(payloads, [b"one".as_slice(), b"", &[7; 20_000]]);
    assert_eq!(spool.checkpoint().unwrap().as_deref(), Some(b"state 1".as_slice()));
}

#[test]
fn a_sequence_is_not_given_twice_even_if_all_entries_are_gone() {
    let root = tempfile::tempdir().unwrap();
    {
        let spool = open(root.path());
        spool.append(&[b"a", b"b"], None).unwrap();
        assert_eq!(spool.acknowledge(u64::MAX).unwrap(), 2);
        assert_eq!((spool.first_seq(), spool.next_seq(), spool.len(), spool.bytes_held()), (3, 3, 0, 0));
    }
    let spool = open(root.path());
    assert_eq!((spool.first_seq(), spool.next_seq(), spool.len()), (3, 3, 0));
    assert_eq!(spool.append(&[b"c"], None).unwrap().first, 3);
}

#[test]
fn peek_obeys_its_bounds_but_gives_at_least_one() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    let payloads: Vec<Vec<u8>> = (0..20).map(|i| vec![i; 1000]).collect();
    spool.append(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>(), None).unwrap();
    let seqs = |from, entries, bytes| spool.peek(from, entries, bytes).unwrap().entries.iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(5, 3, usize::MAX), [5, 6, 7]);
    assert_eq!(seqs(19, 9, usize::MAX), [19, 20]);
    assert_eq!(seqs(1, 9, 1), [1]);
    assert_eq!(seqs(1, 9, 2500), [1, 2, 3]);
    assert_eq!(seqs(21, 9, 2500), Vec::<u64>::new());
    assert_eq!(seqs(1, 0, 2500), Vec::<u64>::new());
}

#[test]
fn acknowledging_again_or_nothing_deletes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    assert_eq!(spool.acknowledge(10).unwrap(), 0);
    spool.append(&[b"a", b"b", b"c"], None).unwrap();
    assert_eq!(spool.acknowledge(2).unwrap(), 2);
    assert_eq!(spool.acknowledge(2).unwrap(), 0);
    assert_eq!((spool.first_seq(), spool.len()), (3, 1));
}

#[test]
fn a_full_spool_refuses_whole_appends_takes_checkpoints_and_has_room_again_after_an_acknowledgement() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 25_000, ..Options::default() };
    let (spool, _) = Spool::open(root.path(), options).unwrap();
    for _ in 0..9 {
        spool.append(&[&[1; 1000]], Some(b"before")).unwrap();
    }
    let held = spool.bytes_held();
    let error = spool.append(&[b"small", &[2; 1000]], Some(b"refused")).unwrap_err();
    assert!(matches!(error, SpoolError::Full { .. }) && !error.is_final(), "{error}");
    assert_eq!((spool.next_seq(), spool.len(), spool.bytes_held()), (10, 9, held));
    assert_eq!(spool.checkpoint().unwrap().as_deref(), Some(b"before".as_slice()));
    spool.append(&[], Some(&[3; 50_000])).unwrap();
    assert_eq!(spool.checkpoint().unwrap(), Some(vec![3; 50_000]));
    spool.acknowledge(1).unwrap();
    assert_eq!(spool.append(&[&[2; 1000]], None).unwrap().first, 10);
    assert!(matches!(spool.append(&[&[2; 10_000]], None), Err(SpoolError::TooLarge { .. })));
}

#[test]
fn a_spool_that_is_open_can_not_be_opened_again() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    assert!(matches!(Spool::open(root.path(), Options::default()), Err(SpoolError::InUse { .. })));
    drop(spool);
    open(root.path());
}

#[test]
fn a_shorter_checkpoint_leaves_nothing_of_a_longer_one() {
    let root = tempfile::tempdir().unwrap();
    for len in [100_000, 5_000, 0, 9_000, 3] {
        let spool = open(root.path());
        spool.append(&[], Some(&vec![9; len])).unwrap();
        assert_eq!(spool.checkpoint().unwrap(), Some(vec![9; len]));
    }
}

#[test]
fn an_append_of_many_megabytes_is_taken_whole() {
    let root = tempfile::tempdir().unwrap();
    let payload: Vec<u8> = (0..5 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    {
        let spool = open(root.path());
        spool.append(&[&payload, &payload], Some(&payload)).unwrap();
    }
    let spool = open(root.path());
    let peek = spool.peek(1, 5, usize::MAX).unwrap();
    assert_eq!(peek.entries.len(), 2);
    assert!(peek.entries.iter().all(|e| e.payload == payload));
    assert_eq!(spool.checkpoint().unwrap().as_deref(), Some(payload.as_slice()));
    assert!(std::fs::read_dir(root.path().join("blobs")).unwrap().next().is_none(), "files that are never synced");
}
