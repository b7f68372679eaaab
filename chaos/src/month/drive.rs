//! Carries what machines say through two gateways to a collector, in virtual time, with the faults of a scenario.
//!
//! Around `gateway_side` and `collector_side`, which are the real parts. Steps are larger than in `world`: a gateway looks at the time after each message and
//! every five seconds, and uploads every half minute (or when it asked to be called). Nothing is skipped, it only comes together.
//!
//! Invariant: the same scenario takes the same steps.

use std::{collections::VecDeque, path::Path, time::Duration};

use ::collector::{pacing::Pacing, twin::Twin};
use gateway::{
    config::Config,
    upload::{Answer, Step},
};
use protocol::{PartCount, Record, StampedRecord, StateChange, Timestamp, codec};
use spool::{Options, simulated::SimDisk};

use super::{
    machine::{Kind, Life, Spec, draw},
    scenario::{Scenario, What},
    shifts::{self, Shift},
    talk::{self, Message, Talker},
};
use crate::{
    collector_side::{ALL_TABLES, Bugs, Collector},
    gateway_side::Gateway,
    lake::{Lake, TABLES},
    queue::{MILLISECOND, Micros, Queue, SECOND},
    random::{Concern, Dice},
    sensors::{EPOCH, wall},
    world::gateway::judge,
};

/// A gateway looks at the time at least this often: half of what a power cut may take.
const LOOK: Micros = 5 * SECOND;
const UPLOAD: Micros = 30 * SECOND;
const COMMIT: Micros = 60 * SECOND;
/// Rows a second of a backlog: slow enough that an answer in the midst of it can be asked for.
const CATCH_UP_ROWS_PER_S: u32 = 10;
/// Requests of a thousand that come twice, and whose answer is lost.
const NETWORK: u32 = 5;
/// Messages that a publisher may send again.
const RECENT: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Event {
    Speak(usize),
    Flush(usize),
    /// Of a gateway: now and then, or after something came.
    Look {
        gateway: usize,
        again: bool,
    },
    Upload {
        gateway: usize,
        again: bool,
    },
    Commit,
    Begin(usize),
    End(usize),
    /// The clock of a gateway is set right.
    Set(usize),
}

/// A machine, and what it has not handed over.
struct Sender {
    life: Life,
    talker: Talker,
    outbox: VecDeque<Message>,
    recent: VecDeque<Message>,
    /// Was overtaken: comes after the next one.
    behind: Option<Message>,
    link_down: u32,
}

/// A gateway, and whether anything gets through from it.
struct Edge {
    gateway: Gateway,
    uplink_down: u32,
    look_at: Micros,
    upload_at: Micros,
}

/// What reached the lake of one machine.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    pub states: Vec<StateChange>,
    pub parts: Vec<PartCount>,
}

/// What was carried.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carried {
    pub messages: u64,
    pub dropped: u64,
    pub requests: u64,
    pub duplicates: u64,
    pub rows: u64,
}

/// A month in progress.
pub struct Drive {
    pub scenario: Scenario,
    pub shifts: Vec<Shift>,
    pub stored: Vec<Stored>,
    pub twin: Twin,
    pub carried: Carried,
    assets: Vec<String>,
    senders: Vec<Sender>,
    edges: Vec<Edge>,
    collector: Collector,
    lake: Lake,
    seen: [usize; TABLES],
    queue: Queue<Event>,
    now: Micros,
    schedule: Dice,
    network: Dice,
    processes: Dice,
}

fn micros(at: i64) -> Micros {
    u64::try_from(at - EPOCH).unwrap_or(0)
}

impl Drive {
    pub fn new(scenario: Scenario) -> Self {
        let shifts = shifts::month();
        let mut sensors = Dice::of(scenario.seed, Concern::Sensors);
        let sender = |spec: &Spec| {
            let dice = Dice::of(sensors.number(), Concern::Sensors);
            let life = draw(spec, &shifts, dice, scenario.span);
            let talker = Talker::new(spec, &life, super::seconds(23 + spec.gateway as i64 * 14));
            Sender { life, talker, outbox: VecDeque::new(), recent: VecDeque::new(), behind: None, link_down: 0 }
        };
        let senders: Vec<Sender> = scenario.machines.iter().map(sender).collect();
        let mut disks = Dice::of(scenario.seed, Concern::GatewayDisk);
        let gateways = scenario.machines.iter().map(|spec| spec.gateway + 1).max().unwrap_or(0);
        let edges = (0..gateways).map(|index| {
            let text = talk::config(index);
            let config = match Config::parse(Path::new("month.toml"), &text, []) {
                Ok(config) => config,
                Err(error) => panic!("the month's own configuration is not valid: {error}\n{text}"),
            };
            let options =
                Options { max_bytes: 256 << 20, generation_bytes: 1 << 20, keep_acknowledged_bytes: 2 << 20, ..Options::default() };
            let gateway = Gateway {
                id: config.gateway.clone(),
                disk: SimDisk::new(disks.number()),
                fuse: Default::default(),
                config,
                options,
                clock: Default::default(),
                time: None,
                process: None,
                boots: 0,
            };
            Edge { gateway, uplink_down: 0, look_at: Micros::MAX, upload_at: Micros::MAX }
        });
        let pacing = Pacing { catch_up_rows_per_s: CATCH_UP_ROWS_PER_S, ..Pacing::default() };
        let disk = SimDisk::new(Dice::of(scenario.seed, Concern::CollectorDisk).number());
        let mut drive = Self {
            stored: vec![Stored::default(); scenario.machines.len()],
            twin: twin(),
            carried: Carried::default(),
            assets: scenario.machines.iter().map(talk::asset).collect(),
            edges: edges.collect(),
            collector: Collector::new(disk, pacing, Bugs::default()),
            lake: Lake::default(),
            seen: [0; TABLES],
            queue: Queue::default(),
            now: micros(scenario.span.0),
            schedule: Dice::of(scenario.seed, Concern::Schedule),
            network: Dice::of(scenario.seed, Concern::Network),
            processes: Dice::of(scenario.seed, Concern::Processes),
            senders,
            shifts,
            scenario,
        };
        drive.begin();
        drive
    }

    fn begin(&mut self) {
        if let Err(error) = self.collector.start(self.wall(), &self.lake) {
            panic!("the collector does not start: {error}");
        }
        for gateway in 0..self.edges.len() {
            self.start(gateway);
            self.put(self.now + LOOK, Event::Look { gateway, again: true });
            self.put(self.now + UPLOAD, Event::Upload { gateway, again: true });
        }
        self.put(self.now + COMMIT, Event::Commit);
        for machine in 0..self.senders.len() {
            self.speak_next(machine);
        }
        for (index, fault) in self.scenario.faults.clone().into_iter().enumerate() {
            self.put(micros(fault.span.0), Event::Begin(index));
            self.put(micros(fault.span.1), Event::End(index));
        }
    }

    /// Runs up to that moment (UTC), and stores what has come.
    pub fn run_until(&mut self, until: i64) {
        let end = micros(until);
        while let Some((at, event)) = self.queue.take() {
            if at > end {
                self.put(at, event);
                break;
            }
            self.now = at;
            self.handle(event);
        }
        self.now = end;
        self.commit();
    }

    pub fn wall(&self) -> Timestamp {
        Timestamp::from_micros(wall(self.now))
    }

    pub fn life(&self, machine: usize) -> &Life {
        &self.senders[machine].life
    }

    pub fn asset(&self, machine: usize) -> &str {
        &self.assets[machine]
    }

    /// Whether a gateway has anything that the collector does not have.
    pub fn is_behind(&self, gateway: usize) -> bool {
        !self.edges[gateway].gateway.process.as_ref().is_some_and(|process| {
            let stats = process.core.stats();
            stats.pending_records == 0 && process.spool.view().iter().all(spool::GenerationView::acknowledged)
        })
    }

    fn put(&mut self, at: Micros, event: Event) {
        let tie = self.schedule.number();
        self.queue.put(at, tie, event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Speak(machine) => self.speak(machine),
            Event::Flush(machine) => self.flush(machine),
            Event::Look { gateway, again } => {
                self.edges[gateway].look_at = Micros::MAX;
                self.look(gateway);
                if again {
                    self.put(self.now + LOOK, Event::Look { gateway, again });
                }
            }
            Event::Upload { gateway, again } => {
                self.edges[gateway].upload_at = Micros::MAX;
                self.upload(gateway);
                if again {
                    self.put(self.now + UPLOAD, Event::Upload { gateway, again });
                }
            }
            Event::Commit => {
                self.commit();
                self.put(self.now + COMMIT, Event::Commit);
            }
            Event::Begin(index) => self.fault_begins(index),
            Event::End(index) => self.fault_ends(index),
            Event::Set(gateway) => self.edges[gateway].gateway.clock.offset_us = 0,
        }
    }

    fn fault_begins(&mut self, index: usize) {
        match self.scenario.faults[index].what {
            What::Uplink { gateway } => self.edges[gateway].uplink_down += 1,
            What::Clock { gateway, by } => self.edges[gateway].gateway.clock.offset_us = by,
            What::Kill { gateway } => {
                self.edges[gateway].gateway.disk.kill();
                self.edges[gateway].gateway.process = None;
            }
            What::Power { gateway, .. } => {
                self.edges[gateway].gateway.disk.power_cut();
                self.edges[gateway].gateway.process = None;
            }
            What::Link { machine } => self.senders[machine].link_down += 1,
            What::Off { .. } => {}
        }
    }

    fn fault_ends(&mut self, index: usize) {
        match self.scenario.faults[index].what {
            What::Uplink { gateway } => self.edges[gateway].uplink_down -= 1,
            What::Clock { gateway, .. } => self.edges[gateway].gateway.clock.offset_us = 0,
            What::Kill { gateway } => self.start(gateway),
            What::Power { gateway, unset } => {
                if unset {
                    self.edges[gateway].gateway.clock.offset_us = -wall(self.now);
                    self.put(self.now + 3 * 60 * 60 * SECOND, Event::Set(gateway));
                }
                self.start(gateway);
            }
            What::Link { machine } => {
                self.senders[machine].link_down -= 1;
                self.flush(machine);
            }
            What::Off { .. } => {}
        }
    }

    fn start(&mut self, gateway: usize) {
        let boot_id = self.processes.number();
        if let Err(error) = self.edges[gateway].gateway.start(self.now, boot_id) {
            panic!("gateway {gateway} does not start: {error}");
        }
        self.look(gateway);
        for machine in 0..self.senders.len() {
            if self.scenario.machines[machine].gateway == gateway {
                let wait = self.schedule.between(SECOND, 3 * SECOND);
                self.put(self.now + wait, Event::Flush(machine));
            }
        }
    }

    fn speak_next(&mut self, machine: usize) {
        let Sender { life, talker, .. } = &self.senders[machine];
        if let Some(at) = talker.next_at(&self.scenario.machines[machine], life) {
            self.put(micros(at), Event::Speak(machine));
        }
    }

    fn speak(&mut self, machine: usize) {
        let spec = &self.scenario.machines[machine];
        let Sender { life, talker, outbox, .. } = &mut self.senders[machine];
        let message = talker.speak(spec, life, wall(self.now));
        outbox.push_back(message);
        // On the way; a machine without stamps is taken at its arrival.
        let wait = self.schedule.between(MILLISECOND, 15 * MILLISECOND);
        self.put(self.now + wait, Event::Flush(machine));
        self.speak_next(machine);
    }

    /// Hands over what waits, if there is somebody to take it.
    fn flush(&mut self, machine: usize) {
        let spec = &self.scenario.machines[machine];
        let (kind, gateway) = (spec.kind, spec.gateway);
        let sender = &mut self.senders[machine];
        if sender.link_down > 0 {
            if kind == Kind::Bare {
                sender.outbox.clear();
            }
            return;
        }
        if !self.edges[gateway].gateway.is_open() {
            if kind != Kind::Sequenced {
                // It hands over once, and nobody was there.
                self.carried.dropped += sender.outbox.len() as u64;
                sender.outbox.clear();
            }
            return;
        }
        let topic = sender.talker.topic.clone();
        let mut out: Vec<Message> = Vec::with_capacity(sender.outbox.len() + RECENT);
        while let Some(message) = sender.outbox.pop_front() {
            let overtaken = kind == Kind::Sequenced && self.schedule.chance(self.scenario.overtaken) && sender.behind.is_none();
            if overtaken {
                sender.behind = Some(message);
                continue;
            }
            out.push(message.clone());
            out.extend(sender.behind.take());
            sender.recent.push_back(message);
            if sender.recent.len() > RECENT {
                sender.recent.pop_front();
            }
            if kind != Kind::Bare && self.schedule.chance(self.scenario.repeated) {
                out.extend(sender.recent.iter().cloned());
            }
        }
        if out.is_empty() {
            return;
        }
        self.carried.messages += out.len() as u64;
        for message in out {
            self.edges[gateway].gateway.message(self.now, topic.clone(), message.payload);
        }
        self.look_soon(gateway, 300 * MILLISECOND);
    }

    fn look_soon(&mut self, gateway: usize, wait: Micros) {
        let at = self.now + wait;
        if at < self.edges[gateway].look_at {
            self.edges[gateway].look_at = at;
            self.put(at, Event::Look { gateway, again: false });
        }
    }

    /// Lets time pass in a gateway, and makes durable what is due.
    fn look(&mut self, gateway: usize) {
        let edge = &mut self.edges[gateway].gateway;
        let mut commits = 0;
        while edge.process.is_some() && edge.tick(self.now) && commits < 4 {
            edge.write(self.now);
            edge.settle(self.now);
            commits += 1;
        }
    }

    fn upload(&mut self, gateway: usize) {
        loop {
            let step = self.edges[gateway].gateway.next(self.now);
            match step {
                Some(Step::Send(request)) => self.send(gateway, &request.body),
                Some(Step::Wait(wait)) => return self.upload_soon(gateway, wait),
                Some(Step::Idle) | None => return,
            }
        }
    }

    fn upload_soon(&mut self, gateway: usize, wait: Duration) {
        let at = self.now + u64::try_from(wait.as_micros()).unwrap_or(UPLOAD);
        if at < self.now + UPLOAD && at < self.edges[gateway].upload_at {
            self.edges[gateway].upload_at = at;
            self.put(at, Event::Upload { gateway, again: false });
        }
    }

    fn send(&mut self, gateway: usize, body: &[u8]) {
        self.carried.requests += 1;
        let (twice, lost) = (self.network.chance(NETWORK), self.network.chance(NETWORK));
        let none = |reason: &str| Answer::Wait { reason: reason.into(), after: None };
        let answer = if self.edges[gateway].uplink_down > 0 {
            none("no connection")
        } else {
            let bodies: Vec<Vec<u8>> = (0..1 + usize::from(twice)).map(|_| body.to_vec()).collect();
            let now = self.wall();
            let taken = self.collector.take(now, &bodies).unwrap_or_default();
            self.carried.duplicates += taken.duplicates;
            if let Ok(batch) = codec::decode_batch(body, &codec::Limits::default()) {
                self.twin.apply_status(&batch.gateway, now, &batch.status);
            }
            match taken.answers.first() {
                Some(answer) if !lost => judge(answer),
                _ => none("the answer was lost"),
            }
        };
        let random = self.processes.fraction();
        self.edges[gateway].gateway.answered(self.now, answer, random);
    }

    /// What has come goes to the lake, and from there to whoever asks.
    fn commit(&mut self) {
        let Collector { process: Some(process), store, .. } = &mut self.collector else { return };
        if process.freeze() {
            for table in ALL_TABLES {
                process.commit_table(table, &mut self.lake);
            }
            process.tables_done();
            process.write_store(store);
            if let Err(error) = process.release() {
                panic!("the journal can't let go: {error}");
            }
        }
        let now = self.wall();
        for table in ALL_TABLES {
            for row in &self.lake.rows_of(table)[self.seen[table]..] {
                self.carried.rows += 1;
                let of: &dyn Fn(&str) -> Option<usize> = &|asset| self.assets.iter().position(|known| known == asset);
                match &row.record {
                    Record::State(state) => {
                        if let Some(machine) = of(state.asset.as_str()) {
                            self.stored[machine].states.push(state.clone());
                        }
                    }
                    Record::Parts(parts) => {
                        if let Some(machine) = of(parts.asset.as_str()) {
                            self.stored[machine].parts.push(parts.clone());
                        }
                    }
                    Record::Window(_) | Record::Anomaly(_) | Record::Loss(_) => {}
                }
                self.twin.apply(&row.gateway, now, &[StampedRecord { seq: row.seq, record: row.record.clone() }]);
            }
            self.seen[table] = self.lake.rows_of(table).len();
        }
    }

    /// Losses that were told, for people.
    pub fn losses(&self) -> impl Iterator<Item = &protocol::Loss> {
        self.lake.rows().filter_map(|row| if let Record::Loss(loss) = &row.record { Some(loss) } else { None })
    }
}

/// The collector's own view of what is known until when.
fn twin() -> Twin {
    let text = "[collector]\ndata_dir = \"/nowhere\"\n[api]\nlisten = \"127.0.0.1:0\"\n[uplink]\nlisten = \"127.0.0.1:0\"\n";
    match ::collector::config::Config::parse(Path::new("month.toml"), text, []) {
        Ok(config) => Twin::new(&config),
        Err(error) => panic!("the month's own configuration is not valid: {error}"),
    }
}
