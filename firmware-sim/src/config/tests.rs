//! What a configuration may say, and how it is refused.

use super::*;

fn problems(text: &str) -> Vec<(usize, String)> {
    PlantConfig::parse(text).expect_err("this configuration is wrong").into_iter().map(|problem| (problem.line, problem.text)).collect()
}

#[test]
fn the_annotated_example_is_valid() {
    let config = PlantConfig::parse(include_str!("../../../config/plant.toml")).unwrap();
    assert!(config.machines.iter().any(|machine| machine.link.as_str() == "mqtt"));
    assert!(config.machines.iter().any(|machine| machine.link.as_str() == "modbus"));
    assert!(config.machines.iter().any(|machine| !machine.spec.faults.is_empty()));
}

#[test]
fn little_is_needed_and_the_rest_has_defaults() {
    let config = PlantConfig::parse(
        "[[machine]]\nasset = \"a/b/c/d\"\nlink = \"mqtt\"\naddress = \"broker.example:1883\"\n\
         [[machine]]\nasset = \"a/b/c/e\"\nlink = \"modbus\"\nlisten = \"127.0.0.1:5021\"\npace = 0.5\n",
    )
    .unwrap();
    assert_eq!((config.seed, config.publish_interval, config.queue), (None, Duration::from_secs(1), 10_000));
    assert_eq!(config.machines[0].link, Link::Mqtt { host: "broker.example".into(), port: 1883 });
    assert_eq!(config.machines[1].link, Link::Modbus { listen: "127.0.0.1:5021".parse().unwrap(), unit_id: 1 });
    assert_eq!((config.machines[0].spec.pace, config.machines[1].spec.pace), (1.0, 0.5));
    assert_eq!(config.machines[1].spec.character.thermal_lag, Duration::from_secs(40));
}

#[test]
fn all_problems_are_told_at_once_with_their_lines() {
    let text = r#"[plant]
pace = 99
publish_interval = "soon"
colour = "red"

[[machine]]
asset = "press-1"
link = "mqtt"

[[machine]]
asset = "a/b/c/d"
link = "modbus"
listen = "5021"
reject_ratio = "few"

[[machine.fault]]
kind = "stuck_sensor"
after = "10s"
lasts = "10s"

[[machine.fault]]
kind = "gremlin"
after = "10s"
"#;
    let found = problems(text);
    let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 4, 6, 7, 13, 14, 16, 21, 22], "{found:#?}");
    let has = |line: usize, part: &str| assert!(found.iter().any(|(at, text)| *at == line && text.contains(part)), "{line}: {part}");
    has(2, "`pace`: 99 is not within 0.001 to 10");
    has(3, "no span of time");
    has(4, "unknown key `colour`");
    has(6, "`address` is missing");
    has(7, "four parts");
    has(13, "no address to listen on");
    has(14, "must be a number, not a string");
    has(16, "needs a `signal`");
    has(21, "`lasts` is missing");
    has(22, "\"gremlin\" must be one of bearing_wear");
}

#[test]
fn two_machines_cannot_share_a_name_or_a_port() {
    let machine = |asset: &str| format!("[[machine]]\nasset = \"{asset}\"\nlink = \"modbus\"\nlisten = \"127.0.0.1:5021\"\n");
    let found = problems(&(machine("a/b/c/d") + &machine("a/b/c/d")));
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(line, text)| *line == 5 && text.contains("taken by the machine in line 1")), "{found:?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    assert_eq!(problems("[plant]\npace = = 1\n")[0].0, 2);
    assert_eq!(problems(""), [(1, "there is no [[machine]]".to_owned())]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_that_names_it() {
    let error = PlantConfig::load(Path::new("/nowhere/plant.toml")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/plant.toml"), "{error}");
}

#[test]
fn spans_of_time_are_read_in_their_units() {
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(parse_duration("2.5s"), Ok(Duration::from_millis(2_500)));
    assert_eq!(parse_duration("3m"), Ok(Duration::from_secs(180)));
    assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3_600)));
    for wrong in ["", "5", "s", "-1s", "1d", "1e400s"] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}
