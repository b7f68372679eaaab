//! The generations of one gateway: which goes on from which, and how far each is here.
//!
//! Part of the ledger. Two generations that go on from one checkpoint, or a generation that went on after another had begun from it, show a gateway
//! that was restored from a backup. Then both tell what was open in that checkpoint; the one that comes second is not believed in that.

use std::collections::{BTreeMap, HashMap};

use protocol::{Descent, HeldStream, LANES, Parent, SeqRange, StreamId, Timestamp, Want};

use super::{Hole, Link, Mark};

/// How long a generation is remembered that nobody holds and that others have followed.
pub const KEEP_US: i64 = 90 * 86_400 * 1_000_000;
/// Streams of one gateway that are remembered.
pub const KEEP_STREAMS: usize = 10_000;
/// Streams that are waited for at a time.
const MAX_WAITING: usize = 64;
/// Streams that a status lists, and wants that an answer holds, at most: the limit of the protocol.
const MAX_HELD: usize = 4096;
/// Lanes that a stream's number can tell.
const ANY_LANES: usize = 4;

#[derive(Debug, Clone, Default)]
struct Generation {
    link: Option<Link>,
    marks: [Option<Mark>; ANY_LANES],
    /// When it last moved, or was held by the gateway.
    seen: Timestamp,
}

/// What was let go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forgotten {
    pub generations: Vec<u64>,
    /// Readings of branches that the gateway's books know nothing of, of all that was ever let go.
    pub foreign: u64,
}

/// What a gateway's books do not agree with the rows in, because it was restored from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Readings here (stored or booked) of runs that the gateway's books know nothing of.
    pub foreign: u64,
    /// Readings that its books say were delivered, and that are here by such a run.
    pub skipped: u64,
    /// The lake alone told some mark, so the two are not known.
    pub unknown: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Branches {
    generations: BTreeMap<u64, Generation>,
    children: HashMap<u64, Vec<u64>>,
    held: HashMap<StreamId, HeldStream>,
    /// What the gateway says of generations of which nothing may have come yet.
    told: HashMap<u64, Parent>,
    waiting: HashMap<StreamId, Timestamp>,
    /// The gateway once held something acknowledged that was not here: this collector, or a part of it, is older than what it said.
    missed: bool,
    forgotten: u64,
    /// The newest generation that the gateway holds.
    current: Option<u64>,
}

impl Branches {
    pub(crate) fn mark(&self, stream: StreamId) -> Option<Mark> {
        self.generations.get(&stream.generation())?.marks[stream.lane()]
    }

    pub(crate) fn link(&self, generation: u64) -> Option<Link> {
        self.generations.get(&generation)?.link
    }

    pub(crate) fn missed(&self) -> bool {
        self.missed
    }

    pub(super) fn set_link(&mut self, generation: u64, link: Link) {
        let known = self.generations.entry(generation).or_default();
        known.link = Some(link);
        known.seen = known.seen.max(link.since);
        if let Some(parent) = link.parent {
            let children = self.children.entry(parent.generation & !3).or_default();
            if !children.contains(&generation) {
                children.push(generation);
            }
        }
    }

    pub(super) fn remove_link(&mut self, generation: u64) {
        let Some(known) = self.generations.get_mut(&generation) else { return };
        let link = known.link.take();
        if known.marks.iter().all(Option::is_none) {
            self.generations.remove(&generation);
        }
        self.orphan(generation, link);
    }

    fn orphan(&mut self, generation: u64, link: Option<Link>) {
        if let Some(parent) = link.and_then(|link| link.parent)
            && let Some(children) = self.children.get_mut(&(parent.generation & !3))
        {
            children.retain(|child| *child != generation);
            if children.is_empty() {
                self.children.remove(&(parent.generation & !3));
            }
        }
    }

    /// Never moves a mark back.
    pub(super) fn raise(&mut self, stream: StreamId, mark: Mark) {
        let held = &mut self.generations.entry(stream.generation()).or_default().marks[stream.lane()];
        match held {
            Some(held) if held.through > mark.through => {}
            Some(held) if held.through == mark.through => {
                held.readings = held.readings.or(mark.readings);
                held.skipped = held.skipped.max(mark.skipped);
            }
            held => *held = Some(mark),
        }
        self.waiting.remove(&stream);
    }

    pub(super) fn put_back(&mut self, stream: StreamId, mark: Option<Mark>) {
        if let Some(generation) = self.generations.get_mut(&stream.generation()) {
            generation.marks[stream.lane()] = mark;
        }
    }

    pub(super) fn restore(&mut self, missed: bool, forgotten: u64) {
        self.missed |= missed;
        self.forgotten = self.forgotten.max(forgotten);
    }

    /// Takes in what the gateway says it holds. Batches may come out of order, so what it said is only as good as the newest batch.
    pub(super) fn heard(&mut self, streams: &[HeldStream], descents: &[Descent], now: Timestamp) {
        if streams.is_empty() {
            // It said nothing of its streams (or holds none): nothing can be concluded.
            return;
        }
        self.held = streams.iter().take(MAX_HELD).map(|held| (held.stream, *held)).collect();
        self.told = descents.iter().take(MAX_HELD).map(|told| (told.generation & !3, told.parent)).collect();
        self.current = streams.first().map(|held| held.stream.generation());
        for held in streams.iter().take(MAX_HELD) {
            if held.acked > self.mark(held.stream).map_or(0, |mark| mark.through) {
                self.missed = true;
            }
            if let Some(generation) = self.generations.get_mut(&held.stream.generation()) {
                generation.seen = generation.seen.max(now);
            }
        }
    }

    /// How far the gateway says that the stream was acknowledged, by whomever.
    pub(super) fn acknowledged(&self, stream: StreamId) -> u64 {
        self.held.get(&stream).map_or(0, |held| held.acked)
    }

    pub(super) fn wants(&self, streams: &[HeldStream]) -> Vec<Want> {
        let want = |held: &HeldStream| {
            let mark = self.mark(held.stream).map_or(0, |mark| mark.through);
            let from = held.first.max(mark.saturating_add(1));
            (held.acked > mark && from <= held.acked && from < held.next).then_some(Want { stream: held.stream, from })
        };
        streams.iter().filter_map(want).take(MAX_HELD).collect()
    }

    /// Whether `generation` goes on from a checkpoint after which its parent, or another child of it, has been heard of.
    pub(super) fn is_fork(&self, generation: u64, parent: Option<&Parent>) -> bool {
        let Some(parent) = parent else { return false };
        let siblings = self.children.get(&(parent.generation & !3)).into_iter().flatten();
        let went_on =
            |lane: usize| self.mark(StreamId::of(parent.generation, lane)).is_some_and(|mark| mark.through > parent.through[lane]);
        siblings.into_iter().any(|sibling| *sibling != generation) || (0..LANES).any(went_on)
    }

    /// The links of the generations that one with this parent goes on from, as far as the gateway has told them and none of their entries has come;
    /// the oldest first.
    pub(super) fn ancestors(&self, parent: Option<&Parent>, now: Timestamp) -> Vec<(u64, Link)> {
        let mut links = Vec::new();
        let mut next = parent.map(|parent| parent.generation & !3);
        while let Some(generation) = next.filter(|generation| links.len() < MAX_HELD && self.link(*generation).is_none()) {
            let Some(parent) = self.told.get(&generation) else { break };
            let known = links.iter().any(|(known, _)| *known == generation);
            if known {
                break;
            }
            links.push((generation, Link { parent: Some(*parent), forked: self.is_fork(generation, Some(parent)), since: now }));
            next = Some(parent.generation & !3);
        }
        links.reverse();
        links
    }

    /// The sequence of `stream` after which another run, believed in what it told of the checkpoint there, goes on.
    pub(super) fn limit(&self, stream: StreamId) -> Option<u64> {
        let children = self.children.get(&stream.generation())?.iter().filter_map(|child| self.link(*child)).filter(|link| !link.forked);
        children.filter_map(|link| link.parent?.through.get(stream.lane()).copied()).min()
    }

    /// What is missing at the end of the generations that `link` goes on from, and is not held any more. Only if this collector is known to be
    /// older than what it has acknowledged: otherwise it is the gateway that lost it (or thinned it out, or could not read it), and tells it.
    pub(super) fn gone(&self, link: &Link) -> Vec<(Hole, Mark)> {
        let mut gone = Vec::new();
        let mut next = link.parent.filter(|_| self.missed);
        for _ in 0..KEEP_STREAMS {
            let Some(parent) = next else { break };
            for lane in 0..LANES {
                let stream = StreamId::of(parent.generation, lane);
                let (through, readings) = (parent.through[lane], parent.readings[lane]);
                let mark = self.mark(stream).unwrap_or(Mark::NONE);
                let is_held = self.held.get(&stream).is_some_and(|held| held.first <= through);
                if mark.through < through && !is_held {
                    let missing = mark.readings.map(|here| readings.saturating_sub(here));
                    let range = SeqRange { first: mark.through + 1, last: through };
                    let hole = Hole { stream, range, readings: missing, acknowledged: true };
                    gone.push((hole, Mark { through, readings: Some(readings), skipped: mark.skipped }));
                }
            }
            next = self.link(parent.generation & !3).and_then(|link| link.parent);
        }
        let emptied = self.held.values().filter(|held| self.missed && held.first >= held.next);
        for held in emptied.filter(|held| self.current != Some(held.stream.generation())) {
            // No entry will come that could show the hole before it.
            let (mark, last) = (self.mark(held.stream).unwrap_or(Mark::NONE), held.next.saturating_sub(1));
            if mark.through < last && !gone.iter().any(|(hole, _)| hole.stream == held.stream) {
                let readings = self.readings_of(held.stream, last);
                let missing = mark.readings.zip(readings).map(|(here, all)| all.saturating_sub(here));
                let range = SeqRange { first: mark.through + 1, last };
                let hole = Hole { stream: held.stream, range, readings: missing, acknowledged: true };
                gone.push((hole, Mark { through: last, readings, skipped: mark.skipped }));
            }
        }
        gone
    }

    /// Readings of a stream through its end, if a generation that goes on from there told them.
    fn readings_of(&self, stream: StreamId, last: u64) -> Option<u64> {
        let children = self.children.get(&stream.generation())?;
        let parents = children.iter().filter_map(|child| self.link(*child)?.parent);
        let lane = stream.lane();
        parents.filter(|parent| parent.through.get(lane) == Some(&last)).find_map(|parent| parent.readings.get(lane).copied())
    }

    /// Whether the lake has been asked for a stream long enough after that was first wanted. Begins to wait if not.
    pub(super) fn has_waited(&mut self, stream: StreamId, now: Timestamp, patience_us: i64, lake_known_at: Timestamp) -> bool {
        if patience_us == 0 {
            return true;
        }
        if self.waiting.len() >= MAX_WAITING && !self.waiting.contains_key(&stream) {
            return false;
        }
        let since = *self.waiting.entry(stream).or_insert(now);
        lake_known_at.micros_since(since) >= patience_us
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Where the gateway's books and the rows part, seen from the generation that it now writes to.
    pub(crate) fn split(&self) -> Split {
        let mut split = Split { foreign: self.forgotten, ..Split::default() };
        let mut own: HashMap<u64, Option<Parent>> = HashMap::new();
        let (mut next, mut limit) = (self.current.or_else(|| self.newest()), None);
        while let Some(generation) = next.filter(|generation| !own.contains_key(generation)) {
            own.insert(generation, limit);
            limit = self.link(generation).and_then(|link| link.parent);
            next = limit.map(|parent| parent.generation & !3);
        }
        for (generation, known) in &self.generations {
            for (lane, mark) in known.marks.iter().enumerate().filter_map(|(lane, mark)| Some((lane, (*mark)?))) {
                let foreign = match own.get(generation) {
                    None => mark.readings.map(|readings| readings.saturating_sub(mark.skipped)),
                    Some(limit) => {
                        split.skipped = split.skipped.saturating_add(mark.skipped);
                        match limit.and_then(|parent| Some((*parent.through.get(lane)?, *parent.readings.get(lane)?))) {
                            Some((through, readings)) if mark.through > through => mark.readings.map(|here| here.saturating_sub(readings)),
                            _ => Some(0),
                        }
                    }
                };
                split.unknown |= foreign.is_none();
                split.foreign = split.foreign.saturating_add(foreign.unwrap_or(0));
            }
        }
        split
    }

    /// The generation last begun, as far as is known.
    fn newest(&self) -> Option<u64> {
        self.generations.iter().filter_map(|(id, known)| Some((known.link?.since, *id))).max().map(|(_, id)| id)
    }

    /// Whether all that the gateway says was acknowledged is here, and no more than that: then what it holds is exactly what is not here.
    pub(crate) fn agrees(&self) -> bool {
        self.held.values().all(|held| held.acked == self.mark(held.stream).map_or(0, |mark| mark.through))
    }

    /// When the run that now writes began from a checkpoint that another run had gone on from.
    pub(crate) fn forked_since(&self) -> Option<Timestamp> {
        let (mut next, mut hops) = (self.current.or_else(|| self.newest()), 0);
        while let Some(generation) = next.filter(|_| hops < KEEP_STREAMS) {
            let link = self.link(generation)?;
            if link.forked {
                return Some(link.since);
            }
            (next, hops) = (link.parent.map(|parent| parent.generation & !3), hops + 1);
        }
        None
    }

    /// When the newest run before a generation with this parent began that had gone on from a backup: what is told from before that has been told by
    /// another run.
    pub(super) fn tainted_before(&self, parent: Option<&Parent>) -> Option<Timestamp> {
        let (mut next, mut hops) = (parent.map(|parent| parent.generation & !3), 0);
        while let Some(generation) = next.filter(|_| hops < KEEP_STREAMS) {
            match self.link(generation) {
                Some(link) if link.forked => return Some(link.since),
                Some(link) => (next, hops) = (link.parent.map(|parent| parent.generation & !3), hops + 1),
                // It comes later (the newest is sent first): any fork may lie behind it.
                None => {
                    return self
                        .generations
                        .values()
                        .filter_map(|known| known.link)
                        .filter(|link| link.forked)
                        .map(|link| link.since)
                        .max();
                }
            }
        }
        None
    }

    pub(super) fn forget(&mut self, now: Timestamp) -> Forgotten {
        let split_before = self.split();
        let held: std::collections::HashSet<u64> = self.held.keys().map(|stream| stream.generation()).collect();
        let newest = self.newest();
        // A stream that is waited for and never offered again would be waited for for ever.
        self.waiting.retain(|_, since| now.micros_since(*since) < KEEP_US);
        let mut followed: Vec<(Timestamp, u64)> = self
            .generations
            .iter()
            .filter(|(id, _)| self.current != Some(**id) && !held.contains(id) && newest != Some(**id))
            .map(|(id, known)| (known.seen, *id))
            .collect();
        followed.sort();
        let mut surplus = self.streams().saturating_sub(KEEP_STREAMS);
        let mut forgotten = Forgotten::default();
        for (seen, id) in followed {
            if surplus == 0 && now.micros_since(seen) <= KEEP_US {
                break;
            }
            if let Some(known) = self.generations.remove(&id) {
                surplus = surplus.saturating_sub(known.marks.iter().flatten().count());
                self.orphan(id, known.link);
                forgotten.generations.push(id);
            }
        }
        if !forgotten.generations.is_empty() {
            // What the books know nothing of stays as it was reckoned.
            self.forgotten = self.forgotten.saturating_add(split_before.foreign.saturating_sub(self.split().foreign));
        }
        forgotten.foreign = self.forgotten;
        forgotten
    }

    pub(super) fn streams(&self) -> usize {
        self.generations.values().map(|known| known.marks.iter().flatten().count()).sum()
    }

    /// Generations that are known.
    pub(crate) fn generations(&self) -> usize {
        self.generations.len()
    }
}
