//! The binary's commands: what they print and how they exit.

use std::process::{Command, Output};

use crate::fixture::{BROKER, Fixture, JSON_TOPIC, QUICK, broker_of, drained};

fn gateway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millrace-gateway")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_broken_configuration_is_told_whole_with_exit_code_64() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    std::fs::write(&path, "[gateway]\nid = \"Not A Name\"\n[broker]\nlisten = \"nowhere\"\ncolour = 7\n").unwrap();
    for command in ["check-config", "run"] {
        let output = gateway(&[command, "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(64));
        let message = text(&output.stderr);
        for place in ["line 2", "line 4", "line 5"] {
            assert!(message.contains(place), "{place} is missing in: {message}");
        }
    }
}

#[test]
fn a_missing_file_and_a_wrong_command_exit_with_64() {
    assert_eq!(gateway(&["check-config", "--config", "/nonexistent.toml"]).status.code(), Some(64));
    assert_eq!(gateway(&["dance"]).status.code(), Some(64));
    assert_eq!(gateway(&["enroll"]).status.code(), Some(64));
}

#[test]
fn every_command_shows_an_example() {
    for command in [
        &["run"][..],
        &["check-config"],
        &["enroll"],
        &["status"],
        &["spool"],
        &["spool", "ls"],
        &["spool", "export"],
        &["spool", "verify"],
        &["modbus"],
        &["config", "schema"],
        &["completions"],
    ] {
        let mut args = command.to_vec();
        args.push("--help");
        let output = gateway(&args);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Example"), "{command:?}: {}", text(&output.stdout));
    }
}

#[test]
fn the_printed_schema_is_a_configuration_that_works() {
    let schema = gateway(&["config", "schema"]);
    assert_eq!(schema.status.code(), Some(0));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    std::fs::write(&path, schema.stdout).unwrap();
    let output = gateway(&["check-config", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = gateway(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = text(&output.stdout);
        assert!(script.contains("check-config"), "{shell}: {script}");
    }
    let dir = tempfile::tempdir().unwrap();
    let output = gateway(&["man-pages", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for page in ["millrace-gateway.1", "millrace-gateway-check-config.1", "millrace-gateway-spool-ls.1"] {
        assert!(std::fs::read_to_string(dir.path().join(page)).unwrap().contains(".SH NAME"), "{page}");
    }
    assert!(!dir.path().join("millrace-gateway-man-pages.1").exists());
}

#[test]
fn what_the_package_installs_as_configuration_works_unedited() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/debian/gateway/gateway.toml");
    let output = gateway(&["check-config", "--config", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn the_unit_file_is_accepted_by_systemd() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/millrace-gateway.service");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no", unit]).output();
    let output = output.expect("this test needs systemd-analyze: apt-get install -y systemd (cargo xtask test does that)");
    let complaints = text(&output.stderr);
    // The binary is only there after an installation.
    let about_unit: Vec<&str> =
        complaints.lines().filter(|line| line.contains("millrace-gateway") && !line.contains("is not executable")).collect();
    assert!(about_unit.is_empty(), "{about_unit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spool_of_a_stopped_gateway_can_be_read_and_that_of_a_running_one_is_left_alone() {
    let fixture = Fixture::with_collector().await;
    fixture.collector().go_down();
    let rest = format!("{BROKER}{JSON_TOPIC}{QUICK}");
    let app = fixture.start(&rest).await;
    crate::publisher::Publisher::new("press-1", broker_of(&app)).publish(crate::publisher::numbered(10)).await;
    let board = app.board.clone();
    crate::fixture::eventually("something is in the spool", || board.view().backlog_entries > 0 && board.view().open_windows == 0).await;
    let path = fixture.dir.path().join("gateway.toml");
    std::fs::write(&path, fixture.toml(&rest)).unwrap();
    let path = path.to_str().unwrap();
    for command in ["ls", "export", "verify"] {
        let refused = gateway(&["spool", command, "--config", path]);
        assert_ne!(refused.status.code(), Some(0));
        assert!(text(&refused.stderr).contains("a gateway runs on it"), "{}", text(&refused.stderr));
    }
    app.stop().await.unwrap();

    let list = text(&gateway(&["spool", "ls", "--config", path]).stdout);
    assert!(list.contains("data") && list.contains("not acknowledged"), "{list}");
    let export = text(&gateway(&["spool", "export", "--unsent", "--config", path]).stdout);
    assert!(export.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()) && export.contains("press-1"), "{export}");
    let verify = gateway(&["spool", "verify", "--config", path]);
    assert_eq!(verify.status.code(), Some(0), "{}", text(&verify.stdout));
    assert!(text(&verify.stdout).contains("0 damaged"));
}

#[test]
fn verify_finds_a_damaged_entry_and_export_gives_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let path = dir.path().join("gateway.toml");
    std::fs::write(&path, format!("[gateway]\nid = \"press-gw1\"\ndata_dir = {data_dir:?}\n{BROKER}{JSON_TOPIC}")).unwrap();
    let path = path.to_str().unwrap();
    std::fs::create_dir_all(&data_dir).unwrap();
    {
        let (spool, _) = spool::Spool::open_dir(&data_dir.join("spool"), spool::Options::default(), spool::SpoolTime(1)).unwrap();
        let stamp = protocol::EntryStamp {
            boot_id: 1,
            mono_us: 1,
            wall: protocol::Timestamp::from_micros(1),
            time_quality: protocol::TimeQuality::Synced,
            inherited: false,
        };
        let loss = |n: u64| {
            protocol::Record::Loss(protocol::Loss {
                asset: None,
                signal: None,
                reason: protocol::LossReason::PowerCut,
                count: n,
                from: stamp.wall,
                to: stamp.wall,
                detail: String::new(),
            })
        };
        let mut payloads: Vec<Vec<u8>> = (0..3).map(|n| gateway::entry::encode(&stamp, &[loss(n)]).unwrap()).collect();
        let end = payloads[1].len() - 1;
        payloads[1][end] ^= 1;
        let entries: Vec<_> = payloads.iter().map(|payload| spool::NewEntry { lane: spool::Lane(0), payload, units: 0 }).collect();
        spool.append(&spool::Append { entries: &entries, ..Default::default() }, spool::SpoolTime(1)).unwrap();
    }
    let verify = gateway(&["spool", "verify", "--config", path]);
    assert_eq!(verify.status.code(), Some(1));
    assert!(text(&verify.stdout).contains("3 entries, 2 records, 1 damaged"), "{}", text(&verify.stdout));
    let export = gateway(&["spool", "export", "--config", path]);
    assert_eq!(text(&export.stdout).lines().count(), 2);
    assert!(text(&export.stderr).contains("entry 2"), "{}", text(&export.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_answers_people_machines_and_prometheus() {
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&format!("{BROKER}{JSON_TOPIC}{QUICK}")).await;
    crate::publisher::Publisher::new("press-1", broker_of(&app)).publish(crate::publisher::numbered(10)).await;
    drained(&app).await;
    let base = format!("http://{}", app.status_listen.unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str| client.get(format!("{base}{path}")).send();
    let health = get("/health").await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
    let status: serde_json::Value = get("/status").await.unwrap().json().await.unwrap();
    assert_eq!((status["gateway"].as_str(), status["readings_total"].as_u64()), (Some("press-gw1"), Some(10)));
    for key in [
        "boot_id",
        "version",
        "dropped_total",
        "duplicates_total",
        "open_windows",
        "uncommitted_records",
        "backlog_entries",
        "spool_bytes",
        "connected",
        "last_upload_at",
        "losses",
        "sources",
    ] {
        assert!(!status[key].is_null(), "{key} is missing: {status}");
    }
    let metrics = get("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\nmillrace_gateway_readings_total 10\n") && metrics.contains("millrace_gateway_spool_bytes "), "{metrics}");
    for metric in
        ["upload_breaker{state=\"closed\"} 1", "backlog_lane_entries{lane=\"urgent\"} 0", "catch_up_entries 0", "dead_letters_total 0"]
    {
        assert!(metrics.contains(&format!("\nmillrace_gateway_{metric}")), "{metric} is missing: {metrics}");
    }
    assert_eq!(status["upload"]["breaker"], "closed");
    let page = get("/").await.unwrap().text().await.unwrap();
    assert!(page.contains("Gateway press-gw1") && page.contains("mqtt_broker"));
    app.stop().await.unwrap();
}
