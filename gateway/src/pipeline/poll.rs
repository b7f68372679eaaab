//! Modbus polls: what the registers of an answer mean for the device's machine.
//!
//! A device with a sequence counts its own answers, so a poll without an answer is no reading lost: the next answer's number tells. Without
//! a sequence each signal that a poll should have read is counted.

use protocol::LossReason;

use super::{Pipeline, intake::Sample};
use crate::{
    clock::Now,
    config::{Config, Device, SourceId},
    decode::modbus::{PointError, PollResult, Role, state_of},
};

/// A device and its numbers in the registry.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) source: SourceId,
    pub(super) device: Device,
    /// `None` if there are too many assets.
    sender: Option<u32>,
    /// By index of the device's signals; `None` is one too many.
    signals: Vec<Option<u32>>,
}

impl Pipeline {
    /// Makes the configured devices known, so that no publisher can take their place under the limits.
    pub(super) fn register_devices(&mut self, config: &Config) {
        for (index, device) in config.devices.iter().enumerate() {
            let asset = self.registry.asset(&device.asset, &self.limits);
            let sender = asset.map(|asset| self.registry.sender(asset, &format!("modbus:{}", device.name)));
            let settings = (self.detectors.as_slice(), &self.limits);
            let signal = |spec: &crate::config::SignalSpec| asset.and_then(|a| self.registry.signal(a, &spec.name, &spec.unit, settings));
            let signals = device.signals.iter().map(signal).collect();
            self.polled.push(Polled { source: config.device_source(index), device: device.clone(), sender, signals });
        }
    }

    /// Takes the outcome of one poll of `config.devices[device]` in.
    pub fn poll(&mut self, now: Now, device: usize, result: &PollResult) {
        let mut sample = std::mem::take(&mut self.sample);
        sample.clear();
        if let Some(polled) = self.polled.get(device) {
            self.totals.messages += 1;
            let source = polled.source;
            let error = read(polled, result, &mut sample);
            let taken = polled.sender.map_or(0, |sender| self.take(now, sender, &sample));
            match (error, sample.bad.first()) {
                (Some(error), _) => self.source_error(source, &error.to_string()),
                (None, Some(bad)) => self.source_error(source, &bad.detail),
                (None, None) => self.source_data(source, now, taken),
            }
        }
        self.sample = sample;
    }
}

/// Decodes all points; gives the first error.
fn read(polled: &Polled, result: &PollResult, sample: &mut Sample) -> Option<PointError> {
    let device = &polled.device;
    let has_sequence = device.points.iter().any(|p| p.role == Role::Sequence);
    let mut first = None;
    let mut unread = Vec::new();
    for point in &device.points {
        let value = match result.value(point) {
            Ok(value) => value,
            Err(error) => {
                if let Role::Signal(index) = point.role {
                    unread.push((index, error.to_string()));
                }
                first.get_or_insert(error);
                continue;
            }
        };
        match point.role {
            Role::Signal(index) => {
                let spec = &device.signals[index];
                match polled.signals[index] {
                    Some(id) => sample.reading(id, value.as_f64() * spec.scale + spec.offset),
                    None => sample.bad(None, LossReason::Cardinality, 1, "more signals than the limit allows"),
                }
            }
            Role::Sequence => {
                sample.sequence = value.as_u64();
                sample.sequence_bits = point.kind.bits();
            }
            Role::Session => sample.session = value.as_u64(),
            Role::State => {
                sample.state = state_of(&device.state_map, value);
                if sample.state.is_none() {
                    sample.bad(None, LossReason::Malformed, 0, &format!("state code {} is not in map", value.as_f64()));
                }
            }
            Role::StateElapsedMs => sample.elapsed_us = value.as_u64().and_then(|ms| i64::try_from(ms.saturating_mul(1_000)).ok()),
            Role::TotalCounter => (sample.counts.total, sample.counter_bits[0]) = (value.as_u64(), point.kind.bits()),
            Role::RejectCounter => (sample.counts.reject, sample.counter_bits[1]) = (value.as_u64(), point.kind.bits()),
            Role::ReworkCounter => (sample.counts.rework, sample.counter_bits[2]) = (value.as_u64(), point.kind.bits()),
        }
    }
    // With a sequence of its own, only an answer that came counts as readings of the device.
    let count = u64::from(!has_sequence || sample.sequence.is_some());
    // Nothing came, and the device's own sequence will tell how much that was: the device is told, not each of its signals.
    let nothing_came = count == 0 && unread.len() == device.signals.len();
    for (index, detail) in unread.into_iter().filter(|_| !nothing_came) {
        sample.bad(polled.signals[index], LossReason::DeviceError, count, &detail);
    }
    if let Some(error) = &first
        && sample.bad.is_empty()
    {
        sample.bad(None, LossReason::DeviceError, 0, &error.to_string());
    }
    first
}
