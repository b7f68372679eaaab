//! MQTT messages: which machine a topic names, and what each field of a payload is.
//!
//! A sender's messages mostly look alike, so the roles of its fields are remembered in their order and found again without a search.

use std::collections::HashMap;

use protocol::{Loss, LossReason, MachineState, SignalName};

use super::{
    Pipeline,
    intake::{Bad, Sample},
    registry::Sender,
};
use crate::{
    clock::Now,
    config::{Fields, Payload, SourceId, Topic},
    decode::{
        json::{self, Scalar},
        time,
    },
    ledger,
    sequence::text_id,
};

/// Topics whose route is remembered; more are looked up anew each time.
const MAX_ROUTES: usize = 20_000;

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    Timestamp,
    Sequence,
    Session,
    State,
    StateSince,
    StopReason,
    Counter(usize),
    Signal {
        id: u32,
        scale: f64,
        offset: f64,
    },
    /// Was never a number, so it is no signal yet.
    NoNumber,
    /// Not asked for.
    Ignored,
    /// A signal too many.
    OverLimit,
}

/// Where the messages of a topic go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    topic: usize,
    sender: u32,
    /// For topics that name the signal; `None` there is a signal too many.
    signal: Option<u32>,
}

/// Routes by source and topic.
#[derive(Debug, Default)]
pub(super) struct Routes {
    known: HashMap<SourceId, HashMap<Box<str>, Route>>,
    count: usize,
}

struct NoRoute {
    reason: LossReason,
    detail: String,
}

impl Pipeline {
    /// Takes an MQTT message in.
    pub fn message(&mut self, now: Now, source: SourceId, topic: &str, payload: &[u8]) {
        self.totals.messages += 1;
        let route = match self.route(source, topic) {
            Ok(route) => route,
            Err(NoRoute { reason, detail }) => {
                self.source_error(source, &detail);
                let detail = ledger::clip(&detail);
                self.out.book(Loss { asset: None, signal: None, reason, count: 1, from: now.wall, to: now.wall, detail });
                return;
            }
        };
        let mut sample = std::mem::take(&mut self.sample);
        sample.clear();
        let read = match self.topics[route.topic].payload {
            Payload::Json => self.read_json(route, payload, &mut sample),
            Payload::Number => read_number(route, payload, &mut sample),
        };
        match read {
            Ok(()) => {
                let taken = self.take(now, route.sender, &sample);
                match sample.bad.first() {
                    Some(bad) => self.source_error(source, &format!("{topic}: {}", bad.detail)),
                    None => self.source_data(source, now, taken),
                }
            }
            Err(detail) => {
                self.source_error(source, &format!("{topic}: {detail}"));
                let asset = self.registry.senders[route.sender as usize].asset;
                let bad = Bad { signal: route.signal, reason: LossReason::Malformed, count: 1, detail: format!("{topic}: {detail}") };
                self.book(asset, &bad, (now.wall, now.wall));
            }
        }
        self.sample = sample;
    }

    fn route(&mut self, source: SourceId, topic: &str) -> Result<Route, NoRoute> {
        if let Some(route) = self.routes.known.get(&source).and_then(|routes| routes.get(topic)) {
            return Ok(*route);
        }
        let unmatched = |why: &str| NoRoute { reason: LossReason::Unmatched, detail: format!("{topic}: {why}") };
        let here = self.topics.iter().enumerate().filter(|(_, t)| t.source.is_none_or(|s| s == source));
        let found = here.filter_map(|(i, t)| t.template.captures(topic).map(|c| (i, t, c))).next();
        let (index, config, captures) = found.ok_or_else(|| unmatched("no template matches the topic"))?;
        let path = config.asset.asset(&captures).map_err(|error| unmatched(&error.to_string()))?;
        let over = |what: &str| NoRoute { reason: LossReason::Cardinality, detail: format!("{topic}: more {what} than the limit allows") };
        let name = match captures.iter().find(|(name, _)| *name == "signal") {
            Some((_, text)) => Some(signal_name(text).ok_or_else(|| unmatched("the topic names no usable signal"))?),
            None => None,
        };
        let asset = self.registry.asset(&path, &self.limits).ok_or_else(|| over("assets"))?;
        let signal = match name {
            Some(name) => {
                let unit = config.signals.iter().find(|s| s.name == name).map_or("", |s| s.unit.as_str());
                let id = self.registry.signal(asset, &name, unit, (&self.detectors, &self.limits));
                Some(id.ok_or_else(|| over("signals"))?)
            }
            None => None,
        };
        let sender = self.registry.sender(asset, config.template.as_str());
        let route = Route { topic: index, sender, signal };
        if self.routes.count < MAX_ROUTES {
            self.routes.count += 1;
            self.routes.known.entry(source).or_default().insert(topic.into(), route);
        }
        Ok(route)
    }

    fn read_json(&mut self, route: Route, payload: &[u8], sample: &mut Sample) -> Result<(), String> {
        let fields = json::fields(payload, self.limits.max_fields, self.limits.max_depth).map_err(|error| error.to_string())?;
        let mut layout = std::mem::take(&mut self.registry.senders[route.sender as usize].layout);
        sample.counter_bits = [self.topics[route.topic].counter_bits; 3];
        for (position, field) in fields.iter().enumerate() {
            let known = match layout.get(position) {
                Some((path, _)) if **path == *field.path => Some(position),
                _ => layout.iter().position(|(path, _)| **path == *field.path),
            };
            let role = match known.map(|at| layout[at].1) {
                Some(Role::NoNumber) if field.value.as_f64().is_some() => None,
                role => role,
            };
            let role = role.unwrap_or_else(|| {
                let role = self.role(route, &field.path, &field.value);
                match known {
                    Some(at) => layout[at].1 = role,
                    None if layout.len() < 2 * self.limits.max_fields => layout.push((field.path.as_ref().into(), role)),
                    None => {}
                }
                role
            });
            read_field(role, &field.path, &field.value, &self.topics[route.topic], sample);
        }
        let Sender { layout: kept, .. } = &mut self.registry.senders[route.sender as usize];
        *kept = layout;
        Ok(())
    }

    /// What a field that was not seen before is.
    fn role(&mut self, route: Route, path: &str, value: &Scalar<'_>) -> Role {
        let topic = &self.topics[route.topic];
        let Fields { timestamp, sequence, session, state, state_since, stop_reason, total_counter, reject_counter, rework_counter } =
            &topic.fields;
        let named = [
            (timestamp, Role::Timestamp),
            (sequence, Role::Sequence),
            (session, Role::Session),
            (state, Role::State),
            (state_since, Role::StateSince),
            (stop_reason, Role::StopReason),
            (total_counter, Role::Counter(0)),
            (reject_counter, Role::Counter(1)),
            (rework_counter, Role::Counter(2)),
        ];
        if let Some((_, role)) = named.into_iter().find(|(field, _)| field.as_deref() == Some(path)) {
            return role;
        }
        let asset = self.registry.senders[route.sender as usize].asset;
        let settings = (self.detectors.as_slice(), &self.limits);
        if !topic.signals.is_empty() {
            let Some(spec) = topic.signals.iter().find(|s| s.field == path) else { return Role::Ignored };
            let id = self.registry.signal(asset, &spec.name, &spec.unit, settings);
            return id.map_or(Role::OverLimit, |id| Role::Signal { id, scale: spec.scale, offset: spec.offset });
        }
        let Some(name) = signal_name(path) else { return Role::Ignored };
        let id = match value.as_f64() {
            Some(_) => match self.registry.signal(asset, &name, "", settings) {
                Some(id) => id,
                None => return Role::OverLimit,
            },
            // A signal known from the checkpoint may begin with a null.
            None => match self.registry.known_signal(asset, &name) {
                Some(id) => id,
                None => return Role::NoNumber,
            },
        };
        Role::Signal { id, scale: 1.0, offset: 0.0 }
    }
}

fn read_field(role: Role, path: &str, value: &Scalar<'_>, topic: &Topic, sample: &mut Sample) {
    let shown = || ledger::clip(&value.to_text().unwrap_or("null".into()));
    match role {
        Role::Signal { id, scale, offset } => match number_of(value) {
            Some(number) => sample.reading(id, number * scale + offset),
            None if *value == Scalar::Null => sample.bad(Some(id), LossReason::NotFinite, 1, &format!("field {path} is null")),
            None => sample.bad(Some(id), LossReason::Malformed, 1, &format!("field {path} is {:?}, no number", shown())),
        },
        Role::OverLimit if value.as_f64().is_some() => {
            sample.bad(None, LossReason::Cardinality, 1, &format!("field {path}: more signals than the limit allows"));
        }
        Role::NoNumber | Role::Ignored | Role::OverLimit => {}
        _ if *value == Scalar::Null => {}
        Role::Timestamp => {
            sample.stamp = time::timestamp(value);
            if sample.stamp.is_none() {
                sample.bad(
                    None,
                    LossReason::Malformed,
                    0,
                    &format!("field {path} is {:?}, no time; the time of arrival was taken", shown()),
                );
            }
        }
        Role::Sequence => {
            sample.sequence = value.as_u64();
            if sample.sequence.is_none() {
                sample.bad(None, LossReason::Malformed, 0, &format!("field {path} is {:?}, no sequence number", shown()));
            }
        }
        Role::Session => sample.session = value.to_text().map(|text| text_id(&text)),
        Role::State => {
            let text = value.to_text().unwrap_or_default();
            sample.state = topic.state_map.get(text.as_ref()).copied().or_else(|| MachineState::from_name(&text));
            if sample.state.is_none() {
                sample.bad(None, LossReason::Malformed, 0, &format!("state {:?} is not known; add it to state_map", shown()));
            }
        }
        Role::StateSince => sample.since = time::timestamp(value),
        Role::StopReason => sample.reason = value.to_text().unwrap_or_default().into_owned(),
        Role::Counter(index) => {
            let Some(count) = value.as_u64() else {
                sample.bad(None, LossReason::Malformed, 0, &format!("field {path} is {:?}, no count", shown()));
                return;
            };
            let counts = &mut sample.counts;
            *[&mut counts.total, &mut counts.reject, &mut counts.rework][index] = Some(count);
        }
    }
}

/// A number, also written as a text or a truth value.
fn number_of(value: &Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Scalar::Text(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    }
}

fn read_number(route: Route, payload: &[u8], sample: &mut Sample) -> Result<(), String> {
    let number = std::str::from_utf8(payload).ok().and_then(|text| text.trim().parse::<f64>().ok());
    match (number, route.signal) {
        (Some(number), Some(signal)) => {
            sample.reading(signal, number);
            Ok(())
        }
        _ => Err(format!("{:?} is no number", ledger::clip(&String::from_utf8_lossy(&payload[..payload.len().min(100)])))),
    }
}

/// The signal that a field or topic level names: lower case, with `_` for what a name may not hold.
fn signal_name(text: &str) -> Option<SignalName> {
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert_str(0, "signal_");
    }
    SignalName::new(&name).ok()
}
