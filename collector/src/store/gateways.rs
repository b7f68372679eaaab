//! Gateways and the certificates that were issued to them.

use protocol::{GatewayId, Timestamp};
use sqlx::Row;

use super::{Store, StoreError};

/// An enrolled gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRow {
    pub gateway: GatewayId,
    pub enrolled_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// When it last sent a batch or heartbeat, as of the last time that was written down (about once a minute).
    pub last_seen: Option<Timestamp>,
    /// The collector's clock minus the gateway's, the way of the batch included.
    pub skew_us: Option<i64>,
}

/// A certificate, by what its issuing needs to be remembered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Hex.
    pub serial: String,
    pub gateway: GatewayId,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Whether a certificate that our CA signed still opens the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateStanding {
    Good,
    Revoked,
    /// Signed by our CA, but not in the database, or issued to another gateway.
    Unknown,
}

impl Store {
    /// Remembers a certificate; its gateway is enrolled with it (again, if it had been revoked: only a new token leads here).
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn insert_certificate(&self, issued: &IssuedCertificate) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO gateways (id, enrolled_at) VALUES (?1, ?2)
             ON CONFLICT (id) DO UPDATE SET enrolled_at = ?2, revoked_at = NULL",
        )
        .bind(issued.gateway.as_str())
        .bind(issued.issued_at.as_micros())
        .execute(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO certificates (serial, gateway, issued_at, expires_at) VALUES (?, ?, ?, ?)")
            .bind(&issued.serial)
            .bind(issued.gateway.as_str())
            .bind(issued.issued_at.as_micros())
            .bind(issued.expires_at.as_micros())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// How the certificate with that serial stands for `gateway`.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn certificate_standing(&self, serial: &str, gateway: &GatewayId) -> Result<CertificateStanding, StoreError> {
        let row = sqlx::query("SELECT revoked_at FROM certificates WHERE serial = ? AND gateway = ?")
            .bind(serial)
            .bind(gateway.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(match row {
            None => CertificateStanding::Unknown,
            Some(row) if row.try_get::<Option<i64>, _>("revoked_at")?.is_some() => CertificateStanding::Revoked,
            Some(_) => CertificateStanding::Good,
        })
    }

    /// Shuts a gateway out: all its certificates are revoked. False if there is none of that name, or it was revoked before.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn revoke_gateway(&self, gateway: &GatewayId, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("UPDATE gateways SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL")
            .bind(now.as_micros())
            .bind(gateway.as_str())
            .execute(&mut *tx)
            .await?;
        sqlx::query("UPDATE certificates SET revoked_at = ? WHERE gateway = ? AND revoked_at IS NULL")
            .bind(now.as_micros())
            .bind(gateway.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes down when a gateway was last heard, and its skew.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn gateway_seen(&self, gateway: &GatewayId, at: Timestamp, skew_us: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE gateways SET last_seen = ?, skew_us = ? WHERE id = ?")
            .bind(at.as_micros())
            .bind(skew_us)
            .bind(gateway.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All gateways, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn gateways(&self) -> Result<Vec<GatewayRow>, StoreError> {
        let rows =
            sqlx::query("SELECT id, enrolled_at, revoked_at, last_seen, skew_us FROM gateways ORDER BY id").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                let text: String = row.try_get("id")?;
                Ok(GatewayRow {
                    gateway: GatewayId::new(&text).map_err(|_| StoreError::BadRow { what: "the gateway id", text })?,
                    enrolled_at: Timestamp(row.try_get("enrolled_at")?),
                    revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(Timestamp),
                    last_seen: row.try_get::<Option<i64>, _>("last_seen")?.map(Timestamp),
                    skew_us: row.try_get("skew_us")?,
                })
            })
            .collect()
    }
}
