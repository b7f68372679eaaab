//! What is known of a machine's past: its failures, its lives and its operating time.
//!
//! Stands between the stores and reliability. [`read`] does the I/O, [`Facts::of`] is pure. Invariant: a machine of which no state is known
//! is reckoned by the calendar, and that is told.

use kpi::{
    oee::{MachineRecord, StatePoint},
    reliability::events::{History, MAX_EVENTS, MaintenanceEvent, MaintenanceEventKind, OperatingTime, history},
};
use lake::LakeError;
use protocol::{AssetPath, TimeRange, Timestamp};

use super::{
    event::{Event, MAINTENANCE_KINDS, maintenance_events},
    stops::{Life, breakdowns, lives, producing},
};
use crate::{
    app::App,
    store::{EventFilter, StoreError},
};

/// Of all that is known a shorter part is read, so many times, if it is too much.
const SHORTENED: u32 = 3;

/// Why it can't be told.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the lake: {0}")]
    Lake(#[from] LakeError),
    #[error("the history of {asset} can't be reckoned: {problem}")]
    History { asset: AssetPath, problem: String },
}

/// What was recorded of a machine in a period.
#[derive(Debug, Clone)]
pub struct Past {
    pub asset: AssetPath,
    /// From where anything is known.
    pub period: TimeRange,
    /// As reported, in order of time.
    pub reported: Vec<Event>,
    /// Reported, and shown by the machine's stops; in order.
    pub events: Vec<MaintenanceEvent>,
    pub operating: OperatingTime,
    /// There is a state or an event.
    pub is_known: bool,
    /// The machine is older than what was read: where `period` begins, nothing began.
    pub is_cut: bool,
}

impl Past {
    /// Reckoned by the calendar, for want of states.
    pub fn is_by_calendar(&self) -> bool {
        self.operating == OperatingTime::Calendar
    }

    /// # Errors
    /// [`ReadError::History`].
    pub fn history(&self) -> Result<History, ReadError> {
        self.history_of(&self.events)
    }

    /// As if only these events had happened.
    ///
    /// # Errors
    /// [`ReadError::History`].
    pub fn history_of(&self, events: &[MaintenanceEvent]) -> Result<History, ReadError> {
        history(events, &self.operating, &[], self.period).map_err(|errors| ReadError::History {
            asset: self.asset.clone(),
            problem: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })
    }
}

/// Reads what was recorded of a machine in `asked`.
///
/// # Errors
/// [`ReadError`].
pub async fn read(app: &App, asset: &AssetPath, asked: TimeRange, now: Timestamp) -> Result<Past, ReadError> {
    let config = &app.config.maintenance;
    let filter = EventFilter { asset: Some(asset), kinds: &MAINTENANCE_KINDS, limit: MAX_EVENTS, ..EventFilter::default() };
    let mut reported = app.store.events(&filter, asked).await?;
    reported.reverse();
    let mut states: Vec<StatePoint> = Vec::new();
    for (path, part) in app.production.lineage(asset, asked) {
        let found = app.lake.states(&path, part).await?;
        // What stood before a new name stands under the old one.
        states.extend(found.iter().filter(|state| part.from == asked.from || state.event_time >= part.from).map(StatePoint::from));
    }
    let known_until = known_until(app, asset, now).min(asked.to);
    states.retain(|state| state.at < known_until);
    let mut events = maintenance_events(&reported);
    let first_state = states.first().map(|s| s.at);
    let first = first_state.into_iter().chain(events.first().map(|e| e.at)).min();
    let period = TimeRange { from: first.map_or(asked.from, |first| first.clamp(asked.from, asked.to.plus_micros(-1))), to: asked.to };
    let operating = match (first_state, first) {
        (Some(_), _) => OperatingTime::Intervals(producing(&states, period, known_until)),
        (None, Some(_)) => OperatingTime::Calendar,
        // Of a machine that nothing is known of no hour is claimed.
        (None, None) => OperatingTime::Intervals(Vec::new()),
    };
    if config.failures_from_stops {
        let mut record = MachineRecord { states, ..MachineRecord::default() };
        app.production.registered(asset, asked).into_record(&mut record);
        let min_failure_us = i64::try_from(config.min_failure.as_micros()).unwrap_or(i64::MAX);
        let derived = breakdowns(&record, &app.twin.reckoning().catalogue, &events, min_failure_us, known_until);
        events.extend(derived.into_iter().filter(|e| e.at >= period.from));
        events.sort();
        // The newest count.
        events.drain(..events.len().saturating_sub(MAX_EVENTS));
    }
    let is_cut = first.is_some_and(|first| first < asked.from);
    Ok(Past { asset: asset.clone(), is_cut, period, reported, events, operating, is_known: first.is_some() })
}

/// Up to when the machine is known without a hole: while a gateway sends its backlog, what came since is not all.
pub fn known_until(app: &App, asset: &AssetPath, now: Timestamp) -> Timestamp {
    app.twin.holes(asset).iter().map(|hole| hole.from).fold(app.twin.known_until(asset, now), Ord::min)
}

/// As [`read`], of as much as can be read at once before `now`.
///
/// # Errors
/// [`ReadError`].
pub async fn read_all(app: &App, asset: &AssetPath, now: Timestamp) -> Result<Past, ReadError> {
    let mut back_us = i64::try_from(app.config.maintenance.history.as_micros()).unwrap_or(i64::MAX);
    for _ in 0..SHORTENED {
        match read(app, asset, TimeRange { from: now.plus_micros(-back_us), to: now }, now).await {
            Err(ReadError::Lake(LakeError::TooManyRows { .. })) => back_us /= 4,
            result => return result,
        }
    }
    read(app, asset, TimeRange { from: now.plus_micros(-back_us), to: now }, now).await
}

/// The latest failure.
#[derive(Debug, Clone, PartialEq)]
pub struct LastFailure {
    pub at: Timestamp,
    pub component: Option<String>,
    /// Of the event that reported it; `None`: the machine's own stop told it.
    pub event: Option<String>,
}

/// A work order under way.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenWorkOrder {
    pub work_order: String,
    pub kind: String,
    pub component: Option<String>,
    pub since: Timestamp,
}

/// What predictions need of a machine's past.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub reckoned_at: Timestamp,
    pub period: TimeRange,
    /// Where `period` begins, nothing began.
    pub is_cut: bool,
    pub history: History,
    pub lives: Vec<Life>,
    pub last_failure: Option<LastFailure>,
    pub open_work_orders: Vec<OpenWorkOrder>,
}

impl Facts {
    /// # Errors
    /// [`ReadError::History`].
    pub fn of(past: &Past, now: Timestamp) -> Result<Self, ReadError> {
        let is_failure = |e: &&MaintenanceEvent| e.kind == MaintenanceEventKind::Failure;
        let last_failure = past.events.iter().rfind(is_failure).map(|e| LastFailure {
            at: e.at,
            component: e.component.clone(),
            event: past.reported.iter().rfind(|r| r.kind == "failure" && r.at == e.at).map(|r| r.id.clone()),
        });
        let text = |event: &Event, field: &str| event.field(field).map(str::to_owned);
        let open = super::event::open_work_orders(&past.reported).into_iter().map(|order| OpenWorkOrder {
            work_order: text(order, "work_order").unwrap_or_default(),
            kind: text(order, "work_order_kind").unwrap_or_default(),
            component: text(order, "component"),
            since: order.at,
        });
        Ok(Self {
            reckoned_at: now,
            period: past.period,
            is_cut: past.is_cut,
            history: past.history()?,
            lives: lives(&past.events),
            last_failure,
            open_work_orders: open.collect(),
        })
    }

    /// Operating hours per hour of the calendar; `None` if it did not operate.
    pub fn utilisation(&self) -> Option<f64> {
        let share = self.history.operating_h / self.history.period_h;
        (1e-6..=1.000_001).contains(&share).then(|| share.min(1.0))
    }

    /// When the life that runs now began; `None`: before all that is known, or the machine is down.
    pub fn living_since(&self) -> Option<Timestamp> {
        self.lives.last().filter(|life| life.end.is_none()).and_then(|life| life.from)
    }
}
