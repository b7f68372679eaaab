//! What goes wrong in a run, when, and how: drawn from the seed before the run begins.
//!
//! A plan is a list of faults, each with all its numbers, so that one can be left out and the rest stay as they are: that is how a failing run
//! is made smaller. Each seed draws first which kinds of faults it has at all (a run with everything at once hides what a single kind does),
//! then how many, then each.

use std::fmt;

use crate::{
    network::Weather,
    queue::{HOUR, MILLISECOND, MINUTE, Micros, SECOND},
    random::{Concern, Dice},
    sensors::Size,
};

/// Which of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Gateway,
    Collector,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// In order.
    Clean,
    /// The process is gone; the system keeps what it was given to write.
    Kill,
    /// What was not synced is lost, or a part of it.
    PowerCut,
}

/// A step of a process after which it can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Gateway: records and state have been taken for a commit, nothing is written.
    CommitTaken,
    /// Gateway: the commit is on disk, and its owner does not know yet.
    Appended,
    /// Gateway: a request has been sent.
    RequestSent,
    /// Gateway: the answer has come and has been applied.
    AnswerApplied,
    /// Collector: a batch is in the journal, and nobody has been told.
    Journaled,
    /// Collector: one table has been committed.
    TableCommitted,
    /// Collector: all tables have been committed, the store knows nothing of it.
    LakeCommitted,
    /// Collector: the store knows, the journal has let nothing go.
    StoreWritten,
}

/// When exactly, after the fault's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Now,
    /// After this step was taken so many more times.
    After(Step, u32),
    /// When so many more operations on the disk have been done: in the middle of whatever is written then, opening included.
    Disk(u32),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Stop {
        side: Side,
        stop: Stop,
        moment: Moment,
        down: Micros,
    },
    Outage {
        length: Micros,
    },
    Weather {
        weather: Weather,
        length: Micros,
    },
    /// So many bytes are free, for so long.
    DiskFull {
        side: Side,
        free: u64,
        length: Micros,
    },
    /// So many syncs in a row fail.
    FailingSyncs {
        side: Side,
        syncs: u32,
    },
    /// So many of a thousand writes fail, for so long.
    FailingWrites {
        side: Side,
        thousandths: u32,
        length: Micros,
    },
    /// The process stops; so many stored bits turn, or a file is cut, before it starts again.
    Rot {
        side: Side,
        flips: u32,
        cut: bool,
        stop: Stop,
    },
    /// The gateway's clock is set wrong by so much, for so long.
    ClockJump {
        by: i64,
        length: Micros,
    },
    /// The gateway starts without knowing the time, and learns it from its system so much later.
    ClockUnset {
        length: Micros,
    },
    /// All that is on the disk (of the collector: lake and store too) is put back to what it was so long ago.
    Restore {
        side: Side,
        age: Micros,
    },
    /// Another collector takes over, on the same lake with a journal of its own; after so long the first one returns.
    SecondCollector {
        length: Micros,
    },
    /// Commits to the lake fail for so long.
    LakeDown {
        length: Micros,
    },
    /// A publisher starts a new session.
    Renew {
        machine: usize,
    },
    /// So many of a thousand polls bring no answer, for so long.
    SilentDevices {
        thousandths: u32,
        length: Micros,
    },
}

/// A fault of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Its place in the whole plan.
    pub number: usize,
    pub at: Micros,
    pub what: What,
}

/// All that a run is made of beside its seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub size: Size,
    /// Faults come until here; then all is well and the run goes on until nothing is held any more.
    pub length: Micros,
    pub window: Micros,
    /// `durability = "reading"` rather than `"window"`.
    pub each_reading: bool,
    pub spool_bytes: u64,
    pub newest_first: bool,
    /// How often the collector commits to the lake.
    pub lake_interval: Micros,
    pub faults: Vec<Fault>,
}

/// Kinds of faults that a seed has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    GatewayStops,
    CollectorStops,
    Outages,
    Weather,
    GatewayDisk,
    CollectorDisk,
    Rot,
    Clock,
    GatewayRestore,
    CollectorRestore,
    SecondCollector,
    Lake,
    Publishers,
    Devices,
}

/// With how many of a thousand seeds have it, and how often it is drawn among those that a seed has.
const KINDS: [(Kind, u32, u64); 14] = [
    (Kind::GatewayStops, 700, 10),
    (Kind::CollectorStops, 700, 10),
    (Kind::Outages, 500, 2),
    (Kind::Weather, 600, 3),
    (Kind::GatewayDisk, 250, 3),
    (Kind::CollectorDisk, 250, 3),
    (Kind::Rot, 100, 1),
    (Kind::Clock, 250, 2),
    (Kind::GatewayRestore, 120, 1),
    (Kind::CollectorRestore, 120, 1),
    (Kind::SecondCollector, 120, 1),
    (Kind::Lake, 200, 2),
    (Kind::Publishers, 150, 1),
    (Kind::Devices, 300, 1),
];

impl Plan {
    /// The plan of a seed.
    pub fn drawn(seed: u64) -> Self {
        let mut dice = Dice::of(seed, Concern::Plan);
        // Most runs are short and dense, some are long and sparse.
        let (length, period, window) = match dice.below(10) {
            0..7 => (dice.between(90, 240) * SECOND, (300 * MILLISECOND, 3 * SECOND), 5 * SECOND),
            7..9 => (dice.between(10, 20) * MINUTE, (2 * SECOND, 8 * SECOND), 10 * SECOND),
            _ => (dice.between(2, 5) * HOUR, (30 * SECOND, 90 * SECOND), MINUTE),
        };
        let quiet_until = length / 8;
        let size = Size { machines: dice.between(2, 6) as usize, signals: (1, 4), period, quiet_until };
        let mut kinds: Vec<(Kind, u64)> = Vec::new();
        for (kind, share, weight) in KINDS {
            if dice.chance(share) {
                kinds.push((kind, weight));
            }
        }
        let mut plan = Self {
            seed,
            size,
            length,
            window,
            each_reading: dice.chance(500),
            spool_bytes: dice.pick(&[1 << 20, 4 << 20, 64 << 20]),
            newest_first: dice.chance(700),
            lake_interval: dice.pick(&[SECOND, 5 * SECOND, 20 * SECOND]),
            faults: Vec::new(),
        };
        let wanted = if kinds.is_empty() { 0 } else { dice.between(4, 24) };
        for _ in 0..wanted {
            let at = dice.between(quiet_until, length);
            let kind = weighted(&mut dice, &kinds);
            plan.draw(&mut dice, kind, at);
        }
        plan.faults.sort_by_key(|fault| fault.at);
        for (number, fault) in plan.faults.iter_mut().enumerate() {
            fault.number = number;
        }
        plan
    }

    fn draw(&mut self, dice: &mut Dice, kind: Kind, at: Micros) {
        let length = |dice: &mut Dice, most: Micros| dice.between(MILLISECOND, most.min(self.length / 3));
        let what = match kind {
            Kind::GatewayStops | Kind::CollectorStops => {
                let side = if kind == Kind::GatewayStops { Side::Gateway } else { Side::Collector };
                let first = draw_stop(dice, side);
                if let What::Stop { down, .. } = first
                    && dice.chance(250)
                {
                    // A second one while it starts again.
                    let moment = Moment::Disk(dice.between(1, 60) as u32);
                    let stop = dice.pick(&[Stop::Kill, Stop::PowerCut]);
                    self.faults.push(Fault { number: 0, at: at + down, what: What::Stop { side, stop, moment, down: down / 2 + 1 } });
                }
                first
            }
            Kind::Outages => What::Outage { length: length(dice, 3 * HOUR) },
            Kind::Weather => {
                let mut one = |most| if dice.chance(500) { dice.below(most) as u32 } else { 0 };
                let weather = Weather {
                    lose_request: one(300),
                    lose_answer: one(400),
                    repeat: one(400),
                    cut_request: one(150),
                    cut_answer: one(200),
                    busy: one(300),
                    delay: 20 * MILLISECOND,
                };
                let delay = dice.pick(&[20 * MILLISECOND, SECOND, 5 * SECOND]);
                What::Weather { weather: Weather { delay, ..weather }, length: length(dice, 30 * MINUTE) }
            }
            Kind::GatewayDisk | Kind::CollectorDisk => {
                let side = if kind == Kind::GatewayDisk { Side::Gateway } else { Side::Collector };
                match dice.below(3) {
                    0 => What::DiskFull { side, free: dice.below(20_000), length: length(dice, 10 * MINUTE) },
                    1 => What::FailingSyncs { side, syncs: dice.between(1, 5) as u32 },
                    _ => What::FailingWrites { side, thousandths: dice.between(50, 800) as u32, length: length(dice, MINUTE) },
                }
            }
            Kind::Rot => What::Rot {
                side: Side::Gateway,
                flips: dice.below(4) as u32,
                cut: dice.chance(400),
                stop: dice.pick(&[Stop::Clean, Stop::Kill, Stop::PowerCut]),
            },
            Kind::Clock if dice.chance(400) => What::ClockUnset { length: length(dice, 20 * MINUTE) },
            Kind::Clock => {
                let by = dice.pick(&[-600, 7_200, -7_200, 1, -1, 90, -90]) * 1_000_000;
                What::ClockJump { by, length: length(dice, HOUR) }
            }
            Kind::GatewayRestore => What::Restore { side: Side::Gateway, age: length(dice, HOUR) },
            Kind::CollectorRestore => What::Restore { side: Side::Collector, age: length(dice, HOUR) },
            Kind::SecondCollector => What::SecondCollector { length: length(dice, 10 * MINUTE) },
            Kind::Lake => What::LakeDown { length: length(dice, 10 * MINUTE) },
            Kind::Publishers => What::Renew { machine: dice.below(self.size.machines as u64) as usize },
            Kind::Devices => What::SilentDevices { thousandths: dice.between(20, 500) as u32, length: length(dice, 10 * MINUTE) },
        };
        self.faults.push(Fault { number: 0, at, what });
    }

    /// Nothing in it can lose a reading.
    pub fn is_lossless(&self) -> bool {
        self.faults.iter().all(|fault| fault.what.is_lossless())
    }

    /// The fault is in it at least once.
    pub fn has(&self, is: impl Fn(&What) -> bool) -> bool {
        self.faults.iter().any(|fault| is(&fault.what))
    }

    /// With those faults alone that have these numbers.
    #[must_use]
    pub fn only(&self, numbers: &[usize]) -> Self {
        let faults = self.faults.iter().filter(|fault| numbers.contains(&fault.number)).copied().collect();
        Self { faults, ..self.clone() }
    }
}

impl What {
    /// It can't lose a reading that the gateway has taken in.
    pub fn is_lossless(&self) -> bool {
        match self {
            Self::Stop { side, stop, .. } => *side == Side::Collector || *stop == Stop::Clean,
            Self::DiskFull { side, .. } | Self::FailingSyncs { side, .. } | Self::FailingWrites { side, .. } => *side == Side::Collector,
            Self::Rot { .. } | Self::Restore { .. } => false,
            Self::Outage { .. }
            | Self::Weather { .. }
            | Self::ClockJump { .. }
            | Self::SecondCollector { .. }
            | Self::LakeDown { .. }
            | Self::Renew { .. }
            | Self::SilentDevices { .. } => true,
            // The gateway is stopped in order for it.
            Self::ClockUnset { .. } => true,
        }
    }

    /// A process ends by it.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stop { .. } | Self::Rot { .. } | Self::Restore { .. } | Self::ClockUnset { .. } | Self::SecondCollector { .. })
    }
}

fn weighted(dice: &mut Dice, kinds: &[(Kind, u64)]) -> Kind {
    let mut left = dice.below(kinds.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in kinds {
        match left.checked_sub(*weight) {
            Some(rest) => left = rest,
            None => return *kind,
        }
    }
    kinds[0].0
}

fn draw_stop(dice: &mut Dice, side: Side) -> What {
    let stop = dice.pick(&[Stop::Clean, Stop::Kill, Stop::Kill, Stop::PowerCut, Stop::PowerCut]);
    let steps = match side {
        Side::Gateway => [Step::CommitTaken, Step::Appended, Step::RequestSent, Step::AnswerApplied],
        Side::Collector => [Step::Journaled, Step::TableCommitted, Step::LakeCommitted, Step::StoreWritten],
    };
    let (step, nth, operations) = (dice.pick(&steps), dice.below(8) as u32, dice.between(1, 80) as u32);
    let moment = match dice.below(3) {
        0 => Moment::Now,
        1 => Moment::After(step, nth),
        // A process that ends in order ends between two operations.
        _ if stop == Stop::Clean => Moment::Now,
        _ => Moment::Disk(operations),
    };
    What::Stop { side, stop, moment, down: dice.pick(&[10 * MILLISECOND, SECOND, 5 * SECOND, 40 * SECOND]) }
}

/// A duration for people.
pub fn lasting(micros: Micros) -> String {
    match micros {
        0..SECOND => format!("{} ms", micros / MILLISECOND),
        SECOND..MINUTE => format!("{}.{} s", micros / SECOND, micros % SECOND / (100 * MILLISECOND)),
        _ => format!("{} min {} s", micros / MINUTE, micros % MINUTE / SECOND),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>2}: {:>6}.{:03} s  ", self.number, self.at / SECOND, self.at % SECOND / MILLISECOND)?;
        let name = |side| if side == Side::Gateway { "gateway" } else { "collector" };
        match self.what {
            What::Stop { side, stop, moment, down } => {
                let how = match stop {
                    Stop::Clean => "stopped in order",
                    Stop::Kill => "killed",
                    Stop::PowerCut => "without power",
                };
                write!(f, "{} {how}", name(side))?;
                match moment {
                    Moment::Now => {}
                    Moment::After(step, more) => write!(f, " after {} more of {step:?}", more + 1)?,
                    Moment::Disk(operations) => write!(f, " after {operations} more disk operations")?,
                }
                write!(f, ", back after {}", lasting(down))
            }
            What::Outage { length } => write!(f, "no network for {}", lasting(length)),
            What::Weather { weather, length } => write!(f, "network for {}: {weather:?}", lasting(length)),
            What::DiskFull { side, free, length } => write!(f, "{}'s disk has {free} bytes free for {}", name(side), lasting(length)),
            What::FailingSyncs { side, syncs } => write!(f, "{}'s next {syncs} syncs fail", name(side)),
            What::FailingWrites { side, thousandths, length } => {
                write!(f, "{thousandths} of 1000 writes of the {}'s disk fail for {}", name(side), lasting(length))
            }
            What::Rot { side, flips, cut, stop } => {
                write!(f, "{} stopped ({stop:?}), {flips} bits turned{}", name(side), if cut { ", a file cut" } else { "" })
            }
            What::ClockJump { by, length } => write!(f, "gateway's clock is off by {} s for {}", by / 1_000_000, lasting(length)),
            What::ClockUnset { length } => write!(f, "gateway starts in 1970 and learns the time after {}", lasting(length)),
            What::Restore { side, age } => write!(f, "{} put back to a backup of {} ago", name(side), lasting(age)),
            What::SecondCollector { length } => write!(f, "another collector on the same lake for {}", lasting(length)),
            What::LakeDown { length } => write!(f, "the lake takes nothing for {}", lasting(length)),
            What::Renew { machine } => write!(f, "machine {machine} begins a new session"),
            What::SilentDevices { thousandths, length } => write!(f, "{thousandths} of 1000 polls get no answer for {}", lasting(length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_has_the_same_plan_and_seeds_differ() {
        assert_eq!(Plan::drawn(5), Plan::drawn(5));
        assert_ne!(Plan::drawn(5), Plan::drawn(6));
    }

    #[test]
    fn a_thousand_seeds_have_every_kind_of_fault_and_many_stops() {
        let plans: Vec<Plan> = (1..=1_000).map(Plan::drawn).collect();
        let faults = || plans.iter().flat_map(|plan| &plan.faults);
        let stops = faults().filter(|fault| fault.what.is_stop()).count();
        assert!(stops > 5_000, "{stops} stops");
        type Is = fn(&What) -> bool;
        let kinds: [(&str, Is); 14] = [
            ("stop in the middle of a write", |w| matches!(w, What::Stop { moment: Moment::Disk(_), stop: Stop::PowerCut, .. })),
            ("stop at a step", |w| matches!(w, What::Stop { moment: Moment::After(..), .. })),
            ("outage", |w| matches!(w, What::Outage { .. })),
            ("weather", |w| matches!(w, What::Weather { .. })),
            ("full disk", |w| matches!(w, What::DiskFull { .. })),
            ("failing syncs", |w| matches!(w, What::FailingSyncs { .. })),
            ("failing writes", |w| matches!(w, What::FailingWrites { .. })),
            ("rot", |w| matches!(w, What::Rot { .. })),
            ("clock", |w| matches!(w, What::ClockJump { .. })),
            ("1970", |w| matches!(w, What::ClockUnset { .. })),
            ("restore", |w| matches!(w, What::Restore { .. })),
            ("second collector", |w| matches!(w, What::SecondCollector { .. })),
            ("lake", |w| matches!(w, What::LakeDown { .. })),
            ("new session", |w| matches!(w, What::Renew { .. })),
        ];
        for (name, is) in kinds {
            assert!(faults().any(|fault| is(&fault.what)), "{name}");
        }
        let lossless = plans.iter().filter(|plan| plan.is_lossless()).count();
        assert!(lossless > 50, "{lossless} runs in which nothing can be lost");
    }

    #[test]
    fn a_fault_left_out_leaves_the_others_as_they_are() {
        let plan = Plan::drawn(11);
        let less = plan.only(&[0, 2]);
        assert_eq!(less.faults, [plan.faults[0], plan.faults[2]]);
        assert!(plan.faults.iter().all(|fault| !fault.to_string().is_empty()));
    }
}
