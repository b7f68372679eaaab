//! Figures of a spool that holds much. `MILLRACE_TEST_LARGE_DIR` names the disk that matters.

use std::{path::Path, process::Command, time::Instant};

use spool::{Options, Spool, SpoolTime};

use crate::tools::{DATA, append};

const DIR: &str = "MILLRACE_TEST_LARGE_DIR";
const OPTIONS: Options = Options {
    max_bytes: 8 << 30,
    min_free_bytes: 0,
    min_free_percent: 0,
    generation_bytes: 16 << 20,
    generation_age: std::time::Duration::from_secs(24 * 3600),
    keep_acknowledged_bytes: 64 << 20,
    cache_bytes: 8 << 20,
};

fn fill(dir: &Path, bytes: usize) -> Spool {
    let (spool, _) = Spool::open_dir(dir, OPTIONS, SpoolTime(0)).unwrap();
    let mut x = 1u64;
    let entries: Vec<Vec<u8>> = [4, 8, 12, 18, 24, 30]
        .iter()
        .cycle()
        .take(64)
        .map(|kib| {
            let next = |_| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (x >> 56) as u8
            };
            (0..kib << 10).map(next).collect()
        })
        .collect();
    let group: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let of_group: usize = entries.iter().map(Vec::len).sum();
    let started = Instant::now();
    let rounds = bytes.div_ceil(of_group);
    for _ in 0..rounds {
        append(&spool, DATA, &group).unwrap();
    }
    println!("{} MiB appended in {:?}", (rounds * of_group) >> 20, started.elapsed());
    spool
}

fn timed_open(dir: &Path, what: &str) -> f64 {
    let started = Instant::now();
    let (spool, report) = Spool::open_dir(dir, OPTIONS, SpoolTime(0)).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let bytes: u64 = spool.view().iter().map(|view| view.bytes).sum();
    println!("open {what}: {seconds:.3} s, {} generations, {} MiB on disk", report.generations, bytes >> 20);
    assert!(report.salvaged.is_empty() && !report.checkpoint_lost && report.entries_held > 0, "{report:?}");
    seconds
}

#[test]
#[ignore = "writes 2 GiB; figures for docs/decisions/0012-generations.md"]
fn a_gibibyte_held_opens_within_two_seconds_also_after_a_kill() {
    let root = match std::env::var_os(DIR) {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    }
    .unwrap();
    let dir = root.path().join("spool");
    drop(fill(&dir, 1 << 30));
    let clean = timed_open(&dir, "after it was closed");
    let child = "large::fills_until_it_is_killed";
    let status = Command::new(std::env::current_exe().unwrap()).args([child, "--exact", "--ignored"]).env(DIR, &dir).status().unwrap();
    assert!(!status.success(), "it is killed");
    let killed = timed_open(&dir, "after a kill");
    assert!(clean < 2.0 && killed < 2.0, "{clean} {killed}");
}

#[test]
#[ignore = "the child of the one above"]
fn fills_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR).filter(|dir| Path::new(dir).join("gen-0000000001").exists()) else { return };
    let _spool = fill(Path::new(&dir), 12 << 20);
    // As if somebody else did it.
    let me = std::process::id().to_string();
    Command::new("kill").args(["-KILL", &me]).status().unwrap();
}
