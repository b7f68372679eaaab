//! A process of its own that writes to a spool until something ends it: this test binary, started again.
//!
//! It tells on its standard output what the spool has promised: `open`, `held NUMBER`, `error TEXT`.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use spool::{Append, Checkpoint, Lane, NewEntry, Options, Spool, SpoolTime};

const DIR: &str = "MILLRACE_TEST_SPOOL_DIR";

const OPTIONS: Options = Options {
    max_bytes: 40 << 20,
    min_free_bytes: 0,
    min_free_percent: 0,
    generation_bytes: 4 << 20,
    generation_age: std::time::Duration::from_secs(3600),
    keep_acknowledged_bytes: 6 << 20,
    cache_bytes: 4 << 20,
};

/// What entry `number` holds: any length up to a few parts, and any bytes, but always the same; the number comes first.
pub fn payload(number: u64) -> Vec<u8> {
    let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let len = [40, 600, 4080, 4081, 9000, 30_000][(x >> 40) as usize % 6] + number as usize % 7;
    let random = (8..len).map(|_| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 56) as u8
    });
    number.to_le_bytes().into_iter().chain(random).collect()
}

/// The second part of the checkpoint that goes with the last entry `number`; its length varies, so that pieces come and go.
fn state(number: u64) -> Vec<u8> {
    vec![number as u8; (number % 5) as usize * 2000]
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

/// Appends the entries behind `last` and the checkpoint that goes with them.
fn append(spool: &Spool, last: u64, count: u64) -> Result<u64, spool::SpoolError> {
    let payloads: Vec<Vec<u8>> = (last + 1..=last + count).map(payload).collect();
    let entries: Vec<NewEntry<'_>> =
        payloads.iter().zip(0u8..).map(|(payload, i)| NewEntry { lane: Lane(i % 2), payload, units: 1 }).collect();
    let number = (last + count).to_le_bytes();
    let state = state(last + count);
    let checkpoint = Checkpoint::Whole(&[(1, &number), (2, &state)]);
    spool.append(&Append { entries: &entries, checkpoint, ..Append::default() }, SpoolTime(0))?;
    Ok(last + count)
}

fn last_of(spool: &Spool) -> u64 {
    let checkpoint = spool.checkpoint();
    match checkpoint.as_slice() {
        [] => 0,
        [(1, number), (2, found)] => {
            let number = u64::from_le_bytes(number.as_slice().try_into().unwrap());
            assert_eq!(*found, state(number), "both parts are from one commit");
            number
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "the child of other tests"]
fn writes_until_it_ends() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).unwrap();
    };
    let (spool, _) = match Spool::open_dir(&dir, OPTIONS, SpoolTime(0)) {
        Ok(opened) => opened,
        Err(e) => return say(format!("error {e}")),
    };
    let mut last = last_of(&spool);
    say("open".to_owned());
    for count in [1, 5, 0, 2, 30].into_iter().cycle() {
        match append(&spool, last, count) {
            Ok(now) => last = now,
            Err(e) => return say(format!("error {e}")),
        }
        say(format!("held {last}"));
        // All but the two newest generations are acknowledged.
        let views = spool.view();
        for view in &views[..views.len().saturating_sub(2)] {
            for lane in [Lane(0), Lane(1)] {
                spool.acknowledge(view.ordinal, lane, u64::MAX).unwrap();
            }
        }
    }
}

/// Opens the spool and compares it with what was promised: the last entry held. Returns it with the last number that is there.
pub fn check(dir: &Path, promised: u64) -> (Spool, u64) {
    let (spool, report) = Spool::open_dir(dir, OPTIONS, SpoolTime(0)).unwrap();
    assert!(report.salvaged.is_empty() && !report.checkpoint_lost, "{report:?}");
    let last = last_of(&spool);
    assert!(last >= promised, "{promised} was promised, {last} is there");
    let mut numbers = Vec::new();
    for view in spool.view() {
        for lane in [Lane(0), Lane(1)] {
            let peek = spool.peek(view.ordinal, lane, 1, usize::MAX, usize::MAX).unwrap();
            assert_eq!(peek.corrupt, []);
            for entry in peek.entries {
                let number = u64::from_le_bytes(entry.payload[..8].try_into().unwrap());
                assert_eq!(entry.payload, payload(number));
                numbers.push(number);
            }
        }
    }
    numbers.sort_unstable();
    let first = numbers.first().copied().unwrap_or(last + 1);
    assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "each is there once, and checkpoint and entries are from one commit");
    (spool, last)
}

/// The spool goes on.
pub fn goes_on(dir: &Path, promised: u64) {
    let (spool, last) = check(dir, promised);
    append(&spool, last, 3).unwrap();
}
