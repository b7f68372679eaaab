//! What is known of each machine and gateway right now.
//!
//! Fed by the pipeline in the order of the journal. Invariant: it holds nothing that can't be rebuilt from the lake.

use lake::Latest;
use protocol::{GatewayId, GatewayStatus, StampedRecord, Timestamp};

use crate::config::Config;

/// The live state, shared.
#[derive(Debug, Default)]
struct Inner {
    machines: BTreeMap<AssetPath, Machine>,
    gateways: HashMap<GatewayId, Gateway>,
    running: Option<Arc<Shift>>,
    version: u64,
}

/// What a gateway said and what is known of it; the API adds what the database knows.
#[derive(Debug, Clone, Default)]
pub struct GatewayState {
    pub last_seen: Option<Timestamp>,
    pub skew_us: Option<i64>,
    pub status: Option<GatewayStatus>,
    pub readings_stored: u64,
    pub losses: BTreeMap<&'static str, u64>,
}

impl Twin {
    pub fn new(_config: &Config) -> Self {
        Self::default()
    }

    /// Takes in what the lake knows, at start.
    pub fn restore(&self, _latest: Latest) {}

    /// Takes in records of one batch, in order.
    pub fn apply(&self, _gateway: &GatewayId, _received_at: Timestamp, _records: &[StampedRecord]) {}

    /// Takes in how a gateway is. `received_at` − `sent_at` is its skew, the way of the batch included.
    pub fn apply_status(&self, _gateway: &GatewayId, _received_at: Timestamp, _sent_at: Timestamp, _status: &GatewayStatus) {}
}

impl Inner {
    fn roll_shift(&mut self, calendar: &Calendar, now: Timestamp) {
        if !self.running.as_ref().is_some_and(|s| s.range.from <= now && now < s.range.to) {
            self.running = calendar.shift_at(now).map(Arc::new);
        }
    }

    fn apply(&mut self, gateway: &GatewayId, calendar: &Calendar, record: &Record) {
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
        let running = self.running.clone();
        let running = running.as_deref();
        let Some(machine) = self.machine(asset, gateway) else { return };
        match record {
            Record::Window(w) => {
                if !machine.summary(w) {
                    metrics::counter!("millrace_collector_twin_dropped_total", "reason" => "signals").increment(1);
                }
            }
            Record::Anomaly(a) => machine.anomaly(a),
            Record::State(s) => machine.state(s, running.map(|r| r.range.from)),
            Record::Parts(p) => machine.count(p, calendar, running),
            Record::Loss(_) => {}
        }
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
        if machine.gateway.as_ref() != Some(gateway) {
            machine.gateway = Some(gateway.clone());
        }
        Some(machine)
    }

    fn gateway(&mut self, id: &GatewayId) -> &mut Gateway {
        self.gateways.entry(id.clone()).or_default()
    }

    fn view(&self, path: &AssetPath, machine: &Machine, moment: Moment) -> AssetView {
        machine.view(path, moment.now, online(&self.gateways, machine, moment), self.running.as_deref())
    }
}

fn online(gateways: &HashMap<GatewayId, Gateway>, machine: &Machine, moment: Moment) -> bool {
    machine
        .gateway
        .as_ref()
        .and_then(|id| gateways.get(id))
        .is_some_and(|g| is_online(g.last_seen, moment.started_at, moment.now))
}

impl Gateway {
    fn state(&self) -> GatewayState {
        GatewayState {
            last_seen: self.last_seen,
            skew_us: self.skew_us,
            status: self.status.clone(),
            readings_stored: self.readings_stored,
            losses: self.losses.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
