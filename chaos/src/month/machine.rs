//! A machine of the month: what it did and made, to the microsecond, drawn from the seed before anything runs.
//!
//! Before the messages. States are intervals, parts are instants: nothing here is counted or summed. Invariant: a machine makes parts only while it
//! produces, and is never in two states.

use protocol::MachineState;

use super::{Span, minutes, seconds, shifts::Shift};
use crate::random::Dice;

/// How its messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With session, sequence and time stamp; what can't be handed over is kept and sent later.
    Sequenced,
    /// With a time stamp; what can't be handed over is kept only while the machine's own link is down.
    Plain,
    /// Without: the time of arrival counts.
    Bare,
}

/// What is given of a machine.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: &'static str,
    pub gateway: usize,
    pub kind: Kind,
    /// A message comes this often, and with each change of state.
    pub period: i64,
    /// Seconds a part takes at best, by product; a machine with two changes between them.
    pub ideal_s: &'static [f64],
    pub counter_bits: u32,
    /// Its power is off: counters begin at 0 after it.
    pub off: Vec<Span>,
}

/// It is in `state` from `from` to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub from: i64,
    pub state: MachineState,
    pub reason: &'static str,
}

/// A part was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub at: i64,
    pub rejected: bool,
    pub product: u8,
}

/// A machine's month.
#[derive(Debug, Clone)]
pub struct Life {
    pub span: Span,
    pub stretches: Vec<Stretch>,
    pub parts: Vec<Part>,
    /// Which product it was to make, from when on.
    pub products: Vec<(i64, u8)>,
}

/// The reason that the catalogue says is a planned stop.
pub const PLANNED_REASON: &str = "PM";

struct Making<'a> {
    spec: &'a Spec,
    dice: Dice,
    end: i64,
    life: Life,
    product: u8,
    /// Of the part that is in the machine.
    done: f64,
    rejects: u32,
}

/// Draws the life of a machine within `span`; `shifts` have the breaks, which most of the time are kept.
pub fn draw(spec: &Spec, shifts: &[Shift], mut dice: Dice, span: Span) -> Life {
    // What comes from outside, in order: breaks that are kept, and power that is off.
    let mut outside: Vec<(Span, bool)> =
        shifts.iter().flat_map(|shift| &shift.down).filter(|_| dice.chance(800)).map(|down| (*down, false)).collect();
    outside.extend(spec.off.iter().map(|off| (*off, true)));
    outside.sort_unstable();
    let life = Life { span, stretches: Vec::new(), parts: Vec::new(), products: vec![(span.0, 0)] };
    let mut making = Making { spec, dice, end: span.1, life, product: 0, done: 0.0, rejects: 30 };
    let mut at = span.0;
    for (range, is_power) in outside {
        // Two that share time: the later one begins where the first has ended.
        let from = range.0.max(at);
        if from >= range.1 || range.1 >= span.1 {
            continue;
        }
        let before = if is_power { (from - minutes(2)).max(at) } else { from };
        making.work(at, before);
        if is_power {
            making.enter(before, MachineState::UnplannedStop, "power");
            making.enter(range.1, MachineState::Setup, "");
            at = range.1 + minutes(3);
        } else {
            let planned = making.dice.chance(500);
            making.enter(from, if planned { MachineState::PlannedStop } else { MachineState::Idle }, "pause");
            at = range.1 + making.dice.below(60) as i64 * seconds(1);
        }
    }
    making.work(at, span.1);
    making.life
}

impl Making<'_> {
    fn enter(&mut self, at: i64, state: MachineState, reason: &'static str) {
        if at < self.end {
            self.life.stretches.push(Stretch { from: at, state, reason });
        }
    }

    /// So many seconds and some milliseconds.
    fn between(&mut self, from_s: u64, to_s: u64) -> i64 {
        self.dice.between(from_s * 1_000, to_s * 1_000) as i64 * 1_000
    }

    /// Runs and stops from `from` to `to`.
    fn work(&mut self, from: i64, to: i64) {
        let mut at = from;
        while at < to {
            // Short runs are more often than long ones, and five minutes the middle of all.
            let run = seconds(20) + (-(1.0 - self.dice.fraction()).ln() * 280e3) as i64 * 1_000;
            let stop = (at + run).min(to);
            self.enter(at, MachineState::Producing, "");
            self.produce(at, stop);
            at = stop;
            if at >= to {
                break;
            }
            let (state, reason, length) = match self.dice.below(100) {
                0..45 => (MachineState::Idle, "", self.between(4, 40)),
                45..80 => (MachineState::UnplannedStop, "jam", self.between(4, 90)),
                80..88 => (MachineState::UnplannedStop, ["motor", "tool", "sensor"][self.dice.below(3) as usize], self.between(120, 2_400)),
                88..93 => (MachineState::Idle, "no_material", self.between(60, 900)),
                93..97 => (MachineState::Setup, "", self.between(300, 1_500)),
                97..98 => (MachineState::UnplannedStop, PLANNED_REASON, self.between(600, 1_800)),
                98..99 => (MachineState::PlannedStop, "", self.between(300, 1_200)),
                _ => (MachineState::Offline, "", self.between(60, 600)),
            };
            self.enter(at, state, reason);
            let end = (at + length).min(to);
            if state == MachineState::Setup {
                self.rejects = 150;
                if self.spec.ideal_s.len() > 1 {
                    self.product = (self.product + 1) % self.spec.ideal_s.len() as u8;
                    self.done = 0.0;
                    self.life.products.push((at, self.product));
                }
            }
            at = end;
        }
    }

    fn produce(&mut self, from: i64, to: i64) {
        let ideal_us = self.spec.ideal_s[usize::from(self.product)] * 1e6;
        let speed = 0.80 + 0.19 * self.dice.fraction();
        let mut at = from as f64;
        loop {
            let cycle = ideal_us / speed * (0.97 + 0.06 * self.dice.fraction());
            let ready = at + cycle * (1.0 - self.done);
            if ready > to as f64 {
                self.done += (to as f64 - at) / cycle;
                return;
            }
            (at, self.done) = (ready, 0.0);
            let rejected = self.dice.chance(self.rejects);
            self.rejects = (self.rejects - self.rejects / 20).max(20);
            self.life.parts.push(Part { at: ready as i64, rejected, product: self.product });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{month::shifts::month, random::Concern};

    #[test]
    fn a_life_goes_through_all_states_and_makes_parts_only_while_it_produces() {
        let shifts = month();
        let span = (shifts[0].range.0, shifts[0].range.0 + minutes(10 * 24 * 60));
        let off = vec![(span.0 + minutes(3_000), span.0 + minutes(3_010))];
        let spec = Spec {
            name: "m",
            gateway: 0,
            kind: Kind::Sequenced,
            period: seconds(60),
            ideal_s: &[4.0, 6.0],
            counter_bits: 16,
            off: off.clone(),
        };
        let life = draw(&spec, &shifts, Dice::of(1, Concern::Sensors), span);
        assert!(life.stretches.windows(2).all(|two| two[0].from < two[1].from), "in order");
        for state in MachineState::ALL {
            assert!(life.stretches.iter().any(|stretch| stretch.state == *state), "{state:?}");
        }
        let state_at = |at: i64| life.stretches[life.stretches.partition_point(|stretch| stretch.from < at) - 1].state;
        assert!(life.parts.iter().all(|part| state_at(part.at) == MachineState::Producing));
        assert!(life.parts.len() > 50_000 && life.products.len() > 10);
        assert!(!life.parts.iter().any(|part| off[0].0 <= part.at && part.at <= off[0].1));
    }
}
