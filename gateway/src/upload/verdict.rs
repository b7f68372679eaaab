//! What an answer of the collector means for the request under way: the second half of [`Courier`].

use std::time::Duration;

use protocol::{Ack, BatchAck, DATA, LANES, Loss, LossReason, StreamId, Want, batch};
use spool::{GenerationView, Lane, LaneView, Spool, SpoolTime};

use super::{
    assemble::{MAX_ENTRIES, MAX_PEEK_BYTES},
    breaker::{LONGEST_WAIT, after},
    courier::{Cargo, Courier, DeadLetter, Flight, STUCK, Sent, Suspect},
    queue::{self, Class},
    replace::Level,
};
use crate::{clock::Now, drive::Dropped};

/// Without a certificate that the collector takes, asking often helps nobody.
const UNWELCOME: Duration = Duration::from_secs(30);
/// A collector that takes no batch at all is of another version.
const FOREIGN: Duration = Duration::from_secs(10);
/// After so long without an answer live data is kept apart from what has gathered.
const OUTAGE_US: u64 = 30_000_000;
/// A stream is sent again at most so often because the collector wants it.
const REWIND_US: u64 = 60_000_000;
/// A batch of the backlog takes between these, if its size can be set so: the next live one waits behind it.
const QUICK_US: u64 = 250_000;
const SLOW_US: u64 = 1_000_000;
const MIN_BYTES: usize = 16 * 1024;

/// The answer to one request.
#[derive(Debug, Clone)]
pub enum Answer {
    Ack(BatchAck),
    /// The content was refused: sending the same again would be refused again.
    Refused {
        status: u16,
        detail: String,
    },
    /// The gateway was refused.
    Unwelcome {
        reason: String,
        after: Option<Duration>,
    },
    /// Not now.
    Wait {
        reason: String,
        /// As the collector asked.
        after: Option<Duration>,
    },
}

impl Courier {
    /// Takes the answer to the request under way; `random` is uniform in `0.0..1.0`. Returns what was lost for good.
    pub fn answered(&mut self, spool: &Spool, now: Now, answer: Answer, random: f64) -> Vec<Dropped> {
        let Some(flight) = self.in_flight.take() else { return Vec::new() };
        match answer {
            Answer::Ack(ack) => return self.acked(spool, now, flight, &ack, random),
            Answer::Refused { status, detail } => self.refused(now, flight, &format!("{status} {detail}"), random),
            Answer::Unwelcome { reason, after } => {
                self.failed(now, reason, after.unwrap_or_default().max(UNWELCOME), random);
            }
            Answer::Wait { reason, after: Some(after) } => {
                self.complain(now, reason);
                self.gate.asked(now.mono_us, after, random);
            }
            Answer::Wait { reason, after: None } => self.failed(now, reason, Duration::ZERO, random),
        }
        Vec::new()
    }

    fn acked(&mut self, spool: &Spool, now: Now, flight: Flight, ack: &BatchAck, random: f64) -> Vec<Dropped> {
        if ack.stream != flight.stream {
            self.failed(now, "the collector acknowledged another stream".into(), Duration::ZERO, random);
            return Vec::new();
        }
        let Flight { stream, sent_us, cargo } = flight;
        let class = if let Cargo::Entries(sent) = &cargo { Some(sent.class) } else { None };
        let dropped = match (cargo, ack.ack) {
            (Cargo::Heartbeat, _) => Ok(Vec::new()),
            (Cargo::Proof(suspect), _) => {
                self.condemn(suspect, now);
                Ok(Vec::new())
            }
            (Cargo::Entries(sent), Ack::Stored | Ack::Duplicate) => {
                self.resize(now, sent_us, sent.class);
                self.taken(spool, now, stream, &sent, ack)
            }
            (Cargo::Entries(sent), Ack::Gap { expected }) => self.gap(spool, now, stream, &sent, expected).map(|()| Vec::new()),
            (Cargo::Entries(_), Ack::Heartbeat) => Err("the collector took a batch for a heartbeat".to_owned()),
        };
        match dropped {
            Ok(dropped) => {
                self.contact(spool, now);
                self.pace(now, ack, class);
                self.give_again(spool, now, &ack.wants);
                dropped
            }
            Err(reason) => {
                self.failed(now, reason, Duration::ZERO, random);
                Vec::new()
            }
        }
    }

    fn taken(&mut self, spool: &Spool, now: Now, stream: StreamId, sent: &Sent, ack: &BatchAck) -> Result<Vec<Dropped>, String> {
        let through = ack.acked_through.unwrap_or(0).min(sent.last);
        if through < sent.first {
            return Err(format!("the collector says that it has {} to {}, and acknowledges {through}", sent.first, sent.last));
        }
        let state = self.streams.entry(stream).or_default();
        state.entries = state.entries.map(|entries| entries * 2).filter(|entries| *entries < MAX_ENTRIES);
        if let Err(error) = spool.acknowledge(sent.ordinal, lane(sent.lane), through) {
            state.stuck_until = after(now.mono_us, STUCK);
            self.complain(now, format!("the spool can't be written: {error}"));
            return Ok(Vec::new());
        }
        state.replaced.take_if(|(seq, ..)| *seq <= through);
        if sent.class == Class::Backlog {
            self.catch_up_rate.add(now.mono_us, through - sent.first + 1);
        }
        // What was there already has been told before.
        let fresh = ack.ack == Ack::Stored;
        let mut told: Vec<Loss> = sent.told.iter().filter(|(seq, _)| fresh && *seq <= through).map(|(_, loss)| loss.clone()).collect();
        told.retain(|loss| matches!(loss.reason, LossReason::Rejected | LossReason::SpoolCorrupt));
        Ok(if told.is_empty() { Vec::new() } else { vec![Dropped::Told(told)] })
    }

    /// The collector misses entries before what was sent.
    fn gap(&mut self, spool: &Spool, now: Now, stream: StreamId, sent: &Sent, expected: u64) -> Result<(), String> {
        let to = expected.max(sent.floor).max(1);
        if to >= sent.first {
            // It was sent what it asks for, or the first that is held and told so: what is missing before it can't be had.
            return Err(format!("the collector wants entry {expected} first, and was sent {} to {}", sent.first, sent.last));
        }
        let state = self.streams.entry(stream).or_default();
        let again = state.rewound_at.replace(now.mono_us).is_some_and(|at| now.mono_us.saturating_sub(at) < REWIND_US);
        let back = spool.rewind(sent.ordinal, lane(sent.lane), to - 1);
        self.live_more = true;
        match back {
            Err(error) => Err(format!("the spool can't go back: {error}")),
            Ok(_) if again => Err(format!("the collector wants entry {expected} first, again")),
            Ok(_) => Ok(()),
        }
    }

    fn refused(&mut self, now: Now, flight: Flight, why: &str, random: f64) {
        let Cargo::Entries(sent) = flight.cargo else {
            return self.failed(now, format!("the collector takes no batch of this version: {why}"), FOREIGN, random);
        };
        self.gate.answered(now.mono_us);
        self.live_more = true;
        let count = usize::try_from(sent.last - sent.first + 1).unwrap_or(usize::MAX);
        self.complain(now, format!("the collector refused a batch of {count} entries: {why}"));
        if count > 1 {
            self.streams.entry(flight.stream).or_default().entries = Some(count / 2);
        } else {
            let payload = sent.payload.unwrap_or_default();
            self.suspect = Some(Suspect { stream: flight.stream, seq: sent.first, payload, why: why.to_owned() });
        }
    }

    /// The entry is not sent as it is any more, but as losses that say what it held.
    pub(super) fn condemn(&mut self, suspect: Suspect, now: Now) {
        let Suspect { stream, seq, payload, why } = suspect;
        let state = self.streams.entry(stream).or_default();
        let level = match &state.replaced {
            Some((known, Level::Plain, _)) if *known == seq => {
                state.stuck_until = after(now.mono_us, UNWELCOME);
                let refused = format!("the collector refuses entry {seq} of stream {stream} in any form: {why}");
                return self.complain(now, refused);
            }
            Some((known, Level::BySignal, _)) if *known == seq => Level::Plain,
            _ => {
                self.letters_total += 1;
                self.letters.push(DeadLetter { stream, seq, payload, why: why.clone(), at: now.wall });
                Level::BySignal
            }
        };
        state.replaced = Some((seq, level, why));
    }

    /// The collector answered, and of use.
    fn contact(&mut self, spool: &Spool, now: Now) {
        self.gate.answered(now.mono_us);
        self.trouble.clear();
        self.contact_at = Some(now.wall);
        let before = self.last_contact.replace(now.mono_us);
        if before.is_none_or(|at| now.mono_us.saturating_sub(at) > OUTAGE_US) {
            self.part_live(spool, now);
        }
    }

    /// After an outage: what has gathered becomes backlog, so that live data does not queue behind it.
    fn part_live(&mut self, spool: &Spool, now: Now) {
        let view = spool.view();
        let Some(current) = view.iter().find(|generation| generation.current) else { return };
        if more_than_a_batch(current)
            && let Err(error) = spool.rotate(SpoolTime(u64::try_from(now.wall.as_micros()).unwrap_or(0)))
        {
            tracing::warn!(%error, "live data goes behind what has gathered: no new generation");
        }
    }

    /// How long the collector asks us to wait.
    fn pace(&mut self, now: Now, ack: &BatchAck, class: Option<Class>) {
        if ack.hold_ms > 0 {
            self.gate.hold(now.mono_us, Duration::from_millis(ack.hold_ms.into()));
        }
        let held = after(now.mono_us, Duration::from_millis(ack.catch_up_hold_ms.into()).min(LONGEST_WAIT));
        self.catch_up_at = Some(match self.catch_up_at {
            // What was granted is not taken back by an answer to something else: each of these would put it off again.
            Some(granted) if class != Some(Class::Backlog) => granted.min(held),
            _ => held,
        });
    }

    /// The collector has lost what it had acknowledged.
    fn give_again(&mut self, spool: &Spool, now: Now, wants: &[Want]) {
        if wants.is_empty() {
            return;
        }
        let view = spool.view();
        for want in wants.iter().take(batch::MAX_ENTRIES) {
            let of = |generation: &&GenerationView| StreamId::of(generation.id, 0).generation() == want.stream.generation();
            let number = want.stream.lane();
            let Some(generation) = view.iter().find(of).filter(|_| number < LANES) else { continue };
            let held = &generation.lanes[number];
            let to = want.from.max(held.first).max(1);
            let state = self.streams.entry(want.stream).or_default();
            let recent = state.rewound_at.is_some_and(|at| now.mono_us.saturating_sub(at) < REWIND_US);
            if to > held.acked || recent {
                continue;
            }
            state.rewound_at = Some(now.mono_us);
            match spool.rewind(generation.ordinal, lane(number), to - 1) {
                Ok(_) => tracing::info!(stream = %want.stream, from = to, through = held.acked, "the collector wants this again"),
                Err(error) => tracing::warn!(stream = %want.stream, %error, "the collector wants this again, and the spool can't go back"),
            }
        }
    }

    /// Fits the size of a backlog's batches to the link.
    fn resize(&mut self, now: Now, sent_us: u64, class: Class) {
        if class == Class::Backlog {
            self.catch_up_bytes = match now.mono_us.saturating_sub(sent_us) {
                ..QUICK_US => self.catch_up_bytes * 2,
                QUICK_US..SLOW_US => self.catch_up_bytes,
                SLOW_US.. => self.catch_up_bytes / 2,
            };
            self.catch_up_bytes = self.catch_up_bytes.clamp(MIN_BYTES, MAX_PEEK_BYTES);
        }
    }

    fn failed(&mut self, now: Now, reason: String, at_least: Duration, random: f64) {
        self.complain(now, reason);
        self.gate.failed(now.mono_us, at_least, random);
        // A backlog waits until the collector has said again how fast it may come.
        self.catch_up_at = None;
    }

    pub(super) fn complain(&mut self, now: Now, reason: String) {
        self.last_error = (reason.clone(), Some(now.wall));
        self.trouble = reason;
    }
}

fn more_than_a_batch(generation: &GenerationView) -> bool {
    let entries = |lane: &LaneView| lane.next.saturating_sub(lane.first);
    let unsent = queue::unsent(&generation.lanes[DATA]);
    let all: u64 = generation.lanes.iter().map(entries).sum();
    let share = generation.bytes.saturating_mul(unsent) / all.max(1);
    unsent > MAX_ENTRIES as u64 || (unsent > 1 && share > MAX_PEEK_BYTES as u64)
}

fn lane(number: usize) -> Lane {
    Lane(u8::try_from(number).unwrap_or(u8::MAX))
}
