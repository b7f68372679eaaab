//! What is known of each machine and gateway right now.
//!
//! Fed by the pipeline in the order of the journal, after a batch is durable; read by the API and the live feed. It is the one owner of live state:
//! callers get views, never references. OEE of the shift so far comes from the same code as that of history (`kpi::oee`).
//!
//! Invariants: it holds nothing that can't be rebuilt from the lake; newest means by event time, not by arrival; its size is bounded; no lock is
//! held across an await, and none longer than one batch or one page of views takes.

pub mod backlog;
mod gateway;
pub mod history;
mod machine;
mod rebuild;
mod tallies;
pub mod view;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kpi::{
    calendar::{Calendar, Shift},
    oee::{Catalogue, PartInterval, Rules},
};
use parking_lot::Mutex;
use protocol::{AssetPath, GatewayId, GatewayStatus, Record, StampedRecord, TimeRange, Timestamp};

pub use gateway::{ONLINE_FOR_US, Presence};
pub use tallies::Tallies;
pub use view::{AlarmView, AnomalyView, AssetView, AuditView, GatewayView, GenerationView, SourceView, SummaryView};

use self::{
    gateway::Gateway,
    machine::{Asked, Machine},
};
use crate::{
    config::Config,
    local,
    production::{Production, Relations, Rename},
};

/// Machines that are kept; more are in the lake only, and counted.
const MAX_MACHINES: usize = 10_000;

/// The time of a question: now, and since when the collector has been listening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub now: Timestamp,
    pub started_at: Timestamp,
}

/// How OEE is reckoned, live and of history.
#[derive(Debug, Clone, Default)]
pub struct Reckoning {
    pub rules: Rules,
    /// What a stop reason means.
    pub catalogue: Arc<Catalogue>,
}

impl Reckoning {
    /// How far beyond a window its states must be known: a stop is judged by its whole length, a start-up by the set-up before it.
    pub fn margin_us(&self) -> i64 {
        (self.rules.minor_stop_below_s.max(self.rules.startup_after_setup_s) * 1e6) as i64
    }
}

/// The live state, shared.
#[derive(Debug)]
pub struct Twin {
    calendar: Arc<Calendar>,
    tallies: Tallies,
    production: Production,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    machines: BTreeMap<AssetPath, Machine>,
    gateways: HashMap<GatewayId, Gateway>,
    running: Option<Arc<Shift>>,
    reckoning: Reckoning,
    version: u64,
}

/// What a gateway said and what is known of it; the API adds what the database knows.
#[derive(Debug, Clone, Default)]
pub struct GatewayState {
    pub last_seen: Option<Timestamp>,
    /// It was told to stay away until then.
    pub excused_until: Option<Timestamp>,
    pub status: Option<GatewayStatus>,
    pub readings_stored: u64,
    pub losses: BTreeMap<&'static str, u64>,
}

impl Twin {
    /// A twin that knows the described machines and nothing of what they do.
    pub fn new(config: &Config) -> Self {
        let machines = config
            .assets
            .iter()
            .map(|a| {
                let ideal_cycle_s = a.ideal_cycle_time.map(|t| t.as_secs_f64());
                (a.path.clone(), Machine::described(ideal_cycle_s))
            })
            .collect();
        let reckoning = Reckoning { rules: config.oee, catalogue: Arc::default() };
        Self {
            calendar: Arc::new(config.calendar.clone()),
            tallies: Tallies::default(),
            production: Production::default(),
            inner: Mutex::new(Inner { machines, reckoning, version: 1, ..Inner::default() }),
        }
    }

    /// With what people say of production; its catalogue is the one that counts.
    #[must_use]
    pub fn with_production(mut self, production: Production) -> Self {
        self.production = production;
        self.set_catalogue(self.production.catalogue());
        self.production.read(Relations::renames).iter().for_each(|rename| self.renamed(rename));
        self
    }

    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Sums of what is over, of the questions before.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// The rules and the catalogue, as they are now.
    pub fn reckoning(&self) -> Reckoning {
        self.inner.lock().reckoning.clone()
    }

    /// Takes in fresh records of one batch, in order, that a query can see already. What the lake or the ledger refused as a duplicate must not come here.
    pub fn apply(&self, gateway: &GatewayId, received_at: Timestamp, records: &[StampedRecord]) {
        let renamed = self.production.has_renames();
        let mut inner = self.inner.lock();
        let margin_us = inner.reckoning.margin_us();
        self.tallies.rows(records, margin_us);
        inner.roll_shift(&self.calendar, received_at);
        for stamped in records {
            inner.apply(gateway, &stamped.record);
            if renamed {
                for heir in self.production.heirs(&stamped.record) {
                    inner.inherit(&heir, &stamped.record);
                    self.tallies.record(&heir, &stamped.record, margin_us);
                }
            }
        }
        drop(inner);
        self.production.saw(records, &self.calendar, margin_us, received_at);
    }

    /// Another catalogue counts from now on.
    pub fn set_catalogue(&self, catalogue: Arc<Catalogue>) {
        self.inner.lock().reckoning.catalogue = catalogue;
        self.reckon_anew(|_| true);
    }

    /// Something that is not data changed what these machines did: the running shift is reckoned anew, and what was reckoned of other times is forgotten.
    pub fn reckon_anew(&self, of: impl Fn(&AssetPath) -> bool) {
        self.tallies.forget(&of);
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.version += 1;
        for (_, machine) in inner.machines.iter_mut().filter(|(path, _)| of(path)) {
            machine.reckon_anew();
            machine.version = inner.version;
        }
    }

    /// A machine has another name from some time on: what it did before is what the other did.
    pub fn renamed(&self, rename: &Rename) {
        let names = self.production.read(|relations| relations.with_later_names(&rename.to));
        self.tallies.forget(|path| *path == rename.from || names.contains(path));
        let mut guard = self.inner.lock();
        let keep_from = guard.keep_from();
        let inner = &mut *guard;
        let past = inner.machines.get(&rename.from).map(|machine| machine.past(rename.at)).unwrap_or_default();
        if !inner.machines.contains_key(&rename.to) && inner.machines.len() >= MAX_MACHINES {
            metrics::counter!("millrace_collector_twin_dropped_total", "reason" => "machines").increment(1);
            return;
        }
        inner.version += 1;
        let machine = inner.machines.entry(rename.to.clone()).or_default();
        machine.version = inner.version;
        machine.inherit(past, keep_from);
    }

    /// The newest data of each machine of which there are any.
    pub fn newest_data(&self) -> Vec<(AssetPath, Timestamp)> {
        self.inner.lock().machines.iter().filter_map(|(path, m)| Some((path.clone(), m.newest_data()?))).collect()
    }

    /// Takes in how a gateway is.
    pub fn apply_status(&self, gateway: &GatewayId, received_at: Timestamp, status: &GatewayStatus) {
        self.inner.lock().gateways.entry(gateway.clone()).or_default().heard(received_at, status);
    }

    /// A gateway's batch was not taken; it was told to come back then.
    pub fn sent_away(&self, gateway: &GatewayId, received_at: Timestamp, until: Timestamp) {
        self.inner.lock().gateways.entry(gateway.clone()).or_default().sent_away(received_at, until);
    }

    /// Machines after `after`, in order of their paths.
    pub fn assets(&self, after: Option<&AssetPath>, limit: usize, moment: Moment) -> Vec<AssetView> {
        let mut inner = self.inner.lock();
        inner.roll_shift(&self.calendar, moment.now);
        let Inner { machines, gateways, running, reckoning, .. } = &mut *inner;
        let asked = Asked {
            now: moment.now,
            shift: running.as_deref(),
            reckoning,
            calendar: &self.calendar,
            production: &self.production,
            hole: None,
        };
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let page = machines.range_mut::<AssetPath, _>((from, std::ops::Bound::Unbounded)).take(limit);
        page.map(|(path, m)| {
            let (online, hole) = (online(gateways, m, moment), hole(gateways, m));
            m.view(path, online, &Asked { hole, ..asked })
        })
        .collect()
    }

    pub fn asset(&self, path: &AssetPath, moment: Moment) -> Option<AssetView> {
        let mut inner = self.inner.lock();
        inner.roll_shift(&self.calendar, moment.now);
        let Inner { machines, gateways, running, reckoning, .. } = &mut *inner;
        let asked = Asked {
            now: moment.now,
            shift: running.as_deref(),
            reckoning,
            calendar: &self.calendar,
            production: &self.production,
            hole: None,
        };
        let machine = machines.get_mut(path)?;
        let (online, hole) = (online(gateways, machine, moment), hole(gateways, machine));
        Some(machine.view(path, online, &Asked { hole, ..asked }))
    }

    /// Whether a machine of that path was described or heard of.
    pub fn knows(&self, path: &AssetPath) -> bool {
        self.inner.lock().machines.contains_key(path)
    }

    /// All machines, in order.
    pub fn paths(&self) -> Vec<AssetPath> {
        self.inner.lock().machines.keys().cloned().collect()
    }

    /// The machines below a site, an area or a line, in order.
    pub fn paths_below(&self, prefix: &str) -> Vec<AssetPath> {
        let below = |path: &&AssetPath| path.as_str().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        self.inner.lock().machines.keys().filter(below).cloned().collect()
    }

    pub fn ideal_cycle_s(&self, path: &AssetPath) -> Option<f64> {
        self.inner.lock().machines.get(path).and_then(|m| m.ideal_cycle_s)
    }

    /// Newest event time up to which the machine's states can be relied on: now, or where its data stopped.
    pub fn known_until(&self, path: &AssetPath, now: Timestamp) -> Timestamp {
        self.inner.lock().machines.get(path).map_or(now, |m| m.known_until(now))
    }

    /// When nothing is known of the machine, though newer data is here: its gateway holds a backlog.
    pub fn holes(&self, path: &AssetPath) -> Vec<TimeRange> {
        let inner = self.inner.lock();
        let hole = inner.machines.get(path).and_then(|machine| hole(&inner.gateways, machine));
        hole.into_iter().collect()
    }

    /// The machines that changed since `version` (0: all), and the version to ask with next.
    pub fn changes(&self, version: u64, moment: Moment) -> (u64, Vec<AssetView>) {
        let mut guard = self.inner.lock();
        guard.roll_shift(&self.calendar, moment.now);
        let inner = &mut *guard;
        // Some things change by time alone.
        let shift = inner.running.as_ref().map(|s| s.range.from);
        let next = inner.version + 1;
        for machine in inner.machines.values_mut() {
            let online = online(&inner.gateways, machine, moment);
            let shown = Some((online, machine.is_stale(moment.now), shift, hole(&inner.gateways, machine)));
            if machine.shown != shown {
                machine.shown = shown;
                machine.version = next;
                inner.version = next;
            }
        }
        let Inner { machines, gateways, running, reckoning, version: newest, .. } = inner;
        let asked = Asked {
            now: moment.now,
            shift: running.as_deref(),
            reckoning,
            calendar: &self.calendar,
            production: &self.production,
            hole: None,
        };
        let changed = machines.iter_mut().filter(|(_, m)| m.version > version);
        let views = changed.map(|(path, m)| {
            let (online, hole) = (online(gateways, m, moment), hole(gateways, m));
            m.view(path, online, &Asked { hole, ..asked })
        });
        (*newest, views.collect())
    }

    /// All gateways that were heard, or of which rows are stored.
    pub fn gateways(&self) -> BTreeMap<GatewayId, GatewayState> {
        self.inner.lock().gateways.iter().map(|(id, g)| (id.clone(), g.state())).collect()
    }

    pub fn gateway(&self, id: &GatewayId) -> Option<GatewayState> {
        self.inner.lock().gateways.get(id).map(Gateway::state)
    }
}

impl Inner {
    fn roll_shift(&mut self, calendar: &Calendar, now: Timestamp) {
        if !self.running.as_ref().is_some_and(|s| s.range.from <= now && now < s.range.to) {
            self.running = calendar.shift_at(now).map(Arc::new);
        }
    }

    fn apply(&mut self, gateway: &GatewayId, record: &Record) {
        let asset = match record {
            Record::Window(w) => {
                let state = self.gateway(gateway);
                state.readings_stored = state.readings_stored.saturating_add(w.count);
                &w.asset
            }
            Record::Anomaly(a) => &a.asset,
            Record::State(s) => &s.asset,
            Record::Parts(p) => &p.asset,
            Record::Loss(l) => {
                let lost = self.gateway(gateway).losses.entry(l.reason).or_default();
                *lost = lost.saturating_add(l.count);
                return;
            }
        };
        let keep_from = self.keep_from();
        let Some(machine) = self.machine(asset, gateway) else { return };
        match record {
            Record::Window(w) => {
                if !machine.summary(w) {
                    metrics::counter!("millrace_collector_twin_dropped_total", "reason" => "signals").increment(1);
                }
            }
            Record::Anomaly(a) => machine.anomaly(a),
            Record::State(s) => machine.state(s, keep_from),
            Record::Parts(p) => machine.count(PartInterval::from(p)),
            Record::Loss(_) => {}
        }
    }

    /// A record of an old name of `heir`.
    fn inherit(&mut self, heir: &AssetPath, record: &Record) {
        let keep_from = self.keep_from();
        let Some(machine) = self.machines.get_mut(heir) else { return };
        self.version += 1;
        machine.version = self.version;
        match record {
            Record::State(s) => machine.state(s, keep_from),
            Record::Parts(p) => machine.count(PartInterval::from(p)),
            Record::Window(_) | Record::Anomaly(_) | Record::Loss(_) => {}
        }
    }

    /// What ended before it is not needed for the running shift.
    fn keep_from(&self) -> Option<Timestamp> {
        self.running.as_ref().map(|shift| shift.range.from.plus_micros(-self.reckoning.margin_us()))
    }

    /// The machine, changed as of now and reported by `gateway`; `None` if it is one too many.
    fn machine(&mut self, asset: &AssetPath, gateway: &GatewayId) -> Option<&mut Machine> {
        if !self.machines.contains_key(asset) && self.machines.len() >= MAX_MACHINES {
            metrics::counter!("millrace_collector_twin_dropped_total", "reason" => "machines").increment(1);
            return None;
        }
        self.version += 1;
        let machine = self.machines.entry(asset.clone()).or_default();
        machine.version = self.version;
        // What a program posts of a machine does not make it the machine's gateway.
        let is_other = |known: &GatewayId| known != gateway && (!local::is_local(gateway) || local::is_local(known));
        if machine.gateway.as_ref().is_none_or(is_other) {
            machine.gateway = Some(gateway.clone());
        }
        Some(machine)
    }

    fn gateway(&mut self, id: &GatewayId) -> &mut Gateway {
        self.gateways.entry(id.clone()).or_default()
    }
}

fn hole(gateways: &HashMap<GatewayId, Gateway>, machine: &Machine) -> Option<TimeRange> {
    machine.gateway.as_ref().and_then(|id| gateways.get(id)).and_then(|g| g.hole)
}

fn online(gateways: &HashMap<GatewayId, Gateway>, machine: &Machine, moment: Moment) -> bool {
    let is_online = |id| gateways.get(id).is_some_and(|g: &Gateway| g.presence().is_online(moment.started_at, moment.now));
    machine.gateway.as_ref().is_some_and(|id| local::is_local(id) || is_online(id))
}

impl Gateway {
    fn state(&self) -> GatewayState {
        GatewayState {
            last_seen: self.last_seen,
            excused_until: self.excused_until,
            status: self.status.clone(),
            readings_stored: self.readings_stored,
            losses: self.losses.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
