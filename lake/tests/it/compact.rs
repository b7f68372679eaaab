//! Compaction and restarts change where rows lie, not what is answered.

use lake::{Lake, LakeOptions};
use protocol::{MachineState, TimeRange};

use crate::rows::{asset, at, counts, everything, one_of_each, open, row, signal, state, window};

#[tokio::test]
async fn history_stays_the_same_before_and_after_compaction_and_restart() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    for seq in 1..=12 {
        lake.push((1..=3).flat_map(|gateway| one_of_each(gateway, seq)).collect());
        lake.commit().await.unwrap();
    }
    lake.push(one_of_each(1, 13));
    let before = everything(&lake).await;
    let pages = history(&lake).await;

    let report = lake.compact().await.unwrap();
    assert_eq!(report.tables.len(), 5);
    for table in &report.tables {
        assert_eq!((table.files_before, table.files_after, table.rows_rewritten), (12, 1, 36), "{table:?}");
    }
    assert_eq!(everything(&lake).await, before);
    assert_eq!(history(&lake).await, pages);
    assert!(lake.compact().await.unwrap().tables.is_empty(), "nothing is left to do");

    // Marks outlive the rewriting.
    assert_eq!(lake.push(one_of_each(2, 12)).duplicates, 5);
    lake.commit().await.unwrap();
    drop(lake);
    let lake = open(root.path()).await;
    assert_eq!(everything(&lake).await, before);
    assert_eq!(history(&lake).await, pages);
    assert_eq!(lake.push(one_of_each(2, 12)).duplicates, 5);
}

async fn history(lake: &Lake) -> String {
    let range = TimeRange { from: at(0), to: at(1_000) };
    let series = lake.series(&asset(1), &signal("spindle_temperature"), range, std::time::Duration::from_secs(60)).await.unwrap();
    let (states, parts) = (lake.states(&asset(1), range).await.unwrap(), lake.parts(&asset(1), range).await.unwrap());
    let latest = lake.latest().await.unwrap();
    format!("{series:?} {states:?} {parts:?} {latest:?}")
}

#[tokio::test]
async fn commits_beside_a_compaction_are_not_lost() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    for seq in 1..=10 {
        lake.push(one_of_each(1, seq));
        lake.commit().await.unwrap();
    }
    let writer = async {
        for seq in 11..=20 {
            lake.push(one_of_each(1, seq));
            lake.commit().await.unwrap();
        }
    };
    let compactor = async {
        for _ in 0..3 {
            lake.compact().await.unwrap();
        }
    };
    tokio::join!(writer, compactor);
    assert_eq!(counts(&lake).await, [20; 5]);
    drop(lake);
    assert_eq!(counts(&open(root.path()).await).await, [20; 5]);
}

#[tokio::test]
async fn replaced_files_are_removed_after_their_retention_and_not_before() {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.file_retention = std::time::Duration::ZERO;
    options.compact_min_files = 2;
    let lake = Lake::open(options.clone()).await.unwrap();
    for seq in 1..=4 {
        lake.push(vec![row(1, seq, window(1, seq as i64, 1.0)), row(1, seq, state(1, seq as i64, MachineState::Idle))]);
        lake.commit().await.unwrap();
    }
    let parquet = |table: &str| {
        let entries = std::fs::read_dir(root.path().join(table)).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "parquet")).count()
    };
    assert_eq!(parquet("window_summaries"), 4);
    // A file that a crash left without a log entry.
    std::fs::write(root.path().join("window_summaries/part-orphan.parquet"), "half").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    lake.compact().await.unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    drop(lake);
    let lake = Lake::open(options).await.unwrap();
    lake.compact().await.unwrap();
    assert_eq!(parquet("window_summaries"), 1);
    assert_eq!(counts(&lake).await[0], 4);
    drop(lake);

    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.compact_min_files = 2;
    let lake = Lake::open(options).await.unwrap();
    for seq in 1..=4 {
        lake.push(vec![row(1, seq, window(1, seq as i64, 1.0))]);
        lake.commit().await.unwrap();
    }
    lake.compact().await.unwrap();
    let files = std::fs::read_dir(root.path().join("window_summaries")).unwrap().count();
    assert_eq!(files, 4 + 1 + 1, "four replaced files, the new one and the log: a day has not passed");
}

#[tokio::test]
async fn the_log_is_cut_behind_a_checkpoint_and_rows_and_marks_survive_it() {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.log_retention = std::time::Duration::ZERO;
    options.checkpoint_every = 3;
    let lake = Lake::open(options.clone()).await.unwrap();
    // Knows the table as it was before the log is cut.
    let other = Lake::open(options.clone()).await.unwrap();
    for seq in 1..=14 {
        lake.push((1..=2).flat_map(|gateway| one_of_each(gateway, seq)).collect());
        lake.commit().await.unwrap();
    }
    let entries = std::fs::read_dir(root.path().join("losses/_delta_log")).unwrap();
    let json = entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "json")).count();
    assert!(json <= 6, "{json} of 15 entries are left");
    let before = everything(&lake).await;
    drop(lake);

    assert_eq!(other.push(one_of_each(1, 14).into_iter().chain(one_of_each(2, 15)).collect()).accepted, 10);
    let report = other.commit().await.unwrap();
    assert_eq!((report.rows, report.duplicates), (5, 5), "a lake that was left behind finds its way");
    let lake = Lake::open(options).await.unwrap();
    assert_eq!(lake.watermarks().iter().map(|(_, _, mark)| *mark).collect::<Vec<_>>(), [14, 15]);
    assert_eq!(counts(&lake).await, [29; 5]);
    assert_eq!(lake.push(one_of_each(1, 14)).duplicates, 5);
    assert_eq!(everything(&lake).await[0].iter().filter(|row| row[2] != 15).cloned().collect::<Vec<_>>(), before[0]);
}
