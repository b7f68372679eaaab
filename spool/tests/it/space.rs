//! Room: what a bound means on disk, and that acknowledged room comes back.

use spool::{Options, Spool, SpoolError};

const MAX_BYTES: u64 = 16 << 20;
/// Segments that are being written or waited for, whatever is held.
const FIXED_BYTES: u64 = 8 << 20;

/// Fills until refused; returns how many entries went in.
fn fill(spool: &Spool, len: usize) -> u64 {
    let payload: Vec<u8> = (0..len).map(|i| (i as u64).wrapping_mul(0x9e37_79b9) as u8).collect();
    let group: Vec<&[u8]> = vec![&payload; (40_000 / len).max(1)];
    let mut filled = 0;
    loop {
        match spool.append(&group, Some(b"checkpoint")) {
            Ok(span) => filled += span.len(),
            Err(SpoolError::Full { .. }) => return filled,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_spool_filled_and_emptied_again_and_again_takes_as_much_each_time_and_its_files_stay_bounded() {
    for len in [300, 4000, 30_000] {
        let root = tempfile::tempdir().unwrap();
        let options = Options { max_bytes: MAX_BYTES, cache_bytes: 1 << 20 };
        let mut capacity = None;
        for round in 0..4 {
            let (spool, _) = Spool::open(root.path(), options).unwrap();
            let filled = fill(&spool, len);
            let (held, on_disk) = (spool.bytes_held(), spool.bytes_on_disk());
            assert!(on_disk <= MAX_BYTES + FIXED_BYTES, "entries of {len} bytes, round {round}: {on_disk} on disk for {held} held");
            assert_eq!(*capacity.get_or_insert(filled), filled, "entries of {len} bytes, round {round}");
            assert!(held > MAX_BYTES / 3);
            assert_eq!(spool.acknowledge(u64::MAX).unwrap(), filled);
            assert_eq!(spool.bytes_held(), 0);
        }
    }
}

#[test]
fn a_queue_that_moves_on_does_not_grow() {
    let root = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(root.path(), Options::default()).unwrap();
    let payload = vec![5; 4000];
    let group: Vec<&[u8]> = vec![&payload; 20];
    for _ in 0..500 {
        let span = spool.append(&group, Some(b"checkpoint")).unwrap();
        spool.acknowledge(span.first.saturating_sub(200)).unwrap();
    }
    assert!(spool.len() < 260);
    assert!(spool.bytes_on_disk() < 24 << 20, "{} bytes for {} held", spool.bytes_on_disk(), spool.bytes_held());
}
