//! What the interface says of a machine equals what was taken in, now and in history.

use protocol::{Anomaly, AnomalyKind, Loss, LossReason, MachineState, Record, Severity, SignalName, Timestamp};
use serde_json::{Value, json};

use crate::api_plant::{PRESS, Plant, SECOND, gateway, parts, press, rfc3339, state, window};

/// Two hours ago, on a full hour.
fn two_hours_ago() -> Timestamp {
    let hour = 3_600 * SECOND;
    let now = collector::clock::now().as_micros();
    Timestamp(now - now.rem_euclid(hour) - 2 * hour)
}

#[track_caller]
fn close(found: &Value, wanted: f64) {
    assert!((found.as_f64().unwrap() - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

/// From `t0`: 60 s unplanned stop, 60 s setup, 1080 s producing at an ideal 2 s a part; 540 could be made, 486 are, 27 of them bad.
fn one_run(t0: Timestamp) -> Vec<Record> {
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    vec![
        state(s(-30), MachineState::UnplannedStop, "jam"),
        state(s(60), MachineState::Setup, ""),
        state(s(120), MachineState::Producing, ""),
        parts(s(-1), s(0), 1_000, 0),
        parts(s(120), s(600), 243, 20),
        parts(s(600), s(1_200), 243, 7),
        state(s(1_200), MachineState::Idle, ""),
    ]
}

#[tokio::test]
async fn oee_of_a_period_is_the_hand_computed_one_and_its_buckets_add_up() {
    let mut plant = Plant::new().await;
    let t0 = two_hours_ago();
    plant.take_in(one_run(t0));
    let to = t0.plus_micros(1_200 * SECOND);
    let path = format!("/api/v1/oee?asset={PRESS}&from={}&to={}&bucket=hour", rfc3339(t0), rfc3339(to));
    let counts = json!({"produced": 486, "good": 459, "rejected": 27, "reworked": 0, "startup_rejected": 0, "outside_plan": 0});
    for round in ["hot", "stored"] {
        let answer = plant.get(&path).await.ok();
        let total = &answer["total"];
        close(&total["availability"], 0.9);
        close(&total["performance"], 0.9);
        close(&total["quality"], 459.0 / 486.0);
        close(&total["oee"], 0.9 * 0.9 * 459.0 / 486.0);
        assert_eq!(total["counts"], counts, "{round}");
        close(&total["times"]["planned_busy_s"], 1_200.0);
        // The stop lasted 90 s in all, and 60 s of it lie in the period.
        close(&total["losses"]["minor_stops"], 60.0);
        close(&total["losses"]["breakdowns"], 0.0);
        close(&total["losses"]["setup_and_adjustments"], 60.0);
        close(&total["losses"]["reduced_speed"], 108.0);
        close(&total["coverage"], 1.0);
        assert_eq!(total["flags"], json!([]));
        assert_eq!(answer["buckets"].as_array().unwrap().len(), 1);
        plant.app.lake.commit().await.unwrap();
    }
    let device = json!({"device_id": PRESS, "from": rfc3339(t0), "to": rfc3339(to)});
    close(&plant.post("/api/v1/industry40/oee/calculate", &device).await.ok()["oee"], 0.9 * 0.9 * 459.0 / 486.0);
}

#[tokio::test]
async fn buckets_cover_the_period_and_sum_to_the_total() {
    let mut plant = Plant::new().await;
    let t0 = two_hours_ago();
    plant.take_in(one_run(t0.plus_micros(3_000 * SECOND)));
    let (from, to) = (t0.plus_micros(-900 * SECOND), t0.plus_micros(5_400 * SECOND));
    for (bucket, least) in [("hour", 3), ("shift", 1), ("day", 1)] {
        let path = format!("/api/v1/oee?asset={PRESS}&from={}&to={}&bucket={bucket}", rfc3339(from), rfc3339(to));
        let answer = plant.get(&path).await.ok();
        let buckets = answer["buckets"].as_array().unwrap();
        assert!(buckets.len() >= least);
        assert_eq!((&buckets[0]["from"], &buckets[buckets.len() - 1]["to"]), (&answer["from"], &answer["to"]));
        assert!(buckets.windows(2).all(|w| w[0]["to"] == w[1]["from"]));
        for key in ["production_s", "no_data_s", "down_s", "all_s"] {
            let sum: f64 = buckets.iter().map(|b| b["oee"]["times"][key].as_f64().unwrap()).sum();
            close(&answer["total"]["times"][key], sum);
        }
        let produced: u64 = buckets.iter().map(|b| b["oee"]["counts"]["produced"].as_u64().unwrap()).sum();
        assert_eq!(answer["total"]["counts"]["produced"], produced);
    }
}

#[tokio::test]
async fn states_are_clipped_and_what_is_not_known_is_no_data() {
    let mut plant = Plant::new().await;
    let t0 = two_hours_ago();
    plant.take_in(one_run(t0));
    let (from, to) = (t0.plus_micros(-60 * SECOND), t0.plus_micros(90 * SECOND));
    let answer = plant.get(&format!("/api/v1/states?asset={PRESS}&from={}&to={}", rfc3339(from), rfc3339(to))).await.ok();
    let spans: Vec<_> =
        answer["items"].as_array().unwrap().iter().map(|i| (i["state"].as_str().unwrap(), i["stop_reason"].as_str())).collect();
    assert_eq!(spans, [("no_data", None), ("unplanned_stop", Some("jam")), ("setup", None)]);
    assert_eq!(answer["items"][2]["to"], rfc3339(to));
    // The data end with the idle state, long ago: from there nothing is known.
    let tail = plant.get(&format!("/api/v1/states?asset={PRESS}&from={}", rfc3339(t0.plus_micros(1_100 * SECOND)))).await.ok();
    assert_eq!(tail["items"].as_array().unwrap().last().unwrap()["state"], "no_data");
}

#[tokio::test]
async fn explicit_numbers_and_wrong_ones() {
    let plant = Plant::new().await;
    let textbook =
        json!({"planned_busy_time_s": 25200, "downtime_s": 2820, "ideal_cycle_time_s": 1.0, "total_count": 19271, "reject_count": 423});
    close(&plant.post("/api/v1/industry40/oee/calculate", &textbook).await.ok()["oee"], 0.747_936_507_936_507_9);
    let wrong = json!({"planned_busy_time_s": 10, "downtime_s": 20, "total_count": 1, "reject_count": 2});
    let problem = plant.post("/api/v1/industry40/oee/calculate", &wrong).await.problem(400);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    plant.post("/api/v1/industry40/oee/calculate", &json!({"planned_busy_time": 10})).await.problem(400);
    plant.post("/api/v1/industry40/oee/calculate", &json!([])).await.problem(400);
}

#[tokio::test]
async fn a_series_weighs_by_readings_and_its_steps_are_aligned() {
    let mut plant = Plant::new().await;
    let t0 = two_hours_ago();
    plant.take_in(vec![window(t0, 5, 50.0), window(t0.plus_micros(5 * SECOND), 15, 54.0), window(t0.plus_micros(20 * SECOND), 5, 70.0)]);
    let (from, to) = (t0.plus_micros(-5 * SECOND), t0.plus_micros(60 * SECOND));
    let path = format!("/api/v1/metrics/spindle_temperature?asset={PRESS}&from={}&to={}&step=10", rfc3339(from), rfc3339(to));
    let answer = plant.get(&path).await.ok();
    assert_eq!((&answer["unit"], &answer["step_s"]), (&json!("Cel"), &json!(10)));
    let points = answer["points"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    assert_eq!(points[0], json!({"at": rfc3339(t0), "count": 20, "min": 49.0, "max": 55.0, "mean": 53.0}));
    assert_eq!(points[1]["at"], rfc3339(t0.plus_micros(20 * SECOND)));
    plant.get(&format!("/api/v1/metrics/Bad-Name?asset={PRESS}")).await.problem(400);
    plant.get(&format!("/api/v1/metrics/x?asset={PRESS}&from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:00Z&step=1")).await.problem(400);
}

#[tokio::test]
async fn anomalies_and_losses_page_without_repeating_or_skipping() {
    let mut plant = Plant::new().await;
    let t0 = two_hours_ago();
    let anomaly = |n: i64| {
        Record::Anomaly(Anomaly {
            asset: press(),
            signal: SignalName::new("spindle_temperature").unwrap(),
            event_time: t0.plus_micros(n / 3 * SECOND),
            kind: AnomalyKind::LimitHigh,
            severity: Severity::High,
            value: n as f64,
            threshold: 1.0,
            score: 1.0,
            detector: "limits".into(),
            message: format!("{n}"),
        })
    };
    let loss = |n: u64, reason| {
        let at = t0.plus_micros(i64::try_from(n).unwrap() * SECOND);
        Record::Loss(Loss { asset: Some(press()), signal: None, reason, count: n, from: at, to: at, detail: String::new() })
    };
    let mut records: Vec<_> = (0..10).map(anomaly).collect();
    records.extend((1..=4).map(|n| loss(n, LossReason::Malformed)));
    records.push(loss(5, LossReason::SequenceGap));
    plant.take_in(records);

    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = plant.get(&format!("/api/v1/anomalies?asset={PRESS}&limit=4{cursor}")).await.ok();
        found.extend(page["items"].as_array().unwrap().iter().map(|i| i["message"].as_str().unwrap().parse::<i64>().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    found.sort_unstable();
    assert_eq!(found, (0..10).collect::<Vec<_>>());

    let first = plant.get(&format!("/api/v1/losses?gateway={}&limit=3", gateway())).await.ok();
    assert_eq!(first["totals"], json!({"malformed": 10, "sequence_gap": 5}));
    assert_eq!(first["items"][0]["reason"], "sequence_gap");
    let second = plant.get(&format!("/api/v1/losses?gateway={}&limit=3&cursor={}", gateway(), first["next"].as_str().unwrap())).await.ok();
    assert_eq!((second["items"].as_array().unwrap().len(), &second["next"]), (2, &Value::Null));
    assert_eq!(plant.get("/api/v1/losses?gateway=other").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn the_live_page_shows_machines_and_gateways_and_pages() {
    let mut plant = Plant::new().await;
    let now = collector::clock::now();
    plant.take_in(vec![state(now.plus_micros(-5 * SECOND), MachineState::Producing, ""), window(now.plus_micros(-5 * SECOND), 5, 61.5)]);
    let page = plant.get("/api/v1/assets").await.ok();
    let machine = &page["items"][0];
    assert_eq!((&machine["asset"], &machine["machine"], &machine["state"]), (&json!(PRESS), &json!("press-1"), &json!("producing")));
    assert_eq!(
        (&machine["stale"], &machine["online"]),
        (&json!(false), &json!(false)),
        "data came, but the gateway said nothing of itself"
    );
    assert_eq!(machine["signals"][0]["value"], 61.5);
    assert_eq!(page["next"], Value::Null);
    let encoded = PRESS.replace('/', "%2F");
    let twin = plant.get(&format!("/api/v1/industry40/twin/{encoded}")).await.ok();
    assert_eq!(twin["gateway_status"]["gateway"], "press-gw1");
    assert_eq!(twin["gateway_status"]["readings_stored"], 5);
    plant.get("/api/v1/industry40/twin/a%2Fb%2Fc%2Fd").await.problem(404);

    plant.take_in(
        ["a/b/c/d", "z/b/c/d"]
            .iter()
            .map(|path| match window(now, 1, 1.0) {
                Record::Window(w) => Record::Window(protocol::WindowSummary { asset: path.parse().unwrap(), ..w }),
                other => other,
            })
            .collect(),
    );
    let first = plant.get("/api/v1/assets?limit=2").await.ok();
    assert_eq!(first["next"], PRESS);
    let second = plant.get(&format!("/api/v1/assets?limit=2&cursor={encoded}")).await.ok();
    assert_eq!((&second["items"][0]["asset"], &second["next"]), (&json!("z/b/c/d"), &Value::Null));
    assert_eq!(plant.get("/api/v1/gateways").await.ok()["items"][0]["readings_stored"], 7);
    assert_eq!(plant.get("/api/v1/shifts").await.ok()["items"].as_array().unwrap().len(), 4, "a day touches four shifts");
}

#[tokio::test]
async fn a_rebuilt_twin_says_what_the_one_before_said() {
    let mut plant = Plant::new().await;
    let now = collector::clock::now();
    let s = |seconds: i64| now.plus_micros(seconds * SECOND);
    plant.take_in(vec![
        state(s(-20_000), MachineState::Setup, ""),
        state(s(-40), MachineState::Producing, ""),
        parts(s(-1), s(0), 5, 1),
        window(s(-5), 5, 1.0),
    ]);
    plant.app.lake.commit().await.unwrap();
    plant.take_in(vec![window(s(0), 7, 2.0)]);
    let before = plant.app.twin.asset(&press(), collector::twin::Moment { now: s(1), started_at: now }).unwrap();
    let rebuilt = collector::twin::Twin::new(&plant.app.config);
    rebuilt.rebuild(&plant.app.lake, s(1)).await.unwrap();
    let moment = collector::twin::Moment { now: s(1), started_at: s(-1_000) };
    let after = rebuilt.asset(&press(), moment).unwrap();
    assert_eq!(
        (after.state, after.state_since, after.parts, after.signals),
        (before.state, before.state_since, before.parts, before.signals)
    );
    assert_eq!(after.oee.unwrap().times, before.oee.unwrap().times);
    assert_eq!(rebuilt.gateway(&gateway()).unwrap().readings_stored, 12);
}
