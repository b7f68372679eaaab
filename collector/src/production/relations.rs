//! What people said of production, in memory: pure, asked by machine and period.
//!
//! Invariants: every list is bounded, and what has to leave for it is told; what is said of a machine under its old path holds under its new one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kpi::{
    calendar::clipped,
    oee::{Catalogue, Changeover, DowntimeKind, PlannedDowntime, ProductRun, ReasonAssignment},
};
use protocol::{AssetPath, TimeRange, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::standard;

/// Where a registration ends that goes on.
pub const OPEN: Timestamp = Timestamp(i64::MAX);
/// Renamed machines that are kept; more are refused.
pub const MAX_RENAMES: usize = 1_000;
/// Names that one machine may have had.
const MAX_NAMES: usize = 16;
/// So far beyond a period what was registered is given, for counts that cross its edges.
const MARGIN_US: i64 = 3_600_000_000;

/// What can be said of a stretch of time.
pub trait Said: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// Its name in the database.
    const KIND: &'static str;
    /// How many are kept; then the oldest leave.
    const MAX: usize;
}

/// Why the machine stood; `None` takes back what was said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub reason: Option<String>,
    pub comment: String,
}

/// Which product was to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub product: String,
    pub order: String,
}

/// From which product to which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub from_product: String,
    pub to_product: String,
}

/// Why the plan holds no production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    pub kind: DowntimeKind,
    pub name: String,
}

impl Said for Reason {
    const KIND: &'static str = "stop_reason";
    const MAX: usize = 200_000;
}

impl Said for Run {
    const KIND: &'static str = "product_run";
    const MAX: usize = 200_000;
}

impl Said for Change {
    const KIND: &'static str = "changeover";
    const MAX: usize = 100_000;
}

impl Said for Downtime {
    const KIND: &'static str = "planned_downtime";
    const MAX: usize = 20_000;
}

/// Something that a person said of a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    pub id: String,
    /// `site/area/line/machine`; of planned downtime also the beginning of it.
    pub place: String,
    /// To [`OPEN`] while it goes on.
    pub range: TimeRange,
    pub by: String,
    pub at: Timestamp,
    pub what: T,
}

impl<T> Entry<T> {
    /// Its end; `None` while it goes on.
    pub fn to(&self) -> Option<Timestamp> {
        (self.range.to != OPEN).then_some(self.range.to)
    }
}

/// Entries of one kind, by place.
#[derive(Debug, Clone)]
pub struct Entries<T> {
    by_place: HashMap<String, Vec<Entry<T>>>,
    /// The place of each, by its id.
    places: HashMap<String, String>,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { by_place: HashMap::new(), places: HashMap::new() }
    }
}

impl<T: Said> Entries<T> {
    /// Takes an entry in, over one of the same id.
    pub fn put(&mut self, entry: Entry<T>) {
        if self.places.contains_key(&entry.id) {
            self.remove(&entry.id);
        }
        self.places.insert(entry.id.clone(), entry.place.clone());
        self.by_place.entry(entry.place.clone()).or_default().push(entry);
    }

    /// The id of what has to leave before one more comes: what ended first.
    pub fn surplus(&self) -> Option<String> {
        let oldest = || self.all().min_by_key(|entry| (entry.range.to, entry.at)).map(|entry| entry.id.clone());
        if self.places.len() < T::MAX { None } else { oldest() }
    }

    pub fn remove(&mut self, id: &str) -> Option<Entry<T>> {
        let place = self.places.remove(id)?;
        let of_place = self.by_place.get_mut(&place)?;
        let entry = of_place.iter().position(|entry| entry.id == id).map(|at| of_place.remove(at));
        if of_place.is_empty() {
            self.by_place.remove(&place);
        }
        entry
    }

    pub fn get(&self, id: &str) -> Option<&Entry<T>> {
        self.by_place.get(self.places.get(id)?)?.iter().find(|entry| entry.id == id)
    }

    /// In no order.
    pub fn all(&self) -> impl Iterator<Item = &Entry<T>> {
        self.by_place.values().flatten()
    }

    /// Of exactly this place, sharing time with `range`.
    pub fn of<'a>(&'a self, place: &str, range: TimeRange) -> impl Iterator<Item = &'a Entry<T>> {
        let of_place = self.by_place.get(place).map(Vec::as_slice).unwrap_or_default();
        of_place.iter().filter(move |entry| clipped(entry.range, range).is_some())
    }

    /// Of this place and of all that lies above it.
    pub fn over<'a>(&'a self, path: &'a str, range: TimeRange) -> impl Iterator<Item = &'a Entry<T>> {
        let above = path.match_indices('/').map(move |(i, _)| &path[..i]);
        above.chain([path]).flat_map(move |place| self.of(place, range))
    }
}

/// A product, and how fast it can be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    #[schema(example = "P-100")]
    pub product: String,
    #[schema(example = "Bracket, left")]
    pub name: String,
    /// Time for one part at the best speed.
    #[schema(example = 2.5)]
    pub ideal_cycle_time_s: f64,
}

/// From `at` on the machine `from` is `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub from: AssetPath,
    pub to: AssetPath,
    pub at: Timestamp,
    pub by: String,
    pub registered_at: Timestamp,
}

/// What goes into a machine's record beside its data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registered {
    pub reasons: Vec<ReasonAssignment>,
    pub runs: Vec<ProductRun>,
    pub changeovers: Vec<Changeover>,
    pub downtime: Vec<PlannedDowntime>,
    /// The machine had another path for some of the period.
    pub renamed: bool,
}

impl Registered {
    /// Adds it to a record that has its plan already.
    pub fn into_record(self, record: &mut kpi::oee::MachineRecord) {
        record.reasons.extend(self.reasons);
        record.runs.extend(self.runs);
        record.changeovers.extend(self.changeovers);
        record.downtime.extend(self.downtime);
        record.flags.set_if(self.renamed, kpi::oee::Flag::Renamed);
    }
}

/// All that people said.
#[derive(Debug, Clone)]
pub struct Relations {
    catalogue: Arc<Catalogue>,
    products: BTreeMap<String, Product>,
    pub reasons: Entries<Reason>,
    pub runs: Entries<Run>,
    pub changeovers: Entries<Change>,
    pub downtime: Entries<Downtime>,
    /// By the new path.
    renamed: HashMap<AssetPath, Rename>,
}

impl Default for Relations {
    fn default() -> Self {
        Self {
            catalogue: Arc::new(standard::catalogue()),
            products: BTreeMap::new(),
            reasons: Entries::default(),
            runs: Entries::default(),
            changeovers: Entries::default(),
            downtime: Entries::default(),
            renamed: HashMap::new(),
        }
    }
}

impl Relations {
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    pub fn set_catalogue(&mut self, catalogue: Catalogue) {
        self.catalogue = Arc::new(catalogue);
    }

    pub fn products(&self) -> &BTreeMap<String, Product> {
        &self.products
    }

    pub fn set_products(&mut self, products: Vec<Product>) {
        self.products = products.into_iter().map(|product| (product.product.clone(), product)).collect();
    }

    pub fn rename(&mut self, rename: Rename) {
        self.renamed.insert(rename.to.clone(), rename);
    }

    /// In order of time, so that a machine of several names goes from each to the next.
    pub fn renames(&self) -> Vec<Rename> {
        let mut renames: Vec<_> = self.renamed.values().cloned().collect();
        renames.sort_by(|a, b| (a.at, &a.to).cmp(&(b.at, &b.to)));
        renames
    }

    pub fn has_renames(&self) -> bool {
        !self.renamed.is_empty()
    }

    /// Under which name the machine came to be, if it had another before.
    pub fn before(&self, asset: &AssetPath) -> Option<&Rename> {
        self.renamed.get(asset)
    }

    /// Which name the machine got, if it has another now.
    pub fn after(&self, asset: &AssetPath) -> Option<&Rename> {
        self.renamed.values().find(|rename| rename.from == *asset)
    }

    /// The paths of which a change at `asset` changes figures: itself, and the names that it got later.
    pub fn with_later_names(&self, asset: &AssetPath) -> Vec<AssetPath> {
        let mut names = vec![asset.clone()];
        while let Some(next) = names.last().and_then(|name| self.after(name)).filter(|_| names.len() < MAX_NAMES) {
            names.push(next.to.clone());
        }
        names
    }

    /// The later names of a machine of which data of `at` under this name are data too.
    pub fn heirs(&self, asset: &AssetPath, at: Timestamp) -> Vec<AssetPath> {
        let mut heirs: Vec<AssetPath> = Vec::new();
        while let Some(next) = self.after(heirs.last().unwrap_or(asset)).filter(|next| at < next.at && heirs.len() < MAX_NAMES) {
            heirs.push(next.to.clone());
        }
        heirs
    }

    /// Under which paths the data of `asset` in `range` lie, in order of time; at least one.
    pub fn lineage(&self, asset: &AssetPath, range: TimeRange) -> Vec<(AssetPath, TimeRange)> {
        let mut segments = Vec::new();
        let (mut path, mut to) = (asset, range.to);
        while let Some(rename) = self.renamed.get(path).filter(|rename| rename.at > range.from && segments.len() < MAX_NAMES) {
            if rename.at < to {
                segments.push((path.clone(), TimeRange { from: rename.at, to }));
                to = rename.at;
            }
            path = &rename.from;
        }
        segments.push((path.clone(), TimeRange { from: range.from, to }));
        segments.reverse();
        segments
    }

    /// Why `rename` can't be, if it can't.
    ///
    /// # Errors
    /// The field, and what is wrong with it.
    pub fn check_rename(&self, from: &AssetPath, to: &AssetPath, at: Timestamp) -> Result<(), (&'static str, String)> {
        if from == to {
            return Err(("to", "is the same path as from".into()));
        }
        if self.renamed.len() >= MAX_RENAMES {
            return Err(("from", format!("makes more than {MAX_RENAMES} renamed machines")));
        }
        if let Some(known) = self.after(from) {
            return Err(("from", format!("was renamed to {} already: rename that", known.to)));
        }
        let whole = TimeRange { from: Timestamp(i64::MIN), to: OPEN };
        if self.lineage(from, whole).iter().any(|(path, _)| path == to) {
            return Err(("to", "is a path that this machine had before: that would be a circle".into()));
        }
        if let Some(known) = self.before(to) {
            return Err(("to", format!("is the new path of {} already", known.from)));
        }
        if let Some(known) = self.before(from).filter(|known| known.at >= at) {
            return Err(("at", format!("must be after {}, when {} became {from}", kpi::utc::Utc(known.at), known.from)));
        }
        Ok(())
    }

    /// What goes into the record of `asset` in `range`.
    pub fn registered(&self, asset: &AssetPath, range: TimeRange) -> Registered {
        let mut found = Registered::default();
        let wide = TimeRange { from: range.from.plus_micros(-MARGIN_US), to: range.to.plus_micros(MARGIN_US) };
        found.renamed = self.lineage(asset, range).iter().any(|(path, _)| path != asset);
        let segments = self.lineage(asset, wide);
        // Whole where nothing cuts it: evidence tells when it began.
        let cut = segments.len() > 1;
        for (path, part) in segments {
            let within = |whole: TimeRange| clipped(whole, part);
            let reasons = self.reasons.of(path.as_str(), part).filter_map(|entry| {
                Some(ReasonAssignment {
                    id: entry.id.clone(),
                    range: if cut { within(entry.range)? } else { entry.range },
                    reason: entry.what.reason.clone(),
                    by: entry.by.clone(),
                    at: entry.at,
                    comment: entry.what.comment.clone(),
                })
            });
            found.reasons.extend(reasons);
            let runs = self.runs.of(path.as_str(), part).filter_map(|entry| {
                let Run { product, order } = entry.what.clone();
                let ideal_cycle_s = self.products.get(&product).map(|p| p.ideal_cycle_time_s);
                let until = entry.to().unwrap_or(part.to.max(entry.range.from.plus_micros(1)));
                let whole = TimeRange { from: entry.range.from, to: until };
                Some(ProductRun { range: if cut { within(whole)? } else { whole }, product, order, ideal_cycle_s })
            });
            found.runs.extend(runs);
            let changeovers = self.changeovers.of(path.as_str(), part).filter_map(|entry| {
                let Change { from_product, to_product } = entry.what.clone();
                Some(Changeover { range: within(entry.range)?, from_product, to_product })
            });
            found.changeovers.extend(changeovers);
            let downtime = self.downtime.over(path.as_str(), part).filter_map(|entry| {
                let Downtime { kind, name } = entry.what.clone();
                Some(PlannedDowntime { range: within(entry.range)?, kind, name })
            });
            found.downtime.extend(downtime);
        }
        found
    }
}

#[cfg(test)]
mod tests;
