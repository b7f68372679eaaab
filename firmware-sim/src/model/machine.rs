//! One machine: advances from event to event, and can be felt by its sensors at any time.
//!
//! Three random streams of one seed keep things apart: states, parts, and sensor noise. So the number of measurements does not change what
//! the machine does.
//!
//! Invariant: parts are made in `producing` only; a cycle that a stop interrupts goes on where it was; good + rejected = total.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    FaultKind, FaultSpec, MachineState, Physical, Signal,
    fault::Fault,
    physics::{Body, Character},
    schedule,
};
use crate::moment::{Moment, seconds};

/// The stop reason before the start and after the end of a run.
pub const NOT_SCHEDULED: &str = "not_scheduled";

/// What a machine is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineSpec {
    /// How often the state changes: 1 suits a demonstration of a minute, 0.02 is nearer to a real shop.
    pub pace: f64,
    pub ideal_cycle: Duration,
    /// Share of parts rejected when nothing is wrong.
    pub reject_ratio: f64,
    /// Spread of a cycle above the ideal, as a share of it.
    pub jitter: f64,
    /// Share of cycles that take far longer.
    pub slow_ratio: f64,
    pub character: Character,
    pub faults: Vec<FaultSpec>,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    State { at: Moment, state: MachineState, reason: &'static str },
    Part { at: Moment, good: bool },
    FaultBegan { fault: Fault },
    FaultEnded { fault: Fault },
}

/// Cumulative counters since power-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub total: u32,
    pub reject: u32,
}

/// Standard deviations of the sensors' own noise, in the order of [`Signal::ALL`].
const SENSOR_NOISE: [f64; 3] = [0.12, 0.03, 0.04];
/// Parts right after a setup are rejected more often.
const START_UP_PARTS: u32 = 2;
const START_UP_REJECT: f64 = 0.15;
/// A worn bearing spoils parts.
const WORN_REJECT: f64 = 0.10;
/// Extra heat of a fully worn bearing, °C.
const WORN_HEAT: f64 = 6.0;

#[derive(Debug)]
pub struct Machine {
    spec: MachineSpec,
    states: ChaCha8Rng,
    parts: ChaCha8Rng,
    noise: ChaCha8Rng,
    body: Body,
    now: Moment,
    state: MachineState,
    state_since: Moment,
    reason: &'static str,
    running: Option<Running>,
    counters: Counters,
    since_setup: u32,
    load: f64,
    faults: Vec<Fault>,
    /// Values that stuck sensors repeat, in the order of [`Signal::ALL`].
    stuck: [Option<f64>; 3],
}

/// What is pending while the machine runs.
#[derive(Debug)]
struct Running {
    next_state_at: Moment,
    /// When producing: the end of the cycle.
    part_at: Option<Moment>,
    /// When not: what is left of the cycle.
    part_left: Duration,
    /// Begin (true) and end of faults, latest first.
    fault_edges: Vec<(Moment, usize, bool)>,
}

impl Machine {
    /// A machine that has just got power: it stands, and waits for [`Machine::start`].
    #[must_use]
    pub fn new(spec: MachineSpec, seed: u64, now: Moment) -> Self {
        let stream = |number| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number);
            rng
        };
        Self {
            body: Body::new(spec.character),
            spec,
            states: stream(1),
            parts: stream(2),
            noise: stream(3),
            now,
            state: MachineState::PlannedStop,
            state_since: now,
            reason: NOT_SCHEDULED,
            running: None,
            counters: Counters::default(),
            since_setup: 0,
            load: 1.0,
            faults: Vec::new(),
            stuck: [None; 3],
        }
    }

    /// Begins the work at `at`.
    pub fn start(&mut self, at: Moment) -> Step {
        let at = at.max(self.now);
        self.pass_until(at);
        self.faults = self.spec.faults.iter().map(|spec| Fault::starting(spec, at)).collect();
        let mut fault_edges: Vec<_> =
            self.faults.iter().enumerate().flat_map(|(index, fault)| [(fault.from, index, true), (fault.to, index, false)]).collect();
        fault_edges.sort_by(|a, b| b.cmp(a));
        let part_left = self.draw_cycle();
        self.running = Some(Running { next_state_at: at, part_at: None, part_left, fault_edges });
        let phase = schedule::first(&mut self.states, self.spec.pace);
        self.enter(at, phase)
    }

    /// Ends the work at `at`; `None` if it had not begun.
    pub fn stop(&mut self, at: Moment) -> Option<Step> {
        self.running.as_ref()?;
        let at = at.max(self.now);
        self.pass_until(at);
        self.running = None;
        self.set_state(at, MachineState::PlannedStop, NOT_SCHEDULED)
    }

    /// When something happens next by itself.
    #[must_use]
    pub fn next_event_at(&self) -> Option<Moment> {
        let running = self.running.as_ref()?;
        let edge = running.fault_edges.last().map(|edge| edge.0);
        [Some(running.next_state_at), running.part_at, edge].into_iter().flatten().min()
    }

    /// Goes on to the next event that is not after `until` and returns it, or to `until` if there is none.
    pub fn step(&mut self, until: Moment) -> Option<Step> {
        match self.next_event_at() {
            Some(at) if at <= until => {
                self.pass_until(at);
                Some(self.happen(at))
            }
            _ => {
                self.pass_until(until);
                None
            }
        }
    }

    /// What the sensors feel now: the body, the faults, and noise. Each call is one measurement.
    pub fn feel(&mut self) -> Physical {
        let mut felt = self.truth();
        for (index, signal) in Signal::ALL.into_iter().enumerate() {
            let extra: f64 = self.acting(FaultKind::Noise).filter(|fault| fault.signal == signal).map(|fault| fault.magnitude).sum();
            let sigma = SENSOR_NOISE[index] + extra;
            *felt.get_mut(signal) += sigma * gaussian(&mut self.noise);
        }
        felt = felt.clamped();
        for (index, signal) in Signal::ALL.into_iter().enumerate() {
            let is_stuck = self.acting(FaultKind::StuckSensor).any(|fault| fault.signal == signal);
            let held = &mut self.stuck[index];
            if is_stuck {
                *felt.get_mut(signal) = *held.get_or_insert(felt.get(signal));
            } else {
                *held = None;
            }
        }
        felt
    }

    /// The physical values now, faults of the machine included, without noise and faults of the sensors.
    #[must_use]
    pub fn truth(&self) -> Physical {
        let mut values = self.body.now();
        for fault in self.acting(FaultKind::BearingWear) {
            values.vibration_velocity += fault.magnitude * fault.progress(self.now);
            values.spindle_temperature += WORN_HEAT * fault.progress(self.now);
        }
        for fault in self.acting(FaultKind::TemperatureSpike) {
            // Not a step: heat needs a moment even when cooling fails.
            let rise = 1.0 - (-self.now.since(fault.from).as_secs_f64() / 1.5).exp();
            values.spindle_temperature += fault.magnitude * rise;
        }
        values.clamped()
    }

    #[must_use]
    pub fn now(&self) -> Moment {
        self.now
    }

    #[must_use]
    pub fn state(&self) -> MachineState {
        self.state
    }

    #[must_use]
    pub fn state_since(&self) -> Moment {
        self.state_since
    }

    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn acting(&self, kind: FaultKind) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.kind == kind && self.running.is_some() && fault.active(self.now))
    }

    fn happen(&mut self, at: Moment) -> Step {
        if let Some(running) = &mut self.running {
            if let Some(&(edge, index, began)) = running.fault_edges.last()
                && edge == at
            {
                running.fault_edges.pop();
                let fault = self.faults[index];
                return if began { Step::FaultBegan { fault } } else { Step::FaultEnded { fault } };
            }
            if running.part_at == Some(at) {
                return self.make_part(at);
            }
        }
        let phase = schedule::next(&mut self.states, self.state, self.spec.pace);
        self.enter(at, phase)
    }

    fn make_part(&mut self, at: Moment) -> Step {
        let worn: f64 = self.acting(FaultKind::BearingWear).map(|fault| fault.progress(at)).sum();
        let start_up = if self.since_setup < START_UP_PARTS { START_UP_REJECT } else { 0.0 };
        let reject = (self.spec.reject_ratio + start_up + worn * WORN_REJECT).clamp(0.0, 1.0);
        let good = self.parts.random::<f64>() >= reject;
        self.counters.total = self.counters.total.wrapping_add(1);
        self.counters.reject = self.counters.reject.wrapping_add(u32::from(!good));
        self.since_setup = self.since_setup.saturating_add(1);
        self.load = 0.92 + 0.16 * self.parts.random::<f64>();
        let cycle = self.draw_cycle();
        if let Some(running) = &mut self.running {
            running.part_at = Some(at.plus(cycle));
        }
        Step::Part { at, good }
    }

    /// Never below the ideal: a cycle that beats it would be a wrong ideal cycle, not a good machine.
    fn draw_cycle(&mut self) -> Duration {
        let spread = self.parts.random::<f64>();
        let slow = if self.parts.random::<f64>() < self.spec.slow_ratio { self.parts.random_range(0.4..1.2) } else { 0.0 };
        seconds(self.spec.ideal_cycle.as_secs_f64() * (1.005 + self.spec.jitter * spread * spread + slow))
    }

    fn enter(&mut self, at: Moment, phase: schedule::Phase) -> Step {
        if phase.state == MachineState::Setup {
            self.since_setup = 0;
        }
        if let Some(running) = &mut self.running {
            running.next_state_at = at.plus(phase.dwell);
            if phase.state == MachineState::Producing {
                running.part_at = Some(at.plus(running.part_left));
            } else if let Some(part_at) = running.part_at.take() {
                running.part_left = part_at.since(at);
            }
        }
        self.state = phase.state;
        self.state_since = at;
        self.reason = phase.reason;
        Step::State { at, state: phase.state, reason: phase.reason }
    }

    fn set_state(&mut self, at: Moment, state: MachineState, reason: &'static str) -> Option<Step> {
        self.reason = reason;
        if self.state == state {
            return None;
        }
        self.state = state;
        self.state_since = at;
        Some(Step::State { at, state, reason })
    }

    fn pass_until(&mut self, at: Moment) {
        self.body.pass(at.since(self.now), self.state, self.load);
        self.now = self.now.max(at);
    }
}

/// A standard normal number (Box-Muller).
fn gaussian(rng: &mut impl Rng) -> f64 {
    let u = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests;
