//! The machines: what they measure, how it gets to the gateway, and the account that they keep of it.
//!
//! Four kinds, by what a gateway can know of them. Values are whole numbers below 2^24, drawn at random: sums of them are exact, and two
//! different sets of readings practically never have the same count and sum.
//!
//! A reading is *sampled* when its message is handed to the gateway's broker for the first time, or when a poll had the device make it. A
//! publisher with sequence numbers keeps what it could not hand over, and sends again what was not acknowledged when the gateway went away;
//! others send once. Invariant: the numbers of a session are handed over without a gap.

use std::{collections::VecDeque, fmt::Write as _};

use bytes::Bytes;
use gateway::decode::modbus::{Block, Outcome, PollResult, Read, ReadPlan};

use crate::{
    books::{MachineTruth, Reading, SeriesTruth, Truth},
    queue::{MILLISECOND, Micros, SECOND},
    random::{Concern, Dice},
};

/// Wall time at the beginning of a run: 2026-03-02T06:00:00Z.
pub const EPOCH: i64 = 1_772_431_200_000_000;

/// The true wall time of a moment of the run.
pub fn wall(at: Micros) -> i64 {
    EPOCH + i64::try_from(at).unwrap_or(i64::MAX / 4)
}

/// What a publisher keeps at most; then the machine makes nothing.
const BACKLOG: usize = 40;
/// An acknowledgement takes at most so long.
const ROUND_TRIP: Micros = 200 * MILLISECOND;

const STATES: [&str; 3] = ["producing", "idle", "unplanned_stop"];

/// What a gateway can know of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// MQTT with session, sequence and time stamp.
    Sequenced,
    /// MQTT with a time stamp.
    Plain,
    /// MQTT without: the time of arrival counts.
    Bare,
    /// Polled over Modbus, with a sequence register.
    Polled,
}

/// A message on its way.
#[derive(Debug, Clone)]
struct Outgoing {
    made: Made,
    payload: Bytes,
    handed_over: Option<Micros>,
}

#[derive(Debug, Clone)]
struct Made {
    at: Micros,
    values: Vec<u32>,
    produced: u64,
    rejected: u64,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    pub kind: Kind,
    pub path: String,
    pub topic: Bytes,
    pub period: Micros,
    signals: usize,
    first_series: usize,
    session: u64,
    seq: u64,
    produced: u64,
    rejected: u64,
    state: usize,
    state_since: Micros,
    outbox: VecDeque<Outgoing>,
    unacknowledged: VecDeque<Outgoing>,
}

/// All machines and the account of what they sampled.
#[derive(Debug)]
pub struct Plant {
    pub machines: Vec<Machine>,
    pub truth: Truth,
    dice: Dice,
    /// Until then no parts are made, so that counting begins the same wherever the first message got to.
    quiet_until: Micros,
    /// Readings are counted and forgotten: for long runs that are not checked one by one.
    pub forgetful: bool,
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub machines: usize,
    /// Fewest and most of a machine.
    pub signals: (usize, usize),
    /// Shortest and longest period of a machine.
    pub period: (Micros, Micros),
    pub quiet_until: Micros,
}

impl Plant {
    /// Machines of all kinds, drawn from the seed.
    pub fn drawn(seed: u64, size: Size) -> Self {
        let mut dice = Dice::of(seed, Concern::Sensors);
        let kinds: Vec<Kind> =
            (0..size.machines).map(|_| dice.pick(&[Kind::Sequenced, Kind::Sequenced, Kind::Polled, Kind::Plain, Kind::Bare])).collect();
        Self::of(dice, &kinds, size)
    }

    /// Machines of these kinds.
    pub fn of(mut dice: Dice, kinds: &[Kind], size: Size) -> Self {
        let mut truth = Truth::default();
        let mut machines = Vec::new();
        for (index, kind) in kinds.iter().copied().enumerate() {
            let path = format!("plant/hall/line/m{index}");
            let signals = dice.between(size.signals.0 as u64, size.signals.1 as u64) as usize;
            let topic = Bytes::from(format!("{path}/{}", kind_name(kind)));
            // A counter of 16 bits wraps within a run; its first value is where counting begins.
            let produced = if kind == Kind::Polled { 65_530 } else { dice.below(1_000) };
            let first_series = truth.series.len();
            for signal in 0..signals {
                let sequenced = matches!(kind, Kind::Sequenced | Kind::Polled);
                truth.series.push(SeriesTruth { asset: path.clone(), signal: format!("s{signal}"), sequenced, ..SeriesTruth::default() });
            }
            truth.machines.push(MachineTruth { asset: path.clone(), ..MachineTruth::default() });
            machines.push(Machine {
                kind,
                path,
                topic,
                period: dice.between(size.period.0, size.period.1),
                signals,
                first_series,
                session: 1,
                seq: 0,
                produced,
                rejected: 0,
                state: 0,
                state_since: 0,
                outbox: VecDeque::new(),
                unacknowledged: VecDeque::new(),
            });
        }
        Self { machines, truth, dice, quiet_until: size.quiet_until, forgetful: false }
    }

    /// The sections of a gateway's configuration that describe these machines.
    pub fn config(&self) -> String {
        let mut text = String::new();
        let common = "state = \"state\"\nstate_since = \"since\"\ntotal_counter = \"total\"\nreject_counter = \"reject\"\n";
        let stamp = "timestamp = \"ts\"\n";
        let sequence = "sequence = \"seq\"\nsession = \"session\"\n";
        for (kind, fields) in [(Kind::Sequenced, [stamp, sequence]), (Kind::Plain, [stamp, ""]), (Kind::Bare, ["", ""])] {
            let name = kind_name(kind);
            let [stamp, sequence] = fields;
            let _ = write!(text, "[[topic]]\ntemplate = \"{{site}}/{{area}}/{{line}}/{{machine}}/{name}\"\n{stamp}{sequence}{common}");
        }
        for machine in self.machines.iter().filter(|machine| machine.kind == Kind::Polled) {
            let name = machine.path.rsplit('/').next().unwrap_or_default();
            let _ = write!(
                text,
                "[[modbus]]\nname = \"{name}\"\naddress = \"127.0.0.1:502\"\nasset = \"{}\"\ninterval = \"{}ms\"\n\
                 sequence = {{ address = 0, type = \"uint32\" }}\nsession = {{ address = 2 }}\n\
                 state = {{ address = 3, map = {{ 0 = \"producing\", 1 = \"idle\", 2 = \"unplanned_stop\" }} }}\n\
                 state_elapsed_ms = {{ address = 4, type = \"uint32\" }}\n\
                 total_counter = {{ address = 6 }}\nreject_counter = {{ address = 7 }}\n",
                machine.path,
                machine.period / MILLISECOND
            );
            for signal in 0..machine.signals {
                let _ = write!(text, "[[modbus.register]]\nsignal = \"s{signal}\"\naddress = {}\ntype = \"uint32\"\n", 8 + 2 * signal);
            }
        }
        text
    }

    /// A publisher measures once; the message waits in it. Nothing for a machine that is polled, or that has too much waiting.
    pub fn measure(&mut self, machine: usize, at: Micros) {
        let entry = &self.machines[machine];
        if entry.kind == Kind::Polled || entry.outbox.len() >= BACKLOG {
            return;
        }
        let made = self.make(machine, at);
        let entry = &mut self.machines[machine];
        let mut payload = String::with_capacity(160);
        payload.push('{');
        if entry.kind != Kind::Bare {
            let _ = write!(payload, "\"ts\":{},", wall(at));
        }
        if entry.kind == Kind::Sequenced {
            entry.seq += 1;
            let _ = write!(payload, "\"session\":\"s{}\",\"seq\":{},", entry.session, entry.seq);
        }
        let (state, since) = (STATES[entry.state], wall(entry.state_since));
        let _ = write!(payload, "\"state\":\"{state}\",\"since\":{since},\"total\":{},\"reject\":{}", made.produced, made.rejected);
        for (signal, value) in made.values.iter().enumerate() {
            let _ = write!(payload, ",\"s{signal}\":{value}");
        }
        payload.push('}');
        entry.outbox.push_back(Outgoing { made, payload: payload.into(), handed_over: None });
        if entry.kind != Kind::Sequenced && entry.outbox.len() > 1 {
            // Without a session nothing is kept for later.
            entry.outbox.pop_front();
        }
    }

    /// The next message for a gateway that is there. `trusted`: the gateway's clock is right.
    pub fn hand_over(&mut self, machine: usize, at: Micros, trusted: bool) -> Option<Bytes> {
        let mut message = self.machines[machine].outbox.pop_front()?;
        if message.handed_over.is_none() {
            self.sampled(machine, &message.made, at, trusted);
        }
        message.handed_over = Some(at);
        let payload = message.payload.clone();
        let entry = &mut self.machines[machine];
        if entry.kind == Kind::Sequenced {
            entry.unacknowledged.push_back(message);
            while entry.unacknowledged.front().is_some_and(|m| m.handed_over.is_none_or(|then| then + ROUND_TRIP < at)) {
                entry.unacknowledged.pop_front();
            }
        }
        Some(payload)
    }

    /// The gateway went away: of what it was given last, some had not been acknowledged and will be sent again.
    pub fn disconnected(&mut self, at: Micros) {
        for entry in &mut self.machines {
            let recent = entry.unacknowledged.iter().filter(|m| m.handed_over.is_some_and(|then| then + ROUND_TRIP >= at)).count();
            let mut again = self.dice.below(recent as u64 + 1);
            while again > 0
                && let Some(message) = entry.unacknowledged.pop_back()
            {
                entry.outbox.push_front(message);
                again -= 1;
            }
            entry.unacknowledged.clear();
            if entry.kind != Kind::Sequenced {
                entry.outbox.clear();
            }
        }
    }

    /// A publisher starts anew: a new session, and what it had not handed over is gone with it. Not for a machine that is polled: its counters
    /// are so short that a new session and a wrap at the same time can't be told apart.
    pub fn renew(&mut self, machine: usize, at: Micros) {
        let entry = &mut self.machines[machine];
        if entry.kind == Kind::Polled {
            return;
        }
        entry.outbox.clear();
        entry.unacknowledged.clear();
        entry.session += 1;
        entry.seq = 0;
        self.truth.machines[machine].renewed.push(wall(at));
    }

    /// A poll of a machine. With `lost` the device answers, but the answer does not come.
    pub fn poll(&mut self, machine: usize, at: Micros, plan: &ReadPlan, (trusted, lost): (bool, bool)) -> PollResult {
        let made = self.make(machine, at);
        self.sampled(machine, &made, at, trusted);
        let entry = &mut self.machines[machine];
        entry.seq += 1;
        if lost {
            for series in 0..entry.signals {
                self.truth.series[entry.first_series + series].lost_on_the_way += 1;
            }
            let reads = plan.blocks.iter().map(|block| Read { block: *block, outcome: Outcome::Timeout }).collect();
            return PollResult { reads };
        }
        let elapsed = (at.saturating_sub(entry.state_since) / MILLISECOND) as u32;
        let mut registers: Vec<u16> = Vec::with_capacity(8 + 2 * entry.signals);
        let wide = |number: u32| [(number >> 16) as u16, number as u16];
        registers.extend(wide(entry.seq as u32));
        registers.extend([entry.session as u16, entry.state as u16]);
        registers.extend(wide(elapsed));
        registers.extend([made.produced as u16, made.rejected as u16]);
        made.values.iter().for_each(|value| registers.extend(wide(*value)));
        let answer = |block: &Block| {
            let from = usize::from(block.address);
            let words = registers.get(from..from + usize::from(block.quantity));
            Read { block: *block, outcome: words.map_or(Outcome::Exception(2), |words| Outcome::Words(words.to_vec())) }
        };
        PollResult { reads: plan.blocks.iter().map(answer).collect() }
    }

    /// Nothing waits in any publisher.
    pub fn is_drained(&self) -> bool {
        self.machines.iter().all(|machine| machine.outbox.is_empty())
    }

    fn make(&mut self, machine: usize, at: Micros) -> Made {
        let entry = &mut self.machines[machine];
        let producing = entry.state == 0 && at >= self.quiet_until;
        let (parts, rejects) = (self.dice.below(4), self.dice.chance(100));
        if producing && parts > 0 {
            entry.produced += parts;
            entry.rejected += u64::from(rejects);
        }
        if self.dice.chance(30) && at >= self.quiet_until && at > entry.state_since + SECOND {
            entry.state = (entry.state + 1 + self.dice.below(2) as usize) % STATES.len();
            entry.state_since = at;
        }
        let values = (0..entry.signals).map(|_| self.dice.below(1 << 24) as u32).collect();
        Made { at, values, produced: entry.produced, rejected: entry.rejected }
    }

    fn sampled(&mut self, machine: usize, made: &Made, at: Micros, trusted: bool) {
        let entry = &self.machines[machine];
        let stamped = matches!(entry.kind, Kind::Sequenced | Kind::Plain);
        let event = if stamped { wall(made.at) } else { wall(at) };
        for (signal, value) in made.values.iter().enumerate() {
            let series = &mut self.truth.series[entry.first_series + signal];
            series.sampled += 1;
            if self.forgetful {
                continue;
            }
            series.readings.push(Reading { at: event, value: i64::from(*value), trusted });
        }
        let account = &mut self.truth.machines[machine];
        let first = account.first.get_or_insert((made.produced, made.rejected));
        account.produced = made.produced - first.0;
        account.rejected = made.rejected - first.1;
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Sequenced => "sequenced",
        Kind::Plain => "plain",
        Kind::Bare => "bare",
        Kind::Polled => "polled",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gateway::config::Config;

    use super::*;

    const SIZE: Size = Size { machines: 4, signals: (1, 3), period: (SECOND, SECOND), quiet_until: 0 };

    fn plant(kind: Kind) -> Plant {
        Plant::of(Dice::of(1, Concern::Sensors), &[kind], SIZE)
    }

    fn text(payload: Option<Bytes>) -> String {
        String::from_utf8(payload.expect("a message").to_vec()).unwrap()
    }

    #[test]
    fn the_configuration_of_every_kind_is_a_gateways() {
        let plant = Plant::of(Dice::of(1, Concern::Sensors), &[Kind::Sequenced, Kind::Plain, Kind::Bare, Kind::Polled], SIZE);
        let text = format!("[gateway]\nid = \"gw\"\n[broker]\n{}", plant.config());
        let config = Config::parse(Path::new("sim.toml"), &text, []).unwrap();
        assert_eq!((config.topics.len(), config.devices.len()), (3, 1));
        assert_eq!(config.devices[0].signals.len(), plant.machines[3].signals);
    }

    #[test]
    fn a_reading_is_sampled_once_however_often_it_is_sent() {
        let mut plant = plant(Kind::Sequenced);
        plant.measure(0, SECOND);
        assert!(plant.truth.series[0].readings.is_empty(), "it has not been handed over");
        let first = text(plant.hand_over(0, SECOND, true));
        assert!(first.contains("\"seq\":1,"), "{first}");
        let mut again = 0;
        for _ in 0..20 {
            plant.disconnected(SECOND);
            if let Some(payload) = plant.hand_over(0, SECOND, true) {
                assert_eq!(text(Some(payload)), first);
                again += 1;
            }
        }
        assert!(again > 0);
        assert_eq!(plant.truth.series[0].readings.len(), 1);
        assert!(plant.is_drained());
    }

    #[test]
    fn what_was_acknowledged_is_not_sent_again() {
        let mut plant = plant(Kind::Sequenced);
        plant.measure(0, SECOND);
        plant.hand_over(0, SECOND, true);
        plant.disconnected(SECOND + ROUND_TRIP + 1);
        assert!(plant.hand_over(0, 9 * SECOND, true).is_none());
    }

    #[test]
    fn without_a_sequence_nothing_waits_for_a_gateway() {
        let mut plant = plant(Kind::Plain);
        plant.measure(0, SECOND);
        plant.disconnected(SECOND);
        assert!(plant.hand_over(0, 2 * SECOND, true).is_none());
        assert!(plant.truth.series[0].readings.is_empty());
    }

    #[test]
    fn a_lost_answer_is_a_reading_made_and_a_number_used() {
        let mut plant = plant(Kind::Polled);
        let text = format!("[gateway]\nid = \"gw\"\n[broker]\n{}", plant.config());
        let config = Config::parse(Path::new("sim.toml"), &text, []).unwrap();
        let device = &config.devices[0];
        assert!(plant.poll(0, SECOND, &device.plan, (true, true)).is_silent());
        let answer = plant.poll(0, 2 * SECOND, &device.plan, (true, false));
        let sequence = device.points.iter().find(|point| point.role == gateway::decode::modbus::Role::Sequence).unwrap();
        assert_eq!(answer.value(sequence).unwrap().as_u64(), Some(2));
        let series = &plant.truth.series[0];
        assert_eq!((series.readings.len(), series.lost_on_the_way), (2, 1));
        let value = device.points.iter().find(|point| point.role == gateway::decode::modbus::Role::Signal(0)).unwrap();
        assert_eq!(answer.value(value).unwrap().as_u64(), u64::try_from(series.readings[1].value).ok());
    }
}
