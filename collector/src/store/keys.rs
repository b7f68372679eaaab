//! API keys: made, listed, revoked, looked up by hash.

use protocol::Timestamp;
use sqlx::Row;

use super::{Store, StoreError};
use crate::auth::{Principal, Role};

/// A key, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    pub name: String,
    pub role: Role,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

impl Store {
    /// Stores the hash of a new key under a name that is free.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], also by a revoked key: names in logs stay unambiguous.
    pub async fn insert_key(&self, name: &str, role: Role, key_sha256: &str, now: Timestamp) -> Result<(), StoreError> {
        let done = sqlx::query("INSERT INTO keys (name, role, key_sha256, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(role.as_str())
            .bind(key_sha256)
            .bind(now.as_micros())
            .execute(&self.pool)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::NameTaken(name.into())) } else { Ok(()) }
    }

    /// The holder of the key with that hash, unless it is revoked.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn principal_of(&self, key_sha256: &str) -> Result<Option<Principal>, StoreError> {
        let row = sqlx::query("SELECT name, role FROM keys WHERE key_sha256 = ? AND revoked_at IS NULL")
            .bind(key_sha256)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(Principal { name: row.try_get("name")?, role: role(row.try_get("role")?)? })).transpose()
    }

    /// All keys, in order of their names.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        let rows = sqlx::query("SELECT name, role, created_at, revoked_at FROM keys ORDER BY name").fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(KeyRow {
                    name: row.try_get("name")?,
                    role: role(row.try_get("role")?)?,
                    created_at: Timestamp(row.try_get("created_at")?),
                    revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(Timestamp),
                })
            })
            .collect()
    }

    /// Revokes the key of that name; false if there is no such key or it was revoked before.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn revoke_key(&self, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL")
            .bind(now.as_micros())
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn role(text: String) -> Result<Role, StoreError> {
    Role::from_name(&text).ok_or(StoreError::BadRow { what: "the role", text })
}
