//! A crash between any two steps of a commit: after the restart and the journal's replay every row is there once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use lake::{Lake, LakeOptions, Step};

use crate::rows::{TABLES, counts, everything, one_of_each, open};

/// Steps of a commit of all five tables, syncs apart.
const STEPS: usize = 15;

#[tokio::test]
async fn a_crash_at_any_step_followed_by_a_replay_stores_every_row_once() {
    let expected = {
        let root = tempfile::tempdir().unwrap();
        let lake = open(root.path()).await;
        lake.push((1..=4).flat_map(|seq| one_of_each(1, seq)).collect());
        lake.commit().await.unwrap();
        everything(&lake).await
    };
    for crash_at in 0..STEPS {
        let root = tempfile::tempdir().unwrap();
        let lake = open(root.path()).await;
        lake.push((1..=2).flat_map(|seq| one_of_each(1, seq)).collect());
        lake.commit().await.unwrap();
        drop(lake);

        let steps = Arc::new(AtomicUsize::new(0));
        let lake = Lake::open(stopping_at(root.path(), Arc::clone(&steps), crash_at)).await.unwrap();
        lake.push((3..=4).flat_map(|seq| one_of_each(1, seq)).collect());
        assert!(lake.commit().await.is_err(), "step {crash_at}");
        assert_eq!(counts(&lake).await, [4; 5], "step {crash_at}: queries see every row once although part of them is stored");
        drop(lake);

        // The journal still holds what no commit has confirmed, and some that one has.
        let lake = open(root.path()).await;
        lake.push((2..=4).flat_map(|seq| one_of_each(1, seq)).collect());
        assert_eq!(counts(&lake).await, [4; 5], "step {crash_at}: after the replay");
        lake.commit().await.unwrap();
        assert_eq!(everything(&lake).await, expected, "step {crash_at}");
        drop(lake);
        assert_eq!(everything(&open(root.path()).await).await, expected, "step {crash_at}: after another restart");
    }
}

#[tokio::test]
async fn a_commit_that_failed_at_any_step_is_made_good_by_the_next_one() {
    for fail_at in 0..STEPS {
        let root = tempfile::tempdir().unwrap();
        let steps = Arc::new(AtomicUsize::new(0));
        let lake = Lake::open(failing_once(root.path(), Arc::clone(&steps), fail_at)).await.unwrap();
        lake.push(one_of_each(1, 1));
        assert!(lake.commit().await.is_err(), "step {fail_at}");
        lake.push(one_of_each(1, 2));
        assert_eq!(counts(&lake).await, [2; 5], "step {fail_at}");
        let report = lake.commit().await.unwrap();
        assert!(report.rows + report.duplicates >= 6, "step {fail_at}: {report:?}");
        assert_eq!(lake.hot_rows(), 0);
        assert_eq!(counts(&lake).await, [2; 5], "step {fail_at}");
        drop(lake);
        assert_eq!(counts(&open(root.path()).await).await, [2; 5], "step {fail_at}");
    }
}

/// From the step on nothing works any more.
fn stopping_at(root: &std::path::Path, steps: Arc<AtomicUsize>, crash_at: usize) -> LakeOptions {
    with_probe(root, steps, move |step| step >= crash_at)
}

fn failing_once(root: &std::path::Path, steps: Arc<AtomicUsize>, fail_at: usize) -> LakeOptions {
    with_probe(root, steps, move |step| step == fail_at)
}

fn with_probe(root: &std::path::Path, steps: Arc<AtomicUsize>, fails: impl Fn(usize) -> bool + Send + Sync + 'static) -> LakeOptions {
    let mut options = LakeOptions::new(root);
    options.probe = Some(Arc::new(move |step| {
        let (Step::BeforeData { table } | Step::BeforeLog { table } | Step::BeforeSwap { table }) = step else { return Ok(()) };
        assert!(TABLES.contains(&table));
        match fails(steps.fetch_add(1, Ordering::SeqCst)) {
            true => Err(io::Error::other("stopped here")),
            false => Ok(()),
        }
    }));
    options
}
