//! What the program asks of the kernel for its memory.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::fixture::{BROKER, Fixture, JSON_TOPIC, PATIENCE, free_port};

/// Debian's kernel gives huge pages to everybody; with them an idle gateway took 30 MB of a card's board in place of 10.
#[tokio::test]
async fn the_gateway_takes_no_huge_pages() {
    let fixture = Fixture { dir: tempfile::TempDir::new().unwrap(), collector: None };
    let path = fixture.dir.path().join("gateway.toml");
    std::fs::write(&path, fixture.toml(&format!("{BROKER}{JSON_TOPIC}[status]\nlisten = \"127.0.0.1:{}\"\n", free_port()))).unwrap();
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_millrace-gateway"))
        .args(["run", "--config"])
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", gateway.id());
    let begun = Instant::now();
    let mut said = String::new();
    // At its very start the flag is not set yet. proc(5): 0 is off.
    while !said.contains("THP_enabled:\t0") && begun.elapsed() < PATIENCE {
        said = std::fs::read_to_string(&status).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(said.contains("THP_enabled:\t0"), "{said}");
}
