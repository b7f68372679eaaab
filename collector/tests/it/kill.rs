//! The real binary under SIGKILL and SIGTERM: what was acknowledged is there exactly once.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use collector::auth::Role;
use protocol::Ack;

use crate::plant::{Gateway, Site, stored};

/// The binary, serving.
pub struct Server {
    child: Child,
    uplink: SocketAddr,
    pub api: SocketAddr,
}

impl Server {
    /// Starts it and waits until it says that it is ready. Its log goes on being read, so that it never blocks on it.
    pub fn start(site: &Site) -> Self {
        Self::start_with(site, &[])
    }

    fn start_with(site: &Site, env: &[(&str, &str)]) -> Self {
        let config = site.dir.path().join("collector.toml");
        std::fs::write(&config, site.config_text()).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_millrace-collector"))
            .args(["run", "--log-format", "json", "--config"])
            .arg(&config)
            .env("RUST_LOG", "info")
            .envs(env.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (uplink, api) = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended before it was ready: {:?}", child.wait()) };
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { panic!("no JSON: {line}") };
            if event["message"] == "collector ready" {
                let address = |name: &str| event[name].as_str().expect("an address").parse().expect("an address");
                break (address("uplink"), address("api"));
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, uplink, api }
    }

    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// SIGTERM; the exit code.
    fn terminate(mut self) -> Option<i32> {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().expect("sent");
        assert!(sent.success());
        self.child.wait().expect("gone").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn after_sigkill_between_acknowledgements_every_acknowledged_row_is_there_once() {
    // Commits fall between the batches, so that kills meet the journal, the lake and both.
    let site = Site::new("[lake]\ncommit_interval = \"150ms\"\n").await;
    let server = Server::start(&site);
    let mut gateway = site.gateway("press-gw1", server.uplink.port()).await;
    let mut server = Some(server);
    let mut acked = 0u64;
    for round in 0..6u64 {
        // A sender that never stops, and a kill in the middle of it.
        let (sender, kill_after) = (gateway.clone(), 3 + round * 4);
        let running = server.take().expect("running");
        let mut sent = 0;
        let mut running = Some(running);
        loop {
            // One entry before what is acknowledged, as a retry would.
            let (first, last) = (acked.max(1), acked + 5);
            let batch = protocol::codec::encode_batch(&sender.batch(first, last, 1)).expect("encoded");
            if sent == kill_after {
                // The kill races the request: its answer may or may not come.
                let request = tokio::spawn({
                    let sender = sender.clone();
                    async move { sender.try_post(batch).await }
                });
                tokio::task::yield_now().await;
                if let Some(running) = running.take() {
                    tokio::task::spawn_blocking(move || running.kill()).await.expect("killed");
                }
                if let Ok(Ok(answer)) = request.await {
                    acked = answer.ack.and_then(|ack| ack.acked_through).unwrap_or(acked).max(acked);
                }
                break;
            }
            let answer = sender.try_post(batch).await.expect("answered");
            assert!(matches!(answer.acked(), Ack::Stored | Ack::Duplicate), "{answer:?}");
            acked = answer.ack.and_then(|ack| ack.acked_through).expect("known");
            sent += 1;
        }
        let again = Server::start(&site);
        gateway = Gateway { port: again.uplink.port(), ..gateway };
        let known = gateway.deliver(&gateway.heartbeat()).await.ack.expect("acked").acked_through.expect("the stream is known");
        assert!(known >= acked, "acknowledged through {acked}, but after the kill it knows {known}");
        acked = known;
        server = Some(again);
    }
    assert_eq!(server.take().expect("running").terminate(), Some(0), "an orderly stop ends with 0");

    let collector = site.start().await;
    assert_eq!(collector.app.lake.hot_rows(), 0, "an orderly stop leaves nothing in the journal");
    assert_eq!(stored(&collector, &gateway.name).await, (acked, acked));
    assert_eq!(crate::plant::number(&collector, "SELECT count(*) FROM losses").await, 0);
    collector.stop().await;
}

#[tokio::test]
async fn the_service_manager_is_told_and_the_watchdog_is_fed_while_batches_flow() {
    let site = Site::new("").await;
    let socket = site.dir.path().join("notify");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).expect("bound");
    listener.set_read_timeout(Some(crate::plant::PATIENCE)).expect("set");
    let told = |expected: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = listener.recv(&mut buffer).unwrap_or_else(|error| panic!("{expected} was not told: {error}"));
            if String::from_utf8_lossy(&buffer[..length]).contains(expected) {
                return;
            }
        }
    };
    let path = socket.to_str().expect("UTF-8");
    let server = Server::start_with(&site, &[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "1500000")]);
    told("READY=1");
    told("WATCHDOG=1");
    told("WATCHDOG=1");
    assert_eq!(server.terminate(), Some(0));
    told("STOPPING=1");
}

#[tokio::test]
async fn sql_asks_the_running_server_and_needs_a_key_for_it() {
    let site = Site::new("").await;
    let key = collector::auth::new_key();
    let store = site.store().await;
    store.insert_key("reader", Role::Operator, &collector::auth::hash(&key), collector::clock::now()).await.expect("made");
    store.close().await;
    let server = Server::start(&site);
    let gateway = site.gateway("press-gw1", server.uplink.port()).await;
    assert_eq!(gateway.send(1, 3).await.acked(), Ack::Stored);
    let (config, url) = (site.dir.path().join("collector.toml"), format!("http://{}", server.api));
    let ask = |key: Option<&str>, url: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-collector"));
        command.args(["sql", "SELECT sum(count) AS n FROM window_summaries", "--format", "csv", "--config"]).arg(&config);
        command.args(url.iter().flat_map(|url| ["--url", url])).env_remove("MILLRACE_KEY");
        let output = command.envs(key.map(|key| ("MILLRACE_KEY", key))).output().expect("ran");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said, complained) = ask(Some(&key), Some(&url));
    assert_eq!((code, said.as_str()), (Some(0), "n\r\n30\r\n"), "{complained}");
    let (code, _, complained) = ask(None, None);
    assert_eq!(code, Some(64), "the files are the server's: {complained}");
    assert!(complained.contains("MILLRACE_KEY"), "{complained}");
    let wrong = format!("mk_{}", "0".repeat(64));
    let (code, _, complained) = ask(Some(&wrong), Some(&url));
    assert_eq!(code, Some(1));
    assert!(complained.contains("401"), "{complained}");
    assert_eq!(server.terminate(), Some(0));
    let (code, said, complained) = ask(None, None);
    assert_eq!((code, said.as_str()), (Some(0), "n\r\n30\r\n"), "now the files answer: {complained}");
}
