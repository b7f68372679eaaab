//! Local time: quarter hours, hours, days and months as the clock on the wall shows them, in stretches of UTC.
//!
//! Stands between a zone and buckets, demand and tariffs. Pure.
//!
//! Invariant: stretches follow each other without gap or overlap, also when clocks are put forward or back: that day has 92 or 100 quarter hours in
//! Berlin. A repeated hour is two hours of the same name.

use jiff::{Timestamp as Instant, civil::Date, tz::TimeZone};
use protocol::{TimeRange, Timestamp};

pub(super) const DAY_US: i64 = 86_400_000_000;

/// A stretch in which the local clock runs evenly: local time is UTC plus `offset_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Even {
    pub(super) range: TimeRange,
    pub(super) offset_us: i64,
}

pub(super) fn instant(at: i64) -> Instant {
    Instant::from_microsecond(at).unwrap_or(Instant::UNIX_EPOCH)
}

pub(super) fn date(zone: &TimeZone, at: Timestamp) -> Date {
    zone.to_datetime(instant(at.as_micros())).date()
}

/// `range` in stretches of one offset.
pub(super) fn even(zone: &TimeZone, range: TimeRange) -> Vec<Even> {
    let mut all = Vec::new();
    let mut at = range.from;
    for transition in zone.following(instant(range.from.as_micros())) {
        let to = Timestamp::from_micros(transition.timestamp().as_microsecond());
        if to >= range.to {
            break;
        }
        if to > at {
            all.push(Even { range: TimeRange { from: at, to }, offset_us: offset(zone, at) });
            at = to;
        }
    }
    if at < range.to {
        all.push(Even { range: TimeRange { from: at, to: range.to }, offset_us: offset(zone, at) });
    }
    all
}

/// Every local step of `step_us` that shares an instant with `range`, whole; at most `limit`.
pub(super) fn steps(zone: &TimeZone, range: TimeRange, step_us: i64, limit: usize) -> Vec<TimeRange> {
    let mut steps: Vec<TimeRange> = Vec::new();
    let mut at = range.from;
    while at < range.to && steps.len() < limit {
        let into = (at.as_micros() + offset(zone, at)).rem_euclid(step_us);
        let from = steps.last().map_or(at.plus_micros(-into), |s| s.to);
        let to = at.plus_micros(step_us - into);
        steps.push(TimeRange { from, to });
        at = to;
    }
    steps
}

/// The local days that share an instant with `range`, whole; at most `limit`.
pub(super) fn days(zone: &TimeZone, range: TimeRange, limit: usize) -> Vec<TimeRange> {
    let mut days = Vec::new();
    let mut day = date(zone, range.from);
    while days.len() < limit {
        let (Some(from), Ok(next)) = (midnight(zone, day), day.tomorrow()) else { break };
        let Some(to) = midnight(zone, next) else { break };
        if from >= range.to {
            break;
        }
        if from < to {
            days.push(TimeRange { from, to });
        }
        day = next;
    }
    days
}

/// The local month that `at` lies in: its name (`2026-03`) and its stretch.
pub(super) fn month(zone: &TimeZone, at: Timestamp) -> Option<(String, TimeRange)> {
    let day = date(zone, at);
    let first = day.first_of_month();
    let next = day.last_of_month().tomorrow().ok()?;
    let range = TimeRange { from: midnight(zone, first)?, to: midnight(zone, next)? };
    Some((format!("{:04}-{:02}", day.year(), day.month()), range))
}

fn midnight(zone: &TimeZone, day: Date) -> Option<Timestamp> {
    let zoned = zone.to_ambiguous_zoned(day.to_datetime(jiff::civil::Time::midnight())).compatible().ok()?;
    Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
}

fn offset(zone: &TimeZone, at: Timestamp) -> i64 {
    i64::from(zone.to_offset(instant(at.as_micros())).seconds()) * 1_000_000
}
