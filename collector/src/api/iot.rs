//! Readings that programs post: one message of a device, as durable as a gateway's batch before it is answered.
//!
//! Stands before `local`, which knows the way from here. Pure but for the handler: what a message means is made by [`Message::of`].
//!
//! Invariants: a message is checked whole, and every fault is told with its place; nothing of a wrong one is stored.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use kpi::utc::Utc;
use protocol::{AssetPath, Quality, Record, SignalName, TimeQuality, Timestamp, WindowSummary};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::{
    access::Operator,
    body::Body,
    problem::{Problem, ProblemField, Problems},
};
use crate::{
    app::App,
    clock,
    local::{Digest, Refused, Taken},
};

const MAX_METRICS: usize = 1_000;
const MAX_ID_BYTES: usize = 200;
/// Devices' clocks may be a little ahead.
const MAX_AHEAD_US: i64 = 5 * 60 * 1_000_000;
/// 2000-01-01: before it a clock was never set.
const EARLIEST: Timestamp = Timestamp(946_684_800_000_000);
const FIELDS: [&str; 4] = ["device_id", "device_type", "timestamp", "metrics"];

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ingested {
    device_id: String,
    /// The machine that it is of.
    asset: String,
    timestamp: Utc,
    /// Readings that are stored: all of the message.
    stored: usize,
    /// It was stored before, and was not stored again.
    duplicate: bool,
}

/// A message for OpenAPI; it is read by hand, so that every fault is told.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body")]
#[schema(example = json!({"device_id": "plant1/press-shop/line1/press-1", "device_type": "press", "timestamp": "2026-01-05T06:00:00Z",
    "metrics": {"spindle_temperature": 61.2, "active_power": 12.5}}))]
pub struct IngestRequest {
    /// `site/area/line/machine`, or what the setting `asset_template` makes one of.
    device_id: String,
    device_type: Option<String>,
    /// RFC 3339; at most 5 minutes ahead.
    timestamp: Utc,
    /// 1 to 1,000 numbers by the name of their signal.
    metrics: BTreeMap<String, f64>,
}

/// A message that is right.
#[derive(Debug, Clone, PartialEq)]
struct Message {
    device_id: String,
    asset: AssetPath,
    at: Timestamp,
    metrics: BTreeMap<SignalName, f64>,
}

/// Store readings of a device
///
/// Durable when it is answered. The same message again (or the same `Idempotency-Key`) is answered as a duplicate and not stored again, as long as it is
/// among the last 20,000 of this run of the collector.
#[utoipa::path(post, path = "/api/v1/industry40/iot/ingest", tag = "live", request_body = IngestRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Any text of up to 200 bytes that names this message")),
    responses((status = 200, body = Ingested),
        (status = 409, description = "Another message came with this key", body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn ingest(
    State(app): State<App>,
    Operator(principal): Operator,
    headers: HeaderMap,
    Body(body): Body<Value>,
) -> Result<Json<Ingested>, Problem> {
    let key = idempotency_key(&headers)?;
    let template = app.config.ingest.asset_template.as_deref();
    let message = Message::of(&body, template, clock::now()).map_err(Problem::invalid)?;
    if app.lake.hot_rows() >= app.config.lake.max_hot_rows {
        return Err(counted(Refused::Full));
    }
    let content = message.digest();
    let key = key.map_or(content, |key| keyed(&principal.name, &key));
    let stored = message.metrics.len();
    let taken = app.local.take(key, content, message.records()).await.map_err(counted)?;
    let duplicate = taken == Taken::Duplicate;
    metrics::counter!("millrace_collector_ingest_total", "outcome" => if duplicate { "duplicate" } else { "stored" }).increment(1);
    let Message { device_id, asset, at, .. } = message;
    Ok(Json(Ingested { device_id, asset: asset.to_string(), timestamp: at.into(), stored, duplicate }))
}

fn counted(refused: Refused) -> Problem {
    metrics::counter!("millrace_collector_ingest_total", "outcome" => "refused").increment(1);
    match refused {
        Refused::OtherPost => {
            Problem::new(StatusCode::CONFLICT, "another message came with this Idempotency-Key: give each message its own")
        }
        Refused::Pending | Refused::Busy => Problem::busy(refused.to_string(), 1),
        Refused::Full | Refused::Failed | Refused::Stopping => Problem::busy(refused.to_string(), 5),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| (1..=MAX_ID_BYTES).contains(&key.len()));
    let wrong = || ProblemField { field: "Idempotency-Key".into(), detail: format!("must be 1 to {MAX_ID_BYTES} printable characters") };
    key.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::invalid(vec![wrong()]))
}

/// Keys of two principals do not meet.
fn keyed(principal: &str, key: &str) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"key\0");
    hash.update(principal.as_bytes());
    hash.update(b"\0");
    hash.update(key.as_bytes());
    hash.finalize().into()
}

/// Faults of one message.
#[derive(Default)]
struct Faults(Vec<ProblemField>);

impl Faults {
    fn add<T>(&mut self, field: impl Into<String>, detail: impl Into<String>) -> Option<T> {
        self.0.push(ProblemField { field: field.into(), detail: detail.into() });
        None
    }
}

impl Message {
    fn of(body: &Value, template: Option<&str>, now: Timestamp) -> Result<Self, Vec<ProblemField>> {
        let mut faults = Faults::default();
        let Some(fields) = body.as_object() else {
            faults.add::<()>("body", "must be an object with device_id, timestamp and metrics");
            return Err(faults.0);
        };
        for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())).take(MAX_METRICS) {
            faults.add::<()>(name, format!("is unknown here; known are: {}", FIELDS.join(", ")));
        }
        let device_type = match fields.get("device_type") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if (1..=MAX_ID_BYTES).contains(&text.len()) => Some(text.as_str()),
            Some(_) => faults.add("device_type", format!("must be a text of 1 to {MAX_ID_BYTES} bytes")),
        };
        let device_id = match fields.get("device_id") {
            Some(Value::String(text)) if (1..=MAX_ID_BYTES).contains(&text.len()) => Some(text.as_str()),
            Some(_) => faults.add("device_id", format!("must be a text of 1 to {MAX_ID_BYTES} bytes")),
            None => faults.add("device_id", "is missing"),
        };
        let asset = device_id.and_then(|id| match asset_of(id, device_type, template) {
            Ok(asset) => Some(asset),
            Err((field, detail)) => faults.add(field, detail),
        });
        let at = timestamp(fields.get("timestamp"), now, &mut faults);
        let metrics = readings(fields.get("metrics"), &mut faults);
        match (device_id, asset, at, metrics) {
            (Some(id), Some(asset), Some(at), Some(metrics)) if faults.0.is_empty() => {
                Ok(Self { device_id: id.to_owned(), asset, at, metrics })
            }
            _ => Err(faults.0),
        }
    }

    /// The same for the same readings of the same machine at the same time.
    fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(b"message\0");
        hash.update(self.asset.as_str().as_bytes());
        hash.update(self.at.as_micros().to_le_bytes());
        for (signal, value) in &self.metrics {
            hash.update(signal.as_str().as_bytes());
            hash.update(b"\0");
            hash.update(value.to_le_bytes());
        }
        hash.finalize().into()
    }

    /// Each reading as a window of its own, as short as can be, that ends with it.
    fn records(&self) -> Vec<Record> {
        let record = |(signal, value): (&SignalName, &f64)| {
            Record::Window(WindowSummary {
                asset: self.asset.clone(),
                signal: signal.clone(),
                unit: String::new(),
                start: self.at.plus_micros(-1),
                end: self.at,
                count: 1,
                min: *value,
                max: *value,
                mean: *value,
                stddev: 0.0,
                first: *value,
                last: *value,
                quality: Quality::Good,
                // A clock of which nothing is known.
                time_quality: TimeQuality::Unsynced,
                correction: false,
            })
        };
        self.metrics.iter().map(record).collect()
    }
}

fn timestamp(value: Option<&Value>, now: Timestamp, faults: &mut Faults) -> Option<Timestamp> {
    const FIELD: &str = "timestamp";
    let Some(value) = value else { return faults.add(FIELD, "is missing") };
    let at = match value.as_str().map(Utc::parse) {
        Some(Ok(at)) => at.0,
        Some(Err(error)) => return faults.add(FIELD, error.to_string()),
        None => return faults.add(FIELD, "must be an RFC 3339 time, such as 2026-01-01T06:00:00Z"),
    };
    if at.micros_since(now) > MAX_AHEAD_US {
        return faults.add(FIELD, "lies more than 5 minutes in the future: set the device's clock");
    }
    if at < EARLIEST {
        return faults.add(FIELD, "lies before the year 2000: set the device's clock");
    }
    Some(at)
}

fn readings(value: Option<&Value>, faults: &mut Faults) -> Option<BTreeMap<SignalName, f64>> {
    const FIELD: &str = "metrics";
    let Some(value) = value else { return faults.add(FIELD, "is missing") };
    let Some(given) = value.as_object() else { return faults.add(FIELD, "must be an object: numbers by their name") };
    if given.is_empty() || given.len() > MAX_METRICS {
        return faults.add(FIELD, format!("has {} entries; 1 to {MAX_METRICS} can be stored at a time", given.len()));
    }
    let mut found = BTreeMap::new();
    for (name, value) in given {
        let signal = SignalName::new(name).map_err(|error| faults.add::<()>(format!("{FIELD}.{name}"), error.to_string())).ok();
        let number = value.as_f64().filter(|number| number.is_finite());
        if number.is_none() {
            faults.add::<()>(format!("{FIELD}.{name}"), "must be a number");
        }
        if let (Some(signal), Some(number)) = (signal, number) {
            found.insert(signal, number);
        }
    }
    Some(found)
}

/// The machine of a device: its id, if that is an asset path; or what the template makes of it.
fn asset_of(id: &str, device_type: Option<&str>, template: Option<&str>) -> Result<AssetPath, (&'static str, String)> {
    let as_path = match AssetPath::new(id) {
        Ok(path) => return Ok(path),
        Err(error) => error,
    };
    let Some(template) = template else {
        let advice = "send site/area/line/machine, or set [ingest] asset_template in the collector's configuration";
        return Err(("device_id", format!("{as_path}: {advice}")));
    };
    if id.contains('/') {
        return Err(("device_id", format!("{as_path}; a plain id holds no slash")));
    }
    let text = if template.contains("{device_type}") {
        let Some(kind) = device_type else { return Err(("device_type", "is missing: the asset template needs it".to_owned())) };
        if kind.contains('/') {
            return Err(("device_type", "must hold no slash: the asset template puts it into a path".to_owned()));
        }
        template.replace("{device_type}", kind)
    } else {
        template.to_owned()
    };
    AssetPath::new(&text.replace("{device_id}", id)).map_err(|error| ("device_id", error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_767_592_800_000_000);

    fn message(body: &Value, template: Option<&str>) -> Result<Message, Vec<String>> {
        Message::of(body, template, NOW).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    fn good() -> Value {
        json!({"device_id": "a/b/c/d", "device_type": "press", "timestamp": "2026-01-05T06:00:00Z", "metrics": {"t": 1.5, "p": 2}})
    }

    #[test]
    fn a_message_is_one_reading_for_each_metric_that_ends_at_its_time() {
        let message = message(&good(), None).unwrap();
        let records = message.records();
        let Record::Window(w) = &records[1] else { panic!("a window") };
        assert_eq!((records.len(), w.signal.as_str(), w.count, w.last, w.end), (2, "t", 1, 1.5, NOW));
        assert!(w.start < w.end);
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let wrong =
            json!({"device_id": "press-1", "timestamp": "2026-01-05T06:05:01Z", "metrics": {"T": 1, "x": "hot", "y": null}, "more": 1});
        assert_eq!(message(&wrong, None).unwrap_err(), ["more", "device_id", "timestamp", "metrics.T", "metrics.x", "metrics.y"]);
        assert_eq!(message(&json!({}), None).unwrap_err(), ["device_id", "timestamp", "metrics"]);
        assert_eq!(message(&json!([1]), None).unwrap_err(), ["body"]);
        for (field, value) in [
            ("metrics", json!({})),
            ("metrics", json!([1])),
            ("timestamp", json!("yesterday")),
            ("timestamp", json!(5)),
            ("timestamp", json!("1999-12-31T00:00:00Z")),
            ("device_type", json!(7)),
            ("device_id", json!("")),
        ] {
            let mut body = good();
            body[field] = value;
            assert_eq!(message(&body, None).unwrap_err(), [field]);
        }
        let many: serde_json::Map<String, Value> = (0..=MAX_METRICS).map(|i| (format!("m{i}"), json!(i))).collect();
        let mut body = good();
        body["metrics"] = Value::Object(many);
        assert_eq!(message(&body, None).unwrap_err(), ["metrics"]);
    }

    #[test]
    fn a_template_makes_a_machine_of_a_plain_id_and_nothing_else_of_it() {
        let made =
            |id: &str, kind: Option<&str>, template| asset_of(id, kind, Some(template)).map(|asset| asset.to_string()).map_err(|e| e.0);
        assert_eq!(made("p-1", None, "plant/hall/line/{device_id}"), Ok("plant/hall/line/p-1".into()));
        assert_eq!(made("p-1", Some("press"), "plant/{device_type}/line/{device_id}"), Ok("plant/press/line/p-1".into()));
        assert_eq!(made("p-1", None, "plant/{device_type}/line/{device_id}"), Err("device_type"));
        assert_eq!(made("p-1", Some("a/b"), "plant/{device_type}/line/{device_id}"), Err("device_type"));
        assert_eq!(made("a/b", None, "plant/hall/line/{device_id}"), Err("device_id"));
        assert_eq!(made("p 1", None, "plant/hall/line/{device_id}"), Err("device_id"));
        assert_eq!(made("w/x/y/z", None, "plant/hall/line/{device_id}"), Ok("w/x/y/z".into()), "a path is a path");
    }

    #[test]
    fn the_same_readings_are_the_same_message_and_any_difference_is_another() {
        let digest = |body: &Value| message(body, None).unwrap().digest();
        let mut other = good();
        other["device_type"] = json!("mill");
        assert_eq!(digest(&good()), digest(&other));
        for (field, value) in
            [("metrics", json!({"t": 1.5})), ("timestamp", json!("2026-01-05T05:59:59Z")), ("device_id", json!("a/b/c/e"))]
        {
            let mut other = good();
            other[field] = value;
            assert_ne!(digest(&good()), digest(&other));
        }
        assert_ne!(keyed("a", "bc"), keyed("ab", "c"));
    }
}
