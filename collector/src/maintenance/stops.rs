//! Failures that a machine shows by itself: its unplanned stops, and the lives that lie between failures.
//!
//! Stands between the stored states and events, and reliability. Pure.
//!
//! A stop is one stretch of the state `unplanned_stop`, whatever its reasons. It is a breakdown unless its reasons are in the catalogue and
//! none of them is one; what a person registered counts over what the machine said. A failure that was reported within it counts in its
//! place, and ends with it if no repair was reported.

use std::sync::Arc;

use kpi::{
    oee::{Catalogue, LossCategory, MachineRecord, ReasonAssignment, StatePoint},
    reliability::events::{MaintenanceEvent, MaintenanceEventKind as Kind},
};
use protocol::{MachineState, TimeRange, Timestamp};

/// One stretch of an unplanned stop.
#[derive(Debug, Clone, PartialEq)]
struct Stop {
    from: Timestamp,
    /// `None`: it lasts.
    to: Option<Timestamp>,
    reasons: Vec<Arc<str>>,
}

/// Failures and repairs that the stops of `record` add to what was reported. States must be in order.
pub fn breakdowns(
    record: &MachineRecord,
    catalogue: &Catalogue,
    reported: &[MaintenanceEvent],
    min_failure_us: i64,
    known_until: Timestamp,
) -> Vec<MaintenanceEvent> {
    let mut derived = Vec::new();
    let event = |at, kind| MaintenanceEvent { at, kind, component: None, work_order: None };
    for stop in stops(&record.states) {
        let end = stop.to.unwrap_or(known_until);
        if end.micros_since(stop.from) < min_failure_us {
            continue;
        }
        let within = reported.iter().rfind(|e| e.kind == Kind::Failure && stop.from <= e.at && e.at <= end);
        match within {
            Some(failure) => {
                let next = reported.iter().find(|e| e.kind == Kind::Failure && e.at > failure.at).map_or(Timestamp(i64::MAX), |e| e.at);
                let repair = |e: &&MaintenanceEvent| matches!(e.kind, Kind::RepairStart | Kind::RepairEnd | Kind::ComponentReplaced);
                let is_repaired = reported.iter().filter(repair).any(|e| failure.at <= e.at && e.at < next);
                derived.extend(stop.to.filter(|_| !is_repaired).map(|to| event(to, Kind::RepairEnd)));
            }
            None if is_breakdown(&stop, catalogue, &record.reasons, end) => {
                derived.push(event(stop.from, Kind::Failure));
                derived.extend(stop.to.map(|to| event(to, Kind::RepairEnd)));
            }
            None => {}
        }
    }
    derived
}

/// Intervals of production within `period`; the last state stands until `known_until`.
pub fn producing(states: &[StatePoint], period: TimeRange, known_until: Timestamp) -> Vec<TimeRange> {
    let ends = states.iter().skip(1).map(|s| s.at).chain([known_until]);
    let stretches = states.iter().zip(ends).filter(|(s, _)| s.state == MachineState::Producing);
    let clipped = stretches.map(|(s, to)| TimeRange { from: s.at.max(period.from), to: to.min(period.to) });
    clipped.filter(|r| r.from < r.to).collect()
}

fn stops(states: &[StatePoint]) -> Vec<Stop> {
    let mut stops: Vec<Stop> = Vec::new();
    let mut open: Option<Stop> = None;
    for state in states {
        if state.state == MachineState::UnplannedStop {
            let stop = open.get_or_insert(Stop { from: state.at, to: None, reasons: Vec::new() });
            stop.reasons.extend(state.reason.clone());
        } else if let Some(stop) = open.take() {
            stops.push(Stop { to: Some(state.at), ..stop });
        }
    }
    stops.extend(open);
    stops
}

fn is_breakdown(stop: &Stop, catalogue: &Catalogue, registered: &[ReasonAssignment], end: Timestamp) -> bool {
    let touches = |r: &&ReasonAssignment| r.range.from < end && stop.from < r.range.to;
    // The one registered last stands; without a reason it takes back what was registered before.
    let registered = registered.iter().filter(touches).max_by_key(|r| r.at).and_then(|r| r.reason.as_deref());
    let categories: Vec<LossCategory> = match registered {
        Some(code) => catalogue.category(code).into_iter().collect(),
        None => stop.reasons.iter().filter_map(|code| catalogue.category(code)).collect(),
    };
    categories.is_empty() || categories.contains(&LossCategory::Breakdowns)
}

/// How a life of a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    pub at: Timestamp,
    /// False: a component was replaced before it failed.
    pub failed: bool,
}

/// A machine from its start, or from the end of a repair, to the next failure or replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// `None`: it began before all that is known.
    pub from: Option<Timestamp>,
    /// `None`: it lives.
    pub end: Option<End>,
}

/// The lives of a machine in order; the last one lives, unless the machine is down now. Events must be in order.
pub fn lives(events: &[MaintenanceEvent]) -> Vec<Life> {
    let mut lives = Vec::new();
    // `None`: it is down.
    let mut living = Some(None);
    for (i, event) in events.iter().enumerate() {
        match (event.kind, living) {
            (Kind::Failure, Some(from)) => {
                lives.push(Life { from, end: Some(End { at: event.at, failed: true }) });
                living = None;
            }
            (Kind::RepairEnd, None) => living = Some(Some(event.at)),
            (Kind::ComponentReplaced, None) => {
                // The repair goes on if its end is told of.
                let next = events[i + 1..].iter().find(|e| matches!(e.kind, Kind::Failure | Kind::RepairEnd));
                if next.is_none_or(|e| e.kind == Kind::Failure) {
                    living = Some(Some(event.at));
                }
            }
            (Kind::ComponentReplaced, Some(from)) => {
                lives.push(Life { from, end: Some(End { at: event.at, failed: false }) });
                living = Some(Some(event.at));
            }
            _ => {}
        }
    }
    if let Some(from) = living {
        lives.push(Life { from, end: None });
    }
    lives
}

#[cfg(test)]
mod tests {
    use kpi::oee::StopReason;

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp(minutes * MINUTE)
    }

    fn state(minute: i64, state: MachineState, reason: &str) -> StatePoint {
        StatePoint { at: at(minute), state, reason: (!reason.is_empty()).then(|| reason.into()) }
    }

    fn event(minute: i64, kind: Kind) -> MaintenanceEvent {
        MaintenanceEvent { at: at(minute), kind, component: None, work_order: None }
    }

    fn catalogue() -> Catalogue {
        let reason = |code: &str, category| StopReason {
            code: code.into(),
            name: code.into(),
            category: Some(category),
            parent: None,
            retired: false,
        };
        Catalogue::new(vec![reason("M", LossCategory::Breakdowns), reason("CLEAN", LossCategory::SetupAndAdjustments)]).unwrap()
    }

    fn of(states: Vec<StatePoint>, reported: &[MaintenanceEvent], reasons: Vec<ReasonAssignment>) -> Vec<MaintenanceEvent> {
        let record = MachineRecord { states, reasons, ..MachineRecord::default() };
        breakdowns(&record, &catalogue(), reported, 5 * MINUTE, at(1_000))
    }

    use MachineState::{Idle, Producing, UnplannedStop};

    #[test]
    fn a_stop_of_a_breakdown_or_without_a_known_reason_is_a_failure_with_its_repair() {
        for reason in ["", "M", "never heard of"] {
            let found = of(vec![state(0, Producing, ""), state(10, UnplannedStop, reason), state(20, Producing, "")], &[], vec![]);
            assert_eq!(found, [event(10, Kind::Failure), event(20, Kind::RepairEnd)], "{reason}");
        }
        let short = of(vec![state(10, UnplannedStop, ""), state(14, Producing, "")], &[], vec![]);
        assert_eq!(short, [], "shorter than a failure");
        let cleaning = of(vec![state(10, UnplannedStop, "CLEAN"), state(20, Producing, "")], &[], vec![]);
        assert_eq!(cleaning, [], "the catalogue says that it is no breakdown");
        let both = of(vec![state(10, UnplannedStop, "CLEAN"), state(12, UnplannedStop, "M"), state(16, Idle, "")], &[], vec![]);
        assert_eq!(both, [event(10, Kind::Failure), event(16, Kind::RepairEnd)], "one stop, one of its reasons is a breakdown");
        let lasting = of(vec![state(10, UnplannedStop, "M")], &[], vec![]);
        assert_eq!(lasting, [event(10, Kind::Failure)]);
    }

    #[test]
    fn what_a_person_registered_counts_over_what_the_machine_said() {
        let registered = |reason: Option<&str>, minute| ReasonAssignment {
            id: "1".into(),
            range: TimeRange { from: at(10), to: at(20) },
            reason: reason.map(Into::into),
            by: "ann".into(),
            at: at(minute),
            comment: String::new(),
        };
        let states = || vec![state(10, UnplannedStop, "M"), state(20, Producing, "")];
        assert_eq!(of(states(), &[], vec![registered(Some("CLEAN"), 30)]), []);
        assert_eq!(of(states(), &[], vec![registered(Some("CLEAN"), 30), registered(None, 40)]).len(), 2, "it was taken back");
    }

    #[test]
    fn a_reported_failure_counts_in_place_of_its_stop() {
        let states = || vec![state(0, Producing, ""), state(10, UnplannedStop, "M"), state(60, Producing, "")];
        assert_eq!(of(states(), &[event(12, Kind::Failure), event(50, Kind::RepairEnd)], vec![]), []);
        assert_eq!(of(states(), &[event(12, Kind::Failure)], vec![]), [event(60, Kind::RepairEnd)], "it ended with the stop");
        assert_eq!(of(states(), &[event(70, Kind::Failure)], vec![]).len(), 2, "that was another one");
    }

    #[test]
    fn production_is_clipped_and_stands_only_as_long_as_data_are_known() {
        let states = [state(0, Producing, ""), state(10, Idle, ""), state(20, Producing, "")];
        let ranges = producing(&states, TimeRange { from: at(5), to: at(100) }, at(30));
        assert_eq!(ranges, [TimeRange { from: at(5), to: at(10) }, TimeRange { from: at(20), to: at(30) }]);
    }

    #[test]
    fn lives_end_at_failures_and_replacements_and_begin_after_repairs() {
        let events = [
            event(10, Kind::Failure),
            event(12, Kind::ComponentReplaced),
            event(15, Kind::RepairEnd),
            event(40, Kind::ComponentReplaced),
            event(70, Kind::Failure),
        ];
        let life = |from: Option<i64>, end: Option<(i64, bool)>| Life {
            from: from.map(at),
            end: end.map(|(minute, failed)| End { at: at(minute), failed }),
        };
        assert_eq!(lives(&events), [life(None, Some((10, true))), life(Some(15), Some((40, false))), life(Some(40), Some((70, true)))]);
        assert_eq!(lives(&events[..4])[2], life(Some(40), None));
        assert_eq!(lives(&[]), [life(None, None)]);
    }
}
