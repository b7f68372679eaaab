//! Which machines, and what goes wrong when.
//!
//! Before the run. Each fault has a class, by which the errors are told; the moments are drawn around fixed days, so that each class comes in every
//! seed and no two hide each other.

use super::{
    Span, hours,
    machine::{Kind, Spec},
    minutes, seconds,
    shifts::local,
};
use crate::random::{Concern, Dice};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Nothing gets from this gateway to the collector.
    Uplink { gateway: usize },
    /// Its clock is wrong by so much; set right at the end.
    Clock { gateway: usize, by: i64 },
    /// The process dies at the beginning, and comes back at the end.
    Kill { gateway: usize },
    /// So does the power. With `unset` the clock is in 1970 afterwards, and nobody but the collector says what time it is.
    Power { gateway: usize, unset: bool },
    /// The machine's link to its gateway; what it keeps comes at the end.
    Link { machine: usize },
    /// The machine has no power; its counters begin anew.
    Off { machine: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub class: &'static str,
    pub span: Span,
    pub what: What,
}

/// A month to be run.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub machines: Vec<Spec>,
    pub faults: Vec<Fault>,
    /// From when to when it runs; the shifts lie within.
    pub span: Span,
    /// Of a thousand messages so many come twice, and so many after the next one.
    pub repeated: u32,
    pub overtaken: u32,
}

impl Fault {
    /// Whether it has to do with this machine.
    pub fn concerns(&self, machine: usize, specs: &[Spec]) -> bool {
        match self.what {
            What::Uplink { gateway } | What::Clock { gateway, .. } | What::Kill { gateway } | What::Power { gateway, .. } => {
                specs[machine].gateway == gateway
            }
            What::Link { machine: of } | What::Off { machine: of } => of == machine,
        }
    }
}

impl Scenario {
    /// The month of a seed: all that can go wrong in it does.
    pub fn drawn(seed: u64) -> Self {
        let mut dice = Dice::of(seed, Concern::Plan);
        // Minutes and seconds of a beginning: no fault is to lie well for anybody.
        let mut around = |day: i64, hour: i64| local(day, hour * 60) + dice.below(minutes(20) as u64) as i64 / 1_000 * 1_000;
        let unset = around(17, 12);
        let fault = |class, from: i64, length: i64, what| Fault { class, span: (from, from + length), what };
        let faults = vec![
            // Eight hours of the early shift hold all of it: two breaks and an end of shift.
            fault("outage of 6 h", around(4, 9), hours(6), What::Uplink { gateway: 0 }),
            fault("outage over a shift's end", around(8, 21), hours(2), What::Uplink { gateway: 1 }),
            fault("clock 1 h ahead and back", around(10, 16), minutes(25), What::Clock { gateway: 0, by: hours(1) }),
            fault("clock 1 h behind and back", around(11, 10), minutes(25), What::Clock { gateway: 1, by: -hours(1) }),
            fault("kill", around(12, 13), seconds(20), What::Kill { gateway: 0 }),
            fault("power cut", around(15, 3), seconds(45), What::Power { gateway: 0, unset: false }),
            fault("power cut", around(16, 19), seconds(20), What::Power { gateway: 1, unset: false }),
            fault("power cut, clock unset", unset, seconds(25), What::Power { gateway: 1, unset: true }),
            fault("power cut, clock unset", unset - minutes(5), minutes(60), What::Uplink { gateway: 1 }),
            fault("late by 45 min", around(19, 15), minutes(45), What::Link { machine: 0 }),
            fault("late by hours, over a shift's end", around(20, 11), hours(5), What::Link { machine: 1 }),
            fault("late by hours, over a shift's end", around(22, 20), hours(3), What::Link { machine: 2 }),
            fault("late in an outage", around(25, 12), hours(4), What::Link { machine: 3 }),
            fault("late in an outage", around(25, 13), hours(4), What::Uplink { gateway: 1 }),
            fault("counters reset", around(6, 7), minutes(12), What::Off { machine: 0 }),
            fault("counters reset", around(7, 17), minutes(4), What::Off { machine: 2 }),
            fault("counters reset", around(24, 1), minutes(7), What::Off { machine: 4 }),
            // Over the night in which the clock is put forward.
            fault("outage, clock put forward", around(28, 0), hours(6), What::Uplink { gateway: 1 }),
        ];
        let off = |machine: usize| -> Vec<Span> {
            faults.iter().filter(|fault| fault.what == What::Off { machine }).map(|fault| fault.span).collect()
        };
        let spec = |index: usize, name, kind, ideal_s: &'static [f64]| Spec {
            name,
            gateway: index / 3,
            kind,
            period: seconds(60),
            ideal_s,
            counter_bits: if kind == Kind::Plain { 32 } else { 16 },
            off: off(index),
        };
        let machines = vec![
            spec(0, "press", Kind::Sequenced, &[3.2]),
            spec(1, "lathe", Kind::Sequenced, &[6.0, 9.0]),
            spec(2, "oven", Kind::Plain, &[6.5]),
            spec(3, "mill", Kind::Sequenced, &[9.5]),
            spec(4, "packer", Kind::Sequenced, &[1.6]),
            spec(5, "saw", Kind::Bare, &[7.3]),
        ];
        let span = (local(1, 13 * 60), local(32, 15 * 60));
        Self { seed, machines, faults, span, repeated: 10, overtaken: 5 }
    }

    /// The same month in which only these classes go wrong; power of machines as before.
    #[must_use]
    pub fn only(mut self, classes: &[&str]) -> Self {
        self.faults.retain(|fault| classes.contains(&fault.class) || matches!(fault.what, What::Off { .. }));
        self
    }

    /// The same month without messages that come twice or in another order.
    #[must_use]
    pub fn in_order(self) -> Self {
        Self { repeated: 0, overtaken: 0, ..self }
    }
}
