//! Faults begin and end: of the network, the disks, the clock, the lake and the machines.
//!
//! Between the plan and the world. Invariant: what a fault has changed its end, or the end of all faults, changes back.

use super::{Event, Mutation, World};
use crate::{
    network::FAIR,
    plan::{Side, Stop, What},
    queue::SECOND,
    random::{Concern, Dice},
    sensors::wall,
};
use spool::{
    Disk as _,
    simulated::{Faults, SimDisk},
};

impl World {
    pub(super) fn fault_begins(&mut self, index: usize) {
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

    pub(super) fn fault_ends(&mut self, index: usize) {
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

    pub(super) fn disk(&self, side: Side) -> &SimDisk {
        match side {
            Side::Gateway => &self.gateway.disk,
            Side::Collector => &self.sites[0].collector.disk,
        }
    }

    pub(super) fn set_faults(&mut self, side: Side, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.faults.get(&side).copied().unwrap_or_default();
        change(&mut faults);
        faults.skip_sync = self.mutation == Some(Mutation::SkipSync);
        self.disk(side).set_faults(faults);
        // Syncs are used up by the disk itself.
        faults.failing_syncs = 0;
        self.faults.insert(side, faults);
    }

    pub(super) fn rot(&mut self, side: Side, flips: u32, cut: bool) {
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
}
