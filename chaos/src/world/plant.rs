//! The machines' events: they measure, hand over what they have measured, and are polled.
//!
//! Between `sensors`, which knows what was measured, and the gateway's inputs. Invariant: nothing is handed to a gateway that is not open.

use super::{Event, World};
use crate::{
    plan::What,
    queue::{MILLISECOND, MINUTE, SECOND},
};

impl World {
    /// When all is well again each machine measures some more, so that what its numbers and counters have to tell is told.
    pub(super) fn still_measures(&self, machine: usize) -> bool {
        // What is stamped by a clock that was set back a little is taken for out of order, until time has caught up.
        let clock = self.plan.has(|what| matches!(what, What::ClockJump { .. } | What::ClockUnset { .. }));
        let more = if clock { 3 * MINUTE } else { 3 * SECOND };
        self.all_well_at.is_none_or(|at| self.now < at + 4 * self.plant.machines[machine].period + more)
    }

    pub(super) fn measure(&mut self, machine: usize) {
        self.plant.measure(machine, self.now);
        if self.gateway.is_open() {
            self.soon(MILLISECOND, 20 * MILLISECOND, Event::HandOver(machine));
        }
        if self.still_measures(machine) {
            let period = self.plant.machines[machine].period;
            self.soon(period - period / 10, period + period / 10, Event::Measure(machine));
        }
    }

    pub(super) fn hand_over(&mut self, machine: usize) {
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

    pub(super) fn poll(&mut self, device: usize, machine: usize) {
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
}
