//! Restarts: what was open is closed and told as found, parts stand for themselves, and the books go on.

use super::*;

/// Three machines, each with an open window, at different commits.
fn three() -> Bench {
    let mut bench = Bench::new("[[detector]]\nkind = \"ewma\"");
    for (machine, readings) in [("x1", 3), ("x2", 5), ("x3", 7)] {
        for _ in 0..readings {
            bench.send(&format!("p/a/l/{machine}/values/a"), "1.0");
        }
        bench.commit_some(true, false);
    }
    bench
}

/// The part of an asset, found by its name.
fn part_of(bench: &Bench, machine: &str) -> u32 {
    let holds = |bytes: &[u8]| bytes.windows(machine.len()).any(|window| window == machine.as_bytes());
    *bench.parts.iter().find(|(id, bytes)| **id >= checkpoint::ASSETS && holds(bytes)).unwrap().0
}

#[test]
fn open_windows_are_closed_as_found_and_what_comes_later_is_a_correction() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""temperature":1.0"#);
    bench.commit(true);
    bench.restart();
    bench.telemetry(2, r#""temperature":3.0"#);
    bench.drain();
    let windows: Vec<_> = bench.windows().iter().map(|w| (w.count, w.mean, w.correction)).collect();
    assert_eq!(windows, [(1, 1.0, false), (1, 3.0, true)]);
    assert_eq!(bench.inherited.len(), 1, "the first of them alone");
    assert_eq!(bench.pipeline.books().late, 1);
}

#[test]
fn a_machine_tells_its_state_again_and_parts_across_the_restart_stand_alone() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""state":"producing","since":"2026-01-01T00:00:00Z","total":10"#);
    bench.seconds(2);
    bench.commit(true);
    bench.restart();
    bench.telemetry(2, r#""state":"producing","since":"2026-01-01T00:00:00Z","total":14"#);
    bench.seconds(2);
    bench.telemetry(3, r#""state":"producing","since":"2026-01-01T00:00:00Z","total":15"#);
    bench.drain();
    let states: Vec<_> = bench.states().iter().map(|s| s.event_time.as_micros()).collect();
    assert_eq!(states, [1_767_225_600_000_000; 2], "told again, with the time that the machine gives");
    assert_eq!(bench.parts().iter().map(|p| p.produced).collect::<Vec<_>>(), [4, 1]);
    let inherited: Vec<u64> =
        bench.inherited.iter().filter_map(|r| if let Record::Parts(p) = r { Some(p.produced) } else { None }).collect();
    assert_eq!(inherited, [4]);
}

#[test]
fn a_state_without_its_own_time_is_told_again_as_of_now() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""state":"producing""#);
    bench.commit(true);
    bench.seconds(100);
    bench.restart();
    bench.telemetry(2, r#""state":"producing""#);
    bench.telemetry(3, r#""state":"producing""#);
    bench.drain();
    assert_eq!(bench.states().len(), 2);
    assert_eq!(bench.states()[1].event_time.micros_since(bench.states()[0].event_time), 100_000_000);
}

#[test]
fn a_gap_that_was_held_back_is_told_by_the_next_run_as_found() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""a":1,"b":2"#);
    bench.telemetry(4, r#""a":1,"b":2"#);
    bench.commit(true);
    bench.restart();
    bench.drain();
    assert_eq!(bench.lost(LossReason::SequenceGap), 4);
    assert!(bench.losses(LossReason::SequenceGap).iter().all(|l| bench.inherited.contains(&Record::Loss((*l).clone()))));
    bench.restart();
    bench.drain();
    assert_eq!(bench.lost(LossReason::SequenceGap), 4, "and once");
}

#[test]
fn a_part_that_can_not_be_read_costs_only_its_asset_and_is_told_with_its_count() {
    let mut other_version = three().parts[&part_of(&three(), "x2")].clone();
    other_version[4] = 99;
    let cut = three().parts[&part_of(&three(), "x2")][..9].to_vec();
    for bad in [None, Some(Vec::new()), Some(b"garbage".to_vec()), Some(other_version), Some(cut)] {
        let mut bench = three();
        let part = part_of(&bench, "x2");
        match bad {
            None => bench.parts.remove(&part),
            Some(bytes) => bench.parts.insert(part, bytes),
        };
        bench.restart();
        bench.drain();
        let losses: Vec<_> = bench.losses(LossReason::PowerCut).into_iter().filter(|l| l.asset.is_some()).collect();
        assert_eq!(losses.len(), 1);
        assert_eq!((losses[0].asset.as_ref().unwrap().as_str(), losses[0].count), ("p/a/l/x2", 5), "{losses:?}");
        assert_eq!(bench.counted(), 10);
        let books = bench.pipeline.books();
        assert_eq!((books.taken, books.lost_after, books.open), (15, 5, 0));
        bench.restart();
        assert_eq!(bench.pipeline.books(), books, "the account goes on without it");
    }
}

#[test]
fn without_the_head_the_assets_are_still_there() {
    let mut bench = three();
    bench.parts.insert(HEAD, b"MRGH\x63".to_vec());
    bench.restart();
    bench.drain();
    assert_eq!(bench.counted(), 15);
    assert!(bench.losses(LossReason::PowerCut)[0].detail.contains("version is 99"), "{:?}", bench.losses(LossReason::PowerCut));
}

#[test]
fn a_flipped_bit_in_any_part_never_panics_and_the_rest_is_found() {
    let bench = three();
    for (id, good) in &bench.parts {
        for bit in 0..good.len() * 8 {
            let mut flipped = three_like(&bench);
            flipped.parts.get_mut(id).unwrap()[bit / 8] ^= 1 << (bit % 8);
            flipped.restart();
            flipped.send("p/a/l/x1/values/a", "1.0");
            flipped.wait(250_000);
            flipped.commit(false);
        }
    }
}

/// The same on disk, without the work of making it.
fn three_like(bench: &Bench) -> Bench {
    let mut same = Bench::new("[[detector]]\nkind = \"ewma\"");
    same.parts.clone_from(&bench.parts);
    same.now = bench.now;
    same
}

#[test]
fn a_commit_of_some_assets_agrees_with_itself() {
    let mut bench = Bench::new("");
    bench.commit(false);
    // One has an open window that only a full commit would write, the other makes a record.
    bench.send("p/a/l/x1/values/a", "1.0");
    bench.send("p/a/l/x2/values/a", "1.0");
    bench.commit(false);
    bench.send("p/a/l/x1/values/a", "2.0");
    bench.pipeline.message(bench.now, Config::BROKER, "p/a/l/x2/values/a", b"no number");
    bench.commit_some(false, false);
    bench.restart();
    bench.drain();
    assert_eq!(bench.counted(), 2, "the second reading of x1 was in no commit");
    assert_eq!(bench.pipeline.books().taken, 2);
    assert_eq!(bench.losses(LossReason::PowerCut).len(), 1);
    assert_eq!(bench.lost(LossReason::Malformed), 1, "told, by the ledger of the head");
}

#[test]
fn parts_of_assets_that_are_gone_are_removed() {
    let mut bench = three();
    bench.parts.insert(checkpoint::ASSETS + 50, b"of a run before".to_vec());
    bench.restart();
    bench.commit(false);
    assert!(!bench.parts.contains_key(&(checkpoint::ASSETS + 50)));
    let before = bench.inherited.len();
    bench.restart();
    bench.commit(false);
    assert!(!bench.inherited[before..].iter().any(|r| matches!(r, Record::Loss(l) if l.detail.contains("can't be used"))));
}

#[test]
fn what_waits_in_memory_for_a_full_disk_is_told_as_lost_if_that_was_its_end() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""temperature":1.0,"state":"idle""#);
    bench.seconds(10);
    let commit = bench.pipeline.commit(bench.now, Manner { reduced: true, ..manner(true, false) });
    for (id, part) in commit.parts {
        bench.parts.insert(id, part.unwrap());
    }
    // Only the urgent records found room.
    bench.parts.insert(HEAD, commit.reduced_head.unwrap());
    bench.stored.extend(commit.urgent);
    bench.restart();
    bench.drain();
    let lost: Vec<_> = bench.losses(LossReason::PowerCut).into_iter().filter(|l| l.signal.is_some()).collect();
    assert_eq!((lost.len(), lost[0].count), (1, 1));
    assert_eq!((bench.counted(), bench.pipeline.books().lost_after), (0, 1));
}
