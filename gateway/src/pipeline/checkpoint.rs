//! The checkpoint: all that the pipeline remembers, as bytes that are made durable together with the records before it.
//!
//! Layout: magic `MRGC`, a version byte, then postcard of [`Snapshot`]. Life cycle: written with every commit, read once at the start. It is
//! found whole or not at all (the spool checks it); one that can't be read all the same costs what was open, and is told.

use std::borrow::Cow;

use protocol::{Loss, LossReason, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Pipeline,
    registry::{Asset, Registry, Sender, Signal},
};
use crate::{clock::Now, detect::State, ledger::Ledger, window::Lengths};

const MAGIC: &[u8; 4] = b"MRGC";
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Snapshot<'a> {
    committed_at: Timestamp,
    /// The monotonic clock of the process that wrote it.
    mono_us: u64,
    boot_id: u64,
    clean: bool,
    interval_us: i64,
    lengths: (i64, i64, i64),
    /// Fingerprints of the detectors that the signals' states belong to.
    detectors: Vec<u64>,
    assets: Cow<'a, [Asset]>,
    signals: Cow<'a, [Signal]>,
    senders: Cow<'a, [Sender]>,
    ledger: Cow<'a, Ledger>,
}

/// Why a checkpoint can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("it is no checkpoint")]
    Magic,
    #[error("its version is {0}, this program reads {VERSION}")]
    Version(u8),
    #[error("it can't be decoded: {0}")]
    Postcard(#[from] postcard::Error),
    #[error("its parts don't fit together")]
    Unsound,
}

impl Pipeline {
    pub(super) fn write_checkpoint(&self, now: Now, clean: bool) -> Vec<u8> {
        let Lengths { length_us, lateness_us, grace_us } = self.lengths;
        let snapshot = Snapshot {
            committed_at: now.wall,
            mono_us: now.mono_us,
            boot_id: self.boot_id,
            clean,
            interval_us: self.interval_us,
            lengths: (length_us, lateness_us, grace_us),
            detectors: self.detectors.iter().map(crate::detect::Detector::fingerprint).collect(),
            assets: Cow::Borrowed(&self.registry.assets),
            signals: Cow::Borrowed(&self.registry.signals),
            senders: Cow::Borrowed(&self.registry.senders),
            ledger: Cow::Borrowed(&self.out.ledger),
        };
        let mut bytes = Vec::with_capacity(256 + 160 * self.registry.signals.len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        // Encoding plain data into a growing vector has no way to fail; if it did, the next start would say so.
        postcard::to_extend(&snapshot, bytes).unwrap_or_default()
    }

    /// Goes on from a checkpoint; what is wrong with it becomes a loss.
    pub(super) fn restore(&mut self, bytes: &[u8], now: Now) {
        if let Err(error) = self.adopt(bytes, now) {
            let detail = format!("checkpoint can't be used: {error}; what was open at the last stop is lost");
            self.out.ledger.book(power_cut(now.wall, now.wall, detail));
        }
    }

    fn adopt(&mut self, bytes: &[u8], now: Now) -> Result<(), RestoreError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(RestoreError::Magic)?;
        let (version, body) = body.split_first().ok_or(RestoreError::Magic)?;
        if *version != VERSION {
            return Err(RestoreError::Version(*version));
        }
        let snapshot: Snapshot<'_> = postcard::from_bytes(body)?;
        let (length_us, lateness_us, grace_us) = snapshot.lengths;
        let parts = (snapshot.assets.into_owned(), snapshot.signals.into_owned(), snapshot.senders.into_owned());
        let mut registry = Registry::restore(parts.0, parts.1, parts.2).filter(|_| length_us > 0).ok_or(RestoreError::Unsound)?;
        self.arm(&mut registry, &snapshot.detectors);
        for signal in &mut registry.signals {
            signal.series.rebase(snapshot.mono_us, now.mono_us);
        }
        let until = snapshot.committed_at.plus_micros(snapshot.interval_us);
        for sender in &mut registry.senders {
            sender.tracker.rebase(now.mono_us);
            if !snapshot.clean {
                sender.missing_before = Some(until);
                // What a kill took came in after the commit. A sender whose clock does not agree with ours keeps its own.
                sender.last_at = sender.last_at.map(|last| {
                    let agrees = snapshot.committed_at.micros_since(last).abs() <= snapshot.interval_us;
                    if agrees { last.max(snapshot.committed_at) } else { last }
                });
            }
        }
        for asset in &mut registry.assets {
            asset.machine.rebase(now.mono_us);
        }
        self.registry = registry;
        self.out.ledger = snapshot.ledger.into_owned();
        self.out.ledger.rebase(now.mono_us);
        if length_us != self.lengths.length_us {
            let old = Lengths { length_us, lateness_us, grace_us };
            self.each_series(&old, |series, closed| series.close_all(&old, closed));
        }
        if !snapshot.clean {
            let from = snapshot.committed_at;
            // What came in after the last commit; a clock that was not set says nothing of when that ended.
            let to = if now.wall > from { until.min(now.wall) } else { until };
            let detail = format!("run {:016x} did not end in order", snapshot.boot_id);
            self.out.ledger.book(power_cut(from, to, detail));
        }
        Ok(())
    }

    /// Gives each signal the detectors of now, with the memory of those that are still the same.
    fn arm(&self, registry: &mut Registry, old: &[u64]) {
        let fingerprints: Vec<u64> = self.detectors.iter().map(crate::detect::Detector::fingerprint).collect();
        let Registry { assets, signals, .. } = registry;
        for signal in signals {
            let mut kept = std::mem::take(&mut signal.detectors);
            let path = assets[signal.asset as usize].path.as_str();
            for (index, detector) in self.detectors.iter().enumerate().filter(|(_, d)| d.covers(path, signal.name.as_str())) {
                let same = kept.iter().position(|(i, _)| old.get(*i as usize) == Some(&fingerprints[index]));
                let state = same.map_or_else(|| State::new(detector), |at| kept.swap_remove(at).1);
                signal.detectors.push((u32::try_from(index).unwrap_or(u32::MAX), state));
            }
        }
    }
}

fn power_cut(from: Timestamp, to: Timestamp, detail: String) -> Loss {
    Loss { asset: None, signal: None, reason: LossReason::PowerCut, count: 0, from, to, detail }
}
