//! Parts from a cumulative counter: differences, with wraps, resets and steps backwards told apart.
//!
//! Stands before `oee` for event logs that a client sends; a gateway's `PartCount`s are differences already. Pure.
//!
//! A lower value than the one before is, in this order:
//! 1. a wrap, if the counter's width is known and the step over its end is less than half of it, or, with an unknown width, if the counter was in
//!    the last tenth of 16 or 32 bits and is in the first tenth now;
//! 2. a step backwards, if it is no more than 1 % (or 2 parts): a correction by hand, or values that overtook each other. No parts, and none again
//!    until the highest value is passed;
//! 3. a reset (power-up): what it shows has been made since.

use protocol::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::oee::PartInterval;

/// The counter showed `value` at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterPoint {
    pub at: Timestamp,
    pub value: u64,
}

/// How many bits a counter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub enum Width {
    #[default]
    #[serde(rename = "auto")]
    Unknown,
    #[serde(rename = "16")]
    Bits16,
    #[serde(rename = "32")]
    Bits32,
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Produced,
    Rejected,
    Reworked,
}

/// What was seen while differences were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CounterNotes {
    pub wraps: u32,
    pub resets: u32,
    pub backwards: u32,
}

/// The parts between each two neighbouring values. `points` in any order; of two values at one instant the greater counts.
pub fn differences(points: &[CounterPoint], width: Width, counted: Counted) -> (Vec<PartInterval>, CounterNotes) {
    let mut points = points.to_vec();
    points.sort_unstable();
    let mut notes = CounterNotes::default();
    let mut intervals = Vec::with_capacity(points.len());
    let mut values = points.into_iter();
    let Some(first) = values.next() else { return (intervals, notes) };
    let (mut base, mut since) = (first.value, first.at);
    for point in values {
        if point.at == since {
            // No time for parts: a correction of the value.
            base = base.max(point.value);
            continue;
        }
        let parts = step(base, point.value, width, &mut notes);
        if parts > 0 {
            intervals.push(interval(since, point.at, parts, counted));
        }
        // After a step backwards the highest value stays the base.
        if point.value >= base || parts > 0 || !is_step_back(base, point.value) {
            base = point.value;
        }
        since = point.at;
    }
    (intervals, notes)
}

fn interval(from: Timestamp, to: Timestamp, parts: u64, counted: Counted) -> PartInterval {
    let mut interval = PartInterval { from, to, ..PartInterval::default() };
    match counted {
        Counted::Produced => interval.parts.produced = parts,
        Counted::Rejected => interval.parts.rejected = parts,
        Counted::Reworked => interval.parts.reworked = parts,
    }
    interval
}

fn step(before: u64, now: u64, width: Width, notes: &mut CounterNotes) -> u64 {
    if now >= before {
        return now - before;
    }
    let wrapped = match width {
        Width::Bits16 => over_end(before, now, 1 << 16).filter(|parts| *parts < 1 << 15),
        Width::Bits32 => over_end(before, now, 1 << 32).filter(|parts| *parts < 1 << 31),
        Width::Unknown => [1_u64 << 16, 1 << 32].into_iter().find_map(|modulus| {
            let at_its_end = before >= modulus - modulus / 10 && now < modulus / 10;
            over_end(before, now, modulus).filter(|_| at_its_end)
        }),
    };
    if let Some(parts) = wrapped {
        notes.wraps += 1;
        parts
    } else if is_step_back(before, now) {
        notes.backwards += 1;
        0
    } else {
        notes.resets += 1;
        now
    }
}

fn over_end(before: u64, now: u64, modulus: u64) -> Option<u64> {
    (before < modulus).then(|| modulus - before + now)
}

fn is_step_back(before: u64, now: u64) -> bool {
    // A counter at 0 was reset, however little it had counted.
    now < before && now > 0 && before - now <= (before / 100).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(values: &[u64], width: Width) -> (Vec<u64>, CounterNotes) {
        let points: Vec<_> = values.iter().enumerate().map(|(i, &value)| CounterPoint { at: Timestamp(i as i64), value }).collect();
        let (intervals, notes) = differences(&points, width, Counted::Produced);
        (intervals.iter().map(|i| i.parts.produced).collect(), notes)
    }

    #[test]
    fn parts_are_differences_and_standing_still_makes_none() {
        assert_eq!(parts(&[100, 102, 110, 110, 111], Width::Unknown), (vec![2, 8, 1], CounterNotes::default()));
        assert_eq!(parts(&[], Width::Unknown).0, Vec::<u64>::new());
        assert_eq!(parts(&[7], Width::Unknown).0, Vec::<u64>::new());
    }

    #[test]
    fn a_wrap_continues_at_16_and_32_bits() {
        let wrap = CounterNotes { wraps: 1, ..CounterNotes::default() };
        assert_eq!(parts(&[65_530, 4], Width::Unknown), (vec![10], wrap));
        assert_eq!(parts(&[u64::from(u32::MAX), 4], Width::Unknown), (vec![5], wrap));
        // Far from the end only a known width tells.
        assert_eq!(parts(&[50_000, 1_000], Width::Bits16), (vec![16_536], wrap));
        assert_eq!(parts(&[50_000, 1_000], Width::Unknown).0, [1_000]);
    }

    #[test]
    fn a_reset_at_power_up_starts_from_zero() {
        let reset = CounterNotes { resets: 1, ..CounterNotes::default() };
        assert_eq!(parts(&[5_000, 7, 9], Width::Unknown), (vec![7, 2], reset));
        assert_eq!(parts(&[20, 0, 3], Width::Bits16), (vec![3], reset));
        assert_eq!(parts(&[1, 0, 3], Width::Unknown), (vec![3], reset));
    }

    #[test]
    fn a_step_backwards_is_told_and_its_parts_are_not_counted_again() {
        let back = CounterNotes { backwards: 1, ..CounterNotes::default() };
        assert_eq!(parts(&[1_000, 998, 1_003], Width::Unknown), (vec![3], back));
        assert_eq!(parts(&[1_000, 998, 999, 1_000], Width::Unknown).0, Vec::<u64>::new());
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let points = [(3, 40), (1, 10), (2, 25), (2, 25)].map(|(at, value)| CounterPoint { at: Timestamp(at), value });
        let (intervals, _) = differences(&points, Width::Unknown, Counted::Rejected);
        assert_eq!(intervals.iter().map(|i| (i.from.0, i.to.0, i.parts.rejected)).collect::<Vec<_>>(), [(1, 2, 15), (2, 3, 15)]);
    }
}
