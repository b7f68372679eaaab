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
    let repeated = play([Answer::Status(500, None), Answer::TakenButLost, Answer::Garbage, Answer::Half]).await;
    assert!(repeated >= 1, "the batch whose answer was lost is sent again and told apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_collector_asks_for_in_vain_is_tried_again_and_stored_once() {
    play([Answer::Gap(None), Answer::Gap(Some(1)), Answer::Status(404, None), Answer::OtherStream, Answer::Beyond]).await;
}

/// Delivers to a collector that answers by this script first; returns how many records came again. Waits grow with each bad answer, so scripts
/// are short.
async fn play<const N: usize>(script: [Answer; N]) -> u64 {
    let fixture = Fixture::with_collector().await;
    fixture.collector().script(script);
    let app = fixture.start(&plain()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    // The breaker sends heartbeats after five failures: until all of the script was played.
    let mut sent = 0;
    while sent < 150 || !fixture.collector().taken().script.is_empty() {
        publisher.publish(numbered(50)).await;
        sent += 50;
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    drained(&app).await;
    let repeated = {
        let taken = fixture.collector().taken();
        assert!(taken.script.is_empty(), "not all of the script was played: {:?}", taken.script);
        assert_eq!((taken.readings(), taken.lost_total()), (sent, 0));
        taken.repeated
    };
    app.stop().await.unwrap();
    repeated
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
    let folder = data_dir(fixture.dir.path()).join("dead-letter");
    let notes: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.extension().unwrap() == "json").collect();
    assert!(!notes.is_empty());
    let note: serde_json::Value = serde_json::from_slice(&std::fs::read(&notes[0]).unwrap()).unwrap();
    assert!(note["why"].as_str().unwrap().contains("400") && notes[0].with_extension("entry").exists(), "{note}");
    assert_eq!(board.view().upload.dead_letters_total, notes.len() as u64);
    eventually("the loss is counted here too", || board.view().losses.get("rejected").is_some_and(|count| *count >= 7)).await;
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
    let board = app.board.clone();
    eventually("there is something to send", || board.view().backlog_entries > 0).await;
    let refusing = refuse_everything(fixture.collector()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_is_given_up_and_asked_again() {
    let fixture = Fixture::with_collector().await;
    fixture.collector().script([Answer::Hang(Duration::from_secs(30))]);
    let mut config = fixture.config(&plain());
    config.collector.as_mut().unwrap().timeout = Duration::from_secs(1);
    let app = App::start(config, Tuning::default(), Arc::new(Shutdown::default())).await.unwrap();
    Publisher::new("press-1", broker_of(&app)).publish(numbered(10)).await;
    let begun = std::time::Instant::now();
    drained(&app).await;
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!(fixture.collector().taken().readings(), 10);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_told_and_sampling_goes_on() {
    let fixture = Fixture::with_collector().await;
    let mut config = fixture.config(&plain());
    config.collector.as_mut().unwrap().url = "https://collector.invalid:8443".into();
    let app = App::start(config, Tuning::default(), Arc::new(Shutdown::default())).await.unwrap();
    Publisher::new("press-1", broker_of(&app)).publish(numbered(10)).await;
    let board = app.board.clone();
    eventually("it says so and keeps the data", || {
        let view = board.view();
        view.upload_trouble.contains("no connection") && view.backlog_entries > 0 && view.readings_total == 10 && view.healthy
    })
    .await;
    eventually("the breaker opens", || board.view().upload.breaker != "closed").await;
    assert!(board.view().upload.last_error_at.is_some() && !board.view().connected);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_the_ca_change_while_it_runs() {
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&plain()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    publisher.publish(numbered(10)).await;
    drained(&app).await;
    let (board, collector) = (app.board.clone(), fixture.collector());
    let pki = data_dir(fixture.dir.path()).join("pki");

    // Half of a new pair is there: what works stays, and that is said.
    let (certificate, key) = collector.pki().leaf("press-gw1");
    std::fs::write(pki.join("gateway.crt"), &certificate).unwrap();
    eventually("it complains and stays connected", || {
        board.view().upload_trouble.contains("certificates of before") && board.view().connected
    })
    .await;
    publisher.publish(numbered(10)).await;
    drained(&app).await;
    assert_eq!(collector.taken().readings(), 20);
    std::fs::write(pki.join("gateway.key"), key.serialize_pem()).unwrap();
    eventually("the new pair is taken", || board.view().upload_trouble.is_empty()).await;
    publisher.publish(numbered(10)).await;
    drained(&app).await;
    assert_eq!(collector.taken().readings(), 30);

    // The plant gets another CA: first the collector, then this gateway.
    collector.go_down();
    let renewed = collector.renew_ca();
    collector.come_up().await;
    eventually("it does not trust the new one", || !board.view().connected).await;
    publisher.publish(numbered(10)).await;
    renewed.enroll(&data_dir(fixture.dir.path()), "press-gw1");
    drained(&app).await;
    assert_eq!(collector.taken().readings(), 40);
    assert_eq!(board.view().dropped_total, 0);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gathered_is_sent_as_a_backlog_and_live_data_before_it() {
    let fixture = Fixture::with_collector().await;
    fixture.collector().go_down();
    let mut publisher;
    // Three runs without a collector, each a generation.
    for _ in 0..2 {
        let app = fixture.start(&plain()).await;
        publisher = Publisher::new("press-1", broker_of(&app));
        publisher.publish(numbered(20)).await;
        let board = app.board.clone();
        let stored = || {
            let view = board.view();
            view.readings_total == 20 && view.open_windows == 0 && view.uncommitted_records == 0
        };
        eventually("it is in the spool", stored).await;
        app.stop().await.unwrap();
    }
    let app = fixture.start(&plain()).await;
    fixture.collector().taken().catch_up_hold_ms = 1_500;
    fixture.collector().come_up().await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    let board = app.board.clone();
    eventually("it is connected", || board.view().connected).await;
    publisher.publish(numbered(20)).await;
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!((taken.readings(), taken.lost_total()), (60, 0));
        assert!(taken.ranges.iter().filter(|(.., catch_up)| *catch_up).count() >= 2, "{:?}", taken.ranges);
    }
    app.stop().await.unwrap();
}

async fn refuse_everything(collector: &crate::fake_collector::FakeCollector) -> std::sync::Arc<std::sync::atomic::AtomicBool> {
    let flag = collector.refuse_all();
    collector.come_up().await;
    flag
}
