//! Reliability of a machine or of all machines of a scope, and the laws of a kind of machine. Pure.
//!
//! Stands after [`super::facts`]. Several machines: their times and ages add up, no figure is averaged. Invariant: an answer holds no NaN;
//! what a sample is too small for is `None`, with a flag.

use std::collections::BTreeMap;

use kpi::reliability::{
    Estimate,
    events::{ComponentAges, History, MaintenanceEventKind},
    fit::{FitAnswer, FitRequest},
    growth::{CrowAmsaa, FailureTimes, crow_amsaa},
    mle,
    mtbf::Divisor,
    replacement::{OptimalReplacement, ReplacementCosts},
    sample::{MAX_UNITS, Sample},
    summary::{MaintenanceKpis, inherent_availability, maintenance_kpis},
    trend::{TrendTests, trend_tests},
    weibull::Weibull,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::facts::{Past, ReadError};

/// The name under which the ages of a machine as a whole stand beside those of its components.
pub const MACHINE: &str = "machine";
/// With fewer failures a fitted law predicts nothing.
const LEAST_FAILURES: usize = 2;
const FEW_FAILURES: u64 = 5;
const SIGNIFICANCE: f64 = 0.05;

/// What a reader of the figures must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReliabilityFlag {
    /// Neither a state nor an event is known of any machine in the period.
    NoData,
    NoFailures,
    /// Fewer than five failures: bounds are wide.
    FewFailures,
    /// No machine produced in the period: no figure that is a share of operating time.
    NoOperatingTime,
    /// Of some machine no states are known: all time in which it was not down counts as operating time.
    CalendarTime,
    /// Growth and trend are of one machine alone.
    SeveralMachines,
    /// No event names this component.
    UnknownComponent,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub component: Option<String>,
    pub confidence: f64,
    pub costs: Option<ReplacementCosts>,
}

/// MTBF, MTTR and MTTF with the availability that follows from them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Kpis {
    #[serde(flatten)]
    pub of_period: MaintenanceKpis,
    /// MTBF / (MTBF + MTTR); its bounds are those of the MTBF, with the MTTR as it was.
    pub availability: Option<Estimate>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Figures {
    pub machines: usize,
    /// `None` without operating time.
    pub kpis: Option<Kpis>,
    /// As `reliability/fit`, of the ages of the component, or of the machine as a whole.
    pub fit: Option<FitAnswer>,
    /// Crow-AMSAA, of one machine.
    pub growth: Option<CrowAmsaa>,
    /// Laplace and MIL-HDBK-189, of one machine.
    pub trend: Option<TrendTests>,
    /// If costs were given.
    pub replacement: Option<OptimalReplacement>,
    pub flags: Vec<ReliabilityFlag>,
}

/// The figures of these machines together.
///
/// # Errors
/// [`ReadError::History`] if what is recorded can't be reckoned.
pub fn figures(pasts: &[Past], asked: &Asked) -> Result<Figures, ReadError> {
    let mut flags = Vec::new();
    let mut all: Option<History> = None;
    for past in pasts {
        let history = past.history()?;
        match &mut all {
            Some(sum) => sum.add(&history),
            None => all = Some(history),
        }
    }
    let Some(history) = all else {
        return Ok(Figures {
            machines: 0,
            kpis: None,
            fit: None,
            growth: None,
            trend: None,
            replacement: None,
            flags: vec![ReliabilityFlag::NoData],
        });
    };
    let none = ComponentAges::default();
    let ages = match &asked.component {
        None => &history.machine,
        Some(name) => history.components.get(name).unwrap_or_else(|| {
            flags.push(ReliabilityFlag::UnknownComponent);
            &none
        }),
    };
    let failures = if asked.component.is_some() { ages.failure_events } else { history.failure_events };
    for (holds, flag) in [
        (pasts.iter().all(|p| !p.is_known), ReliabilityFlag::NoData),
        (failures == 0, ReliabilityFlag::NoFailures),
        ((1..FEW_FAILURES).contains(&failures), ReliabilityFlag::FewFailures),
        (history.operating_h <= 0.0, ReliabilityFlag::NoOperatingTime),
        (pasts.iter().any(|p| p.is_known && p.is_by_calendar()), ReliabilityFlag::CalendarTime),
        (pasts.len() > 1, ReliabilityFlag::SeveralMachines),
    ] {
        if holds {
            flags.push(flag);
        }
    }
    let mut kpis = maintenance_kpis(&history, asked.confidence, Divisor::Events).ok();
    if let (Some(kpis), Some(name)) = (&mut kpis, &asked.component) {
        kpis.mttf_h.retain(|component, _| component == name);
    }
    let fit = fit(ages, asked);
    let times = match pasts {
        [one] => failure_times(one, &history, asked.component.as_deref())?,
        _ => None,
    };
    flags.sort_unstable();
    flags.dedup();
    Ok(Figures {
        machines: pasts.len(),
        kpis: kpis.map(|of_period| Kpis { availability: availability(&of_period), of_period }),
        growth: times.as_ref().and_then(|times| crow_amsaa(times, asked.confidence).ok()),
        trend: times.as_ref().and_then(|times| trend_tests(times, SIGNIFICANCE).ok()),
        replacement: fit.as_ref().and_then(|fit| fit.replacement.clone()),
        fit,
        flags,
    })
}

fn fit(ages: &ComponentAges, asked: &Asked) -> Option<FitAnswer> {
    let newest = |ages: &[f64]| ages[ages.len().saturating_sub(MAX_UNITS)..].to_vec();
    let (failures, censored) = (newest(&ages.failures_h), newest(&ages.censored_h));
    if failures.is_empty() && censored.is_empty() {
        return None;
    }
    FitRequest { failures, censored, confidence: asked.confidence, costs: asked.costs, ..FitRequest::default() }.fit().ok()
}

fn availability(kpis: &MaintenanceKpis) -> Option<Estimate> {
    let with = |mtbf_h: Option<f64>| mtbf_h.zip(kpis.mttr_h).and_then(|(b, r)| inherent_availability(b, r));
    Some(Estimate { value: with(kpis.mtbf.mtbf_h)?, lower: with(kpis.mtbf.lower_h), upper: with(kpis.mtbf.upper_h) })
}

/// Of the component, as if nothing else had failed.
fn failure_times(past: &Past, history: &History, component: Option<&str>) -> Result<Option<FailureTimes>, ReadError> {
    let (times, end_h) = match component {
        None => (history.cumulative_failure_times_h.clone(), history.operating_h),
        Some(name) => {
            // Each failure of it is repaired at once: whatever else was down does not matter.
            let own = past.events.iter().filter(|e| e.kind == MaintenanceEventKind::Failure && e.component.as_deref() == Some(name));
            let events: Vec<_> = own
                .flat_map(|e| {
                    let repaired = kpi::reliability::events::MaintenanceEvent {
                        at: e.at.plus_micros(1),
                        kind: MaintenanceEventKind::RepairEnd,
                        ..e.clone()
                    };
                    [e.clone(), repaired]
                })
                .collect();
            let of_component = past.history_of(&events)?;
            (of_component.cumulative_failure_times_h, of_component.operating_h)
        }
    };
    let last = times.iter().copied().fold(0.0, f64::max);
    Ok(FailureTimes::new(&times, Some(end_h.max(last))).ok())
}

/// How long something of a kind of machine lives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    pub weibull: Weibull,
    pub failures: u64,
}

/// The laws of a kind, by component, and of the machine as a whole; only what failed often enough has one.
pub fn laws<'a>(machines: impl Iterator<Item = &'a History>) -> BTreeMap<String, Law> {
    let mut ages: BTreeMap<String, ComponentAges> = BTreeMap::new();
    for history in machines {
        ages.entry(MACHINE.to_owned()).or_default().add(&history.machine);
        // A component that somebody called so would count the machine's failures twice.
        for (name, of_component) in history.components.iter().filter(|(name, _)| *name != MACHINE) {
            ages.entry(name.clone()).or_default().add(of_component);
        }
    }
    let law = |ages: &ComponentAges| {
        let sample = Sample::new(&ages.failures_h, &ages.censored_h).ok().filter(|s| s.failures().len() >= LEAST_FAILURES)?;
        let weibull = mle::fit(&sample).ok()?.weibull();
        Some(Law { weibull, failures: sample.failures().len() as u64 })
    };
    ages.iter().filter_map(|(name, ages)| Some((name.clone(), law(ages)?))).collect()
}

#[cfg(test)]
mod tests {
    use kpi::reliability::events::{MaintenanceEvent, OperatingTime};
    use protocol::{AssetPath, TimeRange, Timestamp};

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn past(ages_h: &[i64], component: Option<&str>) -> Past {
        let (mut at, mut ranges, mut events) = (0, Vec::new(), Vec::new());
        for age in ages_h {
            ranges.push(TimeRange { from: Timestamp(at * HOUR), to: Timestamp((at + age) * HOUR) });
            at += age;
            let event =
                |at, kind| MaintenanceEvent { at: Timestamp(at * HOUR), kind, component: component.map(Into::into), work_order: None };
            events.extend([event(at, MaintenanceEventKind::Failure), event(at + 1, MaintenanceEventKind::RepairEnd)]);
            at += 1;
        }
        Past {
            asset: AssetPath::new("a/b/c/d").unwrap(),
            period: TimeRange { from: Timestamp(0), to: Timestamp(at.max(1) * HOUR) },
            reported: Vec::new(),
            events,
            operating: OperatingTime::Intervals(ranges),
            is_known: !ages_h.is_empty(),
            is_cut: false,
        }
    }

    fn asked(component: Option<&str>) -> Asked {
        Asked { component: component.map(Into::into), confidence: 0.9, costs: None }
    }

    /// ReliaWiki's six units.
    const AGES: [i64; 6] = [16, 34, 53, 75, 93, 120];

    #[test]
    fn ages_between_failures_give_the_worked_example_for_one_machine_and_for_six() {
        let one = figures(&[past(&AGES, None)], &asked(None)).unwrap();
        let six: Vec<Past> = AGES.iter().map(|age| past(&[*age], None)).collect();
        let six = figures(&six, &asked(None)).unwrap();
        for (figures, has_trend) in [(&one, true), (&six, false)] {
            let weibull = figures.fit.as_ref().unwrap().weibull.as_ref().unwrap();
            assert!((weibull.beta.value - 1.932_678).abs() < 1e-5 && (weibull.eta_h.value - 73.526_07).abs() < 1e-3, "{weibull:?}");
            let kpis = figures.kpis.as_ref().unwrap();
            assert_eq!((kpis.of_period.mtbf.mtbf_h, kpis.of_period.mttr_h), (Some(391.0 / 6.0), Some(1.0)));
            let availability = kpis.availability.unwrap();
            assert!((availability.value - 391.0 / 397.0).abs() < 1e-12);
            assert!(availability.lower.unwrap() < availability.value && availability.value < availability.upper.unwrap());
            assert_eq!((figures.trend.is_some(), figures.growth.is_some()), (has_trend, has_trend));
        }
        assert_eq!((one.flags, six.flags), (vec![], vec![ReliabilityFlag::SeveralMachines]));
    }

    #[test]
    fn of_a_component_its_own_ages_count_and_of_an_unknown_one_nothing_is_claimed() {
        let past = [past(&AGES, Some("bearing"))];
        let bearing = figures(&past, &asked(Some("bearing"))).unwrap();
        let weibull = bearing.fit.as_ref().unwrap().weibull.as_ref().unwrap();
        assert!((weibull.beta.value - 1.932_678).abs() < 1e-5, "{weibull:?}");
        assert_eq!(bearing.growth, figures(&past, &asked(None)).unwrap().growth);
        let belt = figures(&past, &asked(Some("belt"))).unwrap();
        assert_eq!(belt.flags, [ReliabilityFlag::NoFailures, ReliabilityFlag::UnknownComponent]);
        assert!(belt.fit.is_none() && belt.growth.is_none() && belt.kpis.unwrap().of_period.mttf_h.is_empty());
    }

    #[test]
    fn without_data_there_are_flags_and_no_numbers() {
        let nothing = figures(&[past(&[], None)], &asked(None)).unwrap();
        assert_eq!(nothing.flags, [ReliabilityFlag::NoData, ReliabilityFlag::NoFailures, ReliabilityFlag::NoOperatingTime]);
        assert!(nothing.fit.is_none() && nothing.trend.is_none() && nothing.replacement.is_none());
        assert_eq!(nothing.kpis.and_then(|kpis| kpis.of_period.mtbf.mtbf_h), None);
        assert_eq!(figures(&[], &asked(None)).unwrap().machines, 0);
    }

    #[test]
    fn a_kind_has_a_law_only_where_enough_failed() {
        let histories: Vec<History> = AGES.iter().map(|age| past(&[*age], Some("bearing")).history().unwrap()).collect();
        let laws = laws(histories.iter());
        assert_eq!(laws.keys().collect::<Vec<_>>(), ["bearing", MACHINE]);
        assert_eq!(laws[MACHINE].failures, 6);
        assert!(super::laws(histories[..1].iter()).is_empty(), "one failure is no law");
    }
}
