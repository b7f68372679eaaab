//! The task of one machine: lets it live in real time, tells the truth file what happens, and serves its link.
//!
//! A run has three parts. *Waiting*: the machine stands until somebody listens (the broker has acknowledged its first message, or a poller
//! has read it), so that nothing is made unseen. *Working*: events happen at their exact times. *Ending*: it stops, says its last word, and
//! waits until that has been heard.
//!
//! Invariant: messages carry the exact time of what they tell; if the task runs late, the times do not.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    asset::Asset,
    clock::Clock,
    instruments::Instruments,
    kpi::{Account, Balance},
    link::{
        delivery::Acknowledged,
        modbus::{ModbusLink, Read},
        mqtt::{MqttLink, Outbox},
    },
    model::{Machine, Step},
    moment::Moment,
    payload::Telemetry,
    registers,
    truth::{Line, Summary, Truth},
};

/// How often the truth file learns what was sent.
const SENT_EVERY: Duration = Duration::from_secs(5);

/// When the plant ends, once it is known.
pub type End = watch::Receiver<Option<Moment>>;

/// What every task needs, whatever its link.
pub struct Worker {
    pub asset: Asset,
    pub machine: Machine,
    pub ideal_cycle: Duration,
    pub clock: Clock,
    pub truth: Truth,
    pub end: End,
    /// Longest wait for the last word to be heard.
    pub drain: Duration,
    /// Open from the start on.
    pub account: Option<Account>,
}

impl Worker {
    async fn start(&mut self) {
        let step = self.machine.start(self.clock.now());
        self.account = Some(Account::open(self.machine.now(), self.machine.state()));
        self.tell(step).await;
    }

    /// Books a step and writes it down.
    async fn tell(&mut self, step: Step) {
        let machine = self.asset.clone();
        let line = match step {
            Step::State { at, state, reason } => {
                if let Some(account) = &mut self.account {
                    account.state(at, state);
                }
                Line::State { machine, at, state, reason }
            }
            Step::Part { at, good } => {
                if let Some(account) = &mut self.account {
                    account.part(good);
                }
                Line::Part { machine, at, good }
            }
            Step::FaultBegan { fault } => Line::Fault { machine, kind: fault.kind, signal: fault.signal, from: fault.from, to: fault.to },
            // Its end was told when it began.
            Step::FaultEnded { .. } => return,
        };
        self.truth.write(line).await;
    }

    async fn sent(&self, readings: u64, messages: u64) {
        self.truth.write(Line::Sent { machine: self.asset.clone(), readings, messages }).await;
    }

    /// Returns when `moment` has come; never if there is none.
    async fn sleep_until(&self, moment: Option<Moment>) {
        match moment {
            Some(moment) => self.clock.sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }

    /// Closes the books; those of a machine that never started are empty.
    fn balance(&mut self, to: Moment) -> Balance {
        let account = self.account.take().unwrap_or_else(|| Account::open(to, self.machine.state()));
        account.close(to, self.ideal_cycle)
    }
}

/// The moment at which the plant ends; returns when it is known.
async fn ended(end: &mut End) -> Option<Moment> {
    match end.wait_for(Option::is_some).await {
        Ok(moment) => *moment,
        // Whoever could end the plant is gone: then this is the end.
        Err(_) => None,
    }
}

/// A machine that publishes.
pub struct Publisher {
    pub worker: Worker,
    pub instruments: Instruments,
    pub outbox: Outbox,
    pub acknowledged: watch::Receiver<Acknowledged>,
    pub interval: Duration,
}

impl Publisher {
    /// Lives until the plant ends; returns what became of it.
    pub async fn run(mut self, link: MqttLink) -> Summary {
        // Of its own, so that it ends with this task however that ends.
        let mut task = JoinSet::new();
        task.spawn(link.run());
        let mut end = self.worker.end.clone();
        // The zero message: whoever counts parts needs to know where counting begins.
        self.publish(true);
        let heard = tokio::select! {
            result = self.acknowledged.wait_for(|totals| totals.messages > 0) => result.is_ok(),
            _ = ended(&mut end) => false,
        };
        if heard {
            self.worker.start().await;
            self.publish(true);
            self.work(&mut end).await;
        }
        self.finish(&mut end).await
    }

    async fn work(&mut self, end: &mut End) {
        let mut tick = self.worker.machine.now().plus(self.interval);
        let mut report = self.worker.machine.now().plus(SENT_EVERY);
        loop {
            let due = self.worker.machine.next_event_at().map_or(tick, |event| event.min(tick));
            tokio::select! {
                () = self.worker.clock.sleep_until(due) => {}
                _ = ended(end) => return,
            }
            let now = self.worker.clock.now();
            self.live_until(now).await;
            if now >= tick {
                self.publish(false);
                while tick <= now {
                    tick = tick.plus(self.interval);
                }
            }
            if now >= report {
                let totals = *self.acknowledged.borrow();
                self.worker.sent(totals.readings, totals.messages).await;
                report = now.plus(SENT_EVERY);
            }
        }
    }

    async fn live_until(&mut self, now: Moment) {
        while let Some(step) = self.worker.machine.step(now) {
            self.worker.tell(step).await;
            if matches!(step, Step::State { .. }) {
                self.publish(true);
            }
        }
    }

    fn publish(&mut self, is_change: bool) {
        let felt = self.worker.machine.feel();
        let sample = self.instruments.measure(&felt);
        self.outbox.publish(&Telemetry::of(&self.worker.machine, &sample), is_change);
    }

    async fn finish(mut self, end: &mut End) -> Summary {
        let to = ended(end).await.unwrap_or_else(|| self.worker.clock.now()).max(self.worker.machine.now());
        self.live_until(to).await;
        if let Some(step) = self.worker.machine.stop(to) {
            self.worker.tell(step).await;
        }
        if self.worker.account.is_some() {
            // Also when the machine stood already: the counters must be heard.
            self.publish(true);
        }
        let accepted = self.outbox.accepted();
        let wait = self.acknowledged.wait_for(|totals| totals.messages >= accepted);
        let _ = tokio::time::timeout(self.worker.drain, wait).await;
        let totals = *self.acknowledged.borrow();
        if totals.messages < accepted {
            tracing::warn!(asset = %self.worker.asset, open = accepted - totals.messages, "ended before everything was acknowledged");
        }
        self.worker.sent(totals.readings, totals.messages).await;
        Summary {
            asset: self.worker.asset.clone(),
            link: "mqtt",
            balance: self.worker.balance(to),
            messages: totals.messages,
            readings: totals.readings,
            unacknowledged: accepted - totals.messages,
            dropped: self.outbox.dropped(),
        }
    }
}

/// A machine that is polled.
pub struct Polled {
    pub worker: Worker,
    pub reads: mpsc::Receiver<Read>,
    pub session: u16,
    /// Reads that included address 0.
    pub served: u32,
}

impl Polled {
    /// Lives until the plant ends; returns what became of it.
    pub async fn run(mut self, link: ModbusLink) -> Summary {
        // Its end closes the port and all connections.
        let mut task = JoinSet::new();
        task.spawn(link.run());
        let mut end = self.worker.end.clone();
        self.work(&mut end).await;
        self.finish(&mut end).await
    }

    async fn work(&mut self, end: &mut End) {
        let mut report = self.worker.clock.now().plus(SENT_EVERY);
        loop {
            let due = self.worker.machine.next_event_at();
            tokio::select! {
                () = self.worker.sleep_until(due) => {}
                Some(read) = self.reads.recv() => {
                    self.live_until(self.worker.clock.now()).await;
                    self.answer(read);
                    if self.served > 0 && !self.worker.machine.is_running() {
                        self.worker.start().await;
                    }
                }
                _ = ended(end) => return,
            }
            let now = self.worker.clock.now();
            self.live_until(now).await;
            if now >= report {
                self.report().await;
                report = now.plus(SENT_EVERY);
            }
        }
    }

    async fn live_until(&mut self, now: Moment) {
        while let Some(step) = self.worker.machine.step(now) {
            self.worker.tell(step).await;
        }
    }

    /// Answers with the machine's present. A read that asks for address 0 is the next in the sequence.
    fn answer(&mut self, read: Read) {
        let counts = read.range.start == 0;
        if counts {
            self.served = self.served.wrapping_add(1);
        }
        let felt = self.worker.machine.feel();
        let image = registers::image(&self.worker.machine, &felt, self.session, self.served);
        // A poller that has gone in the meantime will see the gap in the sequence.
        let _ = read.reply.send(image[read.range].to_vec());
    }

    async fn report(&self) {
        self.worker.sent(u64::from(self.served) * registers::READINGS, u64::from(self.served)).await;
    }

    /// The last word is heard when the poller comes back for more: then its last answer has arrived. That one gets none.
    async fn finish(mut self, end: &mut End) -> Summary {
        let stopped = ended(end).await.unwrap_or_else(|| self.worker.clock.now()).max(self.worker.machine.now());
        self.live_until(stopped).await;
        if let Some(step) = self.worker.machine.stop(stopped) {
            self.worker.tell(step).await;
        }
        let mut unacknowledged = 0;
        if self.worker.account.is_some() {
            let drain = self.worker.drain;
            unacknowledged = u64::from(tokio::time::timeout(drain, self.last_read()).await.is_err());
            if unacknowledged > 0 {
                tracing::warn!(asset = %self.worker.asset, "ended before the last counters were read");
            }
        }
        // What the poller got last, it stamped before it came back: so this is after the last part that it knows of.
        let to = self.worker.clock.now().max(stopped);
        self.report().await;
        Summary {
            asset: self.worker.asset.clone(),
            link: "modbus",
            balance: self.worker.balance(to),
            messages: u64::from(self.served),
            readings: u64::from(self.served) * registers::READINGS,
            unacknowledged,
            dropped: 0,
        }
    }

    async fn last_read(&mut self) {
        let mut is_told = false;
        while let Some(read) = self.reads.recv().await {
            if read.range.start == 0 && is_told {
                return;
            }
            is_told |= read.range.start == 0;
            self.live_until(self.worker.clock.now()).await;
            self.answer(read);
        }
    }
}
