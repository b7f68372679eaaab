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

use protocol::{Books, GatewayStatus, LANES, SourceStatus, Timestamp};
use spool::Spool;

pub use server::{ServeError, serve};
pub use view::{SourceView, View};

use crate::{
    clock::{Clock, Now},
    config::{Config, Source},
    core::CoreView,
    source::Health,
    store::Store,
    upload,
};

/// Where every part writes down how it is.
pub struct Board {
    config: Arc<Config>,
    store: Arc<Store>,
    clock: Arc<Clock>,
    boot_id: u64,
    started: Now,
    sources: Vec<(Source, Arc<Health>)>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    core: CoreView,
    /// As of a moment when no commit was under way.
    books: Books,
    /// When the pipeline's thread last came by (monotonic).
    alive_us: u64,
    upload: Option<upload::Report>,
}

impl Board {
    pub fn new(config: Arc<Config>, store: Arc<Store>, clock: Arc<Clock>, boot_id: u64, sources: Vec<(Source, Arc<Health>)>) -> Self {
        let started = clock.now();
        let state = State { alive_us: started.mono_us, ..State::default() };
        Self { config, store, clock, boot_id, started, sources, state: Mutex::new(state) }
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// The pipeline's thread came by.
    pub fn core(&self, now: Now, core: CoreView) {
        // What a commit is about to move from one to the other must not be counted in both.
        let held = if core.committing { None } else { self.store.spool().map(|spool| held(&spool)) };
        let mut state = self.lock();
        state.alive_us = now.mono_us;
        if let Some(held) = held {
            state.books = Books { held, ..core.stats.books };
        }
        state.core = core;
    }

    /// How delivery goes.
    pub fn uploader(&self, report: upload::Report) {
        self.lock().upload = Some(report);
    }

    /// Entries that the collector has not yet acknowledged.
    pub fn backlog(&self) -> u64 {
        self.store.spool().map_or(0, |spool| backlog(&spool).iter().sum())
    }

    /// How long ago the pipeline's thread came by.
    pub fn pipeline_silence(&self) -> Duration {
        Duration::from_micros(self.now().mono_us.saturating_sub(self.lock().alive_us))
    }

    /// What every batch tells the collector.
    pub fn gateway_status(&self) -> GatewayStatus {
        let now = self.now();
        let state = self.lock().clone();
        let spool = self.store.spool();
        let backlog_entries = spool.as_ref().map_or(0, |spool| backlog(spool).iter().sum());
        let sources = self.source_views(&state).into_iter().map(|source| SourceStatus {
            name: source.name,
            kind: source.kind,
            connected: source.connected,
            last_data_at: source.last_data_at,
            error: source.error,
        });
        GatewayStatus {
            boot_id: self.boot_id,
            started_at: self.started_at(now),
            version: env!("CARGO_PKG_VERSION").into(),
            time_quality: now.time_quality,
            readings_total: state.core.stats.readings_total,
            dropped_total: state.core.stats.dropped_total,
            duplicates_total: state.core.stats.duplicates_total,
            signals: state.core.stats.signals as u64,
            spool_bytes: spool.as_ref().map_or(0, |spool| spool.room().used),
            backlog_entries,
            // The uploader knows.
            oldest_unsent_age_ms: 0,
            books: state.books,
            spool_max_bytes: self.config.spool.max_bytes,
            written_today_bytes: state.core.writes.today,
            durable: state.core.failing.is_none(),
            // The uploader knows.
            streams: Vec::new(),
            descents: Vec::new(),
            sources: sources.collect(),
        }
    }

    /// When this run began, by the time as it is known now.
    fn started_at(&self, now: Now) -> Timestamp {
        let ago = now.mono_us.saturating_sub(self.started.mono_us);
        now.wall.plus_micros(i64::try_from(ago).unwrap_or(i64::MAX).saturating_neg())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries that are not acknowledged, by lane.
fn backlog(spool: &Spool) -> [u64; LANES] {
    let view = spool.view();
    let unsent = |lane: usize| view.iter().map(|generation| upload::unsent(&generation.lanes[lane])).sum();
    std::array::from_fn(unsent)
}

/// Readings in entries that are not acknowledged.
fn held(spool: &Spool) -> u64 {
    spool.view().iter().flat_map(|generation| generation.lanes).map(|lane| lane.units.saturating_sub(lane.acked_units)).sum()
}
