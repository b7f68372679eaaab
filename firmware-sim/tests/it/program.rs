//! The program: help, exit codes, generated plants, and an end by SIGTERM with a real broker.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio_modbus::{
    Slave,
    client::{Reader, tcp},
};

use crate::{truth, until, within};

const BINARY: &str = env!("CARGO_BIN_EXE_millrace-sim");

fn sim(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_shows_examples_and_is_no_error() {
    for arguments in [&["--help"][..], &["run", "--help"], &["plant", "--help"], &["check-config", "--help"]] {
        let output = sim(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("millrace-sim ") && text(&output.stdout).contains("Example"), "{}", text(&output.stdout));
    }
}

#[test]
fn wrong_usage_exits_with_64() {
    for arguments in [
        &["walk"][..],
        &["run"],
        &["run", "--config", "x", "--for", "soon"],
        &["plant", "--mqtt-base-port", "65535"],
        &["plant", "--pace", "0"],
    ] {
        let output = sim(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_wrong_configuration_exits_with_64_and_names_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.toml");
    std::fs::write(&path, "[plant]\npaces = 1\n\n[[machine]]\nasset = \"a/b/c\"\nlink = \"pigeon\"\n").unwrap();
    for command in ["check-config", "run"] {
        let output = sim(&[command, "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(64));
        let said = text(&output.stderr);
        for line in [2, 5, 6] {
            assert!(said.contains(&format!("plant.toml:{line}: ")), "{said}");
        }
    }
}

#[test]
fn a_truth_file_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.toml");
    std::fs::write(&path, sim(&["plant", "--machines", "1", "--gateways", "1"]).stdout).unwrap();
    let output = sim(&["run", "--config", path.to_str().unwrap(), "--truth", "/proc/none/truth.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn a_generated_plant_is_a_good_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant.toml");
    let listed =
        sim(&["plant", "--machines", "3", "--gateways", "1", "--mqtt", "127.0.0.1:1901", "--modbus", "127.0.0.1:1902,127.0.0.1:1903"]);
    assert!(text(&listed.stdout).contains("address = \"127.0.0.1:1901\"") && text(&listed.stdout).contains("listen = \"127.0.0.1:1902\""));
    let output = sim(&["plant", "--machines", "12", "--gateways", "2", "--seed", "7"]);
    std::fs::write(&path, &output.stdout).unwrap();
    let checked = sim(&["check-config", "--config", path.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("12 machines"));
    let too_few = sim(&["plant", "--machines", "12", "--gateways", "2", "--mqtt", "127.0.0.1:1901"]);
    assert_eq!(too_few.status.code(), Some(64));
}

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mosquitto(folder: &Path) -> (Running, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = folder.join("mosquitto.conf");
    std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
    let binary = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("this test needs the mosquitto broker: `cargo xtask test` installs it, or `apt-get install mosquitto`");
    let child = Command::new(binary).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    (Running(child), port)
}

/// Counts what arrives at a real broker, by topic.
async fn listen(port: u16) -> (std::sync::Arc<parking_lot::Mutex<Vec<(String, u64)>>>, tokio::task::JoinHandle<()>) {
    let heard = std::sync::Arc::<parking_lot::Mutex<Vec<(String, u64)>>>::default();
    let (client, mut connection) = AsyncClient::new(MqttOptions::new("listener", "127.0.0.1", port), 10);
    let mut subscribed = false;
    within("a subscription", async {
        while !subscribed {
            match connection.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => client.subscribe("#", QoS::AtLeastOnce).await.unwrap(),
                Ok(Event::Incoming(Packet::SubAck(_))) => subscribed = true,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
    let shared = heard.clone();
    let task = tokio::spawn(async move {
        let _client = client;
        while let Ok(event) = connection.poll().await {
            if let Event::Incoming(Packet::Publish(message)) = event {
                let seq = serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap()["seq"].as_u64().unwrap();
                shared.lock().push((message.topic, seq));
            }
        }
    });
    (heard, task)
}

#[tokio::test]
async fn sigterm_ends_a_run_in_order_and_the_books_agree_with_a_real_broker_and_a_real_poller() {
    let folder = tempfile::tempdir().unwrap();
    let (_broker, port) = mosquitto(folder.path());
    let (heard, listener) = listen(port).await;
    let modbus_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plant = sim(&[
        "plant",
        "--machines",
        "3",
        "--gateways",
        "1",
        "--pace",
        "4",
        "--mqtt",
        &format!("127.0.0.1:{port}"),
        "--modbus",
        &modbus_port.to_string(),
    ]);
    let config = folder.path().join("plant.toml");
    std::fs::write(&config, plant.stdout).unwrap();
    let truth_path = folder.path().join("truth.jsonl");
    let mut command = Command::new(BINARY);
    command.args(["run", "--seed", "3", "--config"]).arg(&config).arg("--truth").arg(&truth_path).stderr(Stdio::null());
    let mut child = Running(command.spawn().unwrap());
    let poller = tokio::spawn(async move {
        let mut client = loop {
            match tcp::connect_slave(modbus_port, Slave(1)).await {
                Ok(client) => break client,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let mut answers = 0_u64;
        while let Ok(Ok(_)) = client.read_input_registers(0, 14).await {
            answers += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        answers
    });
    let read_truth = || std::fs::read_to_string(&truth_path).unwrap_or_default();
    until("parts of every machine", || {
        let truth = read_truth();
        ["press-1", "press-2", "press-3"].iter().all(|name| truth.lines().any(|line| line.contains("\"part\"") && line.contains(name)))
    })
    .await;

    let sent = Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        match child.0.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > deadline => panic!("the program did not end"),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(status.code(), Some(0));
    let answers = within("the poller's end", poller).await.unwrap();
    let truth = read_truth();
    assert_eq!(truth::check(&truth), 3, "all three made parts");
    for line in truth.lines().filter(|line| line.contains("\"summary\"")) {
        let summary: serde_json::Value = serde_json::from_str(line).unwrap();
        let messages = summary["messages"].as_u64().unwrap();
        if summary["link"] == "modbus" {
            assert_eq!(messages, answers);
            continue;
        }
        let topic = format!("{}/telemetry", summary["asset"].as_str().unwrap());
        let own = || heard.lock().iter().filter(|(at, _)| *at == topic).map(|(_, seq)| *seq).collect::<Vec<_>>();
        until("all messages", || own().len() as u64 >= messages).await;
        assert_eq!(own(), (1..=messages).collect::<Vec<_>>());
    }
    listener.abort();
}
