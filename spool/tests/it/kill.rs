//! SIGKILL at any moment: all that was promised is there, and checkpoint and entries are of one commit.

use std::time::Duration;

use crate::child::{self, Promised};

#[test]
fn what_was_promised_before_a_kill_is_there_after_it() {
    let root = tempfile::tempdir().unwrap();
    let mut promised = Promised::default();
    let mut random = 0x1234_5678_9abc_def1u64;
    for round in 0..25 {
        let (mut process, mut lines) = child::start(root.path(), None);
        let opened = lines.find(|line| line.starts_with("open ")).expect("the child opens the spool");
        let reader = std::thread::spawn(move || {
            let mut heard = Vec::new();
            lines.for_each(|line| heard.push(line));
            heard
        });
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        process.kill().unwrap();
        process.wait().unwrap();
        let heard = reader.join().unwrap();
        heard.iter().for_each(|line| promised.hear(line));
        assert!(heard.iter().all(|line| !line.starts_with("error")), "round {round}: {opened} {heard:?}");
        drop(promised.check(root.path()));
    }
    assert!(promised.held > 100 && promised.gone > 30, "the child has worked: {promised:?}");
}
