//! The MQTT link of one machine: publishes at QoS 1, and knows exactly what the broker has acknowledged.
//!
//! The machine's side is an [`Outbox`]: a bounded queue that never blocks. The link's task owns the connection. It takes messages from the
//! queue only while fewer than [`WINDOW`] are open, so all that waits beyond that waits in the queue, under its bound.
//!
//! Invariant: sequence numbers are given in the outbox, and only to messages that it accepts: a full queue makes no hole in the sequence.

use std::{collections::VecDeque, time::Duration};

use rand::Rng;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::{mpsc, watch};

use super::delivery::{Acknowledged, Delivery, Message};
use crate::payload::Telemetry;

/// Messages that may be open at a time.
pub const WINDOW: usize = 64;
/// Places in the queue that only changes of state may take: losing one of them would falsify the history.
const RESERVED: usize = 64;
/// Longest packet that is sent; the payload is a third of a kilobyte.
const MAX_PACKET: usize = 64 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// The machine's end of the link.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Message>,
    session: String,
    accepted: u64,
    dropped: u64,
}

impl Outbox {
    /// Queues `telemetry`. If the queue is full it is dropped and counted; a change of state has places of its own.
    pub fn publish(&mut self, telemetry: &Telemetry, is_change: bool) {
        let reserved = self.queue.max_capacity().min(2 * RESERVED) / 2;
        let full = !is_change && self.queue.capacity() <= reserved;
        let Some(place) = self.queue.try_reserve().ok().filter(|_| !full) else {
            self.dropped += 1;
            return;
        };
        self.accepted += 1;
        let payload = telemetry.to_json(&self.session, self.accepted);
        place.send(Message { seq: self.accepted, payload, readings: telemetry.readings() });
    }

    /// Messages that have got a sequence number.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Measurements that found the queue full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub topic: String,
}

/// The connection's side of the link.
#[derive(Debug)]
pub struct MqttLink {
    target: Target,
    queue: mpsc::Receiver<Message>,
    acknowledged: watch::Sender<Acknowledged>,
    delivery: Delivery,
}

/// Makes both ends, with a queue of `capacity` messages.
#[must_use]
pub fn link(target: Target, session: u64, capacity: usize) -> (Outbox, MqttLink, watch::Receiver<Acknowledged>) {
    let (sender, queue) = mpsc::channel(capacity.max(2));
    let (acknowledged, watch) = watch::channel(Acknowledged::default());
    let outbox = Outbox { queue: sender, session: format!("{session:016x}"), accepted: 0, dropped: 0 };
    (outbox, MqttLink { target, queue, acknowledged, delivery: Delivery::new(WINDOW) }, watch)
}

impl MqttLink {
    /// Connects, again and again, and sends. Never ends by itself: it is dropped when the machine has said its last word.
    pub async fn run(mut self) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let (client, mut connection) = self.connect();
            let (error, was_connected) = self.converse(&client, &mut connection).await;
            // Acknowledgements that arrived together with the error still count.
            let left = std::mem::take(&mut connection.state.events);
            self.take_in(left);
            self.delivery.disconnected();
            if was_connected {
                backoff = FIRST_BACKOFF;
                tracing::warn!(topic = self.target.topic, error, "connection lost");
            } else {
                tracing::debug!(topic = self.target.topic, error, "no connection");
            }
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(backoff.mul_f64(jitter)).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    fn connect(&self) -> (AsyncClient, EventLoop) {
        let Target { host, port, client_id, .. } = &self.target;
        let mut options = MqttOptions::new(client_id, host, *port);
        options.set_clean_session(true).set_keep_alive(KEEP_ALIVE).set_inflight(WINDOW as u16).set_max_packet_size(MAX_PACKET, MAX_PACKET);
        let (client, mut connection) = AsyncClient::new(options, WINDOW);
        connection.network_options.set_tcp_nodelay(true);
        (client, connection)
    }

    /// One connection, until it breaks: why, and whether it ever stood.
    async fn converse(&mut self, client: &AsyncClient, connection: &mut EventLoop) -> (String, bool) {
        let mut connected = false;
        loop {
            if connected {
                self.hand_over(client);
            }
            let event = {
                // Polled to its end, never cancelled: a cancelled poll may have taken a message that it did not write.
                let poll = connection.poll();
                tokio::pin!(poll);
                loop {
                    tokio::select! {
                        event = &mut poll => break event,
                        Some(message) = self.queue.recv(), if self.delivery.has_room() => {
                            self.delivery.accept(message);
                            if connected {
                                self.hand_over(client);
                            }
                        }
                    }
                }
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    tracing::debug!(topic = self.target.topic, "connected");
                    connected = true;
                }
                Ok(event) => self.take_in(VecDeque::from([event])),
                Err(error) => return (error.to_string(), connected),
            }
        }
    }

    /// The client's channel has a place for each message of the window, so that it is never full.
    fn hand_over(&mut self, client: &AsyncClient) {
        while let Some(message) = self.delivery.next_to_send() {
            let sent = client.try_publish(self.target.topic.as_str(), QoS::AtLeastOnce, false, message.payload.clone());
            if let Err(error) = sent {
                // Not reached with a valid topic; the message then stays open until the connection is made anew.
                tracing::error!(topic = self.target.topic, %error, "the client refused a message");
            }
        }
    }

    fn take_in(&mut self, events: VecDeque<Event>) {
        for event in events {
            match event {
                Event::Outgoing(Outgoing::Publish(pkid)) => self.delivery.sent(pkid),
                Event::Incoming(Packet::PubAck(ack)) => {
                    if let Some(totals) = self.delivery.acknowledge(ack.pkid) {
                        self.acknowledged.send_replace(totals);
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::MachineState, moment::Moment};

    const TELEMETRY: Telemetry = Telemetry {
        ts: Moment(0),
        state: MachineState::Idle,
        state_since: Moment(0),
        stop_reason: "",
        total: 0,
        reject: 0,
        spindle_temperature: Some(1.0),
        vibration_velocity: Some(1.0),
        active_power: Some(1.0),
    };

    fn target() -> Target {
        Target { host: "127.0.0.1".into(), port: 1, client_id: "m".into(), topic: "a/b/c/d/telemetry".into() }
    }

    #[test]
    fn a_full_queue_drops_measurements_without_a_hole_in_the_sequence_and_keeps_room_for_changes() {
        let (mut outbox, mut link, _) = link(target(), 1, 10);
        for _ in 0..20 {
            outbox.publish(&TELEMETRY, false);
        }
        assert_eq!((outbox.accepted(), outbox.dropped()), (5, 15));
        outbox.publish(&TELEMETRY, true);
        assert_eq!((outbox.accepted(), outbox.dropped()), (6, 15));
        let seqs: Vec<_> = std::iter::from_fn(|| link.queue.try_recv().ok().map(|message| message.seq)).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    }
}
