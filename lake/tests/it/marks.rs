//! Marks of many streams, and of streams that another process may still hold rows of.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use lake::{Lake, LakeOptions, PushReport, StoredRow};
use protocol::StreamId;

use crate::rows::{counts, gateway, number, one_of_each, open, row, window};

async fn open_with(root: &Path, change: impl FnOnce(&mut LakeOptions)) -> Lake {
    let mut options = LakeOptions::new(root);
    change(&mut options);
    Lake::open(options).await.unwrap()
}

fn of_stream(stream: u64, seq: u64) -> Vec<StoredRow> {
    one_of_each(1, seq).into_iter().map(|row| StoredRow { stream: StreamId(stream), ..row }).collect()
}

#[tokio::test]
async fn what_is_below_a_fence_is_stored_if_it_was_pushed_before_and_by_nobody_else_afterwards() {
    let root = tempfile::tempdir().unwrap();
    let (ours, theirs) = (open(root.path()).await, open(root.path()).await);
    ours.push(one_of_each(1, 1));
    // Only in one table: the fence is for all of them.
    ours.push(vec![row(1, 4, window(1, 20, 50.0))]);
    ours.fence(&gateway(1), StreamId(0xabc1), 3);
    theirs.push((1..=4).flat_map(|seq| one_of_each(1, seq)).collect());
    assert_eq!(ours.commit().await.unwrap().rows, 6);
    assert_eq!(theirs.newest_marks().await.unwrap(), [(gateway(1), StreamId(0xabc1), 4)], "seen before it looks for itself");
    let report = theirs.commit().await.unwrap();
    // Of entry 4 all but the window; of 2 and 3 nothing.
    assert_eq!((report.rows, report.duplicates), (4, 16));
    assert_eq!(counts(&theirs).await, [2; 5]);
}

#[tokio::test]
async fn a_fence_alone_is_stored_and_survives_a_failed_commit() {
    let root = tempfile::tempdir().unwrap();
    let fails = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let probe = std::sync::Arc::clone(&fails);
    let lake = open_with(root.path(), |options| {
        options.probe = Some(std::sync::Arc::new(move |step| match step {
            lake::Step::BeforeLog { table: "anomalies" } if probe.load(std::sync::atomic::Ordering::Relaxed) => {
                Err(std::io::Error::other("no"))
            }
            _ => Ok(()),
        }));
    })
    .await;
    lake.fence(&gateway(1), StreamId(0xabc1), 7);
    lake.commit().await.unwrap_err();
    fails.store(false, std::sync::atomic::Ordering::Relaxed);
    lake.commit().await.unwrap();
    drop(lake);
    let lake = open(root.path()).await;
    assert_eq!(lake.push(one_of_each(1, 7)), PushReport { accepted: 0, duplicates: 5 });
    assert_eq!(lake.push(one_of_each(1, 8)), PushReport { accepted: 5, duplicates: 0 });
}

#[tokio::test]
async fn a_thousand_streams_take_little_and_those_of_long_ago_leave_the_log() {
    async fn ten_commits(root: &Path, retention: Duration) {
        let lake = open_with(root, |options| options.mark_retention = retention).await;
        for hundred in 0..10u64 {
            lake.push((1..=100).flat_map(|stream| of_stream(hundred * 100 + stream, 1)).collect());
            lake.commit().await.unwrap();
        }
        assert_eq!(lake.watermarks().len(), 1_000);
    }
    // What is long ago must be longer than ten commits take here.
    let (trial, begun) = (tempfile::tempdir().unwrap(), Instant::now());
    ten_commits(trial.path(), Duration::from_secs(3600)).await;
    let retention = Duration::from_secs(2) + 4 * begun.elapsed();
    let root = tempfile::tempdir().unwrap();
    ten_commits(root.path(), retention).await;
    let newest = |root: &Path| {
        let mut checkpoints: Vec<_> =
            std::fs::read_dir(root.join("window_summaries/_delta_log")).unwrap().map(|file| file.unwrap().path()).collect();
        checkpoints.retain(|path| path.to_string_lossy().ends_with(".checkpoint.parquet"));
        checkpoints.sort();
        checkpoints.pop().map(|path| std::fs::metadata(path).unwrap().len())
    };
    let full = newest(root.path()).expect("a checkpoint");
    eprintln!("checkpoint with 1,000 streams: {full} bytes");
    assert!(full < 256 << 10, "{full} bytes");
    let lake = open(root.path()).await;
    assert_eq!(lake.watermarks().len(), 1_000, "all are known within their time");
    tokio::time::sleep(retention + Duration::from_secs(1)).await;
    for seq in 1..=12 {
        lake.push(of_stream(5_000, seq));
        lake.commit().await.unwrap();
    }
    drop(lake);
    let lake = open(root.path()).await;
    let left = lake.watermarks();
    assert!(left.len() < 200 && left.contains(&(gateway(1), StreamId(5_000), 12)), "{} marks are left", left.len());
    let left = newest(root.path()).expect("a checkpoint");
    eprintln!("checkpoint after they have left: {left} bytes");
    assert!(left < full, "{left} of {full} bytes");
    assert_eq!(number(&lake, "SELECT count(*) FROM window_summaries").await, 1_012);
}
