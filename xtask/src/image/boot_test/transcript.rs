//! What a boot test did, said while it happens and kept in a file: each line with its time, and the table of steps at the end.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// Seen and written down; no promise hangs on it.
    Noted,
}

#[derive(Clone, Debug)]
struct Row {
    part: &'static str,
    step: String,
    took: Option<Duration>,
    outcome: Outcome,
    detail: String,
}

pub struct Transcript {
    begun: Instant,
    pub file: PathBuf,
    out: File,
    rows: Vec<Row>,
    part: &'static str,
}

impl Transcript {
    /// Begins a new one in `file`.
    pub fn begin(file: &Path) -> Result<Self> {
        let out = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { begun: Instant::now(), file: file.to_path_buf(), out, rows: Vec::new(), part: "" })
    }

    /// What follows belongs to `part`.
    pub fn part(&mut self, part: &'static str) {
        self.part = part;
        self.say(&format!("--- {part}"));
    }

    pub fn say(&mut self, text: &str) {
        for line in text.lines() {
            self.write(&format!("{}  {line}", clock(self.begun.elapsed())));
        }
    }

    /// Something that was to happen did, in this time.
    pub fn passed(&mut self, step: &str, took: Duration, detail: &str) {
        self.row(step, Some(took), Outcome::Passed, detail);
    }

    /// Something was seen that is worth a row.
    pub fn noted(&mut self, step: &str, took: Option<Duration>, detail: &str) {
        self.row(step, took, Outcome::Noted, detail);
    }

    pub fn failed(&mut self, step: &str, detail: &str) {
        self.row(step, None, Outcome::Failed, detail);
    }

    /// One that has passed if nothing is in `faults`; each of those is a row of its own.
    pub fn judged(&mut self, step: &str, took: Duration, detail: &str, faults: &[String]) {
        if faults.is_empty() {
            self.passed(step, took, detail);
        } else {
            self.failed(step, detail);
            for fault in faults {
                self.failed(step, fault);
            }
        }
    }

    pub fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| row.outcome != Outcome::Failed)
    }

    /// The steps of all parts.
    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.step.len()).max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let took = row.took.map_or_else(String::new, |took| format!("{:.1} s", took.as_secs_f64()));
            let outcome = match row.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Noted => "-",
            };
            let detail = row.detail.lines().next().unwrap_or_default();
            let _ = writeln!(text, "{:<10} {:<width$} {took:>9}  {outcome:<6}  {detail}", row.part, row.step);
        }
        text
    }

    /// Ends it with the table.
    pub fn end(&mut self) {
        let table = self.table();
        self.write("");
        for line in table.lines() {
            self.write(line);
        }
        let verdict = if self.is_clean() { "all passed" } else { "NOT ALL PASSED" };
        self.write(&format!("\n{verdict} in {}", clock(self.begun.elapsed())));
    }

    fn row(&mut self, step: &str, took: Option<Duration>, outcome: Outcome, detail: &str) {
        let mark = if outcome == Outcome::Failed { "FAILED " } else { "" };
        let took_text = took.map_or_else(String::new, |took| format!(" ({:.1} s)", took.as_secs_f64()));
        let detail_text = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        self.say(&format!("{mark}{step}{took_text}{detail_text}"));
        self.rows.push(Row { part: self.part, step: step.to_owned(), took, outcome, detail: detail.to_owned() });
    }

    /// A transcript that can't be written any more must not end the test: it is on the terminal, too.
    fn write(&mut self, line: &str) {
        eprintln!("{line}");
        let _ = writeln!(self.out, "{line}");
    }
}

fn clock(time: Duration) -> String {
    format!("{:>3}:{:04.1}", time.as_secs() / 60, time.as_secs_f64() % 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_step_is_enough_and_all_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("transcript.txt");
        let mut transcript = Transcript::begin(&file).unwrap();
        transcript.part("boot");
        transcript.passed("gateway healthy", Duration::from_millis(61_240), "");
        transcript.noted("rpi3", None, "U-Boot");
        assert!(transcript.is_clean());
        transcript.judged("books", Duration::from_secs(1), "made 9", &["1 reading is missing".into()]);
        assert!(!transcript.is_clean());
        transcript.end();
        let text = std::fs::read_to_string(&file).unwrap();
        for wanted in ["--- boot", "gateway healthy", "61.2 s", "1 reading is missing", "NOT ALL PASSED"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(clock(Duration::from_millis(3_723_400)), " 62:03.4");
    }
}
