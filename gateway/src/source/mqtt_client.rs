//! Subscription to an outside MQTT broker (rumqttc), QoS 1.
//!
//! Acknowledges a message only after the lane has taken it: while the lane is full nothing is read, and the broker keeps what is not
//! acknowledged. Subscribes anew at each CONNACK (rumqttc does not) and paces reconnects itself (rumqttc would retry at once).
//!
//! Invariant: a message is acknowledged only after it was handed over; the task never blocks its runtime.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rumqttc::{AsyncClient, ConnectionError, Event as Packet, EventLoop, Incoming, MqttOptions, Publish, QoS, SubscribeFilter, Transport};
use tokio::time::sleep;

use super::{Event, Feed, Message};
use crate::{backoff::Backoff, clock::Clock, config, pki};

/// Requests (subscriptions, acknowledgements) that wait to be sent.
const REQUESTS: usize = 1024;
/// Larger packets break the connection. Far above the configured limit on payloads, so that one over that limit is read, counted and
/// acknowledged once - else the broker would send it again after each reconnect.
const MAX_PACKET: usize = 32 << 20;
/// A connection that lasted this long was good: the next wait starts small again.
const STABLE: Duration = Duration::from_secs(30);

/// Why a subscription could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("certificates of outside broker {name:?}: {source}")]
    Tls { name: String, source: pki::PkiError },
}

/// Runs until the runtime ends it.
///
/// # Errors
/// [`ClientError`] before the first connection only: bad certificate files.
pub fn start(settings: &config::MqttClient, filters: Vec<String>, feed: Feed) -> Result<tokio::task::JoinHandle<()>, ClientError> {
    let options = options(settings, feed.clock())?;
    let (client, events) = AsyncClient::new(options, REQUESTS);
    let (name, max_payload_bytes) = (settings.name.clone(), settings.max_payload_bytes);
    Ok(tokio::spawn(Subscriber { name, client, events, filters, feed, max_payload_bytes, to_acknowledge: VecDeque::new() }.run()))
}

struct Subscriber {
    name: String,
    client: AsyncClient,
    events: EventLoop,
    filters: Vec<String>,
    feed: Feed,
    max_payload_bytes: usize,
    /// Handed over or refused for good, and not yet in the request queue.
    to_acknowledge: VecDeque<Publish>,
}

impl Subscriber {
    async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        let mut connected_at = None;
        loop {
            while let Some(publish) = self.to_acknowledge.front() {
                if publish.qos != QoS::AtMostOnce && self.client.try_ack(publish).is_err() {
                    break;
                }
                self.to_acknowledge.pop_front();
            }
            match self.events.poll().await {
                Ok(Packet::Incoming(Incoming::ConnAck(_))) => {
                    connected_at = Some(tokio::time::Instant::now());
                    // What an earlier connection delivered can't be acknowledged on this one: the broker sends it again.
                    self.to_acknowledge.clear();
                    let filters = self.filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
                    if self.client.try_subscribe_many(filters).is_err() {
                        self.feed.health.down("the subscription found no room in the request queue");
                    }
                }
                Ok(Packet::Incoming(Incoming::SubAck(ack))) => {
                    let refused = ack.return_codes.iter().any(|code| matches!(code, rumqttc::SubscribeReasonCode::Failure));
                    if refused {
                        self.feed.health.down("the broker refused a subscription");
                        tracing::warn!(broker = %self.name, "the outside broker refused a subscription");
                    } else {
                        self.feed.health.up();
                        tracing::info!(broker = %self.name, filters = ?self.filters, "subscribed");
                    }
                }
                Ok(Packet::Incoming(Incoming::Publish(publish))) => {
                    if !self.hand_over(publish).await {
                        return;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    self.note(&error);
                    if connected_at.take().is_some_and(|at| at.elapsed() >= STABLE) {
                        backoff.reset();
                    }
                    sleep(backoff.next(rand::random())).await;
                }
            }
        }
    }

    /// False when the pipeline has ended.
    async fn hand_over(&mut self, publish: Publish) -> bool {
        if publish.payload.len() > self.max_payload_bytes {
            self.feed.offer(Event::TooLarge { bytes: publish.payload.len() as u64, received: self.feed.now() });
            self.to_acknowledge.push_back(publish);
            return true;
        }
        let message = Message { topic: publish.topic.clone().into(), payload: publish.payload.clone(), received: self.feed.now() };
        let mut event = Event::Message(message);
        loop {
            match self.feed.try_push(event) {
                Ok(()) => break,
                Err(_) if self.feed.lane.is_closed() => return false,
                Err(back) => event = back,
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.to_acknowledge.push_back(publish);
        true
    }

    fn note(&self, error: &ConnectionError) {
        let text = error.to_string();
        if self.feed.health.error() != text {
            tracing::warn!(broker = %self.name, error = %text, "no connection to the outside broker; trying again");
        }
        self.feed.health.down(&text);
    }
}

fn options(settings: &config::MqttClient, clock: &Arc<Clock>) -> Result<MqttOptions, ClientError> {
    let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    options
        .set_keep_alive(settings.keep_alive)
        .set_clean_session(settings.clean_session)
        .set_max_packet_size(MAX_PACKET, 64 * 1024)
        .set_manual_acks(true);
    if let Some(username) = &settings.username {
        options.set_credentials(username, settings.password.as_ref().map_or("", |p| p.expose()));
    }
    if let Some(tls) = &settings.tls {
        let failed = |source| ClientError::Tls { name: settings.name.clone(), source };
        let config = client_config(tls, clock).map_err(failed)?;
        options.set_transport(Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(Arc::new(config))));
    }
    Ok(options)
}

fn client_config(tls: &config::ClientTls, clock: &Arc<Clock>) -> Result<rustls::ClientConfig, pki::PkiError> {
    let (builder, _) = pki::client(pki::Trust::Roots(Arc::new(pki::roots(&tls.ca)?)), clock)?;
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => pki::with_identity(builder, certificate, key),
    }
}
