//! The last of everything: what the live twin is rebuilt from at start.
//!
//! Summaries, part counts and anomalies are looked for in the last week of what was taken in (by the collector's own clock, so that a machine with
//! a wrong one can't hide the others); a machine's state may be much older and is looked for everywhere.

use std::collections::HashSet;

use deltalake::datafusion::prelude::SessionContext;
use protocol::{Anomaly, GatewayId, LossReason, PartCount, StateChange, Timestamp, WindowSummary};

use crate::{Inner, decode, error::LakeError, reads::Sourced};

const LOOK_BACK_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;

/// See [`crate::Lake::latest`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latest {
    /// The last window of every asset and signal.
    pub summaries: Vec<Sourced<WindowSummary>>,
    /// What every asset does.
    pub states: Vec<Sourced<StateChange>>,
    /// The last part count of every asset.
    pub parts: Vec<Sourced<PartCount>>,
    /// The last anomaly of every asset.
    pub anomalies: Vec<Sourced<Anomaly>>,
    pub gateways: Vec<GatewayTotals>,
    pub losses: Vec<LossTotal>,
}

/// What has been stored of a gateway's readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayTotals {
    pub gateway: GatewayId,
    /// Readings in its window summaries.
    pub readings: u64,
    /// When the last summary was taken in.
    pub last_ingested_at: Timestamp,
}

/// What a gateway has lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossTotal {
    pub gateway: GatewayId,
    pub reason: LossReason,
    pub count: u64,
}

impl Inner {
    pub(crate) async fn latest(&self) -> Result<Latest, LakeError> {
        let session = self.read_session()?;
        let gateways = query(
            &session,
            "SELECT gateway, sum(count) AS readings, max(ingested_at) AS last FROM window_summaries GROUP BY gateway ORDER BY gateway",
            |row| Ok(GatewayTotals { gateway: row.gateway()?, readings: row.count("readings")?, last_ingested_at: row.time("last")? }),
        )
        .await?;
        let losses = query(
            &session,
            "SELECT gateway, reason, sum(count) AS lost FROM losses GROUP BY gateway, reason ORDER BY gateway, reason",
            |row| Ok(LossTotal { gateway: row.gateway()?, reason: row.loss_reason()?, count: row.count("lost")? }),
        )
        .await?;
        let recent = |table| since(&session, table);
        Ok(Latest {
            summaries: {
                let sql =
                    last_of("window_summaries", "asset, signal", "window_end", &recent("window_summaries").await?, "AND NOT correction");
                let rows = query(&session, &sql, |row| row.sourced(decode::Row::window)).await?;
                first_of(rows, |row| (row.record.asset.clone(), row.record.signal.clone()))
            },
            states: {
                let sql = last_of("state_changes", "asset", "event_time", "true", "");
                first_of(query(&session, &sql, |row| row.sourced(decode::Row::state)).await?, |row| row.record.asset.clone())
            },
            parts: {
                let sql = last_of("part_counts", "asset", "to_time", &recent("part_counts").await?, "");
                first_of(query(&session, &sql, |row| row.sourced(decode::Row::parts)).await?, |row| row.record.asset.clone())
            },
            anomalies: {
                let sql = last_of("anomalies", "asset", "event_time", &recent("anomalies").await?, "");
                first_of(query(&session, &sql, |row| row.sourced(decode::Row::anomaly)).await?, |row| row.record.asset.clone())
            },
            gateways,
            losses,
        })
    }
}

async fn query<T>(
    session: &SessionContext,
    sql: &str,
    record: impl Fn(&decode::Row<'_>) -> Result<T, LakeError>,
) -> Result<Vec<T>, LakeError> {
    decode::all(&session.sql(sql).await?.collect().await?, record)
}

/// The rows of the last moment of every group. Several can share it: the last taken in comes first.
fn last_of(table: &str, group: &str, time: &str, recent: &str, also: &str) -> String {
    let on: Vec<String> = group.split(", ").map(|column| format!("t.{column} = m.{column}")).collect();
    format!(
        "SELECT t.* FROM (SELECT {group}, max({time}) AS at FROM {table} WHERE {recent} {also} GROUP BY {group}) m \
         JOIN (SELECT * FROM {table} WHERE {recent} {also}) t ON {} AND t.{time} = m.at ORDER BY {}, t.ingested_at DESC, t.seq DESC",
        on.join(" AND "),
        group.split(", ").map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", "),
    )
}

/// A condition that leaves the last week.
async fn since(session: &SessionContext, table: &str) -> Result<String, LakeError> {
    let last = query(session, &format!("SELECT max(ingested_at) AS last FROM {table}"), |row| row.optional_time("last")).await?;
    let since = last.into_iter().flatten().next().map_or(i64::MIN, |last| last.plus_micros(-LOOK_BACK_MICROS).as_micros());
    Ok(format!("ingested_at >= arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')", since.max(0)))
}

fn first_of<T, K: std::hash::Hash + Eq>(rows: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::new();
    rows.into_iter().filter(|row| seen.insert(key(row))).collect()
}
