//! The twin after a start: what the lake knows of it.
//!
//! Runs once, after the journal has been replayed into the lake's hot rows and before the first batch is taken in, so that each row is seen once.

use kpi::{
    calendar::Shift,
    oee::{PartInterval, PartTally},
};
use lake::{Lake, LakeError, Latest, QueryResult};
use protocol::{AssetPath, MachineState, StateChange, TimeQuality, Timestamp};
use serde_json::Value;

use super::{Inner, Twin};
use crate::production::Relations;

impl Twin {
    /// Takes in the last of everything, and the running shift's states and counts. Call it when all replayed rows have been pushed into the lake
    /// (and do not `apply` those).
    ///
    /// # Errors
    /// [`LakeError`]; the twin then knows only what comes from now on.
    pub async fn rebuild(&self, lake: &Lake, now: Timestamp) -> Result<(), LakeError> {
        let latest = lake.latest().await?;
        let shift = self.calendar.shift_at(now);
        let history = match &shift {
            Some(shift) => {
                let margin = self.reckoning().margin_us();
                Some((lake.sql(&states_since(shift, margin)).await?, lake.sql(&parts_since(shift)).await?))
            }
            None => None,
        };
        let mut inner = self.inner.lock();
        inner.roll_shift(&self.calendar, now);
        inner.restore(latest);
        if let Some((states, parts)) = history {
            inner.restore_shift(&states, &parts);
        }
        drop(inner);
        // Machines with another name go on from what they did under the one before.
        self.production.read(Relations::renames).iter().for_each(|rename| self.renamed(rename));
        Ok(())
    }
}

// One statement for the whole plant: a question per machine would make the start as slow as the plant is large.
fn states_since(shift: &Shift, margin_us: i64) -> String {
    let from = shift.range.from.as_micros() - margin_us;
    format!(
        "SELECT asset, CAST(event_time AS BIGINT) AS at, state, reason FROM state_changes WHERE CAST(event_time AS BIGINT) >= {from} \
         UNION ALL (SELECT asset, at, state, reason FROM (SELECT asset, CAST(event_time AS BIGINT) AS at, state, reason, \
         row_number() OVER (PARTITION BY asset ORDER BY event_time DESC) AS n FROM state_changes WHERE CAST(event_time AS BIGINT) < {from}) \
         WHERE n = 1) ORDER BY at"
    )
}

// Counts of one minute are added up, as the twin adds them: no edge of a shift or of a break lies within a minute.
fn parts_since(shift: &Shift) -> String {
    let from = shift.range.from.as_micros();
    format!(
        "SELECT asset, min(f) AS from_us, max(t) AS to_us, sum(produced) AS produced, sum(rejected) AS rejected, sum(reworked) AS reworked \
         FROM (SELECT asset, CAST(from_time AS BIGINT) AS f, CAST(to_time AS BIGINT) AS t, produced, rejected, reworked FROM part_counts) \
         WHERE t > {from} GROUP BY asset, f / 60000000, (t - 1) / 60000000, \
         CASE WHEN f / 60000000 = (t - 1) / 60000000 THEN 0 ELSE f END, CASE WHEN f / 60000000 = (t - 1) / 60000000 THEN 0 ELSE t END \
         ORDER BY to_us"
    )
}

impl Inner {
    fn restore(&mut self, latest: Latest) {
        let keep_from = self.keep_from();
        for row in &latest.summaries {
            if let Some(machine) = self.machine(&row.record.asset, &row.gateway) {
                machine.summary(&row.record);
            }
        }
        for row in &latest.states {
            if let Some(machine) = self.machine(&row.record.asset, &row.gateway) {
                machine.state(&row.record, keep_from);
            }
        }
        for row in &latest.parts {
            // Counted with the shift; here it only shows how new the data are.
            if let Some(machine) = self.machine(&row.record.asset, &row.gateway) {
                machine.saw(row.record.to);
            }
        }
        for row in &latest.anomalies {
            if let Some(machine) = self.machine(&row.record.asset, &row.gateway) {
                machine.anomaly(&row.record);
            }
        }
        for total in latest.gateways {
            let gateway = self.gateway(&total.gateway);
            gateway.readings_stored = total.readings;
            gateway.last_seen = gateway.last_seen.max(Some(total.last_ingested_at));
        }
        for loss in latest.losses {
            self.gateway(&loss.gateway).losses.insert(loss.reason, loss.count);
        }
    }

    fn restore_shift(&mut self, states: &QueryResult, parts: &QueryResult) {
        if states.truncated || parts.truncated {
            tracing::warn!("the shift so far has more rows than a query may give; its OEE starts incomplete");
        }
        let keep_from = self.keep_from();
        for row in &states.rows {
            let Some((asset, change)) = state_of(row) else { continue };
            if let Some(machine) = self.machines.get_mut(&asset) {
                machine.state(&change, keep_from);
            }
        }
        for row in &parts.rows {
            let Some((asset, count)) = parts_of(row) else { continue };
            if let Some(machine) = self.machines.get_mut(&asset) {
                machine.count(count);
            }
        }
    }
}

fn state_of(row: &[Value]) -> Option<(AssetPath, StateChange)> {
    let [asset, at, state, reason] = row else { return None };
    let asset = AssetPath::new(asset.as_str()?).ok()?;
    let change = StateChange {
        asset: asset.clone(),
        event_time: Timestamp(at.as_i64()?),
        state: MachineState::from_name(state.as_str()?)?,
        reason: reason.as_str().unwrap_or_default().to_owned(),
        time_quality: TimeQuality::default(),
    };
    Some((asset, change))
}

fn parts_of(row: &[Value]) -> Option<(AssetPath, PartInterval)> {
    let [asset, from, to, produced, rejected, reworked] = row else { return None };
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let parts = PartTally { produced: count(produced), rejected: count(rejected), reworked: count(reworked), ..PartTally::default() };
    let count = PartInterval { from: Timestamp(from.as_i64()?), to: Timestamp(to.as_i64()?), parts };
    Some((AssetPath::new(asset.as_str()?).ok()?, count))
}
