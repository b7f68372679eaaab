//! A storage that fails for a while: appends say so, nothing promised is lost, and the same handle works again.

use spool::{
    Options,
    simulated::{Faults, SimDisk},
};

use crate::tools::{DATA, all, append, open_sim};

#[test]
fn a_full_volume_refuses_and_the_handle_heals_when_there_is_room_again() {
    let disk = SimDisk::new(3);
    let (spool, _) = open_sim(&disk, Options::default());
    disk.set_capacity(Some(100_000));
    let mut held = 0;
    let error = loop {
        match append(&spool, DATA, &[&[held as u8; 1000]]) {
            Ok(_) => held += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error}");
    for _ in 0..5 {
        assert!(append(&spool, DATA, &[&[9; 1000]]).unwrap_err().is_full());
    }
    let expected: Vec<Vec<u8>> = (0..held).map(|i| vec![i as u8; 1000]).collect();
    let payloads = |spool: &spool::Spool| all(spool, DATA).into_iter().map(|(_, payload)| payload).collect::<Vec<_>>();
    assert_eq!(payloads(&spool), expected);
    disk.set_capacity(None);
    append(&spool, DATA, &[b"again"]).unwrap();
    assert_eq!(payloads(&spool).len(), held + 1);
    drop(spool);
    disk.power_cut();
    let (spool, report) = open_sim(&disk, Options::default());
    assert!(report.salvaged.is_empty(), "{report:?}");
    assert_eq!(payloads(&spool)[..held], expected);
    assert_eq!(payloads(&spool)[held], b"again");
}

#[test]
fn a_failed_sync_costs_a_generation_and_nothing_else() {
    let disk = SimDisk::new(4);
    let (spool, _) = open_sim(&disk, Options::default());
    let first = append(&spool, DATA, &[b"a"]).unwrap();
    disk.set_faults(Faults { failing_syncs: 1, ..Faults::default() });
    let second = append(&spool, DATA, &[b"b"]).unwrap();
    assert_eq!((second.generation, second.spans[1].first), (first.generation + 1, 1));
    // Neither for the rest of this process nor after a power cut is it there twice, whether or not the failed sync had done its work.
    for _ in 0..2 {
        assert_eq!(all(&spool, DATA).into_iter().map(|(_, p)| p).collect::<Vec<_>>(), [b"a", b"b"]);
    }
    let parent = spool.view()[1].parent.unwrap();
    assert_eq!(parent.through[1], 1);
    disk.power_cut();
    drop(spool);
    let (spool, _) = open_sim(&disk, Options::default());
    assert_eq!(all(&spool, DATA).into_iter().map(|(_, p)| p).collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
fn reads_that_fail_now_and_then_lose_nothing() {
    let disk = SimDisk::new(6);
    let (spool, _) = open_sim(&disk, Options::default());
    let mut generations = Vec::new();
    for i in 0..6u8 {
        generations.push(append(&spool, DATA, &[&[i; 5000], &[i; 10]]).unwrap().generation);
        spool.rotate(spool::SpoolTime(0)).unwrap();
    }
    disk.set_faults(Faults { read: 100, ..Faults::default() });
    for _ in 0..50 {
        for generation in &generations {
            if let Ok(peek) = spool.peek(*generation, DATA, 1, 10, usize::MAX) {
                assert_eq!((peek.entries.len(), peek.corrupt.len()), (2, 0));
            }
        }
    }
    disk.set_faults(Faults::default());
    assert_eq!(all(&spool, DATA).len(), 12);
    assert!(spool.take_reports().iter().all(|salvaged| salvaged.entries_lost == 0));
}
