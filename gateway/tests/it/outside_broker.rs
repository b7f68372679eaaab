//! Subscription to a broker outside of the gateway (here: a second embedded one).

use std::sync::Arc;

use gateway::{
    clock::{Clock, System},
    config::{Config, SourceId},
    inbox::{Inbox, LaneLimits},
    shutdown::Shutdown,
    source::{Feed, mqtt_broker},
};

use crate::{
    fixture::{Fixture, JSON_TOPIC, QUICK, drained, eventually, free_port, source},
    publisher::{Publisher, numbered},
};

/// An outside broker on a given port; its own pipeline end is drained by nobody but is large enough.
fn outside(port: u16) -> (mqtt_broker::Broker, Inbox<gateway::source::Sample>) {
    let inbox = Inbox::new();
    let clock = Arc::new(Clock::open(std::path::Path::new("/nonexistent"), 7, None, System::machine()));
    let feed = Feed::new(SourceId(0), &inbox, LaneLimits { items: 1 << 20, bytes: 1 << 30 }, &clock, &Arc::new(Shutdown::default()));
    let toml = format!("[gateway]\nid = \"outside\"\n[broker]\nlisten = \"127.0.0.1:{port}\"\n{JSON_TOPIC}");
    let config = Config::parse(std::path::Path::new("outside.toml"), &toml, []).unwrap_or_else(|errors| panic!("{errors}"));
    (mqtt_broker::start(mqtt_broker::Settings::new(config.broker.unwrap(), 7), feed).unwrap(), inbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_an_outside_broker_arrive_also_after_it_was_restarted() {
    let fixture = Fixture::with_collector().await;
    let port = free_port();
    let config = format!("[[mqtt_client]]\nname = \"hall\"\nurl = \"mqtt://127.0.0.1:{port}\"\n{JSON_TOPIC}{QUICK}");
    let app = fixture.start(&config).await;
    let board = app.board.clone();
    eventually("it is shown as not connected", || !source(&board.view(), "hall").error.is_empty()).await;

    for round in 1..=2 {
        let (broker, _inbox) = outside(port);
        eventually("it is connected and subscribed", || source(&board.view(), "hall").connected).await;
        Publisher::new("press-1", broker.listen.unwrap()).publish(numbered(500)).await;
        eventually("all messages arrive", || board.view().messages_total == round * 500).await;
        tokio::task::spawn_blocking(move || broker.stop(std::time::Duration::from_secs(5))).await.unwrap();
        eventually("the loss of the connection is seen", || !source(&board.view(), "hall").connected).await;
    }
    drained(&app).await;
    assert_eq!(fixture.collector().taken().readings(), 1000);
    app.stop().await.unwrap();
}
