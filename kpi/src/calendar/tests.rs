//! Shifts over changes of the clock, exceptions, and what no calendar can be.

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<Instant>().unwrap().as_microsecond())
}

fn range(from: &str, to: &str) -> TimeRange {
    TimeRange { from: at(from), to: at(to) }
}

fn three() -> Calendar {
    let rule = |name: &str, start, end| ShiftRule::daily(name, Time::constant(start, 0, 0, 0), Time::constant(end, 0, 0, 0));
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    Calendar::new(zone, vec![rule("night", 22, 6), rule("early", 6, 14), rule("late", 14, 22)]).unwrap()
}

fn minutes(shift: &Shift) -> i64 {
    shift.range.to.micros_since(shift.range.from) / 60_000_000
}

#[test]
fn night_shift_has_420_minutes_when_clocks_go_forward_and_540_when_they_go_back() {
    let forward = three().shift_at(at("2025-03-30T00:30:00Z")).unwrap();
    assert_eq!((forward.name.as_str(), minutes(&forward)), ("night", 420));
    let back = three().shift_at(at("2025-10-26T00:30:00Z")).unwrap();
    assert_eq!((back.name.as_str(), minutes(&back)), ("night", 540));
    let plain = three().shift_at(at("2025-06-15T00:30:00Z")).unwrap();
    assert_eq!(minutes(&plain), 480);
}

#[test]
fn shifts_of_a_year_follow_each_other_without_gap_or_overlap() {
    let year = range("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    let shifts = three().shifts(year);
    assert!(shifts.len() > 1_090);
    assert!(shifts.windows(2).all(|w| w[0].range.to == w[1].range.from));
    assert!(gaps(year, shifts.iter().map(|s| s.range)).is_empty());
}

#[test]
fn an_instant_on_a_boundary_belongs_to_the_shift_that_begins() {
    let shift = three().shift_at(at("2025-06-15T12:00:00Z")).unwrap();
    assert_eq!(shift.name, "late");
    assert_eq!(shift.range, range("2025-06-15T12:00:00Z", "2025-06-15T20:00:00Z"));
}

#[test]
fn days_and_hours_cover_the_range_exactly_also_on_the_day_of_the_change() {
    let r = range("2025-10-25T21:30:00Z", "2025-10-27T05:10:00Z");
    let days = three().days(r);
    assert_eq!(days.len(), 3);
    assert_eq!(days[1].to.micros_since(days[1].from) / 3_600_000_000, 25);
    for parts in [days, three().hours(r)] {
        assert_eq!((parts[0].from, parts.last().unwrap().to), (r.from, r.to));
        assert!(parts.windows(2).all(|w| w[0].to == w[1].from));
    }
}

#[test]
fn overlapping_and_equally_named_shifts_are_refused() {
    let zone = TimeZone::UTC;
    let rule = |name: &str, start, end| ShiftRule::daily(name, Time::constant(start, 0, 0, 0), Time::constant(end, 0, 0, 0));
    let overlap = Calendar::new(zone.clone(), vec![rule("a", 22, 6), rule("b", 5, 9)]);
    assert!(matches!(overlap, Err(CalendarError::Overlap { .. })));
    let same = Calendar::new(zone.clone(), vec![rule("a", 1, 2), rule("a", 5, 9)]);
    assert!(matches!(same, Err(CalendarError::SameName { .. })));
    let day = Calendar::new(zone, Vec::new()).unwrap().shift_at(at("2025-06-15T12:00:00Z")).unwrap();
    assert_eq!((day.name.as_str(), minutes(&day)), ("day", 1_440));
}

fn spec(json: serde_json::Value) -> Result<Calendar, Vec<crate::field::FieldError>> {
    serde_json::from_value::<CalendarSpec>(json).unwrap().resolve()
}

fn plant() -> Calendar {
    spec(serde_json::json!({
        "timezone": "Europe/Berlin",
        "shifts": [
            {"name": "night", "start": "22:00", "end": "06:00", "days": ["mon", "tue", "wed", "thu", "fri"],
             "breaks": [{"name": "pause", "start": "01:45", "end": "02:15"}]},
            {"name": "early", "start": "06:00", "end": "14:00", "days": ["mon", "tue", "wed", "thu", "fri"],
             "breaks": [{"name": "pause", "start": "09:00", "end": "09:15"}, {"name": "meal", "start": "12:00", "end": "12:30"}]},
        ],
        "exceptions": [
            {"kind": "holiday", "date": "2026-05-01", "name": "Labour Day"},
            {"kind": "cancelled", "date": "2026-05-05", "shift": "early"},
            {"kind": "extra", "date": "2026-05-09", "shift": {"name": "saturday", "start": "07:00", "end": "12:00"}},
        ],
        "maintenance": [{"name": "greasing", "from": "2026-05-06T05:00:00Z", "to": "2026-05-06T06:00:00Z"}],
    }))
    .unwrap()
}

fn named(calendar: &Calendar, from: &str, to: &str) -> Vec<String> {
    calendar.shifts(range(from, to)).into_iter().map(|s| s.name).collect()
}

#[test]
fn a_holiday_takes_the_shifts_that_begin_on_it_and_leaves_the_night_before() {
    // Labour Day of 2026 is a Friday: the night of Thursday reaches into it, and Saturday has no shifts.
    assert_eq!(named(&plant(), "2026-04-30T22:00:00Z", "2026-05-02T22:00:00Z"), ["night"]);
}

#[test]
fn a_cancelled_shift_is_not_planned_and_an_extra_one_is() {
    assert_eq!(named(&plant(), "2026-05-05T04:00:00Z", "2026-05-05T22:00:00Z"), ["night"]);
    assert_eq!(named(&plant(), "2026-05-09T04:00:00Z", "2026-05-09T22:00:00Z"), ["saturday"]);
    assert_eq!(named(&plant(), "2026-05-10T00:00:00Z", "2026-05-10T22:00:00Z"), Vec::<String>::new());
}

#[test]
fn a_plan_holds_breaks_and_maintenance_and_clips_them() {
    let plan = plant().plan(range("2026-05-06T04:00:00Z", "2026-05-06T12:00:00Z"));
    assert_eq!(plan.operation, [range("2026-05-06T04:00:00Z", "2026-05-06T12:00:00Z")]);
    let downtime: Vec<_> = plan.downtime.iter().map(|d| (d.name.as_str(), d.range.to.micros_since(d.range.from) / 60_000_000)).collect();
    assert_eq!(downtime, [("pause", 15), ("meal", 30), ("greasing", 60)]);
    assert!(!plan.overlapping);
    let night = plant().shift_at(at("2026-05-07T01:00:00Z")).unwrap();
    assert_eq!(night.breaks, [("pause".to_owned(), range("2026-05-06T23:45:00Z", "2026-05-07T00:15:00Z"))]);
}

#[test]
fn a_break_that_the_clock_skips_is_no_time() {
    let skipped = spec(serde_json::json!({"timezone": "Europe/Berlin", "shifts": [{"name": "night", "start": "22:00", "end": "06:00",
        "breaks": [{"name": "pause", "start": "02:15", "end": "02:45"}]}]}));
    let night = skipped.unwrap().shift_at(at("2025-03-30T00:30:00Z")).unwrap();
    let paused: i64 = night.breaks.iter().map(|(_, r)| r.to.micros_since(r.from)).sum();
    assert_eq!((minutes(&night), paused / 60_000_000), (420, 30), "the clock shows 03:15 to 03:45 in its place");
}

#[test]
fn an_extra_shift_over_a_regular_one_is_told_and_counted_once() {
    let calendar = spec(serde_json::json!({"timezone": "UTC", "shifts": [{"name": "early", "start": "06:00", "end": "14:00"}],
        "exceptions": [{"kind": "extra", "date": "2026-05-09", "shift": {"name": "rush", "start": "12:00", "end": "18:00"}}]}));
    let plan = calendar.unwrap().plan(range("2026-05-09T00:00:00Z", "2026-05-10T00:00:00Z"));
    assert_eq!(plan.operation, [range("2026-05-09T06:00:00Z", "2026-05-09T18:00:00Z")]);
    assert!(plan.overlapping);
}

#[test]
fn shifts_of_different_weekdays_may_share_hours_and_of_the_same_may_not() {
    let with = |days: [&str; 2]| {
        spec(serde_json::json!({"timezone": "UTC", "shifts": [
            {"name": "long", "start": "20:00", "end": "08:00", "days": [days[0]]},
            {"name": "short", "start": "06:00", "end": "12:00", "days": [days[1]]}]}))
    };
    assert!(with(["mon", "mon"]).is_ok());
    assert!(with(["sun", "mon"]).is_err(), "the night of Sunday runs into Monday, over the end of the week");
}

#[test]
fn every_fault_of_a_written_calendar_is_told_with_its_place() {
    let faults =
        spec(serde_json::json!({"timezone": "Berlin", "shifts": [{"name": "", "start": "25:00", "end": "06:00", "days": ["Monday"],
        "breaks": [{"name": "p", "start": "1", "end": "02:00"}]}], "exceptions": [{"kind": "holiday", "date": "May", "name": ""}],
        "maintenance": [{"name": "m", "from": "2026-05-06T05:00:00Z", "to": "2026-05-06T05:00:00Z"}]}));
    let fields: Vec<_> = faults.unwrap_err().into_iter().map(|e| e.field).collect();
    let expected =
        ["timezone", "shifts[0].start", "shifts[0].name", "shifts[0].days[0]", "shifts[0].breaks[0].start", "exceptions[0].date"];
    assert_eq!(fields, [&expected[..], &["maintenance[0].from"]].concat());
    let outside = spec(serde_json::json!({"timezone": "UTC", "shifts": [{"name": "early", "start": "06:00", "end": "14:00",
        "breaks": [{"name": "p", "start": "13:45", "end": "14:15"}]}]}));
    assert_eq!(outside.unwrap_err()[0].detail, "the break \"p\" does not lie within the shift \"early\"");
}
