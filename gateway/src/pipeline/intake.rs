//! Takes the sample of one message or poll in: sequence first, then windows and detectors, then the machine.
//!
//! Invariant: a sample is taken whole or, as a duplicate, not at all.

use protocol::{Anomaly, Loss, LossReason, MachineState, Quality, TimeQuality, Timestamp};

use super::{
    Pipeline,
    registry::{Asset, News, Signal},
};
use crate::{
    clock::Now,
    decode::time::EARLIEST,
    detect::Detector,
    ledger,
    machine::{Counts, Facts, Since},
    sequence::{Gap, Verdict},
    window::{Lengths, Point, Series, Window},
};

/// Numbers beyond this are sentinels and faults; their squares would not fit.
const MAX_MAGNITUDE: f64 = 1e100;

/// All that a message or poll says, decoded.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// The source's own stamp.
    pub(super) stamp: Option<Timestamp>,
    pub(super) session: Option<u64>,
    pub(super) sequence: Option<u64>,
    /// Width of the sequence.
    pub(super) sequence_bits: u32,
    pub(super) state: Option<MachineState>,
    pub(super) since: Option<Timestamp>,
    pub(super) elapsed_us: Option<i64>,
    pub(super) reason: String,
    pub(super) counts: Counts,
    pub(super) counter_bits: [u32; 3],
    /// Signal and value.
    pub(super) readings: Vec<(u32, f64)>,
    /// What can't be taken.
    pub(super) bad: Vec<Bad>,
}

#[derive(Debug)]
pub(super) struct Bad {
    pub(super) signal: Option<u32>,
    pub(super) reason: LossReason,
    pub(super) count: u64,
    pub(super) detail: String,
}

impl Sample {
    /// Empties it for the next message and keeps its room.
    pub(super) fn clear(&mut self) {
        let (mut readings, mut bad) = (std::mem::take(&mut self.readings), std::mem::take(&mut self.bad));
        readings.clear();
        bad.clear();
        *self = Self { readings, bad, sequence_bits: 64, counter_bits: [32; 3], ..Self::default() };
    }

    /// Adds a reading, if it is a number to reckon with.
    pub(super) fn reading(&mut self, signal: u32, value: f64) {
        if value.is_finite() && value.abs() <= MAX_MAGNITUDE {
            self.readings.push((signal, value));
        } else {
            self.bad(Some(signal), LossReason::NotFinite, 1, &format!("value {value}"));
        }
    }

    pub(super) fn bad(&mut self, signal: Option<u32>, reason: LossReason, count: u64, detail: &str) {
        self.bad.push(Bad { signal, reason, count, detail: ledger::clip(detail) });
    }
}

impl Pipeline {
    /// Takes a sample of `sender` in; returns the readings taken.
    pub(super) fn take(&mut self, now: Now, sender: u32, sample: &Sample) -> u64 {
        let (at, time_quality) = self.event_time(now, sample.stamp);
        let Some(passed) = self.pass(now, sender, sample, at) else {
            let readings = sample.readings.len() as u64 + sample.bad.iter().map(|b| b.count).sum::<u64>();
            self.totals.duplicates = self.totals.duplicates.saturating_add(readings);
            let asset = self.registry.senders[sender as usize].asset;
            self.registry.note(asset, News::Changed);
            self.registry.assets[asset as usize].tally.duplicates += readings;
            return 0;
        };
        let asset = self.registry.senders[sender as usize].asset;
        self.registry.note(asset, News::Changed);
        for bad in &sample.bad {
            self.book(asset, bad, (at, at));
        }
        for &(signal, value) in &sample.readings {
            self.reading(now, signal, Point { at, value, quality: Quality::Good, time_quality });
        }
        let taken = sample.readings.len() as u64;
        self.totals.readings = self.totals.readings.saturating_add(taken);
        self.machine(now, asset, sample, (at, time_quality), passed);
        taken
    }

    fn reading(&mut self, now: Now, id: u32, point: Point) {
        let Self { registry, out, lengths, detectors, totals, .. } = self;
        let Signal { asset, name, unit, series, detectors: states } = &mut registry.signals[id as usize];
        let Asset { path, tally, news, .. } = &mut registry.assets[*asset as usize];
        let late = series.add(lengths, now.mono_us, point, |window| {
            *news = News::Due;
            out.emit(window.summary(path.clone(), name.clone(), unit.clone(), lengths.length_us));
        });
        totals.late += u64::from(late);
        tally.late += u64::from(late);
        tally.taken += 1;
        for (index, state) in states {
            let Some(detector): Option<&Detector> = detectors.get(*index as usize) else { continue };
            if let Some(finding) = state.look(detector, point.at, point.value) {
                totals.anomalies += 1;
                *news = News::Due;
                out.emit(Anomaly {
                    asset: path.clone(),
                    signal: name.clone(),
                    event_time: point.at,
                    kind: finding.kind,
                    severity: detector.severity,
                    value: point.value,
                    threshold: finding.threshold,
                    score: finding.score,
                    detector: detector.name.clone(),
                    message: finding.message(name.as_str(), unit, point.value),
                });
            }
        }
    }

    fn machine(&mut self, now: Now, asset: u32, sample: &Sample, (at, time_quality): (Timestamp, TimeQuality), passed: Passed) {
        let since = match (sample.since, sample.elapsed_us) {
            (Some(since), _) if time_quality == TimeQuality::Synced => Since::At(since),
            (_, Some(elapsed)) => Since::Elapsed(at.plus_micros(-elapsed)),
            _ => Since::Unknown,
        };
        let facts = Facts {
            at,
            mono_us: now.mono_us,
            is_next: sample.stamp.is_none() || sample.sequence.is_some(),
            time_quality,
            state: sample.state,
            since,
            reason: &sample.reason,
            counts: sample.counts,
            bits: sample.counter_bits,
            new_session: passed.new_session,
        };
        if !passed.in_order {
            let Asset { machine, path, .. } = &self.registry.assets[asset as usize];
            if let Some(change) = machine.overtaken(path, &facts) {
                self.registry.note(asset, News::Due);
                self.out.emit(change);
            }
            return;
        }
        let Some(change) = self.asset_facts(asset, &facts) else {
            if self.registry.assets[asset as usize].machine.spans_restart() {
                self.tell_parts(asset, now.mono_us, true);
            }
            return;
        };
        // Parts made before the change come before it.
        self.tell_parts(asset, now.mono_us, true);
        self.registry.note(asset, News::Due);
        self.out.emit(change);
    }

    fn asset_facts(&mut self, asset: u32, facts: &Facts<'_>) -> Option<protocol::StateChange> {
        let entry = &mut self.registry.assets[asset as usize];
        entry.machine.take(&entry.path, facts)
    }

    /// Emits the parts of an asset that wait, if it is time or `force` is set.
    pub(super) fn tell_parts(&mut self, asset: u32, now_us: u64, force: bool) {
        let entry = &mut self.registry.assets[asset as usize];
        let Some((parts, inherited)) = entry.machine.parts(&entry.path, now_us, force) else { return };
        entry.news = News::Due;
        if inherited { self.out.inherit(parts) } else { self.out.emit(parts) }
    }

    /// Lets a sample pass if it is new.
    fn pass(&mut self, now: Now, sender: u32, sample: &Sample, at: Timestamp) -> Option<Passed> {
        let entry = &mut self.registry.senders[sender as usize];
        let Some(sequence) = sample.sequence else {
            // A poll without an answer is no news of the sender; what it served then is missing too.
            if !sample.readings.is_empty() {
                entry.last_at = Some(at);
            }
            entry.missing_before = entry.missing_before.map(|before| before.max(at.plus_micros(1)));
            return Some(Passed { in_order: true, new_session: false });
        };
        let (missing, new_session) = match entry.tracker.observe(sample.session, sequence, sample.sequence_bits) {
            Verdict::Duplicate => return None,
            Verdict::Recovered => return Some(Passed { in_order: false, new_session: false }),
            Verdict::Fresh { missing, new_session } => (missing, new_session),
        };
        let from = entry.last_at.replace(at).unwrap_or(at);
        let before = entry.missing_before.take();
        let inherited = std::mem::take(&mut entry.inherited);
        if missing > 0 {
            let to = before.map_or(at, |before| before.min(at));
            let range = (from.min(to), from.max(to));
            let bad = sample.bad.iter().filter(|b| b.count > 0).filter_map(|b| b.signal);
            let signals = sample.readings.iter().map(|(signal, _)| *signal).chain(bad).collect();
            let asset = entry.asset;
            if let Some(gap) = entry.tracker.hold(missing, range, signals, inherited, now.mono_us) {
                self.book_gap(asset, &gap);
            }
        }
        Some(Passed { in_order: true, new_session })
    }

    /// Books a gap that can no longer be filled: so many readings of each signal.
    pub(super) fn book_gap(&mut self, asset: u32, gap: &Gap) {
        let mut lines: Vec<(Option<u32>, u64)> = gap.signals.iter().map(|signal| (Some(*signal), gap.messages())).collect();
        if lines.is_empty() {
            lines.push((None, 0));
        }
        for (signal, count) in lines {
            let bad = Bad { signal, reason: LossReason::SequenceGap, count, detail: gap.detail() };
            if gap.inherited {
                let loss = self.loss_of(asset, &bad, (gap.from, gap.to));
                self.out.lost_before = self.out.lost_before.saturating_add(loss.count);
                self.registry.note(asset, News::Due);
                self.inherit_loss(loss);
            } else {
                self.book(asset, &bad, (gap.from, gap.to));
            }
        }
    }

    /// Books what a machine's message or poll could not give.
    pub(super) fn book(&mut self, asset: u32, bad: &Bad, range: (Timestamp, Timestamp)) {
        // The ledger is in the head: what it is told must not stay news in the asset's part.
        self.registry.note(asset, News::Due);
        let loss = self.loss_of(asset, bad, range);
        self.out.book(loss);
    }

    fn loss_of(&self, asset: u32, bad: &Bad, (from, to): (Timestamp, Timestamp)) -> Loss {
        let signal = bad.signal.map(|id| self.registry.signals[id as usize].name.clone());
        let detail = ledger::clip(&bad.detail);
        Loss { asset: Some(self.registry.path(asset)), signal, reason: bad.reason, count: bad.count, from, to, detail }
    }

    /// The event time of a sample, and how far it can be trusted. A stamp of a clock that was never set, or that runs ahead of ours by more
    /// than is allowed, would carry the watermark away; the time of arrival stands in for it.
    fn event_time(&self, now: Now, stamp: Option<Timestamp>) -> (Timestamp, TimeQuality) {
        let known = now.time_quality != TimeQuality::Unsynced;
        match stamp {
            Some(stamp) if stamp < EARLIEST || (known && stamp.micros_since(now.wall) > self.max_future_us) => {
                (now.wall, TimeQuality::Unsynced)
            }
            Some(stamp) => (stamp, TimeQuality::Synced),
            None => (now.wall, now.time_quality),
        }
    }

    /// Closes windows in all series as `work` says.
    pub(super) fn each_series(&mut self, work: impl Fn(&Lengths, &mut Series, &mut dyn FnMut(Window))) {
        let Self { registry, out, lengths, .. } = self;
        for Signal { asset, name, unit, series, .. } in &mut registry.signals {
            if series.open() == 0 {
                continue;
            }
            let Asset { path, news, .. } = &mut registry.assets[*asset as usize];
            work(lengths, series, &mut |window| {
                *news = News::Due;
                out.emit(window.summary(path.clone(), name.clone(), unit.clone(), lengths.length_us));
            });
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Passed {
    /// Newer than all before: what it says of the machine stands. Else it was overtaken.
    in_order: bool,
    new_session: bool,
}
