//! Reads in the types of `protocol`, for the twin, the KPIs and the API. Periods are half-open unless a read says otherwise.

use std::{collections::BTreeMap, time::Duration};

use deltalake::{
    arrow::{array::RecordBatch, datatypes::DataType},
    datafusion::{
        common::ScalarValue,
        functions_aggregate::expr_fn::{max, min, sum},
        logical_expr::{JoinType, SortExpr, cast, when},
        prelude::{DataFrame, Expr, SessionContext, col, lit},
    },
};
use protocol::{Anomaly, AssetPath, GatewayId, Loss, PartCount, SignalName, StateChange, TimeRange, Timestamp, WindowSummary};

use crate::{Inner, decode, error::LakeError, schema::Table};

/// Rows that a typed read gives at most; a longer period is the caller's to divide.
const MAX_ROWS: usize = 500_000;
/// Before a period of several machines the state that stood is looked for so far back at once; beyond it by machine.
const LATELY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;
/// Steps that a series has at most.
const MAX_STEPS: i64 = 100_000;

/// A record with the gateway that sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    pub gateway: GatewayId,
    pub ingested_at: Timestamp,
    pub record: T,
}

/// Which anomalies.
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyFilter {
    pub asset: Option<AssetPath>,
    pub signal: Option<SignalName>,
    pub range: TimeRange,
    pub limit: usize,
}

/// Which losses.
#[derive(Debug, Clone, PartialEq)]
pub struct LossFilter {
    pub gateway: Option<GatewayId>,
    pub asset: Option<AssetPath>,
    pub range: TimeRange,
    pub limit: usize,
}

/// Summaries of one step of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeriesPoint {
    /// Where the step begins.
    pub at: Timestamp,
    pub count: u64,
    pub min: f64,
    pub max: f64,
    /// Weighted by count.
    pub mean: f64,
}

/// What of a window summary a meter or a chart is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowPoint {
    pub start: Timestamp,
    pub end: Timestamp,
    pub count: u64,
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    /// Population standard deviation.
    pub stddev: f64,
    pub last: f64,
    pub correction: bool,
    /// Its place in [`SignalWindows::units`].
    pub unit: usize,
}

/// Window summaries of one signal, without those of bad quality.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SignalWindows {
    /// UCUM codes; more than one if the signal was configured anew.
    pub units: Vec<String>,
    /// By their end; of one window in the order in which they came.
    pub points: Vec<WindowPoint>,
    /// Windows of bad quality that were left out.
    pub bad: u64,
}

impl Inner {
    pub(crate) fn read_session(&self) -> Result<SessionContext, LakeError> {
        Ok(self.sessions.for_reads(&self.views())?)
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself holds for one lifetime of a row only")]
    pub(crate) async fn states(&self, asset: &AssetPath, range: TimeRange) -> Result<Vec<StateChange>, LakeError> {
        let session = self.read_session()?;
        let of_asset = table(&session, Table::StateChanges).await?.filter(col("asset").eq(lit(asset.as_str())))?;
        let before =
            of_asset.clone().filter(col("event_time").lt(time(range.from)))?.sort(newest_first("event_time"))?.limit(0, Some(1))?;
        let within =
            of_asset.filter(from(range.from, "event_time").and(col("event_time").lt(time(range.to))))?.sort(oldest_first("event_time"))?;
        let mut states = decode::all(&before.collect().await?, |row| row.state())?;
        states.extend(decode::all(&capped(within, MAX_ROWS).await?, |row| row.state())?);
        Ok(states)
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself holds for one lifetime of a row only")]
    pub(crate) async fn parts(&self, asset: &AssetPath, range: TimeRange) -> Result<Vec<PartCount>, LakeError> {
        let within = col("to_time").gt(time(range.from)).and(col("to_time").lt_eq(time(range.to)));
        let parts = table(&self.read_session()?, Table::PartCounts).await?.filter(col("asset").eq(lit(asset.as_str())).and(within))?;
        decode::all(&capped(parts.sort(oldest_first("to_time"))?, MAX_ROWS).await?, |row| row.parts())
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself holds for one lifetime of a row only")]
    pub(crate) async fn states_of(&self, assets: &[AssetPath], range: TimeRange) -> Result<Vec<StateChange>, LakeError> {
        let since = range.from.plus_micros(-LATELY_US);
        let seen = one_of(assets).and(from(since, "event_time")).and(col("event_time").lt(time(range.to)));
        let seen = table(&self.read_session()?, Table::StateChanges).await?.filter(seen)?.sort(oldest_first("event_time"))?;
        let mut seen = decode::all(&capped(seen, MAX_ROWS).await?, |row| row.state())?;
        let within = seen.split_off(seen.partition_point(|state| state.event_time < range.from));
        let mut stood: BTreeMap<AssetPath, StateChange> = seen.into_iter().map(|state| (state.asset.clone(), state)).collect();
        for asset in assets.iter().filter(|asset| !stood.contains_key(*asset)).cloned().collect::<Vec<_>>() {
            let before = self.states(&asset, TimeRange { from: range.from, to: range.from }).await?;
            stood.extend(before.into_iter().map(|state| (asset.clone(), state)));
        }
        Ok(stood.into_values().chain(within).collect())
    }

    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself holds for one lifetime of a row only")]
    pub(crate) async fn parts_by_minute(&self, assets: &[AssetPath], range: TimeRange) -> Result<Vec<PartCount>, LakeError> {
        let within = one_of(assets).and(col("to_time").gt(time(range.from))).and(col("to_time").lt_eq(time(range.to)));
        let counts = table(&self.read_session()?, Table::PartCounts).await?.filter(within)?;
        let micros = |column: &str| cast(col(column), DataType::Int64);
        let (first, last) = (micros("from_time") / lit(MINUTE_US), (micros("to_time") - lit(1_i64)) / lit(MINUTE_US));
        // What crosses the edge of a minute stays as it is.
        let own = |column: &str| when(first.clone().eq(last.clone()), lit(0_i64)).otherwise(micros(column));
        let minutes = counts.aggregate(
            vec![col("asset"), first.clone().alias("minute"), own("from_time")?.alias("own_from"), own("to_time")?.alias("own_to")],
            vec![
                min(col("from_time")).alias("from_time"),
                max(col("to_time")).alias("to_time"),
                sum(col("produced")).alias("produced"),
                sum(col("rejected")).alias("rejected"),
                sum(col("reworked")).alias("reworked"),
                min(col("time_quality")).alias("time_quality"),
            ],
        )?;
        let order = vec![col("to_time").sort(true, true), col("asset").sort(true, true), col("from_time").sort(true, true)];
        decode::all(&capped(minutes.sort(order)?, MAX_ROWS).await?, |row| row.parts())
    }

    pub(crate) async fn anomalies(&self, filter: &AnomalyFilter) -> Result<Vec<Sourced<Anomaly>>, LakeError> {
        let mut wanted = from(filter.range.from, "event_time").and(col("event_time").lt(time(filter.range.to)));
        if let Some(asset) = &filter.asset {
            wanted = wanted.and(col("asset").eq(lit(asset.as_str())));
        }
        if let Some(signal) = &filter.signal {
            wanted = wanted.and(col("signal").eq(lit(signal.as_str())));
        }
        let found = table(&self.read_session()?, Table::Anomalies).await?.filter(wanted)?.sort(newest_first("event_time"))?;
        decode::all(&found.limit(0, Some(filter.limit.min(MAX_ROWS)))?.collect().await?, |row| row.sourced(decode::Row::anomaly))
    }

    pub(crate) async fn losses(&self, filter: &LossFilter) -> Result<Vec<Sourced<Loss>>, LakeError> {
        let mut wanted = from(filter.range.from, "to_time").and(col("from_time").lt(time(filter.range.to)));
        if let Some(gateway) = &filter.gateway {
            wanted = wanted.and(col("gateway").eq(lit(gateway.as_str())));
        }
        if let Some(asset) = &filter.asset {
            wanted = wanted.and(col("asset").eq(lit(asset.as_str())));
        }
        let found = table(&self.read_session()?, Table::Losses).await?.filter(wanted)?.sort(newest_first("to_time"))?;
        decode::all(&found.limit(0, Some(filter.limit.min(MAX_ROWS)))?.collect().await?, |row| row.sourced(decode::Row::loss))
    }

    pub(crate) async fn windows(
        &self,
        asset: &AssetPath,
        signal: &SignalName,
        range: TimeRange,
        most: usize,
    ) -> Result<SignalWindows, LakeError> {
        let wanted = (col("asset").eq(lit(asset.as_str())))
            .and(col("signal").eq(lit(signal.as_str())))
            .and(col("window_end").gt(time(range.from)))
            .and(col("window_start").lt(time(range.to)));
        let columns = ["unit", "window_start", "window_end", "count", "min", "max", "mean", "stddev", "last", "quality", "correction"];
        let found = table(&self.read_session()?, Table::WindowSummaries).await?.filter(wanted)?.sort(oldest_first("window_end"))?;
        let rows = capped(found.select_columns(&columns)?, most).await?;
        let windows = std::cell::RefCell::new(SignalWindows::default());
        decode::all(&rows, |row| {
            let mut windows = windows.borrow_mut();
            if row.text("quality")? == protocol::Quality::Bad.as_str() {
                windows.bad += 1;
                return Ok(());
            }
            let text = row.text("unit")?;
            let unit = windows.units.iter().position(|known| known == text).unwrap_or_else(|| {
                windows.units.push(text.to_owned());
                windows.units.len() - 1
            });
            windows.points.push(WindowPoint {
                start: row.time("window_start")?,
                end: row.time("window_end")?,
                count: row.count("count")?,
                min: row.float("min")?,
                max: row.float("max")?,
                mean: row.float("mean")?,
                stddev: row.float("stddev")?,
                last: row.float("last")?,
                correction: row.flag("correction")?,
                unit,
            });
            Ok(())
        })?;
        Ok(windows.into_inner())
    }

    pub(crate) async fn units(&self, asset: &AssetPath, range: TimeRange) -> Result<Vec<(SignalName, String)>, LakeError> {
        let wanted =
            (col("asset").eq(lit(asset.as_str()))).and(from(range.from, "window_start")).and(col("window_start").lt(time(range.to)));
        let found = table(&self.read_session()?, Table::WindowSummaries).await?.filter(wanted)?.select_columns(&["signal", "unit"])?;
        let found = found.distinct()?.sort(vec![col("signal").sort(true, true), col("unit").sort(true, true)])?;
        decode::all(&capped(found, MAX_ROWS).await?, |row| Ok((row.signal()?, row.text("unit")?.to_owned())))
    }

    pub(crate) async fn last_windows(
        &self,
        asset: &AssetPath,
        range: TimeRange,
        step: Duration,
        most: usize,
    ) -> Result<Vec<Sourced<WindowSummary>>, LakeError> {
        let step = i64::try_from(step.as_micros()).ok().filter(|step| *step > 0);
        let step = step.ok_or(LakeError::InvalidRange { reason: "the step is zero or too long" })?;
        if range.from >= range.to {
            return Err(LakeError::InvalidRange { reason: "the period ends before it begins" });
        }
        let session = self.read_session()?;
        let wanted = (col("asset").eq(lit(asset.as_str())))
            .and(col("window_end").gt(time(range.from)))
            .and(col("window_end").lt_eq(time(range.to)))
            .and(col("correction").eq(lit(false)));
        let of_asset = table(&session, Table::WindowSummaries).await?.filter(wanted)?;
        let bucket = (cast(col("window_end"), DataType::Int64) - lit(range.from.as_micros() + 1)) / lit(step);
        let last = of_asset
            .clone()
            .aggregate(vec![col("signal").alias("s"), bucket.alias("bucket")], vec![max(col("window_end")).alias("at")])?
            .select_columns(&["s", "at"])?;
        let joined = of_asset.join(last, JoinType::Inner, &["signal", "window_end"], &["s", "at"], None)?;
        let mut order = oldest_first("window_end");
        order.insert(1, col("signal").sort(true, true));
        let rows = decode::all(&capped(joined.sort(order)?, most).await?, |row| row.sourced(decode::Row::window))?;
        // Of several rows of one window the last that came counts.
        let same =
            |a: &Sourced<WindowSummary>, b: &Sourced<WindowSummary>| (&a.record.signal, a.record.end) == (&b.record.signal, b.record.end);
        Ok(rows.chunk_by(same).filter_map(|rows| rows.last().cloned()).collect())
    }

    pub(crate) async fn series(
        &self,
        asset: &AssetPath,
        signal: &SignalName,
        range: TimeRange,
        step: Duration,
    ) -> Result<Vec<SeriesPoint>, LakeError> {
        let step = i64::try_from(step.as_micros())
            .ok()
            .filter(|step| *step > 0)
            .ok_or(LakeError::InvalidRange { reason: "the step is zero or too long" })?;
        let length = range.to.micros_since(range.from);
        if length <= 0 {
            return Err(LakeError::InvalidRange { reason: "the period ends before it begins" });
        }
        if length / step >= MAX_STEPS {
            return Err(LakeError::InvalidRange { reason: "too many steps; ask for a longer step or a shorter period" });
        }
        let wanted = (col("asset").eq(lit(asset.as_str())))
            .and(col("signal").eq(lit(signal.as_str())))
            .and(from(range.from, "window_start"))
            .and(col("window_start").lt(time(range.to)));
        let bucket = (cast(col("window_start"), DataType::Int64) - lit(range.from.as_micros())) / lit(step);
        let weight = cast(col("count"), DataType::Float64);
        let steps = table(&self.read_session()?, Table::WindowSummaries).await?.filter(wanted)?.aggregate(
            vec![bucket.alias("bucket")],
            vec![
                sum(col("count")).alias("readings"),
                min(col("min")).alias("lowest"),
                max(col("max")).alias("highest"),
                sum(col("mean") * weight).alias("total"),
            ],
        )?;
        let steps = steps.sort(vec![col("bucket").sort(true, true)])?.collect().await?;
        decode::all(&steps, |row| {
            let count = row.count("readings")?;
            Ok(SeriesPoint {
                at: range.from.plus_micros(row.int("bucket")? * step),
                count,
                min: row.float("lowest")?,
                max: row.float("highest")?,
                mean: row.float("total")? / count as f64,
            })
        })
    }
}

pub(crate) async fn table(session: &SessionContext, table: Table) -> Result<DataFrame, LakeError> {
    Ok(session.table(table.name()).await?)
}

/// All rows, or an error if they are too many to hold.
async fn capped(rows: DataFrame, most: usize) -> Result<Vec<RecordBatch>, LakeError> {
    let batches = rows.limit(0, Some(most + 1))?.collect().await?;
    match batches.iter().map(RecordBatch::num_rows).sum::<usize>() > most {
        true => Err(LakeError::TooManyRows { max: most }),
        false => Ok(batches),
    }
}

pub(crate) fn time(at: Timestamp) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(at.as_micros()), Some("UTC".into())))
}

fn one_of(assets: &[AssetPath]) -> Expr {
    col("asset").in_list(assets.iter().map(|asset| lit(asset.as_str())).collect(), false)
}

fn from(at: Timestamp, column: &str) -> Expr {
    col(column).gt_eq(time(at))
}

/// Rows of the same moment in the order in which they came.
fn oldest_first(column: &str) -> Vec<SortExpr> {
    [column, "ingested_at", "seq"].map(|column| col(column).sort(true, true)).into()
}

fn newest_first(column: &str) -> Vec<SortExpr> {
    [column, "ingested_at", "seq"].map(|column| col(column).sort(false, false)).into()
}
