//! Room: what the bounds mean on disk, and that acknowledged room comes back.

use std::path::Path;

use spool::{MAX_FREE_SHARE_BYTES, Options, Spool, SpoolError, SpoolTime, simulated::SimDisk};

use crate::tools::{DATA, append, open_sim};

const MAX_BYTES: u64 = 16 << 20;

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.metadata().map_or(0, |m| if m.is_dir() { size(&e.path()) } else { m.len() })).sum()
}

#[test]
fn files_never_take_more_than_the_bound_however_often_it_is_filled_emptied_and_opened() {
    for len in [300, 4000, 30_000] {
        let root = tempfile::tempdir().unwrap();
        let options = Options { max_bytes: MAX_BYTES, cache_bytes: 1 << 20, keep_acknowledged_bytes: 0, ..Options::default() };
        let payload: Vec<u8> = (0..len).map(|i| (i as u64).wrapping_mul(0x9e37_79b9) as u8).collect();
        let group: Vec<&[u8]> = vec![&payload; (40_000 / len).max(1)];
        for round in 0..3 {
            let (spool, _) = Spool::open_dir(root.path(), options, SpoolTime(0)).unwrap();
            let mut filled = 0;
            loop {
                match append(&spool, DATA, &group) {
                    Ok(_) => filled += group.len() * len,
                    Err(SpoolError::Full { .. }) => break,
                    Err(other) => panic!("{other}"),
                }
                if filled % 7 == 0 {
                    assert!(size(root.path()) <= MAX_BYTES);
                }
            }
            let on_disk = size(root.path());
            println!("entries of {len} bytes: {filled} held in {on_disk}");
            assert!(on_disk <= MAX_BYTES && on_disk > MAX_BYTES / 2, "entries of {len} bytes, round {round}: {on_disk} on disk");
            // It varies by a few hundredths with how the writes of sled's threads fall together; at 30,000 bytes it is about a fifth.
            assert!(filled as u64 > MAX_BYTES / 6, "entries of {len} bytes, round {round}: {filled} held in {on_disk}");
            for view in spool.view() {
                spool.acknowledge(view.ordinal, DATA, u64::MAX).unwrap();
            }
        }
    }
}

#[test]
fn a_queue_that_moves_on_does_not_grow() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { generation_bytes: 2 << 20, keep_acknowledged_bytes: 4 << 20, ..Options::default() };
    let (spool, _) = Spool::open_dir(root.path(), options, SpoolTime(0)).unwrap();
    let payload = vec![5; 4000];
    let group: Vec<&[u8]> = vec![&payload; 20];
    for _ in 0..300 {
        let appended = append(&spool, DATA, &group).unwrap();
        for view in spool.view() {
            if view.ordinal < appended.generation {
                spool.acknowledge(view.ordinal, DATA, u64::MAX).unwrap();
            }
        }
    }
    assert!(size(root.path()) < 10 << 20, "{}", size(root.path()));
}

#[test]
fn the_floor_of_the_volume_holds() {
    let disk = SimDisk::new(1);
    disk.set_capacity(Some(400_000));
    let (spool, _) = open_sim(&disk, Options { min_free_bytes: 10_000, min_free_percent: 25, ..Options::default() });
    let error = (0..).find_map(|_| append(&spool, DATA, &[&[1; 1000]]).err()).unwrap();
    assert!(matches!(error, SpoolError::VolumeFull { .. }), "{error}");
    assert!((270_000..=300_000).contains(&disk.used()), "{}", disk.used());
    let room = spool.room();
    assert_eq!((room.volume_total, room.level), (Some(400_000), spool::Level::Full));
    disk.set_capacity(Some(800_000));
    append(&spool, DATA, &[&[1; 1000]]).unwrap();
}

#[test]
fn a_share_of_a_large_volume_is_not_more_than_its_cap() {
    let tenth = Options { min_free_percent: 10, ..Options::default() };
    assert_eq!((tenth.floor(8_000_000_000), tenth.floor(250 << 30)), (800_000_000, MAX_FREE_SHARE_BYTES));
    assert_eq!(Options { min_free_bytes: 2 << 30, ..tenth }.floor(250 << 30), 2 << 30, "a size is taken as it is");
}
