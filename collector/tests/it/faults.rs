//! Bad input and failing parts: each is told, counted, and stops nobody else.

use protocol::{Ack, Loss, LossReason, Record, StampedRecord, Timestamp, codec};
use reqwest::StatusCode;

use crate::plant::{NEVER_COMMIT, Site, eventually, stored};

#[tokio::test]
async fn a_garbage_batch_is_refused_and_kept_and_the_next_one_is_taken() {
    let site = Site::new("max_quarantined = 2\n[lake]\ncommit_interval = \"1h\"\n").await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    let good = codec::encode_batch(&gateway.batch(1, 3, 1)).expect("encoded");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    for bad in [b"garbage".to_vec(), Vec::new(), flipped, good[..good.len() - 3].to_vec()] {
        let answer = gateway.post(bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.problem);
        assert_eq!(answer.problem["title"], "The body is no valid batch");
    }
    let mut outside = gateway.batch(1, 3, 1);
    outside.records[2].seq = 9;
    // The codec may be the first to notice.
    if let Ok(bytes) = codec::encode_batch(&outside) {
        assert_eq!(gateway.post(bytes).await.status, StatusCode::BAD_REQUEST);
    }
    let kept = std::fs::read_dir(site.data_dir().join("quarantine")).expect("there").count();
    assert_eq!(kept, 2, "as many as are to be kept");
    assert!(collector.app.tally.of(&gateway.name).rejected_batches >= 4);
    assert_eq!(gateway.post(good).await.acked(), Ack::Stored);
    assert_eq!(stored(&collector, &gateway.name).await, (3, 3));
    let text = collector.app.metrics.render();
    assert!(text.contains("millrace_collector_batches_total{outcome=\"undecodable\"}"), "{text}");
    collector.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let site = Site::new("max_batch = \"64 KiB\"\n").await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    // The server may close the connection while the body is still on its way: then there is no answer to read.
    if let Ok(answer) = gateway.try_post(vec![0; 10 << 20]).await {
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(gateway.post(vec![0; (64 << 10) + 1]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(gateway.send(1, 1).await.acked(), Ack::Stored);
    collector.stop().await;
}

/// A batch of one entry that does not get smaller by encoding.
fn bulky(gateway: &crate::plant::Gateway, seq: u64) -> protocol::Batch {
    let detail: String = (0..700 << 10).map(|_| char::from(rand::random_range(b'!'..=b'~'))).collect();
    let loss = Loss { asset: None, signal: None, reason: LossReason::Malformed, count: 1, from: Timestamp(1), to: Timestamp(2), detail };
    let mut batch = gateway.batch(seq, seq, 1);
    batch.records = vec![StampedRecord { seq, record: Record::Loss(loss) }];
    batch
}

#[tokio::test]
async fn a_full_journal_holds_gateways_off_and_takes_the_rest_after_a_commit() {
    let site = Site::new(&format!("{NEVER_COMMIT}[journal]\nmax_size = \"16 MiB\"\n")).await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    let mut seq = 1;
    let answer = loop {
        let answer = gateway.deliver(&bulky(&gateway, seq)).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        seq += 1;
        assert!(seq < 100, "the journal is bounded");
    };
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.problem);
    assert!(answer.retry_after.is_some_and(|seconds| seconds > 0));
    assert!(!collector.app.health.is_ready());
    collector.stop().await;

    let collector = site.start().await;
    let gateway = crate::plant::Gateway { port: collector.uplink_address.port(), ..gateway };
    assert_eq!(gateway.deliver(&bulky(&gateway, seq)).await.acked(), Ack::Stored, "the last commit made room");
    assert_eq!(gateway.deliver(&bulky(&gateway, seq - 1)).await.acked(), Ack::Duplicate);
    collector.stop().await;
}

#[tokio::test]
async fn while_the_lake_fails_batches_are_taken_and_nothing_is_missing_when_it_works_again() {
    let site = Site::new("[lake]\ncommit_interval = \"100ms\"\n").await;
    let collector = site.start().await;
    let gateway = site.gateway("press-gw1", collector.uplink_address.port()).await;
    gateway.send(1, 2).await;
    eventually("a commit", async || collector.app.lake.hot_rows() == 0).await;
    let (lake, aside) = (site.data_dir().join("lake"), site.data_dir().join("lake-aside"));
    std::fs::rename(&lake, &aside).expect("moved");
    std::fs::write(&lake, "not a folder").expect("written");
    assert_eq!(gateway.send(3, 4).await.acked(), Ack::Stored);
    eventually("the fault", async || !collector.app.health.is_ready()).await;
    assert_eq!(gateway.send(5, 6).await.acked(), Ack::Stored, "the journal keeps");
    std::fs::remove_file(&lake).expect("removed");
    std::fs::rename(&aside, &lake).expect("moved back");
    collector.stop().await;

    let collector = site.start().await;
    assert_eq!(stored(&collector, &gateway.name).await, (6, 6));
    collector.stop().await;
}
