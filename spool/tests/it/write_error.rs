//! The disk refuses a write of sled (here: its file may not grow): what was promised is there, and the spool goes on in a new generation
//! when it can.

use crate::child;

#[test]
fn a_refused_write_takes_nothing_that_was_promised() {
    // A generation is closed at 4 MiB: the child comes to its limit before it, at whatever point of an append that is.
    for limit in [300, 900, 2048] {
        let root = tempfile::tempdir().unwrap();
        let (mut process, lines) = child::start(root.path(), Some(limit));
        let mut promised = 0;
        let mut error = None;
        for line in lines.take(3000) {
            if let Some(held) = line.strip_prefix("held ") {
                promised = held.parse().unwrap();
            }
            if line.starts_with("error") {
                error = Some(line);
                break;
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(promised > 0 || error.is_some());
        child::goes_on(root.path(), promised);
    }
}
