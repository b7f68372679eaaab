//! Maintenance before the failure: how reliable machines are, in what condition, and how long they will last.
//!
//! Stands beside the pipeline, on the lake and the database; `kpi` computes. The way of the data: [`event`] (what people and programs tell)
//! and [`stops`] (what machines show) -> [`facts`] (lives, ages) -> [`reliability`] (laws); signals -> [`condition`] (health, degradation)
//! and [`learned`] (a model of the fleet's own lives, made by [`training`] from [`fleet`]); all of it -> [`outlook`] (one prediction a
//! machine). [`round`] does this in the background, keeps the predictions, and scores them when the failure comes.
//!
//! Invariants: it holds nothing that can't be reckoned anew from the stores, apart from learned models, which have files; its size is
//! bounded by the twin's machines; work in the background is bounded a round, and no lock is held across an await.

pub mod condition;
pub mod event;
pub mod facts;
pub mod fleet;
pub mod learned;
pub mod outlook;
pub mod reliability;
pub mod round;
pub mod stops;
pub mod training;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kpi::condition::predict::MaintenancePrediction;
use parking_lot::Mutex;
use protocol::{AssetPath, Timestamp};
use tokio::sync::{Notify, Semaphore};

use self::{
    facts::Facts,
    fleet::Plan,
    learned::{Learned, Tracked},
    reliability::Law,
};

/// Predictions that are reckoned at a time because somebody asked.
const AT_A_TIME: usize = 2;

/// What is known of the future of machines, shared.
#[derive(Debug)]
pub struct Maintenance {
    inner: Mutex<Inner>,
    /// There is something to do before the next round is due.
    wake: Notify,
    training: AtomicBool,
    asked_to_train: AtomicBool,
    asking: Semaphore,
}

#[derive(Debug, Default)]
struct Inner {
    machines: HashMap<AssetPath, Machine>,
    laws: HashMap<String, Arc<BTreeMap<String, Law>>>,
    /// Kinds of which a machine's facts have changed since their laws were fitted.
    unfitted: BTreeSet<String>,
    models: HashMap<String, Arc<Learned>>,
    /// What could be learned from, by kind, as of the last round.
    plans: BTreeMap<String, Plan>,
}

#[derive(Debug, Default)]
struct Machine {
    kind: String,
    known: Option<Known>,
    facts: Option<Arc<Facts>>,
    /// Something was told of it since the facts were reckoned.
    is_dirty: bool,
    /// Of the facts: when the state began that the machine was in.
    state_since: Option<Timestamp>,
    tracked: Option<Tracked>,
    /// When it was last predicted, or that was tried.
    tried_at: Option<Timestamp>,
    /// Its facts could not be reckoned then, and nothing was told of it since.
    failed_at: Option<Timestamp>,
}

/// A prediction, and what it rests on.
#[derive(Debug, Clone)]
pub struct Known {
    pub prediction: Arc<MaintenancePrediction>,
    pub at: Timestamp,
    /// Newest event time of the machine's signals.
    pub data_until: Option<Timestamp>,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            wake: Notify::new(),
            training: AtomicBool::new(false),
            asked_to_train: AtomicBool::new(false),
            asking: Semaphore::new(AT_A_TIME),
        }
    }
}

impl Maintenance {
    /// The latest prediction of a machine.
    pub fn of(&self, asset: &AssetPath) -> Option<Arc<MaintenancePrediction>> {
        self.known(asset).map(|known| known.prediction)
    }

    /// The latest prediction of a machine, and when it was made.
    pub fn known(&self, asset: &AssetPath) -> Option<Known> {
        self.inner.lock().machines.get(asset).and_then(|m| m.known.clone())
    }

    /// What is known of a machine's past.
    pub fn facts(&self, asset: &AssetPath) -> Option<Arc<Facts>> {
        self.inner.lock().machines.get(asset).and_then(|m| m.facts.clone())
    }

    /// Something was told of a machine: it is looked at soon.
    pub fn told(&self, asset: &AssetPath) {
        let mut inner = self.inner.lock();
        let machine = inner.machines.entry(asset.clone()).or_default();
        (machine.is_dirty, machine.failed_at) = (true, None);
        self.wake.notify_one();
    }

    /// Trains with the next round, whether or not anything is new. False if a training is under way.
    pub fn train_now(&self) -> bool {
        let is_free = !self.training.load(Ordering::Acquire);
        self.asked_to_train.store(true, Ordering::Release);
        self.wake.notify_one();
        is_free
    }

    pub fn is_training(&self) -> bool {
        self.training.load(Ordering::Acquire)
    }

    /// What could be learned from, by kind of machine.
    pub fn plans(&self) -> Vec<Plan> {
        self.inner.lock().plans.values().cloned().collect()
    }

    fn model(&self, kind: &str) -> Option<Arc<Learned>> {
        self.inner.lock().models.get(kind).cloned()
    }

    fn laws(&self, kind: &str) -> Arc<BTreeMap<String, Law>> {
        self.inner.lock().laws.get(kind).cloned().unwrap_or_default()
    }

    fn is_dirty(&self, asset: &AssetPath) -> bool {
        self.inner.lock().machines.get(asset).is_some_and(|m| m.is_dirty)
    }
}
