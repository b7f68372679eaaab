//! Condition of a machine from the history of its signals: health, and what is left until a limit is reached. Pure.
//!
//! Stands between the lake's series and the prediction. Limits come from the machine's description; a signal in mm/s that nothing is said
//! of is taken for an RMS velocity of a machine of 15 to 300 kW on a rigid foundation (ISO 20816-3). Other signals have trends only.
//!
//! Invariant: only what was seen since the machine was last repaired counts, so that a repair makes it healthy again.

use kpi::{
    condition::{
        degradation::{DegradationSettings, Observation, Outcome, remaining_useful_life},
        health::{Evidence, Health, HealthSettings, SeenAnomaly, SignalTrend, VibrationPoint, health},
        trend::{MAX_BUCKETS, TrendWindow},
        vibration::{Foundation, MachineGroup, zone_limits},
    },
    field::FieldError,
};
use protocol::Timestamp;

use crate::config::Condition;

/// Units of meters and counters: they rise by nature.
const CUMULATIVE: [&str; 12] = ["W.h", "kW.h", "MW.h", "J", "kJ", "MJ", "GJ", "L", "m3", "{part}", "{count}", "{cycle}"];
const VELOCITY: &str = "mm/s";
/// A signal that said nothing for so long is not observed.
const OBSERVED_US: i64 = 24 * 3_600_000_000;

/// Means of a signal over steps of time.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSeries {
    pub signal: String,
    /// UCUM.
    pub unit: String,
    pub step_us: i64,
    /// Beginnings of the steps and means, in order.
    pub points: Vec<(Timestamp, f64)>,
}

/// The signal nearest its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Degrading {
    pub signal: String,
    pub limit: f64,
    pub outcome: Outcome,
}

/// Health, and the signal that is nearest its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub health: Health,
    pub degrading: Option<Degrading>,
}

/// Judges the signals of a machine as of `now`; what lies before `since` belongs to another life.
///
/// # Errors
/// Every value that can't be.
pub fn judge(
    series: &[SignalSeries],
    anomalies: Vec<SeenAnomaly>,
    conditions: &[Condition],
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Seen, Vec<FieldError>> {
    let mut evidence =
        Evidence { anomalies: anomalies.into_iter().filter(|a| since.is_none_or(|s| a.at >= s)).collect(), ..Evidence::default() };
    let mut nearest: Option<Degrading> = None;
    for signal in series {
        let points: Vec<(Timestamp, f64)> = signal
            .points
            .iter()
            .filter(|(at, value)| since.is_none_or(|s| *at >= s) && *at <= now && value.abs() <= 1e12)
            .copied()
            .collect();
        let Some(last) = points.last() else { continue };
        if now.micros_since(last.0) <= OBSERVED_US.max(2 * signal.step_us) {
            evidence.observed_signals += 1;
        }
        let limits = Limits::of(signal, conditions);
        if let Some((group, foundation)) = limits.vibration
            && (0.0..=1_000.0).contains(&last.1)
        {
            evidence.vibration.push(VibrationPoint { signal: signal.signal.clone(), velocity_rms_mm_s: last.1, group, foundation });
        }
        let is_meter = CUMULATIVE.contains(&signal.unit.as_str());
        if let Some(trend) = trend(&points, signal.step_us)
            && (!is_meter || limits.high.or(limits.low).is_some())
        {
            let trend = SignalTrend { signal: signal.signal.clone(), trend, low_limit: limits.low, high_limit: limits.high };
            evidence.trends.push(trend);
        }
        for (limit, is_high) in limits.high.map(|l| (l, true)).into_iter().chain(limits.low.map(|l| (l, false))) {
            let baseline = limits.baseline.unwrap_or_else(|| baseline(&points, limit, is_high));
            let at = |begin: Timestamp| begin.plus_micros(signal.step_us / 2).min(now);
            let observations: Vec<Observation> =
                points.iter().map(|(begin, value)| Observation { at: at(*begin), value: *value }).collect();
            let outcome = remaining_useful_life(&observations, &DegradationSettings::new(baseline, limit), now)?;
            let found = Degrading { signal: signal.signal.clone(), limit, outcome };
            if nearest.as_ref().is_none_or(|known| urgency(&found.outcome) < urgency(&known.outcome)) {
                nearest = Some(found);
            }
        }
    }
    Ok(Seen { health: health(&evidence, &HealthSettings::default(), now)?, degrading: nearest })
}

/// What a signal must not pass.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Limits {
    high: Option<f64>,
    low: Option<f64>,
    baseline: Option<f64>,
    vibration: Option<(MachineGroup, Foundation)>,
}

impl Limits {
    fn of(signal: &SignalSeries, conditions: &[Condition]) -> Self {
        let told = conditions.iter().find(|c| c.signal.as_str() == signal.signal);
        let fits = |c: &Condition| c.unit.as_ref().is_none_or(|unit| *unit == signal.unit || signal.unit.is_empty());
        let velocity = |(group, foundation)| {
            let [.., damage] = zone_limits(group, foundation);
            damage
        };
        match told {
            Some(c) if fits(c) => {
                Self { high: c.limit.or(c.vibration.map(velocity)), low: c.low_limit, baseline: c.baseline, vibration: c.vibration }
            }
            Some(_) => Self::default(),
            None if signal.unit == VELOCITY => {
                let vibration = (MachineGroup::Medium, Foundation::Rigid);
                Self { high: Some(velocity(vibration)), vibration: Some(vibration), ..Self::default() }
            }
            None => Self::default(),
        }
    }
}

/// The median of the first quarter; on the healthy side of the limit in any case.
fn baseline(points: &[(Timestamp, f64)], limit: f64, is_high: bool) -> f64 {
    let mut first: Vec<f64> = points[..points.len().div_ceil(4)].iter().map(|p| p.1).collect();
    first.sort_by(f64::total_cmp);
    let median = first.get(first.len() / 2).copied().unwrap_or(limit);
    let least = 0.1 * limit.abs().max(1e-6);
    if is_high { median.min(limit - least) } else { median.max(limit + least) }
}

fn trend(points: &[(Timestamp, f64)], step_us: i64) -> Option<kpi::condition::trend::Trend> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let buckets = i64::try_from(MAX_BUCKETS).unwrap_or(i64::MAX) - 1;
    let bucket_us = (last.micros_since(first) / buckets.max(1)).max(step_us);
    let mut window = TrendWindow::new(bucket_us as f64 / 1e6).ok()?;
    for (at, value) in points {
        window.push(*at, *value);
    }
    window.trend()
}

/// The less, the more urgent.
fn urgency(outcome: &Outcome) -> (u8, f64) {
    match outcome {
        Outcome::LimitPassed { .. } => (0, 0.0),
        Outcome::Prediction(rul) => (1, rul.lower_h),
        Outcome::BeyondHorizon { at_least_h, .. } => (2, *at_least_h),
        Outcome::NoTrend { trend_probability } => (3, -trend_probability),
        Outcome::TooFewObservations { .. } => (4, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use kpi::condition::vibration::Zone;
    use protocol::{Severity, SignalName};

    use super::*;

    const HOUR: i64 = 3_600_000_000;
    const NOW: Timestamp = Timestamp(400 * HOUR);

    /// Rises by `slope` an hour from hour 0 to hour 400, with a noise that repeats.
    fn series(signal: &str, unit: &str, from: f64, slope: f64) -> SignalSeries {
        let points = (0..400).map(|h| {
            let noise = ((h as f64 * 0.618).fract() - 0.5) * 0.1;
            (Timestamp(h * HOUR), from + slope * h as f64 + noise)
        });
        SignalSeries { signal: signal.into(), unit: unit.into(), step_us: HOUR, points: points.collect() }
    }

    fn rul(seen: &Seen) -> (f64, f64, f64) {
        match &seen.degrading.as_ref().unwrap().outcome {
            Outcome::Prediction(rul) => (rul.lower_h, rul.rul_h, rul.upper_h.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_velocity_that_rises_is_extrapolated_to_the_boundary_of_its_zone() {
        // 4.5 mm/s is reached at hour 700.
        let seen = judge(&[series("vibration", "mm/s", 1.0, 0.005), series("t", "Cel", 60.0, 0.0)], vec![], &[], None, NOW).unwrap();
        let (lower, middle, upper) = rul(&seen);
        assert!(lower <= 300.0 && 300.0 <= upper && (middle - 300.0).abs() < 60.0, "{lower} {middle} {upper}");
        assert_eq!(seen.health.vibration_zone, Some(Zone::C));
        assert!(seen.health.index.unwrap() < 0.9, "{:?}", seen.health);
        assert_eq!(seen.degrading.unwrap().signal, "vibration");
    }

    #[test]
    fn limits_of_the_description_count_also_from_above_and_only_for_their_unit() {
        let condition = |unit: Option<&str>| Condition {
            signal: SignalName::new("oil_pressure").unwrap(),
            unit: unit.map(Into::into),
            limit: None,
            low_limit: Some(2.0),
            baseline: None,
            vibration: None,
        };
        // Falls to 2 bar at hour 600.
        let falling = [series("oil_pressure", "bar", 5.0, -0.005)];
        let seen = judge(&falling, vec![], &[condition(None)], None, NOW).unwrap();
        let (lower, _, upper) = rul(&seen);
        assert!(lower <= 200.0 && 200.0 <= upper, "{lower} {upper}");
        assert_eq!(judge(&falling, vec![], &[condition(Some("Pa"))], None, NOW).unwrap().degrading, None);
    }

    #[test]
    fn what_was_before_the_repair_does_not_count() {
        let worn = [series("vibration", "mm/s", 1.0, 0.005)];
        let old = SeenAnomaly { signal: "vibration".into(), at: Timestamp(10 * HOUR), severity: Severity::Critical };
        let since = Some(Timestamp(398 * HOUR));
        let seen = judge(&worn, vec![old], &[], since, NOW).unwrap();
        assert!(matches!(seen.degrading.unwrap().outcome, Outcome::TooFewObservations { .. }));
        assert!(seen.health.drivers.iter().all(|d| d.detail.contains("mm/s") || d.name == "vibration"));
    }

    #[test]
    fn a_meter_has_no_trend_and_nothing_has_no_health() {
        let meter = judge(&[series("energy", "kW.h", 0.0, 5.0)], vec![], &[], None, NOW).unwrap();
        assert_eq!(meter.health.index, Some(1.0));
        let warm = judge(&[series("t", "Cel", 50.0, 0.1)], vec![], &[], None, NOW).unwrap();
        assert!(warm.health.index.unwrap() < 1.0 && warm.degrading.is_none());
        assert_eq!(judge(&[], vec![], &[], None, NOW).unwrap().health.index, None);
    }

    #[test]
    fn the_baseline_lies_on_the_healthy_side() {
        let high = [(Timestamp(0), 9.0), (Timestamp(1), 9.0)];
        assert!(baseline(&high, 7.0, true) < 7.0 && baseline(&high, 9.5, false) > 9.5);
    }
}
