//! Which parts belong to which stretch of time.
//!
//! Stands beside the timeline. A count says how many parts were made in `(from, to]`. Where that interval crosses the edge of a window, of the plan
//! or of a product run, its parts are shared out in proportion to the time in which the machine produced (to all its time, if it never did), in
//! whole parts: the share of a stretch is the difference of two rounded-down sums from the interval's beginning. So the shares of any partition add
//! up to the count, and no window gets a reject without its part.

use protocol::{MachineState, TimeRange, Timestamp};

use super::{
    cause::Flag,
    input::{PartInterval, PartsOutsidePlan},
    prepared::Prepared,
    tally::{IdealCycle, PartTally, Tally, micros_between},
};
use crate::calendar::clipped;

/// A stretch of a window in which parts are reckoned alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    range: TimeRange,
    planned: bool,
    ideal: Option<IdealCycle>,
}

impl Prepared {
    /// Adds the parts of `window`, and the time of its product runs.
    pub(super) fn add_parts(&self, window: TimeRange, known_until: Timestamp, tally: &mut Tally) {
        self.add_orders(window, known_until, tally);
        self.share_parts(window, known_until, tally);
    }

    /// Adds the parts of `window` alone.
    pub(super) fn share_parts(&self, window: TimeRange, known_until: Timestamp, tally: &mut Tally) {
        let stretches = self.stretches(window);
        let first = self.parts.partition_point(|p| p.to <= window.from);
        for (count, earliest) in self.parts.iter().zip(&self.earliest).skip(first) {
            if *earliest > window.to {
                break;
            }
            if count.to > known_until {
                tally.flags.set(Flag::FutureData);
                break;
            }
            self.share_out(count, &stretches, tally);
        }
    }

    /// Time of the product runs, and whether any has an ideal cycle.
    pub(super) fn add_orders(&self, window: TimeRange, known_until: Timestamp, tally: &mut Tally) {
        let until = TimeRange { to: window.to.min(known_until), ..window };
        for piece in self.running.pieces() {
            let Some(here) = clipped(piece.range, until) else { continue };
            tally.order_execution_us = tally.order_execution_us.saturating_add(micros_between(here.from, here.to));
            tally.has_cycle |= self.runs.get(piece.index).is_some_and(|(_, ideal)| ideal.is_some());
        }
    }

    pub(super) fn stretches(&self, window: TimeRange) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let mut operation = self.operation.as_ref().map(|layer| layer.cursor(window.from));
        let (mut downtime, mut running) = (self.downtime.cursor(window.from), self.running.cursor(window.from));
        let mut at = window.from;
        while at < window.to {
            let (operates, a) = operation.as_mut().map_or((true, window.to), |cursor| {
                let (piece, change) = cursor.step(at);
                (piece.is_some(), change)
            });
            let ((down, b), (run, c)) = (downtime.step(at), running.step(at));
            let to = a.min(b).min(c).min(window.to);
            let ideal = run.and_then(|piece| self.runs.get(piece.index)).map_or(self.ideal, |(_, ideal)| *ideal);
            stretches.push(Stretch { range: TimeRange { from: at, to }, planned: operates && down.is_none(), ideal });
            at = to;
        }
        stretches
    }

    /// Whether the states decide where the parts of `count` belong, or what they are.
    pub(super) fn depends_on_states(&self, count: &PartInterval, stretches: &[Stretch]) -> bool {
        let within = stretches.iter().any(|s| holds(s, count));
        !within || (self.startup_us > 0 && count.parts.rejected > 0)
    }

    pub(super) fn share_out(&self, count: &PartInterval, stretches: &[Stretch], tally: &mut Tally) {
        let parts = self.with_startup(count);
        let first = stretches.partition_point(|s| s.range.to <= count.from && s.range.to < count.to);
        let Some(stretch) = stretches.get(first) else { return };
        if holds(stretch, count) {
            self.add_share(parts, stretch, tally);
            return;
        }
        let (begin, end) = (self.produced_us(count.from), self.produced_us(count.to));
        let whole = if end > begin { end - begin } else { micros_between(count.from, count.to) };
        let done = |at: Timestamp| {
            let at = at.clamp(count.from, count.to);
            if end > begin { self.produced_us(at) - begin } else { micros_between(count.from, at) }
        };
        for stretch in stretches.get(first..).unwrap_or_default() {
            if stretch.range.from >= count.to {
                break;
            }
            let shared = share(parts, done(stretch.range.from), done(stretch.range.to), whole);
            self.add_share(shared, stretch, tally);
        }
    }

    fn add_share(&self, parts: PartTally, stretch: &Stretch, tally: &mut Tally) {
        if !stretch.planned {
            tally.outside_plan = tally.outside_plan.saturating_add(parts.produced);
            if self.rules.parts_outside_plan == PartsOutsidePlan::LeftOut {
                return;
            }
        }
        tally.add_parts(parts, stretch.ideal);
    }

    /// Rejects during set-up and shortly after it are start-up rejects, if the rules say so and nobody told them apart.
    fn with_startup(&self, count: &PartInterval) -> PartTally {
        let parts = count.parts;
        if self.startup_us == 0 || parts.rejected == 0 || parts.startup_rejected > 0 {
            return parts;
        }
        let last_instant = count.to.plus_micros(-1);
        let in_setup = self.state_at(last_instant).and_then(|i| self.states.get(i)).is_some_and(|run| run.state == MachineState::Setup);
        let soon_after = [&self.setup_ends, &self.changeover_ends].into_iter().any(|ends| {
            let end = ends.partition_point(|end| *end < count.to).checked_sub(1).and_then(|i| ends.get(i));
            end.is_some_and(|end| count.to.micros_since(*end) <= self.startup_us)
        });
        let startup = in_setup || soon_after || self.changing.at(last_instant).is_some();
        PartTally { startup_rejected: if startup { parts.rejected } else { 0 }, ..parts }
    }
}

fn holds(stretch: &Stretch, count: &PartInterval) -> bool {
    // An interval without length belongs where its end does, as `(from, to]` says.
    let begins = if count.from == count.to { stretch.range.from < count.to } else { stretch.range.from <= count.from };
    begins && count.to <= stretch.range.to
}

/// What of `parts` was made from `before` to `after` of `whole`.
fn share(parts: PartTally, before: i64, after: i64, whole: i64) -> PartTally {
    let of = |n: u64| -> u64 {
        let upto = |done: i64| if whole > 0 { i128::from(n) * i128::from(done) / i128::from(whole) } else { 0 };
        u64::try_from(upto(after) - upto(before)).unwrap_or(0)
    };
    let process_rejected = parts.rejected.saturating_sub(parts.startup_rejected);
    let startup_rejected = of(parts.startup_rejected.min(parts.rejected));
    let rejected = of(process_rejected) + startup_rejected;
    let reworked = of(parts.reworked);
    // Each kind by itself, so that no share has more rejects than parts.
    let produced = match parts.produced.checked_sub(parts.rejected.saturating_add(parts.reworked)) {
        Some(good) => of(good) + rejected + reworked,
        None => of(parts.produced),
    };
    let not_first_pass = of(parts.inspected.saturating_sub(parts.first_pass));
    let first_pass = of(parts.first_pass.min(parts.inspected));
    PartTally { produced, rejected, reworked, startup_rejected, inspected: first_pass + not_first_pass, first_pass }
}
