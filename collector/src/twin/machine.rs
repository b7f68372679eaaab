//! One machine: its newest values by event time, its states and parts of the running shift.
//!
//! Owned by [`super::Twin`]. Invariants: late data never overwrite newer ones; a count belongs to the shift that its interval ends in, whenever it
//! arrives; memory is bounded (signals, states, three shifts of counts).

use std::collections::{BTreeMap, VecDeque};

use protocol::{Anomaly, GatewayId, PartCount, Quality, SignalName, StateChange, TimeRange, Timestamp, WindowSummary};

use super::view::{AnomalyView, AssetView, PartsView, ShiftView, SignalView};
use crate::kpi::{
    calendar::{Calendar, Shift},
    oee::{Flag, Oee, PartTally, StatePoint, Tally},
};

/// States of one shift that are kept; with more the oldest leave, and the OEE so far is flagged `truncated`.
const MAX_STATES: usize = 4_096;
/// Signals of one machine that are kept.
const MAX_SIGNALS: usize = 1_000;
/// Shifts of which counts are kept: the one before (late data), the running one, the next (a fast clock).
const MAX_SHIFTS: usize = 3;
/// Data older than this are stale, unless the machine's windows are longer than a third of it.
const STALE_AFTER_US: i64 = 15_000_000;

#[derive(Debug, Clone)]
struct SignalState {
    unit: String,
    value: f64,
    event_time: Timestamp,
    quality: Quality,
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) gateway: Option<GatewayId>,
    pub(super) ideal_cycle_s: Option<f64>,
    signals: BTreeMap<SignalName, SignalState>,
    /// In order of event time, beginning with the one that stood when the shift began.
    states: VecDeque<StateChange>,
    states_dropped_at: Option<Timestamp>,
    /// By the beginning of the shift.
    parts: BTreeMap<Timestamp, PartTally>,
    last_anomaly: Option<Anomaly>,
    /// Newest event time of any kind.
    last_data: Option<Timestamp>,
    longest_window_us: i64,
    /// When it last changed, in the twin's own count.
    pub(super) version: u64,
    /// What of a view changes with time alone: online, stale, shift.
    pub(super) shown: Option<(bool, bool, Option<Timestamp>)>,
}

impl Machine {
    /// A machine of which the operator has told, and nothing has been heard.
    pub(super) fn described(ideal_cycle_s: Option<f64>) -> Self {
        Self { ideal_cycle_s, version: 1, ..Self::default() }
    }

    /// False if the signal is one too many.
    pub(super) fn summary(&mut self, w: &WindowSummary) -> bool {
        self.saw(w.end);
        self.longest_window_us = self.longest_window_us.max(w.end.micros_since(w.start));
        let known = self.signals.get(&w.signal);
        if known.is_none() && self.signals.len() >= MAX_SIGNALS {
            return false;
        }
        if known.is_none_or(|s| w.end > s.event_time || (w.end == s.event_time && !w.correction)) {
            let state = SignalState { unit: w.unit.clone(), value: w.last, event_time: w.end, quality: w.quality };
            self.signals.insert(w.signal.clone(), state);
        }
        true
    }

    pub(super) fn state(&mut self, change: &StateChange, running_from: Option<Timestamp>) {
        self.saw(change.event_time);
        let place = self.states.partition_point(|s| s.event_time <= change.event_time);
        if let Some(same) = place.checked_sub(1).and_then(|i| self.states.get_mut(i)).filter(|s| s.event_time == change.event_time) {
            *same = change.clone();
        } else {
            self.states.insert(place, change.clone());
        }
        while running_from.is_some_and(|from| self.states.get(1).is_some_and(|next| next.event_time <= from)) {
            self.states.pop_front();
        }
        if self.states.len() > MAX_STATES {
            self.states_dropped_at = self.states.pop_front().map(|s| s.event_time);
        }
    }

    pub(super) fn count(&mut self, count: &PartCount, calendar: &Calendar, running: Option<&Shift>) {
        self.saw(count.to);
        // An interval (from, to] belongs where it ends: its last instant lies before `to`.
        let last_instant = count.to.plus_micros(-1);
        let shift_from = match running.filter(|s| s.range.from <= last_instant && last_instant < s.range.to) {
            Some(shift) => shift.range.from,
            None => match calendar.shift_at(last_instant) {
                Some(shift) => shift.range.from,
                None => return,
            },
        };
        let parts = PartTally { produced: count.produced, rejected: count.rejected, reworked: count.reworked, startup_rejected: 0 };
        *self.parts.entry(shift_from).or_default() += parts;
        while self.parts.len() > MAX_SHIFTS {
            self.parts.pop_first();
        }
    }

    /// Replaces what is known of the parts of one shift (at start, from the lake).
    pub(super) fn set_parts(&mut self, shift_from: Timestamp, parts: PartTally) {
        self.parts.insert(shift_from, parts);
    }

    pub(super) fn anomaly(&mut self, anomaly: &Anomaly) {
        if self.last_anomaly.as_ref().is_none_or(|known| anomaly.event_time >= known.event_time) {
            self.last_anomaly = Some(anomaly.clone());
        }
    }

    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        let limit = STALE_AFTER_US.max(self.longest_window_us.saturating_mul(3));
        self.last_data.is_none_or(|at| now.micros_since(at) > limit)
    }

    /// Up to when the last state can be taken to stand: now, or where the data stopped.
    pub(super) fn known_until(&self, now: Timestamp) -> Timestamp {
        if self.is_stale(now) { self.last_data.unwrap_or(Timestamp(i64::MIN)).min(now) } else { now }
    }

    /// The OEE of `shift` so far.
    fn oee(&self, shift: &Shift, now: Timestamp) -> Oee {
        let window = TimeRange { from: shift.range.from, to: now.min(shift.range.to) };
        let points: Vec<StatePoint> = self.states.iter().map(|s| StatePoint { at: s.event_time, state: s.state }).collect();
        let mut tally = Tally::of_states(window, None, &points, self.known_until(now));
        tally.add_parts(self.parts.get(&shift.range.from).copied().unwrap_or_default(), self.ideal_cycle_s);
        let mut oee = tally.oee(self.ideal_cycle_s);
        if self.states_dropped_at.is_some_and(|at| at >= shift.range.from) {
            oee.flags.push(Flag::Truncated);
        }
        oee
    }

    /// Nothing heard in the shift is not the same as nothing made.
    fn parts_of(&self, shift: &Shift) -> Option<PartsView> {
        let heard = self.last_data.is_some_and(|at| at > shift.range.from);
        let parts = self.parts.get(&shift.range.from).copied().or_else(|| heard.then(PartTally::default))?;
        Some(PartsView { produced: parts.produced, rejected: parts.rejected })
    }

    pub(super) fn view(&self, path: &protocol::AssetPath, now: Timestamp, online: bool, shift: Option<&Shift>) -> AssetView {
        let [site, area, line, machine] = path.parts().map(str::to_owned);
        let state = self.states.back();
        AssetView {
            asset: path.to_string(),
            site,
            area,
            line,
            machine,
            gateway: self.gateway.as_ref().map(ToString::to_string),
            online,
            stale: self.is_stale(now),
            state: state.map(|s| s.state.as_str()),
            state_since: state.map(|s| s.event_time.into()),
            stop_reason: state.map(|s| s.reason.clone()).filter(|r| !r.is_empty()),
            ideal_cycle_time_s: self.ideal_cycle_s,
            signals: self
                .signals
                .iter()
                .map(|(name, s)| SignalView {
                    signal: name.to_string(),
                    unit: s.unit.clone(),
                    value: s.value,
                    event_time: s.event_time.into(),
                    quality: s.quality.as_str(),
                })
                .collect(),
            shift: shift.map(|s| ShiftView { name: s.name.clone(), from: s.range.from.into(), to: s.range.to.into() }),
            oee: shift.map(|s| self.oee(s, now)),
            parts: shift.and_then(|s| self.parts_of(s)),
            last_anomaly: self.last_anomaly.as_ref().map(AnomalyView::from),
        }
    }

    pub(super) fn saw(&mut self, event_time: Timestamp) {
        self.last_data = self.last_data.max(Some(event_time));
    }
}
