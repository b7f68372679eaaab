//! SIGKILL at any moment: all that was promised is there, and checkpoint and entries are of one commit.

use std::time::Duration;

use crate::child;

#[test]
fn what_was_promised_before_a_kill_is_there_after_it() {
    let root = tempfile::tempdir().unwrap();
    let mut promised = 0;
    let mut random = 0x1234_5678_9abc_def1u64;
    for round in 0..25 {
        let (mut process, mut lines) = child::start(root.path(), None);
        lines.find(|line| line == "open").expect("the child opens the spool");
        let reader = std::thread::spawn(move || lines.collect::<Vec<_>>());
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        process.kill().unwrap();
        process.wait().unwrap();
        let heard = reader.join().unwrap();
        let held = heard.iter().filter_map(|line| line.strip_prefix("held ")?.parse().ok()).max();
        promised = promised.max(held.unwrap_or(0));
        assert!(heard.iter().all(|line| !line.starts_with("error")), "round {round}: {heard:?}");
        drop(child::check(root.path(), promised));
    }
    assert!(promised > 100, "the child has worked: {promised}");
}
