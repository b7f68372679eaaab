//! Certificates and authorities change while gateways deliver: no listener closes, and nothing is lost.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use collector::{app::Collector, clock, pki::Pki};
use protocol::Ack;
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, Client, Identity};

use crate::{
    command_line::health,
    plant::{Gateway, NEVER_COMMIT, PATIENCE, Site, csr, enroll_with, eventually, id, install_tls, stored},
};

/// Sends one entry after the other, each over a connection of its own, until it is told to stop; gives how many.
async fn deliver_until(stop: Arc<AtomicBool>, gateway: Gateway) -> u64 {
    let mut seq = 0;
    while !stop.load(Ordering::SeqCst) {
        let answer = gateway.send(seq + 1, seq + 1).await;
        assert_eq!(answer.acked(), Ack::Stored, "entry {}", seq + 1);
        seq += 1;
    }
    seq
}

/// A client that trusts all of `roots` and makes a connection for each request.
fn client(roots: &str, identity: Option<&str>) -> Client {
    let roots = Certificate::from_pem_bundle(roots.as_bytes()).expect("PEM");
    let mut builder = Client::builder().no_proxy().tls_certs_only(roots).timeout(PATIENCE).pool_max_idle_per_host(0);
    if let Some(pem) = identity {
        builder = builder.identity(Identity::from_pem(pem.as_bytes()).expect("PEM"));
    }
    builder.build().expect("built")
}

/// Enrolls as `name`; gives certificate and key.
async fn enroll(site: &Site, collector: &Collector, name: &str) -> String {
    let token = site.token(name, Duration::from_secs(3_600)).await;
    let key = KeyPair::generate().expect("made");
    let port = collector.uplink_address.port();
    let answer = enroll_with(&client(site.pki().ca_pem(), None), port, &token.secret, &csr(&key)).await;
    format!("{}{}", answer.1["certificate"].as_str().expect("PEM"), key.serialize_pem())
}

async fn answers(client: &Client, port: u16) -> bool {
    client.get(format!("https://localhost:{port}/health")).send().await.is_ok()
}

/// As an administrator would: each file whole, one after the other.
fn replace(path: &Path, content: &str) {
    let staged = path.with_extension("staged");
    fs::write(&staged, content).expect("written");
    fs::rename(&staged, path).expect("renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_followed_by_another_while_gateways_deliver() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let port = collector.uplink_address.port();
    let pki_dir = site.data_dir().join("pki");
    let old = site.pki().ca_pem().to_owned();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (new, _) = Pki::open_or_create(elsewhere.path(), clock::now()).expect("made");
    let new = new.ca_pem().to_owned();
    let both = format!("{new}{old}");

    // A gateway of the old authority whose own bundle has both.
    let mut gateway = site.gateway("press-gw1", port).await;
    let identity = enroll(&site, &collector, "press-gw2").await;
    (gateway.name, gateway.client) = (id("press-gw2"), client(&both, Some(&identity)));
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(deliver_until(Arc::clone(&stop), gateway.clone()));

    // The certificate alone: it does not fit the key, so nothing changes.
    replace(&pki_dir.join("ca.crt"), &both);
    tokio::time::sleep(collector::authority::LOOK_EVERY * 2).await;
    assert!(answers(&client(&old, None), port).await, "the old authority is served on");
    replace(&pki_dir.join("ca.key"), &fs::read_to_string(elsewhere.path().join("ca.key")).expect("read"));
    let follower = client(&new, None);
    eventually("the new authority is served", async || answers(&follower, port).await).await;
    let second = enroll(&site, &collector, "press-gw3").await;
    let mut fresh = gateway.clone();
    (fresh.name, fresh.stream, fresh.client) = (id("press-gw3"), protocol::StreamId(rand::random()), client(&new, Some(&second)));
    assert_eq!(fresh.send(1, 1).await.acked(), Ack::Stored, "a gateway of the new authority");

    stop.store(true, Ordering::SeqCst);
    let sent = load.await.expect("every delivery was taken");
    assert!(sent > 10, "{sent}");
    assert_eq!(stored(&collector, &gateway.name).await, (sent, sent));

    // The old authority is let go: its gateways are shut out, the others not.
    replace(&pki_dir.join("ca.crt"), &new);
    eventually("the old authority counts no more", async || gateway.try_post(Vec::new()).await.is_err()).await;
    assert_eq!(fresh.send(2, 2).await.acked(), Ack::Stored);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_certificate_is_taken_anew_and_a_broken_one_is_not() {
    install_tls();
    let files = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (files.path().join("api.crt"), files.path().join("api.key"));
    let make = || {
        let key = KeyPair::generate().expect("made");
        let pem = CertificateParams::new(vec!["localhost".to_owned()]).expect("valid").self_signed(&key).expect("made").pem();
        (pem, key.serialize_pem())
    };
    let (first, second) = (make(), make());
    replace(&certificate, &first.0);
    replace(&key, &first.1);
    let site = Site::new(NEVER_COMMIT).await;
    let tls = format!("[api]\nlisten = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nkey = {key:?}");
    let text = site.config_text().replace("[api]\nlisten = \"127.0.0.1:0\"", &tls);
    let config = collector::config::Config::parse(&site.dir.path().join("collector.toml"), &text, []).expect("valid");
    let collector = Collector::start(config).await.expect("started");
    let port = collector.api_address.port();
    let (before, after) = (client(&first.0, None), client(&second.0, None));
    assert!(answers(&before, port).await && !answers(&after, port).await);
    let file = site.dir.path().join("health.toml");
    std::fs::write(&file, text.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1)).expect("written");
    let output = health(&file).await;
    assert_eq!(output.status.code(), Some(0), "a certificate of another name: {}", String::from_utf8_lossy(&output.stderr));

    replace(&certificate, &second.0);
    tokio::time::sleep(collector::authority::LOOK_EVERY * 2).await;
    assert!(answers(&before, port).await, "certificate and key do not fit together yet");
    replace(&key, &second.1);
    eventually("the new certificate is served", async || answers(&after, port).await).await;
    assert!(!answers(&before, port).await);
    collector.stop().await;
}
