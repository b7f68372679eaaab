//! What the lake knows of machines in one period, ready to be reckoned.
//!
//! Stands between the lake and every answer about OEE. Invariant: states and counts around the period are read, too, so that a stop or a count at its
//! edge is judged as it is in the periods beside it. What is over and was asked before comes from [`crate::twin::Tallies`], and is the same.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use kpi::oee::{MachineRecord, Oee, PartInterval, Prepared, Rules, StatePoint, Tally};
use lake::LakeError;
use protocol::{AssetPath, PartCount, StateChange, TimeRange, Timestamp};

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
/// The same where the records themselves are held, not their sums.
const MAX_WHOLE_MACHINE_DAYS: i64 = 750;
/// Machines whose rows are read by one question to the lake.
const TOGETHER: usize = 5;
/// Such questions at a time.
const AT_A_TIME: usize = 2;
/// In a longer period counts of one minute are read as one, as the twin holds them; a fast machine tells more of them than can be held.
const EXACT_US: i64 = 2 * DAY_US;
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
    pub(crate) async fn read(app: &App, asset: AssetPath, asked: &Asked, now: Timestamp) -> Result<Self, Problem> {
        let read = Self::read_several(app, vec![asset], asked, now).await?;
        read.into_iter().next().ok_or_else(Problem::internal)
    }

    /// In the order of `assets`.
    async fn read_several(app: &App, assets: Vec<AssetPath>, asked: &Asked, now: Timestamp) -> Result<Vec<Self>, Problem> {
        let tallies = app.twin.tallies();
        let kept = |asset: &AssetPath| asked.pieces.iter().map(|piece| tallies.get(asset, *piece)).collect::<Vec<_>>();
        let kept: Vec<Vec<_>> = assets.iter().map(kept).collect();
        let missing =
            || kept.iter().flat_map(|kept| asked.pieces.iter().zip(kept)).filter(|(_, kept)| kept.is_none()).map(|(piece, _)| *piece);
        let span = if asked.whole {
            Some(asked.range)
        } else {
            let (from, to) = (missing().map(|piece| piece.from).min(), missing().map(|piece| piece.to).max());
            from.zip(to).map(|(from, to)| TimeRange { from, to })
        };
        let Some(span) = span else {
            let all = assets.iter().zip(kept).map(|(asset, kept)| {
                let (known_until, ideal_cycle_s) = of_now(app, asset, now);
                Self { asset: asset.clone(), known_until, ideal_cycle_s, tallies: kept.into_iter().flatten().collect(), prepared: None }
            });
            return Ok(all.collect());
        };
        let wanted: Vec<_> = assets.iter().zip(&kept).filter(|(_, kept)| asked.whole || kept.iter().any(Option::is_none)).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(asset, _)| asset.clone()).collect();
        let readings: Vec<_> = assets.iter().map(|asset| tallies.reading(asset)).collect();
        // After that, so that rules which change from now on are seen to have changed.
        let reckoning = app.twin.reckoning();
        let rows = Rows::read(app, &wanted, span, now).await?;
        let mut all = Vec::with_capacity(assets.len());
        for ((asset, kept), reading) in assets.iter().zip(kept).zip(readings) {
            let (known_until, ideal_cycle_s) = of_now(app, asset, now);
            let asset = asset.clone();
            if !wanted.contains(&asset) {
                let tallies = kept.into_iter().flatten().collect();
                all.push(Self { asset, known_until, ideal_cycle_s, tallies, prepared: None });
                continue;
            }
            let record = record_of(app, &asset, span, now, &rows).await?;
            // Of what is missing now the rest will come.
            let complete_until = record.holes.iter().map(|hole| hole.from).fold(known_until, Ord::min);
            let missing: Vec<_> = asked.pieces.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(piece, _)| *piece).collect();
            let Reckoning { rules, catalogue } = reckoning.clone();
            // Thousands of rows are put in order.
            let reckoned = tokio::task::spawn_blocking(move || {
                let prepared = Prepared::new(record, catalogue, rules);
                let made: Vec<_> = missing.into_iter().map(|piece| (piece, Arc::new(prepared.tally(piece, known_until)))).collect();
                (prepared, made)
            });
            let (prepared, made) = reckoned.await.map_err(|_| Problem::internal())?;
            let mut fresh = made.iter().map(|(_, tally)| Arc::clone(tally));
            let of_pieces = kept.into_iter().map(|kept| kept.or_else(|| fresh.next()).unwrap_or_default()).collect();
            tallies.keep(&reading, made, complete_until, reckoning.margin_us());
            all.push(Self { asset, known_until, ideal_cycle_s, tallies: of_pieces, prepared: asked.whole.then_some(prepared) });
        }
        Ok(all)
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

/// Rows of several machines in one period, which were read together.
#[derive(Default)]
struct Rows {
    states: HashMap<(AssetPath, TimeRange), Vec<StateChange>>,
    parts: HashMap<(AssetPath, TimeRange), Vec<PartCount>>,
}

impl Rows {
    async fn read(app: &App, assets: &[AssetPath], range: TimeRange, now: Timestamp) -> Result<Self, Problem> {
        let mut rows = Self::default();
        let (around, counted) = (around(app, range, now), counted(range, now));
        // A machine that has or had another name is read by itself.
        let own = |asset: &&AssetPath| app.production.lineage(asset, around).as_slice() == [((*asset).clone(), around)];
        let assets: Vec<_> = assets.iter().filter(own).cloned().collect();
        if assets.len() > 1 {
            match app.lake.states_of(&assets, around).await {
                Ok(states) => {
                    rows.states = assets.iter().map(|asset| ((asset.clone(), around), Vec::new())).collect();
                    for state in states {
                        rows.states.entry((state.asset.clone(), around)).or_default().push(state);
                    }
                }
                // One by one, then.
                Err(LakeError::TooManyRows { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if is_long(counted) && !assets.is_empty() {
            match app.lake.parts_by_minute(&assets, counted).await {
                Ok(parts) => {
                    rows.parts = assets.iter().map(|asset| ((asset.clone(), counted), Vec::new())).collect();
                    for count in parts {
                        rows.parts.entry((count.asset.clone(), counted)).or_default().push(count);
                    }
                }
                Err(LakeError::TooManyRows { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rows)
    }

    async fn states(&self, app: &App, asset: &AssetPath, range: TimeRange) -> Result<Vec<StateChange>, Problem> {
        match self.states.get(&(asset.clone(), range)) {
            Some(states) => Ok(states.clone()),
            None => Ok(app.lake.states(asset, range).await?),
        }
    }

    async fn parts(&self, app: &App, asset: &AssetPath, range: TimeRange) -> Result<Vec<PartCount>, Problem> {
        match self.parts.get(&(asset.clone(), range)) {
            Some(parts) => Ok(parts.clone()),
            None if is_long(range) => Ok(app.lake.parts_by_minute(std::slice::from_ref(asset), range).await?),
            None => Ok(app.lake.parts(asset, range).await?),
        }
    }
}

fn is_long(range: TimeRange) -> bool {
    range.to.micros_since(range.from) > EXACT_US
}

/// So far states are read, by which a stop at an edge is judged.
fn around(app: &App, range: TimeRange, now: Timestamp) -> TimeRange {
    let margin = app.twin.reckoning().margin_us();
    TimeRange { from: range.from.plus_micros(-margin), to: range.to.plus_micros(margin).min(now) }
}

/// So far counts are read.
fn counted(range: TimeRange, now: Timestamp) -> TimeRange {
    TimeRange { from: range.from, to: range.to.plus_micros(COUNT_MARGIN_US).min(now) }
}

/// Up to when the machine is known, and its ideal cycle.
fn of_now(app: &App, asset: &AssetPath, now: Timestamp) -> (Timestamp, Option<f64>) {
    (app.twin.known_until(asset, now), app.twin.ideal_cycle_s(asset))
}

/// What is known of the machine in `range`, and around it as far as it matters.
async fn record_of(app: &App, asset: &AssetPath, range: TimeRange, now: Timestamp, rows: &Rows) -> Result<MachineRecord, Problem> {
    let mut record = states_in(app, asset, range, now, rows).await?;
    let counted = counted(range, now);
    record.holes = app.twin.holes(asset);
    for (path, part) in app.production.lineage(asset, counted) {
        let counts = rows.parts(app, &path, part).await?;
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
        let most = if asked.whole { MAX_WHOLE_MACHINE_DAYS } else { MAX_MACHINE_DAYS };
        if days.saturating_mul(i64::try_from(paths.len()).unwrap_or(i64::MAX)) > most {
            return Err(wrong("from", format!("makes more than {most} days of machines: ask for a shorter period or for a line")));
        }
        let reckoning = app.twin.reckoning();
        let groups: Vec<Vec<AssetPath>> = paths.chunks(TOGETHER).map(<[AssetPath]>::to_vec).collect();
        let groups = stream::iter(groups).map(|group| History::read_several(app, group, &asked, now));
        let machines = groups.buffered(AT_A_TIME).try_concat().await?;
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

/// Counts of a machine under all its names in that time; in a long one those of one minute are one.
pub(super) async fn parts_in(app: &App, asset: &AssetPath, range: TimeRange) -> Result<Vec<PartCount>, Problem> {
    let mut all = Vec::new();
    for (path, part) in app.production.lineage(asset, range) {
        all.extend(Rows::default().parts(app, &path, part).await?);
    }
    Ok(all)
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
    states_in(app, asset, range, now, &Rows::default()).await
}

async fn states_in(app: &App, asset: &AssetPath, range: TimeRange, now: Timestamp, rows: &Rows) -> Result<MachineRecord, Problem> {
    let around = around(app, range, now);
    let mut states: Vec<StatePoint> = Vec::new();
    for (path, part) in app.production.lineage(asset, around) {
        let found = rows.states(app, &path, part).await?;
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
