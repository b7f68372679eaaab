//! Charts, capability and yields over HTTP are those of the same numbers by hand, and of the crate that reckons them.

use kpi::{
    quality::{
        chart::{ChartKind, ChartRequest, chart},
        data::{ChartData, Single, SubgroupSummary, subgroups},
        rules::RuleSet,
    },
    utc::Utc,
};
use protocol::{AssetPath, PartCount, Record, Timestamp, WindowSummary};
use serde_json::{Value, json};

use crate::api_plant::{PRESS, Plant, SECOND, parts, rfc3339, window};

fn start() -> Timestamp {
    let now = collector::clock::now().as_micros();
    Timestamp(now - now.rem_euclid(3_600 * SECOND) - 7_200 * SECOND)
}

/// As it comes over the wire.
fn wire(value: &impl serde::Serialize) -> Value {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// Thirty windows of five readings; the means wander, and the last one is far out.
fn means() -> Vec<f64> {
    (0..30).map(|i| if i == 29 { 70.0 } else { 60.0 + f64::from(i * 7 % 5) * 0.1 }).collect()
}

fn at(t0: Timestamp, i: usize) -> Timestamp {
    t0.plus_micros(i64::try_from(i).unwrap() * 5 * SECOND)
}

async fn plant_with_windows(t0: Timestamp) -> Plant {
    let mut plant = Plant::new().await;
    let mut records: Vec<Record> = means().into_iter().enumerate().map(|(i, mean)| window(at(t0, i), 5, mean)).collect();
    // Of bad quality: it is not looked at.
    if let Record::Window(w) = window(at(t0, 10), 5, 1_000.0) {
        records.push(Record::Window(WindowSummary { quality: protocol::Quality::Bad, correction: true, ..w }));
    }
    plant.take_in(records);
    plant
}

fn asked(t0: Timestamp, rest: &str) -> String {
    let period = format!("from={}&to={}", rfc3339(t0), rfc3339(t0.plus_micros(3_600 * SECOND)));
    format!("asset={PRESS}&signal=spindle_temperature&{period}{rest}")
}

#[tokio::test]
async fn a_chart_of_windows_is_the_one_of_their_sums() {
    let t0 = start();
    let plant = plant_with_windows(t0).await;
    let summary =
        |(i, mean): (usize, f64)| SubgroupSummary { at: Utc(at(t0, i)), count: 5, mean, stddev: 0.5, min: mean - 1.0, max: mean + 1.0 };
    let rows: Vec<_> = means().into_iter().enumerate().map(summary).collect();
    let request = |kind, data, rules| ChartRequest { chart: kind, data, baseline: None, given: None, rules };
    for (kind, name) in [(ChartKind::XbarR, "xbar_r"), (ChartKind::XbarS, "xbar_s")] {
        let wanted = chart(&request(kind, ChartData::Summaries(rows.clone()), RuleSet::Nelson)).unwrap();
        let found = plant.get(&format!("/api/v1/quality/chart?{}", asked(t0, &format!("&kind={name}&rules=nelson")))).await.ok();
        assert_eq!(found, wire(&wanted), "{name}");
        let out = found["charts"][0]["violations"].as_array().unwrap();
        assert!(out.iter().any(|v| v["rule"] == "beyond_limits" && v["at"] == 29), "{out:?}");
    }
    let singles: Vec<_> = means().into_iter().enumerate().map(|(i, mean)| Single { at: Utc(at(t0, i)), value: Some(mean) }).collect();
    let wanted = chart(&request(ChartKind::Individuals, ChartData::Singles(singles.clone()), RuleSet::default())).unwrap();
    assert_eq!(plant.get(&format!("/api/v1/quality/chart?{}", asked(t0, "&kind=individuals"))).await.ok(), wire(&wanted));
    let wanted = chart(&request(ChartKind::XbarR, ChartData::Subgroups(subgroups(&singles, 3)), RuleSet::default())).unwrap();
    let found = plant.get(&format!("/api/v1/quality/chart?{}", asked(t0, "&kind=xbar_r&size=3"))).await.ok();
    assert_eq!((found["charts"][0]["points"].as_array().unwrap().len(), &found), (10, &wire(&wanted)));
}

#[tokio::test]
async fn capability_of_known_numbers_is_the_one_by_hand() {
    let t0 = start();
    let mut plant = Plant::new().await;
    // Twenty windows of five readings about 10 with a deviation of .5: 100 values, sum of squares 25.
    plant.take_in((0..20).map(|i| window(at(t0, i), 5, 10.0)).collect());
    let answer = plant.get(&format!("/api/v1/quality/capability?{}", asked(t0, "&lower=8&upper=12"))).await.ok();
    let overall = (25.0_f64 / 99.0).sqrt();
    let near = |found: &Value, wanted: f64| assert!((found.as_f64().unwrap() - wanted).abs() < 1e-9, "{found} is not {wanted}");
    assert_eq!(answer["count"], 100);
    near(&answer["sigma_overall"], overall);
    near(&answer["pp"]["value"], 4.0 / (6.0 * overall));
    near(&answer["ppk"]["value"], 2.0 / (3.0 * overall));
    let brought = json!({
        "data": {"kind": "singles", "rows": [
            {"at": "2026-01-01T00:00:00Z", "value": 9.0}, {"at": "2026-01-01T00:01:00Z", "value": 11.0}, {"at": "2026-01-01T00:02:00Z", "value": 10.0}]},
        "specification": {"lsl": 7.0, "usl": 13.0}
    });
    let answer = plant.post("/api/v1/quality/capability", &brought).await.ok();
    near(&answer["pp"]["value"], 1.0);
    // Moving ranges of 2 and 1 over d2 = 2 / sqrt pi.
    near(&answer["cp"]["value"], 6.0 / (6.0 * 1.5 / std::f64::consts::FRAC_2_SQRT_PI));
}

#[tokio::test]
async fn yields_are_those_of_the_machines_of_a_line_and_of_counts_that_are_brought() {
    let t0 = start();
    let mut plant = Plant::new().await;
    let s = |seconds: i64| t0.plus_micros(seconds * SECOND);
    let other = |record| match record {
        Record::Parts(p) => Record::Parts(PartCount { asset: "plant1/press-shop/line1/press-2".parse::<AssetPath>().unwrap(), ..p }),
        record => record,
    };
    // The last reject comes after its part was counted.
    plant.take_in(vec![parts(s(0), s(600), 100, 9), parts(s(600), s(601), 0, 1), parts(s(3_600), s(4_200), 50, 20)]);
    plant.take_in(vec![other(parts(s(0), s(600), 200, 20))]);
    let period = format!("from={}&to={}", rfc3339(t0), rfc3339(s(3_600)));
    let answer = plant.get(&format!("/api/v1/quality/yield?scope=plant1/press-shop/line1&{period}")).await.ok();
    assert_eq!(answer["steps"].as_array().unwrap().len(), 2);
    assert_eq!((&answer["steps"][0]["name"], &answer["steps"][0]["first_pass_yield"]), (&json!(PRESS), &json!(0.9)));
    assert!((answer["rolled_throughput_yield"].as_f64().unwrap() - 0.81).abs() < 1e-12);
    let steps = json!({"steps": [{"name": "saw", "produced": 100, "scrap": 5, "rework": 5}, {"name": "mill", "produced": 95, "scrap": 5}]});
    let answer = plant.post("/api/v1/quality/yield", &steps).await.ok();
    assert!((answer["rolled_throughput_yield"].as_f64().unwrap() - 0.9 * 90.0 / 95.0).abs() < 1e-12);
    let chart = plant.get(&format!("/api/v1/quality/chart?asset={PRESS}&kind=p&from={}&to={}", rfc3339(t0), rfc3339(s(7_200)))).await.ok();
    let points = chart["charts"][0]["points"].as_array().unwrap();
    assert_eq!((points[0]["value"].as_f64(), points[1]["value"].as_f64()), (Some(0.1), Some(0.4)));
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_by_its_name() {
    let t0 = start();
    let plant = plant_with_windows(t0).await;
    let fields = |problem: Value| -> Vec<String> {
        problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap().to_owned()).collect()
    };
    let chart = |rest: &str| format!("/api/v1/quality/chart?{}", asked(t0, rest));
    assert_eq!(fields(plant.get(&chart("&kind=pie&size=1&rules=all")).await.problem(400)), ["kind", "rules", "size"]);
    assert_eq!(fields(plant.get(&chart("&kind=p")).await.problem(400)), ["signal"]);
    assert_eq!(fields(plant.get(&format!("/api/v1/quality/chart?asset={PRESS}")).await.problem(400)), ["signal"]);
    assert_eq!(fields(plant.get(&chart("&kind=individuals&size=3")).await.problem(400)), ["size"]);
    let capability = |rest: &str| format!("/api/v1/quality/capability?{}", asked(t0, rest));
    assert_eq!(fields(plant.get(&capability("")).await.problem(400)), ["lower"]);
    assert_eq!(fields(plant.get(&capability("&lower=5&upper=5")).await.problem(400)), ["lower"]);
    assert_eq!(fields(plant.get(&capability("&lower=x")).await.problem(400)), ["lower"]);
    plant.get("/api/v1/quality/chart?asset=a/b/c/d&signal=t").await.problem(404);
    let wrong = json!({"steps": [{"name": "saw", "produced": 1, "scrap": 2}]});
    assert_eq!(fields(plant.post("/api/v1/quality/yield", &wrong).await.problem(400)), ["steps[0].scrap"]);
}
