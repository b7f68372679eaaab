//! One decision at a time. What holds whatever happens is in `model`.

use protocol::{
    Batch, Descent, EntryInfo, EntryStamp, GatewayStatus, HeldStream, Loss, LossReason, Record, StampedRecord, TimeQuality, Want,
};

use super::*;

const G1: u64 = 16;
const G2: u64 = 32;
const G3: u64 = 48;
const NOW: Timestamp = Timestamp(1_000_000);

fn gateway() -> GatewayId {
    GatewayId::new("gw").expect("valid")
}

/// Entries `first..=last` of the second lane of the first generation, ten readings each.
pub(crate) fn test_batch(first: u64, last: u64) -> Batch {
    batch(G1, None, first, last)
}

fn batch(generation: u64, parent: Option<Parent>, first: u64, last: u64) -> Batch {
    let loss = Loss {
        asset: None,
        signal: None,
        reason: LossReason::Unmatched,
        count: 1,
        from: Timestamp(1),
        to: Timestamp(2),
        detail: String::new(),
    };
    Batch {
        gateway: gateway(),
        stream: StreamId::of(generation, protocol::DATA),
        parent,
        range: Some(SeqRange { first, last }),
        floor_seq: first,
        catch_up: false,
        sent_at: Timestamp(5),
        status: status(Vec::new()),
        entries: (first..=last).map(|seq| EntryInfo { stamp: Some(stamp(false)), readings_before: (seq - 1) * 10, readings: 10 }).collect(),
        records: (first..=last).map(|seq| StampedRecord { seq, record: Record::Loss(loss.clone()) }).collect(),
    }
}

fn stamp(inherited: bool) -> EntryStamp {
    EntryStamp { boot_id: 1, mono_us: 1, wall: Timestamp(1), time_quality: TimeQuality::Synced, inherited }
}

pub(super) fn status(streams: Vec<HeldStream>) -> GatewayStatus {
    GatewayStatus { boot_id: 1, started_at: Timestamp(1), version: "0".into(), durable: true, streams, ..GatewayStatus::default() }
}

fn held(generation: u64, first: u64, acked: u64, next: u64) -> HeldStream {
    HeldStream { stream: StreamId::of(generation, protocol::DATA), first, acked, next }
}

fn parent(generation: u64, through: u64) -> Parent {
    Parent { generation, through: [0, through], readings: [0, through * 10] }
}

fn take(ledger: &mut Ledger, batch: &Batch) -> Fresh {
    let Decision::Fresh(fresh) = ledger.decide(batch, NOW) else { panic!("{:?}", ledger.decide(batch, NOW)) };
    ledger.apply(&gateway(), &step(batch, &fresh));
    *fresh
}

pub(super) fn step(batch: &Batch, fresh: &Fresh) -> Step {
    let gone = fresh.gone.iter().map(|(hole, mark)| (hole.stream, *mark)).collect();
    Step { stream: batch.stream, mark: fresh.mark, link: fresh.link, ancestors: fresh.ancestors.clone(), gone }
}

fn ledger(through: u64) -> Ledger {
    let mut ledger = Ledger::default();
    take(&mut ledger, &test_batch(1, through));
    ledger
}

#[test]
fn the_next_entries_are_fresh_and_the_same_again_are_a_duplicate() {
    let mut ledger = ledger(5);
    assert_eq!(ledger.decide(&test_batch(1, 5), NOW), Decision::Duplicate { through: 5 });
    let fresh = take(&mut ledger, &test_batch(6, 9));
    assert_eq!((fresh.after, fresh.mark, fresh.hole), (5, Mark { through: 9, readings: Some(90), skipped: 0 }, None));
}

#[test]
fn an_overlap_lets_only_the_new_part_through() {
    let fresh = take(&mut ledger(5), &test_batch(3, 9));
    assert_eq!((fresh.after, fresh.mark.through), (5, 9));
}

#[test]
fn a_hole_that_the_gateway_can_fill_is_asked_for() {
    let ask = |floor_seq, first, last| ledger(5).decide(&Batch { floor_seq, ..test_batch(first, last) }, NOW);
    assert_eq!(ask(6, 8, 9), Decision::Gap { expected: 6, through: Some(5) });
    assert_eq!(ask(1, 8, 9), Decision::Gap { expected: 6, through: Some(5) });
    assert_eq!(ask(7, 9, 9), Decision::Gap { expected: 7, through: Some(5) });
    let of_nothing = Ledger::default().decide(&Batch { floor_seq: 1, ..test_batch(8, 9) }, NOW);
    assert_eq!(of_nothing, Decision::Gap { expected: 1, through: None });
}

#[test]
fn a_hole_that_nobody_can_fill_is_passed_with_the_readings_that_it_held() {
    let fresh = take(&mut ledger(5), &test_batch(8, 9));
    let hole = fresh.hole.expect("a hole");
    assert_eq!((hole.range, hole.readings, hole.acknowledged), (SeqRange { first: 6, last: 7 }, Some(20), false));
    assert_eq!(take(&mut Ledger::default(), &test_batch(8, 9)).hole.expect("a hole").readings, Some(70));
    let mut from_the_lake = Ledger::default();
    from_the_lake.learn([(gateway(), test_batch(1, 1).stream, 5)], NOW);
    assert_eq!(take(&mut from_the_lake, &test_batch(8, 9)).hole.expect("a hole").readings, None, "the lake tells no readings");
}

#[test]
fn streams_and_gateways_do_not_mix() {
    let mut ledger = ledger(5);
    let other = Batch { gateway: GatewayId::new("other").expect("valid"), ..test_batch(1, 5) };
    assert!(matches!(ledger.decide(&other, NOW), Decision::Fresh(_)));
    let lane = Batch { stream: StreamId::of(G1, protocol::URGENT), ..test_batch(1, 5) };
    assert!(matches!(ledger.decide(&lane, NOW), Decision::Fresh(_)));
    assert_eq!(ledger.decide(&Batch { range: None, ..test_batch(6, 6) }, NOW), Decision::Heartbeat { through: Some(5) });
}

#[test]
fn what_was_undone_is_as_if_it_had_not_been() {
    let mut ledger = ledger(5);
    let next = batch(G2, Some(parent(G1, 5)), 1, 2);
    let Decision::Fresh(fresh) = ledger.decide(&next, NOW) else { panic!("fresh") };
    let undo = ledger.apply(&gateway(), &step(&next, &fresh));
    ledger.undo(undo);
    assert_eq!(ledger.mark(&gateway(), next.stream), None);
    let other = batch(G3, Some(parent(G1, 5)), 1, 2);
    assert!(!take(&mut ledger, &other).link.forked, "the generation that was undone is nobody's sibling");
}

#[test]
fn two_generations_of_one_parent_are_a_fork_and_so_is_a_parent_that_went_on() {
    let mut siblings = ledger(5);
    assert!(!take(&mut siblings, &batch(G2, Some(parent(G1, 5)), 1, 2)).link.forked);
    assert!(take(&mut siblings, &batch(G3, Some(parent(G1, 5)), 1, 2)).link.forked);
    assert!(take(&mut siblings, &batch(G3, Some(parent(G1, 5)), 3, 4)).link.forked, "it stays one");
    let mut went_on = ledger(6);
    assert!(take(&mut went_on, &batch(G2, Some(parent(G1, 5)), 1, 2)).link.forked);
    let mut behind = ledger(4);
    assert!(!take(&mut behind, &batch(G2, Some(parent(G1, 5)), 1, 2)).link.forked, "the rest of it may still come");
}

#[test]
fn of_a_fork_inherited_readings_are_counted_as_told_already() {
    let mut ledger = ledger(6);
    let mut forked = batch(G2, Some(parent(G1, 5)), 1, 3);
    forked.entries[0].stamp = Some(stamp(true));
    assert_eq!(take(&mut ledger, &forked).mark, Mark { through: 3, readings: Some(30), skipped: 10 });
    let split = ledger.branches(&gateway()).expect("known").split();
    assert_eq!(split, Split { foreign: 10, skipped: 10, unknown: false });
    assert_eq!(ledger.branches(&gateway()).and_then(Branches::forked_since), Some(NOW));
}

#[test]
fn a_fork_behind_generations_that_come_first_is_known_from_the_status() {
    // The run of G1 went on to 9; the gateway was put back to where G1 had come to 5, began G2 then, and G3 after that.
    let mut ledger = ledger(9);
    let mut first = batch(G3, Some(parent(G2, 3)), 1, 2);
    first.status.descents = vec![Descent { generation: G3, parent: parent(G2, 3) }, Descent { generation: G2, parent: parent(G1, 5) }];
    first.status.streams = vec![held(G3, 1, 0, 3), held(G2, 1, 0, 4)];
    let before = ledger.clone();
    let fresh = take(&mut ledger, &first);
    let link = Link { parent: Some(parent(G1, 5)), forked: true, since: NOW };
    assert_eq!((fresh.ancestors.as_slice(), fresh.tainted_before, fresh.link.forked), ([(G2, link)].as_slice(), Some(NOW), false));
    let mut late = batch(G2, Some(parent(G1, 5)), 1, 3);
    late.entries[0].stamp = Some(stamp(true));
    assert_eq!(take(&mut ledger, &late).mark, Mark { through: 3, readings: Some(30), skipped: 10 });

    let mut undone = before;
    let Decision::Fresh(fresh) = undone.decide(&first, NOW) else { panic!("fresh") };
    assert_eq!(undone.branches(&gateway()).and_then(|branches| branches.link(G2)), None, "nothing holds before it is applied");
    let undo = undone.apply(&gateway(), &step(&first, &fresh));
    undone.undo(undo);
    assert_eq!(undone.branches(&gateway()).and_then(|branches| branches.link(G2)), None);
}

#[test]
fn entries_of_a_run_whose_successor_came_first_are_strays() {
    let mut ledger = ledger(4);
    take(&mut ledger, &batch(G2, Some(parent(G1, 5)), 1, 2));
    assert_eq!(take(&mut ledger, &test_batch(5, 7)).stray_after, Some(5));
    assert_eq!(take(&mut ledger, &test_batch(8, 8)).stray_after, Some(5));
}

#[test]
fn what_was_acknowledged_and_is_not_here_is_wanted_from_where_it_is_held() {
    let mut ledger = ledger(5);
    let asked = |streams| Batch { range: None, status: status(streams), ..test_batch(1, 1) };
    let restored = asked(vec![held(G2, 3, 4, 9), held(G1, 1, 9, 10)]);
    ledger.decide(&restored, NOW);
    assert_eq!(
        ledger.wants(&restored),
        [Want { stream: StreamId::of(G2, protocol::DATA), from: 3 }, Want { stream: StreamId::of(G1, protocol::DATA), from: 6 },]
    );
    assert!(ledger.missed(&gateway()));
    let rewound = asked(vec![held(G1, 1, 5, 10)]);
    assert_eq!(ledger.wants(&rewound), [], "it is on its way");
    let gone = asked(vec![held(G1, 10, 9, 10)]);
    assert_eq!(ledger.wants(&gone), [], "nobody holds it");
}

#[test]
fn the_end_of_a_parent_that_nobody_holds_is_booked_once_if_it_had_been_acknowledged() {
    let mut ledger = ledger(5);
    let mut next = batch(G2, Some(parent(G1, 9)), 1, 2);
    next.status = status(vec![held(G2, 1, 0, 5)]);
    assert_eq!(ledger.decide(&next, NOW), ledger.decide(&next, NOW));
    let Decision::Fresh(fresh) = ledger.decide(&next, NOW) else { panic!("fresh") };
    assert_eq!(fresh.gone, [], "as far as is known the gateway lost it, and tells it");
    next.status = status(vec![held(G2, 1, 1, 5)]);
    let fresh = take(&mut ledger, &next);
    let hole =
        Hole { stream: StreamId::of(G1, protocol::DATA), range: SeqRange { first: 6, last: 9 }, readings: Some(40), acknowledged: true };
    assert_eq!(fresh.gone, [(hole, Mark { through: 9, readings: Some(90), skipped: 0 })]);
    let mut after = batch(G2, Some(parent(G1, 9)), 3, 4);
    after.status = next.status;
    assert_eq!(take(&mut ledger, &after).gone, []);
}

#[test]
fn a_parent_that_is_held_is_not_gone() {
    let mut ledger = ledger(5);
    let mut next = batch(G2, Some(parent(G1, 9)), 1, 2);
    next.status = status(vec![held(G2, 1, 1, 5), held(G1, 6, 9, 10)]);
    assert_eq!(take(&mut ledger, &next).gone, []);
}

#[test]
fn what_another_collector_may_hold_is_given_up_only_after_a_later_look_at_the_lake() {
    let mut ledger = Ledger::with_patience(30);
    take(&mut ledger, &test_batch(1, 5));
    let mut next = test_batch(8, 9);
    next.status = status(vec![held(G1, 8, 7, 10)]);
    let at = |micros| NOW.plus_micros(micros);
    assert_eq!(ledger.decide(&next, at(0)), Decision::Wait { through: Some(5) });
    assert!(ledger.wants_the_lake());
    assert_eq!(ledger.decide(&next, at(100)), Decision::Wait { through: Some(5) }, "nobody has looked");
    ledger.learn([], at(29));
    assert_eq!(ledger.decide(&next, at(100)), Decision::Wait { through: Some(5) }, "it was too early");
    let mut other = ledger.clone();
    other.learn([(gateway(), next.stream, 7)], at(30));
    assert!(matches!(other.decide(&next, at(100)), Decision::Fresh(fresh) if fresh.hole.is_none()), "the other had it");
    ledger.learn([], at(30));
    assert!(matches!(ledger.decide(&next, at(100)), Decision::Fresh(fresh) if fresh.hole.is_some_and(|hole| hole.acknowledged)));
}

#[test]
fn streams_of_long_ago_are_let_go_unless_they_are_held_or_the_newest() {
    let mut ledger = Ledger::default();
    for generation in 1..=5u64 {
        let parent = (generation > 1).then(|| parent((generation - 1) * 16, 5));
        take(&mut ledger, &batch(generation * 16, parent, 1, 5));
    }
    let mut newest = batch(5 * 16, None, 5, 5);
    newest.status = status(vec![held(5 * 16, 1, 5, 6), held(2 * 16, 1, 5, 6)]);
    ledger.decide(&newest, NOW);
    assert_eq!(ledger.forget(NOW.plus_micros(KEEP_US)), []);
    let forgotten = ledger.forget(NOW.plus_micros(KEEP_US + 1));
    assert_eq!(forgotten, [(gateway(), Forgotten { generations: vec![16, 48, 64], foreign: 0 })]);
    assert_eq!(ledger.streams(), 2);
}

#[test]
fn a_gateway_has_no_more_streams_than_are_remembered() {
    let mut ledger = Ledger::default();
    let count = KEEP_STREAMS as u64 + 50;
    for generation in 1..=count {
        let parent = (generation > 1).then(|| parent((generation - 1) * 16, 1));
        let batch = batch(generation * 16, parent, 1, 1);
        let Decision::Fresh(fresh) = ledger.decide(&batch, Timestamp(generation as i64)) else { panic!("fresh") };
        ledger.apply(&gateway(), &step(&batch, &fresh));
    }
    let forgotten = ledger.forget(Timestamp(count as i64));
    assert_eq!(forgotten[0].1.generations, (1..=50).map(|generation| generation * 16).collect::<Vec<_>>(), "the oldest first");
    assert_eq!(ledger.streams(), KEEP_STREAMS);
}
