//! The twin after a start: what the lake knows of it.
//!
//! Runs once, after the journal has been replayed into the lake's hot rows and before the first batch is taken in, so that each row is seen once.

use std::collections::BTreeSet;

use kpi::{calendar::Shift, oee::PartInterval};
use lake::{Lake, LakeError, Latest};
use protocol::{PartCount, StateChange, TimeRange, Timestamp};

use super::{Inner, Twin};
use crate::production::Relations;

/// Machines whose rows are read by one question.
const TOGETHER: usize = 20;
/// A clock that is ahead tells of times to come.
const AHEAD_US: i64 = 86_400_000_000;

impl Twin {
    /// Takes in the last of everything, and the running shift's states and counts. Call it when all replayed rows have been pushed into the lake
    /// (and do not `apply` those).
    ///
    /// # Errors
    /// [`LakeError`]; the twin then knows only what comes from now on.
    pub async fn rebuild(&self, lake: &Lake, now: Timestamp) -> Result<(), LakeError> {
        let latest = lake.latest().await?;
        let shift = self.calendar.shift_at(now);
        let so_far = match &shift {
            Some(shift) => Some(so_far(lake, &latest, shift, self.reckoning().margin_us(), now).await?),
            None => None,
        };
        let mut inner = self.inner.lock();
        inner.roll_shift(&self.calendar, now);
        inner.restore(latest);
        if let Some((states, counts)) = so_far {
            inner.restore_shift(&states, &counts);
        }
        drop(inner);
        // Machines with another name go on from what they did under the one before.
        self.production.read(Relations::renames).iter().for_each(|rename| self.renamed(rename));
        Ok(())
    }
}

/// States and counts of the running shift, in groups of machines: one question a machine would make the start as slow as the plant is large, and one for
/// all would be cut. The last state of a machine that has not changed since is known already.
async fn so_far(
    lake: &Lake,
    latest: &Latest,
    shift: &Shift,
    margin_us: i64,
    now: Timestamp,
) -> Result<(Vec<StateChange>, Vec<PartCount>), LakeError> {
    let range = TimeRange { from: shift.range.from, to: now.plus_micros(AHEAD_US) };
    let around = TimeRange { from: range.from.plus_micros(-margin_us), ..range };
    let changed = latest.states.iter().filter(|row| row.record.event_time >= around.from).map(|row| row.record.asset.clone());
    let counted = latest.parts.iter().filter(|row| row.record.to > range.from).map(|row| row.record.asset.clone());
    let (changed, counted): (BTreeSet<_>, BTreeSet<_>) = (changed.collect(), counted.collect());
    let (mut states, mut counts) = (Vec::new(), Vec::new());
    for group in changed.into_iter().collect::<Vec<_>>().chunks(TOGETHER) {
        states.extend(lake.states_of(group, around).await?);
    }
    for group in counted.into_iter().collect::<Vec<_>>().chunks(TOGETHER) {
        // Of one minute they are added up, as the twin adds them.
        counts.extend(lake.parts_by_minute(group, range).await?);
    }
    Ok((states, counts))
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

    fn restore_shift(&mut self, states: &[StateChange], counts: &[PartCount]) {
        let keep_from = self.keep_from();
        for change in states {
            if let Some(machine) = self.machines.get_mut(&change.asset) {
                machine.state(change, keep_from);
            }
        }
        for count in counts {
            if let Some(machine) = self.machines.get_mut(&count.asset) {
                machine.count(PartInterval::from(count));
            }
        }
    }
}
