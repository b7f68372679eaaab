//! The collector's account of a run, asked for in SQL and as OEE, while it still runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    books::{self, Stored},
    rest::{Rest, encode},
};

/// Losses that name no machine, as far as they could be counted.
pub fn unattributed(rest: &Rest) -> Result<u64> {
    number(&rest.sql("SELECT COALESCE(SUM(\"count\"), 0) FROM losses WHERE asset IS NULL")?, 0, 0)
}

/// What the collector holds for each machine of the plant.
pub fn account(rest: &Rest, truth: &[books::Truth]) -> Result<BTreeMap<String, Stored>> {
    let mut all: BTreeMap<String, Stored> = BTreeMap::new();
    for row in rest.sql("SELECT asset, SUM(\"count\") FROM window_summaries GROUP BY asset")? {
        all.entry(text(&row[0])?).or_default().readings = whole(&row[1])?;
    }
    // The same window of the same signal in the same spool entry can be stored once only.
    let twice = "SELECT asset, SUM(n * (times - 1)) FROM (SELECT asset, SUM(\"count\") / COUNT(*) AS n, COUNT(*) AS times FROM window_summaries \
                 GROUP BY gateway, stream, seq, asset, signal, window_start, correction HAVING COUNT(*) > 1) GROUP BY asset";
    for row in rest.sql(twice)? {
        all.entry(text(&row[0])?).or_default().duplicates = whole(&row[1])?;
    }
    for row in rest.sql("SELECT asset, SUM(\"count\") FROM losses WHERE asset IS NOT NULL GROUP BY asset")? {
        all.entry(text(&row[0])?).or_default().lost = whole(&row[1])?;
    }
    for row in rest.sql("SELECT asset, SUM(produced), SUM(rejected) FROM part_counts GROUP BY asset")? {
        let held = all.entry(text(&row[0])?).or_default();
        (held.produced, held.rejected) = (whole(&row[1])?, whole(&row[2])?);
    }
    for machine in truth {
        let path = format!("/api/v1/oee?asset={}&from={}&to={}", encode(&machine.asset), encode(&machine.from), encode(&machine.to));
        let oee = &rest.get(&path)?["total"];
        let held = all.entry(machine.asset.clone()).or_default();
        held.oee = oee["oee"].as_f64();
        held.oee_produced = whole(&oee["counts"]["produced"])?;
        held.oee_rejected = whole(&oee["counts"]["rejected"])?;
    }
    Ok(all)
}

pub fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("expected a text, got {value}"))
}

pub fn whole(value: &Value) -> Result<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0).map(|f| f as u64))
        .with_context(|| format!("expected a count, got {value}"))
}

fn number(rows: &[Vec<Value>], row: usize, column: usize) -> Result<u64> {
    let Some(value) = rows.get(row).and_then(|r| r.get(column)) else { bail!("the answer has no row {row}") };
    whole(value)
}
