//! The embedded broker: every message that a publisher got a PUBACK for is in a summary or in a counted loss.

use gateway::{app::Tuning, inbox::LaneLimits};
use protocol::LossReason;

use crate::{
    fake_collector::Pki,
    fixture::{BROKER, Fixture, JSON_TOPIC, QUICK, broker_of, drained, eventually, source},
    publisher::{Publisher, numbered, padded, sequenced},
};

fn plain() -> String {
    format!("{BROKER}{JSON_TOPIC}{QUICK}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_100_000_acknowledged_messages_is_stored_to_the_last_one() {
    const COUNT: u64 = 100_000;
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&plain()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    assert_eq!(publisher.publish(padded(COUNT, 200)).await, COUNT);
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!((taken.readings(), taken.lost_total()), (COUNT, 0));
        let sum: f64 = taken.windows().map(|window| window.mean * window.count as f64).sum();
        let expected = (COUNT * (COUNT - 1) / 2) as f64;
        assert!((sum - expected).abs() < 1e-6 * expected, "each message once: {sum} != {expected}");
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_publishers_of_large_messages_are_held_back_and_lose_nothing() {
    const EACH: u64 = 5_000;
    let fixture = Fixture::with_collector().await;
    // A lane that fills up at once, and segments that could not hold a quarter of the burst: only holding publishers back saves it.
    let tuning = Tuning {
        broker_lane: LaneLimits { items: 1000, bytes: 1 << 20 },
        segments: Some((1 << 20, 4)),
        hold_publishers: true,
        ..Tuning::default()
    };
    let app = fixture.start_tuned(&plain(), tuning).await;
    let address = broker_of(&app);
    let publishers =
        (0..4).map(|i| tokio::spawn(async move { Publisher::new(&format!("press-{i}"), address).publish(padded(EACH, 1000)).await }));
    let mut acknowledged = 0;
    for publisher in publishers.collect::<Vec<_>>() {
        acknowledged += publisher.await.unwrap();
    }
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!((taken.readings(), taken.lost_total()), (acknowledged, 0));
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_overrun_lose_messages_but_the_books_balance_exactly() {
    const COUNT: u64 = 60_000;
    let fixture = Fixture::with_collector().await;
    let tuning = Tuning {
        broker_lane: LaneLimits { items: 100, bytes: 64 << 10 },
        segments: Some((16 << 10, 2)),
        hold_publishers: false,
        ..Tuning::default()
    };
    let app = fixture.start_tuned(&plain(), tuning).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    assert_eq!(publisher.publish(padded(COUNT, 1000)).await, COUNT);
    // A jump is seen at the next message that gets through.
    assert_eq!(publisher.publish(numbered(1)).await, 1);
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        let overrun = taken.lost(LossReason::BrokerOverrun);
        assert!(overrun > 0, "this test must provoke an overrun to show anything");
        assert_eq!(taken.readings() + overrun, COUNT + 1);
        assert_eq!(taken.lost_total(), overrun);
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_loses_no_acknowledged_message_and_the_next_start_goes_on() {
    let fixture = Fixture::with_collector().await;
    // Windows far longer than the run: what is open stays in the checkpoint.
    let config = format!(
        "{BROKER}[[topic]]\ntemplate = \"{{site}}/{{area}}/{{line}}/{{machine}}/telemetry\"\nsequence = \"seq\"\nsession = \"session\"\n\
         [window]\nlength = \"3s\"\nallowed_lateness = \"0s\"\nidle_grace = \"100ms\"\n"
    );
    let app = fixture.start(&config).await;
    assert_eq!(Publisher::new("press-1", broker_of(&app)).publish(sequenced("s1", 1, 500)).await, 500);
    app.stop().await.unwrap();
    let app = fixture.start(&config).await;
    assert_eq!(Publisher::new("press-1", broker_of(&app)).publish(sequenced("s1", 501, 500)).await, 500);
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!(taken.readings(), 2 * 1000);
        assert_eq!(taken.losses().count(), 0, "{:?}", taken.losses().collect::<Vec<_>>());
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_users_may_publish() {
    let fixture = Fixture::with_collector().await;
    let users = fixture.dir.path().join("users");
    std::fs::write(&users, "press:s3cret\n").unwrap();
    let app = fixture.start(&format!("[broker]\nlisten = \"127.0.0.1:0\"\nusers_file = {users:?}\n{JSON_TOPIC}{QUICK}")).await;
    let broker = broker_of(&app);
    assert!(Publisher::with_login("a", broker, "press", "s3cret").is_admitted().await);
    assert!(!Publisher::with_login("b", broker, "press", "wrong").is_admitted().await);
    assert!(!Publisher::new("c", broker).is_admitted().await);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_only_a_client_with_a_certificate_of_the_ca_publishes() {
    let fixture = Fixture::with_collector().await;
    let machines = Pki::new();
    let path = |name: &str| fixture.dir.path().join(name);
    let (certificate, key) = machines.leaf("broker");
    std::fs::write(path("broker.crt"), certificate).unwrap();
    std::fs::write(path("broker.key"), key.serialize_pem()).unwrap();
    std::fs::write(path("machines.crt"), machines.ca_pem()).unwrap();
    let broker = format!(
        "[broker]\ntls_listen = \"127.0.0.1:0\"\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n",
        path("broker.crt"),
        path("broker.key"),
        path("machines.crt")
    );
    let app = fixture.start(&format!("{broker}{JSON_TOPIC}{QUICK}")).await;
    let address = app.broker_tls_listen.unwrap();
    assert!(!Publisher::over_tls("nobody", address, &machines, None).is_admitted().await);
    let stranger = Pki::new();
    assert!(!Publisher::over_tls("stranger", address, &machines, Some(stranger.leaf("press-1"))).is_admitted().await);
    let mut machine = Publisher::over_tls("press-1", address, &machines, Some(machines.leaf("press-1")));
    assert_eq!(machine.publish(numbered(100)).await, 100);
    drained(&app).await;
    assert_eq!(fixture.collector().taken().readings(), 100);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_payloads_and_topics_are_counted_and_the_rest_goes_on() {
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&plain()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    let topic = || crate::publisher::TOPIC.to_owned();
    let bad = vec![
        (topic(), b"{\"n\":".to_vec()),
        (topic(), b"\xff\xfe".to_vec()),
        (topic(), b"{\"n\":1e999}".to_vec()),
        ("somebody/else".to_owned(), b"{\"n\":1}".to_vec()),
        // rumqttd would acknowledge this one and pass it to nobody ...
        ("$machine/1".to_owned(), b"{\"n\":1}".to_vec()),
        // ... and panic on this one.
        ("\u{fc}ber/1".to_owned(), b"{\"n\":1}".to_vec()),
        (topic(), b"{\"n\":7}".to_vec()),
    ];
    publisher.publish(bad).await;
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!(taken.readings(), 1);
        assert_eq!(taken.lost(LossReason::Unmatched), 3);
        assert_eq!(taken.lost(LossReason::Malformed) + taken.lost(LossReason::NotFinite), 3, "{:?}", taken.losses().collect::<Vec<_>>());
    }
    let view = app.board.view();
    assert!(view.healthy && source(&view, "broker").connected);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_of_10_mib_is_refused_and_counted_and_disturbs_nobody() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let fixture = Fixture::with_collector().await;
    let app = fixture.start(&plain()).await;
    let broker = broker_of(&app);
    let mut other = Publisher::new("press-2", broker);
    assert_eq!(other.publish(numbered(10)).await, 10);

    let mut stream = tokio::net::TcpStream::connect(broker).await.unwrap();
    // CONNECT "giant", keep alive 60 s, clean session.
    stream.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05giant").await.unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.unwrap();
    // PUBLISH of 10 MiB, QoS 0: the broker closes the connection somewhere on the way.
    let _ = stream.write_all(b"\x30\x80\x80\x80\x05\x00\x03a/b").await;
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..10 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    eventually("the broker closes the connection", || matches!(stream.try_read(&mut [0; 64]), Ok(0) | Err(_))).await;
    drop(stream);

    assert_eq!(other.publish(numbered(10)).await, 10, "the other client's connection is as it was");
    let board = app.board.clone();
    eventually("the drop is counted", || board.view().losses.get("too_large") == Some(&1)).await;
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!((taken.readings(), taken.lost(LossReason::TooLarge)), (20, 1));
    }
    app.stop().await.unwrap();
}
