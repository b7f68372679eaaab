//! The twin as JSON: what the API answers and the WebSocket sends.
//!
//! Built from `machine` and `gateway`, serialised by `api`. Invariant: unknown is `null`, never a made-up zero; numbers carry their unit or time.

use std::collections::BTreeMap;

use protocol::{Anomaly, WindowSummary};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{kpi::oee::Oee, utc::Utc};

/// A machine, now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AssetView {
    /// `site/area/line/machine`.
    pub asset: String,
    pub site: String,
    pub area: String,
    pub line: String,
    pub machine: String,
    /// That last delivered data of it.
    pub gateway: Option<String>,
    /// Its gateway was heard lately.
    pub online: bool,
    /// Its own data are older than they should be: what is shown may not hold any more.
    pub stale: bool,
    /// `producing`, `idle`, `setup`, `planned_stop`, `unplanned_stop`, `offline`.
    pub state: Option<&'static str>,
    pub state_since: Option<Utc>,
    pub stop_reason: Option<String>,
    pub ideal_cycle_time_s: Option<f64>,
    pub signals: Vec<SignalView>,
    pub shift: Option<ShiftView>,
    /// Of the shift so far.
    pub oee: Option<Oee>,
    /// Of the shift so far.
    pub parts: Option<PartsView>,
    pub last_anomaly: Option<AnomalyView>,
}

/// The newest value of a signal, by event time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SignalView {
    pub signal: String,
    /// UCUM.
    pub unit: String,
    pub value: f64,
    /// End of the window that it comes from.
    pub event_time: Utc,
    pub quality: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ShiftView {
    pub name: String,
    pub from: Utc,
    pub to: Utc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartsView {
    pub produced: u64,
    pub rejected: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnomalyView {
    pub asset: String,
    pub signal: String,
    pub event_time: Utc,
    pub kind: &'static str,
    pub severity: &'static str,
    pub value: f64,
    pub threshold: f64,
    pub score: f64,
    pub detector: String,
    pub message: String,
}

impl From<&Anomaly> for AnomalyView {
    fn from(a: &Anomaly) -> Self {
        Self {
            asset: a.asset.to_string(),
            signal: a.signal.to_string(),
            event_time: a.event_time.into(),
            kind: a.kind.as_str(),
            severity: a.severity.as_str(),
            value: a.value,
            threshold: a.threshold,
            score: a.score,
            detector: a.detector.clone(),
            message: a.message.clone(),
        }
    }
}

/// A window summary as the WebSocket sends it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummaryView<'a> {
    pub asset: &'a str,
    pub signal: &'a str,
    pub unit: &'a str,
    pub start: Utc,
    pub end: Utc,
    pub count: u64,
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub last: f64,
    pub quality: &'static str,
}

impl<'a> From<&'a WindowSummary> for SummaryView<'a> {
    fn from(w: &'a WindowSummary) -> Self {
        Self {
            asset: w.asset.as_str(),
            signal: w.signal.as_str(),
            unit: &w.unit,
            start: w.start.into(),
            end: w.end.into(),
            count: w.count,
            min: w.min,
            max: w.max,
            mean: w.mean,
            last: w.last,
            quality: w.quality.as_str(),
        }
    }
}

/// A gateway, now. What it said of itself is `null` until it has been heard by this process of the collector.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GatewayView {
    pub gateway: String,
    pub online: bool,
    pub last_seen: Option<Utc>,
    pub enrolled_at: Option<Utc>,
    pub revoked_at: Option<Utc>,
    pub version: Option<String>,
    /// Hex; a new one with each start of the gateway.
    pub boot_id: Option<String>,
    pub started_at: Option<Utc>,
    pub backlog_entries: Option<u64>,
    pub spool_bytes: Option<u64>,
    pub oldest_unsent_age_s: Option<f64>,
    /// The collector's clock minus the gateway's, the way of the batch included.
    pub skew_s: Option<f64>,
    pub time_quality: Option<&'static str>,
    /// Since the gateway's start.
    pub readings_total: Option<u64>,
    /// In the summaries stored here, ever.
    pub readings_stored: u64,
    /// Since the gateway's start.
    pub dropped_total: Option<u64>,
    /// Readings (or messages) lost by reason, ever.
    pub losses: BTreeMap<&'static str, u64>,
    /// Since the gateway's start: taken in already, and so dropped.
    pub duplicates_total: Option<u64>,
    /// Since the collector's start.
    pub duplicate_batches: u64,
    /// Since the collector's start.
    pub batches: u64,
    pub sources: Vec<SourceView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SourceView {
    pub name: String,
    pub kind: String,
    pub connected: bool,
    pub last_data_at: Option<Utc>,
    pub error: Option<String>,
}
