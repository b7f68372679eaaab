//! Who and what the pipeline knows: assets, signals and senders, each once, by a small number.
//!
//! Invariant: entries are only added, up to the configured limits, so that a number stays valid as long as the process. Each signal and sender
//! belongs to one asset, and is made durable with it.

use std::collections::HashMap;

use protocol::{AssetPath, SignalName, Timestamp};

use crate::{
    config::Limits,
    detect::{Detector, State},
    machine::Machine,
    sequence::Tracker,
    window::Series,
};

/// A machine.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) path: AssetPath,
    pub(super) machine: Machine,
    /// In the order in which they were seen.
    pub(super) signals: Vec<u32>,
    pub(super) senders: Vec<u32>,
    pub(super) tally: Tally,
    pub(super) news: News,
    /// What the newest part that was handed to a commit says.
    pub(super) written: Written,
}

/// What an asset adds to the gateway's books, in readings since it was first seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Tally {
    pub(super) taken: u64,
    pub(super) duplicates: u64,
    pub(super) late: u64,
}

impl Tally {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            taken: self.taken.saturating_add(other.taken),
            duplicates: self.duplicates.saturating_add(other.duplicates),
            late: self.late.saturating_add(other.late),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            taken: self.taken.saturating_sub(other.taken),
            duplicates: self.duplicates.saturating_sub(other.duplicates),
            late: self.late.saturating_sub(other.late),
        }
    }
}

/// Whether an asset is as its part in the checkpoint says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    #[default]
    None,
    /// It changed: a matter of the next full commit.
    Changed,
    /// It made a record or booked a loss: its part goes with these.
    Due,
}

/// What of an asset is in the checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) tally: Tally,
    /// Readings in its open windows.
    pub(super) open: u64,
}

/// A signal of a machine with all that is remembered of it.
#[derive(Debug)]
pub(super) struct Signal {
    pub(super) asset: u32,
    pub(super) name: SignalName,
    pub(super) unit: String,
    pub(super) series: Series,
    /// Detectors that cover it, by their index.
    pub(super) detectors: Vec<(u32, State)>,
}

/// One publisher or device: what carries a sequence of its own.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) asset: u32,
    /// The topic's template, or `modbus:` and the device's name.
    pub(super) origin: String,
    pub(super) tracker: Tracker,
    /// Event time of its newest message.
    pub(super) last_at: Option<Timestamp>,
    /// It was found in the checkpoint and has said nothing since: a gap before its first message began in another run.
    pub(super) inherited: bool,
    /// After a restart that was not in order: what is missing was sent before this.
    pub(super) missing_before: Option<Timestamp>,
    /// Fields of its last message and what they are, in their order.
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
    /// The number of an asset; `None` over the limit.
    pub(super) fn asset(&mut self, path: &AssetPath, limits: &Limits) -> Option<u32> {
        if let Some(id) = self.asset_ids.get(path) {
            return Some(*id);
        }
        (self.assets.len() < limits.max_assets).then(|| self.add_asset(path.clone(), Machine::default()))
    }

    /// A new asset, whatever the limit.
    pub(super) fn add_asset(&mut self, path: AssetPath, machine: Machine) -> u32 {
        let id = number(self.assets.len());
        self.asset_ids.insert(path.clone(), id);
        self.assets.push(Asset {
            path,
            machine,
            signals: Vec::new(),
            senders: Vec::new(),
            tally: Tally::default(),
            news: News::Changed,
            written: Written::default(),
        });
        id
    }

    /// True if the asset is known.
    pub(super) fn has_asset(&self, path: &AssetPath) -> bool {
        self.asset_ids.contains_key(path)
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
        Some(self.add_signal(Signal { asset, name: name.clone(), unit: unit.to_owned(), series: Series::default(), detectors }))
    }

    pub(super) fn add_signal(&mut self, signal: Signal) -> u32 {
        let id = number(self.signals.len());
        self.signal_ids.insert((signal.asset, signal.name.clone()), id);
        self.assets[signal.asset as usize].signals.push(id);
        self.signals.push(signal);
        id
    }

    /// The number of a sender. There are at most as many as assets times topics and devices.
    pub(super) fn sender(&mut self, asset: u32, origin: &str) -> u32 {
        if let Some(id) = self.sender_ids.get(&(asset, origin.to_owned())) {
            return *id;
        }
        self.add_sender(Sender {
            asset,
            origin: origin.to_owned(),
            tracker: Tracker::default(),
            last_at: None,
            inherited: false,
            missing_before: None,
            layout: Vec::new(),
        })
    }

    pub(super) fn add_sender(&mut self, sender: Sender) -> u32 {
        let id = number(self.senders.len());
        self.sender_ids.insert((sender.asset, sender.origin.clone()), id);
        self.assets[sender.asset as usize].senders.push(id);
        self.senders.push(sender);
        id
    }

    pub(super) fn path(&self, asset: u32) -> AssetPath {
        self.assets[asset as usize].path.clone()
    }

    /// Notes that an asset is no longer as its part says.
    pub(super) fn note(&mut self, asset: u32, news: News) {
        let known = &mut self.assets[asset as usize].news;
        *known = news.max(*known);
    }

    /// Readings in the open windows of an asset.
    pub(super) fn open_readings(&self, asset: &Asset) -> u64 {
        asset.signals.iter().map(|id| self.signals[*id as usize].series.open_readings()).sum()
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
