//! The typed reads at their edges.

use std::time::Duration;

use lake::{AnomalyFilter, LakeError, LossFilter, SeriesPoint};
use protocol::{MachineState, Record, TimeRange};

use crate::rows::{anomaly, asset, at, gateway, loss, one_of_each, open, parts, row, signal, state, window};

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { from: at(from), to: at(to) }
}

#[tokio::test]
async fn states_begin_with_the_one_that_holds_when_the_period_begins() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(vec![row(1, 1, state(1, 0, MachineState::Setup)), row(1, 2, state(1, 10, MachineState::Producing))]);
    lake.commit().await.unwrap();
    lake.push(vec![
        row(1, 3, state(1, 20, MachineState::Idle)),
        row(1, 4, state(2, 15, MachineState::Offline)),
        row(1, 5, state(1, 30, MachineState::Producing)),
    ]);
    let found = |states: Vec<protocol::StateChange>| states.iter().map(|state| (state.event_time, state.state)).collect::<Vec<_>>();
    let states = found(lake.states(&asset(1), range(15, 30)).await.unwrap());
    assert_eq!(states, [(at(10), MachineState::Producing), (at(20), MachineState::Idle)], "the end is not part of the period");
    let states = found(lake.states(&asset(1), range(10, 11)).await.unwrap());
    assert_eq!(states, [(at(0), MachineState::Setup), (at(10), MachineState::Producing)], "the beginning is");
    assert_eq!(found(lake.states(&asset(1), range(-10, 0)).await.unwrap()), []);
    assert_eq!(found(lake.states(&asset(3), range(0, 100)).await.unwrap()), []);
}

#[tokio::test]
async fn changes_of_the_same_moment_come_in_the_order_in_which_they_were_taken_in() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(vec![
        row(1, 1, state(1, 5, MachineState::Idle)),
        row(1, 2, state(1, 5, MachineState::Setup)),
        row(1, 3, state(1, 5, MachineState::Producing)),
    ]);
    let states = lake.states(&asset(1), range(0, 10)).await.unwrap();
    assert_eq!(
        states.iter().map(|state| state.state).collect::<Vec<_>>(),
        [MachineState::Idle, MachineState::Setup, MachineState::Producing]
    );
    let states = lake.states(&asset(1), range(6, 10)).await.unwrap();
    assert_eq!(states[0].state, MachineState::Producing, "the last one holds");
}

#[tokio::test]
async fn states_of_several_machines_are_those_of_each() {
    const DAY: i64 = 86_400;
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    // The first spoke lately, the second long ago, the third never before the period, and the fourth is not asked for.
    lake.push(vec![
        row(1, 1, state(2, 0, MachineState::Setup)),
        row(1, 2, state(1, 3 * DAY - 20, MachineState::Idle)),
        row(1, 3, state(1, 3 * DAY - 10, MachineState::Producing)),
        row(1, 4, state(4, 3 * DAY - 10, MachineState::Offline)),
    ]);
    lake.commit().await.unwrap();
    lake.push(vec![
        row(1, 5, state(3, 3 * DAY + 5, MachineState::Offline)),
        row(1, 6, state(1, 3 * DAY + 7, MachineState::Idle)),
        row(1, 7, state(4, 3 * DAY + 8, MachineState::Producing)),
    ]);
    let period = range(3 * DAY, 4 * DAY);
    let together = lake.states_of(&[asset(1), asset(2), asset(3)], period).await.unwrap();
    for (number, wanted) in [(1, 2), (2, 1), (3, 1)] {
        let own: Vec<_> = together.iter().filter(|state| state.asset == asset(number)).cloned().collect();
        assert_eq!(own.len(), wanted);
        assert_eq!(own, lake.states(&asset(number), period).await.unwrap());
    }
    assert_eq!(together.len(), 4);
}

#[tokio::test]
async fn counts_of_one_minute_are_added_up_and_those_that_cross_its_edge_stay() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(vec![
        row(1, 1, parts(1, 60, 80, 1)),
        row(1, 2, parts(1, 80, 120, 2)),
        row(1, 3, parts(1, 110, 130, 4)),
        row(1, 4, parts(1, 130, 140, 8)),
        row(1, 5, parts(2, 60, 80, 16)),
        row(1, 6, parts(3, 60, 80, 32)),
    ]);
    let counts = lake.parts_by_minute(&[asset(1), asset(2)], range(0, 200)).await.unwrap();
    let found: Vec<_> = counts.iter().map(|count| (count.asset.clone(), count.from, count.to, count.produced)).collect();
    assert_eq!(
        found,
        [(asset(2), at(60), at(80), 16), (asset(1), at(60), at(120), 3), (asset(1), at(110), at(130), 4), (asset(1), at(130), at(140), 8)]
    );
}

#[tokio::test]
async fn part_counts_belong_to_the_period_in_which_they_end() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(vec![
        row(1, 1, parts(1, 0, 10, 1)),
        row(1, 2, parts(1, 10, 20, 2)),
        row(1, 3, parts(1, 20, 30, 3)),
        row(1, 4, parts(2, 10, 20, 9)),
    ]);
    let produced = |counts: Vec<protocol::PartCount>| counts.iter().map(|count| count.produced).collect::<Vec<_>>();
    assert_eq!(produced(lake.parts(&asset(1), range(10, 30)).await.unwrap()), [2, 3]);
    lake.commit().await.unwrap();
    assert_eq!(produced(lake.parts(&asset(1), range(0, 20)).await.unwrap()), [1, 2]);
}

#[tokio::test]
async fn a_series_counts_from_its_beginning_and_weighs_by_count() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let Record::Window(mut late) = window(1, 25, 90.0) else { unreachable!() };
    (late.count, late.correction) = (15, true);
    lake.push(vec![
        row(1, 1, window(1, 20, 60.0)),
        row(1, 2, window(1, 25, 70.0)),
        row(1, 3, window(1, 30, 10.0)),
        row(1, 4, window(2, 20, 1.0)),
    ]);
    lake.commit().await.unwrap();
    lake.push(vec![row(1, 5, Record::Window(late)), row(1, 6, window(1, 50, 5.0))]);
    let points = lake.series(&asset(1), &signal("spindle_temperature"), range(20, 50), Duration::from_secs(10)).await.unwrap();
    let wanted = [
        SeriesPoint { at: at(20), count: 25, min: 59.0, max: 91.0, mean: (5.0 * 60.0 + 5.0 * 70.0 + 15.0 * 90.0) / 25.0 },
        SeriesPoint { at: at(30), count: 5, min: 9.0, max: 11.0, mean: 10.0 },
    ];
    assert_eq!(points, wanted);
    for (range, step) in
        [(range(0, 10), Duration::ZERO), (range(10, 10), Duration::from_secs(1)), (range(0, 1_000_000), Duration::from_micros(1))]
    {
        let error = lake.series(&asset(1), &signal("spindle_temperature"), range, step).await.unwrap_err();
        assert!(matches!(error, LakeError::InvalidRange { .. }), "{error}");
    }
}

#[tokio::test]
async fn anomalies_and_losses_are_filtered_and_newest_first() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(vec![row(1, 1, anomaly(1, 10)), row(1, 2, anomaly(1, 20)), row(1, 3, anomaly(2, 15)), row(1, 4, loss(None, 10, 20, 0))]);
    lake.commit().await.unwrap();
    lake.push(vec![row(2, 1, loss(Some(1), 30, 30, 7))]);
    let all = AnomalyFilter { asset: None, signal: None, range: range(0, 20), limit: 10 };
    let times = |found: Vec<lake::Sourced<protocol::Anomaly>>| found.iter().map(|found| found.record.event_time).collect::<Vec<_>>();
    assert_eq!(times(lake.anomalies(all.clone()).await.unwrap()), [at(15), at(10)]);
    assert_eq!(times(lake.anomalies(AnomalyFilter { asset: Some(asset(1)), ..all.clone() }).await.unwrap()), [at(10)]);
    assert_eq!(times(lake.anomalies(AnomalyFilter { signal: Some(signal("other")), ..all.clone() }).await.unwrap()), []);
    assert_eq!(times(lake.anomalies(AnomalyFilter { limit: 1, ..all }).await.unwrap()), [at(15)]);

    let all = LossFilter { gateway: None, asset: None, range: range(0, 100), limit: 10 };
    let found = lake.losses(all.clone()).await.unwrap();
    assert_eq!(found.iter().map(|loss| (loss.gateway.clone(), loss.record.count)).collect::<Vec<_>>(), [(gateway(2), 7), (gateway(1), 0)]);
    assert_eq!((found[1].record.asset.clone(), found[1].record.signal.clone()), (None, None));
    assert_eq!(lake.losses(LossFilter { range: range(30, 31), ..all.clone() }).await.unwrap().len(), 1, "a loss of one moment");
    assert_eq!(lake.losses(LossFilter { range: range(15, 16), ..all.clone() }).await.unwrap().len(), 1, "a period within a loss");
    assert_eq!(lake.losses(LossFilter { gateway: Some(gateway(1)), ..all.clone() }).await.unwrap().len(), 1);
    assert_eq!(lake.losses(LossFilter { asset: Some(asset(1)), ..all }).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_latest_of_everything_is_the_same_hot_and_stored() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    assert_eq!(lake.latest().await.unwrap(), lake::Latest::default());
    let Record::Window(mut correction) = window(1, 500, 1.0) else { unreachable!() };
    correction.correction = true;
    for gateway in [1, 2] {
        lake.push((1..=5).flat_map(|seq| one_of_each(gateway, seq)).collect());
    }
    lake.push(vec![row(1, 6, Record::Window(correction)), row(1, 6, state(2, 3, MachineState::Offline))]);
    let hot = lake.latest().await.unwrap();
    lake.commit().await.unwrap();
    assert_eq!(lake.latest().await.unwrap(), hot);

    let summaries: Vec<_> = hot.summaries.iter().map(|row| (row.gateway.clone(), row.record.asset.clone(), row.record.start)).collect();
    assert_eq!(summaries, [(gateway(1), asset(1), at(25)), (gateway(2), asset(2), at(25))], "a correction is not the last window");
    assert_eq!(hot.states.iter().map(|row| row.record.event_time).collect::<Vec<_>>(), [at(25), at(25)]);
    assert_eq!((hot.parts.len(), hot.anomalies.len()), (2, 2));
    assert_eq!(hot.gateways.iter().map(|totals| totals.readings).collect::<Vec<_>>(), [30, 25]);
    assert_eq!(hot.losses.iter().map(|total| total.count).collect::<Vec<_>>(), [15, 15]);
}

fn changed(record: Record, change: impl FnOnce(&mut protocol::WindowSummary)) -> Record {
    let Record::Window(mut w) = record else { panic!("a window") };
    change(&mut w);
    Record::Window(w)
}

#[tokio::test]
async fn windows_that_touch_the_period_come_with_their_units_and_without_bad_ones() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(vec![
        row(1, 1, window(1, 0, 1.0)),
        row(1, 2, changed(window(1, 5, 2.0), |w| w.quality = protocol::Quality::Bad)),
        row(1, 3, window(2, 5, 9.0)),
    ]);
    lake.commit().await.unwrap();
    lake.push(vec![row(1, 4, changed(window(1, 10, 3.0), |w| w.unit = "K".into())), row(1, 5, window(1, 15, 4.0))]);
    let found = lake.windows(&asset(1), &signal("spindle_temperature"), range(4, 15), 10).await.unwrap();
    assert_eq!((found.units.as_slice(), found.bad), (&["Cel".to_owned(), "K".to_owned()][..], 1));
    let points: Vec<_> = found.points.iter().map(|p| (p.start, p.mean, p.unit, p.count)).collect();
    assert_eq!(points, [(at(0), 1.0, 0, 5), (at(10), 3.0, 1, 5)], "the one that begins at its end does not touch it");
    let units = lake.units(&asset(1), range(0, 20)).await.unwrap();
    let name = signal("spindle_temperature");
    assert_eq!(units, [(name.clone(), "Cel".to_owned()), (name.clone(), "K".to_owned())]);
    let most = lake.windows(&asset(1), &name, range(0, 20), 2).await;
    assert!(matches!(most, Err(LakeError::TooManyRows { max: 2 })), "{most:?}");
}

#[tokio::test]
async fn of_each_step_the_last_window_of_every_signal_is_given() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let other = |seconds, value| changed(window(1, seconds, value), |w| w.signal = signal("power"));
    lake.push(vec![row(1, 1, window(1, 0, 1.0)), row(1, 2, window(1, 5, 2.0)), row(1, 3, other(0, 7.0)), row(1, 4, window(2, 0, 9.0))]);
    lake.commit().await.unwrap();
    lake.push(vec![
        row(1, 5, window(1, 10, 3.0)),
        row(1, 6, changed(window(1, 10, 99.0), |w| w.correction = true)),
        row(1, 7, window(1, 10, 4.0)),
        row(1, 8, window(1, 20, 5.0)),
    ]);
    let last = async |from: i64, to: i64, step: u64| {
        let found = lake.last_windows(&asset(1), range(from, to), Duration::from_secs(step), 100).await.unwrap();
        found.iter().map(|row| (row.record.signal.to_string(), row.record.end, row.record.last)).collect::<Vec<_>>()
    };
    let temperature = |end: i64, value: f64| ("spindle_temperature".to_owned(), at(end), value);
    assert_eq!(last(0, 20, 20).await, [("power".to_owned(), at(5), 7.0), temperature(15, 4.0)], "of two of one window the later one");
    assert_eq!(last(0, 10, 10).await, [("power".to_owned(), at(5), 7.0), temperature(10, 2.0)], "the end of a step is part of it");
    assert_eq!(last(5, 25, 10).await, [temperature(15, 4.0), temperature(25, 5.0)], "its beginning is not");
    let most = lake.last_windows(&asset(1), range(0, 30), Duration::from_secs(1), 3).await;
    assert!(matches!(most, Err(LakeError::TooManyRows { max: 3 })), "{most:?}");
    for (range, step) in [(range(0, 30), 0), (range(5, 5), 1)] {
        let wrong = lake.last_windows(&asset(1), range, Duration::from_secs(step), 3).await;
        assert!(matches!(wrong, Err(LakeError::InvalidRange { .. })), "{wrong:?}");
    }
}
