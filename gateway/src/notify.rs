//! Talks to the service manager: ready, stopping, and a watchdog that is fed only while the pipeline moves.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::status::Board;

/// The service manager may go on with what needs this gateway. Without a service manager nothing happens.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// How long a reload may take before the watchdog bites.
const LONGEST_RELOAD: Duration = Duration::from_secs(90);

/// A reload that goes on. While it does, and not for ever, the watchdog is fed although there may be no pipeline.
#[derive(Debug)]
pub struct Reloading {
    feeder: Option<tokio::task::JoinHandle<()>>,
}

/// The configuration is being taken over; [`ready`] ends it for the service manager.
pub fn reloading() -> Reloading {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "no monotonic time for the service manager"),
    }
    let feeder = sd_notify::watchdog_enabled().map(|period| {
        let feed = async move {
            loop {
                send(&[NotifyState::Watchdog]);
                tokio::time::sleep(pause(period)).await;
            }
        };
        tokio::spawn(async move { drop(tokio::time::timeout(LONGEST_RELOAD, feed).await) })
    });
    Reloading { feeder }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        if let Some(feeder) = &self.feeder {
            feeder.abort();
        }
    }
}

pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Feeds the service manager's watchdog, if it wants to be fed, for as long as the pipeline's thread comes by: a process that hangs is
/// restarted, although it is still there. Ends with `end`.
pub fn spawn_watchdog(board: Arc<Board>, end: CancellationToken) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let feed = async move {
        loop {
            if board.pipeline_silence() < period {
                send(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("the pipeline does not move: the watchdog is not fed");
            }
            tokio::time::sleep(pause(period)).await;
        }
    };
    tokio::spawn(async move { end.run_until_cancelled(feed).await });
}

/// Thrice within the time that the service manager allows.
fn pause(period: Duration) -> Duration {
    (period / 3).max(Duration::from_millis(100))
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
