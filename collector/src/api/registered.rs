//! What every endpoint about registrations shares: finding them, pages of them, and what follows from a change.

use axum::Json;
use kpi::{calendar::clipped, oee::Why, utc::Utc};
use protocol::{AssetPath, TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    assets,
    cursor::Cursor,
    history::{DAY_US, Scope},
    params::Params,
    problem::{Problem, ProblemField},
};
use crate::{
    app::App,
    clock, metrics,
    production::{
        Changing, Entries, Entry, Relations, Said,
        restate::{self, Restated},
    },
};

/// Of one list.
pub(super) const MAX_LISTED_US: i64 = 400 * DAY_US;

/// A list's question: where, when, and which page.
pub(super) struct Listing {
    pub(super) scope: Scope,
    pub(super) range: TimeRange,
    pub(super) limit: usize,
    pub(super) skip: usize,
}

impl Listing {
    /// Reads `asset`, `from`, `to`, `limit` and `cursor`; without `to` it ends at `now`, without `from` it is `back_us` long.
    pub(super) fn read(mut params: Params, now: Timestamp, back_us: i64) -> Result<Self, Problem> {
        let listing = Self::parts(&mut params, now, back_us);
        params.finish((listing,)).map(|(listing,)| listing)
    }

    /// As [`Listing::read`], with more parameters to come.
    pub(super) fn parts(params: &mut Params, now: Timestamp, back_us: i64) -> Option<Self> {
        let scope = params.required("asset", super::params::parsed::<Scope>);
        let range = params.period(now, back_us, MAX_LISTED_US);
        let limit = params.limit(200, 1_000);
        let cursor = params.optional("cursor", Cursor::parse);
        let (scope, range, limit, cursor) = (scope?, range?, limit?, cursor?);
        let (to, skip) = cursor.map_or((range.to, 0), Cursor::parts);
        Some(Self { scope, range: TimeRange { to, ..range }, limit, skip })
    }

    /// The page of `all`, and where the next one begins.
    pub(super) fn page<T>(&self, mut all: Vec<T>) -> (Vec<T>, Option<String>) {
        all.drain(..self.skip.min(all.len()));
        let next = (all.len() > self.limit).then(|| Cursor::offset(self.range.to, self.skip + self.limit).text());
        all.truncate(self.limit);
        (all, next)
    }

    /// What was registered, the newest first.
    pub(super) fn find<T: Said>(&self, app: &App, pick: impl Fn(&Relations) -> &Entries<T>) -> Vec<Entry<T>> {
        let mut found = app.production.read(|relations| {
            let entries = pick(relations);
            let mut found: Vec<Entry<T>> = match &self.scope {
                Scope::Machine(asset) => {
                    let lineage = relations.lineage(asset, self.range);
                    lineage.iter().flat_map(|(path, part)| entries.over(path.as_str(), *part)).cloned().collect()
                }
                Scope::Below(prefix) => {
                    let here = |entry: &&Entry<T>| is_within(&entry.place, prefix) || is_within(prefix, &entry.place);
                    entries.all().filter(here).filter(|entry| clipped(entry.range, self.range).is_some()).cloned().collect()
                }
            };
            // One that reaches over a change of the name is found under both.
            found.sort_by(|a, b| (b.range.from, b.at, &b.id).cmp(&(a.range.from, a.at, &a.id)));
            found
        });
        found.dedup_by(|a, b| a.id == b.id);
        found
    }
}

/// Whether `place` is `scope` or lies below it.
pub(super) fn is_within(place: &str, scope: &str) -> bool {
    place.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A machine that is known, or 404.
pub(super) fn known(app: &App, asset: &str) -> Result<AssetPath, Problem> {
    let asset = AssetPath::new(asset).map_err(|e| super::history::wrong("asset", e.to_string()))?;
    if app.twin.knows(&asset) { Ok(asset) } else { Err(assets::unknown(&asset)) }
}

/// The machines of which the figures change with something at `scope`: also under the names that they got later.
pub(super) fn affected(app: &App, scope: &Scope) -> Vec<AssetPath> {
    let paths = match scope {
        Scope::Machine(asset) => vec![asset.clone()],
        Scope::Below(prefix) => app.twin.paths_below(prefix),
    };
    let mut names: Vec<_> = app.production.read(|relations| paths.iter().flat_map(|path| relations.with_later_names(path)).collect());
    names.sort_unstable();
    names.dedup();
    names
}

/// Something was registered or taken back: the running shift is reckoned anew, and what was stated is restated.
pub(super) async fn follow(app: &App, scope: &Scope, range: TimeRange, why: &Why, now: Timestamp) -> Result<Vec<Restated>, Problem> {
    let names = affected(app, scope);
    app.twin.reckon_anew(|path| names.binary_search(path).is_ok());
    restate::at_once(app, &names, range, why, now).await
}

/// A new id.
pub(super) fn new_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// What is wrong with a period that somebody registers; `until`: how far it may reach.
pub(super) fn check_period(from: Timestamp, to: Option<Timestamp>, until: Timestamp, max_us: i64, faults: &mut Vec<ProblemField>) {
    let mut fault = |field: &str, detail: String| faults.push(ProblemField { field: field.into(), detail });
    if from >= until {
        fault("from", "lies in the future".into());
    }
    if let Some(to) = to {
        if from >= to {
            fault("from", "must be before to".into());
        } else if to.micros_since(from) > max_us {
            fault("from", format!("is more than {} days before to", max_us / DAY_US));
        }
        if to > until {
            fault("to", "lies in the future".into());
        }
    }
}

/// Adds a fault unless `text` has 1 to `max` characters.
pub(super) fn check_text(field: &str, text: &str, max: usize, faults: &mut Vec<ProblemField>) {
    if text.trim().is_empty() || text.chars().count() > max {
        faults.push(ProblemField { field: field.into(), detail: format!("must have 1 to {max} characters") });
    }
}

/// All faults at once, if there are any.
pub(super) fn all_right(faults: Vec<ProblemField>) -> Result<(), Problem> {
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

/// What was taken back changed these shifts.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenBack {
    restated: Vec<Restated>,
}

pub(super) fn times(changing: &mut Changing<'_>) -> (Timestamp, Timestamp) {
    let now = clock::now();
    (now, changing.at(now))
}

/// Database first, then memory; the oldest leaves if there are too many.
pub(super) async fn put<T: Said>(
    app: &App,
    read: impl Fn(&Relations) -> &Entries<T>,
    write: impl Fn(&mut Relations) -> &mut Entries<T>,
    entries: &[Entry<T>],
) -> Result<(), Problem> {
    let surplus = app.production.read(|relations| read(relations).surplus());
    app.store.register(&entries.iter().collect::<Vec<_>>(), surplus.as_deref()).await?;
    app.production.change(|relations| {
        let list = write(relations);
        if surplus.and_then(|id| list.remove(&id)).is_some() {
            metrics::registration_dropped(T::KIND);
        }
        entries.iter().cloned().for_each(|entry| list.put(entry));
    });
    Ok(())
}

pub(super) async fn remove<T: Said>(app: &App, write: impl Fn(&mut Relations) -> &mut Entries<T>, id: &str) -> Result<Entry<T>, Problem> {
    let unknown = || Problem::not_found(format!("nothing with the id {id:?} is registered here"));
    app.production.change(|relations| write(relations).get(id).cloned()).ok_or_else(unknown)?;
    app.store.unregister(id).await?;
    app.production.change(|relations| write(relations).remove(id)).ok_or_else(unknown)
}

pub(super) async fn taken_back(app: &App, place: &str, range: TimeRange, why: &Why, now: Timestamp) -> Result<Json<TakenBack>, Problem> {
    let passed = clipped(range, TimeRange { from: range.from, to: now });
    let scope: Scope = place.parse().map_err(|_| Problem::internal())?;
    Ok(Json(TakenBack { restated: follow(app, &scope, passed.unwrap_or(range), why, now).await? }))
}

/// An entry, for a message.
pub(super) fn told<T>(entry: &Entry<T>, what: &str) -> String {
    let to = entry.to().map_or_else(|| "now".to_owned(), |to| Utc(to).to_string());
    format!("that of {what:?} from {} to {to}", Utc(entry.range.from))
}
