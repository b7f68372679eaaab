//! A machine that publishes over MQTT with QoS 1 and knows how many of its messages were acknowledged.

use std::{net::SocketAddr, time::Duration};

use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, QoS};
use tokio::time::timeout;

use crate::{fake_collector::Pki, fixture::PATIENCE};

pub struct Publisher {
    client: AsyncClient,
    events: EventLoop,
}

impl Publisher {
    pub fn new(id: &str, broker: SocketAddr) -> Self {
        let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(1 << 20, 1 << 20).set_inflight(100);
        let (client, events) = AsyncClient::new(options, 1000);
        Self { client, events }
    }

    pub fn with_login(id: &str, broker: SocketAddr, name: &str, password: &str) -> Self {
        let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
        options.set_credentials(name, password);
        let (client, events) = AsyncClient::new(options, 10);
        Self { client, events }
    }

    /// Over TLS, trusting `ca`, with a certificate if there is one.
    pub fn over_tls(id: &str, broker: SocketAddr, ca: &Pki, identity: Option<(String, rcgen::KeyPair)>) -> Self {
        let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
        options.set_max_packet_size(1 << 20, 1 << 20);
        let client_auth = identity.map(|(certificate, key)| (certificate.into_bytes(), key.serialize_pem().into_bytes()));
        options.set_transport(rumqttc::Transport::tls(ca.ca_pem().as_bytes().to_vec(), client_auth, None));
        let (client, events) = AsyncClient::new(options, 10);
        Self { client, events }
    }

    /// Publishes all messages and waits until each is acknowledged.
    pub async fn publish(&mut self, messages: impl IntoIterator<Item = (String, Vec<u8>)> + Send + 'static) -> u64
    where
        <Vec<(String, Vec<u8>)> as IntoIterator>::IntoIter: Send,
    {
        let client = self.client.clone();
        let messages: Vec<_> = messages.into_iter().collect();
        let count = messages.len() as u64;
        let feeder = tokio::spawn(async move {
            for (topic, payload) in messages {
                client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
            }
        });
        let mut acknowledged = 0;
        while acknowledged < count {
            let event =
                timeout(PATIENCE, self.events.poll()).await.expect("no more acknowledgements").expect("the broker closed the connection");
            acknowledged += u64::from(matches!(event, Event::Incoming(Incoming::PubAck(_))));
        }
        feeder.await.unwrap();
        acknowledged
    }

    /// True if the broker admits this client.
    pub async fn is_admitted(&mut self) -> bool {
        matches!(timeout(PATIENCE, self.events.poll()).await, Ok(Ok(Event::Incoming(Incoming::ConnAck(_)))))
    }
}

pub const TOPIC: &str = "plant1/press-shop/line1/press-1/telemetry";

/// Messages that carry their number as the signal `n`.
pub fn numbered(count: u64) -> impl Iterator<Item = (String, Vec<u8>)> + Send {
    (0..count).map(|n| (TOPIC.to_owned(), format!("{{\"n\":{n}}}").into_bytes()))
}

/// The same, filled up to about `bytes` each.
pub fn padded(count: u64, bytes: usize) -> impl Iterator<Item = (String, Vec<u8>)> + Send {
    let pad = "x".repeat(bytes);
    (0..count).map(move |n| (TOPIC.to_owned(), format!("{{\"n\":{n},\"pad\":\"{pad}\"}}").into_bytes()))
}

/// Messages with a sequence of the source, beginning with `first`.
pub fn sequenced(session: &str, first: u64, count: u64) -> Vec<(String, Vec<u8>)> {
    (first..first + count)
        .map(|n| (TOPIC.to_owned(), format!("{{\"session\":\"{session}\",\"seq\":{n},\"a\":{n},\"b\":1}}").into_bytes()))
        .collect()
}
