//! The board as a document: what `GET /status` and `millrace-gateway status` show.

use std::collections::BTreeMap;

use protocol::Timestamp;
use serde::Serialize;

use super::{Board, State, health};
use crate::{clock, pipeline::SourceStats};

/// A whole look at the gateway.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    pub gateway: String,
    pub boot_id: String,
    pub version: &'static str,
    #[serde(serialize_with = "rfc3339")]
    pub now: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    pub started_at: Option<Timestamp>,
    pub healthy: bool,
    /// What is wrong, for people; empty if nothing is.
    pub problems: Vec<String>,
    pub readings_total: u64,
    pub messages_total: u64,
    pub dropped_total: u64,
    pub duplicates_total: u64,
    pub late_total: u64,
    pub anomalies_total: u64,
    pub assets: usize,
    pub signals: usize,
    pub open_windows: usize,
    /// Records and facts that would be lost with the process; a state that no checkpoint covers counts as one.
    pub uncommitted_records: usize,
    pub backlog_entries: u64,
    pub spool_bytes: u64,
    pub spool_held_bytes: u64,
    pub spool_max_bytes: u64,
    pub connected: bool,
    #[serde(serialize_with = "rfc3339")]
    pub last_upload_at: Option<Timestamp>,
    /// Why nothing is uploaded; empty if nothing stands in the way.
    pub upload_trouble: String,
    pub oldest_unsent_age_s: f64,
    pub losses: BTreeMap<&'static str, u64>,
    pub sources: Vec<SourceView>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SourceView {
    pub name: String,
    pub kind: String,
    pub connected: bool,
    #[serde(serialize_with = "rfc3339")]
    pub last_data_at: Option<Timestamp>,
    pub error: String,
    pub messages_total: u64,
    pub readings_total: u64,
    pub polls_skipped_total: u64,
}

impl Board {
    pub fn view(&self) -> View {
        let now = clock::now();
        let state = self.lock().clone();
        let spool = self.store.spool();
        let stats = &state.stats;
        let sources = self.source_views(&state);
        let problems = health::problems(&self.facts(now, &state, &sources));
        let backlog_entries = spool.as_ref().map_or(0, |spool| spool.len());
        let age = state.oldest_unsent.filter(|_| backlog_entries > 0).map_or(0, |at| now.wall.micros_since(at).max(0));
        let waiting = state.uncommitted + stats.pending_records + stats.held_back;
        View {
            gateway: self.config.gateway.to_string(),
            boot_id: format!("{:016x}", self.boot_id),
            version: env!("CARGO_PKG_VERSION"),
            now: Some(now.wall),
            started_at: Some(self.started.wall),
            healthy: problems.is_empty(),
            problems,
            readings_total: stats.readings_total,
            messages_total: stats.messages_total,
            dropped_total: stats.dropped_total,
            duplicates_total: stats.duplicates_total,
            late_total: stats.late_total,
            anomalies_total: stats.anomalies_total,
            assets: stats.assets,
            signals: stats.signals,
            open_windows: stats.open_windows,
            uncommitted_records: waiting.max(usize::from(state.changed)),
            backlog_entries,
            spool_bytes: spool.as_ref().map_or(0, |spool| spool.bytes_on_disk()),
            spool_held_bytes: spool.as_ref().map_or(0, |spool| spool.bytes_held()),
            spool_max_bytes: self.config.spool.max_bytes,
            connected: state.connected,
            last_upload_at: state.last_upload_at,
            upload_trouble: state.upload_trouble.clone(),
            oldest_unsent_age_s: age as f64 / 1e6,
            losses: stats.losses.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
            sources,
        }
    }

    pub(super) fn source_views(&self, state: &State) -> Vec<SourceView> {
        let nothing = SourceStats::default();
        let view = |(source, own): &(crate::config::Source, std::sync::Arc<crate::source::Health>)| {
            let data = state.stats.sources.get(usize::from(source.id.0)).unwrap_or(&nothing);
            let own_error = own.error();
            SourceView {
                name: source.name.clone(),
                kind: source.kind.into(),
                connected: own.is_connected(),
                last_data_at: data.last_data_at,
                error: if own_error.is_empty() { data.last_error.clone() } else { own_error },
                messages_total: data.messages_total,
                readings_total: data.readings_total,
                polls_skipped_total: own.skipped(),
            }
        };
        self.sources.iter().map(view).collect()
    }

    pub(super) fn facts<'a>(&self, now: clock::Now, state: &'a State, sources: &'a [SourceView]) -> health::Facts<'a> {
        let slowest = self.config.devices.iter().map(|device| device.interval).max().unwrap_or_default();
        health::Facts {
            now: now.wall,
            uptime_s: now.mono_us.saturating_sub(self.started.mono_us) as f64 / 1e6,
            silence_s: now.mono_us.saturating_sub(state.alive_us) as f64 / 1e6,
            commits_fail: state.failing.as_ref().map(|(since, why)| (now.mono_us.saturating_sub(*since) as f64 / 1e6, why.as_str())),
            durability_s: self.config.durability.interval.as_secs_f64(),
            slowest_poll_s: slowest.as_secs_f64(),
            sources,
        }
    }
}

/// RFC 3339 with microseconds, UTC; absent as null.
fn rfc3339<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at.and_then(text) {
        Some(text) => serializer.serialize_some(&text),
        None => serializer.serialize_none(),
    }
}

pub(super) fn text(at: Timestamp) -> Option<String> {
    Some(format!("{:.6}", jiff::Timestamp::from_microsecond(at.as_micros()).ok()?))
}
