//! What a machine publishes over MQTT: one JSON object a message on `{asset}/telemetry`.
//!
//! `{"ts","session","seq","state","state_since","stop_reason","total","reject","spindle_temperature","vibration_velocity","active_power"}`;
//! a signal that could not be measured is left out.
//!
//! Invariant: within a session `seq` counts 1, 2, 3, ... without a hole: a number is given only to a message that will be sent.

use serde::Serialize;

use crate::{
    device::{Sample, SensorError},
    model::{Machine, MachineState},
    moment::Moment,
};

/// A message but for its place in the sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Telemetry {
    pub ts: Moment,
    pub state: MachineState,
    pub state_since: Moment,
    pub stop_reason: &'static str,
    pub total: u32,
    pub reject: u32,
    pub spindle_temperature: Option<f64>,
    pub vibration_velocity: Option<f64>,
    pub active_power: Option<f64>,
}

#[derive(Serialize)]
struct Message<'a> {
    ts: Moment,
    session: &'a str,
    seq: u64,
    state: MachineState,
    state_since: Moment,
    stop_reason: &'static str,
    total: u32,
    reject: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    spindle_temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vibration_velocity: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_power: Option<f64>,
}

impl Telemetry {
    /// The machine as it is at its own present, with what its instruments say.
    #[must_use]
    pub fn of(machine: &Machine, sample: &Sample) -> Self {
        let counters = machine.counters();
        Self {
            ts: machine.now(),
            state: machine.state(),
            state_since: machine.state_since(),
            stop_reason: machine.reason(),
            total: counters.total,
            reject: counters.reject,
            spindle_temperature: rounded(sample.spindle_temperature),
            vibration_velocity: rounded(sample.vibration_velocity),
            active_power: rounded(sample.active_power),
        }
    }

    /// How many readings the message carries.
    #[must_use]
    pub fn readings(&self) -> u64 {
        [self.spindle_temperature, self.vibration_velocity, self.active_power].iter().flatten().count() as u64
    }

    /// The message's bytes.
    #[must_use]
    pub fn to_json(&self, session: &str, seq: u64) -> Vec<u8> {
        let Self { ts, state, state_since, stop_reason, total, reject, spindle_temperature, vibration_velocity, active_power } = *self;
        let message = Message {
            ts,
            session,
            seq,
            state,
            state_since,
            stop_reason,
            total,
            reject,
            spindle_temperature,
            vibration_velocity,
            active_power,
        };
        // Serialising to memory fails only for map keys that are not text: there are none.
        serde_json::to_vec(&message).unwrap_or_default()
    }
}

/// A thousandth is below the resolution of every chip on the bus.
fn rounded(value: Result<f32, SensorError>) -> Option<f64> {
    value.ok().map(|value| (f64::from(value) * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELEMETRY: Telemetry = Telemetry {
        ts: Moment(1_767_225_600_123_456),
        state: MachineState::UnplannedStop,
        state_since: Moment(1_767_225_599_000_000),
        stop_reason: "jam",
        total: 123,
        reject: 4,
        spindle_temperature: Some(61.2),
        vibration_velocity: Some(1.9),
        active_power: Some(4.4),
    };

    #[test]
    fn a_message_has_the_agreed_fields() {
        assert_eq!(
            String::from_utf8(TELEMETRY.to_json("9f", 17)).unwrap(),
            concat!(
                r#"{"ts":"2026-01-01T00:00:00.123456Z","session":"9f","seq":17,"state":"unplanned_stop","#,
                r#""state_since":"2025-12-31T23:59:59.000000Z","stop_reason":"jam","total":123,"reject":4,"#,
                r#""spindle_temperature":61.2,"vibration_velocity":1.9,"active_power":4.4}"#
            )
        );
    }

    #[test]
    fn a_signal_that_was_not_measured_is_left_out_and_not_counted() {
        let telemetry = Telemetry { active_power: None, ..TELEMETRY };
        assert_eq!(telemetry.readings(), 2);
        assert!(!String::from_utf8(telemetry.to_json("9f", 1)).unwrap().contains("active_power"));
    }
}
