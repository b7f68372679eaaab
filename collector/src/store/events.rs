//! Events of any kind: appended once, never changed, never deleted.
//!
//! Invariant: one id is one event for ever; the same event told again changes nothing, another one under its id is refused.

use protocol::{AssetPath, TimeRange, Timestamp};
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{Store, StoreError};
use crate::maintenance::event::Event;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    New,
    /// It was there before, and is the same.
    Duplicate,
    /// Another event has its id.
    Conflict,
    /// There are as many events as may be.
    Full,
}

/// Which events. All conditions hold together.
#[derive(Debug, Clone, Default)]
pub struct EventFilter<'a> {
    pub asset: Option<&'a AssetPath>,
    /// Beginning of the asset's path, without a slash at its end.
    pub below: Option<&'a str>,
    /// None: all kinds.
    pub kinds: &'a [&'a str],
    pub limit: usize,
}

impl Store {
    /// Appends events in one transaction; each is judged by itself.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; then none is stored.
    pub async fn append_events(&self, events: &[Event], by: &str, now: Timestamp, most: u64) -> Result<Vec<Appended>, StoreError> {
        // It reads first: begun as a reader it would be refused if somebody else has written in between.
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut answers = Vec::with_capacity(events.len());
        let stored: i64 = sqlx::query("SELECT coalesce(max(rowid), 0) AS n FROM events").fetch_one(&mut *tx).await?.try_get("n")?;
        let mut room = most.saturating_sub(u64::try_from(stored).unwrap_or(0));
        for event in events {
            let answer = append(&mut tx, event, (by, now), room > 0).await?;
            if answer == Appended::New {
                room -= 1;
            }
            answers.push(answer);
        }
        tx.commit().await?;
        Ok(answers)
    }

    /// Events with a time in `range` (half-open), newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, filter: &EventFilter<'_>, range: TimeRange) -> Result<Vec<Event>, StoreError> {
        let mut query = sqlx::QueryBuilder::<Sqlite>::new("SELECT body FROM events WHERE at >= ");
        query.push_bind(range.from.as_micros()).push(" AND at < ").push_bind(range.to.as_micros());
        if let Some(asset) = filter.asset {
            query.push(" AND asset = ").push_bind(asset.as_str().to_owned());
        }
        if let Some(prefix) = filter.below {
            // The character after the slash: all paths that begin with the prefix and a slash, and an index can be used.
            query.push(" AND asset >= ").push_bind(format!("{prefix}/")).push(" AND asset < ").push_bind(format!("{prefix}0"));
        }
        if !filter.kinds.is_empty() {
            query.push(" AND kind IN (");
            let mut kinds = query.separated(", ");
            for kind in filter.kinds {
                kinds.push_bind((*kind).to_owned());
            }
            query.push(")");
        }
        query.push(" ORDER BY at DESC, rowid DESC LIMIT ").push_bind(i64::try_from(filter.limit).unwrap_or(i64::MAX));
        query.build().fetch_all(&self.pool).await?.iter().map(event_of).collect()
    }
}

async fn append(
    tx: &mut Transaction<'_, Sqlite>,
    event: &Event,
    (by, now): (&str, Timestamp),
    has_room: bool,
) -> Result<Appended, StoreError> {
    let known = sqlx::query("SELECT body FROM events WHERE id = ?").bind(&event.id).fetch_optional(&mut **tx).await?;
    if let Some(row) = known {
        return Ok(if event_of(&row)? == *event { Appended::Duplicate } else { Appended::Conflict });
    }
    if !has_room {
        return Ok(Appended::Full);
    }
    sqlx::query("INSERT INTO events (id, kind, asset, at, body, received_at, received_by) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(&event.id)
        .bind(&event.kind)
        .bind(event.asset.as_ref().map(AssetPath::as_str))
        .bind(event.at.as_micros())
        .bind(event.to_json().to_string())
        .bind(now.as_micros())
        .bind(by)
        .execute(&mut **tx)
        .await?;
    Ok(Appended::New)
}

fn event_of(row: &SqliteRow) -> Result<Event, StoreError> {
    let text: String = row.try_get("body")?;
    Event::from_stored(&text).ok_or(StoreError::BadRow { what: "the event", text })
}
