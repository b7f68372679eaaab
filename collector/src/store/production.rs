//! What people say of production: stop reasons, products, registrations, renamed machines.
//!
//! Read whole at a start, into `production::Relations`; written with each change, before memory is. Bounded by that module: what it lets go leaves.

use protocol::{AssetPath, TimeRange, Timestamp};
use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError};
use crate::production::{Entry, Product, Relations, Rename, Said};
use kpi::oee::StopReason;

impl Store {
    /// All relations of production.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::BadRow`].
    pub async fn production(&self) -> Result<Relations, StoreError> {
        let mut relations = Relations::default();
        if let Some(row) = sqlx::query("SELECT reasons FROM stop_reasons WHERE id = 1").fetch_optional(&self.pool).await? {
            let text: String = row.try_get("reasons")?;
            let reasons: Vec<StopReason> = json(&text, "the catalogue of stop reasons")?;
            let catalogue =
                kpi::oee::Catalogue::new(reasons).map_err(|_| StoreError::BadRow { what: "the catalogue of stop reasons", text })?;
            relations.set_catalogue(catalogue);
        }
        let products = sqlx::query("SELECT product, name, ideal_cycle_time_s FROM products").fetch_all(&self.pool).await?;
        let products = products.iter().map(|row| {
            Ok::<_, StoreError>(Product {
                product: row.try_get("product")?,
                name: row.try_get("name")?,
                ideal_cycle_time_s: row.try_get("ideal_cycle_time_s")?,
            })
        });
        relations.set_products(products.collect::<Result<_, _>>()?);
        for entry in self.registrations().await? {
            relations.reasons.put(entry);
        }
        for entry in self.registrations().await? {
            relations.runs.put(entry);
        }
        for entry in self.registrations().await? {
            relations.changeovers.put(entry);
        }
        for entry in self.registrations().await? {
            relations.downtime.put(entry);
        }
        for row in
            sqlx::query("SELECT new, old, at_us, renamed_by, registered_at FROM renames ORDER BY at_us").fetch_all(&self.pool).await?
        {
            relations.rename(Rename {
                from: path(&row, "old")?,
                to: path(&row, "new")?,
                at: Timestamp(row.try_get("at_us")?),
                by: row.try_get("renamed_by")?,
                registered_at: Timestamp(row.try_get("registered_at")?),
            });
        }
        Ok(relations)
    }

    async fn registrations<T: Said>(&self) -> Result<Vec<Entry<T>>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM registrations WHERE kind = ? ORDER BY registered_at").bind(T::KIND).fetch_all(&self.pool).await?;
        let entry = |row: &SqliteRow| {
            let detail: String = row.try_get("detail")?;
            let to: Option<i64> = row.try_get("to_us")?;
            Ok(Entry {
                id: row.try_get("id")?,
                place: row.try_get("place")?,
                range: TimeRange { from: Timestamp(row.try_get("from_us")?), to: to.map_or(crate::production::OPEN, Timestamp) },
                by: row.try_get("registered_by")?,
                at: Timestamp(row.try_get("registered_at")?),
                what: json(&detail, "a registration")?,
            })
        };
        rows.iter().map(entry).collect()
    }

    /// Makes `reasons` the catalogue.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn set_stop_reasons(&self, reasons: &[StopReason], by: &str, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO stop_reasons (id, reasons, changed_by, changed_at) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET reasons = ?1, changed_by = ?2, changed_at = ?3",
        )
        .bind(text(&reasons)?)
        .bind(by)
        .bind(at.as_micros())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Makes `products` all that there are.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn set_products(&self, products: &[Product]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM products").execute(&mut *tx).await?;
        for product in products {
            sqlx::query("INSERT INTO products (product, name, ideal_cycle_time_s) VALUES (?, ?, ?)")
                .bind(&product.product)
                .bind(&product.name)
                .bind(product.ideal_cycle_time_s)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Stores a registration; one of the same id is replaced. What `gone` names leaves in the same step.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn register<T: Said>(&self, entries: &[&Entry<T>], gone: Option<&str>) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        if let Some(id) = gone {
            sqlx::query("DELETE FROM registrations WHERE id = ?").bind(id).execute(&mut *tx).await?;
        }
        for entry in entries {
            sqlx::query(
                "INSERT OR REPLACE INTO registrations (id, kind, place, from_us, to_us, detail, registered_by, registered_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&entry.id)
            .bind(T::KIND)
            .bind(&entry.place)
            .bind(entry.range.from.as_micros())
            .bind(entry.to().map(Timestamp::as_micros))
            .bind(text(&entry.what)?)
            .bind(&entry.by)
            .bind(entry.at.as_micros())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes a registration away.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn unregister(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM registrations WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Stores that a machine has another path from then on.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn insert_rename(&self, rename: &Rename) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO renames (new, old, at_us, renamed_by, registered_at) VALUES (?, ?, ?, ?, ?)")
            .bind(rename.to.as_str())
            .bind(rename.from.as_str())
            .bind(rename.at.as_micros())
            .bind(&rename.by)
            .bind(rename.registered_at.as_micros())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

pub(super) fn path(row: &SqliteRow, column: &str) -> Result<AssetPath, StoreError> {
    let text: String = row.try_get(column)?;
    AssetPath::new(&text).map_err(|_| StoreError::BadRow { what: "the path", text })
}

pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::BadRow { what, text: text.chars().take(200).collect() })
}

pub(super) fn text<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::BadRow { what: "a value without JSON", text: error.to_string() })
}
