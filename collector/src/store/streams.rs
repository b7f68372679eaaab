//! How far each stream is in the lake, for the ledger at start.

use protocol::{GatewayId, StreamId};
use sqlx::Row;

use super::{Store, StoreError};

impl Store {
    /// Every stream with the highest sequence below which nothing is missing in the lake.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn streams(&self) -> Result<Vec<(GatewayId, StreamId, u64)>, StoreError> {
        let rows = sqlx::query("SELECT gateway, stream, through FROM streams").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let (gateway, stream): (String, String) = (row.try_get("gateway")?, row.try_get("stream")?);
                let through: i64 = row.try_get("through")?;
                Ok((
                    GatewayId::new(&gateway).map_err(|_| StoreError::BadRow { what: "the gateway id", text: gateway })?,
                    StreamId(u64::from_str_radix(&stream, 16).map_err(|_| StoreError::BadRow { what: "the stream", text: stream })?),
                    // Stored as the same 64 bits: SQLite has no unsigned integer.
                    through.cast_unsigned(),
                ))
            })
            .collect()
    }

    /// Writes down how far streams have come. Never moves one back.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn set_streams(&self, streams: &[(GatewayId, StreamId, u64)]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for (gateway, stream, through) in streams {
            sqlx::query(
                "INSERT INTO streams (gateway, stream, through) VALUES (?1, ?2, ?3)
                 ON CONFLICT (gateway, stream) DO UPDATE SET through = max(through, ?3)",
            )
            .bind(gateway.as_str())
            .bind(stream.to_string())
            .bind(through.cast_signed())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
