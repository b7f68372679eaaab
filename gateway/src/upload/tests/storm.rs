//! Everything at once, at random, from seeds: requests and answers lost, repeated, late and wrong; restarts and power cuts between any two
//! steps; a collector that is set back. In the end every entry is stored once, or told lost.

use std::time::Duration;

use protocol::{Ack, BatchAck, DATA, LossReason, Record, StreamId, URGENT};
use rand::{Rng, SeedableRng, rngs::StdRng};
use spool::Options;

use crate::{
    config::CatchUp,
    drive::Dropped,
    upload::{
        Answer, Request, Step,
        testing::{Gateway, Model, Stored, audit, window},
    },
};

const STEPS: usize = 250;

struct Storm {
    rng: StdRng,
    gateway: Gateway,
    model: Model,
    backup: Stored,
    /// Copies of requests that arrive later.
    late: Vec<Vec<u8>>,
    made: i64,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let order = if rng.random() { CatchUp::NewestFirst } else { CatchUp::OldestFirst };
        let options =
            Options { generation_bytes: rng.random_range(4 << 10..64 << 10), keep_acknowledged_bytes: 1 << 30, ..Options::default() };
        // A collector that names what it misses heals much; half of them don't, and are never set back.
        let model = Model { poison: Some("bad"), silent: rng.random(), ..Model::default() };
        let gateway = Gateway::new(seed, order, options);
        Self { rng, gateway, model, backup: Stored::default(), late: Vec::new(), made: 0 }
    }

    fn append(&mut self) {
        let lane = if self.rng.random_ratio(1, 4) { URGENT } else { DATA };
        let machine = if self.rng.random_ratio(1, 40) { "bad" } else { "press" };
        let records = (0..self.rng.random_range(1..4_i64)).map(|_| {
            self.made += 1;
            window(machine, "temperature", self.made * 1_000_000, self.rng.random_range(1..100))
        });
        let records: Vec<Record> = records.collect();
        self.gateway.append(lane, records);
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..35 => (0..self.rng.random_range(1..6)).for_each(|_| self.append()),
            35..37 => (0..self.rng.random_range(60..90)).for_each(|_| self.append()),
            37..40 => {
                let power_cut = self.rng.random();
                self.gateway.restart(power_cut);
            }
            40 => self.backup = self.model.stored.clone(),
            41 if !self.model.silent => self.model.stored = self.backup.clone(),
            41..46 => {
                if let Some(body) = self.late.pop() {
                    self.model.take(&body, self.gateway.now);
                }
            }
            46 => {
                self.model.catch_up_hold_ms = self.rng.random_range(0..3_000);
                self.model.hold_ms = if self.rng.random_ratio(1, 5) { 700 } else { 0 };
            }
            47 => self.gateway.pass(Duration::from_secs(40)),
            _ => match self.gateway.next() {
                Step::Send(request) => self.exchange(&request),
                Step::Wait(wait) => self.gateway.pass(wait),
                Step::Idle => self.gateway.pass(Duration::from_millis(300)),
            },
        }
    }

    fn exchange(&mut self, request: &Request) {
        self.gateway.pass(Duration::from_millis(self.rng.random_range(1..1500)));
        let now = self.gateway.now;
        let nothing = || Answer::Wait { reason: "no connection".into(), after: None };
        let answer = match self.rng.random_range(0..20) {
            0 => nothing(),
            1 => {
                self.model.take(&request.body, now);
                nothing()
            }
            2 => {
                self.model.take(&request.body, now);
                self.model.take(&request.body, now)
            }
            3 => {
                self.late.push(request.body.clone());
                nothing()
            }
            4 => Answer::Wait { reason: "503".into(), after: Some(Duration::from_secs(self.rng.random_range(0..20))) },
            5 => Answer::Unwelcome { reason: "403".into(), after: None },
            6 => self.nonsense(request),
            _ => self.model.take(&request.body, now),
        };
        // The process may die before it learns of the answer.
        if self.rng.random_ratio(1, 30) {
            self.gateway.restart(true);
        } else {
            self.gateway.answered(answer, self.rng.random());
        }
    }

    /// 200, and what follows is wrong.
    fn nonsense(&mut self, request: &Request) -> Answer {
        let mut ack = BatchAck {
            stream: request.stream,
            ack: Ack::Heartbeat,
            acked_through: None,
            received_at: self.gateway.now.wall,
            hold_ms: 0,
            catch_up_hold_ms: 0,
            wants: Vec::new(),
        };
        let Some(range) = request.range else { return Answer::Ack(ack) };
        match self.rng.random_range(0..6) {
            0 => ack.stream = StreamId(request.stream.0 ^ 0x100),
            1 => ack.ack = Ack::Stored,
            2 => ack.ack = Ack::Gap { expected: range.last + 100 },
            3 => ack.ack = Ack::Gap { expected: 0 },
            4 => (ack.ack, ack.acked_through) = (Ack::Duplicate, Some(range.first - 1)),
            _ => {}
        }
        Answer::Ack(ack)
    }
}

fn run(seed: u64) -> Result<(u64, u64), String> {
    let mut storm = Storm::new(seed);
    for _ in 0..STEPS {
        storm.step();
    }
    // A last answer, so that nothing is under way.
    storm.gateway.answered(Answer::Wait { reason: "the weather changes".into(), after: None }, 0.0);
    storm.gateway.drain(&mut storm.model);
    audit(&storm.gateway, &storm.model)?;
    let replaced = |records: &&Vec<Record>| records.iter().any(|record| matches!(record, Record::Loss(_)));
    let told = storm.model.stored.entries.values().filter(replaced).count() as u64;
    let poisoned = storm.gateway.appended.values().filter(|(records, _)| format!("{records:?}").contains("bad")).count() as u64;
    if told != poisoned {
        return Err(format!("{poisoned} entries were poison, {told} are told lost"));
    }
    Ok((storm.gateway.appended.len() as u64, told))
}

#[test]
fn whatever_happens_every_entry_is_stored_once_or_told_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    if let Some(seed) = number("MILLRACE_SEED") {
        run(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        return;
    }
    let seeds = number("MILLRACE_SEEDS").unwrap_or(60);
    let (mut entries, mut lost) = (0, 0);
    for seed in 0..seeds {
        let (all, told) = run(seed).unwrap_or_else(|violation| panic!("seed {seed} (replay: MILLRACE_SEED={seed}): {violation}"));
        entries += all;
        lost += told;
    }
    assert!(entries > seeds * 50 && lost > seeds / 10, "{entries} entries, {lost} told lost");
}

#[test]
fn an_ack_beyond_what_was_sent_lets_go_of_nothing_else() {
    let mut gateway = Gateway::new(1, CatchUp::NewestFirst, Options::default());
    for at in 0..100 {
        gateway.append(DATA, vec![window("press", "t", at, 1)]);
    }
    let Step::Send(request) = gateway.next() else { panic!("there is something to send") };
    let last = request.range.unwrap().last;
    assert!(last < 100);
    let ack = BatchAck {
        stream: request.stream,
        ack: Ack::Stored,
        acked_through: Some(u64::MAX),
        received_at: gateway.now.wall,
        hold_ms: 0,
        catch_up_hold_ms: 0,
        wants: Vec::new(),
    };
    gateway.answered(Answer::Ack(ack), 0.5);
    assert_eq!(gateway.unsent(), 100 - last);
}

#[test]
fn poison_is_told_to_the_collector_in_its_place_and_counted_once() {
    let mut gateway = Gateway::new(2, CatchUp::NewestFirst, Options::default());
    let mut model = Model { poison: Some("bad"), ..Model::default() };
    for at in 0..40 {
        gateway.append(DATA, vec![window(if at == 17 { "bad" } else { "press" }, "t", at, 10)]);
    }
    gateway.drain(&mut model);
    audit(&gateway, &model).unwrap();
    assert_eq!(gateway.letters, 1);
    let told: Vec<_> =
        gateway.dropped.iter().flat_map(|dropped| if let Dropped::Told(told) = dropped { told.clone() } else { panic!() }).collect();
    assert_eq!((told.len(), told[0].reason, told[0].count), (1, LossReason::Rejected, 10));
    assert!(told[0].asset.is_none(), "the name was the poison");
}

#[test]
fn a_collector_that_takes_no_batch_at_all_is_told_from_poison() {
    let mut gateway = Gateway::new(3, CatchUp::NewestFirst, Options::default());
    for at in 0..8 {
        gateway.append(DATA, vec![window("press", "t", at, 10)]);
    }
    for _ in 0..50 {
        match gateway.next() {
            Step::Send(_) => gateway.answered(Answer::Refused { status: 400, detail: "unknown version".into() }, 0.5),
            Step::Wait(wait) => gateway.pass(wait),
            Step::Idle => panic!("there is something to send"),
        }
    }
    assert_eq!((gateway.letters, gateway.unsent()), (0, 8));
    assert!(gateway.courier.report(gateway.now).trouble.contains("version"));
}
