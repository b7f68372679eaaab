//! `spool ls | export | verify`: looks into the spool of a gateway that does not run.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Subcommand;
use gateway::{config::Config, store::Store};
use protocol::{
    Record,
    codec::{Limits, decode_block},
};
use spool::{Options, Spool};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// One line an entry: sequence, bytes, records.
    Ls,
    /// Every record as a line of JSON.
    Export,
    /// Read everything back; exit code 1 if something can't be.
    Verify,
}

struct Sum {
    entries: u64,
    records: u64,
    damaged: u64,
}

pub(super) fn run(config: &Config, command: &Command) -> anyhow::Result<ExitCode> {
    let directory = config.data_dir.join(gateway::store::DIRECTORY);
    anyhow::ensure!(directory.exists(), "there is no spool in {}", config.data_dir.display());
    let options = Options { max_bytes: config.spool.max_bytes, cache_bytes: config.spool.cache_bytes };
    let (store, _) = Store::open(&config.data_dir, options).context("the spool can't be opened (a running gateway has it for itself)")?;
    let spool = store.spool().context("the spool is closed")?;
    let mut out = io::stdout().lock();
    match walk(&spool, command, &mut out) {
        Ok(sum) => {
            if !matches!(command, Command::Export) {
                let Sum { entries, records, damaged } = sum;
                let stream = spool.stream();
                let _ = writeln!(
                    out,
                    "stream {stream:016x}: {entries} entries, {records} records, {damaged} damaged, {} bytes on disk",
                    spool.bytes_on_disk()
                );
            }
            Ok(if sum.damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

fn walk(spool: &Spool, command: &Command, out: &mut impl io::Write) -> anyhow::Result<Sum> {
    let mut sum = Sum { entries: 0, records: 0, damaged: 0 };
    let mut from = spool.first_seq();
    while from < spool.next_seq() {
        let peek = spool.peek(from, 256, 4 << 20)?;
        let seen = peek.entries.iter().map(|e| e.seq).chain(peek.corrupt.iter().map(|c| c.seq)).max();
        let Some(last) = seen else { break };
        for corrupt in &peek.corrupt {
            sum.entries += 1;
            sum.damaged += 1;
            writeln!(out, "{:>12}  damaged", corrupt.seq)?;
        }
        for entry in &peek.entries {
            sum.entries += 1;
            match decode_block(&entry.payload, &Limits::default()) {
                Ok(records) => {
                    sum.records += records.len() as u64;
                    show(command, entry.seq, entry.payload.len(), &records, out)?;
                }
                Err(error) => {
                    sum.damaged += 1;
                    writeln!(out, "{:>12}  {} bytes, not readable: {error}", entry.seq, entry.payload.len())?;
                }
            }
        }
        from = last + 1;
    }
    Ok(sum)
}

fn show(command: &Command, seq: u64, bytes: usize, records: &[Record], out: &mut impl io::Write) -> anyhow::Result<()> {
    match command {
        Command::Ls => writeln!(out, "{seq:>12}  {bytes:>8} bytes  {:>6} records", records.len())?,
        Command::Export => {
            for record in records {
                writeln!(out, "{}", serde_json::json!({ "seq": seq, "record": record }))?;
            }
        }
        Command::Verify => {}
    }
    Ok(())
}
