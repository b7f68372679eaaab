//! The shifts of the month as its truth knows them: by arithmetic on the clock of the hall, with no word from `kpi::calendar`.
//!
//! Beside the machines. Invariant: what is planned here is what `spec` tells the collector, written a second time by other means.

use kpi::calendar::{BreakSpec, CalendarSpec, ExceptionSpec, MaintenanceSpec, ShiftSpec};

use super::{Span, minutes};

/// 2026-03-01T00:00 on any clock, as if that were UTC.
const MARCH: i64 = 1_772_323_200_000_000;
const DAY: i64 = minutes(24 * 60);
/// 2026-03-29T03:00 on the clock of the hall: from here on it is two hours ahead of UTC, before it was one.
const SUMMER: i64 = MARCH + 28 * DAY + minutes(3 * 60);
/// No shift begins on that day, the 15th.
const HOLIDAY: i64 = 14;
/// The maintenance of all machines, on the 19th, from 8 to 9.
const MAINTENANCE: (i64, i64, i64) = (18, 8 * 60, 9 * 60);

/// Name, minutes of the day, and breaks.
type Rule = (&'static str, i64, i64, &'static [(i64, i64)]);

const RULES: [Rule; 3] = [
    ("early", 6 * 60, 14 * 60, &[(9 * 60, 9 * 60 + 15), (11 * 60 + 30, 12 * 60)]),
    ("late", 14 * 60, 22 * 60, &[(17 * 60, 17 * 60 + 15), (19 * 60 + 30, 20 * 60)]),
    // In the night when the clock is put forward there is no two o'clock: its break is from three to half past.
    ("night", 22 * 60, 6 * 60, &[(2 * 60, 2 * 60 + 30)]),
];

/// One shift, in microseconds of UTC.
#[derive(Debug, Clone)]
pub struct Shift {
    pub name: &'static str,
    pub range: Span,
    /// Breaks and maintenance in it, in order.
    pub down: Vec<Span>,
}

/// `minute` of the day `day` (0: the first of March) on the clock of the hall, in UTC.
pub fn local(day: i64, minute: i64) -> i64 {
    let clock = MARCH + day * DAY + minutes(minute);
    clock - if clock < SUMMER { minutes(60) } else { minutes(120) }
}

/// 31 days of shifts: from the late one of the 2nd of March to the early one of the 2nd of April. On the holiday none begins.
pub fn month() -> Vec<Shift> {
    let maintenance = (local(MAINTENANCE.0, MAINTENANCE.1), local(MAINTENANCE.0, MAINTENANCE.2));
    let mut shifts = Vec::new();
    for day in (1..=32).filter(|day| *day != HOLIDAY) {
        for (name, begin, end, breaks) in RULES {
            let on = |minute: i64| if minute < begin { local(day + 1, minute) } else { local(day, minute) };
            let range = (local(day, begin), on(end));
            if range.0 < local(1, 14 * 60) || range.1 > local(32, 14 * 60) {
                continue;
            }
            let mut down: Vec<Span> = breaks.iter().map(|(from, to)| (on(*from), on(*to))).collect();
            if range.0 <= maintenance.0 && maintenance.1 <= range.1 {
                down.push(maintenance);
            }
            down.sort_unstable();
            shifts.push(Shift { name, range, down });
        }
    }
    shifts
}

/// The same for the collector.
pub fn spec() -> CalendarSpec {
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    let shifts = RULES.iter().map(|(name, begin, end, breaks)| {
        let pause = |(from, to): &(i64, i64)| BreakSpec { name: "pause".into(), start: clock(*from), end: clock(*to) };
        ShiftSpec {
            name: (*name).into(),
            start: clock(*begin),
            end: clock(*end),
            days: Vec::new(),
            breaks: breaks.iter().map(pause).collect(),
        }
    });
    let utc = |minute: i64| protocol::Timestamp::from_micros(local(MAINTENANCE.0, minute)).into();
    CalendarSpec {
        timezone: "Europe/Berlin".into(),
        shifts: shifts.collect(),
        exceptions: vec![ExceptionSpec::Holiday { date: format!("2026-03-{:02}", HOLIDAY + 1), name: "works outing".into() }],
        maintenance: vec![MaintenanceSpec { name: "yearly".into(), from: utc(MAINTENANCE.1), to: utc(MAINTENANCE.2) }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_has_every_shift_and_the_night_of_the_clock_change_seven_hours() {
        let shifts = month();
        assert_eq!(shifts.len(), 30 * 3, "31 days without the holiday's three");
        let hours = |shift: &Shift| (shift.range.1 - shift.range.0) / minutes(60);
        assert_eq!(shifts.iter().filter(|shift| hours(shift) == 7).count(), 1);
        assert!(shifts.iter().all(|shift| hours(shift) == 8 || (hours(shift) == 7 && shift.name == "night")));
        assert!(shifts.windows(2).all(|two| two[0].range.1 <= two[1].range.0));
        assert!(shifts.iter().all(|shift| shift.down.iter().all(|down| shift.range.0 < down.0 && down.1 < shift.range.1)));
    }
}
