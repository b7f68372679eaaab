//! The work in the background: facts and predictions of machines with new data, scores of what was predicted, and when to train.
//!
//! A round takes a quarter of the time between two rounds at most; who was not looked at in it comes first in the next. One machine that
//! fails does not stop the others.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kpi::condition::{
    predict::MaintenancePrediction,
    scoring::{Score, ScoreSettings, StoredPrediction, Truth, score},
};
use protocol::{AssetPath, SignalName, TimeRange, Timestamp};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Known, Maintenance, Plan,
    facts::{Facts, ReadError, read_all},
    fleet::{HOUR_US, RunToFailure},
    learned::Tracked,
    outlook::{self, OutlookError},
    reliability,
    stops::Life,
    training,
};
use crate::{
    app::App,
    clock,
    config::Config,
    store::StoreError,
    twin::{AssetView, Moment, view::SignalView},
};

/// Machines that are asked of the twin at a time.
const PAGE: usize = 500;
/// Facts are reckoned anew after this time if the machine's state has changed, and after that in any case.
const FACTS_US: (i64, i64) = (300_000_000, HOUR_US);
/// When a machine whose facts could not be reckoned is tried again.
const AGAIN_US: i64 = 300_000_000;
const LEAST_BUDGET: Duration = Duration::from_millis(200);
/// Predictions of one machine that are scored at a time: a year of hours, and some.
const MAX_SCORED: usize = 10_000;

/// A machine as the twin sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub asset: AssetPath,
    pub kind: String,
    pub signals: Vec<SignalView>,
    /// It stands unplanned since then.
    stopped_since: Option<Timestamp>,
    state_since: Option<Timestamp>,
}

impl Seen {
    /// `None` if the machine is not known.
    pub fn of(app: &App, asset: &AssetPath, now: Timestamp) -> Option<Self> {
        let view = app.twin.asset(asset, Moment { now, started_at: app.started_at })?;
        Self::new(&app.config, view)
    }

    fn new(config: &Config, view: AssetView) -> Option<Self> {
        let asset = AssetPath::new(&view.asset).ok()?;
        let state_since = view.state_since.map(|at| at.0);
        Some(Self {
            kind: kind(config, &asset, &view.signals),
            stopped_since: state_since.filter(|_| view.state == Some("unplanned_stop")),
            asset,
            signals: view.signals,
            state_since,
        })
    }

    fn data_until(&self) -> Option<Timestamp> {
        self.signals.iter().map(|s| s.event_time.0).max()
    }
}

/// The described kind, or the set of signals.
fn kind(config: &Config, asset: &AssetPath, signals: &[SignalView]) -> String {
    if let Some(kind) = config.asset(asset).and_then(|a| a.kind.clone()) {
        return kind;
    }
    let names: Vec<&str> = signals.iter().map(|s| s.signal.as_str()).collect();
    let joined = names.join("+");
    if joined.len() <= 64 {
        return joined;
    }
    let hash = hex::encode(&Sha256::digest(joined)[..4]);
    format!("{} signals {hash}", names.len())
}

/// Runs until `stop`: a round every `predict_every`, and when something was told.
pub async fn run(app: App, stop: CancellationToken) {
    if let Err(error) = training::load(&app).await {
        tracing::error!(%error, "learned models cannot be loaded");
    }
    let every = app.config.maintenance.predict_every;
    let keep_us = i64::try_from(app.config.maintenance.keep_predictions.as_micros()).unwrap_or(i64::MAX);
    let mut pruned_at: Option<Timestamp> = None;
    let mut due_at = Instant::now() + every;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(due_at) => {}
            () = app.maintenance.wake.notified() => {}
            () = stop.cancelled() => return,
        }
        let now = clock::now();
        let which = if Instant::now() >= due_at { Which::All } else { Which::Told };
        if which == Which::All {
            due_at = Instant::now() + every;
        }
        tokio::select! {
            result = look_at(&app, which, now) => if let Err(error) = result {
                tracing::warn!(%error, "a round of predictions was not finished");
            },
            () = stop.cancelled() => return,
        }
        if pruned_at.is_none_or(|at| now.micros_since(at) >= HOUR_US) {
            pruned_at = Some(now);
            match app.store.prune_predictions(now.plus_micros(-keep_us)).await {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, "predictions were kept for long enough"),
                Err(error) => tracing::warn!(%error, "old predictions could not be removed"),
            }
        }
    }
}

/// Which machines are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those of which something was told: whoever tells much does not make all of them be looked at each time.
    Told,
}

/// One round as of `now`.
///
/// # Errors
/// [`StoreError`]; what was done until then stands.
pub async fn round(app: &App, now: Timestamp) -> Result<(), StoreError> {
    look_at(app, Which::All, now).await
}

async fn look_at(app: &App, which: Which, now: Timestamp) -> Result<(), StoreError> {
    let budget = (app.config.maintenance.predict_every / 8).max(LEAST_BUDGET);
    let mut machines = machines(app, now);
    machines.sort_by_cached_key(|seen| app.maintenance.precedence(seen));
    let looked_at: Vec<&Seen> = machines.iter().filter(|seen| which == Which::All || app.maintenance.is_dirty(&seen.asset)).collect();
    let begun = Instant::now();
    for (done, seen) in looked_at.iter().enumerate() {
        if done > 0 && begun.elapsed() > budget {
            break;
        }
        if !app.maintenance.has_facts(app, seen, now)
            && !app.maintenance.failed_lately(seen, now)
            && let Err(error) = refresh(app, seen, now).await
        {
            app.maintenance.failed(seen, now);
            failed("facts", &seen.asset, &error);
        }
    }
    app.maintenance.survey(&machines);
    let horizon_h = app.config.maintenance.horizon.as_secs_f64() / 3_600.0;
    let begun = Instant::now();
    for (done, seen) in looked_at.iter().filter(|seen| app.maintenance.is_due(seen, now)).enumerate() {
        if done > 0 && begun.elapsed() > budget {
            break;
        }
        app.maintenance.tried(&seen.asset, now);
        if let Err(error) = predicted(app, seen, horizon_h, now).await {
            failed("prediction", &seen.asset, &error);
        }
    }
    training::start_if_due(app, now).await
}

fn failed(what: &'static str, asset: &AssetPath, error: &dyn std::fmt::Display) {
    metrics::counter!("millrace_collector_maintenance_failed_total", "what" => what).increment(1);
    tracing::warn!(%asset, what, %error, "maintenance of a machine could not be reckoned");
}

/// The prediction of one machine as of `now`: the latest if it is new enough, else a new one. `horizon_h` of its own is never kept.
///
/// # Errors
/// [`OutlookError`].
pub async fn asked(app: &App, seen: &Seen, horizon_h: Option<f64>, now: Timestamp) -> Result<Arc<MaintenancePrediction>, OutlookError> {
    let every_us = i64::try_from(app.config.maintenance.predict_every.as_micros()).unwrap_or(i64::MAX);
    if horizon_h.is_none()
        && !app.maintenance.is_dirty(&seen.asset)
        && let Some(known) = app.maintenance.known(&seen.asset).filter(|k| (0..every_us).contains(&now.micros_since(k.at)))
    {
        return Ok(known.prediction);
    }
    // Closed never: a permit comes.
    let _permit = app.maintenance.asking.acquire().await;
    if !app.maintenance.has_facts(app, seen, now) {
        refresh(app, seen, now).await?;
        app.maintenance.fit_laws(&seen.kind);
    }
    match horizon_h {
        None => predicted(app, seen, app.config.maintenance.horizon.as_secs_f64() / 3_600.0, now).await,
        Some(horizon_h) => match app.maintenance.facts(&seen.asset) {
            Some(facts) => Ok(Arc::new(outlook::of_machine(app, seen, &facts, horizon_h, now).await?)),
            None => Ok(Arc::new(outlook::unknown(&seen.asset, horizon_h)?)),
        },
    }
}

async fn predicted(app: &App, seen: &Seen, horizon_h: f64, now: Timestamp) -> Result<Arc<MaintenancePrediction>, OutlookError> {
    let Some(facts) = app.maintenance.facts(&seen.asset) else {
        return Ok(Arc::new(outlook::unknown(&seen.asset, horizon_h)?));
    };
    let prediction = Arc::new(outlook::of_machine(app, seen, &facts, horizon_h, now).await?);
    let row = outlook::kept(&seen.asset, &prediction, now);
    let known = Known { prediction: Arc::clone(&prediction), at: now, data_until: seen.data_until() };
    app.maintenance.predicted(&seen.asset, known);
    // Of a machine that says nothing there is nothing to be scored.
    if row.rul_h.is_some() || row.health.is_some() {
        app.store.keep_prediction(&row).await.map_err(ReadError::from)?;
    }
    metrics::counter!("millrace_collector_predictions_total").increment(1);
    Ok(prediction)
}

/// Reckons the facts of a machine; scores predictions of lives that have ended since.
async fn refresh(app: &App, seen: &Seen, now: Timestamp) -> Result<(), ReadError> {
    // Whatever is told from now on makes the facts old again.
    app.maintenance.mark(seen, false);
    let result = reckon(app, seen, now).await;
    if result.is_err() {
        app.maintenance.mark(seen, true);
    }
    result
}

async fn reckon(app: &App, seen: &Seen, now: Timestamp) -> Result<(), ReadError> {
    let past = read_all(app, &seen.asset, now).await?;
    let asset = past.asset.clone();
    let facts = tokio::task::spawn_blocking(move || Facts::of(&past, now)).await;
    let facts = facts.map_err(|_| ReadError::History { asset, problem: "the reckoning ended early".into() })??;
    let before = app.maintenance.facts(&seen.asset);
    if before.is_none_or(|before| before.lives != facts.lives) {
        score_lives(app, &seen.asset, &facts.lives, now).await?;
    }
    app.maintenance.know(seen, facts);
    Ok(())
}

/// Scores the predictions of lives that have ended; a score that would be the same is not written again.
async fn score_lives(app: &App, asset: &AssetPath, lives: &[Life], now: Timestamp) -> Result<(), StoreError> {
    let Some(first) = lives.iter().find(|life| life.end.is_some()) else { return Ok(()) };
    let keep_us = i64::try_from(app.config.maintenance.keep_predictions.as_micros()).unwrap_or(i64::MAX);
    let range = TimeRange { from: first.from.unwrap_or(now.plus_micros(-keep_us)), to: now };
    let rows = app.store.predictions(Some(asset), None, range, MAX_SCORED).await?;
    let mut scores: Vec<(Timestamp, Score)> = Vec::new();
    for row in rows {
        let Some(rul_h) = row.rul_h else { continue };
        let ended = lives.iter().find(|life| life.from.is_none_or(|from| from <= row.at) && life.end.is_some_and(|end| row.at <= end.at));
        let Some(end) = ended.and_then(|life| life.end) else { continue };
        let stored = StoredPrediction {
            at: row.at,
            rul_h,
            lower_h: row.lower_h,
            upper_h: row.upper_h,
            model_version: row.model_version.unwrap_or_default(),
        };
        let truth = if end.failed { Truth::Failed { at: end.at } } else { Truth::Censored { at: end.at } };
        match score(&stored, truth, ScoreSettings::default()) {
            Ok(score) if row.score.as_ref() != Some(&score) => scores.push((row.at, score)),
            Ok(_) => {}
            Err(error) => tracing::warn!(%asset, %error, "a prediction could not be scored"),
        }
    }
    if !scores.is_empty() {
        tracing::info!(%asset, predictions = scores.len(), "predictions were scored: a life has ended");
        app.store.score_predictions(asset, &scores).await?;
    }
    Ok(())
}

/// All machines that the twin knows.
fn machines(app: &App, now: Timestamp) -> Vec<Seen> {
    let moment = Moment { now, started_at: app.started_at };
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = app.twin.assets(after.as_ref(), PAGE, moment);
        let is_last = page.len() < PAGE;
        after = page.last().and_then(|view| AssetPath::new(&view.asset).ok());
        all.extend(page.into_iter().filter_map(|view| Seen::new(&app.config, view)));
        if is_last || after.is_none() {
            return all;
        }
    }
}

impl Maintenance {
    /// Who comes first: of whom something was told, then who was looked at the longest time ago.
    fn precedence(&self, seen: &Seen) -> (bool, Option<Timestamp>) {
        let inner = self.inner.lock();
        inner.machines.get(&seen.asset).map_or((true, None), |m| (!m.is_dirty || m.failed_at.is_some(), m.tried_at))
    }

    /// There is something new to predict from.
    fn is_due(&self, seen: &Seen, now: Timestamp) -> bool {
        let inner = self.inner.lock();
        let Some(machine) = inner.machines.get(&seen.asset) else { return true };
        match &machine.known {
            None => true,
            Some(known) => {
                let facts_at = machine.facts.as_ref().map(|f| f.reckoned_at);
                known.data_until != seen.data_until() || facts_at > Some(known.at) || known.at > now
            }
        }
    }

    /// The facts need not be reckoned anew.
    fn has_facts(&self, app: &App, seen: &Seen, now: Timestamp) -> bool {
        let inner = self.inner.lock();
        let Some(machine) = inner.machines.get(&seen.asset).filter(|m| !m.is_dirty && m.kind == seen.kind) else { return false };
        let Some(facts) = &machine.facts else { return false };
        let age_us = now.micros_since(facts.reckoned_at);
        let min_failure_us = i64::try_from(app.config.maintenance.min_failure.as_micros()).unwrap_or(i64::MAX);
        // A stop has become a failure since.
        let has_failed = app.config.maintenance.failures_from_stops
            && seen.stopped_since.is_some_and(|at| {
                let failure_at = at.plus_micros(min_failure_us);
                facts.reckoned_at < failure_at && failure_at <= now
            });
        let most = if machine.state_since == seen.state_since { FACTS_US.1 } else { FACTS_US.0 };
        (0..most).contains(&age_us) && !has_failed
    }

    /// Its facts could not be reckoned; others come first for a while.
    fn failed(&self, seen: &Seen, now: Timestamp) {
        self.inner.lock().machines.entry(seen.asset.clone()).or_default().failed_at = Some(now);
    }

    fn failed_lately(&self, seen: &Seen, now: Timestamp) -> bool {
        let inner = self.inner.lock();
        let failed_at = inner.machines.get(&seen.asset).and_then(|m| m.failed_at);
        failed_at.is_some_and(|at| (0..AGAIN_US).contains(&now.micros_since(at)))
    }

    fn tried(&self, asset: &AssetPath, now: Timestamp) {
        self.inner.lock().machines.entry(asset.clone()).or_default().tried_at = Some(now);
    }

    fn predicted(&self, asset: &AssetPath, known: Known) {
        let mut inner = self.inner.lock();
        let machine = inner.machines.entry(asset.clone()).or_default();
        machine.tried_at = Some(known.at);
        machine.known = Some(known);
    }

    fn mark(&self, seen: &Seen, is_dirty: bool) {
        self.inner.lock().machines.entry(seen.asset.clone()).or_default().is_dirty = is_dirty;
    }

    fn know(&self, seen: &Seen, facts: Facts) {
        let mut inner = self.inner.lock();
        let machine = inner.machines.entry(seen.asset.clone()).or_default();
        machine.kind.clone_from(&seen.kind);
        machine.state_since = seen.state_since;
        machine.facts = Some(Arc::new(facts));
        inner.unfitted.insert(seen.kind.clone());
    }

    /// The laws of a kind, from the facts of its machines.
    fn fit_laws(&self, kind: &str) {
        let of_kind: Vec<Arc<Facts>> = {
            let mut inner = self.inner.lock();
            if !inner.unfitted.remove(kind) {
                return;
            }
            inner.machines.values().filter(|m| m.kind == kind).filter_map(|m| m.facts.clone()).collect()
        };
        let laws = reliability::laws(of_kind.iter().map(|facts| &facts.history));
        self.inner.lock().laws.insert(kind.to_owned(), Arc::new(laws));
    }

    /// Fits what has changed, and notes what could be learned from.
    fn survey(&self, machines: &[Seen]) {
        let unfitted: Vec<String> = self.inner.lock().unfitted.iter().cloned().collect();
        for kind in unfitted {
            self.fit_laws(&kind);
        }
        let mut kinds: BTreeMap<&str, (Vec<RunToFailure>, Vec<SignalName>)> = BTreeMap::new();
        for seen in machines.iter().filter(|seen| !seen.signals.is_empty()) {
            let (lives, signals) = kinds.entry(&seen.kind).or_default();
            signals.extend(seen.signals.iter().filter_map(|s| SignalName::new(&s.signal).ok()));
            let Some(facts) = self.facts(&seen.asset) else { continue };
            let failed = facts.lives.iter().filter_map(|life| life.end.filter(|end| end.failed).map(|end| (life.from, end.at)));
            // A life whose beginning was not read would be learned as a short one.
            let whole = failed.filter_map(|(from, failed_at)| Some((from.or((!facts.is_cut).then_some(facts.period.from))?, failed_at)));
            lives.extend(whole.map(|(from, failed_at)| RunToFailure { asset: seen.asset.clone(), from, failed_at }));
        }
        let plans = kinds.into_iter().map(|(kind, (lives, signals))| (kind.to_owned(), Plan::new(kind.to_owned(), lives, signals)));
        let plans: BTreeMap<String, Plan> = plans.collect();
        let mut inner = self.inner.lock();
        inner.laws.retain(|kind, _| plans.contains_key(kind));
        inner.plans = plans;
    }

    pub(super) fn take_tracked(&self, asset: &AssetPath) -> Option<Tracked> {
        self.inner.lock().machines.get_mut(asset).and_then(|m| m.tracked.take())
    }

    pub(super) fn put_tracked(&self, asset: &AssetPath, tracked: Tracked) {
        self.inner.lock().machines.entry(asset.clone()).or_default().tracked = Some(tracked);
    }
}
