//! Files that are not what was written.

use std::path::{Path, PathBuf};

use spool::{CorruptEntry, Options, Spool};

/// A spool of `count` entries of 3,000 bytes, and its stream.
fn filled(dir: &Path, count: u8) -> u64 {
    let (spool, _) = Spool::open(dir, Options::default()).unwrap();
    for i in 0..count {
        spool.append(&[&[i; 3000]], Some(b"checkpoint")).unwrap();
    }
    spool.stream()
}

fn tamper(dir: &Path, work: impl FnOnce(&sled::Db)) {
    let db = sled::open(dir).unwrap();
    work(&db);
    db.flush().unwrap();
}

fn key(seq: u64) -> Vec<u8> {
    [b"e".as_slice(), &seq.to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn a_corrupt_or_missing_entry_is_reported_and_the_others_are_given() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path(), 6);
    tamper(root.path(), |db| {
        let mut value = db.get(key(2)).unwrap().unwrap().to_vec();
        value[1000] ^= 4;
        db.insert(key(2), value).unwrap();
        db.remove(key(4)).unwrap();
        let other = db.get(key(1)).unwrap().unwrap();
        db.insert(key(5), other).unwrap();
    });
    let corrupt = [2, 4, 5].map(|seq| CorruptEntry { seq });
    let (spool, report) = Spool::open(root.path(), Options::default()).unwrap();
    assert_eq!(report.corrupt, corrupt);
    let peek = spool.peek(0, 100, usize::MAX).unwrap();
    assert_eq!(peek.corrupt, corrupt);
    assert_eq!(peek.entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 3, 6]);
    // They go as others do, and the spool goes on.
    spool.acknowledge(5).unwrap();
    assert_eq!((spool.first_seq(), spool.len()), (6, 1));
    assert_eq!(spool.append(&[b"next"], None).unwrap().first, 7);
    assert_eq!(spool.peek(0, 100, usize::MAX).unwrap().corrupt, []);
}

#[test]
fn a_damaged_checkpoint_is_an_error_and_entries_are_still_given() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path(), 2);
    tamper(root.path(), |db| {
        db.insert([b"c".as_slice(), &[0; 4]].concat(), vec![1; 30]).unwrap();
    });
    let (spool, _) = Spool::open(root.path(), Options::default()).unwrap();
    assert!(spool.checkpoint().unwrap_err().to_string().contains("checkpoint"));
    assert_eq!(spool.peek(0, 100, usize::MAX).unwrap().entries.len(), 2);
    spool.append(&[], Some(b"new")).unwrap();
    assert_eq!(spool.checkpoint().unwrap().as_deref(), Some(b"new".as_slice()));
}

#[test]
fn a_spool_without_its_head_is_put_aside_and_a_new_stream_begins() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    let stream = filled(&dir, 3);
    tamper(&dir, |db| {
        db.insert(b"m", vec![1, 2, 3]).unwrap();
    });
    let (spool, report) = Spool::open(&dir, Options::default()).unwrap();
    assert!(report.created && report.recovered_entries == 0);
    assert!(report.quarantined.is_some_and(|aside| aside.join("db").is_file()));
    assert_ne!(spool.stream(), stream);
    assert_eq!(spool.append(&[b"first"], None).unwrap().first, 1);
}

#[test]
fn a_head_of_a_newer_version_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    filled(&dir, 1);
    tamper(&dir, |db| {
        let mut value = db.get(b"m").unwrap().unwrap().to_vec();
        value[0] = 2;
        let checked = value.len() - 4;
        let checksum = crc32c::crc32c(&value[..checked]).to_le_bytes();
        value[checked..].copy_from_slice(&checksum);
        db.insert(b"m", value).unwrap();
    });
    let error = Spool::open(&dir, Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "format version 2; this program knows 1");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
}

/// All files of a folder, to be put back.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn whatever_byte_of_the_files_is_hit_the_spool_opens_and_tells_what_is_lost_and_gives_no_sequence_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    let stream = filled(&dir, 40);
    let saved = files(&dir);
    let mut outcomes = std::collections::BTreeMap::new();
    for hit in 0..60usize {
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::create_dir_all(dir.join("blobs")).unwrap();
        for (path, bytes) in &saved {
            let mut bytes = bytes.clone();
            let is_log = path.file_name().is_some_and(|name| name == "db");
            // The other files are small: hit them seldom, but all over.
            if is_log || hit % 10 == 9 {
                let at = (hit * 7919 + 11) % bytes.len().min(if is_log { 40 * 3300 } else { usize::MAX });
                let end = (at + 4).min(bytes.len());
                bytes[at..end].iter_mut().for_each(|b| *b ^= 0x55);
            }
            std::fs::write(path, bytes).unwrap();
        }
        let (spool, report) = Spool::open(&dir, Options::default()).unwrap();
        let peek = spool.peek(0, 100, usize::MAX).unwrap();
        for entry in &peek.entries {
            assert_eq!(entry.payload, [(entry.seq - 1) as u8; 3000]);
        }
        let outcome = if report.quarantined.is_some() {
            assert_ne!(spool.stream(), stream, "sequences begin anew only with a new stream");
            "put aside"
        } else if hit % 10 != 9 {
            let mut accounted: Vec<u64> = peek.entries.iter().map(|e| e.seq).chain(report.corrupt.iter().map(|c| c.seq)).collect();
            accounted.sort_unstable();
            assert_eq!((spool.stream(), spool.next_seq()), (stream, 41), "hit {hit}");
            assert_eq!(accounted, (1..=40).collect::<Vec<_>>(), "hit {hit}");
            if report.corrupt.is_empty() { "unharmed" } else { "entries lost and told" }
        } else {
            "mark hit too"
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
        // It works again, whatever it was.
        let next = spool.next_seq();
        assert_eq!(spool.append(&[b"on"], None).unwrap().first, next);
    }
    assert!(outcomes.contains_key("entries lost and told"), "{outcomes:?}");
}
