//! Learning a model from a fleet's own lives, in the background: when, from what, and whether the result is used.
//!
//! Stands beside the rounds. One training at a time, on a thread of its own that a stop of the process does not wait for. A model is used
//! only if its error on lives that were held back is below that of the model in use, and below that of saying the median life. [`is_due`]
//! and [`verdict`] are pure.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use kpi::rul::{Fleet, Model, Settings, Shape, boost::Growth, train};
use protocol::Timestamp;

use super::{
    fleet::{self, Plan, assembled, median_life_rmse},
    learned::{Header, Learned},
};
use crate::{
    app::App,
    clock,
    config::MaintenanceConfig,
    store::{ModelRow, ModelState, StoreError},
};

/// The folder of the models' files in the data directory.
pub const FOLDER: &str = "models";
/// New failures are waited for, so long a part of `train_every`.
const PAUSE: u32 = 24;

/// Whether a kind is to be trained now. `last` is its newest card.
pub fn is_due(plan: &Plan, last: Option<&ModelRow>, is_asked: bool, config: &MaintenanceConfig, now: Timestamp) -> bool {
    if plan.lives.len() < config.min_failures {
        return false;
    }
    let Some(last) = last else { return true };
    let passed = Duration::from_micros(u64::try_from(now.micros_since(last.started_at)).unwrap_or(0));
    let is_new = last.lives != plan.key() || last.state == ModelState::Failed;
    is_asked || (is_new && passed >= config.train_every / PAUSE) || passed >= config.train_every
}

/// Why there is no model of a kind yet; `None` if there could be one.
pub fn missing(plan: &Plan, config: &MaintenanceConfig) -> Option<String> {
    let (have, need) = (plan.lives.len(), config.min_failures);
    (have < need).then(|| format!("{have} of {need} failures that a model needs are known: {} more are missing", need - have))
}

/// Whether a model is to be used.
///
/// # Errors
/// Why not.
pub fn verdict(rmse_h: f64, median_life_rmse_h: Option<f64>, in_use: Option<(&str, f64)>) -> Result<(), String> {
    if let Some(median) = median_life_rmse_h.filter(|median| rmse_h >= *median) {
        return Err(format!("its error on held-back lives, {rmse_h:.1} h, is not below that of saying the median life, {median:.1} h"));
    }
    match in_use {
        Some((version, used)) if rmse_h >= used => {
            Err(format!("its error on held-back lives, {rmse_h:.1} h, is not below that of {version}, {used:.1} h"))
        }
        _ => Ok(()),
    }
}

/// Brings the models in use back after a start. A file that can't be used is told on its card and skipped.
///
/// # Errors
/// [`StoreError`].
pub async fn load(app: &App) -> Result<(), StoreError> {
    app.store.abandon_trainings().await?;
    let dir = app.config.in_data_dir(FOLDER);
    for row in app.store.models().await?.into_iter().filter(|row| row.state == ModelState::InUse) {
        let (version, dir) = (row.version(), dir.clone());
        let read = tokio::task::spawn_blocking(move || Learned::read(&dir, &version)).await;
        let problem = match read {
            Ok(Ok(learned)) => {
                app.maintenance.use_model(learned);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its file could not be read to the end".to_owned(),
        };
        tracing::error!(version = row.version(), problem, "a learned model is not used");
        app.store.finish_model(&ModelRow { state: ModelState::Failed, reason: Some(problem), ..row }).await?;
    }
    Ok(())
}

/// Starts a training if one is due and none is under way.
///
/// # Errors
/// [`StoreError`].
pub async fn start_if_due(app: &App, now: Timestamp) -> Result<(), StoreError> {
    if app.maintenance.is_training() {
        return Ok(());
    }
    let is_asked = app.maintenance.asked_to_train.load(Ordering::Acquire);
    let plans = app.maintenance.plans();
    if plans.iter().all(|plan| plan.lives.len() < app.config.maintenance.min_failures) {
        app.maintenance.asked_to_train.store(false, Ordering::Release);
        return Ok(());
    }
    let rows = app.store.models().await?;
    let mut due: Vec<Plan> = Vec::new();
    let mut seen = HashSet::new();
    for plan in plans {
        let last = rows.iter().find(|row| row.kind == plan.kind);
        if seen.insert(plan.kind.clone()) && is_due(&plan, last, is_asked, &app.config.maintenance, now) {
            due.push(plan);
        }
    }
    app.maintenance.asked_to_train.store(false, Ordering::Release);
    if due.is_empty() || app.maintenance.training.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let app = app.clone();
    tokio::spawn(async move {
        for plan in due {
            let kind = plan.kind.clone();
            if let Err(error) = learn(&app, plan, now).await {
                tracing::error!(kind, %error, "what came of a training could not be written down");
            }
        }
        app.maintenance.training.store(false, Ordering::Release);
        app.maintenance.wake.notify_one();
    });
    Ok(())
}

async fn learn(app: &App, plan: Plan, now: Timestamp) -> Result<(), StoreError> {
    let mut row = ModelRow {
        number: 0,
        kind: plan.kind.clone(),
        state: ModelState::Training,
        started_at: now,
        trained_at: None,
        machines: plan.machines as u64,
        failures: plan.lives.len() as u64,
        held_back_rmse_h: None,
        held_back_coverage: None,
        median_life_rmse_h: None,
        features: Vec::new(),
        reason: None,
        lives: plan.key(),
    };
    row.number = app.store.begin_model(&row).await?;
    let version = row.version();
    tracing::info!(version, kind = plan.kind, lives = plan.lives.len(), "training begins");
    let outcome = made(app, &plan, &version).await;
    row.trained_at = Some(clock::now());
    match outcome {
        Err(reason) => {
            row.state = ModelState::Failed;
            row.reason = Some(reason);
        }
        Ok(made) => {
            let held_back = &made.learned.model.card.held_back;
            row.failures = made.learned.model.card.units as u64;
            row.held_back_rmse_h = Some(held_back.rmse).filter(|rmse| rmse.is_finite());
            row.held_back_coverage = held_back.coverage;
            row.median_life_rmse_h = made.median_life_rmse_h;
            row.features = made.learned.signals.iter().map(ToString::to_string).collect();
            let in_use = app.maintenance.model(&plan.kind);
            let used = in_use.as_ref().map(|used| (used.header.version.as_str(), used.model.card.held_back.rmse));
            match verdict(held_back.rmse, made.median_life_rmse_h, used) {
                Err(reason) => {
                    row.state = ModelState::Retired;
                    row.reason = Some(reason);
                }
                Ok(()) => {
                    let dir = app.config.in_data_dir(FOLDER);
                    let learned = made.learned;
                    let written = tokio::task::spawn_blocking(move || learned.write(&dir).map(|()| learned)).await;
                    match written {
                        Ok(Ok(learned)) => {
                            row.state = ModelState::InUse;
                            app.store.finish_model(&row).await?;
                            app.maintenance.use_model(learned);
                            if let Some(before) = in_use {
                                Learned::remove(&app.config.in_data_dir(FOLDER), &before.header.version);
                            }
                            tracing::info!(version, rmse_h = row.held_back_rmse_h, "a learned model is in use");
                            return Ok(());
                        }
                        Ok(Err(error)) => row.reason = Some(format!("it could not be written: {error}")),
                        Err(_) => row.reason = Some("it could not be written".into()),
                    }
                    row.state = ModelState::Failed;
                }
            }
        }
    }
    tracing::info!(version, state = row.state.as_str(), reason = row.reason, "training ended without a new model");
    app.store.finish_model(&row).await
}

struct Made {
    learned: Learned,
    median_life_rmse_h: Option<f64>,
}

/// Reads the lives and learns from them; the error is for people.
async fn made(app: &App, plan: &Plan, version: &str) -> Result<Made, String> {
    let step_h = plan.step_h();
    let mut lives = Vec::with_capacity(plan.lives.len());
    for life in &plan.lives {
        let steps = fleet::whole_steps(life.from, life.failed_at, step_h);
        let rows = fleet::rows(app, &life.asset, &plan.signals, (life.from, steps, step_h)).await;
        lives.push(rows.map_err(|error| format!("the lives could not be read: {error}"))?);
    }
    let fleet = assembled(plan, lives);
    let (have, need) = (fleet.units.len(), app.config.maintenance.min_failures);
    if have < need {
        return Err(format!("{have} of {need} lives that a model needs have data of several hours: {} more are missing", need - have));
    }
    let settings = settings(&app.config.maintenance);
    let (model, median_life_rmse_h) = on_a_thread(fleet, settings).await?;
    let header = Header::new(version.to_owned(), plan.kind.clone(), step_h, plan.longest_h());
    let learned = Learned::new(header, model).map_err(|error| error.to_string())?;
    Ok(Made { learned, median_life_rmse_h })
}

/// A thread of its own and not one of the runtime's: those are waited for at a stop, and a training may take minutes.
async fn on_a_thread(fleet: Fleet, settings: Settings) -> Result<(Model, Option<f64>), String> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let trained_at = jiff::Timestamp::from_microsecond(clock::now().as_micros()).unwrap_or_default();
    let work = move || {
        let result = train(&fleet, &settings, trained_at).map(|model| {
            let median = median_life_rmse(&fleet, model.card.cap);
            (model, median)
        });
        // Nobody listens any more: the process stops.
        let _ = tell.send(result);
    };
    std::thread::Builder::new().name("training".into()).spawn(work).map_err(|error| format!("the system gives no thread: {error}"))?;
    match told.await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the training ended early; the log tells why".into()),
    }
}

fn settings(config: &MaintenanceConfig) -> Settings {
    let default = Settings::default();
    let few = config.max_trees < 100;
    Settings {
        least_units: config.min_failures,
        // Rows are hours: a day, some days, a week.
        sensor: Shape { spans: vec![6.0, 24.0], windows: vec![48], beginning: 24 },
        index: Shape { spans: vec![3.0, 12.0, 48.0], windows: vec![24, 72, 168], beginning: 24 },
        growth: Growth {
            trees: config.max_trees,
            // Few trees must learn faster.
            learning_rate: if few { 0.1 } else { default.growth.learning_rate },
            boosters: if few { 1 } else { default.growth.boosters },
            threads: Some(1),
            ..default.growth
        },
        ..default
    }
}

impl super::Maintenance {
    fn use_model(&self, learned: Learned) {
        self.inner.lock().models.insert(learned.header.kind.clone(), Arc::new(learned));
    }
}

#[cfg(test)]
mod tests {
    use protocol::{AssetPath, SignalName};

    use super::*;
    use crate::{config::Config, maintenance::fleet::RunToFailure};

    fn config() -> MaintenanceConfig {
        let text = "[collector]\ndata_dir = \"/tmp/x\"\n";
        Config::parse(std::path::Path::new("collector.toml"), text, []).unwrap().maintenance
    }

    fn plan(lives: i64) -> Plan {
        let life = |i| RunToFailure { asset: AssetPath::new("a/b/c/d").unwrap(), from: Timestamp(i), failed_at: Timestamp(i + 1) };
        Plan::new("press".into(), (0..lives).map(life).collect(), vec![SignalName::new("heat").unwrap()])
    }

    fn card(plan: &Plan, state: ModelState) -> ModelRow {
        ModelRow {
            number: 1,
            kind: "press".into(),
            state,
            started_at: Timestamp(0),
            trained_at: None,
            machines: 1,
            failures: 8,
            held_back_rmse_h: None,
            held_back_coverage: None,
            median_life_rmse_h: None,
            features: Vec::new(),
            reason: None,
            lives: plan.key(),
        }
    }

    #[test]
    fn a_training_is_due_with_new_failures_when_asked_and_after_its_time() {
        let (config, hour) = (config(), |h: i64| Timestamp(h * fleet::HOUR_US));
        let (few, enough, more) = (plan(7), plan(8), plan(9));
        assert!(!is_due(&few, None, true, &config, hour(0)) && is_due(&enough, None, false, &config, hour(0)));
        assert_eq!(missing(&few, &config).unwrap(), "7 of 8 failures that a model needs are known: 1 more are missing");
        assert_eq!(missing(&enough, &config), None);
        let last = card(&enough, ModelState::InUse);
        assert!(!is_due(&enough, Some(&last), false, &config, hour(23)), "nothing is new");
        assert!(is_due(&enough, Some(&last), true, &config, hour(0)) && is_due(&enough, Some(&last), false, &config, hour(24)));
        assert!(is_due(&more, Some(&last), false, &config, hour(1)), "a new failure");
        assert!(!is_due(&more, Some(&last), false, &config, Timestamp(fleet::HOUR_US - 1)), "others may follow");
        assert!(is_due(&enough, Some(&card(&enough, ModelState::Failed)), false, &config, hour(1)), "it failed");
    }

    #[test]
    fn a_model_is_used_only_if_it_is_better_than_the_median_life_and_than_the_one_in_use() {
        assert_eq!(verdict(5.0, Some(10.0), None), Ok(()));
        assert_eq!(verdict(5.0, Some(10.0), Some(("rul-1", 6.0))), Ok(()));
        assert!(verdict(5.0, Some(10.0), Some(("rul-1", 5.0))).unwrap_err().contains("rul-1"));
        assert!(verdict(10.0, Some(10.0), None).unwrap_err().contains("median life"));
    }

    #[test]
    fn the_settings_of_a_training_are_allowed() {
        let settings = settings(&config());
        assert_eq!((settings.sensor.check(), settings.index.check(), settings.growth.check()), (Ok(()), Ok(()), Ok(())));
    }
}
