//! The one signal that ends everything, and why it was given.

use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Shared by everything that can ask the process to end or has to end with it.
#[derive(Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    failure: Mutex<Option<String>>,
}

impl Shutdown {
    /// Ends the process in order.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Ends the process in order, as failed. The first reason stands.
    pub fn fail(&self, reason: String) {
        tracing::error!(%reason, "ending: this can't be mended without a restart");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.token.cancel();
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// For tasks that end with the process.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}
