//! States and counters: wraps and resets removed, nothing counted twice.

use super::*;

const S: i64 = 1_000_000;

fn asset() -> AssetPath {
    AssetPath::new("p/a/l/m").unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * S)
}

fn facts(second: i64, state: Option<MachineState>, since: Since, total: Option<u64>) -> Facts<'static> {
    Facts {
        at: at(second),
        mono_us: 0,
        is_next: true,
        time_quality: TimeQuality::Synced,
        state,
        since,
        reason: "",
        counts: Counts { total, ..Counts::default() },
        bits: [16; 3],
        new_session: false,
    }
}

fn told(machine: &mut Machine, facts: &Facts<'_>) -> Option<(i64, MachineState)> {
    machine.take(&asset(), facts).map(|change| (change.event_time.as_micros() / S, change.state))
}

use MachineState::{Idle, Producing, UnplannedStop};

#[test]
fn a_state_is_told_once_at_the_time_it_was_entered() {
    let mut machine = Machine::default();
    assert_eq!(told(&mut machine, &facts(10, Some(Producing), Since::At(at(3)), None)), Some((3, Producing)));
    assert_eq!(told(&mut machine, &facts(11, Some(Producing), Since::At(at(3)), None)), None);
    assert_eq!(told(&mut machine, &facts(20, Some(Idle), Since::At(at(19)), None)), Some((19, Idle)));
    assert_eq!(
        told(&mut machine, &facts(30, Some(Idle), Since::At(at(28)), None)),
        Some((28, Idle)),
        "left and entered again between messages"
    );
    assert_eq!(told(&mut machine, &facts(29, Some(Producing), Since::At(at(29)), None)), None, "out of order");
    assert_eq!(told(&mut machine, &facts(31, Some(Producing), Since::Unknown, None)), Some((31, Producing)));
    assert_eq!(told(&mut machine, &facts(32, Some(Producing), Since::Unknown, None)), None);
}

#[test]
fn elapsed_times_may_waver_by_the_delay_of_a_poll() {
    let mut machine = Machine::default();
    let since = |micros| Since::Elapsed(Timestamp::from_micros(micros));
    assert!(machine.take(&asset(), &facts(10, Some(Producing), since(5 * S), None)).is_some());
    assert!(machine.take(&asset(), &facts(11, Some(Producing), since(5 * S + 40_000), None)).is_none());
    assert!(machine.take(&asset(), &facts(12, Some(Producing), since(5 * S - 40_000), None)).is_none());
    assert!(machine.take(&asset(), &facts(13, Some(Producing), since(12 * S), None)).is_some());
}

#[test]
fn a_reason_that_comes_later_splits_the_stop() {
    let mut machine = Machine::default();
    let stop = facts(10, Some(UnplannedStop), Since::At(at(9)), None);
    assert_eq!(told(&mut machine, &stop), Some((9, UnplannedStop)));
    let change = machine.take(&asset(), &Facts { at: at(15), reason: "no material", ..stop }).unwrap();
    assert_eq!((change.event_time, change.reason.as_str()), (at(15), "no material"));
    assert!(machine.take(&asset(), &Facts { at: at(16), reason: "no material", ..stop }).is_none());
    let long = "ß".repeat(1_000);
    let change = machine.take(&asset(), &Facts { at: at(17), reason: &long, ..stop }).unwrap();
    assert!(change.reason.len() <= MAX_REASON_BYTES);
}

#[test]
fn a_clock_set_back_by_an_hour_is_followed() {
    let mut machine = Machine::default();
    assert!(told(&mut machine, &facts(7_200, Some(Producing), Since::Unknown, Some(5))).is_some());
    assert_eq!(told(&mut machine, &facts(3_600, Some(Idle), Since::At(at(3_590)), Some(8))), Some((3_590, Idle)));
    let parts = machine.parts(&asset(), 0, true).unwrap().0;
    assert_eq!((parts.produced, parts.from, parts.to), (3, at(3_600), at(3_600)));
}

#[test]
fn parts_are_told_once_a_second_and_add_up() {
    let mut machine = Machine::default();
    let mut counted = 0;
    let mut records = 0;
    for step in 0..100_u64 {
        let now_us = step * 100_000;
        let total = (65_500 + step) & 0xffff;
        let at = Timestamp::from_micros(i64::try_from(now_us).unwrap());
        machine.take(&asset(), &Facts { at, ..facts(0, None, Since::Unknown, Some(total)) });
        if let Some((parts, _)) = machine.parts(&asset(), now_us, false) {
            assert!(parts.from < parts.to);
            counted += parts.produced;
            records += 1;
        }
    }
    counted += machine.parts(&asset(), u64::MAX, true).map_or(0, |(p, _)| p.produced);
    assert_eq!(counted, 99);
    assert!(records <= 10, "{records}");
}

#[test]
fn rejects_and_rework_count_beside_the_total() {
    let mut machine = Machine::default();
    let counts = |total, reject, rework| Counts { total: Some(total), reject: Some(reject), rework: Some(rework) };
    machine.take(&asset(), &Facts { counts: counts(10, 1, 0), ..facts(1, None, Since::Unknown, None) });
    machine.take(&asset(), &Facts { counts: counts(15, 3, 1), ..facts(2, None, Since::Unknown, None) });
    machine.take(&asset(), &Facts { counts: counts(2, 1, 0), new_session: true, ..facts(9, None, Since::Unknown, None) });
    let parts = machine.parts(&asset(), 0, true).unwrap().0;
    assert_eq!((parts.produced, parts.rejected, parts.reworked), (7, 3, 1));
    assert_eq!((parts.from, parts.to), (at(1), at(9)));
    assert!(machine.parts(&asset(), 0, true).is_none());
}

#[test]
fn an_old_message_of_a_sender_without_sequence_is_no_restart_of_its_counter() {
    let mut machine = Machine::default();
    let stamped = |second, mono_s: u64, total| Facts {
        mono_us: mono_s * 1_000_000,
        is_next: false,
        bits: [32; 3],
        ..facts(second, Some(Producing), Since::At(at(1)), Some(total))
    };
    machine.take(&asset(), &stamped(1_000, 1_000, 65_000));
    machine.take(&asset(), &stamped(1_120, 1_120, 65_020));
    // Sent again by the broker, two minutes late; and some that were kept for hours.
    assert_eq!(told(&mut machine, &stamped(1_000, 1_121, 65_000)), None);
    assert_eq!(told(&mut machine, &stamped(500, 1_121, 64_000)), None);
    machine.take(&asset(), &stamped(1_180, 1_180, 65_030));
    assert_eq!(machine.parts(&asset(), 0, true).unwrap().0.produced, 30);
}

#[test]
fn a_clock_of_a_sender_without_sequence_that_stays_set_back_is_followed_after_a_while() {
    let mut machine = Machine::default();
    let stamped = |second, mono_s: u64, total| Facts {
        mono_us: mono_s * 1_000_000,
        is_next: false,
        ..facts(second, Some(Producing), Since::Unknown, Some(total))
    };
    machine.take(&asset(), &stamped(7_200, 7_200, 100));
    for minute in 0..=6 {
        let second = 3_600 + minute * 60;
        machine.take(&asset(), &Facts { state: Some(Idle), ..stamped(second, 7_260 + u64::try_from(minute).unwrap() * 60, 110) });
    }
    assert_eq!(machine.state.as_ref().map(|entered| (entered.state, entered.since)), Some((Idle, at(3_900))));
    assert_eq!(machine.parts(&asset(), 0, true).unwrap().0.produced, 10, "what was made meanwhile is not lost");
}

#[test]
fn a_change_of_state_in_a_message_that_was_overtaken_is_told() {
    let mut machine = Machine::default();
    machine.take(&asset(), &facts(10, Some(Producing), Since::At(at(0)), None));
    assert_eq!(told(&mut machine, &facts(30, Some(Producing), Since::At(at(25)), None)), Some((25, Producing)));
    assert_eq!(told(&mut machine, &facts(20, Some(Idle), Since::At(at(20)), None)), Some((20, Idle)), "it stood from 20 to 25");
    assert_eq!(told(&mut machine, &facts(21, Some(Idle), Since::Unknown, None)), None, "when it was left is not known");
    assert_eq!(told(&mut machine, &facts(31, Some(Producing), Since::At(at(25)), None)), None, "and nothing has changed for what stands");
}
