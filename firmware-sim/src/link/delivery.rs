//! Which message is where: waiting, handed to the MQTT client, in flight under a packet id, or acknowledged.
//!
//! Pure bookkeeping for [`super::mqtt`]. Every connection begins with a fresh client whose packet ids start anew, so an acknowledgement can
//! only mean a message of this connection; whatever the last connection left open is sent again, in order. (The client's own resending is
//! not used: it forgets what was in flight when the broker has lost the session, as it does when it restarts.)
//!
//! Invariant: each message is counted as acknowledged once, however often it was sent; `held` never exceeds the window.

use std::collections::{BTreeMap, VecDeque};

/// A message with its place in the machine's sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub seq: u64,
    pub payload: Vec<u8>,
    pub readings: u64,
}

/// What the broker has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acknowledged {
    pub messages: u64,
    pub readings: u64,
}

#[derive(Debug)]
pub struct Delivery {
    window: usize,
    /// To be handed to the client, lowest sequence first.
    waiting: VecDeque<Message>,
    /// Given to the client, which will send them in this order.
    handed: VecDeque<Message>,
    /// Sent under a packet id.
    in_flight: BTreeMap<u16, Message>,
    acknowledged: Acknowledged,
}

impl Delivery {
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self {
            window,
            waiting: VecDeque::new(),
            handed: VecDeque::new(),
            in_flight: BTreeMap::new(),
            acknowledged: Acknowledged::default(),
        }
    }

    /// Whether another message may be taken from the queue.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.held() < self.window
    }

    /// Messages that are here and not acknowledged.
    #[must_use]
    pub fn held(&self) -> usize {
        self.waiting.len() + self.handed.len() + self.in_flight.len()
    }

    /// Takes a message from the queue.
    pub fn accept(&mut self, message: Message) {
        self.waiting.push_back(message);
    }

    /// The next message to hand to the client.
    pub fn next_to_send(&mut self) -> Option<&Message> {
        let message = self.waiting.pop_front()?;
        self.handed.push_back(message);
        self.handed.back()
    }

    /// The client says that it sends a message, the oldest one handed to it, under packet id `pkid`.
    pub fn sent(&mut self, pkid: u16) {
        if let Some(message) = self.handed.pop_front()
            && let Some(overtaken) = self.in_flight.insert(pkid, message)
        {
            // The client reuses a packet id only after its acknowledgement; should it ever not, the message is sent again.
            self.waiting.push_front(overtaken);
        }
    }

    /// The broker acknowledged packet id `pkid`. Returns the new totals if that was news.
    pub fn acknowledge(&mut self, pkid: u16) -> Option<Acknowledged> {
        let message = self.in_flight.remove(&pkid)?;
        self.acknowledged.messages += 1;
        self.acknowledged.readings += message.readings;
        Some(self.acknowledged)
    }

    /// The connection is gone: everything open is to be sent again, in order.
    pub fn disconnected(&mut self) {
        let mut open: Vec<_> =
            std::mem::take(&mut self.in_flight).into_values().chain(self.handed.drain(..)).chain(self.waiting.drain(..)).collect();
        open.sort_by_key(|message| message.seq);
        self.waiting = open.into();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(seq: u64) -> Message {
        Message { seq, payload: vec![], readings: 3 }
    }

    fn hand_all(delivery: &mut Delivery) -> Vec<u64> {
        std::iter::from_fn(|| delivery.next_to_send().map(|message| message.seq)).collect()
    }

    #[test]
    fn what_was_open_is_sent_again_in_order_and_counted_once() {
        let mut delivery = Delivery::new(8);
        (1..=5).for_each(|seq| delivery.accept(message(seq)));
        assert_eq!(hand_all(&mut delivery), [1, 2, 3, 4, 5]);
        (1..=4).for_each(|pkid| delivery.sent(pkid));
        assert_eq!(delivery.acknowledge(2), Some(Acknowledged { messages: 1, readings: 3 }));
        assert_eq!(delivery.acknowledge(2), None, "a repeated acknowledgement counts nothing");
        delivery.accept(message(6));
        delivery.disconnected();
        assert_eq!(hand_all(&mut delivery), [1, 3, 4, 5, 6]);
        (1..=5).for_each(|pkid| delivery.sent(pkid));
        (1..=5).for_each(|pkid| assert!(delivery.acknowledge(pkid).is_some()));
        assert_eq!((delivery.acknowledged.messages, delivery.held()), (6, 0));
    }

    #[test]
    fn an_acknowledgement_from_nowhere_counts_nothing() {
        let mut delivery = Delivery::new(8);
        delivery.accept(message(1));
        hand_all(&mut delivery);
        assert_eq!(delivery.acknowledge(1), None, "it was handed over, but not sent");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_counted_twice(actions in prop::collection::vec(0_u8..5, 0..400)) {
            let mut delivery = Delivery::new(16);
            let (mut accepted, mut next_pkid) = (0_u64, 1_u16);
            for action in actions {
                match action {
                    0 if delivery.has_room() => { accepted += 1; delivery.accept(message(accepted)); }
                    1 => { delivery.next_to_send(); }
                    2 => { delivery.sent(next_pkid); next_pkid += 1; }
                    3 => {
                        if let Some(&pkid) = delivery.in_flight.keys().next() { delivery.acknowledge(pkid); }
                    }
                    4 => { delivery.disconnected(); next_pkid = 1; }
                    _ => {}
                }
                prop_assert!(delivery.held() <= 16);
                prop_assert_eq!(delivery.acknowledged.messages + delivery.held() as u64, accepted);
            }
            delivery.disconnected();
            let seqs = hand_all(&mut delivery);
            prop_assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
