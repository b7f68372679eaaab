//! What stands between the sockets and the broker: rumqttd's own codec, watched packet by packet.
//!
//! Three things are done here because rumqttd does not do them. (1) *Flow*: bytes that were taken from sockets and not yet read by the link
//! are counted; when they come near to what the commit log keeps, the server's thread waits, and with it every publisher. (2) *Size*: a
//! publish over the limit ends its connection; it is counted. (3) *Topics* that rumqttd would pass to nobody (`$...`), or that would make
//! it panic (a first character outside of ASCII), get a harmless prefix, so that they arrive, match no template, and are counted as such.
//!
//! Invariant: with flow control on, the commit log never holds more unread bytes than it keeps, so nothing acknowledged is overwritten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rumqttd::protocol::{Error, Packet, Protocol, v4::V4};

use crate::source::{Event, Feed};

/// Comes before a topic that the broker can't carry as it is.
pub(super) const PREFIX: &[u8] = b"_/";
/// MQTT's packet type of a publish, in the upper half of the first byte.
const PUBLISH: u8 = 3;
const PAUSE: Duration = Duration::from_millis(1);

/// Bytes on the way from the sockets to the link.
pub(super) struct Flow {
    /// `None`: publishers are never held back.
    budget: Option<u64>,
    accepted: AtomicU64,
    forwarded: AtomicU64,
    stopping: AtomicBool,
}

impl Flow {
    /// `kept` is what the commit log keeps at least: half of it may be unread, so that a thread that gets no processor for a while, and a
    /// packet that is larger than most, do no harm.
    pub(super) fn new(kept: u64, hold_publishers: bool) -> Self {
        Self {
            budget: hold_publishers.then_some(kept / 2),
            accepted: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// The link has read a message.
    pub(super) fn forwarded(&self, topic: &[u8], payload: &[u8]) {
        self.forwarded.fetch_add(size(topic, payload), Ordering::Release);
    }

    /// The link has read all there is. Sets straight what was accepted and never reached the log (a connection that broke), and what
    /// reached the log without having been accepted (last wills).
    pub(super) fn settle(&self) {
        self.accepted.store(self.forwarded.load(Ordering::Acquire), Ordering::Release);
    }

    /// No one waits from now on.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    fn accepted(&self, topic: &[u8], payload: &[u8]) {
        self.accepted.fetch_add(size(topic, payload), Ordering::AcqRel);
    }

    fn is_spent(&self) -> bool {
        let unread = self.accepted.load(Ordering::Acquire).saturating_sub(self.forwarded.load(Ordering::Acquire));
        self.budget.is_some_and(|budget| unread > budget) && !self.stopping.load(Ordering::Acquire)
    }

    /// Blocks the server's thread on purpose: it carries nothing but connections, and all of them are to wait.
    fn wait_for_room(&self, feed: &Feed) {
        while self.is_spent() && !feed.lane.is_closed() {
            std::thread::sleep(PAUSE);
        }
    }
}

/// A message's size as rumqttd's segments reckon it.
fn size(topic: &[u8], payload: &[u8]) -> u64 {
    4 + topic.len() as u64 + payload.len() as u64
}

/// MQTT 3.1.1, guarded.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) codec: V4,
    pub(super) flow: Arc<Flow>,
    pub(super) feed: Feed,
}

impl Protocol for Guard {
    fn read_mut(&mut self, stream: &mut BytesMut, max_size: usize) -> Result<Packet, Error> {
        self.flow.wait_for_room(&self.feed);
        let is_publish = stream.first().is_some_and(|byte| byte >> 4 == PUBLISH);
        match self.codec.read_mut(stream, max_size) {
            Ok(Packet::Publish(mut publish, properties)) => {
                publish.topic = harmless(publish.topic);
                self.flow.accepted(&publish.topic, &publish.payload);
                Ok(Packet::Publish(publish, properties))
            }
            Err(Error::PayloadSizeLimitExceeded(bytes)) => {
                if is_publish {
                    self.feed.offer(Event::TooLarge { bytes: bytes as u64, received: self.feed.now() });
                }
                Err(Error::PayloadSizeLimitExceeded(bytes))
            }
            other => other,
        }
    }

    fn write(&self, packet: Packet, write: &mut BytesMut) -> Result<usize, Error> {
        self.codec.write(packet, write)
    }
}

fn harmless(topic: Bytes) -> Bytes {
    match topic.first() {
        Some(first) if !first.is_ascii() || *first == b'$' => [PREFIX, &topic[..]].concat().into(),
        _ => topic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_held_when_half_of_the_log_is_unread_and_let_go_when_it_was_read() {
        let flow = Flow::new(1000, true);
        flow.accepted(b"t", &[0; 495]);
        assert!(!flow.is_spent());
        flow.accepted(b"t", b"");
        assert!(flow.is_spent());
        flow.forwarded(b"t", &[0; 495]);
        assert!(!flow.is_spent());
    }

    #[test]
    fn what_never_reached_the_log_holds_nobody_once_the_link_is_idle() {
        let flow = Flow::new(1000, true);
        flow.accepted(b"t", &[0; 900]);
        assert!(flow.is_spent());
        flow.settle();
        assert!(!flow.is_spent());
        flow.accepted(b"t", &[0; 900]);
        flow.stop();
        assert!(!flow.is_spent(), "an end waits for nothing");
    }

    #[test]
    fn topics_that_rumqttd_can_not_carry_are_prefixed_and_all_others_are_left_alone() {
        assert_eq!(harmless(Bytes::from_static("ü/x".as_bytes())), "_/ü/x".as_bytes());
        assert_eq!(harmless(Bytes::from_static(b"$SYS/x")), &b"_/$SYS/x"[..]);
        assert_eq!(harmless(Bytes::from_static(b"a/x")), &b"a/x"[..]);
        assert!(harmless(Bytes::new()).is_empty());
    }
}
