//! How fast gateways may send: holds in acknowledgements, and when to turn a batch away.
//!
//! Beside the intake, which asks it for each answer. Live data is never held back. What comes from a backlog obeys one rate for the whole plant:
//! every such batch books its rows on one timeline, and on the gateway's own at its share of the rate; who comes next may come when both have
//! passed. The fuller the journal and the memory are, the slower the timeline; before they are full, batches are turned away (503) for times that
//! grow and that are spread, so that those who come back do not come together.
//!
//! Pure: the time and the random numbers are given. Invariant: it remembers at most one entry for each gateway, and forgets those without a backlog.

use std::{collections::HashMap, time::Duration};

use protocol::{GatewayId, Timestamp};

/// A gateway that has sent nothing of a backlog for so long has none.
const BACKLOG_US: i64 = 60_000_000;
/// The longest hold; also bounds how far the timelines run ahead.
const MAX_HOLD_US: i64 = 60_000_000;
/// Catch-up slows down from here on ...
const EASY: f64 = 0.5;
/// ... and rests here.
const TIGHT: f64 = 0.9;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// What was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Rows a second of all backlogs together.
    pub catch_up_rows_per_s: u32,
    /// Before what was acknowledged elsewhere is given up, the lake is asked so much later. 0: this collector has the lake for itself.
    pub elsewhere_patience_us: i64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { catch_up_rows_per_s: 50_000, elsewhere_patience_us: 0 }
    }
}

/// How full the two places are that rows wait in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fill {
    /// Of memory: hot rows by their maximum.
    pub lake: f64,
    /// Of the journal: bytes by their maximum.
    pub journal: f64,
}

impl Fill {
    pub fn of(hot_rows: usize, max_hot_rows: usize, journal_bytes: u64, max_journal_bytes: u64) -> Self {
        let part = |used: f64, max: f64| if max > 0.0 { (used / max).clamp(0.0, 1.0) } else { 1.0 };
        Self { lake: part(hot_rows as f64, max_hot_rows as f64), journal: part(journal_bytes as f64, max_journal_bytes as f64) }
    }

    fn worst(self) -> f64 {
        self.lake.max(self.journal)
    }
}

/// What an acknowledgement asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hold {
    pub hold_ms: u32,
    pub catch_up_hold_ms: u32,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    /// When its next batch of a backlog may come.
    next: Timestamp,
    seen: Timestamp,
}

/// Remembers who catches up.
#[derive(Debug, Clone)]
pub struct Pacer {
    pacing: Pacing,
    /// When the plant's rate allows the next batch of any backlog.
    next: Timestamp,
    shares: HashMap<GatewayId, Share>,
}

impl Pacer {
    pub fn new(pacing: Pacing) -> Self {
        Self { pacing, next: Timestamp::default(), shares: HashMap::new() }
    }

    /// What to ask of `gateway`, of which a batch of `rows` has come: of a backlog or not.
    pub fn hold(&mut self, now: Timestamp, gateway: &GatewayId, rows: usize, catch_up: bool, fill: Fill) -> Hold {
        self.shares.retain(|_, share| now.micros_since(share.seen) <= BACKLOG_US);
        if catch_up {
            let cost = self.cost_us(rows, fill);
            let ahead = now.plus_micros(MAX_HOLD_US);
            self.next = self.next.max(now).plus_micros(cost).min(ahead);
            let others = self.shares.len() + usize::from(!self.shares.contains_key(gateway));
            let share = self.shares.entry(gateway.clone()).or_insert(Share { next: now, seen: now });
            let own = cost.saturating_mul(i64::try_from(others).unwrap_or(i64::MAX));
            *share = Share { next: share.next.max(now).plus_micros(own).min(ahead), seen: now };
        }
        let next = self.shares.get(gateway).map_or(now, |share| share.next.max(self.next));
        let catch_up_hold_ms = u32::try_from(next.micros_since(now).max(0).div_euclid(1_000)).unwrap_or(u32::MAX);
        Hold { hold_ms: 0, catch_up_hold_ms }
    }

    /// Gateways that have sent of a backlog within the last minute.
    pub fn catching_up(&self) -> usize {
        self.shares.len()
    }

    fn cost_us(&self, rows: usize, fill: Fill) -> i64 {
        let slow = ((TIGHT - fill.worst()) / (TIGHT - EASY)).clamp(0.0, 1.0);
        let rate = f64::from(self.pacing.catch_up_rows_per_s.max(1)) * slow;
        let us = rows as f64 / rate * 1e6;
        // Also if the rate is nothing at all.
        if us.is_finite() { (us.min(MAX_HOLD_US as f64)) as i64 } else { MAX_HOLD_US }
    }
}

/// How long those are to stay away who had to be turned away: longer the longer it lasts, and the more of what comes it hits. A queue that is full
/// for a moment now and then must not send the fleet away for a minute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overload {
    since: Option<Timestamp>,
    last: Timestamp,
    /// Batches of the last while that were taken, and those that were not; both fade.
    taken: f64,
    away: f64,
    faded_at: Timestamp,
}

/// An overload is over when nobody was turned away for so long; batches of longer ago count little.
const CALM_US: i64 = 10_000_000;

impl Overload {
    /// A batch is taken.
    pub fn took(&mut self, now: Timestamp) {
        self.fade(now);
        self.taken += 1.0;
    }

    /// A batch is turned away. `random` in [0, 1) spreads those who come back.
    pub fn turned_away(&mut self, now: Timestamp, random: f64) -> Duration {
        if now.micros_since(self.last) > CALM_US {
            self.since = None;
        }
        let since = *self.since.get_or_insert(now);
        self.last = now;
        let lasted = Duration::from_micros(u64::try_from(now.micros_since(since)).unwrap_or(0));
        self.fade(now);
        self.away += 1.0;
        let share = self.away / (self.away + self.taken);
        let about = (FIRST_RETRY + (lasted / 2).mul_f64(share)).min(LAST_RETRY);
        // Whole seconds travel in the header, so what is spread is more than one.
        (about.mul_f64(0.5) + about.max(2 * FIRST_RETRY).mul_f64(random.clamp(0.0, 1.0))).max(FIRST_RETRY)
    }

    fn fade(&mut self, now: Timestamp) {
        let passed = now.micros_since(self.faded_at).max(0) as f64;
        let left = (-passed / CALM_US as f64).exp();
        (self.taken, self.away, self.faded_at) = (self.taken * left, self.away * left, self.faded_at.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(n: usize) -> GatewayId {
        GatewayId::new(&format!("gw-{n}")).expect("valid")
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp((seconds * 1e6) as i64)
    }

    /// Gateways that obey: rows that came of each within `seconds`.
    fn run(gateways: usize, rows: usize, seconds: f64, fill: Fill) -> Vec<u64> {
        let mut pacer = Pacer::new(Pacing { catch_up_rows_per_s: 10_000, ..Pacing::default() });
        let mut due = vec![0.0f64; gateways];
        let mut sent = vec![0u64; gateways];
        loop {
            let (who, when) = due.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).expect("some");
            if when >= seconds {
                return sent;
            }
            sent[who] += rows as u64;
            let hold = pacer.hold(at(when), &gateway(who), rows, true, fill);
            assert_eq!(hold.hold_ms, 0, "live is not held");
            due[who] = when + f64::from(hold.catch_up_hold_ms) / 1e3 + 0.001;
        }
    }

    #[test]
    fn all_backlogs_together_obey_the_rate_and_share_it() {
        for gateways in [1, 2, 20, 100] {
            let sent = run(gateways, 500, 60.0, Fill::default());
            let all: u64 = sent.iter().sum();
            // The first batch of each comes unasked.
            let allowed = 600_000 + gateways as u64 * 500;
            assert!((540_000..=allowed).contains(&all), "{gateways} gateways sent {all} in a minute");
            let (least, most) = (sent.iter().min().expect("some"), sent.iter().max().expect("some"));
            assert!(*most <= least + 2 * 500 + most / 10, "{gateways}: {least}..{most}");
        }
    }

    #[test]
    fn catch_up_slows_down_as_rows_pile_up_and_rests_before_they_are_too_many() {
        let all = |lake: f64| run(4, 500, 60.0, Fill { lake, journal: 0.0 }).iter().sum::<u64>();
        let (empty, half, tight) = (all(0.0), all(0.7), all(0.95));
        assert!(half < empty * 6 / 10 && half > empty * 4 / 10, "{half} of {empty}");
        assert!(tight <= 4 * 500 * 2, "{tight}");
    }

    #[test]
    fn who_has_no_backlog_is_held_by_nothing() {
        let mut pacer = Pacer::new(Pacing { catch_up_rows_per_s: 1, ..Pacing::default() });
        assert!(pacer.hold(at(0.0), &gateway(1), 50_000, true, Fill::default()).catch_up_hold_ms > 10_000);
        assert_eq!(pacer.hold(at(0.1), &gateway(2), 50_000, false, Fill { lake: 0.99, journal: 0.99 }), Hold::default());
        assert_eq!(pacer.catching_up(), 1);
        pacer.hold(at(100.0), &gateway(2), 1, false, Fill::default());
        assert_eq!(pacer.catching_up(), 0, "it is forgotten");
    }

    #[test]
    fn a_live_batch_of_one_who_catches_up_tells_what_is_left_of_the_hold() {
        let mut pacer = Pacer::new(Pacing { catch_up_rows_per_s: 1_000, ..Pacing::default() });
        let first = pacer.hold(at(0.0), &gateway(1), 2_000, true, Fill::default()).catch_up_hold_ms;
        let later = pacer.hold(at(1.0), &gateway(1), 10, false, Fill::default()).catch_up_hold_ms;
        assert_eq!((first, later), (2_000, 1_000));
    }

    #[test]
    fn times_to_stay_away_grow_are_spread_and_begin_anew_after_a_calm() {
        let mut overload = Overload::default();
        let first = overload.turned_away(at(0.0), 0.5);
        assert!(first >= Duration::from_secs(1) && first <= Duration::from_secs(3), "{first:?}");
        let mut later = first;
        for second in 1..60 {
            later = overload.turned_away(at(f64::from(second)), 0.5);
        }
        assert!(later > 5 * first, "{later:?}");
        let (short, long) = (overload.turned_away(at(60.0), 0.0), overload.turned_away(at(60.0), 0.999));
        assert!(long > 2 * short && long <= LAST_RETRY * 2, "{short:?} {long:?}");
        assert!(overload.turned_away(at(200.0), 0.5) <= Duration::from_secs(3));
    }

    #[test]
    fn a_queue_that_is_full_now_and_then_sends_nobody_away_for_long() {
        let mut overload = Overload::default();
        let mut longest = Duration::ZERO;
        for hundredth in 0..30_000 {
            let now = at(f64::from(hundredth) / 100.0);
            if hundredth % 50 == 0 {
                longest = longest.max(overload.turned_away(now, 0.999));
            } else {
                overload.took(now);
            }
        }
        assert!(longest <= Duration::from_secs(7), "{longest:?} for one of fifty over five minutes");
        for second in 300..330 {
            overload.turned_away(at(f64::from(second)), 0.5);
        }
        assert!(overload.turned_away(at(330.0), 0.5) > Duration::from_secs(30), "nothing is taken any more");
    }
}
