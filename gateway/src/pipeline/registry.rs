//! Who and what the pipeline knows: assets, signals and senders, each once, by a small number.
//!
//! Invariant: entries are only added, up to the configured limits, so that a number stays valid as long as the process.

use std::collections::HashMap;

use protocol::{AssetPath, SignalName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    config::Limits,
    detect::{Detector, State},
    machine::Machine,
    sequence::Tracker,
    window::Series,
};

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Asset {
    pub(super) path: AssetPath,
    pub(super) machine: Machine,
}

/// A signal of a machine with all that is remembered of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Signal {
    pub(super) asset: u32,
    pub(super) name: SignalName,
    pub(super) unit: String,
    pub(super) series: Series,
    /// Detectors that cover it, by their index.
    pub(super) detectors: Vec<(u32, State)>,
}

/// One publisher or device: what carries a sequence of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sender {
    pub(super) asset: u32,
    /// The topic's template, or `modbus:` and the device's name.
    pub(super) origin: String,
    pub(super) tracker: Tracker,
    /// Event time of its newest message.
    pub(super) last_at: Option<Timestamp>,
    /// After a restart that was not in order: what is missing was sent before this.
    #[serde(skip)]
    pub(super) missing_before: Option<Timestamp>,
    /// Fields of its last message and what they are, in their order.
    #[serde(skip)]
    pub(super) layout: Vec<(Box<str>, super::message::Role)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) assets: Vec<Asset>,
    pub(super) signals: Vec<Signal>,
    pub(super) senders: Vec<Sender>,
    asset_ids: HashMap<AssetPath, u32>,
    signal_ids: HashMap<(u32, SignalName), u32>,
    sender_ids: HashMap<(u32, String), u32>,
}

impl Registry {
    /// A registry of what a checkpoint held; `None` if its parts don't fit together.
    pub(super) fn restore(assets: Vec<Asset>, signals: Vec<Signal>, senders: Vec<Sender>) -> Option<Self> {
        let mut registry = Self::default();
        for (id, asset) in assets.iter().enumerate() {
            registry.asset_ids.insert(asset.path.clone(), number(id));
        }
        for (id, signal) in signals.iter().enumerate() {
            assets.get(signal.asset as usize)?;
            registry.signal_ids.insert((signal.asset, signal.name.clone()), number(id));
        }
        for (id, sender) in senders.iter().enumerate() {
            assets.get(sender.asset as usize)?;
            if !sender.tracker.is_sound(signals.len()) {
                return None;
            }
            registry.sender_ids.insert((sender.asset, sender.origin.clone()), number(id));
        }
        let unique = registry.asset_ids.len() == assets.len() && registry.signal_ids.len() == signals.len();
        (registry.assets, registry.signals, registry.senders) = (assets, signals, senders);
        unique.then_some(registry)
    }

    /// The number of an asset; `None` over the limit.
    pub(super) fn asset(&mut self, path: &AssetPath, limits: &Limits) -> Option<u32> {
        if let Some(id) = self.asset_ids.get(path) {
            return Some(*id);
        }
        if self.assets.len() >= limits.max_assets {
            return None;
        }
        let id = number(self.assets.len());
        self.assets.push(Asset { path: path.clone(), machine: Machine::default() });
        self.asset_ids.insert(path.clone(), id);
        Some(id)
    }

    /// The number of a signal if it is known.
    pub(super) fn known_signal(&self, asset: u32, name: &SignalName) -> Option<u32> {
        self.signal_ids.get(&(asset, name.clone())).copied()
    }

    /// The number of a signal; `None` over the limit.
    pub(super) fn signal(&mut self, asset: u32, name: &SignalName, unit: &str, settings: (&[Detector], &Limits)) -> Option<u32> {
        let (detectors, limits) = settings;
        if let Some(id) = self.known_signal(asset, name) {
            let signal = &mut self.signals[id as usize];
            if signal.unit != unit {
                unit.clone_into(&mut signal.unit);
            }
            return Some(id);
        }
        if self.signals.len() >= limits.max_signals {
            return None;
        }
        let path = self.assets[asset as usize].path.as_str();
        let covering = detectors.iter().enumerate().filter(|(_, d)| d.covers(path, name.as_str()));
        let detectors = covering.map(|(i, d)| (number(i), State::new(d))).collect();
        let id = number(self.signals.len());
        self.signals.push(Signal { asset, name: name.clone(), unit: unit.to_owned(), series: Series::default(), detectors });
        self.signal_ids.insert((asset, name.clone()), id);
        Some(id)
    }

    /// The number of a sender. There are at most as many as assets times topics and devices.
    pub(super) fn sender(&mut self, asset: u32, origin: &str) -> u32 {
        if let Some(id) = self.sender_ids.get(&(asset, origin.to_owned())) {
            return *id;
        }
        let id = number(self.senders.len());
        self.senders.push(Sender {
            asset,
            origin: origin.to_owned(),
            tracker: Tracker::default(),
            last_at: None,
            missing_before: None,
            layout: Vec::new(),
        });
        self.sender_ids.insert((asset, origin.to_owned()), id);
        id
    }

    pub(super) fn path(&self, asset: u32) -> AssetPath {
        self.assets[asset as usize].path.clone()
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
