//! What energy costs, as it was set last.

use kpi::energy::Tariff;
use protocol::Timestamp;
use sqlx::Row;

use super::{Store, StoreError};

impl Store {
    /// The tariff; `None` if none was set.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::BadRow`].
    pub async fn tariff(&self) -> Result<Option<Tariff>, StoreError> {
        let row = sqlx::query("SELECT body FROM tariff").fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get("body")?;
        serde_json::from_str(&text).map(Some).map_err(|_| StoreError::BadRow { what: "the tariff", text })
    }

    /// Puts another in its place, or none.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn set_tariff(&self, tariff: Option<&Tariff>, by: &str, now: Timestamp) -> Result<(), StoreError> {
        let Some(tariff) = tariff else {
            sqlx::query("DELETE FROM tariff").execute(&self.pool).await?;
            return Ok(());
        };
        let body = serde_json::to_string(tariff).map_err(|error| StoreError::BadRow { what: "the tariff", text: error.to_string() })?;
        sqlx::query(
            "INSERT INTO tariff (id, body, changed_at, changed_by) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET body = ?1, changed_at = ?2, changed_by = ?3",
        )
        .bind(body)
        .bind(now.as_micros())
        .bind(by)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
