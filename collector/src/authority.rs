//! Certificates and keys of the running servers, taken anew from their files when these change: no listener is closed for it.
//!
//! Beside the way of the data. [`Watch`] looks at `ca.crt`, `ca.key` and the API's two files every [`LOOK_EVERY`]; new connections get what
//! is new, open ones stay. Files are replaced one after the other, so for a moment they may not fit together: then the last that did are used
//! on, and it is tried again at the next look. Whether a gateway was revoked is asked of the store at each batch and needs no look at all.
//!
//! Invariant: what is served was complete and fitted together when it was read.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum_server::tls_rustls::RustlsConfig;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    clock,
    config::Config,
    pki::{Pki, PkiError},
    uplink,
};

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The certificate authority as its files are now.
pub struct Authority {
    dir: PathBuf,
    current: RwLock<Arc<Pki>>,
}

impl Authority {
    /// Opens the authority in `dir`.
    ///
    /// # Errors
    /// [`PkiError`].
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        Ok(Self { dir: dir.into(), current: RwLock::new(Arc::new(Pki::open(dir)?)) })
    }

    pub fn current(&self) -> Arc<Pki> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// [`PkiError`]; then everything stays as it was.
    pub fn reload(&self) -> Result<(), PkiError> {
        let fresh = Arc::new(Pki::open(&self.dir)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// What the servers show.
#[derive(Clone)]
pub struct Served {
    pub authority: Arc<Authority>,
    pub uplink: RustlsConfig,
    /// `None`: the API is plain HTTP.
    pub api: Option<RustlsConfig>,
}

impl Served {
    /// A new certificate for the uplink, and the authorities that gateways may come from.
    pub fn renew(&self, config: &Config) {
        match uplink::tls(&self.authority.current(), &config.uplink, clock::now()) {
            Ok(tls) => self.uplink.reload_from_config(tls),
            // The one in use is good for months.
            Err(error) => tracing::error!(%error, "cannot renew the server's certificate"),
        }
    }
}

/// Size, inode and time of change: another answer, another file.
type Version = Vec<Option<(u64, u64, i64, i64)>>;

/// Looks at the files.
pub struct Watch {
    config: Arc<Config>,
    served: Served,
    authority: Files,
    api: Files,
}

struct Files {
    paths: Vec<PathBuf>,
    /// Of what is served.
    served: Version,
    /// Of what was last complained of.
    refused: Option<Version>,
}

impl Watch {
    pub fn new(config: Arc<Config>, served: Served) -> Self {
        let authority = ["ca.crt", "ca.key"].map(|file| served.authority.dir.join(file));
        let api = config.api.tls.iter().flat_map(|files| [files.certificate.clone(), files.key.clone()]).collect();
        Self { config, served, authority: Files::new(authority.into()), api: Files::new(api) }
    }

    /// For ever.
    pub async fn run(mut self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        if let Some(version) = self.authority.changed() {
            let result = self.served.authority.reload().map_err(|error| error.to_string());
            if self.authority.settle(version, result) {
                self.served.renew(&self.config);
                let authorities = self.served.authority.current().trusted().len();
                tracing::info!(authorities, "took the certificate authority anew from its files");
            }
        }
        let (Some(tls), [certificate, key]) = (&self.served.api, self.api.paths.as_slice()) else { return };
        if let Some(version) = self.api.changed() {
            let fresh = RustlsConfig::from_pem_chain_file(certificate, key).await;
            let result = fresh.map(|fresh| tls.reload_from_config(fresh.get_inner())).map_err(|error| error.to_string());
            if self.api.settle(version, result) {
                tracing::info!("took the API's certificate anew from its files");
            }
        }
    }
}

impl Files {
    fn new(paths: Vec<PathBuf>) -> Self {
        let served = version(&paths);
        Self { paths, served, refused: None }
    }

    fn changed(&self) -> Option<Version> {
        Some(version(&self.paths)).filter(|version| *version != self.served)
    }

    /// True if what was read is served now. A refusal is told once for each change.
    fn settle(&mut self, version: Version, result: Result<(), String>) -> bool {
        match result {
            Ok(()) => {
                (self.served, self.refused) = (version, None);
                true
            }
            Err(error) => {
                if self.refused.as_ref() != Some(&version) {
                    tracing::error!(files = ?self.paths, error, "these can't be used; the ones before are used on");
                    self.refused = Some(version);
                }
                false
            }
        }
    }
}

fn version(paths: &[PathBuf]) -> Version {
    let of = |path: &PathBuf| fs::metadata(path).ok().map(|meta| (meta.len(), meta.ino(), meta.mtime(), meta.mtime_nsec()));
    paths.iter().map(of).collect()
}
