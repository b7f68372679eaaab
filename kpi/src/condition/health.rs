//! Health index of a machine, 0 (failed) to 1 (healthy), and what pulled it down.
//!
//! Every piece of evidence has a *penalty* `p` in 0..1; the index is the product of all `1 - p`. The share of a driver is
//! `ln(1 - p) / sum ln(1 - p)`, and `lost = (1 - index) * share`, so the drivers add up to what is missing, exactly.
//!
//! - Anomalies of one signal: joined as `1 - product(1 - w 2^(-age / half-life))`, `w` by severity (.02 .05 .15 .4), at most .6, so that
//!   one detector that
//!   chatters does not condemn a machine.
//! - A significant trend towards a limit that is known: `.5 (1 - time to limit / horizon)`, .6 once passed. Without a limit: at most .15,
//!   by how far the signal moved against its spread.
//! - Vibration: by line between the zone boundaries: .05 at A/B, .25 at B/C, .6 at C/D, .9 at 1.5 times C/D.
//!
//! Invariants: the index is in 0..=1; more or worse evidence never raises it; without any observed signal there is no index.

use std::collections::BTreeMap;

use protocol::{Severity, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    FieldError, HOUR_US,
    trend::Trend,
    vibration::{Foundation, MachineGroup, Zone, zone, zone_limits},
};

/// Anomalies, trends or vibration points in one question.
const MAX_EVIDENCE: usize = 100_000;
const ANOMALIES_OF_A_SIGNAL: f64 = 0.6;
const TREND_TO_LIMIT: f64 = 0.5;
const LIMIT_PASSED: f64 = 0.6;
const TREND_WITHOUT_LIMIT: f64 = 0.15;

/// An anomaly, as far as health is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenAnomaly {
    pub signal: String,
    pub at: Timestamp,
    pub severity: Severity,
}

/// The trend of a signal, and the limits it must not pass.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalTrend {
    pub signal: String,
    pub trend: Trend,
    pub low_limit: Option<f64>,
    pub high_limit: Option<f64>,
}

/// RMS velocity at a bearing housing.
#[derive(Debug, Clone, PartialEq)]
pub struct VibrationPoint {
    pub signal: String,
    pub velocity_rms_mm_s: f64,
    pub group: MachineGroup,
    pub foundation: Foundation,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSettings {
    /// After this an anomaly weighs half.
    pub anomaly_half_life_h: f64,
    /// A limit that a trend reaches later than this is no worry.
    pub trend_horizon_h: f64,
    /// Of a trend.
    pub significance: f64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { anomaly_half_life_h: 72.0, trend_horizon_h: 720.0, significance: 0.05 }
    }
}

/// What is known of a machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    pub anomalies: Vec<SeenAnomaly>,
    pub trends: Vec<SignalTrend>,
    pub vibration: Vec<VibrationPoint>,
    /// Signals that sent data lately, whether or not anything is wrong with them. 0: there is no health to tell of.
    pub observed_signals: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriverKind {
    Anomalies,
    Trend,
    Vibration,
    /// Operating age of a component.
    Age,
    /// Named by the learned model.
    Model,
}

/// Something that pulls a machine down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Driver {
    pub kind: DriverKind,
    /// Signal or component.
    pub name: String,
    /// Of what pulls the index down; health drivers add up to 1.
    pub share: f64,
    /// Of the index; health drivers add up to 1 - index.
    pub lost: f64,
    /// For people.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthFlag {
    /// No signal was observed: no index.
    NoData,
    /// Anomalies dated after now: counted as of now.
    FutureAnomalies,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Health {
    /// 0 failed, 1 healthy.
    pub index: Option<f64>,
    /// The worst of all points.
    pub vibration_zone: Option<Zone>,
    /// The heaviest first.
    pub drivers: Vec<Driver>,
    pub flags: Vec<HealthFlag>,
}

/// # Errors
/// Evidence or settings that can't be.
pub fn health(evidence: &Evidence, settings: &HealthSettings, now: Timestamp) -> Result<Health, Vec<FieldError>> {
    check(evidence, settings)?;
    let mut flags = Vec::new();
    if evidence.anomalies.iter().any(|a| a.at > now) {
        flags.push(HealthFlag::FutureAnomalies);
    }
    let mut worst: Option<Zone> = None;
    let mut penalties = anomalies(evidence, settings, now);
    penalties.extend(evidence.trends.iter().filter_map(|t| trend(t, settings)));
    for point in &evidence.vibration {
        let zone = zone(point.velocity_rms_mm_s, point.group, point.foundation).map_err(|e| vec![e])?;
        worst = worst.max(Some(zone));
        penalties.push(vibration(point, zone));
    }
    if evidence.observed_signals == 0 && penalties.is_empty() {
        flags.push(HealthFlag::NoData);
        return Ok(Health { index: None, vibration_zone: None, drivers: Vec::new(), flags });
    }
    let total: f64 = penalties.iter().map(|p| -(-p.penalty).ln_1p()).sum();
    let index = (-total).exp().clamp(0.0, 1.0);
    let mut drivers: Vec<Driver> = penalties
        .into_iter()
        .filter(|p| p.penalty > 0.0)
        .map(|p| {
            let share = -(-p.penalty).ln_1p() / total;
            Driver { kind: p.kind, name: p.name, share, lost: (1.0 - index) * share, detail: p.detail }
        })
        .collect();
    drivers.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| (a.kind, &a.name).cmp(&(b.kind, &b.name))));
    Ok(Health { index: Some(index), vibration_zone: worst, drivers, flags })
}

struct Penalty {
    kind: DriverKind,
    name: String,
    penalty: f64,
    detail: String,
}

fn anomalies(evidence: &Evidence, settings: &HealthSettings, now: Timestamp) -> Vec<Penalty> {
    // Signal -> (product of what is left, count, worst).
    let mut by_signal: BTreeMap<&str, (Vec<f64>, Severity)> = BTreeMap::new();
    for anomaly in &evidence.anomalies {
        let age_h = now.micros_since(anomaly.at).max(0) as f64 / HOUR_US;
        let weight = match anomaly.severity {
            Severity::Low => 0.02,
            Severity::Medium => 0.05,
            Severity::High => 0.15,
            Severity::Critical => 0.4,
        };
        let entry = by_signal.entry(&anomaly.signal).or_insert((Vec::new(), anomaly.severity));
        entry.0.push(-weight * (-age_h / settings.anomaly_half_life_h).exp2());
        entry.1 = entry.1.max(anomaly.severity);
    }
    by_signal
        .into_iter()
        .map(|(signal, (mut weights, severity))| {
            // Sorted, so that the sum does not depend on the order of arrival.
            weights.sort_by(f64::total_cmp);
            let left: f64 = weights.iter().map(|w| w.ln_1p()).sum();
            let severity = format!("{severity:?}").to_lowercase();
            Penalty {
                kind: DriverKind::Anomalies,
                name: signal.to_owned(),
                penalty: (-left.exp_m1()).min(ANOMALIES_OF_A_SIGNAL),
                detail: format!("{} anomalies, the worst {severity}", weights.len()),
            }
        })
        .collect()
}

fn trend(of: &SignalTrend, settings: &HealthSettings) -> Option<Penalty> {
    let Trend { slope_per_day: slope, level, spread, span_h, .. } = of.trend;
    let passed = of.high_limit.is_some_and(|l| level >= l) || of.low_limit.is_some_and(|l| level <= l);
    let (penalty, detail) = if passed {
        (LIMIT_PASSED, format!("{level:.4} is beyond its limit"))
    } else if !of.trend.is_significant(settings.significance) || slope == 0.0 {
        return None;
    } else if let Some(limit) = if slope > 0.0 { of.high_limit } else { of.low_limit } {
        let hours = (limit - level) / slope * 24.0;
        let penalty = TREND_TO_LIMIT * (1.0 - hours / settings.trend_horizon_h).clamp(0.0, 1.0);
        (penalty, format!("moves by {slope:.4} a day and reaches {limit} in {hours:.0} h"))
    } else if of.high_limit.is_some() || of.low_limit.is_some() {
        return None;
    } else {
        let moved = (slope * span_h / 24.0).abs();
        let against = if spread > 0.0 { moved / spread } else { f64::INFINITY };
        (TREND_WITHOUT_LIMIT * -(-against / 5.0).exp_m1(), format!("moved by {moved:.4} in {span_h:.0} h; no limit is known"))
    };
    Some(Penalty { kind: DriverKind::Trend, name: of.signal.clone(), penalty, detail })
}

fn vibration(point: &VibrationPoint, zone: Zone) -> Penalty {
    let [a, b, c] = zone_limits(point.group, point.foundation);
    let steps = [(0.0, 0.0), (a, 0.05), (b, 0.25), (c, 0.6), (1.5 * c, 0.9)];
    let v = point.velocity_rms_mm_s;
    let penalty = steps
        .windows(2)
        .find(|pair| v <= pair[1].0)
        .map_or(0.9, |pair| pair[0].1 + (v - pair[0].0) / (pair[1].0 - pair[0].0) * (pair[1].1 - pair[0].1));
    Penalty { kind: DriverKind::Vibration, name: point.signal.clone(), penalty, detail: format!("{v:.2} mm/s, zone {zone:?}") }
}

fn check(evidence: &Evidence, settings: &HealthSettings) -> Result<(), Vec<FieldError>> {
    let mut errors = Vec::new();
    for (field, hours) in [("anomaly_half_life_h", settings.anomaly_half_life_h), ("trend_horizon_h", settings.trend_horizon_h)] {
        if !(1e-3..=1e6).contains(&hours) {
            errors.push(FieldError::new(field, "must be hours above 0, up to 1e6"));
        }
    }
    if !(1e-6..=0.5).contains(&settings.significance) {
        errors.push(FieldError::new("significance", "must be a fraction up to 0.5, e.g. 0.05"));
    }
    for (field, count) in
        [("anomalies", evidence.anomalies.len()), ("trends", evidence.trends.len()), ("vibration", evidence.vibration.len())]
    {
        if count > MAX_EVIDENCE {
            errors.push(FieldError::new(field, format!("holds more than {MAX_EVIDENCE}: ask for a shorter period")));
        }
    }
    for (i, of) in evidence.trends.iter().enumerate().take(MAX_EVIDENCE) {
        let numbers = [of.trend.slope_per_day, of.trend.level, of.trend.spread, of.trend.span_h, of.trend.p_value];
        if numbers.iter().chain(&of.low_limit).chain(&of.high_limit).any(|x| !x.is_finite()) {
            errors.push(FieldError::new(format!("trends[{i}]"), "holds what is no number"));
        } else if of.low_limit.zip(of.high_limit).is_some_and(|(low, high)| low >= high) {
            errors.push(FieldError::new(format!("trends[{i}].low_limit"), "must be below the high limit"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

#[cfg(test)]
mod tests;
