//! One run: machines, gateway, network, collector and lake in virtual time, and what goes wrong with them.
//!
//! Everything happens in events of the queue. A step of a process that can be interrupted is an event of its own, so that a stop may come between
//! any two; within a step the disk's fuse stops it. Events of a process that has ended meanwhile are passed over, by its *epoch*.

mod backup;
mod collector;
mod faults;
mod figures;
pub(crate) mod gateway;
mod network;
mod plant;
mod settling;
mod stops;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use ::gateway::config::Config;
use protocol::Timestamp;
use spool::{
    Options,
    simulated::{Faults, SimDisk},
};

pub use self::figures::{Figures, Mutation};
use self::{
    backup::Saved,
    collector::Site,
    network::{Flight, OnWire},
    stops::{Armed, Wired},
};
use crate::{
    collector_side::{Arrivals, Collector},
    gateway_side::Gateway,
    lake::Lake,
    network::{FAIR, Weather},
    plan::{Plan, Side, What},
    queue::{HOUR, MILLISECOND, Micros, Queue, SECOND},
    random::{Concern, Dice},
    sensors::{Kind, Plant, wall},
    trace::Trace,
};

/// After the last fault everything must be with the collector within so long.
const SETTLES: Micros = 3 * HOUR;

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
    pub fn set_pacing(&mut self, pacing: ::collector::pacing::Pacing) {
        self.sites.iter_mut().for_each(|site| site.collector.pacing = pacing);
    }

    /// The collectors, the first one first.
    pub fn collectors(&self) -> impl Iterator<Item = &Collector> {
        self.sites.iter().map(|site| &site.collector)
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
