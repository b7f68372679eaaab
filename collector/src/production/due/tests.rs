//! When shifts are stated, and what makes them due again.

use jiff::tz::TimeZone;
use kpi::calendar::ShiftRule;

use super::*;

/// 2026-01-05T06:00:00Z.
const MORNING: Timestamp = Timestamp(1_767_592_800 * SECOND);
const HOUR: i64 = 3_600;

fn at(seconds: i64) -> Timestamp {
    MORNING.plus_micros(seconds * SECOND)
}

fn calendar() -> Calendar {
    let time = |hour| jiff::civil::Time::constant(hour, 0, 0, 0);
    let rules = [("early", 6, 14), ("late", 14, 22), ("night", 22, 6)];
    Calendar::new(TimeZone::UTC, rules.map(|(name, from, to)| ShiftRule::daily(name, time(from), time(to))).into()).unwrap()
}

fn press() -> AssetPath {
    AssetPath::new("plant1/press-shop/line1/press-1").unwrap()
}

/// Stated through the end of the early shift, with data beyond it.
fn stated() -> Due {
    let mut due = Due::default();
    due.restore(press(), at(8 * HOUR), at(8 * HOUR + 60));
    due
}

fn ended(due: &mut Due, newest: i64, now: i64) -> Vec<String> {
    let jobs = due.ended(&press(), at(newest), (at(-1_000 * HOUR), at(now)), &mut |range| calendar().shifts(range));
    jobs.into_iter().map(|job| job.shift.name).collect()
}

fn saw(due: &mut Due, from: i64, to: i64, counts: bool, now: i64) {
    let asset = press();
    let seen = Seen { asset: &asset, range: TimeRange { from: at(from), to: at(to) }, counts };
    due.saw(seen, &calendar(), 300 * SECOND, at(now));
}

fn taken(due: &mut Due, now: i64) -> Vec<(String, Vec<Why>)> {
    due.take(at(now), 100).into_iter().map(|job| (job.shift.name, job.why)).collect()
}

fn late(from: i64, to: i64) -> Why {
    Why::LateData { period: Period { from: Utc(at(from)), to: Utc(at(to)) } }
}

#[test]
fn a_shift_is_stated_when_the_data_have_passed_its_end_or_after_patience() {
    let end = 16 * HOUR;
    let mut due = stated();
    assert!(ended(&mut due, end - 1, end + 60).is_empty(), "its data are on the way");
    assert!(ended(&mut due, end, end + 59).is_empty(), "a moment for what is on the way");
    assert_eq!(ended(&mut due, end, end + 60), ["late"]);
    assert!(ended(&mut due, end, end + 120).is_empty(), "once");
    let mut due = stated();
    assert!(ended(&mut due, end - HOUR, end + 899).is_empty());
    assert_eq!(ended(&mut due, end - HOUR, end + 900), ["late"], "the data stopped");
}

#[test]
fn after_a_start_gateways_have_time_to_bring_what_they_hold_and_few_days_are_made_up_for() {
    let mut due = stated();
    let day = 24 * HOUR;
    let now = 10 * day + 30;
    let ask = |due: &mut Due, now| {
        let jobs = due.ended(&press(), at(9 * HOUR), (at(10 * day), at(now)), &mut |range| calendar().shifts(range));
        jobs.len()
    };
    assert_eq!(ask(&mut due, now), 0, "the collector has just started");
    assert_eq!(ask(&mut due, now + 900), 8, "of three days those that lie in them whole");
}

#[test]
fn late_data_make_the_shifts_due_that_they_touch_once_and_after_a_pause() {
    let mut due = stated();
    saw(&mut due, 9 * HOUR, 9 * HOUR, true, 9 * HOUR);
    assert_eq!(due.waiting(), 0, "of the running shift");
    saw(&mut due, HOUR, HOUR, true, 10 * HOUR);
    saw(&mut due, 2 * HOUR, 3 * HOUR, true, 10 * HOUR + 3);
    assert!(taken(&mut due, 10 * HOUR + 7).is_empty(), "more may come");
    assert_eq!(taken(&mut due, 10 * HOUR + 8), [("early".to_owned(), vec![late(HOUR, 3 * HOUR)])]);
    assert!(taken(&mut due, 20 * HOUR).is_empty(), "once");
}

#[test]
fn late_data_that_do_not_end_are_not_waited_for_without_end() {
    let mut due = stated();
    for second in 0..59 {
        saw(&mut due, HOUR + second, HOUR + second, true, 10 * HOUR + second);
        assert!(taken(&mut due, 10 * HOUR + second).is_empty());
    }
    assert_eq!(taken(&mut due, 10 * HOUR + 60).len(), 1);
}

#[test]
fn a_state_just_after_a_shift_tells_whether_the_stop_at_its_end_was_a_minor_one() {
    let mut due = stated();
    due.restore(press(), at(16 * HOUR), at(17 * HOUR));
    saw(&mut due, 8 * HOUR + 100, 8 * HOUR + 100, true, 18 * HOUR);
    let names: Vec<_> = taken(&mut due, 19 * HOUR).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["early", "late"]);
}

#[test]
fn when_data_go_on_that_had_stopped_before_a_shift_ended_its_end_is_reckoned_again() {
    let mut due = Due::default();
    due.restore(press(), at(8 * HOUR), at(7 * HOUR));
    saw(&mut due, 8 * HOUR + 5, 8 * HOUR + 10, false, 9 * HOUR);
    assert_eq!(taken(&mut due, 10 * HOUR), [("early".to_owned(), vec![late(8 * HOUR + 5, 8 * HOUR + 10)])]);
    saw(&mut due, 8 * HOUR + 10, 8 * HOUR + 15, false, 11 * HOUR);
    assert_eq!(due.waiting(), 0, "now they have passed it");
    saw(&mut due, HOUR, HOUR + 5, false, 11 * HOUR);
    assert_eq!(due.waiting(), 0, "a late summary changes no figure");
}

#[test]
fn what_fails_comes_again_and_not_for_ever_and_nothing_is_due_without_bound() {
    let mut due = stated();
    let shift = calendar().shift_at(at(0)).unwrap();
    due.add(Job::new(press(), shift.clone(), vec![late(0, 1)]), at(9 * HOUR));
    let mut tries = 0;
    let mut now = at(9 * HOUR);
    while let Some(job) = due.take(now, 1).pop() {
        tries += 1;
        due.failed(job, now);
        assert!(due.take(now, 1).is_empty(), "not at once");
        now = now.plus_micros(RETRY_US);
    }
    assert_eq!((tries, due.take_dropped(), due.take_dropped()), (MAX_RETRIES + 1, 1, 0));
    for i in 0..MAX_JOBS as i64 + 3 {
        let range = TimeRange { from: at(i), to: at(i + 1) };
        due.add(Job::new(press(), Shift { range, ..shift.clone() }, Vec::new()), now);
    }
    assert_eq!((due.waiting(), due.take_dropped()), (MAX_JOBS, 3));
}
