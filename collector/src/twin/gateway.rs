//! One gateway: what it last said of itself, when it was heard, what it lost.
//!
//! Owned by [`super::Twin`]. Invariant: online is derived from what was heard; neither a start of the collector alone nor a wait that it asked for
//! takes a gateway offline.

use std::collections::BTreeMap;

use protocol::{GatewayStatus, LossReason, TimeRange, Timestamp};

use super::backlog::{self, Newest};

/// Gateways report every second or few (an upload or a heartbeat); three times the expected interval without one is offline.
pub const ONLINE_FOR_US: i64 = 15_000_000;

/// A gateway that found no collector tries again after a minute at most (its longest wait), and a try may take half a minute. So long nobody is
/// missed after a start.
pub const RETURN_FOR_US: i64 = 90_000_000;

#[derive(Debug, Default)]
pub(super) struct Gateway {
    pub(super) last_seen: Option<Timestamp>,
    pub(super) excused_until: Option<Timestamp>,
    pub(super) status: Option<GatewayStatus>,
    pub(super) readings_stored: u64,
    pub(super) losses: BTreeMap<LossReason, u64>,
    newest: Option<Newest>,
    /// What it holds and has not sent.
    pub(super) hole: Option<TimeRange>,
}

impl Gateway {
    pub(super) fn heard(&mut self, received_at: Timestamp, status: &GatewayStatus) {
        if self.last_seen.is_some_and(|last| received_at < last) {
            return;
        }
        (self.last_seen, self.excused_until) = (Some(received_at), None);
        self.newest = Newest::next(self.newest, received_at, status);
        self.hole = backlog::hole(self.newest, received_at, status);
        self.status = Some(status.clone());
    }

    pub(super) fn sent_away(&mut self, received_at: Timestamp, until: Timestamp) {
        self.last_seen = self.last_seen.max(Some(received_at));
        self.excused_until = self.excused_until.max(Some(until));
    }

    pub(super) fn presence(&self) -> Presence {
        Presence { last_seen: self.last_seen, excused_until: self.excused_until }
    }
}

/// What tells whether a gateway is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Presence {
    pub last_seen: Option<Timestamp>,
    /// It was told to stay away until then.
    pub excused_until: Option<Timestamp>,
}

impl Presence {
    /// Whether it counts as there at `now`. After `started_at` those who were heard before it have the time that they may need to come back.
    pub fn is_online(self, started_at: Timestamp, now: Timestamp) -> bool {
        let Some(last) = self.last_seen else { return false };
        let returned = if last < started_at { started_at.plus_micros(RETURN_FOR_US - ONLINE_FOR_US) } else { last };
        now.micros_since(returned.max(self.excused_until.unwrap_or(last))) <= ONLINE_FOR_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn is_online(last_seen: Option<i64>, started_at: i64, now: i64) -> bool {
        Presence { last_seen: last_seen.map(s), excused_until: None }.is_online(s(started_at), s(now))
    }

    #[test]
    fn silence_takes_a_gateway_offline_but_a_restart_of_the_collector_gives_time_to_come_back() {
        assert!(is_online(Some(100), 0, 115));
        assert!(!is_online(Some(100), 0, 116));
        assert!(is_online(Some(100), 200, 290), "the collector was down, not the gateway");
        assert!(!is_online(Some(100), 200, 291));
        assert!(is_online(Some(205), 200, 220), "it has come back");
        assert!(!is_online(Some(205), 200, 221), "and has gone again");
        assert!(!is_online(None, 200, 201), "never heard");
    }

    #[test]
    fn who_was_told_to_stay_away_is_not_missed_before_the_time_is_over() {
        let mut gateway = Gateway::default();
        gateway.sent_away(s(100), s(160));
        gateway.sent_away(s(99), s(120));
        assert_eq!(gateway.last_seen, Some(s(100)), "it was heard");
        assert!(gateway.presence().is_online(s(0), s(175)));
        assert!(!gateway.presence().is_online(s(0), s(176)));
    }
}
