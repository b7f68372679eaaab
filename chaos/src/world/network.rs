//! A request on its way, and what becomes of its answer.
//!
//! Between the gateway's and the collector's events; `crate::network` draws the fate. Invariant: each request comes to one end at the gateway, at
//! the latest by its timeout.

use std::sync::Arc;

use super::{Epoch, Event, World};
use crate::{
    collector_side,
    gateway_side::Carried,
    network::{Return, fate},
    plan::{Side, Step},
    queue::{Micros, SECOND},
};

/// The gateway gives up waiting for an answer.
const TIMEOUT: Micros = 10 * SECOND;

#[derive(Debug)]
pub(super) enum OnWire {
    Answer(collector_side::Answer),
    Broken,
    TimedOut,
}

pub(super) struct Flight {
    pub(super) epoch: Epoch,
    pub(super) answer: Return,
    pub(super) answer_after: Micros,
}

impl World {
    pub(super) fn send(&mut self, request: Carried) {
        self.next_request += 1;
        let (id, bytes) = (self.next_request, request.body.len());
        let outage = self.outages > 0;
        let fate = fate(&mut self.network, &self.weather.0, outage, bytes);
        let what = if request.heartbeat { "sends a heartbeat" } else { "sends a batch" };
        self.note("gateway", what, [id, bytes as u64, request.stream.0 & 0xffff]);
        self.figures.requests += 1;
        self.figures.network_bytes += bytes as u64;
        self.in_flight = Some(id);
        let epoch = self.gateway_epoch;
        self.flights.insert(id, Flight { epoch, answer: fate.answer, answer_after: fate.answer_after });
        for (index, arrival) in fate.arrivals.iter().enumerate() {
            let (body, cut) = (Arc::clone(&request.body), arrival.cut);
            self.put(self.now + arrival.after, Event::Arrive { id, body, cut, first: index == 0 });
        }
        if let Some((status, retry_after)) = fate.instead {
            let answer = collector_side::Answer { status, retry_after, body: Vec::new() };
            self.put(self.now + fate.answer_after, Event::Answered { epoch, id, answer: OnWire::Answer(answer) });
        }
        self.put(self.now + TIMEOUT, Event::Answered { epoch, id, answer: OnWire::TimedOut });
        self.hit(Side::Gateway, Step::RequestSent);
    }

    /// The connection of a request is gone.
    pub(super) fn broken(&mut self, id: u64) {
        if let Some(flight) = self.flights.get(&id) {
            let (epoch, after) = (flight.epoch, flight.answer_after);
            self.put(self.now + after, Event::Answered { epoch, id, answer: OnWire::Broken });
        }
    }
}
