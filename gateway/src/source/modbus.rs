//! Polls a Modbus TCP device: one task and one connection a device, so that a dead or slow one costs the others nothing.
//!
//! tokio-modbus has no timeouts, and after one its answers would be those to earlier requests for good (the transaction ids drift): so every
//! call here has a timeout, and after a timeout, a mismatch or an answer of the wrong length the connection is dropped. The cadence is
//! fixed: a poll that takes longer than the interval makes the ticks it covers *skipped*, not late.
//!
//! Invariant: each tick gives exactly one outcome (values, exceptions, or why there was none) or is counted as skipped; nothing is written
//! to a device.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_modbus::{
    Request, Response, Slave,
    client::{Client, Context, tcp},
};

use super::{Event, Feed};
use crate::{
    backoff::Backoff,
    config,
    decode::modbus::{Block, Outcome, PollResult, Read, ReadPlan, Table},
};

/// Why a device cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no connection to {address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("no connection to {address} within {timeout:?}")]
    Timeout { address: String, timeout: Duration },
    #[error("{address} is not the address of a host")]
    NoAddress { address: String },
}

/// Polls `config.devices[index]` until the runtime ends it.
pub fn start(index: usize, device: config::Device, feed: Feed) -> tokio::task::JoinHandle<()> {
    tokio::spawn(Poller::new(index, device, feed).run())
}

struct Poller {
    index: usize,
    device: config::Device,
    feed: Feed,
    connection: Option<Context>,
    /// The device's plan, with blocks that it refused whole split into their points until the next connection.
    plan: ReadPlan,
    backoff: Backoff,
    next_try: Instant,
    /// Why there is no connection.
    reason: String,
}

impl Poller {
    fn new(index: usize, device: config::Device, feed: Feed) -> Self {
        let plan = device.plan.clone();
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));
        Self { index, device, feed, connection: None, plan, backoff, next_try: Instant::now(), reason: "not tried yet".into() }
    }

    async fn run(mut self) {
        // Devices of one gateway are spread over the interval instead of all being asked at the same moment.
        let phase = self.device.interval.mul_f64(rand::random());
        let mut ticks = interval_at(Instant::now() + phase, self.device.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut due = Instant::now() + phase;
        loop {
            let tick = ticks.tick().await;
            let late = tick.saturating_duration_since(due);
            let skipped = late.as_micros() / self.device.interval.as_micros().max(1);
            if skipped > 0 {
                self.feed.health.count_skipped(u64::try_from(skipped).unwrap_or(u64::MAX));
            }
            due = tick + self.device.interval;
            let result = self.poll().await;
            if self.feed.lane.is_closed() {
                return;
            }
            self.feed.offer(Event::Poll { device: self.index, result, received: self.feed.now() });
        }
    }

    async fn poll(&mut self) -> PollResult {
        if self.connection.is_none() && Instant::now() >= self.next_try {
            self.connect().await;
        }
        let mut blocks: std::collections::VecDeque<Block> = self.plan.blocks.clone().into();
        let mut reads = Vec::with_capacity(blocks.len());
        while let Some(block) = blocks.pop_front() {
            let Some(connection) = &mut self.connection else {
                reads.push(Read { block, outcome: Outcome::Broken(self.reason.clone()) });
                continue;
            };
            let outcome = read(connection, block, self.device.timeout).await;
            match &outcome {
                Outcome::Words(_) | Outcome::Bits(_) => self.feed.health.up(),
                // Illegal address or value: perhaps of one point only. Ask for each of them alone, from now on.
                Outcome::Exception(2 | 3) => {
                    let points = ReadPlan::split(&block, &self.device.points);
                    if points.len() > 1 {
                        tracing::warn!(device = %self.device.name, ?block, "the device refused a block; its points are read one by one");
                        self.plan.blocks =
                            self.plan.blocks.iter().flat_map(|b| if *b == block { points.clone() } else { vec![*b] }).collect();
                        points.into_iter().rev().for_each(|point| blocks.push_front(point));
                        continue;
                    }
                }
                Outcome::Exception(_) => {}
                Outcome::Timeout => self.drop_connection("no answer in time".into()),
                Outcome::Broken(error) => self.drop_connection(error.clone()),
            }
            reads.push(Read { block, outcome });
        }
        PollResult { reads }
    }

    async fn connect(&mut self) {
        match connect(&self.device.address, self.device.unit_id, self.device.timeout).await {
            Ok(connection) => {
                tracing::info!(device = %self.device.name, address = %self.device.address, "connected");
                self.connection = Some(connection);
                self.plan = self.device.plan.clone();
                self.backoff.reset();
            }
            Err(error) => self.drop_connection(error.to_string()),
        }
    }

    /// A late answer to an abandoned request must never be taken for the answer to the next one: the connection goes.
    fn drop_connection(&mut self, reason: String) {
        if self.reason != reason {
            tracing::warn!(device = %self.device.name, %reason, "no connection to the device; trying again");
        }
        self.connection = None;
        self.feed.health.down(&reason);
        self.reason = reason;
        self.next_try = Instant::now() + self.backoff.next(rand::random());
    }
}

/// Connects to a device.
///
/// # Errors
/// [`ConnectError`] says what stood in the way.
pub async fn connect(address: &str, unit_id: u8, patience: Duration) -> Result<Context, ConnectError> {
    let attempt = async {
        let failed = |source| ConnectError::Io { address: address.into(), source };
        let resolved: Option<SocketAddr> = lookup_host(address).await.map_err(failed)?.next();
        let target = resolved.ok_or_else(|| ConnectError::NoAddress { address: address.into() })?;
        let stream = TcpStream::connect(target).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(tcp::attach_slave(stream, Slave(unit_id)))
    };
    timeout(patience, attempt).await.unwrap_or_else(|_| Err(ConnectError::Timeout { address: address.into(), timeout: patience }))
}

/// One read request and its answer, whose length is checked here (tokio-modbus does so in debug builds only, by panicking).
pub async fn read(connection: &mut Context, block: Block, patience: Duration) -> Outcome {
    let request = match block.table {
        Table::Coil => Request::ReadCoils(block.address, block.quantity),
        Table::Discrete => Request::ReadDiscreteInputs(block.address, block.quantity),
        Table::Holding => Request::ReadHoldingRegisters(block.address, block.quantity),
        Table::Input => Request::ReadInputRegisters(block.address, block.quantity),
    };
    let asked = usize::from(block.quantity);
    match timeout(patience, connection.call(request)).await {
        Err(_) => Outcome::Timeout,
        Ok(Err(error)) => Outcome::Broken(error.to_string()),
        Ok(Ok(Err(exception))) => Outcome::Exception(u8::from(exception)),
        Ok(Ok(Ok(Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words)))) if words.len() == asked => {
            Outcome::Words(words)
        }
        // Bits come in whole bytes.
        Ok(Ok(Ok(Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits)))) if bits.len() >= asked => {
            bits.truncate(asked);
            Outcome::Bits(bits)
        }
        Ok(Ok(Ok(_))) => Outcome::Broken("the answer's length is not that of the request".into()),
    }
}
