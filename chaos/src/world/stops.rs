//! Ends of processes: at once, after a step, or in the middle of an operation on the disk; and how they come back.
//!
//! Between the faults, which order them, and the steps, which they wait for. Invariant: a stop that was ordered comes once, and a process that ended
//! is started again once.

use super::{Event, World};
use crate::{
    plan::{Moment, Side, Step, Stop},
    queue::{Micros, SECOND},
};

/// A stop that waits for a step which does not come is done after so long all the same.
const ARMED: Micros = 20 * SECOND;

pub(super) struct Armed {
    pub(super) fault: usize,
    pub(super) side: Side,
    pub(super) stop: Stop,
    pub(super) step: Step,
    pub(super) left: u32,
    pub(super) down: Micros,
}

/// A stop in the middle of an operation on the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wired {
    pub(super) fault: usize,
    pub(super) stop: Stop,
    pub(super) down: Micros,
    pub(super) operations: u32,
}

impl Wired {
    const NONE: Self = Self { fault: usize::MAX, stop: Stop::Kill, down: SECOND, operations: 0 };
}

impl World {
    pub(super) fn arm(&mut self, fault: usize, (side, stop, moment, down): (Side, Stop, Moment, Micros)) {
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

    pub(super) fn overdue(&mut self, fault: usize) {
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

    /// A step was taken; true if a stop was waiting for it.
    pub(super) fn hit(&mut self, side: Side, step: Step) -> bool {
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

    pub(super) fn hit_site(&mut self, site: usize, step: Step) -> bool {
        site == self.active && self.hit(Side::Collector, step)
    }

    /// The fuse of this side's disk is blown: its process has died in the middle of an operation. True if so.
    pub(super) fn blown(&mut self, side: Side) -> bool {
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

    pub(super) fn blown_site(&mut self, site: usize) -> bool {
        if !self.sites[site].collector.fuse.is_blown() {
            return false;
        }
        let Wired { stop, down, .. } = self.wired.remove(&Side::Collector).unwrap_or(Wired::NONE);
        self.figures.aimed += 1;
        self.stop_site(site, stop);
        self.come_back_site(site, down);
        true
    }

    pub(super) fn stop(&mut self, side: Side, stop: Stop, down: Micros) {
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

    pub(super) fn count_stop(&mut self, stop: Stop) {
        let counter = match stop {
            Stop::Clean => &mut self.figures.clean_stops,
            Stop::Kill => &mut self.figures.kills,
            Stop::PowerCut => &mut self.figures.power_cuts,
        };
        *counter += 1;
    }

    pub(super) fn come_back(&mut self, side: Side, down: Micros) {
        match side {
            Side::Gateway => {
                if !std::mem::replace(&mut self.gateway_starting, true) {
                    self.put(self.now + down, Event::StartGateway);
                }
            }
            Side::Collector => self.come_back_site(self.active, down),
        }
    }

    pub(super) fn come_back_site(&mut self, site: usize, down: Micros) {
        if !std::mem::replace(&mut self.sites[site].starting, true) {
            self.put(self.now + down, Event::StartCollector(site));
        }
    }

    pub(super) fn is_up(&self, side: Side) -> bool {
        match side {
            Side::Gateway => self.gateway.process.is_some(),
            Side::Collector => self.sites[self.active].collector.process.is_some(),
        }
    }

    pub(super) fn fuse(&self, side: Side) -> &crate::fuse::Fuse {
        match side {
            Side::Gateway => &self.gateway.fuse,
            Side::Collector => &self.sites[self.active].collector.fuse,
        }
    }
}
