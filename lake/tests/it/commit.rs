//! Rows go in once and stay, and the disk has them when `commit` says so.

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use lake::{Lake, LakeError, LakeOptions, PushReport, Step};
use protocol::StreamId;

use crate::rows::{at, counts, everything, gateway, number, one_of_each, open, row, window};

#[tokio::test]
async fn rows_are_seen_when_pushed_after_the_commit_and_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    assert_eq!(counts(&lake).await, [0; 5]);
    let pushed = lake.push(one_of_each(1, 1).into_iter().chain(one_of_each(1, 2)).collect());
    assert_eq!(pushed, PushReport { accepted: 10, duplicates: 0 });
    assert_eq!(counts(&lake).await, [2; 5]);
    let hot = everything(&lake).await;

    let report = lake.commit().await.unwrap();
    assert_eq!((report.rows, report.duplicates, report.tables.len()), (10, 0, 5));
    assert_eq!(lake.hot_rows(), 0);
    assert_eq!(everything(&lake).await, hot);
    assert_eq!(lake.watermarks(), [(gateway(1), StreamId(0xabc1), 2)]);

    lake.push(one_of_each(1, 3));
    assert_eq!(counts(&lake).await, [3; 5]);
    drop(lake);
    let lake = open(root.path()).await;
    assert_eq!(everything(&lake).await, hot, "what was only hot is the journal's to bring back");
    assert_eq!(lake.watermarks(), [(gateway(1), StreamId(0xabc1), 2)]);
    assert_eq!(lake.commit().await.unwrap().rows, 0);
}

#[tokio::test]
async fn every_new_file_and_folder_has_been_synced_when_commit_returns() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let mut options = LakeOptions::new(&root);
    options.checkpoint_every = 6;
    let lake = Lake::open(options).await.unwrap();
    let before = files_below(&root);
    for seq in 1..=8 {
        lake.push(one_of_each(1, seq));
        let held = files_below(&root);
        let report = lake.commit().await.unwrap();
        let synced: HashSet<PathBuf> = report.synced.into_iter().collect();
        for file in files_below(&root).difference(&held) {
            assert!(synced.contains(file), "{} was not synced", file.display());
            assert!(synced.contains(file.parent().unwrap()), "the folder of {} was not synced", file.display());
        }
        for table in report.tables {
            assert!(!table.files.is_empty());
            assert!(table.files.iter().all(|file| synced.contains(&root.join(file))), "{:?}", table.files);
        }
    }
    let checkpoints = files_below(&root).difference(&before).filter(|file| file.to_string_lossy().contains(".checkpoint.")).count();
    assert_eq!(checkpoints, 5, "checkpoints have been written, and were among the files looked at");
}

fn files_below(folder: &std::path::Path) -> HashSet<PathBuf> {
    let mut files = HashSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => drop(files.insert(path)),
        }
    }
    files
}

#[tokio::test]
async fn rows_at_or_below_the_watermark_are_skipped_and_counted() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push((1..=4).flat_map(|seq| one_of_each(1, seq)).collect());
    assert_eq!(lake.push(one_of_each(1, 4)), PushReport { accepted: 0, duplicates: 5 }, "while hot");
    lake.commit().await.unwrap();
    let again = lake.push((1..=6).flat_map(|seq| one_of_each(1, seq)).collect());
    assert_eq!(again, PushReport { accepted: 10, duplicates: 20 }, "once stored");
    drop(lake);
    let lake = open(root.path()).await;
    let replay = lake.push((1..=6).flat_map(|seq| one_of_each(1, seq)).collect());
    assert_eq!(replay, PushReport { accepted: 10, duplicates: 20 }, "after a restart");
    lake.commit().await.unwrap();
    assert_eq!(counts(&lake).await, [6; 5]);
}

#[tokio::test]
async fn rows_of_one_sequence_are_taken_whole_and_streams_do_not_touch_each_other() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let block = (0..100).map(|n| row(1, 7, window(1, n * 5, 60.0))).collect();
    assert_eq!(lake.push(block), PushReport { accepted: 100, duplicates: 0 });
    assert_eq!(lake.push(vec![row(2, 1, window(2, 0, 60.0))]), PushReport { accepted: 1, duplicates: 0 });
    lake.commit().await.unwrap();
    assert_eq!(lake.watermarks(), [(gateway(1), StreamId(0xabc1), 7), (gateway(2), StreamId(0xabc2), 1)]);
    assert_eq!(number(&lake, "SELECT count(*) FROM window_summaries WHERE gateway = 'press-gw1'").await, 100);
}

#[tokio::test]
async fn two_lakes_on_one_folder_store_each_row_once_and_never_move_a_mark_back() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (open(root.path()).await, open(root.path()).await);
    let upto = |seq: u64| (1..=seq).map(|seq| row(1, seq, window(1, seq as i64 * 5, 60.0))).collect::<Vec<_>>();
    // The second knows nothing of what the first stores: its own marks are from when it was opened.
    first.push(upto(10_000));
    first.commit().await.unwrap();
    assert_eq!(second.push(upto(5)).accepted, 5);
    let report = second.commit().await.unwrap();
    assert_eq!((report.rows, report.duplicates), (0, 5), "10000 -> 5 must not be accepted");
    assert_eq!(second.watermarks(), [(gateway(1), StreamId(0xabc1), 10_000)]);
    assert_eq!(second.push(upto(10_002)).accepted, 2);
    assert_eq!(second.commit().await.unwrap().rows, 2);
    // And the other way round, where part of the rows is new.
    assert_eq!(first.push(upto(10_003)).accepted, 3);
    let report = first.commit().await.unwrap();
    assert_eq!((report.rows, report.duplicates), (1, 2));
    drop(second);
    for lake in [first, open(root.path()).await] {
        assert_eq!(lake.watermarks(), [(gateway(1), StreamId(0xabc1), 10_003)]);
    }
    assert_eq!(number(&open(root.path()).await, "SELECT count(*) FROM window_summaries").await, 10_003);
}

#[tokio::test]
async fn two_lakes_that_commit_at_the_same_time_both_store_their_own_rows_once() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = (open(root.path()).await, open(root.path()).await);
    for seq in 1..=8 {
        for (lake, own) in [(&first, 1), (&second, 2)] {
            lake.push(vec![row(own, seq, window(own, seq as i64 * 5, 60.0)), row(3, seq, window(3, seq as i64 * 5, 60.0))]);
        }
        let (a, b) = tokio::join!(first.commit(), second.commit());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.rows + b.rows, 3, "one row of each own stream, and the shared one once");
    }
    let lake = open(root.path()).await;
    assert_eq!(number(&lake, "SELECT count(*) FROM window_summaries").await, 24);
    assert_eq!(number(&lake, "SELECT count(DISTINCT gateway || seq) FROM window_summaries").await, 24);
}

#[tokio::test]
async fn a_failed_sync_is_final_until_the_lake_is_opened_anew() {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    options.probe = Some(Arc::new(move |step| match step {
        Step::Sync { path } if breaks.load(std::sync::atomic::Ordering::SeqCst) && path.to_string_lossy().contains("window_summaries") => {
            Err(std::io::Error::other("medium error"))
        }
        _ => Ok(()),
    }));
    let lake = Lake::open(options).await.unwrap();
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    lake.push(one_of_each(1, 1));
    assert!(matches!(lake.commit().await, Err(LakeError::Poisoned { table: "window_summaries" })));
    assert_eq!(lake.hot_rows(), 1, "the other tables went on");
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(lake.commit().await, Err(LakeError::Poisoned { .. })), "a later sync that works proves nothing");
    assert_eq!(counts(&lake).await, [1; 5], "and the rows can still be read");
    drop(lake);
    let lake = open(root.path()).await;
    lake.push(one_of_each(1, 1));
    lake.commit().await.unwrap();
    assert_eq!(counts(&lake).await, [1; 5]);
}

#[tokio::test]
async fn a_table_of_other_columns_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()).await);
    let log = root.path().join("losses/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("\\\"detail\\\"", "\\\"remark\\\"")).unwrap();
    let error = Lake::open(LakeOptions::new(root.path())).await.unwrap_err();
    assert!(matches!(&error, LakeError::Schema { table: "losses", column } if column == "remark"), "{error}");
}

#[tokio::test]
async fn half_written_files_of_a_crash_are_removed_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()).await);
    let log = root.path().join("losses/_delta_log");
    std::fs::write(log.join("00000000000000000001.json#3"), "{half").unwrap();
    let lake = open(root.path()).await;
    assert!(!log.join("00000000000000000001.json#3").exists());
    lake.push(vec![row(1, 1, crate::rows::loss(None, 0, 1, 0))]);
    lake.commit().await.unwrap();
    assert_eq!(number(&lake, "SELECT count(*) FROM losses WHERE asset IS NULL AND from_time = '2026-01-01T00:00:00Z'").await, 1);
    assert_eq!(at(0).as_micros(), crate::rows::DAWN);
}
