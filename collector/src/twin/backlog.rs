//! What of a gateway's time is not here yet, though newer data is: it sends the newest first, and its backlog after it.
//!
//! Beside [`super::gateway`], which hears what a gateway holds. Without this a state would seem to stand through an outage, and parts to be missing, until
//! the backlog has come. Pure. Invariant: as long as a gateway says that it holds something old, the time from there to its newest generation is a
//! hole, also if much of it has come.

use kpi::oee::PartInterval;
use protocol::{GatewayStatus, TimeRange, Timestamp};

/// What is on its way is no backlog.
const UNDER_WAY_US: i64 = 60_000_000;
/// A record is made so much later than what it tells of begins (a count, a window), mostly.
const REACH_US: i64 = 60_000_000;

/// The newest generation that a gateway has told of, and when it told of it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newest {
    generation: u64,
    since: Timestamp,
}

impl Newest {
    /// With what a status that came at `received_at` tells.
    pub(super) fn next(known: Option<Self>, received_at: Timestamp, status: &GatewayStatus) -> Option<Self> {
        let generation = status.streams.first().map(|held| held.stream.generation());
        generation
            .filter(|new| known.is_none_or(|known| known.generation != *new))
            .map_or(known, |generation| Some(Self { generation, since: received_at }))
    }
}

/// What is missing by this status, which came at `received_at`.
pub(super) fn hole(newest: Option<Newest>, received_at: Timestamp, status: &GatewayStatus) -> Option<TimeRange> {
    let age_us = i64::try_from(status.oldest_unsent_age_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
    if age_us <= UNDER_WAY_US || status.backlog_entries == 0 {
        return None;
    }
    let oldest = received_at.plus_micros(age_us.saturating_neg());
    let from = oldest.plus_micros(-REACH_US);
    // Of the newest generation alone nothing is here from there on.
    let to = newest.map_or(received_at, |newest| if newest.since > oldest { newest.since } else { received_at });
    (from < to).then_some(TimeRange { from, to })
}

/// Counts that lie outside of `holes`: of what is known the parts, and no others.
pub fn outside(holes: &[TimeRange], counts: impl Iterator<Item = PartInterval>) -> Vec<PartInterval> {
    let within = |count: &PartInterval| holes.iter().any(|hole| hole.from < count.to && count.from < hole.to);
    counts.filter(|count| !within(count)).collect()
}

#[cfg(test)]
mod tests {
    use protocol::{HeldStream, StreamId};

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn status(generations: &[u64], entries: u64, oldest_minutes: i64) -> GatewayStatus {
        let held = |generation: &u64| HeldStream { stream: StreamId::of(generation << 8, 0), first: 1, acked: 0, next: 9 };
        GatewayStatus {
            streams: generations.iter().map(held).collect(),
            backlog_entries: entries,
            oldest_unsent_age_ms: u64::try_from(oldest_minutes * 60_000).unwrap(),
            ..GatewayStatus::default()
        }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp(minutes * MINUTE)
    }

    #[test]
    fn after_an_outage_its_time_is_a_hole_until_the_backlog_has_come() {
        let before = Newest::next(None, at(0), &status(&[1], 1, 0));
        assert_eq!(hole(before, at(0), &status(&[1], 1, 0)), None, "what is under way is no backlog");
        // Six hours later it is heard again, and has made no new generation yet: all since then is missing.
        let first = status(&[1], 500, 360);
        let newest = Newest::next(before, at(360), &first);
        assert_eq!(hole(newest, at(360), &first), Some(TimeRange { from: at(-1), to: at(360) }));
        // What is made from here on comes first.
        let live = status(&[2, 1], 500, 361);
        let newest = Newest::next(newest, at(361), &live);
        assert_eq!(hole(newest, at(361), &live), Some(TimeRange { from: at(-1), to: at(361) }));
        let later = status(&[2, 1], 300, 370);
        assert_eq!(hole(Newest::next(newest, at(370), &later), at(370), &later), Some(TimeRange { from: at(-1), to: at(361) }));
        assert_eq!(hole(newest, at(380), &status(&[2, 1], 0, 0)), None);
    }

    #[test]
    fn counts_that_reach_into_a_hole_are_left_out() {
        let count = |from, to| PartInterval { from: at(from), to: at(to), ..PartInterval::default() };
        let kept = outside(
            &[TimeRange { from: at(10), to: at(20) }],
            [(8, 10), (9, 11), (14, 15), (19, 21), (20, 22)].map(|(f, t)| count(f, t)).into_iter(),
        );
        assert_eq!(kept, [count(8, 10), count(20, 22)]);
    }
}
