//! Cards of learned models: what each was learned from, how wrong it is, and whether it is in use.
//!
//! Invariants: at most one model of a kind is in use; numbers are given once and never again.

use protocol::Timestamp;
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};
use utoipa::ToSchema;

use super::{Store, StoreError};

/// Cards that are kept; beyond it the oldest that are not in use go.
const MAX_CARDS: i64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    Training,
    InUse,
    /// Not used, or not any more; the reason says why.
    Retired,
    /// There is no model; the reason says why.
    Failed,
}

impl ModelState {
    const ALL: [Self; 4] = [Self::Training, Self::InUse, Self::Retired, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::InUse => "in_use",
            Self::Retired => "retired",
            Self::Failed => "failed",
        }
    }
}

/// A model, or an attempt at one.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// `rul-<number>` is its version.
    pub number: i64,
    pub kind: String,
    pub state: ModelState,
    pub started_at: Timestamp,
    pub trained_at: Option<Timestamp>,
    pub machines: u64,
    pub failures: u64,
    pub held_back_rmse_h: Option<f64>,
    pub held_back_coverage: Option<f64>,
    /// What saying the median life would have been wrong by.
    pub median_life_rmse_h: Option<f64>,
    pub features: Vec<String>,
    pub reason: Option<String>,
    /// Hash of the lives.
    pub lives: String,
}

impl ModelRow {
    pub fn version(&self) -> String {
        format!("rul-{}", self.number)
    }
}

impl Store {
    /// Begins a card and gives its number.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn begin_model(&self, row: &ModelRow) -> Result<i64, StoreError> {
        let done =
            sqlx::query("INSERT INTO models (kind, state, started_at, machines, failures, lives) VALUES (?, 'training', ?, ?, ?, ?)")
                .bind(&row.kind)
                .bind(row.started_at.as_micros())
                .bind(count(row.machines))
                .bind(count(row.failures))
                .bind(&row.lives)
                .execute(&self.pool)
                .await?;
        Ok(done.last_insert_rowid())
    }

    /// Writes what came of it. Goes it in use, the one before retires in the same step.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn finish_model(&self, row: &ModelRow) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        if row.state == ModelState::InUse {
            sqlx::query("UPDATE models SET state = 'retired', reason = ? WHERE kind = ? AND state = 'in_use' AND number <> ?")
                .bind(format!("{} is better", row.version()))
                .bind(&row.kind)
                .bind(row.number)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "UPDATE models SET state = ?, trained_at = ?, machines = ?, failures = ?, held_back_rmse_h = ?, held_back_coverage = ?,
             median_life_rmse_h = ?, features = ?, reason = ? WHERE number = ?",
        )
        .bind(row.state.as_str())
        .bind(row.trained_at.map(Timestamp::as_micros))
        .bind(count(row.machines))
        .bind(count(row.failures))
        .bind(row.held_back_rmse_h)
        .bind(row.held_back_coverage)
        .bind(row.median_life_rmse_h)
        .bind(serde_json::Value::from(row.features.clone()).to_string())
        .bind(&row.reason)
        .bind(row.number)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM models WHERE state IN ('retired', 'failed') AND number < (SELECT max(number) FROM models) - ?")
            .bind(MAX_CARDS)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Trainings that a stop of the process cut off have failed.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn abandon_trainings(&self) -> Result<(), StoreError> {
        sqlx::query("UPDATE models SET state = 'failed', reason = 'the collector stopped while it was training' WHERE state = 'training'")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All cards, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn models(&self) -> Result<Vec<ModelRow>, StoreError> {
        sqlx::query("SELECT * FROM models ORDER BY number DESC").fetch_all(&self.pool).await?.iter().map(row_of).collect()
    }
}

fn row_of(row: &SqliteRow) -> Result<ModelRow, StoreError> {
    let text: String = row.try_get("state")?;
    let features: String = row.try_get("features")?;
    let number = |name: &str| row.try_get::<i64, _>(name).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(ModelRow {
        number: row.try_get("number")?,
        kind: row.try_get("kind")?,
        state: ModelState::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(StoreError::BadRow { what: "the state of a model", text })?,
        started_at: Timestamp(row.try_get("started_at")?),
        trained_at: row.try_get::<Option<i64>, _>("trained_at")?.map(Timestamp),
        machines: number("machines")?,
        failures: number("failures")?,
        held_back_rmse_h: row.try_get("held_back_rmse_h")?,
        held_back_coverage: row.try_get("held_back_coverage")?,
        median_life_rmse_h: row.try_get("median_life_rmse_h")?,
        features: serde_json::from_str(&features).map_err(|_| StoreError::BadRow { what: "the features of a model", text: features })?,
        reason: row.try_get("reason")?,
        lives: row.try_get("lives")?,
    })
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
