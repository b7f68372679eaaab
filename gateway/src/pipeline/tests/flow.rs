//! What comes in properly comes out properly.

use protocol::{AnomalyKind, MachineState};

use super::*;

#[test]
fn a_message_becomes_a_window_a_state_and_parts() {
    let mut bench = Bench::new("");
    for seq in 1..=20 {
        let total = 100 + seq;
        bench.telemetry(
            seq,
            &format!(r#""state":"producing","since":"2026-01-01T00:00:00Z","total":{total},"reject":2,"temperature":{seq},"note":"x""#),
        );
        bench.seconds(1);
    }
    bench.drain();
    assert_eq!(bench.counted(), 20);
    let window = bench.windows()[1];
    assert_eq!((window.asset.as_str(), window.signal.as_str()), ("p/a/l/m1", "temperature"));
    assert_eq!((window.count, window.min, window.mean, window.last, window.correction), (5, 6.0, 8.0, 10.0, false));
    let states = bench.states();
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].state, states[0].event_time.as_micros()), (MachineState::Producing, 1_767_225_600_000_000));
    let parts = bench.parts();
    assert_eq!(parts.iter().map(|p| p.produced).sum::<u64>(), 19);
    assert!(parts.len() <= 20 && parts.windows(2).all(|w| w[0].to <= w[1].from));
    assert_eq!(bench.pipeline.stats().dropped_total, 0);
    assert_eq!(bench.pipeline.stats().signals, 1 + 2, "one of the topic, two of the device");
}

#[test]
fn plain_numbers_and_nested_objects_are_readings_too() {
    let mut bench = Bench::new("");
    bench.send("p/a/l/m1/values/Oil-Pressure", " 45.2\n");
    bench.send(TOPIC, r#"{"motor":{"current":1.5,"on":true},"list":[1,2]}"#);
    bench.drain();
    let names: Vec<&str> = bench.windows().iter().map(|w| w.signal.as_str()).collect();
    assert_eq!(names, ["oil_pressure", "motor_current"]);
    assert_eq!(bench.pipeline.stats().dropped_total, 0);
}

#[test]
fn a_device_is_read_with_scale_state_and_wrapping_counters() {
    let mut bench = Bench::new("");
    for seq in 1..=10_u16 {
        let (state, elapsed) = if seq < 6 { (1, u32::from(seq) * 1_000) } else { (5, u32::from(seq - 6) * 1_000) };
        let result = registers(u32::from(seq), state, elapsed, (65_530_u16.wrapping_add(seq * 2), seq / 5), 60.0, -250);
        bench.pipeline.poll(bench.now, 0, &result);
        bench.seconds(1);
    }
    bench.drain();
    assert_eq!(bench.counted(), 20);
    let power = bench.windows().into_iter().find(|w| w.signal.as_str() == "power").unwrap();
    assert_eq!(power.mean, -2.5);
    let states: Vec<_> = bench.states().iter().map(|s| (s.state, s.event_time.as_micros() / 1_000_000 - 1_767_225_600)).collect();
    assert_eq!(states, [(MachineState::Producing, -1), (MachineState::UnplannedStop, 5)]);
    assert_eq!(bench.parts().iter().map(|p| (p.produced, p.rejected)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)), (18, 2));
    assert_eq!(bench.pipeline.stats().dropped_total, 0);
}

#[test]
fn an_excursion_becomes_one_anomaly_with_words() {
    let mut bench = Bench::new("[[detector]]\nkind = \"limits\"\nname = \"hot\"\nsignal = \"temp*\"\nhigh = 80.0\nseverity = \"critical\"");
    for seq in 1..=10 {
        bench.telemetry(seq, &format!(r#""temperature":{}"#, 75 + seq));
        bench.seconds(1);
    }
    bench.drain();
    let anomalies: Vec<_> = bench.stored.iter().filter_map(|r| if let Record::Anomaly(a) = r { Some(a) } else { None }).collect();
    assert_eq!(anomalies.len(), 1);
    assert_eq!((anomalies[0].kind, anomalies[0].value, anomalies[0].detector.as_str()), (AnomalyKind::LimitHigh, 81.0, "hot"));
    assert_eq!(anomalies[0].message, "temperature is 81, above the limit of 80");
}

#[test]
fn an_excursion_that_outlasts_a_restart_is_told_once() {
    let mut bench = Bench::new("[[detector]]\nkind = \"limits\"\nhigh = 80.0\ncool_down = \"0s\"");
    bench.telemetry(1, r#""temperature":90"#);
    bench.commit(true);
    bench.restart();
    bench.telemetry(2, r#""temperature":91"#);
    bench.drain();
    assert_eq!(bench.stored.iter().filter(|r| matches!(r, Record::Anomaly(_))).count(), 1);
}

#[test]
fn an_orderly_restart_loses_and_doubles_nothing() {
    let mut bench = Bench::new("");
    for seq in 1..=30 {
        bench.telemetry(seq, &format!(r#""total":{seq},"temperature":1.0"#));
        bench.wait(300_000);
        if seq % 4 == 0 {
            bench.commit(true);
            bench.restart();
        }
    }
    bench.drain();
    assert_eq!(bench.counted(), 30);
    assert_eq!(bench.parts().iter().map(|p| p.produced).sum::<u64>(), 29);
    assert!(bench.stored.iter().all(|r| !matches!(r, Record::Loss(_))));
    let starts: std::collections::BTreeSet<_> = bench.windows().iter().filter(|w| !w.correction).map(|w| w.start).collect();
    assert_eq!(starts.len(), bench.windows().iter().filter(|w| !w.correction).count(), "what comes after a restart is a correction");
}

#[test]
fn windows_open_across_a_change_of_length_keep_their_own() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""temperature":1.0"#);
    bench.commit(true);
    bench.config = config("[window]\nlength = \"60s\"");
    bench.restart();
    bench.telemetry(2, r#""temperature":2.0"#);
    bench.drain();
    let lengths: Vec<_> = bench.windows().iter().map(|w| (w.count, w.end.micros_since(w.start) / 1_000_000)).collect();
    assert_eq!(lengths, [(1, 5), (1, 60)]);
}

#[test]
fn a_stamp_from_a_clock_never_set_or_far_ahead_is_replaced_and_marked() {
    let mut bench = Bench::new("");
    for ts in ["\"1970-01-01T00:00:05Z\"", "\"2099-01-01T00:00:00Z\"", "\"noon\""] {
        bench.send(TOPIC, &format!(r#"{{"ts":{ts},"temperature":1.0}}"#));
    }
    bench.drain();
    assert_eq!(bench.counted(), 3);
    let window = bench.windows()[0];
    assert_eq!((window.start.as_micros(), window.time_quality), (1_767_225_600_000_000, protocol::TimeQuality::Unsynced));
    assert_eq!(bench.losses(LossReason::Malformed)[0].count, 0, "noon is told, the reading is not lost");
}
