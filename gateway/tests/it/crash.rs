//! SIGKILL of the real binary: what is missing afterwards is what it reports as lost, and no more than one interval's worth.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use protocol::{Loss, LossReason};

use crate::{
    fixture::{Fixture, free_port},
    publisher::{Publisher, sequenced},
};

const INTERVAL_US: i64 = 2_000_000;

struct Gateway {
    child: Child,
    broker: std::net::SocketAddr,
    status: String,
}

impl Gateway {
    /// Writes the configuration and starts the binary.
    async fn start(fixture: &Fixture, rest: &str) -> Self {
        let (mqtt, status) = (free_port(), free_port());
        let text = format!("[broker]\nlisten = \"127.0.0.1:{mqtt}\"\n[status]\nlisten = \"127.0.0.1:{status}\"\n{rest}");
        let path: PathBuf = fixture.dir.path().join("gateway.toml");
        std::fs::write(&path, fixture.toml(&text)).unwrap();
        let log = std::fs::File::create(fixture.dir.path().join(format!("gateway-{mqtt}.log"))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_millrace-gateway"))
            .args(["run", "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let gateway = Self { child, broker: ([127, 0, 0, 1], mqtt).into(), status: format!("http://127.0.0.1:{status}/status") };
        gateway.until("it runs", |view| view["sources"][0]["connected"] == true).await;
        gateway
    }

    /// Waits for a status document that `condition` holds for.
    async fn until(&self, what: &str, condition: impl Fn(&serde_json::Value) -> bool) {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let deadline = std::time::Instant::now() + crate::fixture::PATIENCE;
        let mut last = serde_json::Value::Null;
        loop {
            if let Ok(answer) = client.get(&self.status).send().await
                && let Ok(view) = answer.json::<serde_json::Value>().await
            {
                if condition(&view) {
                    return;
                }
                last = view;
            }
            assert!(std::time::Instant::now() < deadline, "never came true: {what}: {last:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn drained(&self) {
        for _ in 0..12 {
            let empty =
                |view: &serde_json::Value| view["open_windows"] == 0 && view["uncommitted_records"] == 0 && view["backlog_entries"] == 0;
            self.until("drained", empty).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(mut self) -> Option<i32> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }
}

fn config() -> String {
    "[[topic]]\ntemplate = \"{site}/{area}/{line}/{machine}/telemetry\"\nsequence = \"seq\"\nsession = \"session\"\n\
     [window]\nlength = \"1s\"\nallowed_lateness = \"100ms\"\nidle_grace = \"100ms\"\n[durability]\ninterval = \"2s\"\n"
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_takes_is_exactly_what_the_next_run_reports() {
    let fixture = Fixture::with_collector().await;
    let gateway = Gateway::start(&fixture, &config()).await;
    let mut publisher = Publisher::new("press-1", gateway.broker);
    let mut next = 1;
    // A steady stream for a while, so that the kill falls between two commits.
    for _ in 0..70 {
        publisher.publish(sequenced("s1", next, 10)).await;
        next += 10;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.kill();
    drop(publisher);

    let gateway = Gateway::start(&fixture, &config()).await;
    let mut publisher = Publisher::new("press-1", gateway.broker);
    publisher.publish(sequenced("s1", next, 50)).await;
    next += 50;
    gateway.drained().await;
    {
        let taken = fixture.collector().taken();
        let sent = (next - 1) * 2;
        let gaps: Vec<&Loss> = taken.losses().filter(|loss| loss.reason == LossReason::SequenceGap).collect();
        let lost = taken.lost(LossReason::SequenceGap);
        assert_eq!(taken.readings() + lost, sent, "stored {} + lost {lost} = sent {sent}", taken.readings());
        let cuts: Vec<&Loss> = taken.losses().filter(|loss| loss.reason == LossReason::PowerCut).collect();
        assert!(!cuts.is_empty(), "the power cut is told");
        for loss in gaps.iter().chain(&cuts) {
            let length = loss.to.micros_since(loss.from);
            assert!((0..=INTERVAL_US + 1).contains(&length), "a range of {length} us, longer than the interval: {loss:?}");
        }
        // 200 messages a second, two readings each, and at most one interval of them.
        assert!(lost <= 2 * 200 * 2 + 200, "{lost} lost");
    }
    assert_eq!(gateway.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_in_order_with_exit_code_0_and_reports_no_power_cut() {
    let fixture = Fixture::with_collector().await;
    let gateway = Gateway::start(&fixture, &config()).await;
    Publisher::new("press-1", gateway.broker).publish(sequenced("s1", 1, 100)).await;
    assert_eq!(gateway.terminate(), Some(0));
    let gateway = Gateway::start(&fixture, &config()).await;
    Publisher::new("press-1", gateway.broker).publish(sequenced("s1", 101, 100)).await;
    gateway.drained().await;
    {
        let taken = fixture.collector().taken();
        assert_eq!((taken.readings(), taken.losses().count()), (400, 0), "{:?}", taken.losses().collect::<Vec<_>>());
    }
    assert_eq!(gateway.terminate(), Some(0));
}
