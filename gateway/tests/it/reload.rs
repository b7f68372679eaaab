//! SIGHUP to the real binary, while messages flow: a changed configuration is taken over, a broken one is not, and nothing is lost.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, QoS};
use serde_json::Value;

use crate::{
    fixture::{Fixture, PATIENCE, free_port},
    publisher::sequenced,
};

/// With a sequence: what is sent again is known, what is missing is counted.
const TOPIC: &str =
    "[[topic]]\ntemplate = \"{site}/{area}/{line}/{machine}/telemetry\"\nsequence = \"seq\"\nsession = \"session\"\npayload = \"json\"\n";

struct Gateway {
    child: Child,
    config: PathBuf,
    log: PathBuf,
    mqtt: SocketAddr,
    status: SocketAddr,
}

impl Gateway {
    async fn start(fixture: &Fixture) -> Self {
        let addresses = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (config, log) = (fixture.dir.path().join("gateway.toml"), fixture.dir.path().join("gateway.log"));
        let mut gateway = Self { child: Command::new("true").spawn().unwrap(), config, log, mqtt: addresses[0], status: addresses[1] };
        gateway.child.wait().unwrap();
        gateway.configure(fixture, "1s");
        gateway.child = Command::new(env!("CARGO_BIN_EXE_millrace-gateway"))
            .args(["run", "--config"])
            .arg(&gateway.config)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&gateway.log).unwrap())
            .spawn()
            .unwrap();
        gateway.until("it runs", |view| view["sources"][0]["connected"] == true).await;
        gateway
    }

    fn configure(&self, fixture: &Fixture, window: &str) {
        let (mqtt, status) = (self.mqtt, self.status);
        let text = format!(
            "[broker]\nlisten = \"{mqtt}\"\n{TOPIC}[window]\nlength = \"{window}\"\nallowed_lateness = \"100ms\"\nidle_grace = \"100ms\"\n\
             [status]\nlisten = \"{status}\"\n"
        );
        std::fs::write(&self.config, fixture.toml(&text)).unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(5)).build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        loop {
            if let Ok(answer) = client.get(format!("http://{}/status", self.status)).send().await
                && let Ok(view) = answer.json::<Value>().await
            {
                if condition(&view) {
                    return view;
                }
                last = view;
            }
            assert!(Instant::now() < deadline, "never came true: {what}: {last:#}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_logged(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(what) {
            assert!(Instant::now() < deadline, "never logged: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One message at a time; one without an acknowledgement is sent again over a new connection.
async fn publish_until(stop: Arc<AtomicBool>, broker: SocketAddr) -> u64 {
    let connect = || -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new("press-1", broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(30));
        AsyncClient::new(options, 10)
    };
    let (mut client, mut events) = connect();
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let (topic, payload) = sequenced("s1", count, 1).remove(0);
        client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
        loop {
            match tokio::time::timeout(PATIENCE, events.poll()).await.expect("no acknowledgement") {
                Ok(Event::Incoming(Incoming::PubAck(_))) => break count += 1,
                Ok(_) => {}
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    (client, events) = connect();
                    break;
                }
            }
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_configuration_is_taken_over_and_a_broken_one_is_not_while_messages_flow() {
    let fixture = Fixture::with_collector().await;
    let gateway = Gateway::start(&fixture).await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish_until(Arc::clone(&stop), gateway.mqtt));
    let flows = |view: &Value| view["readings_total"].as_u64() > Some(200);
    let first = gateway.until("messages flow", flows).await["boot_id"].clone();

    gateway.signal("-HUP");
    gateway.until_logged("has not changed").await;
    std::fs::write(&gateway.config, "[gateway]\nid = \"Not A Name\"\ncolour = 7\n").unwrap();
    gateway.signal("-HUP");
    gateway.until_logged("the one before stays").await;
    assert_eq!(gateway.log().matches("the one before stays").count(), gateway.log().matches("gateway.toml").count());
    assert!(gateway.log().matches("the one before stays").count() >= 2, "each problem is told: {}", gateway.log());
    assert_eq!(gateway.until("it goes on", flows).await["boot_id"], first);

    let mut boot = first;
    let mut threads = Vec::new();
    for turn in 0..9 {
        gateway.configure(&fixture, if turn % 2 == 0 { "2s" } else { "1s" });
        gateway.signal("-HUP");
        let before = boot.clone();
        let view = gateway.until("it was taken over", |view| view["boot_id"] != before && flows(view)).await;
        boot = view["boot_id"].clone();
        threads.push(gateway.threads());
    }
    // A port that somebody else has: valid, and does not work here.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = std::fs::read_to_string(&gateway.config).unwrap();
    let status = gateway.status.to_string();
    std::fs::write(&gateway.config, text.replace(&status, &taken.local_addr().unwrap().to_string())).unwrap();
    gateway.signal("-HUP");
    gateway.until_logged("going back to the one before").await;
    gateway.until("the one before runs again", |view| view["boot_id"] != boot && flows(view)).await;

    stop.store(true, Ordering::SeqCst);
    let sent = publisher.await.unwrap();
    for _ in 0..12 {
        let empty = |view: &Value| view["open_windows"] == 0 && view["uncommitted_records"] == 0 && view["backlog_entries"] == 0;
        gateway.until("drained", empty).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let collector = fixture.collector().taken();
    assert_eq!((collector.readings(), collector.lost_total()), (2 * sent, 0), "{sent} messages of two readings");
    assert!(collector.windows().any(|window| window.end.micros_since(window.start) == 2_000_000));
    println!("{sent} messages; threads after each restart of the inside: {threads:?}");
    assert_eq!(gateway.log().matches("going on as a fresh process").count(), 1);
    assert!(threads[8] <= threads[0] + 2, "what is left behind is bounded: {threads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_while_it_reloads_ends_in_order() {
    let fixture = Fixture::with_collector().await;
    let mut gateway = Gateway::start(&fixture).await;
    gateway.configure(&fixture, "2s");
    gateway.signal("-HUP");
    gateway.until_logged("restarting the inside").await;
    gateway.signal("-TERM");
    assert_eq!(gateway.child.wait().unwrap().code(), Some(0), "{}", gateway.log());
}
