//! What goes first, and how fast.

use std::{collections::BTreeMap, time::Duration};

use protocol::{DATA, GatewayStatus, TimeQuality, URGENT};
use spool::Options;

use crate::{
    config::CatchUp,
    upload::{
        Step,
        testing::{Gateway, Key, Model, audit, status, window},
    },
};

const MINUTE: Duration = Duration::from_secs(60);

/// A gateway with three generations that hold something, and nothing sent.
fn three_generations(order: CatchUp) -> (Gateway, [Key; 3], Key) {
    let mut gateway = Gateway::new(1, order, Options::default());
    let mut firsts = Vec::new();
    let mut urgent = None;
    for run in 0..3 {
        firsts.push(gateway.append(DATA, vec![window("press", "t", run, 5)]));
        if run == 0 {
            urgent = Some(gateway.append(URGENT, vec![window("press", "u", run, 5)]));
        }
        if run < 2 {
            gateway.restart(false);
        }
    }
    (gateway, firsts.try_into().unwrap(), urgent.unwrap())
}

fn arrived(order: CatchUp) -> (Vec<Key>, [Key; 3], Key) {
    let (mut gateway, firsts, urgent) = three_generations(order);
    let mut model = Model::default();
    gateway.drain(&mut model);
    (model.arrivals.iter().map(|(_, stream, first, ..)| (*stream, *first)).collect(), firsts, urgent)
}

#[test]
fn urgent_goes_before_live_and_live_before_the_backlog_in_the_configured_order() {
    let (order, [first, second, live], urgent) = arrived(CatchUp::NewestFirst);
    assert_eq!(order, [urgent, live, second, first]);
    let (order, [first, second, live], urgent) = arrived(CatchUp::OldestFirst);
    assert_eq!(order, [urgent, live, first, second]);
}

#[test]
fn a_gateway_that_does_not_know_the_time_asks_before_it_sends_rows() {
    let (mut gateway, ..) = three_generations(CatchUp::NewestFirst);
    let unsynced = GatewayStatus { time_quality: TimeQuality::Unsynced, ..status() };
    let ask = |gateway: &mut Gateway| gateway.courier.next(&gateway.spool, gateway.now, unsynced.clone(), &|stamp, _| *stamp);
    let Step::Send(request) = ask(&mut gateway) else { panic!("it asks") };
    assert!(request.range.is_none());
    let answer = Model::default().take(&request.body, gateway.now);
    gateway.answered(answer, 0.5);
    let Step::Send(request) = ask(&mut gateway) else { panic!("there is something to send") };
    assert!(request.range.is_some());
}

#[test]
fn a_generation_is_touched_before_anything_of_it_is_sent() {
    let (mut gateway, ..) = three_generations(CatchUp::NewestFirst);
    let touched = |gateway: &Gateway| gateway.spool.view().iter().filter(|generation| generation.touched).count();
    assert_eq!(touched(&gateway), 0);
    let Step::Send(_) = gateway.next() else { panic!("there is something to send") };
    assert_eq!(touched(&gateway), 1);
    gateway.restart(true);
    assert_eq!(touched(&gateway), 1, "also if the power fails at once");
}

#[test]
fn nothing_of_a_backlog_is_sent_before_the_collector_has_said_how_fast() {
    let mut gateway = Gateway::new(1, CatchUp::NewestFirst, Options::default());
    gateway.append(DATA, vec![window("press", "t", 0, 5)]);
    gateway.restart(false);
    let mut model = Model { catch_up_hold_ms: 30_000, ..Model::default() };
    let first = gateway.step_well(&mut model, Duration::from_millis(5)).unwrap();
    assert!(first.range.is_none(), "a heartbeat asks");
    let asked = gateway.now.mono_us;
    gateway.drain(&mut model);
    assert!(model.arrivals[0].0 - asked >= 30_000_000 - 5_000);
}

#[test]
fn a_day_of_backlog_drains_at_its_rate_and_holds_up_nothing_that_is_live() {
    const HOLD: u32 = 400;
    let mut gateway = Gateway::new(4, CatchUp::NewestFirst, Options { generation_bytes: 256 << 10, ..Options::default() });
    let mut model = Model { catch_up_hold_ms: HOLD, ..Model::default() };
    // A day without a collector; an entry every 10 s.
    let day = 24 * 60 * 6;
    for n in 0..day {
        gateway.append(DATA, (0..4).map(|signal| window("press", &format!("s{signal}"), n * 10_000_000, 10)).collect());
        gateway.pass(Duration::from_secs(10));
    }
    let (begun, backlog) = (gateway.now.mono_us, gateway.appended.len());
    // From now on: live data each second, and an alarm each minute.
    let mut made: BTreeMap<Key, u64> = BTreeMap::new();
    let mut next_live = begun;
    let mut live = 0;
    let (mut drained_at, mut contact_at) = (None, u64::MAX);
    while drained_at.is_none() || live < 120 {
        while gateway.now.mono_us >= next_live {
            let at = gateway.now.mono_us;
            live += 1;
            made.insert(gateway.append(DATA, vec![window("press", "live", live * 1_000_000, 1)]), at);
            if live % 60 == 0 {
                made.insert(gateway.append(URGENT, vec![window("press", "alarm", live * 1_000_000, 1)]), at);
            }
            next_live += 1_000_000;
        }
        let next = match gateway.next() {
            Step::Send(request) => {
                gateway.pass(Duration::from_millis(if request.catch_up { 150 } else { 40 }));
                let answer = model.take(&request.body, gateway.now);
                contact_at = contact_at.min(gateway.now.mono_us);
                gateway.answered(answer, 0.5);
                continue;
            }
            Step::Wait(wait) => wait,
            Step::Idle => MINUTE,
        };
        if drained_at.is_none()
            && gateway.courier.report(gateway.now).catch_up_entries == 0
            && gateway.courier.report(gateway.now).connected
        {
            drained_at = Some(gateway.now.mono_us);
        }
        let until_live = Duration::from_micros(next_live - gateway.now.mono_us);
        gateway.pass(next.min(until_live).max(Duration::from_micros(1)));
    }
    gateway.drain(&mut model);
    audit(&gateway, &model).unwrap();

    let mut latencies: Vec<u64> = Vec::new();
    // What was made before the first answer belongs to the outage.
    for ((stream, seq), at) in made.iter().filter(|(_, at)| **at >= contact_at) {
        let arrival = model.arrivals.iter().find(|(_, of, first, last, _)| of == stream && (first..=last).contains(&seq)).unwrap();
        latencies.push(arrival.0 - at);
    }
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    let worst = latencies[latencies.len() - 1];
    println!(
        "{} live entries while {backlog} drained: p50 {} us, p99 {p99} us, worst {worst} us",
        latencies.len(),
        latencies[latencies.len() / 2]
    );
    assert!(worst <= 2_000_000, "p99 {p99} us, worst {worst} us");

    let batches: Vec<u64> = model.arrivals.iter().filter(|(.., catch_up)| *catch_up).map(|(at, ..)| *at).collect();
    assert!(batches.len() * 64 + 200 >= backlog, "{} batches for {backlog} entries", batches.len());
    assert!(batches.windows(2).all(|pair| pair[1] - pair[0] >= u64::from(HOLD) * 1000), "the hold is kept");
    let seconds = (drained_at.unwrap() - begun) / 1_000_000;
    println!("{} batches of the backlog in {seconds} s", batches.len());
    let fastest = batches.len() as u64 * u64::from(HOLD) / 1000;
    assert!(seconds >= fastest && seconds <= 2 * fastest + 10, "{} batches in {seconds} s, at the fastest {fastest}", batches.len());
}

#[test]
fn after_an_outage_live_data_gets_a_generation_of_its_own() {
    let mut gateway = Gateway::new(5, CatchUp::NewestFirst, Options::default());
    let mut model = Model { catch_up_hold_ms: 5_000, ..Model::default() };
    for n in 0..300 {
        gateway.append(DATA, vec![window("press", "t", n, 5)]);
    }
    let generations = gateway.spool.view().len();
    gateway.step_well(&mut model, Duration::from_millis(5)).unwrap();
    assert_eq!(gateway.spool.view().len(), generations + 1);
    let key = gateway.append(DATA, vec![window("press", "t", 1_000, 5)]);
    let at = gateway.now.mono_us;
    while !model.stored.entries.contains_key(&key) {
        gateway.step_well(&mut model, Duration::from_millis(5));
    }
    assert!(gateway.now.mono_us - at <= 1_100_000);
    gateway.drain(&mut model);
    audit(&gateway, &model).unwrap();
}

#[test]
fn a_start_with_little_to_send_makes_no_generation_more() {
    let mut gateway = Gateway::new(6, CatchUp::NewestFirst, Options::default());
    let mut model = Model::default();
    gateway.append(DATA, vec![window("press", "t", 1, 5)]);
    gateway.drain(&mut model);
    assert_eq!(gateway.spool.view().len(), 1);
}
