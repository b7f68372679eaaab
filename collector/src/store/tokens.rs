//! Enrollment tokens: one use, one gateway, one hour or so.

use protocol::{GatewayId, Timestamp};
use sqlx::Row;

use super::{Store, StoreError};

/// Why a token lets nobody in. The caller is told no more than that it does not hold; the log says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    Unknown,
    Expired,
    Used,
}

impl Store {
    /// Stores the hash of a new token for `gateway`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn insert_token(
        &self,
        gateway: &GatewayId,
        secret_sha256: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        // Tokens that nobody can use any more leave here, so that the table stays small.
        sqlx::query("DELETE FROM tokens WHERE expires_at < ?")
            .bind(now.plus_micros(-30 * 86_400_000_000).as_micros())
            .execute(&self.pool)
            .await?;
        sqlx::query("INSERT INTO tokens (secret_sha256, gateway, created_at, expires_at) VALUES (?, ?, ?, ?)")
            .bind(secret_sha256)
            .bind(gateway.as_str())
            .bind(now.as_micros())
            .bind(expires_at.as_micros())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Uses the token up: of any number of callers at the same time, one gets the gateway's id.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn consume_token(&self, secret_sha256: &str, now: Timestamp) -> Result<Result<GatewayId, TokenRefusal>, StoreError> {
        let taken = sqlx::query(
            "UPDATE tokens SET used_at = ?1 WHERE secret_sha256 = ?2 AND used_at IS NULL AND expires_at > ?1 RETURNING gateway",
        )
        .bind(now.as_micros())
        .bind(secret_sha256)
        .fetch_optional(&self.pool)
        .await?;
        if let Some(row) = taken {
            let text: String = row.try_get("gateway")?;
            return GatewayId::new(&text).map(Ok).map_err(|_| StoreError::BadRow { what: "the gateway id", text });
        }
        let known =
            sqlx::query("SELECT used_at FROM tokens WHERE secret_sha256 = ?").bind(secret_sha256).fetch_optional(&self.pool).await?;
        Ok(Err(match known {
            None => TokenRefusal::Unknown,
            Some(row) if row.try_get::<Option<i64>, _>("used_at")?.is_some() => TokenRefusal::Used,
            Some(_) => TokenRefusal::Expired,
        }))
    }
}
