//! Sources: what samples come from. Each runs on its own thread or task and hands [`Event`]s to its own lane of the [`Inbox`].
//!
//! Stands at the head of the way of a reading. Sources know nothing of each other, of the disk or of the network to the collector.
//! Invariant: a source never waits for the pipeline unless its own origin can hold back meanwhile (MQTT publishers); where it can't
//! (polls), what finds no room is counted.

pub mod modbus;
pub mod mqtt_broker;
pub mod mqtt_client;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;

use crate::{
    clock::{Clock, Now},
    config::SourceId,
    decode::modbus::PollResult,
    inbox::{Inbox, Lane, LaneLimits, Refused, Weight},
    shutdown::Shutdown,
};

/// An item of a lane.
#[derive(Debug)]
pub struct Sample {
    pub source: SourceId,
    pub event: Event,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    Message(Message),
    /// The outcome of one poll of `config.devices[device]`.
    Poll {
        device: usize,
        result: PollResult,
        received: Now,
    },
    /// So many messages were acknowledged by the broker and then overwritten before they were read.
    Overrun {
        messages: u64,
        received: Now,
    },
    /// A packet over the limit; its sender was disconnected.
    TooLarge {
        bytes: u64,
        received: Now,
    },
    /// Wrong name or password.
    NotAdmitted,
}

impl Event {
    /// The event with its time as it is known by now, if it came in while the time was not known.
    #[must_use]
    pub fn settled(mut self, clock: &Clock) -> Self {
        match &mut self {
            Self::Message(Message { received, .. })
            | Self::Poll { received, .. }
            | Self::Overrun { received, .. }
            | Self::TooLarge { received, .. } => *received = clock.settled(*received),
            Self::NotAdmitted => {}
        }
        self
    }
}

/// An MQTT message as it came.
#[derive(Debug)]
pub struct Message {
    pub topic: Bytes,
    pub payload: Bytes,
    pub received: Now,
}

/// A source's way into the pipeline.
#[derive(Clone)]
pub struct Feed {
    pub source: SourceId,
    pub lane: Lane<Sample>,
    pub health: Arc<Health>,
    clock: Arc<Clock>,
    shutdown: Arc<Shutdown>,
}

/// How a source is, as far as it knows itself.
#[derive(Debug, Default)]
pub struct Health {
    connected: AtomicBool,
    error: Mutex<String>,
    refused: AtomicU64,
    not_admitted: AtomicU64,
    skipped: AtomicU64,
}

impl Feed {
    pub fn new(source: SourceId, inbox: &Inbox<Sample>, limits: LaneLimits, clock: &Arc<Clock>, shutdown: &Arc<Shutdown>) -> Self {
        let lane = inbox.lane(limits);
        Self { source, lane, health: Arc::default(), clock: Arc::clone(clock), shutdown: Arc::clone(shutdown) }
    }

    /// The time at which something comes in.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// Hands `event` over, waiting for room.
    ///
    /// # Errors
    /// The event, if the pipeline has ended.
    pub fn push(&self, event: Event) -> Result<(), Event> {
        match self.lane.push(Sample { source: self.source, event }) {
            Ok(()) => Ok(()),
            Err(Refused::Full(sample) | Refused::Closed(sample)) => Err(sample.event),
        }
    }

    /// Hands `event` over if there is room; else it is counted as refused (and becomes a loss).
    pub fn offer(&self, event: Event) {
        if self.lane.try_push(Sample { source: self.source, event }).is_err() {
            self.health.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The same for an event that must not be lost or counted yet.
    ///
    /// # Errors
    /// The event, if there is no room.
    pub fn try_push(&self, event: Event) -> Result<(), Event> {
        match self.lane.try_push(Sample { source: self.source, event }) {
            Ok(()) => Ok(()),
            Err(Refused::Full(sample) | Refused::Closed(sample)) => Err(sample.event),
        }
    }

    /// Something that can't be mended within this process: it ends in order, with `reason`, and is started anew by its supervisor.
    pub fn fatal(&self, reason: String) {
        self.health.down(&reason);
        self.shutdown.fail(reason);
    }
}

impl Health {
    pub fn up(&self) {
        self.connected.store(true, Ordering::Relaxed);
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub fn down(&self, error: &str) {
        self.connected.store(false, Ordering::Relaxed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error.into();
    }

    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Empty if there was none since it last came up.
    pub fn error(&self) -> String {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Events that found no room since the last call.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// Ticks of the cadence that passed while the poll before them was still under way: nothing was measured, so nothing is lost.
    pub fn count_skipped(&self, polls: u64) {
        self.skipped.fetch_add(polls, Ordering::Relaxed);
    }

    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    pub fn count_not_admitted(&self) -> u64 {
        self.not_admitted.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Weight for Sample {
    fn weight(&self) -> usize {
        match &self.event {
            // The struct itself and the queue's slot beside the bytes.
            Event::Message(message) => message.topic.len() + message.payload.len() + 160,
            _ => 512,
        }
    }
}
