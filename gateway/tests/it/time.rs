//! Clocks that are not set, that jump, and that are set at last: nothing is lost, and rows arrive with the time that they are of.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use gateway::{app::Tuning, clock::System, timeline::SystemNow};
use protocol::{TimeQuality, Timestamp};

use crate::{
    fake_collector::Pki,
    fixture::{BROKER, Fixture, JSON_TOPIC, QUICK, broker_of, data_dir, drained, eventually},
    publisher::{Publisher, numbered},
};

/// 2026-11-20T12:00:00Z
const TRUTH: i64 = 1_795_176_000_000_000;
const S: i64 = 1_000_000;

/// A clock whose wall time a test sets.
pub struct TestClock {
    start: Instant,
    /// Wall time when the monotonic clock reads 0.
    wall: Arc<AtomicI64>,
}

impl TestClock {
    /// As a board without a battery boots.
    pub fn unset() -> Self {
        Self { start: Instant::now(), wall: Arc::default() }
    }

    pub fn system(&self) -> System {
        let (start, wall) = (self.start, Arc::clone(&self.wall));
        let read = move || {
            let mono = start.elapsed().as_micros();
            let wall = Timestamp::from_micros(wall.load(Ordering::SeqCst) + i64::try_from(mono).unwrap());
            SystemNow { wall, mono_us: u64::try_from(mono).unwrap(), synchronised: None }
        };
        System { read: Arc::new(read), kernel: 1, zero_us: 0 }
    }

    fn set(&self, at: Timestamp) {
        self.wall.store(at.as_micros() - self.mono(), Ordering::SeqCst);
    }

    fn jump(&self, by_us: i64) {
        self.wall.fetch_add(by_us, Ordering::SeqCst);
    }

    fn mono(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap()
    }

    fn tuning(&self) -> Tuning {
        Tuning { system: self.system(), ..Tuning::default() }
    }
}

fn plain() -> String {
    format!("{BROKER}{JSON_TOPIC}{QUICK}")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_clock_and_network_nothing_is_lost_and_all_gets_its_time_once_a_collector_appears() {
    // The certificate was made long after the last time that this gateway knows of.
    let fixture = Fixture::with_certificates(Pki::with_servers_valid((2026, 11, 19), (2027, 2, 17))).await;
    fixture.collector().go_down();
    let clock = TestClock::unset();
    let app = fixture.start_tuned(&plain(), clock.tuning()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    let first = clock.mono();
    for _ in 0..3 {
        publisher.publish(numbered(100)).await;
        tokio::time::sleep(Duration::from_millis(1300)).await;
    }
    let board = app.board.clone();
    eventually("rows wait in the spool", || board.view().backlog_entries > 2).await;
    assert_eq!(board.view().time.quality, TimeQuality::Unsynced);
    // A window is open when the time becomes known.
    publisher.publish(numbered(50)).await;
    let known = clock.mono();
    fixture.collector().taken().clock = Some((Timestamp::from_micros(TRUTH + known), Instant::now()));
    fixture.collector().come_up().await;
    eventually("the time is known", || board.view().time.quality == TimeQuality::Holdover).await;
    publisher.publish(numbered(100)).await;
    let last = clock.mono();
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!((taken.readings(), taken.lost_total()), (450, 0));
        for window in taken.windows() {
            assert_eq!(window.time_quality, TimeQuality::Holdover, "{window:?}");
            // Where the collector's clock was at the time of the reading, give or take a window and the way of the answer.
            let (start, end) = (window.start.as_micros() - TRUTH, window.end.as_micros() - TRUTH);
            assert!(start > first - 3 * S && end < last + 3 * S, "{start}..{end} is not within {first}..{last}");
        }
        let batch = taken.last_batch.as_ref().unwrap();
        assert_eq!(batch.status.time_quality, TimeQuality::Holdover);
        let skew = batch.sent_at.as_micros() - TRUTH - clock.mono();
        assert!(skew.abs() < 10 * S, "{skew}");
    }
    clock.set(Timestamp::from_micros(TRUTH + clock.mono()));
    eventually("the system's clock is followed", || board.view().time.quality == TimeQuality::Synced).await;
    app.stop().await.unwrap();
    // The next run knows what has passed, whatever its clock says.
    let clock = TestClock::unset();
    let app = fixture.start_tuned(&plain(), clock.tuning()).await;
    let floor = app.board.view().time.floor.unwrap();
    assert!((floor.as_micros() - TRUTH - last).abs() < 400 * S, "{floor:?}");
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_out_of_date_by_the_collectors_own_time_is_refused_without_a_clock() {
    let fixture = Fixture::with_certificates(Pki::with_servers_valid((2026, 1, 1), (2026, 2, 1))).await;
    fixture.collector().taken().clock = Some((Timestamp::from_micros(TRUTH), Instant::now()));
    let clock = TestClock::unset();
    let app = fixture.start_tuned(&plain(), clock.tuning()).await;
    Publisher::new("press-1", broker_of(&app)).publish(numbered(10)).await;
    let board = app.board.clone();
    eventually("it says why", || board.view().upload_trouble.contains("not valid at its own time")).await;
    eventually("rows wait", || board.view().backlog_entries > 0).await;
    let view = board.view();
    assert!(!view.connected && view.time.quality == TimeQuality::Unsynced, "its time is not taken either");
    assert_eq!(fixture.collector().taken().records.len(), 0);
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_loses_nothing_and_wedges_nothing() {
    let fixture = Fixture::with_collector().await;
    let clock = TestClock::unset();
    clock.set(Timestamp::from_micros(TRUTH));
    let app = fixture.start_tuned(&plain(), clock.tuning()).await;
    let mut publisher = Publisher::new("press-1", broker_of(&app));
    let board = app.board.clone();
    // Leap second, +2 h, -10 min, back to 1970, and set again.
    let jumps = [0, S, 7_200 * S, -600 * S, -(TRUTH + 6_600 * S), TRUTH + 6_600 * S];
    for by_us in jumps {
        clock.jump(by_us);
        publisher.publish(numbered(100)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    drained(&app).await;
    let view = board.view();
    assert!(view.healthy, "{:?}", view.problems);
    assert_eq!((view.time.jumps_total, view.time.quality), (4, TimeQuality::Synced));
    {
        let taken = fixture.collector().taken();
        assert_eq!((taken.readings(), taken.lost_total()), (600, 0));
        assert!(taken.windows().all(|window| window.start.as_micros() > TRUTH - 3_600 * S), "no row is of 1970");
        let held = taken.windows().filter(|window| window.time_quality == TimeQuality::Holdover).map(|window| window.count).sum::<u64>();
        assert!(held >= 100, "{held}");
    }
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_run_that_ended_before_the_time_was_known_are_moved_by_the_next_run() {
    let fixture = Fixture::with_collector().await;
    fixture.collector().go_down();
    let clock = TestClock::unset();
    let app = fixture.start_tuned(&plain(), clock.tuning()).await;
    Publisher::new("press-1", broker_of(&app)).publish(numbered(100)).await;
    let board = app.board.clone();
    eventually("rows wait in the spool", || board.view().open_windows == 0 && board.view().uncommitted_records == 0).await;
    app.stop().await.unwrap();
    assert!(data_dir(fixture.dir.path()).join("time-floor").exists());
    // The process is a new one, the kernel is the same.
    let written = board.view().now.unwrap();
    let app = fixture.start_tuned(&plain(), clock.tuning()).await;
    let began = app.board.view().started_at.unwrap();
    assert!(began.micros_since(written) > -5 * S, "provisional time goes on where the last run wrote last: {began:?}, {written:?}");
    fixture.collector().taken().clock = Some((Timestamp::from_micros(TRUTH + clock.mono()), Instant::now()));
    fixture.collector().come_up().await;
    drained(&app).await;
    {
        let taken = fixture.collector().taken();
        assert_eq!(taken.readings(), 100);
        let end = clock.mono();
        for window in taken.windows() {
            let start = window.start.as_micros() - TRUTH;
            assert!(window.time_quality == TimeQuality::Holdover && start > -3 * S && start < end, "{window:?}");
        }
    }
    app.stop().await.unwrap();
}
