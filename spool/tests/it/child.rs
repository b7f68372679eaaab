//! A process of its own that writes to a spool until something ends it: this test binary, started again.
//!
//! It tells on its standard output what the spool has promised: `open FIRST NEXT`, `held LAST`, `gone LAST`, `error TEXT`.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use spool::{Options, Spool};

const DIR: &str = "MILLRACE_TEST_SPOOL_DIR";

/// What entry `seq` holds: any length up to a few parts, and any bytes, but always the same.
pub fn payload(seq: u64) -> Vec<u8> {
    let mut x = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let len = [40, 600, 4080, 4081, 9000, 30_000][(x >> 40) as usize % 6] + seq as usize % 7;
    (0..len)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 56) as u8
        })
        .collect()
}

/// The checkpoint that goes with the last entry `seq`; its length varies, so that parts come and go.
pub fn checkpoint(last: u64) -> Vec<u8> {
    format!("{last} {}", "x".repeat((last % 5) as usize * 2000)).into_bytes()
}

pub fn checkpoint_names(checkpoint: &[u8]) -> u64 {
    std::str::from_utf8(checkpoint).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// Starts the child on `dir`; with `limit` its files can't grow beyond that many KiB.
pub fn start(dir: &Path, limit: Option<u64>) -> (Child, impl Iterator<Item = String> + use<>) {
    let me = std::env::current_exe().unwrap();
    let mut command = match limit {
        Some(kib) => {
            let mut shell = Command::new("bash");
            shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"")).arg(&me);
            shell
        }
        None => Command::new(&me),
    };
    command.args(["child::writes_until_it_ends", "--exact", "--ignored", "--nocapture"]).env(DIR, dir);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    (child, lines)
}

#[test]
#[ignore = "the child of other tests"]
fn writes_until_it_ends() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let (spool, _) = Spool::open(&dir, Options { max_bytes: 10 << 20, ..Options::default() }).unwrap();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).unwrap();
    };
    say(format!("open {} {}", spool.first_seq(), spool.next_seq()));
    let mut last = spool.next_seq() - 1;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let held = spool.next_seq() - spool.first_seq();
                if held > 60 {
                    let through = spool.first_seq() + held / 2;
                    match spool.acknowledge(through) {
                        Ok(_) => say(format!("gone {through}")),
                        Err(e) => return say(format!("error {e}")),
                    }
                }
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        for count in [1, 5, 0, 2, 30].into_iter().cycle() {
            let payloads: Vec<Vec<u8>> = (last + 1..=last + count).map(payload).collect();
            let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            match spool.append(&slices, Some(&checkpoint(last + count))) {
                Ok(_) => last += count,
                Err(spool::SpoolError::Full { .. }) => std::thread::yield_now(),
                Err(e) => return say(format!("error {e}")),
            }
            say(format!("held {last}"));
        }
    });
}

/// What a child has promised so far.
#[derive(Debug, Default, Clone, Copy)]
pub struct Promised {
    pub held: u64,
    pub gone: u64,
}

impl Promised {
    pub fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let word = words.next();
        let number = || line.rsplit(' ').next().and_then(|n| n.parse().ok());
        match word {
            Some("held") => self.held = self.held.max(number().unwrap()),
            Some("gone") => self.gone = self.gone.max(number().unwrap()),
            _ => {}
        }
    }

    /// Opens the spool and compares.
    pub fn check(&self, dir: &Path) -> Spool {
        let (spool, report) = Spool::open(dir, Options { max_bytes: 10 << 20, ..Options::default() }).unwrap();
        assert_eq!(report.corrupt, []);
        assert_eq!(report.quarantined, None);
        assert!(spool.next_seq() > self.held, "{self:?}, but the next is {}", spool.next_seq());
        assert!(spool.first_seq() > self.gone, "{self:?}, but the first is {}", spool.first_seq());
        let peek = spool.peek(0, usize::MAX, usize::MAX).unwrap();
        assert_eq!(peek.corrupt, []);
        let seqs: Vec<u64> = peek.entries.iter().map(|e| e.seq).collect();
        assert_eq!(seqs, (spool.first_seq()..spool.next_seq()).collect::<Vec<_>>());
        assert!(peek.entries.iter().all(|e| e.payload == payload(e.seq)));
        match spool.checkpoint().unwrap() {
            Some(found) => {
                assert_eq!(checkpoint_names(&found), spool.next_seq() - 1, "checkpoint and entries are from one commit");
                assert_eq!(found, checkpoint(spool.next_seq() - 1));
            }
            None => assert_eq!(spool.next_seq(), 1),
        }
        spool
    }
}
