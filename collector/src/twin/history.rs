//! The twin as it was: a machine's view at past times, from stored rows.
//!
//! Stands between the lake's reads and the API. Rows are taken in by the same code as live ones, in order of event time, and views are made in between;
//! so the twin of then is what the live one would have shown had all data come at once. Pure.
//!
//! Invariants: nothing later than a view's time is in it; what the store does not keep (whether the gateway was heard, its alarms) is not made up: a
//! machine counts as online while its data were fresh.

use kpi::{
    calendar::Calendar,
    oee::{PartInterval, StatePoint},
};
use lake::Sourced;
use protocol::{Anomaly, AssetPath, PartCount, StateChange, TimeRange, Timestamp, WindowSummary};

use super::{
    Reckoning, Twin,
    machine::{Asked, Machine},
    view::AssetView,
};
use crate::production::Production;

/// The last values of signals are looked for so far back.
pub const LOOK_BACK_US: i64 = 7 * 86_400_000_000;
/// Between shifts parts are looked for so far back, for how new the data are.
const NO_SHIFT_US: i64 = 3_600_000_000;

/// What is stored of one machine around the times that are asked for; in any order.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Of every signal the last one before each time is enough.
    pub windows: Vec<Sourced<WindowSummary>>,
    /// From the one on that stood when [`Twin::needed`] begins.
    pub states: Vec<StateChange>,
    pub parts: Vec<PartCount>,
    pub anomalies: Vec<Sourced<Anomaly>>,
}

/// How views of one machine are reckoned.
struct Setting<'a> {
    asset: &'a AssetPath,
    ideal_cycle_s: Option<f64>,
    calendar: &'a Calendar,
    reckoning: &'a Reckoning,
    production: &'a Production,
}

impl Twin {
    /// The period of which states and parts must be read for views from `first` to `last`: it begins with the shift of the first.
    pub fn needed(&self, first: Timestamp, last: Timestamp) -> TimeRange {
        let begin = self.calendar.shift_at(first).map_or(first.plus_micros(-NO_SHIFT_US), |shift| shift.range.from);
        TimeRange { from: begin.plus_micros(-self.reckoning().margin_us()), to: last.plus_micros(1) }
    }

    /// The machine as it was at each of `times`, which are in order.
    pub fn as_of(&self, asset: &AssetPath, past: Past, times: &[Timestamp]) -> Vec<AssetView> {
        let reckoning = self.reckoning();
        let setting = Setting {
            asset,
            ideal_cycle_s: self.ideal_cycle_s(asset),
            calendar: &self.calendar,
            reckoning: &reckoning,
            production: &self.production,
        };
        step(&setting, past, times)
    }
}

fn step(setting: &Setting<'_>, mut past: Past, times: &[Timestamp]) -> Vec<AssetView> {
    past.windows.sort_by_key(|row| row.record.end);
    past.states.sort_by_key(|state| (state.event_time, StatePoint::from(state)));
    past.parts.sort_by_key(|count| count.to);
    past.anomalies.sort_by_key(|row| row.record.event_time);
    let mut windows = past.windows.into_iter().peekable();
    let mut states = past.states.into_iter().peekable();
    let mut parts = past.parts.into_iter().peekable();
    let mut anomalies = past.anomalies.into_iter().peekable();
    let mut machine = Machine::described(setting.ideal_cycle_s);
    let margin_us = setting.reckoning.margin_us();
    let view = |at: &Timestamp| {
        let shift = setting.calendar.shift_at(*at);
        let keep_from = shift.as_ref().map(|shift| shift.range.from.plus_micros(-margin_us));
        while let Some(row) = windows.next_if(|row| row.record.end <= *at) {
            machine.summary(&row.record);
            machine.gateway = Some(row.gateway);
        }
        while let Some(state) = states.next_if(|state| state.event_time <= *at) {
            machine.state(&state, keep_from);
        }
        while let Some(count) = parts.next_if(|count| count.to <= *at) {
            machine.count(PartInterval::from(&count));
        }
        while let Some(row) = anomalies.next_if(|row| row.record.event_time <= *at) {
            machine.anomaly(&row.record);
        }
        let Setting { calendar, reckoning, production, .. } = *setting;
        let asked = Asked { now: *at, shift: shift.as_ref(), reckoning, calendar, production, hole: None };
        let online = !machine.is_stale(*at);
        machine.view(setting.asset, online, &asked)
    };
    times.iter().map(view).collect()
}
