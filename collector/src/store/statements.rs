//! The figures of shifts that have ended, with how they were restated.
//!
//! Written by `production::restate` alone. Bounded: the oldest leave.

use std::collections::HashMap;

use kpi::oee::ShiftRecord;
use protocol::{AssetPath, TimeRange, Timestamp};
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Store, StoreError,
    production::{json, path, text},
};

/// Statements that are kept: a year of 900 machines with three shifts.
const MAX_STATEMENTS: i64 = 1_000_000;

/// What was stated of one shift of one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub asset: AssetPath,
    /// Its name.
    pub shift: String,
    pub range: TimeRange,
    pub record: ShiftRecord,
}

/// Which statements are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementFilter {
    /// A machine, or what lies above.
    pub scope: String,
    /// Shifts that share time with it.
    pub range: TimeRange,
    /// Only those that were restated.
    pub restated: bool,
    pub skip: usize,
    pub limit: usize,
}

impl Store {
    /// The statement of that shift.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::BadRow`].
    pub async fn statement(&self, asset: &AssetPath, shift_from: Timestamp) -> Result<Option<Statement>, StoreError> {
        let row = sqlx::query("SELECT * FROM shift_statements WHERE asset = ? AND shift_from = ?")
            .bind(asset.as_str())
            .bind(shift_from.as_micros())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(statement).transpose()
    }

    /// Writes a statement down, over the one before.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn set_statement(&self, statement: &Statement) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO shift_statements (asset, shift_from, shift_to, shift, revision, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (asset, shift_from) DO UPDATE SET shift_to = ?3, shift = ?4, revision = ?5, record = ?6",
        )
        .bind(statement.asset.as_str())
        .bind(statement.range.from.as_micros())
        .bind(statement.range.to.as_micros())
        .bind(&statement.shift)
        .bind(i64::from(statement.record.revision))
        .bind(text(&statement.record)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Statements by the beginning of their shift, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::BadRow`].
    pub async fn statements(&self, filter: &StatementFilter) -> Result<Vec<Statement>, StoreError> {
        // Below a path lies what begins with it and a slash; '0' comes after '/'.
        let rows = sqlx::query(
            "SELECT * FROM shift_statements WHERE (asset = ?1 OR (asset > ?1 || '/' AND asset < ?1 || '0'))
             AND shift_from < ?2 AND shift_to > ?3 AND revision >= ?4 ORDER BY shift_from DESC, asset LIMIT ?5 OFFSET ?6",
        )
        .bind(&filter.scope)
        .bind(filter.range.to.as_micros())
        .bind(filter.range.from.as_micros())
        .bind(if filter.restated { 2_i64 } else { 1 })
        .bind(i64::try_from(filter.limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(filter.skip).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(statement).collect()
    }

    /// The end of the newest shift of each machine that was stated.
    ///
    /// # Errors
    /// [`StoreError::Failed`], or [`StoreError::BadRow`].
    pub async fn stated_to(&self) -> Result<HashMap<AssetPath, Timestamp>, StoreError> {
        let rows =
            sqlx::query("SELECT asset, max(shift_to) AS shift_to FROM shift_statements GROUP BY asset").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((path(row, "asset")?, Timestamp(row.try_get("shift_to")?)))).collect()
    }

    /// Lets the oldest statements go if there are too many, and says how many went.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn prune_statements(&self) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "DELETE FROM shift_statements WHERE rowid IN
             (SELECT rowid FROM shift_statements ORDER BY shift_to LIMIT max(0, (SELECT count(*) FROM shift_statements) - ?))",
        )
        .bind(MAX_STATEMENTS)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

fn statement(row: &SqliteRow) -> Result<Statement, StoreError> {
    let record: String = row.try_get("record")?;
    Ok(Statement {
        asset: path(row, "asset")?,
        shift: row.try_get("shift")?,
        range: TimeRange { from: Timestamp(row.try_get("shift_from")?), to: Timestamp(row.try_get("shift_to")?) },
        record: json(&record, "the figures of a shift")?,
    })
}
