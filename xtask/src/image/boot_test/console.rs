//! What the guest says on its serial console: the one-line markers of the image's services, followed while qemu writes them to a file.
//!
//! The parser is pure; [`Console`] follows a file from a thread of its own, so that a marker's time is that of its appearance.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A line that is longer is none of ours.
const LONGEST_LINE: usize = 64 * 1024;

/// What a service of the image says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    Booted {
        slot: char,
        version: String,
    },
    DataPartition {
        mib: u64,
    },
    Healthy,
    Enrolled {
        id: String,
    },
    EnrolmentFailed {
        why: String,
    },
    /// Of one device, while the collector is not reached.
    Network {
        device: String,
        state: String,
    },
    Good {
        slot: char,
    },
    NotGood {
        slot: char,
    },
    /// Said by the image, but nothing that a test waits for.
    Other(String),
}

/// The marker in a console's line, if there is one. The kernel's and systemd's own output may stand before it.
pub fn marker(line: &str) -> Option<Marker> {
    let plain = plain(line);
    let said = plain[plain.find("millrace: ")?..].trim_start_matches("millrace: ").trim();
    let slot_then = |rest: &str| said.strip_prefix("slot ")?.strip_suffix(rest).filter(|slot| slot.len() == 1)?.chars().next();
    let other = || Marker::Other(said.to_owned());
    Some(if said == "gateway healthy" {
        Marker::Healthy
    } else if let Some(id) = said.strip_prefix("enrolled as ") {
        Marker::Enrolled { id: id.to_owned() }
    } else if let Some(why) = said.strip_prefix("enrolment failed:") {
        Marker::EnrolmentFailed { why: why.trim().to_owned() }
    } else if let Some((device, state)) = said.strip_prefix("network: ").and_then(|rest| rest.split_once(": ")) {
        Marker::Network { device: device.to_owned(), state: state.trim().to_owned() }
    } else if let Some(mib) = said.strip_prefix("data partition ").and_then(|rest| rest.strip_suffix(" MiB")) {
        mib.parse().map_or_else(|_| other(), |mib| Marker::DataPartition { mib })
    } else if let Some(slot) = slot_then(" marked good") {
        Marker::Good { slot }
    } else if let Some(slot) = slot_then(" not good, rebooting") {
        Marker::NotGood { slot }
    } else if let Some((slot, version)) = said.strip_prefix("slot ").and_then(|rest| rest.split_once(" booted (version ")) {
        match (slot.chars().next(), version.strip_suffix(')')) {
            (Some(slot), Some(version)) => Marker::Booted { slot, version: version.to_owned() },
            _ => other(),
        }
    } else {
        other()
    })
}

/// Without the escape sequences of a terminal.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next_if_eq(&'[').is_some() {
                while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
        } else if !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

/// A marker and when it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub marker: Marker,
}

/// A console's file, followed until this is dropped.
pub struct Console {
    pub file: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Console {
    /// Follows `file`, which need not be there yet.
    pub fn follow(file: &Path) -> Self {
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let mut reader = Reader { file: file.to_path_buf(), read: 0, rest: Vec::new() };
        let (into, until) = (Arc::clone(&seen), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            loop {
                // Looked at once more after the end, for what was written last.
                let last = until.load(Ordering::SeqCst);
                for line in reader.lines() {
                    if let Some(marker) = marker(&line) {
                        into.lock().unwrap_or_else(PoisonError::into_inner).push(Seen { at: Instant::now(), marker });
                    }
                }
                if last {
                    return;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { file: file.to_path_buf(), seen, ended, thread: Some(thread) }
    }

    /// All markers until now.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first marker from number `from` on that `wanted` takes, and its number.
    pub fn find(&self, from: usize, wanted: &dyn Fn(&Marker) -> bool) -> Option<(usize, Seen)> {
        self.seen().into_iter().enumerate().skip(from).find(|(_, seen)| wanted(&seen.marker))
    }

    /// The end of what was said, for error messages.
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2500)..]).into_owned();
        text.lines().map(|line| format!("    | {}\n", plain(line))).collect()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whole lines of a growing file.
struct Reader {
    file: PathBuf,
    read: u64,
    rest: Vec<u8>,
}

impl Reader {
    fn lines(&mut self) -> Vec<String> {
        let mut new = Vec::new();
        // Not there yet, or gone with its folder: then there is nothing to read.
        let taken = File::open(&self.file).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut new)
        });
        self.read += taken.unwrap_or(0) as u64;
        self.rest.extend(new);
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if self.rest.len() > LONGEST_LINE {
            self.rest.clear();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marker_of_the_image_is_understood() {
        let of = |text: &str| marker(text).unwrap();
        assert_eq!(of("millrace: slot A booted (version 0.5.0)"), Marker::Booted { slot: 'A', version: "0.5.0".into() });
        assert_eq!(of("millrace: data partition 2867 MiB"), Marker::DataPartition { mib: 2867 });
        assert_eq!(of("millrace: gateway healthy"), Marker::Healthy);
        assert_eq!(of("millrace: enrolled as press-gw1"), Marker::Enrolled { id: "press-gw1".into() });
        assert_eq!(of("millrace: enrolment failed: no token"), Marker::EnrolmentFailed { why: "no token".into() });
        let network = |device: &str, state: &str| Marker::Network { device: device.into(), state: state.into() };
        assert_eq!(of("millrace: network: eth0: no cable"), network("eth0", "no cable"));
        assert_eq!(of("millrace: network: eth0: fe80::1/64, no router"), network("eth0", "fe80::1/64, no router"));
        assert_eq!(of("millrace: slot A marked good"), Marker::Good { slot: 'A' });
        assert_eq!(of("millrace: slot B not good, rebooting"), Marker::NotGood { slot: 'B' });
        assert_eq!(of("millrace: tea is ready"), Marker::Other("tea is ready".into()));
    }

    #[test]
    fn a_marker_is_found_behind_other_output_and_colours_and_nothing_else_is_one() {
        assert_eq!(marker("[   12.5] systemd[1]: \u{1b}[0;32mmillrace: gateway healthy\u{1b}[0m\r"), Some(Marker::Healthy));
        assert_eq!(marker("[  OK  ] Started millrace-gateway.service"), None);
        assert_eq!(marker("millrace-gateway running"), None);
        assert_eq!(marker("millrace: data partition huge MiB"), Some(Marker::Other("data partition huge MiB".into())));
    }

    #[test]
    fn lines_that_come_in_pieces_are_put_together_and_not_told_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("console");
        let mut reader = Reader { file: file.clone(), read: 0, rest: Vec::new() };
        assert!(reader.lines().is_empty());
        std::fs::write(&file, "one\r\ntw").unwrap();
        assert_eq!(reader.lines(), ["one"]);
        std::fs::write(&file, "one\r\ntwo\nthree").unwrap();
        assert_eq!(reader.lines(), ["two"]);
        assert!(reader.lines().is_empty());
    }

    #[test]
    fn what_was_written_last_is_seen_though_following_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("console");
        let console = Console::follow(&file);
        std::fs::write(&file, "millrace: slot A marked good\n").unwrap();
        let seen = Arc::clone(&console.seen);
        drop(console);
        assert_eq!(seen.lock().unwrap().len(), 1);
    }
}
