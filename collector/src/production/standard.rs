//! The catalogue of stop reasons that comes with the product, for a plant that has not written its own.
//!
//! Codes are words, as machines send them. Invariant: it is a valid catalogue, and every stop reason that a simulated machine sends is in it.

use kpi::oee::{Catalogue, LossCategory, StopReason};

use LossCategory::{Breakdowns, MinorStops, PlannedStop, ReducedSpeed, SetupAndAdjustments};

/// Code, name, category, code of the reason above.
type Row = (&'static str, &'static str, Option<LossCategory>, Option<&'static str>);

const REASONS: &[Row] = &[
    ("breakdown", "Breakdown", Some(Breakdowns), None),
    ("mechanical", "Mechanical fault", None, Some("breakdown")),
    ("jam", "Jam", None, Some("mechanical")),
    ("tool_breakage", "Tool broken", None, Some("mechanical")),
    ("electrical", "Electrical fault", None, Some("breakdown")),
    ("drive_fault", "Drive fault", None, Some("electrical")),
    ("sensor_fault", "Sensor fault", None, Some("electrical")),
    ("control_fault", "Control fault", None, Some("electrical")),
    ("waiting", "Waiting", Some(Breakdowns), None),
    ("no_material", "No material", None, Some("waiting")),
    ("blocked_downstream", "Blocked downstream", None, Some("waiting")),
    ("no_operator", "No operator", None, Some("waiting")),
    ("no_order", "No order", None, Some("waiting")),
    ("quality_hold", "Waiting for quality's release", None, Some("waiting")),
    ("utilities", "No power, air or water", None, Some("waiting")),
    ("setup", "Set-up and adjustment", Some(SetupAndAdjustments), None),
    ("changeover", "Changeover", None, Some("setup")),
    ("tool_change", "Tool change", None, Some("setup")),
    ("adjustment", "Adjustment", None, Some("setup")),
    ("minor_stop", "Minor stop", Some(MinorStops), None),
    ("slow_running", "Slow running", Some(ReducedSpeed), None),
    ("planned", "Planned stop", Some(PlannedStop), None),
    ("planned_maintenance", "Planned maintenance", None, Some("planned")),
    ("break", "Break", None, Some("planned")),
    ("cleaning", "Cleaning", None, Some("planned")),
    ("meeting", "Meeting or training", None, Some("planned")),
    ("trial", "Trial", None, Some("planned")),
    ("not_scheduled", "Not scheduled", None, Some("planned")),
];

/// The catalogue of a plant that has stored none.
pub fn catalogue() -> Catalogue {
    let reasons = REASONS.iter().map(|(code, name, category, parent)| StopReason {
        code: (*code).into(),
        name: (*name).into(),
        category: *category,
        parent: parent.map(Into::into),
        retired: false,
    });
    // A test says that these make a catalogue.
    Catalogue::new(reasons.collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_every_reason_that_a_simulated_machine_sends_with_the_loss_that_it_is() {
        let catalogue = catalogue();
        assert_eq!(catalogue.reasons().len(), REASONS.len());
        for (code, category, path) in [
            ("jam", Breakdowns, vec!["breakdown", "mechanical", "jam"]),
            ("tool_breakage", Breakdowns, vec!["breakdown", "mechanical", "tool_breakage"]),
            ("drive_fault", Breakdowns, vec!["breakdown", "electrical", "drive_fault"]),
            ("no_material", Breakdowns, vec!["waiting", "no_material"]),
            ("blocked_downstream", Breakdowns, vec!["waiting", "blocked_downstream"]),
            ("tool_change", SetupAndAdjustments, vec!["setup", "tool_change"]),
            ("changeover", SetupAndAdjustments, vec!["setup", "changeover"]),
            ("break", PlannedStop, vec!["planned", "break"]),
            ("cleaning", PlannedStop, vec!["planned", "cleaning"]),
            ("not_scheduled", PlannedStop, vec!["planned", "not_scheduled"]),
        ] {
            assert_eq!((catalogue.category(code), catalogue.path(code)), (Some(category), path));
        }
    }
}
