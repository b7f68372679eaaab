//! How the gateway is: gathered from all parts on one [`Board`], shown as a page, as JSON, as metrics, and to the collector.
//!
//! Invariant: the board is only ever locked for a copy; nothing on the way of a reading waits for a reader of the status page.

mod health;
mod metrics;
mod page;
mod server;
mod view;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::{GatewayStatus, SourceStatus, TimeQuality, Timestamp};

pub use server::{ServeError, serve};
pub use view::{SourceView, View};

use crate::{
    clock::{self, Now},
    config::{Config, Source},
    pipeline::Stats,
    source::Health,
    store::Store,
};

/// Before this date a clock was never set: 2024-01-01.
const NEVER_SET: Timestamp = Timestamp::from_micros(1_704_067_200_000_000);

/// Where every part writes down how it is.
pub struct Board {
    config: Arc<Config>,
    store: Arc<Store>,
    boot_id: u64,
    started: Now,
    sources: Vec<(Source, Arc<Health>)>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    stats: Stats,
    /// Records handed to the commit thread or waiting for it.
    uncommitted: usize,
    /// Something came in that no durable checkpoint covers.
    changed: bool,
    /// When the pipeline's thread last came by (monotonic).
    alive_us: u64,
    committed_us: Option<u64>,
    /// Since when commits fail (monotonic), and why.
    failing: Option<(u64, String)>,
    connected: bool,
    last_upload_at: Option<Timestamp>,
    upload_trouble: String,
    oldest_unsent: Option<Timestamp>,
}

impl Board {
    pub fn new(config: Arc<Config>, store: Arc<Store>, boot_id: u64, sources: Vec<(Source, Arc<Health>)>) -> Self {
        let started = clock::now();
        let state = State { alive_us: started.mono_us, ..State::default() };
        Self { config, store, boot_id, started, sources, state: Mutex::new(state) }
    }

    /// The pipeline's thread came by.
    pub fn pipeline(&self, now: Now, stats: Stats, uncommitted: usize, changed: bool) {
        let mut state = self.lock();
        state.alive_us = now.mono_us;
        state.uncommitted = uncommitted;
        state.changed = changed;
        state.stats = stats;
    }

    pub fn commit_succeeded(&self, now: Now) {
        let mut state = self.lock();
        state.committed_us = Some(now.mono_us);
        state.failing = None;
    }

    pub fn commit_failed(&self, reason: &str) {
        let now = clock::now().mono_us;
        let mut state = self.lock();
        let since = state.failing.as_ref().map_or(now, |(since, _)| *since);
        state.failing = Some((since, reason.into()));
    }

    /// The collector answered.
    pub fn uploaded(&self, at: Timestamp) {
        let mut state = self.lock();
        state.connected = true;
        state.last_upload_at = Some(at);
        state.upload_trouble.clear();
    }

    pub fn upload_failed(&self, trouble: &str) {
        let mut state = self.lock();
        state.connected = false;
        state.upload_trouble = trouble.into();
    }

    pub fn oldest_unsent(&self, at: Option<Timestamp>) {
        self.lock().oldest_unsent = at;
    }

    /// Entries that the collector has not yet acknowledged.
    pub fn backlog(&self) -> u64 {
        self.store.spool().map_or(0, |spool| spool.len())
    }

    /// How long ago the pipeline's thread came by.
    pub fn pipeline_silence(&self) -> Duration {
        Duration::from_micros(clock::now().mono_us.saturating_sub(self.lock().alive_us))
    }

    /// What every batch tells the collector.
    pub fn gateway_status(&self) -> GatewayStatus {
        let now = clock::now();
        let state = self.lock().clone();
        let spool = self.store.spool();
        let backlog_entries = spool.as_ref().map_or(0, |spool| spool.len());
        let age = |at: Timestamp| u64::try_from(now.wall.micros_since(at) / 1000).unwrap_or(0);
        let sources = self.source_views(&state).into_iter().map(|source| SourceStatus {
            name: source.name,
            kind: source.kind,
            connected: source.connected,
            last_data_at: source.last_data_at,
            error: source.error,
        });
        GatewayStatus {
            boot_id: self.boot_id,
            started_at: self.started.wall,
            version: env!("CARGO_PKG_VERSION").into(),
            time_quality: time_quality(now.wall),
            readings_total: state.stats.readings_total,
            dropped_total: state.stats.dropped_total,
            duplicates_total: state.stats.duplicates_total,
            signals: state.stats.signals as u64,
            spool_bytes: spool.as_ref().map_or(0, |spool| spool.bytes_on_disk()),
            backlog_entries,
            oldest_unsent_age_ms: if backlog_entries == 0 { 0 } else { state.oldest_unsent.map_or(0, age) },
            books: protocol::Books::default(),
            spool_max_bytes: 0,
            written_today_bytes: 0,
            durable: true,
            streams: Vec::new(),
            sources: sources.collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the wall clock can be believed. That it was synchronised lately is more than a process can see without privileges; that it was
/// never set is plain.
fn time_quality(wall: Timestamp) -> TimeQuality {
    if wall < NEVER_SET { TimeQuality::Unsynced } else { TimeQuality::Synced }
}
