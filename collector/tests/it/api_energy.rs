//! Energy over HTTP is what a hand reckons of a known power profile; and what it costs.

use axum::{body::Body, http::Request};
use protocol::{AssetPath, MachineState, PartCount, Record, SignalName, StateChange, Timestamp, WindowSummary};
use serde_json::{Value, json};

use crate::api_plant::{Answer, PRESS, Plant, SECOND, parts, rfc3339, state, window};

const LINE: &str = "plant1/press-shop/line1";
const MINUTE: i64 = 60 * SECOND;

/// Beginning of the hour before the last.
fn start() -> Timestamp {
    let now = collector::clock::now().as_micros();
    Timestamp(now - now.rem_euclid(60 * MINUTE) - 120 * MINUTE)
}

#[track_caller]
fn close(found: &Value, wanted: f64) {
    assert!((found.as_f64().unwrap_or(f64::NAN) - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}");
}

fn of(machine: &str, record: Record) -> Record {
    let asset: AssetPath = format!("{LINE}/{machine}").parse().unwrap();
    match record {
        Record::Window(w) => Record::Window(WindowSummary { asset, ..w }),
        Record::State(s) => Record::State(StateChange { asset, ..s }),
        Record::Parts(p) => Record::Parts(PartCount { asset, ..p }),
        record => record,
    }
}

/// A minute's mean of a signal.
fn minute(start: Timestamp, signal: &str, unit: &str, mean: f64) -> Record {
    let Record::Window(w) = window(start, 12, mean) else { panic!("a window") };
    let signal = SignalName::new(signal).unwrap();
    Record::Window(WindowSummary { signal, unit: unit.into(), end: start.plus_micros(MINUTE), ..w })
}

/// An hour of press-1: 45 min producing at 12 kW, 15 min idle at 4 kW: 9 and 1 kWh; 100 parts.
fn first(t0: Timestamp) -> Vec<Record> {
    let at = |minutes: i64| t0.plus_micros(minutes * MINUTE);
    let mut records = vec![
        state(at(0), MachineState::Producing, ""),
        state(at(45), MachineState::Idle, ""),
        state(at(60), MachineState::Offline, ""),
        parts(at(0), at(45), 100, 4),
    ];
    records.extend((0..60).map(|i| minute(at(i), "active_power", "kW", if i < 45 { 12.0 } else { 4.0 })));
    records
}

/// The same hour of press-2, in W: 2 kW for 45 min and 14 kW for 15 min: 1.5 and 3.5 kWh.
fn second(t0: Timestamp) -> Vec<Record> {
    let at = |minutes: i64| t0.plus_micros(minutes * MINUTE);
    let powers = (0..60).map(|i| minute(at(i), "power", "W", if i < 45 { 2_000.0 } else { 14_000.0 }));
    powers.map(|record| of("press-2", record)).collect()
}

async fn put(plant: &Plant, key: &str, body: &Value) -> Answer {
    let request = Request::put("/api/v1/tariff").header("x-api-key", key).header("content-type", "application/json");
    plant.send(request.body(Body::from(body.to_string())).unwrap()).await
}

fn hour(t0: Timestamp) -> String {
    format!("from={}&to={}", rfc3339(t0), rfc3339(t0.plus_micros(60 * MINUTE)))
}

#[tokio::test]
async fn a_known_profile_makes_known_energies_by_state_shift_part_and_quarter_hour() {
    let mut plant = Plant::new().await;
    let t0 = start();
    plant.take_in(first(t0));
    let path = format!("/api/v1/energy?asset={PRESS}&{}&bucket=quarter_hour", hour(t0));
    for round in ["hot", "stored"] {
        let answer = plant.get(&path).await.ok();
        let (machine, total) = (&answer["machines"][0], &answer["total"]);
        assert_eq!((&machine["asset"], &machine["signal"]), (&json!(PRESS), &json!("active_power")), "{round}");
        let report = &machine["report"];
        close(&report["totals"]["kwh"], 10.0);
        close(&report["totals"]["by_state"]["producing"]["kwh"], 9.0);
        close(&report["totals"]["by_state"]["idle"]["kwh"], 1.0);
        close(&report["ratios"]["per_part_kwh"], 0.1);
        close(&report["ratios"]["per_good_part_kwh"], 10.0 / 96.0);
        close(&report["ratios"]["coverage"], 1.0);
        close(&report["base_load_kw"], 4.0);
        assert_eq!(report["by_shift"].as_array().unwrap().len(), 1);
        close(&report["by_shift"][0]["totals"]["kwh"], 10.0);
        let buckets: Vec<f64> = report["buckets"].as_array().unwrap().iter().map(|b| b["kwh"].as_f64().unwrap()).collect();
        assert!(buckets.iter().zip([3.0, 3.0, 3.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-9) && buckets.len() == 4, "{buckets:?}");
        close(&report["peaks"][0]["kw"], 12.0);
        assert_eq!((&report["cost"], &total["cost"]), (&Value::Null, &Value::Null), "there is no tariff");
        assert_eq!(total["totals"], report["totals"]);
        assert_eq!(answer["unmetered"], json!([]));
        plant.app.lake.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_is_the_sum_of_its_machines_and_who_has_no_meter_is_named() {
    let mut plant = Plant::new().await;
    let t0 = start();
    plant.take_in(first(t0));
    plant.take_in(second(t0));
    plant.take_in(vec![of("press-3", window(t0, 5, 60.0))]);
    let tariff = json!({"base_price_per_kwh": 0.3, "price_per_kw_month": 5.0, "co2_kg_per_kwh": 0.4});
    let stored = put(&plant, &plant.admin, &tariff).await.ok();
    assert_eq!(plant.get("/api/v1/tariff").await.ok(), stored);
    let answer = plant.get(&format!("/api/v1/energy?asset={LINE}&{}", hour(t0))).await.ok();
    let machines = answer["machines"].as_array().unwrap();
    assert_eq!(machines.iter().map(|m| m["signal"].as_str().unwrap()).collect::<Vec<_>>(), ["active_power", "power"]);
    assert_eq!(answer["unmetered"], json!([format!("{LINE}/press-3")]));
    close(&answer["total"]["totals"]["kwh"], 15.0);
    close(&answer["total"]["totals"]["by_state"]["unknown"]["kwh"], 5.0);
    let cost = &answer["total"]["cost"];
    close(&cost["energy"], 4.5);
    let sum = |key: &str| machines.iter().map(|m| m["report"]["cost"][key].as_f64().unwrap()).sum::<f64>();
    close(&cost["energy"], sum("energy"));
    close(&cost["co2_kg"], 6.0);
    // 14 and 18 kW together; each for itself 12 and 14 kW, at different times.
    close(&answer["total"]["peaks"][0]["kw"], 18.0);
    close(&cost["demand"], 90.0);
    close(&json!(sum("demand")), 130.0);
    assert!(machines.iter().all(|m| m["report"]["quarters"] == json!([])));
}

#[tokio::test]
async fn a_tariff_is_set_by_administrators_checked_and_taken_away_again() {
    let plant = Plant::new().await;
    assert_eq!(plant.get("/api/v1/tariff").await.ok(), Value::Null);
    let good = json!({"base_price_per_kwh": 0.3});
    put(&plant, &plant.operator, &good).await.problem(403);
    let wrong = json!({"base_price_per_kwh": 0.3, "price_per_kw_month": -1, "co2_kg_per_kwh": -2});
    let problem = put(&plant, &plant.admin, &wrong).await.problem(400);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["price_per_kw_month", "co2_kg_per_kwh"]);
    assert!(put(&plant, &plant.admin, &json!({"base_price_per_kwh": 0.3, "more": 1})).await.status.is_client_error());
    put(&plant, &plant.admin, &good).await.ok();
    put(&plant, &plant.admin, &json!({"base_price_per_kwh": 0.4})).await.ok();
    close(&plant.get("/api/v1/tariff").await.ok()["base_price_per_kwh"], 0.4);
    put(&plant, &plant.admin, &Value::Null).await.ok();
    assert_eq!(plant.get("/api/v1/tariff").await.ok(), Value::Null);
}

#[tokio::test]
async fn a_counter_is_a_meter_too_and_questions_that_cannot_be_are_told() {
    let mut plant = Plant::new().await;
    let t0 = start();
    // 6 kW, as a counter in kWh that is read every minute.
    let counter = |i: i64| minute(t0.plus_micros((i - 1) * MINUTE), "energy", "kW.h", 500.0 + i as f64 * 0.1);
    plant.take_in((-2..=62).map(counter).collect());
    let answer = plant.get(&format!("/api/v1/energy?asset={PRESS}&{}", hour(t0))).await.ok();
    close(&answer["total"]["totals"]["kwh"], 6.0);
    let path = |rest: &str| format!("/api/v1/energy?asset={rest}");
    plant.get(&path(&format!("{PRESS}&bucket=week&colour=red"))).await.problem(400);
    plant.get(&path("plant2")).await.problem(404);
    plant.get(&path(&format!("{LINE}/press-9"))).await.problem(404);
    let tomorrow = rfc3339(t0.plus_micros(48 * 60 * MINUTE));
    plant.get(&path(&format!("{PRESS}&from={tomorrow}&to={}", rfc3339(t0.plus_micros(50 * 60 * MINUTE))))).await.problem(400);
}
