//! `[maintenance]`, and what a machine's description says of its condition.
//!
//! Part of `resolve`, which holds the defaults of everything else. Invariant: as there, what can't be is reported with its line.

use std::time::Duration;

use kpi::condition::vibration::{Foundation, MachineGroup};
use protocol::SignalName;

use super::read::Section;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 86_400);
/// Signals of one machine that can have limits.
const MAX_CONDITIONS: usize = 100;

/// How failures are found, and how they are predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceConfig {
    /// Breakdowns that the machine shows itself count as failures.
    pub failures_from_stops: bool,
    /// A stop that is shorter is no failure.
    pub min_failure: Duration,
    /// How often machines with new data are predicted.
    pub predict_every: Duration,
    /// The failure probability is told for that time ahead.
    pub horizon: Duration,
    /// How far back trends and degradation are seen.
    pub trend_window: Duration,
    /// How far back failures and operating time are seen.
    pub history: Duration,
    /// How long predictions are kept.
    pub keep_predictions: Duration,
    /// A model is learned anew at least so often.
    pub train_every: Duration,
    /// With fewer lives that ended in a failure no model is learned.
    pub min_failures: usize,
    /// Trees of a learned model at most.
    pub max_trees: usize,
    /// Events that are kept; they are never deleted, so beyond it new ones are refused.
    pub max_events: u64,
}

/// What a signal says of the condition of its machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub signal: SignalName,
    /// The limits hold for this unit alone; `None`: for any.
    pub unit: Option<String>,
    /// At this value the machine counts as failed.
    pub limit: Option<f64>,
    /// The same for a signal that falls.
    pub low_limit: Option<f64>,
    /// The value when healthy; `None`: as it was at the beginning of what is seen.
    pub baseline: Option<f64>,
    /// The signal is an RMS velocity in mm/s, judged by the zones of ISO 20816-3.
    pub vibration: Option<(MachineGroup, Foundation)>,
}

pub(super) fn settings(root: &Section<'_, '_>) -> MaintenanceConfig {
    let section = root.section("maintenance");
    let whole = |key, default: u64, allowed| usize::try_from(section.number(key, default, allowed)).unwrap_or(usize::MAX);
    let config = MaintenanceConfig {
        failures_from_stops: section.flag("failures_from_stops", true),
        min_failure: section.duration("min_failure", 5 * MINUTE, Duration::from_secs(1)..=30 * DAY),
        predict_every: section.duration("predict_every", MINUTE, Duration::from_secs(1)..=DAY),
        horizon: section.duration("horizon", 7 * DAY, MINUTE..=YEAR),
        trend_window: section.duration("trend_window", 30 * DAY, 10 * MINUTE..=YEAR),
        history: section.duration("history", 2 * YEAR, DAY..=10 * YEAR),
        keep_predictions: section.duration("keep_predictions", 365 * DAY, DAY..=10 * YEAR),
        train_every: section.duration("train_every", DAY, MINUTE..=YEAR),
        min_failures: whole("min_failures", 8, 4..=1_000),
        max_trees: whole("max_trees", 400, 10..=5_000),
        max_events: section.number("max_events", 1_000_000, 1_000..=100_000_000),
    };
    section.finish();
    config
}

pub(super) const KIND: &str = "write a short name, \"press-200t\"";

pub(super) fn kind(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > 64 { Err("is empty or longer than 64 bytes") } else { Ok(text.to_owned()) }
}

pub(super) fn conditions(asset: &Section<'_, '_>) -> Vec<Condition> {
    const SIGNAL: &str = "write the name of a signal, \"vibration\"";
    const VIBRATION: &str = "write \"medium_rigid\", \"medium_flexible\", \"large_rigid\" or \"large_flexible\"";
    const NUMBER: std::ops::RangeInclusive<f64> = -1e12..=1e12;
    let mut conditions: Vec<Condition> = Vec::new();
    for section in asset.sections("condition") {
        let signal = section.parsed("signal", SIGNAL, SignalName::new);
        let unit = section.text("unit", "write the signal's unit in UCUM, \"mm/s\"");
        let (limit, low_limit) = (section.float("limit", NUMBER), section.float("low_limit", NUMBER));
        let baseline = section.float("baseline", NUMBER);
        let vibration = section.parsed("vibration", VIBRATION, vibration);
        if limit.is_none() && low_limit.is_none() && vibration.is_none() {
            section.report("limit", "is needed, or low_limit, or vibration", "write the value at which the machine counts as failed");
        }
        let between = |value: f64| limit.is_none_or(|high| value < high) && low_limit.is_none_or(|low| value > low);
        if limit.zip(low_limit).is_some_and(|(high, low)| low >= high) {
            section.report("low_limit", "is not below limit", "write the lower end of what is healthy");
        } else if baseline.is_some_and(|value| !between(value)) {
            section.report("baseline", "is not on the healthy side of the limit", "write the value of the healthy machine");
        }
        match signal {
            None => section.report("signal", "is needed", SIGNAL),
            Some(signal) if conditions.iter().any(|known| known.signal == signal) => {
                section.report("signal", format_args!("{signal} is there twice"), "describe each signal once");
            }
            Some(_) if conditions.len() >= MAX_CONDITIONS => {
                section.report("signal", format_args!("is one of more than {MAX_CONDITIONS}"), "describe the signals that matter");
            }
            Some(signal) => conditions.push(Condition { signal, unit, limit, low_limit, baseline, vibration }),
        }
        section.finish();
    }
    conditions
}

fn vibration(text: &str) -> Result<(MachineGroup, Foundation), &'static str> {
    match text {
        "medium_rigid" => Ok((MachineGroup::Medium, Foundation::Rigid)),
        "medium_flexible" => Ok((MachineGroup::Medium, Foundation::Flexible)),
        "large_rigid" => Ok((MachineGroup::Large, Foundation::Rigid)),
        "large_flexible" => Ok((MachineGroup::Large, Foundation::Flexible)),
        _ => Err("is no group and foundation of ISO 20816-3"),
    }
}
