//! The twin as JSON: what the API answers and the WebSocket sends.
//!
//! Built from `machine` and `gateway`, serialised by `api`. Invariant: unknown is `null`, never a made-up zero; numbers carry their unit or time.

use std::collections::BTreeMap;

use protocol::{Anomaly, GatewayId, WindowSummary};
use serde::Serialize;
use utoipa::ToSchema;

use kpi::{condition::predict::RulAnswer, oee::Oee, utc::Utc};

use crate::{
    alarms::{Alarm, Change},
    audit::Audit,
};

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
    /// 0 failed, 1 healthy; `null`: not predicted.
    pub health: Option<f64>,
    /// Remaining useful life; `null`: not predicted.
    pub rul: Option<RulAnswer>,
    /// Of its gateway, those that stand.
    pub open_alarms: Vec<AlarmView>,
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
    /// How old it is, by event time.
    pub age_s: f64,
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
    /// Upper bound on `spool_bytes`.
    pub spool_max_bytes: Option<u64>,
    /// Bytes that the gateway wrote to its disk since midnight UTC.
    pub written_today_bytes: Option<u64>,
    /// False while it can keep records in memory only.
    pub durable: Option<bool>,
    pub oldest_unsent_age_s: Option<f64>,
    /// The collector's clock minus the gateway's, the way of the batch included: the median of the last few batches.
    pub skew_s: Option<f64>,
    pub skew_us: Option<i64>,
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
    /// Generations of its spool of which it still holds something, the newest first.
    pub generations: Vec<GenerationView>,
    /// Generations that the collector remembers.
    pub known_generations: usize,
    pub alarms: Vec<AlarmView>,
    /// Null until it has been heard or something of it is stored.
    pub audit: Option<AuditView>,
}

/// A part of a gateway's spool, with the sequences that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GenerationView {
    /// Hex.
    pub generation: String,
    /// `urgent`: anomalies, states, losses. `data`: summaries and part counts.
    pub lane: &'static str,
    /// Lowest sequence held.
    pub first: u64,
    /// Acknowledged so far.
    pub acked: u64,
    /// The sequence that the next entry would get.
    pub next: u64,
}

/// Something that is wrong with a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlarmView {
    /// Only where alarms of several gateways are together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// `clock_skew`, `offline`, `not_durable`, `restored` or `unaccounted`.
    pub kind: &'static str,
    pub since: Utc,
    pub detail: String,
    /// In live events: false when it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raised: Option<bool>,
}

impl AlarmView {
    pub fn of(alarm: &Alarm) -> Self {
        Self { gateway: None, kind: alarm.kind.as_str(), since: alarm.since.into(), detail: alarm.detail.clone(), raised: None }
    }

    pub fn of_change(change: &Change) -> Self {
        Self { gateway: Some(change.gateway.to_string()), raised: Some(change.raised), ..Self::of(&change.alarm) }
    }
}

/// Whether a gateway's books balance with what is here: reckoned independently on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditView {
    pub gateway: String,
    /// Readings that it says it has taken in, ever.
    pub taken: u64,
    /// Readings in stored summaries.
    pub stored: u64,
    /// What losses count.
    pub lost: u64,
    /// Losses that don't know how many.
    pub lost_unknown: u64,
    /// Readings that are stored more than once.
    pub twice: u64,
    /// Readings that came after their window had closed; they are stored, as corrections.
    pub late: u64,
    /// Readings that are still at the gateway.
    pub in_flight: u64,
    /// Neither here, nor there, nor lost for a reason; negative if more is here than was taken.
    pub unaccounted: i64,
    /// Since when `unaccounted` is what it is.
    pub since: Option<Utc>,
    /// `balanced`, `in_flight`, `unaccounted` or `unknown`.
    pub verdict: &'static str,
    /// `19200 stored, 0 lost, 0 twice, 3 late`
    pub text: String,
}

impl AuditView {
    pub fn of(gateway: &GatewayId, audit: &Audit) -> Self {
        Self {
            gateway: gateway.to_string(),
            taken: audit.taken,
            stored: audit.counts.stored,
            lost: audit.counts.lost,
            lost_unknown: audit.counts.lost_unknown,
            twice: audit.twice,
            late: audit.late,
            in_flight: audit.in_flight,
            unaccounted: audit.unaccounted,
            since: audit.since.map(Into::into),
            verdict: audit.verdict.as_str(),
            text: audit.text(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SourceView {
    pub name: String,
    pub kind: String,
    pub connected: bool,
    pub last_data_at: Option<Utc>,
    pub error: Option<String>,
}
