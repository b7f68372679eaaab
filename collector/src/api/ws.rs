//! The WebSocket: live events for whoever subscribes.
//!
//! A client sends `{"type":"Subscribe","payload":{"channels":["metrics","events","alerts"],"assets":[…]}}` (again to change it) and gets `Subscribed`,
//! then `Metrics`, `Events` and `Alerts` as they come, `Heartbeat` every two seconds, and `Lagged` with a number when it was too slow.
//!
//! Invariant: a client that does not read costs one ring's worth of memory and nobody's time; its connection ends when a message can't be sent for
//! a while, or when its key is revoked.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use kpi::utc::Utc;
use protocol::{AssetPath, Record};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    access::{self, Viewer, key_of},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    auth, clock,
    live::{LiveEvent, Next},
    twin::{AnomalyView, SummaryView},
};

const HEARTBEAT: Duration = Duration::from_secs(2);
/// A message that can't be handed to the socket for so long ends the connection.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Assets that one subscription may name.
const MAX_ASSETS: usize = 2_000;
/// Items in one message; more are split.
const MAX_ITEMS: usize = 500;
/// Heartbeats between two looks at the key.
const BEATS_PER_CHECK: u32 = 15;

#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "payload", deny_unknown_fields)]
enum Ask {
    Subscribe(Subscribe),
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Subscribe {
    channels: BTreeSet<Channel>,
    /// None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assets: Option<BTreeSet<AssetPath>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Channel {
    Metrics,
    Events,
    Alerts,
}

impl Subscribe {
    fn wants(&self, channel: Channel) -> bool {
        self.channels.contains(&channel)
    }

    fn about(&self, asset: &str) -> bool {
        self.assets.as_ref().is_none_or(|assets| assets.contains(asset))
    }
}

/// Live events
///
/// Upgrades to a WebSocket. Channels: `metrics`, `events`, `alerts`.
#[utoipa::path(get, path = "/ws", tag = "live", responses((status = 101, description = "The protocol is switched"), Problems))]
pub async fn upgrade(
    State(app): State<App>,
    _: Viewer,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    // Browsers send cookies with a WebSocket to anybody's server; they also say where from.
    if headers.contains_key(header::ORIGIN) && !access::is_same_origin(&headers) {
        return Err(Problem::forbidden("a page of another origin may not listen"));
    }
    let Some((key, _)) = key_of(&headers) else { return Err(Problem::unauthorized()) };
    let Some(place) = app.live.admit(app.config.api.max_websockets) else {
        return Err(Problem::busy("as many WebSockets are open as are allowed", 10));
    };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    Ok(upgrade
        .on_upgrade(move |socket| async move {
            let _place = place;
            Client { app, key, socket, subscription: None }.run().await;
        })
        .into_response())
}

/// The connection is over, for whatever reason.
struct Gone;

struct Client {
    app: App,
    key: String,
    socket: WebSocket,
    subscription: Option<Subscribe>,
}

impl Client {
    async fn run(mut self) {
        let mut events = self.app.live.subscribe();
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beats = 0_u32;
        loop {
            let done = tokio::select! {
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.asked(&text).await,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Gone),
                    Some(Ok(_)) => Ok(()),
                },
                _ = beat.tick() => {
                    beats = beats.wrapping_add(1);
                    if beats.is_multiple_of(BEATS_PER_CHECK) && matches!(auth::authenticate(&self.app.store, &self.key).await, Ok(None)) {
                        Err(Gone)
                    } else {
                        self.send("Heartbeat", json!({ "at": Utc(clock::now()) })).await
                    }
                }
                next = events.next() => match next {
                    Next::Event(event) => self.pass_on(&event).await,
                    Next::Lagged(dropped) => {
                        metrics::counter!("millrace_collector_live_dropped_total").increment(dropped);
                        self.send("Lagged", json!({ "dropped": dropped })).await
                    }
                    Next::Closed => Err(Gone),
                },
            };
            if done.is_err() {
                // A polite end if the peer still listens.
                let _ = timeout(Duration::from_secs(1), self.socket.send(Message::Close(None))).await;
                return;
            }
        }
    }

    async fn asked(&mut self, text: &str) -> Result<(), Gone> {
        match serde_json::from_str::<Ask>(text) {
            Ok(Ask::Subscribe(wanted)) if wanted.assets.as_ref().is_some_and(|a| a.len() > MAX_ASSETS) => {
                self.send("Error", json!({ "detail": format!("more than {MAX_ASSETS} assets") })).await
            }
            Ok(Ask::Subscribe(wanted)) => {
                let answer = serde_json::to_value(&wanted).unwrap_or_default();
                self.subscription = Some(wanted);
                self.send("Subscribed", answer).await
            }
            Err(error) => self.send("Error", json!({ "detail": error.to_string() })).await,
        }
    }

    async fn pass_on(&mut self, event: &LiveEvent) -> Result<(), Gone> {
        let Some(wanted) = &self.subscription else { return Ok(()) };
        for (kind, payload) in messages(event, wanted) {
            self.send(kind, payload).await?;
        }
        Ok(())
    }

    async fn send(&mut self, kind: &str, payload: Value) -> Result<(), Gone> {
        let text = json!({ "type": kind, "payload": payload }).to_string();
        match timeout(SEND_TIMEOUT, self.socket.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

/// What a subscriber is told of an event.
fn messages(event: &LiveEvent, wanted: &Subscribe) -> Vec<(&'static str, Value)> {
    let mut out = Vec::new();
    match event {
        LiveEvent::Records { records, .. } => {
            let (mut summaries, mut states, mut parts, mut anomalies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for stamped in records {
                match &stamped.record {
                    Record::Window(w) if wanted.wants(Channel::Metrics) && wanted.about(w.asset.as_str()) => summaries.push(json!(SummaryView::from(w))),
                    Record::State(s) if wanted.wants(Channel::Events) && wanted.about(s.asset.as_str()) => states.push(json!({
                        "asset": s.asset, "event_time": Utc(s.event_time), "state": s.state.as_str(), "stop_reason": Some(&s.reason).filter(|r| !r.is_empty()),
                    })),
                    Record::Parts(p) if wanted.wants(Channel::Events) && wanted.about(p.asset.as_str()) => parts.push(json!({
                        "asset": p.asset, "from": Utc(p.from), "to": Utc(p.to), "produced": p.produced, "rejected": p.rejected,
                    })),
                    Record::Anomaly(a) if wanted.wants(Channel::Alerts) && wanted.about(a.asset.as_str()) => anomalies.push(json!(AnomalyView::from(a))),
                    _ => {}
                }
            }
            for (kind, field, items) in [
                ("Metrics", "summaries", summaries),
                ("Events", "states", states),
                ("Events", "parts", parts),
                ("Alerts", "anomalies", anomalies),
            ] {
                chunked(&mut out, kind, field, items);
            }
        }
        LiveEvent::Assets(assets) if wanted.wants(Channel::Events) => {
            let items = assets.iter().filter(|a| wanted.about(&a.asset)).map(|a| json!(a)).collect();
            chunked(&mut out, "Events", "assets", items);
        }
        LiveEvent::Gateways(gateways) if wanted.wants(Channel::Events) => {
            chunked(&mut out, "Events", "gateways", gateways.iter().map(|g| json!(g)).collect());
        }
        LiveEvent::Alarms(alarms) if wanted.wants(Channel::Alerts) => {
            chunked(&mut out, "Alerts", "alarms", alarms.iter().map(|alarm| json!(alarm)).collect());
        }
        LiveEvent::Skipped(dropped) => out.push(("Lagged", json!({ "dropped": dropped }))),
        LiveEvent::Assets(_) | LiveEvent::Gateways(_) | LiveEvent::Alarms(_) => {}
    }
    out
}

fn chunked(out: &mut Vec<(&'static str, Value)>, kind: &'static str, field: &str, mut items: Vec<Value>) {
    while !items.is_empty() {
        let rest = items.split_off(items.len().min(MAX_ITEMS));
        let mut payload = serde_json::Map::new();
        payload.insert(field.to_owned(), Value::Array(items));
        out.push((kind, Value::Object(payload)));
        items = rest;
    }
}
