//! The figures of a shift, and how they came to be what they are: late data, a stop reason entered later, or a changed plan restate them.
//!
//! Stands behind the key figures; the collector stores it. Invariants: a restatement is written only if a figure changed; it holds what it was
//! before, so that every figure that was ever shown can be found again; the history is bounded, and says how much it forgot.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{cause::Flag, figures::Oee};
use crate::utc::{Period, Utc};

/// Restatements that are kept.
const MAX_HISTORY: usize = 200;
/// A change below this is the dust of rounding.
const DUST: f64 = 1e-9;

/// Why a figure was reckoned again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Why {
    /// States or parts came after the figure was told; `period`: the time that they speak of.
    LateData {
        period: Period,
    },
    /// A person registered a stop reason, or took one away.
    StopReason {
        registration: String,
        by: String,
        at: Utc,
        reason: Option<String>,
        comment: String,
    },
    PlanChanged {
        by: String,
        at: Utc,
    },
    /// Product runs, changeovers or ideal cycles.
    ProductionChanged {
        by: String,
        at: Utc,
    },
    /// The catalogue of stop reasons, or the rules.
    SettingsChanged {
        by: String,
        at: Utc,
    },
}

/// One figure, before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FigureChange {
    /// `oee`, `times.setup_s`, `losses.breakdowns`
    pub figure: String,
    pub before: Option<f64>,
    pub after: Option<f64>,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Restatement {
    /// The revision that it made: the first statement is 1.
    pub revision: u32,
    pub at: Utc,
    pub why: Vec<Why>,
    /// Hundredths of OEE, if it had one before and after.
    pub oee_points: Option<f64>,
    pub changes: Vec<FigureChange>,
    pub flags_added: Vec<Flag>,
    pub flags_removed: Vec<Flag>,
}

/// The figures of one shift of one machine, with their history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShiftRecord {
    pub period: Period,
    pub revision: u32,
    /// When the figures were first told, and when last.
    pub first_stated_at: Utc,
    pub stated_at: Utc,
    pub oee: Oee,
    /// The newest last.
    pub history: Vec<Restatement>,
    /// Restatements that are not kept any more.
    pub forgotten: u32,
}

impl ShiftRecord {
    pub fn first(period: Period, at: Utc, oee: Oee) -> Self {
        Self { period, revision: 1, first_stated_at: at, stated_at: at, oee, history: Vec::new(), forgotten: 0 }
    }

    /// Takes over `oee`, reckoned again at `at`. `None`: nothing changed, and nothing was written.
    pub fn restate(&mut self, at: Utc, why: Vec<Why>, oee: Oee) -> Option<&Restatement> {
        let changes = changes(&self.oee, &oee);
        let flags = |of: &Oee, without: &Oee| of.flags.iter().filter(|f| !without.flags.contains(f)).copied().collect::<Vec<_>>();
        let (flags_added, flags_removed) = (flags(&oee, &self.oee), flags(&self.oee, &oee));
        if changes.is_empty() && flags_added.is_empty() && flags_removed.is_empty() {
            return None;
        }
        self.revision = self.revision.saturating_add(1);
        let oee_points = self.oee.oee.zip(oee.oee).map(|(before, after)| (after - before) * 100.0);
        self.history.push(Restatement { revision: self.revision, at, why, oee_points, changes, flags_added, flags_removed });
        if self.history.len() > MAX_HISTORY {
            self.history.remove(0);
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.stated_at = at;
        self.oee = oee;
        self.history.last()
    }
}

fn changes(before: &Oee, after: &Oee) -> Vec<FigureChange> {
    let pairs = figures(before).into_iter().zip(figures(after));
    let changed = pairs.filter(|((_, a), (_, b))| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() > DUST * a.abs().max(1.0),
        (a, b) => a.is_some() != b.is_some(),
    });
    changed.map(|((figure, before), (_, after))| FigureChange { figure: figure.to_owned(), before, after }).collect()
}

fn figures(oee: &Oee) -> Vec<(&'static str, Option<f64>)> {
    let (t, c, l) = (&oee.times, &oee.counts, &oee.losses);
    vec![
        ("oee", oee.oee),
        ("availability", oee.availability),
        ("performance", oee.performance),
        ("quality", oee.quality),
        ("ooe", oee.ooe),
        ("teep", oee.teep),
        ("nee", oee.nee),
        ("coverage", oee.coverage),
        ("first_pass_yield", oee.first_pass_yield),
        ("throughput_rate_per_h", oee.throughput_rate_per_h),
        ("ideal_cycle_time_s", oee.ideal_cycle_time_s),
        ("times.all_s", Some(t.all_s)),
        ("times.planned_operation_s", Some(t.planned_operation_s)),
        ("times.planned_stop_s", Some(t.planned_stop_s)),
        ("times.no_data_s", Some(t.no_data_s)),
        ("times.planned_busy_s", Some(t.planned_busy_s)),
        ("times.production_s", Some(t.production_s)),
        ("times.unplanned_stop_s", Some(t.unplanned_stop_s)),
        ("times.setup_s", Some(t.setup_s)),
        ("times.minor_stop_s", Some(t.minor_stop_s)),
        ("times.idle_s", Some(t.idle_s)),
        ("times.offline_s", Some(t.offline_s)),
        ("times.order_execution_s", Some(t.order_execution_s)),
        ("counts.produced", Some(c.produced as f64)),
        ("counts.good", Some(c.good as f64)),
        ("counts.rejected", Some(c.rejected as f64)),
        ("counts.reworked", Some(c.reworked as f64)),
        ("counts.startup_rejected", Some(c.startup_rejected as f64)),
        ("counts.outside_plan", Some(c.outside_plan as f64)),
        ("losses.breakdowns", Some(l.breakdowns)),
        ("losses.setup_and_adjustments", Some(l.setup_and_adjustments)),
        ("losses.minor_stops", Some(l.minor_stops)),
        ("losses.reduced_speed", l.reduced_speed),
        ("losses.process_defects", l.process_defects),
        ("losses.startup_rejects", l.startup_rejects),
    ]
}
