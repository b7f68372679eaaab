//! `run`: serves until a signal, then stops in order; tells the service manager about it.

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::CommandError;
use crate::{app::Collector, config::Config};

pub(super) async fn run(config: Config) -> Result<(), CommandError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let collector = tokio::select! {
        started = Collector::start(config) => started?,
        // While the journal is replayed nothing new is taken in: what is on disk stays as it is.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tell(&[NotifyState::Ready]);
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = collector.failed() => true,
    };
    tell(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    if !collector.stop().await {
        tracing::warn!("not all rows reached the lake; the journal has them, and the next start takes them up");
    }
    if failed { Err(CommandError::Failed("a part that can't be replaced has ended; the log tells which")) } else { Ok(()) }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
