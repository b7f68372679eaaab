//! The processes of a running plant: collector, gateways and simulated machines; each can be ended, killed, stopped and started by itself.
//!
//! Invariant: a process that is up according to this account and has ended by itself is an error, with the end of its log.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{
    fleet::{Process, wait_for},
    rest::Rest,
    site::{Gateway, Site},
};
use crate::build::Programs;

const GRACE: Duration = Duration::from_secs(60);

/// All of them; `None` while one is down on purpose.
pub struct Plant {
    pub collector: Option<Process>,
    pub gateways: Vec<Option<Process>>,
    pub machines: Option<Process>,
    /// The collector's interface.
    pub rest: Rest,
    /// The gateways' status pages, in their order.
    pub status: Vec<Rest>,
}

impl Plant {
    /// With nothing started yet.
    pub fn of(site: &Site) -> Self {
        Self {
            collector: None,
            gateways: site.gateways.iter().map(|_| None).collect(),
            machines: None,
            rest: Rest::new(site.dashboard_url(), Some(site.admin_key.clone())),
            status: site.gateways.iter().map(|g| Rest::new(format!("http://{}", g.status), None)).collect(),
        }
    }

    /// Starts the collector, lets the gateways in, starts the machines and then the gateways.
    pub fn start(site: &Site, programs: &Programs) -> Result<Self> {
        let mut plant = Self::of(site);
        plant.start_collector(site, programs)?;
        for gateway in &site.gateways {
            site.enroll(gateway, false, programs)?;
        }
        // The machines' Modbus servers are there before anyone polls them.
        plant.start_machines(site, programs)?;
        site.wait_for_modbus()?;
        for number in 0..site.gateways.len() {
            plant.start_gateway(number, site, programs)?;
        }
        for number in 0..site.gateways.len() {
            plant.wait_for_gateway(number, site)?;
        }
        Ok(plant)
    }

    /// An error if one that is up has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        let others = [&mut self.collector, &mut self.machines];
        others.into_iter().chain(&mut self.gateways).flatten().try_for_each(Process::check)
    }

    /// Starts the collector and waits until it serves.
    pub fn start_collector(&mut self, site: &Site, programs: &Programs) -> Result<()> {
        let mut command = programs.command("collector");
        command.args(["run", "--config"]).arg(&site.collector_file);
        let mut collector = Process::start("collector", command, &site.logs)?;
        wait_for("start of the collector", Duration::from_secs(60), || {
            collector.check()?;
            Ok(self.rest.is_up("/health/ready"))
        })?;
        self.collector = Some(collector);
        Ok(())
    }

    /// Starts the simulated machines.
    pub fn start_machines(&mut self, site: &Site, programs: &Programs) -> Result<()> {
        let mut simulate = programs.command("sim");
        simulate.args(["run", "--config"]).arg(&site.plant_file).args(["--seed", &site.seed.to_string(), "--truth"]).arg(&site.truth_file);
        self.machines = Some(Process::start("sim", simulate, &site.logs)?);
        Ok(())
    }

    /// Starts a gateway, and does not wait for it.
    pub fn start_gateway(&mut self, number: usize, site: &Site, programs: &Programs) -> Result<()> {
        let gateway: &Gateway = &site.gateways[number];
        let mut command = programs.gateway(number);
        command.args(["run", "--config"]).arg(&gateway.file).envs(gateway.env.iter().map(|(name, value)| (name, value)));
        self.gateways[number] = Some(Process::start(&gateway.id, command, &site.logs)?);
        Ok(())
    }

    /// Until a gateway that was started answers.
    pub fn wait_for_gateway(&mut self, number: usize, site: &Site) -> Result<()> {
        let (process, status) = (&mut self.gateways[number], &self.status[number]);
        wait_for(&format!("start of {}", site.gateways[number].id), Duration::from_secs(60), || {
            process.as_mut().map_or(Ok(()), Process::check)?;
            Ok(status.get("/status").is_ok())
        })
    }

    /// SIGTERM, and an error if it does not end in order.
    pub fn end_collector(&mut self) -> Result<()> {
        self.collector.take().map_or(Ok(()), |c| c.end(GRACE)).context("the collector did not end in order")
    }

    pub fn kill_collector(&mut self) -> Result<()> {
        self.collector.take().map_or(Ok(()), Process::kill)
    }

    /// SIGTERM, and an error if it does not end in order.
    pub fn end_gateway(&mut self, number: usize) -> Result<()> {
        self.gateways[number].take().map_or(Ok(()), |g| g.end(GRACE)).context("a gateway did not end in order")
    }

    pub fn kill_gateway(&mut self, number: usize) -> Result<()> {
        self.gateways[number].take().map_or(Ok(()), Process::kill)
    }

    /// Stops the machines, waits until each gateway has handed over all that it holds, and ends the gateways. The collector stays, to be asked.
    pub fn settle(&mut self, site: &Site, limit: Duration) -> Result<()> {
        eprintln!("  the plant stops ...");
        let machines = self.machines.take().map_or(Ok(()), |m| m.end(Duration::from_secs(30)));
        machines.context("the simulated plant did not end in order")?;
        eprintln!("  waiting for the gateways to hand over what they hold ...");
        for (number, (one, gateway)) in self.status.iter().zip(&site.gateways).enumerate() {
            let process = &mut self.gateways[number];
            wait_for(&format!("hand-over of {}", gateway.id), limit, || {
                process.as_mut().map_or(Ok(()), Process::check)?;
                let Ok(status) = one.get("/status") else { return Ok(false) };
                Ok(["open_windows", "uncommitted_records", "backlog_entries"].iter().all(|what| status[what] == 0))
            })?;
        }
        (0..self.gateways.len()).try_for_each(|number| self.end_gateway(number))
    }
}
