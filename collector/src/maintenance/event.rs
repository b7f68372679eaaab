//! Events as people and programs tell them: checked, put into one form, and read back.
//!
//! Stands before the store. Pure. Invariants: an event has an id, a kind and a time that is not in the future; the same content always
//! makes the same event, so that one told twice is recognised; a kind that maintenance knows has the fields that it needs.

use kpi::{
    field::{FieldError, wrong},
    reliability::events::{MaintenanceEvent, MaintenanceEventKind, WorkOrderKind},
    utc::Utc,
};
use protocol::{AssetPath, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The whole event as JSON.
pub const MAX_BYTES: usize = 16 << 10;
const MAX_ID: usize = 128;
const MAX_KIND: usize = 64;
/// Of a component or a work order.
const MAX_NAME: usize = 128;
/// A clock may be so far ahead of this one.
const AHEAD_US: i64 = 300_000_000;

const FAILURE: &str = "failure";
const REPAIR_START: &str = "repair_start";
const REPAIR_END: &str = "repair_end";
const REPLACED: &str = "component_replaced";
const ORDER_START: &str = "work_order_start";
const ORDER_END: &str = "work_order_end";

/// The kinds that reliability is reckoned from. They need a machine that is known.
pub const MAINTENANCE_KINDS: [&str; 6] = [FAILURE, REPAIR_START, REPAIR_END, REPLACED, ORDER_START, ORDER_END];

/// Something that happened. Immutable.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub asset: Option<AssetPath>,
    pub at: Timestamp,
    /// All other fields.
    rest: Map<String, Value>,
}

impl Event {
    /// Checks what was told.
    ///
    /// # Errors
    /// Every field that can't be.
    pub fn told(event: Value, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let Value::Object(mut rest) = event else {
            return Err(vec![wrong("event", "must be an object with kind and at")]);
        };
        let mut errors = Vec::new();
        if Value::Object(rest.clone()).to_string().len() > MAX_BYTES {
            errors.push(wrong("event", format!("has more than {MAX_BYTES} bytes: keep what is large elsewhere, and its address here")));
        }
        let id = text(&mut rest, "id", MAX_ID, &mut errors);
        let kind = text(&mut rest, "kind", MAX_KIND, &mut errors);
        if kind.is_none() && !errors.iter().any(|e| e.field == "event.kind") {
            errors.push(wrong("event.kind", "is missing"));
        }
        let asset = text(&mut rest, "asset", usize::MAX, &mut errors)
            .and_then(|path| AssetPath::new(&path).map_err(|e| errors.push(wrong("event.asset", e.to_string()))).ok());
        let at = time(&mut rest, now, &mut errors);
        if let Some(kind) = &kind {
            check_kind(kind, asset.is_some(), &rest, &mut errors);
        }
        match (kind, at) {
            (Some(kind), Some(at)) if errors.is_empty() => {
                let event = Self { id: id.unwrap_or_default(), kind, asset, at, rest };
                Ok(if event.id.is_empty() { event.named() } else { event })
            }
            _ => Err(errors),
        }
    }

    /// Whether reliability is reckoned from it.
    pub fn is_of_maintenance(&self) -> bool {
        MAINTENANCE_KINDS.contains(&self.kind.as_str())
    }

    /// A text field, if it has it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.rest.get(name).and_then(Value::as_str)
    }

    pub fn to_json(&self) -> Value {
        let mut all = self.rest.clone();
        all.insert("id".into(), self.id.clone().into());
        all.insert("kind".into(), self.kind.clone().into());
        all.insert("at".into(), Utc(self.at).to_string().into());
        if let Some(asset) = &self.asset {
            all.insert("asset".into(), asset.as_str().into());
        }
        Value::Object(all)
    }

    /// Reads what [`Event::to_json`] wrote; `None` if that is not it.
    pub fn from_stored(text: &str) -> Option<Self> {
        let Value::Object(mut rest) = serde_json::from_str(text).ok()? else { return None };
        let mut taken = |name: &str| match rest.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (id, kind, at) = (taken("id")?, taken("kind")?, taken("at")?);
        let asset = taken("asset").map(|path| AssetPath::new(&path)).transpose().ok()?;
        Some(Self { id, kind, asset, at: Utc::parse(&at).ok()?.0, rest })
    }

    /// Without an id of its own it is named by its content.
    fn named(self) -> Self {
        let mut sorted: Vec<(String, Value)> = match self.to_json() {
            Value::Object(all) => all.into_iter().collect(),
            _ => Vec::new(),
        };
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let digest =
            Sha256::digest(Value::from_iter(sorted.into_iter().map(|(key, value)| Value::from(vec![key.into(), value]))).to_string());
        Self { id: format!("sha256-{}", hex::encode(&digest[..16])), ..self }
    }
}

/// What reliability is reckoned from, in the order of time. An end of a work order takes its kind from its start.
pub fn maintenance_events(events: &[Event]) -> Vec<MaintenanceEvent> {
    let order_kind = |event: &Event| event.field("work_order_kind").and_then(work_order_kind);
    let started = |order: Option<&str>| {
        let start = events.iter().find(|e| e.kind == ORDER_START && e.field("work_order") == order && order.is_some());
        start.and_then(order_kind)
    };
    let mut list: Vec<MaintenanceEvent> = events
        .iter()
        .filter_map(|event| {
            let corrective = WorkOrderKind::Corrective;
            let kind = match event.kind.as_str() {
                FAILURE => MaintenanceEventKind::Failure,
                REPAIR_START => MaintenanceEventKind::RepairStart,
                REPAIR_END => MaintenanceEventKind::RepairEnd,
                REPLACED => MaintenanceEventKind::ComponentReplaced,
                ORDER_START => MaintenanceEventKind::WorkOrderStart { kind: order_kind(event).unwrap_or(corrective) },
                ORDER_END => {
                    let kind = started(event.field("work_order")).or_else(|| order_kind(event)).unwrap_or(corrective);
                    MaintenanceEventKind::WorkOrderEnd { kind }
                }
                _ => return None,
            };
            let named = |name: &str| event.field(name).map(str::to_owned);
            Some(MaintenanceEvent { at: event.at, kind, component: named("component"), work_order: named("work_order") })
        })
        .collect();
    list.sort();
    list
}

/// Work orders that were started and not ended, the oldest first.
pub fn open_work_orders(events: &[Event]) -> Vec<&Event> {
    let ended = |start: &Event| {
        events.iter().any(|e| e.kind == ORDER_END && e.field("work_order") == start.field("work_order") && e.at >= start.at)
    };
    let mut open: Vec<&Event> = events.iter().filter(|e| e.kind == ORDER_START && !ended(e)).collect();
    open.sort_by_key(|e| e.at);
    open
}

fn check_kind(kind: &str, has_asset: bool, rest: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    if MAINTENANCE_KINDS.contains(&kind) && !has_asset && !errors.iter().any(|e| e.field == "event.asset") {
        errors.push(wrong("event.asset", format!("is missing: a {kind} is of a machine, site/area/line/machine")));
    }
    let (needed, named): (&[&str], &[&str]) = match kind {
        FAILURE => (&[], &["component"]),
        REPLACED => (&["component"], &["component"]),
        ORDER_START | ORDER_END => (&["work_order"], &["component", "work_order"]),
        _ => (&[], &[]),
    };
    for field in named {
        match rest.get(*field) {
            None if needed.contains(field) => errors.push(wrong(format!("event.{field}"), "is missing")),
            None => {}
            Some(Value::String(text)) if (1..=MAX_NAME).contains(&text.len()) => {}
            Some(_) => errors.push(wrong(format!("event.{field}"), format!("must be text of 1 to {MAX_NAME} bytes"))),
        }
    }
    let order_kind = rest.get("work_order_kind");
    let known = order_kind.and_then(Value::as_str).and_then(work_order_kind).is_some();
    if (kind == ORDER_START || (kind == ORDER_END && order_kind.is_some())) && !known {
        errors.push(wrong("event.work_order_kind", "must be corrective or preventive"));
    }
}

fn work_order_kind(text: &str) -> Option<WorkOrderKind> {
    match text {
        "corrective" => Some(WorkOrderKind::Corrective),
        "preventive" => Some(WorkOrderKind::Preventive),
        _ => None,
    }
}

fn text(rest: &mut Map<String, Value>, name: &str, most: usize, errors: &mut Vec<FieldError>) -> Option<String> {
    match rest.remove(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if (1..=most).contains(&text.len()) => Some(text),
        Some(_) => {
            let most = if most == usize::MAX { String::new() } else { format!(" of 1 to {most} bytes") };
            errors.push(wrong(format!("event.{name}"), format!("must be text{most}")));
            None
        }
    }
}

fn time(rest: &mut Map<String, Value>, now: Timestamp, errors: &mut Vec<FieldError>) -> Option<Timestamp> {
    let parsed = match rest.remove("at") {
        None => Err("is missing: give the time of the event, RFC 3339".to_owned()),
        Some(Value::String(text)) => Utc::parse(&text).map_err(|e| e.to_string()),
        Some(_) => Err("must be an RFC 3339 time, such as 2026-01-01T06:00:00Z".to_owned()),
    };
    let problem = match parsed {
        Ok(Utc(at)) if at > now.plus_micros(AHEAD_US) => "lies in the future".to_owned(),
        Ok(Utc(at)) if at < Timestamp(0) => "lies before 1970".to_owned(),
        Ok(Utc(at)) => return Some(at),
        Err(problem) => problem,
    };
    errors.push(wrong("event.at", problem));
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
    const PRESS: &str = "plant1/press-shop/line1/press-1";

    fn told(event: Value) -> Result<Event, Vec<String>> {
        Event::told(event, NOW).map_err(|errors| errors.into_iter().map(|e| e.field).collect())
    }

    #[test]
    fn the_same_content_is_the_same_event_and_reads_back_as_it_was() {
        let event =
            told(json!({"kind": "failure", "asset": PRESS, "at": "2026-01-05T07:00:00+01:00", "component": "bearing", "n": 3})).unwrap();
        let again = told(json!({"n": 3, "component": "bearing", "at": "2026-01-05T06:00:00Z", "asset": PRESS, "kind": "failure"})).unwrap();
        assert_eq!(event, again);
        assert!(event.id.starts_with("sha256-"), "{}", event.id);
        assert_eq!(Event::from_stored(&event.to_json().to_string()), Some(event.clone()));
        let other = told(json!({"kind": "failure", "asset": PRESS, "at": "2026-01-05T06:00:00Z", "component": "bearing", "n": 4})).unwrap();
        assert_ne!(other.id, event.id);
    }

    #[test]
    fn what_cannot_be_is_told_by_its_fields_all_at_once() {
        assert_eq!(told(json!({"kind": "failure", "at": "tomorrow"})), Err(vec!["event.at".into(), "event.asset".into()]));
        assert_eq!(told(json!([1])), Err(vec!["event".into()]));
        assert_eq!(told(json!({"at": "2026-01-05T06:00:00Z"})), Err(vec!["event.kind".into()]));
        let replaced = json!({"kind": "component_replaced", "asset": PRESS, "at": "2026-01-05T06:00:00Z"});
        assert_eq!(told(replaced), Err(vec!["event.component".into()]));
        let order = json!({"kind": "work_order_start", "asset": PRESS, "at": "2026-01-05T06:00:00Z", "work_order": 7});
        assert_eq!(told(order), Err(vec!["event.work_order".into(), "event.work_order_kind".into()]));
        let future = json!({"kind": "anything", "at": Utc(NOW.plus_micros(AHEAD_US + 1)).to_string()});
        assert_eq!(told(future), Err(vec!["event.at".into()]));
        let soon = json!({"kind": "anything", "at": Utc(NOW.plus_micros(AHEAD_US)).to_string()});
        assert!(told(soon).is_ok(), "a clock may be a little ahead");
        let large = json!({"kind": "note", "at": "2026-01-05T06:00:00Z", "text": "x".repeat(MAX_BYTES)});
        assert_eq!(told(large), Err(vec!["event".into()]));
    }

    #[test]
    fn an_end_of_a_work_order_has_the_kind_of_its_start_and_what_is_not_ended_is_open() {
        let order = |kind: &str, minute: u32, order: &str, order_kind: Option<&str>| {
            let mut event = json!({"kind": kind, "asset": PRESS, "at": format!("2026-01-05T06:{minute:02}:00Z"), "work_order": order});
            if let Some(kind) = order_kind {
                event["work_order_kind"] = kind.into();
            }
            told(event).unwrap()
        };
        let events = [
            order("work_order_end", 30, "W1", None),
            order("work_order_start", 10, "W1", Some("preventive")),
            order("work_order_start", 20, "W2", Some("corrective")),
        ];
        let list = maintenance_events(&events);
        assert_eq!(list[2].kind, MaintenanceEventKind::WorkOrderEnd { kind: WorkOrderKind::Preventive });
        let open: Vec<_> = open_work_orders(&events).iter().map(|e| e.field("work_order")).collect();
        assert_eq!(open, [Some("W2")]);
    }
}
