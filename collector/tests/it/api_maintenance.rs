//! Events, reliability, predictions and learned models over HTTP.

use std::{sync::Arc, time::Duration};

use collector::{
    clock,
    config::Config,
    maintenance::{learned, round, training},
    store::PredictionRow,
};
use protocol::{
    Anomaly, AnomalyKind, AssetPath, MachineState, Quality, Record, Severity, SignalName, StateChange, TimeQuality, Timestamp,
    WindowSummary,
};
use serde_json::{Value, json};

use crate::{
    api_plant::{PRESS, Plant, SECOND, rfc3339, state},
    plant::eventually,
};

const HOUR: i64 = 3_600 * SECOND;

/// The last whole hour, so many hours ago.
fn hours_ago(hours: i64) -> Timestamp {
    let now = clock::now().as_micros();
    Timestamp(now - now.rem_euclid(HOUR) - hours * HOUR)
}

fn path(machine: &str) -> AssetPath {
    AssetPath::new(&format!("plant1/press-shop/line1/{machine}")).unwrap()
}

/// An hour of a signal.
fn hour(asset: &AssetPath, signal: &str, unit: &str, start: Timestamp, mean: f64) -> Record {
    Record::Window(WindowSummary {
        asset: asset.clone(),
        signal: SignalName::new(signal).unwrap(),
        unit: unit.into(),
        start,
        end: start.plus_micros(HOUR),
        count: 60,
        min: mean,
        max: mean,
        mean,
        stddev: 0.0,
        first: mean,
        last: mean,
        quality: Quality::Good,
        time_quality: TimeQuality::Synced,
        correction: false,
    })
}

fn state_of(asset: &AssetPath, at: Timestamp, state: MachineState) -> Record {
    Record::State(StateChange { asset: asset.clone(), event_time: at, state, reason: String::new(), time_quality: TimeQuality::Synced })
}

/// With other settings of maintenance.
fn configured(plant: &mut Plant, settings: &str) {
    let dir = plant.app.config.data_dir.clone();
    let text = format!(
        "[collector]\ndata_dir = {:?}\ntimezone = \"UTC\"\n[[asset]]\npath = \"{PRESS}\"\n[maintenance]\n{settings}\n",
        dir.display()
    );
    let config = Config::parse(std::path::Path::new("collector.toml"), &text, Vec::new()).unwrap();
    plant.app.config = Arc::new(config);
    plant.router = collector::api::router(plant.app.clone());
}

fn failure(asset: &str, at: Timestamp) -> Value {
    json!({"kind": "failure", "asset": asset, "at": rfc3339(at)})
}

#[track_caller]
fn near(found: &Value, wanted: f64, by: f64) {
    let found = found.as_f64().unwrap_or(f64::NAN);
    assert!((found - wanted).abs() <= by, "{found} is not {wanted}");
}

#[tokio::test]
async fn an_event_told_twice_is_one_and_another_under_its_id_is_a_conflict() {
    let plant = Plant::new().await;
    let at = hours_ago(1);
    let event =
        json!({"event": {"id": "cmms-1", "kind": "failure", "asset": PRESS, "at": rfc3339(at), "component": "bearing", "note": [1, 2]}});
    let first = plant.post("/api/v1/events", &event).await;
    assert_eq!((first.status.as_u16(), &first.json()["duplicate"]), (201, &json!(false)));
    assert_eq!(first.json()["event"]["note"], json!([1, 2]));
    assert_eq!(plant.post("/api/v1/events", &event).await.ok()["duplicate"], true);
    let mut other = event.clone();
    other["event"]["component"] = "belt".into();
    plant.post("/api/v1/events", &other).await.problem(409);
    // Without an id the content names it.
    let nameless = json!({"event": {"kind": "page_view", "at": rfc3339(at), "user": "u7"}});
    assert_eq!(plant.post("/api/v1/events", &nameless).await.status.as_u16(), 201);
    assert_eq!(plant.post("/api/v1/events", &nameless).await.ok()["duplicate"], true);
    let page = plant.get("/api/v1/events").await.ok();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next_cursor"]), (2, &Value::Null));
}

#[tokio::test]
async fn events_that_cannot_be_are_refused_and_a_batch_judges_each_by_itself() {
    let plant = Plant::new().await;
    let at = hours_ago(1);
    plant.post("/api/v1/events", &json!({"event": failure("plant1/press-shop/line1/unknown", at)})).await.problem(404);
    let future = failure(PRESS, clock::now().plus_micros(600 * SECOND));
    assert_eq!(plant.post("/api/v1/events", &json!({"event": future})).await.problem(400)["errors"][0]["field"], "event.at");
    plant.post("/api/v1/events", &json!({"event": {}, "extra": 1})).await.problem(422);
    let events = json!([
        {"id": "a", "kind": "failure", "asset": PRESS, "at": rfc3339(at)},
        {"id": "a", "kind": "failure", "asset": PRESS, "at": rfc3339(at)},
        {"id": "a", "kind": "failure", "asset": PRESS, "at": rfc3339(hours_ago(2))},
        failure("plant1/press-shop/line1/unknown", at),
        {"kind": "component_replaced", "asset": PRESS, "at": rfc3339(at)},
        {"kind": "comment", "at": rfc3339(at), "text": "looks worn"},
    ]);
    let answer = plant.post("/api/v1/events/batch", &json!({"events": events})).await.ok();
    assert_eq!((&answer["accepted"], &answer["duplicates"], &answer["refused"]), (&json!(2), &json!(1), &json!(3)));
    let results: Vec<_> = answer["items"].as_array().unwrap().iter().map(|i| i["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["accepted", "duplicate", "refused", "refused", "refused", "accepted"]);
    assert!(answer["items"][4]["detail"].as_str().unwrap().contains("component"), "{answer}");
    let many = vec![json!({"kind": "x", "at": rfc3339(at)}); 1_001];
    plant.post("/api/v1/events/batch", &json!({ "events": many })).await.problem(400);
    // A viewer reads and does not write.
    let request = axum::http::Request::post("/api/v1/events").header("x-api-key", &plant.viewer).header("content-type", "application/json");
    let body = axum::body::Body::from(json!({"event": failure(PRESS, at)}).to_string());
    plant.send(request.body(body).unwrap()).await.problem(403);
}

#[tokio::test]
async fn events_are_listed_by_machine_kind_and_time_page_by_page() {
    let plant = Plant::new().await;
    let events: Vec<Value> =
        (1..=7).map(|h| failure(PRESS, hours_ago(h))).chain([json!({"kind": "x", "at": rfc3339(hours_ago(3))})]).collect();
    assert_eq!(plant.post("/api/v1/events/batch", &json!({ "events": events })).await.ok()["accepted"], 8);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = plant.get(&format!("/api/v1/events?asset=plant1/press-shop&kind=failure&limit=3&cursor={cursor}")).await.ok();
        found.extend(page["items"].as_array().unwrap().iter().map(|e| e["at"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(found, (1..=7).map(|h| rfc3339(hours_ago(h))).collect::<Vec<_>>());
    let period = format!("from={}&to={}", rfc3339(hours_ago(4)), rfc3339(hours_ago(2)));
    assert_eq!(plant.get(&format!("/api/v1/events?{period}")).await.ok()["items"].as_array().unwrap().len(), 3);
    assert_eq!(plant.get("/api/v1/events?asset=plant2").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn beyond_the_most_events_new_ones_are_refused_and_known_ones_still_recognised() {
    let mut plant = Plant::new().await;
    configured(&mut plant, "max_events = 1000");
    let event = |n: usize| json!({"id": format!("e{n}"), "kind": "count", "at": rfc3339(hours_ago(1)), "n": n});
    let events: Vec<Value> = (0..1_000).map(event).collect();
    assert_eq!(plant.post("/api/v1/events/batch", &json!({ "events": events })).await.ok()["accepted"], 1_000);
    plant.post("/api/v1/events", &json!({"event": event(1_000)})).await.problem(507);
    assert_eq!(plant.post("/api/v1/events", &json!({"event": event(7)})).await.ok()["duplicate"], true);
}

#[tokio::test]
async fn an_hour_keeps_its_first_prediction_that_says_something_and_old_ones_go() {
    let plant = Plant::new().await;
    let press = path("press-1");
    let row = |at: Timestamp, rul_h: Option<f64>| PredictionRow {
        asset: press.clone(),
        at,
        rul_h,
        lower_h: rul_h,
        upper_h: None,
        health: Some(0.5),
        failure_probability: None,
        model_version: rul_h.map(|_| "age".into()),
        score: None,
    };
    let (old, new) = (hours_ago(100), hours_ago(2));
    let minute = |at: Timestamp, n: i64| at.plus_micros(n * 60 * SECOND);
    for row in [row(old, Some(1.0)), row(new, None), row(minute(new, 1), Some(7.0)), row(minute(new, 2), Some(8.0))] {
        plant.app.store.keep_prediction(&row).await.unwrap();
    }
    let all = protocol::TimeRange { from: Timestamp(0), to: clock::now() };
    let kept = plant.app.store.predictions(Some(&press), None, all, 10).await.unwrap();
    assert_eq!(kept.iter().map(|r| (r.at, r.rul_h)).collect::<Vec<_>>(), [(minute(new, 1), Some(7.0)), (old, Some(1.0))]);
    assert_eq!(plant.app.store.prune_predictions(hours_ago(50)).await.unwrap(), 1);
    assert_eq!(plant.app.store.predictions(None, Some("plant1"), all, 10).await.unwrap().len(), 1);
}

/// Ages between failures of ReliaWiki's six units: beta 1.93268, eta 73.526 h. An hour of repair after each.
const AGES: [i64; 6] = [16, 34, 53, 75, 93, 120];

/// The states of a machine that ran to those ages; and when each failure was, and when the last was repaired.
fn six_ages(t0: Timestamp) -> (Vec<Record>, Vec<Timestamp>, Timestamp) {
    let (mut records, mut failures, mut at) = (vec![state(t0, MachineState::Producing, "")], Vec::new(), t0);
    for age in AGES {
        at = at.plus_micros(age * HOUR);
        failures.push(at);
        records.push(state(at, MachineState::UnplannedStop, "broken"));
        at = at.plus_micros(HOUR);
        records.push(state(at, MachineState::Producing, ""));
    }
    (records, failures, at)
}

#[tokio::test]
async fn reliability_of_known_ages_is_the_worked_example_from_events_and_from_stops_alike() {
    for reported in [true, false] {
        let mut plant = Plant::new().await;
        let (records, failures, to) = six_ages(hours_ago(500));
        plant.take_in(records);
        if reported {
            let events: Vec<Value> = failures
                .iter()
                .flat_map(|at| {
                    let mut repaired = failure(PRESS, at.plus_micros(HOUR));
                    repaired["kind"] = "repair_end".into();
                    [failure(PRESS, *at), repaired]
                })
                .collect();
            assert_eq!(plant.post("/api/v1/events/batch", &json!({ "events": events })).await.ok()["accepted"], 12);
        }
        let period = format!("from={}&to={}", rfc3339(hours_ago(600)), rfc3339(to));
        let costs = "cost_preventive=1&cost_corrective=10";
        let answer = plant.get(&format!("/api/v1/maintenance/reliability?asset={PRESS}&{period}&{costs}")).await.ok();
        let weibull = &answer["fit"]["weibull"];
        near(&weibull["beta"]["value"], 1.932_68, 1e-5);
        near(&weibull["eta_h"]["value"], 73.526, 1e-3);
        near(&answer["kpis"]["mtbf"]["mtbf_h"], 391.0 / 6.0, 1e-9);
        near(&answer["kpis"]["mttr_h"], 1.0, 1e-9);
        near(&answer["kpis"]["availability"]["value"], 391.0 / 397.0, 1e-9);
        assert!(answer["kpis"]["availability"]["lower"].as_f64() < answer["kpis"]["availability"]["value"].as_f64());
        assert_eq!((&answer["machines"], &answer["flags"]), (&json!(1), &json!([])));
        near(&answer["fit"]["kaplan_meier"]["median_h"], 53.0, 1e-9);
        assert!(answer["growth"]["beta"]["value"].is_number() && answer["trend"]["laplace"]["p_value"].is_number(), "{answer}");
        assert_eq!(answer["replacement"]["finding"], "replace_at_age");
        // The line is this machine, and whoever shares its line.
        let line = plant.get(&format!("/api/v1/maintenance/reliability?asset=plant1/press-shop&{period}")).await.ok();
        assert_eq!(line["fit"]["weibull"], answer["fit"]["weibull"]);
        assert!(line["replacement"].is_null());
    }
}

#[tokio::test]
async fn without_data_there_are_flags_and_null_and_an_unknown_machine_is_not_found() {
    let plant = Plant::new().await;
    let answer = plant.get(&format!("/api/v1/maintenance/reliability?asset={PRESS}")).await.ok();
    assert_eq!(answer["flags"], json!(["no_data", "no_failures", "no_operating_time"]));
    assert!(answer["growth"].is_null() && answer["trend"].is_null() && answer["replacement"].is_null());
    assert!(answer["kpis"]["mtbf"]["mtbf_h"].is_null());
    let prediction = plant.post("/api/v1/industry40/maintenance/predict", &json!({"device_id": PRESS})).await.ok();
    assert!(prediction["health"].is_null() && prediction["rul"].is_null() && prediction["failure_probability"].is_null());
    assert_eq!(prediction["flags"], json!(["no_prediction", "no_health"]));
    let list = plant.get("/api/v1/maintenance?sort=rul").await.ok();
    assert_eq!((&list["items"][0]["asset"], &list["items"][0]["rank"], &list["total"]), (&json!(PRESS), &json!(1), &json!(1)));
    let page = plant.get(&format!("/api/v1/maintenance/predictions?asset={PRESS}")).await.ok();
    assert_eq!((&page["items"], &page["summary"]), (&json!([]), &json!({})));
    assert_eq!(plant.get("/api/v1/maintenance/models").await.ok()["items"], json!([]));

    let unknown = "plant1/press-shop/line1/press-9";
    plant.post("/api/v1/industry40/maintenance/predict", &json!({"device_id": unknown})).await.problem(404);
    plant.post("/api/v1/industry40/maintenance/predict", &json!({"device_id": "press"})).await.problem(400);
    plant.get(&format!("/api/v1/maintenance/reliability?asset={unknown}")).await.problem(404);
    plant.get(&format!("/api/v1/maintenance/predictions?asset={unknown}")).await.problem(404);
    plant.get(&format!("/api/v1/maintenance?scope={unknown}")).await.problem(404);
    plant.get(&format!("/api/v1/maintenance/reliability?asset={PRESS}&cost_preventive=1")).await.problem(400);
    plant.get(&format!("/api/v1/maintenance/reliability?asset={PRESS}&confidence=NaN")).await.problem(400);
}

async fn predictions(plant: &Plant) -> Value {
    plant.get(&format!("/api/v1/maintenance/predictions?asset={PRESS}")).await.ok()
}

/// Vibration that grows by a line from 1 mm/s to the limit of 4.5 mm/s.
fn wearing(asset: &AssetPath, from: Timestamp, hours: i64, limit_after_h: i64) -> Vec<Record> {
    let records = (0..hours).map(|h| {
        let noise = ((h as f64 * 0.618).fract() - 0.5) * 0.1;
        let mean = 1.0 + 3.5 * h as f64 / limit_after_h as f64 + noise;
        hour(asset, "vibration", "mm/s", from.plus_micros(h * HOUR), mean)
    });
    records.collect()
}

#[tokio::test]
async fn a_prediction_of_a_degrading_signal_holds_the_truth_is_kept_and_is_scored_when_the_failure_comes() {
    let mut plant = Plant::new().await;
    // The limit is reached 12 h ago, after 500 h; seen 200 h before.
    let (begin, limit_at, asked_at) = (hours_ago(512), hours_ago(12), hours_ago(212));
    let press = path("press-1");
    plant.take_in(wearing(&press, begin, 495, 500));
    plant.take_in(vec![Record::Anomaly(Anomaly {
        asset: press.clone(),
        signal: SignalName::new("vibration").unwrap(),
        event_time: hours_ago(215),
        kind: AnomalyKind::LimitHigh,
        severity: Severity::High,
        value: 3.0,
        threshold: 2.9,
        score: 3.0,
        detector: "limit".into(),
        message: "above its limit".into(),
    })]);
    round::round(&plant.app, asked_at).await.unwrap();
    let prediction = plant.app.maintenance.of(&press).unwrap();
    let rul = prediction.rul.unwrap();
    assert!(rul.lower_h <= 200.0 && 200.0 <= rul.upper_h.unwrap() && (rul.hours - 200.0).abs() < 50.0, "{rul:?}");
    assert!(prediction.health.unwrap() < 1.0 && prediction.drivers.iter().any(|d| d.name == "vibration"), "{prediction:?}");
    // A second round in the same hour keeps nothing more; what happened is told by the list.
    round::round(&plant.app, asked_at.plus_micros(60 * SECOND)).await.unwrap();
    let listed = plant.get(&format!("/api/v1/maintenance?scope={PRESS}")).await.ok();
    near(&listed["items"][0]["prediction"]["rul"]["hours"], rul.hours, 2.0);

    let before = predictions(&plant).await;
    assert_eq!(before["items"].as_array().unwrap().len(), 1, "{before}");
    assert!(before["items"][0]["score"].is_null() && before["items"][0]["model_version"] == "degradation");

    plant.post("/api/v1/events", &json!({"event": failure(PRESS, limit_at)})).await;
    round::round(&plant.app, clock::now()).await.unwrap();
    let after = predictions(&plant).await;
    let scored = after["items"].as_array().unwrap().iter().find(|i| i["at"] == rfc3339(asked_at)).unwrap();
    near(&scored["score"]["true_rul_h"], 200.0, 1e-9);
    near(&scored["score"]["error_h"], rul.hours - 200.0, 1e-6);
    assert_eq!((&scored["score"]["in_interval"], &scored["score"]["censored"]), (&json!(true), &json!(false)));
    assert_eq!((&after["summary"]["degradation"]["failed"], &after["summary"]["degradation"]["coverage"]), (&json!(1), &json!(1.0)));
    let listed = plant.get("/api/v1/maintenance").await.ok();
    assert_eq!(listed["items"][0]["last_failure"]["at"], rfc3339(limit_at));

    // A failure that is told late was before that one: the prediction is judged by it.
    let earlier = hours_ago(112);
    plant.post("/api/v1/events", &json!({"event": failure(PRESS, earlier)})).await;
    round::round(&plant.app, clock::now()).await.unwrap();
    let again = predictions(&plant).await;
    let scored = again["items"].as_array().unwrap().iter().find(|i| i["at"] == rfc3339(asked_at)).unwrap();
    near(&scored["score"]["true_rul_h"], 100.0, 1e-9);
}

#[tokio::test]
async fn a_replacement_before_the_failure_censors_what_was_predicted_and_open_orders_are_listed() {
    let mut plant = Plant::new().await;
    let press = path("press-1");
    plant.take_in(wearing(&press, hours_ago(400), 390, 600));
    round::round(&plant.app, hours_ago(50)).await.unwrap();
    let events = json!([
        {"kind": "component_replaced", "asset": PRESS, "component": "spindle", "at": rfc3339(hours_ago(20))},
        {"kind": "work_order_start", "asset": PRESS, "work_order": "W7", "work_order_kind": "preventive", "at": rfc3339(hours_ago(21))},
    ]);
    plant.post("/api/v1/events/batch", &json!({ "events": events })).await.ok();
    round::round(&plant.app, clock::now()).await.unwrap();
    let page = predictions(&plant).await;
    let scored = page["items"].as_array().unwrap().iter().find(|i| i["at"] == rfc3339(hours_ago(50))).unwrap();
    assert_eq!(scored["score"]["censored"], true);
    near(&scored["score"]["true_rul_h"], 30.0, 1e-9);
    let item = plant.get("/api/v1/maintenance").await.ok()["items"][0].clone();
    assert_eq!((&item["open_work_orders"][0]["work_order"], &item["last_failure"]), (&json!("W7"), &Value::Null));
    // What was worn is gone: nothing is left to be extrapolated.
    assert!(item["prediction"]["rul"].is_null(), "{item}");
}

#[tokio::test]
async fn the_machine_that_fails_first_is_listed_first() {
    let mut plant = Plant::new().await;
    let (slow, fast, passed) = (path("press-2"), path("press-3"), path("press-4"));
    plant.take_in(wearing(&slow, hours_ago(400), 400, 900));
    plant.take_in(wearing(&fast, hours_ago(400), 400, 500));
    plant.take_in(wearing(&passed, hours_ago(400), 400, 380));
    round::round(&plant.app, clock::now()).await.unwrap();
    let list = plant.get("/api/v1/maintenance?sort=rul").await.ok();
    let order: Vec<_> = list["items"].as_array().unwrap().iter().map(|i| i["asset"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, [passed.as_str(), fast.as_str(), slow.as_str(), PRESS]);
    assert_eq!(list["items"][0]["prediction"]["flags"][0], "limit_passed");
    assert_eq!(plant.get("/api/v1/maintenance?limit=2").await.ok()["items"].as_array().unwrap().len(), 2);
    assert_eq!(plant.get("/api/v1/maintenance?sort=health").await.ok()["items"][0]["asset"], passed.as_str());
}

/// Lives of `machines`: wear grows with the square of the share of life that has passed, heat shows it, hum does not. The last machine lives.
fn fleet(machines: i64, begin: Timestamp) -> (Vec<Record>, Vec<Value>) {
    let (mut records, mut events) = (Vec::new(), Vec::new());
    for m in 0..machines {
        let asset = path(&format!("mill-{m:02}"));
        let life = 70 + (m * 37) % 50;
        let is_alive = m == machines - 1;
        let seen = if is_alive { life - 10 } else { life };
        records.push(state_of(&asset, begin, MachineState::Producing));
        for h in 0..seen {
            let (at, wear) = (begin.plus_micros(h * HOUR), ((h + 1) as f64 / life as f64).powi(2));
            let noise = ((h * 7 + m) as f64 * 0.618).fract() - 0.5;
            records.push(hour(&asset, "heat", "Cel", at, 60.0 + 20.0 * wear + noise));
            records.push(hour(&asset, "hum", "dB", at, 40.0 + noise));
        }
        let end = begin.plus_micros(seen * HOUR);
        if !is_alive {
            records.push(state_of(&asset, end, MachineState::Idle));
            events.push(failure(asset.as_str(), end));
        }
    }
    (records, events)
}

#[tokio::test]
async fn a_fleet_trains_a_model_in_the_background_that_predicts_with_its_error_and_its_drivers() {
    let mut plant = Plant::new().await;
    configured(&mut plant, "max_trees = 40\npredict_every = \"1h\"");
    let begin = hours_ago(200);
    let (records, events) = fleet(13, begin);
    plant.take_in(records);
    // Too few failures: the card says how many are missing.
    plant.post("/api/v1/events/batch", &json!({ "events": &events[..5] })).await.ok();
    round::round(&plant.app, clock::now()).await.unwrap();
    let models = plant.get("/api/v1/maintenance/models").await.ok();
    let card = models["items"].as_array().unwrap().iter().find(|c| c["kind"] == "heat+hum").unwrap();
    assert_eq!((&card["state"], &card["failures"]), (&json!("failed"), &json!(5)));
    assert!(card["reason"].as_str().unwrap().contains("3 more are missing"), "{card}");

    assert_eq!(plant.post("/api/v1/events/batch", &json!({ "events": events })).await.ok()["duplicates"], 5);
    round::round(&plant.app, clock::now()).await.unwrap();
    let card = trained(&plant, "rul-1").await;
    assert_eq!((&card["state"], &card["failures"], &card["machines"]), (&json!("in_use"), &json!(12), &json!(12)));
    assert!(card["held_back_rmse_h"].as_f64() < card["median_life_rmse_h"].as_f64(), "{card}");
    assert_eq!(card["features"], json!(["heat", "hum"]));

    // The machine that lives has 10 h left as of its last hour.
    let alive = path("mill-12");
    let life = 70 + (12 * 37) % 50;
    let seen_until = begin.plus_micros((life - 10) * HOUR);
    round::round(&plant.app, seen_until).await.unwrap();
    let prediction = plant.app.maintenance.of(&alive).unwrap();
    let learned = prediction.estimates.iter().find(|e| e.model_version.as_deref() == Some("rul-1")).unwrap();
    assert_eq!(learned.held_back_rmse_h, card["held_back_rmse_h"].as_f64());
    assert!(learned.lower_h <= 10.0 && 10.0 <= learned.upper_h.unwrap(), "{learned:?}");
    let heat = prediction.drivers.iter().find(|d| d.name == "heat" && json!(d.kind) == "model").unwrap();
    assert!(heat.share > 0.1 && heat.detail.contains("shortens"), "{:?}", prediction.drivers);

    // Asked for again nothing new is learned, and the model stays.
    assert_eq!(plant.post("/api/v1/maintenance/models/train", &json!({})).await.status.as_u16(), 202);
    round::round(&plant.app, clock::now()).await.unwrap();
    let second = trained(&plant, "rul-2").await;
    assert_eq!(second["state"], "retired");
    assert!(second["reason"].as_str().unwrap().contains("not below that of rul-1"), "{second}");

    // After a start the file is read; a damaged one is told, skipped, and does no harm.
    let file = learned::place(&plant.app.config.in_data_dir(training::FOLDER), "rul-1");
    let bytes = std::fs::read(&file).unwrap();
    plant.app.maintenance = Arc::default();
    training::load(&plant.app).await.unwrap();
    round::round(&plant.app, seen_until).await.unwrap();
    let reloaded = plant.app.maintenance.of(&alive).unwrap();
    assert_eq!(reloaded.estimates, prediction.estimates);
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    plant.app.maintenance = Arc::default();
    plant.router = collector::api::router(plant.app.clone());
    training::load(&plant.app).await.unwrap();
    let models = plant.get("/api/v1/maintenance/models").await.ok();
    let damaged = models["items"].as_array().unwrap().iter().find(|c| c["version"] == "rul-1").unwrap();
    assert_eq!(damaged["state"], "failed");
    assert!(damaged["reason"].as_str().unwrap().contains("damaged"), "{damaged}");
    let prediction = plant.post("/api/v1/industry40/maintenance/predict", &json!({"device_id": alive.as_str()})).await.ok();
    assert!(prediction["estimates"].as_array().unwrap().iter().all(|e| e["method"] != "learned"), "{prediction}");
}

/// The card of a version, when its training has ended.
async fn trained(plant: &Plant, version: &str) -> Value {
    let mut found = Value::Null;
    eventually("a training", async || {
        let models = plant.get("/api/v1/maintenance/models").await.ok();
        let card = models["items"].as_array().unwrap().iter().find(|c| c["version"] == version).cloned();
        found = card.unwrap_or_default();
        found.is_object() && found["state"] != "training" && !plant.app.maintenance.is_training()
    })
    .await;
    found
}

#[tokio::test]
async fn the_background_takes_up_what_is_told_without_being_asked() {
    let mut plant = Plant::new().await;
    let press = path("press-1");
    plant.take_in(wearing(&press, hours_ago(300), 300, 400));
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(round::run(plant.app.clone(), stop.clone()));
    plant.post("/api/v1/events", &json!({"event": failure(PRESS, hours_ago(290))})).await;
    eventually("a prediction", async || plant.app.maintenance.of(&press).is_some()).await;
    let facts = plant.app.maintenance.facts(&press).unwrap();
    assert_eq!(facts.last_failure.as_ref().unwrap().at, hours_ago(290));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("it ends with its token").unwrap();
}
