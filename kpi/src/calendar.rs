//! Shifts: from wall-clock rules in a time zone to half-open intervals of UTC; breaks, holidays, exceptions and planned maintenance; and the hours
//! and days of a chart's axis.
//!
//! Stands before `oee` (planned time) and the API (buckets). Pure.
//!
//! Invariants: a shift is local time. It is as long as the clock on the wall says, also when that clock is put forward or back: 22:00-06:00
//! in Berlin has 420 or 540 minutes then. A shift belongs to the local day that it begins on: a holiday takes the shifts that begin on it, and the
//! night shift of the evening before runs to its end. [`Plan::operation`] is in order and never overlaps, whatever was entered.

mod spec;

use jiff::{
    Timestamp as Instant,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use protocol::{TimeRange, Timestamp};

pub use spec::{BreakSpec, CalendarSpec, ExceptionSpec, MaintenanceSpec, ShiftSpec, weekday};

use crate::oee::{DowntimeKind, PlannedDowntime};

/// Intervals that one call may make; a longer answer is cut there.
const MAX_INTERVALS: usize = 20_000;
/// Days that one call may look at: a century.
const MAX_DAYS: usize = 36_600;
const DAY_S: i64 = 86_400;

/// A shift as a person writes it: from `start` to `end` of each of its days, over midnight if `end` is not after `start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShiftRule {
    pub name: String,
    pub start: Time,
    pub end: Time,
    /// The days of the week that it begins on.
    pub days: Weekdays,
    /// In the order of the shift; a break before `start` on the clock lies on the next day.
    pub breaks: Vec<Break>,
}

impl ShiftRule {
    /// A shift of every day, without breaks.
    pub fn daily(name: impl Into<String>, start: Time, end: Time) -> Self {
        Self { name: name.into(), start, end, days: Weekdays::ALL, breaks: Vec::new() }
    }
}

/// Planned downtime in each shift of a rule, `[start, end)` on the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    pub name: String,
    pub start: Time,
    pub end: Time,
}

/// A set of days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays(u8);

impl Weekdays {
    pub const ALL: Self = Self(0x7f);

    pub fn of(days: &[Weekday]) -> Self {
        Self(days.iter().fold(0, |set, day| set | 1 << day.to_monday_zero_offset()))
    }

    pub fn holds(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }
}

/// What is different on one local day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exception {
    /// No regular shift begins on that day.
    Holiday { date: Date, name: String },
    /// The shift of that name does not take place.
    Cancelled { date: Date, shift: String },
    /// A shift that no rule has; its `days` do not matter.
    Extra { date: Date, shift: ShiftRule },
}

impl Exception {
    fn date(&self) -> Date {
        let (Self::Holiday { date, .. } | Self::Cancelled { date, .. } | Self::Extra { date, .. }) = self;
        *date
    }
}

/// One shift of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    pub name: String,
    pub range: TimeRange,
    /// Within `range`, in order.
    pub breaks: Vec<(String, TimeRange)>,
}

/// Planned time of a period.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Planned operation time: the shifts, in order, what overlaps or meets made one.
    pub operation: Vec<TimeRange>,
    /// Breaks and planned maintenance.
    pub downtime: Vec<PlannedDowntime>,
    /// Two shifts shared time: counted once.
    pub overlapping: bool,
}

/// Why rules make no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    #[error("shifts {first:?} and {second:?} overlap")]
    Overlap { first: String, second: String },
    #[error("two shifts are named {name:?}")]
    SameName { name: String },
    #[error("the break {name:?} does not lie within the shift {shift:?}")]
    BreakOutside { shift: String, name: String },
    #[error("an exception of {date} cancels the shift {shift:?}, which is not there")]
    UnknownShift { date: Date, shift: String },
}

/// The shifts of a plant.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    rules: Vec<ShiftRule>,
    /// By date.
    exceptions: Vec<Exception>,
    maintenance: Vec<PlannedDowntime>,
}

impl Calendar {
    /// A calendar of `rules`; without rules each local day is one shift, `day`.
    ///
    /// # Errors
    /// [`CalendarError`] if two rules cover the same minute of a week or have the same name, or a break lies outside its shift.
    pub fn new(zone: TimeZone, mut rules: Vec<ShiftRule>) -> Result<Self, CalendarError> {
        if rules.is_empty() {
            return Ok(Self::whole_days(zone));
        }
        rules.sort_by_key(|rule| rule.start);
        for (i, a) in rules.iter().enumerate() {
            check_breaks(a)?;
            for b in &rules[i + 1..] {
                if a.name == b.name {
                    return Err(CalendarError::SameName { name: a.name.clone() });
                }
                if overlap(a, b) {
                    return Err(CalendarError::Overlap { first: a.name.clone(), second: b.name.clone() });
                }
            }
        }
        Ok(Self { zone, rules, exceptions: Vec::new(), maintenance: Vec::new() })
    }

    /// One shift, `day`, from midnight to midnight.
    pub fn whole_days(zone: TimeZone) -> Self {
        let rules = vec![ShiftRule::daily("day", Time::midnight(), Time::midnight())];
        Self { zone, rules, exceptions: Vec::new(), maintenance: Vec::new() }
    }

    /// With holidays, cancelled and extra shifts.
    ///
    /// # Errors
    /// [`CalendarError`] if a shift is cancelled that no rule has, or an extra shift has a break outside of it.
    pub fn with_exceptions(mut self, exceptions: Vec<Exception>) -> Result<Self, CalendarError> {
        for exception in &exceptions {
            match exception {
                Exception::Cancelled { date, shift } if !self.rules.iter().any(|rule| rule.name == *shift) => {
                    return Err(CalendarError::UnknownShift { date: *date, shift: shift.clone() });
                }
                Exception::Extra { shift, .. } => check_breaks(shift)?,
                Exception::Cancelled { .. } | Exception::Holiday { .. } => {}
            }
        }
        self.exceptions = exceptions;
        self.exceptions.sort_by_key(Exception::date);
        Ok(self)
    }

    /// With windows of planned maintenance.
    #[must_use]
    pub fn with_maintenance(mut self, maintenance: Vec<PlannedDowntime>) -> Self {
        self.maintenance = maintenance;
        self
    }

    /// The shift that `at` lies in, `None` between shifts.
    pub fn shift_at(&self, at: Timestamp) -> Option<Shift> {
        self.shifts(TimeRange { from: at, to: at.plus_micros(1) }).into_iter().next()
    }

    /// Every shift that shares an instant with `range`, whole, in order of their beginning.
    pub fn shifts(&self, range: TimeRange) -> Vec<Shift> {
        let mut shifts = Vec::new();
        if range.from >= range.to {
            return shifts;
        }
        // A shift of the day before may reach into the range.
        let Some(mut day) = self.date_of(range.from).and_then(|d| d.yesterday().ok()) else { return shifts };
        let Some(last) = self.date_of(range.to) else { return shifts };
        let mut days = 0;
        while day <= last && days < MAX_DAYS && shifts.len() < MAX_INTERVALS {
            days += 1;
            let exceptions = self.exceptions_of(day);
            let falls_out = |rule: &ShiftRule| {
                exceptions.iter().any(|e| match e {
                    Exception::Holiday { .. } => true,
                    Exception::Cancelled { shift, .. } => *shift == rule.name,
                    Exception::Extra { .. } => false,
                })
            };
            let regular = self.rules.iter().filter(|rule| rule.days.holds(day.weekday()) && !falls_out(rule));
            let extra = exceptions.iter().filter_map(|e| if let Exception::Extra { shift, .. } = e { Some(shift) } else { None });
            let of_day = regular.chain(extra).filter_map(|rule| self.on_day(day, rule));
            shifts.extend(of_day.filter(|s| s.range.from < range.to && s.range.to > range.from && s.range.from < s.range.to));
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        shifts.sort_by_key(|s| s.range.from);
        shifts
    }

    /// Planned operation time and planned downtime of `range`, clipped to it.
    pub fn plan(&self, range: TimeRange) -> Plan {
        let shifts = self.shifts(range);
        let overlapping = shifts.windows(2).any(|w| w[1].range.from < w[0].range.to);
        let breaks = shifts.iter().flat_map(|s| &s.breaks);
        let breaks = breaks.map(|(name, range)| PlannedDowntime { range: *range, kind: DowntimeKind::Break, name: name.clone() });
        let downtime =
            breaks.chain(self.maintenance.iter().cloned()).filter_map(|d| Some(PlannedDowntime { range: clipped(d.range, range)?, ..d }));
        Plan {
            downtime: downtime.collect(),
            operation: merged(shifts.iter().filter_map(|s| clipped(s.range, range)).collect()),
            overlapping,
        }
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
            days.extend(clipped(TimeRange { from, to }, range));
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
            hours.extend(clipped(TimeRange { from, to }, range));
            from = to;
        }
        hours
    }

    /// What is different on that day.
    fn exceptions_of(&self, day: Date) -> &[Exception] {
        let first = self.exceptions.partition_point(|e| e.date() < day);
        let after = self.exceptions.partition_point(|e| e.date() <= day);
        self.exceptions.get(first..after).unwrap_or_default()
    }

    fn date_of(&self, at: Timestamp) -> Option<Date> {
        Some(Instant::from_microsecond(at.as_micros()).ok()?.to_zoned(self.zone.clone()).date())
    }

    fn on_day(&self, day: Date, rule: &ShiftRule) -> Option<Shift> {
        let next = day.tomorrow().ok()?;
        let end_day = if rule.end > rule.start { day } else { next };
        let range = TimeRange { from: self.instant(day, rule.start)?, to: self.instant(end_day, rule.end)? };
        let mut breaks = Vec::with_capacity(rule.breaks.len());
        for pause in &rule.breaks {
            let from_day = if pause.start >= rule.start { day } else { next };
            let to_day = if pause.end > pause.start { from_day } else { next };
            let of_clock = TimeRange { from: self.instant(from_day, pause.start)?, to: self.instant(to_day, pause.end)? };
            breaks.extend(clipped(of_clock, range).map(|r| (pause.name.clone(), r)));
        }
        Some(Shift { name: rule.name.clone(), range, breaks })
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
            gaps.extend(clipped(TimeRange { from: at, to: c.from }, range));
        }
        at = at.max(c.to);
    }
    gaps.extend(clipped(TimeRange { from: at, to: range.to }, range));
    gaps
}

/// In order, and what overlaps or meets made one; empty and backward ones left out.
pub fn merged(mut periods: Vec<TimeRange>) -> Vec<TimeRange> {
    periods.retain(|p| p.from < p.to);
    periods.sort_by_key(|p| p.from);
    let mut out: Vec<TimeRange> = Vec::with_capacity(periods.len());
    for period in periods {
        match out.last_mut().filter(|last| period.from <= last.to) {
            Some(last) => last.to = last.to.max(period.to),
            None => out.push(period),
        }
    }
    out
}

/// What two intervals share, if they do.
pub fn clipped(interval: TimeRange, range: TimeRange) -> Option<TimeRange> {
    let clipped = TimeRange { from: interval.from.max(range.from), to: interval.to.min(range.to) };
    (clipped.from < clipped.to).then_some(clipped)
}

fn second_of_day(time: Time) -> i64 {
    i64::from(time.hour()) * 3_600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

/// From `start`, through midnight if need be.
fn length_s(start: Time, end: Time) -> i64 {
    let length = second_of_day(end) - second_of_day(start);
    if length > 0 { length } else { length + DAY_S }
}

fn check_breaks(rule: &ShiftRule) -> Result<(), CalendarError> {
    for pause in &rule.breaks {
        let begins = (second_of_day(pause.start) - second_of_day(rule.start)).rem_euclid(DAY_S);
        if begins + length_s(pause.start, pause.end) > length_s(rule.start, rule.end) {
            return Err(CalendarError::BreakOutside { shift: rule.name.clone(), name: pause.name.clone() });
        }
    }
    Ok(())
}

/// Whether two rules share a second of the week's clock.
fn overlap(a: &ShiftRule, b: &ShiftRule) -> bool {
    const WEEK_S: i64 = 7 * DAY_S;
    let beginnings = |rule: &ShiftRule| -> Vec<i64> {
        (0..7_i64).filter(|day| rule.days.0 & (1 << day) != 0).map(|day| day * DAY_S + second_of_day(rule.start)).collect()
    };
    let (length_a, length_b) = (length_s(a.start, a.end), length_s(b.start, b.end));
    beginnings(a).iter().any(|&x| {
        beginnings(b).iter().any(|&y| {
            let later = (y - x).rem_euclid(WEEK_S);
            later < length_a || WEEK_S - later < length_b
        })
    })
}

#[cfg(test)]
mod tests;
