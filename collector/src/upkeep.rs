//! What is to be done from time to time: metrics upkeep, the server certificate, when gateways were last seen, figures of shifts, predictions,
//! the watchdog.
//!
//! Beside the way of the data. Invariant: the watchdog is fed only if a ping has come through the journal's queue and the pipeline, so that
//! "alive" means that batches flow.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api,
    app::App,
    authority::{Served, Watch},
    clock,
    health::Part,
    journal::Request,
    maintenance, pipeline,
    production::restate,
    recount, watch,
};

const METRICS_EVERY: Duration = Duration::from_secs(5);
const SEEN_EVERY: Duration = Duration::from_secs(60);
const ALARMS_EVERY: Duration = Duration::from_secs(2);
const SHIFTS_EVERY: Duration = Duration::from_secs(2);
const VERIFY_EVERY: Duration = Duration::from_secs(300);
const CERTIFICATE_EVERY: Duration = Duration::from_secs(86_400);

/// Starts the tasks; they end with `stop`.
pub fn spawn(app: &App, served: Served, queue: &mpsc::Sender<Request>, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        every(METRICS_EVERY, stop, {
            let metrics = app.metrics.clone();
            move || {
                let metrics = metrics.clone();
                async move { metrics.run_upkeep() }
            }
        }),
        every(SEEN_EVERY, stop, {
            let app = app.clone();
            move || write_seen(app.clone())
        }),
        every(CERTIFICATE_EVERY, stop, {
            let (config, served) = (app.config.clone(), served.clone());
            move || {
                let (config, served) = (config.clone(), served.clone());
                async move { served.renew(&config) }
            }
        }),
        tokio::spawn(stop.clone().run_until_cancelled_owned(Watch::new(app.config.clone(), served).run()).map(drop)),
    ];
    tasks.push(every(ALARMS_EVERY, stop, {
        let app = app.clone();
        move || look_at_gateways(app.clone())
    }));
    tasks.push(every(SHIFTS_EVERY, stop, {
        let app = app.clone();
        move || look_at_shifts(app.clone())
    }));
    tasks.push(every(VERIFY_EVERY, stop, {
        let app = app.clone();
        move || verify(app.clone())
    }));
    tasks.push(tokio::spawn(api::run_feed(app.clone(), stop.clone())));
    tasks.push(tokio::spawn(maintenance::round::run(app.clone(), stop.clone())));
    if let Some(patience) = sd_notify::watchdog_enabled() {
        let queue = queue.clone();
        // Thrice within the time that the service manager allows, so that one slow answer does no harm.
        tasks.push(every(patience / 3, stop, move || feed_watchdog(queue.clone(), patience / 3)));
    }
    tasks
}

fn every<F>(period: Duration, stop: &CancellationToken, mut work: impl FnMut() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => work().await,
                () = stop.cancelled() => return,
            }
        }
    })
}

async fn feed_watchdog(queue: mpsc::Sender<Request>, patience: Duration) {
    if pipeline::ping(&queue, patience).await {
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
            tracing::warn!(%error, "cannot tell the service manager");
        }
    } else {
        tracing::error!("no ping came through the pipeline: the watchdog is not fed");
    }
}

/// Writes down when gateways were last seen; also done once more at a stop.
pub async fn write_seen(app: App) {
    for (gateway, tally) in app.tally.all() {
        let (Some(at), Some(skew_us)) = (tally.last_seen, tally.skew.median_us()) else { continue };
        if let Err(error) = app.store.gateway_seen(&gateway, at, skew_us).await {
            app.health.failed(Part::Store, error.to_string());
            return tracing::error!(%error, "cannot write down when gateways were seen");
        }
    }
    app.health.recovered(Part::Store);
}

async fn look_at_gateways(app: App) {
    if let Err(error) = watch::look(&app, clock::now()).await {
        tracing::warn!(%error, "alarms of gateways stay as they were");
    }
}

async fn look_at_shifts(app: App) {
    restate::look(&app, clock::now()).await;
}

async fn verify(app: App) {
    if let Err(error) = recount::verify(&app, clock::now()).await {
        tracing::warn!(%error, "could not look for what is stored twice");
    }
}
