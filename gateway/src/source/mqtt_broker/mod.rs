//! The embedded MQTT broker (rumqttd) and its way into the pipeline.
//!
//! ```text
//! clients ==TCP==> guard, server (own thread and runtime) --> router (thread) --commit log of `#`--> link (thread) --lane--> pipeline
//!                    ^                                                                                 |
//!                    +------ held while more than half of what the log keeps is unread ----------------+
//! ```
//! rumqttd acknowledges a QoS 1 message once it is in the commit log, and forgets it when the log's segments overrun, whether anyone has
//! read it or not. Three things keep that from being a silent loss:
//!
//! 1. The link subscribes to `#` before the first client can connect and reads without pause.
//! 2. `guard` counts what is between the sockets and the link; when that comes near to what the log keeps (because the lane is full, or a
//!    thread gets no processor), the server's thread waits: sockets are not read, TCP holds the publishers back, and the log cannot run
//!    away from the link. (rumqttd's own servers can't be held or stopped; so the router and the servers are started here one by one.)
//! 3. The log numbers its messages without gaps, and each forwarded message carries its number: a jump is an overrun of exactly known size
//!    and becomes a counted loss.
//!
//! Invariant: of the messages that clients got a PUBACK for, each is handed to the lane or is in the count of an overrun.

mod guard;
mod link;
mod server;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rumqttd::{
    ConnectionSettings, LinkType, Router, RouterConfig, ServerSettings,
    local::{LinkBuilder, LinkError},
    protocol::v4::V4,
};

use self::guard::{Flow, Guard};
use super::{Event, Feed};
use crate::config;

/// How the broker is set up; the parts that are not in the configuration file have defaults that fit a burst of 100,000 messages.
#[derive(Debug, Clone)]
pub struct Settings {
    pub broker: config::Broker,
    pub segment_bytes: usize,
    pub segment_count: usize,
    /// Hold publishers back when the log fills up with unread messages. Off only to provoke an overrun.
    pub hold_publishers: bool,
    /// Distinguishes the link's client id from anything that a client might use: a client of the same id would displace the link.
    pub boot_id: u64,
}

impl Settings {
    /// Defaults around `broker`: 8 segments of at least 2 MiB, each large enough for 16 of the largest messages.
    pub fn new(broker: config::Broker, boot_id: u64) -> Self {
        let segment_bytes = (broker.max_payload_bytes.saturating_mul(16)).max(2 << 20);
        Self { broker, segment_bytes, segment_count: 8, hold_publishers: true, boot_id }
    }
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the broker's {what} thread did not start")]
    Thread { what: &'static str, source: io::Error },
    #[error("the broker cannot listen on {listen}")]
    Listen { listen: SocketAddr, source: io::Error },
    #[error("the broker's router refused the in-process link")]
    Link(#[source] Box<LinkError>),
    #[error("the broker did not confirm the subscription to all topics")]
    NotSubscribed,
}

impl From<LinkError> for BrokerError {
    fn from(error: LinkError) -> Self {
        Self::Link(Box::new(error))
    }
}

/// The running broker.
pub struct Broker {
    servers: Vec<server::Server>,
    link: JoinHandle<()>,
    flow: Arc<Flow>,
    finish: Arc<AtomicBool>,
    /// Where plain MQTT is served (with the port that the system chose, if it was left to it).
    pub listen: Option<SocketAddr>,
    /// Where MQTT over TLS is served.
    pub tls_listen: Option<SocketAddr>,
}

/// Starts router, link and servers, in this order, so that no message can come in before the link reads.
///
/// # Errors
/// [`BrokerError`]: an address is taken, or the link was refused.
pub fn start(settings: Settings, feed: Feed) -> Result<Broker, BrokerError> {
    let Settings { broker, segment_bytes, segment_count, hold_publishers, boot_id } = settings;
    let router = RouterConfig {
        // One more for the link itself.
        max_connections: broker.max_clients + 1,
        // Messages that one visit of the router gives to a connection.
        max_outgoing_packet_count: 1000,
        max_segment_size: segment_bytes.max(1024),
        max_segment_count: segment_count.max(2),
        initialized_filters: Some(vec![link::EVERYTHING.into()]),
        ..RouterConfig::default()
    };
    let router_tx = Router::new(0, router).spawn();

    // The newest segment may have just been begun.
    let kept = (segment_bytes.max(1024) * (segment_count.max(2) - 1)) as u64;
    let flow = Arc::new(Flow::new(kept, hold_publishers));
    let finish = Arc::new(AtomicBool::new(false));
    let client_id = format!("millrace-pipeline-{boot_id:016x}");
    let connector_tx = router_tx.clone();
    let connect = move || LinkBuilder::new(&client_id, connector_tx.clone()).build().map(|(tx, rx, _)| (tx, rx)).map_err(BrokerError::from);
    let link = link::spawn(connect, feed.clone(), Arc::clone(&flow), Arc::clone(&finish))?;

    let guard = Guard { codec: V4, flow: Arc::clone(&flow), feed: feed.clone() };
    let mut servers = Vec::new();
    let (mut listen, mut tls_listen) = (None, None);
    if let Some(address) = broker.listen {
        let address = server::resolve(address)?;
        listen = Some(address);
        let settings = server_settings("mqtt", address, None, &broker, &feed);
        let (router_tx, guard) = (router_tx.clone(), guard.clone());
        let serve = move |settings| async move { report(rumqttd::Server::new(settings, router_tx, guard).start(LinkType::Remote).await) };
        servers.push(server::spawn(settings, serve, &feed)?);
    }
    if let Some(tls) = &broker.tls {
        let address = server::resolve(tls.listen)?;
        tls_listen = Some(address);
        let settings = server_settings("mqtts", address, Some(tls), &broker, &feed);
        let serve = move |settings| async move { report(rumqttd::Server::new(settings, router_tx, guard).start(LinkType::Remote).await) };
        servers.push(server::spawn(settings, serve, &feed)?);
    }
    Ok(Broker { servers, link, flow, finish, listen, tls_listen })
}

impl Broker {
    /// Ends it without losing what was acknowledged: first the servers (no more PUBACK leaves the process), then the link, after it has
    /// handed over all that the log holds. Blocks for at most about `patience`, as long as the lane is being emptied.
    pub fn stop(self, patience: Duration) {
        self.flow.stop();
        for server in self.servers {
            server.stop();
        }
        self.finish.store(true, Ordering::Release);
        let deadline = std::time::Instant::now() + patience;
        while !self.link.is_finished() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.link.is_finished() {
            let _ = self.link.join();
        } else {
            tracing::warn!("the broker's link did not come to the end of its log in time");
        }
    }
}

fn report(ended: Result<(), impl std::fmt::Display>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the broker's listener ended");
    }
}

fn server_settings(
    name: &str,
    listen: SocketAddr,
    tls: Option<&config::BrokerTls>,
    broker: &config::Broker,
    feed: &Feed,
) -> ServerSettings {
    let tls = tls.map(|tls| rumqttd::TlsConfig::Rustls {
        capath: tls.client_ca.as_ref().map(|path| path.display().to_string()),
        certpath: tls.certificate.display().to_string(),
        keypath: tls.key.display().to_string(),
    });
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        // The broker's limit counts topic and header, too; 1 KiB is room for those.
        max_payload_size: broker.max_payload_bytes + 1024,
        max_inflight_count: 200,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let mut settings = ServerSettings { name: name.into(), listen, tls, next_connection_delay_ms: 1, connections };
    if !broker.users.is_empty() {
        let users = Arc::new(server::Users::new(&broker.users));
        let feed = feed.clone();
        settings.set_auth_handler(move |_client, name, password| {
            let admitted = users.admit(&name, &password);
            if !admitted {
                feed.offer(Event::NotAdmitted);
            }
            std::future::ready(admitted)
        });
    }
    settings
}
