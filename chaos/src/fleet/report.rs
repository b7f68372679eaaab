//! What a run of the fleet came to: figures, and what must not be. Pure.
//!
//! Invariant: a fault is told with who has it; an empty list of faults means that every gateway was compared and found right.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;

use super::{
    look::Look,
    member::{Asked, End, Kind, Life},
};

/// Of the same fault, so many gateways are named.
const NAMED: usize = 5;
/// Timers may fire this much before their time.
const TIMER: Duration = Duration::from_millis(5);

/// When what happened.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    pub began: Instant,
    pub killed: Instant,
    pub restarted: Instant,
    pub ready: Instant,
    /// The last one has caught up, or waiting for it was given up.
    pub caught_up: Instant,
}

/// What the collector holds, by gateway.
#[derive(Debug, Default)]
pub struct Stored {
    pub readings: BTreeMap<String, u64>,
    pub twice: BTreeMap<String, u64>,
    pub losses: BTreeMap<String, u64>,
    /// What its audit says.
    pub verdicts: BTreeMap<String, String>,
    /// Alarms that stand at the end.
    pub standing: Vec<String>,
}

/// What the collector's queues may hold.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Bounds {
    pub queued_batches: u64,
    pub connections: u64,
    pub handshakes: u64,
    pub hot_rows: u64,
    pub journal_bytes: u64,
}

/// Everything that was seen.
pub struct Seen {
    pub lives: Vec<Life>,
    pub moments: Moments,
    /// Entries not delivered when the collector was started again.
    pub backlog: u64,
    pub looks: Vec<Look>,
    pub bounds: Bounds,
    pub stored: Stored,
    /// Kind and whom, why; of both runs of the collector.
    pub alarms: Vec<(String, String)>,
}

/// Of many durations, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50_s: f64,
    pub p99_s: f64,
    pub max_s: f64,
}

impl Spread {
    fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut all: Vec<Duration> = durations.into_iter().collect();
        all.sort_unstable();
        let at = |share: f64| {
            let index = ((all.len() as f64 * share).ceil() as usize).clamp(1, all.len().max(1)) - 1;
            all.get(index).map_or(0.0, Duration::as_secs_f64)
        };
        Self { count: all.len(), p50_s: at(0.5), p99_s: at(0.99), max_s: at(1.0) }
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub gateways: usize,
    pub entries: u64,
    pub readings: u64,
    pub outage_s: f64,
    /// From the start of the process until it was ready.
    pub start_s: f64,
    pub backlog_entries: u64,
    /// From ready until the first answer of use to each gateway.
    pub first_answer: Spread,
    /// The first request that was answered: connection, TLS handshake and answer.
    pub first_request: Spread,
    /// Requests before the outage, on connections that were open.
    pub usual_request: Spread,
    /// From ready until each had delivered what it had made before.
    pub caught_up: Spread,
    pub entries_per_s: f64,
    /// From an entry's append to its acknowledgement, before the outage.
    pub usual_latency: Spread,
    /// The same of entries made while others still caught up, after the gateway's own first answer.
    pub live_latency: Spread,
    /// Requests that failed after ready, by reason.
    pub failures: BTreeMap<String, u64>,
    pub turned_away: u64,
    /// Of these, those who came back too early.
    pub came_too_early: u64,
    pub refused: u64,
    pub rss_mb_before: u64,
    pub rss_mb_peak_after: u64,
    pub peak: Peak,
    pub bounds: Bounds,
    pub alarms: BTreeMap<String, usize>,
    pub stored_readings: u64,
    pub twice: u64,
    /// What must not be.
    pub faults: Vec<String>,
}

/// The most that was seen after the restart.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Peak {
    pub queued_batches: u64,
    pub connections: u64,
    pub handshakes: u64,
    pub hot_rows: u64,
    pub journal_bytes: u64,
    pub catching_up: u64,
    pub refused_connections: u64,
    pub held_off: u64,
    pub duplicates: u64,
    pub gaps: u64,
}

impl Report {
    pub fn of(seen: &Seen) -> Self {
        let Moments { began, killed, restarted, ready, caught_up } = seen.moments;
        let after = |moment: Instant| moment.saturating_duration_since(ready);
        let mut report = Self {
            gateways: seen.lives.len(),
            entries: seen.lives.iter().map(|life| life.entries).sum(),
            readings: seen.lives.iter().map(|life| life.readings).sum(),
            outage_s: (restarted - killed).as_secs_f64(),
            start_s: (ready - restarted).as_secs_f64(),
            backlog_entries: seen.backlog,
            first_answer: Spread::of(seen.lives.iter().filter_map(|life| Some(after(first(life, restarted)?.ended())))),
            first_request: Spread::of(seen.lives.iter().filter_map(|life| Some(first(life, restarted)?.took))),
            usual_request: Spread::of(usual(seen, began, killed)),
            caught_up: Spread::of(seen.lives.iter().filter_map(|life| caught_up_at(life, ready).map(after))),
            entries_per_s: 0.0,
            usual_latency: Spread::of(latencies(seen, |_, made| made + Duration::from_secs(10) < killed)),
            live_latency: Spread::of(latencies(seen, |life, made| {
                made < caught_up && first(life, restarted).is_some_and(|first| first.ended() <= made)
            })),
            failures: BTreeMap::new(),
            turned_away: 0,
            came_too_early: 0,
            refused: 0,
            rss_mb_before: most(&seen.looks, |look| look.at.is_some_and(|at| at <= killed), |look| look.rss_kb) / 1024,
            rss_mb_peak_after: most(&seen.looks, |look| look.at.is_some_and(|at| at >= ready), |look| look.peak_kb) / 1024,
            peak: peak(&seen.looks, ready),
            bounds: seen.bounds,
            alarms: BTreeMap::new(),
            stored_readings: seen.stored.readings.values().sum(),
            twice: seen.stored.twice.values().sum(),
            faults: Vec::new(),
        };
        report.entries_per_s = if report.caught_up.max_s > 0.0 { seen.backlog as f64 / report.caught_up.max_s } else { 0.0 };
        for life in &seen.lives {
            report.requests(life, ready);
        }
        for (kind, _) in &seen.alarms {
            *report.alarms.entry(kind.clone()).or_default() += 1;
        }
        report.judge(seen);
        report
    }

    fn requests(&mut self, life: &Life, ready: Instant) {
        for (asked, next) in life.exchanges.iter().zip(life.exchanges.iter().skip(1).map(Some).chain([None])) {
            if asked.ended() < ready {
                continue;
            }
            match &asked.end {
                End::Acknowledged => {}
                End::TurnedAway { after, reason } => {
                    self.turned_away += 1;
                    *self.failures.entry(reason.clone()).or_default() += 1;
                    self.came_too_early += u64::from(next.is_some_and(|next| next.sent + TIMER < asked.ended() + *after));
                }
                End::Failed(reason) => *self.failures.entry(reason.clone()).or_default() += 1,
                End::Refused(reason) => {
                    self.refused += 1;
                    *self.failures.entry(reason.clone()).or_default() += 1;
                }
            }
        }
    }

    fn judge(&mut self, seen: &Seen) {
        let ready = seen.moments.ready;
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (kind, whom) in &seen.alarms {
            kinds.entry(kind).or_default().push(whom.clone());
        }
        for (kind, whom) in kinds {
            self.fault(&format!("false alarms \"{kind}\""), whom);
        }
        self.fault("alarms that stand", seen.stored.standing.clone());
        let of = |test: &dyn Fn(&Life) -> Option<String>| {
            seen.lives.iter().filter_map(|life| test(life).map(|what| format!("{}{what}", life.id))).collect::<Vec<_>>()
        };
        let none = |holds: bool| holds.then(String::new);
        self.fault("gateways that were not heard after the restart", of(&|life| none(first(life, ready).is_none())));
        self.fault("gateways that have not caught up", of(&|life| none(life.waiting.values().any(|made| *made < ready))));
        self.fault("gateways with something left", of(&|life| none(!life.waiting.is_empty())));
        self.fault("gateways that told of losses", of(&|life| none(life.dropped > 0)));
        let stored = |life: &Life| seen.stored.readings.get(&life.id).copied().unwrap_or(0);
        self.fault(
            "gateways whose readings are not all stored",
            of(&|life| (stored(life) != life.readings).then(|| format!(" (made {}, stored {})", life.readings, stored(life)))),
        );
        let verdict = |life: &Life| seen.stored.verdicts.get(&life.id).map_or("unknown", String::as_str);
        self.fault(
            "gateways whose books do not balance at the collector",
            of(&|life| (verdict(life) != "balanced").then(|| format!(" ({})", verdict(life)))),
        );
        let ids: BTreeSet<&str> = seen.lives.iter().map(|life| life.id.as_str()).collect();
        let strangers = seen.stored.readings.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
        self.fault("readings of gateways that are none of ours", strangers);
        self.fault("gateways with readings stored twice", seen.stored.twice.keys().cloned().collect());
        self.fault("gateways with losses", seen.stored.losses.keys().cloned().collect());
        for (what, most, bound) in [
            ("batches that wait for the journal", self.peak.queued_batches, self.bounds.queued_batches),
            ("connections", self.peak.connections, self.bounds.connections),
            ("TLS handshakes", self.peak.handshakes, self.bounds.handshakes),
            ("rows in memory", self.peak.hot_rows, self.bounds.hot_rows),
            ("bytes of the journal", self.peak.journal_bytes, self.bounds.journal_bytes),
        ] {
            if most > bound {
                self.faults.push(format!("{what}: {most}, over the bound of {bound}"));
            }
        }
        if self.came_too_early > 0 {
            self.faults.push(format!("{} of {} that were turned away came back too early", self.came_too_early, self.turned_away));
        }
        if self.refused > 0 {
            self.faults.push(format!("{} requests were refused for what they held", self.refused));
        }
    }

    fn fault(&mut self, what: &str, whom: Vec<String>) {
        if !whom.is_empty() {
            let more = if whom.len() > NAMED { ", ..." } else { "" };
            self.faults.push(format!("{what}: {}: {}{more}", whom.len(), whom[..whom.len().min(NAMED)].join(", ")));
        }
    }

    /// # Errors
    /// It can't be written as JSON.
    pub fn json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            let _ = writeln!(text, "  {what:<44} {value}");
        };
        let spread = |s: &Spread| format!("p50 {:.2} s   p99 {:.2} s   max {:.2} s   ({})", s.p50_s, s.p99_s, s.max_s, s.count);
        line("gateways, entries, readings", format!("{}, {}, {}", self.gateways, self.entries, self.readings));
        line("outage, then start of the collector", format!("{:.1} s, {:.1} s", self.outage_s, self.start_s));
        line("entries that waited", self.backlog_entries.to_string());
        line("ready -> first answer to a gateway", spread(&self.first_answer));
        line("  that request (connection, TLS, answer)", spread(&self.first_request));
        line("  a request before the outage", spread(&self.usual_request));
        line("ready -> a gateway has caught up", spread(&self.caught_up));
        line("  all together", format!("{:.0} entries/s", self.entries_per_s));
        line("append -> acknowledged, before the outage", spread(&self.usual_latency));
        line("append -> acknowledged, while they caught up", spread(&self.live_latency));
        line("collector's memory, before and at most after", format!("{} MB, {} MB", self.rss_mb_before, self.rss_mb_peak_after));
        let (peak, bounds) = (&self.peak, &self.bounds);
        line("batches waiting for the journal, at most", format!("{} of {}", peak.queued_batches, bounds.queued_batches));
        line("connections, at most", format!("{} of {}, {} refused", peak.connections, bounds.connections, peak.refused_connections));
        line("handshakes, at most", format!("{} of {}", peak.handshakes, bounds.handshakes));
        line("rows in memory, at most", format!("{} of {}", peak.hot_rows, bounds.hot_rows));
        line("gateways catching up, at most", peak.catching_up.to_string());
        line("batches that were here already, gaps", format!("{}, {}", peak.duplicates, peak.gaps));
        line("turned away, of these back too early", format!("{}, {}", self.turned_away, self.came_too_early));
        for (reason, count) in &self.failures {
            line("  after ready", format!("{count} x {reason}"));
        }
        line("readings stored, twice", format!("{}, {}", self.stored_readings, self.twice));
        let alarms: Vec<String> = self.alarms.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        line("alarms", if alarms.is_empty() { "none".into() } else { alarms.join(", ") });
        for fault in &self.faults {
            let _ = writeln!(text, "  FAULT  {fault}");
        }
        text.push_str(if self.faults.is_empty() { "  all is well\n" } else { "" });
        text
    }
}

/// The first request after `moment` that was answered with use.
fn first(life: &Life, moment: Instant) -> Option<&Asked> {
    life.exchanges.iter().find(|asked| asked.sent >= moment && asked.end == End::Acknowledged)
}

/// When the last entry that was made before `ready` was delivered.
fn caught_up_at(life: &Life, ready: Instant) -> Option<Instant> {
    if life.waiting.values().any(|made| *made < ready) {
        return None;
    }
    life.delivered.iter().filter(|delivered| delivered.made < ready).map(|delivered| delivered.acked).max()
}

fn usual(seen: &Seen, began: Instant, killed: Instant) -> impl Iterator<Item = Duration> {
    let warm = began + Duration::from_secs(5);
    let of =
        move |asked: &&Asked| asked.sent > warm && asked.ended() < killed && asked.kind == Kind::Live && asked.end == End::Acknowledged;
    seen.lives.iter().flat_map(|life| &life.exchanges).filter(of).map(|asked| asked.took)
}

fn latencies<'a>(seen: &'a Seen, counts: impl Fn(&Life, Instant) -> bool + 'a) -> impl Iterator<Item = Duration> + 'a {
    seen.lives
        .iter()
        .flat_map(|life| life.delivered.iter().map(move |delivered| (life, delivered)))
        .filter(move |(life, delivered)| counts(life, delivered.made))
        .map(|(_, delivered)| delivered.acked.saturating_duration_since(delivered.made))
}

fn most(looks: &[Look], counts: impl Fn(&Look) -> bool, of: impl Fn(&Look) -> u64) -> u64 {
    looks.iter().filter(|look| counts(look)).map(of).max().unwrap_or(0)
}

fn peak(looks: &[Look], ready: Instant) -> Peak {
    let after = |of: fn(&Look) -> u64| most(looks, |look| look.at.is_some_and(|at| at >= ready), of);
    Peak {
        queued_batches: after(|look| look.queued_batches),
        connections: after(|look| look.connections),
        handshakes: after(|look| look.handshakes),
        hot_rows: after(|look| look.hot_rows),
        journal_bytes: after(|look| look.journal_bytes),
        catching_up: after(|look| look.catching_up),
        refused_connections: after(|look| look.refused_connections),
        held_off: after(|look| look.held_off),
        duplicates: after(|look| look.duplicates),
        gaps: after(|look| look.gaps),
    }
}

#[cfg(test)]
mod tests {
    use protocol::StreamId;

    use super::{super::member::Delivered, *};

    const SECOND: Duration = Duration::from_secs(1);

    fn seen() -> Seen {
        let began = Instant::now();
        let moments = Moments {
            began,
            killed: began + 10 * SECOND,
            restarted: began + 20 * SECOND,
            ready: began + 21 * SECOND,
            caught_up: began + 30 * SECOND,
        };
        let asked = |at: u32, end: End| Asked { sent: began + at * SECOND, took: SECOND / 10, kind: Kind::Live, end };
        let life = Life {
            id: "fleet-0001".into(),
            readings: 7,
            entries: 2,
            waiting: BTreeMap::new(),
            delivered: vec![
                Delivered { made: began + 15 * SECOND, acked: began + 25 * SECOND },
                Delivered { made: began + 26 * SECOND, acked: began + 27 * SECOND },
            ],
            exchanges: vec![asked(22, End::TurnedAway { after: 2 * SECOND, reason: "503".into() }), asked(25, End::Acknowledged)],
            dropped: 0,
        };
        let stored = Stored {
            readings: [("fleet-0001".to_owned(), 7)].into(),
            verdicts: [("fleet-0001".to_owned(), "balanced".to_owned())].into(),
            ..Stored::default()
        };
        let bounds = Bounds { queued_batches: 10, connections: 10, handshakes: 10, hot_rows: 10, journal_bytes: 10 };
        Seen { lives: vec![life], moments, backlog: 1, looks: Vec::new(), bounds, stored, alarms: Vec::new() }
    }

    #[test]
    fn a_run_in_which_all_came_back_has_no_fault_and_right_figures() {
        let report = Report::of(&seen());
        assert_eq!(report.faults, Vec::<String>::new());
        assert!((report.first_answer.max_s - 4.1).abs() < 1e-6, "{:?}", report.first_answer);
        assert!((report.caught_up.max_s - 4.0).abs() < 1e-6 && (report.entries_per_s - 0.25).abs() < 1e-6);
        assert!((report.live_latency.p99_s - 1.0).abs() < 1e-6 && report.live_latency.count == 1);
        assert_eq!((report.turned_away, report.came_too_early), (1, 0));
    }

    #[test]
    fn whatever_must_not_be_is_a_fault() {
        let faults = |change: &dyn Fn(&mut Seen)| {
            let mut seen = seen();
            change(&mut seen);
            Report::of(&seen).faults.join("\n")
        };
        let first = |seen: &mut Seen, change: &dyn Fn(&mut Life)| change(&mut seen.lives[0]);
        assert!(
            faults(&|seen| seen.alarms.push(("offline".into(), "fleet-0001: not heard".into()))).contains("false alarms \"offline\": 1")
        );
        assert!(faults(&|seen| first(seen, &|life| life.readings = 8)).contains("made 8, stored 7"));
        assert!(faults(&|seen| _ = seen.stored.twice.insert("fleet-0001".into(), 3)).contains("stored twice"));
        assert!(faults(&|seen| seen.stored.verdicts.clear()).contains("do not balance"));
        assert!(faults(&|seen| _ = seen.stored.losses.insert("fleet-0001".into(), 1)).contains("with losses"));
        let left = |seen: &mut Seen| {
            let made = seen.moments.killed;
            seen.lives[0].waiting.insert((StreamId(8), 1), made);
        };
        assert!(faults(&left).contains("have not caught up"));
        assert!(faults(&|seen| first(seen, &|life| drop(life.exchanges.pop()))).contains("not heard"));
        let early = |seen: &mut Seen| seen.lives[0].exchanges[1].sent -= 2 * SECOND;
        assert!(faults(&early).contains("too early"));
        let full = |seen: &mut Seen| {
            let at = Some(seen.moments.ready + SECOND);
            seen.looks.push(Look { at, queued_batches: 11, ..Look::default() });
        };
        assert!(faults(&full).contains("over the bound of 10"));
    }

    #[test]
    fn a_spread_of_nothing_is_nothing_and_of_a_hundred_is_by_rank() {
        assert_eq!(Spread::of([]), Spread::default());
        let spread = Spread::of((1..=100).map(Duration::from_secs));
        assert_eq!((spread.p50_s, spread.p99_s, spread.max_s), (50.0, 99.0, 100.0));
    }
}
