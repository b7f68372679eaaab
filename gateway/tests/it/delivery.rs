//! From the spool to the collector: nothing is deleted before it is taken, nothing is taken twice, and a bad answer stops nothing for good.

use std::{sync::Arc, time::Duration};

use gateway::{
    app::{App, Tuning},
    shutdown::Shutdown,
};
use protocol::LossReason;

use crate::{
    fake_collector::Answer,
    fixture::{BROKER, Fixture, JSON_TOPIC, QUICK, broker_of, data_dir, drained, eventually},
    publisher::{Publisher, numbered},
};

fn plain() -> String {
    format!("{BROKER}{JSON_TOPIC}{QUICK}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_reaches_the_collector_and_leaves_the_spool() {
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&plain()).await;
    Publisher::new("press-1", broker_of(&app)).publish(numbered(100)).await;
    drained(&app).await;
    let board = app.board.clone();
    let collector = fixture.collector();
    eventually("a heartbeat tells that all is delivered", || {
        let taken = collector.taken();
        taken.last_batch.as_ref().is_some_and(|batch| batch.range.is_none() && batch.status.readings_total == 100)
    })
    .await;
    let view = board.view();
    assert!(view.connected && view.healthy && view.backlog_entries == 0);
    assert_eq!((view.readings_total, view.dropped_total), (100, 0));
    {
        let taken = collector.taken();
        assert_eq!(taken.readings(), 100);
        assert!(taken.content_types.iter().all(|kind| kind == "application/vnd.millrace.batch"));
        let status = &taken.last_batch.as_ref().unwrap().status;
        assert_eq!((status.backlog_entries, status.signals, status.sources.len()), (0, 1, 1));
        assert!(status.sources[0].connected && status.sources[0].last_data_at.is_some());
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missing_after_the_collector_was_away() {
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&plain()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    publisher.publish(numbered(100)).await;
    drained(&app).await;
    fixture.collector().go_down();
    for _ in 0..3 {
        publisher.publish(numbered(100)).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    let board = app.board.clone();
    eventually("the backlog grows while the collector is away", || board.view().backlog_entries > 0 && !board.view().connected).await;
    assert!(board.view().healthy, "an absent collector is what a gateway is for");
    fixture.collector().come_up().await;
    drained(&app).await;
    assert_eq!(fixture.collector().taken().readings(), 400);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_and_buffers_without_any_collector_and_without_a_certificate() {
    let fixture = Fixture::with_collector().await;
    std::fs::remove_dir_all(data_dir(fixture.dir.path()).join("pki")).unwrap();
    let app = fixture.start(&plain()).await;
    Publisher::new("press-1", broker_of(&app)).publish(numbered(50)).await;
    let board = app.board.clone();
    eventually("it says that it has to be enrolled", || {
        let view = board.view();
        view.upload_trouble.contains("enroll") && view.backlog_entries > 0
    })
    .await;
    app.stop().await.unwrap();
    assert_eq!(fixture.collector().taken().requests.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured() {
    let fixture = Fixture::with_collector().await;
    fixture.collector().script([Answer::Status(503, Some(2)), Answer::Status(429, Some(1))]);
    let app = fixture.start(&plain()).await;
    Publisher::new("press-1", broker_of(&app)).publish(numbered(10)).await;
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!(taken.readings(), 10);
        let refused = taken.requests.windows(2).filter(|pair| pair[1] - pair[0] >= Duration::from_secs(1)).count();
        assert!(refused >= 2, "two answers asked for a wait: {:?}", taken.requests);
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_collector_answers_is_tried_again_and_stored_once() {
    let fixture = Fixture::with_collector().await;
    let script = [
        Answer::Status(500, None),
        Answer::TakenButLost,
        Answer::Garbage,
        Answer::Gap(None),
        Answer::Gap(Some(1)),
        Answer::Status(404, None),
    ];
    fixture.collector().script(script);
    let app = fixture.start(&plain()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    for _ in 0..3 {
        publisher.publish(numbered(50)).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert!(taken.script.is_empty(), "not all of the script was played: {:?}", taken.script);
        assert_eq!((taken.readings(), taken.lost_total()), (150, 0));
        assert!(taken.repeated >= 1, "the batch whose answer was lost is sent again and told apart");
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_entry_is_set_aside_and_counted_and_the_rest_is_delivered() {
    let fixture = Fixture::with_collector().await;
    fixture.collector().taken().poison_machine = Some("press-13".into());
    fixture.collector().go_down();
    let app = fixture.start(&plain()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    for round in 0..3 {
        publisher.publish(numbered(20)).await;
        if round == 1 {
            let poison = (0..7).map(|n| ("plant1/press-shop/line1/press-13/telemetry".to_owned(), format!("{{\"n\":{n}}}").into_bytes()));
            publisher.publish(poison.collect::<Vec<_>>()).await;
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let board = app.board.clone();
    eventually("several entries wait", || board.view().backlog_entries >= 3).await;
    fixture.collector().come_up().await;
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        // The poisoned window may share its entry with others of the same commit: together they are all accounted for.
        let rejected = taken.lost(LossReason::Rejected);
        assert!(rejected >= 7, "{:?}", taken.losses().collect::<Vec<_>>());
        assert_eq!(taken.readings() + rejected, 67);
        assert!(taken.readings() >= 40, "entries without poison are delivered");
    }
    let set_aside = std::fs::read_dir(data_dir(fixture.dir.path()).join("dead-letter")).unwrap().count();
    assert!(set_aside >= 1);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_takes_no_batch_of_this_version_costs_nothing() {
    let fixture = Fixture::with_collector().await;
    // Refuses every batch; the heartbeat that follows is refused as well, so nothing is poison.
    let app = {
        let collector = fixture.collector();
        collector.go_down();
        fixture.start(&plain()).await
    };
    Publisher::new("press-1", broker_of(&app)).publish(numbered(10)).await;
    let refusing = refuse_everything(fixture.collector()).await;
    let board = app.board.clone();
    eventually("it says so", || board.view().upload_trouble.contains("version")).await;
    assert!(board.view().backlog_entries > 0);
    assert!(!data_dir(fixture.dir.path()).join("dead-letter").exists());
    refusing.store(false, std::sync::atomic::Ordering::SeqCst);
    drained(&app).await;
    assert_eq!(fixture.collector().taken().readings(), 10);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_stops_no_sampling_and_what_it_costs_is_counted() {
    const MACHINES: usize = 20;
    const SIGNALS: usize = 200;
    let fixture = Fixture::with_collector().await;
    fixture.collector().go_down();
    let quick = "[window]\nlength = \"100ms\"\nallowed_lateness = \"100ms\"\nidle_grace = \"100ms\"\n";
    let mut config = fixture.config(&format!("{BROKER}{JSON_TOPIC}{quick}"));
    config.spool.max_bytes = 2 << 20;
    config.limits.max_pending_records = 8_000;
    let app = App::start(config, Tuning::default(), Arc::new(Shutdown::default())).await.unwrap();
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    let board = app.board.clone();
    let mut messages = 0;
    let full = || board.view().losses.get("spool_full").is_some_and(|count| *count > 0);
    while !full() && messages < 400 * MACHINES {
        let round = (0..MACHINES).map(|machine| {
            let fields: Vec<String> = (0..SIGNALS).map(|signal| format!("\"s{signal}\":{}", rand::random::<f64>())).collect();
            (format!("plant1/press-shop/line1/press-{machine}/telemetry"), format!("{{{}}}", fields.join(",")).into_bytes())
        });
        publisher.publish(round.collect::<Vec<_>>()).await;
        messages += MACHINES;
    }
    assert!(full(), "the spool never filled up");
    fixture.collector().come_up().await;
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        let lost = taken.lost(LossReason::SpoolFull) + taken.lost(LossReason::QueueFull);
        assert!(taken.lost(LossReason::SpoolFull) > 0);
        assert_eq!(taken.readings() + lost, (messages * SIGNALS) as u64);
    }
    app.stop().await.unwrap();
}

async fn refuse_everything(collector: &crate::fake_collector::FakeCollector) -> std::sync::Arc<std::sync::atomic::AtomicBool> {
    let flag = collector.refuse_all();
    collector.come_up().await;
    flag
}
