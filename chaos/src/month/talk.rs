//! What a machine says of its life: a message with each change of state and each period, with counters as a device has them.
//!
//! Between the life and the gateway. Invariant: a message says what is so at its moment, never what will be.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{
    machine::{Kind, Life, Spec},
    seconds,
};

/// A message, and when it was made.
#[derive(Debug, Clone)]
pub struct Message {
    pub at: i64,
    pub payload: Bytes,
}

/// Goes through a machine's life, message by message.
#[derive(Debug)]
pub struct Talker {
    pub topic: Bytes,
    next_stretch: usize,
    next_period: i64,
    next_part: usize,
    next_off: usize,
    total: u64,
    rejected: u64,
    session: u64,
    seq: u64,
}

impl Talker {
    /// Messages come at `phase` after full periods: machines of one gateway speak together, as those do that a cell's controller speaks for.
    pub fn new(spec: &Spec, life: &Life, phase: i64) -> Self {
        let next_period = life.span.0 - life.span.0.rem_euclid(spec.period) + spec.period + phase;
        // Short counters are to wrap soon.
        let total = (1_u64 << spec.counter_bits.min(16)) - 1_500;
        let topic = Bytes::from(format!("{}/{}", asset(spec), kind_name(spec.kind)));
        Self { topic, next_stretch: 0, next_period, next_part: 0, next_off: 0, total, rejected: 0, session: 1, seq: 0 }
    }

    /// When the next message comes.
    pub fn next_at(&self, spec: &Spec, life: &Life) -> Option<i64> {
        let change = life.stretches.get(self.next_stretch).map_or(i64::MAX, |stretch| stretch.from);
        // Without power it says nothing.
        let off = spec.off.iter().find(|off| off.0 < self.next_period && self.next_period <= off.1);
        let period =
            off.map_or(self.next_period, |off| self.next_period + (off.1 - self.next_period) / spec.period * spec.period + spec.period);
        let at = change.min(period);
        (at < life.span.1).then_some(at)
    }

    /// The message of that moment.
    pub fn speak(&mut self, spec: &Spec, life: &Life, at: i64) -> Message {
        while life.stretches.get(self.next_stretch).is_some_and(|stretch| stretch.from <= at) {
            self.next_stretch += 1;
        }
        while self.next_period <= at {
            self.next_period += spec.period;
        }
        if let Some(off) = spec.off.get(self.next_off)
            && off.1 <= at
        {
            (self.total, self.rejected, self.seq) = (0, 0, 0);
            self.session += 1;
            self.next_off += 1;
        }
        while let Some(part) = life.parts.get(self.next_part).filter(|part| part.at <= at) {
            self.total += 1;
            self.rejected += u64::from(part.rejected);
            self.next_part += 1;
        }
        self.seq += 1;
        Message { at, payload: self.payload(spec, life, at) }
    }

    fn payload(&self, spec: &Spec, life: &Life, at: i64) -> Bytes {
        let mask = (1_u64 << spec.counter_bits) - 1;
        let mut text = String::with_capacity(200);
        text.push('{');
        if spec.kind != Kind::Bare {
            let _ = write!(text, "\"ts\":{at},");
        }
        if spec.kind == Kind::Sequenced {
            let _ = write!(text, "\"session\":\"s{}\",\"seq\":{},", self.session, self.seq);
        }
        if let Some(stretch) = self.next_stretch.checked_sub(1).and_then(|index| life.stretches.get(index)) {
            let _ = write!(text, "\"state\":\"{}\",\"since\":{},\"reason\":\"{}\",", stretch.state.as_str(), stretch.from, stretch.reason);
        }
        let load = 40 + at / seconds(1) % 21;
        let _ = write!(text, "\"total\":{},\"reject\":{},\"load\":{load}}}", self.total & mask, self.rejected & mask);
        text.into()
    }
}

pub fn asset(spec: &Spec) -> String {
    format!("plant/hall/line{}/{}", spec.gateway + 1, spec.name)
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Sequenced => "sequenced",
        Kind::Plain => "plain",
        Kind::Bare => "bare",
    }
}

/// The gateway's configuration for machines of all kinds.
pub fn config(gateway: usize) -> String {
    let mut text = format!(
        "[gateway]\nid = \"gw{}\"\n[collector]\nurl = \"https://localhost:1\"\n[broker]\n[window]\nlength = \"60s\"\n\
         [durability]\ninterval = \"10s\"\n",
        gateway + 1
    );
    let facts = "state = \"state\"\nstop_reason = \"reason\"\ntotal_counter = \"total\"\nreject_counter = \"reject\"\n";
    let stamp = "timestamp = \"ts\"\nstate_since = \"since\"\n";
    let sequence = "sequence = \"seq\"\nsession = \"session\"\n";
    for (kind, fields, bits) in [(Kind::Sequenced, [stamp, sequence], 16), (Kind::Plain, [stamp, ""], 32), (Kind::Bare, ["", ""], 16)] {
        let (name, [stamp, sequence]) = (kind_name(kind), fields);
        let _ = write!(
            text,
            "[[topic]]\ntemplate = \"{{site}}/{{area}}/{{line}}/{{machine}}/{name}\"\ncounter_bits = {bits}\n{stamp}{sequence}{facts}"
        );
    }
    text
}
