//! A chaos run as people and programs read it: the schedule before, the table of faults and the account after.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    books::{Played, Verdict},
    fault::Target,
    schedule::Planned,
};

/// What a run came to.
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    pub machines: u16,
    pub gateways: u16,
    pub played: Vec<Played>,
    pub verdict: Verdict,
    /// Kinds that were not in the schedule, and why.
    pub left_out: Vec<String>,
    /// The collector's own account of each gateway.
    pub audits: Vec<Audit>,
    /// Connections of the uplinks, and those of them that were broken on purpose.
    pub connections: (u64, u64),
}

/// What the collector says of a gateway's readings.
#[derive(Debug, Serialize)]
pub struct Audit {
    pub gateway: String,
    pub verdict: String,
    pub text: String,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.gateway, self.verdict, self.text)
    }
}

#[derive(Serialize)]
struct Line {
    at_s: f64,
    fault: String,
    target: String,
    lasted_s: f64,
    skipped: Option<String>,
    lost: u64,
    ranges: u64,
    reasons: Value,
    backlog_entries: u64,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.verdict.violations.is_empty()
    }

    fn lines(&self) -> impl Iterator<Item = Line> {
        self.played.iter().zip(&self.verdict.costs).map(|(played, cost)| Line {
            at_s: played.planned.at.as_secs_f64(),
            fault: played.planned.kind.name(),
            target: target(played.planned.target),
            lasted_s: played.ended - played.began,
            skipped: played.skipped.clone(),
            lost: cost.lost,
            ranges: cost.ranges,
            reasons: json!(cost.reasons),
            backlog_entries: played.backlog,
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:>7}  {:<22} {:<12} {:>7}  {:>7} {:>7} {:>8}  {}\n",
            "at", "fault", "target", "lasted", "lost", "ranges", "backlog", "reasons"
        );
        for line in self.lines() {
            let reasons = line.reasons.as_object().into_iter().flatten().map(|(reason, count)| match count.as_u64() {
                Some(0) | None => reason.clone(),
                Some(count) => format!("{reason} {count}"),
            });
            let said = line.skipped.as_ref().map_or_else(|| reasons.collect::<Vec<_>>().join(", "), |why| format!("SKIPPED: {why}"));
            let _ = writeln!(
                text,
                "{:>6.1}s  {:<22} {:<12} {:>6.1}s  {:>7} {:>7} {:>8}  {said}",
                line.at_s, line.fault, line.target, line.lasted_s, line.lost, line.ranges, line.backlog_entries
            );
        }
        for why in &self.left_out {
            let _ = writeln!(text, "LEFT OUT: {why}");
        }
        let v = &self.verdict;
        let _ =
            writeln!(text, "\nmade {} = stored {} + lost {} + within ranges of unknown count {}", v.made, v.stored, v.lost, v.in_ranges);
        let _ = writeln!(text, "ranges of unknown count {}, stored twice {}", v.ranges, v.twice);
        let _ = writeln!(text, "connections of the uplinks {}, broken on purpose {}", self.connections.0, self.connections.1);
        for audit in &self.audits {
            let _ = writeln!(text, "the collector's own account of {audit}");
        }
        for violation in &v.violations {
            let _ = writeln!(text, "VIOLATION  {violation}");
        }
        let _ = writeln!(text, "{}", if self.is_clean() { "nothing is unaccounted for" } else { "THE BOOKS DO NOT BALANCE" });
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "seed": self.seed,
            "seconds": self.seconds,
            "machines": self.machines,
            "gateways": self.gateways,
            "readings": { "made": self.verdict.made, "stored": self.verdict.stored, "lost": self.verdict.lost,
                "ranges": self.verdict.ranges, "in_ranges": self.verdict.in_ranges, "twice": self.verdict.twice },
            "faults": self.lines().collect::<Vec<_>>(),
            "left_out": self.left_out,
            "audits": self.audits,
            "violations": self.verdict.violations,
        })
    }
}

/// The schedule as it is printed before the run.
pub fn schedule(planned: &[Planned]) -> String {
    planned.iter().fold(String::new(), |mut text, fault| {
        let (at, lasts) = (fault.at.as_secs_f64(), fault.lasts.as_secs_f64());
        let wire = fault.kind.wire(fault.dice);
        let how = if wire == super::fault::Wire::Pass { String::new() } else { format!("  {wire:?}") };
        let _ = writeln!(text, "  {at:>6.1} s  {:<22} {:<12} {lasts:>5.1} s{how}", fault.kind.name(), target(fault.target));
        text
    })
}

pub fn target(target: Target) -> String {
    match target {
        Target::Collector => "collector".into(),
        Target::Gateway(number) => format!("gateway-{}", number + 1),
        Target::Link(number) => format!("uplink-{}", number + 1),
        Target::Machines => "machines".into(),
    }
}
