//! A machine's record, put in order once, to be asked for any window.
//!
//! Stands between [`MachineRecord`] and the timeline. Invariants: what it answers does not depend on the order in which anything arrived; a window
//! costs what lies in it, not what the record holds.

use std::{collections::HashMap, sync::Arc};

use protocol::{MachineState, TimeRange, Timestamp};

use super::{
    Oee,
    catalogue::Catalogue,
    cause::{Cause, Flag, Flags},
    input::{Changeover, MachineRecord, PartInterval, PlannedDowntime, ProductRun, ReasonAssignment, Rules, StatePoint},
    layers::Layer,
    tally::{IdealCycle, Tally},
};

/// The machine stood in one state, with one reason of its own, from `at` to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct StateRun {
    pub(super) at: Timestamp,
    pub(super) state: MachineState,
    pub(super) label: Option<Label>,
    /// The whole stretch of this state, over changes of the reason; its end is the beginning of the next state, `None` while it stands.
    pub(super) stood_from: Timestamp,
    pub(super) stood_to: Option<Timestamp>,
    /// Producing time of the runs before this one, for sharing parts out.
    pub(super) produced_before_us: i64,
}

/// A reason or a name, by its place in [`Labels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label(pub(super) u32);

/// Texts by number, each looked up in the catalogue once.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    texts: Vec<(Arc<str>, Option<Cause>)>,
    by_text: HashMap<Arc<str>, Label>,
}

impl Labels {
    fn put(&mut self, text: &Arc<str>, catalogue: &Catalogue) -> Label {
        if let Some(label) = self.by_text.get(text) {
            return *label;
        }
        let label = Label(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let cause = catalogue.category(text).and_then(|category| category.cause());
        self.texts.push((Arc::clone(text), cause));
        self.by_text.insert(Arc::clone(text), label);
        label
    }

    pub(super) fn text(&self, label: Label) -> Option<&Arc<str>> {
        self.texts.get(label.0 as usize).map(|(text, _)| text)
    }

    pub(super) fn cause(&self, label: Label) -> Option<Cause> {
        self.texts.get(label.0 as usize).and_then(|(_, cause)| *cause)
    }
}

/// A record in order.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) rules: Rules,
    pub(super) minor_below_us: i64,
    pub(super) startup_us: i64,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) labels: Labels,
    pub(super) operation: Option<Layer>,
    pub(super) downtime: Layer,
    pub(super) downtimes: Vec<(PlannedDowntime, Label)>,
    pub(super) holes: Layer,
    pub(super) assigned: Layer,
    pub(super) assignments: Vec<(ReasonAssignment, Option<Label>)>,
    pub(super) changing: Layer,
    pub(super) changeovers: Vec<Changeover>,
    pub(super) running: Layer,
    pub(super) runs: Vec<(ProductRun, Option<IdealCycle>)>,
    pub(super) ideal: Option<IdealCycle>,
    pub(super) states: Vec<StateRun>,
    /// When the machine left set-up, and when changeovers ended; each in order.
    pub(super) setup_ends: Vec<Timestamp>,
    pub(super) changeover_ends: Vec<Timestamp>,
    /// By their end.
    pub(super) parts: Vec<PartInterval>,
    /// The earliest beginning of each interval of parts and all after it.
    pub(super) earliest: Vec<Timestamp>,
    pub(super) flags: Flags,
}

impl Prepared {
    pub fn new(record: MachineRecord, catalogue: Arc<Catalogue>, rules: Rules) -> Self {
        let mut flags = record.flags;
        let mut labels = Labels::default();
        let micros = |seconds: f64| (seconds.clamp(0.0, 1e9) * 1e6).round() as i64;

        let operation = record.operation.map(|ranges| Layer::of(ranges.into_iter().enumerate()));
        let mut downtimes = record.downtime;
        // Maintenance before breaks: of two that share time the one that says more.
        downtimes.sort_by(|a, b| (a.kind, a.range.from, a.range.to, &a.name).cmp(&(b.kind, b.range.from, b.range.to, &b.name)));
        let downtime = Layer::of(downtimes.iter().map(|d| d.range).enumerate());
        let mut assignments = record.reasons;
        assignments.sort_by(|a, b| (b.at, &b.id, &b.reason).cmp(&(a.at, &a.id, &a.reason)));
        let assigned = Layer::of(assignments.iter().map(|a| a.range).enumerate());
        let mut changeovers = record.changeovers;
        changeovers.sort_by(|a, b| (b.range.from, b.range.to, &b.to_product).cmp(&(a.range.from, a.range.to, &a.to_product)));
        let mut changeover_ends: Vec<_> = changeovers.iter().map(|c| c.range.to).collect();
        changeover_ends.sort_unstable();
        let changing = Layer::of(changeovers.iter().map(|c| c.range).enumerate());
        let mut runs = record.runs;
        runs.sort_by(|a, b| (b.range.from, b.range.to, &b.order, &b.product).cmp(&(a.range.from, a.range.to, &a.order, &a.product)));
        let running = Layer::of(runs.iter().map(|r| r.range).enumerate());
        let holes = Layer::of(crate::calendar::merged(record.holes).into_iter().enumerate());

        flags.set_if(operation.as_ref().is_some_and(|o| o.overlapping), Flag::OverlappingPlan);
        flags.set_if(running.overlapping, Flag::OverlappingRuns);
        let backward = [&downtime, &assigned, &changing, &running].into_iter().chain(&operation).any(|layer| layer.backward);
        flags.set_if(backward || record.parts.iter().any(|p| p.from > p.to), Flag::BackwardInterval);

        let downtimes = downtimes.into_iter().map(|d| {
            let label = labels.put(&Arc::from(d.name.as_str()), &catalogue);
            (d, label)
        });
        let downtimes = downtimes.collect();
        let assignments = assignments.into_iter().map(|a| {
            let label = a.reason.as_deref().map(|code| labels.put(&Arc::from(code), &catalogue));
            (a, label)
        });
        let assignments = assignments.collect();
        let runs = runs.into_iter().map(|run| {
            let ideal = run.ideal_cycle_s.or(record.ideal_cycle_s).and_then(IdealCycle::of_seconds);
            (run, ideal)
        });
        let mut prepared = Self {
            rules,
            minor_below_us: micros(rules.minor_stop_below_s),
            startup_us: micros(rules.startup_after_setup_s),
            labels,
            operation,
            downtime,
            downtimes,
            holes,
            assigned,
            assignments,
            changing,
            changeovers,
            running,
            runs: runs.collect(),
            ideal: record.ideal_cycle_s.and_then(IdealCycle::of_seconds),
            states: Vec::new(),
            setup_ends: Vec::new(),
            changeover_ends,
            parts: Vec::new(),
            earliest: Vec::new(),
            catalogue,
            flags,
        };
        prepared.set_states(record.states);
        prepared.set_parts(record.parts);
        prepared
    }

    /// The sums of `window`. Nothing is known from `known_until` on: later states and parts are left out.
    pub fn tally(&self, window: TimeRange, known_until: Timestamp) -> Tally {
        let mut tally = self.times(window, known_until);
        self.add_parts(window, known_until, &mut tally);
        tally
    }

    /// The key figures of `window`; the answer to `oee/calculate` for a machine.
    pub fn oee(&self, window: TimeRange, known_until: Timestamp) -> Oee {
        self.tally(window, known_until).oee(&self.rules, self.ideal_cycle_s())
    }

    pub fn ideal_cycle_s(&self) -> Option<f64> {
        self.ideal.map(IdealCycle::seconds)
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    fn set_states(&mut self, mut states: Vec<StatePoint>) {
        if !states.is_sorted() {
            states.sort_unstable();
        }
        self.states.clear();
        self.states.reserve(states.len());
        self.setup_ends.clear();
        let mut points = states.iter().peekable();
        while let Some(point) = points.next() {
            // Of several at one instant the last counts.
            if points.peek().is_none_or(|next| next.at > point.at) {
                self.push_state(point);
            }
        }
    }

    /// A state after all others.
    pub(super) fn push_state(&mut self, point: &StatePoint) {
        let label = point.reason.as_ref().filter(|text| !text.is_empty()).map(|text| self.labels.put(text, &self.catalogue));
        let (mut stood_from, mut produced_before_us) = (point.at, 0);
        if let Some(last) = self.states.last().copied() {
            if (last.state, last.label) == (point.state, label) {
                return;
            }
            produced_before_us = last.produced_before_us;
            if last.state == MachineState::Producing {
                produced_before_us += point.at.micros_since(last.at);
            }
            if last.state == point.state {
                stood_from = last.stood_from;
            } else {
                // Every run of the stretch that ends here learns its end.
                for run in self.states.iter_mut().rev().take_while(|run| run.stood_to.is_none()) {
                    run.stood_to = Some(point.at);
                }
                if last.state == MachineState::Setup {
                    self.setup_ends.push(point.at);
                }
            }
        }
        self.states.push(StateRun { at: point.at, state: point.state, label, stood_from, stood_to: None, produced_before_us });
    }

    fn set_parts(&mut self, mut parts: Vec<PartInterval>) {
        parts.retain(|p| p.from <= p.to);
        if !parts.is_sorted_by_key(|p| p.to) {
            parts.sort_unstable_by_key(|p| p.to);
        }
        self.earliest = parts.iter().map(|p| p.from).collect();
        let mut earliest = Timestamp(i64::MAX);
        for from in self.earliest.iter_mut().rev() {
            earliest = earliest.min(*from);
            *from = earliest;
        }
        self.parts = parts;
    }

    /// The state that stands at `at`, by its place.
    pub(super) fn state_at(&self, at: Timestamp) -> Option<usize> {
        self.states.partition_point(|run| run.at <= at).checked_sub(1)
    }

    /// Producing time up to `at`.
    pub(super) fn produced_us(&self, at: Timestamp) -> i64 {
        self.state_at(at).and_then(|i| self.states.get(i)).map_or(0, |run| {
            let here = if run.state == MachineState::Producing { at.micros_since(run.at) } else { 0 };
            run.produced_before_us + here
        })
    }
}
