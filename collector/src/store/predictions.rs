//! What was predicted of machines, and how right it was.
//!
//! Invariants: at most one prediction a machine and hour; a score is written beside the prediction that it judges and may be written anew
//! when an earlier end of that life is told.

use kpi::condition::scoring::Score;
use protocol::{AssetPath, TimeRange, Timestamp};
use sqlx::{Row, Sqlite, sqlite::SqliteRow};

use super::{Store, StoreError};

const HOUR_US: i64 = 3_600_000_000;
/// Predictions of all machines; beyond it the oldest go.
const MAX_PREDICTIONS: i64 = 5_000_000;

/// A prediction as it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionRow {
    pub asset: AssetPath,
    pub at: Timestamp,
    pub rul_h: Option<f64>,
    pub lower_h: Option<f64>,
    pub upper_h: Option<f64>,
    pub health: Option<f64>,
    pub failure_probability: Option<f64>,
    /// A learned model, or the name of the method that weighed most.
    pub model_version: Option<String>,
    pub score: Option<Score>,
}

impl Store {
    /// Keeps a prediction, unless its hour has one that says as much.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn keep_prediction(&self, row: &PredictionRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO predictions (asset, hour, at, rul_h, lower_h, upper_h, health, failure_probability, model_version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (asset, hour) DO UPDATE SET at = ?3, rul_h = ?4, lower_h = ?5, upper_h = ?6, health = ?7,
                 failure_probability = ?8, model_version = ?9
             WHERE predictions.rul_h IS NULL AND ?4 IS NOT NULL",
        )
        .bind(row.asset.as_str())
        .bind(row.at.as_micros().div_euclid(HOUR_US))
        .bind(row.at.as_micros())
        .bind(row.rul_h)
        .bind(row.lower_h)
        .bind(row.upper_h)
        .bind(row.health)
        .bind(row.failure_probability)
        .bind(&row.model_version)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Predictions made in `range`, newest first; of one machine or of all below a path.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn predictions(
        &self,
        asset: Option<&AssetPath>,
        below: Option<&str>,
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<PredictionRow>, StoreError> {
        self.predictions_of(asset, below, range, limit, false).await
    }

    /// The same of those alone that have a score.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn scored_predictions(
        &self,
        asset: Option<&AssetPath>,
        below: Option<&str>,
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<PredictionRow>, StoreError> {
        self.predictions_of(asset, below, range, limit, true).await
    }

    async fn predictions_of(
        &self,
        asset: Option<&AssetPath>,
        below: Option<&str>,
        range: TimeRange,
        limit: usize,
        scored: bool,
    ) -> Result<Vec<PredictionRow>, StoreError> {
        let mut query = sqlx::QueryBuilder::<Sqlite>::new("SELECT * FROM predictions WHERE at >= ");
        query.push_bind(range.from.as_micros()).push(" AND at < ").push_bind(range.to.as_micros());
        if let Some(asset) = asset {
            query.push(" AND asset = ").push_bind(asset.as_str().to_owned());
        }
        if let Some(prefix) = below {
            query.push(" AND asset >= ").push_bind(format!("{prefix}/")).push(" AND asset < ").push_bind(format!("{prefix}0"));
        }
        if scored {
            query.push(" AND true_rul_h IS NOT NULL");
        }
        query.push(" ORDER BY at DESC, asset LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        query.build().fetch_all(&self.pool).await?.iter().map(row_of).collect()
    }

    /// Writes the scores beside the predictions of a machine.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; then none is written.
    pub async fn score_predictions(&self, asset: &AssetPath, scores: &[(Timestamp, Score)]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for (at, score) in scores {
            sqlx::query(
                "UPDATE predictions SET true_rul_h = ?, censored = ?, error_h = ?, in_interval = ?, phm_score = ?, capped = ?
                 WHERE asset = ? AND hour = ? AND at = ?",
            )
            .bind(score.true_rul_h)
            .bind(score.censored)
            .bind(score.error_h)
            .bind(score.in_interval)
            .bind(score.phm_score)
            .bind(score.capped)
            .bind(asset.as_str())
            .bind(at.as_micros().div_euclid(HOUR_US))
            .bind(at.as_micros())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Lets predictions from before `keep_from` go, and the oldest of too many. Says how many went.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn prune_predictions(&self, keep_from: Timestamp) -> Result<u64, StoreError> {
        let old = sqlx::query("DELETE FROM predictions WHERE at < ?").bind(keep_from.as_micros()).execute(&self.pool).await?;
        let surplus = sqlx::query("DELETE FROM predictions WHERE at < (SELECT at FROM predictions ORDER BY at DESC LIMIT 1 OFFSET ?)")
            .bind(MAX_PREDICTIONS)
            .execute(&self.pool)
            .await?;
        Ok(old.rows_affected() + surplus.rows_affected())
    }
}

fn row_of(row: &SqliteRow) -> Result<PredictionRow, StoreError> {
    let text: String = row.try_get("asset")?;
    let model_version: Option<String> = row.try_get("model_version")?;
    let score = match row.try_get::<Option<f64>, _>("true_rul_h")? {
        None => None,
        Some(true_rul_h) => Some(Score {
            model_version: model_version.clone().unwrap_or_default(),
            true_rul_h,
            censored: row.try_get::<Option<bool>, _>("censored")?.unwrap_or(false),
            error_h: row.try_get("error_h")?,
            in_interval: row.try_get("in_interval")?,
            phm_score: row.try_get("phm_score")?,
            capped: row.try_get::<Option<bool>, _>("capped")?.unwrap_or(false),
        }),
    };
    Ok(PredictionRow {
        asset: AssetPath::new(&text).map_err(|_| StoreError::BadRow { what: "the asset", text })?,
        at: Timestamp(row.try_get("at")?),
        rul_h: row.try_get("rul_h")?,
        lower_h: row.try_get("lower_h")?,
        upper_h: row.try_get("upper_h")?,
        health: row.try_get("health")?,
        failure_probability: row.try_get("failure_probability")?,
        model_version,
        score,
    })
}
