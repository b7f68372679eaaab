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
