//! What people say of production: stop reasons, products and their runs, changeovers, planned downtime, renamed machines; and which figures of shifts
//! have to be restated for it.
//!
//! Stands between the API (which changes it), the store (which keeps it) and everything that reckons: the twin and the reader of history ask here for
//! what goes into a machine's record beside its data, so that live and historical answers agree. `relations` and `due` are pure, `restate` is not.
//!
//! Invariants: what is in memory is in the database (written there first); no lock is held across an await but [`Production::changing`], which keeps
//! one change after another; whoever holds the twin's lock may ask here, never the other way round.

mod due;
mod relations;
pub mod restate;
mod standard;

use std::sync::Arc;

use kpi::{calendar::Calendar, oee::Catalogue};
use parking_lot::{Mutex, RwLock};
use protocol::{AssetPath, Record, StampedRecord, TimeRange, Timestamp};

use self::due::Seen;
pub use self::{
    due::{Due, Job},
    relations::{Change, Downtime, Entries, Entry, OPEN, Product, Reason, Registered, Relations, Rename, Run, Said},
};

/// The relations, shared.
#[derive(Debug, Clone, Default)]
pub struct Production {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    relations: RwLock<Relations>,
    due: Mutex<Due>,
    changing: tokio::sync::Mutex<Timestamp>,
    /// One statement at a time: it is read, changed and written.
    stating: tokio::sync::Mutex<()>,
}

/// Leave to change relations; others wait.
#[derive(Debug)]
pub struct Changing<'a> {
    last: tokio::sync::MutexGuard<'a, Timestamp>,
}

impl Changing<'_> {
    /// The time to register something at: `now`, but after all before it. So the order in which things were said is that of their times.
    pub fn at(&mut self, now: Timestamp) -> Timestamp {
        *self.last = now.max(self.last.plus_micros(1));
        *self.last
    }
}

impl Production {
    pub fn new(relations: Relations) -> Self {
        let newest = relations.reasons.all().map(|entry| entry.at).max().unwrap_or_default();
        let inner = Inner { relations: RwLock::new(relations), changing: tokio::sync::Mutex::new(newest), ..Inner::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Reads; keep it short.
    pub fn read<T>(&self, question: impl FnOnce(&Relations) -> T) -> T {
        question(&self.inner.relations.read())
    }

    /// Changes memory; call it while changing, after the database took it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Relations) -> T) -> T {
        change(&mut self.inner.relations.write())
    }

    /// Waits until nobody else changes anything.
    pub async fn changing(&self) -> Changing<'_> {
        Changing { last: self.inner.changing.lock().await }
    }

    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.read(|relations| Arc::clone(relations.catalogue()))
    }

    /// What goes into the record of `asset` in `range`.
    pub fn registered(&self, asset: &AssetPath, range: TimeRange) -> Registered {
        self.read(|relations| relations.registered(asset, range))
    }

    /// Under which paths the data of `asset` in `range` lie.
    pub fn lineage(&self, asset: &AssetPath, range: TimeRange) -> Vec<(AssetPath, TimeRange)> {
        self.read(|relations| relations.lineage(asset, range))
    }

    /// The later names of a machine of which a record under its old name is one, too.
    pub fn heirs(&self, record: &Record) -> Vec<AssetPath> {
        match record {
            Record::State(s) => self.read(|relations| relations.heirs(&s.asset, s.event_time)),
            Record::Parts(p) => self.read(|relations| relations.heirs(&p.asset, p.to.plus_micros(-1))),
            Record::Window(_) | Record::Anomaly(_) | Record::Loss(_) => Vec::new(),
        }
    }

    pub fn has_renames(&self) -> bool {
        self.read(Relations::has_renames)
    }

    /// Records came: those for shifts that have been stated make them due. Call it when they can be asked for.
    pub fn saw(&self, records: &[StampedRecord], calendar: &Calendar, margin_us: i64, now: Timestamp) {
        let renamed = self.has_renames();
        let mut due = self.inner.due.lock();
        for stamped in records {
            let (asset, range, counts) = match &stamped.record {
                Record::State(s) => (&s.asset, TimeRange { from: s.event_time, to: s.event_time }, true),
                Record::Parts(p) => (&p.asset, TimeRange { from: p.from, to: p.to }, true),
                Record::Window(w) => (&w.asset, TimeRange { from: w.start, to: w.end }, false),
                Record::Anomaly(_) | Record::Loss(_) => continue,
            };
            due.saw(Seen { asset, range, counts }, calendar, margin_us, now);
            if renamed {
                for heir in self.heirs(&stamped.record) {
                    due.saw(Seen { asset: &heir, range, counts }, calendar, margin_us, now);
                }
            }
        }
    }

    fn due(&self) -> parking_lot::MutexGuard<'_, Due> {
        self.inner.due.lock()
    }

    /// Shifts that wait to be reckoned again.
    pub fn waiting(&self) -> usize {
        self.due().waiting()
    }
}
