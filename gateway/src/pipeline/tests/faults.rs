//! Whatever comes in: the rest goes on, and each drop is counted with its reason.

use super::*;

#[test]
fn bad_input_of_every_kind_is_counted_and_the_rest_goes_on() {
    let mut bench = Bench::new("");
    let cases: &[(&str, &str, LossReason, u64)] = &[
        (TOPIC, "", LossReason::Malformed, 1),
        (TOPIC, "{\"temperature\":", LossReason::Malformed, 1),
        (TOPIC, "[1,2,3]", LossReason::Malformed, 1),
        (TOPIC, "{\"temperature\":NaN}", LossReason::Malformed, 1),
        (TOPIC, "{\"temperature\":1e999}", LossReason::Malformed, 1),
        (TOPIC, "{\"temperature\":1e200}", LossReason::NotFinite, 1),
        (TOPIC, "{\"temperature\":\"warm\"}", LossReason::Malformed, 1),
        (TOPIC, "{\"temperature\":\"inf\"}", LossReason::NotFinite, 1),
        (TOPIC, "{\"temperature\":null}", LossReason::NotFinite, 1),
        (TOPIC, "{\"state\":\"dancing\",\"total\":-5,\"seq\":1.5}", LossReason::Malformed, 0),
        ("p/a/l/m1/values/x", "NaN", LossReason::NotFinite, 1),
        ("p/a/l/m1/values/x", "-inf", LossReason::NotFinite, 1),
        ("p/a/l/m1/values/x", "12 bar", LossReason::Malformed, 1),
        ("p/a/l/m1/values/x", "{\"a\":1}", LossReason::Malformed, 1),
        ("nothing/like/it", "1", LossReason::Unmatched, 1),
        ("p/a/l/+/telemetry", "{\"a\":1}", LossReason::Unmatched, 1),
        ("p/a/l/#", "{\"a\":1}", LossReason::Unmatched, 1),
        ("p/a/l/m 1/telemetry", "{\"a\":1}", LossReason::Unmatched, 1),
        ("", "", LossReason::Unmatched, 1),
    ];
    bench.send(TOPIC, "{\"temperature\":1}");
    for (topic, payload, reason, count) in cases {
        let before: u64 = bench.pipeline.stats().losses.iter().map(|(_, n)| n).sum();
        bench.send(topic, payload);
        let losses = bench.pipeline.stats().losses;
        assert!(losses.iter().any(|(r, _)| r == reason), "{topic} {payload}: {losses:?}");
        assert_eq!(losses.iter().map(|(_, n)| n).sum::<u64>() - before, *count, "{topic} {payload}");
        assert_ne!(bench.pipeline.stats().sources[0].last_error, "", "{topic} {payload}");
    }
    bench.send(TOPIC, "{\"temperature\":3}");
    assert_eq!(bench.pipeline.stats().sources[0].last_error, "");
    bench.drain();
    assert_eq!(bench.counted(), 2, "the good ones before and after");
    let told: u64 = [LossReason::Malformed, LossReason::NotFinite, LossReason::Unmatched].iter().map(|r| bench.lost(*r)).sum();
    assert_eq!(told, cases.iter().map(|c| c.3).sum::<u64>());
    assert!(bench.losses(LossReason::Unmatched)[0].detail.contains("nothing/like/it"));
}

#[test]
fn bytes_that_are_no_text_are_malformed() {
    let mut bench = Bench::new("");
    for topic in [TOPIC, "p/a/l/m1/values/x"] {
        bench.pipeline.message(bench.now, Config::BROKER, topic, &[0xff, 0xfe, 0, 1, 2]);
    }
    assert_eq!(bench.pipeline.stats().losses, [(LossReason::Malformed, 2)]);
}

#[test]
fn what_was_missing_is_told_per_signal_with_its_range() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""a":1,"b":2"#);
    bench.seconds(4);
    bench.telemetry(5, r#""a":1,"b":2"#);
    bench.telemetry(5, r#""a":1,"b":2"#);
    bench.drain();
    let mut losses: Vec<_> =
        bench.losses(LossReason::SequenceGap).iter().map(|l| (l.signal.as_ref().unwrap().to_string(), l.count)).collect();
    losses.sort();
    assert_eq!(losses, [("a".to_owned(), 3), ("b".to_owned(), 3)]);
    let loss = bench.losses(LossReason::SequenceGap)[0];
    assert_eq!((loss.to.micros_since(loss.from), loss.detail.as_str()), (4_000_000, "messages 2 to 4"));
    assert_eq!((bench.counted(), bench.pipeline.stats().duplicates_total), (4, 2));
}

#[test]
fn what_a_kill_took_lies_in_the_range_that_is_told() {
    let mut bench = Bench::new("");
    for seq in 1..=10 {
        bench.telemetry(seq, &format!(r#""temperature":1.0,"total":{seq}"#));
        bench.seconds(1);
    }
    bench.commit(false);
    let committed_at = bench.now.wall;
    for seq in 11..=13 {
        bench.telemetry(seq, &format!(r#""temperature":1.0,"total":{seq}"#));
        bench.seconds(1);
    }
    bench.seconds(60);
    let restarted_at = bench.now.wall;
    bench.restart();
    bench.telemetry(14, r#""temperature":1.0,"total":14"#);
    bench.drain();
    let marker = bench.losses(LossReason::PowerCut)[0];
    // Commits may have failed for as long.
    assert_eq!((marker.count, marker.from, marker.to), (0, committed_at, restarted_at));
    let gap = bench.losses(LossReason::SequenceGap)[0];
    assert_eq!((gap.count, gap.from, gap.to), (3, committed_at, restarted_at));
    assert!(bench.inherited.contains(&Record::Loss(gap.clone())), "it began in the run before");
    assert_eq!(bench.counted(), 11);
    assert_eq!(bench.parts().iter().map(|p| p.produced).sum::<u64>(), 13, "counters span the gap");
}

#[test]
fn a_device_that_does_not_answer_is_told_and_what_it_served_is_counted() {
    let mut bench = Bench::new("");
    let poll = |bench: &mut Bench, result: &PollResult| {
        bench.pipeline.poll(bench.now, 0, result);
        bench.seconds(1);
    };
    poll(&mut bench, &registers(1, 1, 0, (0, 0), 60.0, 100));
    poll(&mut bench, &failed(Outcome::Timeout));
    poll(&mut bench, &failed(Outcome::Exception(2)));
    poll(&mut bench, &failed(Outcome::Words(vec![1, 2, 3])));
    assert!(bench.pipeline.stats().sources[1].last_error.contains("3 values, asked for 13"));
    poll(&mut bench, &registers(4, 1, 0, (0, 0), f32::NAN, 100));
    assert_eq!(bench.pipeline.stats().sources[1].last_error, "value NaN");
    poll(&mut bench, &registers(5, 1, 0, (0, 0), 60.0, 100));
    assert_eq!(bench.pipeline.stats().sources[1].last_error, "");
    bench.drain();
    assert_eq!(bench.lost(LossReason::SequenceGap), 4, "answers 2 and 3 were served: two signals each");
    assert_eq!(bench.lost(LossReason::DeviceError), 0, "they are not counted twice");
    assert!(!bench.losses(LossReason::DeviceError).is_empty(), "but they are told");
    assert_eq!((bench.counted(), bench.lost(LossReason::NotFinite)), (5, 1));
}

#[test]
fn one_bad_block_costs_only_its_own_signals() {
    let mut bench = Bench::new("");
    let mut result = registers(1, 1, 0, (0, 0), 60.0, 100);
    let Outcome::Words(words) = result.reads[0].outcome.clone() else { unreachable!() };
    result.reads[0] =
        Read { block: Block { table: Table::Input, address: 0, quantity: 10 }, outcome: Outcome::Words(words[..10].to_vec()) };
    result.reads.push(Read { block: Block { table: Table::Input, address: 12, quantity: 1 }, outcome: Outcome::Exception(2) });
    bench.pipeline.poll(bench.now, 0, &result);
    bench.drain();
    assert_eq!(bench.windows().iter().map(|w| (w.signal.as_str(), w.count)).collect::<Vec<_>>(), [("temperature", 1)]);
    let loss = bench.losses(LossReason::DeviceError)[0];
    assert_eq!(
        (loss.signal.as_ref().unwrap().as_str(), loss.count, loss.detail.as_str()),
        ("power", 1, "exception 2 (illegal data address)")
    );
}

#[test]
fn signals_and_assets_beyond_the_limits_are_counted_and_the_known_ones_go_on() {
    let mut bench = Bench::new("[limits]\nmax_assets = 3\nmax_signals = 10\nmax_fields = 20");
    for i in 0..50 {
        bench.send(TOPIC, &format!(r#"{{"s{i}":1.0,"s0":2.0}}"#));
        bench.send(&format!("p/a/l/x{i}/telemetry"), r#"{"t":1.0}"#);
    }
    let many: Vec<String> = (0..21).map(|i| format!("\"f{i}\":1")).collect();
    bench.send(TOPIC, &format!("{{{}}}", many.join(",")));
    bench.drain();
    let stats = bench.pipeline.stats();
    assert_eq!((stats.assets, stats.signals), (3, 10));
    assert_eq!(bench.lost(LossReason::Malformed), 1);
    assert_eq!(bench.counted() + bench.lost(LossReason::Cardinality), 150);
}

#[test]
fn records_that_find_no_room_are_counted_as_lost() {
    let mut bench = Bench::new("[limits]\nmax_pending_records = 100");
    for i in 0..1_000 {
        bench.send(&format!("p/a/l/m1/values/s{}", i % 500), "1.0");
    }
    bench.seconds(20);
    assert_eq!(bench.pipeline.pending_records(), 100);
    bench.drain();
    assert_eq!(bench.counted() + bench.lost(LossReason::QueueFull), 1_000);
}

#[test]
fn urgent_records_find_room_at_the_price_of_data() {
    let mut bench = Bench::new("[limits]\nmax_pending_records = 100\n[[detector]]\nkind = \"limits\"\nhigh = 80.0\ncool_down = \"0s\"");
    for i in 0..100 {
        bench.send(&format!("p/a/l/m1/values/s{i}"), "1.0");
    }
    bench.seconds(20);
    for i in 0..30 {
        bench.send(&format!("p/a/l/m1/values/s{i}"), "99");
    }
    assert_eq!(bench.pipeline.pending_records(), 100);
    bench.drain();
    assert_eq!(bench.stored.iter().filter(|r| matches!(r, Record::Anomaly(_))).count(), 30);
    assert_eq!((bench.counted(), bench.lost(LossReason::QueueFull)), (100, 30));
}

#[test]
fn records_that_could_not_be_kept_come_back_as_losses() {
    let mut bench = Bench::new("");
    bench.telemetry(1, r#""temperature":1.0"#);
    bench.seconds(10);
    let commit = bench.pipeline.commit(bench.now, manner(true, false));
    assert_eq!(commit.data.len(), 1);
    bench.pipeline.settled(bench.now, true, Commit::default(), LossReason::QueueFull);
    bench.pipeline.lost_records(bench.now, &commit.data, LossReason::SpoolFull);
    bench.drain();
    assert_eq!(bench.lost(LossReason::SpoolFull), 1);
}

#[test]
fn a_commit_that_failed_comes_back_whole_and_in_order() {
    let mut bench = Bench::new("");
    for seq in 1..=3 {
        bench.telemetry(seq, r#""temperature":1.0,"state":"idle""#);
        bench.seconds(10);
        let commit = bench.pipeline.commit(bench.now, manner(true, false));
        bench.pipeline.settled(bench.now, false, commit, LossReason::SpoolFull);
    }
    bench.drain();
    assert_eq!((bench.counted(), bench.states().len()), (3, 1));
    assert!(bench.windows().windows(2).all(|pair| pair[0].start < pair[1].start));
    bench.restart();
    bench.drain();
    assert_eq!(bench.counted(), 3, "and its state was written with it");
}
