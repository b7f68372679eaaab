//! Maintenance KPIs of a machine from its [`History`] (ISO 22400-2 words).
//!
//! | KPI | formula |
//! |---|---|
//! | MTBF | operating time / failure events |
//! | MTTR | active repair time / repairs; *mean down time* holds the waiting too |
//! | MTTF | sum of all ages of a component (censored ones too) / its failures |
//! | inherent availability | MTBF / (MTBF + MTTR) |
//! | operational availability | (period - down time) / period |
//! | corrective maintenance ratio | CMT / (CMT + PMT) |
//!
//! Divided by events, or by events + 1 if so set. Several machines: add their histories with [`History::add`], never average the KPIs.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    FieldError,
    events::{ComponentAges, History, HistoryFlag},
    finite,
    mtbf::{Divisor, Mtbf, Termination, mtbf},
};

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MaintenanceKpis {
    /// Observation ended by time: with lower bound also without failures.
    pub mtbf: Mtbf,
    pub mttr_h: Option<f64>,
    pub mean_down_time_h: Option<f64>,
    /// By component, as it was installed and failed.
    pub mttf_h: BTreeMap<String, Mtbf>,
    pub inherent_availability: Option<f64>,
    pub operational_availability: Option<f64>,
    pub corrective_maintenance_ratio: Option<f64>,
    pub flags: Vec<HistoryFlag>,
}

/// `MTBF / (MTBF + MTTR)`. `None` if both are 0, or one is no time.
pub fn inherent_availability(mtbf_h: f64, mttr_h: f64) -> Option<f64> {
    (mtbf_h >= 0.0 && mttr_h >= 0.0 && mtbf_h + mttr_h > 0.0).then(|| mtbf_h / (mtbf_h + mttr_h)).and_then(finite)
}

/// # Errors
/// A confidence outside 0.5..=0.9999, or failures of a machine that did not operate at all.
pub fn maintenance_kpis(history: &History, confidence: f64, divisor: Divisor) -> Result<MaintenanceKpis, FieldError> {
    let of_machine = mtbf(history.operating_h, history.failure_events, confidence, Termination::Time, divisor)?;
    let mttr_h = if history.repairs > 0 { divisor.mean(history.repair_h, history.repairs) } else { None };
    let mean_down_time_h = if history.repairs > 0 { divisor.mean(history.down_of_repaired_h, history.repairs) } else { None };
    let mut mttf_h = BTreeMap::new();
    for (name, ages) in &history.components {
        let lived: f64 = ages.failures_h.iter().chain(&ages.censored_h).sum();
        if lived > 0.0 {
            mttf_h.insert(name.clone(), mtbf(lived, ages.failure_events, confidence, Termination::Time, divisor)?);
        }
    }
    let maintained = history.corrective_h + history.preventive_h;
    Ok(MaintenanceKpis {
        inherent_availability: of_machine.mtbf_h.zip(mttr_h).and_then(|(b, r)| inherent_availability(b, r)),
        operational_availability: finite((history.period_h - history.down_h) / history.period_h).map(|a| a.clamp(0.0, 1.0)),
        corrective_maintenance_ratio: (maintained > 0.0).then(|| history.corrective_h / maintained),
        mtbf: of_machine,
        mttr_h,
        mean_down_time_h,
        mttf_h,
        flags: history.flags.clone(),
    })
}

impl ComponentAges {
    /// Lives of another component of the same kind join in.
    pub fn add(&mut self, other: &Self) {
        self.failures_h.extend(&other.failures_h);
        self.censored_h.extend(&other.censored_h);
        self.failure_events += other.failure_events;
        self.preventive_replacements += other.preventive_replacements;
        self.age_now_h = self.age_now_h.max(other.age_now_h);
    }
}

impl History {
    /// Another machine's history joins in, for the KPIs of a line or a fleet. Cumulative failure times are of one machine alone and are
    /// dropped.
    pub fn add(&mut self, other: &Self) {
        self.period_h += other.period_h;
        self.operating_h += other.operating_h;
        self.down_h += other.down_h;
        self.failure_events += other.failure_events;
        self.repairs += other.repairs;
        self.repair_h += other.repair_h;
        self.down_of_repaired_h += other.down_of_repaired_h;
        self.corrective_h += other.corrective_h;
        self.preventive_h += other.preventive_h;
        self.machine.add(&other.machine);
        for (name, ages) in &other.components {
            match self.components.entry(name.clone()) {
                Entry::Occupied(mut mine) => mine.get_mut().add(ages),
                Entry::Vacant(free) => {
                    free.insert(ages.clone());
                }
            }
        }
        self.cumulative_failure_times_h.clear();
        self.flags.extend(&other.flags);
        self.flags.sort_unstable();
        self.flags.dedup();
    }
}
