//! What holds for any plant: one cause an instant, losses that fill planned time, sums that do not care how they are split or in which order
//! anything came, and a live answer that is the historical one.

use proptest::prelude::*;

use super::*;

const LENGTH: i64 = 1_000;

fn window() -> TimeRange {
    range(0, LENGTH)
}

fn seconds() -> impl Strategy<Value = i64> {
    -200_i64..1_200
}

fn states() -> impl Strategy<Value = Vec<StatePoint>> {
    let reason = prop::sample::select(vec![None, None, None, Some("M1"), Some("J"), Some("jam in the chute")]);
    let state = (seconds(), 0..MachineState::ALL.len(), reason);
    prop::collection::vec(state, 0..30).prop_map(|list| {
        let state =
            |(at, s, reason): (i64, usize, Option<&str>)| StatePoint { reason: reason.map(Arc::from), ..point(at, MachineState::ALL[s]) };
        list.into_iter().map(state).collect()
    })
}

fn ranges(max: usize) -> impl Strategy<Value = Vec<TimeRange>> {
    prop::collection::vec((seconds(), 0_i64..300), 0..max)
        .prop_map(|list| list.into_iter().map(|(from, length)| range(from, from + length)).collect())
}

fn parts() -> impl Strategy<Value = Vec<PartInterval>> {
    prop::collection::vec((seconds(), 0_i64..200, 0_u64..50, 0_u64..20, 0_u64..5), 0..20).prop_map(|list| {
        let interval = |(from, length, good, rejected, reworked): (i64, i64, u64, u64, u64)| {
            let mut interval = count(from, from + length, good + rejected + reworked, rejected);
            interval.parts.reworked = reworked;
            interval
        };
        list.into_iter().map(interval).collect()
    })
}

fn reasons() -> impl Strategy<Value = Vec<ReasonAssignment>> {
    let code = prop::sample::select(vec![None, Some("M"), Some("S"), Some("J"), Some("P"), Some("Q"), Some("nobody")]);
    prop::collection::vec((seconds(), 0_i64..300, code, 0_i64..2_000), 0..4).prop_map(|list| {
        let one = |(i, (from, length, code, at)): (usize, (i64, i64, Option<&str>, i64))| {
            assignment(&i.to_string(), from, from + length, code, at)
        };
        list.into_iter().enumerate().map(one).collect()
    })
}

fn plan() -> impl Strategy<Value = (Option<Vec<TimeRange>>, Vec<PlannedDowntime>)> {
    (prop::option::of(ranges(5)), ranges(3)).prop_map(|(operation, downtime)| {
        let kinds = [DowntimeKind::Maintenance, DowntimeKind::Break, DowntimeKind::Other].into_iter().cycle();
        let downtime = downtime.into_iter().zip(kinds).map(|(range, kind)| PlannedDowntime { range, kind, name: format!("{kind:?}") });
        (operation, downtime.collect())
    })
}

fn products() -> impl Strategy<Value = (Vec<ProductRun>, Vec<Changeover>)> {
    let cycle = prop::option::of(0.01_f64..5.0);
    (prop::collection::vec((seconds(), 0_i64..400, cycle), 0..4), ranges(3)).prop_map(|(runs, changes)| {
        let run = |(i, (from, length, ideal_cycle_s)): (usize, (i64, i64, Option<f64>))| ProductRun {
            range: range(from, from + length),
            product: format!("product {i}"),
            order: i.to_string(),
            ideal_cycle_s,
        };
        let change = |range| Changeover { range, from_product: "A".into(), to_product: "B".into() };
        (runs.into_iter().enumerate().map(run).collect(), changes.into_iter().map(change).collect())
    })
}

fn record() -> impl Strategy<Value = MachineRecord> {
    (states(), plan(), ranges(3), reasons(), products(), parts(), prop::option::of(0.01_f64..5.0)).prop_map(
        |(states, (operation, downtime), holes, reasons, (runs, changeovers), parts, ideal_cycle_s)| MachineRecord {
            operation,
            downtime,
            states,
            holes,
            reasons,
            changeovers,
            runs,
            parts,
            ideal_cycle_s,
            flags: Flags::default(),
        },
    )
}

fn rules() -> impl Strategy<Value = Rules> {
    (prop::sample::select(vec![0.0, 60.0, 300.0]), any::<(bool, bool, bool)>(), prop::sample::select(vec![0.0, 100.0])).prop_map(
        |(minor_stop_below_s, (performance, weighed, left_out), startup_after_setup_s)| Rules {
            minor_stop_below_s,
            minor_stops_reduce: if performance { MinorStopsReduce::Performance } else { MinorStopsReduce::Availability },
            quality_weight: if weighed { QualityWeight::IdealTime } else { QualityWeight::Counts },
            parts_outside_plan: if left_out { PartsOutsidePlan::LeftOut } else { PartsOutsidePlan::Counted },
            startup_after_setup_s,
        },
    )
}

fn known() -> impl Strategy<Value = Timestamp> {
    (0_i64..1_300).prop_map(|s| Timestamp(s * SECOND))
}

fn finite(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(map) => map.values().all(finite),
        serde_json::Value::Array(list) => list.iter().all(finite),
        serde_json::Value::Number(n) => n.as_f64().is_some_and(f64::is_finite),
        _ => true,
    }
}

fn adds_up(node: &LossNode) -> bool {
    let sum: i64 = node.children.iter().map(|child| child.micros).sum();
    (node.children.is_empty() || sum == node.micros) && node.children.iter().all(adds_up)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_instant_has_exactly_one_cause_and_the_losses_partition_the_planned_busy_time(record in record(), rules in rules(), known in known()) {
        let cycle = record.ideal_cycle_s;
        let prepared = prepared(record, rules);
        let tally = prepared.tally(window(), known);
        prop_assert_eq!(tally.total_micros(), LENGTH * SECOND);

        let intervals = prepared.intervals(window(), known, usize::MAX);
        prop_assert_eq!((intervals[0].from.0, intervals[intervals.len() - 1].to.0), (window().from, window().to));
        prop_assert!(intervals.windows(2).all(|w| w[0].to == w[1].from));
        for cause in Cause::ALL {
            let told: i64 = intervals.iter().filter(|i| i.cause == cause).map(|i| i.to.0.micros_since(i.from.0)).sum();
            prop_assert_eq!(told, tally.micros(cause));
            let by_reason: i64 = tally.reasons().iter().filter(|((of, _), _)| *of == cause).map(|(_, sum)| sum.micros).sum();
            prop_assert!(cause.loss().is_none() || by_reason == tally.micros(cause));
        }

        let shares = intervals.iter().filter_map(|i| i.parts);
        let told = shares.fold((0, 0, 0), |sum, p| (sum.0 + p.produced, sum.1 + p.rejected, sum.2 + p.reworked));
        prop_assert_eq!(told, (tally.parts().produced, tally.parts().rejected, tally.parts().reworked));

        let oee = tally.oee(&rules, cycle);
        let t = oee.times;
        prop_assert!((t.all_s - t.not_planned_s - t.planned_operation_s).abs() < 1e-9);
        prop_assert!((t.planned_operation_s - t.planned_stop_s - t.no_data_s - t.planned_busy_s).abs() < 1e-9);
        prop_assert!((t.planned_busy_s - t.production_s - t.down_s).abs() < 1e-9);
        if let (Some(a), Some(p), Some(q)) = (oee.availability, oee.performance, oee.quality) {
            prop_assert_eq!(oee.oee, Some(a * p * q));
        }
        if let (Some(total), Some(_)) = (oee.oee, oee.losses.reduced_speed) {
            let filled = six(&oee) + total * t.planned_busy_s;
            prop_assert!((filled - t.planned_busy_s).abs() < 1e-6, "{} of {}", filled, t.planned_busy_s);
        }
        let tree = tally.loss_tree(&rules, cycle);
        prop_assert_eq!(tree.micros, (t.planned_busy_s * 1e6).round() as i64);
        prop_assert!(adds_up(&tree));
        if let Some(productive) = tree.find("fully_productive_time") {
            for by in [ParetoBy::Reason, ParetoBy::TopReason, ParetoBy::Category] {
                let pareto = tally.pareto(by, &rules, &catalogue(), cycle);
                prop_assert!((pareto.total_s + productive.seconds - t.planned_busy_s).abs() < 1e-5);
                prop_assert!(finite(&serde_json::to_value(&pareto).unwrap()));
            }
        }
        prop_assert!(finite(&serde_json::to_value(&oee).unwrap()));
    }

    #[test]
    fn splitting_a_period_and_adding_gives_the_same(record in record(), rules in rules(), known in known(), cuts in prop::collection::vec(0..=LENGTH, 0..5)) {
        let prepared = prepared(record, rules);
        let whole = prepared.tally(window(), known);
        let mut edges: Vec<i64> = cuts.into_iter().chain([0, LENGTH]).collect();
        edges.sort_unstable();
        let pieces: Vec<_> = edges.windows(2).map(|w| prepared.tally(range(w[0], w[1]), known)).collect();
        prop_assert_eq!(pieces.iter().sum::<Tally>(), whole);
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(record in record(), rules in rules(), known in known(), seed in any::<u64>()) {
        let mut mixed = record.clone();
        let mut random = seed;
        let mut mix = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % n.max(1)
        };
        for i in 0..mixed.states.len() { let j = mix(i + 1); mixed.states.swap(i, j); }
        for i in 0..mixed.parts.len() { let j = mix(i + 1); mixed.parts.swap(i, j); }
        for i in 0..mixed.reasons.len() { let j = mix(i + 1); mixed.reasons.swap(i, j); }
        for i in 0..mixed.runs.len() { let j = mix(i + 1); mixed.runs.swap(i, j); }
        for i in 0..mixed.changeovers.len() { let j = mix(i + 1); mixed.changeovers.swap(i, j); }
        for i in 0..mixed.downtime.len() { let j = mix(i + 1); mixed.downtime.swap(i, j); }
        mixed.holes.reverse();
        if let Some(operation) = &mut mixed.operation { operation.reverse(); }
        prop_assert_eq!(prepared(mixed, rules).tally(window(), known), prepared(record, rules).tally(window(), known));
    }

    #[test]
    fn a_roll_up_is_what_would_be_reckoned_from_all_the_raw_data(records in prop::collection::vec(record(), 1..5), rules in rules(), known in known()) {
        // Of all machines' raw times and parts together, in any order.
        let prepared: Vec<_> = records.into_iter().map(|record| prepared(record, rules)).collect();
        let tallies: Vec<_> = prepared.iter().map(|p| p.tally(window(), known)).collect();
        let mut raw = Tally::default();
        for (machine, tally) in prepared.iter().zip(&tallies).rev() {
            for interval in machine.intervals(window(), known, usize::MAX) {
                raw.add_time(interval.cause, interval.to.0.micros_since(interval.from.0));
            }
            raw.parts += tally.parts;
            raw.ideal_fs += tally.ideal_fs;
            raw.ideal_bad_fs += tally.ideal_bad_fs;
            raw.ideal_startup_fs += tally.ideal_startup_fs;
            raw.uncycled += tally.uncycled;
            raw.has_cycle |= tally.has_cycle;
        }
        let (rolled, raw) = (tallies.iter().sum::<Tally>().oee(&rules, None), raw.oee(&rules, None));
        prop_assert_eq!((rolled.oee, rolled.availability, rolled.performance, rolled.quality), (raw.oee, raw.availability, raw.performance, raw.quality));
        prop_assert_eq!((rolled.ooe, rolled.teep, rolled.nee, rolled.losses), (raw.ooe, raw.teep, raw.nee, raw.losses));
    }

    #[test]
    fn the_live_answer_is_the_historical_one_to_the_last_bit(
        record in record(), rules in rules(), order in prop::collection::vec(any::<u16>(), 60), in_order in any::<bool>(),
    ) {
        enum Event { State(StatePoint), Parts(PartInterval), Reason(ReasonAssignment), Hole(TimeRange) }
        let mut so_far = MachineRecord { states: vec![], parts: vec![], reasons: vec![], holes: vec![], ..record.clone() };
        let mut events: Vec<(i64, Event)> = Vec::new();
        let when = |at: Timestamp| at.0;
        events.extend(record.states.into_iter().map(|s| (when(s.at), Event::State(s))));
        events.extend(record.parts.into_iter().map(|p| (when(p.to), Event::Parts(p))));
        events.extend(record.reasons.into_iter().map(|r| (when(r.range.to), Event::Reason(r))));
        events.extend(record.holes.into_iter().map(|h| (when(h.to), Event::Hole(h))));
        if in_order {
            events.sort_by_key(|(at, _)| *at);
        } else {
            let keys: Vec<_> = order.iter().cycle().take(events.len()).copied().collect();
            let mut keyed: Vec<_> = keys.into_iter().zip(events).collect();
            keyed.sort_by_key(|(key, _)| *key);
            events = keyed.into_iter().map(|(_, event)| event).collect();
        }
        let mut live = LiveMachine::new(window(), so_far.clone(), catalogue(), rules);
        let (mut known, mut counted) = (Timestamp(0), Timestamp(i64::MIN));
        for (i, (at, event)) in events.into_iter().enumerate() {
            match event {
                Event::State(state) => { so_far.states.push(state.clone()); live.state(state); }
                Event::Parts(count) => { so_far.parts.push(count); live.count(count); }
                Event::Reason(reason) => { so_far.reasons.push(reason.clone()); live.register(reason); }
                Event::Hole(hole) => { so_far.holes.push(hole); live.hole(hole); }
            }
            // Sometimes the end of what is known goes back, but not behind parts that were counted; sometimes data lie beyond it.
            known = match i % 3 { 0 => Timestamp(at).max(known), 1 => known, _ => Timestamp(at) };
            if i % 4 != 3 {
                let asked = known.max(counted);
                let touching = so_far.parts.iter().filter(|p| p.to > window().from && p.from <= window().to && p.to <= asked);
                counted = touching.map(|p| p.to).max().unwrap_or(counted).max(counted);
                let history = prepared(so_far.clone(), rules).tally(window(), asked);
                prop_assert_eq!(live.tally(known), history);
            }
        }
        let end = Timestamp(1_400 * SECOND);
        prop_assert_eq!(live.tally(end), prepared(so_far, rules).tally(window(), end));
    }

    #[test]
    fn a_running_shift_that_outgrows_its_memory_is_right_while_data_come_in_order(record in record(), rules in rules(), max in 2_usize..6) {
        let mut so_far = MachineRecord { states: vec![], parts: vec![], reasons: vec![], holes: vec![], ..record.clone() };
        let mut live = LiveMachine::new(window(), so_far.clone(), catalogue(), rules).with_max_states(max);
        let mut states = record.states;
        let mut parts = record.parts;
        states.sort();
        states.dedup_by_key(|s| s.at);
        parts.sort_by_key(|p| p.to);
        let mut parts = parts.into_iter().peekable();
        for state in states {
            let now = state.at;
            while let Some(count) = parts.next_if(|p| p.to <= now) {
                so_far.parts.push(count);
                live.count(count);
            }
            so_far.states.push(state.clone());
            live.state(state);
            let tally = live.tally(now);
            if !tally.flags().holds(Flag::Truncated) {
                prop_assert_eq!(tally, prepared(so_far.clone(), rules).tally(window(), now));
            }
        }
    }

    #[test]
    fn what_changed_adds_up_for_any_two_periods(a in record(), b in record(), rules in rules()) {
        let end = Timestamp(1_400 * SECOND);
        let [a, b] = [a, b].map(|record| prepared(record, rules).tally(window(), end));
        let comparison = Comparison::of(&a, &b, ParetoBy::TopReason, &rules, &catalogue(), None);
        if let Some(points) = comparison.oee_points {
            let told: f64 = comparison.losses.iter().map(|l| l.points).sum();
            prop_assert!((told - points).abs() < 1e-6, "{} is not {}", told, points);
            if !comparison.factors.is_empty() {
                let told: f64 = comparison.factors.iter().map(|f| f.oee_points).sum();
                prop_assert!((told - points).abs() < 1e-6, "{} is not {}", told, points);
            }
        }
        prop_assert!(finite(&serde_json::to_value(&comparison).unwrap()));
    }

    #[test]
    fn a_what_if_never_makes_nonsense(record in record(), rules in rules(), less in 0.0_f64..=1.0, faster in 0.0_f64..=0.9) {
        let end = Timestamp(1_400 * SECOND);
        let prepared = prepared(record, rules);
        let (tally, stops) = (prepared.tally(window(), end), prepared.stops(window(), end));
        let changes = [
            Change::MinorStopsGone { below_s: 100.0 },
            Change::ReasonShorter { reason: "M".into(), less },
            Change::CategoryShorter { category: LossCategory::SetupAndAdjustments, less },
            Change::CycleFaster { faster },
            Change::FewerRejects { less },
        ];
        let what = what_if(&tally, &stops, &changes, 3.0, &rules, prepared.catalogue()).unwrap();
        prop_assert!(finite(&serde_json::to_value(&what).unwrap()));
        prop_assert!(what.freed_s >= 0.0 && what.parts.is_none_or(|parts| parts > -1e-6));
        let worse = what.after.availability.zip(what.before.availability).is_some_and(|(after, before)| after < before - 1e-9);
        prop_assert!(!worse);
    }
}
