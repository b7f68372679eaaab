//! The books balance, whatever the order, the clocks, the losses and the restarts: made = summarised + told as lost.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// The next message arrives, its second reading broken or not, after so many parts.
    Send {
        broken: bool,
        parts: u64,
    },
    /// The next message never arrives, or only when `Release` comes.
    Miss {
        keep: bool,
    },
    Release,
    /// A message that was sent before is sent again.
    Again {
        back: u64,
    },
    Wait {
        micros: u64,
    },
    WallJump {
        micros: i64,
    },
    SourceJump {
        micros: i64,
    },
    Commit,
    /// Killed: what was not committed is gone.
    Kill,
    /// Stopped in order.
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (any::<bool>(), 0_u64..50).prop_map(|(broken, parts)| Step::Send { broken, parts }),
        2 => any::<bool>().prop_map(|keep| Step::Miss { keep }),
        2 => Just(Step::Release),
        2 => (0_u64..5).prop_map(|back| Step::Again { back }),
        8 => (0_u64..3_000_000).prop_map(|micros| Step::Wait { micros }),
        1 => (-7_200_000_000_i64..7_200_000_000).prop_map(|micros| Step::WallJump { micros }),
        1 => (-7_200_000_000_i64..7_200_000_000).prop_map(|micros| Step::SourceJump { micros }),
        3 => Just(Step::Commit),
        2 => Just(Step::Kill),
        1 => Just(Step::Stop),
    ];
    prop::collection::vec(step, 1..120)
}

struct Source {
    clock_us: i64,
    seq: u64,
    total: u64,
    sent: Vec<String>,
    kept: Vec<String>,
}

impl Source {
    fn make(&mut self, broken: bool, parts: u64) -> String {
        self.seq += 1;
        self.total += parts;
        let second = if broken { "null" } else { "2.5" };
        let (ts, seq, total) = (self.clock_us, self.seq, self.total);
        format!(r#"{{"ts":{ts},"session":"s","seq":{seq},"total":{total},"a":{seq},"b":{second}}}"#)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn made_is_summarised_or_lost_and_parts_add_up(steps in steps()) {
        let mut bench = Bench::new("");
        let start = bench.now.wall.as_micros();
        let mut source = Source { clock_us: start, seq: 0, total: 1_000, sent: Vec::new(), kept: Vec::new() };
        let first = source.make(false, 0);
        bench.send(TOPIC, &first);
        bench.commit(false);
        let mut latest = start;
        for step in steps {
            match step {
                Step::Send { broken, parts } => {
                    let message = source.make(broken, parts);
                    bench.send(TOPIC, &message);
                    source.sent.push(message);
                }
                Step::Miss { keep } => {
                    let message = source.make(false, 1);
                    if keep {
                        source.kept.push(message);
                    }
                }
                Step::Release => {
                    for message in source.kept.drain(..) {
                        bench.send(TOPIC, &message);
                    }
                }
                Step::Again { back } => {
                    // Only what this run of the process took in: after a kill, a message sent again is welcome.
                    if let Some(message) = source.sent.iter().rev().nth(usize::try_from(back).unwrap()) {
                        bench.send(TOPIC, message);
                    }
                }
                Step::Wait { micros } => {
                    source.clock_us += i64::try_from(micros).unwrap();
                    bench.wait(micros);
                }
                Step::WallJump { micros } => bench.now.wall = bench.now.wall.plus_micros(micros),
                Step::SourceJump { micros } => source.clock_us += micros,
                Step::Commit => bench.commit(false),
                Step::Kill => bench.restart(),
                Step::Stop => {
                    bench.commit(true);
                    bench.restart();
                }
            }
            latest = latest.max(source.clock_us).max(bench.now.wall.as_micros());
        }
        // A last message shows what is missing, on clocks that agree.
        source.clock_us = latest + 1_000_000;
        bench.now.wall = Timestamp::from_micros(source.clock_us);
        let last = source.make(false, 7);
        bench.send(TOPIC, &last);
        bench.drain();
        let lost = bench.lost(LossReason::SequenceGap) + bench.lost(LossReason::NotFinite);
        prop_assert_eq!(bench.counted() + lost, 2 * source.seq);
        prop_assert_eq!(bench.parts().iter().map(|p| p.produced).sum::<u64>(), source.total - 1_000);
        for reason in [LossReason::Malformed, LossReason::Unmatched, LossReason::QueueFull, LossReason::Cardinality] {
            prop_assert_eq!(bench.lost(reason), 0);
        }
        for loss in bench.losses(LossReason::SequenceGap).iter().chain(&bench.losses(LossReason::PowerCut)) {
            prop_assert!(loss.from <= loss.to);
        }
    }

    #[test]
    fn no_topic_and_no_payload_breaks_the_pipeline(
        messages in prop::collection::vec((topics(), payloads(), 0_u64..1_000_000), 0..60)
    ) {
        let mut bench = Bench::new("[limits]\nmax_signals = 20\nmax_assets = 5\nmax_fields = 8\n[[detector]]\nkind = \"ewma\"\nwarm_up = 2");
        for (topic, payload, micros) in messages {
            bench.pipeline.message(bench.now, Config::BROKER, &topic, &payload);
            bench.wait(micros);
        }
        bench.commit(false);
        bench.restart();
        bench.drain();
        for window in bench.windows() {
            prop_assert!(window.mean.is_finite() && window.stddev.is_finite() && window.min <= window.max);
        }
    }
}

fn topics() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(TOPIC.to_owned()),
        2 => "p/a/l/[a-c]/telemetry",
        2 => "p/a/l/m1/values/[a-zA-Z0-9 .é-]{0,70}",
        1 => any::<String>(),
    ]
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        any::<f64>().prop_map(|v| serde_json::json!(v)),
        any::<u64>().prop_map(|v| serde_json::json!(v)),
        any::<i64>().prop_map(|v| serde_json::json!(v)),
        any::<String>().prop_map(|v| serde_json::json!(v)),
        Just(serde_json::Value::Null),
        Just(serde_json::json!({"x": {"y": [1, {"z": 2}]}})),
        Just(serde_json::json!("2026-01-01T00:00:00Z")),
    ];
    let key = prop_oneof![
        Just("ts".to_owned()),
        Just("seq".to_owned()),
        Just("session".to_owned()),
        Just("state".to_owned()),
        Just("since".to_owned()),
        Just("total".to_owned()),
        Just("reject".to_owned()),
        "[a-c]",
        any::<String>(),
    ];
    prop_oneof![
        6 => prop::collection::btree_map(key, scalar, 0..8).prop_map(|map| serde_json::to_vec(&map).unwrap()),
        1 => any::<Vec<u8>>(),
        1 => "-?[0-9]{1,4}(e[0-9]{1,3})?".prop_map(String::into_bytes),
    ]
}
