//! What the lake knows of machines in one period, ready to be reckoned.
//!
//! Stands between the lake and every answer about OEE. Invariant: states and counts around the period are read, too, so that a stop or a count at its
//! edge is judged as it is in the periods beside it. What is over and was asked before comes from [`crate::twin::Tallies`], and is the same.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use kpi::oee::{MachineRecord, Oee, PartInterval, Prepared, Rules, StatePoint, Tally};
use protocol::{AssetPath, TimeRange, Timestamp};

use super::{
    assets,
    problem::{Problem, ProblemField},
};
use crate::{
    app::App,
    production::Relations,
    twin::{Reckoning, backlog},
};

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

/// How a period is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// What of it has passed, see [`passed`].
    pub(super) range: TimeRange,
    /// Without gaps, in order: each machine has a tally of each.
    pub(super) pieces: Vec<TimeRange>,
    /// The record itself is wanted, not sums alone.
    pub(super) whole: bool,
}

impl Asked {
    /// Sums alone. They are of days, so that the next question about one of these days is answered from memory.
    pub(super) fn sums(app: &App, range: TimeRange) -> Self {
        Self { range, pieces: app.twin.calendar().days(range), whole: false }
    }

    pub(crate) fn whole(range: TimeRange) -> Self {
        Self { range, pieces: vec![range], whole: true }
    }
}

/// One machine in one period.
pub(crate) struct History {
    pub(super) asset: AssetPath,
    pub(super) known_until: Timestamp,
    pub(super) ideal_cycle_s: Option<f64>,
    /// Of each piece that was asked for.
    pub(super) tallies: Vec<Arc<Tally>>,
    /// There if the whole was asked for.
    pub(super) prepared: Option<Prepared>,
}

impl History {
    pub(crate) async fn read(app: &App, asset: AssetPath, asked: &Asked, now: Timestamp, reckoning: Reckoning) -> Result<Self, Problem> {
        let known_until = app.twin.known_until(&asset, now);
        let ideal_cycle_s = app.twin.ideal_cycle_s(&asset);
        let kept: Vec<_> = asked.pieces.iter().map(|piece| app.twin.tallies().get(&asset, *piece)).collect();
        let missing = || asked.pieces.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(piece, _)| *piece);
        let span = match (missing().next(), missing().next_back()) {
            _ if asked.whole => Some(asked.range),
            (Some(first), Some(last)) => Some(TimeRange { from: first.from, to: last.to }),
            _ => None,
        };
        let Some(span) = span else {
            return Ok(Self { asset, known_until, ideal_cycle_s, tallies: kept.into_iter().flatten().collect(), prepared: None });
        };
        let reading = app.twin.tallies().reading(&asset);
        let margin_us = reckoning.margin_us();
        let record = record_of(app, &asset, span, now).await?;
        // Of what is missing now the rest will come.
        let complete_until = record.holes.iter().map(|hole| hole.from).fold(known_until, Ord::min);
        let missing: Vec<_> = missing().collect();
        // Thousands of rows are put in order.
        let reckoned = tokio::task::spawn_blocking(move || {
            let prepared = Prepared::new(record, reckoning.catalogue, reckoning.rules);
            let made: Vec<_> = missing.into_iter().map(|piece| (piece, Arc::new(prepared.tally(piece, known_until)))).collect();
            (prepared, made)
        });
        let (prepared, made) = reckoned.await.map_err(|_| Problem::internal())?;
        let mut fresh = made.iter().map(|(_, tally)| Arc::clone(tally));
        let tallies = kept.into_iter().map(|kept| kept.or_else(|| fresh.next()).unwrap_or_default()).collect();
        app.twin.tallies().keep(&reading, made, complete_until, margin_us);
        Ok(Self { asset, known_until, ideal_cycle_s, tallies, prepared: asked.whole.then_some(prepared) })
    }

    /// The sums of the whole period.
    pub(crate) fn total(&self) -> Tally {
        self.tallies.iter().map(Arc::as_ref).sum()
    }

    /// The key figures of the whole period.
    pub(crate) fn oee(&self, rules: &Rules) -> Oee {
        self.total().oee(rules, self.ideal_cycle_s)
    }
}

/// What is known of the machine in `range`, and around it as far as it matters.
async fn record_of(app: &App, asset: &AssetPath, range: TimeRange, now: Timestamp) -> Result<MachineRecord, Problem> {
    let mut record = states_around(app, asset, range, now).await?;
    let counted = TimeRange { from: range.from, to: range.to.plus_micros(COUNT_MARGIN_US).min(now) };
    record.holes = app.twin.holes(asset);
    for (path, part) in app.production.lineage(asset, counted) {
        let counts = app.lake.parts(&path, part).await?;
        record.parts.extend(backlog::outside(&record.holes, counts.iter().map(PartInterval::from)));
    }
    record.ideal_cycle_s = app.twin.ideal_cycle_s(asset);
    let mut record = record.with_plan(app.twin.calendar().plan(range));
    app.production.registered(asset, range).into_record(&mut record);
    Ok(record)
}

/// All machines of a scope in one period.
pub(super) struct Histories {
    pub(super) range: TimeRange,
    pub(super) pieces: Vec<TimeRange>,
    pub(super) reckoning: Reckoning,
    /// At least one, in order of their paths.
    pub(super) machines: Vec<History>,
}

impl Histories {
    pub(super) async fn read(app: &App, scope: &Scope, asked: Asked, now: Timestamp) -> Result<Self, Problem> {
        let paths = machines_of(app, scope)?;
        let days = asked.range.to.micros_since(asked.range.from) / DAY_US + 1;
        if days.saturating_mul(i64::try_from(paths.len()).unwrap_or(i64::MAX)) > MAX_MACHINE_DAYS {
            return Err(wrong(
                "from",
                format!("makes more than {MAX_MACHINE_DAYS} days of machines: ask for a shorter period or for a line"),
            ));
        }
        let reckoning = app.twin.reckoning();
        let machines = stream::iter(paths).map(|asset| History::read(app, asset, &asked, now, reckoning.clone()));
        let machines = machines.buffered(AT_A_TIME).try_collect().await?;
        Ok(Self { range: asked.range, pieces: asked.pieces, reckoning, machines })
    }

    /// The sums of all machines in the whole period.
    pub(super) fn total(&self) -> Tally {
        self.machines.iter().flat_map(|machine| &machine.tallies).map(Arc::as_ref).sum()
    }

    /// The sums of all machines in one piece.
    pub(super) fn piece(&self, index: usize) -> Tally {
        self.machines.iter().filter_map(|machine| machine.tallies.get(index)).map(Arc::as_ref).sum()
    }

    /// Of the machine, if it is one.
    pub(super) fn ideal_cycle_s(&self) -> Option<f64> {
        if let [machine] = self.machines.as_slice() { machine.ideal_cycle_s } else { None }
    }

    pub(super) fn oee(&self, tally: &Tally) -> Oee {
        tally.oee(&self.reckoning.rules, self.ideal_cycle_s())
    }
}

/// The machines of a scope, in order of their paths.
pub(super) fn machines_of(app: &App, scope: &Scope) -> Result<Vec<AssetPath>, Problem> {
    let paths = match scope {
        Scope::Machine(asset) if app.twin.knows(asset) => vec![asset.clone()],
        Scope::Machine(asset) => return Err(assets::unknown(asset)),
        Scope::Below(prefix) => counted_once(app, app.twin.paths_below(prefix)),
    };
    if paths.is_empty() {
        return Err(Problem::not_found(format!("no machine is known below {scope}")));
    }
    Ok(paths)
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
    let mut states: Vec<StatePoint> = Vec::new();
    for (path, part) in app.production.lineage(asset, around) {
        let found = app.lake.states(&path, part).await?;
        // What stood before a new name stands under the old one.
        let own = found.iter().filter(|change| part.from == around.from || change.event_time >= part.from);
        states.extend(own.map(StatePoint::from));
    }
    if states.first().is_none_or(|first| first.at > around.from) {
        states.splice(..0, stood_before_rename(app, asset, around.from).await?);
    }
    Ok(MachineRecord { states, ..MachineRecord::default() })
}

/// The last state under the name that a machine had before, if it got the one of `at` before then and has said nothing since.
async fn stood_before_rename(app: &App, asset: &AssetPath, at: Timestamp) -> Result<Option<StatePoint>, Problem> {
    let instant = TimeRange { from: at, to: at.plus_micros(1) };
    let Some((path, _)) = app.production.lineage(asset, instant).into_iter().next() else { return Ok(None) };
    let Some(rename) = app.production.read(|relations| relations.before(&path).cloned()) else { return Ok(None) };
    let until = TimeRange { from: rename.at.plus_micros(-1), to: rename.at };
    Ok(app.lake.states(&rename.from, until).await?.last().map(StatePoint::from))
}

/// A renamed machine is one: its old name is left out where its new one is there, too.
fn counted_once(app: &App, mut paths: Vec<AssetPath>) -> Vec<AssetPath> {
    let renames = app.production.read(Relations::renames);
    let gone: Vec<_> = renames.iter().filter(|rename| paths.binary_search(&rename.to).is_ok()).map(|rename| &rename.from).collect();
    paths.retain(|path| !gone.contains(&path));
    paths
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
