//! A collector in memory and a gateway's spool on a simulated disk, for tests of the courier in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use protocol::{
    Ack, AssetPath, Batch, BatchAck, EntryStamp, GatewayId, GatewayStatus, Loss, Quality, Record, SignalName, StreamId, TimeQuality,
    Timestamp, Want, WindowSummary,
    codec::{self, Limits},
};
use spool::{Append, Lane, NewEntry, Options, Spool, SpoolTime, simulated::SimDisk};

use super::{Answer, Courier, Request, Settings, Step};
use crate::{clock::Now, config::CatchUp, drive::Dropped, entry};

/// Virtual time begins here.
pub(super) const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

pub(super) fn window(machine: &str, signal: &str, start: i64, count: u64) -> Record {
    Record::Window(WindowSummary {
        asset: AssetPath::new(&format!("p/a/l/{machine}")).unwrap(),
        signal: SignalName::new(signal).unwrap(),
        unit: "Cel".into(),
        start: Timestamp::from_micros(start),
        end: Timestamp::from_micros(start + 1_000_000),
        count,
        min: 1.0,
        max: 3.0,
        mean: 2.0,
        stddev: 0.5,
        first: 1.0,
        last: 3.0,
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    })
}

pub(super) fn status() -> GatewayStatus {
    GatewayStatus { boot_id: 1, started_at: START, version: "test".into(), durable: true, ..GatewayStatus::default() }
}

/// Names an entry at the collector.
pub(super) type Key = (StreamId, u64);

/// What the collector has, and what it can give back when it is set back.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) marks: BTreeMap<StreamId, u64>,
    pub(super) entries: BTreeMap<Key, Vec<Record>>,
    /// Entries that it was told can't be had any more.
    pub(super) holes: BTreeSet<Key>,
}

/// A collector that keeps a mark for each stream.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) stored: Stored,
    /// Batches with a record of this machine are refused.
    pub(super) poison: Option<&'static str>,
    /// Does not say what it misses.
    pub(super) silent: bool,
    pub(super) hold_ms: u32,
    pub(super) catch_up_hold_ms: u32,
    /// In order of arrival: when (monotonic), which entries, whether it was told to be of a backlog.
    pub(super) arrivals: Vec<(u64, StreamId, u64, u64, bool)>,
    pub(super) heartbeats: u64,
}

impl Model {
    pub(super) fn take(&mut self, body: &[u8], now: Now) -> Answer {
        let batch = codec::decode_batch(body, &Limits::default()).expect("a batch that can be decoded");
        if self.poison.is_some_and(|machine| batch.records.iter().any(|stamped| names(&stamped.record, machine))) {
            return Answer::Refused { status: 400, detail: "poison".into() };
        }
        let (ack, through) = self.store(&batch, now);
        let wants = self.wants(&batch);
        Answer::Ack(BatchAck {
            stream: batch.stream,
            ack,
            acked_through: through,
            received_at: now.wall,
            hold_ms: self.hold_ms,
            catch_up_hold_ms: self.catch_up_hold_ms,
            wants,
        })
    }

    fn store(&mut self, batch: &Batch, now: Now) -> (Ack, Option<u64>) {
        let mark = self.stored.marks.get(&batch.stream).copied().unwrap_or(0);
        let Some(range) = batch.range else {
            self.heartbeats += 1;
            return (Ack::Heartbeat, (mark > 0).then_some(mark));
        };
        assert_eq!(batch.entries.len() as u64, range.last - range.first + 1);
        self.arrivals.push((now.mono_us, batch.stream, range.first, range.last, batch.catch_up));
        if range.last <= mark {
            return (Ack::Duplicate, Some(mark));
        }
        if range.first > mark + 1 && batch.floor_seq <= mark + 1 {
            return (Ack::Gap { expected: mark + 1 }, (mark > 0).then_some(mark));
        }
        if range.first > mark + 1 {
            assert!(batch.floor_seq >= range.first, "the hole ends where the batch begins, else it is to be filled");
            self.stored.holes.extend((mark + 1..range.first).map(|seq| (batch.stream, seq)));
        }
        for seq in mark.max(range.first - 1) + 1..=range.last {
            let records = batch.records.iter().filter(|stamped| stamped.seq == seq).map(|stamped| stamped.record.clone()).collect();
            let before = self.stored.entries.insert((batch.stream, seq), records);
            assert!(before.is_none(), "stored twice");
        }
        self.stored.marks.insert(batch.stream, range.last);
        (Ack::Stored, Some(range.last))
    }

    /// What the gateway holds and believes to be here.
    fn wants(&self, batch: &Batch) -> Vec<Want> {
        let wanted = batch.status.streams.iter().filter_map(|held| {
            let mark = self.stored.marks.get(&held.stream).copied().unwrap_or(0);
            (held.acked > mark && !self.silent).then(|| Want { stream: held.stream, from: (mark + 1).max(held.first) })
        });
        wanted.collect()
    }
}

fn names(record: &Record, machine: &str) -> bool {
    match record {
        Record::Window(window) => window.asset.machine() == machine,
        Record::Loss(Loss { asset: Some(asset), .. }) => asset.machine() == machine,
        _ => false,
    }
}

/// A gateway: its disk survives it.
pub(super) struct Gateway {
    pub(super) disk: SimDisk,
    pub(super) options: Options,
    pub(super) settings: Settings,
    pub(super) spool: Spool,
    pub(super) courier: Courier,
    pub(super) now: Now,
    /// Each entry whose append returned: its records, and the readings in it.
    pub(super) appended: BTreeMap<Key, (Vec<Record>, u64)>,
    pub(super) dropped: Vec<Dropped>,
    pub(super) letters: u64,
    /// Losses of entries that opening the spool found lost.
    pub(super) salvaged_lost: u64,
}

impl Gateway {
    pub(super) fn new(seed: u64, catch_up: CatchUp, options: Options) -> Self {
        let disk = SimDisk::new(seed);
        let settings = Settings { gateway: GatewayId::new("press-gw1").unwrap(), catch_up, interval: Duration::from_secs(1) };
        let (spool, _) = Spool::open(Arc::new(disk.clone()), options, time(START)).unwrap();
        Self {
            disk,
            options,
            courier: Courier::new(settings.clone()),
            settings,
            spool,
            now: Now::synced(START, 1),
            appended: BTreeMap::new(),
            dropped: Vec::new(),
            letters: 0,
            salvaged_lost: 0,
        }
    }

    /// Appends an entry with these records.
    pub(super) fn append(&mut self, lane: usize, records: Vec<Record>) -> Key {
        let stamp =
            EntryStamp { boot_id: 1, mono_us: self.now.mono_us, wall: self.now.wall, time_quality: TimeQuality::Synced, inherited: false };
        let payload = entry::encode(&stamp, &records).unwrap();
        let units = entry::readings(&records);
        let entry = NewEntry { lane: Lane(lane as u8), payload: &payload, units };
        let appended = self.spool.append(&Append { entries: &[entry], ..Append::default() }, time(self.now.wall)).unwrap();
        let view = self.spool.view();
        let generation = view.iter().find(|generation| generation.ordinal == appended.generation).unwrap();
        let key = (StreamId::of(generation.id, lane), appended.spans[lane].first);
        assert!(self.appended.insert(key, (records, units)).is_none());
        key
    }

    /// The process ends, with or without its machine, and starts again.
    pub(super) fn restart(&mut self, power_cut: bool) {
        if power_cut {
            self.disk.power_cut();
        } else {
            self.disk.kill();
        }
        self.reopen();
    }

    pub(super) fn reopen(&mut self) {
        let (spool, report) = Spool::open(Arc::new(self.disk.clone()), self.options, time(self.now.wall)).unwrap();
        self.salvaged_lost += report.salvaged.iter().map(|salvaged| salvaged.entries_lost).sum::<u64>();
        self.spool = spool;
        self.courier = Courier::new(self.settings.clone());
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(super) fn next(&mut self) -> Step {
        let step = self.courier.next(&self.spool, self.now, status(), &|stamp, _| *stamp);
        self.letters += self.courier.take_dead_letters().len() as u64;
        step
    }

    pub(super) fn answered(&mut self, answer: Answer, random: f64) {
        let dropped = self.courier.answered(&self.spool, self.now, answer, random);
        self.dropped.extend(dropped);
    }

    pub(super) fn unsent(&self) -> u64 {
        self.spool.view().iter().flat_map(|generation| &generation.lanes).map(super::unsent).sum()
    }

    /// One step with a collector that works; requests take `latency`.
    pub(super) fn step_well(&mut self, model: &mut Model, latency: Duration) -> Option<Request> {
        match self.next() {
            Step::Send(request) => {
                self.pass(latency);
                let answer = model.take(&request.body, self.now);
                self.answered(answer, 0.5);
                Some(request)
            }
            Step::Wait(wait) => {
                self.pass(wait);
                None
            }
            Step::Idle => {
                self.pass(Duration::from_millis(500));
                None
            }
        }
    }

    /// Until the collector has all.
    pub(super) fn drain(&mut self, model: &mut Model) {
        for _ in 0..20_000 {
            if self.unsent() == 0 && model.wants_nothing(self) {
                return;
            }
            self.step_well(model, Duration::from_millis(20));
        }
        panic!("never drained: {:?} {:?}", self.courier.report(self.now), self.spool.view());
    }
}

impl Model {
    fn wants_nothing(&self, gateway: &Gateway) -> bool {
        if self.silent {
            return true;
        }
        super::queue::held(&gateway.spool.view()).iter().all(|held| self.stored.marks.get(&held.stream).copied().unwrap_or(0) >= held.acked)
    }
}

pub(super) fn time(at: Timestamp) -> SpoolTime {
    SpoolTime(at.as_micros() as u64)
}

/// Every entry is at the collector as it was made, or as losses of as many readings; and nothing else is.
pub(super) fn audit(gateway: &Gateway, model: &Model) -> Result<(), String> {
    for (key, (records, readings)) in &gateway.appended {
        match model.stored.entries.get(key) {
            Some(stored) if stored == records => {}
            Some(stored) => {
                let told: u64 = stored.iter().map(|record| if let Record::Loss(loss) = record { loss.count } else { u64::MAX / 4 }).sum();
                if stored.is_empty() || told != *readings {
                    return Err(format!("{key:?}: {readings} readings were replaced by {stored:?}"));
                }
            }
            None if model.stored.holes.contains(key) => return Err(format!("{key:?} was given up")),
            None => return Err(format!("{key:?} is missing")),
        }
    }
    match model.stored.entries.keys().find(|key| !gateway.appended.contains_key(*key)) {
        Some(key) => Err(format!("{key:?} was never appended")),
        None => Ok(()),
    }
}
