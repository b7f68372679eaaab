//! Room in a spool that fills: the oldest data becomes coarser, or goes, and what goes is counted.
//!
//! Stands beside `commit`, which calls [`relieve`] before each append. A closed generation of which nothing was sent yet is replaced as a whole, in
//! one append: its urgent entries as they are, its data [`thin`]ned (or [`account`]ed for as losses), and what was lost in all (part [`OVERFLOW`] of
//! the checkpoint). Anything that the collector may have seen stays as it is: its sequences are taken.
//!
//! Invariants: the readings in a generation's summaries are in their replacements or in losses, by signal and range; no loss is forgotten.

use std::collections::BTreeMap;

use protocol::{
    AssetPath, DATA, EntryStamp, Loss, LossReason, PartCount, Record, SignalName, TimeQuality, Timestamp, URGENT, WindowSummary,
};
use spool::{Append, Checkpoint, GenerationView, Lane, Level, NewEntry, Room, Spool, SpoolError};

use crate::{
    clock::Now,
    commit::{BLOCK_RECORDS, Block, Relief, encode, spool_time},
    config::{DataOverflow, Overflow, UrgentOverflow},
    entry,
    ledger::{clip, loss_of},
    pipeline::{OVERFLOW, Relieved},
};

/// So many windows become one.
pub const JOINED: i64 = 12;
/// Thinning that leaves more than this share of the records is not worth its writing: then they go.
const WORTHWHILE: f64 = 0.5;
/// Entries are read in portions of so many bytes.
const PORTION: usize = 256 << 10;

/// What is to be done for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub ordinal: u64,
    pub data: DataOverflow,
    /// The urgent entries go too.
    pub urgent_goes: bool,
}

/// Which generation is to be replaced, if any may be: the oldest with data, or, when there is none and the spool is full, the oldest at all.
pub fn plan(view: &[GenerationView], room: &Room, policy: Overflow) -> Option<Plan> {
    if room.level == Level::Ample {
        return None;
    }
    let open = view.iter().filter(|generation| !generation.current && !generation.touched && !generation.acknowledged());
    let holds = |generation: &GenerationView, lane: usize| generation.lanes[lane].next > generation.lanes[lane].acked + 1;
    let mut with_data = open.clone().filter(|generation| holds(generation, DATA));
    if policy.data != DataOverflow::Refuse
        && let Some(oldest) = with_data.next()
    {
        return Some(Plan { ordinal: oldest.ordinal, data: policy.data, urgent_goes: false });
    }
    let mut urgent_alone = open.filter(|generation| !holds(generation, DATA) && holds(generation, URGENT));
    let oldest = urgent_alone.next().filter(|_| policy.urgent == UrgentOverflow::DropOldest && room.level == Level::Full)?;
    Some(Plan { ordinal: oldest.ordinal, data: policy.data, urgent_goes: true })
}

/// Makes room if it is short and something may go. Notes in `relief` what it cost.
///
/// # Errors
/// The spool could not be read or written; nothing was changed.
pub fn relieve(spool: &Spool, policy: Overflow, now: Now, boot_id: u64, relief: &mut Relief) -> Result<(), SpoolError> {
    let room = spool.room();
    if room.level == Level::Ample {
        return Ok(());
    }
    let view = spool.view();
    let Some(plan) = plan(&view, &room, policy) else { return Ok(()) };
    let Some(generation) = view.iter().find(|generation| generation.ordinal == plan.ordinal) else { return Ok(()) };
    let mut replacement = replace(spool, generation, plan, now)?;
    if plan.data == DataOverflow::Thin && !plan.urgent_goes && replacement.is_hardly_thinner() {
        replacement = replace(spool, generation, Plan { data: DataOverflow::DropOldest, ..plan }, now)?;
    }
    let Replacement { mut blocks, losses, lost, .. } = replacement;
    let losses: Vec<Loss> = losses.into_losses();
    let records: Vec<Record> = losses.iter().cloned().map(Record::Loss).collect();
    let stamp = now.stamp(boot_id, false);
    let mut unencodable = Vec::new();
    for chunk in records.chunks(BLOCK_RECORDS) {
        encode(URGENT, &stamp, chunk, &mut blocks, &mut unencodable);
    }
    let relieved = Relieved { lost: Relieved::read(&spool.checkpoint()).lost.saturating_add(lost) }.write();
    let entries: Vec<NewEntry<'_>> = blocks.iter().map(Block::entry).collect();
    let parts = [(OVERFLOW, Some(relieved.as_slice()))];
    let append = Append { entries: &entries, checkpoint: Checkpoint::Parts(&parts), retire: &[plan.ordinal], urgent: true };
    match spool.append(&append, spool_time(now)) {
        Ok(_) => {
            tracing::warn!(generation = plan.ordinal, lost, how = ?plan.data, "the spool is short of room: old data was replaced");
            relief.lost = relief.lost.saturating_add(lost);
            relief.losses.extend(losses.into_iter().filter(|loss| !plan.urgent_goes || loss.reason == LossReason::SpoolFull));
            relief.retired += 1;
            Ok(())
        }
        // The uploader came to it first.
        Err(SpoolError::NotRetirable { .. } | SpoolError::UnknownGeneration { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What takes the place of a generation.
struct Replacement {
    blocks: Vec<Block>,
    losses: Account,
    /// Readings lost.
    lost: u64,
    records_before: usize,
    records_after: usize,
}

impl Replacement {
    fn is_hardly_thinner(&self) -> bool {
        self.records_after as f64 > WORTHWHILE * self.records_before as f64
    }
}

fn replace(spool: &Spool, generation: &GenerationView, plan: Plan, now: Now) -> Result<Replacement, SpoolError> {
    let mut made = Replacement { blocks: Vec::new(), losses: Account::default(), lost: 0, records_before: 0, records_after: 0 };
    each_portion(spool, generation, URGENT, |portion| {
        made.corrupt(&portion, generation, now);
        for found in portion.entries {
            if !plan.urgent_goes {
                made.blocks.push(Block { lane: URGENT, payload: found.payload, units: found.units });
                continue;
            }
            match entry::decode(&found.payload) {
                Ok((_, records)) => records.iter().for_each(|record| made.losses.add(record, LossReason::SpoolFull)),
                Err(error) => made.unreadable(generation, found.seq, found.units, &error.to_string(), now),
            }
        }
    })?;
    each_portion(spool, generation, DATA, |portion| {
        made.corrupt(&portion, generation, now);
        // Rows of one run can be moved together when its time becomes known, so they are not mixed with others.
        let mut by_run: BTreeMap<(u64, TimeQuality, bool), (EntryStamp, Vec<Record>)> = BTreeMap::new();
        for found in portion.entries {
            match entry::decode(&found.payload) {
                Ok((stamp, records)) => {
                    let run = by_run.entry((stamp.boot_id, stamp.time_quality, stamp.inherited)).or_insert_with(|| (stamp, Vec::new()));
                    run.0 = stamp;
                    run.1.extend(records);
                }
                Err(error) => made.unreadable(generation, found.seq, found.units, &error.to_string(), now),
            }
        }
        for (stamp, records) in by_run.into_values() {
            made.records_before += records.len();
            if plan.data == DataOverflow::Thin {
                made.keep(&stamp, thin(records));
            } else {
                made.lost = made.lost.saturating_add(entry::readings(&records));
                records.iter().for_each(|record| made.losses.add(record, LossReason::SpoolFull));
            }
        }
    })?;
    Ok(made)
}

impl Replacement {
    fn keep(&mut self, stamp: &EntryStamp, records: Vec<Record>) {
        self.records_after += records.len();
        let mut unencodable = Vec::new();
        for chunk in records.chunks(BLOCK_RECORDS) {
            encode(DATA, stamp, chunk, &mut self.blocks, &mut unencodable);
        }
        self.lost = self.lost.saturating_add(entry::readings(&unencodable));
        unencodable.iter().for_each(|record| self.losses.add(record, LossReason::SpoolFull));
    }

    fn corrupt(&mut self, portion: &spool::Peek, generation: &GenerationView, now: Now) {
        for entry in &portion.corrupt {
            self.unreadable(generation, entry.seq, entry.units.unwrap_or(0), "it can't be read back", now);
        }
    }

    fn unreadable(&mut self, generation: &GenerationView, seq: u64, units: u64, why: &str, now: Now) {
        self.lost = self.lost.saturating_add(units);
        let detail = clip(&format!("entry {seq} of generation {}: {why}", generation.ordinal));
        let (from, to) = (Timestamp::from_micros(i64::try_from(generation.opened_at.0).unwrap_or(0)).min(now.wall), now.wall);
        let loss = Loss { asset: None, signal: None, reason: LossReason::SpoolCorrupt, count: units, from, to, detail };
        self.losses.add(&Record::Loss(loss), LossReason::SpoolCorrupt);
    }
}

fn each_portion(spool: &Spool, generation: &GenerationView, lane: usize, mut each: impl FnMut(spool::Peek)) -> Result<(), SpoolError> {
    let view = generation.lanes[lane];
    let mut from = view.acked + 1;
    while from < view.next {
        let portion = spool.peek(generation.ordinal, Lane(u8::try_from(lane).unwrap_or_default()), from, usize::MAX, PORTION)?;
        let seen = portion.entries.iter().map(|entry| entry.seq).chain(portion.corrupt.iter().map(|entry| entry.seq)).max();
        let Some(last) = seen else { break };
        each(portion);
        from = last + 1;
    }
    Ok(())
}

/// Losses that stand for records, by asset, signal and reason.
#[derive(Debug, Default)]
pub struct Account {
    lines: BTreeMap<(Option<AssetPath>, Option<SignalName>, LossReason), Loss>,
}

impl Account {
    /// Adds the loss of a record. A record that is a loss keeps its own reason.
    pub fn add(&mut self, record: &Record, reason: LossReason) {
        let loss = loss_of(record, reason);
        let key = (loss.asset.clone(), loss.signal.clone(), loss.reason);
        match self.lines.get_mut(&key) {
            Some(line) => {
                line.count = line.count.saturating_add(loss.count);
                line.from = line.from.min(loss.from);
                line.to = line.to.max(loss.to);
            }
            None => {
                self.lines.insert(key, loss);
            }
        }
    }

    pub fn into_losses(self) -> Vec<Loss> {
        self.lines.into_values().collect()
    }
}

/// The losses that stand for `records`, by asset, signal and range.
pub fn account(records: &[Record]) -> Vec<Loss> {
    let mut account = Account::default();
    records.iter().for_each(|record| account.add(record, LossReason::SpoolFull));
    account.into_losses()
}

/// Which windows may be joined: of one signal, corrections and others apart (a correction adds to what was told before).
type Series = (AssetPath, SignalName, String, bool);

/// The same facts in coarser windows: about [`JOINED`] of a signal become one. Other kinds of records, but for part counts, stay as they are.
pub fn thin(records: Vec<Record>) -> Vec<Record> {
    let mut series: BTreeMap<Series, Vec<WindowSummary>> = BTreeMap::new();
    let mut parts: BTreeMap<AssetPath, Vec<PartCount>> = BTreeMap::new();
    let mut thinned = Vec::new();
    for record in records {
        match record {
            Record::Window(w) => series.entry((w.asset.clone(), w.signal.clone(), w.unit.clone(), w.correction)).or_default().push(w),
            Record::Parts(p) => parts.entry(p.asset.clone()).or_default().push(p),
            other => thinned.push(other),
        }
    }
    for mut windows in series.into_values() {
        windows.sort_by_key(|window| window.start);
        let spans = windows.iter().map(|window| window.end.micros_since(window.start));
        let length = grid(spans.collect());
        join(&mut thinned, windows, length, |window| (window.start, window.end), join_windows);
    }
    for mut counts in parts.into_values() {
        counts.sort_by_key(|count| count.from);
        let spans = counts.iter().map(|count| count.to.micros_since(count.from));
        let length = grid(spans.collect());
        join(&mut thinned, counts, length, |count| (count.from, count.to), join_parts);
    }
    thinned
}

/// The length of the coarser windows: [`JOINED`] times the mean one.
fn grid(spans: Vec<i64>) -> i64 {
    let count = i64::try_from(spans.len().max(1)).unwrap_or(i64::MAX);
    let sum = spans.into_iter().fold(0_i64, |sum, span| sum.saturating_add(span.max(0)));
    (sum / count).max(1).saturating_mul(JOINED)
}

/// Joins neighbours in `rows` (in order) that lie in one cell of a grid of `length`.
fn join<T: Into<Coarse>>(
    out: &mut Vec<Record>,
    rows: Vec<T>,
    length: i64,
    span: impl Fn(&T) -> (Timestamp, Timestamp),
    together: impl Fn(T, T) -> T,
) {
    let mut open: Option<(i64, T)> = None;
    for row in rows {
        let (from, to) = span(&row);
        let cell = from.as_micros().div_euclid(length);
        let fits = to.as_micros() <= (cell + 1).saturating_mul(length);
        open = Some(match open.take() {
            Some((current, joined)) if current == cell && fits => (cell, together(joined, row)),
            before => {
                out.extend(before.map(|(_, joined)| joined.into().0));
                (if fits { cell } else { i64::MIN }, row)
            }
        });
    }
    out.extend(open.map(|(_, joined)| joined.into().0));
}

struct Coarse(Record);

impl From<WindowSummary> for Coarse {
    fn from(window: WindowSummary) -> Self {
        Self(Record::Window(window))
    }
}

impl From<PartCount> for Coarse {
    fn from(count: PartCount) -> Self {
        Self(Record::Parts(count))
    }
}

/// One window for two, of which `a` begins first.
fn join_windows(a: WindowSummary, b: WindowSummary) -> WindowSummary {
    let (n, m) = (a.count as f64, b.count as f64);
    let mean = (a.mean * n + b.mean * m) / (n + m);
    let squares = |w: &WindowSummary, count: f64| count * (w.stddev * w.stddev + (w.mean - mean) * (w.mean - mean));
    let variance = (squares(&a, n) + squares(&b, m)) / (n + m);
    let (min, max) = (a.min.min(b.min), a.max.max(b.max));
    WindowSummary {
        start: a.start.min(b.start),
        end: a.end.max(b.end),
        count: a.count.saturating_add(b.count),
        min,
        max,
        // Rounding must not carry the mean of equal values outside of them.
        mean: mean.max(min).min(max),
        stddev: variance.max(0.0).sqrt(),
        last: if b.end >= a.end { b.last } else { a.last },
        quality: a.quality.max(b.quality),
        time_quality: a.time_quality.max(b.time_quality),
        ..a
    }
}

fn join_parts(a: PartCount, b: PartCount) -> PartCount {
    PartCount {
        from: a.from.min(b.from),
        to: a.to.max(b.to),
        produced: a.produced.saturating_add(b.produced),
        rejected: a.rejected.saturating_add(b.rejected),
        reworked: a.reworked.saturating_add(b.reworked),
        time_quality: a.time_quality.max(b.time_quality),
        ..a
    }
}

#[cfg(test)]
mod tests;
