//! Looks at gateways every few seconds: which alarms stand, and what to tell of it.
//!
//! Beside the way of the data. Invariant: `causes` is pure, and says nothing of a gateway that was not heard in this process's time or is revoked.

use lake::LakeError;
use protocol::Timestamp;

use crate::{
    alarms::AlarmKind,
    app::App,
    audit::{Audit, Verdict},
    live::LiveEvent,
    metrics,
    store::StoreError,
    twin::{AlarmView, GatewayState, Presence},
};

/// A restored gateway is told of for so long.
const RESTORED_FOR_US: i64 = 86_400 * 1_000_000;

/// Why gateways could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the lake: {0}")]
    Lake(#[from] LakeError),
}

/// What is known of one gateway.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub state: &'a GatewayState,
    /// Also from before this process.
    pub presence: Presence,
    pub skew_us: Option<i64>,
    pub forked_since: Option<Timestamp>,
    pub audit: Option<Audit>,
}

/// What is wrong with it.
pub fn causes(seen: Seen<'_>, max_skew_us: i64, started_at: Timestamp, now: Timestamp) -> Vec<(AlarmKind, Option<Timestamp>, String)> {
    let mut causes = Vec::new();
    let online = seen.presence.is_online(started_at, now);
    if let Some(last) = seen.presence.last_seen.filter(|_| !online) {
        causes.push((AlarmKind::Offline, Some(last), format!("not heard for {} s", now.micros_since(last) / 1_000_000)));
    }
    if let Some(skew_us) = seen.skew_us.filter(|skew| online && skew.saturating_abs() > max_skew_us) {
        let (seconds, side) = (skew_us.unsigned_abs() as f64 / 1e6, if skew_us > 0 { "behind" } else { "ahead of" });
        causes.push((AlarmKind::ClockSkew, None, format!("its clock is {seconds:.1} s {side} the collector's")));
    }
    if seen.state.status.as_ref().is_some_and(|status| online && !status.durable) {
        causes.push((AlarmKind::NotDurable, None, "it can keep records in memory only: its disk is full or fails".to_owned()));
    }
    if let Some(since) = seen.forked_since.filter(|since| now.micros_since(*since) <= RESTORED_FOR_US) {
        let detail = "it was restored from a backup: what an earlier run told of the same checkpoint is not stored again";
        causes.push((AlarmKind::Restored, Some(since), detail.to_owned()));
    }
    if let Some(audit) = seen.audit.filter(|audit| audit.verdict == Verdict::Unaccounted) {
        causes.push((AlarmKind::Unaccounted, audit.since, audit.text()));
    }
    causes
}

/// Looks at all of them, tells what changed, and counts.
///
/// # Errors
/// [`WatchError`]; alarms stay as they were.
pub async fn look(app: &App, now: Timestamp) -> Result<(), WatchError> {
    let (rows, states, audits) = (app.store.gateways().await?, app.twin.gateways(), app.auditor.audits(now));
    let max_skew_us = i64::try_from(app.config.uplink.max_skew.as_micros()).unwrap_or(i64::MAX);
    let (none, mut changes, mut worst_skew) = (GatewayState::default(), Vec::new(), 0i64);
    let mut alarms = app.alarms.lock();
    for row in &rows {
        let state = states.get(&row.gateway).unwrap_or(&none);
        let tally = app.tally.of(&row.gateway);
        let seen = Seen {
            state,
            presence: Presence { last_seen: state.last_seen.max(row.last_seen), excused_until: state.excused_until },
            skew_us: tally.skew.median_us(),
            forked_since: tally.forked_since,
            audit: audits.get(&row.gateway).copied(),
        };
        worst_skew = worst_skew.max(seen.skew_us.map_or(0, i64::saturating_abs));
        let causes = if row.revoked_at.is_some() { Vec::new() } else { causes(seen, max_skew_us, app.started_at, now) };
        changes.extend(alarms.update(now, &row.gateway, causes));
    }
    for kind in AlarmKind::ALL {
        metrics::alarms(kind.as_str(), alarms.count(kind));
    }
    drop(alarms);
    metrics::skew(worst_skew as f64 / 1e6);
    let sum = |of: fn(&Audit) -> u64| audits.values().map(of).fold(0u64, u64::saturating_add);
    let unaccounted = |audit: &Audit| if audit.verdict == Verdict::Unaccounted { audit.unaccounted.unsigned_abs() } else { 0 };
    metrics::audit(sum(|audit| audit.counts.stored), sum(|audit| audit.counts.lost), sum(|audit| audit.twice), sum(unaccounted));
    for change in &changes {
        let (kind, detail) = (change.alarm.kind.as_str(), &change.alarm.detail);
        tracing::warn!(gateway = %change.gateway, kind, raised = change.raised, %detail, "alarm of a gateway");
    }
    if !changes.is_empty() {
        app.live.publish(LiveEvent::Alarms(changes.iter().map(AlarmView::of_change).collect()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * SECOND)
    }

    fn heard(seconds: i64) -> Presence {
        Presence { last_seen: Some(at(seconds)), excused_until: None }
    }

    fn kinds(seen: Seen<'_>, started_at: i64, now: i64) -> Vec<AlarmKind> {
        causes(seen, 5 * SECOND, at(started_at), at(now)).into_iter().map(|(kind, ..)| kind).collect()
    }

    #[test]
    fn a_start_of_the_collector_takes_no_gateway_offline_and_silence_does() {
        let state = GatewayState::default();
        let seen = Seen { state: &state, presence: heard(100), skew_us: None, forked_since: None, audit: None };
        assert_eq!(kinds(seen, 5_000, 5_090), [], "the collector was down, not the gateway");
        assert_eq!(kinds(seen, 5_000, 5_091), [AlarmKind::Offline]);
        assert_eq!(kinds(Seen { presence: Presence::default(), ..seen }, 5_000, 9_000), [], "it was never heard");
        let sent_away = Presence { excused_until: Some(at(5_200)), ..heard(5_100) };
        assert_eq!(kinds(Seen { presence: sent_away, ..seen }, 5_000, 5_215), [], "it does as it was told");
        assert_eq!(kinds(Seen { presence: sent_away, ..seen }, 5_000, 5_216), [AlarmKind::Offline]);
    }

    #[test]
    fn a_clock_is_wrong_in_either_direction_and_only_while_it_is_heard() {
        let state = GatewayState::default();
        let seen = Seen { state: &state, presence: heard(100), skew_us: Some(5 * SECOND), forked_since: None, audit: None };
        assert_eq!(kinds(seen, 0, 101), []);
        for skew in [5 * SECOND + 1, -7_200 * SECOND] {
            assert_eq!(kinds(Seen { skew_us: Some(skew), ..seen }, 0, 101), [AlarmKind::ClockSkew]);
            assert_eq!(kinds(Seen { skew_us: Some(skew), ..seen }, 0, 200), [AlarmKind::Offline]);
        }
    }

    #[test]
    fn a_restored_gateway_is_told_of_for_a_day() {
        let state = GatewayState::default();
        let seen = Seen { state: &state, presence: heard(90_000), skew_us: None, forked_since: Some(at(100)), audit: None };
        assert_eq!(kinds(seen, 0, 86_500), [AlarmKind::Restored]);
        assert_eq!(kinds(seen, 0, 86_501), []);
    }
}
