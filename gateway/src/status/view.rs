//! The board as a document: what `GET /status` and `millrace-gateway status` show.

use std::collections::BTreeMap;

use protocol::{Books, LANES, TimeQuality, Timestamp};
use serde::Serialize;
use spool::Spool;

use super::{Board, State, health};
use crate::{clock::Now, config::DurabilityMode, pipeline::SourceStats, timeline::TimeStatus, upload};

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
    pub time: TimeView,
    pub healthy: bool,
    /// What is wrong, for people; empty if nothing is.
    pub problems: Vec<String>,
    /// What will go wrong if nobody looks after it.
    pub warnings: Vec<String>,
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
    pub spool_generations: usize,
    pub spool_max_bytes: u64,
    /// For so long the spool has room without the collector, at the rate of now.
    pub spool_autonomy_hours: Option<f64>,
    pub written_today_bytes: u64,
    pub write_budget_bytes: u64,
    /// How many times as long intervals are for the sake of the write budget.
    pub commit_stretch: f64,
    /// False while records can only be kept in memory.
    pub durable: bool,
    pub books: BooksView,
    pub connected: bool,
    #[serde(serialize_with = "rfc3339")]
    pub last_upload_at: Option<Timestamp>,
    /// Why nothing is uploaded; empty if nothing stands in the way.
    pub upload_trouble: String,
    pub oldest_unsent_age_s: f64,
    pub upload: UploadView,
    pub losses: BTreeMap<&'static str, u64>,
    pub sources: Vec<SourceView>,
}

/// The account of readings since the gateway was set up: taken = acknowledged + lost after + open + held.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BooksView {
    pub taken: u64,
    pub lost_after: u64,
    pub lost_before: u64,
    pub duplicates: u64,
    pub late: u64,
    pub open: u64,
    pub held: u64,
}

impl From<Books> for BooksView {
    fn from(books: Books) -> Self {
        let Books { taken, lost_after, lost_before, duplicates, late, open, held } = books;
        Self { taken, lost_after, lost_before, duplicates, late, open, held }
    }
}

/// How delivery goes.
#[derive(Debug, Clone, Serialize)]
pub struct UploadView {
    /// `closed`: the collector answers; `open`: nothing is sent; `half_open`: it is being probed.
    pub breaker: &'static str,
    pub last_error: String,
    #[serde(serialize_with = "rfc3339")]
    pub last_error_at: Option<Timestamp>,
    /// Entries with anomalies, state changes and losses that are not acknowledged.
    pub backlog_urgent: u64,
    /// Entries with window summaries and part counts that are not acknowledged.
    pub backlog_data: u64,
    /// Of these, entries that have gathered in earlier generations.
    pub catch_up_entries: u64,
    /// Entries a second of these that the collector takes.
    pub catch_up_rate: f64,
    /// For so long the collector holds them back.
    pub catch_up_held_s: f64,
    pub dead_letters_total: u64,
}

impl UploadView {
    fn of(report: Option<&upload::Report>, [backlog_urgent, backlog_data]: [u64; LANES]) -> Self {
        Self {
            breaker: report.map_or(upload::Breaker::Closed, |report| report.breaker).as_str(),
            last_error: report.map(|report| report.last_error.clone()).unwrap_or_default(),
            last_error_at: report.and_then(|report| report.last_error_at),
            backlog_urgent,
            backlog_data,
            catch_up_entries: report.map_or(0, |report| report.catch_up_entries),
            catch_up_rate: report.map_or(0.0, |report| report.catch_up_rate),
            catch_up_held_s: report.map_or(0.0, |report| report.catch_up_held.as_secs_f64()),
            dead_letters_total: report.map_or(0, |report| report.dead_letters_total),
        }
    }
}

/// How well the time is known.
#[derive(Debug, Clone, Serialize)]
pub struct TimeView {
    /// `synced`, `holdover` or `unsynced`.
    pub quality: TimeQuality,
    /// Jumps of the system's clock since the start.
    pub jumps_total: u64,
    pub last_jump_s: f64,
    /// This clock less the collector's at its last answer.
    pub skew_s: Option<f64>,
    /// What has surely passed.
    #[serde(serialize_with = "rfc3339")]
    pub floor: Option<Timestamp>,
}

impl From<TimeStatus> for TimeView {
    fn from(status: TimeStatus) -> Self {
        Self {
            quality: status.quality,
            jumps_total: status.jumps_total,
            last_jump_s: status.last_jump_us as f64 / 1e6,
            skew_s: status.skew_us.map(|skew| skew as f64 / 1e6),
            floor: Some(status.floor),
        }
    }
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
        let now = self.now();
        let state = self.lock().clone();
        let spool = self.store.spool();
        let stats = &state.core.stats;
        let writes = &state.core.writes;
        let sources = self.source_views(&state);
        let facts = self.facts(now, &state, &sources);
        let (problems, warnings) = (health::problems(&facts), health::warnings(&facts));
        let backlog = spool.as_ref().map_or([0; LANES], |spool| super::backlog(spool));
        let backlog_entries = backlog.iter().sum();
        let upload = state.upload.as_ref();
        let oldest = upload.and_then(|upload| upload.oldest_unsent).filter(|_| backlog_entries > 0);
        let age = oldest.map_or(0, |at| now.wall.micros_since(at).max(0));
        let waiting = state.core.uncommitted + stats.pending_records + stats.held_back;
        View {
            gateway: self.config.gateway.to_string(),
            boot_id: format!("{:016x}", self.boot_id),
            version: env!("CARGO_PKG_VERSION"),
            now: Some(now.wall),
            started_at: Some(self.started_at(now)),
            time: self.clock.status().into(),
            healthy: problems.is_empty(),
            problems,
            warnings,
            readings_total: stats.readings_total,
            messages_total: stats.messages_total,
            dropped_total: stats.dropped_total,
            duplicates_total: stats.duplicates_total,
            late_total: stats.late_total,
            anomalies_total: stats.anomalies_total,
            assets: stats.assets,
            signals: stats.signals,
            open_windows: stats.open_windows,
            uncommitted_records: waiting.max(usize::from(state.core.changed)),
            backlog_entries,
            spool_bytes: spool.as_ref().map_or(0, |spool| spool.room().used),
            spool_generations: spool.as_ref().map_or(0, |spool| spool.view().len()),
            spool_max_bytes: self.config.spool.max_bytes,
            spool_autonomy_hours: spool.as_ref().and_then(|spool| autonomy_hours(spool, writes.entries_per_second)),
            written_today_bytes: writes.today,
            write_budget_bytes: writes.budget,
            commit_stretch: writes.stretch,
            durable: state.core.failing.is_none(),
            books: state.books.into(),
            connected: upload.is_some_and(|upload| upload.connected),
            last_upload_at: upload.and_then(|upload| upload.last_contact_at),
            upload_trouble: upload.map(|upload| upload.trouble.clone()).unwrap_or_default(),
            oldest_unsent_age_s: age as f64 / 1e6,
            upload: UploadView::of(upload, backlog),
            losses: stats.losses.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
            sources,
        }
    }

    pub(super) fn source_views(&self, state: &State) -> Vec<SourceView> {
        let nothing = SourceStats::default();
        let view = |(source, own): &(crate::config::Source, std::sync::Arc<crate::source::Health>)| {
            let data = state.core.stats.sources.get(usize::from(source.id.0)).unwrap_or(&nothing);
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

    pub(super) fn facts<'a>(&self, now: Now, state: &'a State, sources: &'a [SourceView]) -> health::Facts<'a> {
        let slowest = self.config.devices.iter().map(|device| device.interval).max().unwrap_or_default();
        health::Facts {
            now: now.wall,
            uptime_s: now.mono_us.saturating_sub(self.started.mono_us) as f64 / 1e6,
            silence_s: now.mono_us.saturating_sub(state.alive_us) as f64 / 1e6,
            commits_fail: state.core.failing.as_ref().map(|(since, why)| (now.mono_us.saturating_sub(*since) as f64 / 1e6, why.as_str())),
            durability_s: self.config.durability.interval.as_secs_f64(),
            writes: state.core.writes,
            is_stretched: self.config.durability.mode == DurabilityMode::Window,
            slowest_poll_s: slowest.as_secs_f64(),
            sources,
        }
    }
}

/// How long it takes until the spool is full, if nothing is taken out of it. Files take about twice what is in them.
fn autonomy_hours(spool: &Spool, entries_per_second: f64) -> Option<f64> {
    const AMPLIFICATION: f64 = 2.0;
    let room = spool.room();
    let kept: u64 = spool.view().iter().filter(|generation| !generation.current && generation.acknowledged()).map(|g| g.bytes).sum();
    let free = room.max.saturating_sub(room.used).saturating_add(kept);
    let free = room.volume_free.map_or(free, |volume| free.min(volume.saturating_add(kept)));
    (entries_per_second > 0.0).then(|| free as f64 / (entries_per_second * AMPLIFICATION) / 3_600.0)
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
