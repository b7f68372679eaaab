//! The gateway's events: it starts, ticks, writes commits, uploads, and stops.
//!
//! Around `gateway_side`, which is the process. Invariant: each step that a stop may come after says so by `hit`, each that uses the disk by `blown`.

use std::time::Duration;

use ::gateway::upload::{Answer, HEARTBEAT, Step as Upload};
use protocol::codec;

use super::{Event, World, network::OnWire};
use crate::{
    collector_side,
    plan::{Side, Step, Stop},
    queue::{MILLISECOND, Micros, SECOND},
    sensors::wall,
};

impl World {
    pub(super) fn start_gateway(&mut self) {
        self.gateway_starting = false;
        if self.gateway.process.is_some() {
            return;
        }
        self.gateway.fuse.renew();
        if let Some(wired) = self.wired.get(&Side::Gateway) {
            self.gateway.fuse.set(wired.operations);
        }
        let boot_id = self.processes.number();
        self.gateway_epoch += 1;
        let started = self.gateway.start(self.now, boot_id);
        if self.blown(Side::Gateway) {
            return;
        }
        if self.trace.prints() {
            println!("{started:?}");
        }
        if started.is_err() {
            self.note("gateway", "can't start", [0; 3]);
            self.gateway.process = None;
            self.come_back(Side::Gateway, 2 * SECOND);
            return;
        }
        self.note("gateway", "starts", [self.gateway.boots, 0, 0]);
        if self.calm {
            self.all_well_at = Some(self.now);
        }
        self.put(self.now + self.tick, Event::Tick(self.gateway_epoch));
        self.wake_uploader(MILLISECOND);
        self.let_core_tick();
    }

    pub(super) fn let_core_tick(&mut self) {
        if self.gateway.tick(self.now) {
            self.figures.commits += 1;
            if self.hit(Side::Gateway, Step::CommitTaken) {
                return;
            }
            let slow = self.schedule.chance(20);
            self.soon(100, if slow { 2 * SECOND } else { 20 * MILLISECOND }, Event::Write(self.gateway_epoch));
        }
    }

    pub(super) fn write(&mut self) {
        self.gateway.write(self.now);
        if self.blown(Side::Gateway) {
            return;
        }
        self.note("gateway", "commit written", [0; 3]);
        if !self.hit(Side::Gateway, Step::Appended) {
            self.soon(10, 5 * MILLISECOND, Event::Settle(self.gateway_epoch));
        }
    }

    pub(super) fn settle(&mut self) {
        let was_open = self.gateway.is_open();
        let durable = self.gateway.settle(self.now);
        if !was_open {
            for machine in 0..self.plant.machines.len() {
                self.soon(MILLISECOND, 2 * SECOND, Event::HandOver(machine));
            }
        }
        if durable {
            if self.in_flight.is_none() {
                self.wake_uploader(MILLISECOND);
            }
        } else {
            self.figures.failed_commits += 1;
            self.note("gateway", "commit failed", [0; 3]);
        }
        self.let_core_tick();
    }

    pub(super) fn wake_uploader(&mut self, wait: Micros) {
        self.wake += 1;
        self.put(self.now + wait.max(MILLISECOND), Event::Upload(self.gateway_epoch, self.wake));
    }

    pub(super) fn upload(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        let step = self.gateway.next(self.now);
        if self.blown(Side::Gateway) {
            return;
        }
        match step {
            None => {}
            Some(Upload::Wait(wait)) => self.wake_uploader(micros(wait)),
            Some(Upload::Idle) => self.wake_uploader(micros(HEARTBEAT)),
            Some(Upload::Send(request)) => self.send(request.into()),
        }
    }

    pub(super) fn answered(&mut self, id: u64, answer: &OnWire) {
        self.in_flight = None;
        self.flights.remove(&id);
        let (answer, what) = match answer {
            OnWire::Answer(answer) => (judge(answer), "answer"),
            OnWire::Broken => (Answer::Wait { reason: "broken off".into(), after: None }, "answer broken off"),
            OnWire::TimedOut => (Answer::Wait { reason: "no answer".into(), after: None }, "no answer"),
        };
        let kind = match &answer {
            Answer::Ack(ack) => match ack.ack {
                protocol::Ack::Stored => 1,
                protocol::Ack::Duplicate => 2,
                protocol::Ack::Gap { .. } => 3,
                protocol::Ack::Heartbeat => 4,
            },
            Answer::Refused { status, .. } => u64::from(*status),
            Answer::Unwelcome { .. } => 401,
            Answer::Wait { .. } => 0,
        };
        self.note("gateway", what, [id, kind, 0]);
        let random = self.processes.fraction();
        self.gateway.answered(self.now, answer, random);
        if self.blown(Side::Gateway) {
            return;
        }
        if !self.hit(Side::Gateway, Step::AnswerApplied) {
            self.wake_uploader(MILLISECOND);
        }
    }

    pub(super) fn stop_gateway(&mut self, stop: Stop) {
        self.count_stop(stop);
        let what = match stop {
            Stop::Clean => "stopped in order",
            Stop::Kill => "killed",
            Stop::PowerCut => "without power",
        };
        self.note("gateway", what, [0; 3]);
        let run = self.gateway.process.as_ref().map(|process| (process.zero, process.left_a_trace));
        match stop {
            Stop::Clean => {
                if self.gateway.process.is_some() && !self.gateway.finish(self.now) {
                    self.note("gateway", "last commit failed", [0; 3]);
                }
                // A fuse that blew meanwhile has done all that it could.
                if self.gateway.fuse.is_blown() {
                    self.gateway.disk.kill();
                }
            }
            Stop::Kill => self.gateway.disk.kill(),
            Stop::PowerCut => self.gateway.disk.power_cut(),
        }
        if let Some((began, false)) = run {
            // Its disk took nothing in all its life: nobody can know that there was this run.
            self.plant.truth.untold.push((wall(began), wall(self.now)));
        }
        self.gateway.process = None;
        self.gateway_epoch += 1;
        self.in_flight = None;
        self.plant.disconnected(self.now);
    }
}

/// What the uploader makes of an HTTP answer.
pub(crate) fn judge(answer: &collector_side::Answer) -> Answer {
    let after = answer.retry_after.map(|seconds| Duration::from_secs(u64::from(seconds)));
    match answer.status {
        200 => match codec::decode_ack(&answer.body) {
            Ok(ack) => Answer::Ack(ack),
            Err(error) => Answer::Wait { reason: format!("the answer can't be read: {error}"), after: None },
        },
        status @ (400 | 413 | 422) => Answer::Refused { status, detail: String::new() },
        status => Answer::Wait { reason: format!("the collector answers {status}"), after },
    }
}

fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}
