//! Operating ages of a machine and its components.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{TimeRange, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    HistoryFlag, InstalledComponent, MAX_EVENTS, MAX_INTERVALS, MaintenanceEvent, MaintenanceEventKind as Kind, OperatingTime,
    WorkOrderKind,
    down::{breakdowns, hours, merged, overlap, without, work_orders},
};
use crate::reliability::{FieldError, sample::MAX_HOURS};

pub(super) const HOUR_US: f64 = 3.6e9;
/// Below a microsecond: no operating time in between.
const NO_AGE_H: f64 = 1e-9;

/// Lives of one component (or of the machine), in operating hours.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ComponentAges {
    /// Ages at failure.
    pub failures_h: Vec<f64>,
    /// Ages at preventive replacement, and of what runs now.
    pub censored_h: Vec<f64>,
    /// Of what runs now.
    pub age_now_h: f64,
    /// Failure events, also those without an age of their own.
    pub failure_events: u64,
    /// Replacements before a failure.
    pub preventive_replacements: u64,
}

/// What a machine's events say of a period.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct History {
    pub period_h: f64,
    pub operating_h: f64,
    /// From failures to the ends of their repairs.
    pub down_h: f64,
    /// Breakdowns that began in the period.
    pub failure_events: u64,
    /// Breakdowns that are repaired.
    pub repairs: u64,
    /// Active repair of those.
    pub repair_h: f64,
    /// From failure to the end of the repair of those.
    pub down_of_repaired_h: f64,
    /// Union of corrective work orders and repairs.
    pub corrective_h: f64,
    pub preventive_h: f64,
    /// Of the machine as a whole: operating time between failures.
    pub machine: ComponentAges,
    /// By name.
    pub components: BTreeMap<String, ComponentAges>,
    /// Operating hours since the start of the period at each breakdown, for trend tests and growth.
    pub cumulative_failure_times_h: Vec<f64>,
    pub flags: Vec<HistoryFlag>,
}

/// Operating hours up to a point in time.
struct Meter {
    ranges: Vec<TimeRange>,
    /// Microseconds before each range.
    before: Vec<i64>,
}

impl Meter {
    fn new(ranges: Vec<TimeRange>) -> Self {
        let mut sum = 0_i64;
        let before = ranges
            .iter()
            .map(|r| {
                let at_start = sum;
                sum = sum.saturating_add(r.to.micros_since(r.from));
                at_start
            })
            .collect();
        Self { ranges, before }
    }

    fn at(&self, t: Timestamp) -> f64 {
        let next = self.ranges.partition_point(|r| r.from <= t);
        let Some(i) = next.checked_sub(1) else { return 0.0 };
        let inside = t.min(self.ranges[i].to).micros_since(self.ranges[i].from);
        self.before[i].saturating_add(inside) as f64 / HOUR_US
    }
}

/// A life in progress.
struct Life {
    /// On the machine's meter.
    since_h: f64,
    /// Age it had there.
    age_h: f64,
    ages: ComponentAges,
    /// Failed and not replaced since.
    failed: bool,
}

impl Life {
    fn new(age_h: f64) -> Self {
        Self { since_h: 0.0, age_h, ages: ComponentAges::default(), failed: false }
    }

    fn age_at(&self, meter_h: f64) -> f64 {
        self.age_h + (meter_h - self.since_h).max(0.0)
    }

    fn restart(&mut self, meter_h: f64) {
        self.since_h = meter_h;
        self.age_h = 0.0;
    }

    fn fails(&mut self, meter_h: f64, flags: &mut BTreeSet<HistoryFlag>) {
        self.ages.failure_events += 1;
        let age = self.age_at(meter_h);
        if age < NO_AGE_H {
            flags.insert(HistoryFlag::ZeroAgesIgnored);
        } else {
            self.ages.failures_h.push(age);
        }
        self.restart(meter_h);
        self.failed = true;
    }

    fn ends(mut self, meter_h: f64) -> ComponentAges {
        self.ages.age_now_h = self.age_at(meter_h);
        if self.ages.age_now_h >= NO_AGE_H {
            self.ages.censored_h.push(self.ages.age_now_h);
        }
        self.ages
    }
}

/// Ages and times of a machine in `period`, from its events and what counts as operating time.
///
/// # Errors
/// A period that is empty or backwards, too many events or intervals, an interval that runs backwards, an age that can't be one.
pub fn history(
    events: &[MaintenanceEvent],
    operating: &OperatingTime,
    installed: &[InstalledComponent],
    period: TimeRange,
) -> Result<History, Vec<FieldError>> {
    check(events, operating, installed, period)?;
    let mut flags = BTreeSet::new();
    let mut ordered: Vec<MaintenanceEvent> = events.to_vec();
    ordered.sort();
    ordered.dedup();
    let known = ordered.len();
    ordered.retain(|e| e.at >= period.from && e.at <= period.to);
    if ordered.len() < known {
        flags.insert(HistoryFlag::EventsOutsidePeriod);
    }

    let downs = breakdowns(&ordered, &mut flags);
    let down_ranges = merged(downs.iter().map(|d| TimeRange { from: d.from, to: d.to.unwrap_or(period.to) }), period);
    let ran = match operating {
        OperatingTime::Calendar => without(period, &down_ranges),
        OperatingTime::Intervals(given) => {
            let ran = merged(given.iter().copied(), period);
            if overlap(&ran, &down_ranges) {
                flags.insert(HistoryFlag::ProducedWhileDown);
            }
            ran
        }
    };
    let operating_h = hours(&ran);
    let meter = Meter::new(ran);
    if operating_h <= 0.0 {
        flags.insert(HistoryFlag::NoOperatingTime);
    }

    let mut machine = Life::new(0.0);
    for down in &downs {
        machine.fails(meter.at(down.from), &mut flags);
    }
    let components = lives(&ordered, installed, &meter, period, &mut flags);
    let (mut repairs, mut repair_h, mut down_of_repaired_h, mut repair_ranges) = (0, 0.0, 0.0, Vec::new());
    for down in &downs {
        let from = down.repair_from.unwrap_or(down.from);
        if let Some(to) = down.to {
            repairs += 1;
            repair_h += to.micros_since(from) as f64 / HOUR_US;
            down_of_repaired_h += to.micros_since(down.from) as f64 / HOUR_US;
            if down.repair_from.is_none() {
                flags.insert(HistoryFlag::RepairStartMissing);
            }
        }
        if down.to.is_some() || down.repair_from.is_some() {
            repair_ranges.push(TimeRange { from, to: down.to.unwrap_or(period.to) });
        }
    }
    let corrective = work_orders(&ordered, WorkOrderKind::Corrective, period, &mut flags);
    let preventive = work_orders(&ordered, WorkOrderKind::Preventive, period, &mut flags);
    Ok(History {
        period_h: hours(&[period]),
        operating_h,
        down_h: hours(&down_ranges),
        failure_events: downs.len() as u64,
        repairs,
        repair_h,
        down_of_repaired_h,
        corrective_h: hours(&merged(corrective.into_iter().chain(repair_ranges), period)),
        preventive_h: hours(&merged(preventive, period)),
        machine: machine.ends(operating_h),
        components,
        cumulative_failure_times_h: downs.iter().map(|d| meter.at(d.from)).filter(|t| *t >= NO_AGE_H).collect(),
        flags: flags.into_iter().collect(),
    })
}

fn lives(
    events: &[MaintenanceEvent],
    installed: &[InstalledComponent],
    meter: &Meter,
    period: TimeRange,
    flags: &mut BTreeSet<HistoryFlag>,
) -> BTreeMap<String, ComponentAges> {
    let mut lives: BTreeMap<&str, Life> = installed.iter().map(|c| (c.component.as_str(), Life::new(c.age_h))).collect();
    for event in events {
        let Some(name) = event.component.as_deref() else { continue };
        if !matches!(event.kind, Kind::Failure | Kind::ComponentReplaced) {
            continue;
        }
        let life = lives.entry(name).or_insert_with(|| {
            flags.insert(HistoryFlag::AgeAtStartUnknown);
            Life::new(0.0)
        });
        let meter_h = meter.at(event.at);
        if event.kind == Kind::Failure {
            if life.failed {
                flags.insert(HistoryFlag::RepairTakenAsNew);
            }
            life.fails(meter_h, flags);
        } else {
            // Run on after a failure until it was replaced: that stretch belongs to a part that had failed, not to a life.
            if !life.failed {
                life.ages.preventive_replacements += 1;
                let age = life.age_at(meter_h);
                if age >= NO_AGE_H {
                    life.ages.censored_h.push(age);
                }
            }
            life.restart(meter_h);
            life.failed = false;
        }
    }
    let end = meter.at(period.to);
    lives
        .into_iter()
        .map(|(name, life)| {
            if life.failed && life.age_at(end) >= NO_AGE_H {
                flags.insert(HistoryFlag::RepairTakenAsNew);
            }
            (name.to_owned(), life.ends(end))
        })
        .collect()
}

fn check(
    events: &[MaintenanceEvent],
    operating: &OperatingTime,
    installed: &[InstalledComponent],
    period: TimeRange,
) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    if period.from >= period.to {
        errors.push(FieldError::new("period", "must end after it begins"));
    }
    if events.len() > MAX_EVENTS {
        errors.push(FieldError::new("events", format!("holds more than {MAX_EVENTS}: ask for a shorter period")));
    }
    if installed.len() > MAX_EVENTS {
        errors.push(FieldError::new("installed", format!("holds more than {MAX_EVENTS} components")));
    }
    if let OperatingTime::Intervals(given) = operating {
        if given.len() > MAX_INTERVALS {
            errors.push(FieldError::new("operating", format!("holds more than {MAX_INTERVALS} intervals: ask for a shorter period")));
        }
        if let Some(i) = given.iter().position(|r| r.from > r.to) {
            errors.push(FieldError::new(format!("operating[{i}]"), "ends before it begins"));
        }
    }
    for (i, component) in installed.iter().enumerate().take(MAX_EVENTS) {
        if !(0.0..=MAX_HOURS).contains(&component.age_h) {
            errors.push(FieldError::new(format!("installed[{i}].age_h"), "must be operating hours, 0 or more"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
