//! The heartbeat of the live way: turns what changed in the twin into events, at most once a second for each machine.
//!
//! Stands beside the pipeline (which publishes records as they come). Invariant: it works only while somebody listens, and never holds up ingest.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{condition, gateways, moment};
use crate::{app::App, live::LiveEvent};

/// Runs until `cancel`.
pub async fn run(app: App, cancel: CancellationToken) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut version, mut even) = (0, false);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = tick.tick() => {}
        }
        if app.live.subscribers() == 0 {
            continue;
        }
        let (next, mut changed) = app.twin.changes(version, moment(&app));
        version = next;
        if !changed.is_empty() {
            condition::complete(&app, &mut changed);
            app.live.publish(LiveEvent::Assets(changed));
        }
        even = !even;
        if even {
            match gateways::views(&app).await {
                Ok(views) => app.live.publish(LiveEvent::Gateways(views)),
                Err(error) => tracing::warn!(%error, "the live feed goes on without gateways"),
            }
        }
    }
}
