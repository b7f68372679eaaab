//! The real binary's commands and exit codes.

use std::{
    path::Path,
    process::{Command, Output},
};

use collector::health::Part;

use crate::plant::Site;

const BINARY: &str = env!("CARGO_BIN_EXE_millrace-collector");

fn run(args: &[&str], config: &Path) -> Output {
    Command::new(BINARY).args(args).arg("--config").arg(config).env_remove("MILLRACE_KEY").output().expect("ran")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn init(dir: &Path) -> (std::path::PathBuf, String) {
    let config = dir.join("etc/collector.toml");
    let data = dir.join("data");
    let output = run(&["init", "--data-dir", data.to_str().expect("UTF-8")], &config);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    (config, text(&output.stdout))
}

#[test]
fn init_makes_everything_once_and_a_second_time_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, said) = init(dir.path());
    let key = said.lines().find_map(|line| line.strip_prefix("admin key: ")).expect("shown");
    assert!(key.starts_with("mk_") && key.len() == 67, "{key}");
    let before: Vec<Vec<u8>> = ["etc/collector.toml", "data/pki/ca.crt", "data/pki/ca.key"]
        .iter()
        .map(|f| std::fs::read(dir.path().join(f)).expect("there"))
        .collect();
    let (_, said) = init(dir.path());
    assert!(said.contains("nothing changed") && !said.contains("mk_"), "{said}");
    let after: Vec<Vec<u8>> = ["etc/collector.toml", "data/pki/ca.crt", "data/pki/ca.key"]
        .iter()
        .map(|f| std::fs::read(dir.path().join(f)).expect("there"))
        .collect();
    assert_eq!(before, after);
    let other = dir.path().join("other");
    let output = run(&["init", "--data-dir", other.to_str().expect("UTF-8")], &config);
    assert_eq!(output.status.code(), Some(64), "a folder that the configuration contradicts is refused");
    assert!(!other.exists());
    let output = run(&["check-config"], &config);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(dir.path().join("data")).expect("there").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_broken_configuration_shows_all_problems_and_ends_with_64() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("collector.toml");
    std::fs::write(
        &config,
        "[collector]\ndata_dir = \"/tmp/x\"\ntimezon = \"UTC\"\n[api]\nlisten = \"0.0.0.0:8080\"\n[lake]\ncommit_rows = -1\n",
    )
    .expect("written");
    for command in ["check-config", "run", "init"] {
        let output = run(&[command], &config);
        assert_eq!(output.status.code(), Some(64), "{command}");
        let said = text(&output.stderr);
        for expected in
            ["line 3: collector.timezon: unknown key", "did you mean \"timezone\"?", "line 5: api.listen", "line 7: lake.commit_rows"]
        {
            assert!(said.contains(expected), "{command} does not say {expected:?}: {said}");
        }
    }
    assert_eq!(run(&["check-config"], &dir.path().join("missing.toml")).status.code(), Some(64));
    assert_eq!(run(&["frobnicate"], &config).status.code(), Some(64));
    assert_eq!(run(&["--help"], &config).status.code(), Some(0));
}

#[test]
fn running_before_init_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("collector.toml");
    std::fs::write(&config, format!("[collector]\ndata_dir = {:?}\n", dir.path().join("data"))).expect("written");
    for args in [&["run"][..], &["key", "ls"], &["token", "create", "--gateway", "gw"]] {
        let output = run(args, &config);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
    }
    assert!(text(&run(&["run"], &config).stderr).contains("millrace-collector init"));
}

#[test]
fn the_name_of_what_comes_by_the_api_is_no_gateways() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, _) = init(dir.path());
    let output = run(&["token", "create", "--gateway", "api"], &config);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("choose another"), "{}", text(&output.stderr));
}

#[test]
fn keys_and_tokens_are_made_listed_and_revoked() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, _) = init(dir.path());
    let made = run(&["key", "create", "--name", "board", "--role", "viewer"], &config);
    assert!(text(&made.stdout).contains("viewer key: mk_"), "{}", text(&made.stderr));
    let again = run(&["key", "create", "--name", "board", "--role", "admin"], &config);
    assert_eq!(again.status.code(), Some(64), "a name is used once");
    let listed = text(&run(&["key", "ls"], &config).stdout);
    assert!(listed.contains("board") && listed.contains("admin") && !listed.contains("mk_"), "{listed}");
    assert_eq!(run(&["key", "revoke", "board"], &config).status.code(), Some(0));
    assert_eq!(run(&["key", "revoke", "board"], &config).status.code(), Some(1));
    assert_eq!(run(&["key", "create", "--name", "x", "--role", "root"], &config).status.code(), Some(64));
    let token = text(&run(&["token", "create", "--gateway", "press-gw1", "--ttl", "10m"], &config).stdout);
    let token = collector::enroll::parse_token(&token).expect("a token");
    assert_eq!(token.url, "https://localhost:8443");
    assert_eq!(token.ca_sha256.len(), 64);
    assert_eq!(run(&["token", "create", "--gateway", "Not Valid"], &config).status.code(), Some(64));
}

/// The command `health` of a configuration whose server may run in this process.
pub async fn health(config: &Path) -> Output {
    let config = config.to_owned();
    tokio::task::spawn_blocking(move || run(&["health"], &config)).await.expect("ran")
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_a_server_that_is_away_one_that_works_and_one_at_fault_from_each_other() {
    let site = Site::new("").await;
    let collector = site.start().await;
    let address = collector.api_address;
    let config = site.dir.path().join("collector.toml");
    std::fs::write(&config, site.config_text().replacen("127.0.0.1:0", &address.to_string(), 1)).expect("written");
    let output = health(&config).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "ready\n"), "{}", text(&output.stderr));

    collector.app.health.failed(Part::Lake, "the volume is full");
    let output = health(&config).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), "lake: the volume is full\n"));
    assert!(text(&output.stderr).contains("not ready"), "{}", text(&output.stderr));

    collector.stop().await;
    let output = health(&config).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("the server at http://{address} did not answer")), "{}", text(&output.stderr));
}

#[test]
fn sql_and_export_work_on_the_files_when_no_server_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let (config, _) = init(dir.path());
    let output = run(&["sql", "SELECT count(*) AS n FROM window_summaries", "--format", "csv"], &config);
    assert_eq!(text(&output.stdout), "n\r\n0\r\n", "{}", text(&output.stderr));
    let wrong = run(&["sql", "SELECT nonsense FROM window_summaries"], &config);
    assert_eq!(wrong.status.code(), Some(1));
    let file = dir.path().join("out.csv");
    let export = run(&["export", "--table", "losses", "--output", file.to_str().expect("UTF-8")], &config);
    assert_eq!(export.status.code(), Some(0), "{}", text(&export.stderr));
    assert!(std::fs::read_to_string(&file).expect("written").starts_with("gateway,") || file.exists());
    assert_eq!(run(&["export", "--table", "secrets"], &config).status.code(), Some(64));
    assert_eq!(run(&["compact"], &config).status.code(), Some(0));
}
