//! One run: machines, gateway, network, collector and lake in virtual time, and what goes wrong with them.
//!
//! Everything happens in events of the queue. A step of a process that can be interrupted is an event of its own, so that a stop may come between
//! any two; within a step the disk's fuse stops it. Events of a process that has ended meanwhile are passed over, by its *epoch*.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use gateway::{
    config::Config,
    upload::{Answer, HEARTBEAT, Step as Upload},
};
use protocol::{Timestamp, codec};
use spool::{
    Disk, Options,
    simulated::{Faults, Image, SimDisk},
};

use crate::{
    collector_side::{self, ALL_TABLES, Arrivals, Bugs, Collector, Store},
    gateway_side::{Carried, Gateway},
    lake::Lake,
    network::{FAIR, Return, Weather, fate},
    plan::{Moment, Plan, Side, Step, Stop, What},
    queue::{HOUR, MILLISECOND, MINUTE, Micros, Queue, SECOND},
    random::{Concern, Dice},
    sensors::{Kind, Plant, wall},
    trace::Trace,
};

/// The gateway gives up waiting for an answer.
const TIMEOUT: Micros = 10 * SECOND;
/// A stop that waits for a step which does not come is done after so long all the same.
const ARMED: Micros = 20 * SECOND;
/// After the last fault everything must be with the collector within so long.
const SETTLES: Micros = 3 * HOUR;

/// With [`Mutation::EarlyAck`] the journal is written so much later than the answer.
const LATE_JOURNAL: Micros = 2 * SECOND;

/// A bug that is put in on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The disks' syncs do nothing.
    SkipSync,
    /// The collector answers before its journal is written.
    EarlyAck,
    /// The collector takes every batch for new.
    NoLedger,
}

impl Mutation {
    pub const ALL: [Self; 3] = [Self::SkipSync, Self::EarlyAck, Self::NoLedger];

    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipSync => "skip-sync",
            Self::EarlyAck => "early-ack",
            Self::NoLedger => "no-ledger",
        }
    }
}

/// What was done in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub clean_stops: u64,
    pub kills: u64,
    pub power_cuts: u64,
    /// Of all stops, those in the middle of a disk operation or right after a step.
    pub aimed: u64,
    pub restores: u64,
    pub commits: u64,
    pub failed_commits: u64,
    pub requests: u64,
    pub arrivals: u64,
    pub duplicates: u64,
    pub gaps: u64,
    pub refused: u64,
    pub network_bytes: u64,
    pub disk_bytes: u64,
    pub readings: u64,
    pub events: u64,
    pub virtual_us: u64,
}

impl Figures {
    /// Ends of a process, of any kind.
    pub fn stops(&self) -> u64 {
        self.clean_stops + self.kills + self.power_cuts
    }

    pub fn add(&mut self, other: &Self) {
        let Self { clean_stops, kills, power_cuts, aimed, restores, commits, failed_commits, requests, arrivals, .. } = other;
        self.clean_stops += clean_stops;
        self.kills += kills;
        self.power_cuts += power_cuts;
        self.aimed += aimed;
        self.restores += restores;
        self.commits += commits;
        self.failed_commits += failed_commits;
        self.requests += requests;
        self.arrivals += arrivals;
        self.duplicates += other.duplicates;
        self.gaps += other.gaps;
        self.refused += other.refused;
        self.network_bytes += other.network_bytes;
        self.disk_bytes += other.disk_bytes;
        self.readings += other.readings;
        self.events += other.events;
        self.virtual_us += other.virtual_us;
    }
}

type Epoch = u64;

#[derive(Debug)]
enum Event {
    Measure(usize),
    HandOver(usize),
    Poll { device: usize, machine: usize },
    Tick(Epoch),
    Write(Epoch),
    Settle(Epoch),
    Upload(Epoch, u64),
    Arrive { id: u64, body: Arc<Vec<u8>>, cut: Option<usize>, first: bool },
    Answered { epoch: Epoch, id: u64, answer: OnWire },
    Turn(usize, Epoch),
    LakeTimer(usize, Epoch),
    Table(usize, Epoch, usize),
    WriteStore(usize, Epoch),
    Release(usize, Epoch),
    Begin(usize),
    End(usize),
    Backup(usize),
    Overdue(usize),
    StartGateway,
    StartCollector(usize),
    EndOfFaults,
    Look,
}

#[derive(Debug)]
enum OnWire {
    Answer(collector_side::Answer),
    Broken,
    TimedOut,
}

struct Flight {
    epoch: Epoch,
    answer: Return,
    answer_after: Micros,
}

struct Armed {
    fault: usize,
    side: Side,
    stop: Stop,
    step: Step,
    left: u32,
    down: Micros,
}

/// A stop in the middle of an operation on the disk.
#[derive(Debug, Clone, Copy)]
struct Wired {
    fault: usize,
    stop: Stop,
    down: Micros,
    operations: u32,
}

#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Saved {
    /// With when it was taken.
    Gateway(Image, Micros),
    Collector(Vec<(Image, Store)>, Lake),
}

struct Site {
    collector: Collector,
    epoch: Epoch,
    inbox: Vec<(u64, bool, Vec<u8>)>,
    turning: bool,
    starting: bool,
    /// With [`Mutation::EarlyAck`]: what was on disk before the last batches were acknowledged.
    before: Option<(Image, Micros)>,
}

/// A run in progress.
pub struct World {
    plan: Plan,
    mutation: Option<Mutation>,
    schedule: Dice,
    network: Dice,
    processes: Dice,
    queue: Queue<Event>,
    pub trace: Trace,
    pub plant: Plant,
    pub gateway: Gateway,
    sites: Vec<Site>,
    active: usize,
    pub lake: Lake,
    now: Micros,
    tick: Micros,
    gateway_epoch: Epoch,
    gateway_starting: bool,
    wake: u64,
    in_flight: Option<u64>,
    flights: BTreeMap<u64, Flight>,
    next_request: u64,
    outages: u32,
    weather: (Weather, Option<usize>),
    silent: u32,
    lake_down: u32,
    faults: BTreeMap<Side, Faults>,
    armed: Vec<Armed>,
    wired: BTreeMap<Side, Wired>,
    begun: BTreeSet<usize>,
    saved: BTreeMap<usize, Saved>,
    /// When the newest entry that the collector has stored was made.
    newest_stored: i64,
    calm: bool,
    /// There are no more faults, and the gateway runs.
    all_well_at: Option<Micros>,
    quiet_looks: u32,
    done: bool,
    pub figures: Figures,
}

impl World {
    /// The world before the first event.
    pub fn new(plan: Plan, mutation: Option<Mutation>, print: bool) -> Self {
        let plant = Plant::drawn(plan.seed, plan.size);
        Self::with_plant(plan, plant, mutation, print)
    }

    /// A world with these machines.
    pub fn with_plant(plan: Plan, plant: Plant, mutation: Option<Mutation>, print: bool) -> Self {
        let config = configuration(&plan, &plant);
        let mut disks = [Concern::GatewayDisk, Concern::CollectorDisk].map(|concern| SimDisk::new(Dice::of(plan.seed, concern).number()));
        for disk in &mut disks {
            disk.skip_sync(mutation == Some(Mutation::SkipSync));
        }
        let [gateway_disk, collector_disk] = disks;
        let id = config.gateway.clone();
        let options = Options {
            max_bytes: plan.spool_bytes,
            generation_bytes: plan.spool_bytes / 16,
            keep_acknowledged_bytes: plan.spool_bytes / 4,
            ..Options::default()
        };
        let gateway = Gateway {
            id,
            disk: gateway_disk,
            fuse: Default::default(),
            config,
            options,
            clock: Default::default(),
            time: None,
            process: None,
            boots: 0,
        };
        let mut world = Self {
            schedule: Dice::of(plan.seed, Concern::Schedule),
            network: Dice::of(plan.seed, Concern::Network),
            processes: Dice::of(plan.seed, Concern::Processes),
            queue: Queue::default(),
            trace: Trace::new(print),
            plant,
            gateway,
            sites: Vec::new(),
            active: 0,
            lake: Lake::default(),
            now: 0,
            tick: if plan.length > HOUR { 250 * MILLISECOND } else { 100 * MILLISECOND },
            gateway_epoch: 0,
            gateway_starting: true,
            wake: 0,
            in_flight: None,
            flights: BTreeMap::new(),
            next_request: 0,
            outages: 0,
            weather: (FAIR, None),
            silent: 0,
            lake_down: 0,
            faults: BTreeMap::new(),
            armed: Vec::new(),
            wired: BTreeMap::new(),
            begun: BTreeSet::new(),
            saved: BTreeMap::new(),
            newest_stored: 0,
            calm: false,
            all_well_at: None,
            quiet_looks: 0,
            done: false,
            figures: Figures::default(),
            plan,
            mutation,
        };
        world.add_site(collector_disk);
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.put(0, Event::StartCollector(0));
        self.put(MILLISECOND, Event::StartGateway);
        let mut device = 0;
        for machine in 0..self.plant.machines.len() {
            let (kind, period) = (self.plant.machines[machine].kind, self.plant.machines[machine].period);
            let first = self.schedule.between(SECOND, SECOND + period);
            if kind == Kind::Polled {
                self.put(first, Event::Poll { device, machine });
                device += 1;
            } else {
                self.put(first, Event::Measure(machine));
            }
        }
        for (index, fault) in self.plan.faults.clone().iter().enumerate() {
            self.put(fault.at, Event::Begin(index));
            if let What::Restore { age, .. } = fault.what {
                self.put(fault.at.saturating_sub(age).max(10 * SECOND), Event::Backup(index));
            }
        }
        self.put(self.plan.length, Event::EndOfFaults);
    }

    fn add_site(&mut self, disk: SimDisk) {
        let shared = self.plan.has(|what| matches!(what, What::SecondCollector { .. }));
        let patience = if shared { i64::try_from(2 * self.plan.lake_interval + 30 * SECOND).unwrap_or(i64::MAX) } else { 0 };
        let pacing = collector::pacing::Pacing { elsewhere_patience_us: patience, ..Default::default() };
        disk.skip_sync(self.mutation == Some(Mutation::SkipSync));
        let bugs = Bugs { no_ledger: self.mutation == Some(Mutation::NoLedger) };
        let collector = Collector::new(disk, pacing, bugs);
        self.sites.push(Site { collector, epoch: 0, inbox: Vec::new(), turning: false, starting: true, before: None });
    }

    /// Runs to the end. `Err`: it did not come to rest.
    ///
    /// # Errors
    /// What it still waited for.
    pub fn run(&mut self) -> Result<(), String> {
        self.run_until(self.plan.length + SETTLES);
        self.figures.events = self.trace.events();
        self.figures.virtual_us = self.now;
        self.figures.disk_bytes = self.gateway.disk.counters().bytes_written
            + self.sites.iter().map(|site| site.collector.disk.counters().bytes_written).sum::<u64>();
        self.figures.readings = self.plant.truth.series.iter().map(|series| series.sampled).sum();
        if self.done { Ok(()) } else { Err(self.waiting_for()) }
    }

    /// Runs until the time `end`, or until everything is at rest.
    pub fn run_until(&mut self, end: Micros) {
        while !self.done
            && self.now < end
            && let Some((at, event)) = self.queue.take()
        {
            self.now = at;
            self.handle(event);
        }
    }

    pub fn now(&self) -> Micros {
        self.now
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Has the collector note when entries come; see [`Arrivals`].
    pub fn watch(&mut self, since: Micros) {
        for site in &mut self.sites {
            site.collector.arrivals = Some(Arrivals { since: wall(since), ..Arrivals::default() });
        }
    }

    /// Sets how fast backlogs may come in, from the collector's next start on.
    pub fn set_pacing(&mut self, pacing: collector::pacing::Pacing) {
        self.sites.iter_mut().for_each(|site| site.collector.pacing = pacing);
    }

    /// The collectors, the first one first.
    pub fn collectors(&self) -> impl Iterator<Item = &Collector> {
        self.sites.iter().map(|site| &site.collector)
    }

    fn waiting_for(&self) -> String {
        let gateway = match &self.gateway.process {
            None => "the gateway does not start".to_owned(),
            Some(process) => {
                let stats = process.core.stats();
                let view = process.spool.view();
                let behind: Vec<_> = view.iter().filter(|generation| !generation.acknowledged()).collect();
                let now = process.last_read();
                format!(
                    "gateway: {} open windows, {} held back, {} records pending, trouble {:?}, of {} generations not acknowledged: {behind:?}",
                    stats.open_windows,
                    stats.held_back,
                    stats.pending_records,
                    process.courier.report(now).trouble,
                    view.len(),
                )
            }
        };
        let drained: Vec<bool> = self.sites.iter().map(|site| site.collector.is_drained()).collect();
        format!("{gateway}; collectors with nothing left: {drained:?}")
    }

    fn put(&mut self, at: Micros, event: Event) {
        let tie = self.schedule.number();
        self.queue.put(at, tie, event);
    }

    fn soon(&mut self, least: Micros, most: Micros, event: Event) {
        let wait = self.schedule.between(least, most);
        self.put(self.now + wait, event);
    }

    fn note(&mut self, who: &'static str, what: &'static str, numbers: [u64; 3]) {
        self.trace.note(self.now, who, what, numbers);
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(wall(self.now))
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Measure(machine) => self.measure(machine),
            Event::HandOver(machine) => self.hand_over(machine),
            Event::Poll { device, machine } => self.poll(device, machine),
            Event::Tick(epoch) if epoch == self.gateway_epoch && self.gateway.process.is_some() => {
                self.let_core_tick();
                self.put(self.now + self.tick, Event::Tick(epoch));
            }
            Event::Write(epoch) if epoch == self.gateway_epoch => self.write(),
            Event::Settle(epoch) if epoch == self.gateway_epoch => self.settle(),
            Event::Upload(epoch, wake) if epoch == self.gateway_epoch && wake == self.wake => self.upload(),
            Event::Tick(_) | Event::Write(_) | Event::Settle(_) | Event::Upload(..) => {}
            Event::Arrive { id, body, cut, first } => self.arrive(id, &body, cut, first),
            Event::Answered { epoch, id, answer } if epoch == self.gateway_epoch && self.in_flight == Some(id) => {
                self.answered(id, &answer);
            }
            Event::Answered { .. } => {}
            Event::Turn(site, epoch) => self.at_site(site, epoch, Self::turn),
            Event::LakeTimer(site, epoch) => self.at_site(site, epoch, Self::lake_timer),
            Event::Table(site, epoch, table) => self.at_site(site, epoch, |world, site| world.commit_table(site, table)),
            Event::WriteStore(site, epoch) => self.at_site(site, epoch, Self::write_store),
            Event::Release(site, epoch) => self.at_site(site, epoch, Self::release),
            Event::Begin(fault) if !self.calm => self.fault_begins(fault),
            Event::End(fault) if !self.calm => self.fault_ends(fault),
            Event::Overdue(fault) if !self.calm => self.overdue(fault),
            Event::Begin(_) | Event::End(_) | Event::Overdue(_) => {}
            Event::Backup(fault) => self.back_up(fault),
            Event::StartGateway => self.start_gateway(),
            Event::StartCollector(site) => self.start_collector(site),
            Event::EndOfFaults => self.end_of_faults(),
            Event::Look => self.look(),
        }
    }

    fn at_site(&mut self, site: usize, epoch: Epoch, step: impl FnOnce(&mut Self, usize)) {
        if self.sites[site].epoch == epoch && self.sites[site].collector.process.is_some() {
            step(self, site);
        }
    }

    // Machines.

    /// When all is well again each machine measures some more, so that what its numbers and counters have to tell is told.
    fn still_measures(&self, machine: usize) -> bool {
        // What is stamped by a clock that was set back a little is taken for out of order, until time has caught up.
        let clock = self.plan.has(|what| matches!(what, What::ClockJump { .. } | What::ClockUnset { .. }));
        let more = if clock { 3 * MINUTE } else { 3 * SECOND };
        self.all_well_at.is_none_or(|at| self.now < at + 4 * self.plant.machines[machine].period + more)
    }

    fn measure(&mut self, machine: usize) {
        self.plant.measure(machine, self.now);
        if self.gateway.is_open() {
            self.soon(MILLISECOND, 20 * MILLISECOND, Event::HandOver(machine));
        }
        if self.still_measures(machine) {
            let period = self.plant.machines[machine].period;
            self.soon(period - period / 10, period + period / 10, Event::Measure(machine));
        }
    }

    fn hand_over(&mut self, machine: usize) {
        if !self.gateway.is_open() {
            return;
        }
        let trusted = self.gateway.is_clock_right(self.now);
        let topic = self.plant.machines[machine].topic.clone();
        let mut messages = 0;
        while let Some(payload) = self.plant.hand_over(machine, self.now, trusted) {
            self.gateway.message(self.now, topic.clone(), payload);
            messages += 1;
        }
        if messages > 0 {
            self.note("plant", "message", [machine as u64, messages, 0]);
            self.let_core_tick();
        }
    }

    fn poll(&mut self, device: usize, machine: usize) {
        if self.gateway.is_open() {
            let lost = self.schedule.chance(self.silent);
            let flags = (self.gateway.is_clock_right(self.now), lost && !self.calm);
            let plan = self.gateway.config.devices[device].plan.clone();
            let result = self.plant.poll(machine, self.now, &plan, flags);
            self.gateway.polled(self.now, device, result);
            self.note("plant", "poll", [machine as u64, u64::from(flags.1), 0]);
            self.let_core_tick();
        }
        if self.still_measures(machine) {
            let period = self.plant.machines[machine].period;
            self.put(self.now + period, Event::Poll { device, machine });
        }
    }

    // The gateway.

    fn start_gateway(&mut self) {
        self.gateway_starting = false;
        if self.gateway.process.is_some() {
            return;
        }
        self.gateway.fuse.renew();
        if let Some(wired) = self.wired.get(&Side::Gateway) {
            self.gateway.fuse.set(wired.operations);
        }
        let boot_id = self.processes.number();
        self.gateway_epoch += 1;
        let started = self.gateway.start(self.now, boot_id);
        if self.blown(Side::Gateway) {
            return;
        }
        if self.trace.prints() {
            println!("{started:?}");
        }
        if started.is_err() {
            self.note("gateway", "can't start", [0; 3]);
            self.gateway.process = None;
            self.come_back(Side::Gateway, 2 * SECOND);
            return;
        }
        self.note("gateway", "starts", [self.gateway.boots, 0, 0]);
        if self.calm {
            self.all_well_at = Some(self.now);
        }
        self.put(self.now + self.tick, Event::Tick(self.gateway_epoch));
        self.wake_uploader(MILLISECOND);
        self.let_core_tick();
    }

    fn let_core_tick(&mut self) {
        if self.gateway.tick(self.now) {
            self.figures.commits += 1;
            if self.hit(Side::Gateway, Step::CommitTaken) {
                return;
            }
            let slow = self.schedule.chance(20);
            self.soon(100, if slow { 2 * SECOND } else { 20 * MILLISECOND }, Event::Write(self.gateway_epoch));
        }
    }

    fn write(&mut self) {
        self.gateway.write(self.now);
        if self.blown(Side::Gateway) {
            return;
        }
        self.note("gateway", "commit written", [0; 3]);
        if !self.hit(Side::Gateway, Step::Appended) {
            self.soon(10, 5 * MILLISECOND, Event::Settle(self.gateway_epoch));
        }
    }

    fn settle(&mut self) {
        let was_open = self.gateway.is_open();
        let durable = self.gateway.settle(self.now);
        if !was_open {
            for machine in 0..self.plant.machines.len() {
                self.soon(MILLISECOND, 2 * SECOND, Event::HandOver(machine));
            }
        }
        if durable {
            if self.in_flight.is_none() {
                self.wake_uploader(MILLISECOND);
            }
        } else {
            self.figures.failed_commits += 1;
            self.note("gateway", "commit failed", [0; 3]);
        }
        self.let_core_tick();
    }

    fn wake_uploader(&mut self, wait: Micros) {
        self.wake += 1;
        self.put(self.now + wait.max(MILLISECOND), Event::Upload(self.gateway_epoch, self.wake));
    }

    fn upload(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        let step = self.gateway.next(self.now);
        if self.blown(Side::Gateway) {
            return;
        }
        match step {
            None => {}
            Some(Upload::Wait(wait)) => self.wake_uploader(micros(wait)),
            Some(Upload::Idle) => self.wake_uploader(micros(HEARTBEAT)),
            Some(Upload::Send(request)) => self.send(request.into()),
        }
    }

    fn send(&mut self, request: Carried) {
        self.next_request += 1;
        let (id, bytes) = (self.next_request, request.body.len());
        let outage = self.outages > 0;
        let fate = fate(&mut self.network, &self.weather.0, outage, bytes);
        let what = if request.heartbeat { "sends a heartbeat" } else { "sends a batch" };
        self.note("gateway", what, [id, bytes as u64, request.stream.0 & 0xffff]);
        self.figures.requests += 1;
        self.figures.network_bytes += bytes as u64;
        self.in_flight = Some(id);
        let epoch = self.gateway_epoch;
        self.flights.insert(id, Flight { epoch, answer: fate.answer, answer_after: fate.answer_after });
        for (index, arrival) in fate.arrivals.iter().enumerate() {
            let (body, cut) = (Arc::clone(&request.body), arrival.cut);
            self.put(self.now + arrival.after, Event::Arrive { id, body, cut, first: index == 0 });
        }
        if let Some((status, retry_after)) = fate.instead {
            let answer = collector_side::Answer { status, retry_after, body: Vec::new() };
            self.put(self.now + fate.answer_after, Event::Answered { epoch, id, answer: OnWire::Answer(answer) });
        }
        self.put(self.now + TIMEOUT, Event::Answered { epoch, id, answer: OnWire::TimedOut });
        self.hit(Side::Gateway, Step::RequestSent);
    }

    fn answered(&mut self, id: u64, answer: &OnWire) {
        self.in_flight = None;
        self.flights.remove(&id);
        let (answer, what) = match answer {
            OnWire::Answer(answer) => (judge(answer), "answer"),
            OnWire::Broken => (Answer::Wait { reason: "broken off".into(), after: None }, "answer broken off"),
            OnWire::TimedOut => (Answer::Wait { reason: "no answer".into(), after: None }, "no answer"),
        };
        let kind = match &answer {
            Answer::Ack(ack) => match ack.ack {
                protocol::Ack::Stored => 1,
                protocol::Ack::Duplicate => 2,
                protocol::Ack::Gap { .. } => 3,
                protocol::Ack::Heartbeat => 4,
            },
            Answer::Refused { status, .. } => u64::from(*status),
            Answer::Unwelcome { .. } => 401,
            Answer::Wait { .. } => 0,
        };
        self.note("gateway", what, [id, kind, 0]);
        let random = self.processes.fraction();
        self.gateway.answered(self.now, answer, random);
        if self.blown(Side::Gateway) {
            return;
        }
        if !self.hit(Side::Gateway, Step::AnswerApplied) {
            self.wake_uploader(MILLISECOND);
        }
    }

    // The collector.

    fn start_collector(&mut self, site: usize) {
        self.sites[site].starting = false;
        if self.sites[site].collector.process.is_some() {
            return;
        }
        let now = self.wall();
        let Site { collector, epoch, inbox, turning, before, .. } = &mut self.sites[site];
        collector.fuse.renew();
        if let Some(wired) = self.wired.get(&Side::Collector).filter(|_| site == self.active) {
            collector.fuse.set(wired.operations);
        }
        *epoch += 1;
        (*turning, *before) = (false, None);
        inbox.clear();
        let epoch = *epoch;
        let started = collector.start(now, &self.lake);
        if self.blown_site(site) {
            return;
        }
        if let Err(error) = started {
            self.note("collector", "can't start", [site as u64, 0, 0]);
            if self.trace.prints() {
                println!("{error}");
            }
            self.sites[site].collector.end();
            self.come_back_site(site, 2 * SECOND);
            return;
        }
        self.note("collector", "starts", [site as u64, 0, 0]);
        let wait = self.schedule.between(MILLISECOND, self.plan.lake_interval);
        self.put(self.now + wait, Event::LakeTimer(site, epoch));
    }

    fn arrive(&mut self, id: u64, body: &[u8], cut: Option<usize>, first: bool) {
        self.figures.arrivals += 1;
        let site = self.active;
        if self.sites[site].collector.process.is_none() {
            if first {
                self.broken(id);
            }
            return;
        }
        let bytes = body[..cut.unwrap_or(body.len()).min(body.len())].to_vec();
        self.sites[site].inbox.push((id, first, bytes));
        if !std::mem::replace(&mut self.sites[site].turning, true) {
            let epoch = self.sites[site].epoch;
            self.soon(10, 5 * MILLISECOND, Event::Turn(site, epoch));
        }
    }

    /// The connection of a request is gone.
    fn broken(&mut self, id: u64) {
        if let Some(flight) = self.flights.get(&id) {
            let (epoch, after) = (flight.epoch, flight.answer_after);
            self.put(self.now + after, Event::Answered { epoch, id, answer: OnWire::Broken });
        }
    }

    fn turn(&mut self, site: usize) {
        let now = self.wall();
        let early = self.mutation == Some(Mutation::EarlyAck);
        let Site { collector, inbox, turning, before, .. } = &mut self.sites[site];
        *turning = false;
        let requests = std::mem::take(inbox);
        if early {
            *before = Some((collector.disk.snapshot(), self.now));
        }
        let bodies: Vec<Vec<u8>> = requests.iter().map(|(_, _, body)| body.clone()).collect();
        let taken = collector.take(now, &bodies).unwrap_or_default();
        let waiting: Vec<u64> = requests.iter().filter(|(_, first, _)| *first).map(|(id, ..)| *id).collect();
        if self.blown_site(site) {
            waiting.into_iter().for_each(|id| self.broken(id));
            return;
        }
        self.note("collector", "takes", [taken.stored, taken.duplicates, taken.gaps]);
        self.figures.duplicates += taken.duplicates;
        self.figures.gaps += taken.gaps;
        self.figures.refused += taken.refused;
        self.newest_stored = self.newest_stored.max(taken.newest);
        if taken.stored > 0 && !early && self.hit_site(site, Step::Journaled) {
            waiting.into_iter().for_each(|id| self.broken(id));
            return;
        }
        for ((id, first, _), answer) in requests.into_iter().zip(taken.answers) {
            let Some(flight) = self.flights.get(&id).filter(|_| first) else { continue };
            let (epoch, after) = (flight.epoch, flight.answer_after);
            let answer = match flight.answer {
                Return::Whole => OnWire::Answer(answer),
                Return::Cut(bytes) if answer.status == 200 => {
                    let body = answer.body[..bytes.min(answer.body.len().saturating_sub(1))].to_vec();
                    OnWire::Answer(collector_side::Answer { body, ..answer })
                }
                Return::Cut(_) => OnWire::Broken,
                Return::Lost => continue,
            };
            self.put(self.now + after, Event::Answered { epoch, id, answer });
        }
        if taken.stored > 0 && early {
            self.hit_site(site, Step::Journaled);
        }
    }

    fn lake_timer(&mut self, site: usize) {
        let (now, epoch) = (self.wall(), self.sites[site].epoch);
        let shared = self.sites.len() > 1;
        let Some(process) = &mut self.sites[site].collector.process else { return };
        if shared {
            process.look_at_lake(&self.lake, now);
        }
        if self.lake_down == 0 && process.freeze() {
            self.soon(MILLISECOND, 50 * MILLISECOND, Event::Table(site, epoch, ALL_TABLES.start));
        } else {
            self.put(self.now + self.plan.lake_interval, Event::LakeTimer(site, epoch));
        }
    }

    fn commit_table(&mut self, site: usize, table: usize) {
        let epoch = self.sites[site].epoch;
        if self.lake_down > 0 {
            // What could not be stored stays, and goes with the next commit.
            self.put(self.now + self.plan.lake_interval, Event::LakeTimer(site, epoch));
            return;
        }
        let Some(process) = &mut self.sites[site].collector.process else { return };
        let rows = process.commit_table(table, &mut self.lake);
        if rows > 0 {
            self.note("collector", "table committed", [site as u64, table as u64, rows as u64]);
            if self.hit_site(site, Step::TableCommitted) {
                return;
            }
        }
        if table + 1 < ALL_TABLES.end {
            self.soon(100, 20 * MILLISECOND, Event::Table(site, epoch, table + 1));
            return;
        }
        if let Some(process) = &mut self.sites[site].collector.process {
            process.tables_done();
        }
        if !self.hit_site(site, Step::LakeCommitted) {
            self.soon(100, 10 * MILLISECOND, Event::WriteStore(site, epoch));
        }
    }

    fn write_store(&mut self, site: usize) {
        let Collector { process, store, .. } = &mut self.sites[site].collector;
        if let Some(process) = process {
            process.write_store(store);
        }
        if !self.hit_site(site, Step::StoreWritten) {
            let epoch = self.sites[site].epoch;
            self.soon(100, 10 * MILLISECOND, Event::Release(site, epoch));
        }
    }

    fn release(&mut self, site: usize) {
        let Some(process) = &mut self.sites[site].collector.process else { return };
        let released = process.release();
        if self.blown_site(site) {
            return;
        }
        if released.is_err() {
            self.note("collector", "journal can't let go", [site as u64, 0, 0]);
        }
        let epoch = self.sites[site].epoch;
        self.put(self.now + self.plan.lake_interval, Event::LakeTimer(site, epoch));
    }

    // Stops.

    /// A step was taken; true if a stop was waiting for it.
    fn hit(&mut self, side: Side, step: Step) -> bool {
        let mut due = None;
        for armed in self.armed.iter_mut().filter(|armed| armed.side == side && armed.step == step) {
            match armed.left.checked_sub(1) {
                Some(left) => armed.left = left,
                None => due = Some(armed.fault),
            }
        }
        let Some(index) = due.and_then(|fault| self.armed.iter().position(|armed| armed.fault == fault)) else { return false };
        let Armed { stop, down, .. } = self.armed.remove(index);
        self.figures.aimed += 1;
        self.stop(side, stop, down);
        true
    }

    fn hit_site(&mut self, site: usize, step: Step) -> bool {
        site == self.active && self.hit(Side::Collector, step)
    }

    /// The fuse of this side's disk is blown: its process has died in the middle of an operation. True if so.
    fn blown(&mut self, side: Side) -> bool {
        match side {
            Side::Gateway => {
                if !self.gateway.fuse.is_blown() {
                    return false;
                }
                let Wired { stop, down, .. } = self.wired.remove(&Side::Gateway).unwrap_or(Wired::NONE);
                self.figures.aimed += 1;
                self.stop(Side::Gateway, stop, down);
                true
            }
            Side::Collector => self.blown_site(self.active),
        }
    }

    fn blown_site(&mut self, site: usize) -> bool {
        if !self.sites[site].collector.fuse.is_blown() {
            return false;
        }
        let Wired { stop, down, .. } = self.wired.remove(&Side::Collector).unwrap_or(Wired::NONE);
        self.figures.aimed += 1;
        self.stop_site(site, stop);
        self.come_back_site(site, down);
        true
    }

    fn stop(&mut self, side: Side, stop: Stop, down: Micros) {
        match side {
            Side::Gateway => {
                self.stop_gateway(stop);
                self.come_back(Side::Gateway, down);
            }
            Side::Collector => {
                self.stop_site(self.active, stop);
                self.come_back_site(self.active, down);
            }
        }
    }

    fn count_stop(&mut self, stop: Stop) {
        let counter = match stop {
            Stop::Clean => &mut self.figures.clean_stops,
            Stop::Kill => &mut self.figures.kills,
            Stop::PowerCut => &mut self.figures.power_cuts,
        };
        *counter += 1;
    }

    fn stop_gateway(&mut self, stop: Stop) {
        self.count_stop(stop);
        let what = match stop {
            Stop::Clean => "stopped in order",
            Stop::Kill => "killed",
            Stop::PowerCut => "without power",
        };
        self.note("gateway", what, [0; 3]);
        let run = self.gateway.process.as_ref().map(|process| (process.zero, process.left_a_trace));
        match stop {
            Stop::Clean => {
                if self.gateway.process.is_some() && !self.gateway.finish(self.now) {
                    self.note("gateway", "last commit failed", [0; 3]);
                }
                // A fuse that blew meanwhile has done all that it could.
                if self.gateway.fuse.is_blown() {
                    self.gateway.disk.kill();
                }
            }
            Stop::Kill => self.gateway.disk.kill(),
            Stop::PowerCut => self.gateway.disk.power_cut(),
        }
        if let Some((began, false)) = run {
            // Its disk took nothing in all its life: nobody can know that there was this run.
            self.plant.truth.untold.push((wall(began), wall(self.now)));
        }
        self.gateway.process = None;
        self.gateway_epoch += 1;
        self.in_flight = None;
        self.plant.disconnected(self.now);
    }

    fn stop_site(&mut self, site: usize, stop: Stop) {
        self.count_stop(stop);
        let what = match stop {
            Stop::Clean => "stopped in order",
            Stop::Kill => "killed",
            Stop::PowerCut => "without power",
        };
        self.note("collector", what, [site as u64, 0, 0]);
        let now = self.now;
        let Site { collector, epoch, before, inbox, .. } = &mut self.sites[site];
        let waiting: Vec<u64> = inbox.drain(..).filter(|(_, first, _)| *first).map(|(id, ..)| id).collect();
        *epoch += 1;
        match stop {
            Stop::Clean => collector.end(),
            Stop::Kill => {
                collector.disk.kill();
                collector.end();
            }
            Stop::PowerCut => {
                collector.disk.power_cut();
                collector.end();
            }
        }
        if let Some((image, at)) = before.take()
            && stop != Stop::Clean
            && now - at < LATE_JOURNAL
        {
            // The journal had not been written when the answer left.
            collector.disk.restore(&image);
        }
        waiting.into_iter().for_each(|id| self.broken(id));
    }

    fn come_back(&mut self, side: Side, down: Micros) {
        match side {
            Side::Gateway => {
                if !std::mem::replace(&mut self.gateway_starting, true) {
                    self.put(self.now + down, Event::StartGateway);
                }
            }
            Side::Collector => self.come_back_site(self.active, down),
        }
    }

    fn come_back_site(&mut self, site: usize, down: Micros) {
        if !std::mem::replace(&mut self.sites[site].starting, true) {
            self.put(self.now + down, Event::StartCollector(site));
        }
    }

    fn is_up(&self, side: Side) -> bool {
        match side {
            Side::Gateway => self.gateway.process.is_some(),
            Side::Collector => self.sites[self.active].collector.process.is_some(),
        }
    }

    // Faults.

    fn fault_begins(&mut self, index: usize) {
        self.begun.insert(index);
        self.note("fault", "begins", [index as u64, 0, 0]);
        match self.plan.faults[index].what {
            What::Stop { side, stop, moment, down } => self.arm(index, (side, stop, moment, down)),
            What::Outage { length } => {
                self.outages += 1;
                self.put(self.now + length, Event::End(index));
            }
            What::Weather { weather, length } => {
                self.weather = (weather, Some(index));
                self.put(self.now + length, Event::End(index));
            }
            What::DiskFull { side, free, length } => {
                let disk = self.disk(side);
                disk.set_capacity(Some(disk.used() + free));
                self.put(self.now + length, Event::End(index));
            }
            What::FailingSyncs { side, syncs } => self.set_faults(side, |faults| faults.failing_syncs = syncs),
            What::FailingWrites { side, thousandths, length } => {
                self.set_faults(side, |faults| faults.apply = thousandths);
                self.put(self.now + length, Event::End(index));
            }
            What::Rot { side, flips, cut, stop } => {
                if self.is_up(side) {
                    self.stop(side, stop, SECOND);
                }
                self.rot(side, flips, cut);
            }
            What::ClockJump { by, length } => {
                self.gateway.clock.offset_us += by;
                self.put(self.now + length, Event::End(index));
            }
            What::ClockUnset { length } => {
                if self.is_up(Side::Gateway) {
                    self.stop(Side::Gateway, Stop::Clean, SECOND);
                }
                self.gateway.clock.offset_us = -wall(self.now);
                self.put(self.now + length, Event::End(index));
            }
            What::Restore { side, .. } => self.restore(index, side),
            What::SecondCollector { length } => {
                if self.sites.len() == 1 {
                    self.add_site(SimDisk::new(Dice::of(self.plan.seed, Concern::SecondDisk).number()));
                    self.put(self.now, Event::StartCollector(1));
                }
                self.active = 1;
                self.put(self.now + length, Event::End(index));
            }
            What::LakeDown { length } => {
                self.lake_down += 1;
                self.put(self.now + length, Event::End(index));
            }
            What::Renew { machine } => self.plant.renew(machine, self.now),
            What::SilentDevices { thousandths, length } => {
                self.silent = thousandths;
                self.put(self.now + length, Event::End(index));
            }
        }
    }

    fn fault_ends(&mut self, index: usize) {
        self.note("fault", "ends", [index as u64, 0, 0]);
        match self.plan.faults[index].what {
            What::Outage { .. } => self.outages = self.outages.saturating_sub(1),
            What::Weather { .. } if self.weather.1 == Some(index) => self.weather = (FAIR, None),
            What::DiskFull { side, .. } => self.disk(side).set_capacity(None),
            What::FailingWrites { side, .. } => self.set_faults(side, |faults| faults.apply = 0),
            // Unless somebody has set it right meanwhile.
            What::ClockJump { by, .. } if self.gateway.clock.offset_us != 0 => self.gateway.clock.offset_us -= by,
            What::ClockUnset { .. } => self.gateway.clock.offset_us = 0,
            What::SecondCollector { .. } => self.active = 0,
            What::LakeDown { .. } => self.lake_down = self.lake_down.saturating_sub(1),
            What::SilentDevices { .. } => self.silent = 0,
            _ => {}
        }
    }

    fn arm(&mut self, fault: usize, (side, stop, moment, down): (Side, Stop, Moment, Micros)) {
        match moment {
            Moment::Now => {
                if self.is_up(side) {
                    self.stop(side, stop, down);
                }
            }
            Moment::After(step, left) => {
                self.armed.push(Armed { fault, side, stop, step, left, down });
                self.put(self.now + ARMED, Event::Overdue(fault));
            }
            Moment::Disk(operations) => {
                self.wired.insert(side, Wired { fault, stop, down, operations });
                if self.is_up(side) {
                    self.fuse(side).set(operations);
                }
                self.put(self.now + ARMED, Event::Overdue(fault));
            }
        }
    }

    fn overdue(&mut self, fault: usize) {
        let armed = self.armed.iter().position(|armed| armed.fault == fault).map(|index| self.armed.remove(index));
        let wired = self.wired.iter().find(|(_, wired)| wired.fault == fault).map(|(side, wired)| (*side, *wired));
        let (side, stop, down) = match (armed, wired) {
            (Some(armed), _) => (armed.side, armed.stop, armed.down),
            (None, Some((side, wired))) => {
                self.wired.remove(&side);
                (side, wired.stop, wired.down)
            }
            (None, None) => return,
        };
        if self.is_up(side) {
            self.stop(side, stop, down);
        }
    }

    fn disk(&self, side: Side) -> &SimDisk {
        match side {
            Side::Gateway => &self.gateway.disk,
            Side::Collector => &self.sites[0].collector.disk,
        }
    }

    fn fuse(&self, side: Side) -> &crate::fuse::Fuse {
        match side {
            Side::Gateway => &self.gateway.fuse,
            Side::Collector => &self.sites[self.active].collector.fuse,
        }
    }

    fn set_faults(&mut self, side: Side, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.faults.get(&side).copied().unwrap_or_default();
        change(&mut faults);
        faults.skip_sync = self.mutation == Some(Mutation::SkipSync);
        self.disk(side).set_faults(faults);
        // Syncs are used up by the disk itself.
        faults.failing_syncs = 0;
        self.faults.insert(side, faults);
    }

    fn rot(&mut self, side: Side, flips: u32, cut: bool) {
        let disk = self.disk(side).clone();
        for _ in 0..flips {
            disk.flip_byte();
        }
        if cut
            && let Ok(names) = disk.list()
            && !names.is_empty()
        {
            let name = &names[self.processes.below(names.len() as u64) as usize];
            let bytes = disk.bytes(name);
            let length = self.processes.below(bytes.max(1));
            disk.truncate_file(name, None, length);
        }
    }

    fn back_up(&mut self, fault: usize) {
        self.note("backup", "taken", [fault as u64, 0, 0]);
        let saved = match self.plan.faults[fault].what {
            What::Restore { side: Side::Collector, .. } => {
                let sites = self.sites.iter().map(|site| (site.collector.disk.snapshot(), site.collector.store.clone()));
                Saved::Collector(sites.collect(), self.lake.clone())
            }
            _ => Saved::Gateway(self.gateway.disk.snapshot(), self.now),
        };
        self.saved.insert(fault, saved);
    }

    fn restore(&mut self, fault: usize, side: Side) {
        let Some(saved) = self.saved.remove(&fault) else { return };
        self.figures.restores += 1;
        match saved {
            Saved::Gateway(image, at) => {
                if self.is_up(side) {
                    self.stop_gateway(Stop::Kill);
                }
                self.gateway.disk.restore(&image);
                // It has another disk.
                self.gateway.disk.set_capacity(None);
                self.set_faults(Side::Gateway, |faults| *faults = Faults::default());
                self.armed.retain(|armed| armed.side != side);
                self.wired.remove(&side);
                if self.newest_stored <= wall(at) {
                    // Of what came after the backup nothing has been delivered: nobody can know of it.
                    self.plant.truth.untold.push((wall(at), wall(self.now)));
                }
                self.come_back(Side::Gateway, SECOND);
            }
            Saved::Collector(images, lake) => {
                self.lake = lake;
                for site in 0..self.sites.len() {
                    if self.sites[site].collector.process.is_some() {
                        self.stop_site(site, Stop::Kill);
                    }
                    if let Some((image, store)) = images.get(site) {
                        self.sites[site].collector.disk.restore(image);
                        self.sites[site].collector.store = store.clone();
                    } else {
                        // It was not there then.
                        self.sites[site].collector.disk = SimDisk::new(Dice::of(self.plan.seed, Concern::SecondDisk).number() + 1);
                        self.sites[site].collector.disk.skip_sync(self.mutation == Some(Mutation::SkipSync));
                        self.sites[site].collector.store = Store::default();
                    }
                    self.come_back_site(site, SECOND);
                }
            }
        }
    }

    fn end_of_faults(&mut self) {
        self.note("world", "calm", [0; 3]);
        self.calm = true;
        self.all_well_at = self.gateway.process.as_ref().map(|_| self.now);
        self.outages = 0;
        self.weather = (FAIR, None);
        (self.silent, self.lake_down, self.active) = (0, 0, 0);
        self.armed.clear();
        self.wired.clear();
        self.gateway.clock.offset_us = 0;
        for side in [Side::Gateway, Side::Collector] {
            self.disk(side).set_capacity(None);
            self.set_faults(side, |faults| *faults = Faults::default());
        }
        self.gateway.fuse.renew();
        self.sites.iter().for_each(|site| site.collector.fuse.renew());
        self.put(self.now + MINUTE / 2, Event::Look);
    }

    /// Whether everything is at rest.
    fn look(&mut self) {
        let over = (0..self.plant.machines.len()).all(|machine| !self.still_measures(machine));
        let sites = self.sites.iter().all(|site| site.collector.is_drained());
        let rests = over && sites && self.plant.is_drained() && self.gateway.is_drained();
        self.quiet_looks = if rests { self.quiet_looks + 1 } else { 0 };
        // Twice, with a heartbeat between: what a collector wants again, it says then.
        self.done = self.quiet_looks >= 3;
        self.put(self.now + 5 * SECOND, Event::Look);
    }
}

impl Wired {
    const NONE: Self = Self { fault: usize::MAX, stop: Stop::Kill, down: SECOND, operations: 0 };
}

fn configuration(plan: &Plan, plant: &Plant) -> Config {
    let (window, order) = (plan.window / SECOND, if plan.newest_first { "newest_first" } else { "oldest_first" });
    let durability = if plan.each_reading { "reading" } else { "window" };
    let text = format!(
        "[gateway]\nid = \"gw1\"\n[collector]\nurl = \"https://localhost:1\"\ncatch_up = \"{order}\"\n[broker]\n{}\
         [window]\nlength = \"{window}s\"\n[durability]\nmode = \"{durability}\"\n",
        plant.config()
    );
    match Config::parse(Path::new("sim.toml"), &text, []) {
        Ok(config) => config,
        Err(error) => panic!("the simulation's own configuration is not valid: {error}\n{text}"),
    }
}

/// What the uploader makes of an HTTP answer.
fn judge(answer: &collector_side::Answer) -> Answer {
    let after = answer.retry_after.map(|seconds| Duration::from_secs(u64::from(seconds)));
    match answer.status {
        200 => match codec::decode_ack(&answer.body) {
            Ok(ack) => Answer::Ack(ack),
            Err(error) => Answer::Wait { reason: format!("the answer can't be read: {error}"), after: None },
        },
        status @ (400 | 413 | 422) => Answer::Refused { status, detail: String::new() },
        status => Answer::Wait { reason: format!("the collector answers {status}"), after },
    }
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}
