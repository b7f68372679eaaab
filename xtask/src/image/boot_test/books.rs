//! The books of a gateway whose power was cut: made = stored + lost, nothing twice, and what is lost lies around a cut. Pure.
//!
//! Joins the cuts with the starts after them to outages, and lets the books of `cargo xtask chaos` judge them as kills of the gateway; on top of
//! that, no range of loss may begin longer before its cut than the durability interval.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    chaos::{
        books::{LossRow, Played, Seen, Verdict, check},
        fault::{Kind, Target},
        schedule::Planned,
    },
    demo::books::{Stored, Truth},
};

/// A commit takes time, and in emulation several times as long; the guest's clock is set by a real-time clock of whole seconds at each start.
const SLACK_S: f64 = 3.0;

/// From a cut to the next time that the gateway was healthy. Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outage {
    pub cut: f64,
    pub healthy: f64,
}

/// What a run came to.
pub struct Account<'a> {
    pub truth: &'a [Truth],
    pub stored: &'a BTreeMap<String, Stored>,
    pub losses: &'a [LossRow],
    pub outages: &'a [Outage],
    pub gateway_of: &'a BTreeMap<String, usize>,
    pub durability_interval_s: f64,
    /// When the machines were told to end (Unix seconds), and how long they ran.
    pub plant_ended: f64,
    pub length: Duration,
}

/// Each cut with the first start after it that became healthy, or with `end`.
pub fn outages(cuts: &[f64], healthy: &[f64], end: f64) -> Vec<Outage> {
    let back = |cut: f64| healthy.iter().copied().filter(|at| *at > cut).fold(end, f64::min);
    cuts.iter().map(|cut| Outage { cut: *cut, healthy: back(*cut) }).collect()
}

/// The verdict of the books; its violations hold everything that must not be.
pub fn judge(account: &Account<'_>) -> Verdict {
    let played: Vec<Played> = account.outages.iter().map(|outage| played(outage, account)).collect();
    let mut verdict = check(&Seen {
        truth: account.truth,
        stored: account.stored,
        losses: account.losses,
        played: &played,
        gateway_of: account.gateway_of,
        plant_ended: account.plant_ended,
        length: account.length,
    });
    verdict.violations.extend(account.losses.iter().filter_map(|loss| too_wide(loss, account)));
    // By the guest's clock a commit can be a moment later than the cut.
    let holds = |l: &LossRow, cut: f64| l.reason == "power_cut" && l.from <= cut + SLACK_S && l.to >= cut;
    let marked = |outage: &Outage| account.losses.iter().any(|loss| holds(loss, outage.cut));
    // A cut that hit a boot before the gateway ran lies in the range of the one before it.
    for outage in account.outages.iter().filter(|outage| !marked(outage)) {
        let into = outage.cut + account.length.as_secs_f64() - account.plant_ended;
        verdict.violations.push(format!("the cut at {into:.1} s of the run lies in no range that the gateway reports as a power cut"));
    }
    verdict
}

/// The losses for people, in seconds since `start`; those of the signals of one message in one line.
pub fn told(losses: &[LossRow], start: f64) -> Vec<String> {
    let mut lines: Vec<(String, u64)> = Vec::new();
    for loss in losses {
        let asset = loss.asset.as_deref().unwrap_or("the gateway as a whole");
        let line = format!("{}, {asset}, {:.1} s to {:.1} s of the run", loss.reason, loss.from - start, loss.to - start);
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += loss.count,
            None => lines.push((line, loss.count)),
        }
    }
    let count = |count: u64| if count == 0 { "an unknown number".to_owned() } else { format!("{count} readings") };
    lines.into_iter().map(|(line, sum)| format!("{}: {line}", count(sum))).collect()
}

fn played(outage: &Outage, account: &Account<'_>) -> Played {
    let start = account.plant_ended - account.length.as_secs_f64();
    let at = Duration::from_secs_f64((outage.cut - start).max(0.0));
    let lasts = Duration::from_secs_f64((outage.healthy - outage.cut).max(0.0));
    let planned = Planned { kind: Kind::GatewayKill, target: Target::Gateway(0), at, lasts, dice: 0 };
    Played { planned, began: outage.cut, ended: outage.healthy, skipped: None, backlog: 0 }
}

/// Why a loss begins too early for every cut.
fn too_wide(loss: &LossRow, account: &Account<'_>) -> Option<String> {
    let allowed = account.durability_interval_s + SLACK_S;
    // The cut that it belongs to: the first one that it does not end before.
    let cut = account.outages.iter().filter(|outage| loss.from <= outage.healthy && loss.to + SLACK_S >= outage.cut).map(|o| o.cut);
    let earliest = cut.fold(f64::INFINITY, f64::min);
    (earliest.is_finite() && loss.from < earliest - allowed).then(|| {
        format!(
            "a loss ({}, {}) begins {:.1} s before its cut: more than the durability interval of {} s",
            loss.reason,
            loss.asset.as_deref().unwrap_or("the gateway as a whole"),
            earliest - loss.from,
            account.durability_interval_s
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: f64 = 1_790_000_600.0;
    const CUT: f64 = 1_790_000_100.0;

    fn verdict(stored: u64, losses: &[LossRow]) -> Verdict {
        let truth = Truth {
            asset: "s/a/l/m".into(),
            from: String::new(),
            to: String::new(),
            planned_busy_s: 600.0,
            produced: 20,
            rejected: 2,
            ideal_cycle_time_s: 2.0,
            oee: None,
            readings: 1_800,
        };
        let lost = losses.iter().map(|l| l.count).sum();
        let held = Stored { readings: stored, lost, produced: 20, rejected: 2, ..Stored::default() };
        judge(&Account {
            truth: &[truth],
            stored: &BTreeMap::from([("s/a/l/m".to_owned(), held)]),
            losses,
            outages: &outages(&[CUT, CUT + 20.0], &[CUT - 50.0, CUT + 80.0], END),
            gateway_of: &BTreeMap::from([("s/a/l/m".to_owned(), 0)]),
            durability_interval_s: 5.0,
            plant_ended: END,
            length: Duration::from_secs(600),
        })
    }

    fn loss(reason: &str, count: u64, from: f64, to: f64) -> LossRow {
        LossRow { gateway: 0, asset: Some("s/a/l/m".into()), reason: reason.into(), count, from: CUT + from, to: CUT + to }
    }

    #[test]
    fn a_cut_during_boot_belongs_to_the_same_return_as_the_one_before() {
        let joined = outages(&[10.0, 20.0, 60.0], &[5.0, 40.0], 90.0);
        let healthy: Vec<f64> = joined.iter().map(|o| o.healthy).collect();
        assert_eq!(healthy, [40.0, 40.0, 90.0]);
    }

    #[test]
    fn what_is_lost_around_the_cut_and_counted_is_clean() {
        let verdict = verdict(1_788, &[loss("power_cut", 0, -4.0, 79.0), loss("sequence_gap", 12, -4.0, 2.0)]);
        assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
        assert_eq!((verdict.made, verdict.stored, verdict.lost), (1_800, 1_788, 12));
    }

    #[test]
    fn a_loss_that_begins_long_before_its_cut_is_told() {
        let verdict = verdict(1_788, &[loss("power_cut", 0, -4.0, 79.0), loss("sequence_gap", 12, -9.5, 2.0)]);
        assert_eq!(verdict.violations.len(), 1, "{:?}", verdict.violations);
        assert!(verdict.violations[0].contains("9.5 s before its cut"));
    }

    #[test]
    fn a_cut_that_the_gateway_does_not_report_is_told() {
        assert_eq!(verdict(1_800, &[]).violations.iter().filter(|v| v.contains("reports as a power cut")).count(), 2);
    }

    #[test]
    fn a_range_that_begins_a_moment_after_the_cut_by_the_guests_clock_is_its_range() {
        assert!(verdict(1_800, &[loss("power_cut", 0, 0.04, 79.0)]).violations.is_empty());
        assert_eq!(verdict(1_800, &[loss("power_cut", 0, 30.0, 79.0)]).violations.len(), 2, "neither cut lies in it");
    }

    #[test]
    fn losses_of_one_message_are_told_in_one_line() {
        let losses = [loss("sequence_gap", 2, 1.0, 2.0), loss("sequence_gap", 2, 1.0, 2.0), loss("power_cut", 0, 1.0, 2.0)];
        let lines = told(&losses, CUT);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "4 readings: sequence_gap, s/a/l/m, 1.0 s to 2.0 s of the run");
        assert!(lines[1].starts_with("an unknown number: power_cut"));
    }

    #[test]
    fn missing_and_doubled_readings_are_told() {
        let range = || loss("power_cut", 0, -4.0, 79.0);
        assert_eq!(verdict(1_801, &[range()]).twice, 1);
        assert!(!verdict(900, &[range()]).violations.is_empty(), "more than a range has room for");
    }
}
