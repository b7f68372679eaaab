//! The shell around `due`: reckons shifts that have ended, and those that something has changed, and stores their figures with their history.
//!
//! Beside the way of the data, every few seconds; and at once when a person registers something, so that the answer can tell what it changed.
//! Invariant: a statement is what `GET /api/v1/oee` answers for that shift at that time.

use std::collections::HashMap;

use kpi::{
    calendar::Shift,
    oee::{Oee, ShiftRecord, Why},
    utc::Utc,
};
use protocol::{AssetPath, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::Job;
use crate::{
    api::{
        history::{Asked, History},
        problem::Problem,
    },
    app::App,
    metrics::{self, Statement as Outcome},
    store::{Statement, StoreError},
};

/// Shifts that one round reckons.
const MAX_A_ROUND: usize = 100;
/// Shifts that are reckoned while a person waits; more are done in the background.
const MAX_AT_ONCE: usize = 50;

/// A shift whose figures changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Restated {
    asset: String,
    /// Its name.
    shift: String,
    from: Utc,
    to: Utc,
    /// The first statement is 1.
    revision: u32,
    oee_before: Option<f64>,
    oee_after: Option<f64>,
}

/// Takes over what was stated before this start; call it when the twin has been rebuilt.
///
/// # Errors
/// [`StoreError`].
pub async fn start(app: &App) -> Result<(), StoreError> {
    let stated = app.store.stated_to().await?;
    let newest: HashMap<_, _> = app.twin.newest_data().into_iter().collect();
    let mut due = app.production.due();
    for (asset, to) in stated {
        let known = newest.get(&asset).copied().unwrap_or(to);
        due.restore(asset, to, known);
    }
    Ok(())
}

/// One round: states shifts that have ended, and reckons again what is due.
pub async fn look(app: &App, now: Timestamp) {
    let ended = ended(app, now);
    let stated = !ended.is_empty();
    for job in ended {
        work(app, job, now).await;
    }
    let (again, dropped) = {
        let mut due = app.production.due();
        (due.take(now, MAX_A_ROUND), due.take_dropped())
    };
    for job in again {
        work(app, job, now).await;
    }
    metrics::statements_dropped(dropped);
    metrics::statements_waiting(app.production.waiting());
    if stated {
        match app.store.prune_statements().await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "the oldest statements of shifts left"),
            Err(error) => tracing::warn!(%error, "old statements of shifts stay"),
        }
    }
}

/// The shifts that have ended and are to be stated.
fn ended(app: &App, now: Timestamp) -> Vec<Job> {
    let calendar = app.twin.calendar();
    // Most machines were stated up to the same time.
    let mut known: HashMap<(Timestamp, Timestamp), Vec<Shift>> = HashMap::new();
    let mut shifts = |range: TimeRange| known.entry((range.from, range.to)).or_insert_with(|| calendar.shifts(range)).clone();
    let mut jobs = Vec::new();
    // The twin is asked before the lock is taken.
    let machines = app.twin.newest_data();
    let mut due = app.production.due();
    for (asset, newest) in machines {
        if jobs.len() >= MAX_A_ROUND {
            break;
        }
        jobs.extend(due.ended(&asset, newest, (app.started_at, now), &mut shifts));
    }
    drop(due);
    // A machine under another name is stated under that one.
    jobs.retain(|job| {
        app.production.read(|relations| {
            let gone = relations.after(&job.asset).is_some_and(|rename| rename.at <= job.shift.range.from);
            let not_yet = relations.before(&job.asset).is_some_and(|rename| rename.at >= job.shift.range.to);
            !gone && !not_yet
        })
    });
    jobs
}

async fn work(app: &App, job: Job, now: Timestamp) {
    match state(app, &job, now).await {
        Ok(Some(_)) => {
            if job.why.iter().any(|why| matches!(why, Why::LateData { .. })) {
                // A late state stands until the next one: perhaps beyond the end of its shift.
                let calendar = app.twin.calendar();
                let end = job.shift.range.to;
                let mut due = app.production.due();
                let next = due.stated_shifts(&job.asset, TimeRange { from: end, to: Timestamp(i64::MAX) }, calendar).into_iter().next();
                if let Some(next) = next {
                    due.add(Job::new(job.asset.clone(), next, job.why.clone()), now);
                }
            }
        }
        Ok(None) => {}
        Err(problem) => {
            metrics::statement(Outcome::Failed);
            tracing::warn!(asset = %job.asset, shift = %Utc(job.shift.range.from), status = problem.status(), "a shift could not be reckoned");
            app.production.due().failed(job, now);
        }
    }
}

/// Reckons the stated shifts of machines that share time with `range`, because of `why`, and tells what changed. What is too much is done soon.
///
/// # Errors
/// [`Problem`] if the store does not answer; what is left is done soon.
pub async fn at_once(app: &App, assets: &[AssetPath], range: TimeRange, why: &Why, now: Timestamp) -> Result<Vec<Restated>, Problem> {
    let mut jobs = Vec::new();
    {
        let mut due = app.production.due();
        for asset in assets {
            for shift in due.stated_shifts(asset, range, app.twin.calendar()) {
                let job = Job::new(asset.clone(), shift, vec![why.clone()]);
                if jobs.len() < MAX_AT_ONCE {
                    jobs.push(job);
                } else {
                    due.add(job, now);
                }
            }
        }
    }
    let mut restated = Vec::new();
    for job in jobs {
        match state(app, &job, now).await {
            Ok(changed) => restated.extend(changed),
            Err(problem) => {
                metrics::statement(Outcome::Failed);
                tracing::warn!(asset = %job.asset, status = problem.status(), "a shift could not be reckoned at once");
                app.production.due().failed(job, now);
            }
        }
    }
    Ok(restated)
}

/// Reckons the stated shifts of machines that share time with `range` soon.
pub fn soon(app: &App, assets: &[AssetPath], range: TimeRange, why: &Why, now: Timestamp) {
    let mut due = app.production.due();
    for asset in assets {
        for shift in due.stated_shifts(asset, range, app.twin.calendar()) {
            due.add(Job::new(asset.clone(), shift, vec![why.clone()]), now);
        }
    }
}

/// States a shift, or restates it. `None`: there is nothing to state, or nothing changed.
async fn state(app: &App, job: &Job, now: Timestamp) -> Result<Option<Restated>, Problem> {
    let _one = app.production.inner.stating.lock().await;
    let Job { asset, shift, why, .. } = job;
    let rules = app.twin.reckoning().rules;
    let oee = History::read(app, asset.clone(), &Asked::whole(shift.range), now).await?.oee(&rules);
    let Some(mut statement) = app.store.statement(asset, shift.range.from).await? else {
        if says_nothing(&oee) {
            return Ok(None);
        }
        let record = ShiftRecord::first(shift.range.into(), now.into(), oee);
        let statement = Statement { asset: asset.clone(), shift: shift.name.clone(), range: shift.range, record };
        app.store.set_statement(&statement).await?;
        metrics::statement(Outcome::Stated);
        // For whoever waits for late data of a shift that held nothing, it is news.
        return Ok((!why.is_empty()).then(|| restated(&statement, None)));
    };
    let before = statement.record.oee.oee;
    if statement.record.restate(now.into(), why.clone(), oee).is_none() {
        metrics::statement(Outcome::Unchanged);
        return Ok(None);
    }
    app.store.set_statement(&statement).await?;
    metrics::statement(Outcome::Restated);
    Ok(Some(restated(&statement, before)))
}

fn restated(statement: &Statement, oee_before: Option<f64>) -> Restated {
    Restated {
        asset: statement.asset.to_string(),
        shift: statement.shift.clone(),
        from: statement.range.from.into(),
        to: statement.range.to.into(),
        revision: statement.record.revision,
        oee_before,
        oee_after: statement.record.oee.oee,
    }
}

/// No data at all: a machine that is not there any more, or not yet, is stated once it is.
fn says_nothing(oee: &Oee) -> bool {
    oee.coverage.is_none_or(|share| share <= 0.0) && oee.counts.produced == 0
}
