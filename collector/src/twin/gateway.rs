//! One gateway: what it last said of itself, when it was heard, what it lost.
//!
//! Owned by [`super::Twin`]. Invariant: online is derived from what was heard, and a start of the collector alone takes no gateway offline.

use std::collections::BTreeMap;

use protocol::{GatewayStatus, LossReason, Timestamp};

/// Gateways report every second or few (an upload or a heartbeat); three times the expected interval without one is offline.
pub const ONLINE_FOR_US: i64 = 15_000_000;

#[derive(Debug, Default)]
pub(super) struct Gateway {
    pub(super) last_seen: Option<Timestamp>,
    pub(super) status: Option<GatewayStatus>,
    pub(super) readings_stored: u64,
    pub(super) losses: BTreeMap<LossReason, u64>,
}

impl Gateway {
    pub(super) fn heard(&mut self, received_at: Timestamp, status: &GatewayStatus) {
        if self.last_seen.is_some_and(|last| received_at < last) {
            return;
        }
        self.last_seen = Some(received_at);
        self.status = Some(status.clone());
    }
}

/// Whether something last heard at `last_seen` counts as there at `now`. For a while after `started_at` nobody is offline who was heard before it.
pub fn is_online(last_seen: Option<Timestamp>, started_at: Timestamp, now: Timestamp) -> bool {
    last_seen.is_some_and(|last| now.micros_since(last.max(started_at)) <= ONLINE_FOR_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_takes_a_gateway_offline_but_a_restart_of_the_collector_gives_grace() {
        let s = |seconds: i64| Timestamp(seconds * 1_000_000);
        assert!(is_online(Some(s(100)), s(0), s(115)));
        assert!(!is_online(Some(s(100)), s(0), s(116)));
        assert!(is_online(Some(s(100)), s(200), s(210)), "the collector was down, not the gateway");
        assert!(!is_online(Some(s(100)), s(200), s(216)));
        assert!(!is_online(None, s(200), s(201)), "never heard");
    }
}
