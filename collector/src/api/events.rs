//! Events of any kind: told once, kept for ever, read by machine, kind and time.

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use kpi::field::FieldError;
use protocol::TimeRange;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    access::{Operator, Viewer},
    assets,
    body::Body,
    cursor::Cursor,
    history::{DAY_US, Scope},
    params::{Params, parsed},
    problem::{Problem, Problems},
};
use crate::{
    app::App,
    clock,
    maintenance::event::Event,
    store::{Appended, EventFilter},
};

const MAX_BATCH: usize = 1_000;
const MAX_PERIOD_US: i64 = 3_660 * DAY_US;
const MAX_KIND: usize = 64;

/// One event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"event": {"id": "cmms-4711", "kind": "failure", "asset": "plant1/press-shop/line1/press-1",
    "at": "2026-01-05T06:00:00Z", "component": "spindle_bearing"}}))]
pub struct EventRequest {
    /// `kind` and `at` are needed; `id`, `asset` and any other fields may be there, 16 KiB in all.
    #[schema(value_type = Object)]
    event: Value,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBatch {
    /// 1,000 at most.
    #[schema(value_type = Vec<Object>)]
    events: Vec<Value>,
}

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventAnswer {
    /// As it is kept.
    #[schema(value_type = Object)]
    event: Value,
    /// The same event was there before.
    duplicate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventResult {
    Accepted,
    Duplicate,
    Refused,
}

/// What became of each event, in the order in which they were told.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventBatchAnswer {
    accepted: usize,
    duplicates: usize,
    refused: usize,
    items: Vec<EventBatchItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EventBatchItem {
    /// `null` if it was refused before it had one.
    id: Option<String>,
    result: EventResult,
    /// Why it was refused.
    detail: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EventPage {
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
    next_cursor: Option<String>,
}

/// Tell of an event
///
/// Events are immutable. Without an `id` an event is named by its content, so that one told twice is recognised in any case. Maintenance
/// knows the kinds `failure`, `repair_start`, `repair_end`, `component_replaced`, `work_order_start` and `work_order_end`; they need a
/// known machine.
#[utoipa::path(post, path = "/api/v1/events", tag = "maintenance", request_body = EventRequest,
    responses((status = 201, body = EventAnswer, description = "It is kept"), (status = 200, body = EventAnswer, description = "It was kept before"),
              (status = 404, body = Problem, content_type = "application/problem+json", description = "The machine is not known"),
              (status = 409, body = Problem, content_type = "application/problem+json", description = "Another event has this id"), Problems))]
pub async fn tell(
    State(app): State<App>,
    Operator(who): Operator,
    Body(request): Body<EventRequest>,
) -> Result<impl IntoResponse, Problem> {
    let now = clock::now();
    let event = Event::told(request.event, now)?;
    known_machine(&app, &event)?;
    let appended = app.store.append_events(std::slice::from_ref(&event), &who.name, now, app.config.maintenance.max_events).await?;
    let answer = |duplicate| Json(EventAnswer { event: event.to_json(), duplicate });
    match appended.first() {
        Some(Appended::New) => {
            told(&app, &event);
            Ok((StatusCode::CREATED, answer(false)))
        }
        Some(Appended::Duplicate) => Ok((StatusCode::OK, answer(true))),
        Some(Appended::Conflict) => Err(Problem::new(StatusCode::CONFLICT, taken(&event))),
        Some(Appended::Full) | None => Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, full(&app))),
    }
}

/// Tell of several events
///
/// Each is judged by itself: one that is refused does not stop the others.
#[utoipa::path(post, path = "/api/v1/events/batch", tag = "maintenance", request_body = EventBatch,
    responses((status = 200, body = EventBatchAnswer), Problems))]
pub async fn tell_several(
    State(app): State<App>,
    Operator(who): Operator,
    Body(batch): Body<EventBatch>,
) -> Result<Json<EventBatchAnswer>, Problem> {
    if batch.events.is_empty() || batch.events.len() > MAX_BATCH {
        return Err(super::history::wrong("events", format!("must be 1 to {MAX_BATCH} events")));
    }
    let now = clock::now();
    let judged: Vec<Result<Event, String>> = batch
        .events
        .into_iter()
        .map(|event| {
            let event = Event::told(event, now).map_err(|errors| sentence(&errors))?;
            known_machine(&app, &event)
                .map(|()| event)
                .map_err(|_| "event.asset: no machine of this path was described or heard of".to_owned())
        })
        .collect();
    let good: Vec<Event> = judged.iter().filter_map(|event| event.as_ref().ok().cloned()).collect();
    let appended = app.store.append_events(&good, &who.name, now, app.config.maintenance.max_events).await?;
    let mut appended = appended.into_iter();
    let mut answer = EventBatchAnswer { accepted: 0, duplicates: 0, refused: 0, items: Vec::with_capacity(judged.len()) };
    for event in judged {
        let (id, result, detail) = match event {
            Err(detail) => (None, EventResult::Refused, Some(detail)),
            Ok(event) => match appended.next() {
                Some(Appended::New) => {
                    told(&app, &event);
                    (Some(event.id), EventResult::Accepted, None)
                }
                Some(Appended::Duplicate) => (Some(event.id), EventResult::Duplicate, None),
                Some(Appended::Conflict) => (Some(event.id.clone()), EventResult::Refused, Some(taken(&event))),
                Some(Appended::Full) | None => (Some(event.id), EventResult::Refused, Some(full(&app))),
            },
        };
        match result {
            EventResult::Accepted => answer.accepted += 1,
            EventResult::Duplicate => answer.duplicates += 1,
            EventResult::Refused => answer.refused += 1,
        }
        answer.items.push(EventBatchItem { id, result, detail });
    }
    Ok(Json(answer))
}

/// List events
///
/// Newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "maintenance",
    params(("asset" = Option<String>, Query, description = "`site/area/line/machine`, or the beginning of it"),
           ("kind" = Option<String>, Query, description = "`failure`"),
           ("from" = Option<String>, Query, description = "RFC 3339; 31 days before `to` if not given"),
           ("to" = Option<String>, Query, description = "RFC 3339, exclusive; now if not given"),
           ("limit" = Option<usize>, Query, description = "1 to 1000, 100 if not given"),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = EventPage), Problems))]
pub async fn list(State(app): State<App>, _: Viewer, mut params: Params) -> Result<Json<EventPage>, Problem> {
    let scope = params.optional("asset", parsed::<Scope>);
    let kind = params.optional("kind", |text| {
        if text.len() <= MAX_KIND { Ok(text.to_owned()) } else { Err(format!("must be text of 1 to {MAX_KIND} bytes")) }
    });
    // An event may be a little ahead of this clock.
    let period = params.period(clock::now().plus_micros(300_000_000), 31 * DAY_US, MAX_PERIOD_US);
    let limit = params.limit(100, 1_000);
    let cursor = params.optional("cursor", Cursor::parse);
    let (scope, kind, period, limit, cursor) = params.finish((scope, kind, period, limit, cursor))?;
    let (range, ask): (TimeRange, usize) = Cursor::question(cursor, period, limit);
    let (asset, below) = match &scope {
        None => (None, None),
        Some(Scope::Machine(asset)) => (Some(asset), None),
        Some(Scope::Below(prefix)) => (None, Some(prefix.as_str())),
    };
    let kinds: Vec<&str> = kind.iter().map(String::as_str).collect();
    let rows = app.store.events(&EventFilter { asset, below, kinds: &kinds, limit: ask }, range).await?;
    let (rows, next_cursor) = Cursor::page(cursor, rows, limit, |event| event.at);
    Ok(Json(EventPage { items: rows.iter().map(Event::to_json).collect(), next_cursor }))
}

fn known_machine(app: &App, event: &Event) -> Result<(), Problem> {
    match &event.asset {
        Some(asset) if (event.is_of_maintenance() || event.kind == "comment") && !app.twin.knows(asset) => Err(assets::unknown(asset)),
        _ => Ok(()),
    }
}

fn told(app: &App, event: &Event) {
    if let Some(asset) = event.asset.as_ref().filter(|_| event.is_of_maintenance()) {
        app.maintenance.told(asset);
    }
}

fn taken(event: &Event) -> String {
    format!("another event has the id {:?}: events are immutable, give this one an id of its own", event.id)
}

fn full(app: &App) -> String {
    format!("{} events are kept, as many as [maintenance] max_events allows", app.config.maintenance.max_events)
}

fn sentence(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
