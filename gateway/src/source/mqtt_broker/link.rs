//! The in-process link: reads the broker's commit log without pause and hands each message to the lane, watching the log's numbering.
//!
//! rumqttd numbers the messages of a commit log from 0 without gaps; a forwarded message carries `(segment, number)`. Numbers that are
//! skipped were overwritten before the link got to them (segments overran) - or, after a link was replaced, came in between.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rumqttd::{
    Notification,
    local::{LinkRx, LinkTx},
};

use super::{BrokerError, guard::Flow};
use crate::source::{Event, Feed, Message};

/// The link's only filter: all messages go through one commit log, so that one numbering covers all.
pub(super) const EVERYTHING: &str = "#";

const PATIENCE: Duration = Duration::from_millis(100);

/// Connects, subscribes, and starts the reading thread.
pub(super) fn spawn<C>(connect: C, feed: Feed, flow: Arc<Flow>, finish: Arc<AtomicBool>) -> Result<JoinHandle<()>, BrokerError>
where
    C: Fn() -> Result<(LinkTx, LinkRx), BrokerError> + Send + 'static,
{
    let ends = subscribe(&connect)?;
    let thread = std::thread::Builder::new().name("mqtt-link".into()).spawn(move || {
        let mut link = Link { feed, flow, finish, next_number: 0, marker: None };
        let mut ends = ends;
        loop {
            match link.read(&mut ends) {
                End::Finished => return,
                End::Disconnected => match subscribe(&connect) {
                    Ok(fresh) => ends = fresh,
                    Err(error) => {
                        // The router is gone (it panicked): nothing in this process can mend that.
                        link.feed.fatal(format!("the broker's router ended: {error}"));
                        return;
                    }
                },
            }
        }
    });
    thread.map_err(|source| BrokerError::Thread { what: "link", source })
}

/// Returns when the router has confirmed the subscription: from then on every message is seen.
fn subscribe<C>(connect: &C) -> Result<(LinkTx, LinkRx), BrokerError>
where
    C: Fn() -> Result<(LinkTx, LinkRx), BrokerError>,
{
    let (mut tx, mut rx) = connect()?;
    tx.subscribe(EVERYTHING)?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if let Some(Notification::DeviceAck(_)) = rx.recv_deadline(deadline)? {
            return Ok((tx, rx));
        }
    }
    Err(BrokerError::NotSubscribed)
}

enum End {
    Finished,
    Disconnected,
}

struct Link {
    feed: Feed,
    flow: Arc<Flow>,
    /// Set when the servers are down: hand over what there is and end.
    finish: Arc<AtomicBool>,
    /// Number of the next message of the log.
    next_number: u64,
    /// Topic of the message that this link sends itself to find the end of the log.
    marker: Option<String>,
}

impl Link {
    fn read(&mut self, (tx, rx): &mut (LinkTx, LinkRx)) -> End {
        loop {
            if self.finish.load(Ordering::Acquire) && self.marker.is_none() {
                let marker = format!("millrace-end/{:016x}", rand::random::<u64>());
                if tx.publish(marker.clone(), "end").is_err() {
                    return End::Finished;
                }
                self.marker = Some(marker);
            }
            let deadline = Instant::now() + PATIENCE;
            match rx.recv_deadline(deadline) {
                Ok(Some(Notification::Forward(forward))) => {
                    if self.forward(forward).is_break() {
                        return End::Finished;
                    }
                }
                // The router waits until the link has read what it was given.
                Ok(Some(Notification::Unschedule)) => {
                    if rx.ready().is_err() {
                        return End::Disconnected;
                    }
                }
                Ok(Some(Notification::Disconnect(..))) => return End::Disconnected,
                Ok(_) => {}
                // Nothing to read, unless it came back early: then the router has dropped this link.
                Err(_) if Instant::now() >= deadline => self.flow.settle(),
                Err(_) => return End::Disconnected,
            }
        }
    }

    fn forward(&mut self, forward: rumqttd::Forward) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        // A retained message repeated to a new subscription: it came through the log before.
        let Some((_, number)) = forward.cursor else { return Continue(()) };
        let received = self.feed.now();
        if number > self.next_number {
            let missed = number - self.next_number;
            if self.push(Event::Overrun { messages: missed, received }).is_break() {
                return Break(());
            }
        }
        self.next_number = number + 1;
        let rumqttd::protocol::Publish { topic, payload, .. } = forward.publish;
        if self.marker.as_ref().is_some_and(|marker| marker.as_bytes() == &topic[..]) {
            return Break(());
        }
        self.flow.forwarded(&topic, &payload);
        self.push(Event::Message(Message { topic, payload, received }))
    }

    fn push(&self, event: Event) -> std::ops::ControlFlow<()> {
        match self.feed.push(event) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(_) => std::ops::ControlFlow::Break(()),
        }
    }
}
