//! One thing goes wrong at a time.

use std::time::Duration;

use protocol::{DATA, LossReason, Record, URGENT};
use spool::{Options, simulated::Faults};

use crate::{
    config::CatchUp,
    upload::{
        Answer, Breaker, Step,
        testing::{Gateway, Model, audit, window},
    },
};

fn with_entries(seed: u64, entries: i64) -> Gateway {
    let mut gateway = Gateway::new(seed, CatchUp::NewestFirst, Options { keep_acknowledged_bytes: 1 << 30, ..Options::default() });
    for n in 0..entries {
        gateway.append(DATA, vec![window("press", "t", n * 1_000_000, 5)]);
    }
    gateway
}

fn failed() -> Answer {
    Answer::Wait { reason: "no connection".into(), after: None }
}

#[test]
fn five_failures_open_the_breaker_and_a_heartbeat_closes_it() {
    let mut gateway = with_entries(1, 10);
    let mut model = Model::default();
    let mut sent = 0;
    while gateway.courier.report(gateway.now).breaker == Breaker::Closed {
        match gateway.next() {
            Step::Send(request) => {
                assert!(request.range.is_some());
                gateway.answered(failed(), 1.0);
                sent += 1;
            }
            Step::Wait(wait) => gateway.pass(wait),
            Step::Idle => panic!("there is something to send"),
        }
    }
    assert_eq!((sent, gateway.courier.report(gateway.now).breaker), (5, Breaker::Open));
    let Step::Wait(wait) = gateway.next() else { panic!("open, nothing is sent") };
    gateway.pass(wait);
    assert_eq!(gateway.courier.report(gateway.now).breaker, Breaker::HalfOpen);
    let Step::Send(probe) = gateway.next() else { panic!("half open, a probe is sent") };
    assert!(probe.range.is_none());
    let answer = model.take(&probe.body, gateway.now);
    gateway.answered(answer, 0.5);
    assert_eq!(gateway.courier.report(gateway.now).breaker, Breaker::Closed);
    gateway.drain(&mut model);
    audit(&gateway, &model).unwrap();
}

#[test]
fn without_admission_it_asks_rarely_and_new_certificates_end_the_wait() {
    let mut gateway = with_entries(2, 3);
    let Step::Send(_) = gateway.next() else { panic!("there is something to send") };
    gateway.answered(Answer::Unwelcome { reason: "403 enroll".into(), after: None }, 0.0);
    let Step::Wait(wait) = gateway.next() else { panic!("not at once again") };
    assert!(wait >= Duration::from_secs(30));
    assert!(gateway.courier.report(gateway.now).trouble.contains("enroll"));
    gateway.courier.try_now();
    assert!(matches!(gateway.next(), Step::Send(_)));
}

#[test]
fn a_collector_that_was_set_back_gets_again_what_it_wants() {
    let mut gateway = with_entries(3, 200);
    let mut model = Model::default();
    gateway.append(URGENT, vec![window("press", "u", 1, 1)]);
    let backup = model.stored.clone();
    gateway.drain(&mut model);
    gateway.restart(false);
    gateway.append(DATA, vec![window("press", "t", 900_000_000, 5)]);
    gateway.drain(&mut model);
    model.stored = backup;
    gateway.pass(Duration::from_secs(5));
    gateway.step_well(&mut model, Duration::from_millis(5));
    gateway.drain(&mut model);
    audit(&gateway, &model).unwrap();
}

#[test]
fn a_collector_that_always_wants_everything_again_stops_nothing() {
    let mut gateway = with_entries(4, 100);
    let mut model = Model::default();
    gateway.drain(&mut model);
    let stream = *model.stored.marks.keys().next().unwrap();
    let (mut sent, begun) = (0, gateway.now.mono_us);
    while gateway.now.mono_us - begun < 300_000_000 {
        match gateway.next() {
            Step::Send(request) => {
                sent += u64::from(request.range.is_some());
                gateway.pass(Duration::from_millis(5));
                let Answer::Ack(mut ack) = model.take(&request.body, gateway.now) else { panic!("it answers") };
                ack.wants = vec![protocol::Want { stream, from: 1 }];
                gateway.answered(Answer::Ack(ack), 0.5);
            }
            Step::Wait(wait) => gateway.pass(wait),
            Step::Idle => gateway.pass(Duration::from_secs(1)),
        }
    }
    assert!((2..=20).contains(&sent), "{sent} batches in five minutes");
}

#[test]
fn an_entry_that_can_not_be_read_is_told_in_its_place_once() {
    let mut found = 0;
    for seed in 0..60 {
        let mut gateway = with_entries(seed, 40);
        let mut model = Model::default();
        gateway.disk.kill();
        gateway.disk.flip_byte();
        gateway.reopen();
        gateway.drain(&mut model);
        let mut missing = 0;
        for (key, (records, readings)) in &gateway.appended {
            match model.stored.entries.get(key) {
                Some(stored) if stored == records => {}
                Some(stored) => {
                    let [Record::Loss(loss)] = stored.as_slice() else { panic!("seed {seed}: {stored:?}") };
                    assert_eq!((loss.reason, loss.count), (LossReason::SpoolCorrupt, *readings), "seed {seed}");
                    found += 1;
                }
                None => missing += 1,
            }
        }
        assert!(
            missing <= gateway.salvaged_lost,
            "seed {seed}: {missing} are neither stored nor told, {} were lost",
            gateway.salvaged_lost
        );
    }
    assert!(found >= 10, "{found} entries were hit");
}

#[test]
fn a_spool_that_can_not_be_read_for_a_while_loses_nothing() {
    let mut gateway = with_entries(7, 100);
    let mut model = Model::default();
    gateway.disk.set_faults(Faults { read: 300, ..Faults::default() });
    for _ in 0..200 {
        gateway.step_well(&mut model, Duration::from_millis(5));
    }
    gateway.disk.set_faults(Faults::default());
    gateway.drain(&mut model);
    audit(&gateway, &model).unwrap();
}

#[test]
fn a_long_hold_is_obeyed_by_everything() {
    let mut gateway = with_entries(8, 100);
    let mut model = Model { hold_ms: 3_000, ..Model::default() };
    gateway.drain(&mut model);
    let pairs: Vec<u64> = model.arrivals.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(!pairs.is_empty() && pairs.iter().all(|gap| *gap >= 3_000_000), "{pairs:?}");
}
