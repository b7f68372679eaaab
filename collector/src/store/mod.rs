//! The relations in SQLite: gateways and their certificates, enrollment tokens, API keys, described assets, how far each stream
//! has come; what people say of production, and the figures of shifts; events, predictions, and cards of learned models.
//!
//! Stands beside the lake (which holds the facts). Invariant: a secret is stored as its SHA-256 only; a token is consumed in the same
//! statement that checks it; migrations are embedded and run at open.

mod events;
mod gateways;
mod keys;
mod models;
mod predictions;
mod production;
mod statements;
mod streams;
mod tariff;
mod tokens;

use std::path::{Path, PathBuf};

use sqlx::{
    SqlSafeStr as _, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::config::Asset;

pub use events::{Appended, EventFilter};
pub use gateways::{CertificateStanding, GatewayRow, IssuedCertificate};
pub use keys::KeyRow;
pub use models::{ModelRow, ModelState};
pub use predictions::PredictionRow;
pub use statements::{Statement, StatementFilter};
pub use streams::LedgerChanges;
pub use tokens::TokenRefusal;

/// The open database; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

/// Why the database could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the database {}: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("cannot bring the database to this version: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("the database failed: {0}")]
    Failed(#[from] sqlx::Error),
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    #[error("the database holds {what} {text:?}, which is not valid")]
    BadRow { what: &'static str, text: String },
}

impl Store {
    /// Opens the database, makes it if there is none, and brings it to this version.
    ///
    /// # Errors
    /// [`StoreError::Open`] or [`StoreError::Migrate`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Certificates and consumed tokens must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(5));
        Self::connect(options, 4).await.map_err(|source| StoreError::Open { path: path.into(), source })?.migrated().await
    }

    /// A database in memory, for tests.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn in_memory() -> Result<Self, StoreError> {
        // One connection: each connection to `:memory:` is a database of its own.
        Self::connect(SqliteConnectOptions::new().in_memory(true).foreign_keys(true), 1).await?.migrated().await
    }

    async fn connect(options: SqliteConnectOptions, connections: u32) -> Result<Self, sqlx::Error> {
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            // With a minimum the pool opens one in the background beside the first, and of two that make a new file's journal a WAL one fails.
            .min_connections(0)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    async fn migrated(self) -> Result<Self, StoreError> {
        // Listed by hand: `sqlx::migrate!` would compile SQLite a second time, for the compiler's side.
        let migration = |version, name: &'static str, sql: &'static str| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
        let migrations = vec![
            migration(1, "relations", include_str!("migrations/0001_relations.sql")),
            migration(2, "generations", include_str!("migrations/0002_generations.sql")),
            migration(3, "production", include_str!("migrations/0003_production.sql")),
            migration(4, "maintenance", include_str!("migrations/0004_maintenance.sql")),
            migration(5, "energy", include_str!("migrations/0005_energy.sql")),
        ];
        Migrator::with_migrations(migrations).run(&self.pool).await?;
        Ok(self)
    }

    /// Makes the described assets those of the configuration.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn set_assets(&self, assets: &[Asset]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM assets").execute(&mut *tx).await?;
        for asset in assets {
            sqlx::query("INSERT INTO assets (path, ideal_cycle_time_us) VALUES (?, ?)")
                .bind(asset.path.as_str())
                .bind(asset.ideal_cycle_time.map(|time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Waits for statements under way, then closes.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two connections that opened a new file at once made one of them fail: "database is locked".
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn new_databases_are_opened_also_while_the_machine_is_busy() {
        let dir = tempfile::tempdir().unwrap();
        let opened = (0..48).map(|number| {
            let path = dir.path().join(format!("{number}.db"));
            tokio::spawn(async move { Store::open(&path).await.map(|store| store.pool.size()) })
        });
        for opened in opened.collect::<Vec<_>>() {
            assert_eq!(opened.await.unwrap().unwrap(), 1, "one connection makes the file");
        }
    }
}
