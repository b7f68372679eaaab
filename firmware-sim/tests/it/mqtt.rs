//! What is published, and what counts as sent, with a broker that misbehaves.

use std::{net::SocketAddr, path::Path, time::Duration};

use firmware_sim::{
    app::{Outcome, Plant},
    config::PlantConfig,
};
use tokio::net::TcpListener;

use crate::{
    broker::{Answer, Broker},
    until, within,
};

/// Messages that take the broker through all of its misbehaviour several times.
const MANY: usize = 300;
const ASSET: &str = "plant1/press-shop/line1/press-1";

fn config(broker: SocketAddr, drain: &str) -> PlantConfig {
    let text = format!(
        "[plant]\npublish_interval = \"20ms\"\ndrain = \"{drain}\"\npace = 10.0\n\
         [[machine]]\nasset = \"{ASSET}\"\nlink = \"mqtt\"\naddress = \"{broker}\"\nideal_cycle_time = \"100ms\"\n"
    );
    PlantConfig::parse(&text).unwrap()
}

async fn start(broker: SocketAddr, drain: &str, folder: &Path) -> Plant {
    Plant::start(&config(broker, drain), 42, &folder.join("truth.jsonl")).await.unwrap()
}

/// Runs until the broker has seen `messages`, and to the end.
async fn run(broker: &Broker, messages: usize) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let plant = start(broker.address, "10s", folder.path()).await;
    until("enough messages", || broker.seen.lock().messages.len() >= messages).await;
    within("the end", plant.finish()).await.unwrap()
}

#[tokio::test]
async fn every_acknowledged_message_counts_and_the_sequence_has_no_hole() {
    let broker = Broker::start(|_| Answer::Acknowledge).await;
    let outcome = run(&broker, 100).await;
    let seen = broker.seen.lock();
    let count = seen.messages.len() as u64;
    assert_eq!(seen.seqs(), (1..=count).collect::<Vec<_>>());
    let summary = &outcome.machines[0];
    assert_eq!((summary.messages, summary.readings), (count, 3 * count));
    assert_eq!((summary.unacknowledged, summary.dropped, outcome.readings), (0, 0, 3 * count));
    assert!(seen.messages.iter().all(|(topic, _)| topic == "plant1/press-shop/line1/press-1/telemetry"));
}

#[tokio::test]
async fn the_first_message_is_zero_and_the_last_one_holds_the_final_counters() {
    let broker = Broker::start(|_| Answer::Acknowledge).await;
    let outcome = run(&broker, 150).await;
    let seen = broker.seen.lock();
    let (first, last) = (&seen.messages[0].1, &seen.messages.last().unwrap().1);
    assert_eq!((first["total"].as_u64(), first["reject"].as_u64(), first["state"].as_str()), (Some(0), Some(0), Some("planned_stop")));
    let balance = outcome.machines[0].balance;
    assert!(balance.produced > 0);
    assert_eq!((last["total"].as_u64(), last["reject"].as_u64()), (Some(balance.produced), Some(balance.rejected)));
    assert_eq!((last["state"].as_str(), last["ts"].as_str()), (Some("planned_stop"), Some(balance.to.to_string().as_str())));
    assert_eq!(seen.messages[1].1["state_since"].as_str(), Some(balance.from.to_string().as_str()), "work begins with a change of state");
}

#[tokio::test]
async fn a_change_of_state_is_told_at_once_with_its_exact_time() {
    let broker = Broker::start(|_| Answer::Acknowledge).await;
    let folder = tempfile::tempdir().unwrap();
    let plant = start(broker.address, "10s", folder.path()).await;
    let changes = || broker.seen.lock().messages.iter().filter(|(_, message)| message["ts"] == message["state_since"]).count();
    until("a few changes of state", || changes() >= 4).await;
    within("the end", plant.finish()).await.unwrap();
    let truth = std::fs::read_to_string(folder.path().join("truth.jsonl")).unwrap();
    let seen = broker.seen.lock();
    let told: Vec<_> =
        truth.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).filter(|line| line["type"] == "state").collect();
    for line in &told {
        let message = seen.messages.iter().find(|(_, message)| message["ts"] == line["at"] && message["state"] == line["state"]);
        assert!(message.is_some_and(|(_, message)| message["stop_reason"] == line["reason"]), "{line}");
    }
    assert!(told.len() >= 4);
}

#[tokio::test]
async fn messages_that_a_broken_connection_left_open_are_sent_again_in_order_and_count_once() {
    // Every connection ends within a dozen messages, in all ways a connection can end. Not so the last one: silence at the very end would stay, since
    // only a lost connection has a message sent again.
    let broker = Broker::start(|index| match index % 37 {
        _ if index >= MANY => Answer::Acknowledge,
        5..=7 => Answer::KeepSilent,
        8 | 20 => Answer::HangUp,
        30 => Answer::AcknowledgeAndHangUp,
        _ => Answer::Acknowledge,
    })
    .await;
    let outcome = run(&broker, MANY).await;
    let seen = broker.seen.lock();
    assert!(seen.connections > 10, "{} connections", seen.connections);
    let mut distinct = seen.seqs();
    distinct.sort_unstable();
    distinct.dedup();
    let count = distinct.len() as u64;
    assert!(seen.messages.len() as u64 > count + 10, "{} messages, {count} distinct: some were sent more than once", seen.messages.len());
    assert_eq!(distinct, (1..=count).collect::<Vec<_>>(), "nothing is missing");
    let summary = &outcome.machines[0];
    assert_eq!((summary.messages, summary.unacknowledged), (count, 0));
    // A number goes down only where a connection was lost, never within one.
    let falls = seen.seqs().windows(2).filter(|pair| pair[1] <= pair[0]).count();
    assert!(falls < seen.connections, "{falls} falls in {} connections", seen.connections);
}

#[tokio::test]
async fn what_was_never_acknowledged_does_not_count() {
    let broker = Broker::start(|index| if index < 40 { Answer::Acknowledge } else { Answer::KeepSilent }).await;
    let folder = tempfile::tempdir().unwrap();
    let plant = start(broker.address, "200ms", folder.path()).await;
    until("messages without an answer", || broker.seen.lock().messages.len() >= 60).await;
    let outcome = within("the end", plant.finish()).await.unwrap();
    let summary = &outcome.machines[0];
    assert_eq!((summary.messages, summary.readings), (40, 120));
    assert!(summary.unacknowledged >= 20);
}

#[tokio::test]
async fn a_machine_makes_nothing_before_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let plant = start(address, "10s", folder.path()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let truth = std::fs::read_to_string(folder.path().join("truth.jsonl")).unwrap();
    assert_eq!(truth.lines().count(), 1, "only the plant's own line: {truth}");
    let broker = Broker::on(TcpListener::bind(address).await.unwrap(), |_| Answer::Acknowledge);
    until("the machine at work", || broker.seen.lock().messages.len() > 20).await;
    within("the end", plant.finish()).await.unwrap();
}

#[tokio::test]
async fn a_plant_that_nobody_listened_to_ends_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let plant = start(address, "100ms", folder.path()).await;
    let outcome = within("the end", plant.finish()).await.unwrap();
    let summary = &outcome.machines[0];
    assert_eq!((summary.messages, summary.unacknowledged, summary.balance.produced), (0, 1, 0));
    assert_eq!((summary.balance.from, summary.balance.oee), (summary.balance.to, None));
    let truth = std::fs::read_to_string(folder.path().join("truth.jsonl")).unwrap();
    assert!(truth.lines().last().unwrap().contains(r#""type":"end","readings":0,"parts":0"#), "{truth}");
}
