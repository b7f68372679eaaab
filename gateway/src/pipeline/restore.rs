//! A start from the parts of a checkpoint: takes over what is remembered, and closes what was open.
//!
//! What the run before had open (windows, gaps, parts, losses) is told at once, in records of their own that say so (*inherited*). So nothing that
//! this run measures is ever mixed with what it found: if the checkpoint was an old one, put back from a backup, the collector can leave out the
//! one and keep the other.
//!
//! Invariant: each reading that the parts hold is in an inherited summary; each part that can't be read is told.

use std::collections::BTreeMap;

use protocol::{AssetPath, Loss, LossReason, Record, Timestamp};

use super::{
    Pipeline,
    checkpoint::{self, ASSETS, AssetPart, DIRECTORY, Directory, HEAD, Head, Relieved, RestoreError},
    registry::{Sender, Signal, Tally},
};
use crate::{clock::Now, detect::State, window::Lengths};

/// What is wrong with what was found.
struct Missing {
    asset: Option<AssetPath>,
    why: String,
}

impl Pipeline {
    /// Goes on from the parts of the last commit; what is wrong with them becomes a loss.
    pub(super) fn restore(&mut self, parts: &[(u32, Vec<u8>)], now: Now) {
        let find = |wanted: u32| parts.iter().find(|(id, _)| *id == wanted).map(|(_, bytes)| bytes.as_slice());
        let head = find(HEAD).ok_or(RestoreError::Magic).and_then(checkpoint::read::<Head<'_>>);
        let directory: Directory<'_> = find(DIRECTORY).and_then(|bytes| checkpoint::read(bytes).ok()).unwrap_or_default();
        self.relieved = Relieved::read(parts).lost;
        self.stale = parts.iter().map(|(id, _)| *id).filter(|id| *id >= ASSETS).collect();

        let mut missing = Vec::new();
        let mut found = Tally::default();
        let mut open = 0;
        let mut as_of = BTreeMap::new();
        for (id, bytes) in parts.iter().filter(|(id, _)| *id >= ASSETS) {
            let adopted = checkpoint::read::<AssetPart<'_>>(bytes).and_then(|part| {
                let at = part.as_of;
                Ok((self.adopt(part)?, at))
            });
            match adopted {
                Ok((asset, at)) => {
                    let entry = &self.registry.assets[asset as usize];
                    found = found.plus(entry.tally);
                    open += self.registry.open_readings(entry);
                    as_of.insert(asset, at);
                }
                Err(error) => {
                    missing.push(Missing { asset: directory.get(id).map(|path| path.clone().into_owned()), why: error.to_string() });
                }
            }
        }
        for (id, path) in &directory {
            if find(*id).is_none() {
                missing.push(Missing { asset: Some(path.clone().into_owned()), why: "it is gone".into() });
            }
        }
        match head {
            Ok(head) => self.take_head(head, (found, open), missing, &as_of, now),
            Err(error) => {
                missing.push(Missing { asset: None, why: format!("the head: {error}") });
                self.tell_missing(&missing, 0, (now.wall, now.wall.plus_micros(1)));
            }
        }
        self.close_inherited(now);
    }

    fn take_head(&mut self, head: Head<'_>, found: (Tally, u64), missing: Vec<Missing>, as_of: &BTreeMap<u32, Timestamp>, now: Now) {
        self.full_at = head.full_at;
        self.budget = head.budget;
        self.out.lost_after = head.lost_after;
        self.out.lost_before = head.lost_before;
        self.departed = head.departed.plus(head.tally.minus(found.0));
        let due = head.full_at.plus_micros(head.interval_us);
        // How long it went on taking in while its disk took nothing, nobody knows: at the longest until now.
        let until = due.max(now.wall);
        // What came in after the last commit; a clock that was not set says nothing of when that ended.
        let to = if now.wall > head.full_at { until.min(now.wall) } else { until };
        let lost = head.open.saturating_sub(found.1);
        self.out.lost_after = self.out.lost_after.saturating_add(lost);
        let begun = head.full_at.plus_micros(-self.lengths.length_us.saturating_add(self.lengths.lateness_us));
        self.tell_missing(&missing, lost, (begun, to));
        if !head.clean {
            self.senders_after_a_cut((head.full_at, until), head.interval_us, as_of);
            let detail = format!("run {:016x} did not end in order", head.boot_id);
            self.inherit_loss(power_cut(None, 0, (head.full_at, to), detail));
        }
        for mut loss in head.unsaved.iter().cloned() {
            loss.reason = LossReason::PowerCut;
            self.out.lost_after = self.out.lost_after.saturating_add(loss.count);
            self.inherit_loss(loss);
        }
        for loss in head.ledger.into_owned().drain() {
            self.out.inherit(loss);
        }
    }

    /// After a kill: a sender's gap lies between the last commit of its asset and the latest moment at which the next was due.
    fn senders_after_a_cut(&mut self, (full_at, until): (Timestamp, Timestamp), interval_us: i64, as_of: &BTreeMap<u32, Timestamp>) {
        // The part of an asset is written for the last time when its last window has closed.
        let Lengths { length_us, lateness_us, grace_us } = self.lengths;
        let closing_us = [length_us, lateness_us, grace_us].into_iter().fold(interval_us, i64::saturating_add);
        for sender in &mut self.registry.senders {
            let written = as_of.get(&sender.asset).copied().unwrap_or(full_at);
            let committed = full_at.max(written);
            // What a kill took came in after the commit. A sender whose clock does not agree with ours keeps its own, and one that was not heard
            // since a kill before may have sent what is missing before that.
            let not_heard = sender.missing_before.replace(until.max(committed)).is_some();
            sender.last_at = sender.last_at.map(|last| {
                let (ago_us, silent_us) = (written.micros_since(last), committed.micros_since(written));
                if not_heard {
                    last
                } else if committed.micros_since(last).abs() <= interval_us {
                    last.max(committed)
                } else if (-interval_us..=closing_us).contains(&ago_us) {
                    // Silent for a while: by its own clock the commit was that much later than what it sent last.
                    last.plus_micros(silent_us)
                } else {
                    last
                }
            });
        }
    }

    /// Tells of parts that are gone, and of the readings that were in them.
    fn tell_missing(&mut self, missing: &[Missing], readings: u64, range: (Timestamp, Timestamp)) {
        for Missing { asset, why } in missing {
            let count = if missing.len() == 1 { readings } else { 0 };
            let detail = format!("a part of the checkpoint can't be used: {why}; what was open in it is lost");
            self.inherit_loss(power_cut(asset.clone(), count, range, detail));
        }
        if missing.len() > 1 && readings > 0 {
            let detail = format!("open readings in {} parts of the checkpoint that can't be used", missing.len());
            self.inherit_loss(power_cut(None, readings, range, detail));
        }
    }

    fn adopt(&mut self, part: AssetPart<'_>) -> Result<u32, RestoreError> {
        let trackers_sound = part.senders.iter().all(|sender| sender.tracker.is_sound());
        if part.length_us <= 0 || !trackers_sound || self.registry.has_asset(&part.path) {
            return Err(RestoreError::Unsound);
        }
        // All is looked at before anything is taken over.
        let first = u32::try_from(self.registry.signals.len()).unwrap_or(u32::MAX);
        let count = u32::try_from(part.signals.len()).unwrap_or(u32::MAX);
        let number = |place: u32| (place < count).then(|| first + place);
        let trackers: Option<Vec<_>> = part.senders.iter().map(|sender| sender.tracker.renumbered(number)).collect();
        let trackers = trackers.ok_or(RestoreError::Unsound)?;
        let mut names: Vec<_> = part.signals.iter().map(|signal| signal.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != part.signals.len() {
            return Err(RestoreError::Unsound);
        }

        let asset = self.registry.add_asset(part.path.into_owned(), part.machine.into_owned());
        self.registry.assets[asset as usize].tally = part.tally;
        self.inherited_lengths.insert(asset, part.length_us);
        for signal in part.signals {
            let mut kept: Vec<_> = signal.detectors.into_iter().map(|(print, state)| (print, state.into_owned())).collect();
            let name = signal.name.into_owned();
            let path = self.registry.assets[asset as usize].path.as_str();
            let covering = self.detectors.iter().enumerate().filter(|(_, detector)| detector.covers(path, name.as_str()));
            // The detectors of now, with the memory of those that are still the same.
            let arm = |(index, detector): (usize, &crate::detect::Detector)| {
                let same = kept.iter().position(|(print, _)| *print == self.fingerprints[index]);
                let state = same.map_or_else(|| State::new(detector), |at| kept.swap_remove(at).1);
                (u32::try_from(index).unwrap_or(u32::MAX), state)
            };
            let detectors = covering.map(arm).collect();
            let (unit, series) = (signal.unit.into_owned(), signal.series.into_owned());
            self.registry.add_signal(Signal { asset, name, unit, series, detectors });
        }
        for (sender, tracker) in part.senders.into_iter().zip(trackers) {
            self.registry.add_sender(Sender {
                asset,
                origin: sender.origin.into_owned(),
                tracker,
                last_at: sender.last_at,
                inherited: true,
                missing_before: sender.missing_before,
                layout: Vec::new(),
            });
        }
        Ok(asset)
    }

    /// Closes all that was found open.
    fn close_inherited(&mut self, now: Now) {
        let Lengths { lateness_us, grace_us, .. } = self.lengths;
        for signal in &mut self.registry.signals {
            let length_us = self.inherited_lengths.get(&signal.asset).copied().unwrap_or(self.lengths.length_us);
            let path = &self.registry.assets[signal.asset as usize].path;
            let out = &mut self.out;
            signal.series.close_all(&Lengths { length_us, lateness_us, grace_us }, |window| {
                out.inherit(window.summary(path.clone(), signal.name.clone(), signal.unit.clone(), length_us));
            });
        }
        self.inherited_lengths.clear();
        for index in 0..self.registry.senders.len() {
            let sender = &mut self.registry.senders[index];
            let asset = sender.asset;
            for mut gap in sender.tracker.close() {
                gap.inherited = true;
                self.book_gap(asset, &gap);
            }
        }
        for asset in &mut self.registry.assets {
            if let Some((parts, _)) = asset.machine.parts(&asset.path, now.mono_us, true) {
                self.out.inherit(parts);
            }
            asset.machine.resume(now.mono_us);
            asset.news = super::registry::News::Due;
        }
    }

    /// A loss of the run before: counted, and told as such.
    pub(super) fn inherit_loss(&mut self, loss: Loss) {
        self.out.ledger.count(&loss);
        self.out.inherit(Record::Loss(loss));
    }
}

fn power_cut(asset: Option<AssetPath>, count: u64, (from, to): (Timestamp, Timestamp), detail: String) -> Loss {
    Loss { asset, signal: None, reason: LossReason::PowerCut, count, from, to, detail: crate::ledger::clip(&detail) }
}
