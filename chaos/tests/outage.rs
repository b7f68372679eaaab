//! A day without network, in virtual time: 100 machines, a message of five readings every ten seconds each. A binary of its own with one test: the
//! counting allocator counts all threads.

use std::collections::BTreeMap;

use chaos::{
    plan::{Fault, Plan, What},
    queue::{HOUR, MINUTE, Micros, SECOND},
    random::{Concern, Dice},
    sensors::{Kind, Plant, Size},
    world::World,
};
use collector::pacing::Pacing;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MACHINES: usize = 100;
const BEGINS: Micros = 10 * MINUTE;
const ENDS: Micros = BEGINS + 24 * HOUR;
/// Rows a second of the backlog that the collector lets come.
const RATE: u32 = 2_000;

fn allocated() -> usize {
    ALLOCATOR.current_usage()
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn plan() -> Plan {
    let size = Size { machines: MACHINES, signals: (5, 5), period: (10 * SECOND, 10 * SECOND), quiet_until: Micros::MAX };
    Plan {
        seed: 24,
        size,
        length: ENDS + 2 * HOUR,
        window: MINUTE,
        each_reading: false,
        spool_bytes: 512 << 20,
        newest_first: true,
        lake_interval: 5 * SECOND,
        faults: vec![Fault { number: 0, at: BEGINS, what: What::Outage { length: ENDS - BEGINS } }],
    }
}

#[test]
fn a_day_without_network_takes_no_memory_and_live_data_comes_first_afterwards() {
    let plan = plan();
    let mut plant = Plant::of(Dice::of(plan.seed, Concern::Sensors), &[Kind::Sequenced; MACHINES], plan.size);
    plant.forgetful = true;
    let mut world = World::with_plant(plan, plant, None, false);
    world.gateway.fuse.measure(allocated);
    world.set_pacing(Pacing { catch_up_rows_per_s: RATE, ..Pacing::default() });

    println!("hour  without the disk  resident  spool  open windows  generations");
    let mut own = Vec::new();
    for hour in 1..=24 {
        world.run_until(BEGINS + hour * HOUR);
        let process = world.gateway.process.as_ref().expect("the gateway runs");
        let bytes = allocated() as i64 - world.gateway.fuse.heap();
        let (stats, generations) = (process.core.stats(), process.spool.view().len());
        println!(
            "{hour:>4}  {:>13} KiB  {:>4} MiB  {:>3} MiB  {:>12}  {generations:>11}",
            bytes / 1024,
            resident() >> 20,
            world.gateway.disk.used() >> 20,
            stats.open_windows,
        );
        assert!(stats.open_windows <= 4 * 5 * MACHINES, "{} open windows", stats.open_windows);
        own.push(bytes);
    }
    let (first, last) = (own[1], own[23]);
    let grown = last - first;
    assert!(grown < 1 << 20, "the gateway took {grown} bytes more from the second to the last hour");

    world.watch(ENDS);
    world.run().expect("it comes to rest");
    let arrivals = world.collectors().next().and_then(|collector| collector.arrivals.clone()).expect("watched");
    let mut live = arrivals.live_us;
    live.sort_unstable();
    let part = |thousandths: usize| live[(live.len() - 1) * thousandths / 1_000] as f64 / 1e6;
    let backlog: u64 = arrivals.backlog.values().sum();
    let (begun, ended) = (*arrivals.backlog.keys().next().expect("some"), *arrivals.backlog.keys().last().expect("some"));
    let busiest = busiest_minute(&arrivals.backlog);
    println!("{} live entries: half within {:.2} s, p99 {:.2} s, the last {:.2} s", live.len(), part(500), part(990), part(1_000));
    println!("{backlog} rows of the backlog in {} s, {busiest} in the busiest minute at {RATE} a second allowed", ended - begun + 1);

    let stored: u64 = world.lake.rows().map(|row| if let protocol::Record::Window(window) = &row.record { window.count } else { 0 }).sum();
    let sampled: u64 = world.plant.truth.series.iter().map(|series| series.sampled).sum();
    assert_eq!(stored, sampled, "all of {sampled} readings");
    assert!(part(990) <= 2.0, "live data waits {:.2} s at p99", part(990));
    assert!(busiest <= u64::from(RATE) * 60 * 11 / 10, "{busiest} rows in a minute");
}

fn busiest_minute(backlog: &BTreeMap<i64, u64>) -> u64 {
    backlog.keys().map(|from| backlog.range(from..&(from + 60)).map(|(_, rows)| rows).sum()).max().unwrap_or(0)
}
