//! Shifts: from wall-clock rules in a time zone to half-open intervals of UTC, and the hours and days of a chart's axis.
//!
//! Stands before `kpi::oee` (planned time) and the API (buckets). Pure.
//!
//! Invariant: a shift is local time. It is as long as the clock on the wall says, also when that clock is put forward or back: 22:00-06:00
//! in Berlin has 420 or 540 minutes then. Intervals of one calendar never overlap.

use jiff::{
    Timestamp as Instant,
    civil::{Date, Time},
    tz::TimeZone,
};
use protocol::{TimeRange, Timestamp};

/// Intervals that one call may make; a longer answer is cut there.
const MAX_INTERVALS: usize = 20_000;

/// A shift as a person writes it: from `start` to `end` of each day, over midnight if `end` is not after `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftRule {
    pub name: String,
    pub start: Time,
    pub end: Time,
}

/// One shift of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    pub name: String,
    pub range: TimeRange,
}

/// Why rules make no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    #[error("shifts {first:?} and {second:?} overlap")]
    Overlap { first: String, second: String },
    #[error("two shifts are named {name:?}")]
    SameName { name: String },
}

/// The shifts of a plant.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    rules: Vec<ShiftRule>,
}

impl Calendar {
    /// A calendar of `rules`; without rules each local day is one shift, `day`.
    ///
    /// # Errors
    /// [`CalendarError`] if two rules cover the same minute or have the same name.
    pub fn new(zone: TimeZone, mut rules: Vec<ShiftRule>) -> Result<Self, CalendarError> {
        if rules.is_empty() {
            return Ok(Self::whole_days(zone));
        }
        rules.sort_by_key(|rule| rule.start);
        for (i, a) in rules.iter().enumerate() {
            for b in &rules[i + 1..] {
                if a.name == b.name {
                    return Err(CalendarError::SameName { name: a.name.clone() });
                }
                if overlap(a, b) {
                    return Err(CalendarError::Overlap { first: a.name.clone(), second: b.name.clone() });
                }
            }
        }
        Ok(Self { zone, rules })
    }

    /// One shift, `day`, from midnight to midnight.
    pub fn whole_days(zone: TimeZone) -> Self {
        Self { zone, rules: vec![ShiftRule { name: "day".into(), start: Time::midnight(), end: Time::midnight() }] }
    }

    /// The shift that `at` lies in, `None` between shifts.
    pub fn shift_at(&self, at: Timestamp) -> Option<Shift> {
        self.shifts(TimeRange { from: at, to: at.plus_micros(1) }).into_iter().next()
    }

    /// Every shift that shares an instant with `range`, whole, in order.
    pub fn shifts(&self, range: TimeRange) -> Vec<Shift> {
        let mut shifts = Vec::new();
        if range.from >= range.to {
            return shifts;
        }
        // A shift of the day before may reach into the range.
        let Some(mut day) = self.date_of(range.from).and_then(|d| d.yesterday().ok()) else { return shifts };
        let Some(last) = self.date_of(range.to) else { return shifts };
        while day <= last && shifts.len() < MAX_INTERVALS {
            for rule in &self.rules {
                let Some(interval) = self.on_day(day, rule) else { continue };
                if interval.from < range.to && interval.to > range.from && interval.from < interval.to {
                    shifts.push(Shift { name: rule.name.clone(), range: interval });
                }
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        shifts
    }

    /// The local days of `range`, the first and the last clipped to it.
    pub fn days(&self, range: TimeRange) -> Vec<TimeRange> {
        let mut days = Vec::new();
        let Some(mut day) = self.date_of(range.from) else { return days };
        while days.len() < MAX_INTERVALS {
            let (Some(from), Ok(next)) = (self.instant(day, Time::midnight()), day.tomorrow()) else { break };
            let Some(to) = self.instant(next, Time::midnight()) else { break };
            if from >= range.to {
                break;
            }
            push_clipped(&mut days, TimeRange { from, to }, range);
            day = next;
        }
        days
    }

    /// The hours of `range`, the first and the last clipped to it. An hour begins when the local clock shows a full hour.
    pub fn hours(&self, range: TimeRange) -> Vec<TimeRange> {
        const HOUR: i64 = 3_600_000_000;
        let mut hours = Vec::new();
        let mut from = range.from;
        while from < range.to && hours.len() < MAX_INTERVALS {
            let Ok(instant) = Instant::from_microsecond(from.as_micros()) else { break };
            let offset = i64::from(self.zone.to_offset(instant).seconds()) * 1_000_000;
            let into = (from.as_micros() + offset).rem_euclid(HOUR);
            let to = from.plus_micros(HOUR - into);
            push_clipped(&mut hours, TimeRange { from, to }, range);
            from = to;
        }
        hours
    }

    fn date_of(&self, at: Timestamp) -> Option<Date> {
        Some(Instant::from_microsecond(at.as_micros()).ok()?.to_zoned(self.zone.clone()).date())
    }

    fn on_day(&self, day: Date, rule: &ShiftRule) -> Option<TimeRange> {
        let end_day = if rule.end > rule.start { day } else { day.tomorrow().ok()? };
        Some(TimeRange { from: self.instant(day, rule.start)?, to: self.instant(end_day, rule.end)? })
    }

    /// Of a time that the clock shows twice the first, of one that it skips the instant after the gap: so neighbours always meet.
    fn instant(&self, day: Date, time: Time) -> Option<Timestamp> {
        let zoned = self.zone.to_ambiguous_zoned(day.to_datetime(time)).compatible().ok()?;
        Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
    }
}

/// What of `range` lies in none of `covered` (which is in order and does not overlap).
pub fn gaps(range: TimeRange, covered: impl IntoIterator<Item = TimeRange>) -> Vec<TimeRange> {
    let mut gaps = Vec::new();
    let mut at = range.from;
    for c in covered {
        if c.from > at {
            push_clipped(&mut gaps, TimeRange { from: at, to: c.from }, range);
        }
        at = at.max(c.to);
    }
    push_clipped(&mut gaps, TimeRange { from: at, to: range.to }, range);
    gaps
}

fn push_clipped(list: &mut Vec<TimeRange>, interval: TimeRange, range: TimeRange) {
    let clipped = TimeRange { from: interval.from.max(range.from), to: interval.to.min(range.to) };
    if clipped.from < clipped.to {
        list.push(clipped);
    }
}

/// Whether two daily rules share a minute of the clock.
fn overlap(a: &ShiftRule, b: &ShiftRule) -> bool {
    let pieces = |r: &ShiftRule| -> Vec<(i64, i64)> {
        let second = |t: Time| i64::from(t.hour()) * 3_600 + i64::from(t.minute()) * 60 + i64::from(t.second());
        let (start, end) = (second(r.start), second(r.end));
        if end > start { vec![(start, end)] } else { vec![(start, 86_400), (0, end)] }
    };
    pieces(a).iter().any(|&(s1, e1)| pieces(b).iter().any(|&(s2, e2)| s1 < e2 && s2 < e1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<Instant>().unwrap().as_microsecond())
    }

    fn range(from: &str, to: &str) -> TimeRange {
        TimeRange { from: at(from), to: at(to) }
    }

    fn three() -> Calendar {
        let rule = |name: &str, start, end| ShiftRule {
            name: name.into(),
            start: Time::constant(start, 0, 0, 0),
            end: Time::constant(end, 0, 0, 0),
        };
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
        let rule = |name: &str, start, end| ShiftRule {
            name: name.into(),
            start: Time::constant(start, 0, 0, 0),
            end: Time::constant(end, 0, 0, 0),
        };
        let overlap = Calendar::new(zone.clone(), vec![rule("a", 22, 6), rule("b", 5, 9)]);
        assert!(matches!(overlap, Err(CalendarError::Overlap { .. })));
        let same = Calendar::new(zone.clone(), vec![rule("a", 1, 2), rule("a", 5, 9)]);
        assert!(matches!(same, Err(CalendarError::SameName { .. })));
        let day = Calendar::new(zone, Vec::new()).unwrap().shift_at(at("2025-06-15T12:00:00Z")).unwrap();
        assert_eq!((day.name.as_str(), minutes(&day)), ("day", 1_440));
    }
}
