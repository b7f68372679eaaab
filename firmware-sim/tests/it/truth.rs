//! The truth file against itself: the summary must follow from the lines before it.

use std::collections::HashMap;

use serde_json::Value;

/// Microseconds of a time in the file.
fn micros(value: &Value) -> i64 {
    let text = value.as_str().expect("a time");
    text.parse::<jiff::Timestamp>().expect("RFC 3339").as_microsecond()
}

/// Recomputes each summary from `state` and `part` lines; returns how many machines had parts.
pub fn check(text: &str) -> usize {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["type"], "plant");
    let end = lines.last().unwrap();
    assert_eq!(end["type"], "end");
    let mut states: HashMap<&str, Vec<(i64, &str)>> = HashMap::new();
    let mut parts: HashMap<&str, (u64, u64)> = HashMap::new();
    for line in &lines {
        let machine = line["machine"].as_str().unwrap_or_default();
        match line["type"].as_str().unwrap() {
            "state" => states.entry(machine).or_default().push((micros(&line["at"]), line["state"].as_str().unwrap())),
            "part" => {
                let (good, rejected) = parts.entry(machine).or_default();
                *(if line["good"] == true { good } else { rejected }) += 1;
                assert_eq!(states[machine].last().unwrap().1, "producing", "{line}");
            }
            _ => {}
        }
    }
    let (mut readings, mut produced, mut productive) = (0, 0, 0);
    for summary in lines.iter().filter(|line| line["type"] == "summary") {
        let asset = summary["asset"].as_str().unwrap();
        let (from, to) = (micros(&summary["from"]), micros(&summary["to"]));
        let history = states.get(asset).cloned().unwrap_or_default();
        let ends = history.iter().skip(1).map(|(at, _)| *at).chain([to]);
        let mut spent: HashMap<&str, i64> = HashMap::new();
        for ((at, state), end) in history.iter().zip(ends) {
            *spent.entry(state).or_default() += end - at;
        }
        let seconds = |state: &str| spent.get(state).copied().unwrap_or(0) as f64 / 1e6;
        let busy = (to - from) as f64 / 1e6 - seconds("planned_stop");
        let near = |key: &str, wanted: f64| assert!((summary[key].as_f64().unwrap() - wanted).abs() < 1e-9, "{key}: {wanted}: {summary}");
        near("planned_busy_s", busy);
        near("production_s", seconds("producing"));
        let (good, rejected) = parts.get(asset).copied().unwrap_or_default();
        assert_eq!((summary["produced"].as_u64(), summary["rejected"].as_u64()), (Some(good + rejected), Some(rejected)));
        if good + rejected > 0 {
            // A * P * Q with everything cancelled that cancels.
            near("oee", summary["ideal_cycle_time_s"].as_f64().unwrap() * good as f64 / busy);
            productive += 1;
        }
        readings += summary["readings"].as_u64().unwrap();
        produced += good + rejected;
    }
    assert_eq!((end["readings"].as_u64(), end["parts"].as_u64()), (Some(readings), Some(produced)));
    productive
}
