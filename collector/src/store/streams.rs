//! What the ledger knows, for its next start: how far each stream is in the lake, and which generation goes on from which.

use std::collections::HashMap;

use protocol::{GatewayId, Parent, StreamId, Timestamp};
use sqlx::{Row, sqlite::SqliteRow};

use super::{Store, StoreError};
use crate::ledger::{Forgotten, Ledger, Link, Mark};

/// What has moved since it was last written down.
#[derive(Debug, Clone, Default)]
pub struct LedgerChanges {
    pub marks: HashMap<(GatewayId, StreamId), Mark>,
    pub links: HashMap<(GatewayId, u64), Link>,
    /// Gateways that held something acknowledged that was not here.
    pub missed: Vec<GatewayId>,
}

impl LedgerChanges {
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.links.is_empty() && self.missed.is_empty()
    }

    /// Adds what is older: what is here already is newer.
    pub fn put_back(&mut self, older: Self) {
        for (key, mark) in older.marks {
            self.marks.entry(key).or_insert(mark);
        }
        for (key, link) in older.links {
            self.links.entry(key).or_insert(link);
        }
        self.missed.extend(older.missed);
    }
}

impl Store {
    /// Fills a ledger with what was written down.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::BadRow`].
    pub async fn read_ledger(&self, ledger: &mut Ledger) -> Result<(), StoreError> {
        for row in sqlx::query("SELECT gateway, stream, through, readings, skipped FROM streams").fetch_all(&self.pool).await? {
            let readings: Option<i64> = row.try_get("readings")?;
            let mark = Mark {
                through: unsigned(&row, "through")?,
                readings: readings.map(i64::cast_unsigned),
                skipped: unsigned(&row, "skipped")?,
            };
            ledger.restore_mark(&gateway(&row)?, StreamId(hex(&row, "stream")?), mark);
        }
        for row in sqlx::query("SELECT * FROM generations").fetch_all(&self.pool).await? {
            let parent = match row.try_get::<Option<String>, _>("parent")? {
                None => None,
                Some(_) => Some(Parent {
                    generation: hex(&row, "parent")?,
                    through: [unsigned(&row, "through_0")?, unsigned(&row, "through_1")?],
                    readings: [unsigned(&row, "readings_0")?, unsigned(&row, "readings_1")?],
                }),
            };
            let link = Link { parent, forked: row.try_get("forked")?, since: Timestamp(row.try_get("since")?) };
            ledger.restore_link(&gateway(&row)?, hex(&row, "generation")?, link);
        }
        for row in sqlx::query("SELECT gateway, missed, forgotten FROM ledgers").fetch_all(&self.pool).await? {
            ledger.restore_gateway(&gateway(&row)?, row.try_get("missed")?, unsigned(&row, "forgotten")?);
        }
        Ok(())
    }

    /// Writes down what has moved. Never moves a mark back.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn write_ledger(&self, changes: &LedgerChanges) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for ((gateway, stream), mark) in &changes.marks {
            sqlx::query(
                "INSERT INTO streams (gateway, stream, through, readings, skipped) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (gateway, stream) DO UPDATE SET through = ?3, readings = ?4, skipped = max(skipped, ?5) WHERE through <= ?3",
            )
            .bind(gateway.as_str())
            .bind(stream.to_string())
            .bind(mark.through.cast_signed())
            .bind(mark.readings.map(u64::cast_signed))
            .bind(mark.skipped.cast_signed())
            .execute(&mut *tx)
            .await?;
        }
        for ((gateway, generation), link) in &changes.links {
            let parent = link.parent.unwrap_or(Parent { generation: 0, through: [0; 2], readings: [0; 2] });
            sqlx::query(
                "INSERT INTO generations (gateway, generation, parent, through_0, through_1, readings_0, readings_1, forked, since)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, generation) DO NOTHING",
            )
            .bind(gateway.as_str())
            .bind(format!("{generation:016x}"))
            .bind(link.parent.map(|parent| format!("{:016x}", parent.generation)))
            .bind(parent.through[0].cast_signed())
            .bind(parent.through[1].cast_signed())
            .bind(parent.readings[0].cast_signed())
            .bind(parent.readings[1].cast_signed())
            .bind(link.forked)
            .bind(link.since.as_micros())
            .execute(&mut *tx)
            .await?;
        }
        for gateway in &changes.missed {
            sqlx::query("INSERT INTO ledgers (gateway, missed, forgotten) VALUES (?, 1, 0) ON CONFLICT (gateway) DO UPDATE SET missed = 1")
                .bind(gateway.as_str())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Lets go of generations that the ledger has let go of.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn forget_generations(&self, gateway: &GatewayId, forgotten: &Forgotten) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for generation in &forgotten.generations {
            sqlx::query("DELETE FROM generations WHERE gateway = ? AND generation = ?")
                .bind(gateway.as_str())
                .bind(format!("{generation:016x}"))
                .execute(&mut *tx)
                .await?;
            for lane in 0..4 {
                sqlx::query("DELETE FROM streams WHERE gateway = ? AND stream = ?")
                    .bind(gateway.as_str())
                    .bind(StreamId::of(*generation, lane).to_string())
                    .execute(&mut *tx)
                    .await?;
            }
        }
        sqlx::query(
            "INSERT INTO ledgers (gateway, missed, forgotten) VALUES (?1, 0, ?2)
             ON CONFLICT (gateway) DO UPDATE SET forgotten = max(forgotten, ?2)",
        )
        .bind(gateway.as_str())
        .bind(forgotten.foreign.cast_signed())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn gateway(row: &SqliteRow) -> Result<GatewayId, StoreError> {
    let text: String = row.try_get("gateway")?;
    GatewayId::new(&text).map_err(|_| StoreError::BadRow { what: "the gateway id", text })
}

fn hex(row: &SqliteRow, column: &'static str) -> Result<u64, StoreError> {
    let text: String = row.try_get(column)?;
    u64::from_str_radix(&text, 16).map_err(|_| StoreError::BadRow { what: column, text })
}

/// Stored as the same 64 bits: SQLite has no unsigned integer.
fn unsigned(row: &SqliteRow, column: &'static str) -> Result<u64, StoreError> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_down_of_the_ledger_is_read_and_marks_never_fall() {
        let store = Store::in_memory().await.expect("opened");
        let id = GatewayId::new("gw").expect("valid");
        let (stream, parent) = (StreamId::of(1 << 63 | 8, 1), Parent { generation: 16, through: [3, u64::MAX >> 1], readings: [0, 70] });
        let mark = Mark { through: 9, readings: Some(90), skipped: 4 };
        let link = Link { parent: Some(parent), forked: true, since: Timestamp(5) };
        let mut changes = LedgerChanges::default();
        changes.marks.insert((id.clone(), stream), mark);
        changes.links.insert((id.clone(), stream.generation()), link);
        changes.missed.push(id.clone());
        store.write_ledger(&changes).await.expect("written");
        changes.marks.insert((id.clone(), stream), Mark { through: 8, readings: Some(1), skipped: 0 });
        store.write_ledger(&changes).await.expect("written");
        let mut ledger = Ledger::default();
        store.read_ledger(&mut ledger).await.expect("read");
        assert_eq!(ledger.mark(&id, stream), Some(mark));
        assert_eq!(ledger.branches(&id).and_then(|branches| branches.link(stream.generation())), Some(link));
        assert!(ledger.missed(&id));
        store.forget_generations(&id, &Forgotten { generations: vec![stream.generation()], foreign: 12 }).await.expect("deleted");
        let mut ledger = Ledger::default();
        store.read_ledger(&mut ledger).await.expect("read");
        assert_eq!(ledger.mark(&id, stream), None);
        assert!(ledger.missed(&id), "it is still known to be older than it was");
    }
}
