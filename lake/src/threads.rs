//! The lake's own threads: one set for commits, compaction and typed reads, another for users' SQL.
//!
//! A query yields only between batches, and some (a nested loop over millions of rows) compute for a minute before they do. On threads of their own
//! they hold up nobody but other statements, and whoever waits for one waits elsewhere, so a timeout comes when it is due.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

use crate::error::LakeError;

pub(crate) struct Threads {
    own: Option<Runtime>,
    sql: Option<Runtime>,
}

impl Threads {
    pub(crate) fn start() -> io::Result<Self> {
        // Planning recurses along a statement; how far is bounded by `statement`.
        let start = |name: &str| Builder::new_multi_thread().thread_name(name).thread_stack_size(8 << 20).enable_all().build();
        Ok(Self { own: Some(start("lake")?), sql: Some(start("lake-sql")?) })
    }

    /// For users' SQL.
    pub(crate) fn sql(&self) -> Result<Handle, LakeError> {
        self.sql.as_ref().map(|runtime| runtime.handle().clone()).ok_or(LakeError::Closed)
    }

    /// Runs `work` to its end, also if the caller stops waiting.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LakeError>> + Send + 'static,
    ) -> Result<T, LakeError> {
        self.own.as_ref().ok_or(LakeError::Closed)?.spawn(work).await?
    }

    /// Runs `work` for as long as the caller waits.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LakeError>> + Send + 'static,
    ) -> Result<T, LakeError> {
        AbortOnDrop(self.own.as_ref().ok_or(LakeError::Closed)?.spawn(work)).await?
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Dropping a runtime would wait for it, which async code must not do.
        for runtime in [self.own.take(), self.sql.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// A task that ends when nobody waits for it any more.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
