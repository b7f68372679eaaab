//! Is the gateway doing its work? Judged by what flows, not by the process being there.
//!
//! Pure. A collector that can't be reached is no illness: buffering is what the gateway is for.

use protocol::Timestamp;

use super::view::SourceView;
use crate::core::Writes;

/// Silence of every source for this long is an illness (or three of the slowest polls, if that is longer).
const QUIET_S: f64 = 60.0;
const STALL_S: f64 = 10.0;

/// What health is judged by.
pub(super) struct Facts<'a> {
    pub(super) now: Timestamp,
    pub(super) uptime_s: f64,
    /// Since the pipeline's thread last came by.
    pub(super) silence_s: f64,
    /// For how long commits have been failing, and why.
    pub(super) commits_fail: Option<(f64, &'a str)>,
    pub(super) durability_s: f64,
    pub(super) writes: Writes,
    /// Commits become rarer for the sake of the write budget.
    pub(super) is_stretched: bool,
    pub(super) slowest_poll_s: f64,
    pub(super) sources: &'a [SourceView],
}

/// What is wrong; empty if nothing is.
pub(super) fn problems(facts: &Facts<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    if facts.silence_s > STALL_S {
        problems.push(format!("the pipeline has not moved for {:.0} s", facts.silence_s));
    }
    if let Some((seconds, why)) = facts.commits_fail.filter(|(seconds, _)| *seconds > 3.0 * facts.durability_s.max(1.0)) {
        problems.push(format!("nothing became durable for {seconds:.0} s: {why}"));
    }
    let quiet = QUIET_S.max(3.0 * facts.slowest_poll_s);
    let newest = facts.sources.iter().filter_map(|source| source.last_data_at).max();
    let since_data = newest.map_or(facts.uptime_s, |at| (facts.now.micros_since(at) as f64 / 1e6).min(facts.uptime_s));
    if since_data > quiet {
        problems.push(format!("no source has given data for {since_data:.0} s"));
    }
    problems
}

/// What is no illness yet; empty if there is nothing.
pub(super) fn warnings(facts: &Facts<'_>) -> Vec<String> {
    let Writes { today, budget, projection, stretch, .. } = facts.writes;
    if projection <= budget && stretch <= 1.0 {
        return Vec::new();
    }
    let mib = |bytes: u64| bytes >> 20;
    let so_far = format!("{} MiB were written today; the day will come to {} of {} MiB", mib(today), mib(projection), mib(budget));
    let then = if facts.is_stretched {
        format!("intervals of commits are {stretch:.1} times as long, a power cut can take {:.0} s", facts.durability_s * stretch)
    } else {
        "with durability \"reading\" commits do not become rarer; set spool.write_budget_per_day or durability.interval higher".into()
    };
    vec![format!("{so_far}: {then}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last_data_s: Option<i64>) -> SourceView {
        SourceView {
            name: "broker".into(),
            kind: "mqtt_broker".into(),
            connected: true,
            last_data_at: last_data_s.map(|s| Timestamp::from_micros(s * 1_000_000)),
            error: String::new(),
            messages_total: 0,
            readings_total: 0,
            polls_skipped_total: 0,
        }
    }

    fn facts(sources: &[SourceView]) -> Facts<'_> {
        Facts {
            now: Timestamp::from_micros(1_000_000_000),
            uptime_s: 500.0,
            silence_s: 0.1,
            commits_fail: None,
            durability_s: 5.0,
            writes: Writes { budget: 1 << 30, stretch: 1.0, ..Writes::default() },
            is_stretched: true,
            slowest_poll_s: 1.0,
            sources,
        }
    }

    #[test]
    fn a_running_process_without_data_is_ill_and_one_source_that_flows_is_enough() {
        assert!(problems(&facts(&[source(Some(990)), source(None)])).is_empty());
        assert_eq!(problems(&facts(&[source(Some(900)), source(None)])).len(), 1);
        assert_eq!(problems(&facts(&[source(None)])).len(), 1);
    }

    #[test]
    fn a_fresh_start_and_a_slow_device_are_given_their_time() {
        let silent = [source(None)];
        assert!(problems(&Facts { uptime_s: 30.0, ..facts(&silent) }).is_empty());
        assert!(problems(&Facts { slowest_poll_s: 300.0, ..facts(&silent) }).is_empty());
    }

    #[test]
    fn a_stalled_pipeline_and_a_failing_disk_are_told_apart() {
        let flowing = [source(Some(999))];
        assert!(problems(&Facts { silence_s: 30.0, ..facts(&flowing) })[0].contains("pipeline"));
        let failing = Facts { commits_fail: Some((60.0, "disk full")), ..facts(&flowing) };
        assert!(problems(&failing)[0].contains("disk full"));
        assert!(problems(&Facts { commits_fail: Some((2.0, "disk full")), ..facts(&flowing) }).is_empty());
    }

    #[test]
    fn a_write_budget_that_will_not_do_is_a_warning_and_no_illness() {
        let flowing = [source(Some(999))];
        assert!(warnings(&facts(&flowing)).is_empty());
        let writes = Writes { today: 1 << 29, budget: 1 << 30, projection: 3 << 30, stretch: 3.0, ..Writes::default() };
        let over = Facts { writes, ..facts(&flowing) };
        assert!(problems(&over).is_empty());
        assert!(warnings(&over)[0].contains("a power cut can take 15 s"), "{:?}", warnings(&over));
        assert!(warnings(&Facts { is_stretched: false, ..over })[0].contains("do not become rarer"));
    }
}
