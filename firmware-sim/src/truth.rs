//! The truth file: what was really made, sent and broken, one JSON object a line.
//!
//! Lines, in the order in which things happened: `plant` first; `state`, `part`, `fault` and `sent` (cumulative) while the plant runs;
//! then one `summary` a machine, and `end` last. A file without `end` is of a plant that was killed; what stands in it is still true.
//! Each line is flushed as soon as no other waits.
//!
//! Invariant: writing is done by a thread of its own, so that a slow disk delays the file and not the machines.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    asset::Asset,
    kpi::Balance,
    model::{FaultKind, MachineState, Signal},
    moment::Moment,
};

/// Lines that may wait for the disk.
const QUEUE: usize = 65_536;

/// One line.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    Plant { started_at: Moment, seed: u64, version: &'static str, machines: Vec<PlantMachine> },
    State { machine: Asset, at: Moment, state: MachineState, reason: &'static str },
    Part { machine: Asset, at: Moment, good: bool },
    Fault { machine: Asset, kind: FaultKind, signal: Signal, from: Moment, to: Moment },
    Sent { machine: Asset, readings: u64, messages: u64 },
    Summary(Box<Summary>),
    End { readings: u64, parts: u64 },
}

/// A machine as the plant was built.
#[derive(Debug, Clone, Serialize)]
pub struct PlantMachine {
    pub asset: Asset,
    pub link: &'static str,
    pub gateway: Option<String>,
    pub ideal_cycle_time_s: f64,
}

/// What became of one machine. One that nobody listened to never started: its `from` is its `to`.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub asset: Asset,
    pub link: &'static str,
    #[serde(flatten)]
    pub balance: Balance,
    /// MQTT: messages that the broker has acknowledged. Modbus: reads answered.
    pub messages: u64,
    /// Readings in those.
    pub readings: u64,
    /// Messages that were accepted for sending but not acknowledged; for Modbus 1 if nobody came back after the last read.
    pub unacknowledged: u64,
    /// Measurements that found the queue full: they got no sequence number and count as not made.
    pub dropped: u64,
}

/// Where the machines write to.
#[derive(Debug, Clone)]
pub struct Truth {
    lines: mpsc::Sender<Line>,
}

impl Truth {
    /// Writes a line. Waits only if the disk is tens of thousands of lines behind.
    pub async fn write(&self, line: Line) {
        // The writer is gone only after a disk error, which it has told by then and `TruthFile::finish` returns.
        let _ = self.lines.send(line).await;
    }
}

/// The file and its thread.
#[derive(Debug)]
pub struct TruthFile {
    thread: JoinHandle<io::Result<()>>,
    path: PathBuf,
}

/// The truth could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the truth to {path}: {source}", path = path.display())]
pub struct TruthError {
    path: PathBuf,
    source: io::Error,
}

impl TruthFile {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> Result<(Truth, Self), TruthError> {
        let error = |source| TruthError { path: path.to_owned(), source };
        let file = File::create(path).map_err(error)?;
        let (lines, queue) = mpsc::channel(QUEUE);
        let shown = path.display().to_string();
        let thread = std::thread::Builder::new()
            .name("truth".into())
            .spawn(move || {
                write_all(file, queue).inspect_err(|error| tracing::error!(path = shown, %error, "the truth cannot be written any more"))
            })
            .map_err(error)?;
        Ok((Truth { lines }, Self { thread, path: path.to_owned() }))
    }

    /// Waits until everything is on its way to the disk. All handles must have been dropped.
    ///
    /// # Errors
    /// What went wrong with the file at any time.
    pub fn finish(self) -> Result<(), TruthError> {
        let result = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
        result.map_err(|source| TruthError { path: self.path, source })
    }
}

fn write_all(file: File, mut queue: mpsc::Receiver<Line>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    while let Some(line) = queue.blocking_recv() {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
        if queue.is_empty() {
            out.flush()?;
        }
    }
    out.flush()?;
    out.get_ref().sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_readable_while_the_plant_runs_and_complete_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        let (truth, file) = TruthFile::create(&path).unwrap();
        let machine: Asset = Asset::new("a/b/c/d").unwrap();
        truth.write(Line::Part { machine: machine.clone(), at: Moment(1), good: true }).await;
        while std::fs::read_to_string(&path).unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        truth.write(Line::End { readings: 3, parts: 1 }).await;
        drop(truth);
        file.finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"type\":\"part\",\"machine\":\"a/b/c/d\",\"at\":\"1970-01-01T00:00:00.000001Z\",\"good\":true}\n\
             {\"type\":\"end\",\"readings\":3,\"parts\":1}\n"
        );
    }

    #[test]
    fn a_file_that_cannot_be_created_is_an_error_that_names_it() {
        let error = TruthFile::create(Path::new("/proc/none/truth.jsonl")).unwrap_err();
        assert!(error.to_string().contains("/proc/none/truth.jsonl"), "{error}");
    }
}
