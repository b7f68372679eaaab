//! `spool ls | export | verify`: looks into the spool of a gateway that does not run.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Subcommand;
use gateway::{
    clock::System,
    config::Config,
    entry,
    store::{DIRECTORY, Store, options},
};
use protocol::{LANES, StreamId};
use serde_json::json;
use spool::{GenerationView, Lane, OpenReport, Spool, SpoolError};

/// Read at once.
const PEEK_ENTRIES: usize = 256;
const PEEK_BYTES: usize = 4 << 20;
const LANE_NAMES: [&str; LANES] = ["urgent", "data"];

#[derive(Debug, Subcommand)]
pub enum Command {
    /// One line for each generation and lane: what it holds and what the collector has acknowledged.
    #[command(after_help = "Example:\n  millrace-gateway spool ls --config gateway.toml")]
    Ls,
    /// Every record as a line of JSON on standard output; what can't be read is told on standard error.
    #[command(after_help = "Example (all that the collector does not have yet):\n  \
                            millrace-gateway spool export --unsent --config gateway.toml > records.jsonl")]
    Export {
        /// Leave out what the collector has acknowledged.
        #[arg(long)]
        unsent: bool,
    },
    /// Read everything back; exit code 1 if something can't be.
    #[command(after_help = "Example:\n  millrace-gateway spool verify --config gateway.toml && echo fine")]
    Verify,
}

pub(super) fn run(config: &Config, command: &Command) -> anyhow::Result<ExitCode> {
    let (spool, report) = open(config)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match command {
        Command::Ls => list(&spool, &mut out).map(|()| true),
        Command::Export { unsent } => export(&spool, *unsent, &mut out).map(|()| true),
        Command::Verify => verify(&spool, &report, &mut out),
    };
    match done.and_then(|fine| Ok(out.flush().map(|()| fine)?)) {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

/// Opens it as a gateway does: what is damaged is salvaged on the way.
fn open(config: &Config) -> anyhow::Result<(std::sync::Arc<Spool>, OpenReport)> {
    let directory = config.data_dir.join(DIRECTORY);
    anyhow::ensure!(directory.exists(), "there is no spool in {}", config.data_dir.display());
    let (store, report) = match Store::open(&config.data_dir, options(&config.spool), (System::machine().read)().wall) {
        Err(SpoolError::InUse { .. }) => {
            anyhow::bail!(
                "{} is in use: a gateway runs on it; stop it first, or ask it with `millrace-gateway status`",
                directory.display()
            )
        }
        opened => opened.context("the spool can't be opened")?,
    };
    Ok((store.spool().context("the spool is closed")?, report))
}

fn list(spool: &Spool, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "{:>10}  {:<16}  {:<6}  {:>9}  {:>9}  {:>9}  {:>12}  {:>12}  opened",
        "generation", "stream", "lane", "first", "last", "acked", "readings", "bytes"
    )?;
    let (mut entries, mut unsent) = (0, 0);
    for generation in spool.view() {
        for (lane, name) in LANE_NAMES.iter().enumerate() {
            let view = generation.lanes[lane];
            let held = view.next.saturating_sub(view.first);
            entries += held;
            unsent += view.next.saturating_sub(view.first.max(view.acked + 1));
            if held == 0 {
                continue;
            }
            let stream = StreamId::of(generation.id, lane);
            let (ordinal, first, last, acked, readings, bytes) =
                (generation.ordinal, view.first, view.next - 1, view.acked, view.units, generation.bytes);
            let opened = opened(&generation);
            writeln!(out, "{ordinal:>10}  {stream}  {name:<6}  {first:>9}  {last:>9}  {acked:>9}  {readings:>12}  {bytes:>12}  {opened}")?;
        }
    }
    let room = spool.room();
    writeln!(out, "{entries} entries, {unsent} of them not acknowledged; {} of {} bytes on disk", room.used, room.max)?;
    Ok(())
}

fn opened(generation: &GenerationView) -> String {
    let micros = i64::try_from(generation.opened_at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "-".into(), |at| format!("{at:.0}"))
}

fn export(spool: &Spool, unsent: bool, out: &mut impl Write) -> anyhow::Result<()> {
    walk(spool, unsent, |found| {
        let Found { generation, lane, seq, .. } = found;
        let stream = StreamId::of(generation.id, lane).to_string();
        match found.payload.map(entry::decode) {
            Some(Ok((stamp, records))) => {
                for record in records {
                    let line = json!({ "stream": stream, "lane": LANE_NAMES[lane], "seq": seq, "stamp": stamp, "record": record });
                    writeln!(out, "{line}")?;
                }
            }
            Some(Err(error)) => eprintln!("stream {stream}, entry {seq}: {error}"),
            None => eprintln!("stream {stream}, entry {seq}: damaged"),
        }
        Ok(())
    })
}

/// True if all can be read.
fn verify(spool: &Spool, report: &OpenReport, out: &mut impl Write) -> anyhow::Result<bool> {
    let (mut entries, mut records, mut damaged) = (0_u64, 0_u64, 0_u64);
    for salvaged in &report.salvaged {
        let spool::Salvaged { ordinal, entries_found, entries_lost, .. } = salvaged;
        writeln!(out, "generation {ordinal} was damaged: {entries_found} entries were saved, {entries_lost} lost")?;
    }
    if report.checkpoint_lost {
        writeln!(out, "the checkpoint, or a part of it, is gone or older than it should be")?;
    }
    walk(spool, false, |found| {
        entries += 1;
        let why = match found.payload.map(entry::decode) {
            Some(Ok((_, held))) => {
                records += held.len() as u64;
                return Ok(());
            }
            Some(Err(error)) => error.to_string(),
            None => "damaged".into(),
        };
        damaged += 1;
        writeln!(out, "stream {}, entry {}: {why}", StreamId::of(found.generation.id, found.lane), found.seq)?;
        Ok(())
    })?;
    writeln!(out, "{entries} entries, {records} records, {damaged} damaged")?;
    Ok(damaged == 0 && report.salvaged.iter().all(|salvaged| salvaged.entries_lost == 0) && !report.checkpoint_lost)
}

/// An entry as it was found; without a payload it can't be read back.
struct Found<'a> {
    generation: &'a GenerationView,
    lane: usize,
    seq: u64,
    payload: Option<&'a [u8]>,
}

fn walk(spool: &Spool, unsent: bool, mut each: impl FnMut(Found<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for generation in &spool.view() {
        for lane in 0..LANES {
            let view = generation.lanes[lane];
            let mut from = if unsent { view.first.max(view.acked + 1) } else { view.first };
            while from < view.next {
                let peek = spool.peek(generation.ordinal, Lane(u8::try_from(lane)?), from, PEEK_ENTRIES, PEEK_BYTES)?;
                let readable = peek.entries.iter().map(|entry| (entry.seq, Some(entry.payload.as_slice())));
                let mut found: Vec<(u64, Option<&[u8]>)> = readable.chain(peek.corrupt.iter().map(|entry| (entry.seq, None))).collect();
                found.sort_unstable_by_key(|(seq, _)| *seq);
                let Some((last, _)) = found.last() else { break };
                from = last + 1;
                for (seq, payload) in found {
                    each(Found { generation, lane, seq, payload })?;
                }
            }
        }
    }
    Ok(())
}
