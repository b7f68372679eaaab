//! Explicit numbers: times of one period, and either one run (the three counts and the cycle time) or several.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{MAX_COUNT, MAX_ITEMS, MAX_SECONDS, check_cycle};
use crate::{
    field::{FieldError, wrong},
    oee::{Cause, Flag, IdealCycle, Oee, PartTally, Rules, Tally},
};

/// Times of one period, and its parts.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"planned_busy_time_s": 25200, "downtime_s": 2820, "ideal_cycle_time_s": 1.0, "total_count": 19271, "reject_count": 423, "all_time_s": 28800}))]
pub struct ExplicitRequest {
    /// Planned operation time without planned stops.
    pub planned_busy_time_s: f64,
    /// Part of the planned busy time in which nothing was produced; set-up and idle time included.
    pub downtime_s: f64,
    /// Part of the downtime: for NEE and the losses.
    #[serde(default)]
    pub setup_time_s: f64,
    /// Part of the downtime: minor stops and waiting, for the losses and as delay.
    #[serde(default)]
    pub idle_time_s: f64,
    /// Part of the downtime: stops while an order is on, idle time included (actual unit delay time). Without it all downtime but set-up is delay;
    /// with it the rest of the downtime is time without an order.
    pub delay_time_s: Option<f64>,
    /// For OOE; it holds the planned busy time. Without it there were no planned stops: it is the planned busy time.
    pub planned_operation_time_s: Option<f64>,
    /// For TEEP; it holds the planned operation time.
    pub all_time_s: Option<f64>,
    /// For the throughput rate (actual order execution time).
    #[serde(default)]
    pub order_execution_time_s: f64,
    pub ideal_cycle_time_s: Option<f64>,
    pub total_count: Option<u64>,
    pub reject_count: Option<u64>,
    pub rework_count: Option<u64>,
    /// Part of the rejects.
    pub startup_reject_count: Option<u64>,
    /// For the first-pass yield, where not all parts were inspected.
    #[serde(default)]
    pub inspected_count: u64,
    #[serde(default)]
    pub first_pass_count: u64,
    /// In place of the counts and the cycle time.
    pub runs: Option<Vec<Run>>,
}

/// Parts made at one ideal cycle time.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub ideal_cycle_time_s: Option<f64>,
    pub total_count: u64,
    #[serde(default)]
    pub reject_count: u64,
    #[serde(default)]
    pub rework_count: u64,
    #[serde(default)]
    pub startup_reject_count: u64,
}

/// Microseconds.
struct Times {
    setup: i64,
    idle: i64,
    delay: Option<i64>,
    down: i64,
    busy: i64,
    operation: i64,
    all: Option<i64>,
    order: i64,
}

impl ExplicitRequest {
    /// # Errors
    /// Every field that can't be.
    pub fn calculate(&self, rules: &Rules) -> Result<Oee, Vec<FieldError>> {
        let (tally, one) = self.tally()?;
        let mut oee = tally.oee(rules, one);
        if self.all_time_s.is_none() {
            oee.teep = None;
            oee.flags.push(Flag::AllTimeUnknown);
        }
        Ok(oee)
    }

    /// The sums, to be added to others, and the ideal cycle if there is one run.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn tally(&self) -> Result<(Tally, Option<f64>), Vec<FieldError>> {
        let mut errors = Vec::new();
        let times = self.times(&mut errors);
        let runs = self.runs(&mut errors);
        if self.first_pass_count > self.inspected_count {
            errors.push(wrong("first_pass_count", "is more than inspected_count"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut tally = Tally::default();
        tally.add_time(Cause::Producing, times.busy - times.down);
        tally.add_time(Cause::Setup, times.setup);
        tally.add_time(Cause::MinorStop, times.idle);
        let rest = times.down - times.setup - times.idle;
        let delay = times.delay.map_or(rest, |delay| delay - times.idle);
        tally.add_time(Cause::UnplannedStop, delay);
        tally.add_time(Cause::Offline, rest - delay);
        tally.add_time(Cause::PlannedStop, times.operation - times.busy);
        tally.add_time(Cause::NotPlanned, times.all.map_or(0, |all| all - times.operation));
        tally.order_execution_us = times.order;
        for run in &runs {
            tally.add_parts(run.parts(), run.ideal_cycle_time_s.and_then(IdealCycle::of_seconds));
        }
        tally.parts.inspected = self.inspected_count;
        tally.parts.first_pass = self.first_pass_count;
        let one = if let [run] = runs.as_slice() { run.ideal_cycle_time_s } else { None };
        Ok((tally, one))
    }

    fn times(&self, errors: &mut Vec<FieldError>) -> Times {
        let mut micros = |field: &str, seconds: f64| -> i64 {
            if !(0.0..=MAX_SECONDS).contains(&seconds) {
                errors.push(wrong(field, "must be a time in seconds, 0 or more"));
                return 0;
            }
            (seconds * 1e6).round() as i64
        };
        let busy = micros("planned_busy_time_s", self.planned_busy_time_s);
        let down = micros("downtime_s", self.downtime_s);
        let setup = micros("setup_time_s", self.setup_time_s);
        let idle = micros("idle_time_s", self.idle_time_s);
        let delay = self.delay_time_s.map(|s| micros("delay_time_s", s));
        let operation = self.planned_operation_time_s.map(|s| micros("planned_operation_time_s", s));
        let all = self.all_time_s.map(|s| micros("all_time_s", s));
        let order = micros("order_execution_time_s", self.order_execution_time_s);
        if down > busy {
            errors.push(wrong("downtime_s", "is more than planned_busy_time_s"));
        }
        if setup + idle > down {
            errors.push(wrong("setup_time_s", "set-up and idle time are part of the downtime, and are more than it"));
        }
        if delay.is_some_and(|delay| delay < idle || setup + delay > down) {
            errors.push(wrong("delay_time_s", "holds the idle time, and with the set-up time is part of the downtime"));
        }
        if operation.is_some_and(|o| o < busy) {
            errors.push(wrong("planned_operation_time_s", "is less than planned_busy_time_s"));
        }
        let planned = operation.unwrap_or(busy);
        if all.is_some_and(|a| a < planned) {
            errors.push(wrong("all_time_s", "is less than the planned time"));
        }
        Times { setup, idle, delay, down, busy, operation: planned, all, order }
    }

    fn runs(&self, errors: &mut Vec<FieldError>) -> Vec<Run> {
        let counts = [self.total_count, self.reject_count, self.rework_count, self.startup_reject_count];
        let runs = match &self.runs {
            Some(_) if self.ideal_cycle_time_s.is_some() || counts.iter().any(Option::is_some) => {
                errors.push(wrong("runs", "stands in place of ideal_cycle_time_s and the counts: give one or the other"));
                Vec::new()
            }
            Some(runs) if runs.len() > MAX_ITEMS => {
                errors.push(wrong("runs", format!("more than {MAX_ITEMS}")));
                Vec::new()
            }
            Some(runs) => runs.clone(),
            None => match self.total_count {
                Some(total_count) => vec![Run {
                    ideal_cycle_time_s: self.ideal_cycle_time_s,
                    total_count,
                    reject_count: self.reject_count.unwrap_or(0),
                    rework_count: self.rework_count.unwrap_or(0),
                    startup_reject_count: self.startup_reject_count.unwrap_or(0),
                }],
                None => {
                    errors.push(wrong("total_count", "is missing (or give runs)"));
                    Vec::new()
                }
            },
        };
        for (i, run) in runs.iter().enumerate() {
            let field = |name: &str| if self.runs.is_some() { format!("runs[{i}].{name}") } else { name.to_owned() };
            check_cycle(run.ideal_cycle_time_s, &field("ideal_cycle_time_s"), errors);
            if run.total_count > MAX_COUNT {
                errors.push(wrong(field("total_count"), "is more than can be counted"));
            }
            if run.reject_count.saturating_add(run.rework_count) > run.total_count {
                errors.push(wrong(field("reject_count"), "rejects and rework are more than total_count"));
            }
            if run.startup_reject_count > run.reject_count {
                errors.push(wrong(field("startup_reject_count"), "is more than reject_count"));
            }
        }
        runs
    }
}

impl Run {
    fn parts(&self) -> PartTally {
        PartTally {
            produced: self.total_count,
            rejected: self.reject_count,
            reworked: self.rework_count,
            startup_rejected: self.startup_reject_count,
            ..PartTally::default()
        }
    }
}
