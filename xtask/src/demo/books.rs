//! The books of a run: what the plant made by its own account against what the collector holds. Pure.
//!
//! Invariant checked: readings made = readings in stored summaries + counted losses, for each machine, and nothing stored twice.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

/// One machine by the plant's own account (`summary` lines of the truth file).
#[derive(Debug, Clone, Deserialize)]
pub struct Truth {
    pub asset: String,
    pub from: String,
    pub to: String,
    pub planned_busy_s: f64,
    pub produced: u64,
    pub rejected: u64,
    pub ideal_cycle_time_s: f64,
    /// `None` if nothing was planned or made.
    pub oee: Option<f64>,
    pub readings: u64,
}

/// One machine by the collector's account.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Sum of the counts of all stored summaries.
    pub readings: u64,
    /// Sum of the counts of all losses of readings.
    pub lost: u64,
    /// Readings in rows that are there more than once.
    pub duplicates: u64,
    pub produced: u64,
    pub rejected: u64,
    pub oee: Option<f64>,
    /// Parts as the OEE answer counts them.
    pub oee_produced: u64,
    pub oee_rejected: u64,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub readings: Readings,
    pub parts: Parts,
    /// Largest |OEE stored - OEE true| of a machine; `None` if no machine had one.
    pub oee_error_max: Option<f64>,
    pub gateways: usize,
    pub machines: usize,
    /// What does not balance, for people. Empty: all is well.
    pub faults: Vec<String>,
    #[serde(skip)]
    pub lines: Vec<Line>,
}

#[derive(Debug, Default, Serialize)]
pub struct Readings {
    pub made: u64,
    pub stored: u64,
    pub lost: u64,
    pub duplicates: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Parts {
    pub made: u64,
    pub counted: u64,
}

/// One row of the printed table.
#[derive(Debug)]
pub struct Line {
    asset: String,
    made: u64,
    stored: u64,
    lost: u64,
    parts_made: u64,
    parts_counted: u64,
    oee_true: Option<f64>,
    oee: Option<f64>,
}

/// Compares `truth` with `stored` (by asset). `unattributed` is the count of losses that name no machine.
pub fn balance(truth: &[Truth], stored: &BTreeMap<String, Stored>, unattributed: u64, gateways: usize) -> Report {
    let mut report = Report {
        readings: Readings { lost: unattributed, ..Readings::default() },
        parts: Parts::default(),
        oee_error_max: None,
        gateways,
        machines: truth.len(),
        faults: Vec::new(),
        lines: Vec::new(),
    };
    let nothing = Stored::default();
    for machine in truth {
        let held = stored.get(&machine.asset).unwrap_or(&nothing);
        let accounted = held.readings + held.lost;
        let excess = accounted.saturating_sub(machine.readings).max(held.duplicates);
        report.readings.made += machine.readings;
        report.readings.stored += held.readings;
        report.readings.lost += held.lost;
        report.readings.duplicates += excess;
        report.parts.made += machine.produced;
        report.parts.counted += held.oee_produced;
        let name = &machine.asset;
        if accounted < machine.readings {
            report.faults.push(format!("{name}: {} readings are missing and not counted as lost", machine.readings - accounted));
        }
        if excess > 0 {
            report.faults.push(format!("{name}: {excess} readings more than were made"));
        }
        for (what, made, counted) in [
            ("parts", machine.produced, held.produced),
            ("rejected parts", machine.rejected, held.rejected),
            ("parts in OEE", machine.produced, held.oee_produced),
            ("rejected parts in OEE", machine.rejected, held.oee_rejected),
        ] {
            if made != counted {
                report.faults.push(format!("{name}: {made} {what} made, {counted} counted"));
            }
        }
        // One cycle more or less moves OEE by this much.
        let one_cycle = machine.ideal_cycle_time_s / machine.planned_busy_s.max(f64::MIN_POSITIVE);
        match (machine.oee, held.oee) {
            (Some(t), Some(h)) => {
                let error = (t - h).abs();
                report.oee_error_max = Some(report.oee_error_max.map_or(error, |max: f64| max.max(error)));
                if error.is_nan() || error > one_cycle {
                    report.faults.push(format!("{name}: OEE {h:.4}, true {t:.4}: off by more than one cycle ({one_cycle:.4})"));
                }
            }
            (None, None) => {}
            (t, h) => report.faults.push(format!("{name}: OEE {h:?}, true {t:?}")),
        }
        report.lines.push(Line {
            asset: name.clone(),
            made: machine.readings,
            stored: held.readings,
            lost: held.lost,
            parts_made: machine.produced,
            parts_counted: held.oee_produced,
            oee_true: machine.oee,
            oee: held.oee,
        });
    }
    for asset in stored.keys().filter(|asset| !truth.iter().any(|t| &t.asset == *asset)) {
        report.faults.push(format!("{asset}: stored, but no such machine is in the plant"));
    }
    report
}

impl Report {
    /// Nothing uncounted, nothing twice, parts and OEE as made.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// The comparison as a table for people.
    pub fn table(&self) -> String {
        let width = self.lines.iter().map(|l| l.asset.len()).max().unwrap_or(0).max(8);
        let ratio = |r: Option<f64>| r.map_or_else(|| "-".into(), |r| format!("{:.2} %", r * 100.0));
        let mut text = format!(
            "{:<width$}  {:>9} {:>9} {:>6}   {:>6} {:>7}   {:>8} {:>8}\n",
            "machine", "readings", "stored", "lost", "parts", "counted", "OEE true", "OEE"
        );
        for l in &self.lines {
            let _ = writeln!(
                text,
                "{:<width$}  {:>9} {:>9} {:>6}   {:>6} {:>7}   {:>8} {:>8}",
                l.asset,
                l.made,
                l.stored,
                l.lost,
                l.parts_made,
                l.parts_counted,
                ratio(l.oee_true),
                ratio(l.oee)
            );
        }
        let r = &self.readings;
        let _ = writeln!(
            text,
            "{:<width$}  {:>9} {:>9} {:>6}   {:>6} {:>7}   duplicates {}",
            "total", r.made, r.stored, r.lost, self.parts.made, self.parts.counted, r.duplicates
        );
        for fault in &self.faults {
            let _ = writeln!(text, "FAULT  {fault}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        Truth {
            asset: "s/a/l/m".into(),
            from: "2026-01-01T00:00:00Z".into(),
            to: "2026-01-01T00:01:00Z".into(),
            planned_busy_s: 60.0,
            produced: 20,
            rejected: 2,
            ideal_cycle_time_s: 2.0,
            oee: Some(0.6),
            readings: 180,
        }
    }

    fn stored() -> Stored {
        Stored { readings: 180, lost: 0, duplicates: 0, produced: 20, rejected: 2, oee: Some(0.61), oee_produced: 20, oee_rejected: 2 }
    }

    fn balanced(stored: Stored) -> Report {
        balance(&[truth()], &BTreeMap::from([("s/a/l/m".to_owned(), stored)]), 0, 1)
    }

    #[test]
    fn equal_accounts_are_clean() {
        let report = balanced(stored());
        assert!(report.is_clean(), "{:?}", report.faults);
        assert_eq!((report.readings.made, report.readings.stored, report.parts.counted), (180, 180, 20));
    }

    #[test]
    fn a_counted_loss_balances_and_an_uncounted_one_does_not() {
        assert!(balanced(Stored { readings: 170, lost: 10, ..stored() }).is_clean());
        assert!(!balanced(Stored { readings: 170, lost: 9, ..stored() }).is_clean());
    }

    #[test]
    fn one_reading_too_many_is_a_duplicate() {
        let report = balanced(Stored { readings: 181, ..stored() });
        assert_eq!(report.readings.duplicates, 1);
        assert!(!report.is_clean());
    }

    #[test]
    fn parts_and_oee_must_agree() {
        assert!(!balanced(Stored { produced: 19, ..stored() }).is_clean());
        assert!(!balanced(Stored { oee_rejected: 3, ..stored() }).is_clean());
        assert!(!balanced(Stored { oee: Some(0.64), ..stored() }).is_clean(), "one cycle is 2 s of 60 s: .0333");
        assert!(!balanced(Stored { oee: None, ..stored() }).is_clean());
    }

    #[test]
    fn an_unknown_machine_is_a_fault() {
        let held = BTreeMap::from([("s/a/l/m".to_owned(), stored()), ("s/a/l/ghost".to_owned(), stored())]);
        assert!(!balance(&[truth()], &held, 0, 1).is_clean());
    }
}
