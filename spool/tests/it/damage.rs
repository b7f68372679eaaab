//! Files that are not what was written: whatever byte is hit and wherever a file is cut, the spool opens, gives nothing wrong, and loses no
//! more than what lay there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use spool::{Checkpoint, Lane, OpenReport, Options, Spool, SpoolTime, simulated::SimDisk};

use crate::tools::{DATA, URGENT, append, append_with, open_sim};

const PART: [u8; 5000] = [3; 5000];

fn payload(generation: u64, seq: u64) -> Vec<u8> {
    let len = [30, 900, 5000][seq as usize % 3];
    (0..len).map(|i| (i as u64 * 7 + generation * 50 + seq) as u8).collect()
}

/// Two generations of four entries; the second is still appended to when this returns.
fn fill(spool: &Spool) {
    for _ in 0..2 {
        let generation = spool.rotate(SpoolTime(0)).unwrap();
        for seq in 1..=4 {
            let lane = if seq > 3 { URGENT } else { DATA };
            append_with(spool, lane, &[&payload(generation, seq)], Checkpoint::Parts(&[(1, Some(&PART))])).unwrap();
        }
    }
}

/// Checks what is held and returns how many of the eight entries are lost.
fn lost(spool: &Spool, report: &OpenReport, what: &dyn std::fmt::Debug) -> usize {
    let mut whole = 0;
    let mut corrupt = 0;
    for view in spool.view() {
        for lane in [URGENT, DATA] {
            let peek = spool.peek(view.ordinal, lane, 1, usize::MAX, usize::MAX).unwrap();
            for entry in &peek.entries {
                let seq = if lane == URGENT { 4 } else { entry.seq };
                assert_eq!(entry.payload, payload(view.ordinal, seq), "{what:?}");
            }
            // Those of several in a row stand with the last of them.
            let lost_units = peek.corrupt.iter().map(|entry| if lane == URGENT { 4 } else { entry.seq });
            let lost_units: u64 = lost_units.map(|seq| payload(view.ordinal, seq).len() as u64).sum();
            assert_eq!(peek.corrupt.iter().map(|entry| entry.units).sum::<Option<u64>>(), Some(lost_units), "{what:?}");
            whole += peek.entries.len();
            corrupt += peek.corrupt.len();
        }
    }
    let reports = spool.take_reports();
    let reported: u64 = report.salvaged.iter().chain(&reports).map(|s| s.entries_lost).sum();
    assert_eq!(whole + corrupt, 8, "{what:?}: {report:?} {reports:?}");
    assert_eq!(reported, corrupt as u64, "{what:?}");
    match spool.checkpoint().as_slice() {
        [(1, bytes)] => assert_eq!(bytes, &PART, "{what:?}"),
        [] => assert!(report.checkpoint_lost, "{what:?}"),
        other => panic!("{what:?}: {other:?}"),
    }
    // It works again, whatever it was.
    append(spool, Lane(2), &[b"on"]).unwrap();
    corrupt
}

#[test]
fn any_flipped_byte_of_a_simulated_disk_costs_at_most_the_record_that_it_is_in() {
    for killed in [false, true] {
        let disk = SimDisk::new(7);
        let (spool, _) = open_sim(&disk, Options::default());
        fill(&spool);
        if killed {
            disk.kill();
        }
        drop(spool);
        let image = disk.snapshot();
        let bytes = disk.used();
        let mut hits = [0; 3];
        for at in 0..bytes {
            disk.restore(&image);
            let place = disk.flip_byte_at(at, 0x20).unwrap();
            let (spool, report) = open_sim(&disk, Options::default());
            let lost = lost(&spool, &report, &(at, &place));
            assert!(lost + usize::from(report.checkpoint_lost) <= 1, "byte {at} in {place:?}: {lost} entries, {report:?}");
            hits[lost + 2 * usize::from(report.checkpoint_lost)] += 1;
        }
        assert!(hits.iter().all(|n| *n > 0), "{hits:?}");
    }
}

#[test]
fn a_simulated_file_that_is_cut_anywhere_loses_what_lay_behind_and_says_so() {
    let disk = SimDisk::new(8);
    let (spool, _) = open_sim(&disk, Options::default());
    fill(&spool);
    disk.kill();
    drop(spool);
    let image = disk.snapshot();
    let names: Vec<String> = spool::Disk::list(&disk.clone()).unwrap();
    for name in names {
        for file in [None, Some("mark-a"), Some("mark-b"), Some("seal"), Some("touched"), Some("clean")] {
            for len in (0..12_000).step_by(if file.is_none() { 331 } else { 17 }) {
                disk.restore(&image);
                disk.truncate_file(&name, file, len);
                let (spool, report) = open_sim(&disk, Options::default());
                if file.is_some() {
                    assert_eq!(lost(&spool, &report, &(&name, file, len)), 0);
                } else if len > 0 {
                    lost(&spool, &report, &(&name, file, len));
                }
            }
        }
    }
}

/// All files below a folder.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn put_back(root: &Path, saved: &[(PathBuf, Vec<u8>)]) {
    let _ = std::fs::remove_dir_all(root);
    for (path, bytes) in saved {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// A spool of sled as a kill leaves it: the second generation is not closed.
struct Killed {
    root: tempfile::TempDir,
    saved: Vec<(PathBuf, Vec<u8>)>,
    tried: usize,
    lost_entries: usize,
    lost_checkpoints: usize,
    slowest: std::time::Duration,
}

impl Killed {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("spool");
        let (spool, _) = Spool::open_dir(&dir, Options::default(), SpoolTime(0)).unwrap();
        fill(&spool);
        let saved = files(&dir);
        drop(spool);
        Self { root, saved, tried: 0, lost_entries: 0, lost_checkpoints: 0, slowest: std::time::Duration::ZERO }
    }

    /// Bytes of a file through the last that is not zero.
    fn used(&self, file: usize) -> usize {
        self.saved[file].1.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    }

    /// Flips a bit of the byte, or cuts the file there, and opens it.
    fn damage(&mut self, file: usize, at: usize, cut: bool) {
        let dir = self.root.path().join("spool");
        put_back(&dir, &self.saved);
        let (path, bytes) = &self.saved[file];
        let mut damaged = bytes.clone();
        if cut {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << (at % 8);
        }
        std::fs::write(path, damaged).unwrap();
        let started = std::time::Instant::now();
        let (spool, report) = Spool::open_dir(&dir, Options::default(), SpoolTime(0)).unwrap();
        self.slowest = self.slowest.max(started.elapsed());
        let what = (path, at, cut);
        let lost = lost(&spool, &report, &what);
        if !cut {
            assert!(lost + usize::from(report.checkpoint_lost) <= 1, "{what:?}: {lost} entries, {report:?}");
        }
        self.tried += 1;
        self.lost_entries += lost;
        self.lost_checkpoints += usize::from(report.checkpoint_lost);
    }

    fn print(&self) {
        let Self { tried, lost_entries, lost_checkpoints, slowest, .. } = self;
        println!("{tried} files damaged, {lost_entries} entries and {lost_checkpoints} checkpoints lost, slowest open {slowest:?}");
    }
}

#[test]
fn any_flipped_byte_or_cut_of_a_file_of_sled_costs_at_most_the_record_that_it_is_in() {
    let mut killed = Killed::new();
    let started = std::time::Instant::now();
    for turn in 0usize.. {
        if started.elapsed() > std::time::Duration::from_secs(12) {
            break;
        }
        for file in 0..killed.saved.len() {
            let used = killed.used(file);
            if used > 0 {
                killed.damage(file, turn.wrapping_mul(7919) % used, turn % 5 == 4);
            }
        }
    }
    killed.print();
    assert!(killed.tried > 50);
}

#[test]
#[ignore = "takes long: each byte of each file; the test above takes samples of the same"]
fn each_byte_of_each_file_of_sled_costs_at_most_the_record_that_it_is_in() {
    let mut killed = Killed::new();
    for file in 0..killed.saved.len() {
        let used = killed.used(file);
        println!("{}: {used} bytes", killed.saved[file].0.display());
        for at in 0..used {
            killed.damage(file, at, false);
            if at % 16 == 0 {
                killed.damage(file, at, true);
            }
        }
        killed.print();
    }
}

#[test]
fn what_was_salvaged_is_put_aside_and_only_the_newest_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let mut damaged = Vec::new();
    for round in 0..5 {
        let (spool, report) = Spool::open_dir(root.path(), Options::default(), SpoolTime(0)).unwrap();
        assert_eq!(report.salvaged.len(), usize::from(round > 0), "{report:?}");
        let generation = append(&spool, DATA, &[b"whole"]).unwrap().generation;
        drop(spool);
        let path = root.path().join(format!("gen-{generation:010}")).join("conf");
        std::fs::write(&path, b"no such thing").unwrap();
        damaged.push(generation);
    }
    let (spool, _) = Spool::open_dir(root.path(), Options::default(), SpoolTime(0)).unwrap();
    assert_eq!(crate::tools::all(&spool, DATA).len(), 5);
    let aside =
        std::fs::read_dir(root.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("damaged-"));
    assert_eq!(aside.count(), 3);
    assert!(damaged.iter().all(|ordinal| spool.view().iter().any(|view| view.ordinal == *ordinal && view.touched)));
}

#[test]
fn opening_many_generations_opens_few_databases() {
    let disk = SimDisk::new(1);
    let (spool, _) = open_sim(&disk, Options::default());
    for _ in 0..40 {
        append(&spool, DATA, &[b"x"]).unwrap();
        spool.rotate(SpoolTime(0)).unwrap();
    }
    drop(spool);
    let before = disk.counters().opens;
    let (spool, report) = Spool::open(Arc::new(disk.clone()), Options::default(), SpoolTime(0)).unwrap();
    assert_eq!(report.entries_held, 40);
    let opens = disk.counters().opens - before;
    assert!(opens <= 3, "{opens}");
    assert_eq!(crate::tools::all(&spool, DATA).len(), 40);
}
