//! The twin against late, repeated and missing news, and over the change of a shift.

use std::path::Path;

use protocol::{MachineState, PartCount, Quality, SignalName, StateChange, TimeQuality, WindowSummary};

use super::*;

const SECOND: i64 = 1_000_000;

fn twin(extra: &str) -> Twin {
    let text = format!("[collector]\ndata_dir = \"/nowhere\"\ntimezone = \"UTC\"\n{extra}");
    Twin::new(&Config::parse(Path::new("collector.toml"), &text, Vec::new()).unwrap())
}

/// 2026-01-05T06:00:00Z: an early shift begins.
const SHIFT: Timestamp = Timestamp(1_767_592_800 * SECOND);

fn at(seconds: i64) -> Timestamp {
    SHIFT.plus_micros(seconds * SECOND)
}

fn moment(seconds: i64) -> Moment {
    Moment { now: at(seconds), started_at: at(-100_000) }
}

fn gateway() -> GatewayId {
    GatewayId::new("press-gw1").unwrap()
}

fn asset() -> AssetPath {
    AssetPath::new("plant1/press-shop/line1/press-1").unwrap()
}

fn apply(twin: &Twin, now: i64, records: Vec<Record>) {
    let records: Vec<_> = records.into_iter().zip(1..).map(|(record, seq)| StampedRecord { seq, record }).collect();
    twin.apply(&gateway(), at(now), &records);
}

fn state(seconds: i64, state: MachineState) -> Record {
    Record::State(StateChange { asset: asset(), event_time: at(seconds), state, reason: String::new(), time_quality: TimeQuality::Synced })
}

fn parts(from: i64, to: i64, produced: u64, rejected: u64) -> Record {
    Record::Parts(PartCount {
        asset: asset(),
        from: at(from),
        to: at(to),
        produced,
        rejected,
        reworked: 0,
        time_quality: TimeQuality::Synced,
    })
}

fn window(start: i64, last: f64) -> Record {
    Record::Window(WindowSummary {
        asset: asset(),
        signal: SignalName::new("spindle_temperature").unwrap(),
        unit: "Cel".into(),
        start: at(start),
        end: at(start + 5),
        count: 5,
        min: last,
        max: last,
        mean: last,
        stddev: 0.0,
        first: last,
        last,
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    })
}

fn status() -> GatewayStatus {
    GatewayStatus {
        boot_id: 1,
        started_at: at(0),
        version: "0.1.0".into(),
        readings_total: 5,
        signals: 1,
        durable: true,
        ..GatewayStatus::default()
    }
}

const PRESS: &str = "[[asset]]\npath = \"plant1/press-shop/line1/press-1\"\nideal_cycle_time = \"2s\"\n";

#[test]
fn late_data_never_replace_newer_ones() {
    let twin = twin(PRESS);
    apply(&twin, 20, vec![window(10, 50.0), window(0, 40.0), state(12, MachineState::Producing), state(5, MachineState::Setup)]);
    let view = twin.asset(&asset(), moment(20)).unwrap();
    assert_eq!(view.signals[0].value, 50.0);
    assert_eq!((view.state, view.state_since), (Some("producing"), Some(at(12).into())));
}

#[test]
fn oee_of_the_shift_so_far_is_the_hand_computed_one() {
    let twin = twin(PRESS);
    // 60 s stopped, 540 s producing at 2 s a part: 270 could be made, 243 were, 27 of them bad.
    apply(&twin, 0, vec![state(-600, MachineState::UnplannedStop), parts(-10, 0, 99, 9)]);
    apply(&twin, 600, vec![state(60, MachineState::Producing), parts(590, 600, 243, 27), window(594, 1.0)]);
    let oee = twin.asset(&asset(), moment(600)).unwrap().oee.unwrap();
    assert_eq!((oee.availability, oee.performance), (Some(0.9), Some(0.9)));
    assert!((oee.quality.unwrap() - 8.0 / 9.0).abs() < 1e-12);
    assert_eq!(oee.counts.produced, 243, "parts of the shift before do not count");
    assert_eq!(oee.coverage, Some(1.0));
}

#[test]
fn a_new_shift_begins_at_zero_and_late_counts_go_where_they_belong() {
    let twin = twin(PRESS);
    let end = 8 * 3600;
    apply(&twin, end - 10, vec![state(0, MachineState::Producing), parts(0, end - 10, 10, 0)]);
    apply(&twin, end + 5, vec![parts(end - 10, end, 7, 1), parts(end, end + 5, 2, 0), window(end, 1.0)]);
    let view = twin.asset(&asset(), moment(end + 5)).unwrap();
    assert_eq!(view.shift.unwrap().name, "late");
    assert_eq!(view.parts.unwrap().produced, 2);
    assert_eq!(view.oee.unwrap().times.production_s, 5.0, "the state stands into the new shift");
    let before = twin.asset(&asset(), moment(end - 1)).unwrap();
    assert_eq!(before.parts.unwrap().produced, 10, "the count that ends later is not known yet");
    assert!(before.oee.unwrap().flags.contains(&kpi::oee::Flag::FutureData));
}

#[test]
fn a_count_over_the_edge_of_a_shift_is_shared_by_producing_time() {
    let twin = twin(PRESS);
    let end = 8 * 3600;
    apply(&twin, end - 5, vec![state(0, MachineState::Producing)]);
    apply(&twin, end + 20, vec![parts(end - 10, end + 20, 15, 3), window(end + 15, 1.0)]);
    let parts = twin.asset(&asset(), moment(end + 20)).unwrap().parts.unwrap();
    assert_eq!((parts.produced, parts.rejected), (10, 2));
}

#[test]
fn a_short_stop_is_a_minor_stop_and_a_long_one_is_none() {
    let twin = twin(PRESS);
    apply(&twin, 0, vec![state(0, MachineState::Producing), state(100, MachineState::UnplannedStop)]);
    apply(&twin, 900, vec![state(150, MachineState::Producing), state(200, MachineState::UnplannedStop), window(895, 1.0)]);
    let oee = twin.asset(&asset(), moment(900)).unwrap().oee.unwrap();
    assert_eq!((oee.times.minor_stop_s, oee.times.unplanned_stop_s, oee.times.production_s), (50.0, 700.0, 150.0));
}

#[test]
fn when_the_data_stop_the_machine_is_stale_and_nothing_is_known_from_there() {
    let twin = twin(PRESS);
    apply(&twin, 100, vec![state(0, MachineState::Producing), window(95, 1.0)]);
    twin.apply_status(&gateway(), at(100), &status());
    let fresh = twin.asset(&asset(), moment(110)).unwrap();
    assert!(fresh.online && !fresh.stale);
    let later = twin.asset(&asset(), moment(200)).unwrap();
    assert!(!later.online && later.stale);
    let oee = later.oee.unwrap();
    assert_eq!((oee.times.production_s, oee.times.no_data_s), (100.0, 100.0));
    assert_eq!(oee.coverage, Some(0.5));
}

#[test]
fn changes_come_once_and_going_stale_is_a_change() {
    let twin = twin(PRESS);
    let (version, all) = twin.changes(0, moment(0));
    assert_eq!(all.len(), 1, "a described machine is there before its first data");
    assert!(all[0].stale && all[0].state.is_none() && all[0].parts.is_none() && all[0].oee.as_ref().unwrap().oee.is_none());
    apply(&twin, 1, vec![window(-4, 1.0)]);
    let (version, changed) = twin.changes(version, moment(1));
    assert_eq!(changed.len(), 1);
    assert!(twin.changes(version, moment(2)).1.is_empty());
    let (version, stale) = twin.changes(version, moment(60));
    assert!(stale.len() == 1 && stale[0].stale);
    assert!(twin.changes(version, moment(61)).1.is_empty());
}

#[test]
fn readings_and_losses_add_up_by_gateway() {
    let twin = twin("");
    let loss = |count| {
        Record::Loss(protocol::Loss {
            asset: None,
            signal: None,
            reason: protocol::LossReason::Malformed,
            count,
            from: at(0),
            to: at(1),
            detail: String::new(),
        })
    };
    apply(&twin, 10, vec![window(0, 1.0), window(5, 1.0), loss(2), loss(3)]);
    let state = twin.gateway(&gateway()).unwrap();
    assert_eq!(state.readings_stored, 10);
    assert_eq!(state.losses, BTreeMap::from([("malformed", 5)]));
    assert!(twin.knows(&asset()), "a machine that nobody described appears with its data");
}

#[test]
fn while_a_backlog_comes_no_state_stands_through_the_outage_and_no_parts_are_missing() {
    let twin = twin(PRESS);
    let held = |backlog_entries, age_s: u64| {
        let stream = protocol::HeldStream { stream: protocol::StreamId::of(2 << 8, 1), first: 1, acked: 0, next: 2 };
        GatewayStatus { streams: vec![stream], backlog_entries, oldest_unsent_age_ms: age_s * 1_000, ..status() }
    };
    // It makes a part each 2 s; nothing of 600 to 4,200 is here when what came after is.
    let before = vec![state(0, MachineState::Producing), parts(0, 540, 270, 0), parts(540, 600, 30, 0)];
    apply(&twin, 600, before);
    twin.apply_status(&gateway(), at(4_200), &held(900, 3_600));
    apply(&twin, 4_800, vec![parts(4_200, 4_800, 300, 0), window(4_795, 1.0)]);
    let view = twin.asset(&asset(), moment(4_800)).unwrap();
    let oee = view.oee.unwrap();
    assert_eq!((oee.times.no_data_s, oee.coverage), (3_660.0, Some(1_140.0 / 4_800.0)), "from a minute before");
    assert_eq!((oee.performance, oee.counts.produced), (Some(1.0), 570));
    assert_eq!(twin.holes(&asset()), [protocol::TimeRange { from: at(540), to: at(4_200) }]);
    twin.apply_status(&gateway(), at(4_801), &held(0, 0));
    apply(&twin, 4_802, vec![parts(600, 4_200, 1_800, 0)]);
    let oee = twin.asset(&asset(), moment(4_800)).unwrap().oee.unwrap();
    assert_eq!((oee.coverage, oee.performance, oee.counts.produced), (Some(1.0), Some(1.0), 2_400));
}
