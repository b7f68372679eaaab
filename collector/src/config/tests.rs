//! What a configuration must refuse, and how it says so: all problems at once, each with its line.

use std::{path::Path, time::Duration};

use super::{Config, ConfigError, EXAMPLE, Problem};

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    parse_with(text, &[])
}

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(Path::new("collector.toml"), text, env).map_err(|error| match error {
        ConfigError::Invalid { problems, .. } => problems,
        ConfigError::Unreadable { .. } => panic!("{error}"),
    })
}

#[test]
fn the_example_loads_and_says_what_the_defaults_say() {
    let example = parse(EXAMPLE).expect("the annotated example is valid");
    let minimal = parse("[collector]\ndata_dir = \"/var/lib/millrace-collector\"\n").expect("only data_dir is needed");
    assert_eq!(example.data_dir, minimal.data_dir);
    assert_eq!(example.api.listen, minimal.api.listen);
    assert_eq!(example.uplink.listen, minimal.uplink.listen);
    assert_eq!(example.journal.max_bytes, minimal.journal.max_bytes);
    assert_eq!(example.lake.commit_interval, minimal.lake.commit_interval);
    let (from, to) = ("2026-03-28T00:00:00Z".parse::<jiff::Timestamp>().expect("a time"), "2026-04-02T00:00:00Z".parse().expect("a time"));
    let week = range(from, to);
    let names = |config: &Config| config.calendar.shifts(week).into_iter().map(|shift| shift.name).collect::<Vec<_>>();
    assert_eq!(names(&example), names(&minimal));
    assert_eq!(example.oee, minimal.oee);
    assert_eq!(example.maintenance, minimal.maintenance);
}

fn range(from: jiff::Timestamp, to: jiff::Timestamp) -> protocol::TimeRange {
    protocol::TimeRange { from: protocol::Timestamp(from.as_microsecond()), to: protocol::Timestamp(to.as_microsecond()) }
}

const TWO_SHIFTS: &str = "\
[collector]
data_dir = \"/tmp/x\"
timezone = \"Europe/Berlin\"
[[shift]]
name = \"day\"
start = \"06:00\"
end = \"14:00\"
days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]
break = [{ name = \"lunch\", start = \"10:00\", end = \"10:30\" }]
[[shift]]
name = \"night\"
start = \"22:00\"
end = \"06:00\"
[[holiday]]
date = \"2026-05-01\"
name = \"Labour Day\"
[[extra_shift]]
date = \"2026-05-02\"
name = \"catch-up\"
start = \"07:00\"
end = \"12:00\"
[[cancelled_shift]]
date = \"2026-05-04\"
shift = \"night\"
";

#[test]
fn shifts_have_days_and_breaks_and_a_calendar_has_holidays_extra_and_cancelled_shifts() {
    let calendar = parse(TWO_SHIFTS).expect("valid").calendar;
    // Thursday noon to Tuesday noon, in Berlin.
    let (from, to) = ("2026-04-30T10:00:00Z".parse().expect("a time"), "2026-05-05T10:00:00Z".parse().expect("a time"));
    let shifts = calendar.shifts(range(from, to));
    let told: Vec<_> = shifts
        .iter()
        .map(|s| {
            (s.name.as_str(), s.breaks.len(), jiff::Timestamp::from_microsecond(s.range.from.as_micros()).expect("a time").to_string())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("day", 1, "2026-04-30T04:00:00Z".into()),
            ("night", 0, "2026-04-30T20:00:00Z".into()),
            ("catch-up", 0, "2026-05-02T05:00:00Z".into()),
            ("night", 0, "2026-05-02T20:00:00Z".into()),
            ("night", 0, "2026-05-03T20:00:00Z".into()),
            ("day", 1, "2026-05-04T04:00:00Z".into()),
            ("day", 1, "2026-05-05T04:00:00Z".into()),
        ]
    );
}

#[test]
fn a_calendar_that_can_not_be_is_told_at_its_line() {
    let refused = |from: &str, to: &str| {
        assert!(TWO_SHIFTS.contains(from), "{from}");
        let problems = parse(&TWO_SHIFTS.replace(from, to)).expect_err(to);
        (problems[0].line, problems[0].key.clone(), problems[0].message.clone())
    };
    let (line, key, message) = refused("start = \"22:00\"", "start = \"13:00\"");
    assert_eq!((line, key.as_str()), (Some(4), "shift"));
    assert!(message.contains("\"day\" and \"night\" overlap"), "{message}");
    assert_eq!(refused("start = \"10:00\"", "start = \"05:00\"").1, "shift");
    assert_eq!(refused("end = \"10:30\"", "end = \"noon\"").1, "shift[0].break[0].end");
    assert_eq!(refused("\"wed\"", "\"Wednesday\"").1, "shift[0].days");
    assert_eq!(refused("2026-05-01", "2026-02-30").1, "holiday[0].date");
    assert_eq!(refused("shift = \"night\"", "shift = \"nite\"").1, "cancelled_shift");
    assert_eq!(refused("name = \"night\"", "name = \"day\"").1, "shift[1].name");
    let problems = parse(&TWO_SHIFTS.replace("end = \"14:00\"", "end = \"06:00\"")).expect_err("a shift without time");
    assert!(problems.iter().any(|p| p.key == "shift[0].end" && p.line == Some(7)), "{problems:#?}");
}

#[test]
fn a_broken_file_shows_all_problems_at_once_each_with_its_line() {
    let text = "\
[collector]
data_dri = \"/tmp/x\"
timezone = \"Europe/Atlantis\"
[api]
listen = \"0.0.0.0:8080\"
[uplink]
advertise = \"http://host\"
max_batch_rows = \"many\"
[lake]
commit_interval = \"10\"
[[shift]]
name = \"early\"
start = \"25:00\"
[[asset]]
path = \"plant1/press-1\"
[gadget]
";
    let problems = parse(text).expect_err("it is broken");
    let seen: Vec<(Option<usize>, &str)> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    for expected in [
        (Some(2), "collector.data_dri"),
        (Some(1), "collector.data_dir"),
        (Some(3), "collector.timezone"),
        (Some(5), "api.listen"),
        (Some(7), "uplink.advertise"),
        (Some(8), "uplink.max_batch_rows"),
        (Some(10), "lake.commit_interval"),
        (Some(13), "shift[0].start"),
        (Some(15), "asset[0].path"),
        (Some(16), "gadget"),
    ] {
        assert!(seen.contains(&expected), "{expected:?} is not among {seen:#?}");
    }
    assert!(problems.iter().all(|problem| !problem.advice.is_empty()), "each problem says what to do: {problems:#?}");
    let typo = problems.iter().find(|p| p.key == "collector.data_dri").expect("checked above");
    assert_eq!(typo.advice, "did you mean \"data_dir\"?");
}

#[test]
fn a_syntax_error_is_reported_with_its_line() {
    let problems = parse("[collector]\ndata_dir = \"/tmp/x\"\n[api\nlisten = 3\n").expect_err("it is no TOML");
    assert!(problems.iter().any(|p| p.key == "syntax" && p.line == Some(3)), "{problems:#?}");
}

#[test]
fn plain_http_on_the_network_needs_a_certificate_or_a_waiver() {
    let text = |extra: &str| format!("[collector]\ndata_dir = \"/tmp/x\"\n[api]\nlisten = \"0.0.0.0:8080\"\n{extra}");
    assert!(parse(&text("")).is_err());
    assert!(parse(&text("allow_plain_http_on_network = true\n")).expect("waived").api.tls.is_none());
    let problems = parse(&text("certificate = \"/nowhere/a.pem\"\nkey = \"/nowhere/b.pem\"\n")).expect_err("files are missing");
    assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [Some(5), Some(6)]);
}

#[test]
fn the_environment_overrides_the_file_and_its_typos_are_problems() {
    let text = "[collector]\ndata_dir = \"/tmp/x\"\n";
    let config = parse_with(
        text,
        &[
            ("MILLRACE_COLLECTOR__DATA_DIR", "/tmp/y"),
            ("MILLRACE_LAKE__COMMIT_ROWS", "5000"),
            ("MILLRACE_KEY", "mk_1"),
            ("MILLRACE_COLLECTOR__URL", "x"),
            // Was ignored without a word.
            ("MILLRACE_UPLINK__NAMES", "collector.plant.example, 10.0.0.5"),
        ],
    )
    .expect("overrides are valid");
    assert_eq!(config.uplink.names, ["collector.plant.example", "10.0.0.5"]);
    assert_eq!(config.data_dir, Path::new("/tmp/y"));
    assert_eq!(config.lake.commit_rows, 5_000);
    let problems =
        parse_with(text, &[("MILLRACE_LAKE__COMMIT_ROW", "1"), ("MILLRACE_API__LISTEN", "nowhere")]).expect_err("both are wrong");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems.iter().all(|p| p.key.starts_with("MILLRACE_")));
}

#[test]
fn times_and_sizes_take_units() {
    let text = "[collector]\ndata_dir = \"/tmp/x\"\n[lake]\ncommit_interval = \"2.5s\"\n[journal]\nmax_size = \"64 MiB\"\n[[asset]]\npath = \"a/b/c/d\"\nideal_cycle_time = \"750ms\"\n";
    let config = parse(text).expect("valid");
    assert_eq!(config.lake.commit_interval, Duration::from_millis(2_500));
    assert_eq!(config.journal.max_bytes, 64 << 20);
    assert_eq!(config.assets[0].ideal_cycle_time, Some(Duration::from_millis(750)));
}

#[test]
fn the_advertised_host_is_found_with_and_without_port_and_brackets() {
    use super::resolve::advertised_host;
    assert_eq!(advertised_host("https://c.example:8443"), Some("c.example"));
    assert_eq!(advertised_host("https://c.example/"), Some("c.example"));
    assert_eq!(advertised_host("https://[::1]:8443"), Some("::1"));
    assert_eq!(advertised_host("https://10.0.0.5"), Some("10.0.0.5"));
    assert_eq!(advertised_host("http://c.example:8443"), None);
    assert_eq!(advertised_host("https://:8443"), None);
    assert_eq!(advertised_host("https://c.example:port"), None);
}

#[test]
fn a_condition_needs_a_signal_and_a_limit_on_the_right_side() {
    let text = |conditions: &str| {
        format!("[collector]\ndata_dir = \"/tmp/x\"\n[[asset]]\npath = \"a/b/c/d\"\nkind = \"press\"\ncondition = [\n{conditions}]\n")
    };
    let config = parse(&text("{ signal = \"oil\", low_limit = 1.8, baseline = 4 },\n{ signal = \"x\", vibration = \"large_rigid\" },\n"));
    let asset = &config.expect("valid").assets[0];
    assert_eq!((asset.kind.as_deref(), asset.condition.len()), (Some("press"), 2));
    assert_eq!((asset.condition[0].low_limit, asset.condition[0].limit), (Some(1.8), None));
    let wrong =
        "{ signal = \"t\", limit = 80, baseline = 90 },\n{ limit = 3 },\n{ signal = \"u\" },\n{ signal = \"v\", limit = \"hot\" },\n";
    let problems = parse(&text(wrong)).expect_err("each is wrong");
    let seen: Vec<(Option<usize>, &str)> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    for expected in [
        (Some(7), "asset[0].condition[0].baseline"),
        (Some(8), "asset[0].condition[1].signal"),
        (Some(9), "asset[0].condition[2].limit"),
        (Some(10), "asset[0].condition[3].limit"),
    ] {
        assert!(seen.contains(&expected), "{expected:?} is not among {seen:#?}");
    }
}

#[test]
fn a_meter_and_a_template_of_machines_are_checked_when_they_are_read() {
    let text = |asset: &str, ingest: &str| {
        format!("[collector]\ndata_dir = \"/tmp/x\"\n[[asset]]\npath = \"a/b/c/d\"\n{asset}\n[ingest]\n{ingest}\n")
    };
    let config =
        parse(&text("power_signal = \"active_power\"\npower_unit = \"kW.h\"", "asset_template = \"a/b/{device_type}/{device_id}\""))
            .expect("valid");
    let asset = &config.assets[0];
    assert_eq!((asset.power_signal.as_ref().map(|s| s.as_str()), asset.power_unit.as_deref()), (Some("active_power"), Some("kW.h")));
    assert_eq!(config.ingest.asset_template.as_deref(), Some("a/b/{device_type}/{device_id}"));
    assert_eq!(parse("[collector]\ndata_dir = \"/tmp/x\"\n").expect("valid").ingest.asset_template, None);
    let wrong = parse(&text("power_signal = \"Power\"\npower_unit = \"Cel\"", "asset_template = \"a/b/c/d\"")).expect_err("it is wrong");
    let keys: Vec<_> = wrong.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["asset[0].power_signal", "asset[0].power_unit", "ingest.asset_template"]);
    assert!(parse(&text("", "asset_template = \"a/b/{device_id}\"")).is_err(), "it makes no path of four parts");
}
