//! The collector of a run: its intake over a simulated disk, its store, and its way to the lake, step by step.
//!
//! What is durable (disk, store, and the lake that the world holds) outlives the process; everything else is gone when it ends. A commit to the
//! lake goes in the order of `collector::pipeline`: each table, then the store, then the journal lets go; the world may end the process between
//! any two of them.

use std::{collections::BTreeMap, sync::Arc};

use collector::{
    intake::{Entry, Incoming, Intake, IntakeError, LANE, Place, spool_time},
    ledger::{Ledger, Link, Mark, Step},
    pacing::{Fill, Pacing},
};
use protocol::{
    Ack, BatchAck, GatewayId, StreamId, Timestamp,
    codec::{self, Limits},
};
use spool::{Options, Spool, SpoolError, simulated::SimDisk};

use crate::{
    fuse::{Fuse, Fused},
    lake::{Lake, Row, TABLES},
};

/// Rows in memory beyond which nothing more is taken.
const MAX_HOT_ROWS: usize = 20_000;

/// What the store keeps of streams: written in one step with each commit.
#[derive(Debug, Clone, Default)]
pub struct Store {
    marks: BTreeMap<(GatewayId, StreamId), Mark>,
    links: BTreeMap<(GatewayId, u64), Link>,
    missed: BTreeMap<GatewayId, bool>,
}

impl Store {
    fn write(&mut self, steps: &[(GatewayId, Step)], intake: &Intake) {
        for (gateway, step) in steps {
            self.links.entry((gateway.clone(), step.stream.generation())).or_insert(step.link);
            for (stream, mark) in std::iter::once(&(step.stream, step.mark)).chain(&step.gone) {
                let kept = self.marks.entry((gateway.clone(), *stream)).or_insert(*mark);
                if kept.through <= mark.through {
                    *kept = *mark;
                }
            }
            self.missed.insert(gateway.clone(), intake.ledger().missed(gateway));
        }
    }
}

/// Switches for bugs that are put in on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bugs {
    /// A batch that was there already is stored again.
    pub no_ledger: bool,
}

/// What a collector has on disk, and the process that runs on it.
pub struct Collector {
    pub disk: SimDisk,
    pub fuse: Fuse,
    pub store: Store,
    pub process: Option<Process>,
    pub pacing: Pacing,
    pub bugs: Bugs,
    pub arrivals: Option<Arrivals>,
}

/// When entries came.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    /// Entries made from here on (true time) are live.
    pub since: i64,
    /// Of each live entry, from when it was made to when it was in the journal.
    pub live_us: Vec<i64>,
    /// Rows of older entries, by second of true time.
    pub backlog: BTreeMap<i64, u64>,
}

impl Arrivals {
    fn note(&mut self, now: Timestamp, entry: &Entry) {
        let mut last = None;
        for row in &entry.rows {
            let Some(stamp) = row.stamp else { continue };
            if stamp.wall.as_micros() < self.since {
                *self.backlog.entry(now.as_micros() / 1_000_000).or_default() += 1;
            } else if last.replace(row.seq) != Some(row.seq) {
                self.live_us.push(now.micros_since(stamp.wall));
            }
        }
    }
}

/// A running collector.
pub struct Process {
    intake: Intake,
    /// Rows that are not in the lake.
    hot: Vec<Row>,
    /// Of these, what is being stored.
    frozen: Vec<Row>,
    fences: Vec<(GatewayId, StreamId, u64)>,
    reached: Reached,
    taken: Option<Reached>,
}

#[derive(Default)]
struct Reached {
    place: Place,
    steps: Vec<(GatewayId, Step)>,
}

/// An answer as it leaves the collector.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<u32>,
    pub body: Vec<u8>,
}

impl Answer {
    fn refusal(status: u16, retry_after: Option<u32>) -> Self {
        Self { status, retry_after, body: b"{\"title\":\"no\"}".to_vec() }
    }
}

/// What a group of requests came to.
#[derive(Debug, Default)]
pub struct Taken {
    pub answers: Vec<Answer>,
    pub stored: u64,
    pub duplicates: u64,
    pub gaps: u64,
    pub refused: u64,
    /// When the newest entry was made that has been stored.
    pub newest: i64,
}

impl Collector {
    pub fn new(disk: SimDisk, pacing: Pacing, bugs: Bugs) -> Self {
        Self { disk, fuse: Fuse::default(), store: Store::default(), process: None, pacing, bugs, arrivals: None }
    }

    /// Starts the process on what is on disk.
    ///
    /// # Errors
    /// The journal could not be opened.
    pub fn start(&mut self, now: Timestamp, lake: &Lake) -> Result<(), SpoolError> {
        let disk = Arc::new(Fused::new(self.disk.clone(), &self.fuse));
        let options = Options { max_bytes: 64 << 20, ..Options::default() };
        let (spool, _report) = Spool::open(disk, options, spool_time(now))?;
        let mut ledger = Ledger::with_patience(self.pacing.elsewhere_patience_us);
        for ((gateway, stream), mark) in &self.store.marks {
            ledger.restore_mark(gateway, *stream, *mark);
        }
        for ((gateway, generation), link) in &self.store.links {
            ledger.restore_link(gateway, *generation, *link);
        }
        for (gateway, missed) in &self.store.missed {
            ledger.restore_gateway(gateway, *missed, 0);
        }
        ledger.learn(lake.watermarks(), now);
        let intake = Intake::new(Arc::new(spool), ledger, self.pacing);
        let mut process =
            Process { intake, hot: Vec::new(), frozen: Vec::new(), fences: Vec::new(), reached: Reached::default(), taken: None };
        for entry in process.intake.replay()? {
            process.apply(entry);
        }
        self.process = Some(process);
        Ok(())
    }

    /// Takes a group of requests as they came over the network; one answer each, in order. `None`: no process.
    pub fn take(&mut self, now: Timestamp, bodies: &[Vec<u8>]) -> Option<Taken> {
        let bugs = self.bugs;
        let process = self.process.as_mut()?;
        let mut taken = Taken::default();
        let mut group = Vec::new();
        let mut places: Vec<Result<usize, Answer>> = Vec::with_capacity(bodies.len());
        for body in bodies {
            places.push(if process.hot.len() + process.frozen.len() > MAX_HOT_ROWS {
                Err(Answer::refusal(503, Some(5)))
            } else {
                match codec::decode_batch(body, &Limits::default()) {
                    Ok(batch) => {
                        group.push(Incoming { received_at: now, bytes: body.clone(), batch });
                        Ok(group.len() - 1)
                    }
                    Err(_) => Err(Answer::refusal(400, None)),
                }
            });
        }
        process.intake.set_fill(Fill::of(process.hot.len() + process.frozen.len(), MAX_HOT_ROWS, 0, 1));
        let again: Vec<Vec<Row>> =
            if bugs.no_ledger { group.iter().map(|incoming| rows_of_batch(&incoming.batch)).collect() } else { Vec::new() };
        let decided = process.intake.take(now, group);
        let answers: Vec<Answer> = match decided {
            Ok(decided) => decided
                .into_iter()
                .enumerate()
                .map(|(index, (ack, entry))| {
                    match ack.ack {
                        Ack::Stored => taken.stored += 1,
                        Ack::Duplicate => {
                            taken.duplicates += 1;
                            if let Some(rows) = again.get(index) {
                                process.hot.extend(rows.iter().cloned());
                            }
                        }
                        Ack::Gap { .. } => taken.gaps += 1,
                        Ack::Heartbeat => {}
                    }
                    if let Some(entry) = entry {
                        let stamps = entry.rows.iter().filter_map(|row| row.stamp);
                        taken.newest = stamps.map(|stamp| stamp.wall.as_micros()).fold(taken.newest, i64::max);
                        if let Some(arrivals) = &mut self.arrivals {
                            arrivals.note(now, &entry);
                        }
                        process.apply(entry);
                    }
                    answer(&ack)
                })
                .collect(),
            Err(error) => {
                let refusal = match &error {
                    IntakeError::Spool(error) if error.is_full() => Answer::refusal(503, Some(5)),
                    _ => Answer::refusal(500, None),
                };
                vec![refusal; places.iter().filter(|place| place.is_ok()).count()]
            }
        };
        for place in places {
            let answer = match place {
                Ok(index) => answers[index].clone(),
                Err(refusal) => refusal,
            };
            taken.refused += u64::from(answer.status != 200);
            taken.answers.push(answer);
        }
        Some(taken)
    }

    /// Ends the process; what it had in memory is gone.
    pub fn end(&mut self) {
        self.process = None;
    }

    /// Nothing waits for the lake or in the journal.
    pub fn is_drained(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.hot.is_empty() && process.frozen.is_empty() && process.fences.is_empty())
    }
}

impl Process {
    fn apply(&mut self, entry: Entry) {
        let Entry { place, gateway, step, rows, fences, .. } = entry;
        let row = |row: collector::journal::entry::FreshRow| Row {
            gateway: gateway.clone(),
            stream: row.stream,
            seq: row.seq,
            record: row.record,
        };
        self.hot.extend(rows.into_iter().map(row));
        self.fences.extend(fences.into_iter().map(|(stream, seq)| (gateway.clone(), stream, seq)));
        self.reached.place = place;
        self.reached.steps.push((gateway, step));
    }

    /// Begins a commit of all rows that are in memory. False if there is nothing to commit.
    pub fn freeze(&mut self) -> bool {
        self.frozen.append(&mut self.hot);
        let mut reached = std::mem::take(&mut self.reached);
        if let Some(mut earlier) = self.taken.take() {
            // An earlier commit did not come to its end.
            earlier.steps.append(&mut reached.steps);
            reached = Reached { place: earlier.place.max(reached.place), steps: earlier.steps };
        }
        let any = !self.frozen.is_empty() || !reached.steps.is_empty();
        self.taken = Some(reached);
        any
    }

    /// Commits one table; returns rows stored.
    pub fn commit_table(&mut self, table: usize, lake: &mut Lake) -> usize {
        lake.commit(table, &self.frozen, &self.fences).stored
    }

    /// All tables are committed.
    pub fn tables_done(&mut self) {
        self.frozen.clear();
        self.fences.clear();
    }

    /// Writes down how far the streams are.
    pub fn write_store(&mut self, store: &mut Store) {
        if let Some(taken) = &self.taken {
            store.write(&taken.steps, &self.intake);
        }
    }

    /// Lets the journal go as far as the lake has it.
    ///
    /// # Errors
    /// The journal's disk failed; the next commit tries again.
    pub fn release(&mut self) -> Result<(), SpoolError> {
        let Some(taken) = &self.taken else { return Ok(()) };
        let spool = self.intake.spool();
        for generation in spool.view().iter().filter(|generation| generation.ordinal <= taken.place.ordinal) {
            let last = generation.lanes[LANE.index()].next.saturating_sub(1);
            let through = if generation.ordinal == taken.place.ordinal { taken.place.seq } else { last };
            spool.acknowledge(generation.ordinal, LANE, through)?;
        }
        self.taken = None;
        Ok(())
    }

    /// What the lake holds by now: another collector may have put it there.
    pub fn look_at_lake(&mut self, lake: &Lake, now: Timestamp) {
        self.intake.ledger_mut().learn(lake.watermarks(), now);
    }

    pub fn intake(&self) -> &Intake {
        &self.intake
    }
}

/// Tables in the order in which they are committed.
pub const ALL_TABLES: std::ops::Range<usize> = 0..TABLES;

fn answer(ack: &BatchAck) -> Answer {
    match codec::encode_ack(ack) {
        Ok(body) => Answer { status: 200, retry_after: None, body },
        Err(_) => Answer::refusal(500, None),
    }
}

fn rows_of_batch(batch: &protocol::Batch) -> Vec<Row> {
    let row = |stamped: &protocol::StampedRecord| Row {
        gateway: batch.gateway.clone(),
        stream: batch.stream,
        seq: stamped.seq,
        record: stamped.record.clone(),
    };
    batch.records.iter().map(row).collect()
}
