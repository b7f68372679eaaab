//! SQL is fenced, and answers what it should.

use std::time::{Duration, Instant};

use lake::{ColumnKind, Lake, LakeError, LakeOptions};
use protocol::MachineState;
use serde_json::json;

use crate::rows::{counts, one_of_each, open, row, state, window};

#[tokio::test]
async fn whatever_would_do_more_than_read_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(one_of_each(1, 1));
    lake.commit().await.unwrap();
    let target = root.path().join("stolen");
    let target = target.display();
    for sql in [
        "DELETE FROM losses".to_owned(),
        "UPDATE losses SET count = 0".into(),
        "INSERT INTO losses SELECT * FROM losses".into(),
        "INSERT OVERWRITE losses SELECT * FROM losses".into(),
        "TRUNCATE TABLE losses".into(),
        "DROP TABLE losses".into(),
        "CREATE TABLE t AS SELECT 1".into(),
        "CREATE VIEW v AS SELECT 1".into(),
        "CREATE SCHEMA s".into(),
        "CREATE DATABASE d".into(),
        "CREATE FUNCTION f(BIGINT) RETURNS BIGINT RETURN $1".into(),
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'".into(),
        format!("COPY losses TO '{target}.csv'"),
        format!("COPY (SELECT 1) TO '{target}' STORED AS PARQUET"),
        format!("EXPLAIN ANALYZE COPY losses TO '{target}.csv'"),
        "EXPLAIN ANALYZE INSERT INTO losses SELECT * FROM losses".into(),
        "SET datafusion.execution.target_partitions = 1".into(),
        "RESET datafusion.execution.target_partitions".into(),
        "PREPARE p AS SELECT 1".into(),
        "EXECUTE p".into(),
        "BEGIN".into(),
        "SELECT 1; SELECT 2".into(),
        "SELECT * FROM '/etc/passwd'".into(),
        "SELECT * FROM read_csv('/etc/passwd')".into(),
        "".into(),
        "gibberish".into(),
        format!("SELECT '{}'", "x".repeat(100_000)),
    ] {
        let error = lake.sql(&sql).await.map(|result| result.rows).unwrap_err();
        assert!(matches!(error, LakeError::Refused { .. } | LakeError::Sql { .. }), "{sql}: {error:?}");
        assert!(error.is_callers_fault());
    }
    assert_eq!(counts(&lake).await, [1; 5]);
    assert_eq!(
        std::fs::read_dir(root.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("stolen"))
            .count(),
        0
    );
}

#[tokio::test]
async fn reading_statements_of_every_kind_are_answered() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(one_of_each(1, 1));
    for sql in [
        "EXPLAIN SELECT * FROM losses",
        "EXPLAIN ANALYZE SELECT count(*) FROM losses",
        "SHOW TABLES",
        "DESCRIBE losses",
        "WITH l AS (SELECT * FROM losses) SELECT count(*) FROM l JOIN anomalies a ON l.gateway = a.gateway",
        "SELECT table_name FROM information_schema.tables",
        "VALUES (1), (2)",
    ] {
        let result = lake.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(!result.rows.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn cells_have_the_form_that_the_interface_promises() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(one_of_each(1, 1));
    let sql = "SELECT gateway, stream, seq, window_start, count, mean, correction, CAST(NULL AS BIGINT) AS nothing FROM window_summaries";
    for stored in [false, true] {
        if stored {
            lake.commit().await.unwrap();
        }
        let result = lake.sql(sql).await.unwrap();
        assert_eq!(
            result.rows,
            [[
                json!("press-gw1"),
                json!("000000000000abc1"),
                json!(1),
                json!("2026-01-01T00:00:05.000000Z"),
                json!(5),
                json!(61.0),
                json!(false),
                json!(null)
            ]]
        );
        let kinds: Vec<_> = result.columns.iter().map(|column| column.kind).collect();
        use ColumnKind::{Boolean, Integer, Number, Text, Time};
        assert_eq!(kinds, [Text, Text, Integer, Time, Integer, Number, Boolean, Integer]);
        assert!(!result.truncated);
    }
}

#[tokio::test]
async fn an_error_says_what_is_wrong_with_the_statement() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    for (sql, wanted) in [
        ("SELECT no_such FROM losses", "no_such"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELEC 1", "SELEC"),
        ("SELECT 1/0 + seq FROM losses WHERE 1/0 = 1", "Divide by zero"),
    ] {
        lake.push(one_of_each(1, 1));
        let error = lake.sql(sql).await.unwrap_err();
        assert!(matches!(error, LakeError::Sql { .. }), "{sql}: {error:?}");
        assert!(error.to_string().contains(wanted), "{sql}: {error}");
    }
}

#[tokio::test]
async fn rows_over_the_limit_are_cut_off_and_the_result_says_so() {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.sql.max_rows = 10;
    let lake = Lake::open(options).await.unwrap();
    lake.push((1..=11).map(|seq| row(1, seq, window(1, seq as i64, 1.0))).collect());
    let result = lake.sql("SELECT seq FROM window_summaries").await.unwrap();
    assert_eq!((result.rows.len(), result.truncated), (10, true));
    let result = lake.sql("SELECT seq FROM window_summaries LIMIT 10").await.unwrap();
    assert_eq!((result.rows.len(), result.truncated), (10, false));
}

#[tokio::test]
async fn a_result_over_its_bytes_is_cut_off_like_rows() {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.sql.max_result_bytes = 1 << 20;
    let lake = Lake::open(options).await.unwrap();
    let result = lake.sql("SELECT repeat('x', 1000) FROM generate_series(1, 90000)").await.unwrap();
    assert!(result.truncated && result.rows.len() < 90_000, "{} rows", result.rows.len());
}

#[tokio::test]
async fn statements_that_compute_without_end_are_given_up_in_time_and_hold_up_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.sql.timeout = Duration::from_secs(1);
    let lake = Lake::open(options).await.unwrap();
    lake.push(one_of_each(1, 1));
    // A nested loop that does not yield for many seconds, on more threads than there are.
    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000) a CROSS JOIN generate_series(1, 1000000) b WHERE a.value % 7 = b.value % 5";
    let begun = Instant::now();
    let results = tokio::join!(lake.sql(endless), lake.sql(endless), lake.sql(endless));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    for result in [results.0, results.1, results.2] {
        assert!(matches!(result, Err(LakeError::Timeout { .. })), "{result:?}");
    }
    let machine = crate::rows::asset(1);
    let rest = async {
        lake.commit().await.unwrap();
        assert_eq!(lake.states(&machine, everything()).await.unwrap().len(), 1);
    };
    tokio::time::timeout(Duration::from_secs(15), rest).await.expect("commits and reads go on");
}

fn everything() -> protocol::TimeRange {
    protocol::TimeRange { from: protocol::Timestamp(0), to: protocol::Timestamp(i64::MAX) }
}

#[tokio::test]
async fn a_statement_that_wants_too_much_memory_is_stopped() {
    let root = tempfile::tempdir().unwrap();
    let mut options = LakeOptions::new(root.path());
    options.sql.max_memory = 4 << 20;
    options.sql.max_spill_bytes = 1 << 20;
    let lake = Lake::open(options).await.unwrap();
    let error = lake.sql("SELECT array_agg(value) FROM generate_series(1, 5000000)").await.map(|result| result.rows.len()).unwrap_err();
    assert!(matches!(error, LakeError::Memory { .. }), "{error:?}");
}

#[tokio::test]
async fn statements_made_to_exhaust_the_planner_are_refused_and_large_honest_ones_answered() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    lake.push(one_of_each(1, 1));
    for sql in [
        format!("SELECT 1{}", "+1".repeat(8_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(1_000)),
        format!("SELECT 1 FROM losses{}", (0..100).map(|n| format!(", losses l{n}")).collect::<String>()),
        format!("SELECT {}1{}", "(".repeat(8_000), ")".repeat(8_000)),
    ] {
        let error = lake.sql(&sql).await.unwrap_err();
        assert!(matches!(error, LakeError::Refused { .. } | LakeError::Sql { .. }), "{error:?}");
    }
    let chain = format!("SELECT 1{}", "+1".repeat(150));
    assert_eq!(lake.sql(&chain).await.unwrap().rows, [[json!(151)]]);
    let list = format!("SELECT count(*) FROM losses WHERE seq IN (1{})", ",2".repeat(5_000));
    assert_eq!(lake.sql(&list).await.unwrap().rows, [[json!(1)]]);
}

#[tokio::test]
async fn queries_beside_commits_see_every_row_exactly_once() {
    let root = tempfile::tempdir().unwrap();
    let lake = open(root.path()).await;
    let total = 40;
    let writer = async {
        for seq in 1..=total {
            lake.push(vec![row(1, seq, window(1, seq as i64, 1.0)), row(1, seq, state(1, seq as i64, MachineState::Idle))]);
            if seq % 4 == 0 {
                lake.commit().await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let reader = async {
        let mut last = 0;
        while last < total as i64 {
            let sql = "SELECT (SELECT count(*) FROM window_summaries) AS a, (SELECT count(DISTINCT seq) FROM window_summaries) AS b, (SELECT count(*) FROM state_changes) AS c";
            let row = lake.sql(sql).await.unwrap().rows.remove(0);
            let [rows, distinct, states] = [0, 1, 2].map(|column| row[column].as_i64().unwrap());
            assert_eq!(rows, distinct, "a row was seen twice");
            assert_eq!(rows, states, "one push was seen in part");
            assert!(rows >= last, "a row was gone");
            last = rows;
        }
    };
    tokio::join!(writer, reader);
}
