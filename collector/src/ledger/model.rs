//! The ledger against a gateway, a lake and whatever can happen between them.
//!
//! The gateway is a model of the real one: generations with two lanes, open windows in a checkpoint that is written with each append, entries that
//! are kept a while after they were acknowledged. Each reading has a number, so that it can be asked where it went.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use protocol::{
    Batch, DATA, Descent, EntryInfo, EntryStamp, GatewayStatus, HeldStream, LANES, LossReason, Quality, Record, SeqRange, StampedRecord,
    TimeQuality, WindowSummary,
};

use super::{tests::status, *};
use crate::journal::entry::{FreshRow, Header};

/// Steps that a collector may take from an acknowledgement to the lake; half of what others wait.
const COMMIT_WITHIN: i64 = 4;
const PATIENCE: i64 = 2 * COMMIT_WITHIN + 2;

fn id() -> GatewayId {
    GatewayId::new("gw").expect("valid")
}

#[derive(Debug, Clone, Default)]
struct EntryM {
    readings: Vec<u64>,
    inherited: bool,
}

#[derive(Debug, Clone)]
struct GenerationM {
    id: u64,
    parent: Option<Parent>,
    entries: [Vec<EntryM>; LANES],
    first: [u64; LANES],
    acked: [u64; LANES],
}

impl GenerationM {
    fn next(&self, lane: usize) -> u64 {
        self.entries[lane].len() as u64 + 1
    }

    fn readings(&self, lane: usize, through: u64) -> u64 {
        self.entries[lane].iter().take(through as usize).map(|entry| entry.readings.len() as u64).sum()
    }
}

#[derive(Debug, Clone, Default)]
struct GatewayM {
    generations: Vec<GenerationM>,
    open: Vec<u64>,
    /// What of `open` is on disk.
    checkpoint: Vec<u64>,
}

impl GatewayM {
    fn start(&mut self, id: u64) {
        let parent = self.generations.last().map(|last| Parent {
            generation: last.id,
            through: std::array::from_fn(|lane| last.next(lane) - 1),
            readings: std::array::from_fn(|lane| last.readings(lane, u64::MAX)),
        });
        self.generations.push(GenerationM { id, parent, entries: Default::default(), first: [1; LANES], acked: [0; LANES] });
        let found = std::mem::take(&mut self.checkpoint);
        self.open.clear();
        if !found.is_empty() {
            self.append(DATA, EntryM { readings: found, inherited: true });
        }
    }

    fn append(&mut self, lane: usize, entry: EntryM) {
        self.checkpoint.clone_from(&self.open);
        if let Some(current) = self.generations.last_mut() {
            current.entries[lane].push(entry);
        }
    }

    fn streams(&self) -> Vec<HeldStream> {
        let of = |generation: &GenerationM| {
            let held = (0..LANES).map(|lane| HeldStream {
                stream: StreamId::of(generation.id, lane),
                first: generation.first[lane],
                acked: generation.acked[lane],
                next: generation.next(lane),
            });
            held.collect::<Vec<_>>()
        };
        self.generations.iter().rev().flat_map(of).collect()
    }

    fn descents(&self) -> Vec<Descent> {
        let unheard = self.generations.iter().rev().filter(|generation| generation.acked == [0; LANES]);
        unheard.filter_map(|generation| Some(Descent { generation: generation.id, parent: generation.parent? })).collect()
    }

    fn batch(&self, index: usize, lane: usize, first: u64, len: u64) -> Option<Batch> {
        let generation = self.generations.get(index)?;
        let first = first.max(generation.first[lane]).max(1);
        let last = (first + len - 1).min(generation.next(lane) - 1);
        (first <= last).then(|| {
            let entries = (first..=last).map(|seq| (seq, &generation.entries[lane][seq as usize - 1]));
            let info = |(seq, entry): (u64, &EntryM)| EntryInfo {
                stamp: Some(EntryStamp {
                    boot_id: generation.id,
                    mono_us: 1,
                    wall: Timestamp(1),
                    time_quality: TimeQuality::Synced,
                    inherited: entry.inherited,
                }),
                readings_before: generation.readings(lane, seq - 1),
                readings: entry.readings.len() as u64,
            };
            let records = entries.clone().flat_map(|(seq, entry)| {
                entry.readings.iter().map(move |reading| StampedRecord { seq, record: Record::Window(summary(*reading)) })
            });
            Batch {
                gateway: id(),
                stream: StreamId::of(generation.id, lane),
                parent: generation.parent,
                range: Some(SeqRange { first, last }),
                floor_seq: generation.first[lane],
                catch_up: false,
                sent_at: Timestamp(1),
                status: GatewayStatus { descents: self.descents(), ..status(self.streams()) },
                entries: entries.clone().map(info).collect(),
                records: records.collect(),
            }
        })
    }

    fn at(&mut self, stream: StreamId) -> Option<&mut GenerationM> {
        self.generations.iter_mut().find(|generation| generation.id == stream.generation())
    }

    fn holds(&self, stream: StreamId, seq: u64) -> bool {
        let generation = self.generations.iter().find(|generation| generation.id == stream.generation());
        generation.is_some_and(|generation| seq >= generation.first[stream.lane()] && seq < generation.next(stream.lane()))
    }

    fn answered(&mut self, stream: StreamId, answer: &Decision, wants: &[protocol::Want]) {
        let lane = stream.lane();
        if let Some(generation) = self.at(stream) {
            let top = generation.next(lane) - 1;
            match answer {
                Decision::Fresh(fresh) => generation.acked[lane] = generation.acked[lane].max(fresh.mark.through.min(top)),
                Decision::Duplicate { through } => generation.acked[lane] = generation.acked[lane].max((*through).min(top)),
                Decision::Gap { expected, .. } => generation.acked[lane] = (*expected - 1).min(top),
                Decision::Wait { .. } | Decision::Heartbeat { .. } => {}
            }
        }
        for want in wants {
            if let Some(generation) = self.at(want.stream) {
                let lane = want.stream.lane();
                generation.acked[lane] = generation.acked[lane].min(want.from - 1);
            }
        }
    }

    /// Makes room: the oldest generation that is acknowledged as a whole goes, or (as after damage) the acknowledged part of the newest.
    fn make_room(&mut self) {
        let whole = |generation: &GenerationM| (0..LANES).all(|lane| generation.acked[lane] + 1 == generation.next(lane));
        if self.generations.len() > 1 && whole(&self.generations[0]) {
            self.generations.remove(0);
        } else if let Some(first) = self.generations.first_mut() {
            for lane in 0..LANES {
                first.first[lane] = first.first[lane].max(first.acked[lane] + 1);
            }
        }
    }
}

/// A summary of one reading.
fn summary(reading: u64) -> WindowSummary {
    WindowSummary {
        asset: "plant1/area/line/press-1".parse().expect("valid"),
        signal: "t".parse().expect("valid"),
        unit: String::new(),
        start: Timestamp(reading as i64),
        end: Timestamp(reading as i64 + 1),
        count: 1,
        min: 0.0,
        max: 0.0,
        mean: 0.0,
        stddev: 0.0,
        first: 0.0,
        last: 0.0,
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    }
}

/// Two tables with marks of their own.
#[derive(Debug, Clone, Default)]
struct LakeM {
    marks: HashMap<(bool, StreamId), u64>,
    rows: Vec<FreshRow>,
}

impl LakeM {
    fn commit(&mut self, rows: Vec<FreshRow>, fences: &[(StreamId, u64)]) {
        let before = self.marks.clone();
        for row in rows {
            let key = (matches!(row.record, Record::Loss(_)), row.stream);
            if before.get(&key).is_none_or(|mark| row.seq > *mark) {
                let mark = self.marks.entry(key).or_default();
                *mark = row.seq.max(*mark);
                self.rows.push(row);
            }
        }
        for (stream, through) in fences {
            for table in [false, true] {
                let mark = self.marks.entry((table, *stream)).or_default();
                *mark = (*through).max(*mark);
            }
        }
    }

    fn marks(&self) -> Vec<(GatewayId, StreamId, u64)> {
        self.marks.iter().map(|((_, stream), mark)| (id(), *stream, *mark)).collect()
    }
}

#[derive(Debug, Clone)]
struct CollectorM {
    ledger: Ledger,
    journal: Vec<(Header, Batch, i64)>,
    /// What was written down before the journal let go.
    store: Vec<Step>,
    missed: bool,
}

impl CollectorM {
    fn new(patience: i64) -> Self {
        Self { ledger: Ledger::with_patience(patience), journal: Vec::new(), store: Vec::new(), missed: false }
    }

    fn restart(&mut self, lake: &LakeM, patience: i64, now: i64) {
        self.ledger = Ledger::with_patience(patience);
        for step in &self.store {
            self.ledger.restore_mark(&id(), step.stream, step.mark);
            step.links().for_each(|(generation, link)| self.ledger.restore_link(&id(), generation, link));
            step.gone.iter().for_each(|(stream, mark)| self.ledger.restore_mark(&id(), *stream, *mark));
        }
        self.ledger.restore_gateway(&id(), self.missed, 0);
        self.ledger.learn(lake.marks(), Timestamp(now));
        for (header, ..) in &self.journal {
            self.ledger.apply(&id(), &header.step);
        }
    }

    fn commit(&mut self, lake: &mut LakeM, whole: bool) {
        let rows = self.journal.iter().flat_map(|(header, batch, _)| header.rows(batch.clone())).collect();
        let fences: Vec<_> = self.journal.iter().flat_map(|(header, ..)| header.fences.clone()).collect();
        lake.commit(rows, &fences);
        if whole {
            self.missed |= self.ledger.missed(&id());
            self.store.extend(self.journal.drain(..).map(|(header, ..)| header.step));
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Read {
        readings: u64,
    },
    Append {
        lane: usize,
    },
    Send {
        back: usize,
        lane: usize,
        before: u64,
        len: u64,
        to: usize,
        answer_lost: bool,
    },
    /// A batch leaves, and is long on its way: `Replay` lets it arrive, for the first time or again.
    Leave {
        back: usize,
        lane: usize,
        len: u64,
    },
    Replay {
        n: usize,
        to: usize,
    },
    MakeRoom,
    GatewayRestart,
    GatewayBackup,
    GatewayRestore,
    Commit {
        to: usize,
        whole: bool,
    },
    CollectorRestart {
        to: usize,
    },
    CollectorBackup,
    CollectorRestore,
}

/// What happens with one collector.
fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => common(1),
        1 => Just(Event::GatewayBackup),
        1 => Just(Event::GatewayRestore),
        1 => Just(Event::CollectorBackup),
        1 => Just(Event::CollectorRestore),
    ]
}

fn common(collectors: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1u64..5).prop_map(|readings| Event::Read { readings }),
        4 => (0..LANES).prop_map(|lane| Event::Append { lane }),
        8 => (0usize..3, 0..LANES, 0u64..3, 1u64..6, 0..collectors, any::<bool>())
            .prop_map(|(back, lane, before, len, to, answer_lost)| Event::Send { back, lane, before, len, to, answer_lost }),
        1 => (0usize..2, 0..LANES, 1u64..6).prop_map(|(back, lane, len)| Event::Leave { back, lane, len }),
        3 => (0usize..24, 0..collectors).prop_map(|(n, to)| Event::Replay { n, to }),
        1 => Just(Event::MakeRoom),
        1 => Just(Event::GatewayRestart),
        2 => (0..collectors, any::<bool>()).prop_map(|(to, whole)| Event::Commit { to, whole }),
        1 => (0..collectors).prop_map(|to| Event::CollectorRestart { to }),
    ]
}

struct World {
    gateway: GatewayM,
    gateway_backup: Option<GatewayM>,
    collectors: Vec<CollectorM>,
    lake: LakeM,
    collector_backup: Option<(CollectorM, LakeM)>,
    patience: i64,
    now: i64,
    next_reading: u64,
    next_generation: u64,
    sent: Vec<Batch>,
    /// Readings of each entry that was ever made.
    truth: BTreeMap<(StreamId, u64), Vec<u64>>,
}

impl World {
    fn new(collectors: usize) -> Self {
        let patience = if collectors > 1 { PATIENCE } else { 0 };
        let mut world = Self {
            gateway: GatewayM::default(),
            gateway_backup: None,
            collectors: vec![CollectorM::new(patience); collectors],
            lake: LakeM::default(),
            collector_backup: None,
            patience,
            now: 1,
            next_reading: 1,
            next_generation: 1,
            sent: Vec::new(),
            truth: BTreeMap::new(),
        };
        world.restart_gateway();
        world
    }

    fn restart_gateway(&mut self) {
        self.gateway.start(self.next_generation * 16);
        self.next_generation += 1;
        self.note();
    }

    fn note(&mut self) {
        for generation in &self.gateway.generations {
            for (lane, entries) in generation.entries.iter().enumerate() {
                for (index, entry) in entries.iter().enumerate() {
                    self.truth.insert((StreamId::of(generation.id, lane), index as u64 + 1), entry.readings.clone());
                }
            }
        }
    }

    fn apply(&mut self, event: Event) {
        self.now += 1;
        match event {
            Event::Read { readings } => {
                self.gateway.open.extend(self.next_reading..self.next_reading + readings);
                self.next_reading += readings;
            }
            Event::Append { lane } => {
                // Half of what is open is closed, the rest stays open into the next entry.
                let keep = if lane == DATA { self.gateway.open.len() / 2 } else { self.gateway.open.len() };
                let mut readings = self.gateway.open.split_off(keep);
                if readings.is_empty() {
                    // No entry is empty.
                    readings.push(self.next_reading);
                    self.next_reading += 1;
                }
                self.gateway.append(lane, EntryM { readings, inherited: false });
                self.note();
            }
            Event::Send { back, lane, before, len, to, answer_lost } => {
                let index = self.gateway.generations.len().saturating_sub(1 + back);
                let acked = self.gateway.generations[index].acked[lane];
                if let Some(batch) = self.gateway.batch(index, lane, (acked + 1).saturating_sub(before), len) {
                    self.sent.push(batch.clone());
                    self.deliver(batch, to, answer_lost);
                }
            }
            Event::Leave { back, lane, len } => {
                let index = self.gateway.generations.len().saturating_sub(1 + back);
                let acked = self.gateway.generations[index].acked[lane];
                self.sent.extend(self.gateway.batch(index, lane, acked + 1, len));
            }
            Event::Replay { n, to } => {
                if let Some(batch) = self.sent.get(n).cloned() {
                    self.deliver(batch, to, true);
                }
            }
            Event::MakeRoom => self.gateway.make_room(),
            Event::GatewayRestart => self.restart_gateway(),
            Event::GatewayBackup => self.gateway_backup = Some(self.gateway.clone()),
            Event::GatewayRestore => {
                if let Some(backup) = self.gateway_backup.clone() {
                    self.gateway = backup;
                    self.restart_gateway();
                }
            }
            Event::Commit { to, whole } => self.collectors[to].commit(&mut self.lake, whole),
            Event::CollectorRestart { to } => self.collectors[to].restart(&self.lake, self.patience, self.now),
            Event::CollectorBackup => self.collector_backup = Some((self.collectors[0].clone(), self.lake.clone())),
            Event::CollectorRestore => {
                if let Some((collector, lake)) = self.collector_backup.clone() {
                    (self.collectors[0], self.lake) = (collector, lake);
                    self.collectors[0].restart(&self.lake, self.patience, self.now);
                    // Batches from before do not come any more: they had been answered, or their connection broke.
                    self.sent.clear();
                }
            }
        }
        for at in 0..self.collectors.len() {
            if self.patience > 0 && self.collectors[at].journal.first().is_some_and(|(.., since)| self.now - since >= COMMIT_WITHIN) {
                self.collectors[at].commit(&mut self.lake, true);
            }
            if self.collectors[at].ledger.wants_the_lake() {
                self.collectors[at].ledger.learn(self.lake.marks(), Timestamp(self.now));
            }
        }
    }

    fn deliver(&mut self, batch: Batch, to: usize, answer_lost: bool) -> Decision {
        let collector = &mut self.collectors[to];
        let decision = collector.ledger.decide(&batch, Timestamp(self.now));
        let wants = collector.ledger.wants(&batch);
        for want in &wants {
            assert!(batch.status.streams.iter().any(|held| held.stream == want.stream && held.first <= want.from && want.from < held.next));
        }
        if let Decision::Fresh(fresh) = &decision {
            let header = Header::of(&batch, Timestamp(self.now), fresh);
            collector.ledger.apply(&id(), &header.step);
            for hole in fresh.hole.iter().chain(fresh.gone.iter().map(|(hole, _)| hole)) {
                for seq in hole.range.first..=hole.range.last {
                    // A batch that was long on its way speaks of what the gateway held then, but it says so of nothing that it held.
                    assert!(batch.floor_seq > seq || hole.stream != batch.stream, "{seq} is given up, and the gateway holds it");
                    let listed = batch.status.streams.iter().any(|held| held.stream == hole.stream && held.first <= seq && seq < held.next);
                    assert!(!listed, "{seq} of {} is given up, and the gateway holds it", hole.stream);
                }
                if let Some(readings) = hole.readings {
                    let range = hole.range.first..=hole.range.last;
                    let truth: usize = range.map(|seq| self.truth.get(&(hole.stream, seq)).map_or(0, Vec::len)).sum();
                    assert_eq!(readings, truth as u64, "of {hole:?}");
                }
            }
            collector.journal.push((header, batch.clone(), self.now));
        }
        if let Decision::Gap { expected, .. } = decision {
            assert!(expected >= batch.floor_seq && batch.range.is_some_and(|range| expected < range.first));
        }
        if !answer_lost {
            self.gateway.answered(batch.stream, &decision, &wants);
        }
        decision
    }

    /// The gateway sends all that it has, to the first collector, until nothing is missing.
    fn drain(&mut self) {
        for lane in 0..LANES {
            self.apply(Event::Append { lane });
        }
        for round in 0.. {
            assert!(round < 2_000, "it does not come to an end: {:?}", self.gateway.streams());
            let behind = (0..self.gateway.generations.len()).rev().flat_map(|index| (0..LANES).map(move |lane| (index, lane)));
            let mut behind = behind.filter(|(index, lane)| {
                let generation = &self.gateway.generations[*index];
                generation.acked[*lane] + 1 < generation.next(*lane)
            });
            self.now += 1;
            let Some((index, lane)) = behind.next_back() else { break };
            let acked = self.gateway.generations[index].acked[lane];
            let batch = self.gateway.batch(index, lane, acked + 1, 5).expect("it is behind");
            self.deliver(batch, 0, false);
            let collectors = self.collectors.iter_mut().filter(|collector| collector.ledger.wants_the_lake());
            for collector in collectors {
                collector.ledger.learn(self.lake.marks(), Timestamp(self.now));
            }
            if self.patience > 0 {
                self.collectors.iter_mut().for_each(|collector| collector.commit(&mut self.lake, true));
            }
        }
        self.collectors.iter_mut().for_each(|collector| collector.commit(&mut self.lake, true));
        self.collectors[0].ledger.learn(self.lake.marks(), Timestamp(self.now));
    }

    /// Where each entry went, from the rows alone.
    fn check(&self) {
        let (mut stored, mut booked) = (HashMap::<(StreamId, u64), HashSet<u64>>::new(), HashMap::<(StreamId, u64), u32>::new());
        let mut readings = HashMap::<u64, u32>::new();
        let mut counts = 0;
        for row in &self.lake.rows {
            match &row.record {
                Record::Window(summary) => {
                    let reading = summary.start.as_micros() as u64;
                    assert!(stored.entry((row.stream, row.seq)).or_default().insert(reading), "{reading} of {} is stored twice", row.seq);
                    *readings.entry(reading).or_default() += 1;
                    counts += 1;
                }
                Record::Loss(loss) => {
                    let (range, rest) = loss.detail.strip_prefix("entries ").and_then(|text| text.split_once(" of stream ")).expect("told");
                    let (first, last) = range.split_once("..").expect("a range");
                    let stream = StreamId(u64::from_str_radix(&rest[..16], 16).expect("a stream"));
                    for seq in first.parse::<u64>().expect("a number")..=last.parse::<u64>().expect("a number") {
                        // What another run told is skipped within a range that holds others too.
                        if loss.reason == LossReason::StreamGap || loss.count > 0 {
                            *booked.entry((stream, seq)).or_default() += 1;
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        for ((stream, seq), times) in &booked {
            assert_eq!(*times, 1, "entry {seq} of {stream} is booked {times} times");
            assert!(!stored.contains_key(&(*stream, *seq)), "entry {seq} of {stream} is stored and booked");
        }
        for (reading, times) in readings {
            assert_eq!(times, 1, "reading {reading} is stored {times} times");
        }
        assert!(counts < self.next_reading);
        for (key, entry) in &stored {
            assert_eq!(entry.len(), self.truth[key].len(), "an entry is stored as a whole");
        }
    }

    /// After all has been sent: what the gateway holds is here, or another run told it, or it is booked.
    fn check_nothing_is_missing(&self) {
        let ledger = &self.collectors[0].ledger;
        for held in self.gateway.streams() {
            let mark = ledger.through(&id(), held.stream).unwrap_or(0);
            assert!(mark + 1 >= held.next, "{} holds through {}, and {mark} is here", held.stream, held.next - 1);
            assert!(self.gateway.holds(held.stream, held.first) || held.first == held.next);
        }
        let stored: HashSet<(StreamId, u64)> = self.lake.rows.iter().map(|row| (row.stream, row.seq)).collect();
        let skipped = |stream: StreamId| {
            let branches = ledger.branches(&id()).expect("known");
            branches.link(stream.generation()).is_some_and(|link| link.forked) || branches.limit(stream).is_some()
        };
        for generation in &self.gateway.generations {
            for seq in generation.first[DATA]..generation.next(DATA) {
                let stream = StreamId::of(generation.id, DATA);
                let is_empty = self.truth[&(stream, seq)].is_empty();
                let booked =
                    self.lake.rows.iter().any(|row| row.stream == stream && matches!(row.record, Record::Loss(_)) && row.seq >= seq);
                assert!(is_empty || stored.contains(&(stream, seq)) || skipped(stream) || booked, "entry {seq} of {stream} is nowhere");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_is_lost_repeated_restarted_or_restored_each_entry_is_stored_once_or_booked_once(events in proptest::collection::vec(event(), 0..120)) {
        let mut world = World::new(1);
        for event in events {
            world.apply(event);
            world.check();
        }
        world.drain();
        world.check();
        world.check_nothing_is_missing();
    }

    #[test]
    fn with_two_collectors_on_one_lake_each_entry_is_stored_once_or_booked_once(events in proptest::collection::vec(common(2), 0..120)) {
        let mut world = World::new(2);
        for event in events {
            world.apply(event);
            world.check();
        }
        world.drain();
        world.check();
        world.check_nothing_is_missing();
    }
}

#[test]
fn a_batch_of_the_run_before_the_backup_that_comes_after_its_successor_stores_no_reading_twice() {
    let mut world = World::new(1);
    world.apply(Event::Read { readings: 4 });
    world.apply(Event::Append { lane: DATA });
    world.apply(Event::GatewayBackup);
    world.apply(Event::Append { lane: DATA });
    world.apply(Event::Leave { back: 0, lane: DATA, len: 5 });
    world.apply(Event::GatewayRestore);
    world.apply(Event::Send { back: 0, lane: DATA, before: 0, len: 5, to: 0, answer_lost: false });
    world.apply(Event::Replay { n: 0, to: 0 });
    world.apply(Event::Commit { to: 0, whole: true });
    world.check();
    let strays = world
        .lake
        .rows
        .iter()
        .filter(|row| matches!(&row.record, Record::Loss(loss) if loss.reason == LossReason::Restored && loss.count == 1));
    assert_eq!(strays.count(), 1, "{:?}", world.lake.rows);
}
