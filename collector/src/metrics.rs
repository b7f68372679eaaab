//! What is counted and measured, by name, in one place; rendered as text at `/metrics`.
//!
//! Invariant: label values come from closed sets of this file, so that the number of series is bounded.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::pacing::Fill;

/// Where a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    Duplicate,
    Gap,
    Heartbeat,
    /// No certificate.
    Unauthenticated,
    /// Revoked, or in another's name.
    Forbidden,
    Undecodable,
    TooLarge,
    /// Told to come back later.
    HeldOff,
    Failed,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Gap => "gap",
            Self::Heartbeat => "heartbeat",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Undecodable => "undecodable",
            Self::TooLarge => "too_large",
            Self::HeldOff => "held_off",
            Self::Failed => "failed",
        }
    }
}

/// What became of a shift that was to be stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    Stated,
    Restated,
    Unchanged,
    Failed,
}

impl Statement {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Restated => "restated",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

/// Installs the recorder for this process, once, and gives the handle that renders it.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed: /metrics stays empty");
            }
            describe();
            handle
        })
        .clone()
}

fn describe() {
    metrics::describe_counter!("millrace_collector_batches_total", "Batches by what became of them.");
    metrics::describe_counter!("millrace_collector_readings_stored_total", "Readings in stored summaries (the sum of their counts).");
    metrics::describe_counter!("millrace_collector_rows_stored_total", "Rows taken in.");
    metrics::describe_counter!("millrace_collector_enrollments_total", "Attempts to enroll, by outcome.");
    metrics::describe_counter!("millrace_collector_journal_corrupt_total", "Journal entries that could not be read back.");
    metrics::describe_counter!("millrace_collector_refused_connections_total", "Connections refused because there were too many.");
    metrics::describe_histogram!("millrace_collector_commit_duration_seconds", metrics::Unit::Seconds, "Time of a commit to the lake.");
    metrics::describe_counter!("millrace_collector_commits_total", "Commits to the lake, by outcome.");
    metrics::describe_gauge!("millrace_collector_hot_rows", "Rows in memory that the lake's files don't hold yet.");
    metrics::describe_gauge!("millrace_collector_journal_entries", "Batches in the journal.");
    metrics::describe_gauge!("millrace_collector_catching_up_gateways", "Gateways that have sent of a backlog within the last minute.");
    metrics::describe_gauge!("millrace_collector_fill_ratio", "How full the places are that rows wait in, of 1.");
    metrics::describe_counter!("millrace_collector_hold_seconds_total", "Time that gateways were asked to hold all batches.");
    metrics::describe_histogram!("millrace_collector_catch_up_hold_seconds", "Time that gateways were asked to hold batches of a backlog.");
    metrics::describe_gauge!("millrace_collector_handshakes", "TLS handshakes of gateways under way.");
    metrics::describe_gauge!("millrace_collector_queued_batches", "Batches that wait for the journal.");
    metrics::describe_histogram!("millrace_collector_retry_after_seconds", "Time that gateways were told to stay away.");
    metrics::describe_gauge!("millrace_collector_alarms", "Alarms of gateways that stand, by kind.");
    metrics::describe_gauge!("millrace_collector_max_skew_seconds", "The largest difference of a gateway's clock.");
    metrics::describe_gauge!("millrace_collector_audit_readings", "Readings of all gateways by what became of them.");
    metrics::describe_counter!("millrace_collector_statements_total", "Shifts that were reckoned to be stated, by what came of it.");
    metrics::describe_counter!("millrace_collector_statements_dropped_total", "Shifts that were to be reckoned again, and were not.");
    metrics::describe_gauge!("millrace_collector_statements_waiting", "Shifts that wait to be reckoned again.");
    metrics::describe_counter!("millrace_collector_registrations_dropped_total", "The oldest registrations, which left for new ones.");
    metrics::describe_counter!("millrace_collector_predictions_total", "Predictions of machines that were reckoned.");
    metrics::describe_counter!(
        "millrace_collector_maintenance_failed_total",
        "Machines that could not be predicted in a round, by what failed."
    );
    metrics::describe_gauge!("millrace_collector_journal_bytes", metrics::Unit::Bytes, "Size of the journal on disk.");
}

pub fn batch(outcome: Outcome) {
    metrics::counter!("millrace_collector_batches_total", "outcome" => outcome.as_str()).increment(1);
}

pub fn stored(rows: u64, readings: u64) {
    metrics::counter!("millrace_collector_rows_stored_total").increment(rows);
    metrics::counter!("millrace_collector_readings_stored_total").increment(readings);
}

/// `outcome` is one of `enrolled`, `refused`, `failed`.
pub fn enrollment(outcome: &'static str) {
    metrics::counter!("millrace_collector_enrollments_total", "outcome" => outcome).increment(1);
}

pub fn journal_corrupt(entries: u64) {
    metrics::counter!("millrace_collector_journal_corrupt_total").increment(entries);
}

/// How fast backlogs may come.
pub fn pace(catching_up: usize, fill: Fill) {
    metrics::gauge!("millrace_collector_catching_up_gateways").set(catching_up as f64);
    metrics::gauge!("millrace_collector_fill_ratio", "of" => "memory").set(fill.lake);
    metrics::gauge!("millrace_collector_fill_ratio", "of" => "journal").set(fill.journal);
}

/// What an acknowledgement asked for.
pub fn held(hold_ms: u32, catch_up_hold_ms: u32) {
    metrics::counter!("millrace_collector_hold_seconds_total", "of" => "all").increment(u64::from(hold_ms.div_ceil(1_000)));
    metrics::histogram!("millrace_collector_catch_up_hold_seconds").record(f64::from(catch_up_hold_ms) / 1e3);
}

/// TLS handshakes under way.
pub fn handshakes(running: usize) {
    metrics::gauge!("millrace_collector_handshakes").set(running as f64);
}

/// Batches that are read, decoded or wait for the journal.
pub fn queued(batches: usize) {
    metrics::gauge!("millrace_collector_queued_batches").set(batches as f64);
}

pub fn retry_after(seconds: f64) {
    metrics::histogram!("millrace_collector_retry_after_seconds").record(seconds);
}

pub fn alarms(kind: &'static str, standing: usize) {
    metrics::gauge!("millrace_collector_alarms", "kind" => kind).set(standing as f64);
}

/// The worst skew of all gateways.
pub fn skew(seconds: f64) {
    metrics::gauge!("millrace_collector_max_skew_seconds").set(seconds);
}

/// Readings of all gateways by what became of them.
pub fn audit(stored: u64, lost: u64, twice: u64, unaccounted: u64) {
    for (of, readings) in [("stored", stored), ("lost", lost), ("twice", twice), ("unaccounted", unaccounted)] {
        metrics::gauge!("millrace_collector_audit_readings", "of" => of).set(readings as f64);
    }
}

pub fn connection_refused() {
    metrics::counter!("millrace_collector_refused_connections_total").increment(1);
}

pub fn commit(took: Duration, done: bool) {
    metrics::counter!("millrace_collector_commits_total", "outcome" => if done { "done" } else { "failed" }).increment(1);
    if done {
        metrics::histogram!("millrace_collector_commit_duration_seconds").record(took.as_secs_f64());
    }
}

pub fn levels(hot_rows: usize, journal_entries: u64, journal_bytes: u64) {
    metrics::gauge!("millrace_collector_hot_rows").set(hot_rows as f64);
    metrics::gauge!("millrace_collector_journal_entries").set(journal_entries as f64);
    metrics::gauge!("millrace_collector_journal_bytes").set(journal_bytes as f64);
}

pub fn statement(outcome: Statement) {
    metrics::counter!("millrace_collector_statements_total", "outcome" => outcome.as_str()).increment(1);
}

pub fn statements_dropped(shifts: u64) {
    metrics::counter!("millrace_collector_statements_dropped_total").increment(shifts);
}

pub fn statements_waiting(shifts: usize) {
    metrics::gauge!("millrace_collector_statements_waiting").set(shifts as f64);
}

/// `kind` is a `production::Said::KIND`.
pub fn registration_dropped(kind: &'static str) {
    metrics::counter!("millrace_collector_registrations_dropped_total", "kind" => kind).increment(1);
}
