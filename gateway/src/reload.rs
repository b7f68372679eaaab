//! Runs the gateway until it is to end, and takes a changed configuration over without ending the process.
//!
//! ```text
//! SIGHUP --> read and check the file --> problems:  tell all of them, go on as before
//!                                   \--> no change: nothing
//!                                    \-> changed:   App::stop, App::start; if that fails, App::start with the old one
//! ```
//! Stands above `app`. What is in the spool is not touched by any of it: a restart of the inside is a clean end and a start, so publishers are
//! acknowledged or reconnect, and readings are in the checkpoint, in the spool or still with the publisher.
//!
//! Invariant: at most one [`App`] runs at a time; after a configuration that does not work the one before runs again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, EndError, StartError, Tuning},
    config::{Config, ConfigErrors},
    notify,
    shutdown::Shutdown,
};

/// Starts of one process before it is to be replaced by a fresh one: the embedded broker's router can't be ended, so that each start but the
/// last leaves a thread that sleeps, and what its log held (16 MiB at most with the usual limits).
const MOST_STARTS: u32 = 8;
/// Ports of the run before may take a moment to become free.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// What is asked of a running gateway from outside.
#[derive(Debug)]
pub struct Signals {
    /// End in order.
    pub end: CancellationToken,
    /// Look at the configuration again.
    pub reload: mpsc::Receiver<()>,
}

/// How a run ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it was asked to.
    Asked,
    /// It is to be started again as a new process (image), with the configuration that is in the file and was seen to work.
    Renew,
}

/// Why it did not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the gateway did not start")]
    Start(#[from] StartError),
    #[error(transparent)]
    End(#[from] EndError),
}

/// A configuration, and what the files that it names held when it was read.
struct Loaded {
    config: Config,
    files: [u8; 32],
}

impl Loaded {
    fn new(config: Config) -> Self {
        let files = fingerprint(&config);
        Self { config, files }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.config == other.config && self.files == other.files
    }
}

/// Runs a gateway with `config`, which was read from `path`; `started` is told of each start.
///
/// # Errors
/// [`RunError`].
pub async fn run(
    path: PathBuf,
    config: Config,
    tuning: Tuning,
    mut signals: Signals,
    mut started: impl FnMut(&App),
) -> Result<Ended, RunError> {
    let mut running = Loaded::new(config);
    let mut app = start(&running.config, &tuning).await?;
    let mut starts = 1;
    loop {
        started(&app);
        notify::ready(&format!("gateway {}", running.config.gateway));
        let Some(changed) = changed(&app, &path, &running, &mut signals).await else { break };
        let reloading = notify::reloading();
        tracing::info!("the configuration changed: restarting the inside");
        if let Err(error) = app.stop().await {
            tracing::error!(%error, "the run before did not end in order");
        }
        let went_well;
        (app, running, went_well) = match start_patiently(&changed.config, &tuning).await {
            Ok(app) => (app, changed, true),
            Err(error) => {
                tracing::error!(error = chain(&error), "the changed configuration does not work here; going back to the one before");
                (start_patiently(&running.config, &tuning).await?, running, false)
            }
        };
        starts += 1;
        if starts > MOST_STARTS && went_well {
            tracing::info!(starts, "going on as a fresh process, for what the starts before left in memory");
            app.stop().await?;
            return Ok(Ended::Renew);
        }
        drop(reloading);
    }
    notify::stopping();
    tracing::info!("ending");
    app.stop().await?;
    Ok(Ended::Asked)
}

/// Waits for a configuration that is valid and another one; `None`: it is time to end.
async fn changed(app: &App, path: &Path, running: &Loaded, signals: &mut Signals) -> Option<Loaded> {
    loop {
        tokio::select! {
            () = app.ended() => return None,
            () = signals.end.cancelled() => return None,
            asked = signals.reload.recv() => asked?,
        }
        match Config::load(path, std::env::vars()).map(Loaded::new) {
            Ok(fresh) if fresh.is_like(running) => tracing::info!("the configuration has not changed"),
            Ok(fresh) => return Some(fresh),
            Err(errors) => refused(&errors),
        }
    }
}

fn refused(errors: &ConfigErrors) {
    for problem in &errors.problems {
        tracing::error!(file = %errors.file.display(), %problem, "the changed configuration is not valid; the one before stays");
    }
}

async fn start(config: &Config, tuning: &Tuning) -> Result<App, StartError> {
    App::start(config.clone(), tuning.clone(), Arc::new(Shutdown::default())).await
}

async fn start_patiently(config: &Config, tuning: &Tuning) -> Result<App, StartError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match start(config, tuning).await {
            Err(StartError::Broker(_) | StartError::Status(_) | StartError::Spool(_)) if attempt < ATTEMPTS => {
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

/// Of the files that are read only at a start; what the uplink needs is read again when it changes.
fn fingerprint(config: &Config) -> [u8; 32] {
    let mut files: Vec<&Path> = Vec::new();
    if let Some(tls) = config.broker.as_ref().and_then(|broker| broker.tls.as_ref()) {
        files.extend([tls.certificate.as_path(), tls.key.as_path()]);
        files.extend(tls.client_ca.as_deref());
    }
    for tls in config.clients.iter().filter_map(|client| client.tls.as_ref()) {
        files.push(&tls.ca);
        files.extend(tls.identity.iter().flat_map(|(certificate, key)| [certificate.as_path(), key.as_path()]));
    }
    let mut sum = Sha256::new();
    for file in files {
        let content = fs::read(file).unwrap_or_default();
        sum.update((content.len() as u64).to_be_bytes());
        sum.update(content);
    }
    sum.finalize().into()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
