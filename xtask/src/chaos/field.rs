//! A running plant with everything around it that can be broken, and the doing and undoing of each fault.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    fault::{Kind, Target, Wire},
    place::{self, Clock, SmallDisk},
    proxy::Proxy,
    schedule::Planned,
};
use crate::{
    build::Programs,
    demo::{self, fleet::Process, plant::Plant, rest::Rest, site::Site, unix_seconds},
};

const HANGUP: u32 = 1;

pub struct Field<'a> {
    pub site: Site,
    pub plant: Plant,
    programs: &'a Programs,
    links: Vec<Proxy>,
    /// By gateway, where the schedule asks for them.
    clocks: Vec<Option<Clock>>,
    backlogs: Backlogs,
    // Dropped last: a file system in use can't be unmounted.
    disks: Vec<Option<SmallDisk>>,
}

impl<'a> Field<'a> {
    /// Puts up everything that `schedule` needs and starts the plant.
    pub fn start(options: &demo::Options, schedule: &[Planned], programs: &'a Programs) -> Result<Self> {
        let folder = options.data_dir.clone().context("a run has a folder")?;
        place::unmount_leftovers(&folder)?;
        let listeners = (0..options.gateways).map(|_| Proxy::listen()).collect::<Result<Vec<_>>>()?;
        let ports: Vec<u16> = listeners.iter().map(|(_, port)| *port).collect();
        let mut site = Site::prepare(options, &ports, programs)?;
        let links = listeners.into_iter().map(|(listener, _)| Proxy::start(listener, site.uplink)).collect::<Result<Vec<_>>>()?;
        let (mut clocks, mut disks) = (Vec::new(), Vec::new());
        for number in 0..site.gateways.len() {
            let befalls = |wanted: &[Kind]| schedule.iter().any(|p| p.target == Target::Gateway(number) && wanted.contains(&p.kind));
            let id = site.gateways[number].id.clone();
            let clock = match place::faketime() {
                Some(library) if befalls(&[Kind::Clock1970, Kind::ClockBack, Kind::ClockAhead]) => {
                    Some(Clock::new(library, site.folder.join(format!("{id}.clock")))?)
                }
                _ => None,
            };
            site.gateways[number].env = clock.as_ref().map_or_else(Vec::new, Clock::env);
            clocks.push(clock);
            let disk = if befalls(&[Kind::DiskFull]) { Some(SmallDisk::mount(&site.folder, &id)?) } else { None };
            if let Some(disk) = &disk {
                site.keep_data_in(number, disk.place().join("data"))?;
            }
            disks.push(disk);
        }
        let plant = Plant::start(&site, programs)?;
        let backlogs = Backlogs::watch(&site);
        Ok(Self { site, plant, programs, links, clocks, backlogs, disks })
    }

    /// Entries that gateways hold back now, as far as they answer.
    pub fn backlog(&self) -> u64 {
        self.backlogs.latest.iter().map(|one| one.load(Ordering::Relaxed)).sum()
    }

    /// Puts a fault in. `Some` is why it could not be.
    pub fn begin(&mut self, fault: &Planned) -> Result<Option<String>> {
        match (fault.kind, fault.target) {
            (Kind::GatewayKill, Target::Gateway(g)) => self.plant.kill_gateway(g)?,
            (Kind::CollectorKill, _) => self.plant.kill_collector()?,
            (Kind::GatewayFreeze | Kind::CollectorFreeze | Kind::PlantFreeze, target) => self.signal(target, "STOP")?,
            (kind, Target::Link(link)) => self.links[link].set(kind.wire(fault.dice)),
            (Kind::DiskFull, Target::Gateway(g)) => {
                if let Some(disk) = &self.disks[g] {
                    disk.fill()?;
                }
            }
            (kind @ (Kind::Clock1970 | Kind::ClockBack | Kind::ClockAhead), Target::Gateway(g)) => {
                let offset = kind.offset_s(unix_seconds()).unwrap_or(0.0);
                if kind == Kind::Clock1970 {
                    self.plant.kill_gateway(g)?;
                    self.set_clock(g, offset)?;
                    self.plant.start_gateway(g, &self.site, self.programs)?;
                } else {
                    self.set_clock(g, offset)?;
                }
            }
            (Kind::GatewayCertificate, Target::Gateway(g)) => self.site.enroll(&self.site.gateways[g], true, self.programs)?,
            (Kind::CollectorCertificate, target) => return self.hang_up(target),
            (Kind::Reload, target @ Target::Gateway(g)) => {
                let file = &self.site.gateways[g].file;
                let text = fs::read_to_string(file)?;
                let (now, then) = if text.contains("hysteresis = 2.0") { ("2.0", "2.5") } else { ("2.5", "2.0") };
                fs::write(file, text.replace(&format!("hysteresis = {now}"), &format!("hysteresis = {then}")))?;
                return self.hang_up(target);
            }
            (Kind::ReloadBroken, target @ Target::Gateway(g)) => {
                if !self.catches_hang_up(target) {
                    return Ok(Some(DOES_NOT_RELOAD.into()));
                }
                let file = &self.site.gateways[g].file;
                fs::copy(file, file.with_extension("good"))?;
                fs::write(file, "[gateway\nthis is no TOML")?;
                return self.hang_up(target);
            }
            (Kind::GatewayRestored, Target::Gateway(g)) => {
                self.plant.end_gateway(g)?;
                place::copy(&self.site.gateways[g].data_dir, &self.backup(&self.site.gateways[g].id))?;
                self.plant.start_gateway(g, &self.site, self.programs)?;
            }
            (Kind::CollectorRestored, _) => {
                self.plant.end_collector()?;
                place::copy(&self.site.collector_data, &self.backup("collector"))?;
                self.plant.start_collector(&self.site, self.programs)?;
            }
            (kind, target) => anyhow::bail!("{kind:?} can't befall {target:?}"),
        }
        Ok(None)
    }

    /// Takes a fault out again: what it befell is well when this returns.
    pub fn end(&mut self, fault: &Planned) -> Result<()> {
        match (fault.kind, fault.target) {
            (Kind::GatewayKill, Target::Gateway(g)) => self.plant.start_gateway(g, &self.site, self.programs)?,
            (Kind::CollectorKill, _) => self.plant.start_collector(&self.site, self.programs)?,
            (Kind::GatewayFreeze | Kind::CollectorFreeze | Kind::PlantFreeze, target) => self.signal(target, "CONT")?,
            (_, Target::Link(link)) => self.links[link].set(Wire::Pass),
            (Kind::DiskFull, Target::Gateway(g)) => {
                if let Some(disk) = &self.disks[g] {
                    disk.empty()?;
                }
            }
            (Kind::Clock1970 | Kind::ClockBack | Kind::ClockAhead, Target::Gateway(g)) => self.set_clock(g, 0.0)?,
            (Kind::ReloadBroken, target @ Target::Gateway(g)) => {
                let file = &self.site.gateways[g].file;
                fs::rename(file.with_extension("good"), file)?;
                self.hang_up(target)?;
            }
            (Kind::GatewayRestored, Target::Gateway(g)) => {
                self.plant.kill_gateway(g)?;
                place::copy(&self.backup(&self.site.gateways[g].id), &self.site.gateways[g].data_dir)?;
                self.plant.start_gateway(g, &self.site, self.programs)?;
            }
            (Kind::CollectorRestored, _) => {
                self.plant.kill_collector()?;
                place::copy(&self.backup("collector"), &self.site.collector_data)?;
                self.plant.start_collector(&self.site, self.programs)?;
            }
            _ => {}
        }
        if let (Target::Gateway(g), true) = (fault.target, fault.lasts > Duration::ZERO) {
            self.plant.wait_for_gateway(g, &self.site)?;
        }
        Ok(())
    }

    /// Connections of all uplinks, and those that were broken on purpose.
    pub fn connections(&self) -> (u64, u64) {
        self.links.iter().map(Proxy::counts).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn process(&self, target: Target) -> Option<&Process> {
        match target {
            Target::Collector => self.plant.collector.as_ref(),
            Target::Gateway(g) => self.plant.gateways[g].as_ref(),
            Target::Machines => self.plant.machines.as_ref(),
            Target::Link(_) => None,
        }
    }

    fn signal(&self, target: Target, signal: &str) -> Result<()> {
        self.process(target).map_or(Ok(()), |process| process.signal(signal))
    }

    fn catches_hang_up(&self, target: Target) -> bool {
        self.process(target).is_some_and(|process| place::catches(process.id(), HANGUP))
    }

    /// SIGHUP, to a process that would not end by it.
    fn hang_up(&self, target: Target) -> Result<Option<String>> {
        if !self.catches_hang_up(target) {
            return Ok(Some(DOES_NOT_RELOAD.into()));
        }
        self.signal(target, "HUP").map(|()| None)
    }

    fn set_clock(&self, gateway: usize, offset_s: f64) -> Result<()> {
        self.clocks[gateway].as_ref().map_or(Ok(()), |clock| clock.set(offset_s))
    }

    fn backup(&self, name: &str) -> PathBuf {
        self.site.folder.join("backups").join(name)
    }
}

const DOES_NOT_RELOAD: &str = "the program does not take SIGHUP";

/// The gateways' backlogs, looked at each second; a gateway that stands still holds up nobody.
struct Backlogs {
    latest: Arc<Vec<AtomicU64>>,
    ended: Arc<AtomicBool>,
}

impl Backlogs {
    fn watch(site: &Site) -> Self {
        let latest: Arc<Vec<AtomicU64>> = Arc::new(site.gateways.iter().map(|_| AtomicU64::new(0)).collect());
        let ended = Arc::new(AtomicBool::new(false));
        for (number, gateway) in site.gateways.iter().enumerate() {
            let status = Rest::patient(format!("http://{}", gateway.status), None, Duration::from_secs(2));
            let (latest, ended) = (Arc::clone(&latest), Arc::clone(&ended));
            std::thread::spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    if let Some(entries) = status.get("/status").ok().and_then(|s| s["backlog_entries"].as_u64()) {
                        latest[number].store(entries, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
        }
        Self { latest, ended }
    }
}

impl Drop for Backlogs {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}
