//! The planner of delivery: decides what is sent next and what an answer means. Does no I/O but calls of the spool; the time, the answers
//! and the random numbers are given.
//!
//! ```text
//!              next()                                       answered()
//! spool.view --------> queue --assemble--> Step::Send  ...  Answer --> spool.acknowledge | rewind | rotate
//!                        ^                                   |
//!                        +---- holds, breaker, poison -------+
//! ```
//! One request is under way at a time. Before the first request of a generation the spool is told so (*touched*), so that it is not
//! thinned out any more: what the collector may have must stay as it is.
//!
//! What the collector can't take is told apart:
//!
//! | answer | what is done |
//! |---|---|
//! | acknowledged | through what it has, and never beyond what was sent |
//! | a gap | back to what it wants, if that is held; else from the first that is held, and it books the hole |
//! | wants | back to what it wants, once a minute for each stream |
//! | `Retry-After` | waits so long |
//! | 400, 413, 422 | fewer entries of this stream; a single one that is refused while a heartbeat is taken is poison: `replace` |
//! | 401, 403 | not (or no more) enrolled: says so, tries again rarely |
//! | anything else, no connection | decorrelated jitter up to a minute, and the breaker |
//!
//! Invariants: an entry is acknowledged to the spool only after an answer that covers it, in a stream and range that was sent; entries of
//! a stream are sent in order; a backlog that the collector holds back never holds back what is live or urgent.

use std::{collections::BTreeMap, time::Duration};

use protocol::{DATA, EntryStamp, GatewayId, GatewayStatus, LANES, Loss, Record, SeqRange, StreamId, TimeQuality, Timestamp, URGENT};
use spool::{GenerationView, Lane, Spool};

use super::{
    assemble::{self, Assembled, MAX_ENTRIES, MAX_PEEK_BYTES, Order, Outcome},
    breaker::{Breaker, Gate, after},
    queue::{self, Candidate, Class},
    rate::Rate,
    replace::Level,
};
use crate::{clock::Now, config::CatchUp, entry};

/// After so long without an answer a heartbeat is sent, so that a collector hears from a gateway at least every 5 s.
pub const HEARTBEAT: Duration = Duration::from_secs(4);
/// A stream that can't be read, or whose plainest form is refused, is left alone for so long.
pub(super) const STUCK: Duration = Duration::from_secs(10);
const MIN_PEEK_BYTES: usize = 32 * 1024;

/// Shifts the times of records that were made before the time was known; returns the entry's stamp as it then is.
pub type Rebase<'a> = &'a dyn Fn(&EntryStamp, &mut [Record]) -> EntryStamp;

/// What a courier is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    pub gateway: GatewayId,
    pub catch_up: CatchUp,
    /// Batches of live data keep this distance, so that they fill.
    pub interval: Duration,
}

/// What to do now.
#[derive(Debug)]
pub enum Step {
    /// Send this, and give the answer to [`Courier::answered`].
    Send(Request),
    /// There is something to send, but not before so long; ask again then, or when there is something new.
    Wait(Duration),
    /// Nothing to send; ask again when there is something new, and within [`HEARTBEAT`].
    Idle,
}

/// A request to the collector.
#[derive(Debug, Clone)]
pub struct Request {
    pub body: Vec<u8>,
    pub stream: StreamId,
    /// `None`: a heartbeat.
    pub range: Option<SeqRange>,
    pub catch_up: bool,
}

/// An entry that the collector refuses for good, for a person to look at.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub stream: StreamId,
    pub seq: u64,
    /// As it is in the spool.
    pub payload: Vec<u8>,
    pub why: String,
    pub at: Timestamp,
}

/// How delivery goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The last request was answered, and of use.
    pub connected: bool,
    pub last_contact_at: Option<Timestamp>,
    pub breaker: Breaker,
    /// Why nothing is uploaded; empty if nothing stands in the way.
    pub trouble: String,
    pub last_error: String,
    pub last_error_at: Option<Timestamp>,
    /// Entries that are not acknowledged, by lane.
    pub backlog: [u64; LANES],
    /// Of those in [`DATA`], those of earlier generations.
    pub catch_up_entries: u64,
    /// Entries of the backlog that were taken, by second.
    pub catch_up_rate: f64,
    /// How long the collector holds the backlog back.
    pub catch_up_held: Duration,
    pub dead_letters_total: u64,
    pub oldest_unsent: Option<Timestamp>,
}

/// The planner.
#[derive(Debug)]
pub struct Courier {
    pub(super) settings: Settings,
    pub(super) gate: Gate,
    pub(super) streams: BTreeMap<StreamId, StreamState>,
    pub(super) in_flight: Option<Flight>,
    /// Found refused, to be sent after a heartbeat has shown that it is not us.
    pub(super) suspect: Option<Suspect>,
    pub(super) last_contact: Option<u64>,
    /// The same in wall time.
    pub(super) contact_at: Option<Timestamp>,
    /// Live data goes at this moment (monotonic), or at once if the last batch was full.
    live_at: u64,
    pub(super) live_more: bool,
    /// The backlog goes at this moment; `None` as long as the collector has not said.
    pub(super) catch_up_at: Option<u64>,
    pub(super) catch_up_bytes: usize,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) letters_total: u64,
    pub(super) trouble: String,
    pub(super) last_error: (String, Option<Timestamp>),
    pub(super) catch_up_rate: Rate,
    backlog: ([u64; LANES], u64),
    oldest: Option<((u64, usize, u64), Timestamp)>,
    finishing: bool,
}

/// What is kept of a stream beside what the spool knows.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    /// Entries of a batch at most, after some were refused.
    pub(super) entries: Option<usize>,
    /// This entry is replaced by losses.
    pub(super) replaced: Option<(u64, Level, String)>,
    /// Left alone until then (monotonic).
    pub(super) stuck_until: u64,
    pub(super) rewound_at: Option<u64>,
}

/// The request under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) stream: StreamId,
    pub(super) sent_us: u64,
    pub(super) cargo: Cargo,
}

#[derive(Debug)]
pub(super) enum Cargo {
    Heartbeat,
    /// Whether a heartbeat is taken while this is refused.
    Proof(Suspect),
    Entries(Sent),
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) ordinal: u64,
    pub(super) lane: usize,
    pub(super) class: Class,
    pub(super) floor: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) told: Vec<(u64, Loss)>,
    pub(super) payload: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) stream: StreamId,
    pub(super) seq: u64,
    pub(super) payload: Vec<u8>,
    pub(super) why: String,
}

impl Courier {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            gate: Gate::new(),
            streams: BTreeMap::new(),
            in_flight: None,
            suspect: None,
            last_contact: None,
            contact_at: None,
            live_at: 0,
            live_more: false,
            catch_up_at: None,
            catch_up_bytes: 4 * MIN_PEEK_BYTES,
            letters: Vec::new(),
            letters_total: 0,
            trouble: String::new(),
            last_error: (String::new(), None),
            catch_up_rate: Rate::default(),
            backlog: ([0; LANES], 0),
            oldest: None,
            finishing: false,
        }
    }

    /// What to do now. After [`Step::Send`], [`Courier::answered`] comes first, whatever became of the request.
    pub fn next(&mut self, spool: &Spool, now: Now, status: GatewayStatus, rebase: Rebase<'_>) -> Step {
        let mono = now.mono_us;
        if self.in_flight.is_some() {
            return Step::Idle;
        }
        let view = spool.view();
        let queue = queue::queue(&view, self.settings.catch_up);
        self.take_stock(spool, &view, &queue);
        if let Some(wait) = self.gate.wait(mono) {
            return Step::Wait(wait);
        }
        let status = self.complete(status, &view, now);
        // Rows that were stamped provisionally are moved when they are sent: first let the collector say what time it is.
        let asks_time = self.last_contact.is_none() && status.time_quality == TimeQuality::Unsynced;
        if asks_time || self.gate.state(mono) == Breaker::HalfOpen {
            return self.heartbeat(&view, status, now, Cargo::Heartbeat);
        }
        if let Some(suspect) = self.suspect.take() {
            return self.heartbeat(&view, status, now, Cargo::Proof(suspect));
        }
        let mut wake: Option<u64> = None;
        for candidate in &queue {
            let due = self.due(candidate);
            if due > mono {
                wake = Some(wake.map_or(due, |wake| wake.min(due)));
            } else if let Some(request) = self.batch(spool, candidate, &status, now, rebase) {
                return Step::Send(request);
            }
        }
        if self.last_contact.is_none_or(|at| mono >= after(at, HEARTBEAT)) {
            return self.heartbeat(&view, status, now, Cargo::Heartbeat);
        }
        if queue.is_empty() {
            return Step::Idle;
        }
        // At the latest with the next heartbeat; at once never.
        let heartbeat = self.last_contact.map_or(mono, |at| after(at, HEARTBEAT));
        let wake = wake.map_or(heartbeat, |wake| wake.min(heartbeat));
        Step::Wait(Duration::from_micros(wake.saturating_sub(mono)).max(Duration::from_millis(1)))
    }

    /// The gateway ends: what is there goes out without waiting for batches to fill.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// What stood in the way may be gone (new certificates, a network that came up): waits end.
    pub fn try_now(&mut self) {
        self.gate.try_now();
    }

    /// Nothing can be sent, for a reason outside of the courier.
    pub fn unable(&mut self, now: Now, reason: String) {
        self.complain(now, reason);
    }

    /// Entries to be set aside; to be written before the next request is sent.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }

    /// How delivery goes, as of the last [`Courier::next`].
    pub fn report(&self, now: Now) -> Report {
        let held = self.catch_up_at.map_or(0, |at| at.saturating_sub(now.mono_us));
        Report {
            connected: self.trouble.is_empty() && self.contact_at.is_some(),
            last_contact_at: self.contact_at,
            breaker: self.gate.state(now.mono_us),
            trouble: self.trouble.clone(),
            last_error: self.last_error.0.clone(),
            last_error_at: self.last_error.1,
            backlog: self.backlog.0,
            catch_up_entries: self.backlog.1,
            catch_up_rate: self.catch_up_rate.per_second(now.mono_us),
            catch_up_held: Duration::from_micros(held),
            dead_letters_total: self.letters_total,
            oldest_unsent: self.oldest.map(|(_, at)| at),
        }
    }

    /// When a stream may be sent (monotonic).
    fn due(&self, candidate: &Candidate) -> u64 {
        let stuck = self.streams.get(&candidate.stream).map_or(0, |state| state.stuck_until);
        let due = match candidate.class {
            Class::Urgent => 0,
            Class::Live if self.finishing || self.live_more => 0,
            Class::Live => self.live_at,
            Class::Backlog => self.catch_up_at.unwrap_or(u64::MAX),
        };
        due.max(stuck)
    }

    /// A batch of this stream; `None` if it can't be made at the moment.
    fn batch(&mut self, spool: &Spool, candidate: &Candidate, status: &GatewayStatus, now: Now, rebase: Rebase<'_>) -> Option<Request> {
        // Each turn but the last one replaces the first entry by something plainer.
        for _ in 0..3 {
            let state = self.streams.entry(candidate.stream).or_default();
            let order = Order {
                candidate,
                gateway: &self.settings.gateway,
                max_entries: state.entries.unwrap_or(MAX_ENTRIES),
                max_bytes: if candidate.class == Class::Backlog { self.catch_up_bytes } else { MAX_PEEK_BYTES },
                replaced: state.replaced.as_ref().map(|(seq, level, why)| (*seq, *level, why.as_str())),
                now: now.wall,
            };
            let touched = if candidate.touched { Ok(()) } else { spool.touch(candidate.ordinal) };
            match touched.and_then(|()| assemble::assemble(spool, &order, status, rebase)) {
                Ok(Outcome::Ready(assembled)) => return Some(self.dispatch(candidate, *assembled, now)),
                Ok(Outcome::Nothing) => return None,
                Ok(Outcome::Unfit { seq, payload, why }) => {
                    let why = format!("it fits into no batch: {why}");
                    self.condemn(Suspect { stream: candidate.stream, seq, payload, why }, now);
                }
                Err(error) => {
                    state.stuck_until = after(now.mono_us, STUCK);
                    self.complain(now, format!("the spool can't be read: {error}"));
                    return None;
                }
            }
        }
        None
    }

    fn dispatch(&mut self, candidate: &Candidate, assembled: Assembled, now: Now) -> Request {
        let Assembled { body, floor, first, last, told, payload } = assembled;
        let Candidate { ordinal, lane, stream, class, held, .. } = *candidate;
        if class == Class::Live {
            self.live_at = after(now.mono_us, self.settings.interval);
            self.live_more = last + 1 < held.next;
        }
        let sent = Sent { ordinal, lane, class, floor, first, last, told, payload };
        self.in_flight = Some(Flight { stream, sent_us: now.mono_us, cargo: Cargo::Entries(sent) });
        Request { body, stream, range: Some(SeqRange { first, last }), catch_up: class == Class::Backlog }
    }

    fn heartbeat(&mut self, view: &[GenerationView], status: GatewayStatus, now: Now, cargo: Cargo) -> Step {
        let Some(current) = view.iter().find(|generation| generation.current).or(view.last()) else { return Step::Idle };
        let candidate = queue::candidate(current, DATA);
        let body = assemble::heartbeat(&self.settings.gateway, &candidate, status, now.wall);
        self.in_flight = Some(Flight { stream: candidate.stream, sent_us: now.mono_us, cargo });
        Step::Send(Request { body, stream: candidate.stream, range: None, catch_up: false })
    }

    /// What the spool knows better than whoever made the status.
    fn complete(&self, mut status: GatewayStatus, view: &[GenerationView], now: Now) -> GatewayStatus {
        status.streams = queue::held(view);
        status.descents = queue::descents(view);
        status.backlog_entries = self.backlog.0.iter().sum();
        status.books.held = queue::readings_held(view);
        let age = self.oldest.map_or(0, |(_, at)| now.wall.micros_since(at) / 1000);
        status.oldest_unsent_age_ms = u64::try_from(age).unwrap_or(0);
        status
    }

    fn take_stock(&mut self, spool: &Spool, view: &[GenerationView], queue: &[Candidate]) {
        let of = |lane: usize| queue.iter().filter(|candidate| candidate.lane == lane).map(Candidate::unsent).sum();
        let backlog = queue.iter().filter(|candidate| candidate.class == Class::Backlog).map(Candidate::unsent).sum();
        self.backlog = ([of(URGENT), of(DATA)], backlog);
        let oldest = queue.iter().min_by_key(|candidate| (candidate.ordinal, candidate.lane));
        self.oldest = oldest.map(|candidate| {
            let key = (candidate.ordinal, candidate.lane, candidate.from());
            let known = self.oldest.filter(|(of, _)| *of == key);
            (key, known.map_or_else(|| made_at(spool, candidate), |(_, at)| at))
        });
        if self.streams.len() > view.len() * LANES {
            let there =
                |stream: &StreamId| view.iter().any(|generation| StreamId::of(generation.id, 0).generation() == stream.generation());
            self.streams.retain(|stream, _| there(stream));
        }
    }
}

/// When the first unsent entry was made; if it can't be read, when its generation was begun.
fn made_at(spool: &Spool, candidate: &Candidate) -> Timestamp {
    let lane = Lane(u8::try_from(candidate.lane).unwrap_or(u8::MAX));
    let peek = spool.peek(candidate.ordinal, lane, candidate.from(), 1, 1).ok();
    let stamp = peek.and_then(|peek| entry::decode_stamp(&peek.entries.first()?.payload).ok().map(|(stamp, _)| stamp.wall));
    stamp.unwrap_or(Timestamp::from_micros(i64::try_from(candidate.opened_us).unwrap_or(i64::MAX)))
}
