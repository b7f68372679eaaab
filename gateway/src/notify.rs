//! Talks to the service manager: ready, stopping, and a watchdog that is fed only while the pipeline moves.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;

use crate::status::Board;

/// The service manager may go on with what needs this gateway. Without a service manager nothing happens.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Feeds the service manager's watchdog, if it wants to be fed, for as long as the pipeline's thread comes by: a process that hangs is
/// restarted, although it is still there.
pub fn spawn_watchdog(board: Arc<Board>) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let pause = (period / 3).max(Duration::from_millis(100));
    tokio::spawn(async move {
        loop {
            if board.pipeline_silence() < period {
                send(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("the pipeline does not move: the watchdog is not fed");
            }
            tokio::time::sleep(pause).await;
        }
    });
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
