//! The time becomes known in the midst of a run: what was made before it is moved, what comes after begins anew.

use protocol::TimeQuality;

use super::*;
use crate::timeline::Shift;

const MONTH_US: i64 = 30 * 86_400_000_000;

/// A bench that does not know the time, and the shift to a time that is a month later.
fn unset(extra: &str) -> (Bench, Shift) {
    let mut bench = Bench::new(extra);
    bench.now.time_quality = TimeQuality::Unsynced;
    let shift = Shift { began: bench.now.wall, stamp: bench.now.wall, by_us: MONTH_US, inherited: false };
    (bench, shift)
}

fn known(bench: &mut Bench, shift: Shift) {
    let shift = Shift { stamp: bench.now.wall, ..shift };
    bench.now.wall = bench.now.wall.plus_micros(MONTH_US);
    bench.now.time_quality = TimeQuality::Holdover;
    bench.pipeline.time_known(bench.now, &shift);
}

#[test]
fn open_windows_and_parts_are_told_and_moved_at_once() {
    let (mut bench, shift) = unset("");
    let began = bench.now.wall;
    bench.send(TOPIC, r#"{"temperature":1,"total":10}"#);
    bench.wait(500_000);
    bench.send(TOPIC, r#"{"temperature":2,"total":13}"#);
    known(&mut bench, shift);
    bench.commit(false);
    let truth = began.plus_micros(MONTH_US);
    let window = bench.windows()[0];
    assert_eq!((window.count, window.time_quality), (2, TimeQuality::Holdover));
    assert!(window.start <= truth && truth < window.end);
    let parts = bench.parts()[0];
    assert_eq!((parts.from, parts.to, parts.produced), (truth, truth.plus_micros(500_000), 3));
    // The next parts begin where the last ones ended, not a month ago.
    bench.wait(500_000);
    bench.send(TOPIC, r#"{"temperature":3,"total":14}"#);
    bench.seconds(3);
    bench.commit(false);
    let next = bench.parts()[1];
    assert_eq!((next.from, next.produced, next.time_quality), (truth.plus_micros(500_000), 1, TimeQuality::Holdover));
}

#[test]
fn a_time_that_becomes_known_is_no_standstill_of_a_signal() {
    let detector = "[[detector]]\nkind = \"flat_line\"\nsignal = \"temperature\"\nduration = \"1m\"\ntolerance = 0.0\n";
    let (mut bench, shift) = unset(detector);
    bench.send(TOPIC, r#"{"temperature":1}"#);
    bench.seconds(2);
    known(&mut bench, shift);
    bench.send(TOPIC, r#"{"temperature":1}"#);
    assert_eq!(bench.pipeline.stats().anomalies_total, 0);
    bench.seconds(61);
    bench.send(TOPIC, r#"{"temperature":1}"#);
    assert_eq!(bench.pipeline.stats().anomalies_total, 1, "a minute is one");
}

#[test]
fn what_a_restart_finds_after_the_time_became_known_is_on_the_true_timeline() {
    let (mut bench, shift) = unset("");
    let began = bench.now.wall;
    bench.send(TOPIC, r#"{"session":"s","seq":1,"temperature":1,"total":10}"#);
    bench.commit(false);
    bench.send(TOPIC, r#"{"session":"s","seq":2,"temperature":1,"total":12}"#);
    known(&mut bench, shift);
    bench.commit_some(false, false);
    // The part of the asset went with its records: a kill now finds nothing of before.
    bench.restart();
    bench.wait(1_000_000);
    bench.send(TOPIC, r#"{"session":"s","seq":5,"temperature":1,"total":15}"#);
    bench.drain();
    let truth = began.plus_micros(MONTH_US);
    let ranges = bench.parts().iter().map(|parts| (parts.from, parts.produced)).collect::<Vec<_>>();
    assert_eq!(ranges, [(truth, 2), (truth, 3)]);
    let losses: Vec<_> = [LossReason::SequenceGap, LossReason::PowerCut].into_iter().flat_map(|reason| bench.losses(reason)).collect();
    assert!(losses.len() > 1 && losses.iter().all(|loss| loss.from >= truth), "{losses:?}");
    assert_eq!(bench.lost(LossReason::SequenceGap), 2);
}
