//! When a machine was down and worked on.
//!
//! Invariants: breakdowns do not overlap and are in order; a breakdown's repair lies within it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{TimeRange, Timestamp};

use super::{HistoryFlag, MaintenanceEvent, MaintenanceEventKind as Kind, WorkOrderKind};

/// From a failure until the machine can run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Breakdown {
    pub(super) from: Timestamp,
    /// `None`: still down.
    pub(super) to: Option<Timestamp>,
    pub(super) repair_from: Option<Timestamp>,
}

/// Breakdowns from events in order. A replacement ends a breakdown only if no end of a repair follows before the next failure.
pub(super) fn breakdowns(events: &[MaintenanceEvent], flags: &mut BTreeSet<HistoryFlag>) -> Vec<Breakdown> {
    let mut list: Vec<Breakdown> = Vec::new();
    let mut open: Option<Breakdown> = None;
    for (i, event) in events.iter().enumerate() {
        match event.kind {
            Kind::Failure => match &open {
                Some(_) => {
                    flags.insert(HistoryFlag::FailureWhileDown);
                }
                None => open = Some(Breakdown { from: event.at, to: None, repair_from: None }),
            },
            Kind::RepairStart => {
                if let Some(down) = &mut open {
                    down.repair_from.get_or_insert(event.at);
                }
            }
            Kind::RepairEnd => match open.take() {
                Some(down) => list.push(Breakdown { to: Some(event.at), ..down }),
                None => {
                    flags.insert(HistoryFlag::RepairWithoutFailure);
                }
            },
            Kind::ComponentReplaced => {
                let repaired_later = || {
                    events[i + 1..]
                        .iter()
                        .find(|e| matches!(e.kind, Kind::Failure | Kind::RepairEnd))
                        .is_some_and(|e| e.kind == Kind::RepairEnd)
                };
                if open.is_some() && !repaired_later() {
                    list.extend(open.take().map(|down| Breakdown { to: Some(event.at), ..down }));
                }
            }
            Kind::WorkOrderStart { .. } | Kind::WorkOrderEnd { .. } => {}
        }
    }
    if let Some(down) = open {
        flags.insert(HistoryFlag::StillDown);
        list.push(down);
    }
    list
}

/// Intervals of work orders of one kind, clipped to the period; joined by their name, or in order if they have none.
pub(super) fn work_orders(
    events: &[MaintenanceEvent],
    wanted: WorkOrderKind,
    period: TimeRange,
    flags: &mut BTreeSet<HistoryFlag>,
) -> Vec<TimeRange> {
    let mut open: BTreeMap<Option<&str>, Timestamp> = BTreeMap::new();
    let mut list = Vec::new();
    for event in events {
        let name = event.work_order.as_deref();
        match event.kind {
            Kind::WorkOrderStart { kind } if kind == wanted => {
                if let Some(from) = open.insert(name, event.at) {
                    flags.insert(HistoryFlag::WorkOrderOpen);
                    list.push(TimeRange { from, to: event.at });
                }
            }
            Kind::WorkOrderEnd { kind } if kind == wanted => match open.remove(&name) {
                Some(from) => list.push(TimeRange { from, to: event.at }),
                None if later_start(events, event, wanted) => {
                    flags.insert(HistoryFlag::WorkOrderNegative);
                }
                None => {
                    flags.insert(HistoryFlag::WorkOrderOpen);
                    list.push(TimeRange { from: period.from, to: event.at });
                }
            },
            _ => {}
        }
    }
    // A start whose end came before it has been told of as negative.
    for (name, from) in open {
        let ended_before = name.is_some()
            && events.iter().any(|e| e.work_order.as_deref() == name && e.kind == Kind::WorkOrderEnd { kind: wanted } && e.at < from);
        if !ended_before {
            flags.insert(HistoryFlag::WorkOrderOpen);
            list.push(TimeRange { from, to: period.to });
        }
    }
    list
}

fn later_start(events: &[MaintenanceEvent], end: &MaintenanceEvent, kind: WorkOrderKind) -> bool {
    end.work_order.is_some()
        && events.iter().any(|e| e.work_order == end.work_order && e.kind == Kind::WorkOrderStart { kind } && e.at > end.at)
}

/// Sorted, merged, without empty ones, within the period.
pub(super) fn merged(ranges: impl IntoIterator<Item = TimeRange>, period: TimeRange) -> Vec<TimeRange> {
    let mut ranges: Vec<TimeRange> = ranges
        .into_iter()
        .map(|r| TimeRange { from: r.from.max(period.from), to: r.to.min(period.to) })
        .filter(|r| r.from < r.to)
        .collect();
    ranges.sort_by_key(|r| (r.from, r.to));
    let mut out: Vec<TimeRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.from <= last.to => last.to = last.to.max(range.to),
            _ => out.push(range),
        }
    }
    out
}

/// The period without `holes` (merged).
pub(super) fn without(period: TimeRange, holes: &[TimeRange]) -> Vec<TimeRange> {
    let mut out = Vec::new();
    let mut from = period.from;
    for hole in holes {
        if from < hole.from {
            out.push(TimeRange { from, to: hole.from });
        }
        from = from.max(hole.to);
    }
    if from < period.to {
        out.push(TimeRange { from, to: period.to });
    }
    out
}

/// Whether two merged lists share an instant.
pub(super) fn overlap(a: &[TimeRange], b: &[TimeRange]) -> bool {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i].from < b[j].to && b[j].from < a[i].to {
            return true;
        }
        if a[i].to <= b[j].to { i += 1 } else { j += 1 }
    }
    false
}

pub(super) fn hours(ranges: &[TimeRange]) -> f64 {
    ranges.iter().map(|r| r.to.micros_since(r.from) as f64).sum::<f64>() / super::ages::HOUR_US
}
