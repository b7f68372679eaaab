//! What OEE is made of: times by cause, parts, the time that the parts should have taken, and stops by reason.
//!
//! Stands between the timeline and the key figures. Invariants: everything is a sum of integers (microseconds, parts, femtoseconds of ideal time), so
//! a tally is the same to the last bit however a period or a plant is split and in which order it is added; the causes sum to the window; the
//! reasons of a cause sum to its time.

use std::{collections::BTreeMap, ops::AddAssign, sync::Arc};

use protocol::Timestamp;

use super::cause::{CAUSES, Cause, Flag, Flags};

/// How many parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartTally {
    /// All parts, good or not.
    pub produced: u64,
    /// Scrap.
    pub rejected: u64,
    /// Not good at first pass, and made good later.
    pub reworked: u64,
    /// Of the rejected, those made before the process was stable.
    pub startup_rejected: u64,
    /// Inspected parts, where inspection is counted apart; else 0, and every part counts as inspected.
    pub inspected: u64,
    /// Of the inspected, those good at first pass.
    pub first_pass: u64,
}

impl AddAssign for PartTally {
    fn add_assign(&mut self, other: Self) {
        self.produced = self.produced.saturating_add(other.produced);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.reworked = self.reworked.saturating_add(other.reworked);
        self.startup_rejected = self.startup_rejected.saturating_add(other.startup_rejected);
        self.inspected = self.inspected.saturating_add(other.inspected);
        self.first_pass = self.first_pass.saturating_add(other.first_pass);
    }
}

impl PartTally {
    pub fn good(self) -> u64 {
        self.produced.saturating_sub(self.rejected).saturating_sub(self.reworked)
    }
}

/// An ideal cycle in femtoseconds: fine enough that rounding is below what an `f64` holds, and integers add exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdealCycle(i128);

pub(super) const FEMTOS_PER_SECOND: f64 = 1e15;
/// Longer cycles are slips of the unit.
const MAX_CYCLE_S: f64 = 3.2e9;

impl IdealCycle {
    /// `None` if it is no time above 0.
    pub fn of_seconds(seconds: f64) -> Option<Self> {
        let femtos = (seconds * FEMTOS_PER_SECOND).round();
        (seconds <= MAX_CYCLE_S && femtos >= 1.0).then_some(Self(femtos as i128))
    }

    pub fn seconds(self) -> f64 {
        self.0 as f64 / FEMTOS_PER_SECOND
    }

    fn times(self, parts: u64) -> i128 {
        self.0.saturating_mul(i128::from(parts))
    }
}

/// A cause, and the reason where one is known: a code of the catalogue, the machine's own text, or the name of a planned downtime.
pub type ReasonKey = (Cause, Option<Arc<str>>);

/// Time of one cause and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReasonSum {
    pub micros: i64,
    /// How many began. A stop counts where it begins: one that reaches in from before is counted there.
    pub stops: u64,
}

/// Sums of one window, or of many. Adds up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    pub(super) micros: [i64; CAUSES],
    pub(super) parts: PartTally,
    /// Sum of ideal cycle times parts.
    pub(super) ideal_fs: i128,
    /// Of that, for parts that are not good, and for start-up rejects.
    pub(super) ideal_bad_fs: i128,
    pub(super) ideal_startup_fs: i128,
    /// Parts of which no ideal cycle is known.
    pub(super) uncycled: u64,
    /// A machine has an ideal cycle: then performance is known when there are no parts, too.
    pub(super) has_cycle: bool,
    /// Parts made outside the planned time.
    pub(super) outside_plan: u64,
    /// Actual order execution time: that of the product runs.
    pub(super) order_execution_us: i64,
    pub(super) reasons: BTreeMap<ReasonKey, ReasonSum>,
    pub(super) flags: Flags,
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        for (a, b) in self.micros.iter_mut().zip(other.micros) {
            *a = a.saturating_add(b);
        }
        self.parts += other.parts;
        self.ideal_fs = self.ideal_fs.saturating_add(other.ideal_fs);
        self.ideal_bad_fs = self.ideal_bad_fs.saturating_add(other.ideal_bad_fs);
        self.ideal_startup_fs = self.ideal_startup_fs.saturating_add(other.ideal_startup_fs);
        self.uncycled = self.uncycled.saturating_add(other.uncycled);
        self.has_cycle |= other.has_cycle;
        self.outside_plan = self.outside_plan.saturating_add(other.outside_plan);
        self.order_execution_us = self.order_execution_us.saturating_add(other.order_execution_us);
        for (key, sum) in &other.reasons {
            self.add_reason(key.clone(), *sum);
        }
        self.flags |= other.flags;
    }
}

impl<'a> std::iter::Sum<&'a Tally> for Tally {
    /// A roll-up: of the machines of a line, the shifts of a week.
    fn sum<I: Iterator<Item = &'a Tally>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut sum, tally| {
            sum += tally;
            sum
        })
    }
}

impl Tally {
    /// Time of a cause without a reason, of a stop that began elsewhere.
    pub fn add_time(&mut self, cause: Cause, micros: i64) {
        self.add_stops(cause, None, micros, 0);
    }

    /// Time of a cause, and how many stops began in it.
    pub fn add_stops(&mut self, cause: Cause, reason: Option<Arc<str>>, micros: i64, stops: u64) {
        let micros = micros.max(0);
        let slot = &mut self.micros[cause as usize];
        *slot = slot.saturating_add(micros);
        if cause.loss().is_some() && (micros > 0 || stops > 0) {
            self.add_reason((cause, reason), ReasonSum { micros, stops });
        }
    }

    fn add_reason(&mut self, key: ReasonKey, sum: ReasonSum) {
        let slot = self.reasons.entry(key).or_default();
        slot.micros = slot.micros.saturating_add(sum.micros);
        slot.stops = slot.stops.saturating_add(sum.stops);
    }

    /// Adds parts that should have taken `ideal` each.
    pub fn add_parts(&mut self, parts: PartTally, ideal: Option<IdealCycle>) {
        self.parts += parts;
        let Some(ideal) = ideal else {
            self.uncycled = self.uncycled.saturating_add(parts.produced);
            return;
        };
        self.has_cycle = true;
        self.ideal_fs = self.ideal_fs.saturating_add(ideal.times(parts.produced));
        self.ideal_bad_fs = self.ideal_bad_fs.saturating_add(ideal.times(parts.rejected.saturating_add(parts.reworked)));
        self.ideal_startup_fs = self.ideal_startup_fs.saturating_add(ideal.times(parts.startup_rejected));
    }

    pub fn set_flag(&mut self, flag: Flag) {
        self.flags.set(flag);
    }

    pub fn micros(&self, cause: Cause) -> i64 {
        self.micros[cause as usize]
    }

    pub fn total_micros(&self) -> i64 {
        self.micros.iter().sum()
    }

    pub fn parts(&self) -> PartTally {
        self.parts
    }

    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Time by cause and reason: of every loss of time, planned stops included.
    pub fn reasons(&self) -> &BTreeMap<ReasonKey, ReasonSum> {
        &self.reasons
    }
}

/// From one point to a later one; 0 if it is not later.
pub(super) fn micros_between(from: Timestamp, to: Timestamp) -> i64 {
    to.micros_since(from).max(0)
}
