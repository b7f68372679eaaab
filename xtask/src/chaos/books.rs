//! The check of a chaos run: what was made is stored or lost, nothing is there twice, and only what a fault explains is lost. Pure.
//!
//! A loss may be of unknown count: then it has a range, and what is missing of a machine has to fit into the ranges of the machine or of its
//! gateway at the rate at which the machine makes readings.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{fault::Target, schedule::Planned};
use crate::demo::books::{Stored, Truth};

/// A range may begin this much before its fault: what was not durable then, and the window that it was in.
const BEFORE_S: f64 = 14.0;
/// And end this much after it: until the next reading shows a gap, or a device that was not asked answers again.
const AFTER_S: f64 = 16.0;
/// Readings for each second of a range, as a multiple of the usual: changes of state are sent beside the regular ones.
const BURST: f64 = 2.0;

/// One row of the losses.
#[derive(Clone, Debug)]
pub struct LossRow {
    pub gateway: usize,
    /// `None`: it is of the gateway as a whole.
    pub asset: Option<String>,
    pub reason: String,
    /// 0: it is not known how many.
    pub count: u64,
    /// Unix seconds.
    pub from: f64,
    pub to: f64,
}

/// A fault as it was put in, or why it was not.
#[derive(Clone, Debug)]
pub struct Played {
    pub planned: Planned,
    /// Unix seconds.
    pub began: f64,
    pub ended: f64,
    pub skipped: Option<String>,
    /// The most entries that gateways held back while it lasted.
    pub backlog: u64,
}

/// Everything that was seen.
pub struct Seen<'a> {
    pub truth: &'a [Truth],
    pub stored: &'a BTreeMap<String, Stored>,
    pub losses: &'a [LossRow],
    pub played: &'a [Played],
    /// Number of the gateway of each machine.
    pub gateway_of: &'a BTreeMap<String, usize>,
    /// When the machines were told to end (Unix seconds): devices that answer no more are lost from then on.
    pub plant_ended: f64,
    /// How long the run was.
    pub length: Duration,
}

/// What one fault did to the books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    pub lost: u64,
    /// Losses of unknown count.
    pub ranges: u64,
    /// Counts by reason.
    pub reasons: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    pub made: u64,
    pub stored: u64,
    pub lost: u64,
    pub ranges: u64,
    pub twice: u64,
    /// Neither stored nor counted, but within ranges of unknown count.
    pub in_ranges: u64,
    /// One for each fault that was played, in order.
    pub costs: Vec<Cost>,
    /// What must not be. Empty: all is well.
    pub violations: Vec<String>,
}

pub fn check(seen: &Seen<'_>) -> Verdict {
    let mut verdict = Verdict { costs: vec![Cost::default(); seen.played.len()], ..Verdict::default() };
    for loss in seen.losses {
        verdict.lost += loss.count;
        match culprit(seen, loss) {
            Some(fault) => {
                verdict.ranges += u64::from(loss.count == 0);
                let cost = &mut verdict.costs[fault];
                cost.lost += loss.count;
                cost.ranges += u64::from(loss.count == 0);
                *cost.reasons.entry(loss.reason.clone()).or_default() += loss.count;
            }
            None if is_of_the_end(seen, loss) => {}
            None => verdict.violations.push(format!(
                "no fault explains a loss of gateway {}: {} readings of {}, reason {}, {:.1} s to {:.1} s of the run",
                loss.gateway + 1,
                if loss.count == 0 { "an unknown number of".to_owned() } else { loss.count.to_string() },
                loss.asset.as_deref().unwrap_or("the gateway as a whole"),
                loss.reason,
                loss.from - start(seen),
                loss.to - start(seen),
            )),
        }
    }
    // Counted losses that name no machine: any machine of the gateway may have them.
    let mut pool: BTreeMap<usize, u64> = BTreeMap::new();
    for loss in seen.losses.iter().filter(|loss| loss.asset.is_none()) {
        *pool.entry(loss.gateway).or_default() += loss.count;
    }
    let nothing = Stored::default();
    for machine in seen.truth {
        let held = seen.stored.get(&machine.asset).unwrap_or(&nothing);
        readings(seen, machine, held, &mut pool, &mut verdict);
        parts(seen, machine, held, &mut verdict);
    }
    for asset in seen.stored.keys().filter(|asset| !seen.truth.iter().any(|t| t.asset == **asset)) {
        verdict.violations.push(format!("{asset}: stored, but no such machine is in the plant"));
    }
    verdict
}

fn readings(seen: &Seen<'_>, machine: &Truth, held: &Stored, pool: &mut BTreeMap<usize, u64>, verdict: &mut Verdict) {
    let Truth { asset, readings: made, .. } = machine;
    let accounted = held.readings + held.lost;
    verdict.made += made;
    verdict.stored += held.readings;
    if held.duplicates > 0 {
        verdict.twice += held.duplicates;
        verdict.violations.push(format!("{asset}: {} readings are stored twice", held.duplicates));
    }
    if accounted > *made {
        verdict.twice += accounted - made;
        verdict.violations.push(format!("{asset}: {} readings more are stored or counted as lost than were made", accounted - made));
    }
    let mut missing = made.saturating_sub(accounted);
    let gateway = seen.gateway_of.get(asset).copied();
    if let Some(left) = gateway.and_then(|g| pool.get_mut(&g)) {
        let taken = missing.min(*left);
        (missing, *left) = (missing - taken, *left - taken);
    }
    if missing == 0 {
        return;
    }
    let ranges: Vec<(f64, f64)> = seen
        .losses
        .iter()
        .filter(|loss| loss.count == 0 && Some(loss.gateway) == gateway && loss.asset.as_ref().is_none_or(|a| a == asset))
        // A range that no fault explains excuses nothing.
        .filter(|loss| culprit(seen, loss).is_some())
        // A second more on either side: ranges end where a window does, or a reading came.
        .map(|loss| (loss.from - 1.0, loss.to + 1.0))
        .collect();
    let per_second = *made as f64 / seen.length.as_secs_f64().max(1.0);
    let room = union_length(ranges.clone()) * per_second * BURST;
    if ranges.is_empty() || missing as f64 > room {
        verdict.violations.push(format!(
            "{asset}: {missing} readings are missing and not counted as lost; {} ranges of unknown count have room for {room:.0}",
            ranges.len()
        ));
    } else {
        verdict.in_ranges += missing;
    }
}

fn parts(seen: &Seen<'_>, machine: &Truth, held: &Stored, verdict: &mut Verdict) {
    let mine: Vec<_> =
        seen.played.iter().filter(|p| p.skipped.is_none() && touches(p, seen.gateway_of.get(&machine.asset).copied())).collect();
    let may_miss = mine.iter().any(|p| p.planned.kind.may_lose_parts());
    for (what, made, counted) in [("parts", machine.produced, held.produced), ("rejected parts", machine.rejected, held.rejected)] {
        if counted > made || (counted < made && !may_miss) {
            verdict.violations.push(format!("{}: {made} {what} made, {counted} counted", machine.asset));
        }
    }
    // A clock that was off has put states and windows where they were not.
    if may_miss || mine.iter().any(|p| p.planned.kind.offset_s(p.began).is_some()) {
        return;
    }
    let unknown_s: f64 = mine.iter().filter(|p| p.planned.kind.may_lose_states()).map(|p| p.ended - p.began + 2.0).sum();
    // One cycle more or less, and what is unknown of the time.
    let tolerance = (machine.ideal_cycle_time_s + unknown_s) / machine.planned_busy_s.max(f64::MIN_POSITIVE);
    match (machine.oee, held.oee) {
        (Some(t), Some(h)) if (t - h).abs() <= tolerance => {}
        (None, None) => {}
        (t, h) => verdict.violations.push(format!("{}: OEE {h:?}, true {t:?}: off by more than {tolerance:.4}", machine.asset)),
    }
}

/// The fault that a loss comes from: the last one that began before it ended, and may lose for that reason there and then.
fn culprit(seen: &Seen<'_>, loss: &LossRow) -> Option<usize> {
    let explains = |played: &Played| {
        let kind = played.planned.kind;
        let by = |clock: f64, at: f64| at >= played.began + clock - BEFORE_S && at <= played.ended + clock + AFTER_S;
        // A clock that is off dates some losses by itself; one that spans the change has an end in either time.
        let clocks = [0.0, kind.offset_s(played.began).unwrap_or(0.0)];
        let dated = clocks.iter().any(|from| clocks.iter().any(|to| by(*from, loss.from) && by(*to, loss.to)));
        played.skipped.is_none() && touches(played, Some(loss.gateway)) && kind.may_lose().contains(&loss.reason.as_str()) && dated
    };
    seen.played.iter().rposition(explains)
}

/// When the machines end, the gateways still ask devices that answer no more. Nothing was made there, so nothing may be counted.
fn is_of_the_end(seen: &Seen<'_>, loss: &LossRow) -> bool {
    loss.reason == "device_error" && loss.count == 0 && loss.to >= seen.plant_ended - AFTER_S
}

/// It befalls the gateway of that number, or all of them.
fn touches(played: &Played, gateway: Option<usize>) -> bool {
    match played.planned.target {
        Target::Gateway(number) | Target::Link(number) => Some(number) == gateway,
        Target::Collector | Target::Machines => true,
    }
}

fn start(seen: &Seen<'_>) -> f64 {
    seen.plant_ended - seen.length.as_secs_f64()
}

/// Seconds that are in at least one of the ranges.
fn union_length(mut ranges: Vec<(f64, f64)>) -> f64 {
    ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut until) = (0.0, f64::NEG_INFINITY);
    for (from, to) in ranges {
        sum += (to - from.max(until)).max(0.0);
        until = until.max(to);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::fault::Kind;

    const BEGAN: f64 = 1_790_000_060.0;

    struct Case {
        truth: Truth,
        stored: Stored,
        losses: Vec<LossRow>,
        played: Vec<Played>,
    }

    impl Case {
        /// A machine that made 180 readings in 60 s, and a kill of its gateway of 3 s.
        fn of(kind: Kind, target: Target) -> Self {
            let truth = Truth {
                asset: "s/a/l/m".into(),
                from: String::new(),
                to: String::new(),
                planned_busy_s: 60.0,
                produced: 20,
                rejected: 2,
                ideal_cycle_time_s: 2.0,
                oee: Some(0.6),
                readings: 180,
            };
            let stored = Stored {
                readings: 180,
                produced: 20,
                rejected: 2,
                oee: Some(0.61),
                oee_produced: 20,
                oee_rejected: 2,
                ..Stored::default()
            };
            let planned = Planned { kind, target, at: Duration::from_secs(20), lasts: Duration::from_secs(3), dice: 0 };
            Self {
                truth,
                stored,
                losses: Vec::new(),
                played: vec![Played { planned, began: BEGAN, ended: BEGAN + 3.0, skipped: None, backlog: 0 }],
            }
        }

        fn lost(mut self, reason: &str, count: u64, from: f64, to: f64) -> Self {
            self.losses.push(LossRow {
                gateway: 0,
                asset: Some("s/a/l/m".into()),
                reason: reason.into(),
                count,
                from: BEGAN + from,
                to: BEGAN + to,
            });
            self.stored.lost += count;
            self
        }

        fn stored(mut self, readings: u64) -> Self {
            self.stored.readings = readings;
            self
        }

        fn check(&self) -> Verdict {
            check(&Seen {
                truth: std::slice::from_ref(&self.truth),
                stored: &BTreeMap::from([("s/a/l/m".to_owned(), self.stored.clone())]),
                losses: &self.losses,
                played: &self.played,
                gateway_of: &BTreeMap::from([("s/a/l/m".to_owned(), 0)]),
                plant_ended: BEGAN + 40.0,
                length: Duration::from_secs(60),
            })
        }

        fn is_clean(&self) -> bool {
            self.check().violations.is_empty()
        }
    }

    fn killed() -> Case {
        Case::of(Kind::GatewayKill, Target::Gateway(0))
    }

    #[test]
    fn all_stored_is_clean_and_one_missing_is_not() {
        assert!(killed().is_clean());
        assert!(!killed().stored(179).is_clean());
        assert_eq!(killed().stored(181).check().twice, 1);
        assert!(!killed().stored(181).is_clean());
    }

    #[test]
    fn a_counted_loss_balances_and_is_booked_to_its_fault() {
        let verdict = killed().stored(171).lost("sequence_gap", 9, -1.0, 3.5).check();
        assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
        assert_eq!(verdict.costs, [Cost { lost: 9, ranges: 0, reasons: BTreeMap::from([("sequence_gap".into(), 9)]) }]);
    }

    #[test]
    fn a_loss_that_no_fault_explains_is_a_violation() {
        let why = |case: Case| case.check().violations.join("\n");
        assert!(why(killed().stored(171).lost("sequence_gap", 9, -40.0, -30.0)).contains("no fault explains"), "long before");
        assert!(why(killed().stored(171).lost("sequence_gap", 9, 21.0, 25.0)).contains("no fault explains"), "long after");
        assert!(why(killed().stored(171).lost("spool_full", 9, 0.0, 3.0)).contains("no fault explains"), "for another reason");
        assert!(why(killed().stored(171).lost("sequence_gap", 9, -13.0, 300.0)).contains("no fault explains"), "a range beyond all bounds");
        let mut other = killed().stored(171).lost("sequence_gap", 9, 0.0, 3.0);
        other.losses[0].gateway = 1;
        assert!(why(other).contains("no fault explains"), "of another gateway");
        let mut skipped = killed().stored(171).lost("sequence_gap", 9, 0.0, 3.0);
        skipped.played[0].skipped = Some("not root".into());
        assert!(why(skipped).contains("no fault explains"), "of a fault that was not put in");
        assert!(why(Case::of(Kind::LinkCut, Target::Link(0)).stored(171).lost("stream_gap", 9, 0.0, 3.0)).contains("no fault explains"));
    }

    #[test]
    fn what_is_missing_has_to_fit_into_ranges_of_unknown_count() {
        assert!(killed().stored(171).lost("power_cut", 0, -1.0, 3.0).is_clean());
        assert_eq!(killed().stored(171).lost("power_cut", 0, -1.0, 3.0).check().in_ranges, 9);
        assert!(!killed().stored(80).lost("power_cut", 0, -1.0, 3.0).is_clean(), "100 readings in 4 s at 3 a second");
        let mut other = killed().stored(171).lost("power_cut", 0, -1.0, 3.0);
        other.losses[0].asset = Some("s/a/l/other".into());
        assert!(!other.is_clean(), "the range is another machine's");
        other.losses[0].asset = None;
        assert!(other.is_clean(), "the gateway's range holds for its machines");
        let unexplained = killed().stored(171).lost("stream_gap", 0, -1.0, 3.0).check().violations.join("\n");
        assert!(unexplained.contains("no fault explains") && unexplained.contains("9 readings are missing"), "{unexplained}");
    }

    #[test]
    fn a_range_that_is_told_twice_has_room_once() {
        let told = |times| (0..times).fold(killed().stored(140), |case, _| case.lost("power_cut", 0, -1.0, 3.0));
        assert!(!told(1).is_clean());
        assert!(!told(2).is_clean());
        assert!((union_length(vec![(0.0, 4.0), (2.0, 5.0), (9.0, 10.0), (9.5, 9.6)]) - 6.0).abs() < 1e-9);
    }

    #[test]
    fn a_counted_loss_of_the_gateway_as_a_whole_covers_what_its_machines_miss_and_no_more() {
        let with = |count| {
            let mut case = killed().stored(171).lost("sequence_gap", count, 0.0, 3.0);
            case.losses[0].asset = None;
            case.stored.lost = 0;
            case
        };
        assert!(with(9).is_clean());
        assert!(!with(8).is_clean());
    }

    #[test]
    fn a_clock_that_was_off_may_date_its_losses_by_itself() {
        for kind in [Kind::ClockAhead, Kind::ClockBack, Kind::Clock1970] {
            let offset = kind.offset_s(BEGAN).unwrap();
            let case = |from, to| Case::of(kind, Target::Gateway(0)).stored(171).lost("sequence_gap", 9, from, to);
            assert!(case(0.0, 2.0).is_clean(), "{kind:?}");
            assert!(case(offset, offset + 2.0).is_clean(), "{kind:?}");
            assert!(case(offset.min(0.0), offset.max(0.0)).is_clean(), "{kind:?}");
            assert!(!case(offset - 100.0, offset - 50.0).is_clean(), "{kind:?}");
        }
    }

    #[test]
    fn parts_are_never_more_than_made_and_missing_only_where_a_backup_or_a_full_disk_took_them() {
        let counted = |mut case: Case, produced| {
            (case.stored.produced, case.stored.oee_produced) = (produced, produced);
            case.is_clean()
        };
        assert!(!counted(killed(), 19));
        assert!(!counted(killed(), 21));
        assert!(counted(Case::of(Kind::GatewayRestored, Target::Gateway(0)), 19));
        assert!(!counted(Case::of(Kind::GatewayRestored, Target::Gateway(0)), 21));
        assert!(!counted(Case::of(Kind::GatewayRestored, Target::Gateway(1)), 19), "another gateway was restored");
        assert!(counted(Case::of(Kind::CollectorRestored, Target::Collector), 19));
    }

    #[test]
    fn oee_may_be_off_by_the_time_that_is_unknown() {
        let off = |mut case: Case, oee| {
            case.stored.oee = oee;
            case.is_clean()
        };
        assert!(off(killed(), Some(0.7)), "3 s of a kill, 2 s of a cycle and 2 s of slack of 60 s");
        assert!(!off(killed(), Some(0.8)));
        assert!(!off(Case::of(Kind::LinkCut, Target::Link(0)), Some(0.7)));
        assert!(!off(killed(), None));
    }

    #[test]
    fn devices_that_end_with_the_plant_cost_nothing_but_may_be_told() {
        assert!(killed().lost("device_error", 0, 39.0, 45.0).is_clean());
        assert!(!killed().stored(179).lost("device_error", 1, 39.0, 45.0).is_clean());
    }
}
