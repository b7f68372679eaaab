//! Figures over HTTP that say why they are what they are, and what would have been; and reliability.

use protocol::{AssetPath, MachineState, PartCount, Record, StateChange, TimeQuality, TimeRange, Timestamp};
use serde_json::{Value, json};

use crate::api_plant::{PRESS, Plant, SECOND, parts, rfc3339, state};

/// Beginning of the hour before the last.
fn start() -> Timestamp {
    let hour = 3_600 * SECOND;
    let now = collector::clock::now().as_micros();
    Timestamp(now - now.rem_euclid(hour) - 2 * hour)
}

#[track_caller]
fn close(found: &Value, wanted: f64) {
    assert!((found.as_f64().unwrap_or(f64::NAN) - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}");
}

fn other(record: Record) -> Record {
    let asset = protocol::AssetPath::new("plant1/press-shop/line1/press-2").unwrap();
    match record {
        Record::State(s) => Record::State(StateChange { asset, ..s }),
        Record::Parts(p) => Record::Parts(PartCount { asset, time_quality: TimeQuality::Synced, ..p }),
        record => record,
    }
}

/// An hour: 600 s stopped for a jam, ten minor stops of 30 s, 2,700 s producing at an ideal 2 s a part: 1,080 parts, 54 of them bad.
fn an_hour(t0: Timestamp) -> Vec<Record> {
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    let mut records = vec![state(s(0), MachineState::UnplannedStop, "jam")];
    for i in 0..10 {
        records.push(state(s(600 + i * 300), MachineState::Producing, ""));
        records.push(state(s(870 + i * 300), MachineState::Idle, ""));
    }
    records.push(state(s(3_600), MachineState::Producing, ""));
    records.push(parts(s(600), s(3_600), 1_080, 54));
    records.push(state(s(3_700), MachineState::Idle, ""));
    records
}

#[tokio::test]
async fn an_answer_explains_itself_and_its_losses_add_up() {
    let mut plant = Plant::new().await;
    let t0 = start();
    plant.take_in(an_hour(t0));
    let to = t0.plus_micros(3_600 * SECOND);
    let period = format!("asset={PRESS}&from={}&to={}", rfc3339(t0), rfc3339(to));
    let answer = plant.get(&format!("/api/v1/oee?{period}&explain=true")).await.ok();
    close(&answer["total"]["availability"], 0.75);
    close(&answer["total"]["performance"], 0.8);
    close(&answer["total"]["quality"], 0.95);
    close(&answer["total"]["oee"], 0.57);
    let losses = &answer["losses"];
    assert_eq!((&losses["key"], &losses["micros"]), (&json!("planned_busy_time"), &json!(3_600 * SECOND)));
    let sum: i64 = losses["children"].as_array().unwrap().iter().map(|c| c["micros"].as_i64().unwrap()).sum();
    assert_eq!(sum, 3_600 * SECOND);
    let rows = answer["pareto"]["rows"].as_array().unwrap();
    assert_eq!((&rows[0]["key"], &rows[0]["seconds"], &rows[0]["stops"]), (&json!("jam"), &json!(600.0), &json!(1)));
    assert!(rows.iter().any(|r| r["category"] == "minor_stops" && r["stops"] == 10));
    let intervals = answer["intervals"].as_array().unwrap();
    assert_eq!(intervals.len(), 21);
    assert_eq!((&intervals[0]["cause"], &intervals[0]["rule"]), (&json!("unplanned_stop"), &json!("machine_reason")));
    assert_eq!((&intervals[2]["cause"], &intervals[2]["rule"]), (&json!("minor_stop"), &json!("short_stop")));
    assert_eq!(intervals[2]["evidence"]["state"], "idle");
    assert!(intervals.windows(2).all(|w| w[0]["to"] == w[1]["from"]));
    plant.get(&format!("/api/v1/oee?{period}&by=colour&explain=perhaps")).await.problem(400);
    plant.get(&format!("/api/v1/oee?{period}&compare_from={}", rfc3339(t0))).await.problem(400);
}

#[tokio::test]
async fn what_changed_against_another_period_adds_up_to_the_change() {
    let mut plant = Plant::new().await;
    let t0 = start();
    plant.take_in(an_hour(t0));
    let at = |seconds: i64| rfc3339(t0.plus_micros(seconds * SECOND));
    let path = format!("/api/v1/oee?asset={PRESS}&from={}&to={}&compare_from={}&compare_to={}", at(1_800), at(3_600), at(0), at(1_800));
    let comparison = plant.get(&path).await.ok()["comparison"].clone();
    let points = comparison["oee_points"].as_f64().unwrap();
    assert!(points > 0.0, "{comparison}");
    let sum = |list: &str, key: &str| comparison[list].as_array().unwrap().iter().map(|c| c[key].as_f64().unwrap()).sum::<f64>();
    assert!((sum("factors", "oee_points") - points).abs() < 1e-9 && (sum("losses", "points") - points).abs() < 1e-6);
    assert_eq!(comparison["losses"][0]["key"], "jam", "the jam was in the first half alone");
}

#[tokio::test]
async fn a_line_is_the_sum_of_its_machines() {
    let mut plant = Plant::new().await;
    let t0 = start();
    plant.take_in(an_hour(t0));
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    // Another press stands the first half and has no ideal cycle.
    let second = vec![state(s(0), MachineState::UnplannedStop, ""), state(s(1_800), MachineState::Producing, "")];
    plant.take_in(
        second.into_iter().chain([parts(s(1_800), s(3_600), 100, 10), state(s(3_700), MachineState::Idle, "")]).map(other).collect(),
    );
    let period = format!("from={}&to={}", rfc3339(t0), rfc3339(s(3_600)));
    for (prefix, level) in [("plant1", "site"), ("plant1/press-shop", "area"), ("plant1/press-shop/line1", "line")] {
        let answer = plant.get(&format!("/api/v1/oee?asset={prefix}&{period}&bucket=hour")).await.ok();
        close(&answer["total"]["availability"], (2_700.0 + 1_800.0) / 7_200.0);
        assert_eq!(answer["total"]["counts"]["produced"], 1_180);
        assert_eq!((&answer["roll_up"]["level"], &answer["roll_up"]["machines"]), (&json!(level), &json!(2)));
        assert_eq!(answer["roll_up"]["oee"], answer["total"]);
        assert_eq!(answer["buckets"][0]["oee"], answer["total"]);
    }
    plant.get(&format!("/api/v1/oee?asset=plant1&explain=true&{period}")).await.problem(400);
    plant.get(&format!("/api/v1/oee?asset=plant2&{period}")).await.problem(404);
}

#[tokio::test]
async fn without_minor_stops_their_time_is_production_at_the_pace_of_the_period() {
    let mut plant = Plant::new().await;
    let t0 = start();
    plant.take_in(an_hour(t0));
    let to = t0.plus_micros(3_600 * SECOND);
    let asked = |changes: Value| json!({"asset": PRESS, "from": rfc3339(t0), "to": rfc3339(to), "changes": changes});
    let gone = asked(json!([{"change": "minor_stops_gone", "below_s": 60}]));
    let answer = plant.post("/api/v1/oee/what-if", &gone).await.ok();
    close(&answer["freed_s"], 300.0);
    // 300 s more at 1,080 parts in 2,700 s.
    close(&answer["parts"], 120.0);
    close(&answer["after"]["availability"], 3_000.0 / 3_600.0);
    close(&answer["gain_points"]["oee"], 300.0 / 3_600.0 * 0.8 * 0.95 * 100.0);
    // An hour is the eighth of a shift.
    close(&answer["parts_a_shift"], 120.0 * 8.0);
    let wrong = asked(json!([{"change": "cycle_faster", "faster": 2}, {"change": "fewer_rejects", "less": -1}]));
    let problem = plant.post("/api/v1/oee/what-if", &wrong).await.problem(400);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
}

/// ReliaWiki's six units: beta 1.932678, eta 73.526 h by maximum likelihood.
#[tokio::test]
async fn a_sample_is_fitted_and_a_wrong_one_is_told_whole() {
    let plant = Plant::new().await;
    let answer = plant.post("/api/v1/reliability/fit", &json!({"failures": [16, 34, 53, 75, 93, 120], "censored": []})).await.ok();
    let near = |found: &Value, wanted: f64| assert!((found.as_f64().unwrap() / wanted - 1.0).abs() < 1e-6, "{found} is not {wanted}");
    near(&answer["weibull"]["beta"]["value"], 1.932_678);
    near(&answer["weibull"]["eta_h"]["value"], 73.526_074_2);
    near(&answer["mtbf"]["mtbf_h"], 391.0 / 6.0);
    near(&answer["kaplan_meier"]["median_h"], 53.0);
    let all_run = plant.post("/api/v1/reliability/fit", &json!({"censored": [100, 200, 700]})).await.ok();
    assert!(all_run["weibull"].is_null() && all_run["mtbf"]["one_sided_lower_h"].is_number(), "{all_run}");
    let wrong = json!({"failures": [-1, 5], "confidence": 2});
    let problem = plant.post("/api/v1/reliability/fit", &wrong).await.problem(400);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 2, "{problem}");
}

#[tokio::test]
async fn a_day_that_was_asked_for_is_told_anew_when_something_comes_late() {
    let mut plant = Plant::new().await;
    let t0 = start();
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    plant.take_in(an_hour(t0));
    plant.take_in(vec![state(s(5_000), MachineState::Producing, "")]);
    // Two hours, by hours: the first is over and kept, the second not.
    let question = format!("/api/v1/oee?asset=plant1&from={}&to={}&bucket=hour", rfc3339(t0), rfc3339(s(7_200)));
    let first = plant.get(&question).await.ok();
    close(&first["buckets"][0]["oee"]["availability"], 0.75);
    let kept = || plant.app.twin.tallies().get(&AssetPath::new(PRESS).unwrap(), TimeRange { from: t0, to: s(3_600) });
    assert!(kept().is_some());
    assert_eq!(plant.get(&question).await.ok(), first, "from memory");
    // The jam of 600 s was over after 300 s, and 20 more parts were made of which nobody had told.
    plant.take_in(vec![state(s(300), MachineState::Producing, ""), parts(s(300), s(600), 20, 0)]);
    let late = plant.get(&question).await.ok();
    close(&late["buckets"][0]["oee"]["availability"], 3_000.0 / 3_600.0);
    assert_eq!(late["buckets"][0]["oee"]["counts"]["produced"], 1_100);
    let explained = plant.get(&question.replace("asset=plant1", &format!("asset={PRESS}&explain=true"))).await.ok();
    assert_eq!(explained["total"], late["total"]);
}

#[tokio::test]
async fn a_long_question_reads_counts_by_minute_and_gives_the_same() {
    let mut plant = Plant::new().await;
    let t0 = start().plus_micros(-3 * 86_400 * SECOND);
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    let mut records = an_hour(t0);
    // A part each second, told one by one; some of these cross the edge of a minute.
    records.extend(
        (0..600).map(|i| parts(s(4_000 + i).plus_micros(SECOND / 2), s(4_001 + i).plus_micros(SECOND / 2), 1, u64::from(i % 9 == 0))),
    );
    records.push(state(s(4_000), MachineState::Producing, ""));
    records.push(state(s(5_000), MachineState::Idle, ""));
    plant.take_in(records.clone());
    plant.take_in(records.into_iter().map(other).collect());
    let ask = |asset: &str, from: Timestamp, to: Timestamp| {
        format!("/api/v1/oee?asset={asset}&bucket=hour&from={}&to={}", rfc3339(from), rfc3339(to))
    };
    // Two hours are read row by row and machine by machine; four days of both machines at once.
    let short = plant.get(&ask(PRESS, t0, s(7_200))).await.ok();
    let long = plant.get(&ask("plant1", t0.plus_micros(-86_400 * SECOND), t0.plus_micros(3 * 86_400 * SECOND))).await.ok();
    for (hour, twice) in [(0, 24), (1, 25)] {
        let (one, both) = (&short["buckets"][hour]["oee"], &long["buckets"][twice]["oee"]);
        assert_eq!(one["counts"]["produced"].as_u64().map(|n| 2 * n), both["counts"]["produced"].as_u64());
        assert_eq!(one["counts"]["rejected"].as_u64().map(|n| 2 * n), both["counts"]["rejected"].as_u64());
        close(&both["times"]["production_s"], 2.0 * one["times"]["production_s"].as_f64().unwrap());
        close(&both["quality"], one["quality"].as_f64().unwrap());
    }
    assert_eq!(long["total"]["counts"]["produced"], 2 * (1_080 + 600));
}
