//! When a machine's state changes, to what, and why: a semi-Markov chain with producing in the middle.
//!
//! Invariant: two states in a row differ, and each stands for at least [`MIN_DWELL`], so that a poller with a cycle of one second sees all.

use std::time::Duration;

use rand::Rng;

use super::MachineState;
use crate::moment::seconds;

/// No state is shorter than this.
pub const MIN_DWELL: Duration = Duration::from_millis(2_200);

/// The next state: what, why, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    pub state: MachineState,
    pub reason: &'static str,
    pub dwell: Duration,
}

/// A way to stop: weight, state, reason, shortest and longest dwell in seconds at pace 1.
struct Stop(u32, MachineState, &'static str, f64, f64);

/// Micro-stops are the most frequent, breakdowns and changeovers the longest.
const STOPS: &[Stop] = &[
    Stop(24, MachineState::UnplannedStop, "jam", 2.2, 4.0),
    Stop(8, MachineState::UnplannedStop, "tool_breakage", 6.0, 12.0),
    Stop(5, MachineState::UnplannedStop, "drive_fault", 8.0, 16.0),
    Stop(18, MachineState::Idle, "no_material", 2.5, 7.0),
    Stop(12, MachineState::Idle, "blocked_downstream", 2.5, 6.0),
    Stop(12, MachineState::Setup, "tool_change", 4.0, 8.0),
    Stop(7, MachineState::Setup, "changeover", 6.0, 12.0),
    Stop(8, MachineState::PlannedStop, "break", 5.0, 9.0),
    Stop(6, MachineState::PlannedStop, "cleaning", 4.0, 8.0),
];

/// Producing stands for at least this and, on top, an exponential time of [`PRODUCING_MEAN_S`].
const PRODUCING_MIN_S: f64 = 5.0;
const PRODUCING_MEAN_S: f64 = 9.0;
const PRODUCING_MAX_S: f64 = 45.0;

/// What follows `current`. At pace 1 a machine shows a change every ten seconds or so; at pace 0.1 everything lasts ten times as long.
pub fn next(rng: &mut impl Rng, current: MachineState, pace: f64) -> Phase {
    if current == MachineState::Producing { stop(rng, pace) } else { producing(rng, pace) }
}

/// What a machine does first: mostly it produces, sometimes it is set up before.
pub fn first(rng: &mut impl Rng, pace: f64) -> Phase {
    if rng.random_bool(0.2) { phase(MachineState::Setup, "changeover", rng.random_range(4.0..8.0), pace) } else { producing(rng, pace) }
}

fn producing(rng: &mut impl Rng, pace: f64) -> Phase {
    let exponential = -PRODUCING_MEAN_S * (1.0 - rng.random::<f64>()).ln();
    phase(MachineState::Producing, "", (PRODUCING_MIN_S + exponential).min(PRODUCING_MAX_S), pace)
}

fn stop(rng: &mut impl Rng, pace: f64) -> Phase {
    let total: u32 = STOPS.iter().map(|stop| stop.0).sum();
    let mut ticket = rng.random_range(0..total);
    let mut chosen = &STOPS[0];
    for stop in STOPS {
        chosen = stop;
        if ticket < stop.0 {
            break;
        }
        ticket -= stop.0;
    }
    let &Stop(_, state, reason, shortest, longest) = chosen;
    phase(state, reason, rng.random_range(shortest..longest), pace)
}

fn phase(state: MachineState, reason: &'static str, dwell_s: f64, pace: f64) -> Phase {
    Phase { state, reason, dwell: seconds(dwell_s / pace).max(MIN_DWELL) }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn states_alternate_and_none_is_too_short_to_be_polled() {
        for pace in [0.1, 1.0, 20.0] {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let mut phase = first(&mut rng, pace);
            for _ in 0..2_000 {
                let following = next(&mut rng, phase.state, pace);
                assert_ne!(following.state, phase.state);
                assert!(following.dwell >= MIN_DWELL, "{following:?}");
                assert_eq!(following.reason.is_empty(), following.state == MachineState::Producing);
                phase = following;
            }
        }
    }

    #[test]
    fn every_kind_of_stop_occurs() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let reasons: std::collections::HashSet<_> = (0..2_000).map(|_| next(&mut rng, MachineState::Producing, 1.0).reason).collect();
        assert_eq!(reasons.len(), STOPS.len());
    }

    #[test]
    fn a_slower_pace_makes_everything_last_longer() {
        let total = |pace: f64| -> Duration {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            (0..200).map(|_| next(&mut rng, MachineState::Idle, pace).dwell).sum()
        };
        assert_eq!(total(0.1).as_secs() / total(1.0).as_secs(), 10);
    }
}
