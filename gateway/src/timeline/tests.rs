//! What holds whatever the clocks do: exact moves, and nothing that goes back.

use proptest::prelude::*;
use protocol::{
    Anomaly, AnomalyKind, AssetPath, Loss, LossReason, MachineState, PartCount, Quality, Severity, SignalName, StateChange, WindowSummary,
};

use super::*;

const S: i64 = 1_000_000;
const HOUR: i64 = 3_600 * S;
/// 2026-09-21
const FLOOR: i64 = 1_790_000_000 * S;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn run(id: u64) -> Run {
    Run { id, kernel: 0, zero_us: 0, began: at(0), offset_us: None }
}

fn memory() -> Memory {
    Memory { floor: at(FLOOR), runs: Vec::new() }
}

fn timeline() -> Timeline {
    Timeline::new(run(1), Some(memory()), at(0), None)
}

fn reading(wall: i64, mono: i64) -> SystemNow {
    SystemNow { wall: at(wall), mono_us: u64::try_from(mono).unwrap(), synchronised: None }
}

fn witnessed(wall: i64, mono: i64, synchronised: bool) -> SystemNow {
    SystemNow { synchronised: Some(synchronised), ..reading(wall, mono) }
}

fn asset() -> AssetPath {
    AssetPath::new("p/a/l/m").unwrap()
}

fn window(start: i64, time_quality: TimeQuality) -> Record {
    Record::Window(WindowSummary {
        asset: asset(),
        signal: SignalName::new("x").unwrap(),
        unit: String::new(),
        start: at(start),
        end: at(start + 5 * S),
        count: 1,
        min: 0.0,
        max: 0.0,
        mean: 0.0,
        stddev: 0.0,
        first: 0.0,
        last: 0.0,
        quality: Quality::Good,
        time_quality,
        correction: false,
    })
}

fn anomaly(event_time: i64) -> Record {
    Record::Anomaly(Anomaly {
        asset: asset(),
        signal: SignalName::new("x").unwrap(),
        event_time: at(event_time),
        kind: AnomalyKind::Ewma,
        severity: Severity::Low,
        value: 0.0,
        threshold: 0.0,
        score: 0.0,
        detector: String::new(),
        message: String::new(),
    })
}

fn loss(from: i64, to: i64) -> Record {
    Record::Loss(Loss {
        asset: None,
        signal: None,
        reason: LossReason::QueueFull,
        count: 1,
        from: at(from),
        to: at(to),
        detail: String::new(),
    })
}

fn state(event_time: i64, time_quality: TimeQuality) -> Record {
    Record::State(StateChange {
        asset: asset(),
        event_time: at(event_time),
        state: MachineState::Idle,
        reason: String::new(),
        time_quality,
    })
}

fn parts(from: i64, to: i64, time_quality: TimeQuality) -> Record {
    Record::Parts(PartCount { asset: asset(), from: at(from), to: at(to), produced: 1, rejected: 0, reworked: 0, time_quality })
}

#[test]
fn a_gateway_that_boots_in_1970_goes_on_from_its_floor_until_it_learns_the_time() {
    let mut time = timeline();
    let first = time.now(reading(0, 10 * S));
    assert_eq!((first.wall, first.time_quality), (at(FLOOR), TimeQuality::Unsynced));
    let later = time.now(reading(30 * S, 40 * S));
    assert_eq!((later.wall, later.time_quality), (at(FLOOR + 30 * S), TimeQuality::Unsynced));
    // The answer took 2 s: the collector read its clock about 1 s ago.
    assert!(time.learn(at(FLOOR + 9 * HOUR), 2_000_000, 40 * 1_000_000));
    let known = time.now(reading(30 * S, 40 * S));
    assert_eq!((known.wall, known.time_quality), (at(FLOOR + 9 * HOUR + S), TimeQuality::Holdover));
    let set = time.now(reading(FLOOR + 9 * HOUR + 5 * S, 44 * S));
    assert_eq!((set.wall, set.time_quality), (at(FLOOR + 9 * HOUR + 5 * S), TimeQuality::Synced));
    assert_eq!(time.status().jumps_total, 1);
}

#[test]
fn a_clock_set_in_the_midst_of_a_run_makes_it_synced_and_moves_what_was_before() {
    let mut time = timeline();
    let made = time.now(reading(0, 10 * S));
    time.now(reading(FLOOR + HOUR, 20 * S));
    let mut records = [window(FLOOR, TimeQuality::Unsynced)];
    let stamp = time.rebase(&made.stamp(1, false), &mut records);
    // At 20 s on the monotonic clock it was FLOOR + 1 h; the row was made 10 s before.
    assert_eq!(stamp.wall, at(FLOOR + HOUR - 10 * S));
    assert_eq!(records[0], window(FLOOR + HOUR - 10 * S, TimeQuality::Holdover));
    assert!(time.take_events().contains(&Event::Known { by: Source::System, shift_us: HOUR - 10 * S }));
}

#[test]
fn jumps_are_counted_and_leap_seconds_are_none() {
    let mut time = timeline();
    let wall = FLOOR + 24 * HOUR;
    time.now(reading(wall, 0));
    for (step, (offset, jumps)) in
        [(S, 0), (0, 0), (-S, 0), (2 * HOUR, 1), (2 * HOUR + S, 1), (0, 2), (-600 * S, 3), (-600 * S + S, 3)].into_iter().enumerate()
    {
        let mono = (i64::try_from(step).unwrap() + 1) * 100_000;
        let now = time.now(reading(wall + offset + mono, mono));
        assert_eq!((now.wall.as_micros(), now.time_quality), (wall + offset + mono, TimeQuality::Synced), "step {step}");
        assert_eq!(time.status().jumps_total, jumps, "step {step}");
    }
    assert_eq!(time.status().last_jump_us, -600 * S);
}

#[test]
fn a_clock_that_falls_below_the_floor_is_not_followed() {
    let mut time = timeline();
    let wall = FLOOR + HOUR;
    time.now(reading(wall, 0));
    assert!(time.learn(at(wall), 0, 0));
    let now = time.now(reading(wall - 600 * S + S, S));
    assert_eq!((now.wall, now.time_quality), (at(wall + S), TimeQuality::Holdover), "the collector had said what time it was");
    let now = time.now(reading(2 * S, 2 * S));
    assert_eq!((now.wall, now.time_quality), (at(wall + 2 * S), TimeQuality::Holdover));
    let now = time.now(reading(wall + 3 * S, 3 * S));
    assert_eq!((now.wall, now.time_quality), (at(wall + 3 * S), TimeQuality::Synced));
    assert_eq!(time.status().jumps_total, 3);
    assert!(time.take_events().iter().any(|event| matches!(event, Event::Unbelievable { .. })));
}

#[test]
fn a_clock_that_nobody_keeps_right_is_provisional_until_somebody_sets_it() {
    // What fake-hwclock does: the time of the last shutdown, which is sane and hours late.
    let mut time = timeline();
    let made = time.now(witnessed(FLOOR + S, 0, false));
    assert_eq!((made.wall, made.time_quality), (at(FLOOR + S), TimeQuality::Unsynced));
    let now = time.now(witnessed(FLOOR + 8 * HOUR, S, true));
    assert_eq!((now.wall, now.time_quality), (at(FLOOR + 8 * HOUR), TimeQuality::Synced));
    let mut records = [window(FLOOR, TimeQuality::Unsynced)];
    let _ = time.rebase(&made.stamp(1, false), &mut records);
    assert_eq!(records[0], window(FLOOR + 8 * HOUR - 2 * S, TimeQuality::Holdover));
}

#[test]
fn a_clock_far_behind_the_collector_is_left_and_one_that_is_vouched_for_is_not() {
    let wall = FLOOR + HOUR;
    let mut time = timeline();
    time.now(reading(wall, 0));
    assert!(time.learn(at(wall + HOUR), 0, 0));
    assert_eq!((time.now(reading(wall, 0)).wall, time.status().quality), (at(wall + HOUR), TimeQuality::Holdover));
    let mut time = timeline();
    time.now(witnessed(wall, 0, true));
    assert!(time.learn(at(wall + HOUR), 0, 0));
    assert_eq!((time.now(witnessed(wall, 0, true)).wall, time.status().skew_us), (at(wall), Some(-HOUR)));
}

#[test]
fn a_wrong_clock_never_raises_the_floor_and_a_high_floor_is_mended() {
    let mut time = timeline();
    // 2031, says a clock with an empty battery.
    time.now(reading(FLOOR + 5 * 365 * 24 * HOUR, 0));
    assert_eq!(time.memory(60_000_000).floor, at(FLOOR + 60 * S));
    let mut time = Timeline::new(run(1), Some(Memory { floor: at(FLOOR + 100 * HOUR), runs: Vec::new() }), at(0), None);
    assert_eq!(time.now(reading(FLOOR, 0)).time_quality, TimeQuality::Unsynced);
    assert!(time.learn(at(FLOOR), 0, 0));
    assert_eq!(time.memory(0).floor, at(FLOOR - SLACK_US));
    assert_eq!(time.now(reading(FLOOR, 0)).time_quality, TimeQuality::Synced);
    let mut time = Timeline::new(run(1), Some(Memory { floor: LATEST, runs: Vec::new() }), at(FLOOR), None);
    assert_eq!(time.now(reading(FLOOR + S, 0)).time_quality, TimeQuality::Synced, "a floor beyond all reason is none");
}

#[test]
fn an_answer_that_says_nothing_of_the_time_teaches_nothing() {
    let mut time = timeline();
    assert!(!time.learn(at(FLOOR + HOUR), 0, 0), "before the first reading");
    time.now(reading(0, 0));
    assert!(!time.learn(at(0), 0, 0) && !time.learn(LATEST, 0, 0) && !time.learn(at(FLOOR + HOUR), u64::MAX, 0));
    assert_eq!(time.now(reading(0, 0)).time_quality, TimeQuality::Unsynced);
}

#[test]
fn rows_of_an_earlier_run_are_moved_if_the_kernel_ran_on() {
    let kernel = |id, zero_us| Run { kernel: 9, zero_us, ..run(id) };
    let mut first = Timeline::new(kernel(1, 100 * S), Some(memory()), at(0), None);
    let made = first.now(reading(0, 5 * S));
    // The process was restarted: its clock began anew 50 s later.
    let mut second = Timeline::new(kernel(2, 150 * S), Some(first.memory(10_000_000)), at(0), None);
    second.now(reading(50 * S, 0));
    assert!(second.learn(at(FLOOR + HOUR), 0, 0));
    let mut records = [window(FLOOR, TimeQuality::Unsynced)];
    let stamp = second.rebase(&made.stamp(1, false), &mut records);
    assert_eq!(stamp.wall, at(FLOOR + HOUR - 45 * S));
    // Also after a power cut, as it is written down; of a run in another boot nothing is known.
    let mut third = Timeline::new(Run { kernel: 10, ..run(3) }, Some(second.memory(0)), at(0), None);
    let lost = third.now(reading(0, 0));
    let mut records = [window(FLOOR, TimeQuality::Unsynced)];
    assert_eq!(third.rebase(&made.stamp(1, false), &mut records).wall, at(FLOOR + HOUR - 45 * S));
    let mut fourth = Timeline::new(Run { kernel: 11, ..run(4) }, Some(third.memory(0)), at(0), None);
    fourth.now(reading(FLOOR + 50 * HOUR, 0));
    let mut records = [window(FLOOR, TimeQuality::Unsynced)];
    assert_eq!(fourth.rebase(&lost.stamp(3, false), &mut records), lost.stamp(3, false));
    assert_eq!(records[0], window(FLOOR, TimeQuality::Unsynced));
}

#[test]
fn provisional_time_begins_after_what_the_last_run_wrote() {
    let mut time = Timeline::new(run(1), Some(memory()), at(0), Some(at(FLOOR + HOUR)));
    assert_eq!(time.now(reading(0, 0)).wall, at(FLOOR + HOUR));
    assert_eq!(time.status().floor, at(FLOOR), "a commit may have been stamped by a wrong clock");
}

#[test]
fn what_the_source_stamped_and_what_is_of_an_earlier_run_stays() {
    let mut time = timeline();
    let made = time.now(reading(0, 0));
    time.now(reading(FLOOR + HOUR, 0));
    let (truth, before) = (FLOOR + HOUR, FLOOR - HOUR);
    let unsynced = TimeQuality::Unsynced;
    let original = vec![
        window(truth, TimeQuality::Synced),
        anomaly(truth),
        loss(truth - S, truth),
        state(truth, TimeQuality::Synced),
        anomaly(before),
        window(before, unsynced),
        loss(before, before),
    ];
    let mut records = original.clone();
    let _ = time.rebase(&made.stamp(1, false), &mut records);
    assert_eq!(records, original);
    let mut records = [anomaly(FLOOR), loss(before, FLOOR), loss(FLOOR, FLOOR), state(before, unsynced), parts(before, FLOOR, unsynced)];
    let _ = time.rebase(&made.stamp(1, false), &mut records);
    let held = TimeQuality::Holdover;
    assert_eq!(records, [anomaly(truth), loss(before, truth), loss(truth, truth), state(before + HOUR, held), parts(before, truth, held)]);
    let mut inherited = [state(before, unsynced)];
    let _ = time.rebase(&made.stamp(1, true), &mut inherited);
    assert_eq!(inherited, [state(before, unsynced)]);
}

/// One thing that happens to the clocks.
#[derive(Debug, Clone)]
enum Step {
    Pass(i64),
    Jump(i64),
    Set(i64),
    Witness(Option<bool>),
    Answer(i64),
    MonoBack(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..100 * S).prop_map(Step::Pass),
        1 => prop_oneof![Just(2 * HOUR), Just(-600 * S), Just(S), Just(-S), -1_000 * HOUR..1_000 * HOUR].prop_map(Step::Jump),
        1 => prop_oneof![Just(0), Just(FLOOR - S), Just(FLOOR + HOUR), any::<i64>()].prop_map(Step::Set),
        1 => prop_oneof![Just(None), Just(Some(true)), Just(Some(false))].prop_map(Step::Witness),
        1 => prop_oneof![FLOOR..FLOOR + 1_000 * HOUR, any::<i64>()].prop_map(Step::Answer),
        1 => (0..S).prop_map(Step::MonoBack),
    ]
}

proptest! {
    #[test]
    fn whatever_the_clocks_do_mono_and_provisional_time_never_go_back(
        start in prop_oneof![Just(0), Just(FLOOR + HOUR), any::<i64>()],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut time = timeline();
        let mut system = reading(start, 1_000 * S);
        let mut before = time.now(system);
        let mut mono = system.mono_us;
        for step in steps {
            system.mono_us = mono;
            match step {
                Step::Pass(by) => {
                    mono += by.unsigned_abs();
                    (system.mono_us, system.wall) = (mono, system.wall.plus_micros(by));
                }
                Step::Jump(by) => system.wall = system.wall.plus_micros(by),
                Step::Set(to) => system.wall = at(to),
                Step::Witness(synchronised) => system.synchronised = synchronised,
                Step::Answer(collector) => { time.learn(at(collector), 1_000, mono); }
                Step::MonoBack(by) => system.mono_us -= by.unsigned_abs(),
            }
            let now = time.now(system);
            prop_assert!(now.mono_us >= before.mono_us);
            if (before.time_quality, now.time_quality) == (TimeQuality::Unsynced, TimeQuality::Unsynced) {
                prop_assert_eq!(now.wall.micros_since(before.wall).unsigned_abs(), now.mono_us - before.mono_us);
                prop_assert!(now.wall >= before.wall);
            }
            if now.time_quality == TimeQuality::Unsynced {
                prop_assert!(now.wall >= at(FLOOR));
            } else {
                // It never becomes unknown again within a run.
                prop_assert!(now.wall >= CLOCK_SET);
            }
            prop_assert!(before.time_quality == TimeQuality::Unsynced || now.time_quality != TimeQuality::Unsynced);
            prop_assert!(time.memory(now.mono_us).runs.len() <= MAX_RUNS);
            before = now;
        }
    }

    #[test]
    fn a_rebase_is_exact_and_done_once(
        begun in 0..1_000 * S,
        made_after in 0..100 * HOUR,
        known_after in 0..100 * HOUR,
        truth in FLOOR..FLOOR + 10_000 * HOUR,
        age in 0..60 * S,
        by_collector in any::<bool>(),
    ) {
        // True time at `mono` is `truth + mono - begun`.
        let mut time = timeline();
        time.now(reading(0, begun));
        let made = time.now(reading(made_after, begun + made_after));
        let mono = begun + made_after + known_after;
        let true_now = truth + mono - begun;
        let system = reading(made_after + known_after, mono);
        time.now(system);
        if by_collector {
            prop_assert!(time.learn(at(true_now), 0, system.mono_us));
        } else {
            time.now(reading(true_now, mono));
        }
        // A row made `age` before the entry, though not before the run.
        let age = age.min(made_after);
        let mut records = [window(made.wall.as_micros() - age, TimeQuality::Unsynced)];
        let stamp = made.stamp(1, false);
        let moved = time.rebase(&stamp, &mut records);
        let expected = [window(truth + made_after - age, TimeQuality::Holdover)];
        prop_assert_eq!(&records, &expected);
        prop_assert_eq!((moved.wall, moved.time_quality, moved.mono_us), (at(truth + made_after), TimeQuality::Holdover, stamp.mono_us));
        prop_assert_eq!(time.rebase(&moved, &mut records), moved);
        prop_assert_eq!(&records, &expected);
        let synced = EntryStamp { time_quality: TimeQuality::Synced, ..stamp };
        let mut untouched = [window(FLOOR, TimeQuality::Unsynced)];
        prop_assert_eq!(time.rebase(&synced, &mut untouched), synced);
        prop_assert_eq!(&untouched, &[window(FLOOR, TimeQuality::Unsynced)]);
    }
}
