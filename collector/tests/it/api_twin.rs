//! The twin of now and of then, what it forecasts, and what is posted to it.

use collector::{
    app::Collector,
    auth::{self, Role},
    clock,
    store::PredictionRow,
    twin::{Moment, Twin},
};
use protocol::{Anomaly, AnomalyKind, MachineState, Record, Severity, SignalName, StampedRecord, Timestamp, WindowSummary};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::{
    api_plant::{PRESS, Plant, SECOND, gateway, parts, press, rfc3339, state, window},
    kill::Server,
    plant::{NEVER_COMMIT, Site, eventually, install_tls, number},
};

const DAY: i64 = 86_400 * SECOND;

/// Yesterday at six, when the early shift began.
fn shift_start() -> Timestamp {
    let now = clock::now().as_micros();
    Timestamp(now - now.rem_euclid(DAY) - DAY + 6 * 3_600 * SECOND)
}

fn anomaly(at: Timestamp, value: f64) -> Record {
    Record::Anomaly(Anomaly {
        asset: press(),
        signal: SignalName::new("spindle_temperature").unwrap(),
        event_time: at,
        kind: AnomalyKind::LimitHigh,
        severity: Severity::High,
        value,
        threshold: 80.0,
        score: value,
        detector: "hot".into(),
        message: "hot".into(),
    })
}

fn vibration(record: Record) -> Record {
    match record {
        Record::Window(w) => Record::Window(WindowSummary { signal: SignalName::new("vibration").unwrap(), unit: "mm/s".into(), ..w }),
        record => record,
    }
}

/// From the beginning of a shift: 10 min stop, then production with 5 parts a minute; a window every five seconds.
fn until(t0: Timestamp, seconds: i64) -> Vec<Record> {
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    let mut records = vec![state(s(-60), MachineState::UnplannedStop, "jam"), vibration(window(s(-8_000), 5, 2.0)), anomaly(s(30), 85.0)];
    records.push(state(s(600), MachineState::Producing, ""));
    records.extend((0..seconds / 5).map(|i| window(s(i * 5), 5, 60.0 + i as f64 * 0.01)));
    records.extend((10..seconds / 60).map(|i| parts(s(i * 60), s(i * 60 + 60), 5, u64::from(i % 5 == 0))));
    records.retain(|record| match record {
        Record::State(r) => r.event_time <= s(seconds),
        Record::Anomaly(r) => r.event_time <= s(seconds),
        Record::Window(r) => r.end <= s(seconds),
        Record::Parts(r) => r.to <= s(seconds),
        Record::Loss(_) => true,
    });
    records
}

/// Of a view as JSON what does not depend on when it was asked.
fn of_then(view: &Value) -> Value {
    let mut view = view.clone();
    let fields = view.as_object_mut().unwrap();
    for field in ["at", "captures", "gateway_status", "online"] {
        fields.remove(field);
    }
    view
}

#[tokio::test]
async fn the_twin_of_then_is_what_the_live_one_showed_then() {
    let mut plant = Plant::new().await;
    let t0 = shift_start();
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    plant.take_in(until(t0, 3_600));
    // What came later, in any order.
    plant.take_in(vec![state(s(4_000), MachineState::Setup, ""), anomaly(s(3_700), 99.0), parts(s(3_600), s(3_660), 7, 7)]);
    plant.take_in(vec![window(s(90_000), 5, 10.0)]);
    for seconds in [300, 1_203, 3_600] {
        let live = Twin::new(&plant.app.config);
        let records = until(t0, seconds).into_iter().zip(1..).map(|(record, seq)| StampedRecord { seq, record });
        live.apply(&gateway(), s(seconds), &records.collect::<Vec<_>>());
        let wanted = live.asset(&press(), Moment { now: s(seconds), started_at: t0 }).unwrap();
        let wanted: Value = serde_json::from_str(&serde_json::to_string(&wanted).unwrap()).unwrap();
        for round in ["hot", "stored"] {
            let found = plant.get(&format!("/api/v1/industry40/twin/{PRESS}?at={}", rfc3339(s(seconds)))).await.ok();
            assert_eq!(of_then(&found), of_then(&wanted), "{round}, {seconds} s");
            assert_eq!((&found["at"], &found["captures"]), (&json!(rfc3339(s(seconds))), &json!([])));
            plant.app.lake.commit().await.unwrap();
        }
    }
    let found = plant.get(&format!("/api/v1/industry40/twin/{PRESS}?at={}", rfc3339(s(1_203)))).await.ok();
    assert_eq!((&found["state"], &found["parts"]["produced"]), (&json!("producing"), &json!(50)));
    let old = found["signals"].as_array().unwrap().iter().find(|signal| signal["signal"] == "vibration").unwrap();
    assert_eq!((old["value"].as_f64(), old["age_s"].as_f64(), &old["quality"]), (Some(2.0), Some(9_198.0), &json!("good")));
}

#[tokio::test]
async fn a_history_is_the_twin_at_each_of_its_times() {
    let mut plant = Plant::new().await;
    let t0 = shift_start();
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    plant.take_in(until(t0, 3_600));
    let path = |rest: &str| format!("/api/v1/industry40/twin/{}/history?{rest}", PRESS.replace('/', "%2F"));
    let period = format!("from={}&to={}", rfc3339(s(-600)), rfc3339(s(4_200)));
    let items = plant.get(&path(&format!("{period}&step=600"))).await.ok()["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 9);
    for item in &items {
        let at = item["at"].as_str().unwrap();
        let one = plant.get(&format!("/api/v1/industry40/twin/{PRESS}?at={at}")).await.ok();
        assert_eq!(of_then(item), of_then(&one), "{at}");
    }
    assert_eq!((&items[0]["state"], &items[1]["state"], &items[2]["state"]), (&Value::Null, &json!("unplanned_stop"), &json!("producing")));
    assert_eq!(plant.get(&path(&period)).await.ok()["items"].as_array().unwrap().len(), 101);
    plant.get(&path(&format!("{period}&step=5"))).await.problem(400);
    plant.get(&path("step=0&to=never")).await.problem(400);
    plant.get("/api/v1/industry40/twin/a/b/c/d/history").await.problem(404);
}

#[tokio::test]
async fn the_twin_of_now_has_its_condition_and_the_future_is_refused() {
    let mut plant = Plant::new().await;
    let now = clock::now();
    plant.take_in(vec![window(now.plus_micros(-6 * SECOND), 5, 61.5)]);
    let cause = vec![(collector::alarms::AlarmKind::NotDurable, None, "its disk is full".to_owned())];
    plant.app.alarms.lock().update(now, &gateway(), cause);
    for path in [PRESS.to_owned(), PRESS.replace('/', "%2F")] {
        let twin = plant.get(&format!("/api/v1/industry40/twin/{path}")).await.ok();
        assert_eq!((&twin["health"], &twin["rul"], &twin["captures"]), (&Value::Null, &Value::Null, &json!([])));
        assert_eq!((&twin["open_alarms"][0]["kind"], &twin["open_alarms"][0]["gateway"]), (&json!("not_durable"), &json!("press-gw1")));
        assert!(twin["signals"][0]["age_s"].as_f64().unwrap() >= 1.0 && twin["at"].is_string());
    }
    assert_eq!(plant.get("/api/v1/assets").await.ok()["items"][0]["open_alarms"][0]["kind"], "not_durable");
    let future = rfc3339(now.plus_micros(3_600 * SECOND));
    let problem = plant.get(&format!("/api/v1/industry40/twin/{PRESS}?at={future}")).await.problem(400);
    assert_eq!(problem["errors"][0]["field"], "at");
    plant.get("/api/v1/industry40/twin/a/b/c/d?at=2026-01-01T00:00:00Z").await.problem(404);
    plant.get("/api/v1/industry40/twin/a/b/c").await.problem(404);
}

#[tokio::test]
async fn a_faster_cycle_makes_more_parts_and_an_order_is_done_earlier() {
    let mut plant = Plant::new().await;
    let now = clock::now();
    let s = |seconds: i64| now.plus_micros(seconds * SECOND);
    // Five hours until now: 20 s a part, and a stop of 60 to 120 s every half hour.
    let mut records = Vec::new();
    for i in -10..0 {
        let (from, stop) = (i * 1_800, 60 + (i + 10) * 6);
        records.push(state(s(from), MachineState::Producing, ""));
        records.push(state(s(from + 1_800 - stop), MachineState::UnplannedStop, "jam"));
        records.push(parts(s(from), s(from + 1_800 - stop), ((1_800 - stop) / 20).unsigned_abs(), 2));
    }
    records.push(state(s(-1), MachineState::Producing, ""));
    records.push(window(s(-6), 5, 60.0));
    plant.take_in(records);
    let path = format!("/api/v1/industry40/twin/{PRESS}/simulate");
    let asked = json!({"cycle_factor": 0.95, "order_quantity": 500, "history_days": 1});
    let answer = plant.post(&path, &asked).await.ok();
    assert_eq!((&answer["asset"], answer["shift"]["name"].is_string()), (&json!(PRESS), true));
    assert!(answer["based_on"]["stops"].as_u64().unwrap() >= 8, "{}", answer["based_on"]);
    assert!((answer["based_on"]["cycle_mean_s"].as_f64().unwrap() - 20.0).abs() < 1.5, "{}", answer["based_on"]);
    let good = |case: &str| answer[case]["good"]["median"].as_f64().unwrap();
    let end = Timestamp(kpi::utc::Utc::parse(answer["shift"]["to"].as_str().unwrap()).unwrap().0.as_micros());
    // Shifts end three times a day, also while this is asked.
    if end.micros_since(now) > 1_800 * SECOND {
        assert!(good("changed") > good("base"), "{answer}");
    }
    assert!(good("changed") >= good("base"));
    let done = |case: &str| answer[case]["finish"]["median"].as_str().unwrap().to_owned();
    assert!(done("changed") < done("base"), "{answer}");
    assert_eq!(plant.post(&path, &json!({})).await.ok()["changed"], Value::Null);
    let problem = plant.post(&path, &json!({"cycle_factor": 0, "simulations": 1})).await.problem(400);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["simulations", "cycle_factor"]);
    plant.post("/api/v1/industry40/twin/a%2Fb%2Fc%2Fd/simulate", &json!({})).await.problem(404);
}

#[tokio::test]
async fn a_machine_that_made_nothing_has_no_rate_to_go_by() {
    let plant = Plant::new().await;
    let problem = plant.post(&format!("/api/v1/industry40/twin/{PRESS}/simulate"), &json!({})).await.problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("fewer than 2 parts"), "{problem}");
}

async fn key(store: &collector::store::Store, role: Role) -> String {
    let key = auth::new_key();
    store.insert_key(role.as_str(), role, &auth::hash(&key), clock::now()).await.expect("stored");
    key
}

struct Poster {
    client: Client,
    url: String,
    key: String,
}

impl Poster {
    fn new(port: u16, key: &str) -> Self {
        install_tls();
        Self {
            client: Client::builder().no_proxy().build().expect("built"),
            url: format!("http://127.0.0.1:{port}/api/v1"),
            key: key.into(),
        }
    }

    async fn post(&self, body: &Value, idempotency: Option<&str>) -> (StatusCode, Value) {
        let mut request = self.client.post(format!("{}/industry40/iot/ingest", self.url)).header("x-api-key", &self.key).json(body);
        if let Some(key) = idempotency {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.expect("answered");
        (response.status(), response.json().await.expect("JSON"))
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.url)).header("x-api-key", &self.key).send().await.expect("answered");
        response.json().await.expect("JSON")
    }

    /// The reserved gateway, when its books have been told.
    async fn balanced(&self, stored: u64) -> Value {
        let mut found = Value::Null;
        eventually("balanced books", async || {
            let gateways = self.get("/gateways").await;
            found = gateways["items"].as_array().unwrap().iter().find(|g| g["gateway"] == "api").cloned().unwrap_or_default();
            found["audit"]["verdict"] == "balanced" && found["audit"]["stored"] == stored
        })
        .await;
        found
    }
}

fn message(device: &str, at: Timestamp, value: f64) -> Value {
    json!({"device_id": device, "device_type": "press", "timestamp": rfc3339(at), "metrics": {"spindle_temperature": value, "active_power": 12.5}})
}

#[tokio::test]
async fn what_is_posted_is_in_the_lake_and_the_twin_once_and_its_books_balance() {
    let site = Site::new(&format!("{NEVER_COMMIT}[ingest]\nasset_template = \"plant1/press-shop/line1/{{device_id}}\"\n")).await;
    let collector = site.start().await;
    let operator = key(&collector.app.store, Role::Operator).await;
    let poster = Poster::new(collector.api_address.port(), &operator);
    let at = clock::now().plus_micros(-SECOND);
    let (status, answer) = poster.post(&message("press-1", at, 61.5), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["asset"], &answer["stored"], &answer["duplicate"]), (&json!(PRESS), &json!(2), &json!(false)));
    let rows = |collector: &Collector| {
        let lake = std::sync::Arc::clone(&collector.app.lake);
        async move {
            let sql = "SELECT count(*) FROM window_summaries WHERE gateway = 'api' AND count = 1";
            lake.sql(sql).await.expect("answered").rows[0][0].as_u64().expect("a count")
        }
    };
    assert_eq!(rows(&collector).await, 2);
    let twin = poster.get(&format!("/industry40/twin/{PRESS}")).await;
    let value = twin["signals"].as_array().unwrap().iter().find(|s| s["signal"] == "spindle_temperature").unwrap();
    assert_eq!((value["value"].as_f64(), &value["event_time"]), (Some(61.5), &json!(rfc3339(at))));
    assert_eq!((&twin["gateway"], &twin["online"], &twin["gateway_status"]["online"]), (&json!("api"), &json!(true), &json!(true)));
    // The same again, by whatever name of the machine; and the same key.
    let (status, answer) = poster.post(&message(PRESS, at, 61.5), None).await;
    assert_eq!((status, &answer["duplicate"]), (StatusCode::OK, &json!(true)));
    assert_eq!(poster.post(&message(PRESS, at, 62.0), Some("m-1")).await.1["duplicate"], false);
    assert_eq!(poster.post(&message(PRESS, at, 62.0), Some("m-1")).await.1["duplicate"], true);
    assert_eq!(poster.post(&message(PRESS, at, 63.0), Some("m-1")).await.0, StatusCode::CONFLICT);
    assert_eq!(rows(&collector).await, 4);
    let many = (0..100).map(|i| {
        let body = message("press-2", at.plus_micros(-i), 1.0);
        let poster = &poster;
        async move { poster.post(&body, None).await.0 }
    });
    assert!(futures::future::join_all(many).await.into_iter().all(|status| status == StatusCode::OK));
    assert_eq!(number(&collector, "SELECT count(DISTINCT seq) FROM window_summaries WHERE gateway = 'api'").await, 102);
    let gateway = poster.balanced(204).await;
    assert_eq!((&gateway["online"], &gateway["alarms"], &gateway["audit"]["unaccounted"]), (&json!(true), &json!([]), &json!(0)));
    assert!(collector.stop().await);

    // Another run has a generation of its own, and its books know nothing of the one before.
    let collector = site.start().await;
    let poster = Poster::new(collector.api_address.port(), &operator);
    assert_eq!(rows(&collector).await, 204);
    assert_eq!(poster.post(&message("press-1", at.plus_micros(1), 61.5), None).await.0, StatusCode::OK);
    let gateway = poster.balanced(206).await;
    assert_eq!((&gateway["online"], &gateway["alarms"], &gateway["audit"]["twice"]), (&json!(true), &json!([]), &json!(0)));
    collector.stop().await;
}

#[tokio::test]
async fn a_wrong_post_is_refused_by_its_fields_and_a_viewer_and_a_gateway_of_that_name_are_not_let_in() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let operator = Poster::new(collector.api_address.port(), &key(&collector.app.store, Role::Operator).await);
    let viewer = Poster::new(collector.api_address.port(), &key(&collector.app.store, Role::Viewer).await);
    let now = clock::now();
    assert_eq!(viewer.post(&message(PRESS, now, 1.0), None).await.0, StatusCode::FORBIDDEN);
    let wrong =
        json!({"device_id": "press-1", "timestamp": rfc3339(now.plus_micros(400 * SECOND)), "metrics": {"T": 1, "x": "hot"}, "more": 1});
    let (status, problem) = operator.post(&wrong, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["more", "device_id", "timestamp", "metrics.T", "metrics.x"]);
    assert!(problem["errors"][1]["detail"].as_str().unwrap().contains("asset_template"), "{problem}");
    assert_eq!(number(&collector, "SELECT count(*) FROM window_summaries").await, 0);
    let gateway = site.gateway("api", collector.uplink_address.port()).await;
    assert_eq!(gateway.send(1, 1).await.status, StatusCode::FORBIDDEN);
    collector.stop().await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_sigkill() {
    let site = Site::new(NEVER_COMMIT).await;
    let store = site.store().await;
    let operator = key(&store, Role::Operator).await;
    store.close().await;
    let server = Server::start(&site);
    let poster = Poster::new(server.api.port(), &operator);
    let at = clock::now().plus_micros(-SECOND);
    for i in 0..5 {
        assert_eq!(poster.post(&message(PRESS, at.plus_micros(i), 61.5), None).await.0, StatusCode::OK);
    }
    tokio::task::spawn_blocking(move || server.kill()).await.expect("killed");
    let collector = site.start().await;
    assert!(collector.app.lake.hot_rows() >= 10, "nothing had been committed");
    assert_eq!(number(&collector, "SELECT count(*) FROM window_summaries WHERE gateway = 'api'").await, 10);
    let poster = Poster::new(collector.api_address.port(), &operator);
    let twin = poster.get(&format!("/industry40/twin/{PRESS}")).await;
    assert_eq!((&twin["gateway"], &twin["online"]), (&json!("api"), &json!(true)));
    collector.stop().await;
}

#[tokio::test]
async fn the_twin_of_then_has_the_health_that_was_predicted_then() {
    let mut plant = Plant::new().await;
    let t0 = shift_start();
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    plant.take_in(until(t0, 7_200));
    for (seconds, rul_h) in [(600, Some(50.0)), (4_200, None)] {
        let row = PredictionRow {
            asset: press(),
            at: s(seconds),
            rul_h,
            lower_h: rul_h.map(|h| h / 2.0),
            upper_h: None,
            health: Some(0.8),
            failure_probability: None,
            model_version: None,
            score: None,
        };
        plant.app.store.keep_prediction(&row).await.unwrap();
    }
    let then = async |seconds| plant.get(&format!("/api/v1/industry40/twin/{PRESS}?at={}", rfc3339(s(seconds)))).await.ok();
    assert_eq!(then(300).await["health"], Value::Null, "none was made yet");
    let early = then(1_200).await;
    assert_eq!((&early["health"], &early["rul"]["hours"], &early["rul"]["upper_h"]), (&json!(0.8), &json!(50.0), &Value::Null));
    let later = then(7_000).await;
    assert_eq!((&later["health"], &later["rul"]), (&json!(0.8), &Value::Null));
}
