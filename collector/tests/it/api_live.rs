//! The WebSocket over a real socket.

use std::{net::SocketAddr, time::Duration};

use collector::{
    api,
    live::{Live, LiveEvent},
};
use futures::{SinkExt, StreamExt};
use protocol::{MachineState, StampedRecord};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};
use tokio_util::sync::CancellationToken;

use crate::api_plant::{PRESS, Plant, SECOND, gateway, state, window};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn serve(plant: &Plant) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = plant.router.clone().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

async fn connect(address: SocketAddr, headers: &[(&'static str, String)]) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

/// The next message of that type; others are passed over.
async fn next(socket: &mut Socket, kind: &str) -> Value {
    let wait = async {
        loop {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] == kind {
                    return message["payload"].clone();
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("no {kind} came"))
}

async fn subscribe(socket: &mut Socket, payload: Value) -> Value {
    socket.send(Message::text(json!({"type": "Subscribe", "payload": payload}).to_string())).await.unwrap();
    next(socket, "Subscribed").await
}

fn records(n: usize) -> LiveEvent {
    let now = collector::clock::now();
    let mut records = vec![StampedRecord { seq: 1, record: state(now, MachineState::Idle, "no material") }];
    records.extend((0..n).map(|i| StampedRecord { seq: i as u64 + 2, record: window(now, 5, i as f64) }));
    LiveEvent::Records { gateway: gateway(), records }
}

#[tokio::test]
async fn a_subscriber_gets_summaries_states_machines_and_heartbeats() {
    let mut plant = Plant::new().await;
    let address = serve(&plant).await;
    let cancel = CancellationToken::new();
    let feed = tokio::spawn(api::run_feed(plant.app.clone(), cancel.clone()));
    let mut socket = connect(address, &[("x-api-key", plant.viewer.clone())]).await.unwrap();
    let answer = subscribe(&mut socket, json!({"channels": ["metrics", "events", "alerts"]})).await;
    assert_eq!(answer["channels"], json!(["metrics", "events", "alerts"]));
    plant.app.live.publish(records(3));
    let metrics = next(&mut socket, "Metrics").await;
    assert_eq!(metrics["summaries"].as_array().unwrap().len(), 3);
    assert_eq!((&metrics["summaries"][0]["asset"], &metrics["summaries"][0]["count"]), (&json!(PRESS), &json!(5)));
    assert_eq!(next(&mut socket, "Events").await["states"][0]["stop_reason"], "no material");
    let now = collector::clock::now();
    plant.take_in(vec![state(now.plus_micros(-SECOND), MachineState::Setup, "")]);
    loop {
        let events = next(&mut socket, "Events").await;
        if events["assets"][0]["state"] == "setup" {
            break;
        }
    }
    assert!(next(&mut socket, "Heartbeat").await["at"].is_string());
    cancel.cancel();
    feed.await.unwrap();
}

#[tokio::test]
async fn a_subscription_to_some_machines_hears_of_no_others_and_can_be_changed() {
    let plant = Plant::new().await;
    let address = serve(&plant).await;
    let mut socket = connect(address, &[("x-api-key", plant.viewer.clone())]).await.unwrap();
    subscribe(&mut socket, json!({"channels": ["metrics"], "assets": ["a/b/c/d"]})).await;
    plant.app.live.publish(records(1));
    // Messages come in order: had the first event been meant for us, its Metrics would come before this Subscribed.
    subscribe(&mut socket, json!({"channels": ["metrics"], "assets": [PRESS]})).await;
    plant.app.live.publish(records(2));
    assert_eq!(next(&mut socket, "Metrics").await["summaries"].as_array().unwrap().len(), 2);
    socket.send(Message::text("{\"type\":\"Subscribe\"}")).await.unwrap();
    assert!(next(&mut socket, "Error").await["detail"].is_string());
}

#[tokio::test]
async fn a_slow_client_is_told_what_it_lost_and_holds_up_nobody() {
    let plant = Plant::with_live(Live::with_capacity(8)).await;
    let address = serve(&plant).await;
    let mut socket = connect(address, &[("x-api-key", plant.viewer.clone())]).await.unwrap();
    subscribe(&mut socket, json!({"channels": ["metrics"]})).await;
    // One thread runs all of this test: without an await, nothing is read in between.
    for _ in 0..50 {
        plant.app.live.publish(records(1));
    }
    assert_eq!(next(&mut socket, "Lagged").await["dropped"], 42);
    assert_eq!(next(&mut socket, "Metrics").await["summaries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn strangers_other_origins_and_too_many_are_turned_away() {
    let plant = Plant::new().await;
    let address = serve(&plant).await;
    let status = |result: Result<Socket, tungstenite::Error>| match result {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => 101,
    };
    assert_eq!(status(connect(address, &[]).await), 401);
    let cookie = ("cookie", format!("millrace_key={}", plant.viewer));
    assert_eq!(status(connect(address, &[cookie.clone(), ("origin", "https://evil.example".into())]).await), 403);
    let _open = connect(address, &[cookie.clone(), ("origin", format!("http://{address}"))]).await.unwrap();
    let places: Vec<_> = std::iter::from_fn(|| plant.app.live.admit(plant.app.config.api.max_websockets)).collect();
    assert!(!places.is_empty());
    assert_eq!(status(connect(address, &[cookie]).await), 503);
}
