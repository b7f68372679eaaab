//! One machine: its newest values by event time, its states and parts of the running shift.
//!
//! Owned by [`super::Twin`]. States and counts are a short record of the machine; the OEE of the shift so far is a [`LiveMachine`] of that record,
//! begun anew with each shift. Invariants: late data never overwrite newer ones; a count that crosses the edge of a shift is shared as history
//! shares it; memory is bounded (signals, states, counts).

use std::collections::{BTreeMap, VecDeque};

use kpi::{
    calendar::{Calendar, Shift},
    oee::{Flag, LiveMachine, MachineRecord, PartInterval, StatePoint, Tally},
};
use protocol::{Anomaly, GatewayId, Quality, SignalName, StateChange, TimeRange, Timestamp, WindowSummary};

use super::{
    Production, Reckoning,
    backlog::outside,
    view::{AnomalyView, AssetView, PartsView, ShiftView, SignalView},
};

/// States of one shift that are kept; with more the oldest leave, and the OEE so far is flagged `truncated`.
const MAX_STATES: usize = 4_096;
/// Signals of one machine that are kept.
const MAX_SIGNALS: usize = 1_000;
/// Counts that are kept, those of one minute added up; with more the oldest leave, and the OEE so far is flagged `truncated`.
const MAX_COUNTS: usize = 16_384;
/// How long counts are kept: for the shift that ended, and what comes late of it.
const KEEP_COUNTS_US: i64 = 26 * 3_600_000_000;
const MINUTE_US: i64 = 60_000_000;
/// Data older than this are stale, unless the machine's windows are longer than a third of it.
const STALE_AFTER_US: i64 = 15_000_000;

#[derive(Debug, Clone)]
struct SignalState {
    unit: String,
    value: f64,
    event_time: Timestamp,
    quality: Quality,
}

/// What a view is made for: a time, the shift of that time, and how it is reckoned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) now: Timestamp,
    pub(super) shift: Option<&'a Shift>,
    pub(super) reckoning: &'a Reckoning,
    pub(super) calendar: &'a Calendar,
    pub(super) production: &'a Production,
    /// What its gateway holds and has not sent.
    pub(super) hole: Option<TimeRange>,
}

/// What a machine did under the name that it had before.
#[derive(Debug, Default)]
pub(super) struct Past {
    ideal_cycle_s: Option<f64>,
    states: Vec<StateChange>,
    counts: Vec<PartInterval>,
    newest: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) gateway: Option<GatewayId>,
    pub(super) ideal_cycle_s: Option<f64>,
    signals: BTreeMap<SignalName, SignalState>,
    /// In order of event time, beginning with the one that stood a minor stop before the shift began: a stop is judged by its whole length.
    states: VecDeque<StateChange>,
    states_dropped_at: Option<Timestamp>,
    /// By their beginning and end: whole minutes, and what crosses the edge of one.
    counts: BTreeMap<(Timestamp, Timestamp), PartInterval>,
    counts_dropped_at: Option<Timestamp>,
    /// Of the shift that was asked for last.
    live: Option<LiveMachine>,
    /// That it was made with.
    live_hole: Option<TimeRange>,
    last_anomaly: Option<Anomaly>,
    /// Newest event time of any kind.
    last_data: Option<Timestamp>,
    longest_window_us: i64,
    /// When it last changed, in the twin's own count.
    pub(super) version: u64,
    /// What of a view changes with time alone: online, stale, shift, what is missing.
    pub(super) shown: Option<(bool, bool, Option<Timestamp>, Option<TimeRange>)>,
}

impl Machine {
    /// A machine of which the operator has told, and nothing has been heard.
    pub(super) fn described(ideal_cycle_s: Option<f64>) -> Self {
        Self { ideal_cycle_s, version: 1, ..Self::default() }
    }

    /// What it did before `at`, and its ideal cycle.
    pub(super) fn past(&self, at: Timestamp) -> Past {
        Past {
            ideal_cycle_s: self.ideal_cycle_s,
            states: self.states.iter().filter(|s| s.event_time < at).cloned().collect(),
            counts: self.counts.values().filter(|count| count.to <= at).copied().collect(),
            newest: self.last_data.map(|newest| newest.min(at)),
        }
    }

    /// Takes over what it did under another name.
    pub(super) fn inherit(&mut self, past: Past, keep_from: Option<Timestamp>) {
        self.ideal_cycle_s = self.ideal_cycle_s.or(past.ideal_cycle_s);
        for state in &past.states {
            self.state(state, keep_from);
        }
        for count in past.counts {
            self.count(count);
        }
        self.last_data = self.last_data.max(past.newest);
        self.reckon_anew();
    }

    /// The OEE of the shift so far is reckoned from the beginning, with what people have said since.
    pub(super) fn reckon_anew(&mut self) {
        self.live = None;
    }

    pub(super) fn newest_data(&self) -> Option<Timestamp> {
        self.last_data
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

    /// Takes in a state; what stood before `keep_from` and was followed by another until then is let go.
    pub(super) fn state(&mut self, change: &StateChange, keep_from: Option<Timestamp>) {
        self.saw(change.event_time);
        let place = self.states.partition_point(|s| s.event_time <= change.event_time);
        if let Some(same) = place.checked_sub(1).and_then(|i| self.states.get_mut(i)).filter(|s| s.event_time == change.event_time) {
            // Of several at one instant history counts the last in their own order, whatever came first.
            if StatePoint::from(change) <= StatePoint::from(&*same) {
                return;
            }
            *same = change.clone();
        } else {
            self.states.insert(place, change.clone());
        }
        while keep_from.is_some_and(|from| self.states.get(1).is_some_and(|next| next.event_time <= from)) {
            self.states.pop_front();
        }
        if self.states.len() > MAX_STATES {
            self.states_dropped_at = self.states.pop_front().map(|s| s.event_time);
        }
        if let Some(live) = &mut self.live {
            live.state(StatePoint::from(change));
        }
    }

    pub(super) fn count(&mut self, count: PartInterval) {
        self.saw(count.to);
        let minute = |at: Timestamp| at.as_micros().div_euclid(MINUTE_US);
        let key = if minute(count.from) == minute(count.to.plus_micros(-1)) {
            let from = minute(count.from) * MINUTE_US;
            (Timestamp(from), Timestamp(from + MINUTE_US))
        } else {
            (count.from, count.to)
        };
        let sum = self.counts.entry(key).or_insert(PartInterval { parts: kpi::oee::PartTally::default(), ..count });
        sum.from = sum.from.min(count.from);
        sum.to = sum.to.max(count.to);
        sum.parts += count.parts;
        let keep_from = self.last_data.map(|newest| newest.plus_micros(-KEEP_COUNTS_US));
        while let Some(oldest) = self.counts.first_entry() {
            let old = keep_from.is_some_and(|from| oldest.get().to < from);
            if !old && self.counts.len() <= MAX_COUNTS {
                break;
            }
            if let Some((_, left)) = self.counts.pop_first() {
                self.counts_dropped_at = self.counts_dropped_at.max(Some(left.to));
            }
        }
        if let Some(live) = &mut self.live {
            outside(self.live_hole.as_slice(), [count].into_iter()).into_iter().for_each(|count| live.count(count));
        }
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

    /// The sums of `shift` so far.
    fn tally(&mut self, path: &protocol::AssetPath, shift: &Shift, asked: &Asked<'_>) -> Tally {
        let Asked { now, reckoning, calendar, production, hole, .. } = *asked;
        let window = TimeRange { from: shift.range.from, to: now.min(shift.range.to) };
        let known_until = self.known_until(now);
        if self.live.as_ref().is_none_or(|live| live.window() != shift.range || self.live_hole != hole) {
            self.live_hole = hole;
            let record = MachineRecord {
                states: self.states.iter().map(StatePoint::from).collect(),
                parts: outside(hole.as_slice(), self.counts.values().copied()),
                holes: hole.into_iter().collect(),
                ideal_cycle_s: self.ideal_cycle_s,
                ..MachineRecord::default()
            };
            let mut record = record.with_plan(calendar.plan(shift.range));
            production.registered(path, shift.range).into_record(&mut record);
            self.live = Some(LiveMachine::new(shift.range, record, reckoning.catalogue.clone(), reckoning.rules));
        }
        let Some(live) = &mut self.live else { return Tally::default() };
        let mut tally = live.tally_to(window.to, known_until);
        if self.states_dropped_at.max(self.counts_dropped_at).is_some_and(|at| at >= shift.range.from) {
            tally.set_flag(Flag::Truncated);
        }
        tally
    }

    pub(super) fn view(&mut self, path: &protocol::AssetPath, online: bool, asked: &Asked<'_>) -> AssetView {
        let (now, shift) = (asked.now, asked.shift);
        let [site, area, line, machine] = path.parts().map(str::to_owned);
        let tally = shift.map(|shift| (self.tally(path, shift, asked), shift.range.from));
        // Nothing heard in the shift is not the same as nothing made.
        let heard = |from: Timestamp| self.last_data.is_some_and(|at| at > from);
        let parts = tally.as_ref().filter(|(tally, from)| tally.parts().produced > 0 || heard(*from)).map(|(tally, _)| tally.parts());
        let oee = tally.as_ref().map(|(tally, _)| tally.oee(&asked.reckoning.rules, self.ideal_cycle_s));
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
                    age_s: now.micros_since(s.event_time) as f64 / 1e6,
                    quality: s.quality.as_str(),
                })
                .collect(),
            shift: shift.map(|s| ShiftView { name: s.name.clone(), from: s.range.from.into(), to: s.range.to.into() }),
            oee,
            parts: parts.map(|p| PartsView { produced: p.produced, rejected: p.rejected }),
            last_anomaly: self.last_anomaly.as_ref().map(AnomalyView::from),
            health: None,
            rul: None,
            open_alarms: Vec::new(),
        }
    }

    pub(super) fn saw(&mut self, event_time: Timestamp) {
        self.last_data = self.last_data.max(Some(event_time));
    }
}
