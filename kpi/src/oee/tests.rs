//! Worked examples of the literature, the order of precedence, and the properties that hold for any plant.

mod cases;
mod causes;
mod changes;
mod plant;
mod properties;
mod requests;

use std::sync::Arc;

use protocol::{MachineState, TimeRange, Timestamp};
use serde_json::json;

use super::{
    request::{EventLogRequest, ExplicitRequest},
    *,
};

const SECOND: i64 = 1_000_000;

fn explicit(body: serde_json::Value) -> Oee {
    serde_json::from_value::<ExplicitRequest>(body).unwrap().calculate(&Rules::default()).unwrap()
}

#[track_caller]
fn close(found: Option<f64>, wanted: f64) {
    let found = found.expect("a number");
    assert!((found - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}");
}

/// As published: rounded to so many decimals.
#[track_caller]
fn rounds_to(found: Option<f64>, wanted: f64, decimals: i32) {
    let found = found.expect("a number");
    let unit = 10_f64.powi(-decimals);
    assert!((found - wanted).abs() <= unit * 0.5 + 1e-12, "{found} does not round to {wanted}");
}

fn six(oee: &Oee) -> f64 {
    oee.losses.all().into_iter().flatten().sum()
}

/// Seconds.
fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: Timestamp(from * SECOND), to: Timestamp(to * SECOND) }
}

fn point(at: i64, state: MachineState) -> StatePoint {
    StatePoint::new(Timestamp(at * SECOND), state)
}

fn count(from: i64, to: i64, produced: u64, rejected: u64) -> PartInterval {
    let range = range(from, to);
    PartInterval { from: range.from, to: range.to, parts: PartTally { produced, rejected, ..PartTally::default() } }
}

fn reason(code: &str, category: LossCategory, parent: Option<&str>) -> StopReason {
    StopReason {
        code: code.into(),
        name: format!("reason {code}"),
        category: Some(category),
        parent: parent.map(Into::into),
        retired: false,
    }
}

fn catalogue() -> Arc<Catalogue> {
    use LossCategory::{Breakdowns, MinorStops, PlannedStop, ProcessDefects, SetupAndAdjustments};
    let reasons = vec![
        reason("M", Breakdowns, None),
        reason("M1", Breakdowns, Some("M")),
        reason("S", SetupAndAdjustments, None),
        reason("J", MinorStops, None),
        reason("P", PlannedStop, None),
        reason("Q", ProcessDefects, None),
    ];
    Arc::new(Catalogue::new(reasons).unwrap())
}

fn assignment(id: &str, from: i64, to: i64, code: Option<&str>, at: i64) -> ReasonAssignment {
    ReasonAssignment {
        id: id.into(),
        range: range(from, to),
        reason: code.map(Into::into),
        by: "Ada".into(),
        at: Timestamp(at * SECOND),
        comment: "seen".into(),
    }
}

fn prepared(record: MachineRecord, rules: Rules) -> Prepared {
    Prepared::new(record, catalogue(), rules)
}

/// No rule by length.
fn plain() -> Rules {
    Rules { minor_stop_below_s: 0.0, ..Rules::default() }
}
