//! What becomes of batches: each row is stored once, whatever is sent.

use protocol::{Ack, StreamId};
use reqwest::StatusCode;

use crate::plant::{NEVER_COMMIT, Site, eventually, number, stored};

#[tokio::test]
async fn a_batch_that_comes_twice_is_acknowledged_as_a_duplicate_and_stored_once() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    let first = gateway.send(1, 5).await;
    assert_eq!((first.acked(), first.ack.expect("acked").acked_through), (Ack::Stored, Some(5)));
    let again = gateway.send(1, 5).await;
    assert_eq!((again.acked(), again.ack.expect("acked").acked_through), (Ack::Duplicate, Some(5)));
    assert_eq!(gateway.send(3, 8).await.acked(), Ack::Stored, "an overlap brings its new part");
    assert_eq!(stored(&collector, &gateway.name).await, (8, 8));
    let tally = collector.app.tally.of(&gateway.name);
    assert_eq!((tally.batches, tally.duplicate_batches, tally.readings_stored), (2, 1, 80));
    collector.stop().await;
}

#[tokio::test]
async fn a_gap_is_sent_back_until_the_gateway_says_that_it_can_not_be_filled() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    gateway.send(1, 2).await;
    let gap = gateway.deliver(&gateway.batch(5, 6, 3)).await;
    assert_eq!(gap.acked(), Ack::Gap { expected: 3 });
    assert_eq!(stored(&collector, &gateway.name).await, (2, 2), "nothing of it was stored");
    assert_eq!(gateway.deliver(&gateway.batch(5, 6, 5)).await.acked(), Ack::Stored);
    assert_eq!(stored(&collector, &gateway.name).await, (4, 4));
    let sql = "SELECT count(*) FROM losses WHERE reason = 'stream_gap' AND gateway = 'press-gw1' AND detail LIKE 'entries 3..4 %'";
    assert_eq!(number(&collector, sql).await, 1);
    collector.stop().await;
}

#[tokio::test]
async fn a_new_stream_begins_with_one_and_what_was_lost_of_it_is_booked() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let mut gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    gateway.send(1, 2).await;
    gateway.stream = StreamId(gateway.stream.0 ^ 1);
    assert_eq!(gateway.deliver(&gateway.batch(4, 4, 1)).await.acked(), Ack::Gap { expected: 1 });
    assert_eq!(gateway.deliver(&gateway.batch(4, 4, 4)).await.acked(), Ack::Stored);
    assert_eq!(number(&collector, "SELECT count(*) FROM losses WHERE reason = 'stream_gap' AND detail LIKE 'entries 1..3 %'").await, 1);
    collector.stop().await;
}

#[tokio::test]
async fn a_heartbeat_tells_how_the_gateway_is_and_stores_nothing() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    let answer = gateway.deliver(&gateway.heartbeat()).await;
    assert_eq!((answer.acked(), answer.ack.expect("acked").acked_through), (Ack::Heartbeat, None));
    gateway.send(1, 4).await;
    assert_eq!(gateway.deliver(&gateway.heartbeat()).await.ack.expect("acked").acked_through, Some(4));
    assert!(collector.app.tally.of(&gateway.name).last_seen.is_some());
    assert!(collector.app.twin.gateway(&gateway.name).is_some_and(|state| state.status.is_some()));
    collector.stop().await;
}

#[tokio::test]
async fn requests_that_race_store_each_sequence_once() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let port = collector.uplink_address.port();
    let mut senders = tokio::task::JoinSet::new();
    for name in ["gw-a", "gw-b", "gw-c"] {
        let gateway = site.gateway(name, port).await;
        // Four connections of the same gateway, all sending the same ranges, each at its own pace.
        for worker in 0..4u64 {
            let gateway = gateway.clone();
            senders.spawn(async move {
                let (mut next, mut step) = (1u64, worker);
                while next <= 60 {
                    step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let last = (next + 1 + step % 7).min(60);
                    let answer = gateway.send(next.saturating_sub(step % 3).max(1), last).await;
                    match answer.acked() {
                        Ack::Stored | Ack::Duplicate => next = answer.ack.expect("acked").acked_through.expect("known") + 1,
                        Ack::Gap { expected } => next = expected,
                        Ack::Heartbeat => unreachable!("it has a range"),
                    }
                }
            });
        }
    }
    senders.join_all().await;
    for name in ["gw-a", "gw-b", "gw-c"] {
        assert_eq!(stored(&collector, &crate::plant::id(name)).await, (60, 60), "{name}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn what_was_committed_is_still_known_after_a_restart() {
    let site = Site::new("").await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    gateway.send(1, 7).await;
    // An entry without rows: only the streams table knows of it after a restart.
    let mut empty = gateway.batch(8, 8, 1);
    empty.records.clear();
    assert_eq!(gateway.deliver(&empty).await.acked(), Ack::Stored);
    assert!(collector.stop().await, "everything is in the lake");

    let collector = site.start().await;
    let gateway = crate::plant::Gateway { port: collector.uplink_address.port(), ..gateway };
    assert_eq!(collector.app.lake.hot_rows(), 0, "nothing was left in the journal");
    assert!(collector.app.store.gateways().await.expect("listed")[0].last_seen.is_some(), "when it was seen was written down");
    assert_eq!(gateway.send(1, 7).await.acked(), Ack::Duplicate);
    assert_eq!(gateway.deliver(&gateway.batch(9, 9, 9)).await.acked(), Ack::Stored);
    assert_eq!(stored(&collector, &gateway.name).await, (8, 8));
    assert_eq!(number(&collector, "SELECT count(*) FROM losses").await, 0, "the empty entry is not missed");
    collector.stop().await;
}

#[tokio::test]
async fn rows_reach_the_files_by_themselves_and_the_journal_lets_go() {
    let site = Site::new("[lake]\ncommit_interval = \"200ms\"\ncompact_every = 2\n").await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    for seq in 1..=5 {
        gateway.send(seq, seq).await;
        eventually("the commit", async || collector.app.lake.hot_rows() == 0).await;
    }
    assert_eq!(stored(&collector, &gateway.name).await, (5, 5));
    assert_eq!(gateway.send(5, 5).await.acked(), Ack::Duplicate);
    collector.stop().await;
}

#[tokio::test]
async fn another_path_is_answered_with_a_problem_document() {
    let site = Site::new(NEVER_COMMIT).await;
    let collector = site.start().await;
    let url = format!("https://localhost:{}/v2/batches", collector.uplink_address.port());
    let response = site.stranger().get(url).send().await.expect("answered");
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    collector.stop().await;
}
