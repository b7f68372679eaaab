//! What the lake knows of machines in one period, ready to be reckoned.
//!
//! Stands between the lake and every answer about OEE. Invariant: states and counts around the period are read, too, so that a stop or a count at its
//! edge is judged as it is in the periods beside it.

use futures::{StreamExt, TryStreamExt, stream};
use kpi::oee::{MachineRecord, Oee, PartInterval, Prepared, StatePoint, Tally};
use protocol::{AssetPath, TimeRange, Timestamp};

use super::{
    assets,
    problem::{Problem, ProblemField},
};
use crate::{app::App, twin::Reckoning};

pub(super) const DAY_US: i64 = 86_400_000_000;
/// Of one question.
pub(super) const MAX_PERIOD_US: i64 = 62 * DAY_US;
/// Machines times days of one question.
const MAX_MACHINE_DAYS: i64 = 6_200;
/// Machines that are read at a time.
const AT_A_TIME: usize = 4;
/// Counts are read so far beyond the period: of one that crosses its end a share lies within.
const COUNT_MARGIN_US: i64 = 3_600_000_000;

/// One machine, or all machines of a site, an area or a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Machine(AssetPath),
    /// One to three names.
    Below(String),
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split('/').count();
        if names >= 4 {
            return AssetPath::new(text).map(Self::Machine).map_err(|e| e.to_string());
        }
        // A prefix is right if the path that it begins is.
        AssetPath::new(&format!("{text}{}", "/x".repeat(4 - names))).map(|_| Self::Below(text.to_owned())).map_err(|e| e.to_string())
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Machine(path) => path.fmt(f),
            Self::Below(prefix) => prefix.fmt(f),
        }
    }
}

/// One machine in one period.
pub(super) struct History {
    pub(super) asset: AssetPath,
    pub(super) known_until: Timestamp,
    pub(super) prepared: Prepared,
}

impl History {
    async fn read(app: &App, asset: AssetPath, range: TimeRange, now: Timestamp, reckoning: Reckoning) -> Result<Self, Problem> {
        let mut record = states_around(app, &asset, range, now).await?;
        let counted = TimeRange { from: range.from, to: range.to.plus_micros(COUNT_MARGIN_US).min(now) };
        record.parts = app.lake.parts(&asset, counted).await?.iter().map(PartInterval::from).collect();
        record.ideal_cycle_s = app.twin.ideal_cycle_s(&asset);
        let record = record.with_plan(app.twin.calendar().plan(range));
        let known_until = app.twin.known_until(&asset, now);
        // Thousands of rows are put in order.
        let prepared = tokio::task::spawn_blocking(move || Prepared::new(record, reckoning.catalogue, reckoning.rules)).await;
        Ok(Self { asset, known_until, prepared: prepared.map_err(|_| Problem::internal())? })
    }

    pub(super) fn tally(&self, part: TimeRange) -> Tally {
        self.prepared.tally(part, self.known_until)
    }
}

/// All machines of a scope in one period.
pub(super) struct Histories {
    /// As asked, but not after now.
    pub(super) range: TimeRange,
    pub(super) reckoning: Reckoning,
    /// At least one, in order of their paths.
    pub(super) machines: Vec<History>,
}

impl Histories {
    pub(super) async fn read(app: &App, scope: &Scope, asked: TimeRange, now: Timestamp) -> Result<Self, Problem> {
        let paths = match scope {
            Scope::Machine(asset) if app.twin.knows(asset) => vec![asset.clone()],
            Scope::Machine(asset) => return Err(assets::unknown(asset)),
            Scope::Below(prefix) => app.twin.paths_below(prefix),
        };
        if paths.is_empty() {
            return Err(Problem::not_found(format!("no machine is known below {scope}")));
        }
        let range = passed(asked, now)?;
        let days = range.to.micros_since(range.from) / DAY_US + 1;
        if days.saturating_mul(i64::try_from(paths.len()).unwrap_or(i64::MAX)) > MAX_MACHINE_DAYS {
            return Err(wrong(
                "from",
                format!("makes more than {MAX_MACHINE_DAYS} days of machines: ask for a shorter period or for a line"),
            ));
        }
        let reckoning = app.twin.reckoning();
        let machines = stream::iter(paths).map(|asset| History::read(app, asset, range, now, reckoning.clone()));
        let machines = machines.buffered(AT_A_TIME).try_collect().await?;
        Ok(Self { range, reckoning, machines })
    }

    pub(super) fn tally(&self, part: TimeRange) -> Tally {
        let tallies: Vec<_> = self.machines.iter().map(|machine| machine.tally(part)).collect();
        tallies.iter().sum()
    }

    /// Of the machine, if it is one.
    pub(super) fn ideal_cycle_s(&self) -> Option<f64> {
        if let [machine] = self.machines.as_slice() { machine.prepared.ideal_cycle_s() } else { None }
    }

    pub(super) fn oee(&self, tally: &Tally) -> Oee {
        tally.oee(&self.reckoning.rules, self.ideal_cycle_s())
    }
}

/// What of a period has passed.
pub(super) fn passed(asked: TimeRange, now: Timestamp) -> Result<TimeRange, Problem> {
    if asked.from >= now {
        return Err(wrong("from", "lies in the future"));
    }
    Ok(TimeRange { from: asked.from, to: asked.to.min(now) })
}

/// The states of a period, and those around it by which a stop at its edge is judged.
pub(super) async fn states_around(app: &App, asset: &AssetPath, range: TimeRange, now: Timestamp) -> Result<MachineRecord, Problem> {
    let margin = app.twin.reckoning().margin_us();
    let around = TimeRange { from: range.from.plus_micros(-margin), to: range.to.plus_micros(margin).min(now) };
    let states = app.lake.states(asset, around).await?.iter().map(StatePoint::from).collect();
    Ok(MachineRecord { states, ..MachineRecord::default() })
}

pub(super) fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![ProblemField { field: field.into(), detail: detail.into() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_machine_and_its_beginnings_are_what_lies_above() {
        assert_eq!("a/b/c/d".parse::<Scope>().unwrap().to_string(), "a/b/c/d");
        for prefix in ["a", "a/b", "a/b/c"] {
            assert_eq!(prefix.parse(), Ok(Scope::Below(prefix.to_owned())));
        }
        for wrong in ["", "a/", "/a", "a//c", "a/b/c/d/e"] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }
}
