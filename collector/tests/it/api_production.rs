//! What people say of production over HTTP, and how it restates what shifts had stated.

use axum::{
    body::Body,
    http::{Method, Request},
};
use collector::{clock, production::restate};
use kpi::calendar::Shift;
use protocol::{AssetPath, MachineState, PartCount, Record, StateChange, TimeRange, Timestamp};
use serde_json::{Value, json};

use crate::{
    api_plant::{Answer, PRESS, Plant, SECOND, gateway, parts, rfc3339, state, window},
    plant::{Site, eventually},
};

const HOUR: i64 = 3_600 * SECOND;
const PRESS_9: &str = "plant1/press-shop/line1/press-9";

#[track_caller]
fn close(found: &Value, wanted: f64) {
    assert!((found.as_f64().unwrap_or(f64::NAN) - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}");
}

impl Plant {
    async fn with(&self, key: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("x-api-key", key).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.with(&self.admin, Method::PUT, path, body).await
    }

    async fn created(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
        answer.json()
    }

    async fn delete(&self, path: &str) -> Answer {
        self.with(&self.operator, Method::DELETE, path, &Value::Null).await
    }

    async fn oee(&self, asset: &str, shift: &Shift) -> Value {
        let path = format!("/api/v1/oee?asset={asset}&explain=true&from={}&to={}", rfc3339(shift.range.from), rfc3339(shift.range.to));
        self.get(&path).await.ok()
    }

    /// The one statement of the press' shift.
    async fn record(&self, shift: &Shift) -> Value {
        let path = format!("/api/v1/restatements?asset={PRESS}&all=true&from={}&to={}", rfc3339(shift.range.from), rfc3339(shift.range.to));
        let items = self.get(&path).await.ok()["items"].clone();
        assert_eq!(items.as_array().unwrap().len(), 1, "{items}");
        assert_eq!((&items[0]["asset"], &items[0]["shift"]), (&json!(PRESS), &json!(shift.name)));
        items[0]["record"].clone()
    }
}

/// The last shift that ended an hour ago or more.
fn last_shift(plant: &Plant) -> Shift {
    let now = clock::now();
    let days = TimeRange { from: now.plus_micros(-48 * HOUR), to: now };
    plant.app.twin.calendar().shifts(days).into_iter().rfind(|shift| shift.range.to <= now.plus_micros(-HOUR)).unwrap()
}

fn of(asset: &str, record: Record) -> Record {
    let asset = AssetPath::new(asset).unwrap();
    match record {
        Record::State(s) => Record::State(StateChange { asset, ..s }),
        Record::Parts(p) => Record::Parts(PartCount { asset, ..p }),
        record => record,
    }
}

/// 8 h: the third hour stopped, the others producing at an ideal 2 s a part: 10,080 of 12,600 parts, 504 of them bad.
fn eight_hours(shift: &Shift) -> Vec<Record> {
    let h = |hours: i64| shift.range.from.plus_micros(hours * HOUR);
    vec![
        state(h(0), MachineState::Producing, ""),
        state(h(2), MachineState::UnplannedStop, ""),
        state(h(3), MachineState::Producing, ""),
        parts(h(0), h(2), 2_880, 144),
        parts(h(3), h(8), 7_200, 360),
        state(h(8).plus_micros(100 * SECOND), MachineState::Idle, ""),
    ]
}

/// A plant of which the last shift was stated.
async fn stated() -> (Plant, Shift) {
    let mut plant = Plant::new().await;
    let shift = last_shift(&plant);
    plant.take_in(eight_hours(&shift));
    restate::look(&plant.app, clock::now()).await;
    let record = plant.record(&shift).await;
    assert_eq!((&record["revision"], record["history"].as_array().unwrap().len()), (&json!(1), 0));
    close(&record["oee"]["oee"], 7.0 / 8.0 * 0.8 * 0.95);
    (plant, shift)
}

fn assignment(shift: &Shift, from_h: f64, to_h: f64, reason: Option<&str>) -> Value {
    let at = |hours: f64| rfc3339(shift.range.from.plus_micros((hours * HOUR as f64) as i64));
    json!({"asset": PRESS, "from": at(from_h), "to": at(to_h), "reason": reason, "comment": "seen by the shift leader"})
}

fn products(a: f64, b: f64) -> Value {
    let product = |code: &str, cycle: f64| json!({"product": code, "name": format!("Part {code}"), "ideal_cycle_time_s": cycle});
    json!({"items": [product("A", a), product("B", b)]})
}

fn losses(oee: &Value) -> (f64, f64) {
    let seconds = |key: &str| oee["losses"][key].as_f64().unwrap();
    (seconds("breakdowns"), seconds("setup_and_adjustments"))
}

#[tokio::test]
async fn a_reason_entered_later_moves_time_to_another_loss_and_restates_the_shift_with_its_history() {
    let (plant, shift) = stated().await;
    let path = "/api/v1/stop-reason-assignments";
    let answer = plant.created(path, &assignment(&shift, 2.0, 3.0, Some("changeover"))).await;
    assert_eq!((&answer["assignment"]["reason"], &answer["assignment"]["by"]), (&json!("changeover"), &json!("operator")));
    assert_eq!((&answer["restated"][0]["revision"], &answer["restated"][0]["shift"]), (&json!(2), &json!(shift.name)));
    let record = plant.record(&shift).await;
    assert_eq!(losses(&record["oee"]), (0.0, 3_600.0));
    let why = &record["history"][0]["why"][0];
    assert_eq!((&why["kind"], &why["by"], &why["reason"]), (&json!("stop_reason"), &json!("operator"), &json!("changeover")));
    assert_eq!(why["registration"], answer["assignment"]["id"]);
    let change = |figure: &str| {
        let changes = record["history"][0]["changes"].as_array().unwrap();
        changes.iter().find(|c| c["figure"] == figure).map(|c| (c["before"].as_f64(), c["after"].as_f64()))
    };
    assert_eq!(change("losses.breakdowns"), Some((Some(3_600.0), Some(0.0))));
    assert_eq!(change("losses.setup_and_adjustments"), Some((Some(0.0), Some(3_600.0))));
    assert_eq!(change("oee"), None, "one loss of availability for another");
    // What history answers is what was stated, and it says who decided.
    let answer = plant.oee(PRESS, &shift).await;
    assert_eq!(answer["total"], record["oee"]);
    let stop = &answer["intervals"][1];
    assert_eq!((&stop["cause"], &stop["rule"]), (&json!("setup"), &json!("registered_reason")));
    assert_eq!((&stop["evidence"]["registered_by"], &stop["evidence"]["state"]), (&json!("operator"), &json!("unplanned_stop")));
    let list = plant.get(&format!("/api/v1/restatements?asset=plant1&from={}", rfc3339(shift.range.from))).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stop_is_split_by_another_reason_for_a_part_of_it_and_null_takes_all_back() {
    let (plant, shift) = stated().await;
    let path = "/api/v1/stop-reason-assignments";
    plant.created(path, &assignment(&shift, 2.0, 3.0, Some("changeover"))).await;
    let answer = plant.created(path, &assignment(&shift, 2.5, 3.0, Some("cleaning"))).await;
    let restated = &answer["restated"][0];
    assert_eq!(restated["revision"], 3);
    close(&restated["oee_before"], 7.0 / 8.0 * 0.76);
    close(&restated["oee_after"], 7.0 / 7.5 * 0.76);
    let oee = plant.oee(PRESS, &shift).await["total"].clone();
    assert_eq!(losses(&oee), (0.0, 1_800.0));
    close(&oee["times"]["planned_stop_s"], 1_800.0);
    let answer = plant.created(path, &assignment(&shift, 2.0, 3.0, None)).await;
    assert_eq!(answer["restated"][0]["revision"], 4);
    let record = plant.record(&shift).await;
    assert_eq!(losses(&record["oee"]), (3_600.0, 0.0));
    close(&record["oee"]["oee"], 7.0 / 8.0 * 0.76);
    assert_eq!(record["history"].as_array().unwrap().len(), 3);
    // Nothing that was said is lost, and pages put together are the list.
    let all = format!("{path}?asset={PRESS}&from={}", rfc3339(shift.range.from));
    let items = plant.get(&all).await.ok()["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 3);
    let first = plant.get(&format!("{all}&limit=2")).await.ok();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = plant.get(&format!("{all}&limit=2&cursor={cursor}")).await.ok();
    assert_eq!((&second["items"][0], &second["next_cursor"]), (&items[2], &Value::Null));
    // What changes no figure writes no history.
    let answer = plant.created(path, &assignment(&shift, 2.0, 2.2, None)).await;
    assert_eq!(answer["restated"], json!([]));
}

#[tokio::test]
async fn codes_that_nobody_knows_times_that_have_not_come_and_machines_that_are_not_there_are_refused() {
    let (plant, shift) = stated().await;
    let path = "/api/v1/stop-reason-assignments";
    let field = |problem: &Value| problem["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
    assert_eq!(field(&plant.post(path, &assignment(&shift, 2.0, 3.0, Some("gremlins"))).await.problem(400)), "reason");
    assert_eq!(field(&plant.post(path, &assignment(&shift, 3.0, 2.0, Some("jam"))).await.problem(400)), "from");
    assert_eq!(field(&plant.post(path, &assignment(&shift, 2.0, 99.0, Some("jam"))).await.problem(400)), "to");
    let mut elsewhere = assignment(&shift, 2.0, 3.0, Some("jam"));
    elsewhere["asset"] = json!("plant1/press-shop/line1/nobody");
    plant.post(path, &elsewhere).await.problem(404);
    // Without `reason` nothing is taken back by mistake.
    let mut silent = assignment(&shift, 2.0, 3.0, None);
    silent.as_object_mut().unwrap().remove("reason");
    plant.post(path, &silent).await.problem(422);
    assert_eq!(plant.record(&shift).await["revision"], 1);
}

#[tokio::test]
async fn the_catalogue_is_replaced_whole_and_keeps_what_is_in_use() {
    let (plant, shift) = stated().await;
    let path = "/api/v1/stop-reasons";
    let standard = plant.get(path).await.ok();
    let codes: Vec<_> = standard["items"].as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap()).collect();
    assert!(
        ["breakdown", "setup", "no_material", "no_operator", "cleaning", "minor_stop", "planned_maintenance"]
            .iter()
            .all(|c| codes.contains(c))
    );
    plant.created("/api/v1/stop-reason-assignments", &assignment(&shift, 2.0, 3.0, Some("cleaning"))).await;
    let own = |category: &str| json!({"items": [{"code": "cleaning", "name": "Washing", "category": category}]});
    plant.with(&plant.operator, Method::PUT, path, &own("breakdowns")).await.problem(403);
    let circle = json!({"items": [{"code": "a", "name": "A", "parent": "a"}]});
    assert_eq!(plant.put(path, &circle).await.problem(400)["errors"][0]["field"], "items[0].parent");
    let without = json!({"items": [{"code": "a", "name": "A", "category": "breakdowns"}]});
    let problem = plant.put(path, &without).await.problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("retired"), "{problem}");
    plant.put(path, &own("breakdowns")).await.ok();
    assert_eq!(plant.get(path).await.ok()["items"][0]["name"], "Washing");
    // The shifts of the last days are restated in the background.
    restate::look(&plant.app, clock::now()).await;
    let record = plant.record(&shift).await;
    assert_eq!((losses(&record["oee"]), &record["history"][1]["why"][0]["kind"]), ((3_600.0, 0.0), &json!("settings_changed")));
}

#[tokio::test]
async fn late_data_restate_a_stated_shift_after_a_pause_and_say_of_when_they_are() {
    let (mut plant, shift) = stated().await;
    let h = |hours: i64| shift.range.from.plus_micros(hours * HOUR);
    let mut late = vec![state(h(5), MachineState::UnplannedStop, "drive_fault"), state(h(6), MachineState::Producing, "")];
    late.push(parts(h(3), h(4), 100, 0));
    plant.take_in(late);
    let now = clock::now();
    restate::look(&plant.app, now).await;
    assert_eq!(plant.record(&shift).await["revision"], 1, "more may be on the way");
    restate::look(&plant.app, now.plus_micros(10 * SECOND)).await;
    let record = plant.record(&shift).await;
    assert_eq!(record["revision"], 2);
    let restatement = &record["history"][0];
    assert_eq!(restatement["why"], json!([{"kind": "late_data", "period": {"from": rfc3339(h(3)), "to": rfc3339(h(6))}}]));
    close(&record["oee"]["availability"], 6.0 / 8.0);
    assert_eq!(record["oee"]["counts"]["produced"], 10_180);
    close(&record["oee"]["oee"], (10_180.0 - 504.0) * 2.0 / 28_800.0);
    close(&restatement["oee_points"], 100.0 * 2.0 / 28_800.0 * 100.0);
    assert_eq!(plant.oee(PRESS, &shift).await["total"], record["oee"]);
    restate::look(&plant.app, now.plus_micros(60 * SECOND)).await;
    assert_eq!((plant.record(&shift).await["revision"].clone(), plant.app.production.waiting()), (json!(2), 0));
}

#[tokio::test]
async fn two_products_in_one_shift_weigh_their_parts_by_their_own_cycles() {
    let (plant, shift) = stated().await;
    plant.put("/api/v1/products", &products(2.0, 2.5)).await.ok();
    let at = |hours: i64| rfc3339(shift.range.from.plus_micros(hours * HOUR));
    let run = |product: &str, from: i64, to: i64| json!({"asset": PRESS, "product": product, "from": at(from), "to": at(to)});
    let path = "/api/v1/product-runs";
    plant.created(path, &run("A", 0, 3)).await;
    let added = plant.created(path, &run("B", 3, 8)).await;
    let record = plant.record(&shift).await;
    // 2,880 at 2 s and 7,200 at 2.5 s in 7 h of production.
    close(&record["oee"]["performance"], (2_880.0 * 2.0 + 7_200.0 * 2.5) / (7.0 * 3_600.0));
    assert_eq!(record["history"].as_array().unwrap().last().unwrap()["why"][0]["kind"], "production_changed");
    let runs = plant.oee(PRESS, &shift).await["runs"].clone();
    let told: Vec<_> = runs.as_array().unwrap().iter().map(|r| (r["product"].clone(), r["oee"]["counts"]["produced"].clone())).collect();
    assert_eq!(told, [(json!("A"), json!(2_880)), (json!("B"), json!(7_200))]);
    // A changed cycle restates, in the background.
    plant.put("/api/v1/products", &products(2.0, 2.0)).await.ok();
    restate::look(&plant.app, clock::now()).await;
    close(&plant.record(&shift).await["oee"]["performance"], 0.8);
    // What can't be is told.
    for (body, field) in [
        (run("C", 0, 1), "product"),
        (run("A", 2, 1), "from"),
        (run("A", 2, 4), "from"),
        (json!({"asset": PRESS, "product": "A", "from": at(99)}), "from"),
    ] {
        let problem = plant.post(path, &body).await.problem(400);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    for cycle in [0.0, -1.0, 1e9] {
        let body = json!({"items": [{"product": "A", "name": "Bracket", "ideal_cycle_time_s": cycle}]});
        assert_eq!(plant.put("/api/v1/products", &body).await.problem(400)["errors"][0]["field"], "items[0].ideal_cycle_time_s");
    }
    let problem = plant.put("/api/v1/products", &json!({"items": []})).await.problem(400);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
    // Without its run, B's parts are of the machine's own cycle.
    let gone = plant.delete(&format!("{path}/{}", added["product_run"]["id"].as_str().unwrap())).await.ok();
    assert_eq!(gone["restated"][0]["oee_before"], gone["restated"][0]["oee_after"], "the machine's own cycle is B's now");
    plant.delete(&format!("{path}/0")).await.problem(404);
    let left = plant.get(&format!("{path}?asset={PRESS}&from={}", at(0))).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_that_goes_on_ends_where_the_next_begins() {
    let (plant, shift) = stated().await;
    plant.put("/api/v1/products", &products(2.0, 1.0)).await.ok();
    let at = |hours: i64| rfc3339(shift.range.from.plus_micros(hours * HOUR));
    let path = "/api/v1/product-runs";
    let open = |product: &str, hour: i64| json!({"asset": PRESS, "product": product, "from": at(hour), "to": null});
    assert_eq!(plant.created(path, &open("A", 0)).await["product_run"]["to"], Value::Null);
    plant.created(path, &open("B", 3)).await;
    let items = plant.get(&format!("{path}?asset=plant1&from={}", at(0))).await.ok()["items"].clone();
    assert_eq!((&items[0]["product"], &items[0]["to"]), (&json!("B"), &Value::Null));
    assert_eq!((&items[1]["product"], &items[1]["to"]), (&json!("A"), &json!(at(3))));
    close(&plant.record(&shift).await["oee"]["performance"], (2_880.0 * 2.0 + 7_200.0) / (7.0 * 3_600.0));
    let problem = plant.post(path, &open("A", 1)).await.problem(400);
    assert_eq!(problem["errors"][0]["field"], "from", "{problem}");
}

#[tokio::test]
async fn planned_downtime_of_a_line_beats_a_breakdown_and_taken_back_it_is_one_again() {
    let (plant, shift) = stated().await;
    let h = |hours: i64| rfc3339(shift.range.from.plus_micros(hours * HOUR));
    let path = "/api/v1/planned-downtime";
    let body = json!({"asset": "plant1/press-shop/line1", "from": h(2), "to": h(3), "kind": "maintenance", "name": "Oil change"});
    let added = plant.created(path, &body).await;
    close(&added["restated"][0]["oee_after"], 0.76);
    let record = plant.record(&shift).await;
    assert_eq!((losses(&record["oee"]), &record["history"][0]["why"][0]["kind"]), ((0.0, 0.0), &json!("plan_changed")));
    let stop = plant.oee(PRESS, &shift).await["intervals"][1].clone();
    assert_eq!((&stop["rule"], &stop["reason"]), (&json!("planned_downtime"), &json!("Oil change")));
    let list = plant.get(&format!("{path}?asset={PRESS}")).await.ok();
    assert_eq!((&list["items"][0]["name"], &list["items"][0]["asset"]), (&json!("Oil change"), &json!("plant1/press-shop/line1")));
    for (key, value, field) in [("to", json!(h(2)), "from"), ("name", json!(" "), "name"), ("to", json!("2999-01-01T00:00:00Z"), "from")] {
        let mut wrong = body.clone();
        wrong[key] = value;
        assert_eq!(plant.post(path, &wrong).await.problem(400)["errors"][0]["field"], field);
    }
    let mut nowhere = body.clone();
    nowhere["asset"] = json!("plant2");
    plant.post(path, &nowhere).await.problem(404);
    let id = added["planned_downtime"]["id"].as_str().unwrap();
    let back = plant.delete(&format!("{path}/{id}")).await.ok();
    close(&back["restated"][0]["oee_after"], 7.0 / 8.0 * 0.76);
    assert_eq!(losses(&plant.record(&shift).await["oee"]), (3_600.0, 0.0));
}

#[tokio::test]
async fn a_changeover_makes_what_is_not_produced_in_it_set_up() {
    let (plant, shift) = stated().await;
    let h = |hours: i64| rfc3339(shift.range.from.plus_micros(hours * HOUR));
    let body = json!({"asset": PRESS, "from": h(1), "to": h(3), "from_product": "A", "to_product": "B"});
    let added = plant.created("/api/v1/changeovers", &body).await;
    assert_eq!(losses(&plant.record(&shift).await["oee"]), (0.0, 3_600.0));
    assert_eq!(plant.post("/api/v1/changeovers", &body).await.problem(400)["errors"][0]["field"], "from");
    let list = plant.get(&format!("/api/v1/changeovers?asset={PRESS}&from={}", h(0))).await.ok();
    assert_eq!(list["items"][0], added["changeover"]);
    plant.delete(&format!("/api/v1/changeovers/{}", added["changeover"]["id"].as_str().unwrap())).await.ok();
    assert_eq!(losses(&plant.record(&shift).await["oee"]), (3_600.0, 0.0));
}

#[tokio::test]
async fn the_running_shift_and_history_agree_on_what_was_registered() {
    let mut plant = Plant::new().await;
    let now = clock::now();
    let shift = plant.app.twin.calendar().shift_at(now).unwrap();
    let quarter = now.micros_since(shift.range.from) / 4;
    let at = |quarters: i64| shift.range.from.plus_micros(quarters * quarter);
    plant.take_in(vec![
        state(at(0), MachineState::Producing, ""),
        state(at(1), MachineState::UnplannedStop, ""),
        state(at(3), MachineState::Producing, ""),
        window(at(4).plus_micros(-5 * SECOND), 5, 60.0),
    ]);
    // Asked before: what is kept of it is thrown away.
    plant.get("/api/v1/assets").await.ok();
    let body = |from, to, reason: &str| json!({"asset": PRESS, "from": rfc3339(at(from)), "to": rfc3339(at(to)), "reason": reason});
    let answer = plant.created("/api/v1/stop-reason-assignments", &body(1, 2, "setup")).await;
    assert_eq!(answer["restated"], json!([]), "it is not stated yet");
    plant.created("/api/v1/stop-reason-assignments", &body(2, 3, "planned_maintenance")).await;
    let live = plant.get("/api/v1/assets").await.ok()["items"][0]["oee"].clone();
    let history = plant.oee(PRESS, &shift).await["total"].clone();
    for oee in [&live, &history] {
        close(&oee["times"]["setup_s"], quarter as f64 / 1e6);
        close(&oee["times"]["planned_stop_s"], quarter as f64 / 1e6);
        close(&oee["times"]["unplanned_stop_s"], 0.0);
    }
}

#[tokio::test]
async fn a_renamed_machine_is_one_machine_and_the_old_path_answers_with_its_own() {
    let mut plant = Plant::new().await;
    let shift = last_shift(&plant);
    let h = |hours: i64| shift.range.from.plus_micros(hours * HOUR);
    plant.take_in(vec![state(h(0), MachineState::Producing, ""), parts(h(0), h(4), 7_200, 0)]);
    plant.put("/api/v1/products", &products(1.5, 1.0)).await.ok();
    let run = json!({"asset": PRESS, "product": "A", "from": rfc3339(h(1)), "to": null});
    plant.created("/api/v1/product-runs", &run).await;
    let later = vec![
        state(h(5), MachineState::Idle, ""),
        parts(h(4), h(5), 1_800, 0),
        state(h(8).plus_micros(SECOND), MachineState::Producing, ""),
    ];
    plant.take_in(later.into_iter().map(|record| of(PRESS_9, record)).collect());
    let third = "plant1/press-shop/line1/press-3";
    plant.take_in(vec![of(third, state(h(1), MachineState::Idle, ""))]);
    let path = "/api/v1/assets/rename";
    let body = |from: &str, to: &str, at: Timestamp| json!({"from": from, "to": to, "at": rfc3339(at)});
    let now = clock::now();
    plant.post(path, &body(PRESS, PRESS_9, h(4))).await.problem(403);
    for (from, to, at, field) in [
        (PRESS, PRESS, h(4), "to"),
        (PRESS, third, h(4), "to"),
        (PRESS, PRESS_9, now.plus_micros(HOUR), "at"),
        (PRESS, "press-9", h(4), "to"),
    ] {
        let problem = plant.with(&plant.admin, Method::POST, path, &body(from, to, at)).await.problem(400);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    plant.with(&plant.admin, Method::POST, path, &body("plant1/press-shop/line1/nobody", PRESS_9, h(4))).await.problem(404);
    let done = plant.with(&plant.admin, Method::POST, path, &body(PRESS, PRESS_9, h(4))).await;
    assert_eq!(done.status.as_u16(), 201, "{}", done.text());
    let circle = plant.with(&plant.admin, Method::POST, path, &body(PRESS_9, PRESS, h(5))).await.problem(400);
    assert_eq!(circle["errors"][0]["field"], "to");

    let both = plant.oee(PRESS_9, &shift).await["total"].clone();
    assert_eq!((&both["times"]["production_s"], &both["times"]["idle_s"]), (&json!(5.0 * 3_600.0), &json!(3.0 * 3_600.0)));
    assert_eq!((&both["counts"]["produced"], &both["ideal_cycle_time_s"], &both["coverage"]), (&json!(9_000), &json!(2.0), &json!(1.0)));
    assert!(both["flags"].as_array().unwrap().contains(&json!("renamed")), "{both}");
    // A run that goes on goes on: 1,800 of 9,000 parts at the machine's 2 s, the others at 1.5 s.
    close(&both["performance"], (1_800.0 * 2.0 + 7_200.0 * 1.5) / (5.0 * 3_600.0));
    let own = plant.oee(PRESS, &shift).await["total"].clone();
    assert_eq!((&own["counts"]["produced"], &own["times"]["production_s"]), (&json!(7_200), &json!(4.0 * 3_600.0)));
    assert!(!own["flags"].as_array().unwrap().contains(&json!("renamed")));
    // Nothing is counted twice above.
    let period = format!("from={}&to={}", rfc3339(h(0)), rfc3339(h(8)));
    let line = plant.get(&format!("/api/v1/oee?asset=plant1/press-shop/line1&{period}")).await.ok();
    assert_eq!((&line["total"]["counts"]["produced"], &line["roll_up"]["machines"]), (&json!(9_000), &json!(2)));
    let states = plant.get(&format!("/api/v1/states?asset={PRESS_9}&{period}")).await.ok();
    let told: Vec<_> = states["items"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(told, ["producing", "idle"]);
    // What stood under the old name stands, also in a period after the change of the name and before the first word under the new one.
    let period = format!("from={}&to={}", rfc3339(h(4)), rfc3339(h(5)));
    let states = plant.get(&format!("/api/v1/states?asset={PRESS_9}&{period}")).await.ok();
    assert_eq!(states["items"][0]["state"], "producing");
    // A reason for the time under the old name is one of the machine.
    let reason = json!({"asset": PRESS, "from": rfc3339(h(1)), "to": rfc3339(h(2)), "reason": "trial"});
    plant.created("/api/v1/stop-reason-assignments", &reason).await;
    close(&plant.oee(PRESS_9, &shift).await["total"]["times"]["planned_stop_s"], 3_600.0);
    // Data of the old path for the time before, late: the machine's, whatever its name.
    restate::look(&plant.app, now).await;
    plant.take_in(vec![parts(h(2), h(3), 50, 0)]);
    restate::look(&plant.app, now.plus_micros(60 * SECOND)).await;
    let list = plant.get(&format!("/api/v1/restatements?asset={PRESS_9}&from={}", rfc3339(h(0)))).await.ok();
    assert_eq!(list["items"][0]["record"]["oee"]["counts"]["produced"], 9_050, "{list}");
}

#[tokio::test]
async fn a_machine_renamed_in_the_running_shift_goes_on_live_where_it_was() {
    let mut plant = Plant::new().await;
    let now = clock::now();
    let shift = plant.app.twin.calendar().shift_at(now).unwrap();
    let quarter = now.micros_since(shift.range.from) / 4;
    let at = |quarters: i64| shift.range.from.plus_micros(quarters * quarter);
    plant.take_in(vec![state(at(0), MachineState::Producing, ""), parts(at(0), at(1), 10, 1)]);
    let body = json!({"from": PRESS, "to": PRESS_9, "at": rfc3339(at(2))});
    let done = plant.with(&plant.admin, Method::POST, "/api/v1/assets/rename", &body).await;
    assert_eq!(done.status.as_u16(), 201, "{}", done.text());
    plant.take_in(vec![of(PRESS_9, parts(at(2), at(3), 5, 0)), of(PRESS_9, state(at(3), MachineState::Setup, ""))]);
    // Late, under the old name, of the time before.
    plant.take_in(vec![parts(at(1), at(2), 3, 0)]);
    let items = plant.get("/api/v1/assets").await.ok()["items"].clone();
    let live = items.as_array().unwrap().iter().find(|a| a["asset"] == PRESS_9).unwrap()["oee"].clone();
    let history = plant.oee(PRESS_9, &shift).await["total"].clone();
    for oee in [&live, &history] {
        assert_eq!((&oee["counts"]["produced"], &oee["ideal_cycle_time_s"]), (&json!(18), &json!(2.0)));
        close(&oee["times"]["production_s"], 3.0 * quarter as f64 / 1e6);
        assert!(oee["flags"].as_array().unwrap().contains(&json!("renamed")), "{oee}");
    }
}

#[tokio::test]
async fn a_viewer_sees_everything_and_writes_nothing() {
    let (plant, shift) = stated().await;
    let mut body = assignment(&shift, 2.0, 3.0, Some("jam"));
    body["product"] = json!("A");
    let writes = [
        (Method::POST, "/api/v1/stop-reason-assignments"),
        (Method::PUT, "/api/v1/stop-reasons"),
        (Method::PUT, "/api/v1/products"),
        (Method::POST, "/api/v1/product-runs"),
        (Method::DELETE, "/api/v1/product-runs/1"),
        (Method::POST, "/api/v1/changeovers"),
        (Method::DELETE, "/api/v1/changeovers/1"),
        (Method::POST, "/api/v1/planned-downtime"),
        (Method::DELETE, "/api/v1/planned-downtime/1"),
        (Method::POST, "/api/v1/assets/rename"),
    ];
    for (method, path) in writes {
        plant.with(&plant.viewer, method.clone(), path, &body).await.problem(403);
    }
    for path in ["stop-reasons", "products"] {
        plant.get(&format!("/api/v1/{path}")).await.ok();
    }
    for path in ["stop-reason-assignments", "product-runs", "changeovers", "planned-downtime", "restatements"] {
        assert_eq!(plant.get(&format!("/api/v1/{path}?asset=plant1")).await.ok()["items"], json!([]));
    }
    for admins in ["/api/v1/stop-reasons", "/api/v1/products"] {
        plant.with(&plant.operator, Method::PUT, admins, &json!({"items": []})).await.problem(403);
    }
}

/// With the background task, over real sockets and a restart.
#[tokio::test]
async fn a_restart_keeps_all_that_was_said_and_stated() {
    let site = Site::new(&format!("[[asset]]\npath = \"{PRESS}\"\nideal_cycle_time = \"2s\"\n")).await;
    let collector = site.start().await;
    let now = clock::now();
    let days = TimeRange { from: now.plus_micros(-48 * HOUR), to: now };
    let shift = collector.app.twin.calendar().shifts(days).into_iter().rfind(|s| s.range.to <= now.plus_micros(-HOUR)).unwrap();
    let key = collector::auth::new_key();
    collector.app.store.insert_key("ann", collector::auth::Role::Admin, &collector::auth::hash(&key), now).await.unwrap();
    let records: Vec<_> = eight_hours(&shift).into_iter().zip(1..).map(|(record, seq)| protocol::StampedRecord { seq, record }).collect();
    let row = |s: &protocol::StampedRecord| lake::StoredRow {
        gateway: gateway(),
        stream: protocol::StreamId(7),
        seq: s.seq,
        ingested_at: now,
        stamp: None,
        record: s.record.clone(),
    };
    collector.app.lake.push(records.iter().map(row).collect());
    collector.app.twin.apply(&gateway(), now, &records);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |port: u16, path: &str| -> Value {
        let response = client.get(format!("http://127.0.0.1:{port}{path}")).header("x-api-key", &key).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    };
    let write = async |port: u16, method: Method, path: &str, body: Value| -> Value {
        let request = client.request(method, format!("http://127.0.0.1:{port}{path}")).header("x-api-key", &key).json(&body);
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    };
    let port = collector.api_address.port();
    let (from, to) = (rfc3339(shift.range.from), rfc3339(shift.range.to));
    let statements = format!("/api/v1/restatements?asset={PRESS}&all=true&from={from}&to={to}");
    eventually("the statement of the shift", async || !get(port, &statements).await["items"].as_array().unwrap().is_empty()).await;
    let h = |hours: i64| rfc3339(shift.range.from.plus_micros(hours * HOUR));
    write(port, Method::PUT, "/api/v1/products", json!({"items": [{"product": "A", "name": "A", "ideal_cycle_time_s": 2.2}]})).await;
    write(port, Method::POST, "/api/v1/product-runs", json!({"asset": PRESS, "product": "A", "from": from})).await;
    write(
        port,
        Method::POST,
        "/api/v1/changeovers",
        json!({"asset": PRESS, "from": h(2), "to": h(3), "from_product": "B", "to_product": "A"}),
    )
    .await;
    let downtime = json!({"asset": "plant1", "from": h(7), "to": h(8), "kind": "other", "name": "Inventory"});
    write(port, Method::POST, "/api/v1/planned-downtime", downtime).await;
    write(port, Method::POST, "/api/v1/stop-reason-assignments", assignment(&shift, 2.0, 2.5, Some("jam"))).await;
    let catalogue = get(port, "/api/v1/stop-reasons").await;
    write(port, Method::PUT, "/api/v1/stop-reasons", catalogue).await;
    write(port, Method::POST, "/api/v1/assets/rename", json!({"from": PRESS, "to": PRESS_9, "at": to})).await;
    let questions = [
        statements.clone(),
        "/api/v1/stop-reasons".into(),
        "/api/v1/products".into(),
        format!("/api/v1/product-runs?asset={PRESS}&from={from}"),
        format!("/api/v1/changeovers?asset={PRESS}&from={from}"),
        format!("/api/v1/planned-downtime?asset={PRESS}&from={from}"),
        format!("/api/v1/stop-reason-assignments?asset={PRESS}&from={from}"),
        format!("/api/v1/oee?asset={PRESS_9}&from={from}&to={to}&explain=true"),
    ];
    let ask = async |port: u16| {
        let mut answers = Vec::new();
        for question in &questions {
            answers.push(get(port, question).await);
        }
        answers
    };
    let before = ask(port).await;
    assert!(before[0]["items"][0]["record"]["revision"].as_u64().unwrap() >= 4, "{}", before[0]);
    assert!(collector.stop().await);
    let collector = site.start().await;
    let after = ask(collector.api_address.port()).await;
    for ((question, before), after) in questions.iter().zip(&before).zip(&after) {
        assert_eq!(before, after, "{question}");
    }
    assert!(collector.stop().await);
}
