//! The one place where time gets its cause.
//!
//! Stands between the record in order and everything that is told of it: sums, explanation, stops. A sweep walks the layers of a window once and
//! gives every instant exactly one cause, by this order of precedence (the first that holds):
//!
//! 1. outside the planned operation time: **not planned**;
//! 2. within a planned downtime (maintenance before breaks): **planned stop**, also when nothing is known of the machine;
//! 3. before the first state, within a hole, or from the point on where nothing can be known: **no data**;
//! 4. within a stop reason that a person registered (the latest registration of all): the cause of the reason's category, also over production,
//!    which is flagged;
//! 5. within a changeover, and neither producing nor in a planned stop: **set-up**;
//! 6. the machine's own reason, if it is in the catalogue and the machine does not produce: the cause of its category (but a breakdown that is short
//!    by rule 7 is a minor stop: how long it stood says more than what the machine calls it);
//! 7. the machine's own state; an unplanned stop or idle time that is shorter, from its beginning to its end, than
//!    [`super::Rules::minor_stop_below_s`], is a **minor stop**. The whole stretch decides, also what lies outside the window: so the cause of an
//!    instant is the same whatever window it is asked in.

use protocol::{MachineState, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    cause::{Cause, Flag},
    prepared::{Label, Prepared, StateRun},
    tally::{Tally, micros_between},
};

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    OutsideShifts,
    PlannedDowntime,
    /// No state has been heard of yet.
    BeforeFirstState,
    /// Nothing is known, though a state stands: a gap in the data.
    Hole,
    /// From here on nothing can be known.
    AfterLastData,
    /// A person registered the reason.
    RegisteredReason,
    Changeover,
    MachineReason,
    MachineState,
    /// Shorter than a minor stop.
    ShortStop,
}

/// A stretch of a window with one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) range: TimeRange,
    pub(super) why: Why,
}

/// Cause and evidence of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) cause: Cause,
    pub(super) rule: Rule,
    pub(super) label: Option<Label>,
    /// Index of the state run that stands, if one is known.
    pub(super) state: Option<usize>,
    /// Index of the planned downtime, the assignment or the changeover that decided.
    pub(super) entry: Option<usize>,
    /// When what decided began, whole.
    pub(super) origin: Timestamp,
    pub(super) flag: Option<Flag>,
}

impl Prepared {
    /// Calls `put` for each span of `window`, in order, without gaps.
    pub(super) fn sweep(&self, window: TimeRange, known_until: Timestamp, mut put: impl FnMut(Span)) {
        let mut operation = self.operation.as_ref().map(|layer| layer.cursor(window.from));
        let mut downtime = self.downtime.cursor(window.from);
        let mut holes = self.holes.cursor(window.from);
        let mut assigned = self.assigned.cursor(window.from);
        let mut changing = self.changing.cursor(window.from);
        let mut state = self.state_at(window.from);
        let mut at = window.from;
        let mut open: Option<Span> = None;
        while at < window.to {
            let mut next = window.to;
            let mut look = |(piece, change): (Option<_>, Timestamp)| {
                next = next.min(change);
                piece
            };
            let planned = operation.as_mut().map(|cursor| look(cursor.step(at)).is_some());
            let down = look(downtime.step(at));
            let hole = look(holes.step(at));
            let reason = look(assigned.step(at));
            let change = look(changing.step(at));
            let upcoming = state.map_or(0, |i| i + 1);
            if let Some(run) = self.states.get(upcoming) {
                next = next.min(run.at);
            }
            if known_until > at {
                next = next.min(known_until);
            }

            let known = if at < known_until { state } else { None };
            let plain = |cause, rule, origin| Why { cause, rule, label: None, state: known, entry: None, origin, flag: None };
            let why = if planned == Some(false) {
                plain(Cause::NotPlanned, Rule::OutsideShifts, at)
            } else if let Some(piece) = down {
                let label = self.downtimes.get(piece.index).map(|(_, label)| *label);
                Why { label, entry: Some(piece.index), ..plain(Cause::PlannedStop, Rule::PlannedDowntime, piece.origin) }
            } else if at >= known_until {
                plain(Cause::NoData, Rule::AfterLastData, known_until)
            } else if hole.is_some() {
                plain(Cause::NoData, Rule::Hole, at)
            } else if let Some(run) = known.and_then(|i| self.states.get(i)) {
                let assigned = reason.map(|piece| (piece.index, piece.origin));
                let changing = change.map(|piece| (piece.index, piece.origin));
                self.known(run, known, known_until, assigned, changing)
            } else {
                plain(Cause::NoData, Rule::BeforeFirstState, at)
            };
            // What has no evidence of its own begins where the span begins, however the layers below are cut.
            match &mut open {
                Some(span) if same(&span.why, &why) => span.range.to = next,
                _ => {
                    if let Some(span) = open.replace(Span { range: TimeRange { from: at, to: next }, why }) {
                        put(span);
                    }
                }
            }
            at = next;
            while self.states.get(state.map_or(0, |i| i + 1)).is_some_and(|run| run.at <= at) {
                state = Some(state.map_or(0, |i| i + 1));
            }
        }
        if let Some(span) = open {
            put(span);
        }
    }

    /// Rules 4 to 7.
    fn known(
        &self,
        run: &StateRun,
        state: Option<usize>,
        known_until: Timestamp,
        assigned: Option<(usize, Timestamp)>,
        changing: Option<(usize, Timestamp)>,
    ) -> Why {
        let produces = run.state == MachineState::Producing;
        let stretch = micros_between(run.stood_from, run.stood_to.unwrap_or(known_until).min(known_until));
        let may_be_short = matches!(run.state, MachineState::UnplannedStop | MachineState::Idle);
        let own = if may_be_short && stretch < self.minor_below_us {
            (Cause::MinorStop, Rule::ShortStop)
        } else {
            (Cause::from(run.state), Rule::MachineState)
        };
        let label = run.label.filter(|_| !produces);
        let mut why = Why { cause: own.0, rule: own.1, label, state, entry: None, origin: run.stood_from, flag: None };
        if label.is_some() {
            why.origin = run.at;
        }
        let registered = assigned.and_then(|(entry, origin)| {
            let label = self.assignments.get(entry).and_then(|(_, label)| *label)?;
            Some((entry, origin, label))
        });
        if let Some((entry, origin, label)) = registered {
            if let Some(cause) = self.labels.cause(label) {
                let flag = produces.then_some(Flag::ReasonOverProduction);
                return Why { cause, rule: Rule::RegisteredReason, label: Some(label), entry: Some(entry), origin, flag, ..why };
            }
            why.flag = Some(Flag::UnknownReason);
            if !produces {
                return Why { rule: Rule::RegisteredReason, label: Some(label), entry: Some(entry), origin, ..why };
            }
        }
        if let Some((entry, origin)) = changing.filter(|_| !produces && run.state != MachineState::PlannedStop) {
            return Why { cause: Cause::Setup, rule: Rule::Changeover, label: None, entry: Some(entry), origin, ..why };
        }
        let of_reason = label.and_then(|label| self.labels.cause(label));
        if let Some(cause) = of_reason.filter(|cause| *cause != Cause::UnplannedStop || own.1 != Rule::ShortStop) {
            return Why { cause, rule: Rule::MachineReason, ..why };
        }
        why
    }

    /// Times and stops of `window`, and what is to be said of the whole record.
    pub(super) fn times(&self, window: TimeRange, known_until: Timestamp) -> Tally {
        let mut tally = self.span_times(window, known_until);
        tally.flags |= self.flags;
        tally.flags.set_if(self.states.last().is_some_and(|run| run.at > known_until), Flag::FutureData);
        tally.has_cycle = self.ideal.is_some();
        tally
    }

    /// Times and stops of `window`, with the flags of its own spans.
    pub(super) fn span_times(&self, window: TimeRange, known_until: Timestamp) -> Tally {
        let mut tally = Tally::default();
        // By label and cause: texts are looked up once.
        let mut sums: Vec<Option<(i64, u64)>> = Vec::new();
        let slot = |why: &Why| why.label.map_or(0, |label| label.0 as usize + 1) * super::cause::CAUSES + why.cause as usize;
        self.sweep(window, known_until, |span| {
            let micros = micros_between(span.range.from, span.range.to);
            let slot = slot(&span.why);
            if sums.len() <= slot {
                sums.resize(slot + 1, None);
            }
            let sum = sums[slot].get_or_insert((0, 0));
            sum.0 += micros;
            sum.1 += u64::from(span.why.origin == span.range.from);
            if let Some(flag) = span.why.flag {
                tally.flags.set(flag);
            }
        });
        for (slot, sum) in sums.into_iter().enumerate() {
            let Some((micros, stops)) = sum else { continue };
            let label = (slot / super::cause::CAUSES).checked_sub(1).and_then(|i| u32::try_from(i).ok()).map(Label);
            let text = label.and_then(|label| self.labels.text(label)).cloned();
            let cause = Cause::ALL[slot % super::cause::CAUSES];
            tally.add_stops(cause, text, micros, stops);
        }
        tally
    }
}

/// Whether two neighbouring instants are told as one span.
fn same(a: &Why, b: &Why) -> bool {
    let without_data = |why: &Why| matches!(why.rule, Rule::OutsideShifts | Rule::BeforeFirstState | Rule::Hole | Rule::AfterLastData);
    if without_data(a) {
        return a.rule == b.rule;
    }
    let by_plan = a.rule == Rule::PlannedDowntime || a.rule == Rule::RegisteredReason || a.rule == Rule::Changeover;
    if by_plan { (a.rule, a.cause, a.label, a.entry, a.flag) == (b.rule, b.cause, b.label, b.entry, b.flag) } else { a == b }
}
