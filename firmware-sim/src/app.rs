//! Wiring: makes the machines of a configuration, gives each its task and link, and brings them to an orderly end.
//!
//! ```text
//!            +- worker (model, instruments) -- outbox [queue] --> mqtt link ==> broker
//! config --> |
//!            +- worker (model) <-- [32 reads] -- modbus link <== poller
//!                   |
//!                   +--> [65536 lines] --> truth thread --> truth.jsonl
//! ```

use std::{io, net::SocketAddr, path::Path};

use tokio::{sync::watch, task::JoinSet};

use crate::{
    asset::Asset,
    clock::Clock,
    config::{Link, MachineConfig, PlantConfig},
    instruments::Instruments,
    link::{
        modbus::ModbusLink,
        mqtt::{self, Target},
    },
    model::Machine,
    moment::Moment,
    truth::{Line, PlantMachine, Summary, Truth, TruthError, TruthFile},
    worker::{Polled, Publisher, Worker},
};

/// Why a plant could not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot listen on {listen} for {asset}: {source}")]
    Listen { listen: SocketAddr, asset: Asset, source: io::Error },
    #[error(transparent)]
    Truth(#[from] TruthError),
    #[error("the task of a machine failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// What a finished run has to say.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In the order of the configuration.
    pub machines: Vec<Summary>,
    pub readings: u64,
    pub parts: u64,
}

/// A plant whose ports are bound and whose machines are about to live.
pub struct Plant {
    clock: Clock,
    end: watch::Sender<Option<Moment>>,
    tasks: JoinSet<(usize, Summary)>,
    truth: Truth,
    file: TruthFile,
    /// Where the Modbus machines listen, by place in the configuration.
    pub listening: Vec<Option<SocketAddr>>,
}

impl Plant {
    /// Creates the truth file, binds all ports and starts all machines.
    ///
    /// # Errors
    /// If the file or a port cannot be had; nothing runs then.
    pub async fn start(config: &PlantConfig, seed: u64, truth_path: &Path) -> Result<Self, AppError> {
        let clock = Clock::start();
        let (truth, file) = TruthFile::create(truth_path)?;
        truth
            .write(Line::Plant { started_at: clock.now(), seed, version: env!("CARGO_PKG_VERSION"), machines: plant_machines(config) })
            .await;
        let (end, ending) = watch::channel(None);
        let mut plant = Self { clock, end, tasks: JoinSet::new(), truth, file, listening: Vec::new() };
        for (index, machine) in config.machines.iter().enumerate() {
            let worker = Worker {
                asset: machine.asset.clone(),
                machine: Machine::new(machine.spec.clone(), machine_seed(seed, &machine.asset), clock.now()),
                ideal_cycle: machine.spec.ideal_cycle,
                clock,
                truth: plant.truth.clone(),
                end: ending.clone(),
                drain: config.drain,
                account: None,
            };
            let listening = plant.live(index, worker, machine, config).await?;
            plant.listening.push(listening);
        }
        Ok(plant)
    }

    async fn live(
        &mut self,
        index: usize,
        worker: Worker,
        machine: &MachineConfig,
        config: &PlantConfig,
    ) -> Result<Option<SocketAddr>, AppError> {
        match &machine.link {
            Link::Mqtt { host, port } => {
                let target = Target {
                    host: host.clone(),
                    port: *port,
                    client_id: machine.asset.replace('/', "-"),
                    topic: format!("{}/telemetry", machine.asset),
                };
                // Random and not from the seed: a second run of the same plant is another session.
                let (outbox, link, acknowledged) = mqtt::link(target, rand::random(), config.queue);
                let publisher =
                    Publisher { worker, instruments: Instruments::new(), outbox, acknowledged, interval: config.publish_interval };
                self.tasks.spawn(async move { (index, publisher.run(link).await) });
                Ok(None)
            }
            Link::Modbus { listen, unit_id } => {
                let error = |source| AppError::Listen { listen: *listen, asset: machine.asset.clone(), source };
                let (link, reads) = ModbusLink::bind(*listen, *unit_id).await.map_err(error)?;
                let address = link.local_addr().map_err(error)?;
                let polled = Polled { worker, reads, session: rand::random(), served: 0 };
                self.tasks.spawn(async move { (index, polled.run(link).await) });
                Ok(Some(address))
            }
        }
    }

    /// Ends the plant now: machines stop, their last word is waited for, and the summaries are written.
    ///
    /// # Errors
    /// If the truth could not be written, or a machine's task failed.
    pub async fn finish(mut self) -> Result<Outcome, AppError> {
        self.end.send_replace(Some(self.clock.now()));
        let mut machines = Vec::new();
        while let Some(done) = self.tasks.join_next().await {
            machines.push(done?);
        }
        machines.sort_by_key(|(index, _)| *index);
        let machines: Vec<_> = machines.into_iter().map(|(_, summary)| summary).collect();
        for summary in &machines {
            self.truth.write(Line::Summary(Box::new(summary.clone()))).await;
        }
        let readings = machines.iter().map(|summary| summary.readings).sum();
        let parts = machines.iter().map(|summary| summary.balance.produced).sum();
        self.truth.write(Line::End { readings, parts }).await;
        drop(self.truth);
        let file = self.file;
        tokio::task::spawn_blocking(move || file.finish()).await??;
        Ok(Outcome { machines, readings, parts })
    }
}

fn plant_machines(config: &PlantConfig) -> Vec<PlantMachine> {
    let machine = |machine: &MachineConfig| PlantMachine {
        asset: machine.asset.clone(),
        link: machine.link.as_str(),
        gateway: machine.gateway.clone(),
        ideal_cycle_time_s: machine.spec.ideal_cycle.as_secs_f64(),
    };
    config.machines.iter().map(machine).collect()
}

/// Of the plant's seed and the machine's name, so that a machine stays itself when others are added (FNV-1a).
fn machine_seed(seed: u64, asset: &str) -> u64 {
    asset.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}
