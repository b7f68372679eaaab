//! Damage when there is no room to mend it: the spool opens, gives what is left, says what is not, and mends when there is room.

use std::path::Path;

use spool::{Checkpoint, NewEntry, OpenReport, Options, Spool, SpoolError, SpoolTime, simulated::SimDisk};

use crate::tools::{DATA, all, append, append_with, open_sim};

/// A disk with a generation of ten entries that was not closed. One of them is damaged.
fn damaged() -> (SimDisk, u64) {
    let disk = SimDisk::new(11);
    let (spool, _) = open_sim(&disk, Options::default());
    for i in 0..10u8 {
        append_with(&spool, DATA, &[&[i; 1000]], Checkpoint::Parts(&[(1, Some(&[i; 50]))])).unwrap();
    }
    let generation = spool.view()[0].ordinal;
    disk.kill();
    drop(spool);
    // In the middle of the fifth entry: pairs lie in the order of their keys, the one part of the checkpoint first.
    let part = 7 + 48 + 50;
    disk.flip_byte_at(part + 4 * (12 + 48 + 1000) + 500, 1).unwrap();
    (disk, generation)
}

#[test]
fn a_damaged_generation_on_a_full_disk_is_read_as_it_is_and_mended_when_there_is_room() {
    let (disk, generation) = damaged();
    disk.set_capacity(Some(disk.used() + 3000));
    let (spool, report) = open_sim(&disk, Options::default());
    assert!(report.salvaged.iter().all(|s| s.deferred), "{report:?}");
    assert!(!report.checkpoint_lost);
    assert_eq!(spool.checkpoint(), [(1, vec![9; 50])]);
    let peek = spool.peek(generation, DATA, 1, 20, usize::MAX).unwrap();
    assert_eq!((peek.entries.len(), peek.corrupt.len()), (9, 1));
    let reported: u64 = report.salvaged.iter().chain(&spool.take_reports()).map(|s| s.entries_lost).sum();
    assert_eq!(reported, 1);
    assert!(append(&spool, DATA, &[&[1; 10_000]]).unwrap_err().is_full());
    disk.set_capacity(None);
    append(&spool, DATA, &[&[1; 10_000]]).unwrap();
    assert!(spool::Disk::list(&disk.clone()).unwrap().iter().any(|name| name.starts_with("damaged-")), "it was put together anew");
    assert_eq!(spool.take_reports(), [], "what is lost was said");
    let peek = spool.peek(generation, DATA, 1, 20, usize::MAX).unwrap();
    assert_eq!((peek.entries.len(), peek.corrupt.len()), (9, 1));
    drop(spool);
    let (spool, report) = open_sim(&disk, Options::default());
    assert_eq!((report.salvaged.len(), report.checkpoint_lost, report.entries_held), (0, false, 11));
    assert_eq!(spool.checkpoint(), [(1, vec![9; 50])]);
}

#[test]
fn an_undamaged_spool_that_was_killed_opens_on_a_full_disk_and_appends_are_refused_until_there_is_room() {
    for bound in [false, true] {
        let disk = SimDisk::new(12);
        let options = Options { max_bytes: if bound { 60_000 } else { 1 << 30 }, ..Options::default() };
        let (spool, _) = open_sim(&disk, options);
        let held = (0..).take_while(|i| *i < 30 && append(&spool, DATA, &[&[*i as u8; 1000]]).is_ok()).count();
        disk.kill();
        drop(spool);
        if !bound {
            disk.set_capacity(Some(disk.used()));
        }
        let options = Options { max_bytes: if bound { disk.used() } else { 1 << 30 }, ..options };
        for _ in 0..2 {
            let (spool, report) = open_sim(&disk, options);
            assert_eq!((report.entries_held, report.checkpoint_lost), (held as u64, false));
            assert!(report.salvaged.iter().all(|s| s.deferred && s.entries_lost == 0), "{report:?}");
            assert_eq!(all(&spool, DATA).len(), held);
            assert!(append(&spool, DATA, &[b"more"]).unwrap_err().is_full());
            disk.kill();
        }
        disk.set_capacity(None);
        let (spool, report) = open_sim(&disk, Options { max_bytes: 1 << 30, ..options });
        assert_eq!(report.salvaged, []);
        append(&spool, DATA, &[b"more"]).unwrap();
        assert_eq!(all(&spool, DATA).len(), held + 1);
    }
}

#[test]
fn a_generation_of_which_nothing_is_left_is_reported_once_and_peeked_as_corrupt() {
    let disk = SimDisk::new(13);
    let (spool, _) = open_sim(&disk, Options::default());
    let generation = append(&spool, DATA, &[&[1; 100], &[2; 200], &[3; 300]]).unwrap().generation;
    spool.rotate(SpoolTime(0)).unwrap();
    append(&spool, DATA, &[b"next"]).unwrap();
    drop(spool);
    let image = disk.snapshot();
    let name = format!("gen-{generation:010}");
    for whole in [false, true] {
        for readable in [true, false] {
            disk.restore(&image);
            disk.truncate_file(&name, None, 0);
            if whole {
                ["seal", "mark", "mark-a", "mark-b", "clean", "touched"].iter().for_each(|file| disk.truncate_file(&name, Some(file), 0));
            }
            disk.set_faults(spool::simulated::Faults { raw: if readable { 0 } else { 1000 }, ..Default::default() });
            let (spool, report) = open_sim(&disk, Options::default());
            let corrupt = |max| spool.peek(generation, DATA, 1, max, usize::MAX).unwrap().corrupt;
            assert_eq!(corrupt(9).iter().map(|c| (c.seq, c.units)).collect::<Vec<_>>(), [(1, Some(0)), (2, Some(0)), (3, Some(600))]);
            assert_eq!(corrupt(2).len(), 2);
            let reports: Vec<_> = report.salvaged.into_iter().chain(spool.take_reports()).collect();
            let lost: Vec<_> = reports.iter().map(|s| (s.ordinal, s.entries_found, s.entries_lost, s.units_lost)).collect();
            assert_eq!(lost, [(generation, 0, 3, Some(600))], "{whole} {readable}");
            assert_eq!(reports[0].deferred, !readable);
            assert_eq!(spool.acknowledge(generation, DATA, 3).unwrap(), 3);
            disk.set_faults(Default::default());
        }
    }
}

#[test]
fn if_the_newest_checkpoint_is_gone_there_is_none_unless_its_generation_is_gone_with_all_its_files() {
    let disk = SimDisk::new(14);
    let (spool, _) = open_sim(&disk, Options::default());
    append_with(&spool, DATA, &[b"a"], Checkpoint::Parts(&[(1, Some(b"old"))])).unwrap();
    let newest = spool.rotate(SpoolTime(0)).unwrap();
    append_with(&spool, DATA, &[b"b"], Checkpoint::Parts(&[(1, Some(b"new"))])).unwrap();
    disk.kill();
    drop(spool);
    let image = disk.snapshot();
    let name = format!("gen-{newest:010}");
    for files in [false, true] {
        disk.restore(&image);
        disk.truncate_file(&name, None, 0);
        if files {
            ["mark", "mark-a", "mark-b"].iter().for_each(|file| disk.truncate_file(&name, Some(file), 0));
        }
        let (spool, report) = open_sim(&disk, Options::default());
        // Without its files nothing tells that it was ever used.
        assert_eq!((report.checkpoint_lost, report.salvaged.len()), (!files, usize::from(!files)), "{report:?}");
        // What the older one held open has been told by the newest generation, which may have been delivered.
        let left = if files { vec![(1, b"old".to_vec())] } else { Vec::new() };
        assert_eq!(spool.checkpoint(), left);
        append(&spool, DATA, &[b"c"]).unwrap();
    }
}

/// Opens with a bound that leaves no room for a copy.
fn open_bounded(dir: &Path, max_bytes: u64) -> (Spool, OpenReport) {
    Spool::open_dir(dir, Options { max_bytes, ..Options::default() }, SpoolTime(0)).unwrap()
}

#[test]
fn sled_files_that_are_damaged_when_the_bound_is_full_are_read_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    let (spool, _) = open_bounded(&dir, 1 << 30);
    let payloads: Vec<Vec<u8>> = (0..200u8).map(|i| vec![i; 3000]).collect();
    let generation = append(&spool, DATA, &payloads.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap().generation;
    append_with(&spool, DATA, &[b"last"], Checkpoint::Parts(&[(7, Some(b"state"))])).unwrap();
    drop(spool);
    std::fs::write(dir.join(format!("gen-{generation:010}")).join("conf"), b"no such thing").unwrap();
    let (spool, report) = open_bounded(&dir, 1 << 20);
    assert_eq!(report.salvaged.len(), 1);
    assert!(report.salvaged[0].deferred && report.salvaged[0].entries_lost == 0 && !report.checkpoint_lost, "{report:?}");
    assert_eq!(all(&spool, DATA).len(), 201);
    assert_eq!(spool.checkpoint(), [(7, b"state".to_vec())]);
    let entry = NewEntry { lane: DATA, payload: b"x", units: 1 };
    let refused = spool.append(&spool::Append { entries: &[entry], ..Default::default() }, SpoolTime(0)).unwrap_err();
    assert!(matches!(refused, SpoolError::Full { .. } | SpoolError::TooLarge { .. }), "{refused}");
    drop(spool);
    let (spool, report) = open_bounded(&dir, 1 << 30);
    assert!(report.salvaged.len() == 1 && !report.salvaged[0].deferred, "{report:?}");
    append(&spool, DATA, &[b"on"]).unwrap();
    assert_eq!(all(&spool, DATA).len(), 202);
}

#[test]
fn commits_that_damage_cuts_off_after_a_power_cut_are_found_in_the_raw_bytes() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    let (spool, _) = open_bounded(&dir, 1 << 30);
    let entries: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i + 100; 700]).collect();
    let generation = entries.iter().map(|entry| append(&spool, DATA, &[entry]).unwrap().generation).last().unwrap();
    let folder = dir.join(format!("gen-{generation:010}"));
    let db = std::fs::read(folder.join("db")).unwrap();
    let others: Vec<_> = ["conf"].iter().map(|file| (folder.join(file), std::fs::read(folder.join(file)).unwrap())).collect();
    drop(spool);
    let used = db.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut tried, mut saved) = (0, 0);
    for at in (3000..used).step_by(used / 60) {
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::create_dir_all(folder.join("blobs")).unwrap();
        // The power cut took all that was not synced: the marks.
        others.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        let mut damaged = db.clone();
        damaged[at] ^= 4;
        std::fs::write(folder.join("db"), damaged).unwrap();
        let (spool, report) = open_bounded(&dir, 1 << 30);
        let view = spool.view();
        let held = spool.peek(generation, DATA, 1, 99, usize::MAX).unwrap();
        let lost: u64 = report.salvaged.iter().chain(&spool.take_reports()).map(|s| s.entries_lost).sum();
        assert_eq!(held.corrupt.len() as u64, lost, "byte {at}: {report:?}");
        assert!(lost <= 1, "byte {at}: {report:?}");
        // The last commit alone can't be told from one that the power cut took.
        assert!(held.entries.len() + held.corrupt.len() >= 39, "byte {at}: {} and {lost} of 40, {report:?} {view:?}", held.entries.len());
        tried += 1;
        saved += usize::from(!report.salvaged.is_empty());
    }
    assert!(tried > 50 && saved > 20, "{tried} {saved}");
}
