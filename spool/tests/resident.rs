//! What an open spool takes of the device's memory: a process of its own, since sled's statics are made once in each.
#![cfg(target_os = "linux")]

use spool::{Options, Spool, SpoolTime};

/// sled makes 41 histograms of 512 KiB each, which are never used; written with zeros they were two thirds of a gateway's memory.
#[test]
fn an_open_spool_does_not_pay_for_statistics_that_nobody_reads() {
    // What this process holds that is no file's (proc(5)), KiB.
    let anonymous = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    // As a gateway does: with huge pages the first byte of each would be 2 MiB.
    nix::sys::prctl::set_thp_disable(true).unwrap();
    let root = tempfile::tempdir().unwrap();
    let before = anonymous();
    let spool = Spool::open_dir(root.path(), Options::default(), SpoolTime(0)).unwrap();
    let held = anonymous() - before;
    assert!(held < 8 * 1024, "{held} KiB for an empty spool");
    drop(spool);
}
