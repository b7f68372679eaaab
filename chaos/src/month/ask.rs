//! What the collector answers: `kpi::oee` over the rows that are stored, read as `collector::api::history` reads them.
//!
//! After the lake. Invariant: nothing of the truth comes in here but what an operator would have entered: ideal cycles, product runs and shifts.

use std::sync::Arc;

use collector::twin::backlog::outside;
use kpi::{
    calendar::Calendar,
    oee::{Catalogue, LossCategory, MachineRecord, Oee, PartInterval, Prepared, ProductRun, Rules, StatePoint, StopReason, Tally},
};
use protocol::{AssetPath, PartCount, StateChange, TimeRange, Timestamp};

use super::{
    Span,
    drive::Drive,
    hours,
    machine::{Life, PLANNED_REASON, Spec},
    shifts,
};

/// How all questions are reckoned.
pub struct Reckoning {
    pub calendar: Calendar,
    pub catalogue: Arc<Catalogue>,
    pub rules: Rules,
}

impl Default for Reckoning {
    fn default() -> Self {
        let calendar = match shifts::spec().resolve() {
            Ok(calendar) => calendar,
            Err(errors) => panic!("the month's own calendar is not valid: {errors:?}"),
        };
        let reason = |code: &str, category| StopReason {
            code: code.into(),
            name: code.into(),
            category: Some(category),
            parent: None,
            retired: false,
        };
        let reasons = vec![reason(PLANNED_REASON, LossCategory::PlannedStop), reason("motor", LossCategory::Breakdowns)];
        let catalogue = Catalogue::new(reasons).unwrap_or_default();
        Self { calendar, catalogue: Arc::new(catalogue), rules: Rules::default() }
    }
}

/// One machine in one period, as it is known.
pub struct History {
    pub prepared: Prepared,
    pub known_until: Timestamp,
    pub holes: Vec<TimeRange>,
}

pub fn range(span: Span) -> TimeRange {
    TimeRange { from: Timestamp::from_micros(span.0), to: Timestamp::from_micros(span.1) }
}

impl History {
    /// As `History::read` of the collector does it.
    pub fn read(drive: &Drive, machine: usize, asked: Span, reckoning: &Reckoning) -> Self {
        let now = drive.wall();
        let asked = (asked.0, asked.1.min(now.as_micros()));
        let spec = &drive.scenario.machines[machine];
        let stored = &drive.stored[machine];
        let margin = (reckoning.rules.minor_stop_below_s * 1e6) as i64;
        let around = (asked.0 - margin, (asked.1 + margin).min(now.as_micros()));
        let counted = (asked.0, (asked.1 + hours(1)).min(now.as_micros()));
        let (runs, ideal_cycle_s) = products(spec, drive.life(machine));
        let Ok(asset) = AssetPath::new(drive.asset(machine)) else { panic!("{} is no path", drive.asset(machine)) };
        let holes = drive.twin.holes(&asset);
        let record = MachineRecord {
            states: states(&stored.states, around),
            parts: outside(&holes, parts(&stored.parts, counted)),
            holes: holes.clone(),
            runs,
            ideal_cycle_s,
            ..MachineRecord::default()
        };
        let record = record.with_plan(reckoning.calendar.plan(range(asked)));
        let prepared = Prepared::new(record, Arc::clone(&reckoning.catalogue), reckoning.rules);
        Self { prepared, known_until: drive.twin.known_until(&asset, now), holes }
    }

    pub fn tally(&self, part: Span) -> Tally {
        self.prepared.tally(range(part), self.known_until)
    }

    pub fn oee(&self, tally: &Tally) -> Oee {
        tally.oee(self.prepared.rules(), self.prepared.ideal_cycle_s())
    }
}

/// As `Lake::states`: those within, and the last one before.
fn states(stored: &[StateChange], around: Span) -> Vec<StatePoint> {
    let at = |state: &StateChange| state.event_time.as_micros();
    let before = stored.iter().filter(|state| at(state) < around.0).max_by_key(|state| at(state));
    let within = stored.iter().filter(|state| (around.0..around.1).contains(&at(state)));
    before.into_iter().chain(within).map(StatePoint::from).collect()
}

/// As `Lake::parts`.
fn parts(stored: &[PartCount], counted: Span) -> impl Iterator<Item = PartInterval> {
    let within = move |parts: &&PartCount| counted.0 < parts.to.as_micros() && parts.to.as_micros() <= counted.1;
    stored.iter().filter(within).map(PartInterval::from)
}

/// What the planning has entered: which product is made when, or one ideal cycle for all.
fn products(spec: &Spec, life: &Life) -> (Vec<ProductRun>, Option<f64>) {
    let [ideal_cycle_s] = spec.ideal_s else {
        let ends = life.products.iter().skip(1).map(|(at, _)| *at).chain([life.span.1]);
        let run = |((from, product), to): (&(i64, u8), i64)| ProductRun {
            range: range((*from, to)),
            product: format!("product {product}"),
            order: from.to_string(),
            ideal_cycle_s: Some(spec.ideal_s[usize::from(*product)]),
        };
        return (life.products.iter().zip(ends).map(run).collect(), None);
    };
    (Vec::new(), Some(*ideal_cycle_s))
}
