//! What is asked of a run, and what it comes to.
//!
//! Beside the event loop, which counts as it goes. Invariant: figures of runs can be added up in any order.

/// A bug that is put in on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The disks' syncs do nothing.
    SkipSync,
    /// The collector answers before its journal is written.
    EarlyAck,
    /// The collector takes every batch for new.
    NoLedger,
}

impl Mutation {
    pub const ALL: [Self; 3] = [Self::SkipSync, Self::EarlyAck, Self::NoLedger];

    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipSync => "skip-sync",
            Self::EarlyAck => "early-ack",
            Self::NoLedger => "no-ledger",
        }
    }
}

/// What was done in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    pub clean_stops: u64,
    pub kills: u64,
    pub power_cuts: u64,
    /// Of all stops, those in the middle of a disk operation or right after a step.
    pub aimed: u64,
    pub restores: u64,
    pub commits: u64,
    pub failed_commits: u64,
    pub requests: u64,
    pub arrivals: u64,
    pub duplicates: u64,
    pub gaps: u64,
    pub refused: u64,
    pub network_bytes: u64,
    pub disk_bytes: u64,
    pub readings: u64,
    pub events: u64,
    pub virtual_us: u64,
}

impl Figures {
    /// Ends of a process, of any kind.
    pub fn stops(&self) -> u64 {
        self.clean_stops + self.kills + self.power_cuts
    }

    pub fn add(&mut self, other: &Self) {
        let Self { clean_stops, kills, power_cuts, aimed, restores, commits, failed_commits, requests, arrivals, .. } = other;
        self.clean_stops += clean_stops;
        self.kills += kills;
        self.power_cuts += power_cuts;
        self.aimed += aimed;
        self.restores += restores;
        self.commits += commits;
        self.failed_commits += failed_commits;
        self.requests += requests;
        self.arrivals += arrivals;
        self.duplicates += other.duplicates;
        self.gaps += other.gaps;
        self.refused += other.refused;
        self.network_bytes += other.network_bytes;
        self.disk_bytes += other.disk_bytes;
        self.readings += other.readings;
        self.events += other.events;
        self.virtual_us += other.virtual_us;
    }
}
