//! The disk refuses a write (here: the file may not grow): the handle closes itself, and what was promised is there when it is opened anew.

use crate::child::{self, Promised};

#[test]
fn a_refused_write_closes_the_handle_and_takes_nothing_that_was_promised() {
    let root = tempfile::tempdir().unwrap();
    let mut promised = Promised::default();
    let (mut process, lines) = child::start(root.path(), Some(2048));
    let mut error = None;
    for line in lines {
        promised.hear(&line);
        if line.starts_with("error") {
            error = Some(line);
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(error.is_some(), "the child came to its limit: {promised:?}");
    assert!(promised.held > 0);
    let spool = promised.check(root.path());
    let next = spool.next_seq();
    assert_eq!(spool.append(&[&child::payload(next)], None).unwrap().first, next);
}
