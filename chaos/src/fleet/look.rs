//! Looks at the running collector twice a second: memory, connections, and what it says of its queues at `/metrics`.
//!
//! Beside the run. Invariant: a look costs the collector one request; it takes no part in what happens.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::site::Site;

const EVERY: Duration = Duration::from_millis(500);
/// No process: the collector is away.
const NONE: u32 = 0;
/// `st` of an established connection in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// One look.
#[derive(Debug, Clone, Default)]
pub struct Look {
    pub at: Option<Instant>,
    /// Resident memory, and the most that there was.
    pub rss_kb: u64,
    pub peak_kb: u64,
    pub connections: u64,
    pub handshakes: u64,
    pub queued_batches: u64,
    pub hot_rows: u64,
    pub journal_bytes: u64,
    pub catching_up: u64,
    /// Since the process started.
    pub refused_connections: u64,
    pub held_off: u64,
    pub failed: u64,
    pub duplicates: u64,
    pub gaps: u64,
}

impl Look {
    pub fn line(&self) -> String {
        format!(
            ", collector {} MB, {} connections, {} queued, {} hot rows",
            self.rss_kb / 1024,
            self.connections,
            self.queued_batches,
            self.hot_rows
        )
    }

    /// What `/metrics` says.
    fn read(&mut self, text: &str) {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or(0.0) as u64
        };
        let batches = |outcome: &str| value(&format!("millrace_collector_batches_total{{outcome=\"{outcome}\"}}"));
        self.handshakes = value("millrace_collector_handshakes");
        self.queued_batches = value("millrace_collector_queued_batches");
        self.hot_rows = value("millrace_collector_hot_rows");
        self.journal_bytes = value("millrace_collector_journal_bytes");
        self.catching_up = value("millrace_collector_catching_up_gateways");
        self.refused_connections = value("millrace_collector_refused_connections_total");
        self.held_off = batches("held_off");
        self.failed = batches("failed");
        self.duplicates = batches("duplicate");
        self.gaps = batches("gap");
    }
}

/// The looks of a run.
pub struct Watching {
    process: Arc<AtomicU32>,
    looks: Arc<Mutex<Vec<Look>>>,
    task: JoinHandle<()>,
}

impl Watching {
    pub fn start(site: &Site) -> Self {
        let process = Arc::new(AtomicU32::new(site.process().unwrap_or(NONE)));
        let looks: Arc<Mutex<Vec<Look>>> = Arc::default();
        let (of, kept) = (Arc::clone(&process), Arc::clone(&looks));
        let (http, url, port) = (site.http().clone(), format!("{}/metrics", site.api_url()), site.uplink.port());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let process = of.load(Ordering::SeqCst);
                if process == NONE {
                    continue;
                }
                let mut look = Look { at: Some(Instant::now()), connections: connections(port), ..Look::default() };
                (look.rss_kb, look.peak_kb) = memory(process);
                let Ok(answer) = http.get(&url).timeout(Duration::from_secs(5)).send().await else { continue };
                let Ok(text) = answer.text().await else { continue };
                look.read(&text);
                kept.lock().push(look);
            }
        });
        Self { process, looks, task }
    }

    /// There is no process to look at.
    pub fn pause(&self) {
        self.process.store(NONE, Ordering::SeqCst);
    }

    pub fn resume(&self, site: &Site) {
        self.process.store(site.process().unwrap_or(NONE), Ordering::SeqCst);
    }

    pub fn latest(&self) -> Option<Look> {
        let running = self.process.load(Ordering::SeqCst) != NONE;
        self.looks.lock().last().filter(|_| running).cloned()
    }

    pub fn looks(&self) -> Vec<Look> {
        self.looks.lock().clone()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn memory(process: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Established connections of the server that listens on `port` of this machine.
fn connections(port: u16) -> u64 {
    count(&fs::read_to_string("/proc/net/tcp").unwrap_or_default(), port)
}

fn count(table: &str, port: u16) -> u64 {
    let local = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|address| address.ends_with(&local)) && fields.nth(1) == Some(ESTABLISHED)
    };
    table.lines().filter(is_one).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_by_their_whole_name() {
        let mut look = Look::default();
        look.read(
            "# TYPE millrace_collector_hot_rows gauge\nmillrace_collector_hot_rows 1234\nmillrace_collector_hot_rows_other 9\n\
             millrace_collector_batches_total{outcome=\"held_off\"} 7\nmillrace_collector_batches_total{outcome=\"stored\"} 900\n",
        );
        assert_eq!((look.hot_rows, look.held_off, look.queued_batches), (1_234, 7, 0));
    }

    #[test]
    fn only_established_connections_of_the_servers_side_count() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1F90 00000000:0000 0A 0\n   \
                     1: 0100007F:1F90 0100007F:C001 01 0\n   2: 0100007F:C001 0100007F:1F90 01 0\n   3: 0100007F:1F90 0100007F:C002 06 0\n";
        assert_eq!(count(table, 8_080), 1);
    }
}
